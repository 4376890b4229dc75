"""The built-in functions of DMN's expression language that need no clock and no iteration. What does not fit gives null."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import NamedTuple

from dealgate.rules.feel_values import (
    ARITHMETIC,
    Months,
    Value,
    all_true,
    any_true,
    equal,
    in_order,
    kind,
    opposite,
    read_date,
    read_date_and_time,
    read_duration,
    read_number,
    read_time,
    value_text,
)

MOST_ITEMS = 100_000
"""Of a list that a function makes; a longer one is null."""


class Function(NamedTuple):
    compute: Callable[..., Value]
    fewest: int
    most: int | None
    """None: any number of operands, or one list of them."""
    kinds: tuple[str, ...] = ()
    """What the operands must be, as far as one kind is needed; anything else gives null."""


def call(function: Function, operands: Sequence[Value]) -> Value:
    if function.most is None and len(operands) == 1 and isinstance(operands[0], list):
        operands = operands[0]
    elif not function.fewest <= len(operands) or (function.most is not None and len(operands) > function.most):
        return None
    if any(kind(operand) != wanted for operand, wanted in zip(operands, function.kinds, strict=False)):
        return None
    try:
        return function.compute(*operands)
    except (ArithmeticError, ValueError, OverflowError, TypeError):
        return None


def _numbers(compute: Callable[[Sequence[Decimal]], Decimal]) -> Callable[..., Value]:
    def of_numbers(*operands: Value) -> Value:
        return compute(operands) if operands and all(kind(operand) == "number" for operand in operands) else None

    return of_numbers


def _least(*operands: Value) -> Value:
    ordered = in_order(operands) if operands else None
    return ordered[0] if ordered else None


def _greatest(*operands: Value) -> Value:
    ordered = in_order(operands) if operands else None
    return ordered[-1] if ordered else None


def total(numbers: Sequence[Decimal]) -> Decimal:
    result = Decimal(0)
    for number in numbers:
        result = ARITHMETIC.add(result, number)
    return result


def _mean(numbers: Sequence[Decimal]) -> Decimal:
    return ARITHMETIC.divide(total(numbers), Decimal(len(numbers)))


def _rounded(number: Decimal, places: Decimal, rounding: str) -> Value:
    if places != int(places) or not -6_000 <= places <= 6_000:
        return None
    return number.quantize(Decimal(1).scaleb(-int(places)), rounding, ARITHMETIC)


def _whole(rounding: str) -> Callable[..., Value]:
    def rounded(number: Decimal, places: Decimal = Decimal(0)) -> Value:
        return _rounded(number, places, rounding)

    return rounded


def _modulo(dividend: Decimal, divisor: Decimal) -> Value:
    """Has the sign of the divisor."""
    if not divisor:
        return None
    quotient = ARITHMETIC.divide(dividend, divisor).to_integral_value(ROUND_FLOOR)
    return ARITHMETIC.subtract(dividend, ARITHMETIC.multiply(divisor, quotient))


def _absolute(value: Value) -> Value:
    if isinstance(value, Months):
        return Months(abs(value.months))
    return abs(value) if kind(value) in {"number", "days and time duration"} else None


def _date(*parts: Value) -> Value:
    match parts:
        case (str(text),):
            return read_date(text)
        case (datetime() as moment,):
            return moment.date()
        case (date() as day,):
            return day
        case (Decimal() as year, Decimal() as month, Decimal() as day_of_month):
            return date(int(year), int(month), int(day_of_month))
    return None


def _time(*parts: Value) -> Value:
    match parts:
        case (str(text),):
            return read_time(text)
        case (datetime() as moment,):
            return moment.timetz()
        case (time() as clock,):
            return clock
        case (Decimal() as hour, Decimal() as minute, Decimal() as second):
            return time(int(hour), int(minute), int(second))
    return None


def _date_and_time(*parts: Value) -> Value:
    match parts:
        case (str(text),):
            return read_date_and_time(text)
        case (datetime() as moment,):
            return moment
        case (date() as day, time() as clock):
            return datetime.combine(day, clock)
    return None


def _months_between(start: Value, end: Value) -> Value:
    if not isinstance(start, date) or not isinstance(end, date):
        return None
    months = 12 * (end.year - start.year) + end.month - start.month
    if months > 0 and end.day < start.day:
        months -= 1
    elif months < 0 and end.day > start.day:
        months += 1
    return Months(months)


def _duration(value: Value) -> Value:
    return value if isinstance(value, timedelta | Months) else read_duration(value) if isinstance(value, str) else None


def _number(text: Value, *separators: Value) -> Value:
    if kind(text) == "number" and not separators:
        return text
    for separator, written in zip(separators, ("", "."), strict=False):
        if separator is not None:
            text = text.replace(separator, written)
    return read_number(text)


def _substring(text: str, start: Decimal, length: Value = None) -> Value:
    """Characters count from 1, or from -1 backwards."""
    begin = int(start) - 1 if start > 0 else len(text) + int(start)
    if not start or begin < 0 or start != int(start):
        return None
    return text[begin:] if length is None else text[begin : begin + int(length)]


def _before(text: str, sought: str) -> str:
    return text.partition(sought)[0] if sought and sought in text else ""


def _after(text: str, sought: str) -> str:
    return text.partition(sought)[2] if sought else text


def _contains(items: list[Value], sought: Value) -> bool:
    return any(equal(item, sought) is True for item in items)


def _distinct(items: list[Value]) -> list[Value]:
    found: list[Value] = []
    for item in items:
        if not _contains(found, item):
            found.append(item)
    return found


def _positions(items: list[Value], sought: Value) -> list[Value]:
    return [Decimal(place) for place, item in enumerate(items, 1) if equal(item, sought) is True]


def _joined(*lists: Value) -> list[Value] | None:
    if sum(len(part) for part in lists if isinstance(part, list)) > MOST_ITEMS:
        return None
    return [item for part in lists for item in (part if isinstance(part, list) else [part])]


def _flat(items: list[Value]) -> list[Value]:
    found: list[Value] = []
    waiting = list(reversed(items))
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(reversed(item))
        else:
            found.append(item)
    return found


def _all(*truths: Value) -> bool | None:
    return all_true(truths)


def _any(*truths: Value) -> bool | None:
    return any_true(truths)


def _entry(whole: Value, key: str) -> Value:
    return whole.get(key) if isinstance(whole, Mapping) else None


FUNCTIONS: Mapping[str, Function] = {
    "not": Function(opposite, 1, 1),
    "min": Function(_least, 1, None),
    "max": Function(_greatest, 1, None),
    "sum": Function(_numbers(total), 1, None),
    "mean": Function(_numbers(_mean), 1, None),
    "count": Function(lambda items: Decimal(len(items)), 1, 1, ("list",)),
    "all": Function(_all, 0, None),
    "any": Function(_any, 0, None),
    "abs": Function(_absolute, 1, 1),
    "floor": Function(_whole(ROUND_FLOOR), 1, 2, ("number", "number")),
    "ceiling": Function(_whole(ROUND_CEILING), 1, 2, ("number", "number")),
    "decimal": Function(_whole(ROUND_HALF_EVEN), 2, 2, ("number", "number")),
    "round up": Function(_whole("ROUND_UP"), 2, 2, ("number", "number")),
    "round down": Function(_whole("ROUND_DOWN"), 2, 2, ("number", "number")),
    "round half up": Function(_whole("ROUND_HALF_UP"), 2, 2, ("number", "number")),
    "round half down": Function(_whole("ROUND_HALF_DOWN"), 2, 2, ("number", "number")),
    "modulo": Function(_modulo, 2, 2, ("number", "number")),
    "sqrt": Function(ARITHMETIC.sqrt, 1, 1, ("number",)),
    "even": Function(lambda number: _modulo(number, Decimal(2)) == 0, 1, 1, ("number",)),
    "odd": Function(lambda number: _modulo(number, Decimal(2)) == 1, 1, 1, ("number",)),
    "number": Function(_number, 1, 3),
    "string": Function(lambda value: None if value is None else value_text(value), 1, 1),
    "date": Function(_date, 1, 3),
    "time": Function(_time, 1, 3),
    "date and time": Function(_date_and_time, 1, 2),
    "duration": Function(_duration, 1, 1),
    "years and months duration": Function(_months_between, 2, 2),
    "string length": Function(lambda text: Decimal(len(text)), 1, 1, ("string",)),
    "upper case": Function(lambda text: text.upper(), 1, 1, ("string",)),
    "lower case": Function(lambda text: text.lower(), 1, 1, ("string",)),
    "substring": Function(_substring, 2, 3, ("string", "number", "number")),
    "substring before": Function(_before, 2, 2, ("string", "string")),
    "substring after": Function(_after, 2, 2, ("string", "string")),
    "contains": Function(lambda text, part: part in text, 2, 2, ("string", "string")),
    "starts with": Function(lambda text, part: text.startswith(part), 2, 2, ("string", "string")),
    "ends with": Function(lambda text, part: text.endswith(part), 2, 2, ("string", "string")),
    "list contains": Function(_contains, 2, 2, ("list",)),
    "index of": Function(_positions, 2, 2, ("list",)),
    "distinct values": Function(_distinct, 1, 1, ("list",)),
    "reverse": Function(lambda items: items[::-1], 1, 1, ("list",)),
    "append": Function(lambda items, *more: [*items, *more], 2, 1_000, ("list",)),
    "concatenate": Function(_joined, 1, 1_000),
    "union": Function(lambda *lists: _distinct(_joined(*lists) or []), 1, 1_000),
    "flatten": Function(_flat, 1, 1, ("list",)),
    "get value": Function(_entry, 2, 2, ("context", "string")),
}
