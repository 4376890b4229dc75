"""The shipped measures against the identities of money and against the design's table, computed here a second time."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal, localcontext
from fractions import Fraction
from functools import cache
from math import floor
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings

from dealgate import CompiledPolicy, Deal, Policy, evaluate
from dealgate.rules.fields import facts_of
from dealgate.rules.payment import LONGEST_TERM, level_payment
from dealgate.rules.reading import shipped_measures
from tests.rules.random_deals import DEALS

Document = dict[str, Any]
Known = Fraction | None

LISTS = {"new": ["invoice", "msrp"], "used": ["jdpower_clean_trade", "kbb_trade_in"]}
TRIVIAL = json.dumps(
    {
        "policy": "trivial",
        "version": "1",
        "title": "Measures only",
        "effective_from": "2026-01-01",
        "collateral_value": LISTS,
        "rules": [{"id": "R", "title": "R", "require": "cash_price > $0", "otherwise": "flag", "reason": "R"}],
    }
)


@cache
def compiled() -> CompiledPolicy:
    return CompiledPolicy(Policy.from_text(TRIVIAL))


PROJECTED = {
    "break_even_month",
    "peak_shortfall",
    "deficiency_at_12_months",
    "deficiency_at_24_months",
    "projected_deficiency",
}
"""The measures of equity over time are held against other arithmetic in test_equity.py."""


def measured(document: Document) -> dict[str, Known]:
    """The measures as the gate computes them, exact: cents, ratios, counts, or None."""
    reckoning = compiled().evidence(facts_of(Deal.read(document)))
    return {
        name: None if value.numerator is None else Fraction(value.numerator, value.denominator)
        for name, value in reckoning.measures.items()
        if name not in PROJECTED
    }


# The design's table, in plain Python. Nothing below knows the policy language.


def cents(text: object) -> Known:
    return None if text is None else Fraction(str(text)) * 100


def total(*amounts: Known) -> Known:
    return None if None in amounts else sum((amount for amount in amounts if amount is not None), Fraction(0))


def less(amount: Known, *others: Known) -> Known:
    subtracted = total(*others)
    return None if amount is None or subtracted is None else amount - subtracted


def at_least_zero(amount: Known) -> Known:
    return None if amount is None else max(Fraction(0), amount)


def share(amount: Known, whole: Known) -> Known:
    return None if amount is None or whole is None or whole <= 0 else amount / whole


def half_up(amount: Fraction) -> Fraction:
    return Fraction(floor(amount + Fraction(1, 2)))


def payment(amount: Known, yearly_percent: Known, months: int) -> Known:
    """a r / (1 - (1 + r)^-n) with exact fractions; a / n at rate zero."""
    if amount is None or yearly_percent is None or amount <= 0:
        return None
    r = yearly_percent / 1200
    return half_up(amount / months if r == 0 else amount * r / (1 - (1 + r) ** -months))


def days(start: object, end: object) -> Known:
    if start is None or end is None:
        return None
    first, last = (datetime.strptime(str(day), "%Y-%m-%d") for day in (start, end))  # noqa: DTZ007  days have no zone
    return Fraction((last - first) // timedelta(days=1))


def at_funding(document: Document) -> tuple[Any, Any]:
    """Of the trades that owe: the most days past a good-through date, and what accrues by then."""
    most: Any = Fraction(0)
    accrued: Any = Fraction(0)
    for trade in document.get("trade_ins", []):
        payoff = Fraction(0) if trade["kind"] == "none" else cents(trade.get("payoff"))
        past: Any = days(trade.get("payoff_good_through"), document.get("expected_funding_on"))
        daily: Any = cents(trade.get("per_diem"))
        if payoff == 0:
            continue
        most = None if None in (most, payoff, past) else max(most, past)
        if past is None or past > 0:  # nothing accrues on a fresh quote, whatever else is unknown of it
            accrued = None if None in (accrued, payoff, past, daily) else accrued + daily * past
    return most, accrued


def by_the_table(document: Document) -> dict[str, Known]:
    part = {name: cents(document.get(name, "0")) for name in STRUCTURE}
    applicant, vehicle = document.get("applicant", {}), document["vehicle"]
    trades = document.get("trade_ins", [])
    allowances, acvs = ([cents(trade.get(name)) for trade in trades] for name in ("allowance", "acv"))
    payoffs = [Fraction(0) if trade["kind"] == "none" else cents(trade.get("payoff")) for trade in trades]
    values = {value["basis"]: cents(value["amount"]) for value in vehicle.get("values", [])}
    listed = [values[basis] for basis in LISTS[vehicle["condition"]] if basis in values]
    income, debt = cents(applicant.get("monthly_income")), cents(applicant.get("monthly_debt"))
    rate = document.get("apr_percent")

    products = total(*(cents(product["price"]) for product in document.get("products", [])))
    allowance, acv, payoff = total(*allowances), total(*acvs), total(*payoffs)
    contract, economic = at_least_zero(less(payoff, allowance)), at_least_zero(less(payoff, acv))
    rolled_in = at_least_zero(less(contract, part["cash_down"], part["rebate"]))
    costs = total(
        part["cash_price"], part["sales_tax"], part["title_and_registration"], part["doc_fee"], products, payoff
    )
    financed = less(costs, allowance, part["cash_down"], part["rebate"], part["prepaid_finance_charge"])
    front_end = less(financed, products)
    collateral = listed[0] if listed else None
    given = cents(document.get("monthly_payment"))
    monthly = (
        payment(financed, None if rate is None else Fraction(rate), document["term_months"]) if given is None else given
    )
    year = vehicle.get("model_year")
    submitted = document["submitted_on"]
    dated = [value.get("as_of") for value in vehicle.get("values", [])]
    ages = {value["basis"]: days(day, submitted) for value, day in zip(vehicle.get("values", []), dated, strict=True)}
    age = next((ages[basis] for basis in LISTS[vehicle["condition"]] if basis in values), None)
    past, accrued = at_funding(document)
    return {
        "products_total": products,
        "trade_allowance": allowance,
        "trade_acv": acv,
        "trade_payoff": payoff,
        "over_allowance": total(*(at_least_zero(less(a, v)) for a, v in zip(allowances, acvs, strict=True))),
        "contract_negative_equity": contract,
        "economic_negative_equity": economic,
        "hidden_negative_equity": at_least_zero(less(economic, contract)),
        "rolled_in_negative_equity": rolled_in,
        "amount_financed": financed,
        "front_end_amount": front_end,
        "collateral_value": collateral,
        "total_ltv": share(financed, collateral),
        "front_end_ltv": share(front_end, collateral),
        "negative_equity_to_value": share(rolled_in, collateral),
        "monthly_payment": monthly,
        "payment_to_income": share(monthly, income),
        "debt_to_income": share(total(debt, monthly), income),
        "days_past_good_through": past,
        "per_diem_past_good_through": accrued,
        "payoff_at_funding": total(payoff, accrued),
        "amount_financed_at_funding": total(financed, accrued),
        "negative_equity_at_funding": at_least_zero(less(total(payoff, accrued), allowance)),
        "book_value_age": None if age is None or age < 0 else age,
        "credit_report_age": days(applicant.get("credit_report_as_of"), submitted),
        "vehicle_age": None if year is None else Fraction(int(document["submitted_on"][:4]) - year),
    }


STRUCTURE = [
    "cash_price",
    "sales_tax",
    "title_and_registration",
    "doc_fee",
    "cash_down",
    "rebate",
    "prepaid_finance_charge",
]


@given(document=DEALS)
@settings(max_examples=250)
def test_every_shipped_measure_is_what_the_design_s_table_says(document: Document) -> None:
    found, expected = measured(document), by_the_table(document)
    assert found == expected


def test_the_table_here_knows_every_shipped_measure() -> None:
    least = {
        "deal_id": "D",
        "submitted_on": "2026-11-20",
        "vehicle": {"condition": "used"},
        "cash_price": "1",
        "term_months": 1,
    }
    assert set(by_the_table(least)) == set(shipped_measures()) - PROJECTED


@pytest.mark.parametrize("name", list(shipped_measures()))
def test_every_shipped_measure_says_what_it_means_and_where_it_is_from(name: str) -> None:
    measure = shipped_measures()[name]
    assert measure.title
    assert measure.meaning.endswith(".")
    assert measure.source
    assert "{numerator}" in measure.reading if measure.unit == "percent" else not measure.reading


# Identities


@given(document=DEALS)
@settings(max_examples=100)
def test_the_itemisation_adds_up(document: Document) -> None:
    found = measured(document)
    part = {name: cents(document.get(name, "0")) for name in STRUCTURE}
    costs = total(*(part[name] for name in STRUCTURE[:4]), found["products_total"], found["trade_payoff"])
    credits = total(*(part[name] for name in STRUCTURE[4:]), found["trade_allowance"])
    assert less(costs, credits) == found["amount_financed"]
    assert total(found["front_end_amount"], found["products_total"]) == found["amount_financed"]


@given(document=DEALS)
@settings(max_examples=100)
def test_contract_and_hidden_negative_equity_make_the_economic_one_unless_the_allowance_falls_short(
    document: Document,
) -> None:
    found = measured(document)
    contract, hidden = found["contract_negative_equity"], found["hidden_negative_equity"]
    economic, payoff = found["economic_negative_equity"], found["trade_payoff"]
    allowance, acv = found["trade_allowance"], found["trade_acv"]
    if contract is None or hidden is None or economic is None or payoff is None or allowance is None or acv is None:
        return
    assert contract + hidden == max(contract, economic)
    # An allowance below actual cash value shows more negative equity in the contract than there is in truth.
    assert (contract + hidden == economic) == (acv <= allowance or payoff <= allowance)


@given(document=DEALS)
@settings(max_examples=100)
def test_what_is_rolled_in_is_what_cash_and_rebate_leave_of_the_contract_s_negative_equity(document: Document) -> None:
    found = measured(document)
    contract, rolled_in = found["contract_negative_equity"], found["rolled_in_negative_equity"]
    assert (contract is None) == (rolled_in is None)
    if contract is not None and rolled_in is not None:
        down = total(cents(document.get("cash_down", "0")), cents(document.get("rebate", "0")))
        assert down is not None
        assert rolled_in == contract - min(contract, down)
        assert 0 <= rolled_in <= contract


@given(document=DEALS)
@settings(max_examples=100)
def test_over_allowance_covers_the_gap_of_the_totals(document: Document) -> None:
    found = measured(document)
    if found["over_allowance"] is not None:
        gap = less(found["trade_allowance"], found["trade_acv"])
        assert gap is not None
        assert found["over_allowance"] >= max(gap, Fraction(0))


@given(document=DEALS)
@settings(max_examples=100)
def test_a_measure_without_a_value_names_what_is_missing_and_only_then(document: Document) -> None:
    for name, measure in evaluate(document, compiled()).document()["measures"].items():
        assert (measure["value"] is None) == bool(measure.get("missing")), name


# A policy's own measures


@pytest.mark.parametrize(
    ("formula", "price", "shown"),
    [
        ("cash_price / 2", "0.01", "0.01"),
        ("cash_price / 3", "100.00", "33.33"),
        ("cash_price * 2 / 3", "100.00", "66.67"),
        ("$0 - cash_price / 2", "0.01", "0.00"),
        ("$0 - cash_price / 2", "0.03", "-0.01"),
        ("cash_price * 12.5%", "0.04", "0.01"),
        ("cash_price * 12.4999%", "0.04", "0.00"),
    ],
)
def test_an_amount_of_money_is_whole_cents_halves_up(
    formula: str, price: str, shown: str, write_policy: Callable[..., str], small_deal: Callable[..., Deal]
) -> None:
    measures = {"own": {"unit": "money", "formula": formula}}
    policy = Policy.from_text(write_policy("own < $1", measures=measures))
    assert evaluate(small_deal(cash_price=price), policy).document()["measures"]["own"]["value"] == shown


def test_a_policy_may_redefine_a_measure_and_everything_resting_on_it_follows(
    write_policy: Callable[..., str], small_deal: Callable[..., Deal]
) -> None:
    formula = "max($0, contract_negative_equity - cash_down)"
    policy = Policy.from_text(
        write_policy("total_ltv > 0%", measures={"rolled_in_negative_equity": {"unit": "money", "formula": formula}})
    )
    trade = {"kind": "loan", "allowance": "1000.00", "payoff": "2000.00"}
    measures = evaluate(small_deal(trade_ins=[trade], cash_down="100", rebate="300"), policy).document()["measures"]
    assert measures["rolled_in_negative_equity"]["value"] == "900.00"
    assert measures["negative_equity_to_value"]["value"] == "9.00"
    assert measures["negative_equity_to_value"]["numerator"] == "900.00"


# The level payment


def test_the_level_payment_is_the_cent_that_fifty_digits_give() -> None:
    random = Random(20_261_120)
    with localcontext(prec=50):
        loans = [(random.randrange(0, 40_0000), random.randrange(1, 121)) for _ in range(400)] + [
            (1, 600),
            (999_9999, 600),
        ]
        for rate, months in loans:
            r = Decimal(rate) / 12_000_000 if rate else None
            factor = r / (1 - (1 + r) ** -months) if r else Decimal(1) / months
            for _ in range(250):
                amount = random.choice((random.randrange(1, 100_000_00), random.randrange(1, 10_000_000_00)))
                wanted = (amount * factor + Decimal("0.5")).to_integral_value(ROUND_FLOOR)
                found = level_payment(amount, 1, rate, 1_000_000, months)
                assert found == wanted, (amount, rate, months)


@pytest.mark.parametrize(
    ("amount", "rate", "months", "cents"),
    [
        (1_00, (0, 1), 3, 33),
        (1, (0, 1), 2, 1),  # half a cent
        (3, (0, 1), 2, 2),  # one and a half
        (50, (12, 100), 1, 51),  # 50.5 cents: one month at 12 %
        (5, (6, 1), 2, 5),  # 4.5 cents: two months at 600 %
        (4_99, (12, 100), 1, 5_04),  # 503.99 cents
        (37_769_69, (79_000, 1_000_000), 72, 660_38),  # the deal of the design page
        (1, (0, 1), 600, 0),
    ],
)
def test_half_a_cent_is_rounded_up(amount: int, rate: tuple[int, int], months: int, cents: int) -> None:
    assert level_payment(amount, 1, *rate, months) == cents
    assert payment(Fraction(amount), Fraction(*rate) * 100, months) == cents


@pytest.mark.parametrize(
    ("amount", "rate", "months"), [(0, 5, 72), (-1, 5, 72), (100, -1, 72), (100, 5, 0), (100, 5, LONGEST_TERM + 1)]
)
def test_there_is_no_payment_without_an_amount_a_rate_and_a_term(amount: int, rate: int, months: int) -> None:
    assert level_payment(amount, 1, rate, 100, months) is None


def test_an_amount_with_a_fraction_of_a_cent_is_not_rounded_before_its_payment() -> None:
    assert level_payment(1, 2, 0, 1, 1) == 1
    assert level_payment(49, 100, 0, 1, 1) == 0
