"""Which keys have signed the ledger: each is introduced by an entry of it, and a successor by its predecessor's."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, bindparam, literal_column, select

from dealgate.models.envelope import Draft
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY, append
from dealgate.models.merkle import ProofError, inclusion_proof, leaf_hash, verify_inclusion
from dealgate.models.notes import MOST_ENTRIES, read_checkpoint
from dealgate.models.signing import NoteError, VerifierKey
from dealgate.models.tree import CHECKPOINT, LEAF, StoredTree

KIND = "key_rotation"
ROTATIONS = (
    select(ENTRY.c.entry_id, BODY.c.envelope, LEAF.c.leaf_index)
    .select_from(ENTRY)
    .join(BODY, BODY_OF_ENTRY)
    .outerjoin(LEAF, LEAF.c.entry == ENTRY.c.id)
    .where(ENTRY.c.kind == literal_column(f"'{KIND}'"))
    .order_by(ENTRY.c.id)
)
"""The kind stands in the statement itself: no database can tell from a parameter that the partial index will do."""

SEALED_BY = (
    select(CHECKPOINT.c.note).where(CHECKPOINT.c.size > bindparam("leaf_index")).order_by(CHECKPOINT.c.size).limit(1)
)


class Rotation(NamedTuple):
    """What an entry says of a key, and its leaf; `old` is None for the first key."""

    old: VerifierKey | None
    new: VerifierKey
    envelope: bytes
    leaf_index: int | None


def introduce_key(connection: Connection, key: VerifierKey, now: datetime, old: VerifierKey | None = None) -> None:
    """Append the entry that says: from now on this key signs. The last checkpoint by the old key is to seal it."""
    content = {"key": {"old": old.text if old else None, "new": key.text}}
    append(connection, Draft(str(uuid4()), KIND, content), now)


def recorded_keys(connection: Connection) -> list[VerifierKey]:
    """Every key that the ledger itself names, in order."""
    return [rotation.new for _, rotation in rotations(connection) if rotation]


def acceptable_keys(connection: Connection, key: VerifierKey) -> Mapping[VerifierKey, int]:
    """The key, and those before it that handed over to it one after the other, each with the last size that it may sign.

    Whoever can write the database can append an entry in which a key of theirs hands over. So a handover counts where the checkpoint
    that seals it bears the signature of the key that took over, and only up to there: what lies below is under that signature.
    """
    sizes = {key: MOST_ENTRIES}
    for _, rotation in reversed(list(rotations(connection))):
        if rotation and rotation.old and rotation.new in sizes:
            size = _handed_over_at(connection, rotation)
            if size is not None and size <= sizes[rotation.new]:
                sizes.setdefault(rotation.old, size)
    return sizes


def _handed_over_at(connection: Connection, rotation: Rotation) -> int | None:
    """The size of the checkpoint that seals a handover; None where the key that took over did not sign it, or not over this entry."""
    index = rotation.leaf_index
    note = None if index is None else connection.execute(SEALED_BY, {"leaf_index": index}).scalar()
    if index is None or note is None:
        return None
    try:
        checkpoint = read_checkpoint(note.encode(), [rotation.new])
        proof = inclusion_proof(index, checkpoint.size, StoredTree(connection))
        verify_inclusion(leaf_hash(rotation.envelope), index, checkpoint.size, proof, checkpoint.root)
    except (NoteError, ProofError, LookupError):
        return None
    return checkpoint.size


def rotations(connection: Connection) -> Iterator[tuple[str, Rotation | None]]:
    """By the id of its entry, in order; None where an entry of that kind names no keys: not every one need be ours."""
    for row in connection.execute(ROTATIONS):
        yield row.entry_id, _rotation(row)


def _rotation(row: Any) -> Rotation | None:
    try:
        named = json.loads(row.envelope)["key"]
        old = VerifierKey.parse(named["old"]) if named["old"] else None
        return Rotation(old, VerifierKey.parse(named["new"]), row.envelope, row.leaf_index)
    except (ValueError, TypeError, LookupError, AttributeError):
        return None
