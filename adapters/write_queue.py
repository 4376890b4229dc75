"""One writer at a time for a SQLite file, chosen here rather than by its lock.

Who finds the queue free commits for everybody who waits: one transaction, a savepoint for each. Under load that is fewer syncs to
disk, and nobody is passed over, as happens to those who poll for SQLite's lock.
"""

import os
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine
from sqlalchemy.pool import SingletonThreadPool, StaticPool

T = TypeVar("T")

MOST = 64
"""Works that are committed together."""


class _Work:
    def __init__(self, run: Callable[[Connection], Any]) -> None:
        self.run = run
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None


class WriteQueue:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: deque[_Work] = deque()
        self._turn = Lock()

    def run(self, work: Callable[[Connection], T]) -> T:
        """Run in a transaction that is committed when this returns. Raises what the work or the commit raises."""
        mine = _Work(work)
        self._waiting.append(mine)
        with self._turn:
            while not mine.done:
                self._commit([self._waiting.popleft() for _ in range(min(len(self._waiting), MOST))])
        if mine.error is not None:
            raise mine.error
        result: T = mine.result
        return result

    def _commit(self, works: list[_Work]) -> None:
        try:
            with self._engine.begin() as connection:
                for work in works:
                    _run(work, connection, alone=len(works) == 1)
        except BaseException as error:
            for work in works:
                # Whatever a work came to, it is not committed.
                work.error = work.error or error
        finally:
            for work in works:
                work.done = True


def _run(work: _Work, connection: Connection, *, alone: bool) -> None:
    if alone:
        work.result = work.run(connection)
        return
    try:
        with connection.begin_nested():
            work.result = work.run(connection)
    except Exception as error:
        if connection.invalidated or not connection.in_transaction():
            raise
        work.error = error


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
