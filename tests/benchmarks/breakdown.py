"""Where the time of one evaluation goes: its parts timed one by one, on the same deals, in interleaved rounds."""

import gc
import json
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter_ns, process_time
from typing import Any, NamedTuple
from unittest import mock

from dealgate import CompiledPolicy, Deal
from dealgate.rules import engine as engine_module
from dealgate.rules.engine import Engine, load_library
from dealgate.rules.fields import facts_of
from dealgate.rules.tracing import Trace
from tests.benchmarks.workload import Deals, Workload, distinct_deals

PARTS_IN_ROUND = 10


class Part(NamedTuple):
    """One part of the work. `indent` is 1 for what the part above it contains."""

    name: str
    microseconds: float
    indent: int = 0


class _Clocked:
    """The engine's C module with a clock around each function."""

    def __init__(self) -> None:
        self.library = load_library()
        self.nanoseconds: dict[str, int] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self.library, name)

        def clocked(*arguments: Any) -> Any:
            started = perf_counter_ns()
            answer = function(*arguments)
            self.nanoseconds[name] = self.nanoseconds.get(name, 0) + perf_counter_ns() - started
            return answer

        setattr(self, name, clocked)
        return clocked


def break_down(deals: Deals, workload: Workload, rounds: int) -> list[Part]:
    """The parts of an evaluation in the order they happen, then what follows it."""
    policy = workload.read_policy()
    compiled = CompiledPolicy(policy)
    engine = compiled.engine
    assert isinstance(engine, Engine)
    facts = [facts_of(deal) for deal in deals.deals]
    reckonings = [compiled.reference(one) for one in facts]
    both = list(zip(facts, reckonings, strict=True))
    traces = [Trace(policy, one, reckoning) for one, reckoning in both]
    evaluations = [compiled.evaluate(deal) for deal in deals.deals]
    findings = [evaluation.findings for evaluation in evaluations]
    documents = [evaluation.document() for evaluation in evaluations]
    timed = _time(
        rounds,
        {
            "read": (Deal.read, deals.documents),
            "evaluate": (compiled.evaluate, deals.deals),
            "facts": (facts_of, deals.deals),
            "reference": (compiled.reference, facts),
            "engine": (lambda pair: engine.evaluate(*pair), both),
            "margins": (lambda pair: engine.margins(*pair), both),
            "findings": (
                lambda trace: [
                    explainer.finding(trace.reckoning.results[explainer.rule.id], trace)
                    for explainer in compiled.explainers
                ],
                traces,
            ),
            "measures": (
                lambda trace: [
                    compiled._measure(name, value, trace) for name, value in trace.reckoning.measures.items()
                ],
                traces,
            ),
            "evidence": (lambda found: [finding.evidence for finding in found], findings),
            "document": (lambda evaluation: evaluation.document(), evaluations),
            "dumps": (json.dumps, documents),
        },
    )
    inside = _inside_the_engine(workload, both)
    known = sum(timed[name] for name in ("facts", "reference", "engine", "findings", "measures"))
    return [
        Part("`CompiledPolicy.evaluate`", timed["evaluate"]),
        Part("the deal laid out as facts", timed["facts"], 1),
        Part("reference: measures, limits, every rule's result", timed["reference"], 1),
        Part("engine: margins of the comparisons", timed["margins"], 1),
        Part("engine: C module, `assert_fact` with the match", inside["assert_fact"], 1),
        Part(
            "engine: C module, firings", inside["start_action_for_state"] + inside["complete_and_start_action"], 1
        ),
        Part("engine: C module, `delete_state`", inside["delete_state"], 1),
        Part("engine: fact text, firings to results", timed["engine"] - timed["margins"] - sum(inside.values()), 1),
        Part("findings, evidence unread", timed["findings"], 1),
        Part("measures as shown", timed["measures"], 1),
        Part("agreement, outcome, reasons, the rest", timed["evaluate"] - known, 1),
        Part("evidence put into words, all findings", timed["evidence"]),
        Part("`.document()`, evidence included", timed["document"]),
        Part("`json.dumps` of it", timed["dumps"]),
        Part("before all this: `Deal.read` of the document", timed["read"]),
    ]


def _time(rounds: int, parts: dict[str, tuple[Callable[[Any], object], Sequence[Any]]]) -> dict[str, float]:
    """Microseconds of each part: the median over rounds, after one that warms up."""
    times: dict[str, list[float]] = {name: [] for name in parts}
    gc.collect()
    gc.freeze()
    for _ in range(rounds + 1):
        for name, (call, inputs) in parts.items():
            started = process_time()
            for _ in range(PARTS_IN_ROUND):
                for given in inputs:
                    call(given)
            times[name].append((process_time() - started) * 1e6 / len(inputs) / PARTS_IN_ROUND)
    gc.unfreeze()
    return {name: median(each[1:]) for name, each in times.items()}


def _inside_the_engine(workload: Workload, both: Sequence[tuple[Any, Any]]) -> dict[str, float]:
    """Microseconds an evaluation spends in each C function, the cost of the clock itself taken off."""
    with mock.patch.object(engine_module, "load_library", _Clocked):
        engine = Engine(workload.read_policy())
    library = engine.library
    assert isinstance(library, _Clocked)
    for pair in both:
        engine.evaluate(*pair)
    library.nanoseconds.clear()
    for _ in range(PARTS_IN_ROUND):
        for pair in both:
            engine.evaluate(*pair)
    evaluations = PARTS_IN_ROUND * len(both)
    return {name: spent / 1000 / evaluations for name, spent in library.nanoseconds.items()}


class Caches(NamedTuple):
    """Microseconds of one evaluation with its evidence when deals repeat, and when none does."""

    repeating: float
    distinct: float


def without_caches(deals: Deals, workload: Workload) -> Caches:
    """The rotation's few deals stay in the caches of money texts and annuity factors; thousands of different ones do not."""
    compiled = CompiledPolicy(workload.read_policy())
    others = list(distinct_deals())
    gc.collect()
    gc.freeze()
    times = []
    for given in (deals.deals * 2, others[: len(others) // 2], deals.deals * (len(others) // 2 // len(deals.deals)), others):
        started = process_time()
        for deal in given:
            for finding in compiled.evaluate(deal).findings:
                finding.evidence  # noqa: B018  it is put into words here
        times.append((process_time() - started) * 1e6 / len(given))
    gc.unfreeze()
    return Caches(times[2], times[3])
