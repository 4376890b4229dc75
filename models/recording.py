"""Writing a submission and its decision into the caller's transaction: all of it or nothing, committed by the caller."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, Table, bindparam, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from dealgate.models import tables
from dealgate.models.canonical import canonical
from dealgate.models.commitments import PrivateValue, disclose
from dealgate.models.envelope import Draft, Place, decision_content, read_deal, read_decision
from dealgate.models.joining import Writable, join
from dealgate.models.ledger import (
    DEAL,
    ENTRY,
    ENTRY_BY_ID,
    ENTRY_BY_KEY,
    Receipt,
    append,
    append_all,
    check_words,
    insert_numbered,
    private_values,
    table,
)
from dealgate.models.open_clocks import set_clocks
from dealgate.models.projections import (
    TOLD,
    decision_columns,
    finding_columns,
    inputs_number,
    part_columns,
    submission_columns,
)
from dealgate.rules.deal import Deal
from dealgate.rules.decision import Decision
from dealgate.rules.evaluation import Evaluation
from dealgate.rules.overriding import PASSES
from dealgate.rules.policy import Policy

SUBMISSION, DECISION, FINDING, VERSION = map(
    table, (tables.Submission, tables.Decision, tables.Finding, tables.PolicyVersion)
)


def _next_submission_statement(insert_into: Callable[[Table], Any]) -> Any:
    """Count a submission on the deal's row, and hold that row until the transaction ends."""
    statement = insert_into(DEAL).values(
        deal_id=bindparam("deal"),
        submissions=1,
        entries=1,
        outcome=bindparam("outcome"),
        decision_id=bindparam("decision"),
        clock_from=bindparam("clock"),
    )
    head = {
        "submissions": DEAL.c.submissions + 1,
        "entries": DEAL.c.entries + 1,
        "outcome": statement.excluded.outcome,
        "decision_id": statement.excluded.decision_id,
    }
    return statement.on_conflict_do_update(index_elements=["deal_id"], set_=head).returning(
        DEAL.c.submissions, DEAL.c.entries, DEAL.c.head
    )


NEXT_SUBMISSION = {
    "sqlite": _next_submission_statement(sqlite.insert),
    "postgresql": _next_submission_statement(postgresql.insert),
}
INSERT_VERSION = insert(VERSION)
INSERT_SUBMISSION = insert(SUBMISSION).returning(SUBMISSION.c.id, sort_by_parameter_order=True)
INSERT_DECISION = insert(DECISION).returning(DECISION.c.id, sort_by_parameter_order=True)
INSERT_FINDING = insert(FINDING)
INSERT_PART: Mapping[type[tables.Base], Any] = {
    part: insert(table(part)) for part in (tables.TradeIn, tables.Product, tables.BookValue)
}
PURGED_BY_KEY = select(ENTRY.c.id).where(ENTRY.c.idempotency_key == bindparam("key"))
VERSION_BY_HASH = select(VERSION.c.sha256).where(VERSION.c.sha256 == bindparam("sha256"))
VERSION_BY_NAME = select(VERSION.c.sha256).where(
    VERSION.c.name == bindparam("name"), VERSION.c.version == bindparam("version")
)


class IdempotencyConflictError(ValueError):
    """An idempotency key came a second time with another deal."""


class PolicyConflictError(ValueError):
    """A policy name and version came a second time with other content."""


class Recorded(NamedTuple):
    """A stored decision, and the receipt of its ledger entry.

    `replayed` tells that an earlier submission with the same key had already made it.
    """

    decision_id: str
    decision: Mapping[str, Any]
    receipt: Receipt
    replayed: bool = False

    @property
    def text(self) -> str:
        """The decision as JSON; written when somebody asks."""
        return plain_json(self.decision)


def plain_json(document: Any) -> str:
    """Sorted names, no spare characters: the same content gives the same text."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def record_policy(session: Writable, policy: Policy, text: str, now: datetime) -> None:
    """Store a policy version, with a ledger entry about it, unless it is already there. Raises `PolicyConflictError`."""
    session = join(session)
    if session.execute(VERSION_BY_HASH, {"sha256": policy.sha256}).first():
        return
    row = {
        "sha256": policy.sha256,
        "name": policy.name,
        "version": policy.version,
        "title": policy.title,
        "effective_from": policy.effective_from,
        "effective_to": policy.effective_to,
        "document": text,
        "content": policy.canonical,
        "recorded_at": now,
    }
    stored = session.execute(VERSION_BY_NAME, {"name": policy.name, "version": policy.version}).scalar()
    if stored == policy.sha256:  # somebody recorded it between the two looks
        return
    if stored is not None:
        raise _conflict(policy, stored)
    try:
        with session.begin_nested():
            session.execute(INSERT_VERSION, row)
            append(session, _publication(policy, text), now)
    except IntegrityError:
        # Somebody else recorded a version of this name between our look and our insert.
        stored = session.execute(VERSION_BY_NAME, {"name": policy.name, "version": policy.version}).scalar()
        if stored is None:  # it is not to be seen by a transaction that reads as of its beginning
            raise
        if stored != policy.sha256:
            raise _conflict(policy, stored) from None


def _conflict(policy: Policy, stored: str) -> PolicyConflictError:
    return PolicyConflictError(
        f"policy {policy.name} {policy.version} is already recorded with other content (sha256 {stored[:12]}..., "
        f"this one is {policy.sha256[:12]}...): give the changed document a new version"
    )


def _publication(policy: Policy, text: str) -> Draft:
    content = {
        "policy": {
            "name": policy.name,
            "version": policy.version,
            "sha256": policy.sha256,
            "document_sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
    }
    return Draft(str(uuid4()), "policy_publication", content, policy_sha256=policy.sha256)


def find_by_key(session: Writable, key: str, deal: Deal) -> Recorded | None:
    """The decision an earlier submission with this key led to. Raises `IdempotencyConflictError` if that was another deal."""
    found = session.execute(ENTRY_BY_KEY, {"key": key}).first()
    if found is None:
        return None
    document = json.loads(found.envelope)
    values = private_values(session, [found.entry_id])[found.entry_id]
    if found.kind != "decision" or not same_deal(document, values, deal.document()):
        raise IdempotencyConflictError(
            f"the idempotency key {key!r} was used for another deal document; use a new key for a new submission"
        )
    return as_recorded(found, document, values)


def find_recorded(session: Writable, decision_id: str) -> Recorded | None:
    """The decision of this id, if an earlier attempt to record it came through."""
    found = session.execute(ENTRY_BY_ID, {"id": decision_id}).first()
    if found is None:
        return None
    return as_recorded(found, json.loads(found.envelope), private_values(session, [decision_id])[decision_id])


def as_recorded(found: Any, document: Mapping[str, Any], values: Sequence[PrivateValue]) -> Recorded:
    decision = read_decision(document, values)
    receipt = Receipt(found.entry_id, found.leaf_hash, found.id, found.deal_seq)
    return Recorded(found.entry_id, decision, receipt, replayed=True)


def same_deal(document: Mapping[str, Any], values: Sequence[PrivateValue], deal: Mapping[str, Any]) -> bool:
    """Whether a deal document comes again. What was erased since cannot be compared, and is not."""
    kept = {value.path for value in values}
    erased = [path for path in document["private"] if path.startswith("/deal/") and path not in kept]
    try:
        comparable = disclose({"deal": deal}, [], erased)["deal"]
    except (LookupError, TypeError):  # it lacks what the first one had
        return False
    # Canonical bytes write 1.0 as 1: the deal that comes again has to have gone that way, too.
    return plain_json(read_deal(document, values)) == plain_json(json.loads(canonical(comparable)))


class Entry(NamedTuple):
    """A deal on its way into the record, with what was concluded about it."""

    deal: Deal
    evaluation: Evaluation
    decision_id: str


def record_submissions(
    session: Writable, entries: Sequence[Entry], *, now: datetime, actor: str | None = None
) -> list[Recorded]:
    """Store many submissions at once, as `record_submission` stores one; the answers come in the order of the entries."""
    return _record(join(session), entries, now, actor, None)


def record_submission(
    session: Writable,
    deal: Deal,
    evaluation: Evaluation,
    *,
    decision_id: str,
    now: datetime,
    actor: str | None = None,
    idempotency_key: str | None = None,
) -> Recorded:
    """Store one submission with its decision, findings and ledger entry. The policy version must be recorded already.

    Takes the deal's row first, so submissions of one deal are numbered without gap whoever else is at work. A key that an
    earlier submission carried leads to that submission's decision, and nothing is stored.
    """
    session = join(session)
    entry = Entry(deal, evaluation, decision_id)
    if idempotency_key is None:
        return record_new(session, entry, now=now, actor=actor, idempotency_key=None)
    try:
        with session.begin_nested():
            return record_new(session, entry, now=now, actor=actor, idempotency_key=idempotency_key)
    except IntegrityError:
        if found := recorded_meanwhile(session, idempotency_key, deal):
            return found
        raise


def record_new(
    session: Connection, entry: Entry, *, now: datetime, actor: str | None, idempotency_key: str | None
) -> Recorded:
    """The same for a key that was looked for and not found. Raises `IntegrityError` where somebody took it since: then the caller
    rolls back and asks `recorded_meanwhile`.
    """
    return _record(session, [entry], now, actor, idempotency_key)[0]


def recorded_meanwhile(session: Writable, key: str, deal: Deal) -> Recorded | None:
    """What a key that could not be used led to. Raises `IdempotencyConflictError`, for a purged decision too."""
    if found := find_by_key(session, key, deal):
        return found
    if session.execute(PURGED_BY_KEY, {"key": key}).first():
        raise IdempotencyConflictError(
            f"the idempotency key {key!r} was used for a decision that was purged since; use a new key"
        )
    return None


class _Told(NamedTuple):
    """One submission as documents: the decision in full, and as its envelope has it."""

    decision: dict[str, Any]
    draft: Draft
    place: Place


def _record(
    session: Connection, entries: Sequence[Entry], now: datetime, actor: str | None, key: str | None
) -> list[Recorded]:
    check_words(actor=actor, idempotency_key=key)
    heads = _count_submissions(session, entries, now)
    told = [_tell(entry, head, now, actor, key) for entry, head in zip(entries, heads, strict=True)]
    receipts = append_all(session, [(one.draft, one.place) for one in told], now)
    submissions = _insert_submissions(session, entries, told, now, actor)
    _insert_decisions(session, entries, told, submissions, now)
    if again := {one.decision["deal_id"] for one in told if one.decision["submission"] > 1}:
        set_clocks(session, again)
    return [Recorded(one.draft.entry_id, one.decision, receipt) for one, receipt in zip(told, receipts, strict=True)]


def _tell(entry: Entry, head: Any, now: datetime, actor: str | None, key: str | None) -> _Told:
    deal, evaluation, decision_id = entry
    decision = Decision(decision_id, deal.deal_id, head.submissions, now, evaluation).document()
    content, personal = decision_content(deal.document(), decision, evaluation.personal)
    draft = Draft(
        decision_id,
        "decision",
        content,
        personal,
        deal_id=deal.deal_id,
        policy_sha256=evaluation.policy["sha256"],
        idempotency_key=key,
        actor=actor,
    )
    return _Told(decision, draft, Place(head.entries, head.head))


def _first_clock(entry: Entry, now: datetime) -> str | None:
    """The clock of a deal's first submission: no notice was sent before. That of a later one is worked out from all that there is."""
    if entry.evaluation.outcome.value in PASSES:
        return None
    return min(entry.deal.submitted_on, now.astimezone(UTC).date()).isoformat()


def _count_submissions(session: Connection, entries: Sequence[Entry], now: datetime) -> list[Any]:
    """Take the deals' rows in one order whoever asks, so that two writers cannot wait for each other."""
    statement = NEXT_SUBMISSION[session.dialect.name]
    heads: list[Any] = [None] * len(entries)
    for index in sorted(range(len(entries)), key=lambda index: entries[index].deal.deal_id):
        entry = entries[index]
        head = {
            "deal": entry.deal.deal_id,
            "outcome": entry.evaluation.outcome.value,
            "decision": entry.decision_id,
            "clock": _first_clock(entry, now),
        }
        heads[index] = session.execute(statement, head).one()
    return heads


def _insert_submissions(
    session: Writable, entries: Sequence[Entry], told: Sequence[_Told], now: datetime, actor: str | None
) -> list[int]:
    rows = [
        {
            "idempotency_key": one.draft.idempotency_key,
            "submission": one.decision["submission"],
            "received_at": now,
            "actor": actor,
            **submission_columns(entry.deal),
        }
        for entry, one in zip(entries, told, strict=True)
    ]
    numbers = insert_numbered(session, INSERT_SUBMISSION, rows)
    parts: dict[type[tables.Base], list[dict[str, Any]]] = {part: [] for part in INSERT_PART}
    for number, entry in zip(numbers, entries, strict=True):
        for part, items in part_columns(entry.deal).items():
            parts[part] += [{"submission_id": number, **item} for item in items]
    for part, items in parts.items():
        if items:
            session.execute(INSERT_PART[part], items)
    return numbers


def _insert_decisions(
    session: Writable, entries: Sequence[Entry], told: Sequence[_Told], submissions: Sequence[int], now: datetime
) -> None:
    documents = [one.draft.content["decision"] for one in told]
    rows = [
        {
            "submission_id": submission,
            "decided_at": now,
            "inputs_number": inputs_number(entry.deal),
            **decision_columns(document),
        }
        for entry, submission, document in zip(entries, submissions, documents, strict=True)
    ]
    numbers = insert_numbered(session, INSERT_DECISION, rows)
    findings = [
        {"decision": number, **finding_columns(finding)}
        for number, document in zip(numbers, documents, strict=True)
        for finding in document["findings"]
        if finding["result"] in TOLD
    ]
    if findings:
        session.execute(INSERT_FINDING, findings)
