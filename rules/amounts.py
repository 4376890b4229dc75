"""Money in integer cents and percents as ratios of two integers: reading, rounding, showing.

Nothing here knows a float. Rounding happens only where a number is shown, or where a formula yields a fraction of a cent.
"""

from functools import lru_cache

MAX_CENTS = 10_000_000_00
"""The largest amount a deal may state: comparisons stay exact in 64-bit integers (design of the deal document)."""


def half_up(numerator: int, denominator: int) -> int:
    """Round a ratio (denominator > 0) to the nearest integer, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


@lru_cache(maxsize=2_048)
def hundredths(value: int) -> str:
    """Write an integer count of hundredths as a decimal string: 1234567 is "12345.67"."""
    if value < 0:
        return "-" + hundredths(-value)
    return f"{value // 100}.{value % 100:02d}"


@lru_cache(maxsize=2_048)
def dollars(cents: int) -> str:
    """Write cents for people: 3776969 is "$37,769.69"."""
    if cents < 0:
        return "-" + dollars(-cents)
    return f"${cents // 100:,}.{cents % 100:02d}"


def percent(numerator: int, denominator: int) -> str:
    """Write a ratio as a percent with two places, halves up: 3776969/2700000 is "139.89"."""
    return hundredths((20_000 * numerator + denominator) // (2 * denominator))
