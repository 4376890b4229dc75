"""The values of DMN's expression language: exact decimals of 34 digits, texts, truths, days, times, durations, lists, contexts.

Null stands for everything that has no value; comparing what cannot be compared gives null too, never an error.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation, Overflow
from functools import cmp_to_key
from typing import Any

Value = Any
"""None, bool, Decimal, str, date, time, datetime, timedelta, Months, Interval, a list or a mapping of these."""

ARITHMETIC = Context(prec=34, rounding=ROUND_HALF_EVEN, Emin=-6143, Emax=6144, traps=[InvalidOperation, Overflow])
"""DMN's numbers are those of IEEE 754-2008 decimal128."""

LONGEST_NUMBER = 60
MOST_LEVELS = 100
LONGEST_DURATION = 60

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
CLOCK = re.compile(r"\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})?", re.ASCII)
YEARS_AND_MONTHS = re.compile(r"(-?)P(?:(\d+)Y)?(?:(\d+)M)?", re.ASCII)
DAYS_AND_TIME = re.compile(r"(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d{1,6})?)S)?)?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Months:
    """A duration of years and months."""

    months: int


@dataclass(frozen=True, slots=True)
class Interval:
    """From one end to the other; an end is part of it or not. Nothing is known to lie in one with an end that is null."""

    low: Value
    high: Value
    with_low: bool
    with_high: bool

    def holds(self, value: Value) -> bool | None:
        above = compare(">=" if self.with_low else ">", value, self.low)
        below = compare("<=" if self.with_high else "<", value, self.high)
        return all_true([above, below])


def all_true(truths: Iterable[Value]) -> bool | None:
    """Three-valued `and`; what is no truth counts as null."""
    seen = [truth if isinstance(truth, bool) else None for truth in truths]
    return False if False in seen else None if None in seen else True


def any_true(truths: Iterable[Value]) -> bool | None:
    seen = [truth if isinstance(truth, bool) else None for truth in truths]
    return True if True in seen else None if None in seen else False


def opposite(truth: Value) -> bool | None:
    return not truth if isinstance(truth, bool) else None


def kind(value: Value) -> str:
    """The type as DMN names it."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case Decimal():
            return "number"
        case str():
            return "string"
        case datetime():
            return "date and time"
        case date():
            return "date"
        case time():
            return "time"
        case timedelta():
            return "days and time duration"
        case Months():
            return "years and months duration"
        case Interval():
            return "range"
        case list():
            return "list"
    return "context"


def equal(left: Value, right: Value) -> bool | None:
    """Null for two kinds that cannot be told equal or not; null itself equals null only."""
    if left is None or right is None:
        return left is right
    if kind(left) != kind(right):
        return None
    if isinstance(left, list):
        return len(left) == len(right) and all_true(equal(*pair) for pair in zip(left, right, strict=True))
    if isinstance(left, Mapping):
        return left.keys() == right.keys() and all_true(equal(left[key], right[key]) for key in left)
    return bool(left == right)


def compare(operator: str, left: Value, right: Value) -> bool | None:
    """`<`, `<=`, `>`, `>=`, `=` or `!=`; null where the two have no order."""
    if operator == "=":
        return equal(left, right)
    if operator == "!=":
        return opposite(equal(left, right))
    if kind(left) != kind(right) or isinstance(left, bool | list | Mapping | Interval | None):
        return None
    try:
        order = (left > right) - (left < right)
    except TypeError:  # a time with a zone beside one without
        return None
    held: dict[str, bool] = {"<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}
    return held[operator]


def _order(left: Value, right: Value) -> int:
    return (left > right) - (left < right)  # type: ignore[no-any-return]


def in_order(values: Iterable[Value]) -> list[Value] | None:
    """Sorted, or null when two of them have no order."""
    values = list(values)
    if any(compare("<=", values[0], value) is None for value in values):
        return None
    return sorted(values, key=cmp_to_key(_order))


def is_vast(value: Value, most: int) -> bool:
    """Whether a value holds more than so many values, or is nested deeper than `MOST_LEVELS`: lists of lists grow without end."""
    waiting, seen = [(value, 0)], 0
    while waiting:
        part, depth = waiting.pop()
        seen += 1
        if seen > most or depth > MOST_LEVELS:
            return True
        if isinstance(part, list | Mapping):
            waiting.extend((item, depth + 1) for item in (part.values() if isinstance(part, Mapping) else part))
            if len(waiting) > most:
                return True
    return False


# From text


def read_number(text: str) -> Decimal | None:
    if len(text) > LONGEST_NUMBER or not NUMBER.fullmatch(text):
        return None
    try:
        return ARITHMETIC.create_decimal(text)
    except (InvalidOperation, Overflow):
        return None


def read_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if DAY.fullmatch(text) else None
    except ValueError:
        return None


def read_time(text: str) -> time | None:
    try:
        return time.fromisoformat(text) if CLOCK.fullmatch(text) else None
    except ValueError:
        return None


def read_date_and_time(text: str) -> datetime | None:
    """A day without a time is its midnight."""
    day_text, separator, clock_text = text.partition("T")
    day, clock = read_date(day_text), read_time(clock_text) if separator else time(0)
    return datetime.combine(day, clock) if day is not None and clock is not None else None


def read_duration(text: str) -> timedelta | Months | None:
    if len(text) > LONGEST_DURATION:
        return None
    if (found := YEARS_AND_MONTHS.fullmatch(text)) and any(found.groups()[1:]):
        months = 12 * int(found[2] or 0) + int(found[3] or 0)
        return Months(-months if found[1] else months)
    if (found := DAYS_AND_TIME.fullmatch(text)) and any(found.groups()[1:]):
        days, hours, minutes = (int(part or 0) for part in found.groups()[1:4])
        microseconds = int(Decimal(found[5] or 0) * 1_000_000)
        try:
            length = timedelta(days=days, hours=hours, minutes=minutes, microseconds=microseconds)
        except OverflowError:
            return None
        return -length if found[1] else length
    return None


# To text


def number_text(number: Decimal) -> str:
    """Without exponent and without zeros that say nothing."""
    text = f"{number:f}"
    return ("0" if number == 0 else text.rstrip("0").rstrip(".")) if "." in text else text


def value_text(value: Value) -> str:
    """As DMN's `string` function writes it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Decimal():
            return number_text(value)
        case str():
            return value
        case datetime() | time():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case timedelta():
            return _days_and_time_text(value)
        case Months(months):
            return _years_and_months_text(months)
        case Interval():
            ends = f"{value_text(value.low)}..{value_text(value.high)}"
            return f"{'[' if value.with_low else '('}{ends}{']' if value.with_high else ')'}"
        case list():
            return f"[{', '.join(map(value_text, value))}]"
    return f"{{{', '.join(f'{key}: {value_text(part)}' for key, part in value.items())}}}"


def _years_and_months_text(months: int) -> str:
    years, rest = divmod(abs(months), 12)
    text = (f"{years}Y" if years else "") + (f"{rest}M" if rest else "")
    return f"{'-' if months < 0 else ''}P{text or '0M'}"


def _days_and_time_text(length: timedelta) -> str:
    sign, length = ("-", -length) if length < timedelta(0) else ("", length)
    hours, seconds = divmod(length.seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    exact = number_text(Decimal(seconds) + Decimal(length.microseconds) / 1_000_000)
    parts = ((f"{hours}", "H"), (f"{minutes}", "M"), (exact, "S"))
    clock = "".join(number + letter for number, letter in parts if number != "0")
    text = (f"{length.days}D" if length.days else "") + (f"T{clock}" if clock else "")
    return f"{sign}P{text or 'T0S'}"
