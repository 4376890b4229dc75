"""Limits whose hit policy looks at every row, as code for the reference: one statement after another, exact integers.

A condition that is unknown makes such a limit unknown, because the row it belongs to might count. So does a value that is.
"""

from math import lcm

from dealgate.rules.compiling import Slot, Source, times
from dealgate.rules.policy import Limit


class _Names:
    """Variables of one limit: its value, the row it came from, and how many rows hold, below zero when that cannot be said."""

    def __init__(self, source: Source, limit: Limit) -> None:
        self.top, self.bottom, self.hits = source.name(), source.name(), source.name()
        self.row = f"row_{limit.name}"


def write_by_all_rows(
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
