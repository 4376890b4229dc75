"""Keys that sign the ledger's checkpoints, in the text forms of c2sp.org/signed-note."""

import base64
import binascii
import os
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

PRIVATE = "PRIVATE+KEY+"
PRIVATE_FORMS = (PRIVATE, "-----BEGIN")
"""How a private key begins, in C2SP's text form and in PEM."""


class NoteError(ValueError):
    """A note, a checkpoint or a key that is not as it must be; the message gives what was expected and what came."""


class Kind(IntEnum):
    """What a key signs, by the number that C2SP assigns."""

    ED25519 = 1
    COSIGNATURE = 4
    """A witness's: it signs the moment with the note."""


class VerifierKey(NamedTuple):
    """A public key with the name it signs under; `public` is 32 bytes of Ed25519."""

    name: str
    public: bytes
    kind: Kind = Kind.ED25519

    @property
    def key_id(self) -> bytes:
        """Four bytes that stand for the key in a signature line."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """As C2SP writes verifier keys: name, key ID and key."""
        return f"{self.name}+{self.key_id.hex()}+{encode64(bytes([self.kind]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read the text form. Raises `NoteError`, which never tells what was given in its place: it may be secret."""
        if PRIVATE in text:
            raise NoteError(
                "this is a private key: give the verifier key in its place, and let nobody else see this one"
            )
        name, key_id, data = _key_parts(text, "(verifier)")
        if data[0] not in list(Kind):
            raise NoteError(f"key of {name}: expected type 1 (Ed25519) or 4 (witness cosignature), got {data[0]}")
        key = cls(name, data[1:], Kind(data[0]))
        return _with_id(key, key_id)

    def verify(self, text: bytes, signature: bytes) -> None:
        """Hold what follows the key ID in a signature line against the note's text. Raises `NoteError`."""
        if self.kind is Kind.COSIGNATURE:
            text, signature = cosigned(text, moment_of(signature)), signature[8:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except InvalidSignature:
            raise NoteError(f"the signature by {self.name}+{self.key_id.hex()} is not one of this text") from None


def moment_of(cosignature: bytes) -> int:
    """When a witness signed, by its own clock: seconds since 1970."""
    return int.from_bytes(cosignature[:8])


def cosigned(text: bytes, moment: int) -> bytes:
    """What a witness signs: the note's text with the moment, in seconds since 1970."""
    return b"cosignature/v1\ntime %d\n" % moment + text


class Signer(Protocol):
    """A private key, wherever it lies: a file, an environment variable or a PKCS#11 token that only signs."""

    @property
    def key(self) -> VerifierKey: ...

    def sign(self, message: bytes, /) -> bytes:
        """The 64 bytes of an Ed25519 signature."""


class Ed25519Signer:
    """A private key in this process's memory."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        check_name(name)
        self._private = private
        self.key = VerifierKey(name, private.public_key().public_bytes_raw())

    def sign(self, message: bytes, /) -> bytes:
        return self._private.sign(message)

    @classmethod
    def parse(cls, text: str, name: str | None = None) -> "Ed25519Signer":
        """Read a key in C2SP's text form, or in PEM, which needs a `name`. Raises `NoteError`."""
        text = text.strip()
        if text.startswith("-----BEGIN"):
            if name is None:
                raise NoteError("a key in PEM has no name: give the one that it signs under")
            return cls(name, _private_of_pem(text))
        signer = cls._of_note_text(text)
        if name not in {None, signer.key.name}:
            raise NoteError(f"the private key signs as {signer.key.name}, not as {name}: give its own name or none")
        return signer

    @classmethod
    def _of_note_text(cls, text: str) -> "Ed25519Signer":
        if not text.startswith(PRIVATE):
            raise NoteError(f"the private key is unreadable: expected {PRIVATE}<name>+<id>+<base64>, or PEM")
        name, key_id, data = _key_parts(text.removeprefix(PRIVATE), "(private)")
        if data[0] != Kind.ED25519:
            raise NoteError(f"key (private): expected type 1 (Ed25519), got {data[0]}")
        signer = cls(name, Ed25519PrivateKey.from_private_bytes(data[1:]))
        _with_id(signer.key, key_id)
        return signer

    @classmethod
    def from_file(cls, path: str | Path, name: str | None = None) -> "Ed25519Signer":
        """Read a key file. Raises `NoteError`, which never tells a key that was given in place of a file's name."""
        if str(path).strip().startswith(PRIVATE_FORMS):
            raise NoteError("this is a private key: give the name of the file that holds it in its place")
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise NoteError(f"the key file {path} cannot be read: {reason}") from None
        return cls._named(f"the key file {path}", text, name)

    @classmethod
    def from_environment(cls, variable: str, name: str | None = None) -> "Ed25519Signer":
        """Read a key out of an environment variable. Raises `NoteError`."""
        if not (text := os.environ.get(variable)):
            raise NoteError(f"the environment variable {variable} is not set: put the private key there")
        return cls._named(f"the environment variable {variable}", text, name)

    @classmethod
    def _named(cls, source: str, text: str, name: str | None) -> "Ed25519Signer":
        try:
            return cls.parse(text, name)
        except NoteError as error:
            raise NoteError(f"{source}: {error}") from None


class NewKey(NamedTuple):
    """A fresh pair; `private` is the text to keep secret, for `Ed25519Signer`."""

    private: str
    public: VerifierKey


def new_key(name: str) -> NewKey:
    """Make a key that signs under a name, such as `lender.example/ledger`. Raises `NoteError`."""
    private = Ed25519PrivateKey.generate()
    key = Ed25519Signer(name, private).key
    secret = encode64(bytes([Kind.ED25519]) + private.private_bytes_raw())
    return NewKey(f"{PRIVATE}{name}+{key.key_id.hex()}+{secret}", key)


# Parts


def encode64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def decode64(text: str, what: str) -> bytes:
    """Standard base64 as it must be written, spare bits zero. Raises `NoteError`."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        data = b""
    if not data or encode64(data) != text:
        raise NoteError(f"the {what} is not base64 as it must be written: {text!r}")
    return data


def check_name(name: str) -> None:
    if not name or any(map(_cannot_name, name)):
        raise NoteError(f"a key's name is text without spaces, plus signs and control characters, got {name!r}")


def _cannot_name(character: str) -> bool:
    return character.isspace() or character < " " or character == "+" or "\ud800" <= character <= "\udfff"


def _key_parts(text: str, shown: str) -> tuple[str, str, bytes]:
    """Name, key ID and the typed key. Says `shown` in its place: it may be private, or something else altogether."""
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise NoteError(f"key {shown}: expected <name>+<8 hex digits>+<base64>, as new-key printed it")
    try:
        check_name(parts[0])
        data = decode64(parts[2], "key")
    except NoteError:
        raise NoteError(f"key {shown}: expected a name without spaces, and base64 as it must be written") from None
    if len(data) != 33:
        raise NoteError(f"key {shown}: expected a type byte and 32 bytes, got {len(data)} bytes")
    return parts[0], parts[1], data


def _with_id(key: VerifierKey, key_id: str) -> VerifierKey:
    if key.key_id.hex() != key_id:
        raise NoteError(f"key of {key.name}: its ID must be {key.key_id.hex()}: copy the whole key again")
    return key


def _private_of_pem(text: str) -> Ed25519PrivateKey:
    try:
        private = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise NoteError("the PEM is not that of an unencrypted private key") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise NoteError(
            f"expected an Ed25519 key, got {type(private).__name__}: openssl genpkey -algorithm ed25519 makes one"
        )
    return private
