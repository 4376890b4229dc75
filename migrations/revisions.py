"""Where a database stands, told without loading Alembic: a submission must not pay for that."""

from sqlalchemy import Connection, column, inspect, select, table

HEAD = "0008"
"""The newest revision; a test holds it against the files."""

VERSION_TABLE = "dealgate_alembic_version"


def current_revision(connection: Connection) -> str | None:
    """The revision a database is at; None when dealgate has no tables in it yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar()
    return revision
