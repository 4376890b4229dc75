"""Dealgate's tables in a schema of their own on PostgreSQL, found by the search path of the database and by nothing else."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, inspect, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from dealgate import Gate
from dealgate.adapters.database import open_database, upgrade_database
from dealgate.migrations import guards, roles
from dealgate.migrations.partitions import is_partition
from dealgate.migrations.revisions import HEAD, VERSION_TABLE, current_revision, home_schema
from dealgate.migrations.roles import APP, READER, SEALER
from dealgate.migrations.running import downgrade, upgrade
from dealgate.models.signing import new_key
from tests.adapters.commands import invoke
from tests.databases import TABLES, PostgreSQL, SqliteFiles
from tests.hosts import Application, book, kept_together, make_tables
from tests.models.samples import a_deal, a_policy

SCHEMA = "lender_gate"
USERS = {"gate_los": APP, "gate_sequencer": SEALER, "gate_auditor": READER}


def put_on_the_path(url: str, path: str) -> None:
    """The one setting: from the next connection on it holds for everybody."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {make_url(url).database} SET search_path = {path}")
    engine.dispose()


@pytest.fixture(scope="module")
def url(postgresql: PostgreSQL) -> str:
    """A host's database, its own tables in `public`."""
    url = postgresql.apart()
    engine = open_database(url)
    make_tables(engine)
    engine.dispose()
    done = invoke("db", "upgrade", "--db", url, "--schema", SCHEMA)
    assert done.exit_code == 0, done.stderr
    assert "note: lender_gate is not on the search path: ALTER DATABASE" in done.stderr
    put_on_the_path(url, f"public, {SCHEMA}")
    again = invoke("db", "upgrade", "--db", url, "--schema", SCHEMA)
    assert (again.exit_code, again.stderr) == (0, "")
    return url


@pytest.fixture(scope="module")
def users(url: str) -> Iterator[Mapping[str, str]]:
    """The URLs of the host's users, each with one role of dealgate's."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for user, role in USERS.items():
            connection.exec_driver_sql(f"CREATE ROLE {user} LOGIN IN ROLE {role}")
        connection.exec_driver_sql("GRANT SELECT, INSERT ON application, clerk TO gate_los")
        connection.exec_driver_sql("GRANT SELECT ON application, clerk TO gate_auditor")
    yield {user: make_url(url).set(username=user).render_as_string() for user in USERS}
    with engine.begin() as connection:
        for user in USERS:
            connection.exec_driver_sql(f"DROP OWNED BY {user}; DROP ROLE {user}")
    engine.dispose()


@pytest.fixture
def database(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()


def tables(database: Engine, schema: str) -> set[str]:
    return {name for name in inspect(database).get_table_names(schema) if not is_partition(name)}


def test_everything_of_dealgates_stands_in_its_schema_and_nothing_else_does(database: Engine) -> None:
    assert tables(database, SCHEMA) == {*TABLES, VERSION_TABLE}
    assert tables(database, "public") == {"application", "clerk"}
    functions = text(
        "SELECT pronamespace::regnamespace::text FROM pg_proc WHERE proname LIKE 'dealgate\\_%' AND prorettype <> 3838"
    )
    with database.connect() as connection:
        assert set(connection.execute(functions).scalars()) == {SCHEMA}
        assert home_schema(connection) == SCHEMA
        assert current_revision(connection) == HEAD


def test_users_submit_seal_verify_and_are_refused_as_ever(users: Mapping[str, str], tmp_path: Path) -> None:
    """The host's table in `public` and dealgate's in its schema, in one session and transaction; then the command line."""
    los, gate = open_database(users["gate_los"]), Gate(policy=a_policy())
    for key, commits in (("K-1", True), ("K-2", False), ("K-3", True)):
        with Session(los) as session:
            book(session, gate, "D-1", key)
            session.commit() if commits else session.rollback()
    own = Gate(los, a_policy())
    with Session(los) as session, session.begin():
        verdict = own.submit(a_deal(), idempotency_key="K-4")
        session.add(Application(decision_id=verdict.decision_id, key="K-4"))
    for statement in ("UPDATE dealgate_decision SET outcome = 'pass'", f"DELETE FROM {SCHEMA}.dealgate_ledger_entry"):
        with los.connect() as connection, pytest.raises(DBAPIError, match="permission denied"):
            connection.execute(text(statement))
    los.dispose()
    auditor = open_database(users["gate_auditor"])
    assert kept_together(auditor) >= {"K-1", "K-3", "K-4"}
    auditor.dispose()

    pair = new_key("lender.example/ledger")
    (tmp_path / "key").write_text(pair.private)
    (tmp_path / "pub").write_text(pair.public.text)
    sealed = invoke("ledger", "seal", "--key", tmp_path / "key", "--db", users["gate_sequencer"])
    assert sealed.exit_code == 0, sealed.output
    verified = invoke("ledger", "verify", "--key", tmp_path / "pub", "--db", users["gate_auditor"])
    assert verified.exit_code == 0, verified.output
    checked = invoke("db", "check", "--db", users["gate_auditor"])
    assert (checked.exit_code, checked.output) == (0, "Every guard stands.\n")
    assert verdict.decision_id in invoke("decision", "list", "--db", users["gate_auditor"]).stdout


def test_a_host_that_is_no_superuser_has_a_foreign_key_to_a_decision(
    users: Mapping[str, str], database: Engine
) -> None:
    """And drops it again, and its table: only what is dealgate's own is guarded."""
    with database.begin() as connection:
        connection.exec_driver_sql("GRANT CREATE ON SCHEMA public TO gate_los")
        connection.exec_driver_sql("GRANT REFERENCES (decision_id) ON dealgate_decision TO gate_los")
    los = open_database(users["gate_los"])
    reference = "FOREIGN KEY (decision_id) REFERENCES dealgate_decision (decision_id) ON DELETE SET NULL"
    with los.begin() as connection:
        decision = Gate(policy=a_policy()).submit(a_deal(deal_id="D-LOAN"), session=connection).decision_id
        connection.exec_driver_sql(f"CREATE TABLE loan (decision_id VARCHAR(36), CONSTRAINT decided {reference})")
        connection.execute(text("INSERT INTO loan VALUES (:decision)"), {"decision": decision})
        connection.execute(text("INSERT INTO application VALUES (:decision, 'K-LOAN')"), {"decision": decision})
    with los.connect() as connection, pytest.raises(IntegrityError, match="decided"):
        connection.execute(text("INSERT INTO loan VALUES ('nobody')"))
    with los.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE loan DROP CONSTRAINT decided")
        connection.exec_driver_sql(f"ALTER TABLE loan ADD CONSTRAINT decided {reference}")
        connection.exec_driver_sql("DROP TABLE loan")
    los.dispose()


def test_asynchronous_drivers_find_it_too(url: str, database: Engine) -> None:
    async def submit(driver: str) -> None:
        engine = create_async_engine(make_url(url).set(drivername=f"postgresql+{driver}"))
        async with AsyncSession(engine) as session:
            verdict = await Gate(policy=a_policy()).submit_async(a_deal(deal_id="D-ASYNC"), session=session)
            session.add(Application(decision_id=verdict.decision_id, key=driver))
            await session.rollback()
        await engine.dispose()

    for driver in ("psycopg", "asyncpg"):
        asyncio.run(submit(driver))


def test_an_upgrade_brings_the_functions_of_the_event_triggers_up_to_date(database: Engine) -> None:
    older = f"CREATE OR REPLACE FUNCTION {SCHEMA}.dealgate_guard_drops() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'"
    with database.begin() as connection:
        connection.exec_driver_sql(older)
        assert roles.problems(connection) == ["the event trigger dealgate_guard_drops is not as it was created"]
    upgrade_database(database)
    with database.connect() as connection:
        assert roles.problems(connection) == []


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("CREATE TABLE public.dealgate_decision (decision_id TEXT)", "dealgate_decision"),
        ("CREATE TEMPORARY TABLE dealgate_deal (deal_id TEXT)", "dealgate_deal"),
        ("CREATE VIEW public.dealgate_finding AS SELECT 1 AS decision", "dealgate_finding"),
    ],
)
def test_a_table_put_ahead_of_dealgates_own_is_named(database: Engine, statement: str, name: str) -> None:
    with database.connect() as connection:
        assert guards.problems(connection) == []
        connection.execute(text(statement))
        (problem,) = guards.problems(connection)
        assert problem.startswith(f"{name} is found in the schema ")


def test_without_the_setting_nothing_is_found_and_nothing_passes(url: str) -> None:
    engine = create_engine(url, connect_args={"options": "-csearch_path=public"})
    with pytest.raises(DBAPIError, match="dealgate_"):
        Gate(engine, a_policy()).submit(a_deal())
    with engine.connect() as connection:
        assert current_revision(connection) is None
    engine.dispose()


def test_it_is_taken_down_and_built_up_where_it_stands(postgresql: PostgreSQL) -> None:
    """With a name that must be quoted, and whatever stands first on the search path."""
    url, name = postgresql.apart(), 'the "gate"-7'
    engine = open_database(url)
    make_tables(engine)
    upgrade_database(engine, name)
    put_on_the_path(url, '"the ""gate""-7", public')
    engine.dispose()
    with engine.begin() as connection:
        assert guards.problems(connection) == []
        before = connection.execute(text("SHOW search_path")).scalar()
        downgrade(connection, "0002")
        upgrade(connection)
        assert connection.execute(text("SHOW search_path")).scalar() == before
        assert guards.problems(connection) == []
        downgrade(connection, "base")
    assert tables(engine, name) == {VERSION_TABLE}
    assert tables(engine, "public") == {"application", "clerk"}
    upgrade_database(engine)
    assert tables(engine, name) == {*TABLES, VERSION_TABLE}
    engine.dispose()


def test_a_second_schema_beside_the_first_is_refused(database: Engine) -> None:
    with pytest.raises(ValueError, match="dealgate's tables stand in the schema 'lender_gate': leave out 'other'"):
        upgrade_database(database, "other")
    assert "other" not in inspect(database).get_schema_names()


def test_sqlite_has_no_schemas(tmp_path: Path) -> None:
    done = invoke("db", "upgrade", "--db", SqliteFiles(tmp_path).empty(), "--schema", SCHEMA)
    assert done.exit_code == 3
    assert "SQLite has no schemas: leave out 'lender_gate'" in done.stderr


def test_tables_that_are_off_the_search_path_are_told_where_they_are(url: str) -> None:
    """A dump has no settings of its database: who follows the remedy after a restore must not begin an empty ledger beside the restored."""
    away = make_url(url).update_query_dict({"options": "-csearch_path=public"}).render_as_string(hide_password=False)
    told = invoke("ledger", "status", "--db", away)
    assert told.exit_code == 3
    assert f"has no dealgate tables on its search path, and has some in {SCHEMA}. To find them" in told.stderr
    assert f"ALTER DATABASE {make_url(url).database} SET search_path = public, {SCHEMA}" in told.stderr
