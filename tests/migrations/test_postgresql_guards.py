"""PostgreSQL refuses a superuser's own connection too, whatever it sets, and says which trigger is switched off."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from dealgate.migrations import guards
from dealgate.migrations.guarded_tables import Guard
from dealgate.migrations.partitions import MONTHS_AHEAD
from tests.databases import PostgreSQL
from tests.migrations.filling import (
    LEAVE,
    assert_refused,
    columns_of,
    each_guard,
    everything,
    expected,
    filled_database,
    problems_after,
)
from tests.models.samples import a_deal, submit


@pytest.fixture(scope="module")
def filled(postgresql: PostgreSQL) -> Iterator[Engine]:
    with filled_database(postgresql) as engine:
        yield engine


def months(database: Engine) -> list[str]:
    with database.connect() as connection:
        return guards.partitions(connection)


@each_guard
def test_postgresql_refuses_every_statement_that_changes_rows(filled: Engine, guard: Guard) -> None:
    table, column = guard.table, columns_of(guard.table)[0]
    before = everything(filled)
    same = f"MERGE INTO {table} AS t USING (SELECT 1 AS one) AS s ON true WHEN MATCHED THEN"
    statements = [
        f"TRUNCATE {table} CASCADE",
        f"{same} UPDATE SET {column} = t.{column}",
        f"{same} DELETE",
        f"WITH gone AS (DELETE FROM {table} RETURNING 1) SELECT count(*) FROM gone",
        f"DO $$ BEGIN EXECUTE 'DELETE FROM {table}'; END $$",
    ]
    for statement in statements:
        assert_refused(filled, statement)
        assert_refused(filled, statement, "SET LOCAL session_replication_role = replica")
    for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
        assert_refused(filled, statement, "SET LOCAL session_replication_role = replica")
    assert everything(filled) == before


def test_postgresql_guards_each_month_of_the_bodies(filled: Engine) -> None:
    held = months(filled)
    assert len(held) == MONTHS_AHEAD + 2
    for month in held:
        assert_refused(filled, f"TRUNCATE {month}")
    with filled.connect() as connection:
        full = [month for month in held if connection.execute(text(f"SELECT count(*) FROM {month}")).scalar()]
    assert full
    for month in full:
        assert_refused(filled, f"DELETE FROM {month}")
        assert_refused(filled, f"UPDATE {month} SET envelope = ''")
        assert_refused(filled, f"DELETE FROM {month}", "SET LOCAL session_replication_role = replica")


@pytest.mark.parametrize("where", ["pg_temp", "elsewhere"])
def test_a_table_of_the_same_name_gives_no_leave(filled: Engine, where: str) -> None:
    with filled.connect() as connection:
        home = connection.execute(text("SELECT current_schema()")).scalar_one()
    preparations = [
        *(["CREATE SCHEMA elsewhere"] if where == "elsewhere" else []),
        f"CREATE TABLE {where}.dealgate_ledger_erasure AS SELECT p.entry AS erased, p.path, p.entry FROM dealgate_ledger_private p",
        f"CREATE TABLE {where}.dealgate_ledger_entry AS SELECT id, 'redaction'::text AS kind, entry_id FROM dealgate_ledger_entry",
        f"CREATE TABLE {where}.dealgate_ledger_leaf AS SELECT id AS entry FROM dealgate_ledger_entry",
        f"SET LOCAL search_path = {where}, pg_catalog",
    ]
    for table in ("private", "body", "pending"):
        assert_refused(filled, f"DELETE FROM {home}.dealgate_ledger_{table}", *preparations)
    leave = (
        f"INSERT INTO {home}.dealgate_ledger_erasure SELECT p.entry, p.path, p.entry "
        f"FROM {home}.dealgate_ledger_private p WHERE p.path <> '{LEAVE}'"
    )
    assert_refused(filled, leave, *preparations)


def test_an_entry_waits_in_the_queue_of_its_own_schema_whatever_the_search_path(filled: Engine) -> None:
    waiting = text("SELECT count(*) FROM dealgate_ledger_pending")
    with filled.connect() as connection:
        before = connection.execute(waiting).scalar_one()
        connection.exec_driver_sql("CREATE TEMP TABLE dealgate_ledger_pending (entry bigint)")
        submit(connection, a_deal())
        assert connection.execute(text("SELECT count(*) FROM pg_temp.dealgate_ledger_pending")).scalar_one() == 0
        connection.exec_driver_sql("DROP TABLE pg_temp.dealgate_ledger_pending")
        assert connection.execute(waiting).scalar_one() == before + 1


@pytest.mark.parametrize("switch", ["DISABLE TRIGGER", "ENABLE TRIGGER", "ENABLE REPLICA TRIGGER"])
def test_each_trigger_that_is_switched_off_is_named(filled: Engine, switch: str) -> None:
    held = months(filled)
    with filled.connect() as connection:
        everywhere = [*expected(connection), *(one for month in held[:2] for one in guards.partition_triggers(month))]
        for trigger in everywhere:
            found = problems_after(connection, f"ALTER TABLE {trigger.table} {switch} {trigger.name}")
            assert f"the trigger {trigger.name} on {trigger.table} is not enabled always" in found
            assert all(trigger.name in problem for problem in found)


@pytest.mark.parametrize("function", guards.POSTGRESQL_FUNCTIONS)
def test_each_function_that_does_something_else_is_named(filled: Engine, function: str) -> None:
    body = f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'"
    with filled.connect() as connection:
        found = problems_after(connection, body)
        called = [trigger for trigger in expected(connection) if f"{function}(" in trigger.statement]
    assert called
    for trigger in called:
        assert (
            f"the function {function}() of the trigger {trigger.name} on {trigger.table} is not as it was created"
            in found
        )


def test_a_month_without_its_own_guard_is_named(filled: Engine) -> None:
    month = months(filled)[0]
    name = f"{guards.PARTITIONED}_refuses_truncate"
    with filled.connect() as connection:
        found = problems_after(connection, f"DROP TRIGGER {name} ON {month}")
    assert found == [f"the trigger {name} on {month} is missing"]


@pytest.mark.parametrize("table", ["dealgate_decision", "dealgate_legal_hold", "dealgate_ledger_entry"])
def test_a_table_that_inherits_is_named(filled: Engine, table: str) -> None:
    """Whoever reads the one reads the other's rows with it, and those can be changed."""
    with filled.connect() as connection:
        (found,) = problems_after(connection, f"CREATE TABLE heir () INHERITS ({table})")
    assert found.startswith(
        f"heir inherits from {table}: its rows pass for those of {table}, and no guard stands on them"
    )
