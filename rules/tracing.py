"""Reading the typed tree beside a reckoning: what a part of an expression came to, and what is missing where it is unknown.

Evidence only: nothing here decides. The walk is written apart from the compiled reference, so tests hold one against the other.
"""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from fractions import Fraction
from typing import Any

from dealgate.rules.amounts import half_up
from dealgate.rules.compiling import RATE_DENOMINATOR
from dealgate.rules.equity import project
from dealgate.rules.expressions import (
    All,
    Arithmetic,
    BookValueAsOf,
    BookValueOn,
    Comparison,
    DaysBetween,
    DealOutcome,
    Expression,
    Extreme,
    FieldName,
    FirstKnown,
    Greatest,
    ItemName,
    LevelPayment,
    LimitName,
    ListedValue,
    ListedValueAsOf,
    ListSum,
    MeasureName,
    Membership,
    Missing,
    Not,
    Number,
    Projected,
    Text,
    Truth,
    Violated,
    Year,
    parts,
)
from dealgate.rules.expressions import Any as AnyOf
from dealgate.rules.fields import FIELDS, Facts, Unit
from dealgate.rules.payment import level_payment
from dealgate.rules.policy import Limit, Policy
from dealgate.rules.reference import Reckoning, Result, Value

NO_ROW_HOLDS, SEVERAL_ROWS_HOLD = "(no row holds)", "(several rows hold)"
"""Why a limit is unknown of which everything is known: the policy says nothing of the deal, or says two things."""

COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
}


class Trace:
    """One deal under one policy, open to questions."""

    def __init__(self, policy: Policy, facts: Facts, reckoning: Reckoning) -> None:
        self.policy = policy
        self.facts = facts
        self.reckoning = reckoning
        self.told: dict[object, Any] = {}
        """What was put into words already, by whoever did it."""
        self.standing: dict[object, Any] = {}
        """What no lever moves, by whoever read it."""
        self._item: Mapping[str, Any] = {}
        self._missing_for_measure: dict[str, list[str]] = {}
        self._item_path = ""

    def value(self, expression: Expression) -> Any:
        """A Fraction (cents for money), text, date or truth; None when unknown."""
        match expression:
            case Number():
                return Fraction(expression.numerator, expression.denominator)
            case Text(value) | Truth(value):
                return value
            case FieldName(name, unit):
                return _scaled(self.facts[name], unit)
            case ItemName(name, unit):
                return _scaled(self._item[name], unit)
            case MeasureName(name):
                return fraction(self.reckoning.measures[name])
            case LimitName(name):
                return fraction(self.reckoning.limits[name])
            case BookValueOn(basis):
                return _scaled(self.facts["values"].get(basis), Unit.MONEY)
            case BookValueAsOf(basis):
                return self.facts["values_as_of"].get(basis)
            case ListedValue():
                listed = self.listed_basis()
                return None if listed is None else Fraction(self.facts["values"][listed])
            case ListedValueAsOf():
                listed = self.listed_basis()
                return None if listed is None else self.facts["values_as_of"][listed]
            case FirstKnown(operands):
                return next((value for value in map(self.value, operands) if value is not None), None)
            case ListSum() | Greatest():
                return self._over_items(expression)
            case Missing(operand):
                return self.value(operand) is None
            case DealOutcome():
                return self.policy.outcome(self.reckoning.results).value
            case Violated(rule):
                result = self.reckoning.results[rule]
                return None if result == Result.NOT_EVALUABLE else result in {Result.VIOLATED, Result.MITIGATED}
            case All(operands):
                return _kleene(map(self.value, operands), decisive=False)
            case AnyOf(operands):
                return _kleene(map(self.value, operands), decisive=True)
            case _:
                return self._operation(expression)

    def _operation(self, expression: Expression) -> Any:
        values = [self.value(part) for part in parts(expression)]
        if None in values:
            return None
        match expression:
            case Arithmetic(operator):
                return _arithmetic(operator, *values)
            case Extreme(name):
                return min(values) if name == "min" else max(values)
            case Year():
                return Fraction(values[0].year)
            case DaysBetween():
                return Fraction((values[1] - values[0]).days)
            case LevelPayment():
                amount, rate, months = values
                cents = level_payment(
                    amount.numerator, amount.denominator, rate.numerator, rate.denominator, int(months)
                )
                return None if cents is None else Fraction(cents)
            case Projected():
                return self._projected(expression, values)
            case Comparison(operator):
                return COMPARE[operator](*values)
            case Membership():
                return values[0] in values[1:]
            case Not():
                return not values[0]
        raise TypeError(f"{type(expression).__name__} has no value")

    def _projected(self, node: Projected, values: list[Fraction]) -> Fraction | None:
        amount, rate, months, value = values[:4]
        projection = project(
            self.policy.equity, whole_cents(amount), rate.numerator, rate.denominator, int(months), whole_cents(value)
        )
        if projection is None:
            return None
        match node.reading:
            case "break_even":
                return Fraction(projection.break_even_month)
            case "deepest_shortfall":
                return Fraction(projection.peak_shortfall)
        return Fraction(projection.deficiency(int(values[4]))) if values[4] >= 0 else None

    def _over_items(self, node: ListSum | Greatest) -> Fraction | None:
        total = Fraction(0)
        for _ in self._items(node):
            where = True if node.where is None else self.value(node.where)
            value = self.value(node.value) if where else Fraction(0)
            if where is None or value is None:
                return None
            total = max(total, value) if isinstance(node, Greatest) else total + value
        return total

    def _items(self, node: ListSum | Greatest) -> Iterator[Mapping[str, Any]]:
        outer = self._item, self._item_path
        try:
            for index, item in enumerate(self.facts[node.list]):
                self._item, self._item_path = item, f"{node.list}[{index}]"
                yield item
        finally:
            self._item, self._item_path = outer

    def listed_basis(self) -> str | None:
        """The basis that gave the collateral value."""
        bases = self.policy.collateral_value.get(self.facts["condition"], ())
        return next((basis for basis in bases if basis in self.facts["values"]), None)

    # What is missing

    def missing(self, expression: Expression | None) -> list[str]:
        """The fields of the deal that leave an unknown expression unknown, in reading order, without repeats."""
        return [] if expression is None else list(dict.fromkeys(self._missing(expression)))

    def _missing(self, expression: Expression) -> Iterable[str]:
        if not isinstance(expression, ListSum | Greatest) and self.value(expression) is not None:
            return ()
        match expression:
            case FieldName(name):
                return [FIELDS[name].path]
            case ItemName(name):
                return [f"{self._item_path}.{name}"]
            case MeasureName(name):
                if name not in self._missing_for_measure:
                    self._missing_for_measure[name] = self.missing(self.policy.measures[name].formula)
                return self._missing_for_measure[name]
            case LimitName(name):
                return self._missing_for_limit(name)
            case Violated(rule):
                return self.missing_for_rule(rule)
            case BookValueOn(basis):
                return [f"vehicle.values[{basis}]"]
            case ListedValue():
                return self._missing_value()
            case BookValueAsOf(basis):
                return [_day_of(basis)]
            case ListedValueAsOf():
                listed = self.listed_basis()
                return self._missing_value() if listed is None else [_day_of(listed)]
            case FirstKnown(operands):
                # The last operand is the way to work the value out; the ones before it are values a host may happen to have.
                return self._missing(operands[-1])
            case ListSum() | Greatest():
                return self._missing_items(expression)
            case _:
                found = [name for part in parts(expression) for name in self._missing(part)]
                return found or self._not_positive(expression)

    def _missing_value(self) -> list[str]:
        condition = self.facts["condition"]
        if condition is None:
            return ["vehicle.condition"]
        return [f"vehicle.values[{' | '.join(self.policy.collateral_value[condition]) or condition}]"]

    def _missing_items(self, node: ListSum | Greatest) -> list[str]:
        names: list[str] = []
        for _ in self._items(node):
            where = True if node.where is None else self.value(node.where)
            if where is None:
                names += self.missing(node.where)
            elif where and self.value(node.value) is None:
                names += self.missing(node.value)
        return names

    def _missing_for_limit(self, name: str) -> list[str]:
        limit = self.policy.limits[name]
        if limit.hit_policy != "first":
            return self._missing_for_all_rows(limit)
        for row in limit.rows:
            matches = True if row.when is None else self.value(row.when)
            if matches is None:
                return self.missing(row.when)
            if matches:
                return self.missing(row.limit)
        return [f"{name} {NO_ROW_HOLDS}"]

    def _missing_for_all_rows(self, limit: Limit) -> list[str]:
        """Where every row counts: what leaves a condition or a value unknown, else how the rows fail each other."""
        matches = [True if row.when is None else self.value(row.when) for row in limit.rows]
        unknown = [
            name
            for row, holds in zip(limit.rows, matches, strict=True)
            if holds is None
            for name in self.missing(row.when)
        ]
        hits = [row for row, holds in zip(limit.rows, matches, strict=True) if holds]
        rows = hits or ([limit.default] if limit.default else [])
        unknown += [name for row in rows if self.value(row.limit) is None for name in self.missing(row.limit)]
        return unknown or [f"{limit.name} {SEVERAL_ROWS_HOLD if hits else NO_ROW_HOLDS}"]

    def missing_for_rule(self, name: str) -> list[str]:
        rule = next(rule for rule in self.policy.rules if rule.id == name)
        if rule.applies is not None and self.value(rule.applies) is None:
            return self.missing(rule.applies)
        return self.missing(rule.require)

    def _not_positive(self, expression: Expression) -> list[str]:
        """All operands are known, yet there is no result: a divisor or an amount is not above zero."""
        if isinstance(expression, Arithmetic):
            names = [node for node in (expression.right,) if isinstance(node, FieldName | MeasureName | ItemName)]
        elif isinstance(expression, LevelPayment):
            names = [node for node in (expression.amount,) if isinstance(node, FieldName | MeasureName)]
        elif isinstance(expression, Projected):
            operands = (expression.amount, expression.value)
            known = [node for node in operands if isinstance(node, FieldName | MeasureName)]
            names = [node for node in known if self.value(node) <= 0]
        else:
            names = []
        return [f"{self._path(node)} (above zero)" for node in names]

    def _path(self, node: FieldName | MeasureName | ItemName) -> str:
        if isinstance(node, ItemName):
            return f"{self._item_path}.{node.name}"
        return FIELDS[node.name].path if isinstance(node, FieldName) else node.name


def _day_of(basis: str) -> str:
    return f"vehicle.values[{basis}].as_of (on or before submitted_on)"


def fraction(value: Value) -> Fraction | None:
    return None if value.numerator is None else Fraction(value.numerator, value.denominator)


def whole_cents(value: Fraction) -> int:
    return half_up(value.numerator, value.denominator)


def _scaled(value: Any, unit: Unit) -> Fraction | str | bool | date | None:
    if value is None or unit in {Unit.TEXT, Unit.BOOLEAN, Unit.DATE}:
        known: str | bool | date | None = value
        return known
    return Fraction(value, RATE_DENOMINATOR if unit == Unit.PERCENT else 1)


def _arithmetic(operator: str, left: Fraction, right: Fraction) -> Fraction | None:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    return left / right if right > 0 else None


def _kleene(values: Iterable[bool | None], *, decisive: bool) -> bool | None:
    seen = list(values)
    if decisive in seen:
        return decisive
    return None if None in seen else not decisive
