"""What the host's own transaction comes to, the decision comes to: whatever fails at the commit, nothing is left, and a retry stores it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, nullcontext

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, PendingRollbackError
from sqlalchemy.orm import Session

from dealgate import Gate
from tests.hosts import Clerk, book, kept_together, make_tables
from tests.models.samples import a_policy


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate(policy=a_policy())


@pytest.fixture
def host(database: Engine) -> Engine:
    make_tables(database)
    return database


class RefusedError(Exception):
    """By a hook of the host's."""


def refuse(*_: object) -> None:
    raise RefusedError


def test_a_deferred_constraint_of_the_host_that_fails_at_the_commit_takes_the_decision_along(
    host: Engine, gate: Gate
) -> None:
    with Session(host) as session:
        book(session, gate, "D-1", "K-1", clerk="ann")
        with pytest.raises(IntegrityError, match=r"(?i)foreign key"):
            session.commit()
        session.rollback()
        assert kept_together(host) == set()

        session.add(Clerk(name="ann"))
        assert book(session, gate, "D-1", "K-1", clerk="ann").decision["submission"] == 1
        session.commit()
    assert kept_together(host) == {"K-1"}


SESSION_HOOKS = ("before_flush", "after_flush", "before_commit")


@pytest.mark.parametrize("hook", SESSION_HOOKS)
def test_a_hook_of_the_host_that_raises_takes_the_decision_along(host: Engine, gate: Gate, hook: str) -> None:
    with Session(host) as session:
        event.listen(session, hook, refuse)
        with pytest.raises(RefusedError):  # noqa: PT012  the flush hooks raise in the first, the other in the second
            book(session, gate, "D-1", "K-1")
            session.commit()
    assert kept_together(host) == set()
    with Session(host) as session, session.begin():
        book(session, gate, "D-1", "K-1")
    assert kept_together(host) == {"K-1"}


def test_an_engine_whose_commit_raises_takes_the_decision_along(host: Engine, gate: Gate) -> None:
    event.listen(host, "commit", refuse)
    with pytest.raises(RefusedError), Session(host) as session, session.begin():
        book(session, gate, "D-1", "K-1")
    event.remove(host, "commit", refuse)
    assert kept_together(host) == set()


def fails_later(session: Session) -> None:
    session.execute(text("SELECT * FROM nowhere"))


def raises_later(_session: Session) -> None:
    raise RefusedError


@pytest.mark.parametrize("later", [fails_later, raises_later])
def test_a_host_that_fails_after_the_submission_leaves_nothing(
    host: Engine, gate: Gate, later: Callable[[Session], None]
) -> None:
    with pytest.raises((DBAPIError, RefusedError)), Session(host) as session, session.begin():  # noqa: PT012
        book(session, gate, "D-1", "K-1")
        later(session)
    assert kept_together(host) == set()


def test_a_file_that_a_reader_holds_is_not_committed_to_and_takes_it_later(host: Engine, gate: Gate) -> None:
    """SQLite as it comes, without a log: whoever reads keeps others from committing."""
    if host.dialect.name != "sqlite":
        pytest.skip("only SQLite's rollback journal lets readers block a commit")
    url = host.url
    host.dispose()
    with closing(sqlite3.connect(str(url.database))) as file:
        assert file.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    plain = create_engine(url, connect_args={"timeout": 0.05})
    with closing(sqlite3.connect(str(url.database))) as reader, Session(plain) as session:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM dealgate_deal").fetchone()
        book(session, gate, "D-1", "K-1")
        with pytest.raises(OperationalError, match="database is locked"):
            session.commit()
        session.rollback()
        reader.rollback()
        assert kept_together(plain) == set()
        book(session, gate, "D-1", "K-1")
        session.commit()
    assert kept_together(plain) == {"K-1"}
    plain.dispose()


@pytest.mark.parametrize("nested", [False, True])
def test_where_sqlite_ends_the_transaction_itself_no_row_of_the_host_is_kept_without_its_decision(
    host: Engine, gate: Gate, nested: bool
) -> None:
    if host.dialect.name != "sqlite":
        pytest.skip("PostgreSQL keeps a transaction that failed until it is rolled back")
    with host.begin() as connection:
        connection.execute(text("INSERT INTO clerk VALUES ('ann')"))
    with Session(host) as session:
        decision_id = book(session, gate, "D-1", "K-1").decision_id
        with pytest.raises(DBAPIError), session.begin_nested() if nested else nullcontext():
            session.execute(text("INSERT OR ROLLBACK INTO clerk VALUES ('ann')"))
        with pytest.raises(PendingRollbackError):
            session.execute(text("INSERT INTO application VALUES (:id, 'K-1', NULL)"), {"id": decision_id})
        with pytest.raises(PendingRollbackError):
            session.commit()
    assert kept_together(host) == set()


def test_what_the_host_rolls_back_again_and_again_leaves_no_gap(host: Engine, gate: Gate) -> None:
    for number in range(20):
        with Session(host) as session:
            for deal in range(3):
                book(session, gate, f"D-{deal}", f"K-{number}-{deal}")
            if number % 4 == 3:
                session.commit()
    assert kept_together(host) == {f"K-{number}-{deal}" for number in (3, 7, 11, 15, 19) for deal in range(3)}


def test_a_connection_that_was_taken_from_the_host_in_between_is_an_error(host: Engine, gate: Gate) -> None:
    with Session(host) as session:
        book(session, gate, "D-1", "K-1")
        session.connection().invalidate()
        with pytest.raises(PendingRollbackError):
            book(session, gate, "D-1", "K-2")
        session.rollback()
    assert kept_together(host) == set()
