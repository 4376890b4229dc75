"""The one door into the ledger: entries are appended in the caller's transaction, hashed before the database sees them."""

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import Table, and_, bindparam, insert, select, update
from sqlalchemy.exc import StatementError

from dealgate.models import ledger_tables, tables
from dealgate.models.canonical import canonical
from dealgate.models.commitments import SALT_BYTES, PrivateValue, commit
from dealgate.models.envelope import Draft, Place, envelope
from dealgate.models.joining import Writable, join
from dealgate.models.merkle import leaf_hash


def table(entity: type[tables.Base]) -> Table:
    return cast("Table", entity.__table__)


# Statements are built once: building one costs more than running it.

DEAL, ENTRY, BODY, PRIVATE = map(
    table, (tables.Deal, ledger_tables.LedgerEntry, ledger_tables.LedgerBody, ledger_tables.LedgerPrivate)
)
BODY_OF_ENTRY = and_(BODY.c.entry == ENTRY.c.id, BODY.c.recorded_at == ENTRY.c.recorded_at)
"""The moment too: it tells PostgreSQL which month to look in."""

INSERT_ENTRY = insert(ENTRY).returning(ENTRY.c.id, sort_by_parameter_order=True)
INSERT_BODY, INSERT_PRIVATE = map(insert, (BODY, PRIVATE))
NEXT_ENTRY = (
    update(DEAL)
    .where(DEAL.c.deal_id == bindparam("deal"))
    .values(entries=DEAL.c.entries + 1)
    .returning(DEAL.c.entries, DEAL.c.head)
)
ENTRY_WITH_BODY = select(
    ENTRY.c.id, ENTRY.c.entry_id, ENTRY.c.kind, ENTRY.c.deal_seq, ENTRY.c.leaf_hash, BODY.c.envelope
).join(BODY, BODY_OF_ENTRY)
ENTRY_BY_KEY = ENTRY_WITH_BODY.where(ENTRY.c.idempotency_key == bindparam("key"))
ENTRY_BY_ID = ENTRY_WITH_BODY.where(ENTRY.c.entry_id == bindparam("id"))
PRIVATE_OF = (
    select(ENTRY.c.entry_id, PRIVATE.c.path, PRIVATE.c.salt, PRIVATE.c.value)
    .join(PRIVATE, PRIVATE.c.entry == ENTRY.c.id)
    .where(ENTRY.c.entry_id.in_(bindparam("entries", expanding=True)))
)


LONGEST_WORDS = 200
UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters and halves of characters: PostgreSQL cannot store all of them, and SQLite can."""


class UnknownDealError(LookupError):
    """An entry about a deal that was never submitted."""


class Receipt(NamedTuple):
    """What the caller may keep of an entry: with id and leaf hash, the entry cannot be exchanged before it is sealed.

    `entry` is its row, `deal_seq` its place in the deal's chain.
    """

    entry_id: str
    leaf_hash: bytes
    entry: int
    deal_seq: int | None


def append(session: Writable, draft: Draft, now: datetime) -> Receipt:
    """Append one entry; about a deal, at the end of the deal's chain, whose row is held until the transaction ends.

    Raises `UnknownDealError`, `ValueError` for an actor or a key that cannot be stored, and `CanonicalError` for content that has no
    canonical form.
    """
    check_words(actor=draft.actor, idempotency_key=draft.idempotency_key)
    canonical(draft.content)  # what cannot be written is refused before a place is taken
    session = join(session)
    if draft.deal_id is None:
        return append_all(session, [(draft, None)], now)[0]
    place = session.execute(NEXT_ENTRY, {"deal": draft.deal_id}).first()
    if place is None:
        raise UnknownDealError(f"no deal {draft.deal_id!r} was submitted; check the id")
    return append_all(session, [(draft, Place(place.entries, place.head))], now)[0]


class WordsError(ValueError):
    """An actor or a key that not every database would give back as it was, or nobody where somebody must be named."""


def check_words(**given: object) -> None:
    """Before a place is taken: what stands in a column of an entry is text that both databases give back as it was. Raises `WordsError`."""
    for name, words in given.items():
        if words is None:
            continue
        if not isinstance(words, str) or len(words) > LONGEST_WORDS or UNFIT.search(words):
            raise WordsError(
                f"{name} is {words!r:.60}: give a text of at most {LONGEST_WORDS} characters, none of them a control character, or None"
            )


def named(actor: str) -> str:
    """Who took a step that somebody must answer for. Raises `WordsError` where that is nobody."""
    if not actor.strip():
        raise WordsError("actor: nobody is named: say who takes this step")
    return actor


def append_all(session: Writable, drafts: Sequence[tuple[Draft, Place | None]], now: datetime) -> list[Receipt]:
    """Append entries whose places are taken, in this order. Entries of one deal among them follow each other.

    The database's own trigger notes the last one's leaf hash on the deal's row: nobody can add an entry and leave it out.
    """
    heads: dict[str, bytes] = {}
    written = [_write(draft, place, heads, now) for draft, place in drafts]
    numbers = insert_numbered(session, INSERT_ENTRY, [one.row for one in written])
    session.execute(
        INSERT_BODY,
        [
            {"entry": number, "recorded_at": now, "envelope": one.envelope}
            for number, one in zip(numbers, written, strict=True)
        ],
    )
    private = [
        {"entry": number, "path": path, "salt": salt, "value": value}
        for number, one in zip(numbers, written, strict=True)
        for path, salt, value in one.values
    ]
    if private:
        _insert_private(session, private)
    return [
        Receipt(one.row["entry_id"], one.row["leaf_hash"], number, one.row["deal_seq"])
        for number, one in zip(numbers, written, strict=True)
    ]


def _insert_private(session: Writable, rows: Sequence[Mapping[str, Any]]) -> None:
    """Errors end up in logs, from which nobody erases: they tell neither the values nor the salts."""
    try:
        session.execute(INSERT_PRIVATE, rows)
    except StatementError as error:
        error.hide_parameters = True
        raise


class _Written(NamedTuple):
    row: dict[str, Any]
    envelope: bytes
    values: list[PrivateValue]


def _write(draft: Draft, place: Place | None, heads: dict[str, bytes], now: datetime) -> _Written:
    """An entry as bytes; `heads` are the ends of the chains that this call has lengthened."""
    if place and draft.deal_id in heads:
        place = Place(place.deal_seq, heads[draft.deal_id])
    committed, values = commit(draft.content, draft.personal, secrets.token_bytes(SALT_BYTES * len(draft.personal)))
    data = canonical(envelope(draft, place, committed, now))
    row = _entry_row(draft, place, leaf_hash(data), now)
    if place and draft.deal_id:
        heads[draft.deal_id] = row["leaf_hash"]
    return _Written(row, data, values)


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


def insert_numbered(session: Writable, statement: Any, rows: list[dict[str, Any]]) -> list[int]:
    """Insert rows and return the numbers they were given, in the order of the rows."""
    if len(rows) == 1:
        return [session.execute(statement, rows[0]).scalar_one()]
    return list(session.execute(statement, rows).scalars())
