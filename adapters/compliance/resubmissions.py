"""Deals worked until they fit: price or allowance moved while the payoff stayed, and where negative equity hides."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, case, func, or_, select

from dealgate.adapters.compliance.asking import Asked
from dealgate.adapters.compliance.known import count_if, in_period, is_latest_of_period, of_submission
from dealgate.adapters.compliance.paging import Key
from dealgate.adapters.compliance.reporting import Column, Report, Row
from dealgate.models.recording import DECISION, SUBMISSION

SUBMITTED_BEFORE, DECIDED_BEFORE = SUBMISSION.alias("submitted_before"), DECISION.alias("decided_before")


def resubmissions_statement(asked: Asked) -> Select[Any]:
    """Each submission beside the one before it, where the same known payoff is owed and the price or the allowance is another."""
    source = (
        DECISION.join(SUBMISSION, SUBMISSION.c.id == DECISION.c.submission_id)
        .join(
            SUBMITTED_BEFORE,
            and_(
                SUBMITTED_BEFORE.c.deal_id == DECISION.c.deal_id,
                SUBMITTED_BEFORE.c.submission == DECISION.c.submission - 1,
            ),
        )
        .join(DECIDED_BEFORE, DECIDED_BEFORE.c.submission_id == SUBMITTED_BEFORE.c.id)
    )
    return (
        select(
            DECISION.c.id,
            DECISION.c.decided_at,
            DECISION.c.deal_id,
            DECISION.c.submission,
            DECISION.c.decision_id,
            SUBMISSION.c.dealer_id,
            SUBMISSION.c.actor,
            DECISION.c.trade_payoff_cents.label("payoff"),
            SUBMITTED_BEFORE.c.cash_price_cents.label("price_before"),
            SUBMISSION.c.cash_price_cents.label("price"),
            DECIDED_BEFORE.c.trade_allowance_cents.label("allowance_before"),
            DECISION.c.trade_allowance_cents.label("allowance"),
            DECIDED_BEFORE.c.contract_negative_equity_cents.label("contract_before"),
            DECISION.c.contract_negative_equity_cents.label("contract_negative_equity"),
            DECIDED_BEFORE.c.hidden_negative_equity_cents.label("hidden_before"),
            DECISION.c.hidden_negative_equity_cents.label("hidden_negative_equity"),
            DECIDED_BEFORE.c.outcome.label("outcome_before"),
            DECISION.c.outcome,
        )
        .select_from(source)
        .where(
            in_period(DECISION.c.decided_at, asked),
            DECISION.c.trade_payoff_cents > 0,
            DECIDED_BEFORE.c.trade_payoff_cents == DECISION.c.trade_payoff_cents,
            or_(
                SUBMITTED_BEFORE.c.cash_price_cents != SUBMISSION.c.cash_price_cents,
                DECIDED_BEFORE.c.trade_allowance_cents.is_distinct_from(DECISION.c.trade_allowance_cents),
            ),
        )
    )


def dealers_statement(asked: Asked) -> Select[Any]:
    """Of each deal its last decision counts."""
    last = (
        select(
            DECISION.c.submission_id,
            DECISION.c.hidden_negative_equity_cents.label("hidden"),
            DECISION.c.trade_payoff_cents.label("owed"),
        )
        .where(in_period(DECISION.c.decided_at, asked), is_latest_of_period(asked))
        .offset(0)  # joined first, the planner expects few of them and looks for a later one deal by deal
        .subquery("last")
    )
    hidden, owed = last.c.hidden, last.c.owed
    return (
        select(
            func.coalesce(SUBMISSION.c.dealer_id, "").label("dealer"),
            func.count().label("deals"),
            count_if(owed > 0).label("with_payoff"),
            count_if(and_(owed > 0, hidden.is_(None))).label("unknown"),
            count_if(hidden > 0).label("hiding"),
            func.coalesce(func.sum(case((hidden > 0, hidden))), 0).label("hidden"),
            func.coalesce(func.max(case((hidden > 0, hidden))), 0).label("largest"),
        )
        .select_from(last.join(SUBMISSION, of_submission(asked, last.c.submission_id)))
        .group_by(SUBMISSION.c.dealer_id)
    )


def _named(_connection: Connection, _asked: Asked, rows: Sequence[Row]) -> list[Row]:
    return [{**row, "dealer": row["dealer"] or None} for row in rows]


RESUBMISSIONS = Report(
    name="resubmissions",
    title="Resubmitted with price or allowance moved, payoff the same",
    question="Which deals came again with another price or allowance while the same payoff was owed: is negative equity being hidden?",
    asked_by="dealer management, fraud team, internal audit",
    source="over-allowance and price inflation are the ways to hide it: the payoff is a fact, price and allowance are chosen",
    columns=(
        Column("decided_at", "moment", "when the later submission was decided"),
        Column("deal_id", "text", "the deal"),
        Column("submission", "count", "the later submission; it is held against the one before"),
        Column("decision_id", "text", "its decision"),
        Column("dealer_id", "text", "the dealer"),
        Column("actor", "text", "who submitted it"),
        Column("payoff", "money", "the payoff, the same both times"),
        Column("price_before", "money", "the cash price before"),
        Column("price", "money", "and then"),
        Column("allowance_before", "money", "the allowances together before"),
        Column("allowance", "money", "and then"),
        Column("contract_before", "money", "negative equity that the contract showed before"),
        Column("contract_negative_equity", "money", "and then"),
        Column("hidden_before", "money", "negative equity hidden before; unknown without an appraisal"),
        Column("hidden_negative_equity", "money", "and then"),
        Column("outcome_before", "text", "the outcome before"),
        Column("outcome", "text", "and then"),
    ),
    statement=resubmissions_statement,
    key=(Key("decided_at", descending=True), Key("id", descending=True)),
)

DEALERS = Report(
    name="dealers-by-hidden-negative-equity",
    title="Dealers by hidden negative equity",
    question="At which dealers does negative equity hide behind over-allowance, how often and how much of it?",
    asked_by="dealer management, fraud team, examiner",
    source="economic negative equity above what the contract shows",
    columns=(
        Column("dealer", "text", "the dealer; unknown where the deal names none"),
        Column("deals", "count", "deals whose last known decision falls into the period"),
        Column("with_payoff", "count", "of them, with a trade-in on which something is owed"),
        Column("unknown", "count", "of those, without an appraisal: what they hide is not known"),
        Column("hiding", "count", "deals with hidden negative equity"),
        Column("hiding_share", "percent", "among those on which something is owed", ("hiding", "with_payoff")),
        Column("hidden", "money", "hidden negative equity of all of them together"),
        Column("largest", "money", "that of the deal with the most"),
    ),
    statement=dealers_statement,
    key=(Key("hidden", descending=True), Key("dealer")),
    finish=_named,
    summary=True,
)
