"""An anchor that is a witness (c2sp.org/tlog-witness): it signs only what continues all it has signed of a ledger before."""

import re
from datetime import UTC, datetime

from dealgate.adapters.anchors.anchor import AnchorConflictError, AnchorError
from dealgate.adapters.anchors.posting import Answer, check_address, post
from dealgate.models.merkle import Nodes, consistency_proof
from dealgate.models.notes import Checkpoint, Note, Signature, read_signature
from dealgate.models.signing import Kind, NoteError, VerifierKey, encode64, moment_of

TRIES = 4
"""A witness may sign for another process of ours while it is told where it stood."""

REMEDIES = {
    403: "it does not know the key that signed the note: give its operator the ledger's verifier key",
    409: "it signed other sizes each time it was asked: anchor again",
    404: "it does not know the ledger: give its operator the origin and the verifier key",
}


class WitnessAnchor:
    """A witness at an address, with the key that it cosigns with."""

    def __init__(self, url: str, key: VerifierKey) -> None:
        if key.kind is not Kind.COSIGNATURE:
            raise AnchorError(f"{key.text} is not a witness's key: expected one of type 4 (cosignature/v1)")
        self.url = check_address(url).removesuffix("/")
        self.key = key
        self.name = f"witness:{url}#{key.text}"
        self._cosigned = 0

    def publish(self, note: bytes, nodes: Nodes, /) -> bytes:
        """Have the note cosigned. The receipt is the note with the witness's signature. Raises `AnchorError`."""
        checkpoint = Checkpoint.parse(Note.parse(note).text)
        self._cosigned = min(self._cosigned, checkpoint.size)
        for _ in range(TRIES):
            answer = self._add(note, checkpoint, nodes)
            if answer.status != 409:
                break
            self._cosigned = self._told_size(answer, checkpoint)
        if answer.status != 200:
            raise self._refusal(answer, checkpoint)
        receipt = self._cosigned_note(note, answer)
        self._cosigned = checkpoint.size
        return receipt

    def check(self, receipt: bytes, note: bytes, /) -> datetime:
        """When the witness signed, by its clock. Raises `AnchorConflictError`."""
        try:
            cosigned = Note.parse(receipt)
            others = tuple(part for part in cosigned.signatures if not self._made(part))
            if (original := cosigned._replace(signatures=others).encode()) != note:
                raise NoteError(f"expected the note {note!r}, got {original!r}")
            return self._moment(cosigned)
        except NoteError as error:
            raise AnchorConflictError(f"the receipt of {self.url} does not hold: {error}") from None

    def _add(self, note: bytes, checkpoint: Checkpoint, nodes: Nodes) -> Answer:
        proof = consistency_proof(self._cosigned, checkpoint.size, nodes)
        lines = [f"old {self._cosigned}", *map(encode64, proof), "", ""]
        return post(f"{self.url}/add-checkpoint", "\n".join(lines).encode() + note, "text/plain; charset=utf-8")

    def _told_size(self, answer: Answer, checkpoint: Checkpoint) -> int:
        """The size that the witness signed last, out of its refusal of another one."""
        if not re.fullmatch(rb"(0|[1-9][0-9]{0,18})\n", answer.body):
            raise AnchorError(
                f"{self.url} answered 409: expected the size that it signed last, got {answer.body[:100]!r}"
            )
        size = int(answer.body)
        if size > checkpoint.size:
            raise AnchorConflictError(
                f"{self.url} has signed {checkpoint.origin} with {size} entries, the note has {checkpoint.size}: "
                "the ledger was rolled back, or another copy of it signs"
            )
        if size == self._cosigned == checkpoint.size:
            raise self._fork(checkpoint)
        return size

    def _refusal(self, answer: Answer, checkpoint: Checkpoint) -> AnchorError:
        if answer.status == 422:
            return self._fork(checkpoint)
        remedy = REMEDIES.get(answer.status, f"it says {answer.body[:200].decode(errors='replace')!r}")
        return AnchorError(f"{self.url} answered {answer.status} instead of 200: {remedy}")

    def _fork(self, checkpoint: Checkpoint) -> AnchorConflictError:
        return AnchorConflictError(
            f"{self.url} has signed {checkpoint.origin} with {self._cosigned} entries, and the tree of {checkpoint.size} entries "
            f"with root {checkpoint.root.hex()} does not continue that one: the ledger was forked"
        )

    def _cosigned_note(self, note: bytes, answer: Answer) -> bytes:
        read = Note.parse(note)
        try:
            lines = answer.body.decode().removesuffix("\n").split("\n")
            ours = tuple(part for part in map(read_signature, lines) if self._made(part))
            cosigned = read._replace(signatures=(*read.signatures, *ours))
            receipt = cosigned.encode()
            self._moment(Note.parse(receipt))
        except (NoteError, UnicodeDecodeError) as error:
            raise AnchorError(f"{self.url} answered with no cosignature by {self.key.text}: {error}") from None
        return receipt

    def _moment(self, note: Note) -> datetime:
        """The latest moment that the witness signed the note at. Raises `NoteError`."""
        if self.key not in note.verified_by([self.key]):
            raise NoteError(f"expected a signature by {self.key.name}+{self.key.key_id.hex()}")
        seconds = max(moment_of(part.value) for part in note.signatures if self._made(part))
        try:
            return datetime.fromtimestamp(seconds, UTC)
        except (OverflowError, ValueError, OSError):
            raise NoteError(f"expected seconds since 1970, got {seconds}") from None

    def _made(self, part: Signature) -> bool:
        return (part.name, part.key_id) == (self.key.name, self.key.key_id)
