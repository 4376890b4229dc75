"""The one door into the ledger: entries are appended in the caller's transaction, hashed before the database sees them."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, Table, bindparam, insert, select, update
from sqlalchemy.orm import Session

from dealgate.models import ledger_tables, tables
from dealgate.models.canonical import canonical
from dealgate.models.commitments import SALT_BYTES, PrivateValue, commit
from dealgate.models.envelope import Draft, Place, envelope
from dealgate.models.merkle import leaf_hash

Writable = Session | Connection


def table(entity: type[tables.Base]) -> Table:
    return cast("Table", entity.__table__)


# Statements are built once: building one costs more than running it.

DEAL, ENTRY, BODY, PRIVATE = map(
    table, (tables.Deal, ledger_tables.LedgerEntry, ledger_tables.LedgerBody, ledger_tables.LedgerPrivate)
)
INSERT_ENTRY, INSERT_BODY, INSERT_PRIVATE = map(insert, (ENTRY, BODY, PRIVATE))
NEXT_ENTRY = (
    update(DEAL)
    .where(DEAL.c.deal_id == bindparam("deal"))
    .values(entries=DEAL.c.entries + 1)
    .returning(DEAL.c.entries, DEAL.c.head)
)
SET_HEAD = update(DEAL).where(DEAL.c.deal_id == bindparam("deal")).values(head=bindparam("leaf"))
ENTRY_BY_KEY = (
    select(ENTRY.c.entry_id, ENTRY.c.kind, ENTRY.c.leaf_hash, BODY.c.envelope)
    .join(BODY, BODY.c.entry_id == ENTRY.c.entry_id)
    .where(ENTRY.c.idempotency_key == bindparam("key"))
)
PRIVATE_OF = select(PRIVATE.c.entry_id, PRIVATE.c.path, PRIVATE.c.salt, PRIVATE.c.value).where(
    PRIVATE.c.entry_id.in_(bindparam("entries", expanding=True))
)


class UnknownDealError(LookupError):
    """An entry about a deal that was never submitted."""


class Receipt(NamedTuple):
    """What the caller may keep of an entry: with it, the entry cannot be exchanged before it is sealed."""

    entry_id: str
    leaf_hash: bytes


def append(session: Writable, draft: Draft, now: datetime) -> Receipt:
    """Append one entry; about a deal, at the end of the deal's chain, whose row is held until the transaction ends.

    Raises `UnknownDealError`, and `CanonicalError` for content that has no canonical form.
    """
    if draft.deal_id is None:
        return append_all(session, [(draft, None)], now)[0]
    place = session.execute(NEXT_ENTRY, {"deal": draft.deal_id}).first()
    if place is None:
        raise UnknownDealError(f"no deal {draft.deal_id!r} was submitted; check the id")
    return append_all(session, [(draft, Place(place.entries, place.head))], now)[0]


def append_all(session: Writable, drafts: Sequence[tuple[Draft, Place | None]], now: datetime) -> list[Receipt]:
    """Append entries whose places are taken, in this order. Entries of one deal among them follow each other."""
    heads: dict[str, bytes] = {}
    entries, bodies, private, receipts = list[Any](), list[Any](), list[Any](), list[Receipt]()
    for draft, place in drafts:
        if place and draft.deal_id in heads:
            place = Place(place.deal_seq, heads[draft.deal_id])  # noqa: PLW2901  the chain goes on within this call
        salts = secrets.token_bytes(SALT_BYTES * len(draft.personal))
        committed, values = commit(draft.content, draft.personal, salts)
        data = canonical(envelope(draft, place, committed, now))
        leaf = leaf_hash(data)
        entries.append(_entry_row(draft, place, leaf, now))
        bodies.append({"entry_id": draft.entry_id, "recorded_at": now, "envelope": data})
        private += [
            {"entry_id": draft.entry_id, "path": path, "salt": salt, "value": value} for path, salt, value in values
        ]
        receipts.append(Receipt(draft.entry_id, leaf))
        if place and draft.deal_id:
            heads[draft.deal_id] = leaf
    session.execute(INSERT_ENTRY, entries)
    session.execute(INSERT_BODY, bodies)
    if private:
        session.execute(INSERT_PRIVATE, private)
    if heads:
        session.execute(SET_HEAD, [{"deal": deal, "leaf": leaf} for deal, leaf in sorted(heads.items())])
    return receipts


def _entry_row(draft: Draft, place: Place | None, leaf: bytes, now: datetime) -> dict[str, Any]:
    return {
        "entry_id": draft.entry_id,
        "kind": draft.kind,
        "deal_id": draft.deal_id,
        "deal_seq": place.deal_seq if place else None,
        "idempotency_key": draft.idempotency_key,
        "actor": draft.actor,
        "recorded_at": now,
        "effective_at": draft.effective_at or now,
        "policy_sha256": draft.policy_sha256,
        "leaf_hash": leaf,
    }


def private_values(session: Writable, entry_ids: Sequence[str]) -> Mapping[str, list[PrivateValue]]:
    """What is left of the personal values of entries."""
    found: dict[str, list[PrivateValue]] = {entry_id: [] for entry_id in entry_ids}
    for row in session.execute(PRIVATE_OF, {"entries": list(entry_ids)}):
        found[row.entry_id].append(PrivateValue(row.path, row.salt, row.value))
    return found
