"""Whatever a book comes from, its deals are judged alike; what cannot be read is rejected with its reason, counted, never dropped."""

import csv
import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import text

from dealgate import Deal, Gate
from dealgate.adapters.policies import load_policy
from dealgate.adapters.portfolio.book import SourceError
from dealgate.adapters.portfolio.engines import Engine
from dealgate.adapters.portfolio.evaluating import Evaluated, evaluate_book
from dealgate.adapters.portfolio.rows import document_of, row_of
from dealgate.adapters.portfolio.sources import Source
from dealgate.rules.column_layout import CENTS, layout_of
from tests.booked import quiet, random_deals

POLICY = load_policy("prime-auto").policy
DEALS = list(random_deals(21, 60))
LAYOUT = layout_of({name: None for deal in DEALS for name in row_of(deal)})


def evaluated(polars: Engine, source: Source, folder: Path) -> tuple[Evaluated, dict[str, dict[str, Any]]]:
    out = folder / "out.parquet"
    found = evaluate_book(source, POLICY, polars, "polars", out, quiet)
    rows = pl.read_parquet(out).to_dicts()
    out.unlink()
    return found, {row.pop("deal_id"): row for row in rows}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    from dealgate.adapters.portfolio.engines import open_engine  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("expected")
    source = folder / "deals.jsonl"
    source.write_text("".join(json.dumps(deal.document()) + "\n" for deal in DEALS), encoding="utf-8")
    found, rows = evaluated(open_engine("polars"), Source(str(source)), folder)
    assert (found.deals, found.rejected) == (len(DEALS), 0)
    return rows


def stated_rows() -> list[dict[str, Any]]:
    """The deals as a table in dollars, as somebody would write it: amounts as texts, what is unknown left empty."""
    found = []
    for deal in DEALS:
        row: dict[str, Any] = {}
        for column in LAYOUT.columns:
            value = row_of(deal).get(column.name)
            if value is not None:
                row[column.stated] = shown(column.name, value)
        found.append(row)
    return found


def shown(name: str, value: Any) -> str:
    if name.endswith(CENTS):
        return str(Decimal(value) / 100)
    if name == "apr_ten_thousandths":
        return str(Decimal(value) / 10_000)
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else str(value)


def write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_csv_in_dollars(polars: Engine, expected: dict[str, Any], tmp_path: Path) -> None:
    source = write_csv(tmp_path / "book.csv", stated_rows())
    assert evaluated(polars, Source(str(source)), tmp_path)[1] == expected


def test_csv_in_cents(polars: Engine, expected: dict[str, Any], tmp_path: Path) -> None:
    rows = [{**row_of(deal), "submitted_on": deal.submitted_on.isoformat()} for deal in DEALS]
    texts = [
        {name: str(value).lower() if isinstance(value, bool) else value for name, value in row.items()} for row in rows
    ]
    assert evaluated(polars, Source(str(write_csv(tmp_path / "book.csv", texts))), tmp_path)[1] == expected
    texts[2] |= {"cash_price_cents": "12.50"}
    found, judged = evaluated(polars, Source(str(write_csv(tmp_path / "bad.csv", texts))), tmp_path)
    assert (found.rejected, len(judged)) == (1, len(DEALS) - 1), "cents are not read as dollars"
    (told,) = read_rejects(found.rejects_file)
    assert (told["row"], told["column"], told["value"]) == ("3", "cash_price", "'12.50 in whole cents'")


def test_parquet_in_decimals_and_in_cents(polars: Engine, expected: dict[str, Any], tmp_path: Path) -> None:
    table = pl.DataFrame(stated_rows(), infer_schema_length=None)
    decimals = table.with_columns(pl.col("cash_price", "cash_down", "rebate", "doc_fee").cast(pl.Decimal(12, 2)))
    decimals.write_parquet(tmp_path / "dollars.parquet")
    assert evaluated(polars, Source(str(tmp_path / "dollars.parquet")), tmp_path)[1] == expected
    folder = tmp_path / "cents"
    folder.mkdir()
    rows = [row_of(deal) for deal in DEALS]
    for number, part in enumerate((rows[:30], rows[30:])):
        pl.DataFrame(part, infer_schema_length=None).write_parquet(folder / f"part-{number}.parquet")
    found = pl.read_parquet(folder / "part-0.parquet")
    assert found["cash_price_cents"].dtype == pl.Int64
    assert evaluated_folder(polars, folder, tmp_path) == expected


def evaluated_folder(polars: Engine, folder: Path, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """A book of two files is judged in two parts, and the result is a folder of two files."""
    out = tmp_path / "parts.parquet"
    evaluate_book(Source(str(folder)), POLICY, polars, "polars", out, quiet)
    assert len(list(out.glob("*.parquet"))) == 2
    rows = [row for file in sorted(out.glob("*.parquet")) for row in pl.read_parquet(file).to_dicts()]
    return {row.pop("deal_id"): row for row in rows}


def test_a_table_of_sqlite(polars: Engine, expected: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "lending.db"
    names = [column.stated for column in LAYOUT.columns]
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE deals ({', '.join(f'{json.dumps(name)} TEXT' for name in names)})")
        marks = ", ".join("?" * len(names))
        connection.executemany(
            f"INSERT INTO deals VALUES ({marks})", [[row.get(name) for name in names] for row in stated_rows()]
        )
    connection.close()
    source = Source(f"sqlite:///{path}", 'SELECT * FROM "deals"')
    assert evaluated(polars, source, tmp_path)[1] == expected


def test_a_query_of_a_database_and_the_deals_stored_there(polars: Engine, database: Database, tmp_path: Path) -> None:
    gate = Gate(database, "prime-auto")
    documents = [deal.document() for deal in DEALS[:12]]
    worked = documents[0] | {"cash_price": "12345.67"}
    with database.begin() as connection:
        for document in (*documents, worked):
            gate.submit(Deal.read(document), session=connection)
        connection.execute(text("CREATE TABLE book AS SELECT deal_id, state FROM dealgate_submission WHERE 1 = 0"))
    url = database.url.render_as_string(hide_password=False)
    found, rows = evaluated(polars, Source(url), tmp_path)
    assert found.deals == 12, "a deal is judged as it was last submitted"
    single = pl.DataFrame([row_of(Deal.read(worked))], infer_schema_length=None)
    single.write_parquet(tmp_path / "worked.parquet")
    assert (
        rows[worked["deal_id"]]
        == evaluated(polars, Source(str(tmp_path / "worked.parquet")), tmp_path)[1][worked["deal_id"]]
    )
    query = "SELECT 'Q-1' AS deal_id, '2026-11-20' AS submitted_on, '15000.00' AS cash_price, 'used' AS condition, 72 AS term_months"
    assert evaluated(polars, Source(url, query), tmp_path)[1].keys() == {"Q-1"}
    with pytest.raises(SourceError, match="the database refuses the query"):
        evaluated(polars, Source(url, "SELECT * FROM nowhere"), tmp_path / "other")


def test_a_database_without_deals_says_so(polars: Engine, empty_database: Database, tmp_path: Path) -> None:
    with empty_database.begin() as connection:
        connection.execute(text("CREATE TABLE bookmark (name TEXT)"))
    url = empty_database.url.render_as_string(hide_password=False)
    with pytest.raises(SourceError, match="no deals stored by dealgate"):
        evaluated(polars, Source(url), tmp_path)


EXHIBIT = """<?xml version="1.0" encoding="UTF-8"?>
<assetData xmlns="http://www.sec.gov/edgar/document/absee/autoloan/assetdata">
 <assets><assetTypeNumber>LOAN</assetTypeNumber><assetNumber>0001083199-01</assetNumber><originationDate>08/2019</originationDate>
  <originalLoanAmount>29019.59</originalLoanAmount><originalLoanTerm>76</originalLoanTerm>
  <originalInterestRatePercentage>0.0687</originalInterestRatePercentage><vehicleNewUsedCode>2</vehicleNewUsedCode>
  <vehicleModelYear>2017</vehicleModelYear><vehicleValueAmount>29295</vehicleValueAmount><vehicleValueSourceCode>98</vehicleValueSourceCode>
  <obligorCreditScore>735</obligorCreditScore><paymentToIncomePercentage>0.137</paymentToIncomePercentage>
  <obligorGeographicLocation>VT</obligorGeographicLocation>
  <reportingPeriodScheduledPaymentAmount>477.01</reportingPeriodScheduledPaymentAmount></assets>
 <assets><assetNumber>0001083199-02</assetNumber><originationDate>08/2019</originationDate>
  <originalLoanAmount>-5.00</originalLoanAmount><originalLoanTerm>seventy</originalLoanTerm>
  <originalInterestRatePercentage>0.05</originalInterestRatePercentage><vehicleNewUsedCode>9</vehicleNewUsedCode>
  <vehicleValueAmount>29295</vehicleValueAmount></assets>
</assetData>
"""


def test_an_ex_102_exhibit(polars: Engine, tmp_path: Path) -> None:
    source = tmp_path / "exhibit.xml"
    source.write_text(EXHIBIT, encoding="utf-8")
    found, rows = evaluated(polars, Source(str(source)), tmp_path)
    assert list(rows) == ["0001083199-01/1"]
    assert rows["0001083199-01/1"]["amount_financed"] == 2_901_959
    assert rows["0001083199-01/1"]["monthly_payment"] == 47_701
    told = read_rejects(found.rejects_file)
    assert {(line["row"], line["column"]) for line in told} == {
        ("2", "vehicle.condition"),
        ("2", "cash_price"),
        ("2", "term_months"),
    }


def read_rejects(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


BROKEN = {
    "cash_price": "12,000.00",
    "term_months": "0",
    "condition": "old",
    "submitted_on": "2026-02-30",
    "credit_score": "1200",
    "state": "Texas",
    "trade_in_1_payoff": "1.005",
    "first_time_buyer": "maybe",
    "deal_id": "",
    "apr_percent": "-1",
    "expected_funding_on": "2010-01-01",
    "credit_report_as_of": "2039-12-31",
    "trade_in_1_payoff_good_through": "2026-11-31",
    "value_invoice_as_of": "11/18/2026",
    "monthly_payment": "0.00",
    "model_year": "2099",
    "product_1_kind": "GAP",
}


@pytest.mark.parametrize("column", BROKEN)
def test_a_bad_row_is_rejected_by_row_and_column_and_the_others_are_judged(
    polars: Engine, expected: dict[str, Any], column: str, tmp_path: Path
) -> None:
    rows = stated_rows()
    at = next(number for number, row in enumerate(rows) if column in row and row.get("trade_in_1_kind") != "none")
    lost = rows[at]["deal_id"]
    rows[at] = rows[at] | {column: BROKEN[column]}
    found, judged = evaluated(polars, Source(str(write_csv(tmp_path / "book.csv", rows))), tmp_path)
    assert (found.deals, found.rejected) == (len(DEALS) - 1, 1)
    assert judged == {deal: row for deal, row in expected.items() if deal != lost}
    (told,) = read_rejects(found.rejects_file)
    assert (told["row"], told["column"]) == (str(at + 1), column)
    assert told["problem"]
    assert told["remedy"]


def test_bad_rows_of_a_book_in_cents_are_left_out_and_told(polars: Engine, tmp_path: Path) -> None:
    rows = [row_of(deal) for deal in DEALS]
    rows[3] = rows[3] | {"cash_price_cents": -1}
    rows[7] = rows[7] | {"mileage": 10_000_001}
    rows[9] = rows[9] | {"monthly_payment_cents": 0, "model_year": 2099}
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(tmp_path / "book.parquet")
    found, judged = evaluated(polars, Source(str(tmp_path / "book.parquet")), tmp_path)
    assert found.rejected == 3
    assert judged.keys() == {deal.deal_id for number, deal in enumerate(DEALS) if number not in {3, 7, 9}}
    assert [(line["row"], line["column"]) for line in read_rejects(found.rejects_file)] == [
        ("4", "cash_price"),
        ("8", "mileage"),
        ("10", "model_year"),
        ("10", "monthly_payment"),
    ]


def test_a_line_that_is_no_deal_is_rejected(polars: Engine, tmp_path: Path) -> None:
    good = json.dumps(DEALS[0].document())
    source = tmp_path / "deals.jsonl"
    source.write_text(f"{good}\n{{broken\n{json.dumps({'deal_id': 'X'})}\n", encoding="utf-8")
    found, judged = evaluated(polars, Source(str(source)), tmp_path)
    assert (len(judged), found.rejected) == (1, 2)
    assert {line["row"] for line in read_rejects(found.rejects_file)} == {"2", "3"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cash_prise": "1.00"}, "column 'cash_prise': unknown. Did you mean 'cash_price'"),
        ({"cash_price_cents": 5}, "stands there in cents too"),
        ({"cash_price": 1.5}, "binary floats are not exact"),
        ({"deal_id": None}, "column 'deal_id': missing"),
    ],
)
def test_columns_that_cannot_be_read_stop_the_run(
    polars: Engine, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    row = {name: value for name, value in (stated_rows()[0] | change).items() if value is not None}
    pl.DataFrame([row]).write_parquet(tmp_path / "book.parquet")
    with pytest.raises(SourceError, match=message):
        evaluated(polars, Source(str(tmp_path / "book.parquet")), tmp_path)


def test_a_row_is_the_document_it_was_made_of() -> None:
    for deal in DEALS:
        again = Deal.read(document_of(row_of(deal), LAYOUT))
        assert row_of(again) == row_of(deal)


def test_a_database_that_is_not_there_is_not_made_and_anothers_is_left_as_it_is(polars: Engine, tmp_path: Path) -> None:
    missing, other = tmp_path / "missing.db", tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE bookmark (name TEXT)")
    before = other.read_bytes()
    for file, words in ((missing, f"there is no database at {missing}"), (other, "no deals stored by dealgate")):
        with pytest.raises(SourceError, match=words):
            evaluated(polars, Source(f"sqlite:///{file}"), tmp_path / file.stem)
    assert not missing.exists()
    assert other.read_bytes() == before
    with pytest.raises(ValueError, match="a database in memory keeps nothing"):
        evaluated(polars, Source("sqlite://"), tmp_path / "memory")
