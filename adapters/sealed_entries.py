"""Proofs about entries of a ledger at hand, and the record of a restore."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select

from dealgate.adapters.ledger_proofs import ConsistencyProof, InclusionProof, prove_consistency, prove_inclusion
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY, WordsError, named
from dealgate.models.merkle import ProofError, leaf_hash, verify_inclusion
from dealgate.models.notes import Checkpoint, Note, incarnation
from dealgate.models.sealing import LAST, Sealed, reopen
from dealgate.models.signing import Signer
from dealgate.models.tree import CHECKPOINT, LEAF, StoredTree


class NotSealedError(ProofError):
    """What is there, and waits to be sealed."""


class UnknownEntryError(ProofError):
    """No entry has the id that was given."""


class ProvedEntry(NamedTuple):
    """An entry's bytes, None where they were purged, and the proof that they lie under the newest checkpoint."""

    envelope: bytes | None
    proof: InclusionProof


def newest_note(connection: Connection) -> bytes:
    """Raises `NotSealedError` where nothing is sealed yet."""
    newest = connection.execute(LAST).first()
    if newest is None:
        raise NotSealedError("nothing is sealed yet: run dealgate ledger seal")
    return str(newest.note).encode()


def prove_entry(connection: Connection, entry_id: str) -> ProvedEntry:
    """Raises `UnknownEntryError`, `NotSealedError`, and `ProofError` for an entry that is not what was sealed."""
    statement = (
        select(LEAF.c.leaf_index, LEAF.c.leaf_hash, BODY.c.envelope)
        .select_from(ENTRY)
        .outerjoin(LEAF, LEAF.c.entry == ENTRY.c.id)
        .outerjoin(BODY, BODY_OF_ENTRY)
    )
    row = connection.execute(statement.where(ENTRY.c.entry_id == entry_id)).first()
    if row is None:
        raise UnknownEntryError(f"no entry has the id {entry_id!r}; a decision's entry has the decision's id")
    if row.leaf_index is None:
        raise NotSealedError(f"entry {entry_id} is not sealed yet: run dealgate ledger seal")
    proof = prove_inclusion(row.leaf_index, newest_note(connection), StoredTree(connection))
    checkpoint = _checkpoint(proof.note)
    leaf = row.leaf_hash if row.envelope is None else leaf_hash(row.envelope)
    verify_inclusion(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return ProvedEntry(row.envelope, proof)


def prove_growth(connection: Connection, older: bytes) -> ConsistencyProof:
    """That the ledger goes on from an older note. Raises `NotSealedError`, and `ProofError` where it does not."""
    proof = prove_consistency(older, newest_note(connection), StoredTree(connection))
    proof.compare(_checkpoint(proof.older), _checkpoint(proof.newer))
    return proof


def check_receipt(connection: Connection, entry_id: str, leaf: bytes) -> int | None:
    """Hold what the caller kept of an entry against the ledger: its leaf there, None while it waits to be sealed.

    Closes what no checkpoint covers yet: an entry that was exchanged or removed before it was sealed. Raises `ProofError`.
    """
    statement = (
        select(ENTRY.c.leaf_hash, BODY.c.envelope, LEAF.c.leaf_index, LEAF.c.leaf_hash.label("sealed_hash"))
        .outerjoin(BODY, BODY_OF_ENTRY)
        .outerjoin(LEAF, LEAF.c.entry == ENTRY.c.id)
    )
    row = connection.execute(statement.where(ENTRY.c.entry_id == entry_id)).first()
    if row is None:
        raise ProofError(
            f"entry {entry_id} is not in this ledger: if that is the receipt's id, it was taken out after the receipt was given"
        )
    hashes = {row.leaf_hash, row.sealed_hash or leaf, leaf_hash(row.envelope) if row.envelope is not None else leaf}
    if hashes != {leaf}:
        got = ", ".join(sorted(one.hex() for one in hashes - {leaf}))
        raise ProofError(f"entry {entry_id} is not the one of the receipt: expected {leaf.hex()}, got {got}")
    index: int | None = row.leaf_index
    return index


def record_restore(
    connection: Connection, signer: Signer, anchored: Sequence[bytes], reason: str, actor: str, now: datetime
) -> Sealed:
    """State in the ledger that it was restored, and how far anchored checkpoints went beyond what is here.

    Raises `SealError`, and `WordsError` without a reason or a name.
    """
    if not reason.strip():
        raise WordsError("reason: none was given: say what was lost and how")
    here = connection.execute(select(CHECKPOINT.c.size).order_by(CHECKPOINT.c.size.desc()).limit(1)).scalar() or 0
    ours = [one for one in map(_checkpoint, anchored) if incarnation(one.origin, signer.key.name)]
    beyond = [one for one in ours if one.size > here]
    furthest = max(beyond, key=lambda one: one.size, default=None)
    content = {"reason": reason, "actor": named(actor), "anchored_size": furthest.size if furthest else None}
    content |= {"anchored_root": furthest.root.hex() if furthest else None}
    return reopen(connection, signer, content, now, [one.origin for one in ours])


def _checkpoint(note: bytes) -> Checkpoint:
    return Checkpoint.parse(Note.parse(note).text)
