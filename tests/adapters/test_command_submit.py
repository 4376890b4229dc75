"""`dealgate submit` and what reads it back: all deals of a call are stored, in one transaction, and printed once they are."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from dealgate.adapters import deal_files
from dealgate.adapters.database import open_database
from dealgate.migrations.partitions import is_partition
from dealgate.migrations.revisions import HEAD, VERSION_TABLE
from dealgate.models import find_decision
from tests.adapters.commands import SAMPLES, SCRIPT, dealgate, invoke, json_lines, read_lines
from tests.databases import TABLES, SqliteFiles, count_rows
from tests.models.samples import CLEAN, POLICY, a_deal


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "sample.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def deal(tmp_path: Path) -> Path:
    path = tmp_path / "deal.json"
    path.write_text(json.dumps(a_deal()))
    return path


def test_the_installed_command_submits_and_what_it_stored_is_listed_and_shown(
    database: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = dealgate("submit", SAMPLES, "--json", "--db", database_url, "--actor", "desk")
    assert (submitted.returncode, submitted.stderr) == (0, "")
    decisions = read_lines(submitted.stdout)
    wanted = [json.loads(line)["deal_id"] for line in SAMPLES.read_text().splitlines()]
    assert [decision["deal_id"] for decision in decisions] == wanted

    monkeypatch.setenv("DEALGATE_DB", database_url)
    listed = invoke("decision", "list", "--json")
    assert (listed.exit_code, listed.stderr) == (0, "")
    assert read_lines(listed.stdout) == decisions[::-1]

    shown = invoke("decision", "show", decisions[0]["decision_id"], "--db", database_url, "--json")
    assert read_lines(shown.stdout) == [decisions[0]]
    with database.connect() as connection:
        assert find_decision(connection, decisions[0]["decision_id"]) == decisions[0]
        assert set(connection.execute(text("SELECT actor FROM dealgate_submission")).scalars()) == {"desk"}


def test_a_thousand_deals_are_stored_and_printed_in_one_call(database: Engine, database_url: str, policy: Path) -> None:
    deals = [a_deal(deal_id=f"D-{number % 400}", cash_price=f"{20000 + number}.00") for number in range(1000)]
    done = invoke("submit", "-", "--policy", policy, "--json", "--db", database_url, stdin=json_lines(deals))

    assert (done.exit_code, done.stderr) == (0, "")
    decisions = read_lines(done.stdout)
    expected = [(f"D-{number % 400}", 1 + number // 400) for number in range(1000)]
    assert [(decision["deal_id"], decision["submission"]) for decision in decisions] == expected
    rows = count_rows(database)
    assert (rows["dealgate_decision"], rows["dealgate_deal"], rows["dealgate_policy_version"]) == (1000, 400, 1)
    with database.connect() as connection:
        assert find_decision(connection, decisions[-1]["decision_id"]) == decisions[-1]


def test_a_deal_that_comes_several_times_in_one_call_is_numbered_in_input_order(
    database: Engine, database_url: str, policy: Path
) -> None:
    deals = [a_deal(), CLEAN, a_deal(cash_down="5.00"), a_deal(cash_down="6.00")]
    done = invoke("submit", "-", "--policy", policy, "--json", "--db", database_url, stdin=json_lines(deals))
    assert [decision["submission"] for decision in read_lines(done.stdout)] == [1, 1, 2, 3]

    again = invoke("submit", "-", "--policy", policy, "--json", "--db", database_url, stdin=json_lines(deals[:2]))
    assert [decision["submission"] for decision in read_lines(again.stdout)] == [4, 2]
    assert count_rows(database)["dealgate_submission"] == 6


@pytest.mark.parametrize("kept", [1, 500])
def test_a_file_of_more_deals_than_are_kept_in_memory_is_stored_completely(
    database: Engine, database_url: str, policy: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(deal_files, "KEPT", kept)
    deals = json_lines(a_deal(deal_id=f"D-{number}") for number in range(20))
    done = invoke("submit", "-", "--policy", policy, "--json", "--db", database_url, stdin=deals)
    assert [decision["deal_id"] for decision in read_lines(done.stdout)] == [f"D-{number}" for number in range(20)]
    assert count_rows(database)["dealgate_submission"] == 20


def test_a_file_that_is_cut_off_between_its_two_readings_is_not_taken_for_submitted(
    tmp_path: Path, database_url: str, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deal_files, "KEPT", 1)
    file, check = tmp_path / "deals.jsonl", deal_files.DealFile.check
    lines = [json_lines([a_deal(deal_id=f"D-{number}")]) for number in range(3)]
    file.write_text("".join(lines))

    def and_then_cut(checked: deal_files.DealFile) -> object:
        found = check(checked)
        os.truncate(file, len("".join(lines[:2])))
        return found

    monkeypatch.setattr(deal_files.DealFile, "check", and_then_cut)
    done = invoke("submit", file, "--policy", policy, "--db", database_url)
    assert done.exit_code == 2
    assert f"{file}: the file changed while it was read: at first it held 3 deals (got 2)." in done.stderr


def test_readable_output_names_value_limit_and_distance(database_url: str, policy: Path, deal: Path) -> None:
    done = invoke("submit", deal, "--policy", policy, "--db", database_url)
    output = " ".join(done.stdout.replace("│", " ").split())
    assert "D-2026-001847 submission 1 REFER" in output
    assert "LTV-TOTAL VIOLATED 139.89 % 125.00 % -4,019.67" in output
    assert "tier B allows 125.00 %. $4,019.67 over." in output


def test_a_new_sqlite_file_is_set_up_by_the_first_submission_and_said_so_on_standard_error(
    tmp_path: Path, policy: Path, deal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = invoke("submit", deal, "--policy", policy, "--json")
    second = invoke("submit", deal, "--policy", policy, "--json")

    assert (first.exit_code, first.stderr) == (0, "dealgate: set up a new database, sqlite:///dealgate.db\n")
    assert (second.exit_code, second.stderr) == (0, "")
    assert [read_lines(done.stdout)[0]["submission"] for done in (first, second)] == [1, 2]


def test_two_calls_that_set_up_the_same_new_file_at_once_both_succeed(tmp_path: Path, policy: Path, deal: Path) -> None:
    command = [
        SCRIPT,
        "submit",
        str(deal),
        "--policy",
        str(policy),
        "--json",
        "--db",
        f"sqlite:///{tmp_path / 'new.db'}",
    ]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    assert sorted(read_lines(output)[0]["submission"] for output, _ in outputs) == [1, 2]


def test_decisions_are_listed_by_deal_and_outcome_the_latest_first(
    database: Engine, database_url: str, policy: Path
) -> None:
    deals = json_lines([a_deal(), CLEAN, a_deal(), CLEAN, a_deal()])
    submitted = read_lines(
        invoke("submit", "-", "--policy", policy, "--json", "--db", database_url, stdin=deals).stdout
    )

    def listed(*options: str) -> list[int]:
        found = read_lines(invoke("decision", "list", "--json", "--db", database_url, *options).stdout)
        return [submitted.index(decision) for decision in found]

    assert listed() == [4, 3, 2, 1, 0]
    assert listed("--deal", "D-CLEAN") == [3, 1]
    assert listed("--outcome", "refer") == [4, 2, 0]
    assert listed("--outcome", "refer", "--most", "2") == [4, 2]
    assert listed("--deal", "D-NOBODY") == []
    table = invoke("decision", "list", "--db", database_url, "--most", "2").stdout
    assert submitted[4]["decision_id"] in table
    assert "... the latest 2; more with --most" in table


def test_an_outcome_that_there_is_not_is_bad_input(database_url: str) -> None:
    done = invoke("decision", "list", "--db", database_url, "--outcome", "refused")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "use pass, flag, refer or decline" in done.stderr


def test_a_decision_is_shown_in_full(database_url: str, policy: Path, deal: Path) -> None:
    (decision,) = read_lines(invoke("submit", deal, "--policy", policy, "--json", "--db", database_url).stdout)
    shown = invoke("decision", "show", decision["decision_id"], "--db", database_url).stdout
    assert "D-2026-001847" in shown
    for finding in decision["findings"]:
        assert finding["rule"] in shown


def test_a_decision_nobody_made_is_bad_input(database_url: str) -> None:
    done = invoke("decision", "show", "nobody", "--db", database_url)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no decision has the id 'nobody'" in done.stderr


def test_names_in_brackets_are_listed_as_they_are(database_url: str, policy: Path) -> None:
    deals = json_lines([a_deal(deal_id="D[/red]"), a_deal(deal_id="D[bold]1")])
    assert invoke("submit", "-", "--policy", policy, "--db", database_url, stdin=deals).exit_code == 0
    listed = invoke("decision", "list", "--db", database_url)
    assert listed.exit_code == 0
    assert listed.stdout.count("D[/red]") == listed.stdout.count("D[bold]1") == 2


def test_a_database_is_upgraded_once_and_again_without_harm(empty_database: Engine, empty_url: str, deal: Path) -> None:
    first = invoke("db", "upgrade", "--db", empty_url)
    assert (first.exit_code, first.stderr) == (0, "")
    assert first.stdout.endswith(f" is at revision {HEAD}\n")
    assert {name for name in inspect(empty_database).get_table_names() if not is_partition(name)} == {
        *TABLES,
        VERSION_TABLE,
    }
    assert invoke("submit", deal, "--db", empty_url).exit_code == 0
    before = count_rows(empty_database)

    again = invoke("db", "upgrade", "--db", empty_url)
    assert (again.exit_code, again.stdout) == (0, first.stdout)
    assert count_rows(empty_database) == before


def test_a_shipped_policy_and_a_policy_file_are_checked(policy: Path) -> None:
    done = invoke("policy", "check", "prime-auto")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("prime-auto ")
    assert "examples hold" in done.stdout

    own = invoke("policy", "check", policy)
    assert own.exit_code == 0
    assert "sample 1: 7 rules, 1 limit, 0 examples hold" in own.stdout
    assert "states no examples" in own.stderr


def test_a_policy_with_mistakes_is_told_all_of_them_with_line_column_and_a_caret(tmp_path: Path) -> None:
    wrong = POLICY.replace("total_ltv <= max_total_ltv", "total_ltv <= $125").replace(
        "vehicle_age <= 2", "vehicle_aeg <= 2"
    )
    (tmp_path / "wrong.yaml").write_text(wrong)
    done = invoke("policy", "check", tmp_path / "wrong.yaml")
    assert (done.exit_code, done.stdout) == (2, "")
    lines = wrong.splitlines()
    at = [next(number for number, line in enumerate(lines, 1) if words in line) for words in ("$125", "vehicle_aeg")]
    told = done.stderr.splitlines()
    assert [line.startswith(f"{tmp_path / 'wrong.yaml'}:") for line in told].count(True) == 2
    for line in at:
        assert f"wrong.yaml:{line}:" in done.stderr
    carets = [number for number, line in enumerate(told) if line.strip() and not line.strip(" ^")]
    assert len(carets) == 2
    assert [told[number - 1][told[number].index("^") :].split()[0] for number in carets][1].startswith("vehicle_aeg")


@pytest.fixture
def unread() -> Iterator[int]:
    """Standard output whose reader has gone, as behind `| head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def run_unread(unread: int, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [SCRIPT, *map(str, arguments)]
    return subprocess.run(
        command, stdout=unread, stderr=subprocess.PIPE, text=True, check=False, env=buffered, timeout=60
    )


@pytest.mark.parametrize("arguments", [("evaluate", SAMPLES, "--json"), ("policy", "check", "prime-auto")])
def test_a_reader_that_has_seen_enough_is_no_error(unread: int, arguments: tuple[str | Path, ...]) -> None:
    done = run_unread(unread, *arguments)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_table_that_nobody_reads_to_its_end_is_no_error_and_its_deals_are_stored(unread: int, tmp_path: Path) -> None:
    engine = open_database(SqliteFiles(tmp_path).ready())
    done = run_unread(unread, "submit", SAMPLES, "--db", engine.url.render_as_string())
    assert (done.returncode, done.stderr) == (0, "")
    assert count_rows(engine)["dealgate_submission"] == len(SAMPLES.read_text().splitlines())
    engine.dispose()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to write to")
def test_output_that_cannot_be_written_is_an_internal_failure(deal: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [SCRIPT, "policy", "check", "prime-auto"], stdout=full, stderr=subprocess.PIPE, check=False, text=True
        )
    assert done.returncode == 3
    assert "No space left on device" in done.stderr
