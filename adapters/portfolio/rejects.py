"""Rows that cannot be judged: each with where it stands, what is wrong with it and what to do, in a file of its own."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import IO, NamedTuple, Self

from dealgate.rules.deal import Problem

HEADER = ("row", "deal_id", "column", "value", "problem", "remedy")


class Reject(NamedTuple):
    """One thing that is wrong with a row; a row is numbered from 1, as it stands in its source."""

    row: int
    deal_id: str
    problem: Problem


class Rejects:
    """The rejects file of one source; it is written only if there is something to write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self._file: IO[str] | None = None

    def add(self, row: int, deal_id: str, problems: Iterable[Problem]) -> None:
        """Count a row, and write each of its problems on a line."""
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8", newline="")
            csv.writer(self._file).writerow(HEADER)
        self.rows += 1
        csv.writer(self._file).writerows((row, deal_id, *problem) for problem in problems)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()
