"""Break the compiler that feeds the engine in many ways: agreement checking must notice each."""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import pytest

from dealgate import CompiledPolicy, Deal, Policy
from dealgate.rules import conjunctions, engine
from dealgate.rules.conjunctions import OPERATORS, Alternatives, Atoms, Conjunction, Literal, RuleConjunctions
from dealgate.rules.fields import Facts
from dealgate.rules.reference import Reckoning, Result
from tests.fuzzing.random_policies import Author

POLICIES, DEALS = 12, 25


def noticed() -> bool:
    """Whether any deal of a small campaign is referred for a disagreement or an engine failure."""
    for seed in range(POLICIES):
        author = Author(seed)
        compiled = CompiledPolicy(Policy.from_text(author.policy(25)))
        for _ in range(DEALS):
            if not compiled.evaluate(Deal.read(author.deal())).engine["agreed"]:
                return True
    return False


def test_the_unbroken_compiler_is_not_suspected() -> None:
    assert not noticed()


Break = Callable[[pytest.MonkeyPatch], None]


def operators(changes: Mapping[str, tuple[str, str]]) -> Break:
    return lambda patch: patch.setattr(conjunctions, "OPERATORS", {**OPERATORS, **changes})


def swap_two_margins(patch: pytest.MonkeyPatch) -> None:
    compile_margins = conjunctions.compile_margins

    def swapped(policy: Policy, atoms: Atoms) -> Any:
        margins = compile_margins(policy, atoms)
        return lambda facts, reckoning: (*reversed(margins(facts, reckoning)[:2]), *margins(facts, reckoning)[2:])

    patch.setattr(engine, "compile_margins", swapped)


def hand_numbers_over_one_place_off(patch: pytest.MonkeyPatch) -> None:
    _with_numbers(patch, lambda numbers: (*numbers[1:], *numbers[:1]))


def keep_the_numbers_of_an_earlier_deal(patch: pytest.MonkeyPatch) -> None:
    kept: dict[int, tuple[Any, ...]] = {}
    _with_numbers(patch, lambda numbers: kept.setdefault(len(numbers), numbers))


def _with_numbers(patch: pytest.MonkeyPatch, change: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> None:
    """The engine gets other numbers of the measures and limits than the reference judged by."""
    compile_margins = conjunctions.compile_margins

    def changed(policy: Policy, atoms: Atoms) -> Any:
        margins = compile_margins(policy, atoms)

        def of(facts: Facts, reckoning: Reckoning) -> tuple[int | None, ...]:
            numbers = change(reckoning.numbers)
            return margins(facts, Reckoning(reckoning.names, reckoning.results, numbers, reckoning.rows))

        return of

    patch.setattr(engine, "compile_margins", changed)


def drop_the_last_shard(patch: pytest.MonkeyPatch) -> None:
    shards = engine._shards
    patch.setattr(engine, "_shards", lambda rules, atoms: list(shards(rules, atoms))[:-1])


def drop_the_last_alternative(patch: pytest.MonkeyPatch) -> None:
    write = Alternatives.all_of

    def fewer(self: Alternatives, *parts: set[Conjunction]) -> set[Conjunction]:
        ways = write(self, *parts)
        return set(islice(sorted(ways, key=sorted), max(1, len(ways) - 1))) if ways else ways

    patch.setattr(Alternatives, "all_of", fewer)


def forget_negation(patch: pytest.MonkeyPatch) -> None:
    condition = Atoms.condition
    patch.setattr(Atoms, "condition", lambda self, literal: condition(self, Literal(literal.atom, True)))


def take_or_for_and(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Alternatives, "all_of", lambda self, *parts: self._least(set().union(*parts)))


def take_unknown_for_zero(patch: pytest.MonkeyPatch) -> None:
    compile_margins = conjunctions.compile_margins

    def zeros(policy: Policy, atoms: Atoms) -> Any:
        margins = compile_margins(policy, atoms)
        return lambda facts, reckoning: tuple(margin or 0 for margin in margins(facts, reckoning))

    patch.setattr(engine, "compile_margins", zeros)


def forget_what_is_unknown(patch: pytest.MonkeyPatch) -> None:
    results = engine._results
    patch.setattr(engine, "_results", lambda rules, fired, unknown: results(rules, fired, ()))


def forget_mitigation(patch: pytest.MonkeyPatch) -> None:
    write = conjunctions.rule_conjunctions

    def without(rule: Any, layer: int, atoms: Atoms) -> RuleConjunctions:
        found = write(rule, layer, atoms)
        kept: dict[Result, tuple[Conjunction, ...]] = dict(found.ways)
        kept.pop(Result.MITIGATED, None)
        return RuleConjunctions(found.rule, found.layer, found.read, kept)

    patch.setattr(conjunctions, "rule_conjunctions", without)


def mix_up_earlier_rules(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "_truth_of", lambda result: int(result is Result.PASS))


def lose_a_layer(patch: pytest.MonkeyPatch) -> None:
    results = engine._results
    patch.setattr(
        engine, "_results", lambda rules, fired, unknown: dict(list(results(rules, fired, unknown).items())[:-1])
    )


BREAKS: Mapping[str, Break] = {
    "at most becomes below": operators({"<=": ("$lt", "$gte")}),
    "above becomes below": operators({">": ("$lt", "$gte")}),
    "equal becomes different": operators({"==": ("$neq", "")}),
    "a false comparison lets the boundary in": operators({"<": ("$lt", "$gt")}),
    "two fields are swapped": swap_two_margins,
    "numbers are handed over one place off": hand_numbers_over_one_place_off,
    "the numbers of an earlier deal are kept": keep_the_numbers_of_an_earlier_deal,
    "a ruleset is dropped": drop_the_last_shard,
    "an alternative is dropped": drop_the_last_alternative,
    "negation is forgotten": forget_negation,
    "and is taken for or": take_or_for_and,
    "unknown is taken for zero": take_unknown_for_zero,
    "what is unknown is forgotten": forget_what_is_unknown,
    "mitigation is forgotten": forget_mitigation,
    "earlier results are mixed up": mix_up_earlier_rules,
    "a rule's result is lost": lose_a_layer,
}


@pytest.mark.parametrize("name", BREAKS)
def test_agreement_checking_notices_a_broken_compiler(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BREAKS[name](monkeypatch)

    assert noticed(), f"{name}: no deal was referred"
