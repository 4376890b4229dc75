"""Measure the service on PostgreSQL, and write the results to docs/benchmarks-service.md.

python tests/benchmarks/service.py               some minutes
python tests/benchmarks/service.py --quick       the same with little patience, to try
python tests/benchmarks/service.py --soak 15     only the soak of so many minutes, in its section of the page
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from math import ceil
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil
from sqlalchemy import Engine, text

sys.path.insert(0, str(Path(__file__).parents[2]))

from dealgate import Gate
from dealgate.adapters.database import open_database
from dealgate.adapters.sealer import Sealer
from dealgate.models.signing import Ed25519Signer, new_key
from tests.benchmarks.ledger_storage import sizes
from tests.benchmarks.ledger_writing import BareWriter, at_once, deals, percentile
from tests.benchmarks.machine import describe
from tests.benchmarks.page import write_section
from tests.benchmarks.service_load import Load
from tests.benchmarks.timing import ratio
from tests.faults.clusters import Cluster
from tests.faults.services import ServiceProcess, a_credential, services

TARGET = Path(__file__).parents[2] / "docs" / "benchmarks-service.md"
LOAD = Path(__file__).parent / "service_load.py"
CLIENTS = (1, 4, 16, 64)
PROCESSES = (1, 2)
BARE = "bare INSERTs"
RATES = (100, 10_000)
MILLION = 1_000_000
SAMPLE_SECONDS = 15.0
HEAD = """\
# Benchmarks of the service

`make bench-service` writes this page; the numbers that count are ratios between contenders of one run.
"""


class Effort(NamedTuple):
    rounds: int
    seconds: float


FULL, QUICK = Effort(5, 4.0), Effort(2, 1.5)


class Spent(NamedTuple):
    """Processor milliseconds a submission, of the service's processes and of the database's."""

    service: float
    database: float


class Measured(NamedTuple):
    """By contender: submissions a second, one number a round, and what single ones took in milliseconds."""

    rates: dict[str, list[float]]
    waits: dict[str, list[float]]
    spent: dict[str, list[Spent]]


class Sizing(NamedTuple):
    connections: int
    sealed_a_second: float
    bytes_a_decision: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="the numbers are rough")
    arguments.add_argument("--soak", type=float, metavar="MINUTES", help="only the soak")
    given = arguments.parse_args()
    if given.soak:
        write_section(TARGET, "soak", "\n\n".join(soak_section(given.soak)), HEAD)
    else:
        write_section(TARGET, "load", "\n\n".join(load_section(QUICK if given.quick else FULL)), HEAD)
    print(f"written to {TARGET}")


# Measuring


@contextmanager
def database() -> Iterator[tuple[str, Engine]]:
    """A server that syncs to the disk."""
    with Cluster.started() as cluster:
        cluster.run("ALTER SYSTEM SET max_connections = 300")
        cluster.kill()
        cluster.start()
        url = cluster.new_database()
        engine = open_database(url)
        yield url, engine
        engine.dispose()


def load(credential: str, running: Sequence[ServiceProcess], clients: int, seconds: float) -> Load:
    command: list[str | Path] = [
        sys.executable,
        LOAD,
        credential,
        str(clients),
        str(seconds),
        *(one.address for one in running),
    ]
    done = subprocess.run(command, capture_output=True, check=True)
    return Load(*json.loads(done.stdout))


def named(processes: int) -> str:
    return f"the service, {processes} process{'es' if processes > 1 else ''}"


def measure(url: str, engine: Engine, clients: int, effort: Effort) -> Measured:
    bare, places = BareWriter(engine, Gate(engine), deals()), count()
    found = Measured({BARE: []}, {BARE: []}, {})
    for processes in PROCESSES:
        name = named(processes)
        found.rates[name], found.waits[name], found.spent[name] = [], [], []
    credential = a_credential(url)
    with services(url, max(PROCESSES), threads="8") as running:
        load(credential, running, clients, 0.5)
        for _ in range(effort.rounds):
            rate, waits = at_once(lambda _: bare.insert(next(places)), clients, effort.seconds)
            found.rates[BARE].append(rate)
            found.waits[BARE] += waits
            for processes in PROCESSES:
                before = processor_seconds(running, engine)
                told = load(credential, running[:processes], clients, effort.seconds)
                assert not told.others
                after = processor_seconds(running, engine)
                name = named(processes)
                found.rates[name].append(told.rate)
                found.waits[name] += told.waits
                taken = ((later - sooner) * 1e3 / len(told.waits) for sooner, later in zip(before, after, strict=True))
                found.spent[name].append(Spent(*taken))
    return found


def processor_seconds(running: Sequence[ServiceProcess], engine: Engine) -> tuple[float, float]:
    """Of the services and of the database server, from their beginning."""
    with engine.connect() as connection:
        backend = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    server = psutil.Process(backend).parent()
    assert server is not None
    ended = server.cpu_times()
    of_database = sum(map(_seconds, [server, *server.children()]), ended.children_user + ended.children_system)
    return sum(_seconds(psutil.Process(one.process.pid)) for one in running if one.process), of_database


def _seconds(process: psutil.Process) -> float:
    """Of the process itself: those of a backend that ended are its parent's children's."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def middle(spent: Sequence[Spent]) -> Spent:
    return Spent(*map(median, zip(*spent, strict=True)))


def size(url: str, engine: Engine) -> Sizing:
    with services(url, threads="8") as running:
        load(a_credential(url), running, 64, 2.0)
        with engine.connect() as connection:
            connections = connection.execute(
                text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
            ).scalar_one()
    sealer = Sealer(engine, Ed25519Signer.parse(new_key("lender.example/ledger").private))
    began = time.perf_counter()
    sealed = sealer.seal()
    took = time.perf_counter() - began
    assert sealed is not None
    with engine.connect() as connection:
        decisions = connection.execute(text("SELECT count(*) FROM dealgate_decision")).scalar_one()
    return Sizing(int(connections), sealed.added / took, sizes(engine).total() / decisions)


# The page


def load_section(effort: Effort) -> Iterator[str]:
    with database() as (url, engine):
        measured = {clients: measure(url, engine, clients, effort) for clients in CLIENTS}
        sizing = size(url, engine)
    rough = "**A quick run, the numbers are rough.** " if effort == QUICK else ""
    yield "## Submissions"
    yield describe()
    yield (
        f"{rough}`POST /v1/submissions` of the policy prime-auto, every deal a new one under a key of its own, on one PostgreSQL server "
        f"that syncs each commit to the disk. {effort.rounds} rounds; in each, every contender in turn has {effort.seconds:g} s with so "
        "many clients, each on a connection of its own that is kept open. Clients, services and server share the machine's cores. "
        f"The {BARE} are of the very rows that a submission leaves, by as many threads, without a service: the floor. Ratios are of "
        "time a submission, the median over rounds with its range."
    )
    yield table(
        (
            "clients",
            "contender",
            "a second",
            "ms, p50 / p95 / p99",
            "times the bare INSERTs",
            "processor ms: service, database",
        ),
        (row for clients, found in measured.items() for row in _rows(clients, found)),
    )
    yield from _sizing(middle(measured[16].spent[named(1)]), sizing)


def _rows(clients: int, found: Measured) -> Iterator[Sequence[str]]:
    for contender, rates in found.rates.items():
        slower = ratio(found.rates, BARE, contender)
        waits = found.waits[contender]
        spent = middle(found.spent[contender]) if contender in found.spent else None
        yield (
            str(clients),
            contender,
            f"{median(rates):.0f}",
            f"{median(waits):.1f} / {percentile(waits, 0.95):.1f} / {percentile(waits, 0.99):.1f}",
            f"{slower.middle:.2f} ({slower.least:.2f} to {slower.most:.2f})",
            f"{spent.service:.1f}, {spent.database:.1f}" if spent else "",
        )


def _sizing(spent: Spent, sizing: Sizing) -> Iterator[str]:
    yield "## Sizing"
    yield (
        f"From this run, at 16 clients on one process: a submission takes {spent.service:.1f} ms of processor in the service and "
        f"{spent.database:.1f} ms in the database server. So one core of services decides {1000 / spent.service:.0f} a second, and one "
        f"core of the server stores {1000 / spent.database:.0f}. A process holds at most `threads` connections for its requests, and "
        f"up to a few for its work beside ({sizing.connections} in all were open with one process of 8 threads and this measurement). "
        f"A decision leaves {sizing.bytes_a_decision / 1024:.1f} KB with its indexes: {sizing.bytes_a_decision * MILLION / 2**30:.1f} GB "
        f"per million. One sealer seals {sizing.sealed_a_second:,.0f} entries a second."
    )
    yield table(
        (
            "decisions a second",
            "cores of services",
            "cores of the database",
            "GB a day, at that rate for 10 hours",
            "sealer busy",
        ),
        (
            (
                f"{rate:,}",
                str(ceil(rate * spent.service / 1000)),
                str(ceil(rate * spent.database / 1000)),
                f"{rate * 36_000 * sizing.bytes_a_decision / 2**30:,.0f}",
                f"{rate / sizing.sealed_a_second:.0%}",
            )
            for rate in RATES
        ),
    )
    yield (
        "At 100 a second the next limit is the disk: each commit is synced, and a day's decisions take the room above. At 10,000 a second "
        "it is the one sealer, where it is busy for more than all of the time: entries would wait longer and longer to be sealed, so deals "
        "have to be divided among databases, each with a ledger of its own. After that come the cores of the one database server and its "
        "write-ahead log. Services add up: they share nothing but the database, and their processes times `threads` are its connections."
    )


def soak_section(minutes: float) -> Iterator[str]:
    samples: list[tuple[float, int, int, int]] = []
    with database() as (url, _), services(url, threads="8") as running:
        credential = a_credential(url)
        load(credential, running, 16, 10.0)
        assert running[0].process
        process = psutil.Process(running[0].process.pid)
        command: list[str | Path] = [sys.executable, LOAD, credential, "16", str(minutes * 60), running[0].address]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as calling:
            began = time.monotonic()
            while time.monotonic() - began < minutes * 60:
                memory = process.memory_info().rss // 1024
                samples.append((time.monotonic() - began, memory, process.num_fds(), process.num_threads()))
                time.sleep(SAMPLE_SECONDS)
            told = Load(*json.loads(calling.communicate()[0]))
    yield "## Soak"
    yield describe()
    yield (
        f"{minutes:g} minutes, 16 clients on one process: {len(told.waits):,} submissions acknowledged, {told.others} other answers, "
        f"{told.rate:.0f} a second."
    )
    chosen = samples[:: max(1, len(samples) // 10)]
    yield table(
        ("minute", "memory, KB", "file descriptors", "threads"),
        ((f"{at / 60:.1f}", f"{memory:,}", str(files), str(threads)) for at, memory, files, threads in chosen),
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
