"""What applicants are still owed: notices of adverse action and their clocks, counteroffers, reasons; and approvals against findings.

The clocks are those of 12 CFR 1002.9(a)(1), in whole days of UTC, and start as early as they may have started. Not legal advice.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, Select, and_, case, func, or_, select

from dealgate.adapters.compliance.asking import Asked
from dealgate.adapters.compliance.findings import OF_A_DECISION
from dealgate.adapters.compliance.known import (
    DECIDED,
    STANDS_AGAINST,
    against_policy,
    in_period,
    is_latest,
    is_overridden,
    is_turned_down,
    is_uncleared,
    last_notice,
    notices,
    rests_on_report,
    there_is,
)
from dealgate.adapters.compliance.paging import Key
from dealgate.adapters.compliance.reporting import Column, Parameter, Report, Row
from dealgate.models.erasure import FINDING, NOTICE
from dealgate.models.ledger import DEAL, ENTRY
from dealgate.models.moments_in_sql import utc_day
from dealgate.models.open_clocks import begins_on
from dealgate.models.reading import find_decisions
from dealgate.models.recording import DECISION, SUBMISSION, VERSION
from dealgate.rules.notice_clocks import APPLICATION, CLOSING, COUNTEROFFER, Duty, clock


def worklist_statements(asked: Asked) -> list[Select[Any]]:
    """Deals whose last decision does not let them pass, and about which nothing was sent since.

    The application counts as complete when its first submission came, or on the day that one names if it is earlier: never later,
    whatever was still missing. After a notice it begins anew with the next submission.

    Of deals of which everything is known, those that have a clock are walked in its order; the others are worked out one by one.
    """
    return [_with_clock(asked), _worked_out(asked)]


def _waiting(asked: Asked) -> tuple[Any, ...]:
    """Of each, what the row tells, and when the last notice was sent."""
    return (
        DECISION.c.id,
        DECISION.c.deal_id,
        DECISION.c.submission,
        DECISION.c.decision_id,
        DECISION.c.decided_at,
        DECISION.c.outcome,
        is_turned_down(asked.as_of).label("turned_down"),
        SUBMISSION.c.dealer_id,
        SUBMISSION.c.state,
        last_notice(asked.as_of, DECISION.c.deal_id).label("noticed_at"),
    )


def _with_clock(asked: Asked) -> Select[Any]:
    """What is recorded is known but for what was recorded since; the deal's row has the clock of all that is recorded."""
    recorded_since = there_is(ENTRY, ENTRY.c.deal_id == DEAL.c.deal_id, ENTRY.c.recorded_at > asked.as_of)
    return (
        select(*_waiting(asked), DEAL.c.clock_from)
        .select_from(
            DEAL.join(DECISION, DECISION.c.decision_id == DEAL.c.decision_id).join(
                SUBMISSION, SUBMISSION.c.id == DECISION.c.submission_id
            )
        )
        .where(
            DEAL.c.clock_from.is_not(None),
            in_period(DECISION.c.decided_at, asked),
            is_uncleared(asked.as_of),
            ~recorded_since,
        )
    )


def _worked_out(asked: Asked) -> Select[Any]:
    recorded_since = select(ENTRY.c.deal_id).where(ENTRY.c.recorded_at > asked.as_of, ENTRY.c.deal_id.is_not(None))
    waiting = (
        select(*_waiting(asked))
        .select_from(DECIDED)
        .where(
            DECISION.c.deal_id.in_(recorded_since),
            in_period(DECISION.c.decided_at, asked),
            is_latest(asked.as_of),
            is_uncleared(asked.as_of),
        )
        .subquery("waiting")
    )
    rounds = _round_begins(asked, waiting.c.deal_id, waiting.c.noticed_at)
    owed = (
        select(waiting, rounds.label("begun_on"))
        .where(or_(waiting.c.noticed_at.is_(None), waiting.c.noticed_at < waiting.c.decided_at))
        .subquery("owed")
    )
    noticed_on = utc_day(owed.c.noticed_at)
    start = case((noticed_on > owed.c.begun_on, noticed_on), else_=owed.c.begun_on)
    columns = [column for column in owed.c if column.name != "begun_on"]
    return select(*columns, start.label("clock_from"))


def _round_begins(asked: Asked, deal_id: Any, noticed_at: Any) -> Any:
    """The earliest day that the submissions since the last notice came on, or that they name."""
    return (
        select(func.min(begins_on(SUBMISSION)))
        .where(
            SUBMISSION.c.deal_id == deal_id,
            SUBMISSION.c.received_at <= asked.as_of,
            or_(noticed_at.is_(None), SUBMISSION.c.received_at > noticed_at),
        )
        .correlate_except(SUBMISSION)
        .scalar_subquery()
    )


def _with_days_left(_connection: Connection, asked: Asked, rows: Sequence[Row]) -> list[Row]:
    return [_clocked(row, date.fromisoformat(row["clock_from"]), APPLICATION, asked) for row in rows]


def _clocked(row: Row, start: date, duty: Duty, asked: Asked) -> Row:
    one, today = clock(duty, start), asked.as_of.date()
    return {
        **row,
        "clock_from": one.began_on,
        "due_on": one.due_on,
        "days_left": one.days_left(today),
        "overdue": one.state(today) == "overdue",
    }


def counteroffers_statement(asked: Asked) -> Select[Any]:
    final = NOTICE.alias("final")
    recorded = ENTRY.alias("recorded")
    closed = (
        select(final.c.entry)
        .join(recorded, recorded.c.id == final.c.entry)
        .where(
            final.c.deal_id == NOTICE.c.deal_id,
            final.c.kind.in_(CLOSING),
            final.c.sent_at >= NOTICE.c.sent_at,
            recorded.c.recorded_at <= asked.as_of,
        )
        .correlate_except(final, recorded)
        .exists()
    )
    since = DECISION.alias("since")
    submitted_again = there_is(
        since,
        since.c.deal_id == NOTICE.c.deal_id,
        since.c.decided_at > NOTICE.c.sent_at,
        since.c.decided_at <= asked.as_of,
    )
    return notices(
        asked.as_of,
        NOTICE.c.entry,
        NOTICE.c.deal_id,
        NOTICE.c.sent_at,
        submitted_again.label("submitted_again"),
    ).where(NOTICE.c.kind == "counteroffer", in_period(NOTICE.c.sent_at, asked), ~closed)


def _with_ninety_days(_connection: Connection, asked: Asked, rows: Sequence[Row]) -> list[Row]:
    return [_clocked(row, row["sent_at"].date(), COUNTEROFFER, asked) for row in rows]


def reasons_statement(asked: Asked) -> Select[Any]:
    consumer_report = there_is(FINDING, FINDING.c.decision == DECISION.c.id, rests_on_report())
    return (
        select(
            DECISION.c.id,
            DECISION.c.decided_at,
            DECISION.c.deal_id,
            DECISION.c.submission,
            DECISION.c.decision_id,
            DECISION.c.outcome,
            SUBMISSION.c.dealer_id,
            SUBMISSION.c.state,
            consumer_report.label("consumer_report"),
        )
        .select_from(DECIDED)
        .where(in_period(DECISION.c.decided_at, asked), against_policy())
    )


def _with_reasons(connection: Connection, _asked: Asked, rows: Sequence[Row]) -> list[Row]:
    found = {one["decision_id"]: one for one in find_decisions(connection, [row["decision_id"] for row in rows])}
    return [_reasoned(row, found.get(row["decision_id"])) for row in rows]


def _reasoned(row: Row, decision: Mapping[str, Any] | None) -> Row:
    reasons = list(decision["reasons"]) if decision else None
    return {**row, "reasons": reasons, "notice_text": notice_text(reasons) if reasons else None}


def notice_text(reasons: Sequence[str]) -> str:
    """The principal reasons as a notice gives them, one a line."""
    return "\n".join(f"{number}. {reason}" for number, reason in enumerate(reasons, start=1))


def approvals_statement(asked: Asked) -> Select[Any]:
    """Approvals, each against the open findings of the decision that stood when it was sent; against nothing where none did."""
    severities = STANDS_AGAINST if asked.given["severity"] == "refer" else ("flag", *STANDS_AGAINST)
    is_open = and_(FINDING.c.decision == DECISION.c.id, FINDING.c.severity.in_(severities))
    recorded = there_is(ENTRY, ENTRY.c.id == NOTICE.c.entry, ENTRY.c.recorded_at <= asked.as_of)
    source = (
        NOTICE.join(DECISION, DECISION.c.id == _standing(asked), isouter=True)
        .join(SUBMISSION, SUBMISSION.c.id == DECISION.c.submission_id, isouter=True)
        .join(VERSION, VERSION.c.sha256 == DECISION.c.policy_sha256, isouter=True)
        .join(FINDING, is_open, isouter=True)
    )
    return (
        select(
            NOTICE.c.entry,
            NOTICE.c.sent_at,
            NOTICE.c.deal_id,
            DECISION.c.decided_at,
            DECISION.c.submission,
            DECISION.c.decision_id,
            DECISION.c.outcome,
            SUBMISSION.c.dealer_id,
            SUBMISSION.c.tier,
            VERSION.c.name.label("program"),
            VERSION.c.version,
            func.coalesce(FINDING.c.rule, "").label("rule"),
            FINDING.c.result,
            FINDING.c.severity,
        )
        .select_from(source)
        .where(
            NOTICE.c.kind == "approval",
            in_period(NOTICE.c.sent_at, asked),
            or_(
                DECISION.c.id.is_(None),
                and_(
                    FINDING.c.rule.is_not(None),
                    ~is_overridden(NOTICE.c.sent_at, DECISION.c.decision_id, FINDING.c.rule),
                ),
            ),
            recorded,
        )
    )


def _standing(asked: Asked) -> Any:
    """The last decision of the deal when the notice was sent."""
    one = DECISION.alias("standing")
    return (
        select(one.c.id)
        .where(one.c.deal_id == NOTICE.c.deal_id, one.c.decided_at <= NOTICE.c.sent_at, one.c.decided_at <= asked.as_of)
        .order_by(one.c.submission.desc())
        .limit(1)
        .correlate_except(one)
        .scalar_subquery()
    )


def _without_empty_rule(_connection: Connection, _asked: Asked, rows: Sequence[Row]) -> list[Row]:
    return [{**row, "rule": row["rule"] or None} for row in rows]


CLOCK = (
    Column("due_on", "day", "the last day to send it"),
    Column("days_left", "days", "until that day, which has 0; negative once it has passed"),
    Column("overdue", "truth", "whether it has passed"),
)

WORKLIST = Report(
    name="adverse-action-worklist",
    title="Adverse action not noticed yet",
    question="Which deals were referred, declined or turned down, about which nothing was sent, and how many days are left of the 30?",
    asked_by="compliance operations, every day; examiner",
    source="12 CFR 1002.9(a)(1)(i): within 30 days after receiving a completed application",
    columns=(
        Column("deal_id", "text", "the deal"),
        Column("submission", "count", "its last submission"),
        Column("decision_id", "text", "the decision about that"),
        Column("decided_at", "moment", "when it was decided"),
        Column("outcome", "text", "what the policy said"),
        Column("turned_down", "truth", "whether an override turned it down"),
        Column("dealer_id", "text", "the dealer"),
        Column("state", "text", "the state"),
        Column("noticed_at", "moment", "the last notice about the deal, if one was sent before"),
        Column("clock_from", "day", "the day from which the 30 are counted"),
        *CLOCK,
    ),
    statement=worklist_statements,
    key=(Key("clock_from"), Key("deal_id")),
    finish=_with_days_left,
)

COUNTEROFFERS = Report(
    name="counteroffers",
    title="Counteroffers that are open",
    question="Which counteroffers were neither accepted nor refused by a notice, and how many days are left of the 90?",
    asked_by="compliance operations, every day",
    source="12 CFR 1002.9(a)(1)(iv): within 90 days after notifying of a counteroffer that is not accepted",
    columns=(
        Column("deal_id", "text", "the deal"),
        Column("sent_at", "moment", "when the counteroffer was sent"),
        Column("submitted_again", "truth", "whether the deal was submitted since"),
        *CLOCK,
    ),
    statement=counteroffers_statement,
    key=(Key("sent_at"), Key("entry")),
    finish=_with_ninety_days,
)

REASONS = Report(
    name="reasons",
    title="Reasons given",
    question="Which principal reasons does each referred or declined decision give, as a notice would tell them?",
    asked_by="compliance operations, examiner",
    source="12 CFR 1002.9(b)(2): specific principal reasons, at most four by its commentary",
    columns=(
        Column("decided_at", "moment", "when it was decided"),
        Column("deal_id", "text", "the deal"),
        Column("submission", "count", "which submission of it"),
        Column("decision_id", "text", "the decision"),
        Column("outcome", "text", "refer or decline"),
        Column("dealer_id", "text", "the dealer"),
        Column("state", "text", "the state"),
        Column(
            "consumer_report", "truth", "whether a finding against the deal rests on a consumer report: 15 USC 1681m(a)"
        ),
        Column("reasons", "list", "the principal reasons; from the decision's document"),
        Column("notice_text", "text", "the same, numbered, one a line"),
    ),
    statement=reasons_statement,
    key=(Key("decided_at", descending=True), Key("id", descending=True)),
    finish=_with_reasons,
)

APPROVALS = Report(
    name="approvals-with-open-findings",
    title="Approvals with an open finding and no override",
    question="Which deals were approved although a finding stood against them that no override in force let through?",
    asked_by="internal audit, examiner",
    source="an exception without documentation (CFPB Supervisory Highlights, spring 2014)",
    columns=(
        Column("sent_at", "moment", "when the approval was sent"),
        *(column for column in OF_A_DECISION if column.name != "rule"),
        Column("rule", "text", "the open finding; unknown where nothing was decided before the approval"),
        Column("result", "text", "its result"),
    ),
    statement=approvals_statement,
    key=(Key("sent_at", descending=True), Key("entry", descending=True), Key("rule")),
    parameters=(Parameter("severity", "the least severity of a finding that is open", "refer", ("flag", "refer")),),
    finish=_without_empty_rule,
)
