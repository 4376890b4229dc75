"""What a report is, how it is asked for, and how a page of it is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select

from dealgate.adapters.compliance.asking import FIRST_YEAR, LAST_YEAR, Asked, ReportError
from dealgate.adapters.compliance.known import bounds_of
from dealgate.adapters.compliance.paging import Key, page_of, read_cursor, write_cursor
from dealgate.rules.amounts import percent
from dealgate.rules.decision import moment

MOST_ROWS = 10_000
SUMMARY_DAYS = 3
"""What a summary covers where nothing is said: counting every decision ever made takes as long as there are many."""


class Share(NamedTuple):
    """A part of a whole, exactly. Shown as a percent with two places, halves up."""

    part: int
    whole: int

    @property
    def text(self) -> str:
        """Empty where there is no whole to be a part of."""
        return percent(self.part, self.whole) if self.whole else ""

    def document(self) -> dict[str, Any]:
        return {"value": self.text or None, "numerator": self.part, "denominator": self.whole}


class Column(NamedTuple):
    """A column of a report. `unit` is text, count, money (integer cents), percent, days, day, moment, truth or list.

    `of` names the two counts that a share is made of.
    """

    name: str
    unit: str
    meaning: str
    of: tuple[str, str] | None = None


class Parameter(NamedTuple):
    """A parameter of one report's own. `choices` is empty where any text will do."""

    name: str
    meaning: str
    default: str
    choices: tuple[str, ...] = ()


Row = Mapping[str, Any]


@dataclass(frozen=True)
class Report:
    """A named report.

    `statement` gives the rows, in several parts where there are several ways to them; `key` their order and the place of a page in
    it; `finish` turns rows as they are read into rows as they are told. With `whole`, it is given all rows at once and puts them in
    order itself.
    """

    name: str
    title: str
    question: str
    asked_by: str
    source: str
    columns: tuple[Column, ...]
    statement: Callable[[Asked], Select[Any] | Sequence[Select[Any]]]
    key: tuple[Key, ...] = ()
    dimensions: Mapping[str, str] = field(default_factory=dict)
    by: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    finish: Callable[[Connection, Asked, Sequence[Row]], Sequence[Row]] | None = None
    whole: bool = False
    summary: bool = False

    def keys(self, asked: Asked) -> tuple[Key, ...]:
        """A summary stands in the order of what it is counted by, unless it has one of its own."""
        return self.key or tuple(Key(name) for name in asked.by)

    def statements(self, asked: Asked) -> Sequence[Select[Any]]:
        found = self.statement(asked)
        return [found] if isinstance(found, Select) else found

    def told(self, asked: Asked) -> tuple[Column, ...]:
        by = tuple(Column(name, "text", self.dimensions[name]) for name in asked.by)
        return (*by, *self.columns)


class Page(NamedTuple):
    """Rows in the order of the report, and the cursor of the next page; None after the last one."""

    report: Report
    asked: Asked
    columns: tuple[Column, ...]
    rows: list[dict[str, Any]]
    cursor: str | None


def ask(
    report: Report,
    *,
    as_of: datetime | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    by: Sequence[str] | None = None,
    given: Mapping[str, str] | None = None,
) -> Asked:
    """What is asked, complete and checked. Raises `ReportError`."""
    as_of, since, until = _in_utc(as_of=as_of or datetime.now(UTC), since=since, until=until)
    assert as_of is not None
    if report.summary and since is None:
        since = (until or as_of) - timedelta(days=SUMMARY_DAYS)
    if since and until and until <= since:
        raise ReportError(f"--until {moment(until)} is not after --since {moment(since)}: give a later one")
    asked = Asked(as_of, since, until, tuple(report.by if by is None else by), _parameters(report, given or {}))
    for name in asked.by:
        if name not in report.dimensions:
            known = ", ".join(report.dimensions) or "nothing"
            raise ReportError(f"--by {name}: {report.name} is counted by {known}")
    if len(set(asked.by)) < len(asked.by):
        raise ReportError(f"--by {','.join(asked.by)} names one thing twice: name it once")
    return asked


def _in_utc(**moments: datetime | None) -> list[datetime | None]:
    """Days are those of UTC: a moment told in another zone may lie on another day there."""
    for name, value in moments.items():
        told = f"--{name.replace('_', '-')} {value}"
        if value is not None and value.tzinfo is None:
            raise ReportError(f"{told} has no time zone: give one, such as +00:00")
        if value is not None and not FIRST_YEAR <= value.year <= LAST_YEAR:
            raise ReportError(f"{told}: give a year from {FIRST_YEAR} to {LAST_YEAR}")
    return [value and value.astimezone(UTC) for value in moments.values()]


def _parameters(report: Report, given: Mapping[str, str]) -> dict[str, str]:
    known = {one.name: one for one in report.parameters}
    for name, value in given.items():
        if name not in known:
            raise ReportError(f"{report.name} has no parameter {name!r}; it has: {', '.join(known) or 'none'}")
        if known[name].choices and value not in known[name].choices:
            raise ReportError(f"{name} {value!r} is none: use {', '.join(known[name].choices)}")
    return {name: given.get(name, one.default) for name, one in known.items()}


def read_page(
    connection: Connection,
    report: Report,
    *,
    as_of: datetime | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    by: Sequence[str] | None = None,
    given: Mapping[str, str] | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page:
    """One page of at most `limit` rows; fewer do not mean that it is the last one: the cursor tells. Raises `ReportError`.

    A cursor brings the moment that its first page was read as of, and goes on with no other question.
    """
    if not 1 <= limit <= MOST_ROWS:
        raise ReportError(f"--limit {limit}: give 1 to {MOST_ROWS:,}")
    read = read_cursor(cursor) if cursor is not None else None
    if read and as_of and as_of != read.as_of:
        raise ReportError(f"--as-of {moment(as_of)}: the cursor goes on as of {moment(read.as_of)}; leave it out")
    asked = ask(report, as_of=read.as_of if read else as_of, since=since, until=until, by=by, given=given)
    if report.summary:
        asked = replace(asked, bounds=bounds_of(connection, asked))
    place = read.place_in(report.name, asked) if read else None
    return (
        _page_of_whole(connection, report, asked, limit, place)
        if report.whole
        else _page_of_rows(connection, report, asked, limit, place)
    )


def _page_of_rows(
    connection: Connection, report: Report, asked: Asked, limit: int, place: Sequence[Any] | None
) -> Page:
    keys = report.keys(asked)
    statement = page_of(report.statements(asked), keys, place, limit + 1)
    found = [row._asdict() for row in connection.execute(statement)]
    rows: Sequence[Row] = found[:limit]
    more = len(found) > limit
    following = write_cursor(report.name, asked, [rows[-1][key.column] for key in keys]) if more else None
    return _page(report, asked, report.finish(connection, asked, rows) if report.finish else rows, following)


def _page_of_whole(
    connection: Connection, report: Report, asked: Asked, limit: int, place: Sequence[Any] | None
) -> Page:
    assert report.finish
    first = place[0] if place else 0
    [statement] = report.statements(asked)
    found = report.finish(connection, asked, [row._asdict() for row in connection.execute(statement)])
    more = len(found) > first + limit
    following = write_cursor(report.name, asked, [first + limit]) if more else None
    return _page(report, asked, found[first : first + limit], following)


def _page(report: Report, asked: Asked, rows: Sequence[Row], cursor: str | None) -> Page:
    columns = report.told(asked)
    return Page(report, asked, columns, [_told(columns, asked.by, row) for row in rows], cursor)


def _told(columns: Sequence[Column], by: Sequence[str], row: Row) -> dict[str, Any]:
    """What a row is counted by is empty in the database where it is unknown: it is then None, as anything unknown."""
    told: dict[str, Any] = {}
    for column in columns:
        if column.of:
            told[column.name] = Share(*(int(row[name] or 0) for name in column.of))
        else:
            told[column.name] = (row[column.name] or None) if column.name in by else _plain(column, row[column.name])
    return told


def _plain(column: Column, value: Any) -> Any:
    """Sums of integers come as decimals from PostgreSQL; truths as 0 and 1 from SQLite."""
    if value is None:
        return None
    if column.unit in {"count", "money", "days"}:
        return int(value)
    return bool(value) if column.unit == "truth" else value
