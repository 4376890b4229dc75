"""Erasing as the database permits it: an entry that gives leave, then the deletion."""

from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select

from dealgate.models import LedgerEntry, LedgerErasure, LedgerPrivate
from dealgate.models.envelope import Draft
from dealgate.models.ledger import append
from tests.models.samples import NOW

ALL = ""
"""The path that gives leave to erase an entry altogether."""


def number_of(connection: Connection, entry_id: str) -> int:
    """What the other tables of the ledger know an entry by."""
    return connection.execute(select(LedgerEntry.id).where(LedgerEntry.entry_id == entry_id)).scalar_one()


def give_leave(connection: Connection, erased: str, *paths: str, kind: str = "redaction") -> None:
    """Append an entry of a kind and, in its name, leave to erase parts of another entry."""
    leave = append(connection, Draft(str(uuid4()), kind, {"erased": {"entry_id": erased, "paths": list(paths)}}), NOW)
    rows = [
        {"erased": number_of(connection, erased), "path": path, "entry": number_of(connection, leave.entry_id)}
        for path in paths
    ]
    connection.execute(insert(LedgerErasure), rows)


def erase(connection: Connection, erased: str, *paths: str) -> None:
    """Erase personal values of an entry; with `ALL`, every one of them."""
    give_leave(connection, erased, *paths, kind="retention_purge" if ALL in paths else "redaction")
    values = delete(LedgerPrivate).where(LedgerPrivate.entry == number_of(connection, erased))
    connection.execute(values if ALL in paths else values.where(LedgerPrivate.path.in_(paths)))
