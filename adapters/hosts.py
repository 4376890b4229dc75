"""What a host hands over to store in: an engine, or a session or connection of its own; and what of it outlives a fork."""

import os
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Engine, Pool
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.pool import SingletonThreadPool, StaticPool

Joinable = Session | scoped_session[Any] | Connection
"""Where a host's transaction lives."""


def opened(given: object) -> Engine | Session | Connection | None:
    """What was handed over; of a scoped session the one of this thread. Raises `TypeError` for what is no place to store in."""
    if isinstance(given, scoped_session):
        session: Session = given()
        return session
    if given is None or isinstance(given, Session | Connection):
        return given
    if isinstance(given, Engine):
        _engines.add(given)
        return given
    kind = type(given).__name__
    remedy = (
        "await submit_async(...) with a session" if kind.lower().startswith("async") else "open one, and hand it over"
    )
    raise TypeError(f"a gate stores in a Session, a Connection or an Engine, not in a {kind}: {remedy}")


_engines: WeakSet[Engine] = WeakSet()
_inherited: list[Pool] = []
"""Never closed: to close a connection here would end its owner's."""


def _begin_anew() -> None:
    """In a process that was forked off, the connections in the pools are the parent's. A database in memory is a copy, and stays."""
    for engine in _engines:
        if not isinstance(engine.pool, SingletonThreadPool | StaticPool):
            _inherited.append(engine.pool)
            engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
