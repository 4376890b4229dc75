"""`dealgate audit report` and `dealgate audit groups`, as commands on a database."""

import csv
from io import StringIO
from pathlib import Path

import pytest
from sqlalchemy import Engine

from dealgate.adapters.compliance.reports import REPORTS
from tests.adapters.commands import invoke, read_lines
from tests.adapters.compliance.histories import RICH, History

PERIOD = ("--since", "2026-11-01", "--as-of", "2027-01-15T00:00:00+00:00")


@pytest.fixture
def url(database: Engine, database_url: str) -> str:
    with database.begin() as connection:
        History(connection).take(RICH)
    return database_url


def test_without_a_name_every_report_is_listed_with_its_question() -> None:
    result = invoke("audit", "report")
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    for report in REPORTS.values():
        assert f"{report.name} {report.question}" in text


def test_every_report_in_every_format(url: str) -> None:
    for name in REPORTS:
        table = invoke("audit", "report", name, *PERIOD, "--db", url)
        assert table.exit_code == 0, table.output
        assert REPORTS[name].title in table.stdout
        told = invoke("audit", "report", name, *PERIOD, "--format", "jsonl", "--db", url)
        rows = read_lines(told.stdout)
        written = invoke("audit", "report", name, *PERIOD, "--format", "csv", "--db", url)
        lines = list(csv.DictReader(StringIO(written.stdout)))
        assert len(lines) == len(rows)
        for line, row in zip(lines, rows, strict=True):
            assert list(line) == list(row)
            for column in REPORTS[name].columns:
                shown = row[column.name]["value"] if column.unit == "percent" else row[column.name]
                if shown is None or column.unit in {"text", "money", "moment", "day"}:
                    assert line[column.name] == (shown or "")


def test_shares_are_exact_and_money_is_decimal(url: str) -> None:
    [row] = read_lines(invoke("audit", "report", "exceptions", *PERIOD, "--format", "jsonl", "--db", url).stdout)[:1]
    rate = row["exception_rate"]
    assert (rate["numerator"], rate["denominator"]) == (row["exceptions"], row["deals"])
    dealers = invoke("audit", "report", "dealers-by-hidden-negative-equity", *PERIOD, "--format", "jsonl", "--db", url)
    assert "1500.00" in {row["hidden"] for row in read_lines(dealers.stdout)}


def test_a_cursor_leads_to_the_next_page(url: str) -> None:
    first = invoke("audit", "report", "reasons", "--limit", "2", "--format", "jsonl", "--db", url)
    cursor = first.stderr.split("--cursor ")[1].strip()
    second = invoke(
        "audit", "report", "reasons", "--limit", "100", "--cursor", cursor, "--format", "jsonl", "--db", url
    )
    whole = invoke("audit", "report", "reasons", "--limit", "100", "--format", "jsonl", "--db", url)
    assert len(read_lines(first.stdout)) == 2
    assert read_lines(first.stdout + second.stdout) == read_lines(whole.stdout)


def test_a_spreadsheet_takes_nothing_for_a_formula(database: Engine, database_url: str) -> None:
    with database.begin() as connection:
        History(connection).submit("=HYPERLINK(1)", dealer_id="@SUM(1)")
    told = invoke("audit", "report", "reasons", "--format", "csv", "--db", database_url)
    [line] = csv.DictReader(StringIO(told.stdout))
    assert (line["deal_id"], line["dealer_id"]) == ("'=HYPERLINK(1)", "'@SUM(1)")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("report", "what"), "no report is called 'what'"),
        (("report", "reasons", "--since", "yesterday"), "'yesterday' is no moment"),
        (("report", "reasons", "--format", "pdf"), "use table, jsonl or csv"),
        (("report", "near-limits", "--set", "width"), "write NAME=VALUE"),
        (("report", "findings", "--by", "weather"), "--by weather"),
        (("groups", "missing.csv", "--rate", "overrides"), "missing.csv: cannot be read"),
    ],
)
def test_bad_input_is_named(database_url: str, arguments: tuple[str, ...], words: str) -> None:
    result = invoke("audit", *arguments, "--db", database_url)
    assert result.exit_code == 2
    assert words in result.stderr


def test_groups_from_a_file(url: str, tmp_path: Path) -> None:
    file = tmp_path / "groups.csv"
    file.write_text("\ufeffdeal_id,group\nD-0,a\nD-1,a\nD-2,b\nD-3,b\n", encoding="utf-8")
    arguments = ("audit", "groups", file, "--rate", "exceptions", *PERIOD, "--db", url)
    rows = read_lines(invoke(*arguments, "--least", "1", "--format", "jsonl").stdout)
    assert [row["group"] for row in rows] == ["a", "b", None]
    assert rows[0]["rate"]["denominator"] == rows[0]["whole"]
    suppressed = invoke(*arguments, "--format", "jsonl")
    assert all(row["suppressed"] and row["rate"] is None for row in read_lines(suppressed.stdout))
    assert (
        "a suppressed number of deals; of the file, a suppressed number are not among them" in invoke(*arguments).stdout
    )
    shown = invoke(*arguments, "--least", "1")
    assert "reference: b" in shown.stdout
    assert f"{sum(row['deals'] for row in rows)} deals; of the file, " in shown.stdout
