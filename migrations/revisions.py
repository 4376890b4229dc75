"""Where a database stands, told without loading Alembic: a submission must not pay for that."""

from sqlalchemy import Connection, column, inspect, select, table, text

HEAD = "0014"
"""The newest revision; a test holds it against the files."""

VERSION_TABLE = "dealgate_alembic_version"

HOME = f"(SELECT relnamespace FROM pg_class WHERE oid = to_regclass('{VERSION_TABLE}'))"
"""On PostgreSQL the schema that has dealgate's tables, wherever it stands on the search path."""


def current_revision(connection: Connection) -> str | None:
    """The revision a database is at; None when dealgate has no tables in it yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar()
    return revision


def home_schema(connection: Connection) -> str | None:
    """The schema of PostgreSQL's search path that has dealgate's tables; None where none has."""
    found: str | None = connection.execute(text(f"SELECT nspname FROM pg_namespace WHERE oid = {HOME}")).scalar()
    return found
