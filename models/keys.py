"""Which keys have signed the ledger: each is introduced by an entry of it, and a successor by its predecessor's."""

import json
from collections.abc import Iterator
from datetime import datetime
from uuid import uuid4

from sqlalchemy import Connection, literal_column, select

from dealgate.models.envelope import Draft
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY, append
from dealgate.models.signing import VerifierKey

KIND = "key_rotation"
ROTATIONS = (
    select(BODY.c.envelope)
    .select_from(ENTRY)
    .join(BODY, BODY_OF_ENTRY)
    .where(ENTRY.c.kind == literal_column(f"'{KIND}'"))
    .order_by(ENTRY.c.id)
)
"""The kind stands in the statement itself: no database can tell from a parameter that the partial index will do."""


def introduce_key(connection: Connection, key: VerifierKey, now: datetime, old: VerifierKey | None = None) -> None:
    """Append the entry that says: from now on this key signs. The last checkpoint by the old key is to seal it."""
    content = {"key": {"old": old.text if old else None, "new": key.text}}
    append(connection, Draft(str(uuid4()), KIND, content), now)


def recorded_keys(connection: Connection) -> list[VerifierKey]:
    """Every key that the ledger itself names, in order."""
    return [new for _, new in _rotations(connection)]


def acceptable_keys(connection: Connection, key: VerifierKey) -> list[VerifierKey]:
    """The key, and those before it that handed over to it one after the other.

    The entries that say so are no better than the tree they stand in: hold that against a checkpoint by `key` itself.
    """
    keys, wanted = [key], key
    for old, new in reversed(list(_rotations(connection))):
        if old and new == wanted:
            keys.append(old)
            wanted = old
    return keys


def _rotations(connection: Connection) -> Iterator[tuple[VerifierKey | None, VerifierKey]]:
    for envelope in connection.execute(ROTATIONS).scalars():
        named = json.loads(envelope)["key"]
        yield VerifierKey.parse(named["old"]) if named["old"] else None, VerifierKey.parse(named["new"])
