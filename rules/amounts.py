"""Money in integer cents and percents as ratios of two integers: reading, rounding, showing.

Nothing here knows a float. Rounding happens only where a number is shown, or where a formula yields a fraction of a cent.
"""

MAX_CENTS = 10_000_000_00
"""The largest amount a deal may state: comparisons stay exact in 64-bit integers (design of the deal document)."""


def half_up(numerator: int, denominator: int) -> int:
    """Round a ratio (denominator > 0) to the nearest integer, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


_PLACES = tuple(f".{part:02d}" for part in range(100))
"""Looked up: most of what an evaluation says is amounts, and to format two digits takes as long as the rest of one."""


def hundredths(value: int) -> str:
    """Write an integer count of hundredths as a decimal string: 1234567 is "12345.67"."""
    if value < 0:
        return "-" + hundredths(-value)
    return f"{value // 100}{_PLACES[value % 100]}"


def dollars(cents: int) -> str:
    """Write cents for people: 3776969 is "$37,769.69"."""
    if cents < 0:
        return "-" + dollars(-cents)
    return f"${cents // 100:,}{_PLACES[cents % 100]}"


def shown_and_told(cents: int) -> tuple[str, str]:
    """Both at once: 3776969 is "37769.69" for programs and "$37,769.69" for people."""
    if cents < 0:
        return hundredths(cents), dollars(cents)
    whole, places = cents // 100, _PLACES[cents % 100]
    return f"{whole}{places}", f"${whole:,}{places}"


def percent(numerator: int, denominator: int) -> str:
    """Write a ratio as a percent with two places, halves up: 3776969/2700000 is "139.89"."""
    return hundredths((20_000 * numerator + denominator) // (2 * denominator))
