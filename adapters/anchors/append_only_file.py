"""An anchor that is a file: notes one after another, each with an empty line after it, never rewritten.

It guards as far as the database's owner cannot write it: put it on another machine, under another user, or under `chattr +a`.
Notes that a full disk or a crash cut off stay where they are; the line `# cut off` after them says so.
"""

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

from dealgate.adapters.anchors.anchor import AnchorConflictError, AnchorError
from dealgate.models.merkle import Nodes
from dealgate.models.notes import Checkpoint, Note, incarnation
from dealgate.models.signing import NoteError

CUT_OFF = b"# cut off"
BLANK = b"\n\n"
SECONDS = 10.0
"""How long another process may have the file to itself."""

PAUSE = 0.01
BEGUN = re.compile(rb'[^\x00-\x20+"{}]*(\n[0-9]*(\n[A-Za-z0-9+/=]*(\n(\n.*)?)?)?)?', re.DOTALL)
"""What a first note may have left that was cut off. Anything else is the beginning of another file."""

RECEIPT = re.compile(rb"offset (0|[1-9][0-9]{0,17})\n")


class Kept(NamedTuple):
    """A note in the file, and the byte that it starts at."""

    start: int
    note: bytes
    checkpoint: Checkpoint


class FileAnchor:
    """One append-only file. Reads what others appended since, so several processes may share it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = f"file:{self.path}"
        self._end = 0
        self._latest: dict[str, Kept] = {}

    def publish(self, note: bytes, nodes: Nodes | None = None, /) -> bytes:
        """Append a note, unless it is the latest. A receipt says where it stands. Raises `AnchorError`."""
        parsed = Note.parse(note)
        checkpoint = Checkpoint.parse(parsed.text)
        with self._opened(os.O_RDWR | os.O_APPEND | os.O_CREAT) as file:
            self._lock(file)
            torn = self._read_on(file)
            if torn and not self._latest:
                self._refuse_another_file(file)
            latest = self._latest.get(checkpoint.origin)
            self._refuse_earlier(self._latest, parsed, checkpoint)
            if not latest or latest.note != note:
                self._refuse_conflict(latest, checkpoint)
                _append(file, note, torn)
                self._read_on(file)
            self._sync(file)
        return b"offset %d\n" % self._latest[checkpoint.origin].start

    def check(self, receipt: bytes, note: bytes, /) -> None:
        """Raises `AnchorConflictError` where the note does not stand where the receipt says."""
        offset = RECEIPT.fullmatch(receipt)
        if not offset:
            raise AnchorConflictError(f"{self.path}: expected a receipt such as 'offset 0', got {receipt!r}")
        with self._opened(os.O_RDONLY) as file:
            found = os.pread(file, len(note) + 1, int(offset[1]))
        if found != note + b"\n":
            raise AnchorConflictError(
                f"{self.path}: at byte {int(offset[1])} expected the note {note!r}, got {found!r}: the file was altered"
            )

    def notes(self) -> Iterator[bytes]:
        """Every note, the oldest first; each origin only grows. The last one may lack its empty line, as where it was copied alone.

        Raises `AnchorError`, also for a file that holds none: nothing must pass for held against it.
        """
        with self._opened(os.O_RDONLY) as file:
            data = _read_from(file, 0)
        latest = dict[str, Kept]()
        for start, note in _split(data + b"\n"):
            self._take(latest, start, note)
            yield note
        if not latest:
            raise AnchorError(
                f"{self.path} holds no note, in {len(data)} bytes: expected an origin, a size, a root, an empty line and signatures, "
                "line ends and all as they were anchored: copy it again"
            )

    @contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        try:
            self._refuse_endless()
            file = os.open(self.path, flags | os.O_CLOEXEC, 0o644)
            try:
                yield file
            finally:
                os.close(file)
        except OSError as error:
            raise AnchorError(
                f"{self.path} cannot be used: {error.strerror}: see to the disk and to who may write there, and anchor again"
            ) from None

    def _refuse_endless(self) -> None:
        """A device may be read for ever, and a pipe to which nobody writes be waited for."""
        if self.path.exists() and not (self.path.is_file() or self.path.is_dir()):
            raise AnchorError(
                f"{self.path} is a device, a pipe or a socket: give the anchor a file, which keeps what it is given"
            )

    def _refuse_another_file(self, file: int) -> None:
        """A private key or a database to which a note is appended would be no key and no database any more."""
        data = _read_from(file, 0)
        if CUT_OFF not in data and not BEGUN.fullmatch(data):
            raise AnchorError(
                f"{self.path} holds {len(data)} bytes that are no notes, and nothing was written to it: give the anchor a file of its own"
            )

    def _lock(self, file: int) -> None:
        """For those who append. Whoever may read the file can lock it, too, and must not keep the sealer from sealing."""
        until = monotonic() + SECONDS
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if monotonic() >= until:
                    raise AnchorError(
                        f"{self.path} has been locked by another process for {SECONDS:g} seconds: see which, and anchor again"
                    ) from None
            sleep(PAUSE)

    def _read_on(self, file: int) -> bool:
        """Take in what was appended since; whether the last note is cut off."""
        size = os.fstat(file).st_size
        if size < self._end:
            raise AnchorConflictError(
                f"{self.path} shrank from {self._end} to {size} bytes: notes are gone, put them back"
            )
        data = _read_from(file, self._end)
        end = 0
        for start, note in _split(data):
            self._take(self._latest, self._end + start, note)
            end = start + len(note) + 1
        torn = data[end:].rpartition(CUT_OFF + BLANK)[2]
        self._end += end
        return bool(torn)

    def _take(self, latest: dict[str, Kept], start: int, note: bytes) -> None:
        try:
            parsed = Note.parse(note)
            checkpoint = Checkpoint.parse(parsed.text)
        except NoteError as error:
            raise AnchorConflictError(f"{self.path}: the note at byte {start} was altered: {error}") from None
        self._refuse_earlier(latest, parsed, checkpoint)
        self._refuse_conflict(latest.get(checkpoint.origin), checkpoint)
        latest[checkpoint.origin] = Kept(start, note, checkpoint)

    def _refuse_conflict(self, latest: Kept | None, new: Checkpoint) -> None:
        last = latest and latest.checkpoint
        if last and (new.size < last.size or (new.size == last.size and new.root != last.root)):
            raise AnchorConflictError(
                f"{self.path} holds {last.origin} with {last.size} entries and root {last.root.hex()}, so none comes with "
                f"{new.size} entries and root {new.root.hex()}: the ledger was rolled back or forked"
            )

    def _refuse_earlier(self, latest: Mapping[str, Kept], note: Note, new: Checkpoint) -> None:
        """An origin ends with the restore that begins the next one, and nothing more comes under it."""
        for name in {signature.name for signature in note.signatures}:
            current = incarnation(new.origin, name)
            if current and (later := [one for one in latest if (incarnation(one, name) or 0) > current]):
                raise AnchorConflictError(
                    f"{self.path} holds {later[-1]}, so none comes of {new.origin}, which had ended with a restore: the ledger was "
                    "rolled back. Run dealgate ledger restored"
                )

    def _sync(self, file: int) -> None:
        """To disk, also where an earlier attempt wrote the note and could not say so."""
        os.fsync(file)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _append(file: int, note: bytes, torn: bool) -> None:
    mark = b"\n" + CUT_OFF + BLANK if torn else b""
    rest = memoryview(mark + note + b"\n")
    while rest:
        rest = rest[os.write(file, rest) :]


def _read_from(file: int, start: int) -> bytes:
    with os.fdopen(os.dup(file), "rb") as reader:
        reader.seek(start)
        return reader.read()


def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each whole note with the byte that it starts at; what was cut off is passed over."""
    start = at = 0
    has_text = False
    while (end := data.find(BLANK, at)) >= 0:
        part, at = data[at:end], end + len(BLANK)
        if (b"\n" + part).endswith(b"\n" + CUT_OFF):
            start, has_text = at, False
        elif has_text:
            yield start, data[start : end + 1]
            start, has_text = at, False
        else:
            has_text = True
