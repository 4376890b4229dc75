"""The case file: whole, checked offline by what lies in it, and broken by any changed byte."""

import ast
import csv
import hashlib
import io
import json
import re
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from dealgate.adapters.compliance import check
from dealgate.adapters.compliance.case_file import Files, case_file, write_folder, write_zip
from dealgate.adapters.compliance.side_by_side import Line, as_csv
from dealgate.adapters.policies import check_policy, load_policy
from dealgate.adapters.sealed_entries import NotSealedError
from dealgate.adapters.sealer import Sealer
from dealgate.models import UnknownDealError
from dealgate.models.envelope import Draft
from dealgate.models.erasure import purge, record_notice, redact
from dealgate.models.ledger import append
from dealgate.models.merkle import ProofError, consistency_proof, inclusion_proof, leaf_hash, tree_root
from dealgate.models.signing import Ed25519Signer
from tests.adapters.commands import invoke
from tests.adapters.compliance.cases import REASON, case_of, checked, eventful_deal, on_disk
from tests.adapters.compliance.drifting import envelope_altered
from tests.adapters.compliance.test_forged_case_files import remade
from tests.models.ledgers import START, a_signer, seal_all, submit_deals
from tests.models.overriding import decided
from tests.models.samples import NOW, a_deal, submit
from tests.models.trees import Leaves, numbered

LONG = 400
"""Bytes of a file that are all flipped; of longer ones as many are sampled."""


@pytest.fixture
def case(database: Engine, tmp_path: Path) -> Files:
    eventful_deal(database, tmp_path)
    return case_of(database)


def fails(found: Files) -> bool:
    try:
        check.CaseFile(found).check()
    except Exception:
        return True
    return False


def test_an_untouched_case_file_holds(database: Engine, tmp_path: Path) -> None:
    signer = eventful_deal(database, tmp_path)
    folder = on_disk(case_of(database), tmp_path / "case")
    result = checked(folder)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"verifier key {signer.key.text}" in result.stdout
    assert "10 of them are the deal's, from its first to its 10., chained without a gap" in result.stdout
    assert "the ledger continues 2 checkpoints" in result.stdout
    assert result.stdout.endswith("HOLDS\n")
    assert checked(folder, "--key", signer.key.text).returncode == 0
    refused = checked(folder, "--key", a_signer().key.text)
    assert (refused.returncode, "FAILS: the checkpoint is not signed by" in refused.stdout) == (1, True)


def test_any_changed_byte_of_any_file_fails(case: Files) -> None:
    """Every byte of small files and a sample of long ones; the script itself is excepted, for it judges."""
    chance = Random(7)
    assert not fails(case)
    for name in case.keys() - {"check.py"}:
        data = case[name]
        places = range(len(data)) if len(data) <= LONG else chance.sample(range(len(data)), 40)
        for at in places:
            changed = bytearray(data)
            changed[at] ^= 1 << chance.randrange(8)
            assert fails(case | {name: bytes(changed)}), f"{name}, byte {at}"


def test_a_changed_byte_fails_the_script_too_and_is_named(case: Files, tmp_path: Path) -> None:
    folder = on_disk(case, tmp_path / "case")
    changed = folder / "disclosed" / "deal" / "0001-decision.json"
    changed.write_bytes(changed.read_bytes().replace(b'"refer"', b'"flag"', 1))
    result = checked(folder)
    assert result.returncode == 1
    assert result.stdout == "FAILS: disclosed/deal/0001-decision.json was changed since the file was made\n"


@pytest.mark.parametrize("named", [None, [], "key", {"new": ["key"]}, {"old": None}])
def test_an_entry_that_names_no_key_breaks_no_case_file(database: Engine, tmp_path: Path, named: object) -> None:
    """Whoever may submit may append one."""
    signer = eventful_deal(database, tmp_path)
    with database.begin() as connection:
        append(connection, Draft("0b7c8f5e-3a0f-4a51-9a5e-0d6f3d1c2b4a", "key_rotation", {"key": named}), NOW)
    Sealer(database, signer, []).seal()
    result = checked(on_disk(case_of(database), tmp_path / "case"))
    assert result.stdout.endswith("HOLDS\n"), result.stdout


@pytest.mark.parametrize("change", ["added", "removed"])
def test_a_file_that_was_added_or_removed_fails(case: Files, change: str) -> None:
    if change == "added":
        assert fails(case | {"entries/deal/0099-decision.json": b"{}"})
    else:
        assert fails({name: data for name, data in case.items() if name != "submissions.csv"})


# What is in it


def test_submissions_stand_side_by_side_with_what_changed(case: Files) -> None:
    rows = list(csv.reader(io.StringIO(case["submissions.csv"].decode())))
    assert rows[0] == ["field", "changed", "submission 1", "submission 2"]
    told = {row[0]: row[1:] for row in rows}
    assert told["cash_price"] == ["changed", "29995.00", "34000.00"]
    assert told["trade_ins[0].allowance"] == ["changed", "15500.00", "19000.00"]
    assert told["trade_ins[0].payoff"] == ["", "19000.00", "19000.00"]
    assert told["hidden_negative_equity"] == ["changed", "0.00", "3500.00"]
    assert told["metadata"][1] == "not shown"


def test_what_a_host_carries_along_is_shown_whatever_it_looks_like(database: Engine) -> None:
    with database.begin() as connection:
        for price in ("29995.00", "30995.00"):
            changes = {
                "deal_id": "D",
                "metadata": {"commit": "ab" * 32, "desk": {"commit": "=1+1", "at": "\n=1"}},
                "cash_price": price,
            }
            submit(connection, a_deal(**changes), now=START)
    seal_all(database, a_signer())
    told, withheld = (
        {row[0]: row[1:] for row in csv.reader(io.StringIO(case_of(database, reader)["submissions.csv"].decode()))}
        for reader in ("compliance", "analyst")
    )
    assert told["metadata.commit"] == ["", "ab" * 32, "ab" * 32]
    assert told["metadata.desk.commit"] == ["", "'=1+1", "'=1+1"]
    assert told["metadata.desk.at"] == ["", "'\n=1", "'\n=1"]
    assert withheld["metadata"] == ["", "not shown", "not shown"]
    assert not [field for field in withheld if field.startswith("metadata.")]


def test_a_number_stays_one_and_no_text_is_a_formula() -> None:
    cells = ["-12.00", "7", "--1", "-1+1", " =1", "'=1", "+1", "-\u0663"]
    rows = list(csv.reader(io.StringIO(as_csv([Line("f", tuple(cells), (False,) * 8)], list("abcdefgh")).decode())))
    assert rows[1][2:] == ["-12.00", "7", *(f"'{cell}" for cell in cells[2:])]


def test_the_cover_tells_everything_that_happened_and_needs_nothing_beside_it(case: Files) -> None:
    page = case["cover.html"].decode()
    for words in (
        "Override granted in the role credit-manager",
        "Override denied",
        "Notice of adverse action sent by mail",
        f"Reasons given: {REASON}",
        "Legal hold placed: Smith v. Lender",
        "Personal values erased: asked by the applicant",
        "Total LTV is 139.89 %",
        "Ten years with the county.",
    ):
        assert words in page
    assert "://" not in page
    assert "<script" not in page


def test_what_was_entered_is_never_markup(database: Engine) -> None:
    (decision,) = submit_deals(database, 1)
    with database.begin() as connection:
        note = "<script>alert(1)</script>"
        record_notice(connection, "D-0", "approval", START, START, actor="<b>los</b>", note=note, decision_id=decision)
    seal_all(database, a_signer())
    page = case_of(database, deal_id="D-0")["cover.html"].decode()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


SCORE = rb"(?<![\w+/.,])684(?![\w+/=]|\.\d)"
"""Not as a part of a hash or of an amount."""


HIDDEN = [b"1HGCV1F30NA000001", b"First Bank", rb"5,?200\.00", rb"Ten years with the county\.", SCORE]


@pytest.mark.parametrize(
    ("reader", "shown", "hidden"),
    [
        ("analyst", [b"5200.00", b"684"], [b"1HGCV1F30NA000001", b"First Bank", b"Ten years with the county."]),
        (
            "outside",
            [b"29995.00"],
            HIDDEN,
        ),
    ],
)
def test_what_a_reader_may_not_see_is_nowhere_and_the_proofs_hold(
    database: Engine, tmp_path: Path, reader: str, shown: list[bytes], hidden: list[bytes]
) -> None:
    eventful_deal(database, tmp_path)
    found = case_of(database, reader)
    everything = b"".join(found.values())
    assert all(words in everything for words in shown)
    assert [words for words in hidden if re.search(words, everything)] == []
    assert checked(on_disk(found, tmp_path / "case")).returncode == 0


def test_a_sentence_that_names_a_lienholder_is_withheld_from_whoever_may_not_learn_it(
    database: Engine, tmp_path: Path
) -> None:
    policy = check_policy(load_policy(str(Path(__file__).parents[3] / "examples" / "stale_inputs.yaml")))
    deal = a_deal(deal_id="D")
    deal["trade_ins"][0]["lienholder"] = "Zzyzx Bank"
    with database.begin() as connection:
        submit(connection, deal, policy=policy)
    seal_all(database, a_signer())
    sentence = b"The payoff quote of Zzyzx Bank was good through"
    seen = {reader: case_of(database, reader) for reader in ("compliance", "analyst")}
    assert {reader: sentence in b"".join(case.values()) for reader, case in seen.items()} == {
        "compliance": True,
        "analyst": False,
    }
    assert b"Zzyzx" not in b"".join(seen["analyst"].values())
    assert checked(on_disk(seen["analyst"], tmp_path / "case")).returncode == 0


def test_all_that_is_hidden_from_an_outsider_stands_in_the_file_of_compliance(case: Files) -> None:
    assert [words for words in HIDDEN if not re.search(words, b"".join(case.values()))] == []


def test_the_cover_names_no_staff_to_an_outsider_and_says_that_the_entries_do(case: Files, database: Engine) -> None:
    words = ("counsel", "privacy", "Smith v. Lender", "C-1", "asked by the applicant", "settled")
    covers = [found["cover.html"].decode() for found in (case, case_of(database, "outside"))]
    assert [[word in cover for word in words] for cover in covers] == [[True] * len(words), [False] * len(words)]
    assert "Legal hold placed: not shown" in covers[1]
    assert "the entries have them, for their hashes cover them" in covers[1]
    assert "the entries have them" not in covers[0]


def test_without_a_word_the_reader_is_one_from_outside(database: Engine, database_url: str, tmp_path: Path) -> None:
    eventful_deal(database, tmp_path)
    assert invoke("audit", "file", "D", "-o", tmp_path / "case", "--db", database_url).exit_code == 0
    assert json.loads((tmp_path / "case" / "manifest.json").read_bytes())["reader"] == "outside"
    with database.connect() as connection:
        found = case_file(connection, "D")
    assert found == case_of(database, "outside")


def test_a_purged_deal_is_proved_by_its_hashes(database: Engine, tmp_path: Path) -> None:
    seal_all(database, purged_deals(database))
    found = case_of(database, deal_id="D-0")
    assert "2 entries of this deal were taken out" in found["cover.html"].decode()
    assert "disclosed/related/0003-retention_purge.json" in found
    assert checked(on_disk(found, tmp_path / "case")).returncode == 0


def purged_deals(database: Engine) -> Ed25519Signer:
    """Of two deals D-0 is purged."""
    submit_deals(database, 2)
    later, signer = START.replace(year=2029), a_signer()
    with database.begin() as connection:
        record_notice(connection, "D-0", "approval", START, later, actor="los")
    seal_all(database, signer)
    with database.begin() as connection:
        assert purge(connection, later, actor="records")
    return signer


def named_by_another_purge(found: Files) -> Files:
    told, lists = json.loads(found["entries.json"]), json.loads(found["purges.json"])
    (taken,) = lists.values()
    told[0]["leaf_hash"], taken[0] = "00" * 32, "00" * 32
    told[0]["proof"] = None
    return found | {"entries.json": json.dumps(told).encode(), "purges.json": json.dumps(lists).encode()}


def purge_without_proof(found: Files) -> Files:
    told = json.loads(found["entries.json"])
    told[-1]["proof"] = None
    return found | {"entries.json": json.dumps(told).encode()}


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (named_by_another_purge, "does not name what the purge .* took out"),
        (purge_without_proof, "was taken out, and no purge in the ledger gave leave"),
    ],
)
def test_what_was_taken_out_must_be_named_by_a_purge_that_is_proved(
    database: Engine, forge: Callable[[Files], Files], words: str
) -> None:
    seal_all(database, purged_deals(database))
    found = case_of(database, deal_id="D-0")
    assert json.loads(found["entries.json"])[-1]["kind"] == "retention_purge"
    with pytest.raises(check.CheckError, match=words):
        check.CaseFile(remade(forge(found))).check()


def test_none_is_made_of_a_purged_deal_before_the_purge_is_sealed(database: Engine) -> None:
    purged_deals(database)
    with pytest.raises(NotSealedError, match=r"the retention purge \S+ is not sealed yet: dealgate ledger seal"):
        case_of(database, deal_id="D-0")


def test_none_is_made_before_what_others_rest_on_is_sealed(database: Engine) -> None:
    """A publication that is not sealed proves no policy, an erasure no leave."""
    signer = a_signer()
    submit_deals(database, 1)
    seal_all(database, signer)
    decision = decided(database)
    with pytest.raises(NotSealedError, match=r"the policy publication \S+ is not sealed yet: dealgate ledger seal"):
        case_of(database)
    seal_all(database, signer)
    with database.begin() as connection:
        redact(connection, decision, ["/deal/vehicle/vin"], "asked by the applicant", NOW, actor="privacy")
    with pytest.raises(NotSealedError, match=r"the redaction \S+ is not sealed yet: dealgate ledger seal"):
        case_of(database)
    seal_all(database, signer)
    assert json.loads(case_of(database)["private/deal/0001-decision.json"])["erased"] == ["/deal/vehicle/vin"]


def test_an_archive_that_has_a_file_twice_fails(case: Files, tmp_path: Path) -> None:
    """Which of the two is read differs from program to program."""
    path = tmp_path / "case.zip"
    write_zip(case, path)
    assert checked(on_disk(case, tmp_path / "case"), path).returncode == 0
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("cover.html", case["cover.html"])
    result = checked(tmp_path / "case", path)
    assert (result.returncode, result.stdout) == (
        1,
        "FAILS: the archive has cover.html twice: which one is read differs\n",
    )


def test_what_waits_to_be_sealed_is_told(database: Engine, tmp_path: Path) -> None:
    submit_deals(database, 1)
    seal_all(database, a_signer())
    submit_deals(database, 1)
    result = checked(on_disk(case_of(database, deal_id="D-0"), tmp_path / "case"))
    assert result.returncode == 0
    told = "NOT PROVED: 1 entries were not sealed when this file was made: entries/deal/0002-decision.json\n"
    assert told in result.stdout


def test_none_is_made_of_a_record_that_was_altered_or_is_not_sealed(database: Engine) -> None:
    (decision,) = submit_deals(database, 1)
    with pytest.raises(ProofError, match="nothing is sealed yet"):
        case_of(database, deal_id="D-0")
    seal_all(database, a_signer())
    with pytest.raises(UnknownDealError, match="no deal 'D-9' was submitted"):
        case_of(database, deal_id="D-9")
    envelope_altered(database, decision, b'"outcome":"refer"', b'"outcome":"passs"')
    with pytest.raises(ProofError, match=f"entry {decision} is not what was hashed"):
        case_of(database, deal_id="D-0")


def test_the_same_record_gives_the_same_bytes(database: Engine, tmp_path: Path) -> None:
    eventful_deal(database, tmp_path)
    for name in ("one.zip", "two.zip"):
        write_zip(case_of(database), tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    folder = on_disk(case_of(database), tmp_path / "case")
    assert checked(folder, tmp_path / "one.zip").returncode == 0


def test_the_command_writes_folder_and_zip_and_overwrites_neither(
    database: Engine, database_url: str, tmp_path: Path
) -> None:
    eventful_deal(database, tmp_path)
    made = invoke("audit", "file", "D", "-o", tmp_path / "case", "--db", database_url)
    assert made.exit_code == 0, made.output
    digest = hashlib.sha256((tmp_path / "case" / "manifest.json").read_bytes()).hexdigest()
    assert f"manifest.json  SHA-256 {digest}" in made.stdout
    assert invoke("audit", "file", "D", "-o", tmp_path / "case.zip", "--db", database_url).exit_code == 0
    for output in ("case", "case.zip"):
        again = invoke("audit", "file", "D", "-o", tmp_path / output, "--db", database_url)
        assert (again.exit_code, "is there already" in again.stderr) == (2, True)
    unknown = invoke("audit", "file", "D", "-o", tmp_path / "x", "--reader", "boss", "--db", database_url)
    assert (unknown.exit_code, "use compliance, analyst, outside" in unknown.stderr) == (2, True)


def test_what_the_script_does_not_look_at_does_not_pass_for_checked(database: Engine, tmp_path: Path) -> None:
    """As where the variable is empty that was to give the key."""
    signer = eventful_deal(database, tmp_path)
    folder = on_disk(case_of(database), tmp_path / "case")
    private = f"PRIVATE+KEY+{signer.key.text}"
    for arguments, words in (
        (["--key"], "FAILS: after --key comes the verifier key itself"),
        (["--key", ""], "FAILS: after --key comes the verifier key itself"),
        (["--key", "ledger.pub"], "FAILS: after --key comes the verifier key itself"),
        (["--key", private], "FAILS: after --key comes the verifier key itself"),
        ([str(folder), str(tmp_path / "another")], "FAILS: give one case file, a folder or a ZIP, got 2"),
    ):
        ended = checked(folder, *arguments)
        assert (ended.returncode, words in ended.stdout) == (1, True), ended.stdout
        assert private not in ended.stdout


@pytest.mark.parametrize("write", [write_folder, write_zip])
def test_a_case_file_that_cannot_be_written_to_its_end_is_not_left_behind(
    database: Engine, tmp_path: Path, write: Callable[[Files, Path], None]
) -> None:
    eventful_deal(database, tmp_path)
    case, (_, most) = case_of(database), resource.getrlimit(resource.RLIMIT_FSIZE)
    before = set(tmp_path.rglob("*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, most))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(case, tmp_path / "case")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert set(tmp_path.rglob("*")) == before


# The script's own arithmetic


@settings(deadline=None)  # its time is that of the machine
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.integers(0, 511))
def test_signatures_are_checked_as_the_library_checks_them(seed: bytes, message: bytes, bit: int) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = key.public_key().public_bytes_raw(), key.sign(message)
    assert check.signed(public, message, signature)
    assert not check.signed(public, message + b"!", signature)
    flipped = bytearray(signature)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not check.signed(public, message, bytes(flipped))


@given(st.data())
def test_proofs_are_checked_as_the_ledger_makes_them(data: Any) -> None:
    size = data.draw(st.integers(1, 200))
    leaves = [leaf_hash(entry) for entry in numbered(size)]
    nodes = Leaves(leaves)
    index, older = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    root = tree_root(size, nodes)
    proof = inclusion_proof(index, size, nodes)
    assert check.lies_in(leaves[index], index, size, proof, root)
    assert not check.lies_in(leaf_hash(b"other"), index, size, proof, root)
    consistency = consistency_proof(older, size, nodes)
    assert check.continues((older, tree_root(older, nodes)), (size, root), consistency)
    assert older == size or not check.continues((older, leaf_hash(b"other")), (size, root), consistency)


def test_the_script_is_of_python_3_9_and_the_standard_library() -> None:
    source = Path(check.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 9))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert set(names) == {
        "__future__", "base64", "hashlib", "json", "pathlib", "sys", "typing", "zipfile",
    }  # fmt: skip
