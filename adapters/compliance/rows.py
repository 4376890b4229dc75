"""A found decision as a row of plain values: what stands in columns, what its findings, overrides and notices say, what is withheld."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from dealgate.adapters.compliance.query import COUNT, MEASURES, MONEY, PERCENT
from dealgate.adapters.compliance.readers import PERSONAL, WITHHELD, Reader
from dealgate.models.erasure import ERASURE, NOTICE
from dealgate.models.ledger import ENTRY, private_values
from dealgate.models.recording import FINDING
from dealgate.models.standing import NAMED, STEP
from dealgate.rules.amounts import hundredths, percent
from dealgate.rules.decision import moment

TEXT, MOMENT = "text", "moment"
ERASED = "erased"

Row = Mapping[str, str | int | None]
Details = Mapping[str, Mapping[str, str | None]]
"""By the id of a decision, what further tables say of it, by column."""


class Column(NamedTuple):
    """A column of a result. Money and percents are texts with two places, moments texts in UTC; counts are integers."""

    name: str
    kind: str


def _measure_columns() -> Iterator[Column]:
    for name, unit in MEASURES.items():
        yield Column(name, unit)
        if unit == PERCENT:  # as it is shown, and as it is exactly
            yield Column(f"{name}_numerator", COUNT)
            yield Column(f"{name}_denominator", COUNT)


STORED = (
    *(Column(name, TEXT) for name in ("decision_id", "deal_id")),
    Column("submission", COUNT),
    Column("decided_at", MOMENT),
    *(
        Column(name, TEXT)
        for name in ("outcome", "policy", "version", "policy_sha256", "channel", "dealer_id", "state")
    ),
    *(Column(name, TEXT) for name in ("tier", "condition", "actor")),
    Column("term_months", COUNT),
    *_measure_columns(),
)
TOLD = tuple(
    Column(name, TEXT) for name in ("findings", "finding_reasons", "overrides", "granted_by", "notices", *PERSONAL)
)
COLUMNS = STORED + TOLD
KINDS = {column.name: column.kind for column in COLUMNS}


def rows_of(connection: Connection, found: Sequence[Any], reader: Reader, as_of: datetime | None) -> list[Row]:
    """The rows of decisions that were found, for a reader, with what was known at a moment."""
    told = [_findings(connection, found), _overrides(connection, found, as_of), _notices(connection, found, as_of)]
    if not set(PERSONAL) <= set(reader.withheld):
        told.append(_personal(connection, [one.decision_id for one in found]))
    nothing = dict.fromkeys(column.name for column in TOLD)
    withheld = dict.fromkeys(reader.withheld, WITHHELD)
    rows: list[Row] = []
    for one in found:
        row: dict[str, str | int | None] = {column.name: READ[column.kind](one, column.name) for column in STORED}
        row |= nothing
        for details in told:
            row |= details.get(one.decision_id, {})
        rows.append({**row, **withheld})
    return rows


def _money(row: Any, name: str) -> str | None:
    cents = getattr(row, f"{name}_cents")
    return None if cents is None else hundredths(cents)


def _percent(row: Any, name: str) -> str | None:
    numerator, denominator = getattr(row, f"{name}_numerator"), getattr(row, f"{name}_denominator")
    return None if numerator is None or not denominator else percent(numerator, denominator)


READ: Mapping[str, Callable[[Any, str], str | int | None]] = {
    TEXT: getattr,
    COUNT: getattr,
    MONEY: _money,
    PERCENT: _percent,
    MOMENT: lambda row, name: moment(getattr(row, name)),
}


def _joined(parts: Sequence[str]) -> str | None:
    return "; ".join(parts) or None


def _findings(connection: Connection, found: Sequence[Any]) -> Details:
    ids = {one.id: one.decision_id for one in found}
    statement = select(FINDING.c.decision, FINDING.c.rule, FINDING.c.result, FINDING.c.reason)
    told: dict[str, list[Any]] = {}
    for finding in connection.execute(statement.where(FINDING.c.decision.in_(ids))):
        told.setdefault(ids[finding.decision], []).append(finding)
    return {
        decision_id: {
            "findings": _joined([f"{one.rule} {one.result}" for one in findings]),
            "finding_reasons": _joined(list(dict.fromkeys(one.reason for one in findings if one.reason))),
        }
        for decision_id, findings in ((one, sorted(all_, key=lambda each: each.rule)) for one, all_ in told.items())
    }


def _overrides(connection: Connection, found: Sequence[Any], as_of: datetime | None) -> Details:
    """Of each override its state, side, reason and findings; who granted it apart."""
    statement = select(STEP).where(STEP.c.decision_id.in_([one.decision_id for one in found])).order_by(STEP.c.entry)
    if as_of is not None:
        statement = statement.where(STEP.c.recorded_at <= as_of)
    steps = connection.execute(statement).all()
    if not steps:
        return {}
    named: dict[int, list[str]] = {}
    requests = [one.entry for one in steps if one.step == "request"]
    for row in connection.execute(
        select(NAMED).where(NAMED.c.entry.in_(requests)).order_by(NAMED.c.entry, NAMED.c.rule)
    ):
        named.setdefault(row.entry, []).append(row.rule)
    told: dict[str, dict[str, list[str]]] = {}
    for request in (one for one in steps if one.step == "request"):
        mine = [one for one in steps if one.override_id == request.override_id]
        grants = [one.actor for one in mine if one.step == "grant"]
        state = "denied" if any(one.step == "deny" for one in mine) else _granted(len(grants), request.persons)
        parts = told.setdefault(request.decision_id, {"overrides": [], "granted_by": []})
        words = (state, request.side, request.reason, *named.get(request.entry, ()))
        parts["overrides"].append(" ".join(words))
        parts["granted_by"] += grants
    return {decision_id: {name: _joined(one) for name, one in parts.items()} for decision_id, parts in told.items()}


def _granted(grants: int, persons: int) -> str:
    return "granted" if grants >= persons else "asked"


def _notices(connection: Connection, found: Sequence[Any], as_of: datetime | None) -> Details:
    """Notices about the deal, sent at or after the decision."""
    statement = select(NOTICE).where(NOTICE.c.deal_id.in_({one.deal_id for one in found}))
    if as_of is not None:
        statement = statement.join(ENTRY, ENTRY.c.id == NOTICE.c.entry).where(ENTRY.c.recorded_at <= as_of)
    by_deal: dict[str, list[Any]] = {}
    for notice in connection.execute(statement.order_by(NOTICE.c.sent_at, NOTICE.c.entry)):
        by_deal.setdefault(notice.deal_id, []).append(notice)
    return {
        one.decision_id: {
            "notices": _joined(
                [
                    f"{notice.kind} {moment(notice.sent_at)}"
                    for notice in by_deal.get(one.deal_id, ())
                    if notice.sent_at >= one.decided_at
                ]
            )
        }
        for one in found
    }


PLACES = {path: column for column, path in PERSONAL.items()}


def _personal(connection: Connection, decision_ids: Sequence[str]) -> Details:
    told: dict[str, dict[str, str | None]] = {}
    for decision_id, values in private_values(connection, decision_ids).items():
        for one in sorted(values):
            _put(told.setdefault(decision_id, {}), one.path, json.loads(one.value))
    erased = (
        select(ENTRY.c.entry_id, ERASURE.c.path)
        .join(ERASURE, ERASURE.c.erased == ENTRY.c.id)
        .where(ENTRY.c.entry_id.in_(decision_ids))
        .order_by(ENTRY.c.id, ERASURE.c.path)
    )
    for row in connection.execute(erased):
        _put(told.setdefault(row.entry_id, {}), row.path, ERASED)
    return told


def _put(parts: dict[str, str | None], path: str, value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    if path in PLACES:
        parts[PLACES[path]] = text
    elif path.endswith("/lienholder"):
        parts["lienholders"] = "; ".join(filter(None, (parts.get("lienholders"), text)))
