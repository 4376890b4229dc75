"""50,000 stored decisions made again: all match; one altered behind the application's back is named by replay and verification.

python tests/replay_many.py [--decisions 50000] [--database sqlite|postgresql] [--processes 2] [--seed 7]
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

sys.path.insert(0, str(Path(__file__).parents[1]))

from dealgate import CompiledPolicy, Deal
from dealgate.adapters.compliance.replaying import Summary, Verdict, decisions_between, replay_stored
from dealgate.adapters.database import open_database
from dealgate.adapters.policies import load_policy
from dealgate.models import record_policy, record_submissions
from dealgate.models.recording import Entry
from dealgate.models.sealing import seal
from tests.adapters.compliance.drifting import column_altered
from tests.databases import PostgreSQL, SqliteFiles, quick_folder
from tests.models.ledgers import START, a_signer, verified
from tests.models.samples import OVERRIDABLE, a_deal, compiled

BATCH = 200


def main() -> None:
    given = _arguments()
    with _database(given.database) as url:
        engine = open_database(url)
        chance = Random(given.seed)
        ids = _timed(f"{given.decisions:,} decisions stored", lambda: _fill(engine, given.decisions, chance))
        summary = _replayed(engine, url, given.processes)
        assert summary.verdicts == {Verdict.MATCH: given.decisions}, summary.verdicts
        victim = chance.choice(ids)
        column_altered(engine, victim)
        found = _replayed(engine, url, given.processes)
        assert [one.decision_id for one in found.told] == [victim], found.told
        report = _timed("verified", lambda: verified(engine))
        named = [flaw.where for flaw in report.flaws if flaw.what == "projection"]
        assert named == [f"cash_price_cents of the submission of entry {victim}"], report.flaws
        print(f"altered: {victim}; replay says {found.told[0].verdict.value}, verification says {named[0]}")
        engine.dispose()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=50_000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


@contextmanager
def _database(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        with TemporaryDirectory(prefix="dealgate-", dir=quick_folder()) as folder:
            yield SqliteFiles(Path(folder)).ready()
        return
    server = PostgreSQL()
    try:
        yield server.ready()
    finally:
        server.stop()


def _fill(engine: Engine, count: int, chance: Random) -> list[str]:
    """Deals of every kind under three policies, and a sealed ledger of them."""
    policies = [compiled(), compiled(OVERRIDABLE), CompiledPolicy(load_policy("prime-auto").policy)]
    with engine.begin() as connection:
        for policy in policies:
            record_policy(connection, policy.policy, policy.policy.self_contained, START)
    ids = list[str]()
    for first in range(0, count, BATCH):
        entries = [_entry(number, policies[number % 3], chance) for number in range(first, min(first + BATCH, count))]
        with engine.begin() as connection:
            made = record_submissions(connection, entries, now=START + timedelta(seconds=first))
        ids += [one.decision_id for one in made]
    signer = a_signer()
    while _sealed(engine, signer):
        pass
    return ids


def _sealed(engine: Engine, signer: Any) -> bool:
    with engine.begin() as connection:
        return seal(connection, signer, START) is not None


def _entry(number: int, policy: CompiledPolicy, chance: Random) -> Entry:
    changes: dict[str, Any] = {
        "deal_id": f"D-{number // 2}",
        "cash_price": f"{chance.randint(12_000, 60_000)}.{chance.randint(0, 99):02}",
        "cash_down": f"{chance.randint(0, 6_000)}.00",
        "applicant__tier": chance.choice("ABCD"),
        "applicant__credit_score": chance.choice([None, *range(520, 820, 7)]),
        "applicant__monthly_income": chance.choice([None, f"{chance.randint(2_000, 14_000)}.00"]),
        "term_months": chance.choice([36, 48, 60, 72, 84]),
        "vehicle__mileage": chance.choice([None, chance.randint(0, 140_000)]),
    }
    deal = Deal.read(a_deal(**changes))
    return Entry(deal, policy.evaluate(deal), str(UUID(int=chance.getrandbits(128), version=4)))


def _replayed(engine: Engine, url: str, processes: int) -> Summary:
    with engine.connect() as connection:
        numbers = decisions_between(connection, START)
    what = f"{len(numbers):,} decisions made again by {processes} processes"
    summary: Summary = _timed(what, lambda: replay_stored(url, numbers, processes=processes))
    return summary


def _timed(what: str, work: Any) -> Any:
    """With the processor's time of this process and those that it started: the machine may be busy with others."""
    start, used = time.perf_counter(), sum(os.times()[:4])
    found = work()
    took, used = time.perf_counter() - start, sum(os.times()[:4]) - used
    print(f"{what}: {took:.1f} s, of which {used:.1f} s on processors", flush=True)
    return found


if __name__ == "__main__":
    main()
