"""`dealgate ledger ...` and `dealgate db check`, from the key to the proof."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from typer.testing import Result

from dealgate.adapters.anchors.append_only_file import FileAnchor
from dealgate.adapters.database import open_database
from dealgate.models.sealing import SEALER_LOCK
from dealgate.models.signing import Kind, VerifierKey
from tests.adapters.commands import SCRIPT, invoke
from tests.databases import PostgreSQL
from tests.models.ledgers import NAME, submit_deals, unguarded


class Ledger:
    """A ledger with three decisions, and the files that belong to it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.key, self.public, self.anchors = folder / "key", folder / "key.pub", folder / "anchors"
        self.public.write_text(invoke("ledger", "new-key", NAME, "-o", self.key).stdout)

    def run(self, command: str, *arguments: str | Path, exit_code: int = 0) -> Result:
        result = invoke("ledger", command, *arguments, "--db", self.url)
        assert result.exit_code == exit_code, result.output
        return result

    def seal(self, *arguments: str) -> str:
        return self.run("seal", "--key", self.key, "--anchor", f"file:{self.anchors}", *arguments).stdout

    def verify(self, *arguments: str | Path, exit_code: int = 0) -> Result:
        return self.run("verify", "--key", self.public, "--anchor", self.anchors, *arguments, exit_code=exit_code)


@pytest.fixture
def decisions(database: Engine) -> list[str]:
    return submit_deals(database, 3)


@pytest.fixture
def ledger(database_url: str, decisions: list[str], tmp_path: Path) -> Ledger:
    return Ledger(database_url, tmp_path)


def test_a_new_key_is_private_to_its_owner_and_never_overwritten(tmp_path: Path) -> None:
    made = invoke("ledger", "new-key", NAME, "-o", tmp_path / "key")
    assert made.exit_code == 0
    assert re.fullmatch(rf"{re.escape(NAME)}\+[0-9a-f]{{8}}\+\S+\n", made.stdout)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    again = invoke("ledger", "new-key", NAME, "-o", tmp_path / "key")
    assert again.exit_code == 2
    assert "is there already" in again.stderr


def test_nobody_else_could_read_a_new_key_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even until its mode is changed, as a file is that everybody may read at first."""
    modes = set[int]()
    monkeypatch.setattr(Path, "chmod", lambda path, _: modes.add(path.stat().st_mode & 0o777))
    assert invoke("ledger", "new-key", NAME, "-o", tmp_path / "key").exit_code == 0
    assert modes | {(tmp_path / "key").stat().st_mode & 0o777} == {0o600}


def test_from_seal_to_verification(ledger: Ledger) -> None:
    assert ledger.seal().startswith(f"sealed 5 entries, 5 in all\n{NAME}\n5\n")
    assert ledger.seal() == "nothing waited to be sealed\n"
    shown = ledger.verify("--level", "replay").stdout
    assert "1 checkpoints, 1 anchored notes, 5 sealed entries" in shown
    assert "Intact." in shown
    status = ledger.run("status").stdout
    assert "5 entries, 0 wait to be sealed" in status
    assert f"anchor  file:{ledger.anchors}" in status
    assert ledger.anchors.read_text().strip() in status


def test_entries_that_another_sealer_keeps_from_being_sealed_are_told_of(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    """On SQLite sealers take turns."""
    url = postgresql.ready()
    engine, ledger = open_database(url), Ledger(url, tmp_path)
    submit_deals(engine, 3)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": SEALER_LOCK})
        assert ledger.seal() == "another sealer is at work, 4 entries wait\n"
    assert ledger.seal().startswith("sealed 5 entries")
    engine.dispose()
    postgresql.give_back(url)


def test_receipts_are_held_against_their_anchor(ledger: Ledger, database: Engine) -> None:
    ledger.seal()
    anchor = f"file:{ledger.anchors}"
    shown = ledger.run("verify", "--key", ledger.public, "--anchor", anchor).stdout
    assert "1 anchored notes, 1 receipts" in shown
    with database.begin() as connection:
        unguarded(connection, "dealgate_ledger_anchor")
        connection.execute(text("UPDATE dealgate_ledger_anchor SET receipt = :receipt"), {"receipt": b"offset 7\n"})
    report = ledger.run("verify", "--key", ledger.public, "--anchor", anchor, "--json", exit_code=1)
    assert "receipt" in {flaw["what"] for flaw in json.loads(report.stdout)["flaws"]}


def test_an_anchor_of_which_no_receipt_is_stored_is_told(ledger: Ledger) -> None:
    ledger.seal()
    given: list[str | Path] = ["--level", "notes", "--key", ledger.public, "--anchor"]
    shown = ledger.run("verify", *given, "tsa:https://tsa.example/stmap", "--json").stdout
    assert "no receipt of tsa:https://tsa.example/stmap is stored" in json.loads(shown)["remarks"][-1]


def test_what_is_anchored_while_the_anchors_are_read_is_no_rollback(
    ledger: Ledger, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may lie on a share that takes its time."""
    ledger.seal()
    notes = FileAnchor.notes

    def slowly(anchor: FileAnchor) -> Iterator[bytes]:
        submit_deals(database, 1, first=10)
        ledger.seal()
        return notes(anchor)

    monkeypatch.setattr(FileAnchor, "notes", slowly)
    assert "2 checkpoints, 2 anchored notes" in ledger.verify("--level", "tree").stdout


def test_a_flaw_ends_with_exit_code_1_and_stands_in_the_json(ledger: Ledger, database: Engine) -> None:
    ledger.seal()
    with database.begin() as connection:
        unguarded(connection, "dealgate_finding")
        connection.execute(text("UPDATE dealgate_finding SET reason = 'none'"))
    report = json.loads(ledger.verify("--json", exit_code=1).stdout)
    assert not report["intact"]
    assert {flaw["what"] for flaw in report["flaws"]} == {"projection", "guard"}
    assert report["flaws"][0].keys() == {"what", "where", "since", "expected", "got"}
    check = invoke("db", "check", "--db", ledger.url)
    assert check.exit_code == 1
    assert "dealgate_finding" in check.stdout


def test_a_proof_is_checked_with_the_key_and_nothing_else(ledger: Ledger, decisions: list[str], tmp_path: Path) -> None:
    ledger.seal()
    proof, entry = tmp_path / "proof", tmp_path / "entry.json"
    ledger.run("prove", decisions[0], "-o", proof, "--entry", entry)
    assert json.loads(entry.read_text())["entry_id"] == decisions[0]
    checked = invoke("ledger", "check", proof, "--entry", entry, "--key", ledger.public)
    assert checked.stdout == f"entry 1 of {NAME}, which had 5 entries: holds\n"
    entry.write_text(entry.read_text().replace("refer", "passs"))
    refused = invoke("ledger", "check", proof, "--entry", entry, "--key", ledger.public)
    assert refused.exit_code == 2
    assert "expected" in refused.stderr


def test_a_ledger_is_proved_to_continue_an_older_note(ledger: Ledger, database: Engine, tmp_path: Path) -> None:
    ledger.seal()
    note, proof = tmp_path / "note", tmp_path / "proof"
    note.write_bytes(ledger.anchors.read_bytes().removesuffix(b"\n"))
    submit_deals(database, 2, first=10)
    ledger.seal()
    ledger.run("prove", "--since", note, "-o", proof)
    checked = invoke("ledger", "check", proof, "--key", ledger.public)
    assert checked.stdout == f"{NAME} grew from 5 to 7 entries: holds\n"


def test_no_proof_is_written_that_would_not_hold(ledger: Ledger, decisions: list[str], database: Engine) -> None:
    ledger.seal()
    proof, entry, note = (ledger.folder / name for name in ("proof", "entry", "note"))
    note.write_bytes(ledger.anchors.read_bytes().removesuffix(b"\n"))
    with database.begin() as connection:
        unguarded(connection, "dealgate_ledger_body")
        connection.execute(text("UPDATE dealgate_ledger_body SET envelope = :data"), {"data": b"{}"})
    told = ledger.run("prove", decisions[0], "-o", proof, "--entry", entry, exit_code=2).stderr
    assert "entry 1 of 5: the root: expected" in told
    who: list[str | Path] = ["--reason", "disk lost", "--actor", "ops", "--key", ledger.key]
    ledger.run("restored", *who, "--anchor", ledger.anchors)
    assert (
        f"expected {NAME} twice, got {NAME}/2" in ledger.run("prove", "--since", note, "-o", proof, exit_code=2).stderr
    )
    assert not proof.exists()
    assert not entry.exists()


def test_a_proof_and_its_entry_are_both_written_or_neither(ledger: Ledger, decisions: list[str]) -> None:
    ledger.seal()
    proof, entry, elsewhere = (ledger.folder / name for name in ("proof", "entry", "no-folder/file"))
    for files in ((elsewhere, entry), (proof, elsewhere), (proof, proof)):
        ledger.run("prove", decisions[0], "-o", files[0], "--entry", files[1], exit_code=2)
        assert not proof.exists()
        assert not entry.exists()
    told = ledger.run("prove", "--since", ledger.anchors, "-o", proof, "--entry", entry, exit_code=2)
    assert "leave out --entry" in told.stderr


def test_a_witness_key_given_with_the_ledger_s_is_for_what_was_kept_elsewhere(ledger: Ledger) -> None:
    """The ledger's own notes bear no signature of a witness."""
    ledger.seal()
    witness = VerifierKey("witness.example", bytes(32), Kind.COSIGNATURE).text
    ledger.run("verify", "--level", "tree", "--key", ledger.public, "--key", witness)
    assert "a witness did not sign" in ledger.verify("--level", "tree", "--key", witness, exit_code=1).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prove", "-o", "x"], "give either the id of an entry"),
        (["prove", "nobody", "-o", "x"], "no entry has the id 'nobody'"),
        (["verify", "--level", "deep"], "no level is called 'deep'"),
        (["seal"], "DEALGATE_LEDGER_KEY is not set"),
        (["seal", "--key", "missing"], "missing cannot be read"),
        (["verify", "--key", "missing"], "missing: cannot be read"),
        (["hold", "D-9", "--reason", "r", "--actor", "a"], "no deal 'D-9' was submitted"),
        (["notice", "D-0", "--kind", "letter", "--actor", "a"], "no notice is called 'letter'"),
        (
            ["notice", "D-0", "--kind", "approval", "--actor", "a", "--sent-at", "2026-01-01"],
            "is no moment with a time zone",
        ),
        (["redact", "nobody", "/deal/metadata", "--reason", "r", "--actor", "a"], "no entry has the id 'nobody'"),
    ],
)
def test_bad_input_is_refused_by_name(ledger: Ledger, arguments: list[str], words: str) -> None:
    command, *rest = arguments
    assert words in ledger.run(command, *rest, exit_code=2).stderr


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "holds no verifier key"), (b"\n \n", "holds no verifier key"), (b"\xff\xfel\x00", "UTF-8")],
)
def test_a_file_without_a_key_does_not_pass_for_no_key_given(ledger: Ledger, data: bytes, words: str) -> None:
    ledger.seal()
    ledger.public.write_bytes(data)
    assert f"{ledger.public}: " in (told := ledger.verify(exit_code=2).stderr)
    assert words in told


def test_a_private_key_given_for_the_verifier_key_is_refused_and_not_told(ledger: Ledger) -> None:
    for told in (
        ledger.run("verify", "--key", ledger.key, exit_code=2),
        ledger.run("seal", "--key", ledger.key.read_text().strip(), exit_code=2),
        ledger.run("verify", "--anchor", f"witness:https://w.example#{ledger.key.read_text().strip()}", exit_code=2),
    ):
        assert "this is a private key" in told.stderr
        assert ledger.key.read_text().strip()[-20:] not in told.output


def test_what_is_given_for_a_proof_a_note_or_a_key_is_named_and_not_told(ledger: Ledger, decisions: list[str]) -> None:
    """It may be a private key, or a page about an applicant."""
    proof, entry, page = (ledger.folder / name for name in ("proof", "entry.json", "page"))
    ledger.seal()
    ledger.run("prove", decisions[0], "-o", proof, "--entry", entry)
    page.write_text("A. Applicant earns 5200.00\n\nA. Applicant owes 1150.00\n\nA. Applicant has 684\n")
    secret = ledger.key.read_text().strip()
    for wrong in (ledger.key, page):
        calls: list[list[str | Path]] = [
            ["check", wrong, "--key", ledger.public, "--entry", entry],
            ["check", proof, "--key", wrong, "--entry", entry],
            ["prove", "--since", wrong, "-o", ledger.folder / "new", "--db", ledger.url],
            ["verify", "--anchor", wrong, "--key", ledger.public, "--db", ledger.url],
            ["verify", "--key", wrong, "--db", ledger.url],
            ["seal", "--key", page, "--db", ledger.url],
        ]
        for arguments in calls:
            told = invoke("ledger", *arguments)
            assert (told.exit_code, str(wrong if wrong in arguments else page) in told.output) == (2, True), arguments
            assert secret[-44:-34] not in told.output
            assert "Applicant" not in told.output


def test_a_proof_that_was_copied_with_another_ending_is_named(ledger: Ledger, decisions: list[str]) -> None:
    ledger.seal()
    proof, entry = ledger.folder / "proof", ledger.folder / "entry.json"
    ledger.run("prove", decisions[0], "-o", proof, "--entry", entry)
    proof.write_bytes(proof.read_bytes() + b"\n")
    told = invoke("ledger", "check", proof, "--key", ledger.public, "--entry", entry)
    assert (told.exit_code, told.stderr.startswith(f"{proof}: a note is text")) == (2, True)


def test_a_note_given_alone_is_held_against_the_ledger(ledger: Ledger, tmp_path: Path) -> None:
    ledger.seal()
    note = tmp_path / "note"
    note.write_bytes(ledger.anchors.read_bytes().removesuffix(b"\n"))
    given: list[str | Path] = ["--level", "tree", "--key", ledger.public, "--anchor", note]
    assert "1 anchored notes" in ledger.run("verify", *given).stdout
    note.write_bytes(note.read_bytes().replace(b"\n", b"\r\n"))
    assert "holds no note" in ledger.run("verify", *given, exit_code=2).stderr


def test_a_key_may_lie_in_the_environment(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEALGATE_LEDGER_KEY", ledger.key.read_text())
    assert "sealed 5 entries" in ledger.run("seal").stdout


def test_keys_are_rotated_and_restores_recorded(ledger: Ledger, tmp_path: Path) -> None:
    ledger.seal()
    successor = tmp_path / "next"
    ledger.public.write_text(invoke("ledger", "new-key", NAME, "-o", successor).stdout)
    rotated = ledger.run("rotate-key", "--key", ledger.key, "--new-key", successor).stdout
    assert rotated.count("— ") == 2
    restored = ledger.run(
        "restored", "--reason", "disk lost", "--actor", "ops", "--key", successor, "--anchor", ledger.anchors
    ).stdout
    assert restored.startswith(f"{NAME}/2\n7\n")
    ledger.verify()


def test_holds_notices_redactions_and_purges_by_command(ledger: Ledger, decisions: list[str]) -> None:
    ledger.run("hold", "D-0", "--reason", "litigation", "--actor", "counsel")
    who = ["--reason", "asked", "--actor", "compliance"]
    assert "under a legal hold" in ledger.run("redact", decisions[0], "/deal/metadata", *who, exit_code=2).stderr
    ledger.run("release", "D-0", "--reason", "settled", "--actor", "counsel")
    assert ledger.run("redact", decisions[0], "/deal/metadata", "/deal/vehicle/vin", *who).stdout.startswith(
        "erased 2 values"
    )
    sent = ["--kind", "approval", "--actor", "compliance", "--sent-at"]
    ledger.run("notice", "D-1", *sent, "2026-11-20T15:01:00+00:00")
    ledger.seal()
    assert ledger.run("due").stdout == "0 deals may be purged\n"
    assert ledger.run("purge", "--actor", "compliance", "--yes").stdout == "no deal may be purged yet\n"
    ledger.verify("--level", "replay")


def test_a_key_hands_over_to_another_one_only(ledger: Ledger) -> None:
    """Somebody whose key was stolen would take it for replaced."""
    ledger.seal()
    before = ledger.run("status").stdout
    told = ledger.run("rotate-key", "--key", ledger.key, "--new-key", ledger.key, exit_code=2).stderr
    assert f"the new key {ledger.public.read_text().strip()} is the one so far: make one with" in told
    assert ledger.run("status").stdout == before


def test_nobody_takes_a_step_without_a_name(ledger: Ledger, decisions: list[str]) -> None:
    """Whoever asks later by whom a deal was held, or a value erased, would be told of nobody."""
    notified = ["notice", "D-1", "--kind", "approval", "--sent-at", "2026-11-20T15:01:00+00:00"]
    steps: list[list[str | Path]] = [
        ["hold", "D-0", "--reason", "litigation"],
        ["redact", decisions[0], "/deal/vehicle/vin", "--reason", "asked"],
        [*notified],
        ["restored", "--reason", "disk lost", "--key", ledger.key],
    ]
    ledger.seal()
    before = ledger.run("status").stdout
    for step in steps:
        told = ledger.run(str(step[0]), *step[1:], "--actor", " ", exit_code=2).stderr
        assert told == "actor: nobody is named: say who takes this step\n"
    told = ledger.run("restored", "--reason", "", "--actor", "ops", "--key", ledger.key, exit_code=2).stderr
    assert told == "reason: none was given: say what was lost and how\n"
    assert ledger.run("status").stdout == before


def test_a_watch_ends_on_sigterm_with_everything_sealed(ledger: Ledger) -> None:
    command = [SCRIPT, "ledger", "seal", "--watch", "--interval", "0.05", "--db", ledger.url, "--key", str(ledger.key)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 60
        while "5 entries, 0 wait" not in ledger.run("status").stdout:
            assert time.monotonic() < end
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "sealed 5 entries, 5 in all" in told
