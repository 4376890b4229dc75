"""The ways to submit, and trouble that comes at a chosen statement of one submission."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from dealgate import Gate
from dealgate.adapters.database import guard_sqlite, open_database
from dealgate.adapters.gate import Verdict
from tests.hosts import Application
from tests.models.samples import CLEAN

BULKY = CLEAN | {"metadata": {"scan": "x" * 200_000}}
"""A deal that passes, and needs space."""

Trouble = Callable[[Connection], None]


@contextmanager
def at_statement(engine: Engine, number: int, trouble: Trouble) -> Iterator[list[str]]:
    """Trouble before the statement of this number, COMMIT among them. Yields the statements as they come."""
    seen = list[str]()

    def come(connection: Connection, statement: str) -> None:
        seen.append(statement)
        if len(seen) == number:
            trouble(connection)

    def before(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        come(connection, statement)

    def commit(connection: Connection) -> None:
        come(connection, "COMMIT")

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "commit", commit, insert=True)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", before)
        event.remove(engine, "commit", commit)


class Way(NamedTuple):
    """How a host submits: `submit(gate, url, key, ...)` books a deal, with trouble at a statement where one is numbered."""

    name: str
    submit: Callable[[Gate, str, str, int, Trouble], tuple[Verdict, list[str]]]


def _alone(gate: Gate, url: str, key: str, number: int, trouble: Trouble) -> tuple[Verdict, list[str]]:
    engine = open_database(url)
    own = Gate(engine, gate.policy)
    try:
        with at_statement(engine, number, trouble) as seen:
            verdict = own.submit(BULKY, idempotency_key=key)
    finally:
        engine.dispose()
    with Session(after := open_database(url)) as session, session.begin():
        session.merge(Application(decision_id=verdict.decision_id, key=key))
    after.dispose()
    return verdict, seen


def _in_a_session(gate: Gate, url: str, key: str, number: int, trouble: Trouble) -> tuple[Verdict, list[str]]:
    engine = open_database(url)
    try:
        with at_statement(engine, number, trouble) as seen, Session(engine) as session, session.begin():
            verdict = gate.submit(BULKY, session=session, idempotency_key=key)
            if not verdict.replayed:
                session.add(Application(decision_id=verdict.decision_id, key=key))
        return verdict, seen
    finally:
        engine.dispose()


def _asynchronously(gate: Gate, url: str, key: str, number: int, trouble: Trouble) -> tuple[Verdict, list[str]]:
    return asyncio.run(_awaited(gate, url, key, number, trouble))


async def _awaited(gate: Gate, url: str, key: str, number: int, trouble: Trouble) -> tuple[Verdict, list[str]]:
    driver = "sqlite+aiosqlite" if url.startswith("sqlite") else "postgresql+psycopg"
    engine = create_async_engine(make_url(url).set(drivername=driver), poolclass=NullPool)
    if url.startswith("sqlite"):
        guard_sqlite(engine.sync_engine)
    try:
        with at_statement(engine.sync_engine, number, trouble) as seen:
            async with AsyncSession(engine) as session, session.begin():
                verdict = await gate.submit_async(BULKY, session=session, idempotency_key=key)
                if not verdict.replayed:
                    session.add(Application(decision_id=verdict.decision_id, key=key))
        return verdict, seen
    finally:
        await engine.dispose()


WAYS = (Way("own engine", _alone), Way("session", _in_a_session), Way("asynchronous", _asynchronously))


def without_trouble(_connection: Connection) -> None:
    """Nothing happens."""
