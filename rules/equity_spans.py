"""Readings of the equity projection while a deal changes: between the least and the most that can be owed, month by month."""

from typing import NamedTuple

from dealgate.rules.equity import Equity, Projection, balances_of, values_of
from dealgate.rules.payment import LONGEST_TERM
from dealgate.rules.spans import ANYTHING, Span

TOGETHER = 24
"""Months that are worked out together."""


class Loan(NamedTuple):
    """Whole cents, yearly rate, months, and the level payment that follows from them."""

    amount: Span | None
    rate: Span | None
    months: Span | None
    payment: Span | None


def projected_span(equity: Equity, reading: str, loan: Loan, value: Span | None, after: Span | None) -> Span | None:
    """Every value that a reading takes, and perhaps more.

    The least is owed with the least amount, rate and term and the greatest payment, and the most the other way round: interest
    and its rounding grow with the balance, cent by cent. How these move together is left open.
    """
    if None in (*loan, value, after):
        return None
    ends = [_ends(span) for span in (*loan, value, after)]
    if None in ends:
        return ANYTHING
    amount, rate, months, payment, worth, month = [end for end in ends if end]
    if worth[1] <= 0 or month[1] < 0:
        return None
    if month[0] != month[1]:
        return ANYTHING
    per = loan.rate.over if loan.rate else 1
    terms = max(1, months[0]), min(LONGEST_TERM, months[1])
    curve, until = equity.curve, _last_month(reading, month[0])
    least = balances_of(max(0, amount[0]), rate[0], per, terms[0], payment[1], until)
    most = balances_of(amount[1], rate[1], per, terms[1], payment[0], until)
    best, worst = (
        values_of(curve, worth[1], min(until, terms[0])),
        values_of(curve, max(0, worth[0]), min(until, terms[1])),
    )
    low, high = (Projection(*ends, equity).read(reading, month[0]) for ends in ((least, best), (most, worst)))
    unknown = worth[0] <= 0 or any(span.unknown for span in (*loan, value, after) if span)
    return Span(low, high, 1, (low, 0) if low == high else None, unknown)


def _last_month(reading: str, after: int) -> int:
    """A deficiency turns on one month; those of the first years are mostly asked together, and share what is worked out."""
    return TOGETHER * -(-after // TOGETHER) if reading == "deficiency_after" else LONGEST_TERM


def _ends(span: Span | None) -> tuple[int, int] | None:
    if span is None or span.low is None or span.high is None:
        return None
    return span.low, span.high
