"""What was erased is nowhere any more: on SQLite not in pages that became free nor in the log, on PostgreSQL not in its samples."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, Select, column, func, select, table
from sqlalchemy.orm import Session

from dealgate.adapters.database import open_database
from dealgate.adapters.transactions import in_transaction
from dealgate.migrations.running import downgrade, upgrade
from dealgate.models.erasure import purge, record_notice, redact
from dealgate.models.ledger import PRIVATE, private_values
from tests.databases import PostgreSQL, SqliteFiles
from tests.models.ledgers import START, a_signer, seal_all, verified
from tests.models.samples import a_deal, submit

DEALS = 60
ERASED = range(10, 50, 3)
SIGNER = a_signer()
LATER = START + timedelta(days=800)


@pytest.fixture
def url(sqlite: SqliteFiles) -> str:
    return sqlite.ready()


def vin(number: int) -> str:
    return f"1HGCM82633A{number:06}"


def lienholder(number: int) -> str:
    return f"Lienholder {number:04} of Springfield"


def submitted(database: Engine) -> list[str]:
    deals = [
        a_deal(
            deal_id=f"D-{number}",
            vehicle__vin=vin(number),
            trade_ins=[{**a_deal()["trade_ins"][0], "lienholder": lienholder(number)}],
        )
        for number in range(DEALS)
    ]
    with database.begin() as connection:
        ids = [submit(connection, deal, now=START).decision_id for deal in deals]
        for deal in deals:
            record_notice(connection, deal["deal_id"], "approval", START, START, actor="compliance")
    return ids


def redact_all(session: Session, entry_id: str, envelope_paths: list[str]) -> None:
    redact(session, entry_id, envelope_paths, "asked", START, actor="compliance")


def paths_of(database: Engine) -> list[str]:
    with database.connect() as connection:
        return list(connection.execute(select(PRIVATE.c.path).where(PRIVATE.c.entry == 2)).scalars())


def paths_left(session: Session, entry_id: str) -> list[str]:
    return [one.path for one in private_values(session, [entry_id])[entry_id]]


def in_files(url: str, *words: str) -> set[str]:
    path = Path(url.removeprefix("sqlite:///"))
    data = b"".join(one.read_bytes() for one in path.parent.glob(f"{path.name}*"))
    return {word for word in words if word.encode() in data}


def test_a_redacted_value_is_in_no_file(url: str) -> None:
    database = open_database(url)
    ids, paths = submitted(database), paths_of(database)
    gone = [word(number) for number in ERASED for word in (vin, lienholder)]
    kept = [vin(number) for number in range(DEALS) if number not in ERASED]
    assert in_files(url, *gone, *kept) == {*gone, *kept}
    for number in ERASED:
        with Session(database) as session, session.begin():
            redact_all(session, ids[number], paths)
    assert in_files(url, *gone, *kept) == set(kept)
    assert seal_all(database, SIGNER)
    assert verified(database, SIGNER.key).flaws == []
    database.dispose()


def test_a_file_written_anew_is_the_same_ledger_with_nothing_of_what_was_erased(url: str) -> None:
    """SQLite moves rows together where others went, and a copy of them may stay in an unused part of a page: VACUUM leaves none."""
    database = open_database(url)
    ids, paths = submitted(database), paths_of(database)
    chance = Random(1)
    for number in chance.sample(range(DEALS), DEALS):
        with Session(database) as session, session.begin():
            redact_all(session, ids[number], chance.sample(paths, len(paths) // 2))
            redact_all(session, ids[number], paths_left(session, ids[number]))
    seal_all(database, SIGNER)
    database.dispose()
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as another:
        another.execute("VACUUM")
    assert in_files(url, *(word(number) for number in range(DEALS) for word in (vin, lienholder))) == set()
    database = open_database(url)
    assert verified(database, SIGNER.key).flaws == []
    database.dispose()


def test_a_purged_value_is_in_no_file(url: str) -> None:
    database = open_database(url)
    submitted(database)
    seal_all(database, SIGNER)
    words = [word(number) for number in range(DEALS) for word in (vin, lienholder)]
    assert in_files(url, *words) == set(words)
    assert in_transaction(database, lambda connection, again: purge(connection, LATER, actor="compliance"))
    assert in_files(url, *words) == set()
    database.dispose()


def test_a_reader_is_not_waited_for_and_the_next_erasure_empties_the_log(url: str) -> None:
    database = open_database(url)
    ids, paths = submitted(database), paths_of(database)
    reading = open_database(url)
    with reading.connect().execution_options(dealgate_reads_only=True) as reader:
        reader.execute(select(PRIVATE.c.path)).first()
        with Session(database) as session, session.begin():
            redact_all(session, ids[0], paths)
        assert in_files(url, vin(0)) == {vin(0)}
    reading.dispose()
    with Session(database) as session, session.begin():
        redact_all(session, ids[1], paths)
    assert in_files(url, vin(0), vin(1)) == set()
    database.dispose()


@pytest.mark.parametrize("before", ["head", "0013"])
def test_postgresql_keeps_no_samples_of_personal_values(postgresql: PostgreSQL, before: str) -> None:
    """It keeps them for its planner, and what is erased would stand there on, for whoever may read the table."""
    database = open_database(postgresql.empty())
    with database.begin() as connection:
        upgrade(connection)
    submitted(database)
    with database.begin() as connection:
        if before != "head":
            downgrade(connection, before)
        connection.exec_driver_sql("ANALYZE dealgate_ledger_private")
        sampled: Select[Any] = select(column("attname")).select_from(table("pg_stats"))
        of_private = sampled.where(
            column("tablename") == PRIVATE.name, column("schemaname") == func.current_schema()
        ).order_by(column("attname"))
        kept = ["entry", "path"]
        assert connection.execute(of_private).scalars().all() == (
            kept if before == "head" else [*kept, "salt", "value"]
        )
        upgrade(connection)
        connection.exec_driver_sql("ANALYZE dealgate_ledger_private")
        assert connection.execute(of_private).scalars().all() == kept
    database.dispose()
