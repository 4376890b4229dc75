"""The tables and indexes of a SQLite file, held against what the migrations make.

SQLite reads every row, and refuses one, by texts that stand in the file itself: where such a text is another, a condition is gone or
an index leaves rows out, and no row tells.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from sqlalchemy import Connection, create_engine, text

from dealgate.migrations import running

STANDING = text("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type <> 'trigger'")
"""Triggers are `guards`'."""

TOKEN = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|[(),]|[^'"(),]+|['"]""")
NAME = re.compile(r'"\w+"')


class Difference(NamedTuple):
    """A table or an index that is not as it was made."""

    where: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.where} is not as the migrations made it: expected {self.expected}, got {self.got}"


def differences(connection: Connection) -> list[Difference]:
    """Of the newest revision; empty on PostgreSQL, where the roles keep who could change a definition from logging in."""
    if connection.dialect.name != "sqlite":
        return []
    there = _standing(connection)
    return [
        Difference(f"the {kind} {name}", *_parted(made, there.get((kind, name), [])))
        for (kind, name), made in _made().items()
        if not _stands(kind, made, there.get((kind, name), []))
    ]


def _stands(kind: str, made: Sequence[str], there: Sequence[str]) -> bool:
    """A host may have given a table further columns; an index with one more is another index."""
    if kind != "table":
        return made == there
    left = iter(there)
    return all(part in left for part in made)


@cache
def _made() -> Mapping[tuple[str, str], Sequence[str]]:
    """The migrations in memory tell it, so that nothing has to be kept in step with them."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        running.upgrade(connection)
        made = _standing(connection)
    engine.dispose()
    return made


def _standing(connection: Connection) -> Mapping[tuple[str, str], Sequence[str]]:
    """By kind and name: the parts of its text, the table it is of first."""
    rows = connection.execute(STANDING)
    return {(row.type, row.name): [f"on {row.tbl_name}", *_parts(row.sql or "")] for row in rows}


def _parts(definition: str) -> list[str]:
    """What stands before the brackets, each column and constraint within, and what stands behind. Neither line breaks nor quotes
    about a name matter.
    """
    parts, depth = [""], 0
    for token in TOKEN.findall(definition):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if (token, depth) in {("(", 1), (",", 1), (")", 0)}:
            parts.append("")
        else:
            parts[-1] += token.strip('"') if NAME.fullmatch(token) else token
    return [" ".join(part.split()) for part in parts]


def _parted(made: Sequence[str], there: Sequence[str]) -> tuple[str, str]:
    """What was made and is not there, and what is there and was not made."""
    gone, come = ([part for part in one if part and part not in other] for one, other in ((made, there), (there, made)))
    return ", ".join(gone) or "no more than was made", ", ".join(come) or "nothing"
