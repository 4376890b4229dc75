"""Reading stored decisions back, from the ledger."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, select

from dealgate.models.envelope import read_deal, read_decision
from dealgate.models.joining import Writable
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY, private_values
from dealgate.models.recording import DECISION


def find_decision(session: Writable, decision_id: str) -> Mapping[str, Any] | None:
    """The document of one decision, as it was made; what was erased since is marked `erased`."""
    return next(iter(find_decisions(session, [decision_id])), None)


def find_submission(session: Writable, decision_id: str) -> Mapping[str, Any] | None:
    """The deal document that a decision was made about; what was erased since is left out."""
    envelope = _envelopes(session, [decision_id]).get(decision_id)
    if envelope is None or envelope["kind"] != "decision":
        return None
    return read_deal(envelope, private_values(session, [decision_id])[decision_id])


class Submitted(NamedTuple):
    """A deal document as it was submitted, without what was erased since, and the pointers of that into the envelope."""

    document: Mapping[str, Any]
    erased: list[str]


def find_submissions(session: Writable, decision_ids: Sequence[str]) -> dict[str, Submitted]:
    """The deal documents that decisions were made about; those that were purged are left out."""
    envelopes, values = _envelopes(session, decision_ids), private_values(session, decision_ids)
    found = {}
    for decision_id, envelope in envelopes.items():
        if envelope["kind"] == "decision":
            kept = {value.path for value in values[decision_id]}
            erased = [path for path in envelope["private"] if path not in kept]
            found[decision_id] = Submitted(read_deal(envelope, values[decision_id]), erased)
    return found


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
    statement: Select[Any] = (
        select(DECISION.c.id, DECISION.c.decision_id).order_by(DECISION.c.id.desc()).limit(most + 1)
    )
    if deal_id is not None:
        statement = statement.where(DECISION.c.deal_id == deal_id)
    if outcome is not None:
        statement = statement.where(DECISION.c.outcome == outcome)
    if before is not None:
        statement = statement.where(DECISION.c.id < before)
    rows = session.execute(statement).all()
    decisions = find_decisions(session, [row.decision_id for row in rows[:most]])
    return Page(decisions, rows[most - 1].id if len(rows) > most else None)


def find_decisions(session: Writable, decision_ids: Sequence[str]) -> list[Mapping[str, Any]]:
    """The documents of decisions, in the order of the ids; those that were purged are left out."""
    envelopes, values = _envelopes(session, decision_ids), private_values(session, decision_ids)
    return [
        read_decision(envelopes[decision_id], values[decision_id])
        for decision_id in decision_ids
        if decision_id in envelopes and envelopes[decision_id]["kind"] == "decision"
    ]


def _envelopes(session: Writable, entry_ids: Sequence[str]) -> dict[str, Any]:
    statement = (
        select(ENTRY.c.entry_id, BODY.c.envelope).join(BODY, BODY_OF_ENTRY).where(ENTRY.c.entry_id.in_(entry_ids))
    )
    return {row.entry_id: json.loads(row.envelope) for row in session.execute(statement)}
