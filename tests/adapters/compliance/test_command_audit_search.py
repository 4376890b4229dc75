"""`dealgate audit search` and `dealgate audit check`, as a process and within this one."""

import csv
import io
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine

from tests.adapters.commands import dealgate, invoke, read_lines
from tests.models.overriding import CLEAN, HOUR, decided, granted, requested
from tests.models.samples import NOW


def some(database: Engine) -> list[str]:
    """Four decisions, an hour apart; the first is let through."""
    ids = [decided(database, NOW + number * HOUR, deal_id=f"D-{number}") for number in range(3)]
    ids.append(decided(database, NOW + 3 * HOUR, **(CLEAN | {"deal_id": "D-3"})))
    granted(database, requested(database, ids[0], "LTV-TOTAL", now=NOW + 5 * HOUR), NOW + 6 * HOUR)
    return ids


def test_a_page_and_the_next_by_its_cursor(database_url: str, database: Engine) -> None:
    ids = some(database)
    told: list[str] = []
    more: list[str] = []
    for _ in range(2):
        shown = invoke("audit", "search", "--format", "jsonl", "--limit", "2", *more, "--db", database_url)
        assert shown.exit_code == 0, shown.stderr
        told += [str(row["decision_id"]) for row in read_lines(shown.stdout)]
        more = shown.stderr.removeprefix("more: ").split()
    assert told == ids[::-1]
    assert more == []


def test_the_table_shows_what_a_person_looks_for(database_url: str, database: Engine) -> None:
    some(database)
    shown = invoke(
        "audit", "search", "--override", "granted", "--measure", "total_ltv > 139", "--db", database_url
    ).stdout
    assert "D-0" in shown
    assert "granted low STRONG-INCOME" in shown
    assert "D-1" not in shown


def test_counts_by_outcome_as_of_a_moment(database_url: str, database: Engine) -> None:
    some(database)
    as_of = (NOW + timedelta(minutes=90)).isoformat()
    counted = invoke("audit", "search", "--count", "--as-of", as_of, "--db", database_url).stdout
    assert counted.split() == ["refer", "2", "all", "2"]


def test_csv_on_standard_output_has_its_head_on_the_first_page(database_url: str, database: Engine) -> None:
    ids = some(database)
    shown = invoke("audit", "search", "--format", "csv", "--limit", "3", "--db", database_url)
    first = list(csv.DictReader(io.StringIO(shown.stdout)))
    more = shown.stderr.removeprefix("more: ").split()
    rest = invoke("audit", "search", "--format", "csv", "--limit", "3", *more, "--db", database_url).stdout
    assert [row["decision_id"] for row in first] == ids[:0:-1]
    assert rest.startswith(ids[0])


def test_an_export_and_its_check_by_the_installed_command(tmp_path: Path, database_url: str, database: Engine) -> None:
    some(database)
    file = tmp_path / "refers.csv"
    parts = ("--outcome", "refer", "--reader", "analyst", "--asked-by", "eve", "-o", file, "--db", database_url)
    written = dealgate("audit", "search", *parts)
    assert (written.returncode, written.stdout[:7]) == (0, "3 rows "), written.stderr
    checked = dealgate("audit", "check", file, "--db", database_url)
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.endswith("the file agrees with its manifest and the ledger\n")
    file.write_text(file.read_text().replace("refer", "decline", 1))
    changed = invoke("audit", "check", file, "--db", database_url)
    assert changed.exit_code == 1
    assert "the file is not the one that was written" in changed.stdout
    assert "outcome is 'refer' in the ledger, 'decline' in the file" in changed.stdout


def test_what_cannot_be_asked_is_refused_with_exit_code_2(tmp_path: Path, database_url: str, database: Engine) -> None:
    some(database)
    for parts, words in (
        (("--outcome", "approved"), "outcomes: 'approved': use pass, flag, refer, decline"),
        (("--actor", "ann"), "actors: 'ann': the reader outside sees no names"),
        (("--cursor", "zzz"), "cursor: 'zzz': pass on the cursor that the page before gave"),
        (("--format", "parquet"), "--format parquet: give the file that it goes to with --output"),
        (("-o", str(tmp_path / "x.ods")), "format: 'ods': use jsonl, csv, parquet, xlsx"),
        (("-o", str(tmp_path / "x.csv"), "--cursor", "zzz"), "--cursor: a file has every row from the first on"),
    ):
        refused = invoke("audit", "search", *parts, "--db", database_url)
        assert (refused.exit_code, words in refused.stderr) == (2, True), refused.stderr
    lacking = invoke("audit", "check", tmp_path / "none.csv")
    assert (lacking.exit_code, "there is no such file" in lacking.stderr) == (2, True)
    (tmp_path / "bare.csv").write_text("x")
    assert (
        "its manifest bare.csv.manifest.json cannot be read" in invoke("audit", "check", tmp_path / "bare.csv").stderr
    )
