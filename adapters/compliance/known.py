"""What was known at a moment, as parts of statements: decisions, what overrides and notices made of them.

Of a deal its last decision counts. Order is by the number of the submission; moments say what was known.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Subquery,
    and_,
    case,
    exists,
    func,
    or_,
    select,
    true,
)

from dealgate.adapters.compliance.asking import Asked, Bounds, Numbers
from dealgate.models.erasure import FINDING, NOTICE
from dealgate.models.ledger import ENTRY
from dealgate.models.recording import DECISION, SUBMISSION, VERSION
from dealgate.models.standing import NAMED, STEP
from dealgate.rules.overriding import PASSES

Moment = datetime | ColumnElement[Any]
"""A moment, or the column that has one for each row."""


def known_by(column: ColumnElement[Any], as_of: Moment | None) -> list[ColumnElement[bool]]:
    """Whether something was recorded by then; without a moment, everything is known."""
    return [] if as_of is None else [column <= as_of]


STANDS_AGAINST = ("refer", "decline")
"""Outcomes and severities that do not let a deal pass."""

DECIDED = DECISION.join(SUBMISSION, SUBMISSION.c.id == DECISION.c.submission_id).join(
    VERSION, VERSION.c.sha256 == DECISION.c.policy_sha256
)


def in_period(column: ColumnElement[Any], asked: Asked) -> ColumnElement[bool]:
    parts = [column <= asked.as_of]
    if asked.since is not None:
        parts.append(column >= asked.since)
    if asked.until is not None:
        parts.append(column < asked.until)
    return and_(*parts)


OF_SUBMISSION = {"tier", "dealer", "state", "channel", "condition"}
OF_VERSION = {"program", "version"}
"""What is asked of a decision that another table has."""


def decided(asked: Asked, by: Sequence[str]) -> FromClause:
    """Decisions, and of what each has one of only what is asked for: the others would be read row by row for nothing."""
    found: FromClause = DECISION
    if OF_SUBMISSION & set(by):
        found = found.join(SUBMISSION, of_submission(asked))
    if OF_VERSION & set(by):
        found = found.join(VERSION, VERSION.c.sha256 == DECISION.c.policy_sha256)
    return found


def of_submission(asked: Asked, number: ColumnElement[Any] = DECISION.c.submission_id) -> ColumnElement[bool]:
    bounds = among(SUBMISSION.c.id, asked.bounds.submissions) if asked.bounds else true()
    return and_(SUBMISSION.c.id == number, bounds)


def among(column: ColumnElement[Any], numbers: Numbers) -> ColumnElement[bool]:
    """Said of what is joined to the decisions of a period: the database then reads one stretch of it instead of looking up each."""
    return column.between(numbers.first, numbers.last)


def bounds_of(connection: Connection, asked: Asked) -> Bounds:
    count, *numbers = connection.execute(bounds_statement(asked)).one()
    first, last, first_submission, last_submission = numbers if count else (1, 0, 1, 0)
    return Bounds(Numbers(first, last), Numbers(first_submission, last_submission))


def bounds_statement(asked: Asked) -> Select[Any]:
    """Read from the index alone. Without the count PostgreSQL walks to the first number from the beginning of all."""
    ends = [end(column) for column in (DECISION.c.id, DECISION.c.submission_id) for end in (func.min, func.max)]
    columns: list[Any] = [func.count(), *ends]
    return select(*columns).where(in_period(DECISION.c.decided_at, asked))


def there_is(own: FromClause, *where: Any) -> ColumnElement[bool]:
    """Whether a row of `own` answers to conditions; every other table they name is the statement's around it, however far out."""
    return exists().where(*where).select_from(own).correlate_except(own)


CLOCKS_APART = timedelta(days=1)
"""By how much the clock of who records something may be behind that of who recorded what came before it."""


LATER = DECISION.alias("later")


def is_latest(as_of: Moment, decision: Any = DECISION, *further: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether no later submission of the deal was known. It has a higher number, for a submission holds the deal's row."""
    return ~there_is(
        LATER,
        LATER.c.deal_id == decision.c.deal_id,
        LATER.c.submission > decision.c.submission,
        LATER.c.decided_at <= as_of,
        *further,
    )


def is_latest_of_period(asked: Asked) -> ColumnElement[bool]:
    """The same, of decisions of a period: the database then reads one stretch of later ones instead of looking for each."""
    further = [LATER.c.id > asked.bounds.decisions.first] if asked.bounds else []
    if asked.since is not None:
        further.append(LATER.c.decided_at >= asked.since - CLOCKS_APART)
    return is_latest(asked.as_of, DECISION, *further)


def against_policy(decision: Any = DECISION) -> ColumnElement[bool]:
    found: ColumnElement[bool] = decision.c.outcome.in_(STANDS_AGAINST)
    return found


def rests_on_report() -> ColumnElement[bool]:
    """Of a finding: whether it says something against the deal, and its rule used a consumer report: 15 USC 1681m(a)."""
    return and_(FINDING.c.severity != "pass", FINDING.c.used_consumer_report)


# Overrides: a request, the grants it needs, or a denial

REQUEST = STEP.alias("request")


def steps(step: str, as_of: Moment | None, request: Any = REQUEST) -> tuple[Any, ColumnElement[bool]]:
    """The steps of a kind that were taken of a request, and what makes them that."""
    one = STEP.alias(step)
    known = known_by(one.c.recorded_at, as_of)
    return one, and_(one.c.override_id == request.c.override_id, one.c.step == step, *known)


def requested(as_of: Moment | None, request: Any = REQUEST) -> ColumnElement[bool]:
    return and_(request.c.step == "request", *known_by(request.c.recorded_at, as_of))


def requested_of(asked: Asked, request: Any = REQUEST) -> ColumnElement[bool]:
    """Requests that were known, of decisions of the period: none was recorded before its decision, by clocks as they are."""
    since = [] if asked.since is None else [request.c.recorded_at >= asked.since - CLOCKS_APART]
    return and_(requested(asked.as_of, request), *since)


def denied(as_of: Moment | None, request: Any = REQUEST) -> ColumnElement[bool]:
    return there_is(*steps("deny", as_of, request))


def granted(as_of: Moment | None, request: Any = REQUEST) -> ColumnElement[bool]:
    """Whether all the persons it needs had granted it, be it ended since or not."""
    one, where = steps("grant", as_of, request)
    grants = select(func.count()).select_from(one).where(where).correlate_except(one).scalar_subquery()
    return cast("ColumnElement[bool]", grants >= request.c.persons)


def settled_of(asked: Asked) -> Subquery:
    """How many granted and denied each override that may be of a decision of the period: none did before it. Counted in one go."""
    since = [] if asked.since is None else [STEP.c.recorded_at >= asked.since - CLOCKS_APART]
    return (
        select(
            STEP.c.override_id,
            count_if(STEP.c.step == "grant").label("grants"),
            count_if(STEP.c.step == "deny").label("denials"),
        )
        .where(STEP.c.step.in_(("grant", "deny")), STEP.c.recorded_at <= asked.as_of, *since)
        .group_by(STEP.c.override_id)
        .subquery("settled")
    )


def has_ended(as_of: Moment, request: Any = REQUEST) -> ColumnElement[bool]:
    """Whether one of its grants has, be they enough or not."""
    one, where = steps("grant", as_of, request)
    return there_is(one, where, one.c.ends_at <= as_of)


def in_force(as_of: Moment, request: Any = REQUEST) -> ColumnElement[bool]:
    return and_(granted(as_of, request), ~denied(as_of, request), ~has_ended(as_of, request))


def has_override(side: str, as_of: Moment, decision: Any = DECISION) -> ColumnElement[bool]:
    """Whether an override of the decision was granted on a side."""
    where = (REQUEST.c.decision_id == decision.c.decision_id, REQUEST.c.side == side)
    return there_is(REQUEST, *where, requested(as_of), granted(as_of))


def is_turned_down(as_of: Moment, decision: Any = DECISION) -> ColumnElement[bool]:
    return and_(decision.c.outcome.in_(PASSES), has_override("high", as_of, decision))


def is_overridden(as_of: Moment, decision_id: Any, rule: Any) -> ColumnElement[bool]:
    """Whether an override in force lets the deal through against a finding."""
    names_it = there_is(NAMED, NAMED.c.entry == REQUEST.c.entry, NAMED.c.rule == rule)
    where = (REQUEST.c.decision_id == decision_id, REQUEST.c.side == "low")
    return there_is(REQUEST, *where, requested(as_of), in_force(as_of), names_it)


def is_uncleared(as_of: Moment, decision: Any = DECISION) -> ColumnElement[bool]:
    """Whether the deal may not be booked: a finding stands against it that no override in force names, or it was turned down."""
    stands = there_is(
        FINDING,
        FINDING.c.decision == decision.c.id,
        FINDING.c.severity.in_(STANDS_AGAINST),
        ~is_overridden(as_of, decision.c.decision_id, FINDING.c.rule),
    )
    return or_(and_(against_policy(decision), stands), is_turned_down(as_of, decision))


# Notices


def notices(as_of: Moment, *columns: Any) -> Select[Any]:
    """The notices recorded by then, with columns of theirs."""
    return select(*columns).join(ENTRY, ENTRY.c.id == NOTICE.c.entry).where(ENTRY.c.recorded_at <= as_of)


def last_notice(as_of: Moment, deal_id: Any) -> Any:
    """When the last notice about a deal was sent; unknown where none was."""
    found = notices(as_of, func.max(NOTICE.c.sent_at)).where(NOTICE.c.deal_id == deal_id)
    return found.correlate_except(NOTICE, ENTRY).scalar_subquery()


def is_approved(as_of: Moment, decision: Any = DECISION) -> ColumnElement[bool]:
    """Whether an approval was sent after the decision."""
    found = notices(as_of, NOTICE.c.entry).where(
        NOTICE.c.deal_id == decision.c.deal_id,
        NOTICE.c.kind == "approval",
        NOTICE.c.sent_at >= decision.c.decided_at,
    )
    return found.correlate_except(NOTICE, ENTRY).exists()


def is_approved_of_period(asked: Asked) -> ColumnElement[bool]:
    """The same, of decisions of a period. Deals with an approval since it began are read in one go, and only those looked at."""
    since = [] if asked.since is None else [NOTICE.c.sent_at >= asked.since]
    approved = select(NOTICE.c.deal_id).where(NOTICE.c.kind == "approval", NOTICE.c.sent_at <= asked.as_of, *since)
    return and_(DECISION.c.deal_id.in_(approved), is_approved(asked.as_of))


def count_if(condition: ColumnElement[bool]) -> Any:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
