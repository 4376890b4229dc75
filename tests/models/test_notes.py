"""Signed notes and checkpoints against the published examples, a verifier of their own, and every changed bit."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dealgate.models.merkle import consistency_proof, inclusion_proof, leaf_hash, tree_root
from dealgate.models.notes import (
    MOST_BYTES,
    Checkpoint,
    Note,
    Signature,
    read_checkpoint,
    read_signature,
    sign_checkpoint,
)
from dealgate.models.signing import Ed25519Signer, Kind, NoteError, VerifierKey, cosigned, new_key
from tests.models import c2sp
from tests.models.test_signing import PRIVATE, PUBLIC
from tests.models.trees import leaves_of, numbered

# The example of c2sp.org/signed-note, and the test note of the reference implementation.
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
REFERENCE_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
REFERENCE = (
    f"{REFERENCE_TEXT}\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()

# The note of c2sp.org/tlog-checkpoint; its key is not published.
UNSIGNED = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
).encode()

ORIGIN = "lender.example/ledger"
SIGNER = Ed25519Signer.parse(new_key(ORIGIN).private)
ROOT = bytes(range(32))
CHECKPOINT = Checkpoint(ORIGIN, 1000, ROOT)


def cosign(note: bytes, witness: Ed25519Signer, moment: int) -> bytes:
    """The note with a witness's line."""
    read = Note.parse(note)
    key = witness.key._replace(kind=Kind.COSIGNATURE)
    value = moment.to_bytes(8) + witness.sign(cosigned(read.text.encode(), moment))
    return read._replace(signatures=(*read.signatures, Signature(key.name, key.key_id, value))).encode()


def test_the_published_notes_verify_under_their_published_keys() -> None:
    key = VerifierKey.parse(EXAMPLE_KEY)
    assert Note.parse(EXAMPLE).verified_by([key]) == [key]
    assert Note.parse(EXAMPLE).text == "This is an example message.\n"
    key = VerifierKey.parse(PUBLIC)
    assert Note.parse(REFERENCE).verified_by([key]) == [key]


def test_signing_the_published_text_gives_the_published_note() -> None:
    signer = Ed25519Signer.parse(PRIVATE)
    value = signer.sign(REFERENCE_TEXT.encode())
    assert Note(REFERENCE_TEXT, (Signature(signer.key.name, signer.key.key_id, value),)).encode() == REFERENCE


def test_the_published_checkpoint_is_read_and_written_back() -> None:
    note = Note.parse(UNSIGNED)
    checkpoint = Checkpoint.parse(note.text)
    assert checkpoint[:2] == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.root.hex().startswith("0ac5186a91863e8e")
    assert checkpoint.text == note.text


def test_a_signed_checkpoint_is_read_back() -> None:
    note = sign_checkpoint(CHECKPOINT, SIGNER)
    assert read_checkpoint(note, [SIGNER.key]) == CHECKPOINT
    assert read_checkpoint(note, [new_key(ORIGIN).public, SIGNER.key]) == CHECKPOINT


@pytest.mark.parametrize(
    "checkpoint", [CHECKPOINT, Checkpoint(f"{ORIGIN}/2", 0, bytes(32)), Checkpoint(ORIGIN, 2**63 - 1, ROOT)]
)
def test_checkpoints_are_accepted_by_the_verifier_written_from_the_text(checkpoint: Checkpoint) -> None:
    note = sign_checkpoint(checkpoint, SIGNER)
    assert c2sp.checkpoint(note, SIGNER.key.text) == tuple(checkpoint)


def test_proofs_are_accepted_by_the_verifier_written_from_the_text() -> None:
    """And what that verifier says of forged ones is what it should say."""
    random = Random(9162)
    entries = numbered(260)
    tree = leaves_of(entries)
    roots = [tree_root(size, tree) for size in range(261)]
    for new in [*range(2, 40), *random.sample(range(40, 261), 12)]:
        for old in {1, new - 1, *(random.randrange(1, new) for _ in range(6))}:
            proof = consistency_proof(old, new, tree)
            assert c2sp.consistent(old, roots[old], new, roots[new], proof)
            assert not c2sp.consistent(old, roots[old], new, roots[new - 1], proof)
        for index in {0, new - 1, random.randrange(new)}:
            proof = inclusion_proof(index, new, tree)
            assert c2sp.included(leaf_hash(entries[index]), index, new, proof, roots[new])
            assert not c2sp.included(leaf_hash(b"another"), index, new, proof, roots[new])


def every_bit_flipped(data: bytes) -> list[bytes]:
    return [
        data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] for at in range(len(data)) for bit in range(8)
    ]  # fmt: skip


def accepted(notes: list[bytes], keys: list[VerifierKey]) -> list[bytes]:
    taken = list[bytes]()
    for note in notes:
        try:
            read_checkpoint(note, keys)
        except NoteError:
            continue
        taken.append(note)
    return taken


def test_no_note_with_one_flipped_bit_is_accepted() -> None:
    note = sign_checkpoint(CHECKPOINT, SIGNER)
    flipped = every_bit_flipped(note)
    assert len(flipped) == 8 * len(note) > 1400
    assert accepted([note], [SIGNER.key]) == [note]
    assert accepted(flipped, [SIGNER.key]) == []


def test_no_cosigned_note_with_one_flipped_bit_is_accepted_where_the_witness_is_asked_for() -> None:
    witness = Ed25519Signer.parse(new_key("witness.example/w1").private)
    keys = [SIGNER.key, witness.key._replace(kind=Kind.COSIGNATURE)]
    note = cosign(sign_checkpoint(CHECKPOINT, SIGNER), witness, 1_700_000_000)
    assert accepted([note], keys) == [note]
    assert accepted(every_bit_flipped(note), keys) == []
    assert c2sp.signed_text(note, keys[1].text).decode() == CHECKPOINT.text


def test_no_note_that_lost_or_gained_a_byte_is_accepted() -> None:
    note = sign_checkpoint(CHECKPOINT, SIGNER)
    shorter = [note[:at] + note[at + 1 :] for at in range(len(note))]
    longer = [note[:at] + extra + note[at:] for at in range(len(note) + 1) for extra in (b"\n", b" ", b"0", b"A", b"=")]
    cut = [note[:at] for at in range(len(note))]
    assert accepted([*shorter, *longer, *cut], [SIGNER.key]) == []


def test_a_witness_that_is_asked_for_must_have_signed() -> None:
    witness = new_key("witness.example/w1").public._replace(kind=Kind.COSIGNATURE)
    with pytest.raises(
        NoteError, match=r"a witness did not sign: expected witness\.example/w1\+[0-9a-f]{8}; got lender"
    ):
        read_checkpoint(sign_checkpoint(CHECKPOINT, SIGNER), [SIGNER.key, witness])


def test_signatures_of_unknown_keys_are_passed_over_and_one_known_one_is_needed() -> None:
    other = Ed25519Signer.parse(new_key("other.example").private)
    note = cosign(sign_checkpoint(CHECKPOINT, SIGNER), other, 1)
    assert read_checkpoint(note, [SIGNER.key]) == CHECKPOINT
    with pytest.raises(
        NoteError, match=rf"no key of {ORIGIN} signed: expected none, for no key was given; got {ORIGIN}"
    ):
        read_checkpoint(note, [])
    with pytest.raises(NoteError, match=rf"no key of {ORIGIN} signed: expected other\.example"):
        read_checkpoint(note, [other.key])


def test_a_key_speaks_for_its_own_ledger_and_what_lies_below_it_only() -> None:
    below = Checkpoint(f"{ORIGIN}/2", 7, ROOT)
    assert read_checkpoint(sign_checkpoint(below, SIGNER), [SIGNER.key]) == below
    for origin in ("lender.example", f"{ORIGIN}2", "other.example/ledger", ""):
        with pytest.raises(NoteError, match=f"{ORIGIN} does not sign for {origin}: the origin is"):
            sign_checkpoint(Checkpoint(origin, 7, ROOT), SIGNER)
    foreign = Checkpoint("other.example", 7, ROOT)
    value = SIGNER.sign(foreign.text.encode())
    note = Note(foreign.text, (Signature(ORIGIN, SIGNER.key.key_id, value),)).encode()
    with pytest.raises(NoteError, match=r"no key of other\.example signed"):
        read_checkpoint(note, [SIGNER.key])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n1\n", "three lines"),
        (f"\n1\n{'A' * 43}=\n", "three lines"),
        (f"a\n1\n{'A' * 43}=\nextension\n", "three lines"),
        (f"a\n1\n{'A' * 43}=\nno line end", "three lines"),
        (f"a\n01\n{'A' * 43}=\n", "plain number up to 2^63 - 1, got '01'"),
        (f"a\n-1\n{'A' * 43}=\n", "got '-1'"),
        (f"a\n1_0\n{'A' * 43}=\n", "got '1_0'"),
        (f"a\n٣\n{'A' * 43}=\n", "got '٣'"),
        (f"a\n9223372036854775808\n{'A' * 43}=\n", "got '9223372036854775808'"),
        (f"a\n{'9' * 5000}\n{'A' * 43}=\n", "plain number"),
        (f"a\n1\n{'A' * 42}B=\n", "the root is not base64 as it must be written"),
        ("a\n1\nAAAA\n", "the root of a checkpoint has 32 bytes, got 3"),
        ("a\n1\n\n", "the root is not base64"),
    ],
)
def test_texts_that_are_no_checkpoint_are_refused(text: str, message: str) -> None:
    with pytest.raises(NoteError) as refused:
        Checkpoint.parse(text)
    assert message in str(refused.value)


LINE = EXAMPLE.decode().partition("\n\n")[2]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a note is text, an empty line and signature lines"),
        (b"text\n", "a note is text"),
        (b"text\n\n", "a note is text"),
        (EXAMPLE[:-1], "each with its line end"),
        (b"text\n\nno signature\n", "got one of 12 characters that does not"),
        (f"text\n\n{LINE}\n".encode(), "a note is text"),
        (f"text\n\n{LINE}{LINE[2:]}".encode(), "a signature line reads"),
        (f"text\r\n\n{LINE}".encode(), r"got '\r'"),
        (f"te\tt\n\n{LINE}".encode(), r"got '\t'"),
        (b"\xff\n\n" + LINE.encode(), "a note is UTF-8, got other bytes at 0"),
        (b"a" * MOST_BYTES + EXAMPLE, f"at most {MOST_BYTES} bytes"),
        (f"text\n\n{LINE.replace('/foo', '+foo')}".encode(), "a key's name"),
        (f"text\n\n{LINE.replace('/foo', chr(0xA0))}".encode(), "a key's name"),
        (f"text\n\n{LINE.replace('aQM=', 'aQN=')}".encode(), "not base64 as it must be written"),
        (f"text\n\n{LINE.replace('aQM=', 'aQM')}".encode(), "not base64 as it must be written"),
        ("text\n\n— a AAAAAA==\n".encode(), "its key's ID and more, got 4 bytes"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_note_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(NoteError) as refused:
        Note.parse(data)
    assert message in str(refused.value)


def test_sixteen_signatures_of_the_largest_kind_fit() -> None:
    signatures = tuple(Signature(f"w{number}", bytes(4), bytes(5_000)) for number in range(16))
    note = Note("text\n", signatures)
    assert Note.parse(note.encode()) == note


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), st.lists(st.binary(min_size=1), min_size=1))
def test_what_is_written_is_read_as_it_was(text: str, values: list[bytes]) -> None:
    """Also texts with empty lines, and with what looks like a signature."""
    for body in (f"{text}\n", f"\n\n{text}\n\n", f"{text}\n\n{LINE}"):
        note = Note(body, tuple(Signature("name", bytes(4), value) for value in values))
        assert Note.parse(note.encode()) == note


def test_a_signature_line_is_read_alone() -> None:
    assert read_signature(LINE[:-1]).line == LINE
