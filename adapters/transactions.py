"""Transactions of dealgate's own: done again after failures that pass, and never done twice."""

import random
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import DBAPIError

from dealgate.adapters.write_queue import queue_of

T = TypeVar("T")

ATTEMPTS = 6
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""In seconds. With all attempts used, a caller waits for some two seconds before it is told."""

PASSING = {"40001", "40P01", "55P03", "25006"}
"""Serialization failure, deadlock, lock not available; a primary that has just become a standby."""

PASSING_CLASSES = ("08", "57P")
"""Connection exceptions, and a server that is shutting down or starting."""

THIS = text("SELECT CAST(pg_current_xact_id() AS text) AS number, pg_postmaster_start_time() AS since")
BECAME = text(
    "SELECT pg_xact_status(CAST(CAST(:number AS text) AS xid8)) AS status, pg_postmaster_start_time() AS since"
)
"""Of a transaction of PostgreSQL, by its number: committed, aborted or in progress."""

LOOK = "see whether it was recorded, before you do it again"

SQLITE_BUSY = 5
SQLITE_LOCKED = 6


class UnansweredError(RuntimeError):
    """Nobody knows yet whether a transaction was committed."""


def passes(error: DBAPIError) -> bool:
    """Whether the same transaction may succeed when it is tried again, a broken connection in the midst of COMMIT included."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:  # also where SQLite ended the transaction at it: a disk that fails is not to be tried again
        return code & 0xFF in {SQLITE_BUSY, SQLITE_LOCKED}
    if error.connection_invalidated:
        return True
    sqlstate = getattr(error.orig, "sqlstate", None) or ""
    return sqlstate in PASSING or sqlstate.startswith(PASSING_CLASSES)


def in_transaction(engine: Engine, work: Callable[..., T]) -> T:
    """Run work in a transaction and commit it; again after failures that pass.

    The work is told when an earlier attempt may have been committed, and must look for that first. On SQLite the writers of this
    process queue.
    """
    pause = FIRST_PAUSE
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _attempt(engine, partial(work, again=attempt > 1))
        except DBAPIError as error:
            if attempt == ATTEMPTS or not passes(error):
                raise
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, LONGEST_PAUSE)
    raise AssertionError("the last attempt returns or raises")


def once(engine: Engine, work: Callable[[Connection], T]) -> T:
    """The same for work that cannot find what it did: where the answer to COMMIT was lost, the server is asked what became of it."""
    done = list[tuple[Row[tuple[str, datetime]], T]]()

    def attempt(connection: Connection, again: bool) -> T:
        if done and _was_committed(connection, done[-1][0]):
            return done[-1][1]
        result = work(connection)
        if connection.dialect.name == "postgresql":
            done.append((connection.execute(THIS).one(), result))
        return result

    return in_transaction(engine, attempt)


def _was_committed(connection: Connection, this: Row[tuple[str, datetime]]) -> bool:
    """Raises `UnansweredError` where the server has not done with it, or is another: a standby gives the same numbers again."""
    pause = FIRST_PAUSE
    for _ in range(ATTEMPTS):
        became = connection.execute(BECAME, {"number": this.number}).one()
        if became.since != this.since:
            raise UnansweredError(f"the connection was lost at the COMMIT, and the server was started since: {LOOK}")
        if became.status != "in progress":
            return bool(became.status == "committed")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    raise UnansweredError(f"the connection was lost at the COMMIT, and the server is still at it: {LOOK}")


def _attempt(engine: Engine, work: Callable[[Connection], T]) -> T:
    if queue := queue_of(engine):
        return queue.run(work)
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            # Who queues for a deal's row goes on from what the one before committed, whatever level the host works at.
            connection.execution_options(isolation_level="READ COMMITTED")
        with connection.begin():
            return work(connection)
