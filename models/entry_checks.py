"""Every entry held against what surrounds it: its bytes, its columns, its deal's chain, its personal values, rows made from it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, func, select

from dealgate.models.commitments import PrivateValue, commitment_at
from dealgate.models.envelope import VERSION
from dealgate.models.leave_checks import Leave, leave_given
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY, PRIVATE
from dealgate.models.merkle import leaf_hash
from dealgate.models.projection_checks import check_projections
from dealgate.models.register_checks import check_registers
from dealgate.models.sealing import PENDING
from dealgate.models.tree import LEAF
from dealgate.models.verification import Progress, Report, compare, in_parts
from dealgate.rules.decision import moment

BATCH = 500

COLUMNS_OF_ENVELOPE = ("entry_id", "kind", "deal_id", "deal_seq", "idempotency_key", "actor", "policy_sha256")

BEFORE = ENTRY.alias("before")
SURROUNDED = (
    select(
        ENTRY,
        BODY.c.envelope,
        BEFORE.c.leaf_hash.label("previous"),
        LEAF.c.leaf_hash.label("sealed_hash"),
        PENDING.c.entry.label("waiting"),
    )
    .outerjoin(BODY, BODY_OF_ENTRY)
    .outerjoin(BEFORE, and_(BEFORE.c.deal_id == ENTRY.c.deal_id, BEFORE.c.deal_seq == ENTRY.c.deal_seq - 1))
    .outerjoin(LEAF, LEAF.c.entry == ENTRY.c.id)
    .outerjoin(PENDING, PENDING.c.entry == ENTRY.c.id)
    .order_by(ENTRY.c.id)
)
"""An entry with its envelope, the hash before it in its deal's chain, and its seal."""

SEVERAL_BODIES = select(BODY.c.entry).group_by(BODY.c.entry).having(func.count() > 1)
"""On PostgreSQL another month takes another envelope of the same entry."""


def check_entries(connection: Connection, report: Report, leave: Leave, progress: Progress | None = None) -> None:
    """What the level `full` adds to the tree."""

    def check(report: Report, numbers: Sequence[int]) -> None:
        check_batch(connection, report, numbers, leave)

    with report.reading("entry", "entries"):
        total = connection.execute(select(func.count()).select_from(ENTRY)).scalar_one()
        for numbers in _batches(connection, report):
            in_parts(report, lambda number: _name(connection, number), numbers, check)
            report.entries += len(numbers)
            if progress:
                progress(report.entries, total)
    check_registers(connection, report, leave)


def _batches(connection: Connection, report: Report) -> Iterator[Sequence[int]]:
    """The numbers of all entries, in the order they were appended. A damaged index may give the same ones again and again."""
    last = 0
    statement = select(ENTRY.c.id).order_by(ENTRY.c.id).limit(BATCH)
    while numbers := connection.execute(statement.where(ENTRY.c.id > last)).scalars().all():
        beyond = sorted({number for number in numbers if number > last})
        if beyond != list(numbers):
            where = f"rows of {ENTRY.name} beyond number {last}"
            report.flaw("database", where, "each once, in order", f"{len(numbers)} from {numbers[0]} to {numbers[-1]}")
        if not beyond:
            return
        yield beyond
        last = beyond[-1]


def _name(connection: Connection, number: int) -> str:
    try:
        return f"entry {connection.execute(select(ENTRY.c.entry_id).where(ENTRY.c.id == number)).scalar()}"
    except Exception:
        return f"entry number {number}"


def check_batch(connection: Connection, report: Report, numbers: Sequence[int], leave: Leave | None = None) -> None:
    """Every entry from the first of these numbers to the last. Without `leave`, what was given to erase of them is looked up."""
    span = (numbers[0], numbers[-1])
    rows = connection.execute(SURROUNDED.where(ENTRY.c.id.between(*span))).all()
    leave = leave or leave_given(connection, span)
    envelopes = {row.id: json.loads(row.envelope) for row in rows if row.envelope is not None}
    several = set(connection.execute(SEVERAL_BODIES.where(BODY.c.entry.between(*span))).scalars())
    for row in rows:
        _check_seal(report, row)
        if row.id in several:
            report.flaw("envelope", f"entry {row.entry_id}", "one envelope", "several")
        if row.id in envelopes:
            _check_entry(report, row, envelopes[row.id])
        elif row.id not in leave.whole:
            report.flaw("envelope", f"entry {row.entry_id}", "its envelope, or an entry that purged it", "none")
    _check_private(connection, report, rows, envelopes, leave)
    check_projections(connection, report, [(row, envelopes[row.id]) for row in rows if row.id in envelopes])


def _check_seal(report: Report, row: Any) -> None:
    where = f"entry {row.entry_id}"
    if (row.sealed_hash is None) == (row.waiting is None):
        expected = "either a leaf or a place among those that wait"
        report.flaw("seal", where, expected, "both" if row.waiting else "neither: it would never be sealed")
    if row.sealed_hash is not None and row.sealed_hash != row.leaf_hash:
        report.flaw("leaf hash", where, row.sealed_hash, row.leaf_hash)


def _check_entry(report: Report, row: Any, envelope: Mapping[str, Any]) -> None:
    where = f"entry {row.entry_id}"
    found = leaf_hash(row.envelope)
    if found != row.leaf_hash and row.sealed_hash is None:
        report.flaw("envelope", f"{where}, not sealed yet", row.leaf_hash, found)
    if envelope.get("v") != VERSION:
        report.flaw("envelope", where, f"version {VERSION}", envelope.get("v"))
    for name in COLUMNS_OF_ENVELOPE:
        compare(report, "column", f"{name} of {where}", envelope.get(name), getattr(row, name))
    for name in ("recorded_at", "effective_at"):
        compare(report, "column", f"{name} of {where}", envelope.get(name), moment(getattr(row, name)))
    previous = row.previous.hex() if row.previous else None
    compare(report, "chain", f"{where}, {row.deal_seq} of deal {row.deal_id}", envelope.get("previous"), previous)


def _check_private(
    connection: Connection, report: Report, rows: Sequence[Any], envelopes: Mapping[int, Any], leave: Leave
) -> None:
    """Each commitment has its value, or an erasure that took it out; each value has its commitment."""
    values: dict[int, dict[str, PrivateValue]] = {}
    for row in connection.execute(select(PRIVATE).where(PRIVATE.c.entry.between(rows[0].id, rows[-1].id))):
        values.setdefault(row.entry, {})[row.path] = PrivateValue(row.path, row.salt, row.value)
    names = {row.id: row.entry_id for row in rows}
    for entry, envelope in envelopes.items():
        there = values.pop(entry, {})
        for path in envelope["private"]:
            value, committed = there.pop(path, None), commitment_at(envelope, path)
            where = f"{path} of entry {names[entry]}"
            if value is None and not leave.covers(entry, path):
                report.flaw("personal value", where, "its value, or an entry that erased it", "none")
            if value is not None and value.commitment != committed:
                report.flaw("personal value", where, committed, value.commitment)
        for path in there:
            report.flaw(
                "personal value", f"{path} of entry {names[entry]}", "nothing: the entry has no such path", "a value"
            )
    for entry in values:
        report.flaw("personal value", f"entry {names.get(entry, entry)}", "nothing: the entry was purged", "values")
