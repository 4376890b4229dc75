"""Policies compiled to columns: what is refused and how, and every hit policy against the reference."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from dealgate import Deal, Policy
from dealgate.adapters.portfolio.engines import open_engine
from dealgate.adapters.portfolio.judging import output_columns
from dealgate.rules.amounts import MAX_CENTS
from dealgate.rules.column_layout import Layout, layout_of
from dealgate.rules.columns import ColumnsError, compile_columns
from tests.booked import assert_same, random_deals

WritePolicy = Callable[..., str]
LAYOUT = Layout(("invoice", "jdpower_clean_trade"), 2, 2)


def test_the_shipped_policies_are_proved_for_every_amount_a_deal_may_state() -> None:
    from dealgate.adapters.policies import load_policy  # noqa: PLC0415

    for name in ("prime-auto", "subprime-auto", "recreational"):
        plan = compile_columns(load_policy(name).policy, Layout(("invoice",), 100, 100))
        assert plan.largest_amount == MAX_CENTS, name
        assert plan.unproved is None


def test_a_policy_whose_numbers_outgrow_a_column_is_refused_by_name(write_policy: WritePolicy) -> None:
    large = {"unit": "percent", "formula": "total_ltv * total_ltv * total_ltv * total_ltv * total_ltv"}
    policy = Policy.from_text(write_policy("fifth <= 100%", measures={"fifth": large}))
    with pytest.raises(ColumnsError, match="fifth: a number in it may outgrow what a column holds"):
        compile_columns(policy, LAYOUT)


def test_a_measure_that_only_small_amounts_prove_leaves_the_other_rows_to_the_single_deal(
    write_policy: WritePolicy,
) -> None:
    square = {"unit": "percent", "formula": "total_ltv * total_ltv"}
    plan = compile_columns(Policy.from_text(write_policy("square <= 200%", measures={"square": square})), LAYOUT)
    assert plan.largest_amount < MAX_CENTS
    assert plan.unproved is not None


def test_two_columns_of_one_name_are_refused(write_policy: WritePolicy) -> None:
    rule = {"id": "AMOUNT_FINANCED", "require": "amount_financed <= $5,000"}
    plan = compile_columns(Policy.from_text(write_policy(rule)), LAYOUT)
    with pytest.raises(ColumnsError, match="AMOUNT_FINANCED: the result would have two columns"):
        output_columns(plan)


def test_a_layout_is_read_from_names_in_cents_or_in_dollars() -> None:
    names = ["value_msrp_cents", "value_house value", "product_2_price", "trade_in_3_payoff_cents", "product_x_price"]
    assert layout_of(names) == Layout(("msrp", "house value"), 2, 3)


ROWS = [
    {"when": 'tier == "A"', "limit": "$100"},
    {"when": "credit_score >= 700", "limit": "$200"},
    {"when": 'state == "TX"', "limit": "cash_price * 1%"},
]
HIT_POLICIES: list[dict[str, Any]] = [
    {"hit_policy": "first"},
    {"hit_policy": "unique"},
    {"hit_policy": "any"},
    {"hit_policy": "collect", "aggregate": "sum"},
    {"hit_policy": "collect", "aggregate": "min"},
    {"hit_policy": "collect", "aggregate": "max"},
]


def every_deal() -> list[Deal]:
    """Each condition true, false and unknown, in every combination; the last row's limit above, at and below the others."""
    deals = []
    choices = product(("A", "B", None), (690, 700, None), ("TX", "CA", None), ("10000.00", "20000.00", "0.50"))
    for number, (tier, score, state, price) in enumerate(choices):
        applicant = {name: value for name, value in (("tier", tier), ("credit_score", score)) if value is not None}
        document = {
            "deal_id": f"D-{number}",
            "submitted_on": "2026-11-20",
            "vehicle": {"condition": "used"},
            "cash_price": price,
            "term_months": 72,
            "cash_down": "150.00",
            "applicant": applicant,
        }
        deals.append(Deal.read(document if state is None else document | {"state": state}))
    return deals


@pytest.mark.parametrize("hit", HIT_POLICIES, ids=lambda hit: hit.get("aggregate", hit["hit_policy"]))
@pytest.mark.parametrize("default", ["$50", None])
def test_every_hit_policy_by_every_combination_of_truths(
    hit: dict[str, Any], default: str | None, write_policy: WritePolicy, tmp_path: Path
) -> None:
    rows = ROWS if default is None or hit["hit_policy"] != "first" else [*ROWS, {"limit": default}]
    table = {"unit": "money", "rows": rows, **hit}
    if default is None:
        table["on_no_hit"] = "unknown"
    elif hit["hit_policy"] != "first":
        table["default"] = default
    rules = ("cash_down <= cap", "cap + cash_down >= $200", "cap == $100", "cap > $150")
    policy = Policy.from_text(write_policy(*rules, limits={"cap": table}))
    assert_same(open_engine("polars"), policy, every_deal(), tmp_path)


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_counts_layers_mitigation_and_lists(engine: str, write_policy: WritePolicy, tmp_path: Path) -> None:
    rules = [
        {"id": "COUNT", "require": "hits <= 1", "mitigated_by": {"when": "credit_score >= 700", "to": "flag"}},
        {
            "id": "LIST",
            "require": 'sum(trade_ins, payoff - acv, kind == "loan") <= $500',
            "applies": "count(trade_ins) > 0",
        },
        {"id": "RATIO", "require": "max(total_ltv, payment_to_income) <= 120% or missing(total_ltv)"},
        {"id": "LAYER", "require": 'not (violated("COUNT") and violated("LIST"))', "otherwise": "decline"},
        {"id": "TOP", "require": 'not violated("LAYER") or violated("RATIO")', "otherwise": "flag"},
        {"id": "MEMBER", "require": "term_months in [36, 72] and first_time_buyer"},
        {"id": "WHOLE", "require": "break_even(amount_financed, apr_percent, term_months, collateral_value) < 40"},
        {
            "id": "LATER",
            "require": "deficiency_after(term_months - 40, amount_financed, apr_percent, term_months, collateral_value) < $100",
        },
    ]
    table = {
        "unit": "count",
        "hit_policy": "collect",
        "aggregate": "count",
        "rows": [{"when": row["when"], "limit": "1"} for row in ROWS],
    }
    policy = Policy.from_text(write_policy(*rules, limits={"hits": table}))
    assert_same(open_engine(engine), policy, [*every_deal(), *random_deals(3, 300)], tmp_path)


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_a_measure_is_not_taken_for_what_another_is_divided_by(
    engine: str, write_policy: WritePolicy, tmp_path: Path
) -> None:
    own = {
        "share": {"unit": "percent", "formula": "cash_price / collateral_value"},
        "share_per": {"unit": "percent", "formula": "cash_down / cash_price"},
        "total_ltv_per": {"unit": "money", "formula": "cash_price - cash_down"},
        "self": {"unit": "money", "formula": "cash_price + cash_down"},
    }
    rules = ("share <= 100%", "share_per <= 10%", "total_ltv <= 100%", "total_ltv_per <= $9,000")
    policy = Policy.from_text(write_policy(*rules, measures=own))
    assert_same(open_engine(engine), policy, list(random_deals(7, 300)), tmp_path)


def test_bases_that_differ_in_case_only_are_refused_by_an_engine_that_takes_them_for_one(
    write_policy: WritePolicy, small_deal: Callable[..., Deal], tmp_path: Path
) -> None:
    """DuckDB gave a deal that states MSRP the value of another column, or none."""
    policy = Policy.from_text(write_policy('book_value("msrp") >= $2', 'book_value("MSRP") >= $2'))
    values = [{"basis": "msrp", "amount": "1.00"}, {"basis": "MSRP", "amount": "3.00"}]
    lists = (values, values[:1], values[1:])
    deals = [
        small_deal(deal_id=f"D-{number}", vehicle={"condition": "new", "values": stated})
        for number, stated in enumerate(lists)
    ]
    assert_same(open_engine("polars"), policy, deals, tmp_path)
    with pytest.raises(ColumnsError, match=r"columns 'value_\w+' and 'value_\w+': DuckDB does not tell"):
        assert_same(open_engine("duckdb"), policy, deals, tmp_path)


def test_a_rule_without_measures_and_a_policy_of_one_rule(write_policy: WritePolicy, tmp_path: Path) -> None:
    policy = Policy.from_text(json.dumps(json.loads(write_policy("term_months <= 72"))))
    assert_same(open_engine("polars"), policy, list(random_deals(9, 50)), tmp_path)
