"""The search for cures against a scan of every change, on small deals and policies of every shape."""

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dealgate import CompiledPolicy, Deal, Policy
from dealgate.rules.amounts import hundredths
from dealgate.rules.fields import facts_of
from dealgate.rules.levers import LEVERS
from tests.rules.exhaustive_cures import VALUES_SCANNED, is_cured, judged, least_changes

Document = dict[str, Any]
Strategy = st.SearchStrategy[Any]

AMOUNT: Strategy = st.integers(0, 400).map(lambda cents: f"${hundredths(cents)}")
SHARE: Strategy = st.integers(1, 200).map(lambda percent: f"{percent}%")
MONTHS: Strategy = st.integers(1, 60)

SHAPES = (
    # Turn once, either way
    "amount_financed <= {amount}",
    "amount_financed >= {amount}",
    "total_ltv <= {share}",
    "front_end_ltv < {share}",
    "rolled_in_negative_equity <= {amount}",
    "monthly_payment <= {amount}",
    "payment_to_income <= {share}",
    "debt_to_income <= {share}",
    "products_total <= {amount}",
    "term_months <= {months}",
    "cash_down <= {amount}",
    "cash_down >= {share} * cash_price",
    "amount_financed >= {amount} / {months}",
    # Turn more than once, or hold at one cent only
    "amount_financed != {amount}",
    "amount_financed == {amount}",
    "monthly_payment == {amount}",
    "not (amount_financed > {amount} and cash_down < {other})",
    "amount_financed <= {amount} or amount_financed >= {other}",
    "amount_financed <= by_amount",
    "total_ltv <= by_down",
    "term_months <= by_amount_months",
    "monthly_payment <= by_term",
    "term_months in [{months}, 12, 24]",
    "max(cash_down, {amount}) - min(cash_price, {other}) <= $0.50",
    "economic_negative_equity - contract_negative_equity <= {amount}",
    "monthly_payment / amount_financed <= {share}",
    "collateral_value * {share} >= amount_financed",
    # Count and choose among the items of lists
    "count(products) <= 1",
    "count(products, price > {amount}) != 1",
    'sum(products, price, kind == "gap") <= {amount}',
    "count(trade_ins, payoff > allowance) == 0",
    "sum(trade_ins, max($0, payoff - allowance)) <= {amount}",
    "missing(monthly_payment) or monthly_payment >= {amount}",
)


@st.composite
def demands(draw: st.DrawFn) -> str:
    shape: str = draw(st.sampled_from(SHAPES))
    return shape.format(amount=draw(AMOUNT), other=draw(AMOUNT), share=draw(SHARE), months=draw(MONTHS))


@st.composite
def rules(draw: st.DrawFn) -> list[Document]:
    found: list[Document] = []
    for number in range(draw(st.integers(1, 4))):
        rule: Document = {
            "id": f"R{number}",
            "title": "Rule",
            "otherwise": "refer",
            "reason": "Reason",
            "require": draw(demands()),
        }
        if draw(st.integers(0, 3)) == 0:
            rule["applies"] = draw(demands())
        if draw(st.integers(0, 3)) == 0:
            rule["mitigated_by"] = {"when": draw(demands()), "to": "flag"}
        found.append(rule)
    if draw(st.booleans()):
        ids = [rule["id"] for rule in found]
        layered = 'not (violated("{}") and violated("{}"))'.format(*(draw(st.sampled_from(ids)) for _ in range(2)))
        found.append({**found[0], "id": "LAYERED", "require": layered})
    return found


@st.composite
def tables(draw: st.DrawFn) -> Document:
    def table(unit: str, when: str, value: Strategy) -> Document:
        rows = [{"when": f"{when} {draw(AMOUNT)}", "limit": str(draw(value))} for _ in range(2)]
        return {"unit": unit, "rows": [*rows, {"limit": str(draw(value))}]}

    by_term = {"unit": "money", "rows": [{"when": "term_months > 24", "limit": draw(AMOUNT)}, {"limit": draw(AMOUNT)}]}
    return {
        "by_amount": table("money", "amount_financed >", AMOUNT),
        "by_down": table("percent", "cash_down <", SHARE),
        "by_amount_months": table("count", "amount_financed <=", MONTHS),
        "by_term": by_term,
    }


def money(most: int) -> Strategy:
    return st.integers(0, most).map(hundredths)


def sometimes(value: Strategy) -> Strategy:
    return st.one_of(value, st.none())


@st.composite
def small_deals(draw: st.DrawFn) -> Document:
    def trade() -> Document:
        return {"kind": "loan", "allowance": draw(money(150)), "acv": draw(money(150)), "payoff": draw(money(150))}

    value = {"basis": "msrp", "amount": draw(money(300))}
    document = {
        "deal_id": "D",
        "submitted_on": "2026-11-20",
        "cash_price": draw(money(300)),
        "vehicle": {"condition": "new", "values": [value] if draw(st.integers(0, 9)) else []},
        "term_months": draw(st.integers(1, 60)),
        "apr_percent": draw(sometimes(st.sampled_from(["0.00", "7.90", "99.00"]))),
        "cash_down": draw(money(100)),
        "products": [
            {"kind": draw(st.sampled_from(["gap", "other"])), "price": draw(money(60))}
            for _ in range(draw(st.integers(0, 3)))
        ],
        "trade_ins": [trade() for _ in range(draw(st.integers(0, 2)))],
        "monthly_payment": draw(st.one_of(st.none(), st.none(), money(300).filter(lambda payment: payment != "0.00"))),
        "applicant": {"monthly_income": draw(sometimes(money(300))), "monthly_debt": draw(money(100))},
    }
    return {name: value for name, value in document.items() if value is not None}


def compiled(rules: list[Document], limits: Document) -> CompiledPolicy:
    head = {"policy": "small", "version": "1", "title": "Small", "effective_from": "2026-01-01"}
    bases = {"collateral_value": {"new": ["msrp"], "used": ["msrp"]}}
    return CompiledPolicy(Policy.from_text(json.dumps({**head, **bases, "limits": limits, "rules": rules})))


@pytest.mark.parametrize("lever", LEVERS)
@given(rules=rules(), limits=tables(), document=small_deals())
@settings(max_examples=40)
def test_the_search_finds_what_a_scan_of_every_cent_finds(
    lever: str, rules: list[Document], limits: Document, document: Document
) -> None:
    policy, deal = compiled(rules, limits), Deal.read(document)
    evaluation = policy.evaluate(deal)
    assume(any(finding.result in {"violated", "mitigated"} for finding in evaluation.findings))
    cures, unfixable = evaluation.cures
    offered = [cure for cure in cures if cure.lever == lever]
    within = [cure.change for cure in offered if lever != "collateral_value" or cure.change < VALUES_SCANNED]
    assert within == least_changes(policy, document, lever)
    assert [found.lever for found in unfixable].count(lever) == (0 if offered else 1)
    assert all(found.proved for found in unfixable)


@given(rules=rules(), limits=tables(), document=small_deals())
@settings(max_examples=60)
def test_every_cure_offered_passes_on_the_changed_deal_and_says_what_it_clears(
    rules: list[Document], limits: Document, document: Document
) -> None:
    policy = compiled(rules, limits)
    evaluation = policy.evaluate(Deal.read(document))
    before = judged(policy, document).results
    for cure in evaluation.cures.offered:
        after = policy.evaluate(cure.deal)
        assert after.engine["agreed"]
        assert is_cured(before, policy.reference(facts_of(cure.deal)).results)
        assert cure.clears == tuple(rule for rule, result in before.items() if result in {"violated", "mitigated"})
        assert after.cures == ((), ())
        assert Deal.read(cure.deal.document()) == cure.deal
