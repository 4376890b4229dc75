"""The level payment of an installment loan, exact to the cent."""

from functools import lru_cache
from math import gcd

from dealgate.rules.amounts import half_up

LONGEST_TERM = 1200
"""Months; no installment loan is longer, and the exact power must stay small."""


@lru_cache(maxsize=512)
def payment_share(rate_numerator: int, rate_denominator: int, months: int) -> tuple[int, int]:
    """Payment per unit of amount as an exact ratio: r(1+r)^n / ((1+r)^n - 1), where r is the yearly rate / 12; 1/n at no rate."""
    if rate_numerator == 0:
        return 1, months
    common = gcd(rate_numerator, rate_denominator * 12)
    a, b = rate_numerator // common, rate_denominator * 12 // common
    grown, whole = (a + b) ** months, b**months
    return a * grown, b * (grown - whole)


def level_payment(amount: int, amount_denominator: int, rate: int, rate_denominator: int, months: int) -> int | None:
    """Cents a month, rounded half up, for cents lent at a yearly rate; None without a positive amount, a rate and a term.

    Exact integers throughout, so every machine gets the same cent. Regulation Z, appendix J, treats a month as a twelfth
    of a year.
    """
    if amount <= 0 or rate < 0 or not 0 < months <= LONGEST_TERM:
        return None
    numerator, denominator = payment_share(rate, rate_denominator, months)
    return half_up(amount * numerator, amount_denominator * denominator)
