"""One writer at a time for a SQLite file, chosen here rather than by its lock.

Who finds the queue free commits for everybody who waits: one transaction, a savepoint for each. Under load that is fewer syncs to
disk, and nobody is passed over, as happens to those who poll for SQLite's lock.
"""

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from dealgate.models.joining import join, still_stands

T = TypeVar("T")

MOST = 64
"""Works that are committed together."""

ENDED = "SQLite ended the transaction by itself after a failure: nothing was committed"


class _Work:
    def __init__(self, run: Callable[[Connection], Any]) -> None:
        self.run = run
        self.done = False
        self.result: Any = None
        self.error: Exception | None = None


class WriteQueue:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: deque[_Work] = deque()
        self._turn = Lock()

    def run(self, work: Callable[[Connection], T]) -> T:
        """Run in a transaction that is committed when this returns. Raises what the work or the commit raises."""
        mine = _Work(work)
        self._waiting.append(mine)
        try:
            with self._turn:
                while not mine.done:
                    self._commit([self._waiting.popleft() for _ in range(min(len(self._waiting), MOST))])
        except BaseException:  # who gave up waiting is told that nothing was stored: nobody may store it later
            with suppress(ValueError):
                self._waiting.remove(mine)
            raise
        if mine.error is not None:
            raise mine.error
        result: T = mine.result
        return result

    def _commit(self, works: list[_Work]) -> None:
        try:
            with self._engine.begin() as connection:
                join(connection)  # on an engine of the host's own making the first savepoint would be the transaction
                for work in works:
                    _run(work, connection, alone=len(works) == 1)
                    if not still_stands(connection):
                        raise _gone(work.error)
        except Exception as error:
            _fail(works, error)
        except BaseException as error:  # of this thread only: to the others it is a connection that is gone
            _fail(works, _gone(error))
            raise
        finally:
            for work in works:
                work.done = True


def _fail(works: list[_Work], error: Exception) -> None:
    """Whatever a work came to, it is not committed."""
    for work in works:
        work.error = work.error or error


def _gone(error: BaseException | None) -> OperationalError:
    """What is tried again."""
    return OperationalError("COMMIT", None, error or RuntimeError(ENDED), connection_invalidated=True)


def _run(work: _Work, connection: Connection, *, alone: bool) -> None:
    if alone:
        work.result = work.run(connection)
        return
    try:
        with connection.begin_nested():
            work.result = work.run(connection)
    except Exception as error:
        work.error = error
        if connection.invalidated or not connection.in_transaction():
            raise _gone(error) from error


_queues: WeakKeyDictionary[Engine, WriteQueue] = WeakKeyDictionary()
_owner = os.getpid()


def queue_of(engine: Engine) -> WriteQueue | None:
    """The queue of an engine in this process; None where SQLite's file is not shared by its threads' connections.

    None in asynchronous hosts too: there, who waits in the queue would stop the one that is in it.
    """
    global _queues, _owner
    if (
        engine.dialect.name != "sqlite"
        or engine.dialect.is_async
        or isinstance(engine.pool, SingletonThreadPool | StaticPool)
    ):
        return None
    if _owner != os.getpid():
        _queues, _owner = WeakKeyDictionary(), os.getpid()
    return _queues.setdefault(engine, WriteQueue(engine))
