"""Opening a database the safe way and bringing it up to date."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import PoolResetState

from dealgate.migrations.revisions import HEAD, VERSION_TABLE, current_revision, home_schemas, unknown_revision
from dealgate.models.erasure import ERASED
from dealgate.models.joining import still_stands

READS_ONLY = "dealgate_reads_only"
"""The execution option of a connection that stores nothing."""

BUSY = 30_000
"""How long SQLite waits for a lock, in milliseconds."""

FILE = "dealgate_file"
"""Where a connection notes the SQLite file that it opened."""


IN_MEMORY = {None, "", ":memory:"}

URLS = "sqlite:///dealgate.db or postgresql+psycopg://user:password@host/name"


class DatabaseError(RuntimeError):
    """A database that cannot take submissions as it is; the message says what to do."""


class DatabaseUrlError(ValueError):
    """A URL of no database in which anything would be kept. The message does not tell it, for it may hold a password."""


def check_url(url: str) -> None:
    """That it is one of a database that outlives this process. Raises `DatabaseUrlError`."""
    try:
        parsed = make_url(url)
        asynchronous = parsed.get_dialect().is_async
    except (ArgumentError, ValueError):  # their messages may quote it
        raise DatabaseUrlError(
            f"not the URL of a database: write it as {URLS}, with what stands between two colons or before an @ percent-encoded"
        ) from None
    if parsed.get_backend_name() not in {"sqlite", "postgresql"} or asynchronous:
        raise DatabaseUrlError(f"{parsed.drivername} is no driver for this: write the URL as {URLS}")
    if parsed.get_backend_name() == "sqlite" and parsed.database in IN_MEMORY:
        raise DatabaseUrlError("a database in memory keeps nothing: name a file, such as sqlite:///dealgate.db")


def open_database(url: str) -> Engine:
    """An engine for a URL such as `sqlite:///dealgate.db` or `postgresql+psycopg://user@host/name`.

    No value that was to be stored stands in an error: personal ones would outlive in a log what erases them here.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, hide_parameters=True)
    engine = create_engine(parsed, connect_args={"timeout": 30}, hide_parameters=True)
    guard_sqlite(engine)
    return engine


def open_for_callers(url: str, connections: int, seconds: float) -> Engine:
    """The same for callers who wait, each so many seconds at the most: a server that does not answer is given up in that time."""
    parsed = make_url(url)
    pool: dict[str, Any] = {
        "pool_size": connections,
        "max_overflow": 0,
        "pool_timeout": seconds,
        "hide_parameters": True,
    }
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": seconds}, **pool)
        guard_sqlite(engine)
        return engine
    waits = {"connect_timeout": max(2, int(seconds / 2)), "tcp_user_timeout": int(seconds * 1000)}
    engine = create_engine(parsed, pool_pre_ping=True, connect_args=waits, **pool)

    @event.listens_for(engine, "connect")
    def limit(connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = {int(seconds * 1000)}")
        connection.commit()

    return engine


def guard_sqlite(engine: Engine) -> None:
    """Make SQLite keep what it acknowledged, leave nothing of what was erased, refuse broken references, and queue for the write lock
    instead of failing at it.
    """

    @event.listens_for(engine, "connect")
    def settings(connection: Any, record: Any) -> None:
        # Transactions are begun below; the driver's own habit begins them too late and as readers.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "recursive_triggers=ON",
            f"busy_timeout={BUSY}",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()
        _, _, path = connection.execute("PRAGMA database_list").fetchone()
        record.info[FILE] = path and (path, _identity(path))

    @event.listens_for(engine, "reset")
    def give_back(connection: Any, record: Any, state: PoolResetState) -> None:
        if not state.asyncio_safe:
            return
        # A COMMIT that SQLite refuses leaves the transaction open, SQLAlchemy takes it for closed, and who comes next would go on in it.
        if state.transaction_was_reset:
            connection.rollback()
        if record.info.pop(ERASED, False):
            _empty_log(connection)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Who only reads does not queue for the write lock: under WAL it sees the last commit, whoever is writing.
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(READS_ONLY) else "BEGIN IMMEDIATE")

    @event.listens_for(engine, "commit")
    def keep(connection: Connection) -> None:
        # A file that was removed or exchanged while it was open would take the commit, and nobody would find it again.
        opened = connection.info.get(FILE)
        if opened and _identity(opened[0]) != opened[1]:
            connection.invalidate()
            gone = sqlite3.OperationalError(
                f"the file {opened[0]} was removed or exchanged while it was open: nothing was committed"
            )
            raise OperationalError("COMMIT", None, gone, connection_invalidated=True)

    @event.listens_for(engine, "handle_error")
    def ended(context: ExceptionContext) -> None:
        # At some failures SQLite ends the transaction by itself. SQLAlchemy takes it for open, and would keep what follows without what was
        # before: so this connection is taken for lost. A database in memory would be lost with it; who only reads has nothing to lose.
        connection = context.connection
        if connection is None or connection.invalidated or not connection.in_transaction():
            return
        reads = connection.get_execution_options().get(READS_ONLY)
        if connection.info.get(FILE) and not reads and not still_stands(connection):
            context.is_disconnect, context.invalidate_pool_on_disconnect = True, False


def _empty_log(connection: Any) -> None:
    """Nobody is waited for: where another connection reads, the log stays until the next time."""
    for pragma in ("busy_timeout=0", "wal_checkpoint(TRUNCATE)", f"busy_timeout={BUSY}"):
        connection.execute(f"PRAGMA {pragma}").close()


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def open_kept(url: str) -> Engine:
    """As `open_database`, of a database that outlives this process. Raises `DatabaseUrlError`."""
    check_url(url)
    return open_database(url)


def file_of(engine: Engine) -> Path | None:
    """The SQLite file; None for what is not named as one."""
    name = engine.url.database
    return Path(name) if engine.dialect.name == "sqlite" and name and not name.startswith("file:") else None


def is_anothers(file: Path, *, if_empty: bool = True) -> bool:
    """Whether it is a database without our tables: looked at without our settings, which would stay in another program's file."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=0)) as looking:
            tables = {name for (name,) in looking.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:  # whoever opens it is told why
        return False
    return VERSION_TABLE not in tables if tables else if_empty


@contextmanager
def stored(url: str) -> Iterator[Connection]:
    """A connection for reading what is stored. Raises `DatabaseError` where nothing can be, and `DatabaseUrlError`."""
    engine = open_kept(url)
    file = file_of(engine)
    if file and not file.exists():
        raise DatabaseError(
            f"there is no database at {file}: see to --db and DEALGATE_DB, or set it up with dealgate db upgrade"
        )
    if file and is_anothers(file):
        raise _without_tables(engine)
    try:
        with engine.connect().execution_options(**of_one_moment(engine)) as connection:
            if problem := wrong_revision(connection):
                raise problem
            yield connection
    finally:
        engine.dispose()


def of_one_moment(engine: Engine) -> dict[str, Any]:
    """Options under which everything that is read stands as of one moment, whoever writes meanwhile."""
    if engine.dialect.name == "postgresql":
        return {READS_ONLY: True, "isolation_level": "REPEATABLE READ"}
    return {READS_ONLY: True}


def upgrade_database(engine: Engine, schema: str | None = None) -> str:
    """Apply all migrations in one transaction, the first time in a schema of their own if one is named; returns the revision reached."""
    from dealgate.migrations.running import upgrade  # noqa: PLC0415  Alembic is loaded only where it is used

    with engine.begin() as connection:
        upgrade(connection, schema=schema)
    return HEAD


def ready_database(engine: Engine) -> bool:
    """Make sure that submissions can be stored. An empty SQLite file is set up; returns whether that was done.

    Raises `DatabaseError` for a database at another revision, and leaves another program's file as it is.
    """
    file = file_of(engine)
    if file and is_anothers(file, if_empty=False):
        raise _without_tables(engine)
    with engine.connect() as connection:
        problem = wrong_revision(connection)
        new = problem and engine.dialect.name == "sqlite" and not inspect(connection).get_table_names()
    if new:
        upgrade_database(engine)
        return True
    if problem:
        raise problem
    return False


def wrong_revision(connection: Connection) -> DatabaseError | None:
    """What is to be done before submissions can be stored; None where nothing is."""
    revision = current_revision(connection)
    if revision == HEAD:
        return None
    if revision is not None:
        needs = f"the database is at revision {revision}, this dealgate needs revision {HEAD}. Run: {_upgrade(connection.engine)}"
        return DatabaseError(unknown_revision(revision) or needs)
    if not (schemas := home_schemas(connection)):
        return _without_tables(connection.engine)
    return DatabaseError(
        f"the database has no dealgate tables on its search path, and has some in {', '.join(schemas[:3])}. To find them, as after "
        f"a restore: ALTER DATABASE {connection.engine.url.database} SET search_path = public, {schemas[0]}. "
        f"For new and empty ones: {_upgrade(connection.engine)}"
    )


def _without_tables(engine: Engine) -> DatabaseError:
    return DatabaseError(
        f"the database has no dealgate tables, this dealgate needs revision {HEAD}. Run: {_upgrade(engine)}"
    )


def _upgrade(engine: Engine) -> str:
    return f"dealgate db upgrade --db {engine.url.render_as_string(hide_password=True)}"
