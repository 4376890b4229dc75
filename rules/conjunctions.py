"""From the typed tree to what durable_rules can match safely: conjunctions of comparisons of one integer with a constant.

Each comparison in the policy becomes one integer property: its margin, left minus right over a common denominator. A
property is absent when the margin is unknown, and an absent property matches nothing, neither the comparison nor its
opposite: three-valued logic needs no more. Disjunctions become several conjunctions, because the engine runs an action
once for every true branch of its own `$or`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from dealgate.rules.compiling import Compiler, Slot, Source, times
from dealgate.rules.expressions import (
    All,
    Comparison,
    Expression,
    FieldName,
    ItemName,
    Membership,
    Missing,
    Not,
    Truth,
    Violated,
)
from dealgate.rules.expressions import Any as AnyOf
from dealgate.rules.fields import Facts, Unit
from dealgate.rules.policy import Policy, Rule
from dealgate.rules.reference import Reckoning, Result, numbered

MOST_ALTERNATIVES = 500
"""Conjunctions one rule may need; beyond it the rule is a knot that nobody can review either."""

MOST_CONDITIONS = 100
"""Conditions that must hold together for one result; the engine refuses a fact with more than 255 properties."""

MOST_CONDITIONS_ALTOGETHER = 100_000
"""Of all alternatives of all rules; the engine needs more than three kilobytes for each."""

LARGEST_MARGIN = 2**61
"""The engine is exact to 2**62; a larger margin keeps its sign, and only its sign is compared."""

OPERATORS: Mapping[str, tuple[str, str]] = {
    "<=": ("$lte", "$gt"),
    "<": ("$lt", "$gte"),
    ">": ("$gt", "$lte"),
    ">=": ("$gte", "$lt"),
    "==": ("", "$neq"),
    "!=": ("$neq", ""),
}
"""How the engine asks for a true and for a false comparison of a margin with zero; the empty operator is equality."""


class TangledRuleError(ValueError):
    """A rule whose logic has too many alternatives, or one of them too many conditions; `rule` is its id."""

    def __init__(self, rule: str, tangle: str) -> None:
        self.rule = rule
        super().__init__(f"rule {rule} {tangle}: split it, and join the parts with violated()")


class Literal(NamedTuple):
    """One atom of a conjunction, wanted true or false."""

    atom: int
    truth: bool


Conjunction = frozenset[Literal]


@dataclass
class Atoms:
    """The comparisons of a policy, each known by its number."""

    numbers: dict[Expression, int] = field(default_factory=dict)

    by_number: list[Expression] = field(default_factory=list)

    def number(self, expression: Expression) -> int:
        number = self.numbers.setdefault(expression, len(self.numbers))
        if number == len(self.by_number):
            self.by_number.append(expression)
        return number

    def condition(self, literal: Literal) -> dict[str, Any]:
        """The engine's test for one literal."""
        atom = self.by_number[literal.atom]
        name = property_name(literal.atom)
        if isinstance(atom, Comparison):
            operator = OPERATORS[atom.operator][0 if literal.truth else 1]
            return {operator: {name: 0}} if operator else {name: 0}
        if isinstance(atom, Membership):
            return {"$gte" if literal.truth else "$lt": {name: 0}}
        return {name: 1 if literal.truth else 0}


def property_name(atom: int) -> str:
    return f"margin_{atom}"


def atoms_of(expression: Expression) -> Iterable[Expression]:
    """The comparisons and truths a logical expression is built from."""
    if isinstance(expression, All | AnyOf):
        for operand in expression.operands:
            yield from atoms_of(operand)
    elif isinstance(expression, Not):
        yield from atoms_of(expression.operand)
    elif not isinstance(expression, Truth):
        yield expression


class Alternatives:
    """Writes a rule's logic as alternatives, each a conjunction of atoms."""

    def __init__(self, atoms: Atoms, rule: str) -> None:
        self.atoms = atoms
        self.rule = rule

    def when(self, expression: Expression | None, *, truth: bool) -> set[Conjunction]:
        """The alternatives under which an expression is known to be true (or false); no expression is always true."""
        match expression:
            case None:
                return {frozenset()} if truth else set()
            case Truth(value):
                return {frozenset()} if value is truth else set()
            case Not(operand):
                return self.when(operand, truth=not truth)
            case All(operands) | AnyOf(operands):
                parts = [self.when(operand, truth=truth) for operand in operands]
                return self.all_of(*parts) if isinstance(expression, All) is truth else self._least(set().union(*parts))
            case _:
                return {frozenset({Literal(self.atoms.number(expression), truth)})}

    def all_of(self, *parts: set[Conjunction]) -> set[Conjunction]:
        """Every way to take one alternative from each part, contradictions left out."""
        found: set[Conjunction] = {frozenset()}
        for part in parts:
            joined = {one | other for one in found for other in part}
            found = self._least({way for way in joined if len({literal.atom for literal in way}) == len(way)})
        return found

    def _least(self, ways: set[Conjunction]) -> set[Conjunction]:
        """Drop an alternative that another one already covers."""
        if len(ways) > MOST_ALTERNATIVES:
            raise TangledRuleError(self.rule, f"combines 'and' and 'or' in more than {MOST_ALTERNATIVES} ways")
        if any(len(way) > MOST_CONDITIONS for way in ways):
            raise TangledRuleError(self.rule, f"needs more than {MOST_CONDITIONS} conditions to hold at once")
        kept: list[Conjunction] = []
        for way in sorted(ways, key=len):
            if not any(other <= way for other in kept):
                kept.append(way)
        return set(kept)


@dataclass(frozen=True)
class RuleConjunctions:
    """What makes the engine fire for one rule, by the result that firing means."""

    rule: str
    layer: int
    read: tuple[int, ...]
    """The atoms of `applies` and `require`: a rule with an unknown one passes only if the engine says so."""
    ways: Mapping[Result, tuple[Conjunction, ...]]


def rule_conjunctions(rule: Rule, layer: int, atoms: Atoms) -> RuleConjunctions:
    """Say when the engine must fire for a rule.

    Firing nothing means `pass` if nothing the rule reads is unknown, else `not_evaluable`. So `pass` itself is fired only
    by alternatives that leave some atom of the rule unread: those that hold although something is unknown.
    """
    write = Alternatives(atoms, rule.id)
    parts = [rule.require] if rule.applies is None else [rule.applies, rule.require]
    read = tuple(dict.fromkeys(atoms.number(atom) for part in parts for atom in atoms_of(part)))
    applies, broken = write.when(rule.applies, truth=True), write.when(rule.require, truth=False)
    ways = {
        Result.VIOLATED: write.all_of(applies, broken),
        Result.NOT_APPLICABLE: write.when(rule.applies, truth=False),
        Result.PASS: {
            way for way in write.all_of(applies, write.when(rule.require, truth=True)) if len(way) < len(read)
        },
    }
    if rule.mitigated_by:
        ways[Result.MITIGATED] = write.all_of(applies, broken, write.when(rule.mitigated_by.when, truth=True))
    return RuleConjunctions(
        rule.id, layer, read, {result: tuple(sorted(found, key=sorted)) for result, found in ways.items()}
    )


def policy_conjunctions(policy: Policy) -> tuple[Atoms, list[RuleConjunctions]]:
    """All rules of a policy, in layers. Raises `TangledRuleError`."""
    atoms, found, conditions = Atoms(), list[RuleConjunctions](), 0
    for layer, rules in enumerate(policy.layers):
        for rule in rules:
            found.append(rule_conjunctions(rule, layer, atoms))
            conditions += sum(len(way) for ways in found[-1].ways.values() for way in ways)
            if conditions > MOST_CONDITIONS_ALTOGETHER:
                most = f"{MOST_CONDITIONS_ALTOGETHER:,} conditions in all their ways"
                raise TangledRuleError(rule.id, f"and those before it need more than {most}")
    return atoms, found


def compile_margins(policy: Policy, atoms: Atoms) -> Callable[[Facts, Reckoning], tuple[int | None, ...]]:
    """Write the function that yields every atom's margin; `violated()` stands at 0 until the engine's own firings decide it."""
    source = Source("facts, numbers")
    compiler = Compiler(source, policy.collateral_value, policy.equity)
    for definition in numbered(policy):
        bottom = "1" if definition.unit == Unit.MONEY else source.name()
        compiler.names[definition.name] = Slot(source.name(), bottom)
    taken = "".join(
        f"{slot.numerator}, {slot.denominator if slot.denominator != '1' else '_'}, "
        for slot in compiler.names.values()
    )
    source.add(f"({taken}) = numbers[:{2 * len(compiler.names)}]")
    margins = ", ".join(_margin(compiler, atom).numerator for atom in atoms.numbers)
    function = source.build("margins", f"({margins},)")

    def margins_of(facts: Facts, reckoning: Reckoning) -> tuple[int | None, ...]:
        found: tuple[int | None, ...] = function(facts, reckoning.numbers)
        return found

    return margins_of


def _margin(compiler: Compiler, atom: Expression) -> Slot:
    source = compiler.source
    match atom:
        case Violated():
            return Slot("0")
        case Comparison(left=left_part, right=right_part):
            left, right = compiler.write(left_part), compiler.write(right_part)
            if left_part.unit == Unit.TEXT:
                return source.assign(f"0 if {left.numerator} == {right.numerator} else 1", left, right)
            first, second = times(left.numerator, right.denominator), times(right.numerator, left.denominator)
            if left_part.unit == Unit.DATE:
                return source.assign(f"({first} - {second}).days", left, right)
            return source.assign(f"{first} - {second}", left, right)
        case Membership(operand, options):
            slot = compiler.write(operand)
            values = [_plain_value(option) for option in options]
            positions = source.constant({value: values.index(value) for value in values})
            key = slot.numerator if operand.unit == Unit.TEXT else f"ratio({slot.numerator}, {slot.denominator})"
            source.constants["ratio"] = _ratio
            return source.assign(f"{positions}.get({key}, -1)", slot)
        case FieldName() | ItemName() | Missing():
            slot = compiler.write(atom)
            return source.assign(f"1 if {slot.numerator} else 0", slot)
        case _:
            raise TypeError(f"{type(atom).__name__} is not an atom")


def _ratio(numerator: int, denominator: int) -> tuple[int, int]:
    from math import gcd  # noqa: PLC0415

    common = gcd(numerator, denominator)
    return numerator // common, denominator // common


def _plain_value(option: Expression) -> str | tuple[int, int] | date:
    value = getattr(option, "value", None)
    return value if isinstance(value, str) else _ratio(option.numerator, option.denominator)  # type: ignore[union-attr]
