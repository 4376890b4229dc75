"""The anchor that is a file: nothing in it is ever rewritten, and what does not go together is refused."""

import fcntl
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dealgate.adapters.anchors import append_only_file
from dealgate.adapters.anchors.anchor import AnchorConflictError, AnchorError
from dealgate.adapters.anchors.append_only_file import FileAnchor
from dealgate.models.notes import Note, Signature, sign_checkpoint
from tests.adapters.sealed import ORIGIN, Sealed

LEDGER = Sealed()
OTHER = Sealed(origin="other.example")
FORK = Sealed(but=b" or not")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "anchor"


def test_notes_stand_one_after_another_and_their_receipts_hold(path: Path) -> None:
    notes = [LEDGER.note(3), OTHER.note(2), LEDGER.note(3 + 5), LEDGER.note(100)]
    receipts = [FileAnchor(path).publish(note) for note in notes]
    assert path.read_bytes() == b"".join(note + b"\n" for note in notes)
    assert list(FileAnchor(path).notes()) == notes
    for receipt, note in zip(receipts, notes, strict=True):
        FileAnchor(path).check(receipt, note)
    with pytest.raises(AnchorConflictError, match="at byte 0 expected the note"):
        FileAnchor(path).check(receipts[0], notes[1])


def test_the_latest_note_again_changes_nothing(path: Path) -> None:
    anchor = FileAnchor(path)
    receipt = anchor.publish(LEDGER.note(7))
    before = path.read_bytes()
    assert anchor.publish(LEDGER.note(7)) == FileAnchor(path).publish(LEDGER.note(7)) == receipt
    assert path.read_bytes() == before


def test_the_same_checkpoint_with_more_signatures_is_kept_too(path: Path) -> None:
    note = Note.parse(LEDGER.note(7))
    cosigned = note._replace(signatures=(*note.signatures, Signature("witness", bytes(4), bytes(72)))).encode()
    anchor = FileAnchor(path)
    receipts = [anchor.publish(each) for each in (note.encode(), cosigned)]
    for receipt, each in zip(receipts, (note.encode(), cosigned), strict=True):
        anchor.check(receipt, each)


@pytest.mark.parametrize("fresh", [True, False])
def test_a_ledger_that_shrank_or_forked_is_refused_and_nothing_is_written(path: Path, fresh: bool) -> None:
    anchor = FileAnchor(path)
    anchor.publish(LEDGER.note(50))
    before = path.read_bytes()
    anchor = FileAnchor(path) if fresh else anchor
    message = rf"holds lender\.example/ledger with 50 entries and root {LEDGER.checkpoint(50).root.hex()}, so none comes with "
    with pytest.raises(AnchorConflictError, match=message + "49 entries"):
        anchor.publish(LEDGER.note(49))
    with pytest.raises(AnchorConflictError, match=message + "50 entries"):
        anchor.publish(FORK.note(50))
    assert path.read_bytes() == before
    anchor.publish(OTHER.note(1))


@pytest.mark.parametrize("fresh", [True, False])
def test_an_origin_that_ended_with_a_restore_is_taken_no_more(path: Path, fresh: bool) -> None:
    signer = LEDGER.signer
    lives = [
        sign_checkpoint(LEDGER.checkpoint(size)._replace(origin=origin), signer)
        for size, origin in ((5, ORIGIN), (6, f"{ORIGIN}/2"), (7, f"{ORIGIN}/10"), (8, f"{ORIGIN}/2"), (9, ORIGIN))
    ]
    anchor = FileAnchor(path)
    for note in lives[:3]:
        anchor.publish(note)
    before = path.read_bytes()
    anchor = FileAnchor(path) if fresh else anchor
    for note in (*lives[3:], lives[1]):
        with pytest.raises(AnchorConflictError, match=r"holds lender\.example/ledger/10, so none comes of"):
            anchor.publish(note)
    assert path.read_bytes() == before
    anchor.publish(OTHER.note(1))
    path.write_bytes(before + lives[3] + b"\n")
    with pytest.raises(AnchorConflictError, match="was rolled back"):
        list(FileAnchor(path).notes())


def test_two_anchors_of_one_file_see_what_the_other_wrote(path: Path) -> None:
    first, second = FileAnchor(path), FileAnchor(path)
    first.publish(LEDGER.note(10))
    second.publish(LEDGER.note(20))
    with pytest.raises(AnchorConflictError, match="with 20 entries"):
        first.publish(LEDGER.note(15))


def test_writers_at_once_lose_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledgers = [Sealed(20, f"{number}.example") for number in range(4)]
    write: Callable[[int, memoryview], int] = os.write

    def slow(file: int, data: memoryview) -> int:
        time.sleep(0.001)  # so that others come between if they can
        return write(file, data)

    def grow(ledger: Sealed) -> list[tuple[bytes, bytes]]:
        anchor = FileAnchor(path)
        return [(anchor.publish(ledger.note(size)), ledger.note(size)) for size in range(1, 20)]

    monkeypatch.setattr(os, "write", slow)
    with ThreadPoolExecutor(4) as pool:
        written = [pair for pairs in pool.map(grow, ledgers) for pair in pairs]
    assert sorted(FileAnchor(path).notes()) == sorted(note for _, note in written)
    for receipt, note in written:
        FileAnchor(path).check(receipt, note)


def test_a_reader_that_locks_the_file_is_told_of_and_not_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append_only_file, "SECONDS", 0.05)
    FileAnchor(path).publish(LEDGER.note(1))
    with path.open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_EX)
        with pytest.raises(AnchorError, match=r"anchor has been locked by another process for 0.05 seconds: see which"):
            FileAnchor(path).publish(LEDGER.note(2))
    FileAnchor(path).publish(LEDGER.note(2))


def test_whatever_was_cut_off_the_next_note_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash or a full disk may end the file at any byte; twice in a row, too."""
    monkeypatch.setattr(os, "fsync", lambda file: None)  # which only takes time here
    whole, lost, after, last = (LEDGER.note(size) for size in (1, 2, 3, 4))
    for cut in range(len(lost) + 1):
        path.write_bytes(whole + b"\n" + lost[:cut])
        receipt = FileAnchor(path).publish(after)
        healed = path.read_bytes()
        assert healed.startswith(whole + b"\n" + lost[:cut])
        assert [note for note in FileAnchor(path).notes() if note != lost] == [whole, after]
        FileAnchor(path).check(receipt, after)
        path.write_bytes(healed + last[:cut])
        anchor = FileAnchor(path)
        receipts = [anchor.publish(last), anchor.publish(last)]
        assert receipts[0] == receipts[1]
        assert [note for note in FileAnchor(path).notes() if note != lost][-1] == last
        anchor.check(receipts[0], last)


def test_a_first_note_may_be_cut_off_anywhere(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)  # which only takes time here
    lost = LEDGER.note(1)
    for cut in range(len(lost) + 1):
        path.write_bytes(lost[:cut])
        FileAnchor(path).publish(LEDGER.note(2))
        path.write_bytes(path.read_bytes().partition(b"# cut off")[0] + b"# cut off\n\n" + OTHER.note(1)[:cut])
        FileAnchor(path).publish(LEDGER.note(2))
        assert list(FileAnchor(path).notes())[-1] == LEDGER.note(2)


@pytest.mark.parametrize(
    "data",
    [
        LEDGER.signer.key.text.encode(),
        b"PRIVATE+KEY+" + LEDGER.signer.key.text.encode() + b"\n",
        b'{"deal_id":"D-1"}\n',
        b"SQLite format 3\x00" + bytes(100),
        b"a\nb\nc\n",
    ],
    ids=["verifier key", "private key", "deal", "database", "lines"],
)
def test_nothing_is_appended_to_a_file_that_is_another(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(
        AnchorError, match=rf"anchor holds {len(data)} bytes that are no notes, and nothing was written"
    ):
        FileAnchor(path).publish(LEDGER.note(1))
    assert path.read_bytes() == data


@pytest.mark.parametrize("made", ["device", "pipe"])
def test_what_keeps_nothing_is_no_anchor(path: Path, made: str) -> None:
    """A pipe that nobody writes to would be waited for, and a device without an end read until memory is out."""
    if made == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    for attempt in (lambda: FileAnchor(path).publish(LEDGER.note(1)), lambda: list(FileAnchor(path).notes())):
        with pytest.raises(AnchorError, match="anchor is a device, a pipe or a socket: give the anchor a file"):
            attempt()


def test_a_note_that_was_copied_alone_is_read_without_its_empty_line(path: Path) -> None:
    """As `head -5` copies it; one that was cut off earlier is none."""
    path.write_bytes(LEDGER.note(1) + b"\n" + LEDGER.note(2))
    assert list(FileAnchor(path).notes()) == [LEDGER.note(1), LEDGER.note(2)]
    path.write_bytes(LEDGER.note(1) + b"\n" + LEDGER.note(2)[:-1])
    assert list(FileAnchor(path).notes()) == [LEDGER.note(1)]


@pytest.mark.parametrize(
    "data", [b"", b"\n", LEDGER.note(1)[:-5], LEDGER.note(1).replace(b"\n", b"\r\n"), b"lender.example/ledger\n"]
)
def test_a_file_without_a_note_is_not_taken_for_notes(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(AnchorError, match=rf"anchor holds no note, in {len(data)} bytes: expected an origin"):
        list(FileAnchor(path).notes())


def test_a_full_disk_keeps_what_stood_there_and_writing_goes_on_after_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchor = FileAnchor(path)
    anchor.publish(LEDGER.note(1))
    write: Callable[[int, memoryview], int] = os.write

    def full(file: int, data: memoryview) -> int:
        if len(data) < 150:
            raise OSError(28, "No space left on device")
        return write(file, data[:60])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(AnchorError, match="anchor cannot be used: No space left on device: see to the disk"):
        anchor.publish(LEDGER.note(2))
    monkeypatch.undo()
    receipt = anchor.publish(LEDGER.note(2))
    anchor.check(receipt, LEDGER.note(2))
    assert list(FileAnchor(path).notes()) == [LEDGER.note(1), LEDGER.note(2)]


def test_a_note_that_was_changed_in_the_file_is_found(path: Path) -> None:
    """Also one that is no note any more; of one that still reads as one the receipt, and the ledger's key, tell."""
    notes = [LEDGER.note(size) for size in (5, 6, 7)]
    receipts = [FileAnchor(path).publish(note) for note in notes]
    original = path.read_bytes()
    for at in range(len(notes[0]) + 1, len(notes[0]) + 1 + len(notes[1])):
        path.write_bytes(original[:at] + bytes([original[at] ^ 1]) + original[at + 1 :])
        with pytest.raises(AnchorConflictError, match="the file was altered"):
            FileAnchor(path).check(receipts[1], notes[1])
    path.write_bytes(original.replace(b"\n6\n", b"\nx\n"))
    with pytest.raises(AnchorConflictError, match=rf"the note at byte {len(notes[0]) + 1} was altered: the size"):
        list(FileAnchor(path).notes())
    with pytest.raises(AnchorConflictError, match="was altered"):
        FileAnchor(path).publish(LEDGER.note(9))
    path.write_bytes(original.replace(b"\n6\n", b"\n8\n"))
    with pytest.raises(AnchorConflictError, match="with 8 entries"):
        list(FileAnchor(path).notes())


def test_a_file_that_lost_notes_is_found(path: Path) -> None:
    anchor = FileAnchor(path)
    anchor.publish(LEDGER.note(5))
    receipt = anchor.publish(LEDGER.note(6))
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(AnchorConflictError, match=f"shrank from {size} to 100 bytes: notes are gone"):
        anchor.publish(LEDGER.note(7))
    with pytest.raises(AnchorConflictError, match="got b''"):
        FileAnchor(path).check(receipt, LEDGER.note(6))


def test_no_receipt_with_one_flipped_bit_is_accepted(path: Path) -> None:
    FileAnchor(path).publish(LEDGER.note(5))
    receipt = FileAnchor(path).publish(LEDGER.note(6))
    for at, byte in enumerate(receipt):
        for bit in range(8):
            with pytest.raises(AnchorConflictError):
                FileAnchor(path).check(receipt[:at] + bytes([byte ^ 1 << bit]) + receipt[at + 1 :], LEDGER.note(6))


@pytest.mark.parametrize(
    "receipt", [b"", b"offset \n", b"offset -1\n", b"0\n", b"offset x\n", b"offset 00\n", b"offset 0"]
)
def test_what_is_no_receipt_is_refused(path: Path, receipt: bytes) -> None:
    FileAnchor(path).publish(LEDGER.note(5))
    with pytest.raises(AnchorConflictError, match="expected a receipt such as 'offset 0', got"):
        FileAnchor(path).check(receipt, LEDGER.note(5))


def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "no" / "anchor", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(AnchorError, match=re.escape(f"{path} cannot be used: {reason}: see to the disk")):
            FileAnchor(path).publish(LEDGER.note(5))
    with pytest.raises(AnchorError, match="No such file"):
        list(FileAnchor(tmp_path / "none").notes())
