"""What a number can be while a deal changes by anything from one amount to another: its span, in exact integers.

A span holds every value that the number takes on the stretch of changes, and perhaps more; never less. Where the number is a
straight line in the change, the span says so, and crossings are found by division instead of by search.
"""

from collections.abc import Iterable
from fractions import Fraction
from itertools import combinations
from typing import NamedTuple

from dealgate.rules.amounts import half_up
from dealgate.rules.payment import LONGEST_TERM, level_payment

FALSE, TRUE, UNKNOWN = 1, 2, 4
"""A set of truth values: what a condition can come to on a stretch."""

EITHER = FALSE | TRUE

GUESS_MARGIN = 64
"""Cents around a guessed crossing; a payment rounded to the cent stands still over about so many cents of the amount."""


class Span(NamedTuple):
    """From `low` to `high`, both over `over`; None is without bound. `line` (a, b) is a + b * change, over `over`.

    `unknown` says that the number may also be unknown somewhere on the stretch. A number that is unknown all along has no span.
    """

    low: int | None
    high: int | None
    over: int = 1
    line: tuple[int, int] | None = None
    unknown: bool = False
    ratio: "tuple[Span, Span] | None" = None

    @property
    def fixed(self) -> bool:
        return self.low is not None and self.low == self.high


ANYTHING = Span(None, None, unknown=True)


def exactly(numerator: int, denominator: int = 1) -> Span:
    return Span(numerator, numerator, denominator, (numerator, 0))


def as_span(value: Fraction | None) -> Span | None:
    return None if value is None else exactly(value.numerator, value.denominator)


def hull(spans: Iterable[Span | None]) -> Span | None:
    """The span of a number that is one of several, it is not known which."""
    found = list(spans)
    known = [span for span in found if span is not None]
    if not known:
        return None
    unknown = len(known) < len(found) or any(span.unknown for span in known)
    if len(known) == 1:
        return known[0]._replace(unknown=unknown)
    over, ends = _on_one_denominator(known)
    if ends is None:
        return Span(None, None, unknown=unknown)
    return Span(min(low for low, _ in ends), max(high for _, high in ends), over, unknown=unknown)


def _on_one_denominator(spans: list[Span]) -> tuple[int, list[tuple[int, int]] | None]:
    """The ends of several spans over one denominator; None when one has no bound."""
    over = _denominator(spans)
    ends = []
    for low, high, own, *_ in spans:
        if low is None or high is None:
            return 1, None
        ends.append((low * (over // own), high * (over // own)))
    return over, ends


def _denominator(spans: list[Span]) -> int:
    over = 1
    for span in spans:
        if over % span.over:
            over *= span.over
    return over


class Stretch:
    """All changes from `first` to `last` at once. `crossings` collects where something on the way may turn."""

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last
        self.crossings: set[int] = set()

    def line(self, start: int, slope: int, over: int = 1, *, unknown: bool = False) -> Span:
        """The span of start + slope * change, over `over`."""
        ends = (start + slope * self.first, start + slope * self.last)
        return Span(min(ends), max(ends), over, (start, slope), unknown)

    def _crosses_zero(self, line: tuple[int, int] | None) -> None:
        if line is not None and line[1]:
            change = -line[0] // line[1]
            self.crossings |= {change - 1, change, change + 1}

    # Arithmetic: unknown as soon as one side is

    def sum(self, left: Span | None, right: Span | None, sign: int = 1) -> Span | None:
        """left + sign * right, on whole numbers over one denominator."""
        if left is None or right is None:
            return None
        unknown = left.unknown or right.unknown
        if left.low is None or left.high is None or right.low is None or right.high is None:
            return Span(None, None, unknown=unknown)
        over = left.over if left.over == right.over else left.over * right.over
        one, other = over // left.over, sign * (over // right.over)
        if left.line and right.line:
            start, slope = left.line[0] * one + right.line[0] * other, left.line[1] * one + right.line[1] * other
            return self.line(start, slope, over, unknown=unknown)
        ends = (right.low * other, right.high * other)
        return Span(left.low * one + min(ends), left.high * one + max(ends), over, unknown=unknown)

    def product(self, left: Span | None, right: Span | None) -> Span | None:
        if left is None or right is None:
            return None
        unknown, over = left.unknown or right.unknown, left.over * right.over
        if left.low is None or left.high is None or right.low is None or right.high is None:
            return Span(None, None, unknown=unknown)
        for one, other in ((left, right), (right, left)):
            if one.fixed and one.low is not None and other.line:
                return self.line(other.line[0] * one.low, other.line[1] * one.low, over, unknown=unknown)
        corners = [one * other for one in (left.low, left.high) for other in (right.low, right.high)]
        return Span(min(corners), max(corners), over, unknown=unknown)

    def quotient(self, left: Span | None, right: Span | None) -> Span | None:
        """Unknown where the divisor is not positive."""
        if left is None or right is None:
            return None
        if left.low is None or left.high is None or right.low is None or right.high is None:
            return ANYTHING
        if right.high <= 0:
            return None
        if right.low <= 0:
            return ANYTHING
        unknown = left.unknown or right.unknown
        if right.fixed:
            over, times = left.over * right.low, right.over
            if left.line:
                return self.line(left.line[0] * times, left.line[1] * times, over, unknown=unknown)
            return Span(left.low * times, left.high * times, over, unknown=unknown)
        low = left.low * (right.high if left.low < 0 else right.low)
        high = left.high * (right.low if left.high < 0 else right.high)
        over = left.over * right.low * right.high
        return Span(low * right.over, high * right.over, over, None, unknown, (left, right))

    def extreme(self, name: str, spans: list[Span | None]) -> Span | None:
        """The least or the greatest; a line where one operand is it all along."""
        known = [span for span in spans if span is not None]
        if len(known) < len(spans):
            return None
        unknown = any(span.unknown for span in known)
        over, ends = _on_one_denominator(known)
        if ends is None:
            return Span(None, None, unknown=unknown)
        choose = min if name == "min" else max
        low, high = choose(low for low, _ in ends), choose(high for _, high in ends)
        for index, (span, (own_low, own_high)) in enumerate(zip(known, ends, strict=True)):
            others = ends[:index] + ends[index + 1 :]
            if span.line and all(own_high <= other[0] if name == "min" else own_low >= other[1] for other in others):
                times = over // span.over
                return self.line(span.line[0] * times, span.line[1] * times, over, unknown=unknown)
        for one, other in combinations(known, 2):
            between = self.sum(one, other, -1)
            self._crosses_zero(between and between.line)
        return Span(low, high, over, unknown=unknown)

    def whole_cents(self, span: Span | None) -> Span | None:
        """Rounded half up to the cent, as measures and limits of money are."""
        if span is None or span.over == 1 or span.low is None or span.high is None:
            return span
        if span.line and not (span.line[0] % span.over or span.line[1] % span.over):
            return self.line(span.line[0] // span.over, span.line[1] // span.over, unknown=span.unknown)
        low, high = half_up(span.low, span.over), half_up(span.high, span.over)
        return Span(low, high, 1, (low, 0) if low == high else None, span.unknown)

    def payment(self, amount: Span | None, rate: Span | None, months: Span | None) -> Span | None:
        """The level payment grows with the amount and the rate and falls with the term, cent by cent."""
        if amount is None or rate is None or months is None:
            return None
        if amount.low is None or amount.high is None or rate.low is None or rate.high is None:
            return ANYTHING
        if amount.high <= 0 or rate.high < 0:
            return None
        if months.low is None or months.high is None or months.over != 1 or rate.low < 0:
            return ANYTHING
        if months.high <= 0 or months.low > LONGEST_TERM:
            return None
        unknown = amount.unknown or rate.unknown or months.unknown
        fewest, most = max(1, months.low), min(LONGEST_TERM, months.high)
        unknown = unknown or (fewest, most) != (months.low, months.high) or amount.low <= 0
        low = level_payment(amount.low, amount.over, rate.low, rate.over, most) if amount.low > 0 else 0
        high = level_payment(amount.high, amount.over, rate.high, rate.over, fewest)
        if low is None or high is None:
            return ANYTHING
        return Span(low, high, 1, (low, 0) if low == high else None, unknown)

    # Logic: sets of truth values

    def comparison(self, operator: str, left: Span | None, right: Span | None) -> int:
        if left is None or right is None:
            return UNKNOWN
        unknown = UNKNOWN if left.unknown or right.unknown else 0
        if left.ratio is not None:  # n / d against r is n against r * d, where d is above zero: a line more often
            gap = self.sum(left.ratio[0], self.product(right, left.ratio[1]), -1)
        elif right.ratio is not None:
            gap = self.sum(self.product(left, right.ratio[1]), right.ratio[0], -1)
        else:
            gap = self.sum(left, right, -1)
        if gap is None or gap.low is None or gap.high is None:
            return unknown | EITHER
        truths = _sign(operator, gap.low, gap.high)
        if truths == EITHER:
            self._note_turn(operator, gap, gap.low, gap.high)
        return unknown | truths

    def _note_turn(self, operator: str, gap: Span, low: int, high: int) -> None:
        """Where the comparison turns: exactly on a line, else guessed as if it were one that begins on the wrong side."""
        if gap.line:
            self._crosses_zero(gap.line)
        elif low < 0 < high:
            begins = high if operator in {"<=", "<"} else -low
            guess = self.first + (self.last - self.first) * begins // (high - low)
            self.crossings |= {guess - GUESS_MARGIN, guess - 1, guess, guess + GUESS_MARGIN}


def _sign(operator: str, low: int, high: int) -> int:
    """What a comparison with zero can come to for a whole number, or ratio, from low to high."""
    match operator:
        case "<=":
            return (TRUE if low <= 0 else 0) | (FALSE if high > 0 else 0)
        case "<":
            return (TRUE if low < 0 else 0) | (FALSE if high >= 0 else 0)
        case ">=":
            return (TRUE if high >= 0 else 0) | (FALSE if low < 0 else 0)
        case ">":
            return (TRUE if high > 0 else 0) | (FALSE if low <= 0 else 0)
    equal = low <= 0 <= high
    truths = (TRUE if equal else 0) | (FALSE if low or high else 0)
    return truths if operator == "==" else opposite(truths)


def opposite(truths: int) -> int:
    return (truths & UNKNOWN) | (FALSE if truths & TRUE else 0) | (TRUE if truths & FALSE else 0)


def both(conditions: list[int]) -> int:
    """Kleene's `and` of conditions that may vary freely."""
    truths = 0
    if any(condition & FALSE for condition in conditions):
        truths |= FALSE
    if all(condition & TRUE for condition in conditions):
        truths |= TRUE
    if any(condition & UNKNOWN for condition in conditions) and all(
        condition & (TRUE | UNKNOWN) for condition in conditions
    ):
        truths |= UNKNOWN
    return truths


def either(conditions: list[int]) -> int:
    return opposite(both([opposite(condition) for condition in conditions]))
