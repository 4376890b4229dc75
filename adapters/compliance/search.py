"""Searching stored decisions: one statement for SQLite and PostgreSQL, in an order that stays, page by page or all of it.

Ratios are held against bounds by multiplying integers out: no float, and no overflow, decides.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, exists, func, literal, select, tuple_, union_all

from dealgate.adapters.compliance.known import REQUEST, denied, granted, requested, steps, there_is
from dealgate.adapters.compliance.paging import read_moment, read_number, read_parts, write_parts
from dealgate.adapters.compliance.query import NONE, PERCENT, Condition, Query, QueryError
from dealgate.adapters.compliance.ratios_in_sql import RatioSign, prepare
from dealgate.models.erasure import ALL_OF_IT, ERASURE, NOTICE
from dealgate.models.ledger import ENTRY
from dealgate.models.recording import DECISION, FINDING, SUBMISSION, VERSION
from dealgate.models.types import Moment
from dealgate.rules.decision import moment

AT_ONCE = 1_000
"""Decisions that are read at once where all are wanted."""

RARE = 50_000
"""So many findings are gathered in a second or two; from there on a walk back in time meets one often enough."""

OPERATORS: Mapping[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}

SUBMITTED = ("channel", "dealer_id", "state", "tier", "condition", "actor", "term_months")
DECIDED = (
    select(DECISION, *(SUBMISSION.c[name] for name in SUBMITTED), VERSION.c.name.label("policy"), VERSION.c.version)
    .join(SUBMISSION, SUBMISSION.c.id == DECISION.c.submission_id)
    .join(VERSION, VERSION.c.sha256 == DECISION.c.policy_sha256)
)
PURGED = (
    select(func.count())
    .select_from(ENTRY)
    .join(ERASURE, ERASURE.c.erased == ENTRY.c.id)
    .where(ENTRY.c.kind == "decision", ERASURE.c.path == ALL_OF_IT)
)


class Place(NamedTuple):
    """After which decision a page begins."""

    decided_at: datetime
    id: int


class Page(NamedTuple):
    """Rows of decisions, the latest first, and the cursor of the next page; None after the last one."""

    rows: list[Any]
    cursor: str | None


def search(connection: Connection, query: Query, *, most: int = 50, cursor: str | None = None) -> Page:
    """One page. Decisions that are recorded meanwhile come before it or not at all: no page has a row twice or leaves one out.

    Raises `QueryError`, also for a cursor that belongs to another query.
    """
    rows = _rows(connection, query, read_cursor(query, cursor) if cursor else None, most + 1)
    last = rows[most - 1] if len(rows) > most else None
    return Page(rows[:most], write_cursor(query, Place(last.decided_at, last.id)) if last else None)


def search_all(connection: Connection, query: Query, *, most: int | None = None) -> Iterator[list[Any]]:
    """All of it, or so many at the most, some at a time, in bounded memory."""
    place, told = None, 0
    while wanted := AT_ONCE if most is None else min(AT_ONCE, most - told):
        rows = _rows(connection, query, place, wanted)
        if rows:
            yield rows
            place = Place(rows[-1].decided_at, rows[-1].id)
        if len(rows) < wanted:
            return
        told += wanted


def count_by_outcome(connection: Connection, query: Query) -> dict[str, int]:
    """How many decisions there are of each outcome."""
    prepare(connection)
    counts = _found(query, select(DECISION.c.outcome, func.count()).select_from(DECISION)).group_by(DECISION.c.outcome)
    return {row[0]: row[1] for row in sorted(connection.execute(counts))}


def count_purged(connection: Connection, as_of: datetime | None) -> int:
    """Decisions of before that moment that retention has taken out since, whatever they were: no query finds them any more."""
    statement = PURGED if as_of is None else PURGED.where(ENTRY.c.recorded_at <= as_of)
    return int(connection.execute(statement).scalar_one())


def statement_of(query: Query, most: int, place: Place | None = None) -> Select[Any]:
    """The one statement: it finds a page of decisions by their numbers first, and reads the rest of those alone."""
    at = _moment(query)
    pages = []
    for branch in _branches(query):
        found = branch.order_by(at.desc(), DECISION.c.id.desc()).limit(most)
        if place is not None:
            decided_at = literal(place.decided_at, Moment)
            after = tuple_(at, DECISION.c.id) < tuple_(decided_at, literal(place.id))
            found = found.where(at <= decided_at, after)  # said apart, so that an index on the moment begins there
        pages.append(select(found.subquery()))
    page = union_all(*pages).subquery("page")
    return DECIDED.join(page, page.c.id == DECISION.c.id).order_by(DECISION.c.decided_at.desc(), DECISION.c.id.desc())


def _branches(query: Query) -> list[Select[Any]]:
    """Ways to the same decisions, of which the database goes one: back in time until the page is full, or, where the rules that
    are named find little, from their findings. Walking to what is rare, or long past, would take as long as there are decisions.
    """
    walked = _found(query, select(DECISION.c.id))
    if not query.rules:
        return [walked]
    chosen = select(FINDING.c.decision).where(*_chosen(query))
    some = chosen.limit(RARE + 1).subquery()
    is_rare = select(func.count()).select_from(some).scalar_subquery() <= RARE
    named = chosen.cte("named").prefix_with("MATERIALIZED", dialect="postgresql")
    gathered = _found(query, select(DECISION.c.id)).where(DECISION.c.id.in_(select(named.c.decision)))
    return [gathered.where(is_rare), walked.where(~is_rare)]


def _found(query: Query, chosen: Select[Any]) -> Select[Any]:
    """What is chosen, of the decisions that are meant."""
    if any((query.dealers, query.states, query.channels, query.tiers, query.actors)):
        chosen = chosen.join(SUBMISSION, SUBMISSION.c.id == DECISION.c.submission_id)
    return chosen.where(*conditions(query))


def _moment(query: Query) -> ColumnElement[datetime]:
    """A submission is received at the moment of its decision; its own column stands in the indexes by dealer and by state."""
    return SUBMISSION.c.received_at if query.dealers or query.states else DECISION.c.decided_at


def _rows(connection: Connection, query: Query, place: Place | None, most: int) -> list[Any]:
    prepare(connection)
    return list(connection.execute(statement_of(query, most, place)))


# Cursors


def write_cursor(query: Query, place: Place) -> str:
    return write_parts([query.sha256[:16], moment(place.decided_at), place.id])


def read_cursor(query: Query, cursor: str) -> Place:
    """Raises `QueryError`."""
    try:
        named, decided_at, number = read_parts(cursor)
        place = Place(read_moment(decided_at), read_number(number))
    except (ValueError, TypeError):
        remedy = "pass on the cursor that the page before gave, as it is, or leave it out to begin with the first page"
        raise QueryError("cursor", cursor, remedy) from None
    if named != query.sha256[:16]:
        raise QueryError("cursor", cursor, "it belongs to another query: ask the one it came with, or leave it out")
    return place


# What must hold


def conditions(query: Query) -> list[ColumnElement[bool]]:
    """Of a decision and, where a part of the query is about it, its submission."""
    found: list[ColumnElement[bool]] = [
        column.in_(values)
        for column, values in (
            (DECISION.c.deal_id, query.deals),
            (DECISION.c.outcome, query.outcomes),
            (SUBMISSION.c.dealer_id, query.dealers),
            (SUBMISSION.c.state, query.states),
            (SUBMISSION.c.channel, query.channels),
            (SUBMISSION.c.tier, query.tiers),
            (SUBMISSION.c.actor, query.actors),
        )
        if values
    ]
    at = _moment(query)
    if query.decided_from:
        found.append(at >= query.decided_from)
    if query.decided_before:
        found.append(at < query.decided_before)
    if query.as_of:
        found.append(at <= query.as_of)  # a decision is recorded at the moment it is made
    found += [_measured(one) for one in query.measures]
    return [*found, *_of_policy(query), *_of_finding(query), *_of_override(query), *_of_notices(query)]


def _measured(one: Condition) -> ColumnElement[bool]:
    compared, (numerator, denominator) = OPERATORS[one.operator], one.ratio
    if one.unit == PERCENT:
        columns = (DECISION.c[f"{one.measure}_numerator"], DECISION.c[f"{one.measure}_denominator"])
        bounds = (literal(numerator, BigInteger), literal(denominator, BigInteger))
        return compared(RatioSign(*columns, *bounds), 0)
    name = f"{one.measure}_cents"
    return compared(DECISION.c[name if name in DECISION.c else one.measure], numerator)


def _of_policy(query: Query) -> Iterator[ColumnElement[bool]]:
    if query.policies or query.versions:
        chosen = select(VERSION.c.sha256)
        if query.policies:
            chosen = chosen.where(VERSION.c.name.in_(query.policies))
        if query.versions:
            chosen = chosen.where(VERSION.c.version.in_(query.versions))
        yield DECISION.c.policy_sha256.in_(chosen)


def _of_finding(query: Query) -> Iterator[ColumnElement[bool]]:
    if chosen := _chosen(query):
        yield exists().where(FINDING.c.decision == DECISION.c.id, *chosen)


def _chosen(query: Query) -> list[ColumnElement[bool]]:
    """Of one finding."""
    named = ((FINDING.c.rule, query.rules), (FINDING.c.result, query.results), (FINDING.c.reason, query.reasons))
    return [column.in_(values) for column, values in named if values]


def _of_override(query: Query) -> Iterator[ColumnElement[bool]]:
    if not query.asks_for_override:
        return
    of_decision = [REQUEST.c.decision_id == DECISION.c.decision_id, requested(query.as_of)]
    if query.override == NONE:
        yield ~there_is(REQUEST, *of_decision)
        return
    if query.override_side:
        of_decision.append(REQUEST.c.side == query.override_side)
    if query.override_reasons:
        of_decision.append(REQUEST.c.reason.in_(query.override_reasons))
    if query.override == "granted":
        of_decision.append(granted(query.as_of))
    if query.override == "denied":
        of_decision.append(denied(query.as_of))
    if query.grantors:
        grant, is_grant = steps("grant", query.as_of)
        of_decision.append(there_is(grant, is_grant, grant.c.actor.in_(query.grantors)))
    yield there_is(REQUEST, *of_decision)


def _of_notices(query: Query) -> Iterator[ColumnElement[bool]]:
    if not query.notices:
        return
    about = [NOTICE.c.deal_id == DECISION.c.deal_id, NOTICE.c.sent_at >= DECISION.c.decided_at]
    if query.as_of:
        about.append(exists().where(ENTRY.c.id == NOTICE.c.entry, ENTRY.c.recorded_at <= query.as_of))
    if query.notices == (NONE,):
        yield ~exists().where(*about)
    else:
        yield exists().where(*about, NOTICE.c.kind.in_(query.notices))
