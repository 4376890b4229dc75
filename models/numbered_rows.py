"""Rows read in the order of their numbers, some at a time, in bounded memory."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row, Select
from sqlalchemy.sql.elements import ColumnElement

from dealgate.models.joining import Writable


class DamagedDatabaseError(RuntimeError):
    """A database that gives rows in another order than it was asked for; the message says what to do."""


def in_turn(
    session: Writable, statement: Select[Any], number: ColumnElement[int], most: int
) -> Iterator[Sequence[Row[Any]]]:
    """What the statement finds, at most so many rows at once; `number` is its column `id`, which is above 0 and no row shares.

    Raises `DamagedDatabaseError` where rows come out of turn: going by a damaged index, one would read the same ones for ever.
    """
    last = 0
    statement = statement.order_by(number).limit(most)
    while rows := session.execute(statement.where(number > last)).all():
        numbers = [row.id for row in rows]
        if sorted({last, *numbers}) != [last, *numbers]:
            raise DamagedDatabaseError(
                f"rows beyond number {last} do not come each once, in order: the database is damaged; "
                "run `dealgate ledger verify`, and restore a backup"
            )
        yield rows
        last = numbers[-1]
