"""The words that policies compare the texts of a deal with."""

from collections.abc import Iterable

from dealgate.rules.expressions import Comparison, Expression, FieldName, ItemName, Membership, Text, walk
from dealgate.rules.policy import Limit, Measure, Policy
from dealgate.rules.sameness import expressions_in


def expressions_of(policy: Policy) -> Iterable[Expression]:
    """Every expression of a policy."""
    definitions: list[Measure | Limit] = [*policy.measures.values(), *policy.limits.values()]
    for definition in definitions:
        yield from expressions_in(definition)
    for rule in policy.rules:
        yield from rule.expressions()
    for guarantee in policy.guarantees:
        yield guarantee.never
    if policy.applies_to is not None:
        yield policy.applies_to


def words_of(*policies: Policy) -> dict[str, list[str]]:
    """The words that policies compare each text of a deal with."""
    found: dict[str, dict[str, None]] = {}
    for expression in (expression for policy in policies for expression in expressions_of(policy)):
        for node in walk(expression):
            match node:
                case Comparison(left=left, right=right):
                    sides = [left, right]
                case Membership(operand, options):
                    sides = [operand, *options]
                case _:
                    continue
            names = [side.name for side in sides if isinstance(side, FieldName | ItemName)]
            for name in names or [""]:
                found.setdefault(name, {}).update({side.value: None for side in sides if isinstance(side, Text)})
    return {name: list(words) for name, words in found.items()}
