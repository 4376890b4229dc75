"""Sources that are broken as files: nothing of them is read as something else, and what is wrong is told with what to do."""

import csv
import json
import os
import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import Engine

from dealgate import Gate
from dealgate.adapters.policies import load_policy
from dealgate.adapters.portfolio import databases, sources
from dealgate.adapters.portfolio.book import SourceError
from dealgate.adapters.portfolio.engines import open_engine
from dealgate.adapters.portfolio.evaluating import evaluate_book
from dealgate.adapters.portfolio.rejects import Rejects
from dealgate.adapters.portfolio.running import fingerprint
from dealgate.adapters.portfolio.sources import Reading, Source, read_source
from dealgate.models import stored_deals
from dealgate.rules.columns import ColumnsError
from tests.adapters.commands import invoke
from tests.booked import quiet, random_deals

POLICY = load_policy("prime-auto").policy
HEADER = "deal_id,submitted_on,condition,term_months,cash_price,cash_down"
GOOD = "A,2026-11-20,used,60,15000.00,1000"
CENTS: dict[str, Any] = {
    "deal_id": "A",
    "submitted_on": date(2026, 11, 20),
    "cash_price_cents": 1_500_000,
    "condition": "used",
    "term_months": 60,
}


def read(source: object, folder: Path) -> tuple[Reading, list[dict[str, str]]]:
    """The book of a source, and what was rejected."""
    told = folder / "rejects.csv"
    with Rejects(told) as rejects:
        reading = read_source(Source(str(source)), folder / "book", rejects, lambda rows: None)
    if not told.exists():
        return reading, []
    with told.open(encoding="utf-8", newline="") as file:
        return reading, list(csv.DictReader(file))


def test_a_file_ends_its_rows_with_lines(tmp_path: Path) -> None:
    (tmp_path / "book.csv").write_text(f"{HEADER}\r\n{GOOD}\r\n", encoding="utf-8-sig", newline="")
    assert read(tmp_path / "book.csv", tmp_path)[0].book.rows == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEADER}\n{GOOD}\nB,2026-11-20,used,60,15000.00\n", "line 3: 5 cells, and the header has 6 columns"),
        (f"{HEADER}\n{GOOD}\nB,2026-11-20,used,60,15,000.00,0\n", "line 3: 7 cells, and the header has 6 columns"),
        (f'{HEADER}\n"{GOOD}\n{GOOD}\n', "not CSV: .*Close quotes"),
        (f"{HEADER}\n{GOOD}\n".replace("A,", "é,"), "not UTF-8, it has the byte 0xe9"),
        (f"{HEADER}\n{GOOD}\n".replace("\n", "\r"), "no deal in the source"),
        (f"{HEADER}\n", "no deal in the source"),
        ("", "no deal in the source"),
    ],
)
def test_a_csv_that_is_not_whole_is_not_read(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "book.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(SourceError, match=message):
        read(tmp_path / "book.csv", tmp_path)


@pytest.mark.parametrize("name", ["book.jsonl", "book.parquet"])
def test_a_source_without_deals_is_told(name: str, tmp_path: Path) -> None:
    if name.endswith("parquet"):
        pl.DataFrame([CENTS]).clear().write_parquet(tmp_path / name)
    else:
        (tmp_path / name).touch()
    with pytest.raises(SourceError, match="no deal in the source"):
        read(tmp_path / name, tmp_path)


def test_a_file_that_is_no_parquet_is_told(tmp_path: Path) -> None:
    (tmp_path / "book.parquet").write_text("deal_id", encoding="utf-8")
    with pytest.raises(SourceError, match="not a Parquet file"):
        read(tmp_path / "book.parquet", tmp_path)


@pytest.mark.parametrize("amount", ["15000.٧٥", "١٥٠٠٠.75", "15000.7٥"])
def test_digits_of_other_scripts_are_no_amount(amount: str, tmp_path: Path) -> None:
    rows = f"{HEADER}\n{GOOD}\n{GOOD.replace('15000.00', amount)}\n"
    (tmp_path / "book.csv").write_text(rows, encoding="utf-8")
    reading, told = read(tmp_path / "book.csv", tmp_path)
    assert (reading.book.rows, [(one["row"], one["column"]) for one in told]) == (1, [("2", "cash_price")])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"cash_price_cents": 1_500_000.75}, "'cash_price_cents': binary floats are not exact"),
        ({"cash_price_cents": None}, "'cash_price': missing"),
    ],
)
def test_each_file_of_a_folder_is_held_to_the_layout(other: dict[str, Any], message: str, tmp_path: Path) -> None:
    row = {name: value for name, value in (CENTS | other).items() if value is not None}
    folder = tmp_path / "folder"
    folder.mkdir()
    pl.DataFrame([row]).write_parquet(folder / "0.parquet")
    pl.DataFrame([CENTS | {"deal_id": "B"}]).write_parquet(folder / "1.parquet")
    with pytest.raises(SourceError, match=message):
        read(folder, tmp_path)


@pytest.mark.parametrize(
    ("part", "lacking"),
    [
        ({"product_1_kind": "gap"}, "product_1_price"),
        ({"product_1_price_cents": 89_500}, "product_1_kind"),
        ({"trade_in_1_payoff_cents": 1_900_000}, "trade_in_1_kind"),
    ],
)
def test_a_part_of_an_item_whose_other_column_is_not_there_is_rejected(
    part: dict[str, Any], lacking: str, tmp_path: Path
) -> None:
    pl.DataFrame([CENTS | part]).write_parquet(tmp_path / "book.parquet")
    reading, told = read(tmp_path / "book.parquet", tmp_path)
    assert (reading.rejected, [one["column"] for one in told]) == (1, [lacking])


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_name_of_a_file_is_no_pattern(engine: str, suffix: str, tmp_path: Path) -> None:
    """Mail programs call a second copy of book.csv book[1].csv; as a pattern, that is book1.csv."""
    for name, deal_id in (("book[1]", "RIGHT"), ("book1", "WRONG")):
        if suffix == "csv":
            text = f"{HEADER}\n{GOOD.replace('A,', f'{deal_id},')}\n"
            (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
        else:
            pl.DataFrame([CENTS | {"deal_id": deal_id}]).write_parquet(tmp_path / f"{name}.parquet")
    out = tmp_path / "out[1].parquet"
    evaluate_book(Source(str(tmp_path / f"book[1].{suffix}")), POLICY, open_engine(engine), engine, out, quiet)
    assert pl.scan_parquet(out, glob=False).collect()["deal_id"].to_list() == ["RIGHT"]


def test_duckdb_takes_no_two_bases_that_differ_in_capital_letters_only(tmp_path: Path) -> None:
    """It would read one of the columns under the other's name."""
    bases = {"value_MSRP_cents": 9_900_000, "value_msrp_cents": 1_000_000}
    pl.DataFrame([CENTS | bases]).write_parquet(tmp_path / "book.parquet")
    source, out = Source(str(tmp_path / "book.parquet")), tmp_path / "out.parquet"
    evaluate_book(source, POLICY, open_engine("polars"), "polars", out, quiet)
    out.unlink()
    with pytest.raises(ColumnsError, match="'value_MSRP_cents' and 'value_msrp_cents': DuckDB does not tell"):
        evaluate_book(source, POLICY, open_engine("duckdb"), "duckdb", out, quiet)


def test_a_float_is_no_word(tmp_path: Path) -> None:
    rows = [CENTS | {"dealer_id": 42.0}, CENTS | {"dealer_id": float("nan")}, CENTS | {"dealer_id": None}]
    pl.DataFrame(rows).write_parquet(tmp_path / "book.parquet")
    reading, told = read(tmp_path / "book.parquet", tmp_path)
    assert (reading.book.rows, [(one["row"], one["column"]) for one in told]) == (
        1,
        [("1", "dealer_id"), ("2", "dealer_id")],
    )


def test_bytes_are_no_words(tmp_path: Path) -> None:
    pl.DataFrame([CENTS | {"deal_id": b"\xff"}]).write_parquet(tmp_path / "book.parquet")
    with pytest.raises(SourceError, match="'deal_id': holds Binary"):
        read(tmp_path / "book.parquet", tmp_path)


def table_of(path: Path, rows: list[tuple[object, ...]]) -> Source:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE d (deal_id, submitted_on, cash_price, condition, term_months, cash_down)")
        connection.executemany("INSERT INTO d VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.close()
    return Source(f"sqlite:///{path}", "SELECT * FROM d")


def test_a_column_of_sqlite_that_begins_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its driver takes an empty column for whole numbers, and then finds a text in it."""
    bare = ("A", "2026-11-20", "15000.00", "used", 60)
    source = table_of(tmp_path / "d.db", [(*bare, None)] * 2000 + [(*bare, "1000.50")])
    with Rejects(tmp_path / "rejects.csv") as rejects:
        book = read_source(source, tmp_path / "book", rejects, lambda rows: None).book
        assert pl.read_parquet(list(book.files))["cash_down_cents"].sum() == 100_050
        monkeypatch.setattr(databases, "ROWS_AT_ONCE", 100)
        with pytest.raises(SourceError, match=r"expected INT64 but got STRING.* Give a --query"):
            read_source(source, tmp_path / "other", rejects, lambda rows: None)


def test_stored_deals_are_read_as_of_one_moment_and_nobody_waits_for_it(
    database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is submitted again while they are read would stand in the book twice."""
    gate, document = Gate(database, POLICY), next(iter(random_deals(3, 1))).document()
    for deal_id in ("A", "B"):
        gate.submit(document | {"deal_id": deal_id})
    seen = list[str]()

    def reading(given: Iterator[tuple[int, str]], *_: object) -> Iterator[tuple[Path, int]]:
        for _number, text in given:
            if not seen:
                gate.submit(document | {"deal_id": "A", "cash_price": "12345.67"})
            seen.append(json.loads(text)["deal_id"])
            yield tmp_path / "none", 0

    monkeypatch.setattr(stored_deals, "AT_ONCE", 1)
    monkeypatch.setattr(sources, "read_documents", reading)
    with pytest.raises(SourceError):
        read(database.url.render_as_string(hide_password=False), tmp_path)
    assert seen == ["A", "B"]


def test_a_stopped_run_over_standard_input_is_not_taken_up_with_another() -> None:
    """What comes next on standard input may be another book."""
    assert fingerprint(Source("-"), [POLICY], "polars") != fingerprint(Source("-"), [POLICY], "polars")
    assert fingerprint(Source(os.devnull), [POLICY], "polars") == fingerprint(Source(os.devnull), [POLICY], "polars")


@pytest.mark.parametrize(
    "command",
    [
        ("sweep", "--limit", "max_total_ltv", "--from", "100%", "--to", "100%", "--step", "1%"),
        ("stress", "--values", "-10", "--payoffs", "5"),
    ],
)
def test_sweep_and_stress_tell_of_rejected_rows(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pl.DataFrame([CENTS, CENTS | {"term_months": 0}]).write_parquet("book.parquet")
    found = invoke("portfolio", command[0], "book.parquet", *command[1:], "--report", "page.html")
    assert "1 rows rejected, each with its reason in page.rejects.csv" in found.stderr
    assert "1 rows of the source were rejected" in Path("page.html").read_text(encoding="utf-8")
    assert Path("page.rejects.csv").exists()
