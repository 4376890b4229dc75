"""Why a rule came out as it did, from data: the comparison at its heart, the distance, and one sentence a dealer understands."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from dealgate.rules.amounts import dollars, hundredths, percent
from dealgate.rules.compiling import RATE_DENOMINATOR
from dealgate.rules.decision import INCOMPLETE, Finding, RestsOn
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
from dealgate.rules.policy import Measure, Outcome, Policy, Row, Rule
from dealgate.rules.reference import Result
from dealgate.rules.tracing import Trace
from dealgate.rules.writing import expression_text

NUMERIC = {Unit.MONEY, Unit.PERCENT, Unit.COUNT}

ALLOWS = {"<=": "allows", "<": "allows less than", ">=": "requires at least", ">": "requires more than", "==": "requires", "!=": "rules out"}
OVER = {"<=": "over", "<": "over", ">=": "short", ">": "short", "==": "off", "!=": "off"}


class Ratio(NamedTuple):
    """An exact number, the denominator positive."""

    numerator: int
    denominator: int = 1


class Distance(NamedTuple):
    """A number, what it is held against, and the room between them: negative when the comparison fails, None for `!=`."""

    value: Ratio
    limit: Ratio
    room: Ratio | None
    room_unit: Unit


def is_share_of_money(measure: Measure) -> bool:
    """Whether a percent is one amount of money divided by another, both in whole cents."""
    formula = measure.formula
    if not isinstance(formula, Arithmetic) or formula.operator != "/" or formula.left.unit != Unit.MONEY:
        return False
    inner = [node for side in (formula.left, formula.right) for node in walk(side) if isinstance(node, Arithmetic)]
    return formula.right.unit == Unit.MONEY and all(node.operator in {"+", "-"} for node in inner)


def plain_amount(value: Ratio, unit: Unit) -> str | int:
    """For programs: "139.89", "2000.00", 72. Room is rounded down, so that what breaks a limit never shows as kept."""
    if unit == Unit.PERCENT:
        return percent(*value)
    whole = value.numerator // value.denominator
    return hundredths(whole) if unit == Unit.MONEY else whole


def amount_in_words(value: Ratio, unit: Unit) -> str:
    if unit == Unit.PERCENT:
        return f"{percent(*value)} %"
    whole = value.numerator // value.denominator
    return dollars(whole) if unit == Unit.MONEY else f"{whole:,}"


class Heart:
    """The comparison a finding is about, with everything about it that no deal can change."""

    def __init__(self, comparison: Comparison, policy: Policy) -> None:
        self.comparison = comparison
        self.unit = comparison.left.unit
        self.measure = _name(comparison.left)
        self.subject = _label(comparison.left, policy)
        left, right = comparison.left, comparison.right
        measured = policy.measures[left.name] if isinstance(left, MeasureName) else None
        self.share = measured is not None and self.unit == Unit.PERCENT and is_share_of_money(measured)
        self.reading = measured.reading if measured and self.share else ""
        self.rows = policy.limits[right.name].rows if isinstance(right, LimitName) else ()
        self.who = "the policy" if isinstance(right, Number | LimitName) else f"the policy ({expression_text(right)})"
        self.fields_of_row = [_fields_tested([row] if row.when else self.rows) for row in self.rows]

    def distance(self, trace: Trace) -> Distance | None:
        """None when one side is unknown."""
        value, limit = _ratio(self.comparison.left, trace), _ratio(self.comparison.right, trace)
        if value is None or limit is None:
            return None
        operator = self.comparison.operator
        gap = limit.numerator * value.denominator - value.numerator * limit.denominator
        room = {"<": gap, ">": -gap, "=": -abs(gap)}.get(operator[0])
        if room is None:
            return Distance(value, limit, None, self.unit)
        if self.share:
            return Distance(value, limit, Ratio(room, limit.denominator), Unit.MONEY)
        return Distance(value, limit, Ratio(room, limit.denominator * value.denominator), self.unit)

    def row(self, trace: Trace) -> Row | None:
        """The table row that gave the limit."""
        index = self._row_index(trace)
        return self.rows[index] if index >= 0 else None

    def _row_index(self, trace: Trace) -> int:
        limit = self.comparison.right
        return trace.reckoning.limits[limit.name].row if isinstance(limit, LimitName) else -1

    def sentence(self, found: Distance, result: Result, trace: Trace) -> str:
        value, limit = amount_in_words(found.value, self.unit), amount_in_words(found.limit, self.unit)
        operator = self.comparison.operator
        text = f"{self.subject} is {value}{self._spelled_out(found.value, trace)}; {self._who(trace)} {ALLOWS[operator]} {limit}."
        if found.room is None:
            return text
        if result == Result.PASS:
            if found.room.numerator > 0:
                return f"{text} {_room_in_words(found.room, found.room_unit)} to spare."
            return text if operator == "==" else f"{text} Exactly at the limit."
        text += f" {_room_in_words(Ratio(-found.room.numerator, found.room.denominator), found.room_unit)} {OVER[operator]}."
        return f"{text} The difference is too small to show at two places." if value == limit and found.room.numerator else text

    def _spelled_out(self, value: Ratio, trace: Trace) -> str:
        """The amounts behind a ratio: "($37,769.69 financed on a J.D. Power clean trade value of $27,000.00)"."""
        if not self.reading:
            return ""
        bottom = dollars(value.denominator)
        reading = self.reading.replace("{numerator}", dollars(value.numerator)).replace("{denominator}", bottom)
        if "{collateral}" in reading:
            reading = reading.replace("{collateral}", f"{_collateral(trace)} of {bottom}")
        return f" ({reading})"

    def _who(self, trace: Trace) -> str:
        """On whose account the limit holds: "tier B", "tier A on a new vehicle", else "the policy"."""
        index = self._row_index(trace)
        if index < 0:
            return self.who
        named = [f"{name.replace('_', ' ')} {trace.facts[name]}" for name in self.fields_of_row[index] if name != "condition" and trace.facts[name] is not None]
        condition = f" on a {trace.facts['condition']} vehicle" if "condition" in self.fields_of_row[index] else ""
        return (", ".join(named) or self.who) + condition


def _ratio(expression: Expression, trace: Trace) -> Ratio | None:
    """Names and numbers are read off; anything else is worked out."""
    match expression:
        case MeasureName(name):
            value = trace.reckoning.measures[name]
        case LimitName(name):
            value = trace.reckoning.limits[name]
        case FieldName(name, unit):
            fact = trace.facts[name]
            return None if fact is None else Ratio(fact, RATE_DENOMINATOR if unit == Unit.PERCENT else 1)
        case Number(_, numerator, denominator):
            return Ratio(numerator, denominator)
        case _:
            worked_out = trace.value(expression)
            return None if worked_out is None else Ratio(worked_out.numerator, worked_out.denominator)
    return None if value.numerator is None else Ratio(value.numerator, value.denominator)


def _room_in_words(room: Ratio, unit: Unit) -> str:
    """A distance in full: what is over by less than a cent is over by a cent."""
    if unit == Unit.PERCENT:
        return f"{percent(*room)} points"
    return amount_in_words(Ratio(-(-room.numerator // room.denominator)), unit)


def _name(expression: Expression) -> str:
    return expression.name if isinstance(expression, FieldName | MeasureName | LimitName) else expression_text(expression)


def _label(expression: Expression, policy: Policy) -> str:
    if isinstance(expression, MeasureName):
        return policy.measures[expression.name].title
    if isinstance(expression, FieldName | LimitName):
        return expression.name.replace("_", " ").capitalize()
    return expression_text(expression)


def _collateral(trace: Trace) -> str:
    basis = trace.listed_basis()
    listed = isinstance(trace.policy.measures["collateral_value"].formula, ListedValue)
    return basis_name(basis) if basis and listed else "a collateral value"


def _fields_tested(rows: list[Row] | tuple[Row, ...]) -> tuple[str, ...]:
    """The words and counts a table goes by, the tier first."""
    names = [node.name for row in rows for node in walk(row.when) if isinstance(node, FieldName) and FIELDS[node.name].unit in {Unit.TEXT, Unit.COUNT}]
    return tuple(sorted(dict.fromkeys(names), key=lambda name: name != "tier"))


@dataclass(frozen=True)
class Explainer:
    """Builds the findings of one rule."""

    rule: Rule
    policy: Policy

    @cached_property
    def hearts(self) -> tuple[Heart, ...]:
        operands = self.rule.require.operands if isinstance(self.rule.require, All) else (self.rule.require,)
        return tuple(Heart(node, self.policy) for node in operands if isinstance(node, Comparison) and node.left.unit in NUMERIC)

    @cached_property
    def rests_on(self) -> tuple[str, ...]:
        return self.rule.rests_on()

    @cached_property
    def used_consumer_report(self) -> bool:
        return used_consumer_report(self.policy, self.rule)

    @cached_property
    def condition(self) -> str:
        return f"Does not apply: only where {expression_text(self.rule.applies)}." if self.rule.applies else ""

    @cached_property
    def requirement(self) -> str:
        return self.rule.title if self.rests_on else f"{self.rule.title}: {expression_text(self.rule.require)}"

    def finding(self, result: Result, trace: Trace) -> Finding:
        heart = self._heart(trace)
        found = heart.distance(trace) if heart else None
        missing = tuple(trace.missing_for_rule(self.rule.id)) if result == Result.NOT_EVALUABLE else ()
        rests_on = tuple(RestsOn(name, trace.reckoning.results[name]) for name in self.rests_on)
        broken = result in {Result.VIOLATED, Result.MITIGATED}
        room = found.room if found and result != Result.NOT_APPLICABLE else None
        row = heart.row(trace) if heart else None
        return Finding(
            rule=self.rule.id,
            title=self.rule.title,
            result=result,
            severity=self._severity(result),
            explanation=self._sentence(result, heart, found, missing, rests_on, trace),
            measure=heart.measure if heart else None,
            value=plain_amount(found.value, heart.unit) if heart and found else None,
            limit=plain_amount(found.limit, heart.unit) if heart and found else None,
            unit=heart.unit.value if heart else None,
            margin=plain_amount(room, found.room_unit) if found and room else None,
            excess=plain_amount(_up(room, found.room_unit), found.room_unit) if found and room and broken else None,
            limit_origin=row.origin if row else None,
            reason=self.rule.reason if broken else INCOMPLETE if result == Result.NOT_EVALUABLE else None,
            missing=missing,
            rests_on=rests_on,
            used_consumer_report=self.used_consumer_report,
            exact_value=found.value if found else None,
            exact_limit=found.limit if found else None,
        )

    def _heart(self, trace: Trace) -> Heart | None:
        """Of several comparisons joined by `and`, the first that fails, else the first unknown, else the first."""
        if len(self.hearts) <= 1:
            return self.hearts[0] if self.hearts else None
        truths = [trace.value(heart.comparison) for heart in self.hearts]
        return next((heart for wanted in (False, None) for heart, truth in zip(self.hearts, truths, strict=True) if truth is wanted), self.hearts[0])

    def _severity(self, result: Result) -> Outcome:
        if result == Result.VIOLATED:
            return self.rule.otherwise
        if result == Result.MITIGATED and self.rule.mitigated_by:
            return self.rule.mitigated_by.to
        return self.policy.on_unknown if result == Result.NOT_EVALUABLE else Outcome.PASS

    def _sentence(self, result: Result, heart: Heart | None, found: Distance | None, missing: tuple[str, ...], rests_on: tuple[RestsOn, ...], trace: Trace) -> str:
        if result == Result.NOT_APPLICABLE:
            return self.condition
        if result == Result.NOT_EVALUABLE:
            unknown, verb, it = (" and ".join(missing) or "a needed value", "are" if len(missing) > 1 else "is", "them" if len(missing) > 1 else "it")
            return f"Cannot be judged: {unknown} {verb} unknown. Supply {it} and submit the deal again."
        if heart and found:
            sentence = heart.sentence(found, result, trace)
        else:
            sentence = f"{self.requirement}: {'holds' if result == Result.PASS else 'does not hold'}."
        if rests_on:
            sentence += " Rests on " + ", ".join(f"{part.rule} ({part.result.replace('_', ' ')})" for part in rests_on) + "."
        if result == Result.MITIGATED and self.rule.mitigated_by:
            sentence += f" Mitigated to {self.rule.mitigated_by.to}, because {expression_text(self.rule.mitigated_by.when)}."
        return sentence


def _up(room: Ratio, unit: Unit) -> Ratio:
    """The excess: what is over by less than a cent is over by a cent."""
    return Ratio(-room.numerator, room.denominator) if unit == Unit.PERCENT else Ratio(-(room.numerator // room.denominator))


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
                waiting.extend(part for row in policy.limits[node.name].rows for part in (row.when, row.limit))
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
