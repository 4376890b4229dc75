"""The triggers of a watched table, as SQL: on SQLite three for each table, on PostgreSQL two and the function they call.

Their names do not begin as dealgate's own do: a host alters and drops its own tables without asking a superuser.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from dealgate.migrations.guards import PLAIN, Trigger, decoded

PREFIX = "watched_by_dealgate_"
NOTES = "dealgate_unanswered_change"
LONGEST = 63
"""Bytes of a name on PostgreSQL."""
SETTINGS = ["search_path=pg_catalog, pg_temp", "extra_float_digits=1"]
"""Of the functions on PostgreSQL, as its catalogue writes them."""


_SCHEMA = text(
    "SELECT nspname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE pg_class.oid = to_regclass(:table)"
)


class Watched(NamedTuple):
    """A table with its key and the columns that count; of a child also how its rows are part of those of the table `of`."""

    table: str
    key: Sequence[str]
    columns: Sequence[str]
    owner: Sequence[str] = ()
    referred_by: Sequence[str] = ()
    of: str = ""

    def compared(self, parts: Sequence["Watched"]) -> list[str]:
        """The columns whose change is noted: those that count, and those by which rows belong to each other."""
        referring = [name for part in parts if part.of == self.table for name in part.referred_by]
        return list(dict.fromkeys((*self.key, *self.columns, *self.owner, *referring)))


class Writing(NamedTuple):
    """How a database writes what the triggers need. `key` makes a JSON list of what is given."""

    schema: str
    key: str
    part: str
    now: str
    transaction: str
    who: str


SQLITE = Writing(
    "",
    "json_array({})",
    "{}",
    "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'",
    "CAST(NULL AS TEXT)",
    "CAST(NULL AS TEXT)",
)
POSTGRESQL = Writing(
    "{schema}.",
    "'[' || {} || ']'",
    "to_json({})::text",
    "clock_timestamp()",
    "pg_current_xact_id()::text",
    "session_user || ' ' || current_setting('application_name')",
)


class Triggers:
    """What must stand on the tables of one watch, in the words of one database."""

    def __init__(self, connection: Connection, parts: Sequence[Watched], mode: str) -> None:
        self.parts = parts
        self.top = parts[0].table
        self.by_table: Mapping[str, Watched] = {part.table: part for part in parts}
        self.mode = mode
        self._preparer = connection.dialect.identifier_preparer
        self.sqlite = connection.dialect.name == "sqlite"
        self._connection = connection
        schema = None if self.sqlite else connection.execute(text("SELECT current_schema()")).scalar_one()
        self.writing = SQLITE if self.sqlite else POSTGRESQL._replace(schema=f"{self.quoted(schema or '')}.")

    def quoted(self, name: str) -> str:
        """An identifier, of a table with its schema where that is given."""
        return ".".join(self._preparer.quote(part) for part in name.split("."))

    def placed(self, table: str) -> str:
        """A table for a statement that no search path leads astray."""
        if self.sqlite or "." in table:
            return self.quoted(table)
        schema = self._connection.execute(_SCHEMA, {"table": self.quoted(table)}).scalar()
        return self.quoted(f"{schema}.{table}" if schema else table)

    def name(self, table: str, what: str) -> str:
        whole = PREFIX + f"{self.top}_{table}_{what}".replace(".", "_")
        if len(whole.encode()) <= LONGEST:
            return whole
        return PREFIX + hashlib.sha256(whole.encode()).hexdigest()[:32]

    # SQLite

    def on_sqlite(self) -> Iterator[Trigger]:
        """Texts are compared by their bytes: a tier b that becomes B is another, whatever the column's collation says."""
        for part in self.parts:
            changed = " OR ".join(
                f"OLD.{name} IS NOT NEW.{name} COLLATE BINARY" for name in map(self.quoted, part.compared(self.parts))
            )
            for operation, rows, when in (
                ("INSERT", ("NEW",), ""),
                ("UPDATE", ("OLD", "NEW"), f" WHEN {changed}"),
                ("DELETE", ("OLD",), ""),
            ):
                name = self.name(part.table, operation.lower())
                note = self.note(part, rows, f"'{operation}'")
                statement = f"AFTER {operation} ON {self.quoted(part.table)}{when} BEGIN {note}; END"
                yield Trigger(part.table, name, f"CREATE TRIGGER {self.quoted(name)} {statement}")

    # PostgreSQL

    def function(self, part: Watched) -> str:
        return self.name(part.table, "changed")

    def body(self, part: Watched) -> str:
        """Columns are compared as text: not every type can be compared, and a number written otherwise may count as changed."""
        columns = [self.quoted(name) for name in part.compared(self.parts)]
        changed = " OR ".join(f"OLD.{name}::text IS DISTINCT FROM NEW.{name}::text" for name in columns)
        return f"""
BEGIN
  IF TG_OP = 'INSERT' THEN
    {self.note(part, ("NEW",), "TG_OP")};
  ELSIF TG_OP = 'DELETE' THEN
    {self.note(part, ("OLD",), "TG_OP")};
  ELSIF TG_OP = 'TRUNCATE' THEN
    {self.note(part, ("gone",), "TG_OP")};
  ELSIF {changed} THEN
    {self.note(part, ("OLD", "NEW"), "TG_OP")};
  END IF;
  RETURN NULL;
END"""

    def on_postgresql(self, part: Watched) -> Iterator[str]:
        """The function runs as whoever watched the table: who changes a row need have no right on dealgate's tables. Whatever their
        session is set to, a float is compared with all its digits.
        """
        function, table = self.quoted(self.function(part)), self.quoted(part.table)
        yield (
            f"CREATE OR REPLACE FUNCTION {self.writing.schema}{function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
            f"SET {' SET '.join(SETTINGS)} AS $function${self.body(part)}\n$function$"
        )
        yield f"REVOKE EXECUTE ON FUNCTION {self.writing.schema}{function}() FROM PUBLIC"
        for what, when in self.timings().items():
            name = self.quoted(self.name(part.table, what))
            yield f"CREATE TRIGGER {name} {when[0]} EXECUTE FUNCTION {self.writing.schema}{function}()".format(
                table=table
            )
            yield f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}"

    @staticmethod
    def timings() -> dict[str, tuple[str, int]]:
        """When the triggers of PostgreSQL fire, and how its catalogue writes that: bits for row, before, insert, delete, ..."""
        return {
            "rows": ("AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW", 1 + 4 + 8 + 16),
            # Before, because afterwards nobody can tell whose rows they were.
            "truncate": ("BEFORE TRUNCATE ON {table} FOR EACH STATEMENT", 2 + 32),
        }

    # Both

    def note(self, part: Watched, rows: Sequence[str], operation: str) -> str:
        writing, union = self.writing, " UNION ".join(self.roots(part, row) for row in rows)
        top = self.top.replace("'", "''")
        undecided = f"'{top} ' || k.row_key" if self.mode == "refuse" else "CAST(NULL AS TEXT)"
        changed = part.table.replace("'", "''")
        return (
            f"INSERT INTO {writing.schema}{NOTES} "
            "(table_name, row_key, changed_table, operation, changed_at, transaction_id, changed_by, undecided) "
            f"SELECT '{top}', k.row_key, '{changed}', {operation}, {writing.now}, {writing.transaction}, {writing.who}, {undecided} "
            f"FROM ({union}) AS k"
        )

    def roots(self, part: Watched, row: str) -> str:
        """The keys of the watched rows that a changed one is part of, as a query over the row NEW or OLD, or over all that go."""
        sources = [f"{self.placed(part.table)} AS gone"] if row == "gone" else []
        conditions: list[str] = []
        key: Sequence[str] = part.key
        while part.table != self.top:
            parent, alias = self.by_table[part.of], f"above{len(sources)}"
            if part.owner and part.of == self.top:
                key = part.owner
                break
            here, there = (part.owner, parent.key) if part.owner else (part.key, part.referred_by)
            sources.append(f"{self.placed(parent.table)} AS {alias}")
            conditions += [
                f"{alias}.{self.quoted(of)} = {row}.{self.quoted(mine)}" for of, mine in zip(there, here, strict=True)
            ]
            part, row, key = parent, alias, parent.key
        columns = [f"{row}.{self.quoted(name)}" for name in key]
        conditions += [f"{column} IS NOT NULL" for column in columns]
        written = (" || ',' || " if not self.sqlite else ", ").join(map(self.writing.part.format, columns))
        source = f" FROM {', '.join(sources)}" if sources else ""
        return f"SELECT {self.writing.key.format(written)} AS row_key{source} WHERE {' AND '.join(conditions)}"


def create(connection: Connection, parts: Sequence[Watched], mode: str) -> None:
    triggers = Triggers(connection, parts, mode)
    if triggers.sqlite:
        statements = [trigger.statement for trigger in triggers.on_sqlite()]
    else:
        statements = [statement for part in parts for statement in triggers.on_postgresql(part)]
    for statement in statements:
        connection.exec_driver_sql(statement, execution_options=PLAIN)


def drop(connection: Connection, parts: Sequence[Watched]) -> None:
    """Whatever of it still stands: a host may have dropped a table, and its triggers with it."""
    triggers = Triggers(connection, parts, "record")
    if triggers.sqlite:
        for trigger in triggers.on_sqlite():
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {triggers.quoted(trigger.name)}")
        return
    for part in parts:
        function = triggers.writing.schema + triggers.quoted(triggers.function(part))
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {function}() CASCADE")


def problems_of(connection: Connection, parts: Sequence[Watched], mode: str) -> Iterator[str]:
    triggers = Triggers(connection, parts, mode)
    return _sqlite_problems(connection, triggers) if triggers.sqlite else _postgresql_problems(connection, triggers)


def _sqlite_problems(connection: Connection, triggers: Triggers) -> Iterator[str]:
    statement = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    there = {row.name: row.sql for row in connection.execute(statement)}
    for trigger in triggers.on_sqlite():
        if trigger.name not in there:
            yield _problem(trigger.name, trigger.table, "is missing")
        elif there[trigger.name] != trigger.statement:
            yield _problem(trigger.name, trigger.table, "is not as it was created")


_STANDING = text("""
SELECT t.tgname, t.tgtype, t.tgenabled, t.tgqual IS NULL AND t.tgattr::text = '' AS always,
  p.proname, p.prosrc, p.prosecdef, p.proconfig, p.pronamespace = current_schema()::regnamespace AS ours
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE t.tgrelid = to_regclass(:table) AND NOT t.tgisinternal
""")


def _postgresql_problems(connection: Connection, triggers: Triggers) -> Iterator[str]:
    for part in triggers.parts:
        rows: Sequence[Any] = connection.execute(_STANDING, {"table": triggers.quoted(part.table)}).all()
        there = {row.tgname: row for row in rows}
        for what, (_, bits) in triggers.timings().items():
            name = triggers.name(part.table, what)
            if name not in there:
                yield _problem(name, part.table, "is missing")
                continue
            row = there[name]
            if decoded(row.tgenabled) != "A":
                yield _problem(name, part.table, "is not enabled always")
            expected = (bits, True, triggers.function(part), True, True)
            if (row.tgtype, row.always, row.proname, row.prosecdef, row.ours) != expected:
                yield _problem(name, part.table, "is not as it was created")
            if row.prosrc.strip() != triggers.body(part).strip() or row.proconfig != SETTINGS:
                said = f"the function {row.proname}() of the trigger {name} on {part.table} is not as it was created"
                yield f"{said}: watch the table again"


def _problem(name: str, table: str, what: str) -> str:
    return f"the trigger {name} on {table} {what}: watch the table again"
