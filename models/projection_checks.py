"""The rows that were made from decisions' envelopes, held against what the envelopes say."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, select

from dealgate.models import tables
from dealgate.models.commitments import disclose
from dealgate.models.ledger import table
from dealgate.models.projections import (
    TOLD,
    decision_columns,
    finding_columns,
    inputs_number,
    part_columns,
    submission_columns,
)
from dealgate.models.recording import DECISION, FINDING, SUBMISSION
from dealgate.models.verification import Report, compare
from dealgate.rules.deal import Deal

PARTS: tuple[type[tables.Base], ...] = (tables.TradeIn, tables.Product, tables.BookValue)

Told = tuple[Any, Mapping[str, Any]]
"""An entry's row and its envelope."""


def check_projections(connection: Connection, report: Report, entries: Sequence[Told]) -> None:
    decided = {row.entry_id: (row, envelope) for row, envelope in entries if row.kind == "decision"}
    stored = {
        row.decision_id: row for row in connection.execute(select(DECISION).where(DECISION.c.decision_id.in_(decided)))
    }
    numbers = [row.submission_id for row in stored.values()]
    submissions = {row.id: row for row in connection.execute(select(SUBMISSION).where(SUBMISSION.c.id.in_(numbers)))}
    findings = _grouped(connection, FINDING, "decision", [row.id for row in stored.values()])
    parts = {part: _grouped(connection, table(part), "submission_id", list(submissions)) for part in PARTS}
    for decision_id, (row, envelope) in decided.items():
        where, found = f"entry {decision_id}", stored.get(decision_id)
        if found is None or found.submission_id not in submissions:
            report.flaw("projection", where, "its rows of submission and decision", "none")
            continue
        plain = disclose(envelope, [], envelope["private"])
        _compare_decision(report, where, row, plain, found, findings.get(found.id, []))
        mine = {part: rows_of.get(found.submission_id, []) for part, rows_of in parts.items()}
        _compare_submission(report, where, row, plain, submissions[found.submission_id], mine)


def _compare_decision(
    report: Report, where: str, row: Any, plain: Mapping[str, Any], stored: Any, findings: Sequence[Any]
) -> None:
    decision, number = plain["decision"], inputs_number(Deal.read(plain["deal"]))
    expected = {"decided_at": row.recorded_at, "inputs_number": number, **decision_columns(decision)}
    for name in set(DECISION.columns.keys()) - {"id", "submission_id"}:
        compare(report, "projection", f"{name} of the decision of {where}", expected.get(name), getattr(stored, name))
    told = [finding_columns(finding) for finding in decision["findings"] if finding["result"] in TOLD]
    there = [_without(finding, "decision") for finding in findings]
    for rows in (told, there):
        rows.sort(key=lambda one: str(one["rule"]))
    compare(report, "projection", f"findings of {where}", told, there)


def _compare_submission(
    report: Report,
    where: str,
    row: Any,
    plain: Mapping[str, Any],
    stored: Any,
    parts: Mapping[type[tables.Base], Sequence[Any]],
) -> None:
    deal = Deal.read(plain["deal"])
    expected = {
        "submission": plain["decision"]["submission"],
        "received_at": row.recorded_at,
        "actor": row.actor,
        "idempotency_key": row.idempotency_key,
        **submission_columns(deal),
    }
    for name, value in expected.items():
        compare(report, "projection", f"{name} of the submission of {where}", value, getattr(stored, name))
    for part, items in part_columns(deal).items():
        there = [_without(one, "submission_id") for one in parts[part]]
        there.sort(key=lambda one: int(one["position"]))
        compare(report, "projection", f"{part.__tablename__} of {where}", items, there)


def _without(row: Any, column: str) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != column}


def _grouped(connection: Connection, source: Table, column: str, keys: Sequence[int]) -> dict[int, list[Any]]:
    groups: dict[int, list[Any]] = {}
    for row in connection.execute(select(source).where(source.c[column].in_(keys))):
        groups.setdefault(getattr(row, column), []).append(row)
    return groups
