"""The engine benchmark: one run that holds dealgate, its peers and the floor against the same policies and deals."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tests.benchmarks import contenders, peers
from tests.benchmarks.breakdown import Caches, Part, break_down, without_caches
from tests.benchmarks.cold_start import start_cold, time_compiling
from tests.benchmarks.contenders import Contender, by_hand_contenders, dealgate_contenders
from tests.benchmarks.deals import Deals
from tests.benchmarks.timing import Rounds, measure
from tests.benchmarks.workload import Workload, build_workload

SIZES = (40, 200)
VIOLATED = 5
RULES_FOR_VIOLATIONS = 50

IN_PLOT = (
    contenders.DEALGATE,
    contenders.UNREAD,
    contenders.REFERENCE,
    peers.DURABLE_HOST,
    peers.DURABLE_MODULE,
    peers.ZEN,
    peers.ZEN_TRACED,
    peers.RULE_ENGINE,
    contenders.BY_HAND,
)


EVERYBODY = frozenset({*contenders.WHAT, *peers.WHAT})


class Effort(NamedTuple):
    """How much to measure: rounds, the seconds of one contender's turn, and the steps of the scaling runs."""

    rounds: int
    seconds: float
    scaling_rounds: int
    scaling_seconds: float
    rules: tuple[int, ...]
    violations: tuple[int, ...]


FULL = Effort(11, 0.2, 7, 0.08, (10, 40, 100, 200, 500, 1000), (0, 1, 5, 10, 20, 30, 40))
QUICK = Effort(3, 0.02, 1, 0.005, (10, 40, 200), (0, 5, 40))


@dataclass(frozen=True)
class Measured:
    """Everything one run found."""

    effort: Effort
    rounds: Mapping[int, Rounds]
    by_rules: Mapping[int, Rounds]
    by_violations: Mapping[int, Rounds]
    parts: list[Part]
    caches: Caches
    cold: Mapping[str, float]
    compiling: list[tuple[int, float, float]]


def run(effort: Effort) -> Measured:
    """Measure all of it. Raises `AssertionError` before timing anything on which the contenders do not agree."""
    deals = Deals()
    sized = {size: build_workload(deals, size, VIOLATED) for size in sorted({*SIZES, *effort.rules})}
    violating = {count: build_workload(deals, RULES_FOR_VIOLATIONS, count) for count in effort.violations}
    small = sized[SIZES[0]]
    return Measured(
        effort,
        {size: measure(_agreeing(deals, sized[size]), effort.rounds, effort.seconds) for size in SIZES},
        {size: _scale(deals, sized[size], effort) for size in effort.rules},
        {count: _scale(deals, workload, effort) for count, workload in violating.items()},
        break_down(deals, small, effort.rounds),
        without_caches(deals, small),
        start_cold(deals, small, effort.rounds),
        time_compiling(list(sized.values())),
    )


def _scale(deals: Deals, workload: Workload, effort: Effort) -> Rounds:
    return measure(_agreeing(deals, workload, IN_PLOT), effort.scaling_rounds, effort.scaling_seconds)


def _agreeing(deals: Deals, workload: Workload, names: Container[str] = EVERYBODY) -> list[Contender]:
    """The contenders, once each has found the very rules that the policy was built to have violated, on every deal."""
    print(f"{len(workload.rules)} rules, {len(workload.violated)} violated", flush=True)
    entrants = [
        *dealgate_contenders(deals, workload),
        *peers.peers(deals, workload),
        *by_hand_contenders(deals, workload),
    ]
    chosen = [contender for contender in entrants if contender.name in names]
    for contender in chosen:
        contender.check(workload.violated)
    return chosen
