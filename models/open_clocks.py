"""The day from which a notice is owed about a deal, kept on the deal's row: it finds the few that wait among millions.

It leaves out no deal of the worklist; `is_uncleared` of compliance decides which of those that have one are on it.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import String, bindparam, case, cast, exists, func, or_, select, update

from dealgate.models import tables
from dealgate.models.joining import Writable
from dealgate.models.ledger import DEAL, table
from dealgate.models.ledger_tables import Notice
from dealgate.models.moments_in_sql import day_text, utc_day
from dealgate.models.override_tables import OverrideStep
from dealgate.rules.overriding import PASSES

SUBMISSION, DECISION, NOTICE, STEP = map(table, (tables.Submission, tables.Decision, Notice, OverrideStep))
LAST = DECISION.alias("last")
NOTICED_AT: Any = (
    select(func.max(NOTICE.c.sent_at)).where(NOTICE.c.deal_id == DEAL.c.deal_id).correlate(DEAL).scalar_subquery()
)


def begins_on(submission: Any) -> Any:
    """The day that a submission came on, or the earlier one that it names, as a text."""
    came, names = utc_day(submission.c.received_at), day_text(submission.c.submitted_on)
    return case((names < came, names), else_=came)


def _begun_on() -> Any:
    """When the first submission since the last notice came."""
    since = or_(NOTICED_AT.is_(None), SUBMISSION.c.received_at > NOTICED_AT)
    found = select(func.min(begins_on(SUBMISSION))).where(SUBMISSION.c.deal_id == DEAL.c.deal_id, since)
    return found.correlate(DEAL).scalar_subquery()


def _is_owed() -> Any:
    """Whether no notice came after the last decision, and that or an override that was asked for may stand against the deal."""
    turned_down = exists().where(STEP.c.decision_id == LAST.c.decision_id, STEP.c.side == "high")
    return (
        select(LAST.c.id)
        .where(
            LAST.c.decision_id == DEAL.c.decision_id,
            or_(DEAL.c.outcome.is_(None), DEAL.c.outcome.not_in(PASSES), turned_down.correlate(LAST)),
            or_(NOTICED_AT.is_(None), LAST.c.decided_at > NOTICED_AT),
        )
        .correlate(DEAL)
        .exists()
    )


def _clock_from() -> Any:
    noticed_on, begun_on = utc_day(NOTICED_AT), _begun_on()
    start = case((noticed_on > begun_on, noticed_on), else_=begun_on)
    return cast(case((_is_owed(), start)), String(10))


CLOCK_FROM: Any = _clock_from()
"""Of a deal, from all that is recorded; NULL where nothing is owed."""

SET_CLOCKS = update(DEAL).where(DEAL.c.deal_id.in_(bindparam("deals", expanding=True))).values(clock_from=CLOCK_FROM)


def set_clocks(session: Writable, deals: Iterable[str]) -> None:
    """After what starts a clock or stops it was recorded."""
    session.execute(SET_CLOCKS, {"deals": sorted(deals)})
