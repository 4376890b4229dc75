"""Reading and answering what the triggers noted about a host's tables."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, String, cast, delete, func, select

from dealgate.models.canonical import GREATEST
from dealgate.models.joining import Writable
from dealgate.models.ledger import table
from dealgate.models.watch_tables import UnansweredChange

CHANGE = table(UnansweredChange)

MANY = 500
"""Keys in one statement: fewer than any database takes."""


class Change(NamedTuple):
    """A change of a row that no decision has answered for yet.

    `table` and `key` name the row whose deal it concerns, `changed_table` where it happened. `changed_by` is the database's user and
    the program's name on PostgreSQL; SQLite knows no users. `refused` tells that its transaction could not have been committed.
    """

    id: int
    table: str
    key: tuple[Any, ...]
    changed_table: str
    operation: str
    changed_at: datetime
    changed_by: str | None
    refused: bool

    def document(self) -> dict[str, Any]:
        """As plain JSON values. A number in the key that JSON readers would round, such as a snowflake id, stands there as text."""
        key = [str(one) if isinstance(one, int) and abs(one) > GREATEST else one for one in self.key]
        return self._asdict() | {"key": key, "changed_at": self.changed_at.isoformat()}


def row_key(values: Sequence[Any]) -> str:
    """The key of a row as the triggers write it: a JSON list without spaces."""
    return json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))


def unanswered(
    session: Writable,
    table_name: str | None = None,
    key: str | None = None,
    *,
    after: int = 0,
    most: int | None = None,
) -> list[Change]:
    """What was changed and not decided, in the order of the changes; of one table, of one row, or all."""
    statement = select(CHANGE).where(CHANGE.c.id > after).order_by(CHANGE.c.id).limit(most)
    if table_name is not None:
        statement = statement.where(CHANGE.c.table_name == table_name)
    if key is not None:
        statement = statement.where(CHANGE.c.row_key == key)
    return _changes(session, statement)


def count_unanswered(session: Writable) -> list[tuple[str, int]]:
    """How many changes of the rows of each table are not decided."""
    statement = select(CHANGE.c.table_name, func.count()).group_by(CHANGE.c.table_name).order_by(CHANGE.c.table_name)
    return [(row[0], row[1]) for row in session.execute(statement)]


def noted_here(connection: Connection, table_name: str, before: int) -> list[Change]:
    """What was noted in this very transaction. On SQLite, where one writes at a time: since the last number `before` it."""
    here = CHANGE.c.id > before
    if connection.dialect.name == "postgresql":
        here = CHANGE.c.transaction_id == cast(func.pg_current_xact_id_if_assigned(), String)
    return _changes(connection, select(CHANGE).where(CHANGE.c.table_name == table_name, here).order_by(CHANGE.c.id))


def last_number(session: Writable) -> int:
    """Of the notes there are."""
    return session.execute(select(func.max(CHANGE.c.id))).scalar() or 0


def forget(session: Writable, changes: Sequence[Change]) -> None:
    """Take away what has been answered: these and no others, for more may have been noted since they were read."""
    numbers = [change.id for change in changes]
    for start in range(0, len(numbers), MANY):
        session.execute(delete(CHANGE).where(CHANGE.c.id.in_(numbers[start : start + MANY])))


def _changes(session: Writable, statement: Select[Any]) -> list[Change]:
    return [
        Change(
            row.id,
            row.table_name,
            tuple(json.loads(row.row_key)),
            row.changed_table,
            row.operation,
            row.changed_at,
            row.changed_by,
            row.undecided is not None,
        )
        for row in session.execute(statement)
    ]
