"""The anchor that is a witness, against one that was written from the C2SP texts."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from random import Random

import pytest

from dealgate.adapters.anchors.addresses import parse_anchor
from dealgate.adapters.anchors.anchor import AnchorConflictError, AnchorError
from dealgate.adapters.anchors.witness import WitnessAnchor
from dealgate.models.merkle import consistency_proof
from dealgate.models.notes import Checkpoint, Note, read_checkpoint, sign_checkpoint
from dealgate.models.signing import VerifierKey, new_key
from tests.adapters.sealed import ORIGIN, Sealed
from tests.adapters.witness_from_text import Witness
from tests.models import c2sp
from tests.servers import Reply, serving

LEDGER = Sealed(300)
FORK = Sealed(300, but=b" or not")
FORK.signer = LEDGER.signer
MOMENT = datetime.fromtimestamp(1_700_000_000, UTC)


@pytest.fixture
def witness() -> Witness:
    return Witness({ORIGIN: LEDGER.signer.key.text})


@pytest.fixture
def url(witness: Witness) -> Iterator[str]:
    with serving(witness) as address:
        yield address


@pytest.fixture
def anchor(witness: Witness, url: str) -> WitnessAnchor:
    return WitnessAnchor(url, VerifierKey.parse(witness.key))


def test_growing_checkpoints_are_cosigned(witness: Witness, anchor: WitnessAnchor) -> None:
    sizes = [0, 1, 2, 3, 8, *sorted(Random(5).sample(range(9, 300), 20)), 300]
    keys = [LEDGER.signer.key, VerifierKey.parse(witness.key)]
    for size in sizes:
        receipt = anchor.publish(LEDGER.note(size), LEDGER.nodes)
        assert read_checkpoint(receipt, keys) == LEDGER.checkpoint(size)
        assert c2sp.signed_text(receipt, witness.key).decode() == LEDGER.checkpoint(size).text
        assert anchor.check(receipt, LEDGER.note(size)) == MOMENT
    assert len(witness.requests) == len(sizes)


def test_the_same_checkpoint_again_is_cosigned_again(witness: Witness, anchor: WitnessAnchor) -> None:
    first = anchor.publish(LEDGER.note(7), LEDGER.nodes)
    assert anchor.publish(LEDGER.note(7), LEDGER.nodes) == first


def test_an_anchor_that_starts_anew_asks_where_the_witness_stands(witness: Witness, url: str) -> None:
    for before, size in pairwise((0, 12, 12, 100)):
        anchor = parse_anchor(f"witness:{url}/#{witness.key}")
        anchor.check(anchor.publish(LEDGER.note(size), LEDGER.nodes), LEDGER.note(size))
        assert witness.requests[-1].startswith(b"old %d\n" % before)
    assert len(witness.requests) == 5


def test_another_process_that_is_faster_does_no_harm(witness: Witness) -> None:
    """The witness signs 20 entries for it, then 25, each time just before it is asked to go on from less."""
    faster = [20, 25]

    def answer(path: str, body: bytes) -> Reply:
        if faster:
            old = witness.seen.get(ORIGIN, (0, b""))[0]
            size = faster.pop(0)
            proof = [base64.b64encode(part).decode() for part in consistency_proof(old, size, LEDGER.nodes)]
            witness(path, "\n".join([f"old {old}", *proof, "", ""]).encode() + LEDGER.note(size))
        return witness(path, body)

    with serving(answer) as url:
        anchor = WitnessAnchor(url, VerifierKey.parse(witness.key))
        assert anchor.check(anchor.publish(LEDGER.note(30), LEDGER.nodes), LEDGER.note(30)) == MOMENT


def test_a_ledger_that_was_rolled_back_is_found(anchor: WitnessAnchor, witness: Witness, url: str) -> None:
    anchor.publish(LEDGER.note(50), LEDGER.nodes)
    message = rf"has signed {ORIGIN} with 50 entries, the note has 49: the ledger was rolled back, or another copy"
    for another in (anchor, WitnessAnchor(url, anchor.key)):
        with pytest.raises(AnchorConflictError, match=message):
            another.publish(LEDGER.note(49), LEDGER.nodes)


@pytest.mark.parametrize("size", [50, 51, 64, 300])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_ledger_that_was_forked_is_found(anchor: WitnessAnchor, url: str, size: int, fresh: bool) -> None:
    anchor.publish(LEDGER.note(50), LEDGER.nodes)
    another = WitnessAnchor(url, anchor.key) if fresh else anchor
    message = f"with 50 entries, and the tree of {size} entries with root {FORK.checkpoint(size).root.hex()} does not continue"
    with pytest.raises(AnchorConflictError, match=message):
        another.publish(FORK.note(size), FORK.nodes)
    anchor.publish(LEDGER.note(300), LEDGER.nodes)


def test_a_stolen_key_does_not_help_to_rewrite_what_was_witnessed(anchor: WitnessAnchor) -> None:
    anchor.publish(LEDGER.note(50), LEDGER.nodes)
    rewritten = sign_checkpoint(Checkpoint(ORIGIN, 60, FORK.checkpoint(60).root), LEDGER.signer)
    with pytest.raises(AnchorConflictError, match="the ledger was forked"):
        anchor.publish(rewritten, FORK.nodes)


def test_a_ledger_that_the_witness_does_not_know_is_told_what_to_do(anchor: WitnessAnchor, witness: Witness) -> None:
    other = Sealed(origin="other.example")
    with pytest.raises(
        AnchorError, match="answered 404 instead of 200: it does not know the ledger: give its operator"
    ):
        anchor.publish(other.note(1), other.nodes)
    witness.logs[ORIGIN] = new_key(ORIGIN).public.text
    with pytest.raises(AnchorError, match="answered 403 instead of 200: it does not know the key that signed the note"):
        anchor.publish(LEDGER.note(1), LEDGER.nodes)


def test_no_receipt_with_one_changed_byte_is_accepted(anchor: WitnessAnchor) -> None:
    note = LEDGER.note(9)
    receipt = anchor.publish(note, LEDGER.nodes)
    for at in range(len(receipt)):
        with pytest.raises(AnchorConflictError, match="does not hold"):
            anchor.check(receipt[:at] + bytes([receipt[at] ^ 1]) + receipt[at + 1 :], note)
    with pytest.raises(AnchorConflictError, match="expected a signature by witness"):
        anchor.check(note, note)
    with pytest.raises(AnchorConflictError, match="expected the note"):
        anchor.check(receipt, LEDGER.note(10))


def of_another_witness(note: bytes) -> bytes:
    other = Witness({ORIGIN: LEDGER.signer.key.text})
    return other("/add-checkpoint", b"old 0\n\n" + note).body


def of_another_checkpoint(witness: Witness, note: bytes) -> bytes:
    return Witness._line(witness, note[: note.rindex(b"\n\n") + 1])


def test_cosignatures_of_others_are_passed_over(witness: Witness) -> None:
    def answer(path: str, body: bytes) -> Reply:
        reply = witness(path, body)
        return reply._replace(body=of_another_witness(LEDGER.note(4)) + reply.body)

    with serving(answer) as url:
        receipt = WitnessAnchor(url, VerifierKey.parse(witness.key)).publish(LEDGER.note(4), LEDGER.nodes)
    assert [part.name for part in Note.parse(receipt).signatures] == [ORIGIN, "witness.example/w1"]


def test_a_cosignature_that_makes_the_note_longer_than_notes_are_is_refused(witness: Witness) -> None:
    """Kept, it would be a receipt that nobody can read."""

    def answer(path: str, body: bytes) -> Reply:
        reply = witness(path, body)
        return reply._replace(body=reply.body * (199_990 // len(reply.body)))

    with serving(answer) as url, pytest.raises(AnchorError, match="a note has at most 200000 bytes"):
        WitnessAnchor(url, VerifierKey.parse(witness.key)).publish(LEDGER.note(4), LEDGER.nodes)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(200), "answered with no cosignature by"),
        (Reply(200, b"\xff\n"), "answered with no cosignature by"),
        (Reply(200, of_another_witness(LEDGER.note(4))), "expected a signature by witness"),
        (Reply(409), "answered 409: expected the size that it signed last, got b''"),
        (Reply(409, b"-1\n"), "got b'-1"),
        (Reply(409, b"3\n"), "answered 409 instead of 200: it signed other sizes each time"),
        (Reply(422), "does not continue that one"),
        (Reply(500, b"out of order"), "answered 500 instead of 200: it says 'out of order'"),
        (Reply(307, b"", (("Location", "http://127.0.0.1:9/"),)), "answered 307 instead of 200"),
    ],
)
def test_answers_that_are_no_cosignature_are_told(witness: Witness, reply: Reply, message: str) -> None:
    with serving(lambda path, body: reply) as url, pytest.raises(AnchorError, match=message):
        WitnessAnchor(url, VerifierKey.parse(witness.key)).publish(LEDGER.note(4), LEDGER.nodes)


def test_a_cosignature_of_another_checkpoint_is_refused(witness: Witness) -> None:
    wrong = of_another_checkpoint(witness, LEDGER.note(5))
    with (
        serving(lambda path, body: Reply(200, wrong)) as url,
        pytest.raises(AnchorError, match="is not one of this text"),
    ):
        WitnessAnchor(url, VerifierKey.parse(witness.key)).publish(LEDGER.note(4), LEDGER.nodes)


def test_a_moment_that_no_calendar_has_is_refused() -> None:
    witness = Witness({ORIGIN: LEDGER.signer.key.text}, moment=2**62)
    with (
        serving(witness) as url,
        pytest.raises(AnchorError, match="expected seconds since 1970, got 4611686018427387904"),
    ):
        WitnessAnchor(url, VerifierKey.parse(witness.key)).publish(LEDGER.note(4), LEDGER.nodes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("anchors/ledger", "names no anchor: expected file:/path, tsa:https"),
        ("file:anchors/ledger", "names no anchor"),
        ("ftp:/x", "names no anchor"),
        ("tsa:ftp://host/x", "'ftp://host/x' is no address of an anchor: expected https://host/"),
        ("tsa:https:///x", "is no address of an anchor"),
        ("witness:https://w.example", "after # stands the witness's verifier key"),
        pytest.param(
            f"witness:https://w.example#{new_key('w').public.text}",
            "is not a witness's key: expected one of type 4",
            id="a ledger's own key",
        ),
    ],
)
def test_texts_that_name_no_anchor_are_refused(text: str, message: str) -> None:
    with pytest.raises(AnchorError) as refused:
        parse_anchor(text)
    assert message in str(refused.value)


def test_an_anchor_is_named_as_it_was_given(witness: Witness) -> None:
    for text in (
        "file:/var/anchors/ledger",
        "tsa:https://tsa.example/sha256",
        f"witness:https://w.example/x#{witness.key}",
    ):
        assert parse_anchor(text).name == text
