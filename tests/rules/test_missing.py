"""What is missing: a rule that cannot be judged names the fields to supply, and no others."""

from collections.abc import Callable
from typing import Any

import pytest

from dealgate import Deal, Policy, evaluate

Document = dict[str, Any]
Write = Callable[..., str]
Build = Callable[..., Deal]

TRADE = {"kind": "loan", "allowance": "1000.00", "acv": "600.00", "payoff": "3000.00"}
LEASE, LOAN, FIRST = {"kind": "lease"}, {"kind": "loan"}, "trade_ins[0]"
WORTHLESS = {"basis": "kbb_trade_in", "amount": "0"}
NO_INCOME = {"monthly_income": "0"}
TIERED = {"most": {"unit": "money", "rows": [{"when": "tier == 'A'", "limit": "$5"}, {"limit": "$1"}]}}


def findings(write_policy: Write, deal: Deal, *rules: Document | str) -> list[Document]:
    text = write_policy(*rules, limits=TIERED)
    found: list[Document] = evaluate(deal, Policy.from_text(text)).document()["findings"]
    return found


@pytest.mark.parametrize(
    ("require", "deal", "missing"),
    [
        ("tier == 'A'", {}, ["applicant.tier"]),
        ("total_ltv <= 95%", {"vehicle": {"condition": "used"}}, ["vehicle.values[jdpower_clean_trade | kbb_trade_in]"]),
        ("book_value('msrp') > $5", {}, ["vehicle.values[msrp]"]),
        ("trade_acv > $5", {"trade_ins": [{"kind": "loan", "allowance": "1.00"}]}, ["trade_ins[0].acv"]),
        ("economic_negative_equity > $5", {"trade_ins": [TRADE, LEASE]}, ["trade_ins[1].payoff", "trade_ins[1].acv"]),
        ("monthly_debt < monthly_income", {}, ["applicant.monthly_debt", "applicant.monthly_income"]),
        ("payment_to_income < 5%", {"apr_percent": "5"}, ["applicant.monthly_income"]),
        ("monthly_payment < $5", {}, ["apr_percent"]),
        ("monthly_payment < $5", {"apr_percent": "5", "cash_down": "20000"}, ["amount_financed (above zero)"]),
        ("cash_price / cash_down < 5%", {}, ["cash_down (above zero)"]),
        ("total_ltv <= 95%", {"vehicle": {"condition": "used", "values": [WORTHLESS]}}, ["collateral_value (above zero)"]),
        ("payment_to_income < 5%", {"monthly_payment": "1", "applicant": NO_INCOME}, ["applicant.monthly_income (above zero)"]),
        ("vehicle_age < 5", {}, ["vehicle.model_year"]),
        ("cash_price < most", {}, ["applicant.tier"]),
        ("not (state == 'TX' and first_time_buyer)", {}, ["state", "applicant.first_time_buyer"]),
        ("state == 'TX' and first_time_buyer", {"state": "TX"}, ["applicant.first_time_buyer"]),
        ("sum(trade_ins, payoff, kind == 'loan') < $5", {"trade_ins": [LEASE, LOAN]}, ["trade_ins[1].payoff"]),
        ("sum(trade_ins, allowance, mileage > 5) < $5", {"trade_ins": [TRADE]}, ["vehicle.mileage"]),
        ("count(trade_ins, allowance / acv > 5%) < 5", {"trade_ins": [{**TRADE, "acv": "0"}]}, ["trade_ins[0].acv (above zero)"]),
        ("count(trade_ins, allowance > trade_acv + acv) < 5", {"trade_ins": [LEASE]}, [f"{FIRST}.allowance", f"{FIRST}.acv"]),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_judged_names_the_fields_to_supply(
    require: str, deal: Document, missing: list[str], write_policy: Write, small_deal: Build
) -> None:
    [finding] = findings(write_policy, small_deal(**deal), require)
    assert (finding["result"], finding["missing"], finding["reason"]) == (
        "not_evaluable",
        missing,
        "Credit application incomplete",
    )
    are, them = ("are", "them") if len(missing) > 1 else ("is", "it")
    assert finding["explanation"] == (
        f"Cannot be judged: {' and '.join(missing)} {are} unknown. Supply {them} and submit the deal again."
    )
    assert {"margin", "excess"}.isdisjoint(finding)


def test_what_the_policy_itself_leaves_open_is_not_asked_of_the_deal(write_policy: Write, small_deal: Build) -> None:
    cap = {"unit": "money", "on_no_hit": "unknown", "rows": [{"when": "term_months <= 60", "limit": "$9,000"}]}
    policy = Policy.from_text(write_policy("cash_price <= cap", limits={"cap": cap}))
    [finding] = evaluate(small_deal(), policy).document()["findings"]
    assert finding["explanation"] == (
        "Cannot be judged: cap (no row holds) is unknown. The policy's table does not say which limit the deal has; a person decides."
    )


def test_an_unknown_condition_names_its_own_fields_only(write_policy: Write, small_deal: Build) -> None:
    [finding] = findings(write_policy, small_deal(), {"require": "credit_score > 5", "applies": "tier == 'A'"})
    assert finding["missing"] == ["applicant.tier"]


def test_a_layered_rule_names_what_the_rules_below_it_miss(write_policy: Write, small_deal: Build) -> None:
    found = findings(write_policy, small_deal(), "tier == 'A'", "not violated('R0')")
    assert [finding["missing"] for finding in found] == [["applicant.tier"], ["applicant.tier"]]


def test_the_decision_lists_every_missing_field_once(write_policy: Write, small_deal: Build) -> None:
    text = write_policy("tier == 'A'", "tier == 'B' and state == 'TX'", "not violated('R0')")
    assert evaluate(small_deal(), Policy.from_text(text)).document()["unknown"] == ["applicant.tier", "state"]
