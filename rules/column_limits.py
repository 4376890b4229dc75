"""Limits as columns: decision tables by every hit policy, three-valued as the reference makes them.

By `first`, an unknown condition above the first true row makes the limit unknown. By any other hit policy an unknown condition
makes it unknown wherever it stands, and so does the unknown value of a row that counts.
"""

from collections.abc import Sequence
from functools import reduce
from math import lcm
from typing import NamedTuple

import narwhals as nw

from dealgate.rules.column_numbers import (
    UNKNOWN,
    ColumnNumber,
    add,
    choose,
    compare,
    constant,
    extreme,
    over,
    whole,
)
from dealgate.rules.policy import Limit

NO_VALUE = ColumnNumber(UNKNOWN, 0, 0)


class Truth(NamedTuple):
    """A truth by column; null where it is unknown."""

    expression: nw.Expr
    nullable: bool = True


class TableRow(NamedTuple):
    """A row that always matches has no condition."""

    when: Truth | None
    value: ColumnNumber


def limit_column(limit: Limit, rows: Sequence[TableRow], default: ColumnNumber | None) -> ColumnNumber:
    *aligned, last = _one_denominator([*(row.value for row in rows), default or NO_VALUE])
    rows = [row._replace(value=value) for row, value in zip(rows, aligned, strict=True)]
    if limit.hit_policy == "first":
        return _first(rows)
    return _by_all_rows(limit, rows, last)


def _one_denominator(values: list[ColumnNumber]) -> list[ColumnNumber]:
    """Rows that are plain ratios over a common denominator: comparisons with the limit then stay small."""
    known = [value for value in values if value is not NO_VALUE]
    if not all(isinstance(value.bottom, int) for value in known):
        return values
    common = lcm(*(value.most_bottom for value in known))
    return [
        value._replace(bottom=common, most_bottom=common) if value is NO_VALUE else over(value, common)
        for value in values
    ]


def _first(rows: Sequence[TableRow]) -> ColumnNumber:
    found: ColumnNumber | None = None
    for row in reversed(rows):
        if row.when is None:
            found = row.value
            continue
        other = found or row.value._replace(top=UNKNOWN, nullable=True)
        found = choose(row.when.expression, row.value, other)
        if row.when.nullable:
            found = _unknown_where(row.when.expression.is_null(), found)
    return found or NO_VALUE


def _unknown_where(condition: nw.Expr, number: ColumnNumber) -> ColumnNumber:
    return number._replace(top=nw.when(condition).then(UNKNOWN).otherwise(number.expression), nullable=True)


def _by_all_rows(limit: Limit, rows: Sequence[TableRow], default: ColumnNumber) -> ColumnNumber:
    hits = _hits(rows)
    if (limit.aggregate or limit.hit_policy) == "count":
        found = ColumnNumber(hits, 0, len(rows), nullable=False)
    else:
        found = _AGGREGATES[limit.aggregate or limit.hit_policy](rows, default)
    if limit.default:
        found = choose(hits == 0, default, found)
    doubtful = _doubts(limit, rows)
    return _unknown_where(reduce(lambda one, other: one | other, doubtful), found) if doubtful else found


def _holds(row: TableRow) -> nw.Expr:
    """Never null: a row whose condition is unknown does not hold."""
    if row.when is None:
        return nw.lit(True)
    return nw.coalesce(row.when.expression, nw.lit(False)) if row.when.nullable else row.when.expression


def _hits(rows: Sequence[TableRow]) -> nw.Expr:
    counted = (nw.when(_holds(row)).then(whole(1)).otherwise(whole(0)) for row in rows)
    return reduce(lambda one, other: one + other, counted)


def _doubts(limit: Limit, rows: Sequence[TableRow]) -> list[nw.Expr]:
    found = [row.when.expression.is_null() for row in rows if row.when and row.when.nullable]
    if limit.aggregate != "count" and limit.hit_policy != "unique":
        found += [_holds(row) & row.value.expression.is_null() for row in rows if row.value.nullable]
    if limit.hit_policy == "unique":
        found.append(_hits(rows) > 1)
    if limit.hit_policy == "any":
        first = _earliest(rows, NO_VALUE)
        differs = (nw.coalesce(compare("!=", row.value, first), nw.lit(False)) for row in rows)
        found += [_holds(row) & other for row, other in zip(rows, differs, strict=True)]
    return found


def _earliest(rows: Sequence[TableRow], default: ColumnNumber) -> ColumnNumber:
    """The value of the first row that holds."""
    found = default._replace(bottom=rows[0].value.bottom) if default is NO_VALUE else default
    for row in reversed(rows):
        found = choose(_holds(row), row.value, found)
    return found


def _total(rows: Sequence[TableRow], default: ColumnNumber) -> ColumnNumber:
    total = reduce(add, (choose(_holds(row), row.value, _none(row.value)) for row in rows))
    return choose(_hits(rows) == 0, _absent(total), total)


def _none(value: ColumnNumber) -> ColumnNumber:
    return constant(0)._replace(bottom=value.bottom, most_bottom=value.most_bottom)


def _absent(value: ColumnNumber) -> ColumnNumber:
    return value._replace(top=UNKNOWN, nullable=True)


def _edge(name: str, rows: Sequence[TableRow]) -> ColumnNumber:
    """The least or greatest of the rows that hold, row by row; null until one has."""
    found = choose(_holds(rows[0]), rows[0].value, _absent(rows[0].value))
    for row in rows[1:]:
        better = choose(found.expression.is_null(), row.value, extreme(name, row.value, found))
        found = choose(_holds(row), better, found)
    return found


def _least(rows: Sequence[TableRow], _: ColumnNumber) -> ColumnNumber:
    return _edge("min", rows)


def _greatest(rows: Sequence[TableRow], _: ColumnNumber) -> ColumnNumber:
    return _edge("max", rows)


_AGGREGATES = {"unique": _earliest, "any": _earliest, "sum": _total, "min": _least, "max": _greatest}
