"""Equity over time: what is still owed and what the vehicle still brings, month by month.

A projection, not a fact: the retained shares, the wholesale factor and the disposal cost are assumptions that the policy
names and every decision carries.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import isqrt
from typing import NamedTuple

from dealgate.rules.amounts import half_up
from dealgate.rules.expressions import Number
from dealgate.rules.payment import LONGEST_TERM, level_payment

SHARE_SCALE = 1_000_000_000
"""Shares of the first value are whole billionths: exact to a cent for any vehicle, and the same on every machine."""


@dataclass(frozen=True)
class Curve:
    """A depreciation table: the share of the first value that is retained at the end of each year."""

    name: str
    title: str
    source: str
    retained: tuple[Number, ...]

    def __hash__(self) -> int:
        """By its name, which is hashed once: a search for cures looks curves up thousands of times."""
        return hash(self.name)


@dataclass(frozen=True)
class Equity:
    """What a policy assumes. A lender's sale brings `wholesale_factor` of the curve's value, less `disposal_cost`."""

    curve: Curve
    wholesale_factor: Number
    disposal_cost: Number


class Projection(NamedTuple):
    """Balances and values in cents at the end of each month, from month 0, the day of the deal, to the last payment."""

    balances: tuple[int, ...]
    values: tuple[int, ...]
    equity: Equity

    @property
    def break_even_month(self) -> int:
        """The first month in which no more is owed than the vehicle is worth. The last payment leaves nothing owed."""
        pairs = zip(self.balances, self.values, strict=True)
        return next(month for month, (balance, value) in enumerate(pairs) if balance <= value)

    @property
    def peak_shortfall(self) -> int:
        """The most by which the balance exceeds the value in any month; 0 when it never does."""
        return max(0, *(balance - value for balance, value in zip(self.balances, self.values, strict=True)))

    def deficiency(self, month: int) -> int:
        """What would still be owed if the lender sold the vehicle at the end of a month; UCC 9-615, without accrued interest."""
        if month >= len(self.balances) or not self.balances[month]:
            return 0
        factor, cost = self.equity.wholesale_factor, self.equity.disposal_cost.numerator
        proceeds = half_up(self.values[month] * factor.numerator, factor.denominator)
        return max(0, self.balances[month] + cost - proceeds)

    def read(self, reading: str, after: int) -> int:
        """As the language asks for it; `after` is the month of `deficiency_after`."""
        if reading == "break_even":
            return self.break_even_month
        return self.peak_shortfall if reading == "deepest_shortfall" else self.deficiency(after)


def project(
    equity: Equity, amount: int, rate: int, rate_denominator: int, months: int, value: int
) -> Projection | None:
    """Project a loan of cents at a yearly rate; None without a positive amount and value, a rate and a term.

    Level payments at the end of each month, a twelfth of the yearly rate on the balance rounded half up to the cent, and a
    last payment that takes whatever is left.
    """
    payment = level_payment(amount, 1, rate, rate_denominator, months)
    if payment is None or value <= 0:
        return None
    balances = balances_of(amount, rate, rate_denominator, months, payment)
    return Projection(balances, values_of(equity.curve, value, months), equity)


def projected(
    equity: Equity,
    reading: str,
    amount: int,
    amount_denominator: int,
    rate: int,
    rate_denominator: int,
    months: int,
    value: int,
    value_denominator: int,
    after: int,
) -> int | None:
    """One reading of the projection; None where there is none."""
    cents = half_up(amount, amount_denominator), half_up(value, value_denominator)
    projection = project(equity, cents[0], rate, rate_denominator, months, cents[1])
    return None if projection is None or after < 0 else projection.read(reading, after)


@lru_cache(maxsize=256)
def balances_of(
    amount: int, rate: int, rate_denominator: int, months: int, payment: int, until: int = LONGEST_TERM
) -> tuple[int, ...]:
    """What is owed after each month's payment, in cents; no further than some month, where that is all that is asked."""
    balances, balance = [amount], amount
    top, half, bottom = 2 * rate, 12 * rate_denominator, 24 * rate_denominator
    for _ in range(min(until, months - 1)):
        balance += (balance * top + half) // bottom - payment
        if balance < 0:  # noqa: PLR1730  faster than max(), and this loop is much of what a cure costs
            balance = 0
        balances.append(balance)
    return (*balances, 0) if until >= months else tuple(balances)


@lru_cache(maxsize=256)
def values_of(curve: Curve, value: int, months: int) -> tuple[int, ...]:
    """What a vehicle worth so many cents is worth at the end of each month."""
    shares = monthly_shares(curve.retained, -(-months // 12))
    return tuple([half_up(value * share, SHARE_SCALE) for share in shares[: months + 1]])


@lru_cache(maxsize=64)
def monthly_shares(retained: tuple[Number, ...], years: int) -> tuple[int, ...]:
    """Shares of the first value at each month's end, in billionths, from month 0.

    Between two years the share falls by the same factor every month; past the table it goes on falling as in its last year.
    This reading of Kelley Blue Book's table gives the published break-even months (docs/explanation/negative-equity.md).
    """
    ends = [Fraction(1), *(Fraction(share.numerator, share.denominator) for share in retained)]
    while len(ends) <= years:
        ends.append(ends[-1] * ends[-1] / ends[-2])
    months = [
        _twelfth_root(before ** (12 - month) * after**month) for before, after in pairwise(ends) for month in range(12)
    ]
    return (*months[: 12 * years], _twelfth_root(ends[years] ** 12))


def _twelfth_root(ratio: Fraction) -> int:
    """The root of a ratio of at most 1, in whole billionths, rounded down."""
    return _cube_root(isqrt(isqrt(ratio.numerator * SHARE_SCALE**12 // ratio.denominator)))


def _cube_root(number: int) -> int:
    root = 1 << (-(-number.bit_length() // 3))
    while root and (closer := (2 * root + number // (root * root)) // 3) < root:
        root = closer
    return root
