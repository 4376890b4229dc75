"""Measure the ledger, and write the results to docs/benchmarks-ledger.md.

python tests/benchmarks/ledger.py            some minutes
python tests/benchmarks/ledger.py --quick    the same with little patience, to try
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks import ledger_reading as reading
from tests.benchmarks import ledger_writing as writing
from tests.benchmarks.ledger_breakdown import Part, measure_parts
from tests.benchmarks.ledger_places import POSTGRESQL, SQLITE, places
from tests.benchmarks.ledger_reading import Verified, measure_verification
from tests.benchmarks.ledger_storage import measure_storage
from tests.benchmarks.ledger_writing import BARE, STORED, WRITERS, Written, measure_queue, measure_writing, percentile
from tests.benchmarks.machine import describe
from tests.benchmarks.timing import Ratio, ratio

TARGET = Path(__file__).parents[2] / "docs" / "benchmarks-ledger.md"
BAR = 1.5
QUEUED = (8, 16)
MILLION = 1_000_000


class Effort(NamedTuple):
    rounds: int
    seconds: float
    entries: tuple[tuple[int, int], ...]
    """Of verification: how many, and of how many bytes."""

    verifications: int
    decisions: int
    """Of the storage."""


FULL = Effort(11, 0.5, ((100_000, 1_000), (30_000, 6_000)), 7, 2_000)
QUICK = Effort(3, 0.3, ((10_000, 1_000), (3_000, 6_000)), 3, 400)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="under a minute; the numbers are rough")
    arguments.add_argument("--output", type=Path, default=TARGET, help="the page")
    given = arguments.parse_args()
    effort = QUICK if given.quick else FULL
    given.output.write_text(page(effort), encoding="utf-8")
    print(f"written to {given.output}")


def page(effort: Effort) -> str:
    with places() as engines:
        written = {
            (name, writers): measure_writing(engine, writers, effort.rounds, effort.seconds)
            for name, engine in engines.items()
            for writers in WRITERS
        }
        queued = {writers: measure_queue(engines[SQLITE], writers, effort.rounds, effort.seconds) for writers in QUEUED}
        parts = measure_parts(engines[SQLITE])
    with places() as engines:
        stored = {name: measure_storage(engine, effort.decisions) for name, engine in engines.items()}
    verified = [measure_verification(count, size, effort.verifications, 3) for count, size in effort.entries]
    rough = "**A quick run, the numbers are rough.** " if effort == QUICK else ""
    sections = [
        "# Benchmarks of the ledger",
        "`make bench-ledger` writes this page. The numbers that count are ratios between contenders of one run.",
        describe(),
        f"{rough}Databases lie on a disk that is synced: SQLite with WAL and FULL as the gate opens it, PostgreSQL as it comes.",
        *_writing(written, effort),
        *_parts(parts),
        *_queue(queued),
        *_verification(verified),
        *_storage(stored, effort.decisions),
    ]
    return "\n\n".join(sections) + "\n"


def _writing(written: Mapping[tuple[str, int], Written], effort: Effort) -> Iterator[str]:
    yield "## Storing a submission"
    yield (
        f"{effort.rounds} rounds; in each, every contender in turn has {effort.seconds:g} s with so many threads, on the same database "
        "and the same deals. Ratios are of time a submission, the median over rounds with its range."
    )
    yield _table(("contender", "what is timed"), writing.WHAT.items())
    rows = []
    for (name, writers), found in written.items():
        for contender, rates in found.rates.items():
            slower = _slower(found, contender)
            met = "" if contender != STORED else "met" if slower.middle <= BAR else "**missed**"
            waits = found.waits[contender]
            times = f"{median(waits):.1f} / {percentile(waits, 0.99):.1f}"
            rows.append((name, str(writers), contender, f"{median(rates):.0f}", times, _shown(slower), met))
    head = (
        "database",
        "writers",
        "contender",
        "a second",
        "ms, p50 / p99",
        "times the bare INSERTs",
        f"at most {BAR:g}",
    )
    yield _table(head, rows)


def _slower(found: Written, contender: str) -> Ratio:
    """Times of a submission from rates: the bare one's rate over the contender's, round by round."""
    return ratio(found.rates, BARE, contender)


def _parts(parts: Sequence[Part]) -> Iterator[str]:
    yield "### Where the rest goes"
    yield (
        "Processor time a submission on SQLite, one thread. Beyond the bare rows, a submission looks for its key, and it makes what "
        "the bare INSERTs are given: the decision, its bytes, their hashes, the columns."
    )
    rows = [
        (one.name, f"{one.microseconds:,.0f}", "" if one.statements is None else str(one.statements)) for one in parts
    ]
    yield _table(("", "µs", "statements"), rows)


def _queue(queued: Mapping[int, Written]) -> Iterator[str]:
    yield "## SQLite's writers, queued and not"
    yield "The same submissions, evaluated before, through the queue in the process and with `BEGIN IMMEDIATE` alone."
    rows = [
        (
            str(writers),
            contender,
            f"{median(rates):.0f}",
            f"{median(found.waits[contender]):.1f}",
            f"{percentile(found.waits[contender], 0.99):.0f}",
            f"{max(found.waits[contender]):.0f}",
        )
        for writers, found in queued.items()
        for contender, rates in found.rates.items()
    ]
    yield _table(("threads", "", "a second", "p50 ms", "p99 ms", "longest ms"), rows)


def _verification(verified: Sequence[Verified]) -> Iterator[str]:
    yield "## Verification, on SQLite"
    yield "Processor time, interleaved rounds; one checkpoint over all entries. 'Of a million' is scaled from the median."
    yield _table(("contender", "what is timed"), reading.WHAT.items())
    rows = []
    for found in verified:
        for name, seconds in found.seconds.items():
            slower = ratio({n: s[: len(seconds)] for n, s in found.seconds.items()}, name, reading.READ)
            met = "" if name != reading.BODIES else "met" if slower.middle <= BAR else "**missed**"
            million = median(seconds) / found.entries * MILLION
            rows.append((f"{found.bytes_each:.0f}", name, f"{million:.1f}", _shown(slower), met))
    yield _table(("bytes an entry", "contender", "s of a million", "times read and hash", f"at most {BAR:g}"), rows)
    yield "### Sealing"
    yield _table(
        ("bytes an entry", "entries", "a second", "a second of processor time"),
        [
            (
                f"{found.bytes_each:.0f}",
                f"{found.sealing.entries:,}",
                f"{found.sealing.by_wall:,.0f}",
                f"{found.sealing.by_processor:,.0f}",
            )
            for found in verified
        ],
    )


def _storage(stored: Mapping[str, Mapping[str, int]], decisions: int) -> Iterator[str]:
    yield "## Storage of a million decisions"
    yield (
        f"Scaled from {decisions:,} decisions about the sample deals (`examples/deals.jsonl`), sealed; gigabytes, indexes included."
    )
    tables = sorted({*stored[SQLITE], *stored[POSTGRESQL]}, key=lambda name: -stored[SQLITE].get(name, 0))
    scale = MILLION / decisions / 1e9
    rows = [(name, *(f"{stored[one].get(name, 0) * scale:.2f}" for one in stored)) for name in tables]
    rows.append(("**all**", *(f"**{sum(stored[one].values()) * scale:.2f}**" for one in stored)))
    yield _table(("table", *stored), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _shown(found: Ratio) -> str:
    return f"{found.middle:.2f} ({found.least:.2f} to {found.most:.2f})"


if __name__ == "__main__":
    main()
