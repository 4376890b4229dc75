"""SQLite's own ways to exchange a row, from a connection that keeps none of dealgate's settings."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from dealgate.migrations import guards
from dealgate.migrations.guarded_tables import GUARDS, Guard
from dealgate.models import Base
from tests.databases import SqliteFiles
from tests.migrations.filling import REFUSED, columns_of, everything, filled_database


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Engine]:
    with filled_database(SqliteFiles(tmp_path)) as engine:
        yield engine


def file_of(database: Engine) -> str:
    assert database.url.database
    return database.url.database


@contextmanager
def stranger(database: Engine, *, recursive: bool) -> Iterator[sqlite3.Connection]:
    """A connection that keeps none of dealgate's settings."""
    with closing(sqlite3.connect(file_of(database))) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute(f"PRAGMA recursive_triggers={'ON' if recursive else 'OFF'}")
        yield connection


def exchanges(guard: Guard) -> Iterator[str]:
    """INSERT statements that would exchange a row, each by one of its keys alone: all other keys are new."""
    table = Base.metadata.tables[guard.table]
    numbered = len(table.primary_key.columns) == 1 and table.primary_key.columns[0].type.python_type is int
    named = {column for key in guard.keys for column in key}
    for key in [*guard.keys, *([] if numbered else [("rowid",)])]:
        fresh = {
            name: f"{name} + 1000" if _is_number(table.columns[name]) else f"{name} || '-new'"
            for name in named - set(key)
        }
        columns = [*(["rowid"] if key == ("rowid",) else []), *columns_of(guard.table)]
        values = ", ".join(fresh.get(name, name) for name in columns)
        stated = " AND ".join(f"{name} IS NOT NULL" for name in key)
        yield f"INTO {guard.table} ({', '.join(columns)}) SELECT {values} FROM {guard.table} WHERE {stated} LIMIT 1"


def _is_number(column: Any) -> bool:
    return column.type.python_type is int


@pytest.mark.parametrize("recursive", [True, False], ids=["recursive", "not recursive"])
def test_sqlite_exchanges_no_row_by_any_of_its_keys(filled: Engine, recursive: bool) -> None:
    before = everything(filled)
    for guard in GUARDS:
        for exchange in exchanges(guard):
            for verb in ("INSERT OR REPLACE", "REPLACE"):
                with (
                    stranger(filled, recursive=recursive) as connection,
                    pytest.raises(sqlite3.IntegrityError, match=REFUSED),
                ):
                    connection.execute(f"{verb} {exchange}")
    for guard in GUARDS:
        with stranger(filled, recursive=recursive) as connection, pytest.raises(sqlite3.IntegrityError, match=REFUSED):
            connection.execute(f"UPDATE OR REPLACE {guard.table} SET rowid = rowid + 1")
    assert everything(filled) == before


def test_without_its_guard_sqlite_would_exchange_a_row(filled: Engine) -> None:
    """The attack above is one: it succeeds where the guard was dropped."""
    for guard in GUARDS:
        for exchange in exchanges(guard):
            with stranger(filled, recursive=False) as connection:
                connection.isolation_level = None
                connection.execute("BEGIN")  # never committed
                for table in {guard.table, "dealgate_ledger_pending"}:  # which the trigger of an entry writes to
                    connection.execute(f"DROP TRIGGER {table}_refuses_replace")
                connection.execute(
                    f"DROP TRIGGER IF EXISTS {guard.table}_requires"
                )  # which may refuse it for its own reason
                (rows,) = connection.execute(f"SELECT count(*) FROM {guard.table}").fetchone()
                connection.execute(f"INSERT OR REPLACE {exchange}")
                assert connection.execute(f"SELECT count(*) FROM {guard.table}").fetchone() == (rows,), exchange


def test_a_table_that_was_copied_to_change_it_has_lost_its_guards_and_that_is_told(filled: Engine) -> None:
    """What a batch migration does."""
    with closing(sqlite3.connect(file_of(filled))) as connection:
        connection.executescript("""
            PRAGMA foreign_keys=OFF;
            CREATE TABLE copied AS SELECT * FROM dealgate_finding;
            DROP TABLE dealgate_finding;
            ALTER TABLE copied RENAME TO dealgate_finding;
        """)
    with filled.connect() as connection_:
        found = guards.problems(connection_)
    assert found == [
        f"the trigger dealgate_finding_{name} on dealgate_finding is missing"
        for name in ("refuses_update", "refuses_delete", "refuses_replace")
    ]


@pytest.mark.parametrize("change", ["tbl_name = upper(tbl_name)", "sql = replace(sql, 'ABORT', 'IGNORE')"])
def test_a_trigger_that_was_rewritten_in_the_file_is_told(filled: Engine, change: str) -> None:
    name = "dealgate_finding_refuses_update"
    with closing(sqlite3.connect(file_of(filled), isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(f"UPDATE sqlite_master SET {change} WHERE name = ?", [name])
    with filled.connect() as connection_:
        assert guards.problems(connection_) == [f"the trigger {name} on dealgate_finding is not as it was created"]
