"""The structure and the equity curve as they are read back from the documents of a deal and its decision."""

from typing import Any

import pytest
from hypothesis import given, settings

from dealgate import CompiledPolicy, Policy
from dealgate.rules.amounts import dollars, hundredths
from dealgate.rules.equity_curve import EquityCurve, equity_curve
from dealgate.rules.structure import LtvLimit, Step, Structure, Unknown, structure_of
from tests.decided import NO_VALUE, Documents, decided, decided_sample, owing
from tests.models.samples import POLICY, a_deal, a_policy
from tests.rules.random_deals import DEALS

SAMPLE = CompiledPolicy(a_policy())


def structure(documents: Documents) -> Structure:
    found = structure_of(*documents)
    assert isinstance(found, Structure)
    return found


def curve(documents: Documents) -> EquityCurve:
    found = equity_curve(*documents)
    assert isinstance(found, EquityCurve)
    return found


def unknown(found: object) -> str:
    assert isinstance(found, Unknown)
    return found.sentence


@given(DEALS)
@settings(max_examples=100)
def test_the_steps_sum_to_the_amount_financed_exactly_or_it_is_unknown(document: dict[str, Any]) -> None:
    documents = decided(document, SAMPLE)
    measure = documents[1]["measures"]["amount_financed"]
    found = structure_of(*documents)
    if measure["value"] is None:
        assert isinstance(found, Unknown)
        assert found.missing == tuple(measure["missing"])
        return
    assert isinstance(found, Structure)
    assert hundredths(sum(step.amount for step in found.steps)) == measure["value"]
    assert all(step.amount for step in found.steps)
    assert "Other, by the policy" not in [step.label for step in found.steps]


@given(DEALS)
@settings(max_examples=100)
def test_the_curve_says_what_the_decision_measured(document: dict[str, Any]) -> None:
    documents = decided(document, SAMPLE)
    measures = documents[1]["measures"]
    found = equity_curve(*documents)
    if isinstance(found, Unknown):
        assert measures["break_even_month"]["value"] is None
        assert found.sentence.endswith(".")
        return
    projection = found.projection
    assert projection.break_even_month == measures["break_even_month"]["value"]
    assert hundredths(projection.peak_shortfall) == measures["peak_shortfall"]["value"]
    assert hundredths(projection.deficiency(12)) == measures["deficiency_at_12_months"]["value"]
    under = [month for first, last in found.underwater for month in range(first, last + 1)]
    assert under == [
        m for m, pair in enumerate(zip(projection.balances, projection.values, strict=True)) if pair[0] > pair[1]
    ]


def test_every_part_of_a_deal_is_a_step_and_what_is_zero_is_left_out() -> None:
    assert structure(decided_sample()).steps == (
        Step("Cash price", 2999500),
        Step("Sales tax", 187469),
        Step("Title and fees", 60500),
        Step("Products", 329500),
        Step("Negative equity", 349999),
        Step("Cash down", -140000),
        Step("Rebate", -10000),
        Step("Prepaid finance charge", -1),
    )
    bare = {"sales_tax": "0.00", "products": [], "trade_ins": [], "cash_down": "0.00"}
    labels = [step.label for step in structure(decided_sample(**bare)).steps]
    assert labels == ["Cash price", "Title and fees", "Rebate", "Prepaid finance charge"]


def test_a_trade_worth_more_than_is_owed_is_a_credit() -> None:
    assert Step("Trade-in equity", -900000) in structure(decided_sample(trade_ins=owing("6000.00", "15000.00"))).steps


def test_what_a_policy_counts_in_its_own_way_is_a_step_of_its_own() -> None:
    own = 'measures:\n  amount_financed: {unit: money, formula: "cash_price + $99.99"}\nrules:'
    policy = CompiledPolicy(Policy.from_text(POLICY.replace("rules:", own, 1), "own.yaml"))
    found = structure(decided(a_deal(), policy))
    assert found.amount_financed == 3009499 == sum(step.amount for step in found.steps)
    assert found.steps[-1].label == "Other, by the policy"


def test_the_limit_is_the_tightest_that_applies_in_exact_cents() -> None:
    assert structure(decided_sample()).limit == LtvLimit("UPSIDE-DOWN", "115.00", 3105000)
    without_trade = structure(decided_sample(trade_ins=[]))
    assert without_trade.limit == LtvLimit("LTV-TOTAL", "125.00", 3375000)
    assert without_trade.sentences[1].endswith(f"{dollars(without_trade.amount_financed - 3375000)} over.")


@pytest.mark.parametrize(("down", "said"), [("5419.67", "$0.00 to spare"), ("5419.66", "$0.01 over")])
def test_a_cent_decides_between_to_spare_and_over(down: str, said: str) -> None:
    found = structure(decided(a_deal(cash_down=down), SAMPLE))
    assert found.limit == LtvLimit("LTV-TOTAL", "125.00", 3375000)
    assert said in found.sentences[1]


def test_a_rule_that_asks_for_at_least_so_much_is_no_limit() -> None:
    rule = "rules:\n  - {id: FLOOR, title: F, require: total_ltv >= 20%, otherwise: flag, reason: Too little asked}\n"
    policy = CompiledPolicy(Policy.from_text(POLICY.replace("rules:\n", rule, 1), "floor.yaml"))
    limit = structure(decided(a_deal(), policy)).limit
    assert limit is not None
    assert limit.rule == "LTV-TOTAL"


def test_a_policys_own_total_ltv_has_no_limit_beside_these_amounts() -> None:
    own = 'measures:\n  total_ltv: {unit: percent, formula: "front_end_amount / collateral_value"}\nrules:'
    policy = CompiledPolicy(Policy.from_text(POLICY.replace("rules:", own, 1), "own.yaml"))
    found = structure(decided(a_deal(), policy))
    assert found.limit is None
    assert found.sentences[0].endswith(f"; total LTV, by the policy's own formula, {found.total_ltv} %.")
    assert found.sentences[1] == (
        "Limits on total LTV are held against the policy's own formula, not against these amounts."
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"apr_percent": None}, "There is no equity curve: apr_percent is unknown."),
        ({"vehicle": NO_VALUE}, "There is no equity curve, for the collateral value is not known: vehicle.values["),
        (
            {"trade_ins": [{"kind": "loan", "payoff": "1.00"}]},
            "for the amount financed is not known: trade_ins[0].allow",
        ),
        ({"cash_down": "60000.00"}, "There is no equity curve: nothing is financed."),
        ({"vehicle__values": [{"basis": "jdpower_clean_trade", "amount": "0.00"}]}, "the collateral is worth nothing."),
    ],
)
def test_what_leaves_no_curve_is_said_in_words(changes: dict[str, Any], said: str) -> None:
    assert said in unknown(equity_curve(*decided_sample(**changes)))


def test_a_decision_from_before_there_was_a_projection_has_no_curve() -> None:
    deal, decision = decided_sample()
    del decision["equity"]
    assert unknown(equity_curve(deal, decision)) == "There is no equity curve: the decision carries no assumptions."


def test_a_deal_that_is_above_water_at_first_and_then_sinks_says_both() -> None:
    sinking = decided_sample(cash_down="13500.00", trade_ins=[], term_months=120, apr_percent="14.00")
    assert "Above water at the deal, then underwater from month 22 to month 91" in curve(sinking).sentences[0]


def test_the_assumptions_are_named() -> None:
    equity = 'equity: {curve: edmunds_midsize_2014, wholesale_factor: 92.5%, disposal_cost: "$450"}\nrules:'
    policy = CompiledPolicy(Policy.from_text(POLICY.replace("rules:", equity, 1), "equity.yaml"))
    found = curve(decided(a_deal(), policy))
    assert "Edmunds True Cost to Own 2014" in found.assumptions
    assert (
        "79, 69, 61, 53, 46 % of the value is left after years 1 to 5, then falling as in the last" in found.assumptions
    )
    assert "a lender's sale brings 92.5 % of the value, less $450.00 of disposal cost" in found.assumptions
    assert "72 level monthly payments at 7.9025 % a year" in found.assumptions
