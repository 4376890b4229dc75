"""Findings, counted and one by one: by rule, what could not be judged and for want of what, and where the engine failed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select, true

from dealgate.adapters.compliance.asking import Asked
from dealgate.adapters.compliance.dimensions import DIMENSIONS, MEANINGS, grouped, labelled, with_decisions
from dealgate.adapters.compliance.known import DECIDED, among, count_if, decided, in_period
from dealgate.adapters.compliance.paging import Key
from dealgate.adapters.compliance.reporting import Column, Report, Row
from dealgate.models.erasure import FINDING
from dealgate.models.reading import find_decisions
from dealgate.models.recording import DECISION, SUBMISSION, VERSION
from dealgate.rules.reading import OF_THE_ENGINE

OF_FINDINGS: Mapping[str, Any] = DIMENSIONS | {
    "rule": FINDING.c.rule,
    "result": FINDING.c.result,
    "severity": FINDING.c.severity,
    "reason": FINDING.c.reason,
}


def findings_statement(asked: Asked) -> Select[Any]:
    counts = (
        select(
            *labelled(asked.by, OF_FINDINGS),
            count_if(FINDING.c.result == "violated").label("violated"),
            count_if(FINDING.c.result == "mitigated").label("mitigated"),
            count_if(FINDING.c.result == "not_evaluable").label("not_evaluable"),
        )
        .select_from(decided(asked, asked.by).join(FINDING, _of_decision(asked)))
        .where(in_period(DECISION.c.decided_at, asked))
    )
    return with_decisions(grouped(counts, asked.by, OF_FINDINGS), asked)


def _of_decision(asked: Asked) -> ColumnElement[bool]:
    bounds = among(FINDING.c.decision, asked.bounds.decisions) if asked.bounds else true()
    return and_(FINDING.c.decision == DECISION.c.id, bounds)


def _found(asked: Asked) -> Select[Any]:
    """Findings of the decisions of a period, each with what tells the deal."""
    return (
        select(
            DECISION.c.id,
            DECISION.c.decided_at,
            DECISION.c.deal_id,
            DECISION.c.submission,
            DECISION.c.decision_id,
            DECISION.c.outcome,
            SUBMISSION.c.dealer_id,
            SUBMISSION.c.tier,
            VERSION.c.name.label("program"),
            VERSION.c.version,
            FINDING.c.rule,
            FINDING.c.severity,
        )
        .select_from(DECIDED.join(FINDING, FINDING.c.decision == DECISION.c.id))
        .where(in_period(DECISION.c.decided_at, asked))
    )


def not_evaluable_statement(asked: Asked) -> Select[Any]:
    return _found(asked).where(FINDING.c.result == "not_evaluable", FINDING.c.rule.not_in(OF_THE_ENGINE))


def engine_trouble_statement(asked: Asked) -> Select[Any]:
    return _found(asked).where(or_(~DECISION.c.engine_agreed), FINDING.c.rule.in_(OF_THE_ENGINE))


def told_of(connection: Connection, rows: Sequence[Row]) -> Iterator[tuple[Row, Mapping[str, Any] | None]]:
    """Each row with its finding as the decision's document has it; None where that was purged since the row was read."""
    documents = find_decisions(connection, sorted({row["decision_id"] for row in rows}))
    found = {
        (document["decision_id"], finding["rule"]): finding
        for document in documents
        for finding in document["findings"]
    }
    return ((row, found.get((row["decision_id"], row["rule"]))) for row in rows)


def _with_missing(connection: Connection, _asked: Asked, rows: Sequence[Row]) -> list[Row]:
    return [
        {**row, "missing": list(finding["missing"]) if finding and finding.get("missing") is not None else None}
        for row, finding in told_of(connection, rows)
    ]


def _with_explanation(connection: Connection, _asked: Asked, rows: Sequence[Row]) -> list[Row]:
    return [{**row, "explanation": finding and finding["explanation"]} for row, finding in told_of(connection, rows)]


LATEST_FIRST = (Key("decided_at", descending=True), Key("id", descending=True), Key("rule"))
OF_A_DECISION = (
    Column("decided_at", "moment", "when it was decided"),
    Column("deal_id", "text", "the deal"),
    Column("submission", "count", "which submission of it"),
    Column("decision_id", "text", "the decision"),
    Column("outcome", "text", "the outcome"),
    Column("dealer_id", "text", "the dealer"),
    Column("tier", "text", "the applicant's tier"),
    Column("program", "text", "the policy"),
    Column("version", "text", "its version"),
    Column("rule", "text", "the rule"),
    Column("severity", "text", "what the finding does to the deal"),
)

FINDINGS = Report(
    name="findings",
    title="Findings, counted",
    question="Which rules are broken, mitigated or cannot be judged, how often, at which dealers, tiers, states, in which months?",
    asked_by="credit committee, examiner, dealer management",
    source="concentrations of exceptions by dealer, officer, tier and month",
    columns=(
        Column("violated", "count", "findings of violated rules"),
        Column("mitigated", "count", "violated, and mitigated as the policy says"),
        Column("not_evaluable", "count", "rules that could not be judged"),
        Column("decisions", "count", "decisions of the period that are alike in all that decisions are counted by"),
        Column("violated_rate", "percent", "violated findings for each decision", ("violated", "decisions")),
        Column(
            "not_evaluable_rate", "percent", "not evaluable findings for each decision", ("not_evaluable", "decisions")
        ),
    ),
    statement=findings_statement,
    dimensions=MEANINGS
    | {
        "rule": "the rule",
        "result": "violated, mitigated or not_evaluable",
        "severity": "what the finding does to the deal",
        "reason": "the reason that the rule gives",
    },
    by=("rule",),
    summary=True,
)

NOT_EVALUABLE = Report(
    name="not-evaluable",
    title="Findings that could not be judged",
    question="Which rules could not be judged, on which deals, and which fields were missing?",
    asked_by="operations, dealer desk, internal audit",
    source="12 CFR 1002.9(c): an application that lacks information is completed or noticed as incomplete",
    columns=(*OF_A_DECISION, Column("missing", "list", "the fields to be supplied; from the decision's document")),
    statement=not_evaluable_statement,
    key=LATEST_FIRST,
    finish=_with_missing,
)

ENGINE_TROUBLE = Report(
    name="engine-trouble",
    title="Failures and disagreements of the rules engine",
    question="On which decisions did the rules engine fail, or differ from the reference evaluation, and how?",
    asked_by="engineering, internal audit, model risk",
    source="a decision that two evaluators do not agree on is referred, never let through",
    columns=(*OF_A_DECISION, Column("explanation", "text", "what happened; from the decision's document")),
    statement=engine_trouble_statement,
    key=LATEST_FIRST,
    finish=_with_explanation,
)
