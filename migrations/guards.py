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
from dealgate.migrations.revisions import HOME

PARTITIONED = "dealgate_ledger_body"

PLAIN = {"no_parameters": True}
"""Sent as it is: a percent sign in a statement is no place for a parameter."""


class Guard(NamedTuple):
    """What is refused on a table: every update, and every deletion unless `permit` holds of the row `OLD`.

    `keys` are its unique keys: SQLite's INSERT OR REPLACE would delete by any of them. `permit` and `require`, which an inserted
    row must meet, are SQL conditions in which `{row}` and `{schema}` stand before names; `why` says what `require` asks. `since`
    is the revision that makes the table.
    """

    table: str
    keys: tuple[tuple[str, ...], ...]
    permit: str = ""
    require: str = ""
    why: str = ""
    since: str = "0003"


def _erased(paths: str = "''") -> str:
    return f"EXISTS (SELECT 1 FROM {{schema}}dealgate_ledger_erasure WHERE erased = {{row}}entry AND path IN ({paths}))"


def _orphaned(submission: str) -> str:
    return f"NOT EXISTS (SELECT 1 FROM {{schema}}dealgate_decision WHERE submission_id = {{row}}{submission})"


DECISION_ERASED = (
    "EXISTS (SELECT 1 FROM {schema}dealgate_ledger_erasure x JOIN {schema}dealgate_ledger_entry e ON e.id = x.erased "
    "WHERE e.entry_id = {row}decision_id AND x.path = '')"
)
FINDING_ERASED = (
    "EXISTS (SELECT 1 FROM {schema}dealgate_ledger_erasure x JOIN {schema}dealgate_ledger_entry e ON e.id = x.erased "
    "JOIN {schema}dealgate_decision d ON d.decision_id = e.entry_id WHERE d.id = {row}decision AND x.path = '')"
)
GIVES_LEAVE = (
    "EXISTS (SELECT 1 FROM {schema}dealgate_ledger_entry WHERE id = {row}entry "
    "AND kind = CASE {row}path WHEN '' THEN 'retention_purge' ELSE 'redaction' END) "
    "AND NOT EXISTS (SELECT 1 FROM {schema}dealgate_ledger_leaf WHERE entry = {row}entry)"
)
NO_LEAVE = (
    "only an entry of kind redaction gives leave to erase a value, only one of kind retention_purge a whole entry, "
    "and neither once it is sealed"
)


def _of_entry(*kinds: str, deal: bool = False) -> str:
    """A row is of an entry of its kind; about a deal, of the same deal."""
    names = ", ".join(f"'{kind}'" for kind in kinds)
    same = " AND deal_id = {row}deal_id" if deal else ""
    return f"EXISTS (SELECT 1 FROM {{schema}}dealgate_ledger_entry WHERE id = {{row}}entry AND kind IN ({names}){same})"


ANOTHER_ENTRY = "a row is of an entry of the ledger of its own kind, about the same deal"
DECIDED = (
    "EXISTS (SELECT 1 FROM {schema}dealgate_ledger_entry e WHERE e.entry_id = {row}decision_id AND e.kind = 'decision' "
    "AND e.deal_id = {row}deal_id AND NOT EXISTS (SELECT 1 FROM {schema}dealgate_ledger_erasure x "
    "WHERE x.erased = e.id AND x.path = ''))"
)
UNDECIDED = "a decision is that of an entry of the ledger about the same deal, which no purge took out"
BY_ANOTHER_PERSON = (
    f"{_of_entry('policy_step')} AND "
    "({row}step <> 'approve' OR (EXISTS (SELECT 1 FROM {schema}dealgate_policy_step a WHERE a.sha256 = {row}sha256 "
    "AND a.step = 'add') AND NOT EXISTS (SELECT 1 FROM {schema}dealgate_policy_step a WHERE a.sha256 = {row}sha256 "
    "AND a.step = 'add' AND lower(trim(a.actor)) = lower(trim({row}actor)))))"
)
NOT_ANOTHER = (
    "a step is of an entry of the ledger; a version is approved after it was added, by another person than its author"
)
_OF_IT = "FROM {schema}dealgate_override_step s WHERE s.override_id = {row}override_id AND s.step"
_KIND = "CASE {row}step WHEN 'request' THEN 'override_request' WHEN 'grant' THEN 'override_grant' ELSE 'override_denial' END"
OVERRIDE_STEP_IN_TURN = (
    "EXISTS (SELECT 1 FROM {schema}dealgate_ledger_entry e WHERE e.id = {row}entry AND e.deal_id = {row}deal_id "
    f"AND e.kind = {_KIND}) AND NOT {_erased()} AND "
    "EXISTS (SELECT 1 FROM {schema}dealgate_deal d WHERE d.deal_id = {row}deal_id AND d.decision_id = {row}decision_id) "
    f"AND (({{row}}step = 'request' AND NOT EXISTS (SELECT 1 {_OF_IT} = 'request')) OR ({{row}}step IN ('grant', 'deny') "
    f"AND EXISTS (SELECT 1 {_OF_IT} = 'request' AND s.decision_id = {{row}}decision_id) "
    f"AND NOT EXISTS (SELECT 1 {_OF_IT} = 'deny') "
    f"AND (SELECT count(*) {_OF_IT} = 'grant') < (SELECT max(s.persons) {_OF_IT} = 'request'))) "
    f"AND ({{row}}step <> 'grant' OR NOT EXISTS (SELECT 1 {_OF_IT} IN ('grant', 'request') "
    "AND (s.step = 'grant' OR s.persons > 1) AND lower(trim(s.actor)) = lower(trim({row}actor))))"
)
NOT_IN_TURN = (
    "a step is of an entry of its own, of its kind and deal; "
    "an override is of the last submission and asked for once; it is granted by as many different persons as it needs, of whom "
    "none asked where it needs two, and not once it is denied"
)
BEFORE_ITS_STEP = "NOT EXISTS (SELECT 1 FROM {schema}dealgate_override_step s WHERE s.entry = {row}entry)"
NO_KEY_ENTRY = "a key is issued, and revoked, by an entry of the ledger that says so"
IS_SEALED = "EXISTS (SELECT 1 FROM {schema}dealgate_ledger_leaf WHERE entry = {row}entry)"

GUARDS = (
    Guard("dealgate_policy_version", (("sha256",), ("name", "version"))),
    Guard("dealgate_submission", (("id",), ("deal_id", "submission"), ("idempotency_key",)), _orphaned("id")),
    Guard("dealgate_trade_in", (("submission_id", "position"),), _orphaned("submission_id")),
    Guard("dealgate_product", (("submission_id", "position"),), _orphaned("submission_id")),
    Guard("dealgate_book_value", (("submission_id", "position"),), _orphaned("submission_id")),
    Guard("dealgate_decision", (("id",), ("decision_id",), ("submission_id",)), DECISION_ERASED, DECIDED, UNDECIDED),
    Guard("dealgate_finding", (("decision", "rule"),), FINDING_ERASED),
    Guard("dealgate_notice", (("entry",),), require=_of_entry("notice", deal=True), why=ANOTHER_ENTRY),
    Guard("dealgate_legal_hold", (("entry",),), require=_of_entry("legal_hold", deal=True), why=ANOTHER_ENTRY),
    Guard("dealgate_ledger_entry", (("id",), ("entry_id",), ("deal_id", "deal_seq"), ("idempotency_key",))),
    Guard("dealgate_ledger_body", (("entry",),), _erased()),
    Guard("dealgate_ledger_private", (("entry", "path"),), _erased("'', {row}path")),
    Guard("dealgate_ledger_erasure", (("erased", "path"),), require=GIVES_LEAVE, why=NO_LEAVE),
    Guard("dealgate_ledger_pending", (("entry",),), IS_SEALED),
    Guard("dealgate_ledger_leaf", (("leaf_index",), ("entry",))),
    Guard("dealgate_ledger_tile", (("level", "n"),)),
    Guard("dealgate_ledger_checkpoint", (("size",),)),
    Guard("dealgate_ledger_anchor", (("id",),)),
    Guard("dealgate_policy_step", (("entry",),), require=BY_ANOTHER_PERSON, why=NOT_ANOTHER, since="0004"),
    Guard("dealgate_shadow_decision", (("id",),), DECISION_ERASED, since="0004"),
    Guard(
        "dealgate_override_step",
        (("entry",),),
        _erased(),
        require=OVERRIDE_STEP_IN_TURN,
        why=NOT_IN_TURN,
        since="0005",
    ),
    Guard(
        "dealgate_override_finding",
        (("entry", "rule"),),
        _erased(),
        require=BEFORE_ITS_STEP,
        why="a finding is named before the override is asked for",
        since="0005",
    ),
    Guard(
        "dealgate_api_key",
        (("key_id",), ("entry",)),
        require=_of_entry("api_key_issued"),
        why=NO_KEY_ENTRY,
        since="0011",
    ),
    Guard(
        "dealgate_api_key_revocation",
        (("key_id",), ("entry",)),
        require=_of_entry("api_key_revoked"),
        why=NO_KEY_ENTRY,
        since="0011",
    ),
)


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


def _postgresql_problems(connection: Connection) -> list[str]:
    there = {(row[0], row[1]): row[2:] for row in connection.execute(_TRIGGERS)}
    expected = [*postgresql_triggers()]
    for partition in partitions(connection):
        expected += partition_triggers(partition)
    found = [
        f"{name} is found in the schema {schema}, ahead of the schema that has dealgate's tables: rename it, or mend the search path"
        for name, schema in connection.execute(_ELSEWHERE)
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
