"""Proof files: what a ledger holds, shown to somebody who has its key and neither its database nor its word.

An inclusion proof is c2sp.org/tlog-proof@v1. For two checkpoints no format is published: a consistency proof is their two notes
with the hashes of RFC 6962 before them, written in the same way. Neither holds anything but hashes, counts and the ledger's name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dealgate.models.merkle import (
    Nodes,
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from dealgate.models.notes import MOST_BYTES, Checkpoint, Note, read_checkpoint
from dealgate.models.signing import NoteError, VerifierKey, decode64, encode64

INCLUSION = "c2sp.org/tlog-proof@v1"
CONSISTENCY = "dealgate consistency-proof@v1"

LONGEST = 3 * MOST_BYTES
"""Of a proof: two notes, and the hashes before them. Of another file no more is read."""


@dataclass(frozen=True)
class InclusionProof:
    """The entry at an index, counted from 0, lies in the tree of the checkpoint that the note signs."""

    index: int
    hashes: tuple[bytes, ...]
    note: bytes

    def encode(self) -> bytes:
        return _lines(INCLUSION, f"index {self.index}", *map(encode64, self.hashes), "") + self.note

    @classmethod
    def parse(cls, data: bytes) -> "InclusionProof":
        """Read what `encode` wrote; extra data, which nobody signs, is refused. Raises `ProofError`."""
        head, (note,) = _parts(data, INCLUSION, 1)
        index = re.fullmatch("index (0|[1-9][0-9]{0,18})", head[0]) if head else None
        if not index:
            raise ProofError(f"after {INCLUSION} comes the entry's index, as 'index 0', got {head[:1]}")
        _checkpoint(note)
        return _same(cls(int(index[1]), _hashes(head[1:]), note), data)

    def check(self, entry: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
        """Hold the bytes of an entry against the proof: the checkpoint that they lie under. Raises `ProofError`."""
        checkpoint = _signed(self.note, keys)
        verify_inclusion(leaf_hash(entry), self.index, checkpoint.size, self.hashes, checkpoint.root)
        return checkpoint


@dataclass(frozen=True)
class ConsistencyProof:
    """The ledger of the newer note is that of the older one with entries behind it."""

    hashes: tuple[bytes, ...]
    older: bytes
    newer: bytes

    def encode(self) -> bytes:
        return _lines(CONSISTENCY, *map(encode64, self.hashes), "") + self.older + b"\n" + self.newer

    @classmethod
    def parse(cls, data: bytes) -> "ConsistencyProof":
        """Read what `encode` wrote. Raises `ProofError`."""
        head, (older, newer) = _parts(data, CONSISTENCY, 2)
        for note in (older, newer):
            _checkpoint(note)
        return _same(cls(_hashes(head), older, newer), data)

    def check(self, keys: Sequence[VerifierKey]) -> tuple[Checkpoint, Checkpoint]:
        """The older and the newer checkpoint, which go together. Raises `ProofError`."""
        older, newer = _signed(self.older, keys), _signed(self.newer, keys)
        self.compare(older, newer)
        return older, newer

    def compare(self, older: Checkpoint, newer: Checkpoint) -> None:
        """The same for its checkpoints, whoever signed them. Raises `ProofError`."""
        if older.origin != newer.origin:
            raise ProofError(
                f"the checkpoints are of two ledgers: expected {older.origin} twice, got {newer.origin}; no proof reaches across a restore"
            )
        verify_consistency(older.size, older.root, newer.size, newer.root, self.hashes)


Proof = InclusionProof | ConsistencyProof
P = TypeVar("P", InclusionProof, ConsistencyProof)


def prove_inclusion(index: int, note: bytes, nodes: Nodes) -> InclusionProof:
    """Prove the entry at an index under a checkpoint's note. Raises `ProofError`."""
    size = _checkpoint(note).size
    return InclusionProof(index, tuple(inclusion_proof(index, size, nodes)), note)


def prove_consistency(older: bytes, newer: bytes, nodes: Nodes) -> ConsistencyProof:
    """Prove that the ledger grew from one note to the other. Raises `ProofError`."""
    sizes = _checkpoint(older).size, _checkpoint(newer).size
    return ConsistencyProof(tuple(consistency_proof(*sizes, nodes)), older, newer)


def read_proof(path: Path) -> Proof:
    """Read a proof of either kind. Raises `ProofError`."""
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
    except OSError as error:
        raise ProofError(f"{path} cannot be read: {error.strerror}") from None
    kind = ConsistencyProof if data.startswith(CONSISTENCY.encode()) else InclusionProof
    try:
        return kind.parse(data)
    except ProofError as error:
        raise ProofError(f"{path}: {error}") from None


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _parts(data: bytes, kind: str, notes: int) -> tuple[list[str], list[bytes]]:
    """The lines below the first one, and the notes; each note has one empty line of its own."""
    if len(data) > LONGEST:
        raise ProofError(
            f"a proof has at most {LONGEST} bytes, and this is longer: give what dealgate ledger prove wrote"
        )
    head, *parts = data.removesuffix(b"\n").split(b"\n\n")
    lines = head.decode(errors="replace").split("\n")
    if lines[0] != kind:
        raise ProofError(  # which line it has is not told: it may be that of a private key, or of a deal
            f"expected a proof that begins with the line {INCLUSION!r} or {CONSISTENCY!r}, got another first line: "
            "give what dealgate ledger prove wrote, byte for byte"
        )
    if len(parts) != 2 * notes:
        raise ProofError(
            f"a proof of this kind holds {2 * notes} parts with empty lines between, got {len(parts)}: copy it again"
        )
    return lines[1:], [
        text + b"\n\n" + signatures + b"\n" for text, signatures in zip(parts[::2], parts[1::2], strict=True)
    ]


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    try:
        return tuple(decode64(line, "hash") for line in lines)
    except NoteError as error:
        raise ProofError(str(error)) from None


def _same(proof: P, data: bytes) -> P:
    if proof.encode() != data:
        raise ProofError("the proof is not written as it must be: writing it again gives other bytes")
    return proof


def _checkpoint(note: bytes) -> Checkpoint:
    try:
        return Checkpoint.parse(Note.parse(note).text)
    except NoteError as error:
        raise ProofError(str(error)) from None


def _signed(note: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    try:
        return read_checkpoint(note, keys)
    except NoteError as error:
        raise ProofError(str(error)) from None
