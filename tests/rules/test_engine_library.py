"""What the engine room asks of the C module, and that no answer of the module goes unnoticed."""

import gc
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from dealgate import CompiledPolicy, Deal, Policy
from dealgate.rules.conjunctions import LARGEST_MARGIN
from dealgate.rules.engine import Engine, EngineError
from dealgate.rules.fields import facts_of
from dealgate.rules.reference import Result
from tests.rules.fake_library import FakeLibrary, conditions_of, fake_library
from tests.rules.random_deals import DEALS
from tests.rules.test_agreement import rules as random_rules

Write = Callable[..., str]
Build = Callable[..., Deal]

__all__ = ["fake_library"]

RULES = ["cash_price > $5,000", "cash_price < $5,000", "not violated('R0') or total_ltv > 5%", "credit_score > 5"]
RESULTS = {"R0": "pass", "R1": "violated", "R2": "pass", "R3": "not_evaluable"}


class Bench:
    """An engine on the fake library, with a policy and a deal to try it on."""

    def __init__(self, library: FakeLibrary, text: str, deal: Deal) -> None:
        self.library = library
        self.compiled = CompiledPolicy(Policy.from_text(text))
        self.facts = facts_of(deal)
        self.reckoning = self.compiled.reference(self.facts)

    def evaluate(self) -> dict[str, Result]:
        return self.compiled.engine.evaluate(self.facts, self.reckoning)


@pytest.fixture
def bench(fake_library: FakeLibrary, write_policy: Write, small_deal: Build) -> Bench:
    return Bench(fake_library, write_policy(*RULES), small_deal())


def test_the_stand_in_says_what_the_module_says(bench: Bench, write_policy: Write) -> None:
    assert bench.evaluate() == RESULTS
    assert bench.reckoning.results == RESULTS


# What is asked of the module


def test_every_ruleset_has_a_sentinel_that_always_matches(bench: Bench) -> None:
    for definition in bench.library.definitions:
        assert definition["sentinel"] == {"all": [{"m": {"always": 1}}]}
    bench.evaluate()
    assert all(fact["always"] == 1 for fact in bench.library.facts)


def test_every_evaluation_has_a_session_of_its_own_and_leaves_none_behind(bench: Bench) -> None:
    for _ in range(3_000):
        bench.evaluate()
    assert bench.library.sessions == {}
    rulesets = len(bench.library.rulesets)
    assert len({fact["sid"] for fact in bench.library.facts}) == 3_000
    assert len(bench.library.facts) == 3_000 * rulesets


def test_a_ruleset_is_deleted_with_the_engine_that_built_it(fake_library: FakeLibrary, write_policy: Write) -> None:
    engine = Engine(Policy.from_text(write_policy(*RULES)))
    assert fake_library.rulesets
    del engine
    gc.collect()
    assert fake_library.rulesets == {}


@given(rules=random_rules(), deal=DEALS)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_what_is_safe_goes_into_the_module(
    rules: list[dict[str, Any]], deal: dict[str, Any], fake_library: FakeLibrary, write_policy: Write
) -> None:
    """No `$or`, no `$nex`, no comparison of two properties, one condition a fact; integers within 2**61, few enough."""
    limits = {
        name: {"unit": unit, "rows": [{"limit": limit}]}
        for name, unit, limit in (
            ("max_money", "money", "$5"),
            ("max_percent", "percent", "5%"),
            ("max_count", "count", "5"),
        )
    }
    bench = Bench(fake_library, write_policy(*rules, limits=limits), Deal.read(deal))
    assert bench.evaluate() == bench.reckoning.results
    for definition in fake_library.definitions:
        for _, conditions in conditions_of(definition):
            assert set(_operators(conditions)) <= {"$lt", "$lte", "$gt", "$gte", "$neq"}
        assert len(definition) <= 255
    for fact in fake_library.facts:
        sid = fact.pop("sid")
        assert isinstance(sid, str)
        assert all(type(value) is int and abs(value) <= LARGEST_MARGIN for value in fact.values())
        assert len(fact) < 250
    fake_library.facts.clear()
    fake_library.definitions.clear()


def _operators(conditions: list[dict[str, Any]]) -> Iterator[str]:
    for condition in conditions:
        [(name, operand)] = condition.items()
        if name.startswith("$"):
            yield name
        assert type(next(iter(operand.values())) if name.startswith("$") else operand) is int


def test_a_margin_beyond_64_bits_keeps_its_sign(
    fake_library: FakeLibrary, write_policy: Write, small_deal: Build
) -> None:
    huge = "$999999999999999 * 1000000000000"
    bench = Bench(fake_library, write_policy(f"cash_price < {huge}", f"cash_price > {huge}"), small_deal())
    assert bench.evaluate() == {"R0": "pass", "R1": "violated"}
    assert {abs(value) for name, value in fake_library.facts[0].items() if name.startswith("margin")} == {
        LARGEST_MARGIN
    }


@pytest.mark.parametrize("count", [65, 130])
def test_no_ruleset_can_overflow_the_module_s_stack(
    count: int, fake_library: FakeLibrary, write_policy: Write, small_deal: Build
) -> None:
    """The stand-in answers with error 303 as the module does, when more than 64 first conditions hold."""
    bench = Bench(fake_library, write_policy(*(f"cash_price < ${n}" for n in range(count))), small_deal())
    assert set(bench.evaluate().values()) == {"violated"}
    assert len(fake_library.rulesets) > 1
    unknown = Bench(
        fake_library, write_policy(*(f"credit_score < {n} or mileage > {n}" for n in range(count))), small_deal()
    )
    assert set(unknown.evaluate().values()) == {"not_evaluable"}


# What the module may answer


class Faulty:
    """Bends one function of the library, as often as a test wants."""

    def __init__(self, library: FakeLibrary, function: str, answer: Callable[..., Any], times: int = 1) -> None:
        honest = getattr(library, function)

        def bent(*arguments: Any) -> Any:
            nonlocal times
            times -= 1
            return answer(*arguments) if times >= 0 else honest(*arguments)

        setattr(library, function, bent)


def raising(error: type[BaseException], words: str) -> Callable[..., Any]:
    def answer(*_: Any) -> Any:
        raise error(words)

    return answer


def assert_failed_once(bench: Bench, words: str, error: type[BaseException] = EngineError) -> None:
    """The failure is told, its ruleset and session are gone, the next evaluation is right."""
    first = set(bench.library.rulesets)
    with pytest.raises(error, match=words):
        bench.evaluate()
    gc.collect()
    assert bench.library.sessions == {}
    assert first.isdisjoint(bench.library.rulesets)
    assert bench.evaluate() == RESULTS
    assert bench.library.sessions == {}


def test_an_error_of_the_module_is_passed_on(bench: Bench) -> None:
    Faulty(bench.library, "assert_fact", raising(RuntimeError, "error code: 303"))
    assert_failed_once(bench, "303", RuntimeError)


def test_an_error_after_the_session_began_leaves_no_session(bench: Bench) -> None:
    Faulty(bench.library, "complete_and_start_action", raising(MemoryError, "no room"))
    assert_failed_once(bench, "no room", MemoryError)


def test_rulesets_that_failed_are_not_touched_again_even_when_none_can_be_built(bench: Bench) -> None:
    Faulty(bench.library, "assert_fact", raising(RuntimeError, "error code: 303"))
    Faulty(bench.library, "create_ruleset", raising(MemoryError, "no room"))
    for words, error in (("303", RuntimeError), ("could not be built anew", EngineError)):
        with pytest.raises(error, match=words):
            bench.evaluate()
    gc.collect()
    assert bench.library.sessions == {}
    assert bench.evaluate() == RESULTS


def test_an_interrupt_leaves_no_session_either(bench: Bench) -> None:
    Faulty(bench.library, "start_action_for_state", raising(KeyboardInterrupt, "now"))
    assert_failed_once(bench, "now", KeyboardInterrupt)


def test_an_error_while_a_session_is_deleted_is_a_failure(bench: Bench) -> None:
    Faulty(bench.library, "delete_state", raising(RuntimeError, "error code: 1"))
    assert_failed_once(bench, "error code: 1", RuntimeError)


@pytest.mark.parametrize("code", [1, 2, 302, -1])
def test_any_answer_but_success_to_a_fact_is_a_failure(bench: Bench, code: int) -> None:
    Faulty(bench.library, "assert_fact", lambda handle, fact: (code, 1))
    assert_failed_once(bench, f"the engine answered {code} to a fact")


def test_silence_is_not_a_pass(bench: Bench) -> None:
    """Without the sentinel's firing nothing proves that the ruleset was alive; deleting such a session would crash."""
    Faulty(bench.library, "start_action_for_state", lambda handle, state: None)
    assert_failed_once(bench, "the sentinel did not fire")


def test_a_session_in_which_only_the_sentinel_is_silent_is_a_failure(bench: Bench) -> None:
    def without_sentinel(handle: int, state: int) -> tuple[str, str] | None:
        fired = [name for name in bench.library.states[state] if name != "sentinel"]
        bench.library.states[state] = fired
        return FakeLibrary.start_action_for_state(bench.library, handle, state)

    Faulty(bench.library, "start_action_for_state", without_sentinel, times=9)
    with pytest.raises(EngineError, match="the sentinel did not fire"):
        bench.evaluate()


def test_a_rule_that_was_never_given_is_a_failure(bench: Bench) -> None:
    Faulty(bench.library, "start_action_for_state", lambda handle, state: ("{}", '{"rule_99":{"m":{}}}'))
    assert_failed_once(bench, "fired a rule that it was not given")


def test_contradicting_results_are_a_failure(bench: Bench, write_policy: Write, small_deal: Build) -> None:
    text = write_policy({"require": "cash_price > $5", "applies": "cash_down == $0"})
    other = Bench(bench.library, text, small_deal())

    def everything(handle: int, state: int) -> tuple[str, str] | None:
        bench.library.states[state] = list(bench.library.rulesets[handle])
        return FakeLibrary.start_action_for_state(bench.library, handle, state)

    Faulty(bench.library, "start_action_for_state", everything)
    with pytest.raises(EngineError, match="contradicting results for rule R0"):
        other.evaluate()
    assert other.evaluate() == {"R0": "pass"}


def test_endless_firing_is_cut_short(bench: Bench) -> None:
    Faulty(bench.library, "complete_and_start_action", lambda handle, state: '{"sentinel":{"m":{}}}', times=10_000)
    with pytest.raises(EngineError, match="fired more often than it has rules"):
        bench.evaluate()


@pytest.mark.parametrize("answer", [("{}", "nonsense"), ("{}", "{}"), "x", 5])
def test_an_answer_that_makes_no_sense_is_a_failure(bench: Bench, answer: Any) -> None:
    Faulty(bench.library, "start_action_for_state", lambda handle, state: answer)
    assert_failed_once(bench, ".", Exception)


def test_a_module_that_cannot_build_a_ruleset_is_told_at_once(fake_library: FakeLibrary, write_policy: Write) -> None:
    Faulty(fake_library, "create_ruleset", raising(MemoryError, "no room"))
    with pytest.raises(MemoryError, match="no room"):
        Engine(Policy.from_text(write_policy(*RULES)))


def test_a_failure_in_the_module_refers_the_deal_and_the_next_deal_is_judged(bench: Bench, small_deal: Build) -> None:
    Faulty(bench.library, "assert_fact", raising(RuntimeError, "error code: 303"))
    failed, sound = (bench.compiled.evaluate(small_deal()).document() for _ in range(2))
    assert failed["findings"][-1]["rule"] == "ENGINE-FAILURE"
    assert "RuntimeError: error code: 303" in failed["findings"][-1]["explanation"]
    assert (failed["engine"]["agreed"], sound["engine"]["agreed"]) == (False, True)


def test_a_module_that_fires_the_wrong_rules_is_caught_by_the_reference(bench: Bench, small_deal: Build) -> None:
    Faulty(bench.library, "start_action_for_state", lambda handle, state: ("{}", json.dumps({"sentinel": {}})))
    Faulty(bench.library, "complete_and_start_action", lambda handle, state: None)
    decision = bench.compiled.evaluate(small_deal()).document()
    assert decision["findings"][-1]["rule"] == "ENGINE-DISAGREEMENT"
    assert "R1 (pass against violated)" in decision["findings"][-1]["explanation"]
