"""Deals from files: one JSON document, or JSON Lines with one deal a line; `-` is standard input."""

import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, NamedTuple

from dealgate.rules.deal import Deal, DealError, Problem

LONGEST_LINE = 4_000_000
"""Bytes of one deal document; a longer one is not a deal."""

KEPT = 10_000
"""Deals of one file that are kept from checking to using; a larger file is read twice instead."""


class FileProblem(NamedTuple):
    """What is wrong with a deal, and where it stands."""

    file: str
    line: int | None
    problem: Problem

    def __str__(self) -> str:
        return f"{self.file}{f':{self.line}' if self.line else ''}: {self.problem}"


class DealFile:
    """A file of deals that can be read through more than once: first to check it, then to use it."""

    def __init__(self, name: str, stream: IO[bytes]) -> None:
        self.name = name
        self._stream = stream
        self._start = len(BOM_UTF8) if stream.read(len(BOM_UTF8)) == BOM_UTF8 else 0
        self._whole = self._is_one_document()
        self._kept: list[Deal] | None = None
        self._checked = 0

    def __iter__(self) -> Iterator[tuple[int | None, bytes]]:
        """The documents with their line; no line for a file that is one document."""
        self._stream.seek(self._start)
        if self._whole:
            text = self._stream.read(LONGEST_LINE + 1)
            if text.strip():
                yield None, text
            return
        for number, line in enumerate(iter(lambda: self._stream.readline(LONGEST_LINE + 1), b""), start=1):
            if line.strip():
                yield number, line

    def _is_one_document(self) -> bool:
        """Where neither of the first two lines is a document by itself, they begin a document of several lines."""
        self._stream.seek(self._start)
        lines = (line.strip() for line in iter(lambda: self._stream.readline(LONGEST_LINE + 1), b""))
        first, second = islice(chain(filter(None, lines), (b"", b"")), 2)
        if not second or first.startswith(b"["):
            return True
        return not any(line.startswith(b"{") and line.endswith(b"}") for line in (first, second))

    def check(self) -> tuple[int, list[FileProblem]]:
        """How many deals there are, and every problem in them."""
        count, problems, kept = 0, list[FileProblem](), list[Deal]()
        for line, text in self:
            count += 1
            try:
                deal = read_deal(text)
                if count <= KEPT:
                    kept.append(deal)
            except DealError as error:
                problems.extend(FileProblem(self.name, line, problem) for problem in error.problems)
        if not count:
            problems.append(
                FileProblem(
                    self.name,
                    None,
                    Problem("(document)", "an empty file", "there is no deal in it", "Give a JSON deal document."),
                )
            )
        self._kept, self._checked = kept if count <= KEPT else None, count
        return count, problems

    def deals(self) -> Iterator[Deal]:
        """The deals, once they are checked; a file small enough to be kept in memory is read only once.

        Raises `DealError`, also in the end where more or fewer are in the file by now than were checked.
        """
        if self._kept is not None:
            yield from self._kept
            return
        count = 0
        for _, text in self:
            yield read_deal(text)
            count += 1
        check_unchanged(self.name, self._checked, count)


def check_unchanged(name: str, before: int, now: int) -> None:
    """A file that was cut off between two readings must not pass for submitted. Raises `DealError`."""
    if before != now:
        changed = f"the file changed while it was read: at first it held {before:,} deals"
        raise DealError([Problem(name, f"{now:,}", changed, "Give it again once it stays as it is.")])


def read_deal(text: bytes) -> Deal:
    """Raises `DealError`."""
    if len(text) > LONGEST_LINE:
        raise DealError(
            [Problem("(document)", f"over {LONGEST_LINE:,} bytes", "too long for a deal", "Send one deal a line.")]
        )
    return Deal.from_json(text)


@contextmanager
def open_deals(name: str) -> Iterator[DealFile]:
    """Open a file of deals. Raises `OSError`."""
    with open_again(name) as (shown, stream):
        yield DealFile(shown, stream)


@contextmanager
def open_again(name: str) -> Iterator[tuple[str, IO[bytes]]]:
    """A file that can be read more than once, and what it is called in messages. Raises `OSError`."""
    with ExitStack() as stack:
        shown, stream = (
            ("(standard input)", sys.stdin.buffer)
            if name == "-"
            else (name, stack.enter_context(Path(name).open("rb")))
        )
        if name != "-" and stream.seekable():
            yield shown, stream
            return
        with SpooledTemporaryFile(max_size=16_000_000) as kept:
            while block := stream.read(1_000_000):
                kept.write(block)
            kept.seek(0)
            yield shown, kept
