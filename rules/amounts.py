"""Money in integer cents and percents as ratios of two integers: reading, rounding, showing.

Nothing here knows a float. Rounding happens only where a number is shown, or where a formula yields a fraction of a cent.
"""

MAX_CENTS = 10_000_000_00
"""The largest amount a deal may state: comparisons stay exact in 64-bit integers (design of the deal document)."""


def half_up(numerator: int, denominator: int) -> int:
    """Round a ratio (denominator > 0) to the nearest integer, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


def hundredths(value: int) -> str:
    """Write an integer count of hundredths as a decimal string: 1234567 is "12345.67"."""
    sign = "-" if value < 0 else ""
    whole, part = divmod(abs(value), 100)
    return f"{sign}{whole}.{part:02d}"


def dollars(cents: int) -> str:
    """Write cents for people: 3776969 is "$37,769.69"."""
    sign = "-" if cents < 0 else ""
    whole, part = divmod(abs(cents), 100)
    return f"{sign}${whole:,}.{part:02d}"


def percent(numerator: int, denominator: int) -> str:
    """Write a ratio as a percent with two places, halves up: 3776969/2700000 is "139.89"."""
    return hundredths(half_up(numerator * 10_000, denominator))
