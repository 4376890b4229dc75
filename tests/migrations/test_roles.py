"""PostgreSQL's roles: who submits, who seals and who reads may each do that and no more, and nobody redefines the tables."""

from collections.abc import Iterator, Mapping

import pytest
from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import DBAPIError

from dealgate import Gate
from dealgate.adapters.database import open_database, stored, upgrade_database
from dealgate.migrations import guards, partitions, roles
from dealgate.migrations.guarded_tables import GUARDS
from dealgate.migrations.guards import PLAIN
from dealgate.migrations.roles import APP, OWNER, READER, SEALER
from dealgate.migrations.running import upgrade
from dealgate.models import Base, find_decision
from tests.databases import PostgreSQL
from tests.migrations.filling import LEAVE, everything, fill, seal
from tests.models.erasing import give_leave, number_of
from tests.models.samples import a_deal, a_policy, submit

TABLES = sorted(Base.metadata.tables)
USERS = {"los": APP, "sequencer": SEALER, "auditor": READER, "keeper": OWNER, "nobody": None}
"""Users of a host and what is granted to each. Nobody should be granted the owner: `keeper` shows what is refused even then."""

DENIED = "permission denied"
LEFT_TO_A_SUPERUSER = "is left to a superuser"

Users = Mapping[str, Engine]


@pytest.fixture(scope="module")
def superuser(postgresql: PostgreSQL) -> Iterator[Engine]:
    """A database of its own with rows in every table, its users, and a schema in which everybody may create."""
    engine = open_database(postgresql.apart())
    upgrade_database(engine)
    with engine.begin() as connection:
        fill(connection)
        connection.exec_driver_sql("GRANT CREATE ON SCHEMA public TO PUBLIC")
        for user, role in USERS.items():
            connection.exec_driver_sql(f"CREATE ROLE {user} LOGIN {f'IN ROLE {role}' if role else ''}")
    yield engine
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP ROLE {', '.join(USERS)}")
    engine.dispose()


@pytest.fixture(scope="module")
def users(superuser: Engine) -> Iterator[Users]:
    url = make_url(superuser.url.render_as_string(hide_password=False))
    engines = {user: open_database(url.set(username=user).render_as_string()) for user in USERS}
    yield engines
    for engine in engines.values():
        engine.dispose()


def tried(engine: Engine, *statements: str) -> str:
    """What is answered to the first statement that is refused, else nothing; all is taken back."""
    with engine.connect() as connection:
        try:
            for statement in statements:
                connection.exec_driver_sql(statement, execution_options=PLAIN)
        except DBAPIError as refusal:
            return str(refusal.orig)
        return ""


def allowed(engine: Engine, privilege: str) -> set[str]:
    """The tables on which a user has a privilege."""
    with engine.connect() as connection:
        has = text("SELECT has_table_privilege(:table, :privilege)")
        return {name for name in TABLES if connection.execute(has, {"table": name, "privilege": privilege}).scalar()}


# Rights


def test_each_role_reads_what_it_needs_and_who_has_none_reads_nothing(users: Users) -> None:
    for user in ("los", "sequencer", "auditor"):
        assert allowed(users[user], "SELECT") == set(TABLES)
    for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER"):
        assert allowed(users["nobody"], privilege) == set()


def test_who_submits_inserts_updates_the_heads_of_deals_and_does_nothing_else(users: Users) -> None:
    sealed = {f"dealgate_ledger_{name}" for name in ("leaf", "tile", "checkpoint", "anchor", "erasure", "pending")}
    assert allowed(users["los"], "INSERT") == set(TABLES) - sealed - set(roles.ACCESS) - {roles.OUTBOX}
    assert allowed(users["los"], "UPDATE") == {"dealgate_deal", roles.SUBSCRIPTION, roles.OUTBOX}
    assert allowed(users["los"], "DELETE") == set(roles.WORKED)
    for privilege in ("TRUNCATE", "TRIGGER", "REFERENCES"):
        assert allowed(users["los"], privilege) == set()


def test_who_seals_and_erases_inserts_and_deletes_what_may_be_erased(users: Users) -> None:
    assert allowed(users["sequencer"], "INSERT") == set(TABLES) - {"dealgate_ledger_pending", roles.OUTBOX}
    assert allowed(users["sequencer"], "UPDATE") == {"dealgate_deal", roles.SUBSCRIPTION, roles.OUTBOX}
    erasable = {guard.table for guard in GUARDS if guard.permit}
    assert allowed(users["sequencer"], "DELETE") == erasable | set(roles.WORKED)
    for privilege in ("TRUNCATE", "TRIGGER", "REFERENCES"):
        assert allowed(users["sequencer"], privilege) == set()


def test_who_reads_writes_nothing(users: Users) -> None:
    for privilege in ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER", "REFERENCES"):
        assert allowed(users["auditor"], privilege) == set()
    with users["auditor"].connect() as connection, pytest.raises(DBAPIError, match=DENIED):
        submit(connection, a_deal())


def test_who_submits_can_submit_and_read_back_and_a_reader_can_read_it(users: Users, superuser: Engine) -> None:
    gate = Gate(users["los"], a_policy())
    verdict = gate.submit(a_deal(deal_id="D-APP"), idempotency_key="K-APP")
    assert gate.submit(a_deal(deal_id="D-APP"), idempotency_key="K-APP").replayed
    for user in ("los", "auditor", "sequencer"):
        with users[user].connect() as connection:
            assert find_decision(connection, verdict.decision_id) == verdict.decision
    with stored(superuser.url.render_as_string()) as connection:
        waiting = connection.execute(text("SELECT entry FROM dealgate_ledger_pending")).scalars().all()
        assert number_of(connection, verdict.decision_id) in waiting


def test_who_seals_takes_an_entry_off_the_queue_and_erases_what_there_is_leave_for(users: Users) -> None:
    with users["sequencer"].connect() as connection:
        made = submit(connection, a_deal(deal_id="D-SEALED"))
        connection.execute(
            text("DELETE FROM dealgate_ledger_pending WHERE entry IN (SELECT entry FROM dealgate_ledger_leaf)")
        )
        give_leave(connection, made.decision_id, LEAVE)
        found = connection.execute(
            text("DELETE FROM dealgate_ledger_private WHERE entry = :entry AND path = :path RETURNING path"),
            {"entry": number_of(connection, made.decision_id), "path": LEAVE},
        )
        assert found.scalars().all() == [LEAVE]
        with pytest.raises(DBAPIError, match="must give leave"):
            connection.execute(text("DELETE FROM dealgate_ledger_private"))


def test_who_submits_cannot_seal_or_give_leave(users: Users) -> None:
    with users["los"].connect() as connection:
        made = submit(connection, a_deal(deal_id="D-ONE"))
        savepoint = connection.begin_nested()
        with pytest.raises(DBAPIError, match=DENIED):
            give_leave(connection, made.decision_id, LEAVE)
        savepoint.rollback()
        with pytest.raises(DBAPIError, match=DENIED):
            seal(connection, number_of(connection, made.decision_id))


@pytest.mark.parametrize("user", ["los", "sequencer", "auditor", "nobody"])
@pytest.mark.parametrize("table", sorted(set(TABLES) - set(roles.WORKED)))
def test_no_user_changes_what_was_recorded_by_any_statement(
    superuser: Engine, users: Users, table: str, user: str
) -> None:
    before = everything(superuser)
    column = next(iter(Base.metadata.tables[table].columns)).name
    key = ", ".join(Base.metadata.tables[table].primary_key.columns.keys())
    names = ", ".join(Base.metadata.tables[table].columns.keys())
    merge = f"MERGE INTO {table} AS t USING (SELECT 1) AS s ON true WHEN MATCHED THEN"
    statements = [
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
        f"{merge} DELETE",
        f"ALTER TABLE {table} DISABLE TRIGGER USER",
        f"ALTER TABLE {table} ADD COLUMN other int",
        f"ALTER TABLE {table} OWNER TO {user}",
        f"ALTER TABLE {table} RENAME TO aside",
        f"DROP TABLE {table} CASCADE",
        f"CREATE RULE silent AS ON DELETE TO {table} DO INSTEAD NOTHING",
        f"CREATE TRIGGER t BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ]
    if not (table == "dealgate_deal" and user in {"los", "sequencer"}):
        statements += [
            f"UPDATE {table} SET {column} = {column}",
            f"{merge} UPDATE SET {column} = t.{column}",
            f"INSERT INTO {table} ({names}) SELECT {names} FROM {table} ON CONFLICT ({key}) DO UPDATE SET {column} = 0",
        ]
    for statement in statements:
        answer = tried(users[user], statement)
        assert any(words in answer for words in (DENIED, "must be owner", "keeps what was recorded", "of type")), (
            statement
        )
    assert everything(superuser) == before


@pytest.mark.parametrize("user", ["los", "sequencer", "auditor", "nobody", "keeper"])
@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        "ALTER EVENT TRIGGER dealgate_guard_drops DISABLE",
        "ALTER EVENT TRIGGER dealgate_guard_definitions DISABLE",
        "DROP EVENT TRIGGER dealgate_guard_definitions",
        "CREATE EVENT TRIGGER mine ON sql_drop EXECUTE FUNCTION dealgate_guard_drops()",
        "DELETE FROM pg_trigger",
        "ALTER ROLE dealgate_owner LOGIN",
        "SET event_triggers = off",
    ],
)
def test_no_user_switches_the_guards_off(users: Users, user: str, statement: str) -> None:
    assert any(words in tried(users[user], statement) for words in (DENIED, "must be owner")), statement


# Definitions, even by a member of the owner

MONTH = f"{guards.PARTITIONED}_others"
REDEFINITIONS = [
    "ALTER TABLE dealgate_ledger_entry DISABLE TRIGGER USER",
    "ALTER TABLE dealgate_ledger_entry ENABLE TRIGGER dealgate_ledger_entry_refuses_update",
    "ALTER TABLE dealgate_ledger_entry ALTER COLUMN actor TYPE text USING 'somebody else'",
    "ALTER TABLE dealgate_ledger_entry DROP COLUMN actor",
    "ALTER TABLE dealgate_ledger_entry RENAME TO aside",
    "ALTER TABLE dealgate_ledger_entry RENAME COLUMN actor TO other",
    "ALTER TABLE dealgate_ledger_entry RENAME CONSTRAINT uq_dealgate_ledger_entry_entry_id TO other",
    "ALTER TABLE dealgate_ledger_entry OWNER TO keeper",
    "ALTER TABLE dealgate_ledger_entry DROP CONSTRAINT uq_dealgate_ledger_entry_entry_id",
    "ALTER TABLE dealgate_ledger_entry ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY hide ON dealgate_ledger_entry USING (false)",
    "CREATE RULE silent AS ON UPDATE TO dealgate_ledger_entry DO INSTEAD NOTHING",
    "CREATE TRIGGER t BEFORE INSERT ON dealgate_finding FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "ALTER TRIGGER dealgate_ledger_entry_refuses_update ON dealgate_ledger_entry RENAME TO other",
    "DROP TRIGGER dealgate_ledger_entry_refuses_update ON dealgate_ledger_entry",
    "DROP TRIGGER dealgate_ledger_entry_waits_for_the_seal ON dealgate_ledger_entry",
    "DROP TABLE dealgate_ledger_anchor",
    f"DROP TABLE {MONTH}",
    f"ALTER TABLE {guards.PARTITIONED} DETACH PARTITION {MONTH}",
    f"ALTER TABLE {MONTH} DISABLE TRIGGER USER",
    f"ALTER TABLE {MONTH} RENAME TO aside",
    f"DROP TRIGGER {guards.PARTITIONED}_refuses_truncate ON {MONTH}",
    "DROP FUNCTION dealgate_refuse() CASCADE",
    "ALTER FUNCTION dealgate_refuse() RENAME TO other",
    "ALTER FUNCTION dealgate_refuse_unless() RESET ALL",
    "ALTER FUNCTION dealgate_wait_for_the_seal() SECURITY INVOKER",
    "CREATE OR REPLACE FUNCTION dealgate_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
    "DROP OWNED BY dealgate_owner CASCADE",
]


@pytest.mark.parametrize("as_owner", [False, True], ids=["as a member", "as the owner"])
@pytest.mark.parametrize("statement", REDEFINITIONS)
def test_not_even_a_member_of_the_owner_redefines_anything(users: Users, statement: str, as_owner: bool) -> None:
    become = [f"SET ROLE {OWNER}"] if as_owner else []
    answer = tried(users["keeper"], *become, statement)
    assert any(words in answer for words in (LEFT_TO_A_SUPERUSER, "must be able to SET ROLE", DENIED)), answer


@pytest.mark.parametrize("statement", REDEFINITIONS)
def test_nor_who_took_the_tables_over_from_the_owner(users: Users, statement: str) -> None:
    """No event trigger of PostgreSQL sees REASSIGN OWNED. It is told, and it does not help."""
    take = "REASSIGN OWNED BY dealgate_owner TO keeper"
    answer = tried(users["keeper"], take, statement.replace("OWNED BY dealgate_owner", "OWNED BY keeper"))
    assert any(words in answer for words in (LEFT_TO_A_SUPERUSER, DENIED)), answer
    found = problems_after(users["keeper"], take)
    assert f"dealgate_ledger_entry belongs to keeper, not to {OWNER}: its owner can drop its guards" in found


@pytest.mark.parametrize("table", sorted({guard.table for guard in GUARDS}))
def test_a_member_of_the_owner_still_meets_the_triggers(users: Users, table: str) -> None:
    column = next(iter(Base.metadata.tables[table].columns)).name
    for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        assert "keeps what was recorded" in tried(users["keeper"], statement), statement


def test_a_hosts_own_definitions_are_left_alone(users: Users) -> None:
    assert (
        tried(
            users["los"],
            "CREATE TABLE application (number int)",
            "ALTER TABLE application ADD COLUMN status text",
            "CREATE FUNCTION counted() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE TEMP TABLE dealgate_ledger_draft (number int)",
            "DROP FUNCTION counted()",
            "DROP TABLE application",
        )
        == ""
    )


def test_a_superuser_may_migrate(superuser: Engine) -> None:
    assert (
        tried(superuser, "ALTER TABLE dealgate_finding ADD COLUMN other int", "DROP TABLE dealgate_ledger_anchor") == ""
    )


# Borrowed rights

FORGE = "INSERT INTO public.dealgate_ledger_checkpoint VALUES (99, ''forged'', ''f'', now()); RETURN 1;"


@pytest.mark.parametrize("user", ["los", "sequencer", "auditor", "nobody"])
@pytest.mark.parametrize("function", guards.POSTGRESQL_FUNCTIONS)
def test_a_guards_function_does_nothing_for_a_table_of_somebody_elses(users: Users, user: str, function: str) -> None:
    """It would run with its owner's rights, and so would the default of a table that it writes to."""
    answer = tried(
        users[user],
        f"CREATE FUNCTION pg_temp.forge() RETURNS int LANGUAGE plpgsql AS 'BEGIN {FORGE} END'",
        "CREATE TEMP TABLE dealgate_ledger_pending (entry bigint, forged int DEFAULT pg_temp.forge())",
        "GRANT ALL ON pg_temp.dealgate_ledger_pending TO PUBLIC",
        "CREATE TEMP TABLE mine (id bigint)",
        f"CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION public.{function}()",
        "INSERT INTO mine VALUES (1)",
    )
    assert f"{DENIED} for function public.{function}" in answer


def test_a_temporary_table_gives_who_erases_no_leave(users: Users) -> None:
    answer = tried(
        users["sequencer"],
        "CREATE TEMP TABLE dealgate_ledger_erasure AS SELECT entry AS erased, ''::text AS path FROM dealgate_ledger_private",
        "SET search_path = pg_temp, public",
        "DELETE FROM public.dealgate_ledger_private",
    )
    assert "keeps what was recorded" in answer


def test_a_temporary_queue_does_not_take_an_entry_from_the_seal(users: Users, superuser: Engine) -> None:
    with users["los"].begin() as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE dealgate_ledger_pending (entry bigint)")
        connection.exec_driver_sql("SET LOCAL search_path = pg_temp, public")
        made = submit(connection, a_deal(deal_id="D-TEMPORARY"))
        number = number_of(connection, made.decision_id)
        connection.exec_driver_sql("DROP TABLE pg_temp.dealgate_ledger_pending")
    with superuser.connect() as connection:
        waiting = connection.execute(
            text("SELECT 1 FROM public.dealgate_ledger_pending WHERE entry = :n"), {"n": number}
        )
        assert waiting.scalar() == 1


# What is told


def problems_after(engine: Engine, *statements: str) -> list[str]:
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement, execution_options=PLAIN)
        return roles.problems(connection)


def test_a_secured_database_has_no_problems_whoever_asks(superuser: Engine, users: Users) -> None:
    for engine in (superuser, users["los"], users["sequencer"], users["auditor"]):
        with engine.connect() as connection:
            assert roles.problems(connection) == []
            assert guards.problems(connection) == []


@pytest.mark.parametrize("table", [*Base.metadata.tables, MONTH])
def test_a_table_of_another_owner_is_named(superuser: Engine, table: str) -> None:
    (problem,) = problems_after(superuser, f"ALTER TABLE {table} OWNER TO los")
    assert problem.startswith(f"{table} belongs to los, not to {OWNER}")


def test_an_owner_that_can_log_in_is_named(superuser: Engine) -> None:
    (problem,) = problems_after(superuser, f"ALTER ROLE {OWNER} LOGIN")
    assert problem == f"the role {OWNER} can log in: ALTER ROLE {OWNER} NOLOGIN"


@pytest.mark.parametrize("role", roles.ROLES)
def test_a_role_that_is_missing_is_named(superuser: Engine, role: str) -> None:
    (problem,) = problems_after(superuser, f"ALTER ROLE {role} RENAME TO gone")
    assert f"the roles {role} are missing" in problem
    assert "Run dealgate db upgrade once as a superuser" in problem


@pytest.mark.parametrize("event", roles.EVENT_FUNCTIONS)
@pytest.mark.parametrize(
    "change", ["DROP EVENT TRIGGER {}", "ALTER EVENT TRIGGER {} DISABLE", "ALTER EVENT TRIGGER {} ENABLE"]
)
def test_an_event_trigger_that_is_missing_or_switched_off_is_named(superuser: Engine, event: str, change: str) -> None:
    found = problems_after(superuser, change.format(event))
    assert found == [f"the event trigger {event} is missing or switched off"]


@pytest.mark.parametrize("event", roles.EVENT_FUNCTIONS)
def test_an_event_trigger_that_does_something_else_is_named(superuser: Engine, event: str) -> None:
    body = f"CREATE OR REPLACE FUNCTION {event}() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'"
    assert problems_after(superuser, body) == [f"the event trigger {event} is not as it was created"]


def test_who_can_do_more_than_an_application_should_is_told(superuser: Engine, users: Users) -> None:
    def beyond(engine: Engine) -> list[str]:
        with engine.connect() as connection:
            return roles.rights_beyond(connection)

    assert [bool(beyond(engine)) for engine in (superuser, users["keeper"])] == [True, True]
    assert [beyond(users[user]) for user in ("los", "sequencer", "auditor", "nobody")] == [[]] * 4


def test_upgrading_again_changes_no_right_and_no_owner(superuser: Engine) -> None:
    def rights(connection: Connection) -> list[object]:
        found = text("SELECT relname, relowner, relacl::text FROM pg_class WHERE relname LIKE 'dealgate%' ORDER BY 1")
        return [tuple(row) for row in connection.execute(found)]

    with superuser.connect() as connection:
        before = rights(connection)
    upgrade_database(superuser)
    with superuser.connect() as connection:
        assert rights(connection) == before
        assert roles.problems(connection) == []


def test_a_month_that_is_made_later_is_guarded_and_owned_as_the_others(superuser: Engine) -> None:
    with superuser.connect() as connection:
        held = set(guards.partitions(connection))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(partitions, "MONTHS_AHEAD", partitions.MONTHS_AHEAD + 2)
            upgrade(connection)
        made = set(guards.partitions(connection)) - held
        assert len(made) == 2
        assert guards.problems(connection) == roles.problems(connection) == []


def test_without_a_superuser_the_tables_stand_and_the_missing_roles_are_told(postgresql: PostgreSQL) -> None:
    url = postgresql.apart()
    admin = open_database(url)
    with admin.begin() as connection:
        connection.exec_driver_sql("CREATE ROLE plain LOGIN")
        connection.exec_driver_sql("GRANT ALL ON SCHEMA public TO plain")
    engine = open_database(make_url(url).set(username="plain").render_as_string())
    upgrade_database(engine)
    with engine.begin() as connection:
        fill(connection)
        assert guards.problems(connection) == []
        found = roles.problems(connection)
    assert found
    assert all("dealgate_owner" in problem or "event trigger" in problem for problem in found)
    assert "keeps what was recorded" in tried(engine, "UPDATE dealgate_ledger_entry SET actor = 'x'")
    engine.dispose()
    upgrade_database(admin)
    with admin.begin() as connection:
        assert roles.problems(connection) == []
        connection.exec_driver_sql("DROP OWNED BY plain CASCADE")
        connection.exec_driver_sql("DROP ROLE plain")
    admin.dispose()
