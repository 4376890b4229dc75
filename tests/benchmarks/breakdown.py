"""Where the time of one evaluation goes: clocks in it while it runs; what they would disturb is timed on its own."""

import gc
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from statistics import median
from time import process_time, process_time_ns
from typing import Any, NamedTuple
from unittest import mock

from dealgate import CompiledPolicy, Deal
from dealgate.rules import engine as engine_module
from dealgate.rules import evaluation as evaluation_module
from dealgate.rules.engine import Engine, load_library
from dealgate.rules.evaluation import Evaluation
from tests.benchmarks.deals import ROTATION, Deals, distinct_deals
from tests.benchmarks.workload import Workload

TIMES_ROUND = 10
"""How often a round goes round the deals."""


MODULE = ("assert_fact", "start_action_for_state", "complete_and_start_action", "delete_state")
ENGINE = ("margins", *MODULE)
PARTS = ("facts_of", "reference", "engine")
INSIDE = {"engine": ENGINE, "evaluation": (*PARTS, *ENGINE)}
"""Clocks within other clocks."""


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

        self.own, self.around_own = self._costs()

    def _costs(self) -> tuple[float, float]:
        """Nanoseconds that a clock finds in a function which does nothing, and those that it costs beside what it finds."""
        times = 20_000

        def nothing() -> None:
            pass

        clocked = self.around("nothing", nothing)
        started = process_time_ns()
        for _ in range(times):
            nothing()
        bare = process_time_ns()
        for _ in range(times):
            clocked()
        whole = process_time_ns() - bare
        own = self.spent.pop("nothing") / self.calls.pop("nothing")
        return own, (whole - (bare - started)) / times - own

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        spent, calls = self.spent, self.calls

        def clocked(*arguments: Any) -> Any:
            started = process_time_ns()
            answer = function(*arguments)
            spent[name] += process_time_ns() - started
            calls[name] += 1
            return answer

        return clocked

    def read(self, evaluations: int) -> dict[str, float]:
        """Microseconds an evaluation by name, less what the clocks cost; starts anew."""
        spent = {name: nanoseconds - self.own * self.calls[name] for name, nanoseconds in self.spent.items()}
        for outer, inner in INSIDE.items():
            spent[outer] -= sum(self.around_own * self.calls[name] for name in inner)
        self.spent.clear()
        self.calls.clear()
        return {name: nanoseconds / 1000 / evaluations for name, nanoseconds in spent.items()}


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
    """A compiled policy with clocks in those parts of `evaluate` that are called once or a few times a deal."""
    with mock.patch.object(engine_module, "load_library", return_value=_ClockedLibrary(clock)):
        compiled = CompiledPolicy(workload.read_policy())
    places = [
        ("evaluation", CompiledPolicy, "evaluate"),
        ("facts_of", evaluation_module, "facts_of"),
        ("reference", compiled, "reference"),
        ("engine", Engine, "evaluate"),
        ("margins", compiled.engine, "margins"),
    ]
    with ExitStack() as patches:
        for name, place, function in places:
            clocked = clock.around(name, getattr(place, function))
            patches.enter_context(mock.patch.object(place, function, clocked))
        yield compiled


def _evaluate_all(compiled: CompiledPolicy, deals: Sequence[Deal]) -> None:
    for _ in range(TIMES_ROUND):
        for deal in deals:
            compiled.evaluate(deal)


def _inside(deals: Deals, workload: Workload, rounds: int) -> dict[str, float]:
    clock = _Clock()
    read: list[dict[str, float]] = []
    with _clocked(workload, clock) as compiled:
        for _ in range(rounds + 1):
            _evaluate_all(compiled, deals.deals)
            read.append(clock.read(TIMES_ROUND * ROTATION))
    return {name: median(each[name] for each in read[1:]) for name in read[1]}


def break_down(deals: Deals, workload: Workload, rounds: int) -> list[Part]:
    """The parts of an evaluation in the order they happen, then what follows it."""
    compiled = CompiledPolicy(workload.read_policy())
    evaluations = [
        compiled.evaluate(deal) for deal in deals.deals
    ]  # copied before they are read: they keep what was asked
    documents = [evaluation.document() for evaluation in evaluations]
    gc.collect()
    gc.freeze()
    inside = _inside(deals, workload, rounds)
    evidence = _time(rounds, lambda evaluation: _read_evidence(copy(evaluation)), evaluations)
    document = _time(rounds, Evaluation.document, evaluations)
    dumps = _time(rounds, json.dumps, documents)
    reading = _time(rounds, Deal.read, deals.documents)
    gc.unfreeze()
    listed = sum(inside[name] for name in PARTS)
    firings = inside["start_action_for_state"] + inside["complete_and_start_action"]
    return [
        Part("`CompiledPolicy.evaluate`", inside["evaluation"]),
        Part("the deal laid out as facts", inside["facts_of"], 1),
        Part("reference: measures, limits, every rule's result", inside["reference"], 1),
        Part("engine: margins of the comparisons", inside["margins"], 1),
        Part("engine: C module, `assert_fact`, which matches the rules", inside["assert_fact"], 1),
        Part("engine: C module, firings", firings, 1),
        Part("engine: C module, `delete_state`", inside["delete_state"], 1),
        Part(
            "engine: text of the fact, firings to results", inside["engine"] - sum(inside[name] for name in ENGINE), 1
        ),
        Part("agreement, outcome", inside["evaluation"] - listed, 1),
        Part("findings, their evidence put into words", evidence),
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
