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


def home_schemas(connection: Connection) -> list[str]:
    """All schemas of a PostgreSQL database that have dealgate's tables, on the search path or not."""
    if connection.dialect.name != "postgresql":
        return []
    having = text(
        "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = :table AND relkind = 'r' ORDER BY 1"
    )
    return list(connection.execute(having, {"table": VERSION_TABLE}).scalars())


def unknown_revision(revision: str | None) -> str | None:
    """What is to be done about a revision that a newer dealgate brought a database to; None where this one knows it."""
    if revision is None or revision <= HEAD:
        return None
    return (
        f"the database is at revision {revision}, and this dealgate knows none beyond {HEAD}: use the dealgate that brought it there, or a "
        "newer one"
    )
