"""The database itself refuses to change what was recorded, and says which of its guards is not as it should be."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, UniqueConstraint, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from dealgate.migrations import guards
from dealgate.migrations.guards import GUARDS, Guard
from dealgate.migrations.roles import WORKED
from dealgate.models import Base, find_decision, find_submission
from tests.databases import Databases
from tests.migrations.filling import (
    LEAVE,
    REFUSED,
    assert_refused,
    columns_of,
    each_guard,
    everything,
    expected,
    filled_database,
    problems_after,
)
from tests.models.erasing import ALL, erase, give_leave, number_of
from tests.models.samples import a_deal, submit


@pytest.fixture(scope="module")
def filled(databases: Databases) -> Iterator[Engine]:
    with filled_database(databases) as engine:
        yield engine


def test_every_table_is_guarded_but_the_heads_of_deals_and_what_is_worked_off() -> None:
    assert {guard.table for guard in GUARDS} == set(Base.metadata.tables) - {"dealgate_deal", *WORKED}


@each_guard
def test_every_unique_key_is_guarded(guard: Guard) -> None:
    table = Base.metadata.tables[guard.table]
    unique = [tuple(one.columns.keys()) for one in table.constraints if isinstance(one, UniqueConstraint)]
    primary = tuple(table.primary_key.columns.keys())
    # A body has the month in its key on PostgreSQL's account; there is one to an entry.
    assert set(guard.keys) == {*unique, ("entry",) if guard.table == guards.PARTITIONED else primary}


@each_guard
def test_no_row_is_updated_or_deleted(filled: Engine, guard: Guard) -> None:
    before = everything(filled)
    for column in columns_of(guard.table):
        assert_refused(filled, f"UPDATE {guard.table} SET {column} = {column}")
    assert_refused(filled, f"DELETE FROM {guard.table}")
    assert everything(filled) == before


@each_guard
def test_no_row_is_exchanged_by_an_insert_that_meets_it(filled: Engine, guard: Guard) -> None:
    before = everything(filled)
    columns, key = columns_of(guard.table), ", ".join(Base.metadata.tables[guard.table].primary_key.columns.keys())
    names = ", ".join(columns)
    upsert = (
        f"INSERT INTO {guard.table} ({names}) SELECT {names} FROM {guard.table} WHERE true "
        f"ON CONFLICT ({key}) DO UPDATE SET {columns[-1]} = excluded.{columns[-1]}"
    )
    assert_refused(filled, upsert)
    assert everything(filled) == before


def test_the_head_of_a_deal_is_updated_but_never_deleted(filled: Engine) -> None:
    with filled.connect() as connection:
        assert connection.execute(text("UPDATE dealgate_deal SET outcome = outcome")).rowcount == 2
    assert_refused(filled, "DELETE FROM dealgate_deal")


# Erasure: the one way to delete


def delete(connection: Connection, table: str, where: str, **values: Any) -> int:
    return connection.execute(text(f"DELETE FROM {table} WHERE {where}"), values).rowcount


@pytest.mark.parametrize("kind", ["redaction", "retention_purge"])
def test_an_erased_value_is_deleted_once_an_entry_of_its_kind_gives_leave_and_no_other_is(
    database: Engine, kind: str
) -> None:
    with database.begin() as connection:
        first, second = submit(connection, a_deal()), submit(connection, a_deal())
        give_leave(connection, first.decision_id, LEAVE, kind=kind)
        erased, kept = (number_of(connection, one.decision_id) for one in (first, second))
    where = "entry = :entry AND path = :path"
    for entry, path in ((kept, LEAVE), (erased, "/deal/vehicle/vin")):
        with database.connect() as connection, pytest.raises(DBAPIError, match=REFUSED):
            delete(connection, "dealgate_ledger_private", where, entry=entry, path=path)
    with database.connect() as connection, pytest.raises(DBAPIError, match=REFUSED):
        delete(connection, "dealgate_ledger_body", "entry = :entry", entry=erased)
    with database.begin() as connection:
        assert delete(connection, "dealgate_ledger_private", where, entry=erased, path=LEAVE) == 1
        left = find_submission(connection, first.decision_id)
    assert left is not None
    assert "monthly_income" not in left["applicant"]


def test_a_purged_entry_loses_everything_but_its_hash(database: Engine) -> None:
    with database.begin() as connection:
        purged, kept = submit(connection, a_deal()), submit(connection, a_deal())
        give_leave(connection, purged.decision_id, ALL, kind="retention_purge")
        number = number_of(connection, purged.decision_id)
        decision = connection.execute(
            text("SELECT id, submission_id FROM dealgate_decision WHERE decision_id = :id"), {"id": purged.decision_id}
        ).one()
    order = [
        ("dealgate_ledger_private", "entry", number),
        ("dealgate_ledger_body", "entry", number),
        ("dealgate_finding", "decision", decision.id),
        ("dealgate_decision", "id", decision.id),
        ("dealgate_trade_in", "submission_id", decision.submission_id),
        ("dealgate_product", "submission_id", decision.submission_id),
        ("dealgate_book_value", "submission_id", decision.submission_id),
        ("dealgate_submission", "id", decision.submission_id),
    ]
    for table, column, value in order[4:]:
        with database.connect() as connection, pytest.raises(DBAPIError, match=REFUSED):
            delete(connection, table, f"{column} = :value", value=value)
    with database.begin() as connection:
        for table, column, value in order:
            assert delete(connection, table, f"{column} = :value", value=value) > 0, table
        assert find_decision(connection, purged.decision_id) is None
        assert find_decision(connection, kept.decision_id) == kept.decision
    with database.connect() as connection, pytest.raises(DBAPIError, match=REFUSED):
        delete(connection, "dealgate_ledger_entry", "id = :id", id=number)


@pytest.mark.parametrize(
    "kind", ["decision", "override", "adverse_notice", "policy_publication", "restore", "REDACTION"]
)
def test_an_entry_of_another_kind_gives_no_leave(database: Engine, kind: str) -> None:
    with database.connect() as connection:
        recorded = submit(connection, a_deal())
        with pytest.raises(DBAPIError, match=REFUSED):
            give_leave(connection, recorded.decision_id, LEAVE, kind=kind)


def test_leave_in_the_name_of_an_entry_that_is_not_there_is_none(database: Engine) -> None:
    with database.begin() as connection:
        number = number_of(connection, submit(connection, a_deal()).decision_id)
    assert_refused(database, f"INSERT INTO dealgate_ledger_erasure (erased, path, entry) VALUES ({number}, '', 999999)")


def test_leave_once_given_is_not_given_again_or_taken_back(filled: Engine) -> None:
    with pytest.raises(IntegrityError), filled.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO dealgate_ledger_erasure (erased, path, entry) SELECT erased, path, entry FROM dealgate_ledger_erasure"
            )
        )
    assert_refused(filled, "DELETE FROM dealgate_ledger_erasure")


def test_an_entry_leaves_the_queue_only_once_it_is_a_leaf(filled: Engine) -> None:
    with filled.connect() as connection:
        sealed = connection.execute(text("SELECT entry FROM dealgate_ledger_leaf")).scalar_one()
        assert delete(connection, "dealgate_ledger_pending", "entry = :entry", entry=sealed) == 1
    assert_refused(filled, "DELETE FROM dealgate_ledger_pending")


# The guards are watched


def test_a_guarded_database_has_no_problems(filled: Engine) -> None:
    with filled.connect() as connection:
        assert guards.problems(connection) == []


def test_each_trigger_that_is_missing_is_named(database: Engine) -> None:
    with database.connect() as connection:
        where = " ON {table} CASCADE" if connection.dialect.name == "postgresql" else ""
        for trigger in expected(connection):
            found = problems_after(connection, f"DROP TRIGGER {trigger.name}{where.format(table=trigger.table)}")
            assert f"the trigger {trigger.name} on {trigger.table} is missing" in found
            assert all(trigger.name in problem and "is missing" in problem for problem in found)
        assert guards.problems(connection) == []


def test_each_trigger_that_does_something_else_is_named(database: Engine) -> None:
    with database.connect() as connection:
        for trigger in expected(connection):
            drop, create = f"DROP TRIGGER {trigger.name}", trigger.statement
            if connection.dialect.name == "sqlite":
                create = f"{create.partition(' BEGIN ')[0]} BEGIN SELECT 1; END"
            else:
                drop += f" ON {trigger.table}"
                timing = trigger.statement.replace("BEFORE", "AFTER") if "TRUNCATE" in create else ""
                never = create.replace("FOR EACH STATEMENT", "FOR EACH STATEMENT WHEN (false)")
                create = timing or never.replace("FOR EACH ROW", "FOR EACH ROW WHEN (false)")
            switch = f"ALTER TABLE {trigger.table} ENABLE ALWAYS TRIGGER {trigger.name}"
            always = [switch] if connection.dialect.name == "postgresql" else []
            found = problems_after(connection, drop, create, *always)
            assert f"the trigger {trigger.name} on {trigger.table} is not as it was created" in found


def test_guards_that_are_removed_and_installed_again_are_as_before(filled: Engine) -> None:
    with filled.connect() as connection:
        revisions = sorted(
            {guard.since for guard in GUARDS} | {"0012"}
        )  # the triggers of the outbox are of a kind of their own
        for revision in reversed(revisions):
            guards.remove(connection, revision)
        assert len(guards.problems(connection)) >= len(expected(connection))
        for revision in revisions:
            guards.install(connection, revision)
        assert guards.problems(connection) == []


def test_erasing_leaves_the_guards_as_they_were(database: Engine) -> None:
    with database.begin() as connection:
        erase(connection, submit(connection, a_deal()).decision_id, ALL)
        assert guards.problems(connection) == []
