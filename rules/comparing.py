"""The comparison at the heart of a finding, exact and in words: what is judged, what it is held against, and the room between."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from dealgate.rules.amounts import dollars, half_up, hundredths, percent, shown_and_told
from dealgate.rules.compiling import RATE_DENOMINATOR
from dealgate.rules.expressions import (
    Arithmetic,
    Comparison,
    Expression,
    FieldName,
    LimitName,
    ListedValue,
    MeasureName,
    Number,
    walk,
)
from dealgate.rules.fields import FIELDS, Unit, basis_name
from dealgate.rules.phrasing import title_of
from dealgate.rules.policy import Measure, Policy, Row
from dealgate.rules.reading import shipped_measures
from dealgate.rules.reference import Value
from dealgate.rules.tracing import Trace
from dealgate.rules.writing import expression_text

NUMERIC = {Unit.MONEY, Unit.PERCENT, Unit.COUNT}

ALLOWS = {
    "<=": "allows",
    "<": "allows less than",
    ">=": "requires at least",
    ">": "requires more than",
    "==": "requires",
    "!=": "rules out",
}
MIRRORED = {"<=": ">=", "<": ">", ">=": "<=", ">": "<", "==": "==", "!=": "!="}

ROOM_SIGNS: Mapping[str, int | None] = {"<=": 1, "<": 1, ">=": -1, ">": -1, "==": 0, "!=": None}
"""Which way room is counted: the limit above the value, below it, both ways; of `!=` there is none."""

EXACTLY = " Exactly at the limit."

OVER = {"<=": "over", "<": "over", ">=": "short", ">": "short", "==": "off", "!=": "off"}


Ratio = tuple[int, int]
"""An exact number: numerator and positive denominator."""


class Judged(NamedTuple):
    """What is judged, on one deal: exact, for programs, and as a sentence opens with it. `value` is None when it is unknown."""

    value: Ratio | None
    text: str | int | None
    opening: str
    inputs: Mapping[str, str | int]


class Held(NamedTuple):
    """What it is held against, on one deal, with the table row that gave it. `value` is None when it is unknown."""

    value: Ratio | None
    text: str | int | None
    closing: str
    when: str | None
    origin: str | None


Room = tuple[str | int | None, str | None, str | int | None, str]
"""How far inside its limit a value is, in points where that is told in money, how far beyond it is, and the words."""

NO_ROOM: Room = (None, None, None, "")

COLLATERAL_VALUE = MeasureName("collateral_value", Unit.MONEY)

PLACEHOLDER = re.compile(r"(\{(?:numerator|denominator|collateral)\})")

REMEMBERED = 64
"""Of one limit: most tables have a handful of amounts, and deal after deal is held against the same."""


def facing_the_limit(comparison: Comparison) -> Comparison:
    """What is judged on the left, what it is held against on the right: `125% >= total_ltv` is told like `total_ltv <= 125%`."""
    left, right = comparison.left, comparison.right
    if isinstance(left, Number | LimitName) and not isinstance(right, Number | LimitName):
        return Comparison(MIRRORED[comparison.operator], right, left)
    return comparison


def is_share_of_money(measure: Measure) -> bool:
    """Whether a percent is one amount of money divided by another, both in whole cents."""
    formula = measure.formula
    if not isinstance(formula, Arithmetic) or formula.operator != "/" or formula.left.unit != Unit.MONEY:
        return False
    inner = [node for side in (formula.left, formula.right) for node in walk(side) if isinstance(node, Arithmetic)]
    return formula.right.unit == Unit.MONEY and all(node.operator in {"+", "-"} for node in inner)


SHOWN: Mapping[Unit, Callable[[Ratio], str | int]] = {
    Unit.MONEY: lambda value: hundredths(half_up(*value)),
    Unit.PERCENT: lambda value: percent(*value),
    Unit.COUNT: lambda value: half_up(*value),
}
"""For programs: "2000.00", "139.89", 72; halves up."""

IN_WORDS: Mapping[Unit, Callable[[Ratio], str]] = {
    Unit.MONEY: lambda value: dollars(half_up(*value)),
    Unit.PERCENT: lambda value: percent(*value) + " %",
    Unit.COUNT: lambda value: f"{half_up(*value):,}",
}

SPOKEN = {"term_months": "a term of {} months", "mileage": "a mileage of {}", "model_year": "model year {}"}


def _money_room(top: int, bottom: int) -> tuple[str, str]:
    return shown_and_told(top // bottom)


def _percent_room(top: int, bottom: int) -> tuple[str, str]:
    shown = percent(top, bottom)
    return shown, f"{shown} points"


def _count_room(top: int, bottom: int) -> tuple[int, str]:
    return top // bottom, f"{half_up(top, bottom):,}"


ROOMS: Mapping[Unit, Callable[[int, int], tuple[str | int, str]]] = {
    Unit.MONEY: _money_room,
    Unit.PERCENT: _percent_room,
    Unit.COUNT: _count_room,
}
"""For programs and in words. Room is rounded down and excess therefore up: what breaks a limit by less than a cent breaks it by a cent."""


def _year_in_words(value: Ratio) -> str:
    return str(value[0])


class Part:
    """A part of a measure's formula that has a name, as the evidence lists it."""

    def __init__(self, node: MeasureName | FieldName) -> None:
        self.name, self.shown, self.read = node.name, SHOWN[node.unit], _reader(node)

    def on(self, trace: Trace) -> str | int | None:
        """Told once for each deal, however many formulas it is a part of."""
        value = self.read(trace)
        told = trace.told[self] = None if value is None else self.shown(value)
        return told


class Subject:
    """The left side of comparisons, with everything about it that no deal can change."""

    def __init__(self, left: Expression, sides: "Sides") -> None:
        policy = sides.policy
        measured = policy.measures[left.name] if isinstance(left, MeasureName) else None
        self.unit = left.unit
        self.measure = _name(left)
        self.title = title_of(left, policy.measures)
        self.in_words: Callable[[Ratio], str] = _year_in_words if self.measure == "model_year" else IN_WORDS[self.unit]
        self.share = measured is not None and self.unit == Unit.PERCENT and is_share_of_money(measured)
        self.reading = PLACEHOLDER.split(reading) if measured and self.share and (reading := _reading(measured)) else []
        self.collateral_is_listed = measured is not None and _divides_by_listed_value(measured, policy)
        self.read = _reader(left)
        names = dict.fromkeys(
            node
            for node in walk(measured.formula if measured else None)
            if isinstance(node, MeasureName | FieldName) and node.unit in NUMERIC
        )
        self.parts = [sides.part(node) for node in names]

    def on(self, trace: Trace) -> Judged:
        """Told once for each deal, however many rules judge it."""
        found: Judged | None = trace.told.get(self)
        if found is None:
            found = trace.told[self] = self._told(trace)
        return found

    def _told(self, trace: Trace) -> Judged:
        value, inputs = self.read(trace), self._inputs(trace)
        if value is None:
            return Judged(None, None, "", inputs)
        words = self.in_words(value)
        spelled_out = self._spelled_out(value, trace) if self.reading else ""
        return Judged(value, SHOWN[self.unit](value), f"{self.title} is {words}{spelled_out}; ", inputs)

    def _inputs(self, trace: Trace) -> Mapping[str, str | int]:
        """What the measure was computed from: the known names of its formula."""
        told, found = trace.told, dict[str, str | int]()
        for part in self.parts:
            text = told[part] if part in told else part.on(trace)
            if text is not None:
                found[part.name] = text
        return found

    def _spelled_out(self, value: Ratio, trace: Trace) -> str:
        """The amounts behind a ratio: "($37,769.69 financed on a J.D. Power clean trade value of $27,000.00)"."""
        bottom = dollars(value[1])
        texts = {"{numerator}": dollars(value[0]), "{denominator}": bottom}
        if "{collateral}" in self.reading:
            basis = trace.listed_basis() if self.collateral_is_listed else None
            texts["{collateral}"] = f"{basis_name(basis) if basis else 'a collateral value'} of {bottom}"
        return f" ({''.join([texts.get(piece, piece) for piece in self.reading])})"


class Standard:
    """What comparisons hold their left side against, with everything about it that no deal can change."""

    def __init__(self, comparison: Comparison, in_words: Callable[[Ratio], str], policy: Policy) -> None:
        right = comparison.right
        self.read, self.shown, self.in_words = _reader(right), SHOWN[comparison.left.unit], in_words
        self.allows = ALLOWS[comparison.operator]
        self.limit_name = right.name if isinstance(right, LimitName) else None
        self.rows = policy.limits[right.name].all_rows if isinstance(right, LimitName) else ()
        self.who = "the policy" if isinstance(right, Number | LimitName) else f"the policy ({expression_text(right)})"
        self.conditions = [expression_text(row.when) if row.when else None for row in self.rows]
        self.fields_of_row = [_fields_tested([row] if row.when else self.rows) for row in self.rows]
        self._in_words = lru_cache(REMEMBERED)(self._held)
        self.fixed = self._held((right.numerator, right.denominator), -1, ()) if isinstance(right, Number) else None

    def on(self, trace: Trace) -> Held:
        """Told once for each deal, however many rules hold something against it; a plain number once and for all."""
        found: Held | None = self.fixed or trace.told.get(self)
        if found is None:
            found = trace.told[self] = self._told(trace)
        return found

    def _told(self, trace: Trace) -> Held:
        value = self.read(trace)
        if self.limit_name is None:
            return self._in_words(value, -1, ())
        row = trace.reckoning.limits[self.limit_name].row
        return self._in_words(
            value, row, tuple([trace.facts[name] for name in self.fields_of_row[row]]) if row >= 0 else ()
        )

    def _held(self, value: Ratio | None, row: int, facts: tuple[Any, ...]) -> Held:
        """Of a value, its row and the facts that the row goes by."""
        when, origin = (self.conditions[row], self.rows[row].origin) if row >= 0 else (None, None)
        if value is None:
            return Held(None, None, "", when, origin)
        who = self._who(dict(zip(self.fields_of_row[row], facts, strict=True))) if row >= 0 else self.who
        return Held(value, self.shown(value), f"{who} {self.allows} {self.in_words(value)}.", when, origin)

    def _who(self, facts: Mapping[str, Any]) -> str:
        """On whose account the limit holds: "tier B", "tier A on a new vehicle", else "the policy"."""
        named = [_with_value(name, value) for name, value in facts.items() if name != "condition" and value is not None]
        condition = f" on a {facts['condition']} vehicle" if "condition" in facts else ""
        return (", ".join(named) or self.who) + condition


class Heart:
    """The comparison a finding is about."""

    def __init__(self, comparison: Comparison, sides: "Sides") -> None:
        self.comparison = comparison
        self.subject, self.standard = sides.subject(comparison), sides.standard(comparison)
        self.measure, self.unit_text = self.subject.measure, comparison.left.unit.value
        self.share = self.subject.share
        self.room_unit = Unit.MONEY if self.share else comparison.left.unit
        self.room_told = ROOMS[self.room_unit]
        self.over = OVER[comparison.operator]
        self.sign = ROOM_SIGNS[comparison.operator]

    def room(self, value: Ratio, limit: Ratio, *, passed: bool) -> Room:
        """How far inside its limit a value is; of a share of money, in money; nothing for `!=`."""
        if self.sign is None:
            return NO_ROOM
        gap = limit[0] * value[1] - value[0] * limit[1]
        top = -abs(gap) if self.sign == 0 else self.sign * gap
        over = limit[1] * value[1]
        bottom, points = (limit[1], percent(top, over)) if self.share else (over, None)
        text, words = self.room_told(top, bottom)
        if passed:
            to_spare = f" {words} to spare." if top > 0 else "" if self.sign == 0 else EXACTLY
            return text, points, None, to_spare
        excess = (-top, bottom) if self.room_unit == Unit.PERCENT else (-(top // bottom), 1)
        excess_text, excess_words = self.room_told(*excess)
        told = f" {excess_words} {self.over}." if top else EXACTLY
        if excess[0] and self.subject.in_words(value) == self.subject.in_words(limit):
            told += " The difference is too small to show at two places."
        return text, points, excess_text, told


class Sides:
    """What the rules of a policy compare: many judge the same measure, or hold it against the same limit."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._parts: dict[Expression, Part] = {}
        self._subjects: dict[Expression, Subject] = {}
        self._standards: dict[tuple[str, Expression, Callable[[Ratio], str]], Standard] = {}

    def part(self, node: MeasureName | FieldName) -> Part:
        if node not in self._parts:
            self._parts[node] = Part(node)
        return self._parts[node]

    def subject(self, comparison: Comparison) -> Subject:
        left = comparison.left
        if left not in self._subjects:
            self._subjects[left] = Subject(left, self)
        return self._subjects[left]

    def standard(self, comparison: Comparison) -> Standard:
        in_words = self.subject(comparison).in_words
        key = comparison.operator, comparison.right, in_words
        if key not in self._standards:
            self._standards[key] = Standard(comparison, in_words, self.policy)
        return self._standards[key]


def _reading(measure: Measure) -> str:
    """A shipped reading tells what the shipped formula divides: of a policy's own formula it may be untrue."""
    shipped = shipped_measures().get(measure.name)
    if shipped is None or measure.reading != shipped.reading or measure.formula == shipped.formula:
        return measure.reading
    by_collateral = isinstance(measure.formula, Arithmetic) and measure.formula.right == COLLATERAL_VALUE
    return "{numerator} on {collateral}" if by_collateral else "{numerator} on {denominator}"


def _divides_by_listed_value(measure: Measure, policy: Policy) -> bool:
    divisor = measure.formula.right if isinstance(measure.formula, Arithmetic) else None
    if divisor == COLLATERAL_VALUE:
        divisor = policy.measures["collateral_value"].formula
    return isinstance(divisor, ListedValue)


def _with_value(name: str, value: str | int) -> str:
    shown = f"{value:,}" if isinstance(value, int) and value > 9_999 else str(value)
    return SPOKEN.get(name, f"{name.replace('_', ' ')} {{}}").format(shown)


def _reader(expression: Expression) -> Callable[[Trace], Ratio | None]:
    """How to get at one side of a comparison: names and numbers are read off, anything else is worked out."""
    match expression:
        case MeasureName(name):
            return lambda trace: _known(trace.reckoning.measures[name])
        case LimitName(name):
            return lambda trace: _known(trace.reckoning.limits[name])
        case FieldName(name, unit):
            scale = RATE_DENOMINATOR if unit == Unit.PERCENT else 1
            return lambda trace: None if trace.facts[name] is None else (trace.facts[name], scale)
        case Number(_, numerator, denominator):
            number = (numerator, denominator)
            return lambda trace: number
        case _:
            return lambda trace: (
                None if (value := trace.value(expression)) is None else (value.numerator, value.denominator)
            )


def _known(value: Value) -> Ratio | None:
    return None if value[0] is None else (value[0], value[1])


def _name(expression: Expression) -> str:
    return (
        expression.name if isinstance(expression, FieldName | MeasureName | LimitName) else expression_text(expression)
    )


def _fields_tested(rows: list[Row] | tuple[Row, ...]) -> tuple[str, ...]:
    """The words and counts a table goes by, the tier first."""
    names = [
        node.name
        for row in rows
        for node in walk(row.when)
        if isinstance(node, FieldName) and FIELDS[node.name].unit in {Unit.TEXT, Unit.COUNT}
    ]
    return tuple(sorted(dict.fromkeys(names), key=lambda name: name != "tier"))
