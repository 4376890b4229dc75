"""Which parts of a decision would tell a personal fact of the deal, such as an income."""

from collections.abc import Iterable
from typing import NamedTuple

from dealgate.rules.expressions import Expression, FieldName, LimitName, MeasureName, walk
from dealgate.rules.fields import FIELDS
from dealgate.rules.policy import Policy, definition_expressions
from dealgate.rules.staleness import tells_of_quotes


class PersonalParts(NamedTuple):
    """The measures and rules of a policy that rest on a personal field, directly or through measures and limits.

    A rule on a payoff quote is among them: its sentence names the lienholder, whom nothing else in the decision tells.
    """

    measures: frozenset[str]
    rules: frozenset[str]


def personal_parts(policy: Policy) -> PersonalParts:
    found: set[str] = set()
    for definition in policy.definitions:
        if _tells(definition_expressions(definition), found):
            found.add(definition.name)
    rules = frozenset(
        rule.id for rule in policy.rules if _tells(rule.expressions(), found) or tells_of_quotes(policy, rule.require)
    )
    return PersonalParts(frozenset(found & policy.measures.keys()), rules)


def _tells(expressions: Iterable[Expression | None], personal: set[str]) -> bool:
    """Whether expressions read a personal field, or a definition already known to."""
    for expression in expressions:
        for node in walk(expression):
            if isinstance(node, FieldName) and FIELDS[node.name].personal:
                return True
            if isinstance(node, MeasureName | LimitName) and node.name in personal:
                return True
    return False
