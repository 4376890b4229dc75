"""A submission belongs to its caller's transaction: all of it is stored with that, or nothing is."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tests.databases import NOT_BY_SUBMITTING, NOTHING, SUBMITTED, count_rows, set_aside
from tests.models.samples import a_deal, submit

EVERYTHING = a_deal(applicant__monthly_debt=None)
"""A deal whose submission leaves a row in every table that a submission can."""


def tables_with_rows(database: Engine) -> set[str]:
    return {table for table, rows in count_rows(database).items() if rows}


def test_a_submission_leaves_a_row_in_every_table_but_those_that_seal_or_erase(database: Engine) -> None:
    with Session(database) as session:
        submit(session, EVERYTHING)
        session.commit()
    assert tables_with_rows(database) == set(SUBMITTED)
    assert not NOT_BY_SUBMITTING & set(SUBMITTED)


@pytest.mark.parametrize("key", [None, "K-1"])
def test_what_the_caller_rolls_back_leaves_nothing_at_all(database: Engine, key: str | None) -> None:
    with Session(database) as session:
        submit(session, EVERYTHING, key=key)
        session.rollback()
    assert count_rows(database) == NOTHING


@pytest.mark.parametrize("key", [None, "K-1"])
def test_a_connection_that_is_closed_without_commit_leaves_nothing_at_all(database: Engine, key: str | None) -> None:
    with database.connect() as connection:
        submit(connection, EVERYTHING, key=key)
    assert count_rows(database) == NOTHING


@pytest.fixture
def host_engine(database_url: str) -> Iterator[Engine]:
    """The database as a host opens it that knows nothing of our habits."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("key", [None, "K-2"])
def test_an_engine_of_the_hosts_own_making_is_rolled_back_completely_too(host_engine: Engine, key: str | None) -> None:
    with Session(host_engine) as session:
        submit(session, EVERYTHING, key="K-1")
        session.commit()
    before = count_rows(host_engine)

    with Session(host_engine) as session:
        submit(session, EVERYTHING, key=key)
        session.rollback()
    assert count_rows(host_engine) == before


@pytest.mark.parametrize("key", [None, "K-1"])
def test_an_engine_of_the_hosts_own_making_stores_what_is_committed(host_engine: Engine, key: str | None) -> None:
    with Session(host_engine) as session:
        submit(session, EVERYTHING, key=key)
        session.commit()
    assert tables_with_rows(host_engine) == set(SUBMITTED)


def test_the_hosts_own_rows_stand_and_fall_with_the_submission(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE host_application (number INTEGER)"))
    with Session(database) as session:
        session.execute(text("INSERT INTO host_application VALUES (1)"))
        submit(session, EVERYTHING, key="K-1")
        session.rollback()
        session.execute(text("INSERT INTO host_application VALUES (2)"))
        submit(session, EVERYTHING, key="K-1")
        session.commit()

    with database.connect() as connection:
        assert connection.execute(text("SELECT number FROM host_application")).scalars().all() == [2]
    assert count_rows(database)["dealgate_submission"] == 1


@pytest.mark.parametrize("key", [None, "K-1"])
def test_a_savepoint_that_the_host_rolls_back_takes_the_submission_with_it_and_nothing_else(
    database: Engine, key: str | None
) -> None:
    with Session(database) as session:
        kept = submit(session, a_deal(deal_id="D-KEPT"))
        before = count_rows(session.connection())
        savepoint = session.begin_nested()
        submit(session, EVERYTHING, key=key)
        savepoint.rollback()
        assert count_rows(session.connection()) == before
        following = submit(session, EVERYTHING, key=key)
        session.commit()

    assert following.decision["submission"] == 1
    assert kept.decision["submission"] == 1
    assert count_rows(database)["dealgate_submission"] == 2


def test_a_savepoint_that_is_released_keeps_the_submission(database: Engine) -> None:
    with Session(database) as session:
        with session.begin_nested():
            submit(session, EVERYTHING, key="K-1")
        session.commit()
    assert count_rows(database)["dealgate_submission"] == 1


STEPS = [table for table in SUBMITTED if table != "dealgate_policy_version"]


@pytest.mark.parametrize("missing", STEPS)
def test_a_submission_that_fails_half_way_leaves_nothing_whichever_table_it_fails_at(
    database: Engine, missing: str
) -> None:
    with database.begin() as connection:
        set_aside(connection, missing)

    with pytest.raises(DBAPIError, match=missing), database.begin() as connection:
        submit(connection, EVERYTHING, key="K-1")

    with database.begin() as connection:
        set_aside(connection, "aside", missing)
    assert count_rows(database) == NOTHING


def test_a_stored_submission_refers_only_to_rows_that_are_there(database: Engine) -> None:
    with Session(database) as session:
        submit(session, EVERYTHING)
        session.commit()
    with pytest.raises(DBAPIError), database.begin() as connection:
        connection.execute(text("UPDATE dealgate_decision SET policy_sha256 = 'nobody'"))


def test_numbers_follow_each_other_through_rollbacks(database: Engine) -> None:
    numbers = [submit_and(database, commit=attempt % 3 != 1) for attempt in range(9)]
    kept = [number for attempt, number in enumerate(numbers) if attempt % 3 != 1]
    assert all(after == before + 1 for before, after in pairwise(kept))


def submit_and(database: Engine, *, commit: bool) -> int:
    connection: Connection
    with database.connect() as connection:
        number: int = submit(connection, a_deal()).decision["submission"]
        if commit:
            connection.commit()
    return number
