"""The reference evaluator: the policy as one Python function in exact integers, written from the typed tree."""

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from dealgate.rules.compiling import Compiler, Slot, Source, any_unknown
from dealgate.rules.fields import Facts, Unit
from dealgate.rules.limit_compiling import write_by_all_rows
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


class Reckoning(NamedTuple):
    """What the reference concludes: measures, limits and results in the order of the policy's definitions and rules."""

    measures: dict[str, Value]
    limits: dict[str, Value]
    results: dict[str, Result]


def compile_reference(policy: Policy, *, only_what_rules_read: bool = False) -> Callable[[Facts], Reckoning]:
    """Write and build the policy's function; the work is done once, each deal then costs microseconds.

    Most measures of a decision are evidence. What decides is had for less: the measures and limits that rules rest on.
    """
    source = Source("facts")
    compiler = Compiler(source, policy.collateral_value, policy.equity)
    wanted = policy.read_by_rules if only_what_rules_read else {*policy.measures, *policy.limits}
    definitions = [definition for definition in policy.definitions if definition.name in wanted]
    for definition in definitions:
        slot = _measure(compiler, definition) if isinstance(definition, Measure) else _limit(compiler, definition)
        compiler.names[definition.name] = slot
    rested_on = {name for rule in policy.rules for name in rule.rests_on()}
    results = {rule.id: _rule(compiler, rule, rested_on) for layer in policy.layers for rule in layer}
    measure_names = tuple(name for name in policy.measures if name in wanted)
    limit_names = tuple(name for name in policy.limits if name in wanted)
    measures = "".join(
        f"({compiler.names[name].numerator}, {compiler.names[name].denominator}, -1), " for name in measure_names
    )
    limits = "".join(
        f"({compiler.names[name].numerator}, {compiler.names[name].denominator}, row_{name}), " for name in limit_names
    )
    rule_ids = tuple(rule.id for rule in policy.rules)
    source.constants.update((result.name, result) for result in Result)
    function = source.build(
        "reference", f"({measures}), ({limits}), ({''.join(f'{results[rule]}, ' for rule in rule_ids)})"
    )
    as_value = partial(tuple.__new__, Value)

    def reference(facts: Facts) -> Reckoning:
        measure_values, limit_values, found = function(facts)
        return Reckoning(
            dict(zip(measure_names, map(as_value, measure_values), strict=True)),
            dict(zip(limit_names, map(as_value, limit_values), strict=True)),
            dict(zip(rule_ids, found, strict=True)),
        )

    return reference


def _whole_cents(source: Source, slot: Slot, unit: Unit) -> Slot:
    """An amount of money is whole cents: what is shown is what is compared."""
    if unit != Unit.MONEY or slot.denominator == "1":
        return slot
    return source.assign(f"half_up({slot.numerator}, {slot.denominator})", slot)


def _measure(compiler: Compiler, measure: Measure) -> Slot:
    return _whole_cents(compiler.source, compiler.write(measure.formula), measure.unit)


def _limit(compiler: Compiler, limit: Limit) -> Slot:
    """Hit policy `first`: the first true row gives the limit; an unknown row above it makes the limit unknown."""
    source = compiler.source
    conditions = [compiler.write(row.when) if row.when else None for row in limit.rows]
    slots = [_whole_cents(source, compiler.write(row.limit), limit.unit) for row in limit.rows]
    if limit.hit_policy != "first":
        default = _whole_cents(source, compiler.write(limit.default.limit), limit.unit) if limit.default else None
        return write_by_all_rows(source, limit, conditions, slots, default)
    top, bottom, row_name = source.name(), source.name(), f"row_{limit.name}"
    unknown = f"{top} = None; {bottom} = 1; {row_name} = -1"
    source.add(
        "while True:"
    )  # rows stand beside each other: a chain of a thousand `elif` would be nested a thousand deep
    source.depth += 1
    for index, (condition, slot) in enumerate(zip(conditions, slots, strict=True)):
        found = f"{top} = {slot.numerator}; {bottom} = {slot.denominator}; {row_name} = {index}"
        if condition is None:
            source.add(f"{found}; break")
            break
        source.add(f"if {condition.numerator}: {found}; break")
        if condition.nullable:
            source.add(f"if {condition.numerator} is None: {unknown}; break")
    else:
        source.add(f"{unknown}; break")
    source.depth -= 1
    integral = {slot.denominator for slot in slots} == {"1"}
    return Slot(top, "1" if integral else bottom)


def _rule(compiler: Compiler, rule: Rule, rested_on: set[str]) -> str:
    source = compiler.source
    applies = compiler.write(rule.applies) if rule.applies else None
    require = compiler.write(rule.require)
    when = compiler.write(rule.mitigated_by.when) if rule.mitigated_by else None
    name = source.name()
    broken = f"(MITIGATED if {when.numerator} is True else VIOLATED)" if when else "VIOLATED"
    judged = f"PASS if {require.numerator} else {broken}"
    if require.nullable:
        judged = f"NOT_EVALUABLE if {any_unknown(require)} else {judged}"
    if applies:
        judged = f"NOT_APPLICABLE if not {applies.numerator} else {judged}"
        if applies.nullable:
            judged = f"NOT_EVALUABLE if {any_unknown(applies)} else {judged}"
    source.add(f"{name} = {judged}")
    if rule.id in rested_on:
        truth = source.name()
        source.add(f"{truth} = None if {name} is NOT_EVALUABLE else {name} is VIOLATED or {name} is MITIGATED")
        compiler.names[f"rule {rule.id}"] = Slot(truth)
    return name
