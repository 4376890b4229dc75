"""Whether what is stored holds together: chains, hashes, commitments, and the tables for queries."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, select

from dealgate import Deal
from dealgate.models import Base, LedgerBody, LedgerEntry
from dealgate.models import Deal as DealRow
from dealgate.models.canonical import canonical
from dealgate.models.commitments import PrivateValue, commitment_at
from dealgate.models.envelope import read_deal
from dealgate.models.ledger import private_values
from dealgate.models.merkle import leaf_hash
from dealgate.models.projections import TOLD, decision_columns, finding_columns, part_columns, submission_columns
from dealgate.rules.decision import moment


def entries(connection: Connection, *where: Any) -> Sequence[Any]:
    """Entries with their envelopes, in the order in which they were appended."""
    both = select(LedgerEntry.__table__, LedgerBody.envelope).join(LedgerBody, LedgerBody.entry == LedgerEntry.id)
    return connection.execute(both.where(*where).order_by(LedgerEntry.id)).all()


def head(connection: Connection, deal_id: str) -> tuple[int, bytes | None]:
    row = connection.execute(select(DealRow.entries, DealRow.head).where(DealRow.deal_id == deal_id)).one()
    return row.entries, row.head


def assert_chained(connection: Connection) -> None:
    """Every entry of a deal names the leaf hash of the one before it, and the deal's row the last of them."""
    for deal_id in connection.execute(select(DealRow.deal_id)).scalars().all():
        chain = sorted(entries(connection, LedgerEntry.deal_id == deal_id), key=lambda row: row.deal_seq)
        assert [row.deal_seq for row in chain] == list(range(1, len(chain) + 1)), deal_id
        assert json.loads(chain[0].envelope)["previous"] is None
        for before, after in pairwise(chain):
            assert json.loads(after.envelope)["previous"] == before.leaf_hash.hex(), deal_id
        assert head(connection, deal_id) == (len(chain), chain[-1].leaf_hash)


def assert_hashed(connection: Connection) -> None:
    """What is stored is what was hashed, its columns repeat it, and every commitment has its value or lost it to an erasure."""
    for row in entries(connection):
        assert row.leaf_hash == hashlib.sha256(b"\0" + row.envelope).digest() == leaf_hash(row.envelope)
        document = json.loads(row.envelope)
        assert canonical(document) == row.envelope
        told = ("kind", "entry_id", "deal_id", "deal_seq", "idempotency_key", "actor", "policy_sha256")
        assert {name: document[name] for name in told} == {name: getattr(row, name) for name in told}
        assert document["recorded_at"] == moment(row.recorded_at)
        assert document["effective_at"] == moment(row.effective_at)
        values = private_values(connection, [row.entry_id])[row.entry_id]
        assert {value.path: value.commitment for value in values} == {
            path: commitment_at(document, path) for path in document["private"]
        }


def assert_projected(connection: Connection) -> None:
    """The tables for queries say what they would say if they were made again from the envelopes."""
    decisions = entries(connection, LedgerEntry.kind == "decision")
    values = private_values(connection, [row.entry_id for row in decisions])
    expected: dict[str, list[Any]] = {}
    for row in decisions:
        for table, projected in projections(json.loads(row.envelope), values[row.entry_id]):
            expected.setdefault(table, []).append(projected)
    for table in ("submission", "trade_in", "product", "book_value", "decision", "finding"):
        rows = [dict(row) for row in connection.execute(Base.metadata.tables[f"dealgate_{table}"].select()).mappings()]
        wanted = expected.get(f"dealgate_{table}", [])
        names = {name for row in wanted for name in row}
        found = [{name: row[name] for name in row if name in names} for row in rows]
        filled = [dict.fromkeys(names) | row for row in wanted]
        assert sorted(map(repr_of, found)) == sorted(map(repr_of, filled)), table


def repr_of(row: Mapping[str, Any]) -> str:
    return repr(sorted(row.items()))


def projections(document: Mapping[str, Any], values: Sequence[PrivateValue]) -> list[tuple[str, Mapping[str, Any]]]:
    deal, decision = Deal.read(read_deal(document, values)), document["decision"]
    parts = [(part.__tablename__, row) for part, rows in part_columns(deal).items() for row in rows]
    findings = [finding_columns(finding) for finding in decision["findings"] if finding["result"] in TOLD]
    return [
        ("dealgate_submission", submission_columns(deal) | {"actor": document["actor"]}),
        ("dealgate_decision", decision_columns(decision)),
        *parts,
        *(("dealgate_finding", finding) for finding in findings),
    ]


def assert_sound(connection: Connection) -> None:
    assert_chained(connection)
    assert_hashed(connection)
    assert_projected(connection)
