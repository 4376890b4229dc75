"""Bringing a database to a revision, and telling where it stands and whose its tables are."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from dealgate.migrations import partitions, roles
from dealgate.migrations.revisions import HEAD, VERSION_TABLE, current_revision, home_schema, unknown_revision
from dealgate.models.tables import PREFIX

__all__ = [
    "HEAD",
    "VERSION_TABLE",
    "configuration",
    "downgrade",
    "include_object",
    "leave_out_dealgate",
    "script_head",
    "upgrade",
]


ONE_AT_A_TIME = 0x64656761746D6967
"""The advisory lock of whoever migrates on PostgreSQL: a second one waits, and finds the work done. On SQLite the write lock does."""


def include_object(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """Only dealgate's tables: what a host keeps in the same database is none of our business, nor ours of its Alembic's."""
    if kind != "table":
        return True
    return name is not None and name.startswith(PREFIX) and not (reflected and partitions.is_partition(name))


def leave_out_dealgate(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """The same the other way round, for the `env.py` of a host: `context.configure(..., include_object=leave_out_dealgate)`."""
    return kind != "table" or name is None or not name.startswith(PREFIX)


def configuration(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "dealgate.migrations:")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection, revision: str = "head", *, schema: str | None = None) -> None:
    """Apply migrations on an open connection; its owner commits.

    The tables are made in the schema that is named, which is made too, else in the first of the search path; later on they are
    found wherever the search path has them. Raises `ValueError` for a schema beside another that has them, and on SQLite, and
    `RuntimeError` for a database that a newer dealgate has brought further. On
    PostgreSQL the months ahead get their partitions, and a superuser makes the roles and gives the tables to them.
    """
    with _at_home(connection, schema):
        if problem := unknown_revision(current_revision(connection)):
            raise RuntimeError(problem)
        command.upgrade(configuration(connection), revision)
        if connection.dialect.name == "postgresql" and current_revision(connection) == HEAD:
            partitions.make_partitions(connection, datetime.now(UTC))
            if roles.is_superuser(connection):
                roles.secure(connection)


def downgrade(connection: Connection, revision: str) -> None:
    with _at_home(connection, None):
        command.downgrade(configuration(connection), revision)


@contextmanager
def _at_home(connection: Connection, schema: str | None) -> Iterator[None]:
    """With dealgate's own schema for a search path, so that nothing is made or found elsewhere."""
    if connection.dialect.name != "postgresql":
        if schema is not None:
            raise ValueError(f"SQLite has no schemas: leave out {schema!r}, the tables are told by their names")
        yield
        return
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ONE_AT_A_TIME})
    there = home_schema(connection)
    if schema is not None and there not in {None, schema}:
        raise ValueError(
            f"dealgate's tables stand in the schema {there!r}: leave out {schema!r}, or take {there!r} off the search path"
        )
    home = schema if schema is not None else there
    if home is None:
        yield
        return
    quoted = connection.dialect.identifier_preparer.quote_identifier(home)
    if not connection.execute(text("SELECT 1 FROM pg_namespace WHERE nspname = :home"), {"home": home}).first():
        connection.exec_driver_sql(f"CREATE SCHEMA {quoted}")
    before = connection.execute(text("SHOW search_path")).scalar()
    set_path = text("SELECT set_config('search_path', :path, true)")
    connection.execute(set_path, {"path": quoted})
    yield
    connection.execute(set_path, {"path": before})


def script_head() -> str | None:
    """The newest revision among the files."""
    return ScriptDirectory.from_config(configuration()).get_current_head()
