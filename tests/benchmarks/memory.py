"""Many evaluations in one process: every result against the expected one, and the resident memory on the way."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from time import perf_counter
from typing import NamedTuple

import psutil

from dealgate import CompiledPolicy, Deal, Result
from dealgate.rules.fields import facts_of
from tests.benchmarks.contenders import write_by_hand
from tests.benchmarks.deals import Deals, measures_by_hand, worse
from tests.benchmarks.workload import build_workload

SAMPLE_EVERY = 50_000
WORSE_OF = 8
"""One deal of so many breaks rules; the others are clean."""
DOCUMENT_OF = 15
"""Of one evaluation in so many the whole decision is written, evidence included."""

Expected = tuple[Deal, dict[str, Result]]


class Memory(NamedTuple):
    """What a run showed. `megabytes` holds the resident memory before the first evaluation and after every block."""

    threads: int
    evaluations: int
    violated_deals: int
    wrong: int
    seconds: float
    megabytes: Sequence[float]

    @property
    def growth(self) -> float:
        """Bytes an evaluation by least squares, the first tenth of the run, in which caches fill, left out."""
        kept = self.megabytes[1 + len(self.megabytes) // 10 :]
        if len(kept) < 3:
            return float("nan")
        middle, mean = (len(kept) - 1) / 2, sum(kept) / len(kept)
        above = sum((place - middle) * (size - mean) for place, size in enumerate(kept))
        slope = above / sum((place - middle) ** 2 for place in range(len(kept)))
        return slope * (1 << 20) / SAMPLE_EVERY


def run_long(threads: int, evaluations: int) -> Memory:
    """Evaluate in blocks on so many threads, all on one compiled policy, and count the results that are not as expected."""
    compiled, expected = _expectations()
    broken = [Result.VIOLATED in results.values() for _, results in expected]

    def evaluate(numbers: range) -> tuple[int, int]:
        wrong = violated = 0
        for number in numbers:
            deal, results = expected[number % len(expected)]
            evaluation = compiled.evaluate(deal)
            found = {finding.rule: finding.result for finding in evaluation.findings}
            if number % DOCUMENT_OF == 0:
                document = evaluation.document()
                found |= {finding["rule"]: Result(finding["result"]) for finding in document["findings"]}
            wrong += found != results
            violated += broken[number % len(expected)]
        return wrong, violated

    process = psutil.Process(os.getpid())
    wrong = violated = 0
    megabytes = [_resident(process)]
    started = perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, evaluations, SAMPLE_EVERY):
            last = min(first + SAMPLE_EVERY, evaluations)
            edges = [first + (last - first) * thread // threads for thread in range(threads + 1)]
            shares = [range(start, end) for start, end in pairwise(edges)]
            for part_wrong, part_violated in pool.map(evaluate, shares):
                wrong += part_wrong
                violated += part_violated
            megabytes.append(_resident(process))
    return Memory(threads, evaluations, violated, wrong, perf_counter() - started, megabytes)


def _resident(process: psutil.Process) -> float:
    return process.memory_info().rss / (1 << 20)


def _expectations() -> tuple[CompiledPolicy, list[Expected]]:
    """Deals and each one's results: the reference's, once the rules written by hand have confirmed what is violated."""
    deals = Deals()
    workload = build_workload(deals, 40, 0)
    compiled = CompiledPolicy(workload.read_policy())
    by_hand = write_by_hand(workload.rules)
    expected = []
    for number, document in enumerate(deals.documents):
        deal = Deal.read(worse(document) if number % WORSE_OF == 0 else document)
        results = compiled.reference(facts_of(deal)).results
        violated = [rule for rule, result in results.items() if result is Result.VIOLATED]
        assert violated == by_hand(workload.facts(measures_by_hand(deal)))
        assert bool(violated) is (number % WORSE_OF == 0)
        expected.append((deal, results))
    return compiled, expected
