"""What is told of an entry: a CloudEvent, made of what the ledger keeps for good, in which no personal value stands."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from sqlalchemy import Connection, bindparam, select

from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY
from dealgate.models.outbox_tables import DECISION_MADE, OVERRIDE_GRANTED, POLICY_IN_FORCE
from dealgate.models.standing import ENTRY_OF_STEP, STEP, find_override
from dealgate.models.versions import all_steps, tenures
from dealgate.rules.decision import moment

TOLD = (
    select(ENTRY.c.entry_id, ENTRY.c.recorded_at, ENTRY.c.policy_sha256, BODY.c.envelope)
    .join(BODY, BODY_OF_ENTRY, isouter=True)
    .where(ENTRY.c.id == bindparam("entry"))
)
GRANTS_UNTIL = (
    select(STEP.c.entry)
    .join(ENTRY, ENTRY_OF_STEP)
    .join(BODY, BODY_OF_ENTRY)
    .where(STEP.c.override_id == bindparam("id"), STEP.c.step == "grant", STEP.c.entry <= bindparam("entry"))
)
RESULTS = ("violated", "mitigated", "not_evaluable")


class Event(NamedTuple):
    """An event as it is sent; `id` is that of the entry, and stays the same however often it is sent."""

    id: str
    body: bytes


class _Told(NamedTuple):
    at: datetime
    data: Mapping[str, Any]


def event_of(connection: Connection, entry: int, event: str, subject: str, source: str) -> Event | None:
    """The event about an entry; None where there is nothing to tell of it any more."""
    row = connection.execute(TOLD, {"entry": entry}).one()
    told = TELLING[event](connection, entry, row)
    if told is None:
        return None
    attributes = {
        "specversion": "1.0",
        "id": row.entry_id,
        "source": source,
        "type": event,
        "subject": subject.partition("/")[2],
        "time": told.at,
        "datacontenttype": "application/json",
    }
    return Event(row.entry_id, JSONFormat().write(CloudEvent(attributes, dict(told.data))))


def _decision(connection: Connection, entry: int, row: Any) -> _Told | None:
    if row.envelope is None:
        return None
    decision = json.loads(row.envelope)["decision"]
    findings = decision["findings"]
    rules = {result: [one["rule"] for one in findings if one["result"] == result] for result in RESULTS}
    head = {name: decision[name] for name in ("decision_id", "deal_id", "submission", "outcome", "policy", "reasons")}
    return _Told(row.recorded_at, {**head, "rules": rules, "decided_at": decision["decided_at"]})


def _override(connection: Connection, entry: int, row: Any) -> _Told | None:
    if row.envelope is None:
        return None
    override = find_override(connection, json.loads(row.envelope)["override"]["override_id"])
    if override is None:
        return None
    granted = len(connection.execute(GRANTS_UNTIL, {"id": override.override_id, "entry": entry}).all())
    ends = [one.ends_at for one in override.grants[:granted] if one.ends_at]
    data = {
        "override_id": override.override_id,
        "decision_id": override.decision_id,
        "deal_id": override.deal_id,
        "submission": override.submission,
        "side": override.side.value,
        "rules": list(override.rules),
        "reason": override.reason,
        "persons": override.persons,
        "granted": granted,
        "complete": granted >= override.persons,
        "ends_at": moment(min(ends)) if ends else None,
    }
    return _Told(row.recorded_at, data)


def _policy(connection: Connection, entry: int, row: Any) -> _Told | None:
    """None where the version was retired before its time began."""
    tenure = next((one for one in tenures(all_steps(connection)) if one.sha256 == row.policy_sha256), None)
    if tenure is None:
        return None
    policy = {"name": tenure.name, "version": tenure.version, "sha256": tenure.sha256}
    ends_at = moment(tenure.end) if tenure.end else None
    return _Told(tenure.start, {"policy": policy, "starts_at": moment(tenure.start), "ends_at": ends_at})


TELLING: Mapping[str, Callable[[Connection, int, Any], _Told | None]] = {
    DECISION_MADE: _decision,
    OVERRIDE_GRANTED: _override,
    POLICY_IN_FORCE: _policy,
}
