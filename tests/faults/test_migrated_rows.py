"""T8: the schema changes under live rows. After every revision the rows are there, the guards are counted, the ledger verifies."""

from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, Engine, Integer, text
from sqlalchemy.exc import DBAPIError

from dealgate.adapters.database import upgrade_database
from dealgate.migrations import guards
from dealgate.migrations.revisions import current_revision
from dealgate.migrations.running import configuration, downgrade, upgrade
from tests.faults.eventful import eventful
from tests.models.ledgers import a_signer, seal_all, submit_deals, verified

REVISIONS = [script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()][::-1]
"""The oldest first."""

BEFORE_THE_LEDGER = ("0001", "0002")


def documents(connection: Connection) -> list[tuple[str, bytes]]:
    statement = text(
        "SELECT e.entry_id, b.envelope FROM dealgate_ledger_entry e JOIN dealgate_ledger_body b ON b.entry = e.id ORDER BY e.id"
    )
    return [(row.entry_id, bytes(row.envelope)) for row in connection.execute(statement)]


def count_guards(connection: Connection) -> int:
    if connection.dialect.name == "sqlite":
        statement = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'"
    else:
        statement = (
            "SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE c.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal AND t.tgparentid = 0 "
            "AND t.tgenabled = 'A' AND NOT c.relispartition"
        )
    return int(connection.execute(text(statement)).scalar_one())


def expected_guards(connection: Connection) -> int:
    triggers = guards.sqlite_triggers() if connection.dialect.name == "sqlite" else guards.postgresql_triggers()
    return len(list(triggers))


@pytest.mark.parametrize("origin", REVISIONS[:-1])
def test_live_rows_of_an_earlier_revision_come_up_through_every_one_after_it(
    empty_database: Engine, origin: str
) -> None:
    """Rows as an earlier revision holds them, then each revision in turn, each committed on its own."""
    upgrade_database(empty_database)
    decisions = submit_deals(empty_database, 5, deals=2)
    with empty_database.begin() as connection:
        downgrade(connection, origin)
    for revision in REVISIONS[REVISIONS.index(origin) + 1 :]:
        with empty_database.begin() as connection:
            upgrade(connection, revision)
        with empty_database.connect() as connection:
            assert current_revision(connection) == revision
            rows = connection.execute(text("SELECT decision_id FROM dealgate_decision ORDER BY id")).scalars().all()
            assert rows == decisions
            if revision not in BEFORE_THE_LEDGER:
                assert len(documents(connection)) == len(decisions) + 1  # and the policy
    with empty_database.connect() as connection:
        assert guards.problems(connection) == []
        assert count_guards(connection) == expected_guards(connection)
    signer = a_signer()
    submit_deals(empty_database, 2, first=5, deals=2)
    seal_all(empty_database, signer)
    report = verified(empty_database, signer.key, level="replay")
    assert report.flaws == []
    assert report.entries == len(decisions) + 2 + 2


def test_a_sealed_ledger_is_not_taken_down(database: Engine, tmp_path: Path) -> None:
    ledger = eventful(database, tmp_path)
    with pytest.raises(RuntimeError, match="a sealed ledger is not undone"), database.begin() as connection:
        downgrade(connection, "0002")
    assert verified(database, ledger.signer.key, anchored=ledger.notes).flaws == []


def test_columns_added_later_leave_every_guard_and_every_proof(database: Engine, tmp_path: Path) -> None:
    """The hash is over bytes, not over columns."""
    ledger = eventful(database, tmp_path)
    with database.connect() as connection:
        before = documents(connection)
    with database.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        for table in ("dealgate_decision", "dealgate_ledger_entry", "dealgate_ledger_body"):
            operations.add_column(table, Column("added_later", Integer))
            with pytest.raises(DBAPIError, match="keeps what was recorded"), connection.begin_nested():
                connection.execute(text(f"UPDATE {table} SET added_later = 1"))
    with database.connect() as connection:
        assert count_guards(connection) == expected_guards(connection)
        assert documents(connection) == before
    assert verified(database, ledger.signer.key, anchored=ledger.notes).flaws == []


def test_a_table_that_a_migration_builds_anew_is_told_by_its_missing_guards(database: Engine, tmp_path: Path) -> None:
    """What Alembic does on SQLite for most changes: the copy has the rows and none of the triggers."""
    if database.dialect.name != "sqlite":
        pytest.skip("PostgreSQL alters tables in place")
    ledger = eventful(database, tmp_path)
    table = "dealgate_ledger_anchor"
    with database.begin() as connection:
        operations = Operations(MigrationContext.configure(connection, opts={"render_as_batch": True}))
        with operations.batch_alter_table(table, recreate="always") as batch:
            batch.add_column(Column("added_later", Integer))
    found = verified(database, ledger.signer.key, anchored=ledger.notes).flaws
    assert {flaw.what for flaw in found} == {"guard"}
    assert all(table in flaw.where for flaw in found)
    assert len(found) == 3
