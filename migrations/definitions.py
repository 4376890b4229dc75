"""The tables and indexes of a SQLite file, held against what the migrations make.

SQLite reads every row, and refuses one, by texts that stand in the file itself: where such a text is another, a condition is gone or
an index leaves rows out, and no row tells.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from sqlalchemy import Connection, create_engine, text

from dealgate.migrations import running

STANDING = text("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type <> 'trigger'")
"""Triggers are `guards`'."""

AROUND = 20
"""Characters that are shown before and after what differs."""


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
        Difference(f"the {kind} {name}", *_around_the_first_difference(made, there.get((kind, name), "")))
        for (kind, name), made in _made().items()
        if there.get((kind, name)) != made
    ]


@cache
def _made() -> Mapping[tuple[str, str], str]:
    """The migrations in memory tell it, so that nothing has to be kept in step with them."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        running.upgrade(connection)
        made = _standing(connection)
    engine.dispose()
    return made


def _standing(connection: Connection) -> dict[tuple[str, str], str]:
    """By kind and name: the table it is of, and its text. How that is broken into lines is no matter."""
    rows = connection.execute(STANDING)
    return {(row.type, row.name): " ".join(f"on {row.tbl_name}: {row.sql}".split()) for row in rows}


def _around_the_first_difference(made: str, got: str) -> tuple[str, str]:
    if not got:
        return made, "nothing"
    pairs = enumerate(zip(made, got, strict=False))
    first = next((place for place, (left, right) in pairs if left != right), min(len(made), len(got)))
    start = max(0, first - AROUND)
    dots = "..." if start else ""
    return f"{dots}{made[start : first + AROUND]}...", f"{dots}{got[start : first + AROUND]}..."
