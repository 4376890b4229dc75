"""Signed notes and checkpoints, exactly as c2sp.org/signed-note and c2sp.org/tlog-checkpoint write them.

A checkpoint states how many entries a ledger has and the root of the tree over them; its note adds signatures. Whoever holds a
note and the key's text form can hold the ledger to it, with other people's programs too.
"""

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from dealgate.models.merkle import HASH_BYTES
from dealgate.models.signing import Kind, NoteError, Signer, VerifierKey, check_name, decode64, encode64

MOST_BYTES = 200_000
"""Of a note: sixteen signatures of the largest kind that is assigned, and room to spare."""

MOST_ENTRIES = 2**63 - 1

LATER_INCARNATION = re.compile(r"[2-9]|[1-9][0-9]{1,17}")

SIGNATURE_LINE = re.compile(r"— ([^ ]+) ([^ ]+)")


class Signature(NamedTuple):
    """One line below a note; `value` is what the kind of key makes."""

    name: str
    key_id: bytes
    value: bytes

    @property
    def line(self) -> str:
        return f"— {self.name} {encode64(self.key_id + self.value)}\n"


class Note(NamedTuple):
    """A text that ends with a line end, and signatures that nothing has been said about yet."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        return f"{self.text}\n{''.join(signature.line for signature in self.signatures)}".encode()

    @classmethod
    def parse(cls, data: bytes) -> "Note":
        """Read a note; only the very bytes that `encode` gives are one. Raises `NoteError`."""
        text, blank, lines = _decoded(data).rpartition("\n\n")
        if not blank or not lines.endswith("\n"):
            raise NoteError(
                "a note is text, an empty line and signature lines, each with its line end; got no such parts"
            )
        note = cls(text + "\n", tuple(read_signature(line) for line in lines[:-1].split("\n")))
        if note.encode() != data:
            raise NoteError("the note is not written as it must be: writing it again gives other bytes")
        return note

    def verified_by(self, keys: Iterable[VerifierKey]) -> list[VerifierKey]:
        """Those of the keys that signed. Raises `NoteError` where one of them did not make the signature that names it."""
        known = {(key.name, key.key_id): key for key in keys}
        signed = [(known.get((part.name, part.key_id)), part.value) for part in self.signatures]
        for key, value in signed:
            if key:
                key.verify(self.text.encode(), value)
        return [key for key, _ in signed if key]


def read_signature(line: str) -> Signature:
    """One signature line without its line end. Raises `NoteError`."""
    found = SIGNATURE_LINE.fullmatch(line)
    if not found:
        raise NoteError(
            f"a signature line reads '— <key name> <base64>', got one of {len(line)} characters that does not"
        )
    check_name(found[1])
    data = decode64(found[2], "signature")
    if len(data) <= 4:
        raise NoteError(f"a signature by {found[1]} has its key's ID and more, got {len(data)} bytes")
    return Signature(found[1], data[:4], data[4:])


class Checkpoint(NamedTuple):
    """How many entries the ledger called `origin` has, and the 32-byte root of the tree over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{encode64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read the text of a note; three lines, no extensions. Raises `NoteError`."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or not lines[0]:
            raise NoteError(f"a checkpoint has three lines: origin, size and root; got {text.count(chr(10))}")
        if not re.fullmatch("0|[1-9][0-9]{0,18}", lines[1]) or int(lines[1]) > MOST_ENTRIES:
            raise NoteError(f"the size of a checkpoint is a plain number up to 2^63 - 1, got {lines[1]!r}")
        root = decode64(lines[2], "root")
        if len(root) != HASH_BYTES:
            raise NoteError(f"the root of a checkpoint has {HASH_BYTES} bytes, got {len(root)}")
        return cls(lines[0], int(lines[1]), root)


def sign_checkpoint(checkpoint: Checkpoint, *signers: Signer) -> bytes:
    """The note of a checkpoint. Raises `NoteError` where a signer's name does not stand for the origin."""
    text, signatures = checkpoint.text, list[Signature]()
    for signer in signers:
        key = signer.key
        if not speaks_for(key, checkpoint.origin):
            raise NoteError(
                f"{key.name} does not sign for {checkpoint.origin}: the origin is the key's name, or lies below it"
            )
        signatures.append(Signature(key.name, key.key_id, signer.sign(text.encode())))
    data = Note(text, tuple(signatures)).encode()
    for signer in signers:
        read_checkpoint(data, [signer.key])
    return data


def read_checkpoint(data: bytes, keys: Collection[VerifierKey]) -> Checkpoint:
    """The checkpoint of a note that one of the ledger's keys and every witness among the keys signed. Raises `NoteError`."""
    note = Note.parse(data)
    checkpoint = Checkpoint.parse(note.text)
    signed = note.verified_by(keys)
    if not any(speaks_for(key, checkpoint.origin) for key in signed):
        raise NoteError(f"no key of {checkpoint.origin} signed: {_expected(keys, note)}")
    if missing := [key for key in keys if key.kind is Kind.COSIGNATURE and key not in signed]:
        raise NoteError(f"a witness did not sign: {_expected(missing, note)}")
    return checkpoint


def speaks_for(key: VerifierKey, origin: str) -> bool:
    """Whether a key signs checkpoints of a ledger: its own, and those below its name, as `name/2` after a restore."""
    return key.kind is Kind.ED25519 and f"{origin}/".startswith(f"{key.name}/")


def incarnation(origin: str, name: str) -> int | None:
    """Which life of the ledger called `name` an origin is: 1 its first, 2 the one after a restore; None for what is not of it."""
    if origin == name:
        return 1
    number = origin.removeprefix(f"{name}/") if origin.startswith(f"{name}/") else ""
    return int(number) if LATER_INCARNATION.fullmatch(number) else None


def _expected(keys: Collection[VerifierKey], note: Note) -> str:
    expected = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in keys) or "none, for no key was given"
    got = ", ".join(f"{part.name}+{part.key_id.hex()}" for part in note.signatures)
    return f"expected {expected}; got {got}"


def _decoded(data: bytes) -> str:
    if len(data) > MOST_BYTES:
        raise NoteError(f"a note has at most {MOST_BYTES} bytes, got {len(data)}")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise NoteError(f"a note is UTF-8, got other bytes at {error.start}") from None
    if control := next((character for character in text if character < " " and character != "\n"), None):
        raise NoteError(f"a note has no control characters but line ends, got {control!r}")
    return text
