"""Exceptions and overrides: who let what through against the policy, who turned down what it lets pass, how often."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, FromClause, Select, Subquery, and_, case, false, func, not_, or_, select

from dealgate.adapters.compliance.asking import Asked
from dealgate.adapters.compliance.dimensions import DIMENSIONS, MEANINGS, labelled, with_decisions
from dealgate.adapters.compliance.known import (
    REQUEST,
    against_policy,
    count_if,
    decided,
    in_period,
    is_approved_of_period,
    is_latest,
    is_latest_of_period,
    requested_of,
    settled_of,
)
from dealgate.adapters.compliance.paging import Key
from dealgate.adapters.compliance.reporting import Column, Report, Row
from dealgate.models.recording import DECISION, SUBMISSION
from dealgate.models.standing import NAMED, STEP

GRANT = STEP.alias("granted_by")

OF_OVERRIDES: Mapping[str, Any] = DIMENSIONS | {
    "side": REQUEST.c.side,
    "reason": REQUEST.c.reason,
    "requester": REQUEST.c.actor,
    "grantor": GRANT.c.actor,
    "role": GRANT.c.role,
    "rule": NAMED.c.rule,
}


def exceptions_statement(asked: Asked) -> Select[Any]:
    """Of each deal its last decision, judged once whether an exception was made of it, and then counted."""
    given = _overridden(asked)
    low, high = (func.coalesce(side, false()) for side in (given.c.low, given.c.high))
    judged = (
        select(
            *labelled(asked.by, DIMENSIONS),
            against_policy().label("against"),
            and_(against_policy(), low).label("low"),
            and_(not_(against_policy()), high).label("high"),
            case((and_(against_policy(), not_(low)), is_approved_of_period(asked)), else_=False).label("past"),
        )
        .select_from(decided(asked, asked.by).join(given, given.c.decision_id == DECISION.c.decision_id, isouter=True))
        .where(in_period(DECISION.c.decided_at, asked), is_latest_of_period(asked))
        .offset(0)  # each is worked out once, and not again in every count
        .subquery("judged")
    )
    counts = (
        func.count().label("deals"),
        count_if(judged.c.against).label("outside_policy"),
        count_if(not_(judged.c.against)).label("within_policy"),
        count_if(judged.c.low).label("low_side"),
        count_if(judged.c.past).label("approved_without_override"),
        count_if(or_(judged.c.low, judged.c.past)).label("exceptions"),
        count_if(judged.c.high).label("high_side"),
    )
    by = [judged.c[name] for name in asked.by]
    return select(*by, *counts).group_by(*by)


def _overridden(asked: Asked) -> Subquery:
    """The decisions of which an override was granted, and on which sides."""
    settled = settled_of(asked)
    return (
        select(
            REQUEST.c.decision_id,
            (count_if(REQUEST.c.side == "low") > 0).label("low"),
            (count_if(REQUEST.c.side == "high") > 0).label("high"),
        )
        .join(settled, settled.c.override_id == REQUEST.c.override_id)
        .where(requested_of(asked), settled.c.grants >= REQUEST.c.persons)
        .group_by(REQUEST.c.decision_id)
        .subquery("given")
    )


def overrides_statement(asked: Asked) -> Select[Any]:
    """Overrides of the decisions of the period. One granted by two persons counts with each of them, and once where they are one."""
    settled = settled_of(asked)
    source: FromClause = (
        decided(asked, asked.by)
        .join(REQUEST, REQUEST.c.decision_id == DECISION.c.decision_id)
        .join(settled, settled.c.override_id == REQUEST.c.override_id, isouter=True)
    )
    if {"grantor", "role"} & set(asked.by):
        given = and_(
            GRANT.c.override_id == REQUEST.c.override_id, GRANT.c.step == "grant", GRANT.c.recorded_at <= asked.as_of
        )
        source = source.join(GRANT, given, isouter=True)
    if "rule" in asked.by:
        source = source.join(NAMED, NAMED.c.entry == REQUEST.c.entry, isouter=True)
    taken = (
        select(
            *labelled(asked.by, OF_OVERRIDES),
            REQUEST.c.entry,
            REQUEST.c.side.label("of_side"),
            func.coalesce(settled.c.grants >= REQUEST.c.persons, false()).label("granted"),
            func.coalesce(settled.c.denials > 0, false()).label("denied"),
        )
        .select_from(source)
        .where(in_period(DECISION.c.decided_at, asked), requested_of(asked))
        .offset(0)  # each is worked out once, and not again in every count
        .subquery("taken")
    )

    def number(name: str, *where: Any) -> Any:
        return func.count(case((and_(*where), taken.c.entry)).distinct()).label(name)

    by = [taken.c[name] for name in asked.by]
    counts = select(
        *by,
        func.count(taken.c.entry.distinct()).label("requested"),
        number("granted", taken.c.granted),
        number("denied", taken.c.denied),
        number("waiting", not_(taken.c.granted), not_(taken.c.denied)),
        number("low_side", taken.c.granted, taken.c.of_side == "low"),
        number("high_side", taken.c.granted, taken.c.of_side == "high"),
    ).group_by(*by)
    return with_decisions(counts, asked)


def override_log_statement(asked: Asked) -> Select[Any]:
    return (
        select(
            REQUEST.c.entry,
            REQUEST.c.recorded_at.label("requested_at"),
            REQUEST.c.override_id,
            REQUEST.c.deal_id,
            REQUEST.c.decision_id,
            DECISION.c.submission,
            DECISION.c.outcome,
            SUBMISSION.c.dealer_id,
            REQUEST.c.side,
            REQUEST.c.reason,
            REQUEST.c.actor.label("requested_by"),
            REQUEST.c.persons,
            is_latest(asked.as_of).label("is_latest"),
        )
        .join(DECISION, DECISION.c.decision_id == REQUEST.c.decision_id)
        .join(SUBMISSION, SUBMISSION.c.id == DECISION.c.submission_id)
        .where(in_period(REQUEST.c.recorded_at, asked), REQUEST.c.step == "request")
    )


def _with_persons(connection: Connection, asked: Asked, rows: Sequence[Row]) -> list[Row]:
    """The findings that each override names, who granted or denied it, and where that leaves it."""
    rules, steps = dict[int, list[str]](), dict[str, list[Any]]()
    named = select(NAMED).where(NAMED.c.entry.in_([row["entry"] for row in rows]))
    for one in connection.execute(named.order_by(NAMED.c.entry, NAMED.c.rule)):
        rules.setdefault(one.entry, []).append(one.rule)
    taken = select(STEP).where(
        STEP.c.override_id.in_([row["override_id"] for row in rows]),
        STEP.c.step.in_(("grant", "deny")),
        STEP.c.recorded_at <= asked.as_of,
    )
    for one in connection.execute(taken.order_by(STEP.c.entry)):
        steps.setdefault(one.override_id, []).append(one)
    return [_settled(row, rules.get(row["entry"], []), steps.get(row["override_id"], ()), asked) for row in rows]


def _settled(row: Row, rules: list[str], steps: Sequence[Any], asked: Asked) -> Row:
    grants = [one for one in steps if one.step == "grant"]
    denied_by = next((one.actor for one in steps if one.step == "deny"), None)
    return {
        **row,
        "rules": rules,
        "granted_by": [f"{one.actor} ({one.role})" for one in grants],
        "denied_by": denied_by,
        "state": _state(row, grants, denied_by, asked),
    }


def _state(row: Row, grants: Sequence[Any], denied_by: str | None, asked: Asked) -> str:
    if not row["is_latest"]:
        return "superseded"
    if denied_by is not None:
        return "denied"
    if any(one.ends_at is not None and one.ends_at <= asked.as_of for one in grants):
        return "ended"
    return "in force" if len(grants) >= row["persons"] else "requested"


EXCEPTIONS = Report(
    name="exceptions",
    title="Exceptions to the policy",
    question="How many deals, and what share of them, went through against the policy, and how many were turned down that it lets pass?",
    asked_by="examiner, credit committee, fair-lending team",
    source="12 CFR 1002 examinations: how many borrowers got exceptions, by program, by whom, why; low side and high side",
    columns=(
        Column("deals", "count", "deals whose last known decision falls into the period"),
        Column("outside_policy", "count", "of them, referred or declined by the policy"),
        Column("within_policy", "count", "of them, passed or flagged"),
        Column("low_side", "count", "outside policy, and an override was granted"),
        Column(
            "approved_without_override", "count", "outside policy, and approved by a notice with no override granted"
        ),
        Column("exceptions", "count", "both: outside policy, and let through"),
        Column("exception_rate", "percent", "exceptions among all deals", ("exceptions", "deals")),
        Column("let_through", "percent", "exceptions among those outside policy", ("exceptions", "outside_policy")),
        Column("high_side", "count", "within policy, and turned down by an override"),
        Column("high_side_rate", "percent", "of those within policy", ("high_side", "within_policy")),
    ),
    statement=exceptions_statement,
    dimensions=MEANINGS,
    by=("program",),
    summary=True,
)

OVERRIDES = Report(
    name="overrides",
    title="Overrides, counted",
    question="Who asks for overrides and who grants them, for which reasons, on which side, against which rules, how often?",
    asked_by="examiner, internal audit, credit committee",
    source="Each exception needs documentation sufficient to monitor the exceptions policy (CFPB Supervisory Highlights, spring 2014)",
    columns=(
        Column("requested", "count", "overrides asked for, of decisions of the period"),
        Column("granted", "count", "granted by all the persons it takes, be it ended since or not"),
        Column("denied", "count", "denied"),
        Column("waiting", "count", "neither"),
        Column("low_side", "count", "granted to let a deal through"),
        Column("high_side", "count", "granted to turn a deal down"),
        Column("granted_share", "percent", "granted among those asked for", ("granted", "requested")),
        Column("decisions", "count", "decisions of the period that are alike in all that decisions are counted by"),
        Column("override_rate", "percent", "overrides granted for each decision", ("granted", "decisions")),
    ),
    statement=overrides_statement,
    dimensions=MEANINGS
    | {
        "side": "low lets a deal through, high turns it down",
        "reason": "the reason code of the request",
        "requester": "who asked",
        "grantor": "who granted",
        "role": "the role in which it was granted",
        "rule": "the rule that the override names",
    },
    by=("side", "reason"),
    summary=True,
)

OVERRIDE_LOG = Report(
    name="override-log",
    title="Overrides, one by one",
    question="Which overrides were asked for, of which decisions, against which findings, and who granted or denied each?",
    asked_by="examiner, internal audit",
    source="as overrides",
    columns=(
        Column("requested_at", "moment", "when it was asked for"),
        Column("override_id", "text", "the id of the override"),
        Column("deal_id", "text", "the deal"),
        Column("submission", "count", "which submission of it"),
        Column("decision_id", "text", "the decision that is overridden"),
        Column("outcome", "text", "what the policy said"),
        Column("dealer_id", "text", "the dealer"),
        Column("side", "text", "low lets the deal through, high turns it down"),
        Column("rules", "list", "the findings that it names"),
        Column("reason", "text", "the reason code"),
        Column("requested_by", "text", "who asked"),
        Column("persons", "count", "how many must grant it"),
        Column("granted_by", "list", "who granted it, and in which role"),
        Column("denied_by", "text", "who denied it"),
        Column(
            "state", "text", "requested, in force, denied, ended or superseded, as known at the moment of the report"
        ),
    ),
    statement=override_log_statement,
    key=(Key("requested_at", descending=True), Key("entry", descending=True)),
    finish=_with_persons,
)
