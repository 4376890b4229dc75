"""Every engine gives for every deal of a book, column by column, what submitting the deal gives."""

import csv
import json
from pathlib import Path

import polars as pl
import pytest

from dealgate import Deal, Policy
from dealgate.adapters.mappings import MappedDeal, load_mapping
from dealgate.adapters.policies import load_policy
from dealgate.adapters.portfolio.engines import Engine
from dealgate.adapters.portfolio.flat import checked_layout
from dealgate.adapters.portfolio.rows import read_row, row_of
from dealgate.rules.amounts import MAX_CENTS
from dealgate.rules.column_layout import layout_of
from dealgate.rules.columns import compile_columns
from tests.booked import SinglePath, assert_same, judged, random_deals
from tests.fuzzing.random_policies import Author
from tests.rules.test_staleness import dated_deals
from tests.shared import shared_file

REAL_LOANS = 7_572
EXAMPLES = Path(__file__).parents[3] / "examples"


def test_the_worked_cases(engine: Engine, tmp_path: Path) -> None:
    cases = json.loads(shared_file("cases", "cases.json").read_text(encoding="utf-8"))
    policy = Policy.from_text(shared_file("cases", "policy.yaml").read_text(encoding="utf-8"))
    assert_same(engine, policy, [Deal.read(case["deal"]) for case in cases], tmp_path)
    assert pl.read_parquet(tmp_path / "out.parquet").height == len(cases), "not every reader takes the result"


def test_the_worked_cases_are_what_was_worked_out(polars: Engine, tmp_path: Path) -> None:
    cases = json.loads(shared_file("cases", "cases.json").read_text(encoding="utf-8"))
    source = tmp_path / "cases.jsonl"
    source.write_text("".join(json.dumps(case["deal"]) + "\n" for case in cases), encoding="utf-8")
    policy = Policy.from_text(shared_file("cases", "policy.yaml").read_text(encoding="utf-8"))
    rows = judged(polars, policy, source, tmp_path / "out.parquet")
    for case in cases:
        row, expect = rows[case["deal"]["deal_id"]], case["expect"]
        assert row["outcome"] == expect["outcome"], case["name"]
        assert {rule: row[rule] for rule in expect["results"]} == expect["results"], case["name"]


@pytest.fixture(scope="module")
def real_loans() -> list[Deal]:
    with shared_file("data", "world_omni_2020.csv").open(encoding="utf-8", newline="") as file:
        loans = list(load_mapping("absee").read_rows(csv.DictReader(file)))
    assert len(loans) == REAL_LOANS
    return [loan.deal for loan in loans if isinstance(loan, MappedDeal)]


def test_all_real_loans(engine: Engine, real_loans: list[Deal], tmp_path: Path) -> None:
    source = shared_file("data", "world_omni_2020.csv")
    policy = load_policy(str(EXAMPLES / "real_loans" / "policy.yaml")).policy
    rows = judged(engine, policy, source, tmp_path / "out.parquet")
    assert len(rows) == REAL_LOANS
    single = SinglePath(policy)
    for deal in real_loans:
        assert single.differences(deal, rows[deal.deal_id]) == [], deal.document()


def test_generated_deals_with_unknowns_and_boundary_amounts(engine: Engine, tmp_path: Path) -> None:
    deals = [*random_deals(5, 1_200), *dated_deals()]
    assert_same(engine, load_policy("prime-auto").policy, deals, tmp_path)


@pytest.mark.parametrize("name", ["subprime-auto", "recreational"])
def test_generated_deals_under_the_other_shipped_policies(polars: Engine, name: str, tmp_path: Path) -> None:
    assert_same(polars, load_policy(name).policy, list(random_deals(6, 1_500)), tmp_path)


@pytest.mark.parametrize("seed", range(12))
def test_random_policies_on_random_deals(polars: Engine, seed: int, tmp_path: Path) -> None:
    policy = Policy.from_text(Author(seed).policy(12))
    assert_same(polars, policy, list(random_deals(seed, 150)), tmp_path)


def test_amounts_beyond_what_is_proved_are_judged_deal_by_deal(engine: Engine, tmp_path: Path) -> None:
    """This policy compares ratios of ratios: in the columns it is proved for smaller amounts than a deal may state."""
    policy, deals = Policy.from_text(Author(16).policy(12)), list(random_deals(16, 300))
    layout = layout_of({column: None for deal in deals for column in row_of(deal)})
    assert 0 < compile_columns(policy, layout).largest_amount < MAX_CENTS
    assert_same(engine, policy, deals, tmp_path)


def test_a_sample_of_a_synthetic_book(polars: Engine, book: Path, tmp_path: Path) -> None:
    policy = load_policy("prime-auto").policy
    rows = judged(polars, policy, book, tmp_path / "out.parquet")
    single, table = SinglePath(policy), pl.read_parquet(book)
    layout = checked_layout(table.schema)
    assert len(rows) == table.height
    for row in table.to_dicts()[::10]:
        deal = read_row(row, layout)
        assert single.differences(deal, rows[deal.deal_id]) == []
