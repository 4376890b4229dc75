"""Opening a database, and telling whether it can take submissions."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from dealgate import Gate
from dealgate.adapters.database import DatabaseError, open_database, ready_database, stored, upgrade_database
from dealgate.migrations.revisions import HEAD, VERSION_TABLE
from dealgate.models.ledger import INSERT_PRIVATE
from tests.databases import TABLES, count_rows
from tests.models.samples import a_deal


def leave_at(database: Engine, revision: str) -> None:
    with database.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'"))


def test_a_database_at_the_newest_revision_is_ready(database: Engine) -> None:
    assert ready_database(database) is False


def test_a_database_at_another_revision_is_refused_with_the_command_that_mends_it(database: Engine) -> None:
    leave_at(database, "0000")
    with pytest.raises(DatabaseError, match=rf"is at revision 0000, this dealgate needs revision {HEAD}") as refusal:
        ready_database(database)
    assert "Run: dealgate db upgrade --db " in str(refusal.value)


def test_only_an_empty_sqlite_file_is_set_up_unasked(empty_database: Engine) -> None:
    if empty_database.dialect.name == "sqlite":
        assert ready_database(empty_database) is True
        assert ready_database(empty_database) is False
        assert set(inspect(empty_database).get_table_names()) == {*TABLES, VERSION_TABLE}
    else:
        with pytest.raises(DatabaseError, match="has no dealgate tables"):
            ready_database(empty_database)
        assert inspect(empty_database).get_table_names() == []


def test_a_database_with_a_hosts_tables_is_never_set_up_unasked(empty_database: Engine) -> None:
    with empty_database.begin() as connection:
        connection.execute(text("CREATE TABLE application (number INTEGER)"))
    with pytest.raises(DatabaseError, match="has no dealgate tables"):
        ready_database(empty_database)
    assert inspect(empty_database).get_table_names() == ["application"]


def test_a_refusal_does_not_tell_the_password() -> None:
    engine = open_database("postgresql+psycopg://los:secret@127.0.0.1/deals")
    assert "secret" not in engine.url.render_as_string(hide_password=True)
    assert "secret" not in repr(engine)


def test_no_value_that_was_to_be_stored_stands_in_an_error(database: Engine) -> None:
    """Where a log keeps it, nothing erases it. PostgreSQL's driver shows the very bytes."""
    row = {"entry": 1, "path": "/deal/applicant/monthly_income", "salt": b"salt", "value": b'"5200.00"'}
    with pytest.raises(DBAPIError) as refused, database.begin() as connection:
        connection.execute(INSERT_PRIVATE, row)  # of no entry
    assert "INSERT INTO dealgate_ledger_private" in str(refused.value)
    assert "5200" not in str(refused.value)
    assert "monthly_income" not in str(refused.value)


def test_reading_from_a_database_at_another_revision_is_refused(database: Engine, database_url: str) -> None:
    leave_at(database, "0000")
    with pytest.raises(DatabaseError, match="is at revision 0000"), stored(database_url):
        pass


def test_reading_does_not_create_a_sqlite_file(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="there is no database at"), stored(f"sqlite:///{tmp_path / 'none.db'}"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_reader_does_not_wait_for_who_is_writing_and_sees_only_what_is_committed(
    database: Engine, database_url: str
) -> None:
    gate = Gate(database)
    gate.submit(a_deal())
    with database.begin() as writing:
        gate.submit(a_deal(), session=writing)
        with stored(database_url) as reading:
            assert count_rows(reading)["dealgate_decision"] == 1
    with stored(database_url) as reading:
        assert count_rows(reading)["dealgate_decision"] == 2


@pytest.fixture
def sqlite_connection(tmp_path: Path) -> Iterator[Connection]:
    engine = open_database(f"sqlite:///{tmp_path / 'deals.db'}")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("recursive_triggers", 1),
        ("busy_timeout", 30000),
    ],
)
def test_sqlite_keeps_what_it_acknowledged_and_refuses_broken_references(
    sqlite_connection: Connection, pragma: str, value: object
) -> None:
    assert sqlite_connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value


def test_a_database_that_a_newer_dealgate_brought_further_asks_for_that(database: Engine, database_url: str) -> None:
    """To upgrade it with this one would be no remedy."""
    leave_at(database, "9999")
    words = f"is at revision 9999, and this dealgate knows none beyond {HEAD}: use the dealgate that brought it there"
    with pytest.raises(DatabaseError, match=words) as refusal:
        ready_database(database)
    assert "db upgrade" not in str(refusal.value)
    with pytest.raises(RuntimeError, match=words):
        upgrade_database(database)
