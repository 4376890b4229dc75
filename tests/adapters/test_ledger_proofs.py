"""Proof files: accepted by a verifier of their own, refused after any change."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from dealgate.adapters.ledger_proofs import (
    ConsistencyProof,
    InclusionProof,
    Proof,
    prove_consistency,
    prove_inclusion,
    read_proof,
)
from dealgate.models.merkle import ProofError
from dealgate.models.notes import Note, Signature
from dealgate.models.signing import Ed25519Signer, Kind, VerifierKey, cosigned, new_key
from tests.adapters.sealed import Sealed
from tests.models import c2sp

LEDGER = Sealed(200)
KEYS = [LEDGER.signer.key]
INCLUSION = prove_inclusion(70, LEDGER.note(150), LEDGER.nodes)
CONSISTENCY = prove_consistency(LEDGER.note(70), LEDGER.note(150), LEDGER.nodes)


def holds(data: bytes, entry: bytes = LEDGER.entries[70], keys: list[VerifierKey] = KEYS) -> bool:
    """Whether a file with these bytes proves anything."""
    try:
        if data.startswith(b"dealgate"):
            ConsistencyProof.parse(data).check(keys)
        else:
            InclusionProof.parse(data).check(entry, keys)
    except ProofError:
        return False
    return True


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (1, 2), (199, 200), (0, 200), (128, 129), (77, 128)])
def test_an_entry_is_proved_under_a_checkpoint(index: int, size: int, tmp_path: Path) -> None:
    path = tmp_path / "entry.tlog-proof"
    path.write_bytes(prove_inclusion(index, LEDGER.note(size), LEDGER.nodes).encode())
    proof = read_proof(path)
    assert isinstance(proof, InclusionProof)
    assert proof.check(LEDGER.entries[index], KEYS) == LEDGER.checkpoint(size)
    assert c2sp.logged(path.read_bytes(), LEDGER.entries[index], KEYS[0].text)
    assert not c2sp.logged(path.read_bytes(), LEDGER.entries[index] + b" ", KEYS[0].text)


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 5), (5, 5), (1, 2), (6, 8), (128, 200), (199, 200)])
def test_a_ledger_is_proved_to_have_only_grown(old: int, new: int, tmp_path: Path) -> None:
    path = tmp_path / "growth.proof"
    path.write_bytes(prove_consistency(LEDGER.note(old), LEDGER.note(new), LEDGER.nodes).encode())
    proof = read_proof(path)
    assert isinstance(proof, ConsistencyProof)
    assert proof.check(KEYS) == (LEDGER.checkpoint(old), LEDGER.checkpoint(new))


@pytest.mark.parametrize("proof", [INCLUSION, CONSISTENCY, prove_inclusion(0, LEDGER.note(1), LEDGER.nodes)])
def test_no_proof_file_with_a_changed_byte_is_accepted(proof: Proof) -> None:
    data = proof.encode()
    entry = LEDGER.entries[proof.index] if isinstance(proof, InclusionProof) else b""
    assert holds(data, entry)
    for at, byte in enumerate(data):
        for bit in (0, 5, 7):
            assert not holds(data[:at] + bytes([byte ^ 1 << bit]) + data[at + 1 :], entry), (at, bit)
        assert not holds(data[:at] + data[at + 1 :], entry), at
        assert not holds(data[:at], entry), at
        for extra in (b"\n", b" ", b"0", b"\x00"):
            assert not holds(data[:at] + extra + data[at:], entry), (at, extra)
    assert not holds(data + b"\n", entry)
    assert not holds(data + data, entry)


def test_no_entry_with_a_changed_byte_is_accepted() -> None:
    data, entry = INCLUSION.encode(), LEDGER.entries[70]
    for at, byte in enumerate(entry):
        for bit in range(8):
            assert not holds(data, entry[:at] + bytes([byte ^ 1 << bit]) + entry[at + 1 :])
    assert not any(holds(data, other) for other in LEDGER.entries if other != entry)


def test_lines_that_change_places_are_refused() -> None:
    for proof in (INCLUSION, CONSISTENCY):
        lines = proof.encode().splitlines(keepends=True)
        for first in range(len(lines)):
            for second in range(first + 1, len(lines)):
                swapped = list(lines)
                swapped[first], swapped[second] = lines[second], lines[first]
                assert swapped == lines or not holds(b"".join(swapped))


def test_a_witness_that_is_asked_for_must_have_signed_the_note() -> None:
    witness = Ed25519Signer.parse(new_key("witness.example").private)
    key = witness.key._replace(kind=Kind.COSIGNATURE)
    note = Note.parse(LEDGER.note(150))
    value = bytes(8) + witness.sign(cosigned(note.text.encode(), 0))
    signed = note._replace(signatures=(*note.signatures, Signature(key.name, key.key_id, value))).encode()
    proof = prove_inclusion(70, signed, LEDGER.nodes)
    assert holds(proof.encode(), keys=[*KEYS, key])
    assert not holds(INCLUSION.encode(), keys=[*KEYS, key])
    for at, byte in enumerate(data := proof.encode()):
        assert not holds(data[:at] + bytes([byte ^ 1]) + data[at + 1 :], keys=[*KEYS, key]), at


def test_another_history_under_the_same_key_is_not_the_same_ledger() -> None:
    fork = Sealed(200, but=b" or not")
    fork.signer = LEDGER.signer
    proof = prove_consistency(LEDGER.note(70), fork.note(150), fork.nodes)
    with pytest.raises(
        ProofError, match=r"from 70 to 150 entries: the root at 70: expected [0-9a-f]{64}, got [0-9a-f]{64}"
    ):
        proof.check(KEYS)


def test_errors_name_what_was_expected_and_what_came(tmp_path: Path) -> None:
    root = LEDGER.checkpoint(150).root.hex()
    with pytest.raises(ProofError, match=rf"entry 70 of 150: the root: expected {root}, got [0-9a-f]{{64}}"):
        INCLUSION.check(b"another entry", KEYS)
    with pytest.raises(ProofError, match=r"no key of lender\.example/ledger signed: expected other\.example\+"):
        INCLUSION.check(LEDGER.entries[70], [new_key("other.example").public])
    other = Sealed(200, origin="lender.example/ledger/2")
    proof = replace(CONSISTENCY, newer=other.note(150))
    with pytest.raises(
        ProofError, match=r"of two ledgers: expected lender\.example/ledger twice, got lender\.example/ledger/2"
    ):
        proof.check([*KEYS, other.signer.key])
    with pytest.raises(ProofError, match="a tree of 150 entries has none at 150"):
        prove_inclusion(150, LEDGER.note(150), LEDGER.nodes)
    with pytest.raises(ProofError, match="cannot grow from 150 to 70"):
        prove_consistency(LEDGER.note(150), LEDGER.note(70), LEDGER.nodes)
    with pytest.raises(ProofError, match="a note is text"):
        prove_inclusion(0, b"", LEDGER.nodes)
    with pytest.raises(ProofError, match=f"{tmp_path / 'none'} cannot be read: No such file"):
        read_proof(tmp_path / "none")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a proof that begins with the line 'c2sp.org/tlog-proof@v1' or 'dealgate consistency-proof@v1', got another"),
        (b"\xff\xfe", "expected a proof that begins"),
        (b"c2sp.org/tlog-proof@v2\nindex 0\n\n", "got another first line: give what dealgate ledger prove wrote"),
        (INCLUSION.encode().partition(b"\n\n")[0], "holds 2 parts with empty lines between, got 0: copy it again"),
        (INCLUSION.encode().replace(b"index 70\n", b""), "comes the entry's index, as 'index 0', got"),
        (INCLUSION.encode().replace(b"index 70", b"index 070"), "got ['index 070']"),
        (INCLUSION.encode().replace(b"index 70", b"extra QUJD\nindex 70"), "got ['extra QUJD']"),
        (INCLUSION.encode().replace(b"index 70\n", b"index 70\nAAAB\n"), "expected 8 hashes of 32 bytes, got 9 (3, 32"),
        (INCLUSION.encode().replace(b"index 70\n", b"index 70\nAAA\n"), "the hash is not base64 as it must be written: 'AAA'"),
        (b"c2sp.org/tlog-proof@v1\n" + b"A" * 700_000, "a proof has at most 600000 bytes, and this is longer"),
        (INCLUSION.encode() + b"\n", "got"),
    ],
)  # fmt: skip
def test_files_that_are_no_proof_are_refused(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "proof"
    path.write_bytes(data)
    with pytest.raises(ProofError, match=re.escape(message)):
        InclusionProof.check(read_proof(path), LEDGER.entries[70], KEYS)  # type: ignore[arg-type]


def test_a_proof_tells_hashes_and_counts_only() -> None:
    words = re.sub(r"[A-Za-z0-9+/]{43}=", "hash", INCLUSION.encode().decode().partition("\n—")[0])
    assert words == "c2sp.org/tlog-proof@v1\nindex 70\n" + "hash\n" * 8 + "\nlender.example/ledger\n150\nhash\n"
