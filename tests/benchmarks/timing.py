"""Interleaved rounds: every contender in turn, again and again, so that a slow minute of the machine strikes all alike.

Times are processor time of the process, all its threads together: another program on the same cores does not count.
"""

import gc
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, islice
from statistics import median
from time import process_time
from typing import NamedTuple

from tests.benchmarks.contenders import Contender

Rounds = Mapping[str, Sequence[float]]
"""Microseconds an evaluation, one number a round, by contender."""


class Ratio(NamedTuple):
    """How many times another contender's time: the median over rounds, and its range."""

    middle: float
    least: float
    most: float


def ratio(rounds: Rounds, contender: str, to: str) -> Ratio:
    each = [ours / theirs for ours, theirs in zip(rounds[contender], rounds[to], strict=True)]
    return Ratio(median(each), min(each), max(each))


def measure(contenders: Iterable[Contender], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Time each contender for about so many seconds in every round, going round its deals."""
    laps = [_Lap(contender, seconds) for contender in contenders]
    gc.collect()
    gc.freeze()  # the collector runs as in life, but does not walk what only the benchmark keeps
    try:
        return _transposed([{lap.contender.name: lap.run() for lap in laps} for _ in range(rounds)])
    finally:
        gc.unfreeze()


def _transposed(rounds: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    return {name: [times[name] for times in rounds] for name in rounds[0]}


class _Lap:
    """One contender's turn. Building it warms up and finds how many evaluations fill the time."""

    def __init__(self, contender: Contender, seconds: float) -> None:
        self.contender = contender
        self.inputs = cycle(contender.inputs)
        self.evaluations = 1
        started = process_time()
        while (spent := process_time() - started) < seconds / 2:
            self.run()
            self.evaluations *= 2
        self.evaluations = max(1, round((self.evaluations - 1) * seconds / spent))

    def run(self) -> float:
        call, given = self.contender.call, list(islice(self.inputs, self.evaluations))
        started = process_time()
        for one in given:
            call(one)
        return (process_time() - started) * 1e6 / len(given)
