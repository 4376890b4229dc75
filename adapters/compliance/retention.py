"""Where retention stands: records whose time is over, and what keeps the others."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, Subquery, case, or_, select

from dealgate.adapters.compliance.asking import Asked, ReportError
from dealgate.adapters.compliance.known import in_period, is_latest, last_notice, there_is
from dealgate.adapters.compliance.paging import Key
from dealgate.adapters.compliance.reporting import Column, Parameter, Report, Row
from dealgate.models.erasure import HOLD, MONTHS, PENDING, months_before
from dealgate.models.ledger import ENTRY
from dealgate.models.recording import DECISION
from dealgate.models.standing import STEP


def retention_statement(asked: Asked) -> Select[Any]:
    """Deals whose last decision is as old as retention lasts: before that none can be due."""
    cutoff = _cutoff(asked)
    noticed_at = last_notice(asked.as_of, DECISION.c.deal_id)
    old = (
        select(
            DECISION.c.id,
            DECISION.c.deal_id,
            DECISION.c.decided_at,
            DECISION.c.submission,
            noticed_at.label("noticed_at"),
            _is_held(asked.as_of).label("held"),
            _is_unsealed().label("unsealed"),
        )
        .where(in_period(DECISION.c.decided_at, asked), DECISION.c.decided_at <= cutoff, is_latest(asked.as_of))
        .subquery("old")
    )
    status = case(
        (old.c.held, "held"),
        (old.c.noticed_at.is_(None), "no notice"),
        (or_(old.c.noticed_at < old.c.decided_at, _is_granted_since(old, asked.as_of)), "decided since"),
        (old.c.noticed_at > cutoff, "running"),
        (old.c.unsealed, "not sealed"),
        else_="due",
    )
    return select(old, status.label("status"))


def _is_granted_since(old: Subquery, as_of: datetime) -> Any:
    """Whether an override of the deal was granted after the last notice."""
    grant = STEP.alias("grant")
    since = (grant.c.recorded_at > old.c.noticed_at, grant.c.recorded_at <= as_of)
    return there_is(grant, grant.c.deal_id == old.c.deal_id, grant.c.step == "grant", *since)


def _cutoff(asked: Asked) -> datetime:
    months = asked.given["months"]
    if not (months.isascii() and months.isdigit() and len(months) <= 4 and MONTHS <= int(months) <= 1200):
        raise ReportError(f"months {months!r}: give a number from {MONTHS}, which is the law's, to 1200")
    return months_before(asked.as_of, int(months))


def _is_held(as_of: datetime) -> Any:
    """Whether the last hold known then is one that was placed."""
    return (
        select(HOLD.c.placed)
        .join(ENTRY, ENTRY.c.id == HOLD.c.entry)
        .where(HOLD.c.deal_id == DECISION.c.deal_id, ENTRY.c.recorded_at <= as_of)
        .order_by(HOLD.c.deal_seq.desc())
        .limit(1)
        .correlate_except(HOLD, ENTRY)
        .scalar_subquery()
    )


def _is_unsealed() -> Any:
    pending = select(PENDING.c.entry).join(ENTRY, ENTRY.c.id == PENDING.c.entry)
    return pending.where(ENTRY.c.deal_id == DECISION.c.deal_id).correlate_except(PENDING, ENTRY).exists()


def _held_as_truth(_connection: Connection, _asked: Asked, rows: Sequence[Row]) -> list[Row]:
    return [{**row, "held": bool(row["held"])} for row in rows]


RETENTION = Report(
    name="retention",
    title="Records as old as retention lasts",
    question="Which records may be purged, and which are as old but kept: by a hold, for want of a notice, or as something came after it?",
    asked_by="records management, counsel, examiner",
    source="12 CFR 1002.12(b)(1): 25 months from the notice of action taken; longer under investigation",
    columns=(
        Column("deal_id", "text", "the deal"),
        Column("submission", "count", "its last submission"),
        Column("decided_at", "moment", "when that was decided"),
        Column("noticed_at", "moment", "the last notice about it"),
        Column("held", "truth", "whether a legal hold is placed on it"),
        Column(
            "status",
            "text",
            "due; or kept: held, no notice, decided since (the notice, or an override granted), running (the time since the notice), "
            "not sealed (as of now)",
        ),
    ),
    statement=retention_statement,
    key=(Key("decided_at"), Key("id")),
    parameters=(Parameter("months", "how long records are kept", str(MONTHS)),),
    finish=_held_as_truth,
)
