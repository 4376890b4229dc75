"""Why a rule came out as it did, from data: the comparison at its heart, the distance, and one sentence a dealer understands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

from dealgate.rules.amounts import dollars, half_up, hundredths, percent
from dealgate.rules.compiling import RATE_DENOMINATOR
from dealgate.rules.expressions import (
    All,
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
from dealgate.rules.finding import INCOMPLETE, Evidence, Finding, RestsOn
from dealgate.rules.phrasing import phrase, title_of
from dealgate.rules.policy import Measure, Outcome, Policy, Row, Rule
from dealgate.rules.reference import Result, Value
from dealgate.rules.tracing import Trace
from dealgate.rules.writing import expression_text

PASS, VIOLATED, MITIGATED, NOT_APPLICABLE, NOT_EVALUABLE = Result
"""By short names: to look a member up through its class costs as much as half a sentence."""

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

OVER = {"<=": "over", "<": "over", ">=": "short", ">": "short", "==": "off", "!=": "off"}


Ratio = tuple[int, int]
"""An exact number: numerator and positive denominator."""


class Told(NamedTuple):
    """What a comparison came to, exact and in words. `room` is negative when the comparison fails."""

    value: Ratio
    limit: Ratio
    value_text: str | int
    limit_text: str | int
    room_text: str | int | None
    excess_text: str | int | None
    sentence: str


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

ROOM_SHOWN: Mapping[Unit, Callable[[Ratio], str | int]] = {
    **SHOWN,
    Unit.MONEY: lambda room: hundredths(room[0] // room[1]),
    Unit.COUNT: lambda room: room[0] // room[1],
}
"""Room is rounded down and excess therefore up: what breaks a limit by less than a cent breaks it by a cent."""

ROOM_IN_WORDS: Mapping[Unit, Callable[[Ratio], str]] = {
    **IN_WORDS,
    Unit.MONEY: lambda room: dollars(room[0] // room[1]),
    Unit.PERCENT: lambda room: percent(*room) + " points",
}


def _year_in_words(value: Ratio) -> str:
    return str(value[0])


class Heart:
    """The comparison a finding is about, with everything about it that no deal can change."""

    def __init__(self, comparison: Comparison, policy: Policy) -> None:
        left, right = comparison.left, comparison.right
        measured = policy.measures[left.name] if isinstance(left, MeasureName) else None
        self.comparison = comparison
        self.unit = left.unit
        self.unit_text = left.unit.value
        self.measure = _name(left)
        self.in_words: Callable[[Ratio], str] = _year_in_words if self.measure == "model_year" else IN_WORDS[self.unit]
        self.subject = title_of(left, policy.measures)
        self.left, self.right = _reader(left), _reader(right)
        self.share = measured is not None and self.unit == Unit.PERCENT and is_share_of_money(measured)
        self.room_unit = Unit.MONEY if self.share else self.unit
        self.shown, self.room_shown = SHOWN[self.unit], ROOM_SHOWN[self.room_unit]
        self.room_in_words = ROOM_IN_WORDS[self.room_unit]
        self.over, self.allows = OVER[comparison.operator], ALLOWS[comparison.operator]
        self.reading = measured.reading if measured and self.share else ""
        self.limit_name = right.name if isinstance(right, LimitName) else None
        self.rows = policy.limits[right.name].all_rows if isinstance(right, LimitName) else ()
        self.who = "the policy" if isinstance(right, Number | LimitName) else f"the policy ({expression_text(right)})"
        self.conditions = [expression_text(row.when) if row.when else None for row in self.rows]
        self.fields_of_row = [_fields_tested([row] if row.when else self.rows) for row in self.rows]
        names = dict.fromkeys(
            node
            for node in walk(measured.formula if measured else None)
            if isinstance(node, MeasureName | FieldName) and node.unit in NUMERIC
        )
        self.parts = [(node.name, SHOWN[node.unit], _reader(node)) for node in names]
        self.collateral_is_listed = isinstance(policy.measures["collateral_value"].formula, ListedValue)

    def tell(self, trace: Trace, result: Result) -> Told | None:
        """None when one side is unknown."""
        value, limit = self.left(trace), self.right(trace)
        if value is None or limit is None:
            return None
        value_text, limit_text, in_words = self.shown(value), self.shown(limit), self.in_words
        spelled_out = self._spelled_out(value, trace) if self.reading else ""
        sentence = (
            f"{self.subject} is {in_words(value)}{spelled_out}; {self._who(trace)} {self.allows} {in_words(limit)}."
        )
        room = None if result is NOT_APPLICABLE or result is NOT_EVALUABLE else self._room(value, limit)
        if room is None:
            return Told(value, limit, value_text, limit_text, None, None, sentence)
        room_text = self.room_shown(room)
        if result is PASS:
            return Told(value, limit, value_text, limit_text, room_text, None, sentence + self._to_spare(room))
        excess = (-room[0], room[1]) if self.room_unit == Unit.PERCENT else (-(room[0] // room[1]), 1)
        sentence += f" {self.room_in_words(excess)} {self.over}." if room[0] else " Exactly at the limit."
        if excess[0] and in_words(value) == in_words(limit):
            sentence += " The difference is too small to show at two places."
        return Told(value, limit, value_text, limit_text, room_text, self.room_shown(excess), sentence)

    def _room(self, value: Ratio, limit: Ratio) -> Ratio | None:
        """How far inside its limit a value is; of a share of money, in money; None for `!=`."""
        gap = limit[0] * value[1] - value[0] * limit[1]
        match self.comparison.operator:
            case "<=" | "<":
                room = gap
            case ">=" | ">":
                room = -gap
            case "==":
                room = -abs(gap)
            case _:
                return None
        return room, limit[1] if self.share else limit[1] * value[1]

    def _to_spare(self, room: Ratio) -> str:
        if room[0] > 0:
            return f" {self.room_in_words(room)} to spare."
        return "" if self.comparison.operator == "==" else " Exactly at the limit."

    def points(self, told: Told) -> str | None:
        """The room in percentage points, of a measure whose room is told in money."""
        if not self.share:
            return None
        (value, per), (limit, limit_per) = told.value, told.limit
        gap = limit * per - value * limit_per
        return percent(-gap if self.comparison.operator in {">", ">="} else gap, per * limit_per)

    def inputs(self, trace: Trace) -> Mapping[str, str | int]:
        """What the measure was computed from: the known names of its formula."""
        found: dict[str, str | int] = {}
        for name, shown, read in self.parts:
            value = read(trace)
            if value is not None:
                found[name] = shown(value)
        return found

    def row(self, trace: Trace) -> int:
        """The number of the table row that gave the limit, or -1."""
        return trace.reckoning.limits[self.limit_name].row if self.limit_name else -1

    def _spelled_out(self, value: Ratio, trace: Trace) -> str:
        """The amounts behind a ratio: "($37,769.69 financed on a J.D. Power clean trade value of $27,000.00)"."""
        bottom = dollars(value[1])
        reading = self.reading.replace("{numerator}", dollars(value[0])).replace("{denominator}", bottom)
        if "{collateral}" in reading:
            basis = trace.listed_basis() if self.collateral_is_listed else None
            reading = reading.replace(
                "{collateral}", f"{basis_name(basis) if basis else 'a collateral value'} of {bottom}"
            )
        return f" ({reading})"

    def _who(self, trace: Trace) -> str:
        """On whose account the limit holds: "tier B", "tier A on a new vehicle", else "the policy"."""
        index = self.row(trace)
        if index < 0 or not self.fields_of_row[index]:
            return self.who
        named = [
            _with_value(name, trace.facts[name])
            for name in self.fields_of_row[index]
            if name != "condition" and trace.facts[name] is not None
        ]
        condition = f" on a {trace.facts['condition']} vehicle" if "condition" in self.fields_of_row[index] else ""
        return (", ".join(named) or self.who) + condition


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


@dataclass(frozen=True)
class Explainer:
    """Builds the findings of one rule."""

    rule: Rule
    policy: Policy

    @cached_property
    def hearts(self) -> tuple[Heart, ...]:
        operands = self.rule.require.operands if isinstance(self.rule.require, All) else (self.rule.require,)
        return tuple(
            Heart(facing_the_limit(node), self.policy)
            for node in operands
            if isinstance(node, Comparison) and node.left.unit in NUMERIC
        )

    @cached_property
    def rests_on(self) -> tuple[str, ...]:
        return self.rule.rests_on()

    @cached_property
    def used_consumer_report(self) -> bool:
        return used_consumer_report(self.policy, self.rule)

    @cached_property
    def condition(self) -> str:
        return (
            f"Does not apply: only where {phrase(self.rule.applies, self.policy.measures)}."
            if self.rule.applies
            else ""
        )

    @cached_property
    def requirement(self) -> tuple[str, str]:
        """What is said of a requirement that is no comparison of numbers, where it holds and where it does not."""
        if self.rests_on:
            return f"{self.rule.title}: holds.", f"{self.rule.title}: does not hold."
        required = f"{self.rule.title}. The policy requires that {phrase(self.rule.require, self.policy.measures)}"
        return f"{required}: it holds.", f"{required}: it does not hold."

    @cached_property
    def severities(self) -> Mapping[Result, Outcome]:
        mitigated = self.rule.mitigated_by
        return {
            PASS: Outcome.PASS,
            NOT_APPLICABLE: Outcome.PASS,
            VIOLATED: self.rule.otherwise,
            MITIGATED: mitigated.to if mitigated else Outcome.PASS,
            NOT_EVALUABLE: self.policy.on_unknown,
        }

    @cached_property
    def reasons(self) -> Mapping[Result, str]:
        return {VIOLATED: self.rule.reason, MITIGATED: self.rule.reason, NOT_EVALUABLE: INCOMPLETE}

    def finding(self, result: Result, trace: Trace) -> Finding:
        missing = tuple(trace.missing_for_rule(self.rule.id)) if result is NOT_EVALUABLE else ()
        rests_on: tuple[RestsOn, ...] = ()
        if self.rests_on:
            rests_on = tuple(RestsOn(name, trace.reckoning.results[name]) for name in self.rests_on)
        return Finding(
            self.rule.id,
            self.rule.title,
            result,
            self.severities[result],
            self.reasons.get(result),
            missing,
            rests_on,
            self.used_consumer_report,
            partial(self._evidence, result, trace, missing, rests_on),
        )

    def _evidence(
        self, result: Result, trace: Trace, missing: tuple[str, ...], rests_on: tuple[RestsOn, ...]
    ) -> Evidence:
        heart = self._heart(result, trace)
        told = heart.tell(trace, result) if heart else None
        sentence = self._sentence(result, told, missing, rests_on)
        if heart is None:
            return Evidence(sentence)
        row = heart.row(trace)
        origin = heart.rows[row].origin if row >= 0 else None
        when = heart.conditions[row] if row >= 0 else None
        if told is None:
            return Evidence(
                sentence,
                heart.measure,
                unit=heart.unit_text,
                inputs=heart.inputs(trace),
                limit_when=when,
                limit_origin=origin,
            )
        return Evidence(
            sentence,
            heart.measure,
            told.value_text,
            told.limit_text,
            heart.unit_text,
            told.room_text,
            heart.points(told) if told.room_text is not None else None,
            told.excess_text,
            heart.inputs(trace),
            when,
            origin,
            told.value,
            told.limit,
        )

    def _heart(self, result: Result, trace: Trace) -> Heart | None:
        """Of several comparisons joined by `and`, the first that fails, else the first unknown, else the first.

        None where what fails is not a comparison of numbers: a comparison that holds would explain nothing.
        """
        if not isinstance(self.rule.require, All):
            return self.hearts[0] if self.hearts else None
        truths = [trace.value(heart.comparison) for heart in self.hearts]
        return next(
            (
                heart
                for wanted in (False, None)
                for heart, truth in zip(self.hearts, truths, strict=True)
                if truth is wanted
            ),
            None if result in {VIOLATED, MITIGATED} else next(iter(self.hearts), None),
        )

    def _sentence(
        self, result: Result, told: Told | None, missing: tuple[str, ...], rests_on: tuple[RestsOn, ...]
    ) -> str:
        if result is NOT_APPLICABLE:
            return self.condition
        if result is NOT_EVALUABLE:
            are, them = ("are", "them") if len(missing) > 1 else ("is", "it")
            return f"Cannot be judged: {' and '.join(missing) or 'a needed value'} {are} unknown. Supply {them} and submit the deal again."
        sentence = told.sentence if told else self.requirement[0 if result is PASS else 1]
        if rests_on:
            sentence += (
                " Rests on " + ", ".join(f"{part.rule} ({part.result.replace('_', ' ')})" for part in rests_on) + "."
            )
        if result is MITIGATED and self.rule.mitigated_by:
            sentence += (
                f" Mitigated to {self.rule.mitigated_by.to}, because "
                f"{phrase(self.rule.mitigated_by.when, self.policy.measures)}."
            )
        return sentence


def used_consumer_report(policy: Policy, rule: Rule) -> bool:
    """Whether a rule reads the credit score or the tier, also through measures, limits and other rules.

    Then an adverse action on it rests "in whole or in part" on a consumer report: 15 USC 1681m(a).
    """
    seen: set[Expression] = set()
    waiting: list[Expression | None] = [*rule.expressions(), *_of_other_rules(policy, rule)]
    while waiting:
        for node in walk(waiting.pop()):
            if isinstance(node, FieldName) and FIELDS[node.name].consumer_report:
                return True
            if node in seen:
                continue
            seen.add(node)
            if isinstance(node, MeasureName):
                waiting.append(policy.measures[node.name].formula)
            if isinstance(node, LimitName):
                waiting.extend(part for row in policy.limits[node.name].all_rows for part in (row.when, row.limit))
    return False


def _of_other_rules(policy: Policy, rule: Rule) -> list[Expression]:
    by_id = {other.id: other for other in policy.rules}
    found, waiting = dict[str, None](), list(rule.rests_on())
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting.extend(by_id[name].rests_on())
    return [expression for name in found for expression in by_id[name].expressions()]
