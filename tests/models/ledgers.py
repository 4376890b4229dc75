"""A ledger with something in it, and keys to seal it with."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, text

from dealgate.adapters.ledger_verification import verify_ledger
from dealgate.models.sealing import Sealed, seal
from dealgate.models.signing import Ed25519Signer, VerifierKey, new_key
from dealgate.models.verification import Report
from tests.models.samples import a_deal, submit

NAME = "lender.example/ledger"
START = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


def a_signer(name: str = NAME) -> Ed25519Signer:
    return Ed25519Signer.parse(new_key(name).private)


def submit_deals(database: Engine, count: int, *, first: int = 0, deals: int = 1_000_000) -> list[str]:
    """Submit so many times, in turn for so many deals; the ids of the decisions."""
    with database.begin() as connection:
        return [
            submit(connection, a_deal(deal_id=f"D-{number % deals}"), now=START + timedelta(seconds=number)).decision_id
            for number in range(first, first + count)
        ]


def seal_all(database: Engine, signer: Ed25519Signer, at: datetime = START) -> Sealed | None:
    with database.begin() as connection:
        return seal(connection, signer, at)


def verified(database: Engine, *keys: VerifierKey, anchored: Sequence[bytes] = (), level: str = "full") -> Report:
    with database.connect() as connection:
        return verify_ledger(connection, keys=keys, anchored=anchored, level=level)


def scalar(connection: Connection, statement: str, **parameters: object) -> object:
    return connection.execute(text(statement), parameters).scalar()


def unguarded(connection: Connection, table: str) -> None:
    """What an insider with the rights of the owner does first."""
    if connection.dialect.name == "postgresql":
        months = text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST(:table AS regclass)")
        for each in (table, *connection.execute(months, {"table": table}).scalars()):
            connection.exec_driver_sql(f"ALTER TABLE {each} DISABLE TRIGGER USER")
        return
    names = connection.execute(
        text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table"), {"table": table}
    ).scalars()
    for name in names.all():
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
