"""What two policies' free values are said to be to each other is true of the exact values, and shuts no deal out."""

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dealgate import Deal, Policy
from dealgate.rules.comparison import _Pair
from dealgate.rules.equity import Curve, Equity, projected
from dealgate.rules.expressions import Number
from dealgate.rules.fields import Unit, facts_of
from dealgate.rules.payment import level_payment
from dealgate.rules.relations import _is_milder, relations
from dealgate.rules.smt import Terms
from tests.fuzzing.comparison_campaign import edited
from tests.fuzzing.random_policies import Author
from tests.rules.test_encoding import Fixed

AMOUNTS = st.integers(1, 10_000_000_00)
RATES = st.integers(0, 999_9999)
MONTHS = st.integers(1, 600)
READINGS = ("break_even", "deepest_shortfall", "deficiency_after")
PERCENT = 1_000_000


@given(amounts=st.tuples(AMOUNTS, AMOUNTS), rates=st.tuples(RATES, RATES), months=st.tuples(MONTHS, MONTHS))
def test_a_payment_grows_with_the_amount_and_the_rate_and_falls_with_the_months(
    amounts: Any, rates: Any, months: Any
) -> None:
    less = level_payment(min(amounts), 1, min(rates), PERCENT, max(months))
    more = level_payment(max(amounts), 1, max(rates), PERCENT, min(months))
    assert less is not None
    assert more is not None
    assert less <= more


@st.composite
def equities(draw: Any) -> Equity:
    shares = sorted(draw(st.lists(st.integers(1, 100), min_size=1, max_size=5)), reverse=True)
    curve = Curve("own", "Own", "", tuple(percent(share) for share in shares))
    return Equity(curve, percent(draw(st.integers(1, 100))), Number(Unit.MONEY, draw(st.integers(0, 5_000_00))))


def percent(hundredths: int) -> Number:
    share = Fraction(hundredths, 100)
    return Number(Unit.PERCENT, share.numerator, share.denominator)


@given(
    pair=st.tuples(equities(), equities()),
    values=st.tuples(AMOUNTS, AMOUNTS),
    loan=st.tuples(AMOUNTS, RATES, st.integers(1, 120), st.integers(0, 130)),
    reading=st.sampled_from(READINGS),
)
def test_milder_assumptions_and_a_higher_value_never_read_worse(
    pair: Any, values: Any, loan: Any, reading: str
) -> None:
    amount, rate, months, after = loan
    first, second = pair
    mild, other = pair if _is_milder(first, second, reading) else (first, first)
    less, more = (
        projected(equity, reading, amount, 1, rate, PERCENT, months, value, 1, after)
        for equity, value in ((mild, max(values)), (other, min(values)))
    )
    assert less is not None
    assert more is not None
    assert less <= more


@pytest.mark.parametrize(
    ("factor", "cost", "share", "milder"),
    [(80, 1_000_00, 84, True), (81, 1_000_00, 84, True), (80, 999_99, 84, True), (80, 1_000_00, 85, True),
     (79, 1_000_00, 84, False), (80, 1_000_01, 84, False), (80, 1_000_00, 83, False), (100, 0, 83, False)],
)  # fmt: skip
def test_what_is_milder(factor: int, cost: int, share: int, milder: bool) -> None:
    def equity(factor: int, cost: int, share: int) -> Equity:
        return Equity(Curve("own", "Own", "", (percent(share),)), percent(factor), Number(Unit.MONEY, cost))

    usual = equity(80, 1_000_00, 84)
    assert _is_milder(equity(factor, cost, share), usual, "deficiency_after") is milder
    assert _is_milder(equity(factor, cost, share), usual, "break_even") is (share >= 84)


def test_a_curve_that_keeps_more_at_first_and_falls_faster_after_is_not_milder() -> None:
    equities = (Equity(Curve("own", "Own", "", shares), percent(80), Number(Unit.MONEY, 0)) for shares in STEPS)
    first, second = equities
    assert not _is_milder(first, second, "break_even")
    assert not _is_milder(second, first, "break_even")


STEPS = ((percent(85), percent(60)), (percent(84), percent(60)))
PROJECTED = {
    "require": "projected_deficiency <= $9,000 and break_even_month <= 40 and peak_shortfall <= $5,000 and payment_to_income <= 15%"
}
OTHER_FORM = "cash_price - (cash_down + rebate) + products_total + sales_tax + trade_payoff - trade_allowance"


def possible_after_mending(terms: Terms, fixed: Fixed, deal: Deal) -> bool:
    """Whether a deal can be, with every free value put right."""
    solver = fixed.solver
    solver.push()
    solver.add([fact for fact in fixed.facts(facts_of(deal)) if fact is not True])
    try:
        for _ in range(12):
            found = solver.check()
            if found != terms.z3.sat:
                return bool(found != terms.z3.unsat)
            model = solver.model()
            mends = [mend for free in terms.free_values() if (mend := free.mend(terms, model))]
            if not mends:
                return True
            solver.add([mend.lemma for mend in mends])
        return True
    finally:
        solver.pop()


def fixed_pair(first: Policy, second: Policy) -> Fixed:
    """Both policies over one deal at a time."""
    pair, fixed = _Pair(first, second), Fixed.__new__(Fixed)
    assert list(relations(pair.terms)) or not pair.terms.free_values()
    fixed.terms, fixed.deal = pair.terms, pair.prover.deal
    fixed.solver = pair.terms.z3.Solver(ctx=pair.terms.context)
    fixed.solver.set("timeout", 5_000)
    fixed.solver.add(pair.terms.facts)
    return fixed


@pytest.mark.parametrize("seed", range(4))
def test_no_deal_is_shut_out_by_what_is_said_of_two_policies(seed: int, write_policy: Any) -> None:
    author = Author(seed)
    if seed % 2:
        first = Policy.from_text(write_policy(PROJECTED, equity={"wholesale_factor": "80%"}))
        content = json.loads(first.canonical)
        content["measures"]["amount_financed"]["formula"] = OTHER_FORM
        content["equity"]["disposal_cost"] = "$500"
        second = Policy.from_text(json.dumps(content))
    else:
        first = Policy.from_text(author.policy(4))
        second = edited(author, first)
    fixed = fixed_pair(first, second)
    for _ in range(25):
        assert possible_after_mending(fixed.terms, fixed, Deal.read(author.deal()))
