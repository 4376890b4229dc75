"""What a rule is said to be able to come to along a lever holds what it does come to, on random policies and deals."""

from itertools import combinations
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dealgate import CompiledPolicy, Deal
from dealgate.rules.fields import facts_of
from dealgate.rules.levers import LEVERS, Choice, Motion, Start, motions
from dealgate.rules.ranging import Journey, Leg
from dealgate.rules.tracing import Trace
from tests.rules.random_deals import DEALS
from tests.rules.test_agreement import compiled, rules, tables

Document = dict[str, Any]


def stretches(most: int, random: Random) -> list[tuple[int, int]]:
    """The whole way, points, and pieces of every length."""
    found = [(1, most), (most, most)]
    for _ in range(6):
        first = random.randint(1, most)
        found.append((first, min(most, first + random.choice([0, 1, 10, 1_000, 10**5, 10**9]))))
    return found


def some_changes(first: int, last: int, random: Random) -> set[int]:
    return {first, last, (first + last) // 2, *(random.randint(first, last) for _ in range(4))}


def check_motion(policy: CompiledPolicy, lever: str, start: Start, motion: Motion, random: Random) -> None:
    journey = Journey(motion, Trace(policy.policy, start.facts, start.reckoning))
    for first, last in stretches(motion.most, random):
        leg = Leg(journey, first, last)
        possible = {rule.id: policy.ranging(lever).rule(rule.id)(leg) for rule in policy.policy.rules}
        for change in some_changes(first, last, random):
            results = policy.reference(motion.facts(change)).results
            for rule, result in results.items():
                assert result in possible[rule], (lever, first, last, change)


def check_choice(policy: CompiledPolicy, start: Start) -> None:
    choice = Choice(start.deal, start.facts)
    leg = Leg(Journey(choice, Trace(policy.policy, start.facts, start.reckoning)), 0, 0)
    possible = {rule.id: policy.ranging("products").rule(rule.id)(leg) for rule in policy.policy.rules}
    count = len(start.facts["products"])
    for dropped in (dropped for size in range(count + 1) for dropped in combinations(range(count), size)):
        for rule, result in policy.reference(choice.facts(dropped)).results.items():
            assert result in possible[rule], dropped


@given(rules=rules(), limits=tables(), deals=st.lists(DEALS, min_size=1, max_size=2), seed=st.integers(0, 2**32))
@settings(max_examples=80)
def test_no_result_falls_outside_the_results_that_were_held_possible(
    rules: list[Document], limits: Document, deals: list[Document], seed: int
) -> None:
    policy, random = compiled({"rules": rules, "limits": limits}), Random(seed)
    for document in deals:
        deal = Deal.read(document)
        facts = facts_of(deal)
        start = Start(deal, facts, policy.evidence(facts), policy.policy)
        check_choice(policy, start)
        for lever in LEVERS:
            moving = () if lever == "products" else motions(lever, start)
            for motion in () if isinstance(moving, str) else moving:
                check_motion(policy, lever, start, motion, random)


@pytest.mark.parametrize("lever", [lever for lever in LEVERS if lever != "products"])
@given(rules=rules(), limits=tables(), document=DEALS, seed=st.integers(0, 2**32))
@settings(max_examples=20)
def test_a_changed_deal_reads_as_the_facts_that_the_search_judged(
    lever: str, rules: list[Document], limits: Document, document: Document, seed: int
) -> None:
    policy, deal = compiled({"rules": rules, "limits": limits}), Deal.read(document)
    facts = facts_of(deal)
    moving = motions(lever, Start(deal, facts, policy.evidence(facts), policy.policy))
    for motion in () if isinstance(moving, str) else moving:
        change = Random(seed).randint(1, motion.most)
        assert facts_of(motion.after(change)) == motion.facts(change)
        assert Deal.read(motion.after(change).document()) == motion.after(change)
