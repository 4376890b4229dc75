"""Which erasures an entry of the ledger gave leave for. A row that says so is not asked: the entry is, and it must be there."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, func, select

from dealgate.models.erasure import ALL_OF_IT, ERASURE, entries_hash
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY
from dealgate.models.merkle import leaf_hash
from dealgate.models.tree import LEAF
from dealgate.models.verification import Flaw, Report, compare

SEALED_HASH: Any = func.coalesce(LEAF.c.leaf_hash, ENTRY.c.leaf_hash).label("leaf_hash")
GIVERS = (
    select(ENTRY.c.id, ENTRY.c.entry_id, ENTRY.c.kind, ENTRY.c.deal_id, SEALED_HASH, BODY.c.envelope)
    .select_from(ENTRY)
    .outerjoin(LEAF, LEAF.c.entry == ENTRY.c.id)
    .outerjoin(BODY, BODY_OF_ENTRY)
)
TAKEN = (
    select(ERASURE.c.entry, ERASURE.c.erased, ERASURE.c.path, ENTRY.c.entry_id, ENTRY.c.deal_id, SEALED_HASH)
    .join(ENTRY, ENTRY.c.id == ERASURE.c.erased)
    .outerjoin(LEAF, LEAF.c.entry == ENTRY.c.id)
    .order_by(ERASURE.c.entry)
)


@dataclass
class Leave:
    """What was erased by leave: `whole` entries by purges, `paths` of entries by redactions that are there.

    `givers` are the entries that rows name; `flaws` are the rows of which their entry does not say the same.
    """

    whole: set[int] = field(default_factory=set)
    paths: set[tuple[int, str]] = field(default_factory=set)
    givers: set[int] = field(default_factory=set)
    flaws: list[Flaw] = field(default_factory=list)

    def covers(self, entry: int, path: str) -> bool:
        return entry in self.whole or (entry, path) in self.paths


def leave_given(connection: Connection, span: tuple[int, int] | None = None) -> Leave:
    """Leave to erase anything; or, with the first and the last of some entries, what the same purges and redactions took."""
    named = select(ERASURE.c.entry)
    taken = TAKEN
    if span:
        named = named.where(ERASURE.c.erased.between(*span))
        taken = TAKEN.where(ERASURE.c.entry.in_(named))
    givers = {row.id: row for row in connection.execute(GIVERS.where(ENTRY.c.id.in_(named)))}
    leave, report, silent = Leave(), Report("full"), list[tuple[Any, list[Any]]]()
    for number, group in groupby(connection.execute(taken), key=lambda row: row.entry):
        giver, rows = givers.get(number), list(group)
        leave.givers.add(number)
        kind, told = _told(giver)
        if kind == "retention_purge":
            _add_purge(leave, report, giver, told, rows)
        elif kind == "redaction":
            _add_redaction(leave, report, giver, told, rows)
        else:
            silent.append((giver, rows))
    for giver, rows in silent:
        if not _went_with_its_deal(leave, giver, rows):
            where = f"entry number {rows[0].entry}"
            report.flaw("erasure", where, "an entry that gives leave to erase", "another, or none")
    leave.flaws = report.flaws
    return leave


def _told(giver: Any) -> tuple[str, Mapping[str, Any]]:
    """What an entry is and says, if its envelope is there and is what was hashed."""
    if giver is None or giver.envelope is None or leaf_hash(giver.envelope) != giver.leaf_hash:
        return "", {}
    envelope = json.loads(giver.envelope)
    return envelope["kind"], envelope.get(envelope["kind"], {})


def _add_purge(leave: Leave, report: Report, giver: Any, told: Mapping[str, Any], rows: Sequence[Any]) -> None:
    """All that it took, or nothing: its hash is over the whole. Only what is about a deal has a time of retention."""
    before, where = len(report.flaws), f"entry {giver.entry_id}"
    compare(report, "erasure", f"paths of {where}", {ALL_OF_IT}, {row.path for row in rows})
    compare(report, "erasure", where, told["entries_sha256"], entries_hash(row.leaf_hash for row in rows))
    for row in rows:
        if row.deal_id is None:
            report.flaw("erasure", where, "entries about deals", f"entry {row.entry_id}, about none")
    if len(report.flaws) == before:
        leave.whole.update(row.erased for row in rows)


def _add_redaction(leave: Leave, report: Report, giver: Any, told: Mapping[str, Any], rows: Sequence[Any]) -> None:
    expected = {(told["entry_id"], path) for path in told["paths"]}
    compare(
        report,
        "erasure",
        f"entry {giver.entry_id}",
        sorted(expected),
        sorted((row.entry_id, row.path) for row in rows),
    )
    leave.paths.update(
        (row.erased, row.path) for row in rows if row.path != ALL_OF_IT and (row.entry_id, row.path) in expected
    )


def _went_with_its_deal(leave: Leave, giver: Any, rows: Sequence[Any]) -> bool:
    """A redaction that says nothing any more, for a purge took it out, and with it what it took parts of."""
    if giver is None or giver.kind != "redaction" or giver.id not in leave.whole:
        return False
    return all(row.path != ALL_OF_IT and row.erased in leave.whole and row.deal_id == giver.deal_id for row in rows)
