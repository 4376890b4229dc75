"""Bringing a database to a revision, and telling where it stands."""

from datetime import UTC, datetime
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from dealgate.migrations import partitions, roles
from dealgate.migrations.revisions import HEAD, VERSION_TABLE, current_revision
from dealgate.models.tables import PREFIX

__all__ = ["HEAD", "VERSION_TABLE", "configuration", "downgrade", "include_object", "script_head", "upgrade"]


def include_object(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """Only dealgate's tables: what a host keeps in the same database is none of our business, nor ours of its Alembic's."""
    if kind != "table":
        return True
    return name is not None and name.startswith(PREFIX) and not (reflected and partitions.is_partition(name))


def configuration(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "dealgate.migrations:")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Apply migrations on an open connection; its owner commits.

    On PostgreSQL the months ahead get their partitions, and a superuser makes the roles and gives the tables to them.
    """
    command.upgrade(configuration(connection), revision)
    if connection.dialect.name == "postgresql" and current_revision(connection) == HEAD:
        partitions.make_partitions(connection, datetime.now(UTC))
        if roles.is_superuser(connection):
            roles.secure(connection)


def downgrade(connection: Connection, revision: str) -> None:
    command.downgrade(configuration(connection), revision)


def script_head() -> str | None:
    """The newest revision among the files."""
    return ScriptDirectory.from_config(configuration()).get_current_head()
