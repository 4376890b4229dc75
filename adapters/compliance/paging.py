"""Pages by the place in an order rather than by a number of rows: what is added meanwhile moves nothing."""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, Select, and_, false, or_, select, true, union_all

from dealgate.adapters.compliance.asking import FIRST_YEAR, LAST_YEAR, Asked, ReportError
from dealgate.models.types import Moment
from dealgate.rules.decision import moment

LARGEST = 2**63 - 1
REMEDY = "give the one that the page before printed, or leave it out to begin with the first page"


class Key(NamedTuple):
    """A column that rows are put in order by; it is never unknown."""

    column: str
    descending: bool = False


def page_of(
    statements: Sequence[Select[Any]], keys: Sequence[Key], place: Sequence[Any] | None, most: int
) -> Select[Any]:
    """The first rows of statements together, in the order of the keys, those after a place only. No two have a row in common.

    Each is cut off by itself, so that one which walks an index in this order need not go on.
    """
    pages = [after(statement, keys, place).limit(most) for statement in statements]
    if len(pages) == 1:
        return pages[0]
    rows = union_all(*(select(page.subquery()) for page in pages)).subquery("pages")
    return select(rows).order_by(*_order(rows.c, keys)).limit(most)


def after(statement: Select[Any], keys: Sequence[Key], place: Sequence[Any] | None) -> Select[Any]:
    """The rows of a statement in the order of the keys, those after a place only."""
    rows = statement.subquery("report")
    found = select(rows)
    if place is not None:
        values = read_place(place, [rows.c[key.column].type for key in keys])
        found = found.where(_beyond(rows.c, keys, values))
    return found.order_by(*_order(rows.c, keys))


def _order(columns: Any, keys: Sequence[Key]) -> list[Any]:
    return [columns[key.column].desc() if key.descending else columns[key.column].asc() for key in keys]


def _beyond(columns: Any, keys: Sequence[Key], values: Sequence[Any]) -> ColumnElement[bool]:
    """Beyond in the first key, or level in it and beyond in the rest. The bound on the first by itself is for the index."""
    beyond: ColumnElement[bool] = false()
    for key, value in reversed(list(zip(keys, values, strict=True))):
        column = columns[key.column]
        past = column < value if key.descending else column > value
        beyond = or_(past, and_(column == value, beyond))
    if not keys:
        return true()
    first, value = columns[keys[0].column], values[0]
    return and_(first <= value if keys[0].descending else first >= value, beyond)


class Cursor(NamedTuple):
    """Where a page ended, in which question, and as of which moment that was read."""

    question: str
    as_of: datetime
    place: list[Any]

    def place_in(self, report: str, asked: Asked) -> list[Any]:
        if self.question != _question(report, asked):
            raise ReportError("--cursor belongs to another question: ask as for its first page")
        return self.place


def write_parts(parts: Sequence[Any]) -> str:
    """The parts of a cursor as one word, for a command line and for an address."""
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def read_parts(cursor: str) -> list[Any]:
    """Raises `ValueError` or `TypeError` for what is no such word."""
    data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    try:
        return list(json.loads(data))
    except RecursionError:
        raise ValueError("lists within lists") from None


def write_cursor(report: str, asked: Asked, place: Sequence[Any]) -> str:
    return write_parts([_question(report, asked), moment(asked.as_of), [_written(value) for value in place]])


def read_cursor(cursor: str) -> Cursor:
    """Raises `ReportError` for what is no cursor."""
    try:
        question, as_of, place = read_parts(cursor)
        known = read_moment(as_of)
        if not FIRST_YEAR <= known.year <= LAST_YEAR:
            raise ValueError(as_of)
        return Cursor(str(question), known, list(place))
    except (ValueError, TypeError):
        raise ReportError(f"--cursor {cursor!r} is none: {REMEDY}") from None


def read_place(place: Sequence[Any], kinds: Sequence[Any]) -> list[Any]:
    """What a cursor tells, as columns of these types have it. Anybody may have made it up: raises `ReportError`."""
    try:
        return [_read(value, kind) for value, kind in zip(place, kinds, strict=True)]
    except (ValueError, TypeError):
        raise ReportError(f"--cursor ends at {place!r}, which is no place in this report: {REMEDY}") from None


def read_moment(value: Any) -> datetime:
    """In UTC. Raises `ValueError`, also for one that leads out of the calendar."""
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    try:
        return found.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from None


def read_number(value: Any) -> int:
    """Of 64 bits. Raises `ValueError`; to Python, a truth would be a number."""
    if type(value) is not int or not -LARGEST - 1 <= value <= LARGEST:
        raise ValueError(f"{value!r} is no number of 64 bits")
    return value


def _question(report: str, asked: Asked) -> str:
    """The moment is no part of it: a cursor brings its own."""
    told = {name: value for name, value in asked.document().items() if name != "as_of"}
    return hashlib.sha256(json.dumps([report, told], sort_keys=True).encode()).hexdigest()[:16]


def _written(value: Any) -> Any:
    """Moments are the only keys that JSON has no form for; counts may come as decimals."""
    return moment(value) if isinstance(value, datetime) else value if isinstance(value, str) else int(value)


def _read(value: Any, kind: Any) -> Any:
    if isinstance(kind, Moment):
        return read_moment(value)
    return read_number(value) if isinstance(kind, Integer) else _text(value)


def _text(value: Any) -> str:
    """That both databases take."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{value!r} is no text")
    return value.encode().decode()
