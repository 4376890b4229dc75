"""Single values of a payload in the units of the deal document: exact, and refused where they are not plainly what they should be."""

import re
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from dealgate.rules.amounts import MAX_CENTS, dollars, half_up, hundredths

NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,20})?", re.ASCII)
GROUPED = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d{1,20})?", re.ASCII)
THOUSANDS_BY_POINT = re.compile(r"-?[1-9]\d{0,2}\.\d{3}", re.ASCII)
WHOLE = re.compile(r"\d{1,10}", re.ASCII)

RATE_PLACES = 4


class Kind(StrEnum):
    """What a field of the deal document holds."""

    MONEY = "money"
    RATE = "rate"
    COUNT = "count"
    MONTHS = "months"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"


UNITS: dict[Kind, dict[str, Fraction]] = {
    Kind.MONEY: {"dollars": Fraction(100), "cents": Fraction(1)},
    Kind.RATE: {"percent": Fraction(10_000), "fraction": Fraction(1_000_000), "basis_points": Fraction(100)},
    Kind.MONTHS: {"months": Fraction(1), "years": Fraction(12)},
}
"""How many cents, ten-thousandths of a percent or months one unit of the host's is."""

DATE_PARTS = {"YYYY": r"(?P<year>\d{4})", "MM": r"(?P<month>\d\d)", "DD": r"(?P<day>\d\d)"}
TIMESTAMP = "timestamp"
TIMESTAMP_FORM = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[-+]\d\d:?\d\d)?", re.ASCII
)


class ValueRefusedError(ValueError):
    """A value that is not what the mapping says it is."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def exact(raw: object, thousands: bool) -> Fraction:
    """A number as it is written. Raises `ValueRefusedError`."""
    text = str(raw)
    if thousands and GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if isinstance(raw, bool) or not isinstance(raw, str | Decimal) or not NUMBER.fullmatch(text):
        more = (
            " A thousands separator is read where the mapping says `thousands: true`."
            if GROUPED.fullmatch(text)
            else ""
        )
        raise ValueRefusedError("not a plain number", f'Write digits and a decimal point, such as "1500.00".{more}')
    return Fraction(text)


def refuse_ambiguous(raw: object) -> None:
    """Of an amount in a text. Half the world writes fifteen thousand as 15.000. Raises `ValueRefusedError`."""
    if isinstance(raw, str) and THOUSANDS_BY_POINT.fullmatch(raw):
        raise ValueRefusedError(
            "a point and three digits may stand for thousands or for a part",
            'Write two places or none, such as "1500.00".',
        )


def money(amount: Fraction, *, rounded: bool = False, signed: bool = False) -> int:
    """Cents. Raises `ValueRefusedError`."""
    if amount.denominator != 1 and not rounded:
        raise ValueRefusedError("a fraction of a cent", "Round it as the contract does, or say `rounding: half_up`.")
    cents = half_up(amount.numerator, amount.denominator)
    if cents < 0 and not signed:
        raise ValueRefusedError(
            "below zero", "Send the amount itself, or say `sign: negated` where the host writes credits so."
        )
    if abs(cents) > MAX_CENTS:
        raise ValueRefusedError(f"above the largest amount, {dollars(MAX_CENTS)}", "Check the unit in the mapping.")
    return cents


def money_text(amount: Fraction, *, rounded: bool) -> str:
    return hundredths(money(amount, rounded=rounded))


def rate_text(steps: Fraction, *, rounded: bool) -> str:
    """Ten-thousandths of a percent as percent. Raises `ValueRefusedError`."""
    if steps.denominator != 1 and not rounded:
        raise ValueRefusedError(f"more than {RATE_PLACES} places of a percent", "Round it, or say `rounding: half_up`.")
    whole = half_up(steps.numerator, steps.denominator)
    if not 0 <= whole < 1000 * 10**RATE_PLACES:
        raise ValueRefusedError("not from 0 to under 1000 percent", "Check the unit in the mapping.")
    return f"{whole // 10**RATE_PLACES}.{f'{whole % 10**RATE_PLACES:04d}'.rstrip('0').ljust(2, '0')}"


def count(raw: object, thousands: bool) -> int:
    """A whole number, not below zero. Raises `ValueRefusedError`."""
    text = str(raw)
    if thousands and GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if isinstance(raw, bool) or not isinstance(raw, str | Decimal) or not WHOLE.fullmatch(text):
        raise ValueRefusedError("not a whole number", 'Write digits only, such as "72".')
    return int(text)


def truth(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    if raw in ("true", "false"):
        return raw == "true"
    raise ValueRefusedError(
        "neither true nor false", "List the host's words in the mapping: `values: {Y: true, N: false}`."
    )


def text(raw: object) -> str:
    """A word as it stands; a whole number is the word that its digits are."""
    if isinstance(raw, str):
        return str(raw)
    if isinstance(raw, Decimal) and re.fullmatch(r"-?\d{1,20}", str(raw), re.ASCII):
        return str(raw)
    raise ValueRefusedError("not a text", "Send a text.")


def date_form(written: str) -> re.Pattern[str] | None:
    """The pattern of `MM/DD/YYYY` and the like, where a day that is left out is the first; None for what is no such form."""
    if written == TIMESTAMP:
        return TIMESTAMP_FORM
    pieces = re.split("(YYYY|MM|DD)", written)
    named = [piece for piece in pieces if piece in DATE_PARTS]
    if not {"YYYY", "MM"} <= set(named) or len(set(named)) < len(named) or re.search(r"\w", "".join(pieces[::2])):
        return None
    return re.compile("".join(DATE_PARTS.get(piece) or re.escape(piece) for piece in pieces), re.ASCII)


def day(raw: object, form: re.Pattern[str], written: str) -> str:
    """A date as YYYY-MM-DD; of a time stamp the day in its own zone. Raises `ValueRefusedError`."""
    if isinstance(raw, date):  # a datetime is one too
        return raw.isoformat()[:10]
    found = form.fullmatch(str(raw))
    if not found:
        raise ValueRefusedError(f"not a date written as {written}", "Check `format:` in the mapping.")
    parts = found.groupdict()
    try:
        return date(int(parts["year"]), int(parts["month"]), int(parts.get("day") or 1)).isoformat()
    except ValueError:
        raise ValueRefusedError("no day of the calendar", f"Write an existing day as {written}.") from None
