"""The reference evaluator: the policy as one Python function in exact integers, written from the typed tree."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property, partial
from typing import Any, NamedTuple

from dealgate.rules.compiling import Compiler, Slot, Source, whole_cents
from dealgate.rules.fields import Facts
from dealgate.rules.limit_compiling import goes_by_words, write_limit, write_word_tables
from dealgate.rules.policy import Limit, Measure, Policy, Rule


class Result(StrEnum):
    """What became of one rule on one submission."""

    PASS = "pass"
    VIOLATED = "violated"
    MITIGATED = "mitigated"
    NOT_APPLICABLE = "not_applicable"
    NOT_EVALUABLE = "not_evaluable"

    __hash__ = str.__hash__  # an enumeration hashes its names in Python, a string in C


class Value(NamedTuple):
    """An exact number; the numerator is None when it is unknown. `row` is the table row a limit came from, from 0, else -1."""

    numerator: int | None
    denominator: int = 1
    row: int = -1


_value: Callable[[tuple[Any, int, int]], Value] = partial(tuple.__new__, Value)
"""Faster than to call the class."""


class Names(NamedTuple):
    """Where a reckoning keeps what: the place of each measure's numbers, of each limit's numbers and row; in the policy's order."""

    measures: tuple[tuple[str, int], ...]
    limits: tuple[tuple[str, int, int], ...]


class Reckoning:
    """What the reference concludes. `results` are in the order of the policy's rules.

    `numbers` are numerators and denominators in turn, first those of `numbered(policy)`; `rows` are the limits' table rows. By name
    they are read for evidence only, and most reckonings never are.
    """

    def __init__(
        self,
        names: Names,
        results: dict[str, Result],
        numbers: tuple[Any, ...],
        rows: tuple[int, ...],
    ) -> None:
        self.names = names
        self.results = results
        self.numbers = numbers
        self.rows = rows

    @cached_property
    def measures(self) -> Mapping[str, Value]:
        numbers = self.numbers
        return {name: _value((numbers[at], numbers[at + 1], -1)) for name, at in self.names.measures}

    @cached_property
    def limits(self) -> Mapping[str, Value]:
        numbers, rows = self.numbers, self.rows
        return {name: _value((numbers[at], numbers[at + 1], rows[row])) for name, at, row in self.names.limits}


def numbered(policy: Policy) -> list[Measure | Limit]:
    """The measures and limits that rules rest on, in the order of a reckoning's numbers; limits that go by words come last."""
    read = [definition for definition in policy.definitions if definition.name in policy.read_by_rules]
    return sorted(read, key=goes_by_words)


def compile_reference(policy: Policy, *, only_what_rules_read: bool = False) -> Callable[[Facts], Reckoning]:
    """Write and build the policy's function; the work is done once, each deal then costs microseconds.

    Most measures of a decision are evidence. What decides is had for less: the measures and limits that rules rest on.
    """
    source = Source("facts")
    compiler = Compiler(source, policy.collateral_value, policy.equity)
    read = numbered(policy)
    tables = [one for one in read if goes_by_words(one)]
    worked_out = read[: len(read) - len(tables)]
    others = [] if only_what_rules_read else [one for one in policy.definitions if one.name not in policy.read_by_rules]
    values, rows = write_word_tables(compiler, tables) if tables else ("()", "()")
    written = {one.name for one in (*worked_out, *others)}
    for definition in policy.definitions:
        if definition.name in written:
            compiler.names[definition.name] = _definition(compiler, definition)
    results = _results(compiler, policy)
    source.constants.update((result.name, result) for result in Result)
    first, last = _parts(compiler, worked_out), _parts(compiler, others)
    numbers, all_rows = f"({first[0]}*{values}, {last[0]})", f"({first[1]}*{rows}, {last[1]})"
    function = source.build("reference", f"{results}, {numbers}, {all_rows}")
    names = _names(policy, [*read, *others])
    return lambda facts: Reckoning(names, *function(facts))


def _parts(compiler: Compiler, definitions: Sequence[Measure | Limit]) -> tuple[str, str]:
    """The numbers of some definitions, and the rows of the limits among them, as source text."""
    slots = [compiler.names[definition.name] for definition in definitions]
    rows = [f"row_{definition.name}, " for definition in definitions if isinstance(definition, Limit)]
    return "".join(f"{slot.numerator}, {slot.denominator}, " for slot in slots), "".join(rows)


def _names(policy: Policy, definitions: Sequence[Measure | Limit]) -> Names:
    places = {definition.name: 2 * index for index, definition in enumerate(definitions)}
    limits = [definition.name for definition in definitions if isinstance(definition, Limit)]
    rows = {name: index for index, name in enumerate(limits)}
    return Names(
        tuple((name, places[name]) for name in policy.measures if name in places),
        tuple((name, places[name], rows[name]) for name in policy.limits if name in places),
    )


def _definition(compiler: Compiler, definition: Measure | Limit) -> Slot:
    if isinstance(definition, Limit):
        return write_limit(compiler, definition)
    return whole_cents(compiler.source, compiler.write(definition.formula), definition.unit)


def _results(compiler: Compiler, policy: Policy) -> str:
    """A dictionary of every rule's result, as source text."""
    rested_on = {name for rule in policy.rules for name in rule.rests_on()}
    judged = {rule.id: _rule(compiler, rule, rested_on) for layer in policy.layers for rule in layer}
    return "{" + ", ".join(f"{rule.id!r}: {judged[rule.id]}" for rule in policy.rules) + "}"


def _rule(compiler: Compiler, rule: Rule, rested_on: set[str]) -> str:
    source = compiler.source
    applies = compiler.write(rule.applies) if rule.applies else None
    test, unknown = compiler.condition(rule.require)
    when = compiler.write(rule.mitigated_by.when) if rule.mitigated_by else None
    name = source.name()
    broken = f"(MITIGATED if {when.numerator} is True else VIOLATED)" if when else "VIOLATED"
    judged = f"PASS if {test} else {broken}"
    if unknown:
        judged = f"NOT_EVALUABLE if {unknown} else {judged}"
    if applies:
        judged = f"NOT_APPLICABLE if not {applies.numerator} else {judged}"
        if applies.nullable:
            judged = f"NOT_EVALUABLE if {applies.numerator} is None else {judged}"
    source.add(f"{name} = {judged}")
    if rule.id in rested_on:
        truth = source.name()
        source.add(f"{truth} = None if {name} is NOT_EVALUABLE else {name} is VIOLATED or {name} is MITIGATED")
        compiler.names[f"rule {rule.id}"] = Slot(truth)
    return name
