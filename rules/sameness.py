"""Which parts of two policies mean the same: a proof about both writes them once.

Two expressions that are spelled alike mean the same only if all that they name does.
"""

from collections.abc import Hashable, Iterator

from dealgate.rules.expressions import (
    DealOutcome,
    Expression,
    LimitName,
    ListedValue,
    ListedValueAsOf,
    MeasureName,
    Projected,
    Violated,
    walk,
)
from dealgate.rules.policy import Limit, Measure, Policy


class Sameness:
    """Of two policies."""

    def __init__(self, first: Policy, second: Policy) -> None:
        self._listed_value = first.collateral_value == second.collateral_value
        self._equity = first.equity == second.equity
        self._expressions: dict[Expression, bool] = {}
        self._definitions: set[str] = set()
        self._rules: set[str] = set()
        self._compare_definitions(first, second)
        self._compare_rules(first, second)

    def definition(self, name: str) -> bool:
        return name in self._definitions

    def expression(self, expression: Expression) -> bool:
        if expression not in self._expressions:
            self._expressions[expression] = all(map(self._node, walk(expression)))
        return self._expressions[expression]

    def _node(self, node: Expression) -> bool:
        match node:
            case MeasureName(name) | LimitName(name):
                return name in self._definitions
            case Violated(rule):
                return rule in self._rules
            case ListedValue() | ListedValueAsOf():
                return self._listed_value
            case Projected():
                return self._equity
            case DealOutcome():
                return False
        return True

    def _compare_definitions(self, first: Policy, second: Policy) -> None:
        others = {definition.name: definition for definition in first.definitions}
        for definition in second.definitions:  # each after what it reads
            other = others.get(definition.name)
            alike = other is not None and meaning(other) == meaning(definition)
            if alike and all(map(self.expression, expressions_in(definition))):
                self._definitions.add(definition.name)

    def _compare_rules(self, first: Policy, second: Policy) -> None:
        others = {rule.id: rule for rule in first.rules}
        for rule in (rule for layer in second.layers for rule in layer):  # each after those that it reads
            other = others.get(rule.id)
            alike = other is not None and other.expressions() == rule.expressions()
            if alike and all(map(self.expression, rule.expressions())):
                self._rules.add(rule.id)


def meaning(definition: Measure | Limit) -> Hashable:
    """What a measure or limit computes, without its words and where it stands."""
    if isinstance(definition, Measure):
        return definition.unit, definition.formula
    rows = tuple((row.when, row.limit) for row in definition.rows)
    default = definition.default.limit if definition.default else None
    return definition.unit, definition.hit_policy, definition.aggregate, rows, default


def expressions_in(definition: Measure | Limit) -> Iterator[Expression]:
    if isinstance(definition, Measure):
        yield definition.formula
    else:
        yield from (part for row in definition.all_rows for part in (row.when, row.limit) if part is not None)
