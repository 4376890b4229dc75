"""Keys in C2SP's text forms, in PEM, in files and in the environment."""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from dealgate.models.signing import Ed25519Signer, Kind, NoteError, VerifierKey, new_key
from tests.models import c2sp
from tests.programs import program

# The key pair that the reference implementation of signed notes publishes for tests.
PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NAME = "lender.example/ledger"


def test_the_published_private_key_gives_the_published_public_key() -> None:
    assert Ed25519Signer.parse(PRIVATE).key.text == PUBLIC
    assert VerifierKey.parse(PUBLIC) == Ed25519Signer.parse(f"\n{PRIVATE}\n", "PeterNeumann").key


def test_a_new_key_is_read_back_and_by_the_verifier_written_from_the_text() -> None:
    private, public = new_key(NAME)
    assert Ed25519Signer.parse(private).key == public == VerifierKey.parse(public.text)
    assert c2sp.vkey(public.text) == (NAME, public.key_id, 1, public.public)
    assert new_key(NAME).public != public


def test_every_part_and_every_changed_character_of_a_key_is_refused() -> None:
    for start in range(len(PUBLIC)):
        for end in range(start, len(PUBLIC) + (start > 0)):
            with pytest.raises(NoteError):
                VerifierKey.parse(PUBLIC[start:end])
    for at, character in enumerate(PUBLIC):
        with pytest.raises(NoteError):
            VerifierKey.parse(PUBLIC[:at] + chr(ord(character) + 1) + PUBLIC[at + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",  # too long, its ID right
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",  # type 0x65, its ID right
        PUBLIC.replace("c74f20a3", "C74F20A3"),
        PUBLIC + "\n",
        " " + PUBLIC,
    ],
)
def test_keys_that_are_not_as_c2sp_writes_them_are_refused(text: str) -> None:
    with pytest.raises(NoteError):
        VerifierKey.parse(text)


def test_a_private_key_in_the_wrong_place_is_never_told() -> None:
    for text in (PRIVATE, f"\N{ZERO WIDTH NO-BREAK SPACE}{PRIVATE}", f"'{PRIVATE}'"):
        with pytest.raises(NoteError, match="this is a private key: give the verifier key in its place") as refused:
            VerifierKey.parse(text)
        assert PRIVATE[-30:] not in str(refused.value)
    with pytest.raises(NoteError, match="this is a private key: give the name of the file") as refused:
        Ed25519Signer.from_file(PRIVATE)
    assert PRIVATE[-30:] not in str(refused.value)


def test_a_witness_key_is_another_key_of_the_same_bytes() -> None:
    key = VerifierKey.parse(PUBLIC)
    witness = key._replace(kind=Kind.COSIGNATURE)
    assert VerifierKey.parse(witness.text) == witness
    assert witness.key_id != key.key_id
    assert c2sp.vkey(witness.text)[2] == 4


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u3000b", "a\x01", "\ud800"])
def test_names_that_no_signature_line_can_hold_are_refused(name: str) -> None:
    with pytest.raises(NoteError, match="a key's name"):
        new_key(name)


def pem(private: object, encryption: object = None) -> str:
    written = private.private_bytes(  # type: ignore[attr-defined]
        Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()
    )
    return str(written.decode())


def test_a_key_in_pem_signs_under_the_name_that_is_given() -> None:
    private = Ed25519PrivateKey.generate()
    signer = Ed25519Signer.parse(pem(private), NAME)
    assert signer.key == VerifierKey(NAME, private.public_key().public_bytes_raw())
    signer.key.verify(b"text", signer.sign(b"text"))
    with pytest.raises(NoteError, match="a key in PEM has no name: give the one"):
        Ed25519Signer.parse(pem(private))


def test_keys_made_by_openssl_are_read(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    openssl = program("openssl", "the reading of its keys is not tested")
    subprocess.run([openssl, "genpkey", "-algorithm", "ed25519", "-out", path], check=True, timeout=60)
    assert Ed25519Signer.from_file(path, NAME).key.name == NAME


def test_keys_come_from_files_and_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.key"
    path.write_text(PRIVATE + "\n")
    monkeypatch.setenv("LEDGER_KEY", PRIVATE)
    assert Ed25519Signer.from_file(path).key == Ed25519Signer.from_environment("LEDGER_KEY").key


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("", None, "the private key is unreadable: expected PRIVATE+KEY+<name>+<id>+<base64>, or PEM"),
        (PUBLIC, None, "the private key is unreadable"),
        (PRIVATE, "lender", "signs as PeterNeumann, not as lender"),
        (PRIVATE.replace("c74f20a3", "c74f20a4"), None, "its ID must be c74f20a3"),
        (PRIVATE.replace("+AYEK", "+BYEK"), None, "expected type 1 (Ed25519), got 5"),
        (PRIVATE[:-1], None, "base64"),
        (PRIVATE[:-4], None, "expected a type byte and 32 bytes, got 30 bytes"),
        (PRIVATE[:-1] + "\nXYZ", None, "base64"),
        (pem(generate_private_key(SECP256R1())), NAME, "expected an Ed25519 key, got"),
        (pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"x")), NAME, "unencrypted"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", NAME, "the PEM is not that"),
    ],
)
def test_private_keys_that_cannot_sign_are_refused_and_never_shown(text: str, name: str | None, message: str) -> None:
    with pytest.raises(NoteError) as refused:
        Ed25519Signer.parse(text, name)
    assert message in str(refused.value)
    assert refused.value.__cause__ is None
    assert "KFALVFGyNhP" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_where_a_key_was_looked_for_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing, binary, wrong = tmp_path / "none", tmp_path / "binary", tmp_path / "wrong"
    binary.write_bytes(b"\xff\xfe")
    wrong.write_text("hello")
    monkeypatch.delenv("LEDGER_KEY", raising=False)
    with pytest.raises(NoteError, match=f"the key file {missing} cannot be read: No such file"):
        Ed25519Signer.from_file(missing)
    with pytest.raises(NoteError, match=f"the key file {binary} cannot be read: it is not text"):
        Ed25519Signer.from_file(binary)
    with pytest.raises(NoteError, match=f"the key file {wrong}: the private key is unreadable"):
        Ed25519Signer.from_file(wrong)
    with pytest.raises(NoteError, match="the environment variable LEDGER_KEY is not set: put"):
        Ed25519Signer.from_environment("LEDGER_KEY")


def test_a_signature_of_another_text_is_refused() -> None:
    signer = Ed25519Signer.parse(PRIVATE)
    with pytest.raises(NoteError, match=r"the signature by PeterNeumann\+c74f20a3 is not one of this text"):
        signer.key.verify(b"text", signer.sign(b"other text"))
