"""What a reader of "everything after the last number" loses, the sealer does not: eight writers, some of whom roll back."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Event

import pytest
from sqlalchemy import Engine, text

from dealgate.adapters.database import open_database
from dealgate.adapters.sealer import Sealer
from tests.databases import PostgreSQL
from tests.faults.efforts import efforts
from tests.models.ledgers import a_signer, verified
from tests.models.samples import a_deal, compiled, submit

WRITERS = 8
AFTER = text("SELECT id FROM dealgate_ledger_entry WHERE id > :last ORDER BY id")


@pytest.fixture
def database(postgresql: PostgreSQL) -> Iterator[Engine]:
    url = postgresql.ready()
    engine = open_database(url)
    yield engine
    engine.dispose()
    postgresql.give_back(url)


def write(database: Engine, writer: int, until: float, chance: Random) -> int:
    """How many submissions were committed; one of four is rolled back, and each is held open for a moment."""
    committed = number = 0
    while time.monotonic() < until:
        with database.connect() as connection:
            submit(connection, a_deal(deal_id=f"D-{writer}-{number % 4}"))
            time.sleep(chance.uniform(0.0, 0.04))
            if chance.random() < 0.25:
                connection.rollback()
            else:
                connection.commit()
                committed += 1
        number += 1
    return committed


def read_by_number(database: Engine, stop: Event) -> int:
    """How many entries somebody sees who asks again and again for those after the last one seen."""
    last = seen = 0
    while True:
        ending = stop.is_set()
        with database.connect() as connection:
            numbers = connection.execute(AFTER, {"last": last}).scalars().all()
        seen, last = seen + len(numbers), max(numbers, default=last)
        if ending:
            return seen
        time.sleep(0.005)


@efforts(1.5, 20.0)
def test_the_sealer_skips_no_entry_of_writers_who_commit_out_of_order(
    database: Engine, effort: float, chance: Random, figures: Callable[[str], None]
) -> None:
    compiled()
    signer, stop = a_signer(), Event()
    with database.begin() as connection:
        submit(connection, a_deal(deal_id="D-FIRST"))
    sealer = Sealer(database, signer)
    with ThreadPoolExecutor(WRITERS + 2) as pool:
        sealing = pool.submit(sealer.watch, stop, 0.02)
        reading = pool.submit(read_by_number, database, stop)
        until = time.monotonic() + effort
        chances = [Random(chance.random()) for _ in range(WRITERS)]
        writing = [pool.submit(write, database, writer, until, chances[writer]) for writer in range(WRITERS)]
        committed = sum(future.result() for future in writing)
        stop.set()
        sealing.result()
        seen = reading.result()

    report = verified(database, signer.key)
    assert report.flaws == []
    assert report.sealed == report.entries == committed + 3  # the first decision, its policy and the key
    figures(
        f"{committed} committed by {WRITERS} writers, {report.checkpoints} checkpoints: the sealer skipped 0, "
        f"a reader by number {report.entries - seen}"
    )
