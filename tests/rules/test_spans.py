"""A span holds every value of its number: arithmetic, extremes, rounding, payments and comparisons, point by point."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dealgate.rules.amounts import half_up
from dealgate.rules.payment import level_payment
from dealgate.rules.spans import FALSE, TRUE, UNKNOWN, Span, Stretch, both, either, exactly, hull, opposite
from dealgate.rules.tracing import COMPARE

Points = list[Fraction | None]
"""A number at each change of a stretch; None where it is unknown."""

FIRST, LAST = 3, 9
CHANGES = range(FIRST, LAST + 1)


@st.composite
def numbers(draw: st.DrawFn, least: int = -20) -> tuple[Points, Span | None]:
    """A number along the stretch 3 to 9, and its span: a line, a constant, or any values, some of them perhaps unknown."""
    over = draw(st.integers(1, 4))
    form = draw(st.sampled_from(["line", "constant", "any"]))
    if form == "line":
        start, slope = draw(st.integers(least, 20)), draw(st.integers(-3 if least < 0 else 0, 3))
        return [Fraction(start + slope * change, over) for change in CHANGES], Stretch(FIRST, LAST).line(
            start, slope, over
        )
    if form == "constant":
        value = draw(st.integers(least, 20))
        return [Fraction(value, over) for _ in CHANGES], exactly(value, over)
    values = draw(st.lists(st.one_of(st.integers(least, 20), st.none()), min_size=len(CHANGES), max_size=len(CHANGES)))
    points = [None if value is None else Fraction(value, over) for value in values]
    return points, hull([None if value is None else exactly(value, over) for value in values])


def holds(span: Span | None, points: Points) -> bool:
    if span is None:
        return all(point is None for point in points)
    if span.low is None or span.high is None:
        return span.unknown or None not in points
    low, high = Fraction(span.low, span.over), Fraction(span.high, span.over)
    inside = all(low <= point <= high for point in points if point is not None)
    on_line = span.line is None or all(
        point is None or point == Fraction(span.line[0] + span.line[1] * change, span.over)
        for change, point in zip(CHANGES, points, strict=True)
    )
    return inside and on_line and (span.unknown or None not in points)


def apply(operation: Callable[..., Fraction | None], *numbers: Points) -> Points:
    return [None if None in values else operation(*values) for values in zip(*numbers, strict=True)]


def quotient(left: Fraction, right: Fraction) -> Fraction | None:
    return left / right if right > 0 else None


@given(left=numbers(), right=numbers())
def test_sums_products_quotients_and_extremes_stay_in_their_spans(left: Any, right: Any) -> None:
    stretch, (one, first), (other, second) = Stretch(FIRST, LAST), left, right
    assert holds(stretch.sum(first, second), apply(lambda a, b: a + b, one, other))
    assert holds(stretch.sum(first, second, -1), apply(lambda a, b: a - b, one, other))
    assert holds(stretch.product(first, second), apply(lambda a, b: a * b, one, other))
    assert holds(stretch.quotient(first, second), apply(quotient, one, other))
    assert holds(stretch.extreme("min", [first, second]), apply(min, one, other))
    assert holds(stretch.extreme("max", [first, second]), apply(max, one, other))


@given(left=numbers(), right=numbers(least=1))
def test_a_quotient_by_a_positive_number_that_moves_stays_in_its_span(left: Any, right: Any) -> None:
    (one, first), (other, second) = left, right
    span = Stretch(FIRST, LAST).quotient(first, second)
    assert holds(span, apply(quotient, one, other))
    assert span is None or span.low is not None


@given(number=numbers())
def test_whole_cents_stay_in_their_span(number: Any) -> None:
    points, span = number
    rounded = apply(lambda value: Fraction(half_up(value.numerator, value.denominator)), points)
    assert holds(Stretch(FIRST, LAST).whole_cents(span), rounded)


@given(amount=numbers(), rate=st.sampled_from([(0, 1), (79, 1000), (-1, 10)]), start=st.sampled_from([-5, 1, 6, 1195]))
def test_payments_stay_in_their_span(amount: Any, rate: tuple[int, int], start: int) -> None:
    points, span = amount
    points = apply(lambda value: value * 1000, points)
    stretch = Stretch(FIRST, LAST)
    months = [start + change for change in CHANGES]
    found = [
        None
        if value is None or (cents := level_payment(value.numerator, value.denominator, *rate, month)) is None
        else Fraction(cents)
        for value, month in zip(points, months, strict=True)
    ]
    lent = stretch.product(span, exactly(1000))
    assert holds(stretch.payment(lent, exactly(*rate), stretch.line(start, 1)), found)


@pytest.mark.parametrize("operator", COMPARE)
@given(left=numbers(), right=numbers(), below=numbers(least=1))
def test_comparisons_hold_every_truth(operator: str, left: Any, right: Any, below: Any) -> None:
    stretch, (one, first), (other, second), (under, third) = Stretch(FIRST, LAST), left, right, below
    pairs = [
        (first, second, one, other),
        (stretch.quotient(first, third), second, apply(quotient, one, under), other),
        (second, stretch.quotient(first, third), other, apply(quotient, one, under)),
    ]
    for left_span, right_span, lefts, rights in pairs:
        truths = stretch.comparison(operator, left_span, right_span)
        for a, b in zip(lefts, rights, strict=True):
            truth = UNKNOWN if a is None or b is None else TRUE if COMPARE[operator](a, b) else FALSE
            assert truth & truths


def test_logic_of_sets_holds_the_logic_of_their_members() -> None:
    def kleene_and(one: int, other: int) -> int:
        return FALSE if FALSE in (one, other) else UNKNOWN if UNKNOWN in (one, other) else TRUE

    for one in range(1, 8):
        for other in range(1, 8):
            pairs = [(a, b) for a in (FALSE, TRUE, UNKNOWN) for b in (FALSE, TRUE, UNKNOWN) if one & a and other & b]
            expected = {kleene_and(a, b) for a, b in pairs}
            assert both([one, other]) == sum(expected)
            assert either([opposite(one), opposite(other)]) == opposite(sum(expected))
