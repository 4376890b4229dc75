"""Where the time of one evaluation goes: clocks around its parts while it runs, and what follows it timed on its own."""

import gc
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from time import perf_counter_ns, process_time
from typing import Any, NamedTuple
from unittest import mock

from dealgate import CompiledPolicy, Deal
from dealgate.rules import engine as engine_module
from dealgate.rules import evaluation as evaluation_module
from dealgate.rules.engine import Engine, load_library
from dealgate.rules.evaluation import Evaluation
from dealgate.rules.explanation import Explainer
from tests.benchmarks.workload import ROTATION, Deals, Workload, distinct_deals

TIMES_ROUND = 10
"""How often a round goes round the deals."""


class Part(NamedTuple):
    """One part of the work. `indent` is 1 for what the part above it contains."""

    name: str
    microseconds: float
    indent: int = 0


class _Clock:
    """Adds up the nanoseconds spent in each of the functions it was put around."""

    def __init__(self) -> None:
        self.spent: dict[str, int] = defaultdict(int)
        self.calls: dict[str, int] = defaultdict(int)

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        spent, calls = self.spent, self.calls

        def clocked(*arguments: Any) -> Any:
            started = perf_counter_ns()
            answer = function(*arguments)
            spent[name] += perf_counter_ns() - started
            calls[name] += 1
            return answer

        return clocked

    def read(self, evaluations: int, own: float) -> dict[str, float]:
        """Microseconds an evaluation by name, the clock's own nanoseconds taken off each call; starts anew."""
        found = {name: (spent - own * self.calls[name]) / 1000 / evaluations for name, spent in self.spent.items()}
        self.spent.clear()
        self.calls.clear()
        return found

    def own(self) -> float:
        """Nanoseconds that the clock finds in a function which does nothing."""
        nothing = self.around("nothing", lambda: None)
        for _ in range(10_000):
            nothing()
        return self.spent.pop("nothing") / self.calls.pop("nothing")


class _ClockedLibrary:
    """The engine's C module with a clock around each function."""

    def __init__(self, clock: _Clock) -> None:
        self._library, self._clock = load_library(), clock

    def __getattr__(self, name: str) -> Callable[..., Any]:
        clocked = self._clock.around(name, getattr(self._library, name))
        setattr(self, name, clocked)
        return clocked


@contextmanager
def _clocked(workload: Workload, clock: _Clock) -> Iterator[CompiledPolicy]:
    """A compiled policy with a clock in every part of `evaluate`."""
    with mock.patch.object(engine_module, "load_library", lambda: _ClockedLibrary(clock)):
        compiled = CompiledPolicy(workload.read_policy())
    places = [
        (evaluation_module, "facts_of"),
        (compiled, "reference"),
        (Engine, "evaluate"),
        (compiled.engine, "margins"),
        (Explainer, "finding"),
        (CompiledPolicy, "_measure"),
    ]
    with ExitStack() as patches:
        for place, name in places:
            patches.enter_context(mock.patch.object(place, name, clock.around(name, getattr(place, name))))
        yield compiled


def _evaluate_all(compiled: CompiledPolicy, deals: Sequence[Deal]) -> None:
    for _ in range(TIMES_ROUND):
        for deal in deals:
            compiled.evaluate(deal)


def _inside(deals: Deals, workload: Workload, rounds: int) -> dict[str, float]:
    clock = _Clock()
    own = clock.own()
    read: list[dict[str, float]] = []
    with _clocked(workload, clock) as compiled:
        for _ in range(rounds + 1):
            _evaluate_all(compiled, deals.deals)
            read.append(clock.read(TIMES_ROUND * ROTATION, own))
    return {name: median(each[name] for each in read[1:]) for name in read[1]}


def break_down(deals: Deals, workload: Workload, rounds: int) -> list[Part]:
    """The parts of an evaluation in the order they happen, then what follows it."""
    compiled = CompiledPolicy(workload.read_policy())
    evaluations = [compiled.evaluate(deal) for deal in deals.deals]
    documents = [evaluation.document() for evaluation in evaluations]
    gc.collect()
    gc.freeze()
    whole = _time(rounds, compiled.evaluate, deals.deals)
    inside = _inside(deals, workload, rounds)
    evidence = _time(rounds, _read_evidence, evaluations)
    document = _time(rounds, Evaluation.document, evaluations)
    dumps = _time(rounds, json.dumps, documents)
    reading = _time(rounds, Deal.read, deals.documents)
    gc.unfreeze()
    firings = inside["start_action_for_state"] + inside["complete_and_start_action"]
    in_the_module = inside["assert_fact"] + firings + inside["delete_state"]
    parts = ("facts_of", "reference", "evaluate", "finding", "_measure")
    return [
        Part("`CompiledPolicy.evaluate`", whole),
        Part("the deal laid out as facts", inside["facts_of"], 1),
        Part("reference: measures, limits, every rule's result", inside["reference"], 1),
        Part("engine: margins of the comparisons", inside["margins"], 1),
        Part("engine: C module, `assert_fact`, which matches the rules", inside["assert_fact"], 1),
        Part("engine: C module, firings", firings, 1),
        Part("engine: C module, `delete_state`", inside["delete_state"], 1),
        Part("engine: text of the fact, firings to results", inside["evaluate"] - inside["margins"] - in_the_module, 1),
        Part("findings, their evidence not read", inside["finding"], 1),
        Part("measures as shown", inside["_measure"], 1),
        Part("agreement, outcome, reasons, exact measures", whole - sum(inside[name] for name in parts), 1),
        Part("evidence of all findings, put into words", evidence),
        Part("`Evaluation.document()`, which puts the evidence into words again", document),
        Part("`json.dumps` of the document", dumps),
        Part("`Deal.read`, before the evaluation", reading),
    ]


def _read_evidence(evaluation: Evaluation) -> None:
    for finding in evaluation.findings:
        finding.evidence  # noqa: B018  it is put into words here


def _time(rounds: int, call: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    """Microseconds of one call: the median over rounds, after one that warms up."""
    times = []
    for _ in range(rounds + 1):
        started = process_time()
        for _ in range(TIMES_ROUND):
            for given in inputs:
                call(given)
        times.append((process_time() - started) * 1e6 / len(inputs) / TIMES_ROUND)
    return median(times[1:])


class Caches(NamedTuple):
    """Microseconds of one evaluation with its evidence when deals repeat, and when none does."""

    repeating: float
    distinct: float


def without_caches(deals: Deals, workload: Workload) -> Caches:
    """A rotation of few deals stays in the caches of money texts and annuity factors; thousands of others do not."""
    compiled = CompiledPolicy(workload.read_policy())
    others = list(distinct_deals())
    spent = {"repeating": 0.0, "distinct": 0.0}
    gc.collect()
    gc.freeze()
    for start in range(0, len(others), ROTATION):
        for name, given in (("repeating", deals.deals), ("distinct", others[start : start + ROTATION])):
            started = process_time()
            for deal in given:
                _read_evidence(compiled.evaluate(deal))
            spent[name] += process_time() - started
    gc.unfreeze()
    return Caches(**{name: seconds * 1e6 / len(others) for name, seconds in spent.items()})
