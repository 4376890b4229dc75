"""Every entry held against what surrounds it: its columns, its deal's chain, its personal values, the rows made from it."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, and_, func, select

from dealgate.models import tables
from dealgate.models.commitments import PrivateValue, commitment_at, disclose
from dealgate.models.envelope import VERSION
from dealgate.models.erasure import ALL_OF_IT, ERASURE, HOLD, NOTICE, entries_hash
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, DEAL, ENTRY, PRIVATE, table
from dealgate.models.merkle import leaf_hash
from dealgate.models.projections import TOLD, decision_columns, finding_columns, part_columns, submission_columns
from dealgate.models.recording import DECISION, FINDING, SUBMISSION
from dealgate.models.recording import VERSION as POLICY_VERSION
from dealgate.models.sealing import PENDING
from dealgate.models.tree import LEAF
from dealgate.models.verification import Progress, Report, differences
from dealgate.rules.deal import Deal
from dealgate.rules.decision import moment

BATCH = 500

COLUMNS_OF_ENVELOPE = ("entry_id", "kind", "deal_id", "deal_seq", "idempotency_key", "actor", "policy_sha256")


def check_entries(connection: Connection, report: Report, progress: Progress | None = None) -> None:
    """What the level `full` adds to the tree."""
    total = connection.execute(select(func.count()).select_from(ENTRY)).scalar_one()
    for rows in _batches(connection):
        report.entries += len(rows)
        envelopes = {row.id: json.loads(row.envelope) for row in rows if row.envelope is not None}
        for row in rows:
            _check_entry(report, row, envelopes.get(row.id))
        _check_private(connection, report, rows, envelopes)
        _check_projections(connection, report, rows, envelopes)
        if progress:
            progress(report.entries, total)
    _check_heads(connection, report)
    _check_strays(connection, report)
    _check_policies(connection, report)


def _batches(connection: Connection) -> Iterator[Sequence[Any]]:
    """Entries in the order they were appended, each with its envelope, the hash before it in its deal's chain, and its seal."""
    before = ENTRY.alias("before")
    statement = (
        select(
            ENTRY,
            BODY.c.envelope,
            before.c.leaf_hash.label("previous"),
            LEAF.c.leaf_hash.label("sealed_hash"),
            PENDING.c.entry.label("waiting"),
        )
        .outerjoin(BODY, BODY_OF_ENTRY)
        .outerjoin(before, and_(before.c.deal_id == ENTRY.c.deal_id, before.c.deal_seq == ENTRY.c.deal_seq - 1))
        .outerjoin(LEAF, LEAF.c.entry == ENTRY.c.id)
        .outerjoin(PENDING, PENDING.c.entry == ENTRY.c.id)
        .order_by(ENTRY.c.id)
        .limit(BATCH)
    )
    last = 0
    while rows := connection.execute(statement.where(ENTRY.c.id > last)).all():
        yield rows
        last = rows[-1].id


def _check_entry(report: Report, row: Any, envelope: Mapping[str, Any] | None) -> None:
    where = f"entry {row.entry_id}"
    if (row.sealed_hash is None) == (row.waiting is None):
        expected = "either a leaf or a place among those that wait"
        report.flaw("seal", where, expected, "both" if row.waiting else "neither: it would never be sealed")
    if row.sealed_hash is not None and row.sealed_hash != row.leaf_hash:
        report.flaw("leaf hash", where, row.sealed_hash, row.leaf_hash)
    if envelope is None:
        return
    found = leaf_hash(row.envelope)
    if found != row.leaf_hash and row.sealed_hash is None:
        report.flaw("envelope", f"{where}, not sealed yet", row.leaf_hash, found)
    if envelope.get("v") != VERSION:
        report.flaw("envelope", where, f"version {VERSION}", envelope.get("v"))
    for name in COLUMNS_OF_ENVELOPE:
        _compare(report, "column", f"{name} of {where}", envelope.get(name), getattr(row, name))
    for name in ("recorded_at", "effective_at"):
        _compare(report, "column", f"{name} of {where}", envelope.get(name), moment(getattr(row, name)))
    previous = row.previous.hex() if row.previous else None
    _compare(report, "chain", f"{where}, {row.deal_seq} of deal {row.deal_id}", envelope.get("previous"), previous)


def _check_private(connection: Connection, report: Report, rows: Sequence[Any], envelopes: Mapping[int, Any]) -> None:
    """Each commitment has its value, or an erasure that took it out; each value has its commitment."""
    span = (rows[0].id, rows[-1].id)
    values: dict[int, dict[str, PrivateValue]] = {}
    for row in connection.execute(select(PRIVATE).where(PRIVATE.c.entry.between(*span))):
        values.setdefault(row.entry, {})[row.path] = PrivateValue(row.path, row.salt, row.value)
    erased = set(connection.execute(select(ERASURE.c.erased, ERASURE.c.path).where(ERASURE.c.erased.between(*span))))
    names = {row.id: row.entry_id for row in rows}
    for entry, envelope in envelopes.items():
        there = values.pop(entry, {})
        for path in envelope["private"]:
            value, committed = there.pop(path, None), commitment_at(envelope, path)
            where = f"{path} of entry {names[entry]}"
            if value is None and not {(entry, path), (entry, ALL_OF_IT)} & erased:
                report.flaw("personal value", where, "its value, or an entry that erased it", "none")
            if value is not None and value.commitment != committed:
                report.flaw("personal value", where, committed, value.commitment)
        for path in there:
            report.flaw(
                "personal value", f"{path} of entry {names[entry]}", "nothing: the entry has no such path", "a value"
            )
    for entry in values:
        report.flaw("personal value", f"entry {names.get(entry, entry)}", "nothing: the entry was purged", "values")


def _check_projections(
    connection: Connection, report: Report, rows: Sequence[Any], envelopes: Mapping[int, Any]
) -> None:
    decided = {row.entry_id: (row, envelopes[row.id]) for row in rows if row.kind == "decision" and row.id in envelopes}
    stored = {
        row.decision_id: row for row in connection.execute(select(DECISION).where(DECISION.c.decision_id.in_(decided)))
    }
    submissions = _by_key(connection, SUBMISSION, SUBMISSION.c.id, [row.submission_id for row in stored.values()])
    findings = _grouped(connection, FINDING, "decision", [row.id for row in stored.values()])
    parts = {part: _grouped(connection, table(part), "submission_id", list(submissions)) for part in PART_ENTITIES}
    for decision_id, (row, envelope) in decided.items():
        where, found = f"entry {decision_id}", stored.get(decision_id)
        if found is None or found.submission_id not in submissions:
            report.flaw("projection", where, "its rows of submission and decision", "none")
            continue
        plain = disclose(envelope, [], envelope["private"])
        _compare_decision(report, where, row, plain["decision"], found, findings.get(found.id, []))
        mine = {part: rows_of.get(found.submission_id, []) for part, rows_of in parts.items()}
        _compare_submission(report, where, row, plain, submissions[found.submission_id], mine)


PART_ENTITIES: tuple[type[tables.Base], ...] = (tables.TradeIn, tables.Product, tables.BookValue)


def _compare_decision(
    report: Report, where: str, row: Any, decision: Mapping[str, Any], stored: Any, findings: Sequence[Any]
) -> None:
    expected = {"decided_at": row.recorded_at, **decision_columns(decision)}
    for name in set(DECISION.columns.keys()) - {"id", "submission_id"}:
        _compare(report, "projection", f"{name} of the decision of {where}", expected.get(name), getattr(stored, name))
    told = [finding_columns(finding) for finding in decision["findings"] if finding["result"] in TOLD]
    there = [{name: value for name, value in finding._mapping.items() if name != "decision"} for finding in findings]
    for rows in (told, there):
        rows.sort(key=lambda one: str(one["rule"]))
    _compare(report, "projection", f"findings of {where}", told, there)


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
        _compare(report, "projection", f"{name} of the submission of {where}", value, getattr(stored, name))
    for part, items in part_columns(deal).items():
        there = [
            {name: value for name, value in one._mapping.items() if name != "submission_id"} for one in parts[part]
        ]
        there.sort(key=lambda one: int(one["position"]))
        _compare(report, "projection", f"{part.__tablename__} of {where}", items, there)


def _by_key(connection: Connection, source: Table, column: Any, keys: Sequence[int]) -> dict[int, Any]:
    return {row.id: row for row in connection.execute(select(source).where(column.in_(keys)))}


def _grouped(connection: Connection, source: Table, column: str, keys: Sequence[int]) -> dict[int, list[Any]]:
    groups: dict[int, list[Any]] = {}
    for row in connection.execute(select(source).where(source.c[column].in_(keys))):
        groups.setdefault(getattr(row, column), []).append(row)
    return groups


def _check_heads(connection: Connection, report: Report) -> None:
    """The head of each deal against the end of its chain: an entry cut off the end would leave it without a next."""
    last = ENTRY.alias("last")
    statement = select(DEAL.c.deal_id, DEAL.c.entries, DEAL.c.head, last.c.leaf_hash).outerjoin(
        last, and_(last.c.deal_id == DEAL.c.deal_id, last.c.deal_seq == DEAL.c.entries)
    )
    for row in connection.execute(statement.where((last.c.leaf_hash.is_(None)) | (last.c.leaf_hash != DEAL.c.head))):
        got = row.leaf_hash.hex() if row.leaf_hash else "none"
        report.flaw("chain", f"entry {row.entries} of deal {row.deal_id}, its last", (row.head or b"").hex(), got)
    counted = select(ENTRY.c.deal_id, func.count().label("entries")).group_by(ENTRY.c.deal_id).subquery()
    differing = select(DEAL.c.deal_id, DEAL.c.entries, counted.c.entries).join(
        counted, and_(counted.c.deal_id == DEAL.c.deal_id, counted.c.entries != DEAL.c.entries)
    )
    for deal_id, expected, got in connection.execute(differing):
        report.flaw("chain", f"entries of deal {deal_id}", expected, got)


def _check_strays(connection: Connection, report: Report) -> None:
    """Rows that belong to no entry, and purges that took out other entries than they say."""
    orphans = select(DECISION.c.decision_id).outerjoin(ENTRY, ENTRY.c.entry_id == DECISION.c.decision_id)
    for decision_id in connection.execute(orphans.where(ENTRY.c.id.is_(None))).scalars():
        report.flaw("projection", f"decision {decision_id}", "an entry of the ledger", "none")
    undecided = select(SUBMISSION.c.id).outerjoin(DECISION, DECISION.c.submission_id == SUBMISSION.c.id)
    for number in connection.execute(undecided.where(DECISION.c.id.is_(None))).scalars():
        report.flaw("projection", f"submission {number}", "a decision about it", "none")
    for kind, register in (("notice", NOTICE), ("legal_hold", HOLD)):
        strays = select(register.c.entry).join(ENTRY, ENTRY.c.id == register.c.entry)
        for entry in connection.execute(strays.where(ENTRY.c.kind != kind)).scalars():
            report.flaw("projection", f"{register.name} {entry}", f"an entry of kind {kind}", "another")
    purges = (
        select(ENTRY.c.id, ENTRY.c.entry_id, BODY.c.envelope)
        .select_from(ENTRY)
        .join(BODY, BODY_OF_ENTRY)
        .where(ENTRY.c.kind == "retention_purge")
    )
    for purge in connection.execute(purges).all():
        told = json.loads(purge.envelope)["retention_purge"]
        taken = select(ENTRY.c.entry_id).join(ERASURE, ERASURE.c.erased == ENTRY.c.id)
        ids = connection.execute(taken.where(ERASURE.c.entry == purge.id)).scalars().all()
        _compare(report, "purge", f"entry {purge.entry_id}", told["entries_sha256"], entries_hash(list(ids)))


def _check_policies(connection: Connection, report: Report) -> None:
    """The text of every policy version against the entry of its publication."""
    published = (
        select(BODY.c.envelope).select_from(ENTRY).join(BODY, BODY_OF_ENTRY).where(ENTRY.c.kind == "policy_publication")
    )
    told = {
        one["sha256"]: one for one in (json.loads(data)["policy"] for data in connection.execute(published).scalars())
    }
    for version in connection.execute(select(POLICY_VERSION)).all():
        where = f"policy {version.name} {version.version}"
        entry = told.pop(version.sha256, None)
        _compare(report, "policy", f"content of {where}", version.sha256, _sha256(version.content))
        if entry is None:
            report.flaw("policy", where, "an entry of its publication", "none")
            continue
        _compare(report, "policy", f"text of {where}", entry["document_sha256"], _sha256(version.document))
        _compare(
            report, "policy", f"name of {where}", (entry["name"], entry["version"]), (version.name, version.version)
        )
    for sha256, entry in told.items():
        report.flaw("policy", f"policy {entry['name']} {entry['version']}", f"its text, sha256 {sha256}", "none")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _compare(report: Report, what: str, where: str, expected: object, got: object) -> None:
    for path, here, there in differences(expected, got):
        report.flaw(what, f"{path.lstrip('/')} of {where}" if path else where, here, there)
