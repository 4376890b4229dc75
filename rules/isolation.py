"""One change of many by itself: the first policy with that change, and with what the change cannot do without.

A new rule may read a limit that is new too; a limit in another unit needs the rules that are written for it. Such parts are taken
from the second policy as well, and named.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from dealgate.rules.expressions import Expression, LimitName, MeasureName, Violated, walk
from dealgate.rules.policy import CycleError, Limit, Measure, Policy, Rule
from dealgate.rules.sameness import expressions_in

EVERYTHING = "everything else that changed"


class Alone(NamedTuple):
    """A policy with one change, and the parts that had to come along."""

    policy: Policy
    together_with: tuple[str, ...] = ()


class Part(NamedTuple):
    """A definition or a rule of a policy, by its name."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def alone(changed: Policy, second: Policy, part: Part | None = None) -> Alone:
    """Complete a policy that was changed in one part, so that all that it reads is there and fits."""
    taken: list[Part] = []
    while (lacking := next(_unfit(changed, second), None)) is not None:
        if lacking in taken:
            return Alone(second, (EVERYTHING,))
        taken.append(lacking)
        changed = take(changed, second, lacking)
    if _rests_on_itself(changed):
        return Alone(second, (EVERYTHING,))
    return Alone(changed, tuple(str(other) for other in taken if other != part))


def _rests_on_itself(policy: Policy) -> bool:
    """Whether parts of two policies, which run in no circle each, run in one together."""
    try:
        _ = policy.definitions, policy.layers
    except CycleError:
        return True
    return False


def take(policy: Policy, second: Policy, part: Part) -> Policy:
    """The policy with one part as the second has it; without it, where the second has none."""
    if part.kind == "rule":
        return replace(policy, rules=_rules_with(policy.rules, second.rules, part.name))
    measures, limits = dict(policy.measures), dict(policy.limits)
    for own, theirs in ((measures, second.measures), (limits, second.limits)):
        _take_from(own, theirs, part.name)
    return replace(policy, measures=measures, limits=limits)


def _take_from(own: dict[str, Measure] | dict[str, Limit], theirs: Mapping[str, Measure | Limit], name: str) -> None:
    own.pop(name, None)
    if name in theirs:
        own[name] = theirs[name]  # type: ignore[assignment]


def _rules_with(rules: tuple[Rule, ...], others: tuple[Rule, ...], name: str) -> tuple[Rule, ...]:
    """A rule that is there changes where it stands; a new one stands behind the same rule as in the other policy."""
    other = next((rule for rule in others if rule.id == name), None)
    ids = [rule.id for rule in rules]
    if other is None:
        return tuple(rule for rule in rules if rule.id != name)
    if name in ids:
        return tuple(other if rule.id == name else rule for rule in rules)
    before = [rule.id for rule in others[: others.index(other)]]
    place = max((ids.index(rule) + 1 for rule in before if rule in ids), default=0)
    return (*rules[:place], other, *rules[place:])


def _unfit(policy: Policy, second: Policy) -> Iterator[Part]:
    """The parts that must come from the second policy, because something else does not fit."""
    rules = {rule.id for rule in policy.rules}
    definitions: dict[str, Measure | Limit] = {**policy.measures, **policy.limits}
    theirs: dict[str, Measure | Limit] = {**second.measures, **second.limits}
    for reader, expression in _expressions(policy):
        for node in walk(expression):
            match node:
                case Violated(rule) if rule not in rules:
                    yield Part("rule", rule) if _has_rule(second, rule) else reader
                case MeasureName(name) | LimitName(name):
                    if not _fits(node, definitions.get(name)):
                        yield _part(theirs[name]) if _fits(node, theirs.get(name)) else reader


def _fits(node: MeasureName | LimitName, definition: Measure | Limit | None) -> bool:
    kind = Measure if isinstance(node, MeasureName) else Limit
    return isinstance(definition, kind) and definition.unit == node.unit


def _has_rule(policy: Policy, name: str) -> bool:
    return any(rule.id == name for rule in policy.rules)


def _part(definition: Measure | Limit) -> Part:
    return Part("measure" if isinstance(definition, Measure) else "limit", definition.name)


def _expressions(policy: Policy) -> Iterator[tuple[Part, Expression]]:
    definitions: list[Measure | Limit] = [*policy.measures.values(), *policy.limits.values()]
    for definition in definitions:
        yield from ((_part(definition), expression) for expression in expressions_in(definition))
    for rule in policy.rules:
        yield from ((Part("rule", rule.id), expression) for expression in rule.expressions())
