"""Limits as code for the reference: one statement after another, exact integers.

Hit policy `first` takes the first row that holds; an unknown row above it makes the limit unknown. Every other hit policy looks at
every row, and a condition that is unknown makes such a limit unknown, because the row it belongs to might count. So does a value
that is.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import lcm
from typing import TypeGuard

from dealgate.rules.compiling import Compiler, Slot, Source, times, whole_cents
from dealgate.rules.expressions import All, Comparison, FieldName, Membership, Missing, Not, Number, Text, Truth, walk
from dealgate.rules.expressions import Any as AnyOf
from dealgate.rules.fields import Unit
from dealgate.rules.policy import Limit, Measure

REMEMBERED = 1_024
"""Combinations of words (tier, condition, state) whose limits are kept; there are few, and the same ones come again and again."""


def goes_by_words(definition: Measure | Limit) -> TypeGuard[Limit]:
    """Whether this is a limit that chooses among fixed amounts by words of the deal alone: its answer is worth remembering."""
    if isinstance(definition, Measure):
        return False
    nodes = [node for row in definition.all_rows for part in (row.when, row.limit) for node in walk(part)]
    logic = Number | Text | Truth | Comparison | Membership | Missing | Not | All | AnyOf
    return all(
        node.unit in {Unit.TEXT, Unit.BOOLEAN} if isinstance(node, FieldName) else isinstance(node, logic)
        for node in nodes
    )


def write_limit(compiler: Compiler, limit: Limit) -> Slot:
    source = compiler.source
    conditions = [compiler.write(row.when) if row.when else None for row in limit.rows]
    slots = [whole_cents(source, compiler.write(row.limit), limit.unit) for row in limit.rows]
    if limit.hit_policy == "first":
        return _write_first_row(source, limit, conditions, slots)
    default = whole_cents(source, compiler.write(limit.default.limit), limit.unit) if limit.default else None
    return _write_all_rows(source, limit, conditions, slots, default)


def write_word_tables(compiler: Compiler, limits: Sequence[Limit]) -> tuple[str, str]:
    """Limits that go by words, in a function of the words alone that remembers its answers.

    Returns the names of two tuples: every limit's numerator and denominator, and every limit's row.
    """
    expressions = [part for limit in limits for row in limit.all_rows for part in (row.when, row.limit)]
    words = dict.fromkeys(node for part in expressions for node in walk(part) if isinstance(node, FieldName))
    tables = Compiler(Source(", ".join(word.name for word in words)), compiler.collateral_value, compiler.equity)
    tables.take_as_written({word: Slot(word.name) for word in words})
    inner = [write_limit(tables, limit) for limit in limits]
    values, rows = (
        "".join(f"{one}, " for one in found) for found in (_flat(inner), [f"row_{limit.name}" for limit in limits])
    )
    function = lru_cache(REMEMBERED)(tables.source.build("tables", f"({values}), ({rows})"))
    source = compiler.source
    found, found_rows = source.name(), source.name()
    given = ", ".join(compiler.write(word).numerator for word in words)
    source.add(f"{found}, {found_rows} = {source.constant(function)}({given})")
    slots = [Slot(source.name(), "1" if slot.denominator == "1" else source.name()) for slot in inner]
    source.add(f"{''.join(f'{name}, ' for name in _flat(slots, ignored='_'))} = {found}")
    compiler.names.update(zip([limit.name for limit in limits], slots, strict=True))
    return found, found_rows


def _flat(slots: Sequence[Slot], ignored: str = "1") -> list[str]:
    """Numerators and denominators in turn, those that are 1 under another name."""
    return [
        part for slot in slots for part in (slot.numerator, ignored if slot.denominator == "1" else slot.denominator)
    ]


def _write_first_row(source: Source, limit: Limit, conditions: Sequence[Slot | None], slots: Sequence[Slot]) -> Slot:
    top, bottom, row_name = source.name(), source.name(), f"row_{limit.name}"
    unknown = f"{top} = None; {bottom} = 1; {row_name} = -1"
    # rows stand beside each other: a chain of a thousand `elif` would be nested a thousand deep
    source.add("while True:")
    source.depth += 1
    for index, (condition, slot) in enumerate(zip(conditions, slots, strict=True)):
        found = f"{top} = {slot.numerator}; {bottom} = {slot.denominator}; {row_name} = {index}"
        if condition is None:
            source.add(f"{found}; break")
            break
        source.add(f"if {condition.numerator}: {found}; break")
        if condition.nullable:
            source.add(f"if {condition.numerator} is None: {unknown}; break")
    else:
        source.add(f"{unknown}; break")
    source.depth -= 1
    integral = {slot.denominator for slot in slots} == {"1"}
    return Slot(top, "1" if integral else bottom)


class _Names:
    """Variables of one limit: its value, the row it came from, and how many rows hold, below zero when that cannot be said."""

    def __init__(self, source: Source, limit: Limit) -> None:
        self.top, self.bottom, self.hits = source.name(), source.name(), source.name()
        self.row = f"row_{limit.name}"


def _write_all_rows(
    source: Source, limit: Limit, conditions: list[Slot | None], slots: list[Slot], default: Slot | None
) -> Slot:
    names = _Names(source, limit)
    common = _common_denominator(slots)
    source.add(f"{names.top} = None; {names.bottom} = {common or 1}; {names.row} = -1; {names.hits} = 0")
    source.add("while True:")
    source.depth += 1
    for index, (condition, slot) in enumerate(zip(conditions, slots, strict=True)):
        if condition is not None and condition.nullable:
            source.add(f"if {condition.numerator} is None: {names.hits} = -1; break")
        source.add(f"if {condition.numerator if condition else 'True'}:")
        source.depth += 1
        _write_hit(source, limit, names, slot, index, common)
        source.depth -= 1
    source.add("break")
    source.depth -= 1
    _write_no_hit(source, limit, names, default)
    source.add(f"if {names.hits} < 0: {names.top} = None; {names.bottom} = 1; {names.row} = -1")
    integral = {slot.denominator for slot in [*slots, *([default] if default else [])]} == {"1"}
    return Slot(names.top, "1" if integral or limit.aggregate == "count" else names.bottom)


def _common_denominator(slots: list[Slot]) -> int | None:
    """Of rows that are plain numbers: sums over a common one stay small."""
    if all(slot.denominator.isdigit() for slot in slots):
        return lcm(*(int(slot.denominator) for slot in slots))
    return None


def _write_hit(source: Source, limit: Limit, names: _Names, slot: Slot, index: int, common: int | None) -> None:
    top, bottom, row, hits = names.top, names.bottom, names.row, names.hits
    taken = f"{top} = {slot.numerator}; {bottom} = {slot.denominator}; {row} = {index}; {hits} = 1"
    differs = f"{times(slot.numerator, bottom)} {{}} {times(top, slot.denominator)}"
    if limit.aggregate != "count" and limit.hit_policy != "unique" and slot.nullable:
        source.add(f"if {slot.numerator} is None: {hits} = -1; break")
    match limit.aggregate or limit.hit_policy:
        case "unique":
            source.add(f"if {hits}: {hits} = -1; break")
            source.add(taken)
        case "any":
            source.add(f"if not {hits}: {taken}")
            source.add(f"elif {differs.format('!=')}: {hits} = -1; break")
        case "min" | "max":
            order = "<" if limit.aggregate == "min" else ">"
            source.add(f"if not {hits} or {differs.format(order)}: {taken}")
        case "count":
            source.add(f"{hits} += 1")
        case "sum":
            source.add(f"{row} = -1 if {hits} else {index}")
            source.add(f"if not {hits}: {top} = 0")
            if common is not None:
                source.add(f"{top} += {times(slot.numerator, str(common // int(slot.denominator)))}; {hits} = 1")
            else:
                source.add(f"{top} = {times(top, slot.denominator)} + {times(slot.numerator, bottom)}; {hits} = 1")
                source.add(f"{bottom} = {times(bottom, slot.denominator)}")


def _write_no_hit(source: Source, limit: Limit, names: _Names, default: Slot | None) -> None:
    if limit.aggregate == "count":
        source.add(f"{names.top} = {names.hits}")
    if default is not None:
        taken = f"{names.top} = {default.numerator}; {names.bottom} = {default.denominator}; {names.row} = {len(limit.rows)}"
        source.add(f"if {names.hits} == 0: {taken}")
