"""Sealing: entries get their place in the tree, and a checkpoint signs its root. One sealer at a time."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from dealgate.models.envelope import Draft
from dealgate.models.keys import introduce_key
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY, append, table
from dealgate.models.ledger_tables import LedgerPending
from dealgate.models.merkle import Frontier, leaf_hash
from dealgate.models.notes import Checkpoint, incarnation, read_checkpoint, sign_checkpoint
from dealgate.models.signing import NoteError, Signer
from dealgate.models.tree import CHECKPOINT, INSERT_LEAF, INSERT_TILE, LEAF, GrowingTree

SEALER_LOCK = 0x6465616C67617465
"""The advisory lock of the one sealer on PostgreSQL; on SQLite the write lock does."""

EVERYTHING = 2**62

AT_ONCE = 10_000
"""Entries that are sealed in one transaction."""

PENDING = table(LedgerPending)
LAST = select(CHECKPOINT).order_by(CHECKPOINT.c.size.desc()).limit(1)
LAST_LEAF = select(func.max(LEAF.c.leaf_index))
WAITING = (
    select(ENTRY.c.id, ENTRY.c.entry_id, ENTRY.c.leaf_hash, BODY.c.envelope)
    .select_from(PENDING)
    .join(ENTRY, ENTRY.c.id == PENDING.c.entry)
    .outerjoin(BODY, BODY_OF_ENTRY)
    .order_by(PENDING.c.entry)
    .limit(bindparam("most"))
)
SEALED_NOW = delete(PENDING).where(PENDING.c.entry == bindparam("sealed"))


class SealError(RuntimeError):
    """The ledger is not sealed any further, because what is there does not verify. The message says what and where."""


class Sealed(NamedTuple):
    """A checkpoint, its signed note, and how many entries it added."""

    checkpoint: Checkpoint
    note: bytes
    added: int


def count_waiting(connection: Connection) -> int:
    """Entries that no checkpoint covers yet."""
    found: int = connection.execute(select(func.count()).select_from(PENDING)).scalar_one()
    return found


def seal(connection: Connection, signer: Signer, now: datetime, most: int = AT_ONCE) -> Sealed | None:
    """Seal the entries that wait, at most so many, in the caller's transaction.

    None where there is nothing to seal or another sealer is at work. The first seal of a ledger begins with an entry that
    introduces the key. Raises `SealError` where the last checkpoint or a waiting entry does not verify.
    """
    if not _alone(connection):
        return None
    last, frontier = _begun(connection, signer, now)
    waiting = connection.execute(WAITING, {"most": most}).all()
    if not waiting:
        return None
    return _extend(connection, [signer], last.origin if last else signer.key.name, frontier, waiting, now)


def rotate(connection: Connection, old: Signer, new: Signer, now: datetime) -> Sealed:
    """Hand over to another key: an entry that names both, sealed at once by a checkpoint that both sign.

    From then on the new key needs no word of the old one. Raises `SealError`, and `NoteError` for a key with another name, or the same.
    """
    if new.key.name != old.key.name:
        raise NoteError(
            f"the new key signs as {new.key.name}: make one that signs as {old.key.name}, the ledger's name"
        )
    if new.key == old.key:
        raise NoteError(f"the new key {new.key.text} is the one so far: make one with dealgate ledger new-key")
    last, frontier = _for_extension(connection, old, now)
    introduce_key(connection, new.key, now, old.key)
    waiting = connection.execute(WAITING, {"most": EVERYTHING}).all()
    return _extend(connection, [old, new], last.origin if last else old.key.name, frontier, waiting, now)


def _for_extension(connection: Connection, signer: Signer, now: datetime) -> tuple[Checkpoint | None, Frontier]:
    if not _alone(connection):
        raise SealError("another sealer is at work: stop it first")
    return _begun(connection, signer, now)


def _begun(connection: Connection, signer: Signer, now: datetime) -> tuple[Checkpoint | None, Frontier]:
    """Where the ledger stands; one that was never sealed begins with an entry that introduces the key."""
    last, frontier = last_checkpoint(connection, signer)
    if last is None:
        introduce_key(connection, signer.key, now)
    return last, frontier


def reopen(
    connection: Connection, signer: Signer, content: dict[str, Any], now: datetime, known: Iterable[str] = ()
) -> Sealed:
    """Go on after a restore: an entry that tells of it, sealed at once under the next origin, which comes after all that are known.

    What was anchored beyond the restored size is thereby declared lost, not denied. Raises `SealError`.
    """
    last, frontier = _for_extension(connection, signer, now)
    origin = next_origin([last.origin if last else signer.key.name, *known], signer.key.name)
    restored = {"size": frontier.size, "root": frontier.root().hex(), "origin": origin, **content}
    append(connection, Draft(str(uuid4()), "restore", {"restore": restored}), now)
    waiting = connection.execute(WAITING, {"most": EVERYTHING}).all()
    return _extend(connection, [signer], origin, frontier, waiting, now)


def next_origin(origins: Iterable[str], name: str) -> str:
    """The origin of the ledger after one more restore: `name`, `name/2`, `name/3`. No earlier one is taken twice, also where the
    backup is older than the last restore.
    """
    return f"{name}/{1 + max(incarnation(origin, name) or 1 for origin in origins)}"


def last_checkpoint(connection: Connection, signer: Signer) -> tuple[Checkpoint | None, Frontier]:
    """The newest checkpoint and the frontier of its tree, held against each other and against the key."""
    row = connection.execute(LAST).first()
    if row is None:
        return None, Frontier()
    try:
        checkpoint = read_checkpoint(row.note.encode(), [signer.key])
        frontier = Frontier.from_bytes(row.frontier)
    except (NoteError, ValueError) as error:
        raise SealError(f"the checkpoint at {row.size} entries does not verify: {error}") from error
    if (checkpoint.size, checkpoint.root) != (frontier.size, frontier.root()) or row.size != frontier.size:
        raise SealError(
            f"the checkpoint at {row.size} entries signs the root {checkpoint.root.hex()} of {checkpoint.size}, its frontier has "
            f"{frontier.root().hex()} of {frontier.size}"
        )
    return checkpoint, frontier


def _alone(connection: Connection) -> bool:
    if connection.dialect.name != "postgresql":
        return True
    connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
    return bool(connection.execute(select(func.pg_try_advisory_xact_lock(SEALER_LOCK))).scalar())


def _extend(
    connection: Connection,
    signers: Sequence[Signer],
    origin: str,
    frontier: Frontier,
    waiting: Sequence[Any],
    now: datetime,
) -> Sealed:
    first = frontier.size
    if (beyond := connection.execute(LAST_LEAF).scalar()) is not None and beyond >= first:
        raise SealError(f"leaf {beyond} lies beyond the last checkpoint, which has {first} entries: it was slipped in")
    tree = GrowingTree(connection, frontier)
    for row in waiting:
        tree.append(_checked(row))
    leaves = [
        {"leaf_index": first + index, "entry": row.id, "leaf_hash": row.leaf_hash} for index, row in enumerate(waiting)
    ]
    checkpoint = Checkpoint(origin, frontier.size, frontier.root())
    note = sign_checkpoint(checkpoint, *signers)
    connection.execute(INSERT_LEAF, leaves)
    if tree.filled:
        connection.execute(INSERT_TILE, tree.filled)
    sealed = {"size": frontier.size, "note": note.decode(), "frontier": frontier.to_bytes(), "sealed_at": now}
    connection.execute(insert(CHECKPOINT), sealed)
    connection.execute(SEALED_NOW, [{"sealed": row.id} for row in waiting])
    return Sealed(checkpoint, note, len(waiting))


def _checked(row: Any) -> bytes:
    """The leaf hash of a waiting entry, from its bytes."""
    if row.envelope is None:
        raise SealError(f"entry {row.entry_id} waits to be sealed, but its envelope is missing")
    found = leaf_hash(row.envelope)
    if found != row.leaf_hash:
        raise SealError(
            f"entry {row.entry_id} was altered before it was sealed: expected {row.leaf_hash.hex()}, got {found.hex()}"
        )
    return found
