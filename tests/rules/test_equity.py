"""Equity over time, held against a published table, a library's arithmetic, other roots and real loans."""

import csv
import json
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any

import numpy_financial as npf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dealgate import CompiledPolicy, Deal, Evaluation, Policy, PolicyError
from dealgate.rules.amounts import half_up
from dealgate.rules.equity import SHARE_SCALE, Equity, Projection, monthly_shares, project
from dealgate.rules.expressions import Number
from dealgate.rules.fields import Unit
from dealgate.rules.payment import level_payment
from dealgate.rules.reading import read_equity, shipped_curves
from tests.shared import shared_file

KBB = shipped_curves()["kbb_calculator"]
PLAIN = Equity(KBB, Number(Unit.PERCENT, 1), Number(Unit.MONEY, 0))

POLICY = """
policy: equity
version: "1"
title: Equity
effective_from: 2026-01-01
collateral_value: {new: [invoice], used: [invoice]}
%s
rules:
  - {id: EARLY, title: Above water early, require: break_even_month <= 36, otherwise: flag, reason: Value of collateral}
  - {id: LOSS, title: Little to lose, require: projected_deficiency <= $5000, otherwise: flag, reason: Value of collateral}
"""


def loan(amount: int, term: int, value: int = 4_000_000, rate: int = 7, equity: Equity = PLAIN) -> Projection:
    projection = project(equity, amount, rate, 100, term, value)
    assert projection
    return projection


def evaluated(deal: dict[str, Any], equity: str = "") -> Evaluation:
    return CompiledPolicy(Policy.from_text(POLICY % equity)).evaluate(Deal.read(deal))


def a_deal(**changes: Any) -> dict[str, Any]:
    return {
        "deal_id": "D-1",
        "submitted_on": "2026-11-20",
        "vehicle": {"condition": "new", "values": [{"basis": "invoice", "amount": "40000.00"}]},
        "cash_price": "48000.00",
        "term_months": 72,
        "apr_percent": "7.00",
        **changes,
    }


# Published figures


@pytest.mark.parametrize(
    ("ltv", "months"), [(110, (23, 36, 51)), (120, (30, 42, 56)), (130, (34, 46, 59)), (140, (37, 49, 62))]
)
def test_the_break_even_table_is_reproduced_month_for_month(ltv: int, months: tuple[int, ...]) -> None:
    """KBB's curve, 7 %, a value of $40,000, no haircut, 60, 72 and 84 months: shared/domain.md, section 6."""
    assert tuple(loan(40_000 * ltv, term).break_even_month for term in (60, 72, 84)) == months


def test_the_worked_deficiency_is_reproduced() -> None:
    """120 %, 72 months, month 12: payment 818.35, balance 41,328; 25,600 of net proceeds leave 15,728."""
    assert level_payment(4_800_000, 1, 7, 100, 72) == 81_835
    assert half_up(loan(4_800_000, 72).balances[12], 100) == 41_328
    to_64_percent = Equity(KBB, Number(Unit.PERCENT, 64, 84), Number(Unit.MONEY, 0))
    assert half_up(loan(4_800_000, 72, equity=to_64_percent).deficiency(12), 100) == 15_728


def test_nineteen_thousand_owed_on_a_value_of_15_500_is_3_500_underwater() -> None:
    assert loan(1_900_000, 1, value=1_550_000).peak_shortfall == 350_000


# Against a library


def test_ten_thousand_loans_amortise_as_numpy_financial_says() -> None:
    """Month by month, one period of the library's own arithmetic from our balance before: interest rounded half up to the
    cent, the payment rounded half up to the cent, the last payment whatever is left. A float that lies within a millionth of
    half a cent may fall on either side."""
    random = Random(20261122)
    for _ in range(10_000):
        amount, months = random.randint(50_000, 15_000_000), random.randint(1, 96)
        rate = random.randint(1, 290_000)  # millionths a year: 0.0001 % to 29 %
        projection = project(PLAIN, amount, rate, 1_000_000, months, amount)
        payment = level_payment(amount, 1, rate, 1_000_000, months)
        assert projection
        assert payment is not None
        assert abs(-npf.pmt(rate / 12e6, months, amount) - payment) <= 0.5 + 1e-6
        assert len(projection.balances) == months + 1
        assert projection.balances[-1] == 0
        for before, after in pairwise(projection.balances[:-1]):
            assert abs(before * (1 + rate / 12e6) - payment - after) <= 0.5 + 1e-6
        # Rounding, added up over the term, stays within half a cent a month of the library's closed form.
        middle = months // 2
        drift = abs(-npf.fv(rate / 12e6, middle, -payment, amount) - projection.balances[middle])
        assert drift <= 0.5 * middle * (1 + rate / 12e6) ** middle + 1e-3


@given(amount=st.integers(1, 10**9), rate=st.integers(0, 400_000), months=st.integers(1, 120))
def test_a_schedule_pays_the_loan_and_its_interest_to_the_cent(amount: int, rate: int, months: int) -> None:
    projection, payment = (
        project(PLAIN, amount, rate, 1_000_000, months, amount),
        level_payment(amount, 1, rate, 1_000_000, months),
    )
    assert projection
    assert payment is not None
    balances = projection.balances
    interest = [half_up(balance * rate, 12_000_000) for balance in balances[:-1]]
    last = balances[-2] + interest[-1]
    paid = [before + charged - after for before, charged, after in zip(balances, interest, balances[1:], strict=False)]
    assert sum(paid) == amount + sum(interest)
    assert all(part == payment for part, left in zip(paid[:-1], balances[1:-1], strict=True) if left)
    assert paid[-1] == last
    assert all(after <= before for before, after in pairwise(balances)) or payment == 0 or rate > 0


# The curve


@pytest.mark.parametrize("name", list(shipped_curves()))
def test_a_year_s_end_is_exactly_the_table_s_share(name: str) -> None:
    curve = shipped_curves()[name]
    shares = monthly_shares(curve.retained, 5)
    wanted = [Fraction(1), *(Fraction(share.numerator, share.denominator) for share in curve.retained)]
    assert [Fraction(share, SHARE_SCALE) for share in shares[::12]] == wanted
    assert curve.title
    assert curve.source


def test_between_the_years_every_month_loses_the_same_part() -> None:
    shares = monthly_shares(KBB.retained, 8)
    for year in range(8):
        parts = [after / before for before, after in pairwise(shares[12 * year : 12 * year + 13])]
        assert max(parts) - min(parts) < 1e-8
    assert shares[72] / shares[60] == pytest.approx(45 / 52)  # past the table: as in its last year
    assert all(after < before for before, after in pairwise(shares))


# Readings


@given(
    amount=st.integers(1, 10**8), value=st.integers(1, 10**8), rate=st.integers(0, 300_000), months=st.integers(1, 96)
)
def test_the_break_even_month_is_the_first_above_water(amount: int, value: int, rate: int, months: int) -> None:
    projection = project(PLAIN, amount, rate, 1_000_000, months, value)
    assert projection
    month = projection.break_even_month
    under = [balance > worth for balance, worth in zip(projection.balances, projection.values, strict=True)]
    assert not under[month]
    assert all(under[:month])
    assert projection.peak_shortfall >= max(0, amount - value)
    assert (projection.peak_shortfall > 0) == any(under)


def test_a_deficiency_counts_the_haircut_and_the_cost_and_ends_with_the_loan() -> None:
    lender = Equity(KBB, Number(Unit.PERCENT, 80, 100), Number(Unit.MONEY, 100_000))
    plain, held = loan(4_800_000, 72), loan(4_800_000, 72, equity=lender)
    assert held.break_even_month == plain.break_even_month
    assert held.peak_shortfall == plain.peak_shortfall
    assert held.deficiency(12) == plain.balances[12] + 100_000 - half_up(plain.values[12] * 4, 5)
    assert plain.deficiency(12) == plain.balances[12] - plain.values[12]
    assert [held.deficiency(month) for month in (72, 73, 5000)] == [0, 0, 0]
    assert loan(100_000, 72, equity=lender).deficiency(12) == 0


# In the language


def test_the_measures_stand_in_the_decision_with_what_they_assume() -> None:
    document = evaluated(a_deal(), "equity: {wholesale_factor: 80%, disposal_cost: $1000}").document()
    measures = {name: measure["value"] for name, measure in document["measures"].items()}
    assert measures["break_even_month"] == 42
    assert measures["peak_shortfall"] == "8086.13"
    assert measures["deficiency_at_12_months"] == measures["projected_deficiency"] == "15448.45"
    assert document["equity"]["curve"]["name"] == "kbb_calculator"
    assert document["equity"]["curve"]["retained"] == ["84%", "72%", "61%", "52%", "45%"]
    assert document["equity"]["wholesale_factor"] == "80%"
    assert document["equity"]["disposal_cost"] == "$1,000"
    assert [finding["result"] for finding in document["findings"]] == ["violated", "violated"]
    assert document["findings"][0]["explanation"] == ("First month above water is 42; the policy allows 36. 6 over.")


def test_what_is_assumed_can_be_read_back_from_a_decision() -> None:
    policy = Policy.from_text(POLICY % "equity: {curve: edmunds_midsize_2014, disposal_cost: $12.34}")
    written = json.loads(json.dumps(policy.content["equity"]))
    assert read_equity(written) == policy.equity
    assert Policy.from_text(policy.canonical).equity == policy.equity


def test_a_policy_brings_a_curve_of_its_own() -> None:
    own = "equity: {curve: {title: Ours, source: committee of May, retained: [90%, 80%]}}"
    assert evaluated(a_deal(), own).exact_measures["break_even_month"].numerator == 31
    assert evaluated(a_deal()).exact_measures["break_even_month"].numerator == 42


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"apr_percent": None}, ["apr_percent"]),
        ({"vehicle": {"condition": "new"}}, ["vehicle.values[invoice]"]),
        (
            {"vehicle": {"condition": "new", "values": [{"basis": "invoice", "amount": "0.00"}]}},
            ["collateral_value (above zero)"],
        ),
        ({"cash_price": "0.00"}, ["amount_financed (above zero)"]),
    ],
)
def test_without_a_rate_a_value_or_a_loan_nothing_is_projected(changes: dict[str, Any], missing: list[str]) -> None:
    evaluation = evaluated(a_deal(**changes))
    assert evaluation.outcome == "refer"
    for name in ("break_even_month", "peak_shortfall", "projected_deficiency"):
        assert evaluation.measures[name]["value"] is None
        assert evaluation.measures[name]["missing"] == missing
    assert {finding.result for finding in evaluation.findings} == {"not_evaluable"}
    assert evaluation.findings[0].missing == tuple(missing)


@pytest.mark.parametrize(
    ("equity", "place", "message"),
    [
        ("equity: {curve: kbb}", "7:17", "a shipped curve cannot be 'kbb'"),
        ("equity: {wholesale_factor: 0%}", "7:28", "wholesale_factor is above 0% and at most 100%"),
        ("equity: {wholesale_factor: 101%}", "7:28", "wholesale_factor is above 0% and at most 100%"),
        ("equity: {disposal_cost: 5}", "7:25", "this is a count, where a money is needed"),
        ("equity: {disposal_cost: -$5}", "7:25", "disposal_cost is not below $0"),
        ("equity: {wholesale_factor: apr_percent}", "7:28", "a plain number is needed here"),
        ("equity: {curve: {title: T, source: S, retained: [80%, 90%]}}", "7:55", "not above the year before it"),
        ("equity: {curve: {title: T, source: S, retained: [0%]}}", "7:50", "a retained share is above 0%"),
        ("equity: {curve: {title: T, source: S, retained: [101%]}}", "7:50", "not above the year before it"),
        ("equity: {curve: {title: T, source: S, retained: []}}", "7:49", "a share for each of 1 to 30 years"),
        ("equity: {curve: {title: T, retained: [80%]}}", "7:17", "source"),
        ("equity: {haircut: 5%}", "7:10", "haircut"),
        ("equity: 5", "7:9", "equity"),
    ],
)
def test_a_mistake_in_the_assumptions_is_told_with_its_place(equity: str, place: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_text(POLICY % equity)
    told = [
        f"{problem.place.line}:{problem.place.column} {problem.message} {problem.suggestion}"
        for problem in caught.value.problems
    ]
    assert any(line.startswith(place) and message in line for line in told), told


@pytest.mark.parametrize("month", ["0", "-1", "5000"])
def test_a_deficiency_after_a_strange_month_is_zero_or_unknown(month: str) -> None:
    require = f"deficiency_after({month}, cash_price, apr_percent, term_months, collateral_value) <= $0"
    rule = f"rules:\n  - {{id: R, title: T, require: '{require}', otherwise: flag, reason: R}}"
    text = POLICY[: POLICY.index("rules:")] % "" + rule
    [finding] = CompiledPolicy(Policy.from_text(text)).evaluate(Deal.read(a_deal())).findings
    assert finding.result == {"0": "violated", "-1": "not_evaluable", "5000": "pass"}[month]


# Real loans


def test_a_vehicle_of_which_nothing_is_left_is_worth_nothing() -> None:
    """Under a steep curve a very long loan outlives the last billionth of the value."""
    steep = 'equity: {curve: {title: Steep, source: a test, retained: ["60%", "30%"]}}'
    evaluation = evaluated(a_deal(term_months=600), steep)
    assert evaluation.measures["break_even_month"]["value"] == 600
    assert monthly_shares((Number(Unit.PERCENT, 3, 5), Number(Unit.PERCENT, 3, 10)), 50)[-1] == 0


def test_level_payments_of_real_loans_lie_where_odd_first_periods_put_them() -> None:
    """7,572 loans of an SEC filing: the scheduled payment against the level payment, as docs/explanation states it."""
    with shared_file("data", "world_omni_2020.csv").open(encoding="utf-8") as file:
        differences = sorted(filter(None, map(payment_difference, csv.DictReader(file))))
    count = len(differences)
    at = {share: round(float(differences[count * share // 100]) * 100, 2) for share in (1, 10, 50, 90, 99)}
    assert (count, at) == (7_567, {1: 0.77, 10: 0.87, 50: 1.23, 90: 2.3, 99: 3.52})


def payment_difference(row: dict[str, str]) -> Decimal | None:
    """How far the reported payment lies above the level payment, as a share of it; None where none was reported."""
    reported = Decimal(row["reportingPeriodScheduledPaymentAmount"])
    amount = int((Decimal(row["originalLoanAmount"]) * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    rate = int((Decimal(row["originalInterestRatePercentage"]) * 1_000_000).quantize(Decimal(1)))
    payment = level_payment(amount, 1, rate, 1_000_000, int(row["originalLoanTerm"]))
    return reported * 100 / payment - 1 if reported and payment else None
