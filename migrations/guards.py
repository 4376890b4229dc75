"""Triggers that make the database itself refuse to change what was recorded.

On SQLite they stop accidents and whoever has only SQL; who owns the file can drop them. On PostgreSQL they are ENABLE ALWAYS, and
`roles` keeps their owner from logging in. What neither stops, the sealed ledger shows.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Connection, text

from dealgate.migrations import outbox_triggers
from dealgate.migrations.guarded_tables import GUARDS, Guard
from dealgate.migrations.revisions import HOME

PARTITIONED = "dealgate_ledger_body"

PLAIN = {"no_parameters": True}
"""Sent as it is: a percent sign in a statement is no place for a parameter."""


class Trigger(NamedTuple):
    """A trigger that must stand in the database."""

    table: str
    name: str
    statement: str


def sqlite_triggers(revision: str = "") -> Iterator[Trigger]:
    """All, or those that a revision brings."""
    for guard in GUARDS:
        if revision in {"", guard.since}:
            yield from _sqlite_triggers(guard)
    if revision in {"", outbox_triggers.SINCE}:
        for telling in outbox_triggers.TELLINGS:
            yield _sqlite(telling.table, telling.name, "AFTER INSERT", telling.condition, telling.action)
    if revision not in {"", "0003"}:
        return
    yield _sqlite("dealgate_deal", "refuses_delete", "BEFORE DELETE", "", _refusal("dealgate_deal", NEVER_DELETED))
    pend = "INSERT INTO dealgate_ledger_pending (entry) VALUES (NEW.id)"
    yield _sqlite("dealgate_ledger_entry", "waits_for_the_seal", "AFTER INSERT", "", pend)
    end = "UPDATE dealgate_deal SET head = NEW.leaf_hash WHERE deal_id = NEW.deal_id AND entries = NEW.deal_seq"
    yield _sqlite("dealgate_ledger_entry", "ends_its_chain", "AFTER INSERT", "", end)


def _sqlite_triggers(guard: Guard) -> Iterator[Trigger]:
    table = guard.table
    # Every SQLite table has this key too, whether or not a column is named for it.
    there = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} WHERE {' AND '.join(f'{column} = NEW.{column}' for column in key)})"
        for key in (*guard.keys, ("rowid",))
    )
    delete = f"NOT ({guard.permit.format(row='OLD.', schema='')})" if guard.permit else ""
    yield _sqlite(table, "refuses_update", "BEFORE UPDATE", "", _refusal(table, "rows are never updated"))
    yield _sqlite(table, "refuses_delete", "BEFORE DELETE", delete, _refusal(table, NEVER_DELETED))
    yield _sqlite(
        table, "refuses_replace", "BEFORE INSERT", there, _refusal(table, "the row is there already (UNIQUE)")
    )
    if guard.require:
        require = f"NOT ({guard.require.format(row='NEW.', schema='')})"
        yield _sqlite(table, "requires", "BEFORE INSERT", require, _refusal(table, guard.why))


NEVER_DELETED = "rows are deleted only after an entry of the ledger gives leave"


def _sqlite(table: str, name: str, when: str, condition: str, action: str) -> Trigger:
    when_clause = f" WHEN {condition}" if condition else ""
    statement = f"CREATE TRIGGER {table}_{name} {when} ON {table}{when_clause} BEGIN {action}; END"
    return Trigger(table, f"{table}_{name}", statement)


def _refusal(table: str, words: str) -> str:
    return f"SELECT RAISE(ABORT, '{table} keeps what was recorded: {words}')"


POSTGRESQL_FUNCTIONS = {
    "dealgate_refuse": """
BEGIN
  RAISE EXCEPTION '% keeps what was recorded: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END""",
    # The arguments are a condition over the row $1 in the schema %1$I, and what it asks.
    "dealgate_refuse_unless": """
DECLARE
  permitted boolean;
BEGIN
  IF TG_OP = 'DELETE' THEN
    EXECUTE 'SELECT ' || format(TG_ARGV[0], TG_TABLE_SCHEMA) INTO permitted USING OLD;
    IF permitted THEN
      RETURN OLD;
    END IF;
  ELSE
    EXECUTE 'SELECT ' || format(TG_ARGV[0], TG_TABLE_SCHEMA) INTO permitted USING NEW;
    IF permitted THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION '% keeps what was recorded: % is refused: %', TG_TABLE_NAME, TG_OP, TG_ARGV[1]
    USING ERRCODE = 'restrict_violation';
END""",
    "dealgate_wait_for_the_seal": """
BEGIN
  EXECUTE format('INSERT INTO %I.dealgate_ledger_pending (entry) VALUES ($1)', TG_TABLE_SCHEMA) USING NEW.id;
  RETURN NULL;
END""",
    "dealgate_end_the_chain": """
BEGIN
  EXECUTE format('UPDATE %I.dealgate_deal SET head = $1 WHERE deal_id = $2 AND entries = $3', TG_TABLE_SCHEMA)
    USING NEW.leaf_hash, NEW.deal_id, NEW.deal_seq;
  RETURN NULL;
END""",
    **outbox_triggers.FUNCTIONS,
}
"""Their bodies name the schema of the table they guard, so that no search path misleads them."""

AS_OWNER = {"dealgate_wait_for_the_seal", *outbox_triggers.FUNCTIONS}
"""The application may add an entry but not touch the queue of the sealer, or the outbox: these do that as their owner."""


def _functions(revision: str) -> list[str]:
    """Those that a revision brings."""
    told = [name for name in POSTGRESQL_FUNCTIONS if name in outbox_triggers.FUNCTIONS]
    first = [name for name in POSTGRESQL_FUNCTIONS if name not in outbox_triggers.FUNCTIONS]
    return {"0003": first, outbox_triggers.SINCE: told}.get(revision, [])


def postgresql_function(name: str) -> str:
    security = " SECURITY DEFINER" if name in AS_OWNER else ""
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql{security} "
        f"SET search_path = pg_catalog, pg_temp AS $function${POSTGRESQL_FUNCTIONS[name]}\n$function$"
    )


def postgresql_triggers(revision: str = "") -> Iterator[Trigger]:
    """All, or those that a revision brings."""
    for guard in GUARDS:
        if revision in {"", guard.since}:
            yield from _postgresql_triggers(guard)
    if revision in {"", outbox_triggers.SINCE}:
        for telling in outbox_triggers.TELLINGS:
            after = "AFTER INSERT", "STATEMENT", f"{telling.function}()", "REFERENCING NEW TABLE AS entered "
            yield _postgresql(telling.table, telling.name, *after)
    if revision not in {"", "0003"}:
        return
    yield from _postgresql_refusals("dealgate_deal", "DELETE", "TRUNCATE")
    yield _postgresql(
        "dealgate_ledger_entry", "waits_for_the_seal", "AFTER INSERT", "ROW", "dealgate_wait_for_the_seal()"
    )
    yield _postgresql("dealgate_ledger_entry", "ends_its_chain", "AFTER INSERT", "ROW", "dealgate_end_the_chain()")


def partition_triggers(partition: str) -> Iterator[Trigger]:
    """What must stand on a month of the bodies. PostgreSQL itself hands down what refuses rows, but not TRUNCATE."""
    for trigger in postgresql_triggers():
        if trigger.table == PARTITIONED:
            yield Trigger(
                partition, trigger.name, trigger.statement.replace(f" ON {PARTITIONED} ", f" ON {partition} ")
            )


def guard_partition(connection: Connection, partition: str) -> None:
    for trigger in partition_triggers(partition):
        if "BEFORE TRUNCATE" in trigger.statement:
            _create(connection, trigger)


def _postgresql_triggers(guard: Guard) -> Iterator[Trigger]:
    yield from _postgresql_refusals(guard.table, "UPDATE", "TRUNCATE", *(() if guard.permit else ("DELETE",)))
    if guard.permit:
        yield _postgresql(guard.table, "refuses_delete", "BEFORE DELETE", "ROW", _unless(guard.permit))
    if guard.require:
        yield _postgresql(guard.table, "requires", "BEFORE INSERT", "ROW", _unless(guard.require, guard.why))


def _postgresql_refusals(table: str, *operations: str) -> Iterator[Trigger]:
    for operation in operations:
        each = "STATEMENT" if operation == "TRUNCATE" else "ROW"
        yield _postgresql(table, f"refuses_{operation.lower()}", f"BEFORE {operation}", each, "dealgate_refuse()")


def _unless(condition: str, why: str = "an entry of the ledger must give leave") -> str:
    argument = condition.format(row="($1).", schema="%1$I.").replace("'", "''")
    return f"dealgate_refuse_unless('{argument}', '{why}')"


def _postgresql(table: str, name: str, when: str, each: str, function: str, rows: str = "") -> Trigger:
    statement = f"CREATE TRIGGER {table}_{name} {when} ON {table} {rows}FOR EACH {each} EXECUTE FUNCTION {function}"
    return Trigger(table, f"{table}_{name}", statement)


def install(connection: Connection, revision: str) -> None:
    """Create the triggers that a revision brings; on PostgreSQL, also the functions they call."""
    if connection.dialect.name == "sqlite":
        for trigger in sqlite_triggers(revision):
            connection.exec_driver_sql(trigger.statement)
        return
    for name in _functions(revision):
        connection.exec_driver_sql(postgresql_function(name), execution_options=PLAIN)
    for trigger in postgresql_triggers(revision):
        _create(connection, trigger)
    if revision != "0003":
        return
    for partition in partitions(connection):
        guard_partition(connection, partition)


def _create(connection: Connection, trigger: Trigger) -> None:
    connection.exec_driver_sql(trigger.statement, execution_options=PLAIN)
    connection.exec_driver_sql(f"ALTER TABLE {trigger.table} ENABLE ALWAYS TRIGGER {trigger.name}")


def partitions(connection: Connection) -> list[str]:
    """The months of the bodies that PostgreSQL keeps as tables of their own."""
    return list(connection.execute(_PARTITIONS, {"table": PARTITIONED}).scalars())


def remove(connection: Connection, revision: str) -> None:
    """Drop what `install` created."""
    if connection.dialect.name == "sqlite":
        for trigger in sqlite_triggers(revision):
            connection.exec_driver_sql(f"DROP TRIGGER {trigger.name}")
        return
    for partition in partitions(connection) if revision == "0003" else ():
        for trigger in partition_triggers(partition):
            if "BEFORE TRUNCATE" in trigger.statement:
                connection.exec_driver_sql(f"DROP TRIGGER {trigger.name} ON {trigger.table}")
    for trigger in postgresql_triggers(revision):
        connection.exec_driver_sql(f"DROP TRIGGER {trigger.name} ON {trigger.table}")
    for name in _functions(revision):
        connection.exec_driver_sql(f"DROP FUNCTION {name}()")


@contextmanager
def suspended(connection: Connection, name: str, tables: Collection[str]) -> Iterator[None]:
    """While columns that a revision adds are filled: the triggers of this name are off, and on again as they were created."""
    sqlite = connection.dialect.name == "sqlite"
    every = sqlite_triggers() if sqlite else postgresql_triggers()
    triggers = [trigger for trigger in every if trigger.table in tables and trigger.name == f"{trigger.table}_{name}"]
    for trigger in triggers:
        off = (
            f"DROP TRIGGER {trigger.name}" if sqlite else f"ALTER TABLE {trigger.table} DISABLE TRIGGER {trigger.name}"
        )
        connection.exec_driver_sql(off)
    yield
    for trigger in triggers:
        on = trigger.statement if sqlite else f"ALTER TABLE {trigger.table} ENABLE ALWAYS TRIGGER {trigger.name}"
        connection.exec_driver_sql(on)


def problems(connection: Connection) -> list[str]:
    """Every guard that is missing, switched off or other than it should be; one sentence each."""
    return _sqlite_problems(connection) if connection.dialect.name == "sqlite" else _postgresql_problems(connection)


def _sqlite_problems(connection: Connection) -> list[str]:
    statement = text("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")
    there = {row.name: (row.tbl_name, row.sql) for row in connection.execute(statement)}
    found = []
    for trigger in sqlite_triggers():
        if trigger.name not in there:
            found.append(f"the trigger {trigger.name} on {trigger.table} is missing")
        elif there[trigger.name] != (trigger.table, trigger.statement):
            found.append(f"the trigger {trigger.name} on {trigger.table} is not as it was created")
    return found


_PARTITIONS = text("""
SELECT c.relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = to_regclass(:table) ORDER BY 1
""")
_TRIGGERS = text(f"""
SELECT c.relname, t.tgname, t.tgenabled, pg_get_triggerdef(t.oid), p.prosrc, p.oid::regprocedure::text
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
WHERE c.relnamespace = {HOME} AND NOT t.tgisinternal
""")
_ELSEWHERE = text(rf"""
SELECT c.relname, c.relnamespace::regnamespace::text AS schema FROM pg_class c
WHERE c.relname LIKE 'dealgate\_%' AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(c.oid) AND c.relnamespace <> {HOME}
ORDER BY 1
""")


_HEIRS = text(rf"""
SELECT heir.relname AS heir, c.relname AS "table" FROM pg_inherits JOIN pg_class heir ON heir.oid = inhrelid
JOIN pg_class c ON c.oid = inhparent
WHERE c.relnamespace = {HOME} AND c.relname LIKE 'dealgate\_%' AND c.relkind = 'r' ORDER BY 1
""")


def _postgresql_problems(connection: Connection) -> list[str]:
    there = {(row[0], row[1]): row[2:] for row in connection.execute(_TRIGGERS)}
    expected = [*postgresql_triggers()]
    for partition in partitions(connection):
        expected += partition_triggers(partition)
    found = [
        f"{name} is found in the schema {schema}, ahead of the schema that has dealgate's tables: rename it, or mend the search path"
        for name, schema in connection.execute(_ELSEWHERE)
    ]
    found += [
        f"{heir} inherits from {table}: its rows pass for those of {table}, and no guard stands on them: "
        f"ALTER TABLE {heir} NO INHERIT {table}"
        for heir, table in connection.execute(_HEIRS)
    ]
    for trigger in expected:
        what = f"the trigger {trigger.name} on {trigger.table}"
        if (trigger.table, trigger.name) not in there:
            found.append(f"{what} is missing")
            continue
        enabled, definition, body, function = there[trigger.table, trigger.name]
        if decoded(enabled) != "A":
            found.append(f"{what} is not enabled always")
        if _plain(definition) != _plain(trigger.statement):
            found.append(f"{what} is not as it was created")
        name = function.rpartition(".")[2].removesuffix("()")
        if body.strip() != POSTGRESQL_FUNCTIONS.get(name, "").strip():
            found.append(f"the function {name}() of {what} is not as it was created")
    return found


def decoded(flag: object) -> str:
    """PostgreSQL's one-character type arrives as bytes from some drivers."""
    return flag.decode() if isinstance(flag, bytes) else str(flag)


def _plain(definition: str) -> str:
    """A trigger's definition without the schema that PostgreSQL writes into it."""
    return re.sub(r'(?:\b\w+|"(?:[^"]|"")+")\.(?=dealgate_)', "", definition)
