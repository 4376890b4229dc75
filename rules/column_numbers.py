"""Exact numbers as columns: a numerator and a positive denominator, with the bounds that keep them within what a column holds.

Every operation proves its result from the bounds of its operands. What may outgrow 64 bits is computed in decimals of 38 digits;
what may outgrow these raises `UnboundedError`, and nothing wraps around. Null is unknown, and every operation on an unknown
number is unknown.
"""

from collections.abc import Sequence
from functools import reduce
from math import gcd, lcm
from typing import NamedTuple, TypeAlias

import narwhals as nw

LARGEST = 2**62
"""Half of what an integer column holds, so that a rounding has room beside it."""

WIDE = nw.Decimal(38, 0)
WIDEST = 10**37

Top: TypeAlias = nw.Expr | int


class UnboundedError(ValueError):
    """A number whose size cannot be proved to stay within what a column holds."""


def whole(value: int) -> nw.Expr:
    return nw.lit(value, dtype=nw.Int64)


UNKNOWN = nw.lit(None, dtype=nw.Int64)


class ColumnNumber(NamedTuple):
    """`low` and `high` bound the numerator, `most_bottom` the denominator, which is above zero wherever the number is known."""

    top: Top
    low: int
    high: int
    bottom: Top = 1
    most_bottom: int = 1
    nullable: bool = True
    wide: bool = False

    @property
    def expression(self) -> nw.Expr:
        return whole(self.top) if isinstance(self.top, int) else self.top

    @property
    def denominator(self) -> nw.Expr:
        return whole(self.bottom) if isinstance(self.bottom, int) else self.bottom


def constant(numerator: int, denominator: int = 1) -> ColumnNumber:
    return ColumnNumber(numerator, numerator, numerator, denominator, denominator, nullable=False)


def narrow(number: ColumnNumber) -> ColumnNumber:
    """A number that a 64-bit column holds. Raises `UnboundedError`."""
    if number.wide or max(-number.low, number.high, number.most_bottom) > LARGEST:
        raise UnboundedError
    return number


def _with_room(low: int, high: int, most_bottom: int, *numbers: ColumnNumber) -> tuple[ColumnNumber, ...]:
    """The operands, wide where a result of these bounds needs it or another operand is."""
    largest = max(-low, high, most_bottom)
    if largest > WIDEST:
        raise UnboundedError
    if largest > LARGEST or any(number.wide for number in numbers):
        return tuple(map(_widened, numbers))
    return numbers


def _widened(number: ColumnNumber) -> ColumnNumber:
    if number.wide:
        return number
    top, bottom = (part if isinstance(part, int) else part.cast(WIDE) for part in (number.top, number.bottom))
    return number._replace(top=top, bottom=bottom, wide=True)


def add(left: ColumnNumber, right: ColumnNumber, sign: int = 1) -> ColumnNumber:
    left, right = _over_one_bottom(left, right)
    ends = sorted((sign * right.low, sign * right.high))
    low, high = left.low + ends[0], left.high + ends[1]
    left, right = _with_room(low, high, left.most_bottom, left, right)
    nullable = left.nullable or right.nullable
    return left._replace(top=_sum(left.top, right.top, sign), low=low, high=high, nullable=nullable)


def multiply(left: ColumnNumber, right: ColumnNumber) -> ColumnNumber:
    low, high = _product_bounds(left.low, left.high, right.low, right.high)
    most_bottom = left.most_bottom * right.most_bottom
    left, right = _with_room(low, high, most_bottom, left, right)
    top, bottom = _product(left.top, right.top), _product(left.bottom, right.bottom)
    return ColumnNumber(top, low, high, bottom, most_bottom, left.nullable or right.nullable, left.wide)


def divide(left: ColumnNumber, right: ColumnNumber) -> ColumnNumber:
    """Unknown where the divisor is not positive."""
    if isinstance(right.top, int) and right.top <= 0:
        return ColumnNumber(UNKNOWN, 0, 0)
    low, high = _product_bounds(left.low, left.high, 1, right.most_bottom)
    most_bottom = left.most_bottom * max(1, right.high)
    left, right = _with_room(low, high, most_bottom, left, right)
    top, bottom = _product(left.top, right.bottom), _product(left.bottom, right.top)
    if not isinstance(right.top, int):
        known = right.top > 0
        top = nw.when(known).then(whole(top) if isinstance(top, int) else top)
        bottom = nw.when(known).then(bottom).otherwise(whole(1))
    return ColumnNumber(top, low, high, bottom, most_bottom, left.nullable or not isinstance(right.top, int), left.wide)


def compare(operator: str, left: ColumnNumber, right: ColumnNumber) -> nw.Expr:
    """Null where either is."""
    left, right = _over_one_bottom(*reduced(left, right))
    left, right = _with_room(0, 0, 1, left, right)
    return compare_columns(operator, left.expression, right.top)


def compare_columns(operator: str, left: nw.Expr, right: object) -> nw.Expr:
    compared: nw.Expr = getattr(left, _COMPARISONS[operator])(right)
    return compared


_COMPARISONS = {"<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__", "==": "__eq__", "!=": "__ne__"}


def reduced(left: ColumnNumber, right: ColumnNumber) -> tuple[ColumnNumber, ColumnNumber]:
    """Two numbers to be compared, their plain denominators without what they have in common."""
    if not isinstance(left.bottom, int) or not isinstance(right.bottom, int):
        return left, right
    common = gcd(left.bottom, right.bottom)
    first, second = left.bottom // common, right.bottom // common
    return left._replace(bottom=first, most_bottom=first), right._replace(bottom=second, most_bottom=second)


def extreme(name: str, left: ColumnNumber, right: ColumnNumber) -> ColumnNumber:
    """The lesser or the greater of two; unknown if either is."""
    if isinstance(left.top, int) and isinstance(right.top, int):
        chosen = (
            (left, right)
            if (left.top * _plain(right.bottom) <= right.top * _plain(left.bottom)) == (name == "min")
            else (right, left)
        )
        return chosen[0]
    if not right.nullable and left.nullable:
        left, right = right, left  # what may be unknown stands last: an unknown comparison leads there
    left, right = _with_room(0, 0, 1, left, right)
    takes_left = compare("<" if name == "min" else ">", left, right)
    ends = min if name == "min" else max
    low, high = ends(left.low, right.low), ends(left.high, right.high)
    same = _same(left.bottom, right.bottom)
    if not same:
        low, high = min(left.low, right.low), max(left.high, right.high)
    last = right.expression
    if left.nullable:
        last = last + (left.expression - left.expression)
    return ColumnNumber(
        nw.when(takes_left).then(left.expression).otherwise(last),
        low,
        high,
        left.bottom if same else nw.when(takes_left).then(left.denominator).otherwise(right.denominator),
        max(left.most_bottom, right.most_bottom),
        left.nullable or right.nullable,
        left.wide,
    )


def greatest(numbers: Sequence[ColumnNumber]) -> ColumnNumber:
    """The greatest of several; unknown if any is. One expression where the denominators are plain, else two by two."""
    if not all(isinstance(number.bottom, int) for number in numbers):
        middle = len(numbers) // 2
        return numbers[0] if len(numbers) == 1 else extreme("max", *map(greatest, (numbers[:middle], numbers[middle:])))
    bottom = lcm(*(_plain(number.bottom) for number in numbers))
    scaled = [over(number, bottom) for number in numbers]
    low, high = max(number.low for number in scaled), max(number.high for number in scaled)
    tops = [number.expression for number in _with_room(low, high, bottom, *scaled)]
    doubtful = [number.expression.is_null() for number in scaled if number.nullable]
    top = nw.max_horizontal(*tops)
    if doubtful:
        top = nw.when(~reduce(lambda one, other: one | other, doubtful)).then(top)
    return ColumnNumber(top, low, high, bottom, bottom, bool(doubtful), any(number.wide for number in scaled))


def choose(condition: nw.Expr, chosen: ColumnNumber, other: ColumnNumber) -> ColumnNumber:
    """One number where the condition is true, the other where it is false or null."""
    chosen, other = _with_room(0, 0, 1, chosen, other)
    same = _same(chosen.bottom, other.bottom)
    bottom = chosen.bottom if same else nw.when(condition).then(chosen.denominator).otherwise(other.denominator)
    return ColumnNumber(
        nw.when(condition).then(chosen.expression).otherwise(other.expression),
        min(chosen.low, other.low),
        max(chosen.high, other.high),
        bottom,
        max(chosen.most_bottom, other.most_bottom),
        chosen.nullable or other.nullable,
        chosen.wide,
    )


def half_up(number: ColumnNumber) -> ColumnNumber:
    """Whole cents: the nearest integer, halves up."""
    if isinstance(number.bottom, int) and number.bottom == 1:
        return number
    if isinstance(number.top, int):
        return constant((2 * number.top + _plain(number.bottom)) // (2 * _plain(number.bottom)))
    low, high = min(number.low, 0) - 1, max(number.high, 0) + 1
    if isinstance(number.bottom, int):
        low, high = low // number.bottom - 1, high // number.bottom + 1
    narrow(number._replace(low=2 * number.low - number.most_bottom, high=2 * number.high + number.most_bottom))
    rounded = (2 * number.top + number.bottom) // (2 * number.denominator)
    return ColumnNumber(rounded.cast(nw.Int64), low, high, nullable=number.nullable)


def over(number: ColumnNumber, bottom: int) -> ColumnNumber:
    """The same number over a plain denominator that its own one divides."""
    factor = bottom // _plain(number.bottom)
    low, high = number.low * factor, number.high * factor
    (number,) = _with_room(low, high, bottom, number)
    return number._replace(top=_product(number.top, factor), low=low, high=high, bottom=bottom, most_bottom=bottom)


def _plain(top: Top) -> int:
    assert isinstance(top, int)
    return top


def _same(left: Top, right: Top) -> bool:
    if isinstance(left, int) and isinstance(right, int):
        return left == right
    return left is right


def _over_one_bottom(left: ColumnNumber, right: ColumnNumber) -> tuple[ColumnNumber, ColumnNumber]:
    if _same(left.bottom, right.bottom):
        return left, right
    return _scaled(left, right), _scaled(right, left)


def _scaled(number: ColumnNumber, other: ColumnNumber) -> ColumnNumber:
    """Over both denominators."""
    low, high = _product_bounds(number.low, number.high, 1, other.most_bottom)
    most_bottom = number.most_bottom * other.most_bottom
    number, other = _with_room(low, high, most_bottom, number, other)
    top, bottom = _product(number.top, other.bottom), _product(number.bottom, other.bottom)
    return number._replace(top=top, low=low, high=high, bottom=bottom, most_bottom=most_bottom)


def _product(left: Top, right: Top) -> Top:
    if isinstance(left, int) and isinstance(right, int):
        return left * right
    if isinstance(left, int):
        left, right = right, left
    assert isinstance(left, nw.Expr)
    if isinstance(right, int) and right == 1:
        return left
    return left * (whole(right) if isinstance(right, int) else right)


def _sum(left: Top, right: Top, sign: int) -> Top:
    if isinstance(left, int) and isinstance(right, int):
        return left + sign * right
    if isinstance(left, int):
        assert isinstance(right, nw.Expr)
        return whole(left) + right if sign > 0 else whole(left) - right
    other = whole(right) if isinstance(right, int) else right
    return left + other if sign > 0 else left - other


def _product_bounds(low: int, high: int, other_low: int, other_high: int) -> tuple[int, int]:
    ends = [low * other_low, low * other_high, high * other_low, high * other_high]
    return min(ends), max(ends)
