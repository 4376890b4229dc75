"""Somebody with every right on the database: no guard and no reference stops them, and nothing they do here is kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import NullPool

from dealgate.adapters.anchors.anchor import Anchor
from dealgate.adapters.ledger_verification import verify_ledger
from dealgate.models import Base
from dealgate.models.signing import VerifierKey
from dealgate.models.verification import Flaw
from tests.models.ledgers import unguarded


@contextmanager
def insider(url: str) -> Iterator[Connection]:
    """A connection in a transaction that is rolled back."""
    engine = create_engine(url, poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _begin_by_hand)
    with engine.connect() as connection:
        lift_guards(connection)
        yield connection
        connection.rollback()
    engine.dispose()


def lift_guards(connection: Connection) -> None:
    begin = "BEGIN" if connection.dialect.name == "sqlite" else "SET LOCAL session_replication_role = replica"
    connection.exec_driver_sql(begin)
    for table in Base.metadata.tables:
        unguarded(connection, table)


def _begin_by_hand(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = OFF").close()


@contextmanager
def tried(connection: Connection) -> Iterator[None]:
    """What happens within is undone."""
    savepoint = connection.begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()


def flaws(
    connection: Connection,
    *keys: VerifierKey,
    anchored: Sequence[bytes] = (),
    anchors: Sequence[Anchor] = (),
    level: str = "full",
) -> list[Flaw]:
    """What a verification finds, but for the guards that the insider lifted."""
    report = verify_ledger(connection, keys=keys, anchored=anchored, anchors=anchors, level=level)
    return [flaw for flaw in report.flaws if flaw.what != "guard"]
