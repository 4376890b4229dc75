"""The database goes in the midst of a submission, at each of its statements: the caller gets an error, never a pass that is not kept."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from dealgate import Gate
from dealgate.adapters import transactions
from dealgate.adapters.database import open_database
from tests.databases import PostgreSQL, SqliteFiles
from tests.faults.clusters import Cluster
from tests.faults.efforts import efforts
from tests.faults.ways import WAYS, Trouble, Way, without_trouble
from tests.hosts import book, kept_together, make_tables
from tests.models.samples import a_policy

by_each_way = pytest.mark.parametrize("way", WAYS, ids=[way.name for way in WAYS])


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "FIRST_PAUSE", 0.0)


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate(policy=a_policy())


def opened(url: str) -> Engine:
    engine = open_database(url)
    make_tables(engine)
    return engine


def statements_of(way: Way, gate: Gate, url: str) -> list[str]:
    """Of one submission, after the first has recorded the policy."""
    way.submit(gate, url, "FIRST", 0, without_trouble)
    return way.submit(gate, url, "SECOND", 0, without_trouble)[1]


def told(way: Way, gate: Gate, url: str, key: str, number: int, trouble: Trouble) -> bool:
    """Whether the caller was told of the trouble; else the deal passed."""
    try:
        verdict, _ = way.submit(gate, url, key, number, trouble)
    except SQLAlchemyError:
        return True
    assert verdict.outcome == "pass"
    return False


# PostgreSQL


def points(statements: Sequence[str], effort: int | None, chance: Random) -> list[int]:
    """The numbers of the statements before which trouble comes, COMMIT the last."""
    every = range(1, len(statements) + 1)
    return list(every) if effort is None else sorted(chance.sample(every, effort))


@by_each_way
@efforts(3, None)
def test_a_connection_that_ends_at_any_statement_is_an_error_or_is_made_up_for(
    postgresql: PostgreSQL, gate: Gate, way: Way, effort: int | None, chance: Random, figures: Callable[[str], None]
) -> None:
    database = opened(url := postgresql.ready())

    def end_it(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        with database.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": driver.info.backend_pid})

    tried = points(statements_of(way, gate, url), effort, chance)
    keys, errors = {"FIRST", "SECOND"}, 0
    for number in tried:
        if told(way, gate, url, f"K-{number}", number, end_it):
            errors += 1
            assert kept_together(database) == keys
            way.submit(gate, url, f"K-{number}", 0, without_trouble)
        keys.add(f"K-{number}")
        assert kept_together(database) == keys
    assert errors == (0 if way.name == "own engine" else len(tried))
    figures(f"{len(tried)} statements, {errors} errors told, {len(tried) - errors} made up for; nothing lost")
    database.dispose()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster.started() as made:
        made.run("ALTER SYSTEM SET max_prepared_transactions = 10")
        made.stop()
        made.start()
        yield made


@by_each_way
@pytest.mark.faults
def test_a_server_that_is_killed_at_any_statement_is_an_error_and_nothing_is_kept(
    cluster: Cluster, gate: Gate, way: Way, figures: Callable[[str], None]
) -> None:
    database = opened(url := cluster.new_database())
    keys, statements = {"FIRST", "SECOND"}, statements_of(way, gate, url)
    for number in range(1, len(statements) + 1):
        assert told(way, gate, url, f"K-{number}", number, lambda _: cluster.kill())
        cluster.start()
        database.dispose()
        assert kept_together(database) == keys
        way.submit(gate, url, f"K-{number}", 0, without_trouble)
        keys.add(f"K-{number}")
        assert kept_together(database) == keys
    figures(
        f"killed at each of {len(statements)} statements: {len(statements)} errors told, nothing kept, all in at the retry"
    )
    database.dispose()


@pytest.mark.faults
def test_a_transaction_in_two_phases_is_kept_or_forgotten_with_its_decision(cluster: Cluster, gate: Gate) -> None:
    """Prepared before the server is killed, and committed by somebody else afterwards."""
    database = opened(cluster.new_database())
    for key, commits in (("K-1", True), ("K-2", False)):
        with Session(database, twophase=True) as session:
            book(session, gate, "D-1", key)
            session.prepare()
            session.commit() if commits else session.rollback()
    assert kept_together(database) == {"K-1"}

    session = Session(database, twophase=True)
    book(session, gate, "D-1", "K-3")
    session.prepare()
    cluster.kill()
    cluster.start()
    with suppress(DBAPIError):
        session.rollback()
    session.close()
    database.dispose()
    assert kept_together(database) == {"K-1"}
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        (prepared,) = connection.execute(text("SELECT gid FROM pg_prepared_xacts")).scalars()
        connection.exec_driver_sql(f"COMMIT PREPARED '{prepared}'")
    assert kept_together(database) == {"K-1", "K-3"}
    database.dispose()


# SQLite


def fill(connection: Connection) -> None:
    """The disk is full: not a page more."""
    connection.connection.dbapi_connection.execute("PRAGMA max_page_count=1").close()  # type: ignore[union-attr]


def write_protect(connection: Connection) -> None:
    connection.connection.dbapi_connection.execute("PRAGMA query_only=ON").close()  # type: ignore[union-attr]


def remove(connection: Connection) -> None:
    """The file goes, its log too."""
    for file in _files(connection):
        file.rename(file.with_name(f"gone-{file.name}"))


def exchange(connection: Connection) -> None:
    """An empty file stands in its place, as after a restore that went wrong."""
    remove(connection)
    _files(connection, all_of_them=True)[0].touch()


def _files(connection: Connection, *, all_of_them: bool = False) -> list[Path]:
    path = str(connection.engine.url.database)
    files = [Path(path + end) for end in ("", "-wal", "-shm")]
    return [file for file in files if all_of_them or file.exists()]


def put_back(url: str) -> None:
    """What was removed stands where it stood."""
    path = Path(url.removeprefix("sqlite:///"))
    for gone in path.parent.glob(f"gone-{path.name}*"):
        gone.rename(gone.with_name(gone.name.removeprefix("gone-")))


TROUBLES = {"full": fill, "read-only": write_protect, "removed": remove, "exchanged": exchange}
SEEN = {"removed", "exchanged"}
"""Until COMMIT is sent, wherever it happened. A full or protected file may have taken what was needed before, and then COMMIT keeps it."""


@by_each_way
@pytest.mark.parametrize("trouble", TROUBLES)
@efforts(3, None)
def test_a_file_in_trouble_at_any_statement_is_an_error_or_keeps_what_passed(
    tmp_path: Path,
    gate: Gate,
    way: Way,
    trouble: str,
    effort: int | None,
    chance: Random,
    figures: Callable[[str], None],
) -> None:
    url = SqliteFiles(tmp_path).ready()
    opened(url).dispose()
    statements = statements_of(way, gate, url)
    keys, errors = {"FIRST", "SECOND"}, 0
    tried = points(statements[:-1] if trouble in SEEN else statements, effort, chance)
    for number in tried:
        failed = told(way, gate, url, f"K-{number}", number, TROUBLES[trouble])
        put_back(url)
        errors += failed
        database = open_database(url)
        if failed:
            assert kept_together(database) == keys
            way.submit(gate, url, f"K-{number}", 0, without_trouble)
        keys.add(f"K-{number}")
        assert kept_together(database) == keys
        database.dispose()
    assert errors >= (len(tried) if trouble in SEEN else len(tried) // 4)
    figures(f"{len(tried)} statements, {errors} errors told; nothing lost, nothing passed that was not kept")


def test_a_file_that_somebody_holds_is_an_error_before_anything_is_written(tmp_path: Path, gate: Gate) -> None:
    """On an engine of the host's own making, too; from its first statement on a submission holds the file itself."""
    url = SqliteFiles(tmp_path).ready()
    database = opened(url)
    impatient = create_engine(url, connect_args={"timeout": 0.05})
    holder = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0.05)
    holder.execute("BEGIN IMMEDIATE")
    with Session(impatient) as session:
        with pytest.raises(DBAPIError, match="database is locked"):
            book(session, gate, "D-1", "K-1")
        session.rollback()
        holder.rollback()
        book(session, gate, "D-1", "K-1")
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            holder.execute("BEGIN IMMEDIATE")
        session.commit()
    holder.close()
    assert kept_together(database) == {"K-1"}
    impatient.dispose()
    database.dispose()
