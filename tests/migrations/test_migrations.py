"""The migrations build what the models describe, take it down again, and touch nothing that is a host's."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from dealgate.adapters.database import upgrade_database
from dealgate.migrations import guards, outbox_triggers
from dealgate.migrations.guarded_tables import GUARDS
from dealgate.migrations.partitions import is_partition
from dealgate.migrations.revisions import HEAD, VERSION_TABLE, current_revision
from dealgate.migrations.running import configuration, downgrade, include_object, script_head, upgrade
from dealgate.models import Base, find_decision, find_submission
from tests.adapters.commands import dealgate
from tests.databases import TABLES, count_rows
from tests.migrations.filling import seal
from tests.models.samples import a_deal, submit
from tests.models.sound import assert_sound

REVISIONS = [script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()]
"""The newest first."""

HOST_VERSION = "alembic_version"


def differences(connection: Connection, *, ours_only: bool = True) -> Sequence[Any]:
    """What Alembic would generate to bring the database to the models."""
    options = {"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE}
    if ours_only:
        options["include_object"] = include_object
    found: Sequence[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
    return found


def tables(database: Engine) -> set[str]:
    """Without the months of the ledger's bodies, which PostgreSQL keeps as tables of their own."""
    return {name for name in inspect(database).get_table_names() if not is_partition(name)}


def documents(connection: Connection) -> list[str]:
    """Every decision and the deal it is about, as read from the newest revision."""
    ids = connection.execute(text("SELECT decision_id FROM dealgate_decision ORDER BY decision_id")).scalars().all()
    found = [(find_decision(connection, decision_id), find_submission(connection, decision_id)) for decision_id in ids]
    return [json.dumps(pair, sort_keys=True) for pair in found]


def submit_some(database: Engine) -> None:
    with database.begin() as connection:
        for number in range(3):
            submit(connection, a_deal(deal_id=f"D-{number % 2}", applicant__monthly_debt=None), key=f"K-{number}")


def test_models_and_migrations_agree(empty_database: Engine) -> None:
    with empty_database.begin() as connection:
        upgrade(connection)
        assert differences(connection) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("ALTER TABLE dealgate_deal ADD COLUMN forgotten INTEGER", "remove_column"),
        ("DROP INDEX ix_dealgate_decision_outcome", "add_index"),
        ("DROP TABLE dealgate_trade_in", "add_table"),
        ("CREATE TABLE dealgate_forgotten (number INTEGER)", "remove_table"),
    ],
)
def test_a_difference_between_models_and_database_would_be_seen(database: Engine, change: str, found: str) -> None:
    with database.begin() as connection:
        connection.execute(text(change))
        assert [difference[0] for difference in differences(connection)] == [found]


def test_the_revision_that_the_code_asks_for_is_the_newest_file() -> None:
    assert script_head() == HEAD


def test_there_is_one_line_of_revisions() -> None:
    directory = ScriptDirectory.from_config(configuration())
    assert directory.get_heads() == [HEAD]
    assert directory.get_bases() == [REVISIONS[-1]]


def test_an_upgraded_database_says_so(empty_database: Engine) -> None:
    with empty_database.begin() as connection:
        assert current_revision(connection) is None
        upgrade(connection)
        assert current_revision(connection) == HEAD


@pytest.mark.parametrize("origin", ["base", "0005"])
def test_of_several_who_upgrade_at_once_one_does_and_the_others_find_it_done(
    empty_database: Engine, empty_url: str, origin: str
) -> None:
    """As where the processes of a service are started together."""
    if origin != "base":
        upgrade_database(empty_database)
        submit_some(empty_database)
        with empty_database.begin() as connection:
            downgrade(connection, origin)
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: dealgate("db", "upgrade", "--db", empty_url), range(3)))
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 3
    with empty_database.connect() as connection:
        assert guards.problems(connection) == []


def test_upgrading_twice_changes_nothing(empty_database: Engine) -> None:
    upgrade_database(empty_database)
    submit_some(empty_database)
    before = count_rows(empty_database)

    assert upgrade_database(empty_database) == HEAD
    assert count_rows(empty_database) == before
    assert tables(empty_database) == {*TABLES, VERSION_TABLE}


def test_the_way_down_to_base_leaves_no_table_of_ours_and_the_way_up_builds_them_again(empty_database: Engine) -> None:
    upgrade_database(empty_database)
    submit_some(empty_database)
    with empty_database.begin() as connection:
        downgrade(connection, "base")
    assert {name for name in tables(empty_database) if name.startswith("dealgate_")} <= {VERSION_TABLE}

    upgrade_database(empty_database)
    submit_some(empty_database)
    assert count_rows(empty_database)["dealgate_submission"] == 3
    with empty_database.connect() as connection:
        assert differences(connection) == []


def test_rows_survive_the_way_down_to_every_earlier_revision_and_up_again(empty_database: Engine) -> None:
    upgrade_database(empty_database)
    submit_some(empty_database)
    rows = count_rows(empty_database)
    with empty_database.connect() as connection:
        decisions = documents(connection)
    assert len(decisions) == 3

    for revision in REVISIONS[1:]:
        with empty_database.begin() as connection:
            downgrade(connection, revision)
            assert current_revision(connection) == revision
        there = tables(empty_database)
        upgrade_database(empty_database)
        with empty_database.connect() as connection:
            assert documents(connection) == decisions
            assert differences(connection) == []
        kept = {table: number for table, number in count_rows(empty_database).items() if table in there}
        assert kept == {table: number for table, number in rows.items() if table in there}


GUARDED_SINCE = "0003"


def standing_guards(connection: Connection) -> set[str]:
    """The triggers that stand on tables of ours."""
    kind = "sqlite_master WHERE type = 'trigger' AND name"
    if connection.dialect.name == "postgresql":
        kind = "pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE relnamespace = current_schema()::regnamespace AND tgname"
    column = "tgname" if connection.dialect.name == "postgresql" else "name"
    return set(connection.execute(text(f"SELECT {column} FROM {kind} LIKE 'dealgate%'")).scalars())


def assert_guarded_as_it_should_be(database: Engine) -> None:
    """From the revision that brought the guards on they all stand and work; before it none does."""
    with database.connect() as connection:
        revision = current_revision(connection)
        assert revision is not None
        if revision < GUARDED_SINCE:
            assert standing_guards(connection) == set()
            return
        to_come = {guard.table for guard in GUARDS if guard.since > revision}
        telling = {one.name for one in guards.sqlite_triggers(outbox_triggers.SINCE)}
        to_come |= telling if revision < outbox_triggers.SINCE else set()
        missing = [problem for problem in guards.problems(connection) if not to_come.intersection(problem.split())]
        assert missing == []
        for guard in (guard for guard in GUARDS if guard.since <= revision):
            if connection.execute(text(f"SELECT count(*) FROM {guard.table}")).scalar():
                savepoint = connection.begin_nested()
                with pytest.raises(DBAPIError, match="keeps what was recorded"):
                    connection.execute(text(f"DELETE FROM {guard.table}"))
                savepoint.rollback()


def test_after_every_revision_up_and_down_with_rows_in_place_the_expected_guards_stand(empty_database: Engine) -> None:
    upgrade_database(empty_database)
    submit_some(empty_database)
    assert_guarded_as_it_should_be(empty_database)
    for revision in REVISIONS[1:]:
        with empty_database.begin() as connection:
            downgrade(connection, revision)
        assert_guarded_as_it_should_be(empty_database)
    for revision in REVISIONS[-2::-1]:
        with empty_database.begin() as connection:
            upgrade(connection, revision)
        assert_guarded_as_it_should_be(empty_database)
    with empty_database.connect() as connection:
        assert current_revision(connection) == HEAD
        assert len(documents(connection)) == 3


def test_what_was_recorded_before_the_ledger_is_carried_into_it_chained_and_hashed(empty_database: Engine) -> None:
    upgrade_database(empty_database)
    submit_some(empty_database)
    with empty_database.begin() as connection:
        before = documents(connection)
        downgrade(connection, "0002")
    upgrade_database(empty_database)
    with empty_database.begin() as connection:
        assert_sound(connection)
        assert documents(connection) == before
        kinds = "SELECT kind, count(*) FROM dealgate_ledger_entry GROUP BY kind ORDER BY kind"
        assert [tuple(row) for row in connection.execute(text(kinds))] == [("decision", 3), ("policy_publication", 1)]
        waiting = connection.execute(text("SELECT count(*) FROM dealgate_ledger_pending")).scalar_one()
        assert waiting == 4
        again = submit(connection, a_deal(deal_id="D-0", applicant__monthly_debt=None), key="K-0")
        assert again.replayed
        submit(connection, a_deal(deal_id="D-0"))
        assert_sound(connection)


def test_a_sealed_ledger_is_not_undone(empty_database: Engine) -> None:
    upgrade_database(empty_database)
    submit_some(empty_database)
    with empty_database.begin() as connection:
        seal(connection, connection.execute(text("SELECT min(id) FROM dealgate_ledger_entry")).scalar_one())
    with pytest.raises(RuntimeError, match="a sealed ledger is not undone"), empty_database.begin() as connection:
        downgrade(connection, "0002")
    with empty_database.connect() as connection:
        assert current_revision(connection) == HEAD
    assert_guarded_as_it_should_be(empty_database)


def test_an_upgrade_that_fails_half_way_leaves_the_database_as_it_was(empty_database: Engine) -> None:
    with empty_database.begin() as connection:
        connection.execute(text("CREATE TABLE dealgate_finding (number INTEGER)"))

    with pytest.raises(DBAPIError, match="dealgate_finding"):
        upgrade_database(empty_database)
    assert tables(empty_database) == {"dealgate_finding"}


@pytest.fixture
def host(empty_database: Engine) -> Engine:
    """A database in which a host already keeps tables, and its own Alembic a note of where it stands."""
    with empty_database.begin() as connection:
        connection.execute(text(f"CREATE TABLE {HOST_VERSION} (version_num VARCHAR(32) PRIMARY KEY)"))
        connection.execute(text(f"INSERT INTO {HOST_VERSION} VALUES ('host-7')"))
        connection.execute(text("CREATE TABLE application (number INTEGER PRIMARY KEY, deal_id VARCHAR(20))"))
        connection.execute(text("CREATE INDEX ix_application_deal_id ON application (deal_id)"))
        connection.execute(text("INSERT INTO application VALUES (1, 'D-0')"))
    return empty_database


def host_rows(database: Engine) -> list[Sequence[Any]]:
    with database.connect() as connection:
        found = [connection.execute(text(f"SELECT * FROM {name}")).all() for name in (HOST_VERSION, "application")]
    return [tuple(row) for rows in found for row in rows]


def test_a_hosts_own_tables_are_left_alone_on_the_way_up_and_down(host: Engine) -> None:
    before = host_rows(host)
    assert before == [("host-7",), (1, "D-0")]

    upgrade_database(host)
    submit_some(host)
    assert tables(host) == {HOST_VERSION, "application", *TABLES, VERSION_TABLE}
    assert host_rows(host) == before

    with host.begin() as connection:
        downgrade(connection, "base")
    assert tables(host) - {VERSION_TABLE} == {HOST_VERSION, "application"}
    assert host_rows(host) == before
    assert [index["name"] for index in inspect(host).get_indexes("application")] == ["ix_application_deal_id"]


def test_a_hosts_own_tables_are_hidden_from_autogenerate(host: Engine) -> None:
    upgrade_database(host)
    with host.connect() as connection:
        assert differences(connection) == []
        seen = {difference[0] for difference in differences(connection, ours_only=False)}
    assert "remove_table" in seen


def test_migrations_belong_to_the_transaction_of_the_connection_they_run_on(empty_database: Engine) -> None:
    with empty_database.connect() as connection:
        upgrade(connection)
        connection.rollback()
    assert tables(empty_database) == set()
