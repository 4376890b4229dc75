"""Purges and redactions, held against the notices and the holds that stood when they were made: those outlive what was taken out."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, ScalarSelect, func, select

from dealgate.models.erasure import ALL_OF_IT, ERASURE, HOLD, NOTICE, STOPS_THE_CLOCK, months_before
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY
from dealgate.models.verification import Report, compare
from dealgate.rules.decision import moment

TAKEN = (
    select(ERASURE.c.entry, ENTRY.c.deal_id)
    .join(ENTRY, ENTRY.c.id == ERASURE.c.erased)
    .where(ERASURE.c.path == ALL_OF_IT, ENTRY.c.deal_id.is_not(None))
    .distinct()
    .subquery("taken")
)
PURGES = select(ENTRY, BODY.c.envelope).join(BODY, BODY_OF_ENTRY).where(ENTRY.c.kind == "retention_purge")
# Of what is about one deal, an entry with a smaller number came before: whoever appends to it holds its row, and so does a purge.
NOTIFIED_AT = (
    select(func.max(NOTICE.c.sent_at))
    .where(NOTICE.c.deal_id == TAKEN.c.deal_id, NOTICE.c.entry < TAKEN.c.entry)
    .scalar_subquery()
)
STOPPED_AT = (
    select(func.max(ENTRY.c.recorded_at))
    .where(ENTRY.c.deal_id == TAKEN.c.deal_id, ENTRY.c.id < TAKEN.c.entry, ENTRY.c.kind.in_(STOPS_THE_CLOCK))
    .scalar_subquery()
)


def _is_held(deal_id: ColumnElement[str], before: ColumnElement[int]) -> ScalarSelect[bool]:
    """Whether a deal was under a legal hold when an entry was made."""
    return (
        select(HOLD.c.placed)
        .where(HOLD.c.deal_id == deal_id, HOLD.c.entry < before)
        .order_by(HOLD.c.deal_seq.desc())
        .limit(1)
        .scalar_subquery()
    )


PURGED_DEALS = select(
    TAKEN,
    NOTIFIED_AT.label("notified_at"),
    STOPPED_AT.label("stopped_at"),
    _is_held(TAKEN.c.deal_id, TAKEN.c.entry).label("held"),
).order_by(TAKEN.c.entry, TAKEN.c.deal_id)
REDACTED_UNDER_A_HOLD = (
    select(ENTRY.c.entry_id, ENTRY.c.deal_id)
    .where(ENTRY.c.kind == "redaction", _is_held(ENTRY.c.deal_id, ENTRY.c.id))
    .order_by(ENTRY.c.id)
)


def check_retention(connection: Connection, report: Report) -> None:
    purges = {row.id: (row, json.loads(row.envelope)["retention_purge"]) for row in connection.execute(PURGES)}
    for purge, told in purges.values():
        before = moment(months_before(purge.recorded_at, told["months"]))
        compare(report, "retention", f"the time before which entry {purge.entry_id} purged", before, told["before"])
    for deal in connection.execute(PURGED_DEALS):
        if deal.entry in purges:
            _check_deal(report, deal, *purges[deal.entry])
    for row in connection.execute(REDACTED_UNDER_A_HOLD):
        where = f"entry {row.entry_id}, a redaction of deal {row.deal_id}"
        report.flaw("retention", where, "no legal hold on the deal", "one that was placed before")


def _check_deal(report: Report, deal: Any, purge: Any, told: Mapping[str, Any]) -> None:
    where = f"the purge of deal {deal.deal_id} by entry {purge.entry_id}"
    if deal.notified_at is None or moment(deal.notified_at) > told["before"]:
        got = moment(deal.notified_at) if deal.notified_at else "none"
        report.flaw("retention", where, f"its last notice sent at {told['before']} at the latest", got)
    elif deal.stopped_at and deal.stopped_at > deal.notified_at:
        expected = f"a notice that is younger than what was decided last, at {moment(deal.stopped_at)}"
        report.flaw("retention", where, expected, moment(deal.notified_at))
    if deal.held:
        report.flaw("retention", where, "no legal hold on it", "one that was placed before")
