"""Reading stored decisions back."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import select

from dealgate.models.recording import DECISION, SUBMISSION, Writable


def find_decision(session: Writable, decision_id: str) -> Mapping[str, Any] | None:
    """The document of one decision, exactly as it was stored."""
    text = session.execute(select(DECISION.c.document).where(DECISION.c.decision_id == decision_id)).scalar()
    if text is None:
        return None
    document: Mapping[str, Any] = json.loads(text)
    return document


class Page(NamedTuple):
    """Decisions, the latest first, and the row to go on before; None after the last page."""

    decisions: list[Mapping[str, Any]]
    before: int | None


def list_decisions(
    session: Writable,
    *,
    deal_id: str | None = None,
    outcome: str | None = None,
    before: int | None = None,
    most: int = 50,
) -> Page:
    """One page of decisions, by the order in which they were stored."""
    statement = select(DECISION.c.id, DECISION.c.document).order_by(DECISION.c.id.desc()).limit(most + 1)
    if deal_id is not None:
        statement = statement.where(DECISION.c.deal_id == deal_id)
    if outcome is not None:
        statement = statement.where(DECISION.c.outcome == outcome)
    if before is not None:
        statement = statement.where(DECISION.c.id < before)
    rows = session.execute(statement).all()
    return Page([json.loads(row.document) for row in rows[:most]], rows[most - 1].id if len(rows) > most else None)


def find_submission(session: Writable, decision_id: str) -> Mapping[str, Any] | None:
    """The deal document that a decision was made about."""
    statement = select(SUBMISSION.c.document).join(DECISION, DECISION.c.submission_id == SUBMISSION.c.id)
    text = session.execute(statement.where(DECISION.c.decision_id == decision_id)).scalar()
    if text is None:
        return None
    document: Mapping[str, Any] = json.loads(text)
    return document
