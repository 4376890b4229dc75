"""Everything that is stored about one deal, as it is to be shown to somebody: its entries, what they rest on, and their proofs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from dealgate.adapters.ledger_proofs import prove_consistency, prove_inclusion
from dealgate.adapters.sealed_entries import NotSealedError, newest_note
from dealgate.adapters.sealer import ANCHOR
from dealgate.models.commitments import PrivateValue, disclose
from dealgate.models.erasure import ERASURE
from dealgate.models.keys import recorded_keys
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY, UnknownDealError, private_values
from dealgate.models.merkle import ProofError, leaf_hash
from dealgate.models.notes import Checkpoint, Note
from dealgate.models.recording import VERSION
from dealgate.models.tree import CHECKPOINT, LEAF, StoredTree


@dataclass(frozen=True)
class Kept:
    """One entry with what is left of it. `envelope` is None where it was purged, `leaf_index` where it is not sealed yet."""

    number: int
    entry_id: str
    kind: str
    deal_id: str | None
    deal_seq: int | None
    policy_sha256: str | None
    leaf_hash: bytes
    leaf_index: int | None
    envelope: bytes | None
    values: Sequence[PrivateValue]

    @cached_property
    def document(self) -> dict[str, Any]:
        """What the envelope says; empty where it was purged."""
        return json.loads(self.envelope) if self.envelope is not None else {}

    def shown(self, values: Iterable[PrivateValue]) -> dict[str, Any]:
        """The envelope with these personal values in their places, and commitments in those of the others."""
        known = list(values)
        return disclose(self.document, known, [value.path for value in known])


class Anchored(NamedTuple):
    """A checkpoint that was kept elsewhere: its note, the receipt, and the proof that the newest one continues it."""

    sink: str
    size: int
    note: bytes
    receipt: bytes
    consistency: bytes


class DealRecord:
    """What one connection, which sees one moment, finds about a deal.

    Raises `UnknownDealError`, `NotSealedError` where nothing, or an entry that others rest on, is sealed yet, and `ProofError` where
    an entry is not what was hashed.
    """

    def __init__(self, connection: Connection, deal_id: str) -> None:
        self.connection = connection
        self.deal_id = deal_id
        self.note = newest_note(connection)
        self.checkpoint = Checkpoint.parse(Note.parse(self.note).text)
        self._tree = StoredTree(connection)
        self.entries = self._kept(ENTRY.c.deal_id == deal_id)
        if not self.entries:
            raise UnknownDealError(f"no deal {deal_id!r} was submitted; check the id")
        self.related = self._kept(self._of_related())
        self._need_sealed([*self.related, *(one for one in self.entries if one.kind == "redaction")])

    @cached_property
    def policies(self) -> list[Any]:
        """The versions that decided about the deal, with their texts."""
        return list(
            self.connection.execute(
                select(VERSION).where(VERSION.c.sha256.in_(self._hashes())).order_by(VERSION.c.sha256)
            )
        )

    @cached_property
    def keys(self) -> list[str]:
        return [key.text for key in recorded_keys(self.connection)]

    @cached_property
    def purges(self) -> dict[str, list[str]]:
        """By the purge, the leaf hashes of all that it took out, other deals' too: what its entry says is over all of them."""
        found = {}
        for purge in (one for one in self.related if one.kind == "retention_purge"):
            taken = select(ENTRY.c.leaf_hash).join(ERASURE, ERASURE.c.erased == ENTRY.c.id)
            hashes = self.connection.execute(taken.where(ERASURE.c.entry == purge.number)).scalars()
            found[purge.entry_id] = sorted(one.hex() for one in hashes)
        return found

    def proof(self, one: Kept) -> bytes | None:
        """That the entry lies under the newest checkpoint; None while it waits to be sealed."""
        index = self._sealed_at(one)
        return None if index is None else prove_inclusion(index, self.note, self._tree).encode()

    def _sealed_at(self, one: Kept) -> int | None:
        return one.leaf_index if one.leaf_index is not None and one.leaf_index < self.checkpoint.size else None

    @cached_property
    def anchors(self) -> list[Anchored]:
        """Every checkpoint of this ledger that was anchored, the oldest first; those before a restore stand under another name."""
        statement = select(ANCHOR, CHECKPOINT.c.note).join(CHECKPOINT, CHECKPOINT.c.size == ANCHOR.c.size)
        rows = self.connection.execute(statement.order_by(ANCHOR.c.size, ANCHOR.c.id)).all()
        return [
            Anchored(row.sink, row.size, row.note.encode(), row.receipt, self._continues(row.note.encode()))
            for row in rows
            if Checkpoint.parse(Note.parse(row.note.encode()).text).origin == self.checkpoint.origin
        ]

    def _need_sealed(self, entries: Iterable[Kept]) -> None:
        """What gives leave, or says what was published, does so by its place in the ledger alone."""
        for one in entries:
            if self._sealed_at(one) is None:
                kind = one.kind.replace("_", " ")
                raise NotSealedError(
                    f"the {kind} {one.entry_id} is not sealed yet: dealgate ledger seal, then make the file"
                )

    def _continues(self, note: bytes) -> bytes:
        return prove_consistency(note, self.note, self._tree).encode()

    def _hashes(self) -> set[str]:
        return {one.policy_sha256 for one in self.entries if one.policy_sha256}

    def _of_related(self) -> ColumnElement[bool]:
        """The lives of the policies, the ledger's keys and restores, and what took entries of the deal out."""
        numbers = [one.number for one in self.entries]
        purges = select(ERASURE.c.entry).where(ERASURE.c.erased.in_(numbers))
        of_policies = and_(
            ENTRY.c.kind.in_(("policy_publication", "policy_step")), ENTRY.c.policy_sha256.in_(self._hashes())
        )
        others = or_(ENTRY.c.kind.in_(("key_rotation", "restore")), of_policies, ENTRY.c.id.in_(purges))
        return and_(ENTRY.c.deal_id.is_(None), others)

    def _kept(self, condition: ColumnElement[bool]) -> list[Kept]:
        statement = (
            select(ENTRY, LEAF.c.leaf_index, BODY.c.envelope)
            .select_from(ENTRY)
            .outerjoin(LEAF, LEAF.c.entry == ENTRY.c.id)
            .outerjoin(BODY, BODY_OF_ENTRY)
            .where(condition)
            .order_by(ENTRY.c.deal_seq, ENTRY.c.id)
        )
        rows = self.connection.execute(statement).all()
        values = private_values(self.connection, [row.entry_id for row in rows])
        return [_kept(row, values) for row in rows]


def _kept(row: Any, values: Mapping[str, Sequence[PrivateValue]]) -> Kept:
    if row.envelope is not None and leaf_hash(row.envelope) != row.leaf_hash:
        raise ProofError(f"entry {row.entry_id} is not what was hashed: dealgate ledger verify says what was altered")
    return Kept(
        row.id,
        row.entry_id,
        row.kind,
        row.deal_id,
        row.deal_seq,
        row.policy_sha256,
        row.leaf_hash,
        row.leaf_index,
        row.envelope,
        sorted(values[row.entry_id]),
    )
