"""Build a long history of decisions in PostgreSQL, measure what compliance asks of it, and write docs/benchmarks-compliance.md.

python tests/benchmarks/compliance.py                          ten million decisions: about an hour and 30 GB
python tests/benchmarks/compliance.py --decisions 100000       to try
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from random import Random
from statistics import median
from tempfile import mkdtemp
from time import perf_counter
from typing import Any, NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

sys.path.insert(0, str(Path(__file__).parents[2]))

from dealgate.adapters.compliance.query import Condition, Query
from dealgate.adapters.compliance.readers import Reader
from dealgate.adapters.compliance.rows import rows_of
from dealgate.adapters.compliance.search import Place, count_by_outcome, search, write_cursor
from dealgate.adapters.database import open_database, stored
from dealgate.models.keys import recorded_keys
from tests.benchmarks.compliance_history import DEALERS, STATES, build
from tests.benchmarks.compliance_indexes import LONGEST, PAGE, indexes
from tests.benchmarks.compliance_templates import GRANTORS, fill, policy_versions, read, utc_now
from tests.benchmarks.ledger_writing import percentile
from tests.benchmarks.machine import describe
from tests.faults.clusters import Cluster

TARGET = Path(__file__).parents[2] / "docs" / "benchmarks-compliance.md"
BAR, SUMMARY_BAR = 200, 5_000
"""Milliseconds: p95 of a report's first page, and of its summary of the heaviest month."""

PATIENCE = 20_000
"""Milliseconds for one question, all its repetitions together."""

SEED = 8
BUILDING = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_wal_size": "8GB"}
SERVER = {
    "shared_buffers": "2GB",
    "effective_cache_size": "10GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "random_page_cost": "1.1",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}
"""What a server for it is given; the rest is as PostgreSQL comes."""


class Span(NamedTuple):
    """What the history covers."""

    begin: datetime
    end: datetime

    def moment(self, pick: Random) -> datetime:
        return self.begin + (self.end - self.begin) * pick.random()


Asks = Callable[[Random, Span], Query]

RULES = ("LTV-TOTAL", "NE-ROLLED", "PTI", "DEFICIENCY", "VEHICLE-AGE", "NE-HIDDEN")

SEARCHES: Mapping[str, Asks] = {
    "everything": lambda pick, span: Query(),
    "a month": lambda pick, span: _of_month(pick, span, outcomes=()),
    "a deal": lambda pick, span: Query(deals=(f"D-{pick.randrange(1, 50_000):09}",)),
    "a dealer": lambda pick, span: Query(dealers=(_dealer(pick),)),
    "a dealer's refusals of a month": lambda pick, span: _of_month(
        pick, span, dealers=(_dealer(pick),), outcomes=("decline",)
    ),
    "a state and a tier": lambda pick, span: Query(states=(pick.choice(STATES),), tiers=(pick.choice("ABCD"),)),
    "a rule violated": lambda pick, span: Query(rules=(pick.choice(RULES),), results=("violated",)),
    "a rule that could not be judged": lambda pick, span: Query(
        rules=(pick.choice(RULES),), results=("not_evaluable",)
    ),
    "LTV between 120 and 125 %": lambda pick, span: Query(
        measures=(Condition("total_ltv", ">=", "120"), Condition("total_ltv", "<=", "125"))
    ),
    "LTV over 150 %, of a month": lambda pick, span: _of_month(
        pick, span, measures=(Condition("total_ltv", ">", "150"),)
    ),
    "negative equity over $15,000": lambda pick, span: Query(
        measures=(Condition("rolled_in_negative_equity", ">", "15000"),)
    ),
    "overrides granted by a person": lambda pick, span: Query(override="granted", grantors=(pick.choice(GRANTORS),)),
    "high side": lambda pick, span: Query(override_side="high"),
    "declined, no notice since": lambda pick, span: Query(outcomes=("decline",), notices=("none",)),
    "as of a moment": lambda pick, span: Query(as_of=span.moment(pick), override="asked"),
}


def _dealer(pick: Random) -> str:
    return f"DLR-{pick.randrange(1, DEALERS + 1):04}"


def _of_month(pick: Random, span: Span, **parts: Any) -> Query:
    start = span.moment(pick)
    return Query(decided_from=start, decided_before=start + timedelta(days=30), **parts)


class Timed(NamedTuple):
    """Milliseconds of each time it was asked, how many rows came on average, and how long the server's process was at work on a processor
    (p50, in milliseconds): on a machine with others at work, what a question takes beyond that is waiting.
    """

    times: list[float]
    rows: float
    work: float

    @property
    def p50(self) -> float:
        return median(self.times)

    @property
    def p95(self) -> float:
        return percentile(self.times, 0.95)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--decisions", type=int, default=10_000_000)
    arguments.add_argument("--templates", type=int, default=400, help="real deals under each of five policy versions")
    arguments.add_argument("--times", type=int, default=40, help="how often each question is asked")
    arguments.add_argument("--folder", type=Path, help="where the server lies; removed afterwards")
    arguments.add_argument("--url", help="measure a history that was built before, and leave it as it is")
    arguments.add_argument("--output", type=Path, default=TARGET, help="the page")
    given = arguments.parse_args()
    if given.url:
        given.output.write_text(page(given.url, None, given.times), encoding="utf-8")
        print(f"written to {given.output}")
        return
    with _server(given.folder) as cluster:
        url, seconds = _built(cluster, given.decisions, given.templates)
        cluster.stop()  # what was written goes to the disk, and the settings of the building are over
        cluster.start()
        given.output.write_text(page(url, seconds, given.times), encoding="utf-8")
    print(f"written to {given.output}")


@contextmanager
def _server(folder: Path | None) -> Iterator[Cluster]:
    folder = folder or Path(mkdtemp(prefix="dealgate-compliance-"))
    with Cluster.started(folder=folder) as cluster:
        cluster.run(*(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in {**SERVER, **BUILDING}.items()))
        cluster.stop()
        cluster.start()
        yield cluster


def _built(cluster: Cluster, decisions: int, templates: int) -> tuple[str, float]:
    """The URL of the history, and the seconds that it took."""
    started = perf_counter()
    versions = policy_versions(utc_now())
    engine = open_database(cluster.new_database())
    fill(engine, versions, templates, SEED)
    recorded = read(engine)
    engine.dispose()
    print(f"{recorded['decision'].height:,} real submissions after {perf_counter() - started:.0f} s", flush=True)
    url = cluster.new_database()
    engine = open_database(url)
    build(engine, recorded, versions, decisions, SEED)
    engine.dispose()
    cluster.run(*(f"ALTER SYSTEM RESET {name}" for name in BUILDING))
    print(f"built after {perf_counter() - started:.0f} s", flush=True)
    return url, perf_counter() - started


def page(url: str, seconds: float | None, times: int) -> str:
    pick = Random(SEED)
    with stored(url) as connection:
        connection.exec_driver_sql(f"SET statement_timeout = {LONGEST}")
        span = Span(*connection.execute(text("SELECT min(decided_at), max(decided_at) FROM dealgate_decision")).one())
        sections = [
            "# Benchmarks of compliance queries",
            "`make bench-compliance` writes this page.",
            describe(),
            *_history(connection, span, seconds),
            *_searches(connection, span, pick, times),
            *_reports(connection, span, times),
        ]
        keys = _time(connection, recorded_keys, [(connection,)] * 5)
    engine = open_database(url)
    sections += [*indexes(engine, span.end), f"Reading the ledger's keys takes {keys.p50:.2f} ms (p50)."]
    engine.dispose()
    return "\n\n".join(sections) + "\n"


def _history(connection: Connection, span: Span, seconds: float | None) -> Iterator[str]:
    yield "## The history"
    built = "" if seconds is None else f" in {seconds / 60:.0f} minutes"
    yield (
        f"Built{built} in the schema that the migrations make, by COPY, from {span.begin:%Y-%m-%d} to {span.end:%Y-%m-%d}: deals of "
        f"{DEALERS} dealers in {len(STATES)} states, submitted one to four times, under five versions of a policy. Each is a copy of a "
        "deal that the gate evaluated and recorded, moved in time, with another name, dealer and state; the shares of the last outcomes "
        "are set (`compliance_history.py` says how), for a synthetic book under illustrative limits is mostly referred. Entries have "
        "neither bodies nor private values and are not sealed: none of the questions below reads those."
    )
    sizes = connection.execute(
        text(
            "SELECT relname, reltuples::bigint, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class "
            "WHERE relkind = 'r' AND relname LIKE 'dealgate%' AND reltuples > 0 "
            "AND relnamespace = current_schema()::regnamespace ORDER BY 3 DESC"
        )
    )
    rows = [(name, f"{rows:,}", f"{size / 1e9:.2f}", f"{indexes / 1e9:.2f}") for name, rows, size, indexes in sizes]
    yield _table(("table", "rows", "GB", "GB of indexes"), rows)
    told = ", ".join(f"`{name} = {value}`" for name, value in SERVER.items())
    yield f"The server has {told}; the rest is as PostgreSQL comes. Times are of the caller, rows made and details read, one connection."


def _searches(connection: Connection, span: Span, pick: Random, times: int) -> Iterator[str]:
    yield "## Search"
    yield (
        f"Pages of {PAGE} rows; each question {times} times, or as often as fits into twenty seconds, with other values each time. A "
        "deep page begins anywhere in the history."
    )
    rows = []
    page = partial(_page, connection)
    for name, asks in SEARCHES.items():
        queries = [asks(pick, span) for _ in range(times)]
        first = _time(connection, page, [(query,) for query in queries])
        deep = _time(connection, page, [(query, write_cursor(query, Place(span.moment(pick), 1))) for query in queries])
        rows.append((name, *_shown(first), *_shown(deep)))
        print(*rows[-1], flush=True)
    yield _table(("question", "p50 ms", "p95 ms", "rows", "deep: p50 ms", "p95 ms", "rows"), rows)
    month = _time(connection, partial(_counted, connection), [(_of_month(pick, span),) for _ in range(times)])
    yield f"Counting a month by outcome takes {month.p50:,.0f} ms (p50), {month.p95:,.0f} ms (p95)."


def _counted(connection: Connection, query: Query) -> list[str]:
    return list(count_by_outcome(connection, query))


def _shown(timed: Timed) -> tuple[str, str, str]:
    return _milliseconds(timed.p50), _milliseconds(timed.p95), f"{timed.rows:.0f}"


def _milliseconds(time: float) -> str:
    return f"{time:,.1f}" if isfinite(time) else f"over {LONGEST:,}"


def _page(connection: Connection, query: Query, cursor: str | None = None) -> Sequence[Any]:
    found = search(connection, query, most=PAGE, cursor=cursor)
    return rows_of(connection, found.rows, Reader(), query.as_of)


def _time(
    connection: Connection, ask: Callable[..., Sequence[Any]], given: Sequence[tuple[Any, ...]], least: int = 3
) -> Timed:
    """Ask once with each of what is given, or as often as fits into twenty seconds. What takes longer than `LONGEST` is given up."""
    times, work, rows = list[float](), list[float](), 0
    spent = _spent(connection)
    for one in given:
        if len(times) >= least and sum(times) > PATIENCE:
            break
        started, before = perf_counter(), spent()
        try:
            with connection.begin_nested():
                rows += len(ask(*one))
        except OperationalError:
            return Timed([*times, float("inf")], rows / max(1, len(times)), float("inf"))
        times.append((perf_counter() - started) * 1_000)
        work.append(spent() - before)
    return Timed(times, rows / len(times), median(work))


def _spent(connection: Connection) -> Callable[[], float]:
    """Milliseconds that the process which serves the connection has been on a processor, as Linux counts them."""
    driver: Any = connection.connection.driver_connection
    file = Path(f"/proc/{driver.info.backend_pid}/schedstat")
    return lambda: int(file.read_text().split()[0]) / 1e6


def _reports(connection: Connection, span: Span, times: int) -> Iterator[str]:
    """Every named report, where they are built."""
    if find_spec("dealgate.adapters.compliance.reports") is None:
        return
    reports = import_module("dealgate.adapters.compliance.reports").REPORTS
    reporting = import_module("dealgate.adapters.compliance.reporting")
    yield "## Named reports"
    yield (
        f"The first page as it comes without a parameter, at the end of the history, {times} times or as often as fits into 20 s; "
        f"a summary, which then covers {reporting.SUMMARY_DAYS} days, also over the last seven and over the month with the most decisions. "
        f"The bar is {BAR} ms at p95 for a first page and {SUMMARY_BAR / 1_000:g} s "
        "for a summary."
    )
    month = _heaviest_month(connection)
    rows = []
    for report in reports.values():
        ask_for = partial(_report, connection, reporting.read_page, report)
        first = _time(connection, ask_for, [(None, span.end)] * times)
        rows.append((report.name, *_shown(first), _milliseconds(first.work), _met(first, BAR), "", ""))
        if report.summary:
            whole = _time(connection, ask_for, [month] * 5)
            week = _time(connection, ask_for, [(span.end - timedelta(days=7), span.end)] * times)
            rows[-1] = (
                *rows[-1][:-2],
                _milliseconds(week.p95),
                f"{_milliseconds(whole.p95)}, {_met(whole, SUMMARY_BAR)}",
            )
        print(*rows[-1], flush=True)
    head = (
        "report",
        "p50 ms",
        "p95 ms",
        "rows",
        "of it, the server at work: p50 ms",
        f"p95 at most {BAR} ms",
        "seven days: p95 ms",
        f"heaviest month: p95 ms, at most {SUMMARY_BAR:,}",
    )
    yield _table(head, rows)


def _report(
    connection: Connection, read_page: Callable[..., Any], report: Any, since: datetime | None, until: datetime
) -> Sequence[Any]:
    """As a report stood at a moment; from another one on, where that is given."""
    period = {"since": since, "until": until} if since else {}
    rows: Sequence[Any] = read_page(connection, report, as_of=until, **period).rows
    return rows


def _met(timed: Timed, bar: float) -> str:
    return "met" if timed.p95 <= bar else "**missed**"


def _heaviest_month(connection: Connection) -> tuple[datetime, datetime]:
    statement = (
        "SELECT date_trunc('month', decided_at, 'UTC') FROM dealgate_decision GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
    )
    start = connection.execute(text(statement)).scalar_one()
    return start, (start + timedelta(days=32)).replace(day=1)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *rows])


if __name__ == "__main__":
    main()
