"""How sure a rate is: intervals at 95 percent for shares and for the difference of two.

In decimals of 28 digits, to be shown: nothing is decided by them.
"""

from decimal import Decimal
from typing import NamedTuple

Z = Decimal("1.959963984540054")
"""The 97.5th percentile of the standard normal distribution."""


class Interval(NamedTuple):
    low: Decimal
    high: Decimal


def wilson(part: int, whole: int) -> Interval:
    """The score interval of a share: E. B. Wilson, Journal of the American Statistical Association 22 (1927), 209-212."""
    share, square = Decimal(part) / whole, Z * Z
    middle = share + square / (2 * whole)
    spread = Z * (share * (1 - share) / whole + square / (4 * whole * whole)).sqrt()
    below = 1 + square / whole
    # At the ends it is 0 or 1 by algebra; the last digit of a root need not agree.
    low = Decimal(0) if part == 0 else (middle - spread) / below
    high = Decimal(1) if part == whole else (middle + spread) / below
    return Interval(low, high)


def newcombe(part: int, whole: int, other_part: int, other_whole: int) -> Interval:
    """The interval of one share less another, from their score intervals: R. G. Newcombe, Statistics in Medicine 17 (1998), 873-890,
    method 10.
    """
    one, other = Decimal(part) / whole, Decimal(other_part) / other_whole
    mine, theirs = wilson(part, whole), wilson(other_part, other_whole)
    below = ((one - mine.low) ** 2 + (theirs.high - other) ** 2).sqrt()
    above = ((mine.high - one) ** 2 + (other - theirs.low) ** 2).sqrt()
    return Interval(one - other - below, one - other + above)
