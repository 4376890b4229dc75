"""The 24 worked cases, the contract of the project, through every evaluator. They were computed apart from it."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from dealgate import CompiledPolicy, Deal, Policy, evaluate
from dealgate.rules.amounts import hundredths, percent
from dealgate.rules.engine import Engine
from dealgate.rules.fields import Facts, Unit, facts_of
from dealgate.rules.policy import Outcome
from dealgate.rules.reference import Reckoning, Result, Value, compile_reference
from tests.shared import shared_file

Document = dict[str, Any]
NUMBER_OF_CASES = 24
each_case = pytest.mark.parametrize("number", range(NUMBER_OF_CASES))


@pytest.fixture(scope="module")
def reference(case_policy: CompiledPolicy) -> Callable[[Facts], Reckoning]:
    return compile_reference(case_policy.policy)


@pytest.fixture(scope="module")
def engine(case_policy: CompiledPolicy) -> Engine:
    return Engine(case_policy.policy)


def outcome_of(results: Mapping[str, Result], policy: Policy) -> Outcome:
    """The worked policy mitigates nothing, so a rule's outcome is its `otherwise`, or what the policy makes of an unknown."""
    outcomes = [rule.otherwise for rule in policy.rules if results[rule.id] == Result.VIOLATED]
    unknown = [policy.on_unknown for result in results.values() if result == Result.NOT_EVALUABLE]
    return Outcome.most_severe([*outcomes, *unknown])


def shown(unit: Unit, value: Value) -> str | int | None:
    if value.numerator is None or unit == Unit.COUNT:
        return value.numerator
    return hundredths(value.numerator) if unit == Unit.MONEY else percent(value.numerator, value.denominator)


def test_there_are_24_cases(cases: list[Document]) -> None:
    assert len(cases) == NUMBER_OF_CASES


@each_case
def test_the_reference_alone_finds_what_was_worked_out(
    number: int, cases: list[Document], case_policy: CompiledPolicy, reference: Callable[[Facts], Reckoning]
) -> None:
    case, policy = cases[number], case_policy.policy
    reckoning = reference(facts_of(Deal.read(case["deal"])))
    values = {name: shown(policy.measures[name].unit, value) for name, value in reckoning.measures.items()}
    assert reckoning.results == case["expect"]["results"], case["name"]
    assert {name: values[name] for name in case["expect"]["measures"]} == case["expect"]["measures"], case["name"]
    assert outcome_of(reckoning.results, policy) == case["expect"]["outcome"], case["name"]


@each_case
def test_the_engine_alone_finds_what_was_worked_out(
    number: int,
    cases: list[Document],
    case_policy: CompiledPolicy,
    engine: Engine,
    reference: Callable[[Facts], Reckoning],
) -> None:
    case, policy = cases[number], case_policy.policy
    facts = facts_of(Deal.read(case["deal"]))
    results = engine.evaluate(facts, reference(facts))
    assert results == case["expect"]["results"], case["name"]
    assert outcome_of(results, policy) == case["expect"]["outcome"], case["name"]


@each_case
def test_the_evaluation_says_what_was_worked_out(
    number: int, cases: list[Document], case_policy: CompiledPolicy
) -> None:
    case = cases[number]
    decision = evaluate(case["deal"], case_policy).document()
    values = {name: measure["value"] for name, measure in decision["measures"].items()}
    assert decision["outcome"] == case["expect"]["outcome"], case["name"]
    assert {finding["rule"]: finding["result"] for finding in decision["findings"]} == case["expect"]["results"]
    assert {name: values[name] for name in case["expect"]["measures"]} == case["expect"]["measures"], case["name"]
    assert decision["engine"]["agreed"] is True


@each_case
def test_every_rule_has_exactly_one_finding_in_the_order_of_the_policy(
    number: int, cases: list[Document], case_policy: CompiledPolicy
) -> None:
    findings = evaluate(cases[number]["deal"], case_policy).document()["findings"]
    assert [finding["rule"] for finding in findings] == [rule.id for rule in case_policy.policy.rules]


@each_case
def test_a_measure_is_null_exactly_where_its_missing_inputs_are_named(
    number: int, cases: list[Document], case_policy: CompiledPolicy
) -> None:
    measures = evaluate(cases[number]["deal"], case_policy).document()["measures"]
    for name, measure in measures.items():
        assert (measure["value"] is None) == bool(measure.get("missing")), name


def test_one_cent_over_a_percent_limit_is_violated_and_said_although_both_show_alike(
    cases: list[Document], case_policy: CompiledPolicy
) -> None:
    finding = next(
        finding
        for finding in evaluate(cases[4]["deal"], case_policy).document()["findings"]
        if finding["rule"] == "LTV-TOTAL"
    )
    assert (finding["value"], finding["limit"], finding["excess"]) == ("125.00", "125.00", "0.01")
    assert "$33,750.01 financed" in finding["explanation"]
    assert "$27,000.00" in finding["explanation"]
    assert "$0.01 over." in finding["explanation"]
    assert finding["result"] == "violated"


def test_a_policy_that_is_not_compiled_yet_may_be_evaluated_as_it_was_read(cases: list[Document]) -> None:
    policy = Policy.from_text(shared_file("cases", "policy.yaml").read_text(encoding="utf-8"))
    evaluation = evaluate(Deal.read(cases[0]["deal"]), policy)
    assert (evaluation.outcome, evaluation.policy["name"]) == (Outcome.REFER, "worked-cases")
