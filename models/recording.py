"""Writing a submission and its decision into the caller's transaction: all of it or nothing, committed by the caller."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import gcd
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, Table, bindparam, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dealgate.models import tables
from dealgate.rules.deal import Deal
from dealgate.rules.decision import Decision
from dealgate.rules.evaluation import Evaluation, ExactMeasure
from dealgate.rules.finding import Finding
from dealgate.rules.policy import Policy
from dealgate.rules.reference import Result

LARGEST_INTEGER = 2**63

TOLD = {Result.VIOLATED, Result.MITIGATED, Result.NOT_EVALUABLE}
"""Results that stand in the finding table; the decision's document holds every rule."""

Writable = Session | Connection


def _table(entity: type[tables.Base]) -> Table:
    return cast("Table", entity.__table__)


# Statements are built once: building one costs more than running it.

DEAL, SUBMISSION, DECISION, FINDING = map(_table, (tables.Deal, tables.Submission, tables.Decision, tables.Finding))
VERSION, TRADE_IN, PRODUCT, BOOK_VALUE = map(
    _table, (tables.PolicyVersion, tables.TradeIn, tables.Product, tables.BookValue)
)


def _next_submission_statement(insert_into: Callable[[Table], Any]) -> Any:
    """Count a submission on the deal's row, and hold that row until the transaction ends."""
    statement = insert_into(DEAL).values(
        deal_id=bindparam("deal"), submissions=1, outcome=bindparam("outcome"), decision_id=bindparam("decision")
    )
    head = {
        "submissions": DEAL.c.submissions + 1,
        "outcome": statement.excluded.outcome,
        "decision_id": statement.excluded.decision_id,
    }
    return statement.on_conflict_do_update(index_elements=["deal_id"], set_=head).returning(DEAL.c.submissions)


NEXT_SUBMISSION = {
    "sqlite": _next_submission_statement(sqlite.insert),
    "postgresql": _next_submission_statement(postgresql.insert),
}
INSERT_VERSION = {
    name: insert_into(VERSION).on_conflict_do_nothing()
    for name, insert_into in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}
INSERT_SUBMISSION = insert(SUBMISSION).returning(SUBMISSION.c.id, sort_by_parameter_order=True)
INSERT_DECISION = insert(DECISION).returning(DECISION.c.id, sort_by_parameter_order=True)
INSERT_FINDING, INSERT_TRADE_IN, INSERT_PRODUCT, INSERT_BOOK_VALUE = map(
    insert, (FINDING, TRADE_IN, PRODUCT, BOOK_VALUE)
)
VERSION_BY_HASH = select(VERSION.c.sha256).where(VERSION.c.sha256 == bindparam("sha256"))
VERSION_BY_NAME = select(VERSION.c.sha256).where(
    VERSION.c.name == bindparam("name"), VERSION.c.version == bindparam("version")
)
DECISION_BY_KEY = (
    select(DECISION.c.decision_id, DECISION.c.document, SUBMISSION.c.document_sha256)
    .join(SUBMISSION, SUBMISSION.c.id == DECISION.c.submission_id)
    .where(SUBMISSION.c.idempotency_key == bindparam("key"))
)


class IdempotencyConflictError(ValueError):
    """An idempotency key came a second time with another deal."""


class PolicyConflictError(ValueError):
    """A policy name and version came a second time with other content."""


class Recorded(NamedTuple):
    """A stored decision, as values and as the text that is stored.

    `replayed` tells that an earlier submission with the same key had already made it.
    """

    decision_id: str
    decision: Mapping[str, Any]
    text: str
    replayed: bool = False


def canonical_json(document: Any) -> str:
    """Sorted names, no spare characters: the same content gives the same text."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def record_policy(session: Writable, policy: Policy, text: str, now: datetime) -> None:
    """Store a policy version unless it is already there. Raises `PolicyConflictError`."""
    known = {"sha256": policy.sha256}
    if session.execute(VERSION_BY_HASH, known).first():
        return
    row = known | {
        "name": policy.name,
        "version": policy.version,
        "title": policy.title,
        "effective_from": policy.effective_from,
        "effective_to": policy.effective_to,
        "document": text,
        "content": policy.canonical,
        "recorded_at": now,
    }
    session.execute(INSERT_VERSION[_dialect(session)], row)
    stored = session.execute(VERSION_BY_NAME, {"name": policy.name, "version": policy.version}).scalar_one()
    if stored != policy.sha256:
        raise PolicyConflictError(
            f"policy {policy.name} {policy.version} is already recorded with other content (sha256 {stored[:12]}..., "
            f"this one is {policy.sha256[:12]}...): give the changed document a new version"
        )


def find_by_key(session: Writable, key: str, deal: Deal) -> Recorded | None:
    """The decision an earlier submission with this key led to. Raises `IdempotencyConflictError` if that was another deal."""
    found = session.execute(DECISION_BY_KEY, {"key": key}).first()
    if found is None:
        return None
    if found.document_sha256 != _sha256(canonical_json(deal.document())):
        raise IdempotencyConflictError(
            f"the idempotency key {key!r} was used for another deal document; use a new key for a new submission"
        )
    return Recorded(found.decision_id, json.loads(found.document), found.document, replayed=True)


class Entry(NamedTuple):
    """A deal on its way into the record, with what was concluded about it."""

    deal: Deal
    evaluation: Evaluation
    decision_id: str


def record_submissions(
    session: Writable, entries: Sequence[Entry], *, now: datetime, actor: str | None = None
) -> list[Recorded]:
    """Store many submissions at once, as `record_submission` stores one; the answers come in the order of the entries."""
    return _record(session, entries, {"received_at": now, "actor": actor, "idempotency_key": None})


def record_submission(
    session: Writable,
    deal: Deal,
    evaluation: Evaluation,
    *,
    decision_id: str,
    now: datetime,
    actor: str | None = None,
    idempotency_key: str | None = None,
) -> Recorded:
    """Store one submission with its decision and findings. The policy version must be recorded already.

    Takes the deal's row first, so submissions of one deal are numbered without gap whoever else is at work. A key that an
    earlier submission carried leads to that submission's decision, and nothing is stored.
    """
    head = {"received_at": now, "actor": actor, "idempotency_key": idempotency_key}
    entry = Entry(deal, evaluation, decision_id)
    if idempotency_key is None:
        return _record(session, [entry], head)[0]
    _begin(session)
    try:
        with session.begin_nested():
            return _record(session, [entry], head)[0]
    except _AlreadyRecordedError as already:
        return already.recorded
    except IntegrityError:
        # Another deal's submission took the key between our look and our insert.
        if found := find_by_key(session, idempotency_key, deal):
            return found
        raise


class _AlreadyRecordedError(Exception):
    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded


def _record(session: Writable, entries: Sequence[Entry], head: Mapping[str, Any]) -> list[Recorded]:
    numbers = _count_submissions(session, entries)
    key = head["idempotency_key"]
    if key is not None and (found := find_by_key(session, key, entries[0].deal)):
        raise _AlreadyRecordedError(found)
    submission_ids = _insert_submissions(session, entries, numbers, head)
    recorded, rows = list[Recorded](), list[dict[str, Any]]()
    for (deal, evaluation, decision_id), number, submission_id in zip(entries, numbers, submission_ids, strict=True):
        document = Decision(decision_id, deal.deal_id, number, head["received_at"], evaluation).document()
        recorded.append(Recorded(decision_id, document, canonical_json(document)))
        row = {
            "decision_id": decision_id,
            "submission_id": submission_id,
            "deal_id": deal.deal_id,
            "submission": number,
            "policy_sha256": evaluation.policy["sha256"],
            "decided_at": head["received_at"],
            "outcome": evaluation.outcome.value,
            "engine_agreed": evaluation.engine["agreed"],
            "document": recorded[-1].text,
        }
        rows.append(row | measure_columns(evaluation))
    decisions = _insert_numbered(session, INSERT_DECISION, rows)
    findings = [
        _finding_row(decision, finding)
        for decision, entry in zip(decisions, entries, strict=True)
        for finding in entry.evaluation.findings
        if finding.result in TOLD
    ]
    if findings:
        session.execute(INSERT_FINDING, findings)
    return recorded


def _count_submissions(session: Writable, entries: Sequence[Entry]) -> list[int]:
    """Take the deals' rows in one order whoever asks, so that two writers cannot wait for each other."""
    statement = NEXT_SUBMISSION[_dialect(session)]
    numbers = [0] * len(entries)
    for index in sorted(range(len(entries)), key=lambda index: entries[index].deal.deal_id):
        entry = entries[index]
        head = {"deal": entry.deal.deal_id, "outcome": entry.evaluation.outcome.value, "decision": entry.decision_id}
        numbers[index] = session.execute(statement, head).scalar_one()
    return numbers


def _insert_numbered(session: Writable, statement: Any, rows: list[dict[str, Any]]) -> list[int]:
    """Insert rows and return the numbers they were given, in the order of the rows."""
    if len(rows) == 1:
        return [session.execute(statement, rows[0]).scalar_one()]
    return list(session.execute(statement, rows).scalars())


def _begin(session: Writable) -> None:
    """SQLite's driver begins no transaction for a savepoint: on a host's own engine, releasing it would be its commit."""
    connection = _connection(session)
    if connection.dialect.name == "sqlite" and not connection.connection.in_transaction:
        connection.exec_driver_sql("BEGIN")


def _connection(session: Writable) -> Connection:
    return session.connection() if isinstance(session, Session) else session


def _dialect(session: Writable) -> str:
    return _connection(session).dialect.name


def _insert_submissions(
    session: Writable, entries: Sequence[Entry], numbers: Sequence[int], head: Mapping[str, Any]
) -> list[int]:
    rows = []
    for entry, number in zip(entries, numbers, strict=True):
        document = canonical_json(entry.deal.document())
        fixed = {**head, "submission": number, "document": document, "document_sha256": _sha256(document)}
        rows.append(fixed | _submission_columns(entry.deal))
    submission_ids = _insert_numbered(session, INSERT_SUBMISSION, rows)
    parts: dict[Any, list[dict[str, Any]]] = {INSERT_TRADE_IN: [], INSERT_PRODUCT: [], INSERT_BOOK_VALUE: []}
    for submission_id, entry in zip(submission_ids, entries, strict=True):
        for statement, items in _parts_of(entry.deal):
            numbered = enumerate(items)
            parts[statement] += [
                {"submission_id": submission_id, "position": position, **part} for position, part in numbered
            ]
    for statement, items in parts.items():
        if items:
            session.execute(statement, items)
    return submission_ids


def _parts_of(deal: Deal) -> tuple[tuple[Any, list[dict[str, Any]]], ...]:
    return (
        (INSERT_TRADE_IN, [_trade_in_columns(trade) for trade in deal.trade_ins]),
        (INSERT_PRODUCT, [{"kind": product.kind, "price_cents": product.price} for product in deal.products]),
        (
            INSERT_BOOK_VALUE,
            [
                {"basis": value.basis, "amount_cents": value.amount, "as_of": value.as_of}
                for value in deal.vehicle.values
            ],
        ),
    )


def _submission_columns(deal: Deal) -> dict[str, Any]:
    applicant, vehicle = deal.applicant, deal.vehicle
    return {
        "deal_id": deal.deal_id,
        "submitted_on": deal.submitted_on,
        "channel": deal.channel,
        "dealer_id": deal.dealer_id,
        "state": deal.state,
        "tier": applicant.tier,
        "credit_score": applicant.credit_score,
        "monthly_income_cents": applicant.monthly_income,
        "monthly_debt_cents": applicant.monthly_debt,
        "first_time_buyer": applicant.first_time_buyer,
        "covered_borrower": applicant.covered_borrower,
        "vin": vehicle.vin,
        "condition": vehicle.condition,
        "model_year": vehicle.model_year,
        "mileage": vehicle.mileage,
        "cash_price_cents": deal.cash_price,
        "sales_tax_cents": deal.sales_tax,
        "title_and_registration_cents": deal.title_and_registration,
        "doc_fee_cents": deal.doc_fee,
        "cash_down_cents": deal.cash_down,
        "rebate_cents": deal.rebate,
        "prepaid_finance_charge_cents": deal.prepaid_finance_charge,
        "term_months": deal.term_months,
        "apr_ten_thousandths": deal.apr_percent,
        "monthly_payment_cents": deal.monthly_payment,
    }


def _trade_in_columns(trade: Any) -> dict[str, Any]:
    return {
        "kind": trade.kind,
        "allowance_cents": trade.allowance,
        "acv_cents": trade.acv,
        "payoff_cents": trade.payoff,
        "lienholder": trade.lienholder,
        "payoff_good_through": trade.payoff_good_through,
        "per_diem_cents": trade.per_diem,
    }


def measure_columns(evaluation: Evaluation) -> dict[str, int | None]:
    """The shipped measures as the decision's columns; a policy's own measures stand in the document."""
    columns: dict[str, int | None] = {}
    known = DECISION.columns
    for name, value in evaluation.exact_measures.items():
        if f"{name}_numerator" in known:
            columns[f"{name}_numerator"], columns[f"{name}_denominator"] = stored_ratio(value)
        elif f"{name}_cents" in known or name in known:
            columns[f"{name}_cents" if f"{name}_cents" in known else name] = stored_ratio(value)[0]
    return columns


def stored_ratio(value: ExactMeasure | tuple[int, int] | None) -> tuple[int | None, int | None]:
    """Both integers, in lowest terms if they would not fit otherwise; None where even that is too large for the column."""
    numerator, denominator = value or (None, 1)
    if numerator is None:
        return None, None
    if max(abs(numerator), denominator) >= LARGEST_INTEGER:
        common = gcd(numerator, denominator)
        numerator, denominator = numerator // common, denominator // common
    fits = max(abs(numerator), denominator) < LARGEST_INTEGER
    return (numerator, denominator) if fits else (None, None)


def _finding_row(decision: int, finding: Finding) -> dict[str, Any]:
    evidence = finding.evidence
    value, limit = stored_ratio(evidence.exact_value), stored_ratio(evidence.exact_limit)
    return {
        "decision": decision,
        "rule": finding.rule,
        "result": finding.result.value,
        "severity": finding.severity.value,
        "reason": finding.reason,
        "measure": evidence.measure,
        "unit": evidence.unit,
        "value_numerator": value[0],
        "value_denominator": value[1],
        "limit_numerator": limit[0],
        "limit_denominator": limit[1],
        "explanation": evidence.explanation,
        "used_consumer_report": finding.used_consumer_report,
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
