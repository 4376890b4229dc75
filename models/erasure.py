"""What may be taken out of the ledger, and what keeps it in: redaction, retention, legal holds, notices.

Taking out is itself an entry, and the database lets nothing go without one. Leaf hashes stay, so every proof stays valid.
"""

import calendar
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import bindparam, delete, exists, func, insert, select

from dealgate.models import tables
from dealgate.models.adverse_reasons import reasons_to_give
from dealgate.models.commitments import commitment_at
from dealgate.models.envelope import Draft
from dealgate.models.joining import Writable, connection_of
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, DEAL, ENTRY, PRIVATE, Receipt, append, named, table
from dealgate.models.ledger_tables import LedgerErasure, LedgerPending, LegalHold, Notice
from dealgate.models.open_clocks import set_clocks
from dealgate.models.override_tables import OverrideFinding, OverrideStep
from dealgate.models.policy_tables import ShadowDecision
from dealgate.models.reading import find_decision
from dealgate.rules.decision import moment
from dealgate.rules.finding import MOST_REASONS

MONTHS = 25
"""From the notice of action taken: 12 CFR 1002.12(b)(1)."""

ALL_OF_IT = ""
"""The path of an erasure that takes out a whole entry."""

STOPS_THE_CLOCK = ("decision", "override_grant")
"""What is decided about a deal: the applicant has to be notified of it before the time of retention begins."""

ERASED = "dealgate_erased"
"""Where a connection notes that it erased: on SQLite the log still has the bytes once that is committed."""

NOTICES = ("adverse_action", "counteroffer", "approval", "incomplete")
WITH_REASONS = ("adverse_action", "counteroffer")
CHANNELS = ("mail", "email", "portal", "in_person", "telephone")

ERASURE, HOLD, NOTICE, PENDING = map(table, (LedgerErasure, LegalHold, Notice, LedgerPending))
SUBMISSION, DECISION, FINDING, SHADOW = map(table, (tables.Submission, tables.Decision, tables.Finding, ShadowDecision))
OVERRIDE_STEP, OVERRIDE_FINDING = map(table, (OverrideStep, OverrideFinding))
PARTS = tuple(map(table, (tables.TradeIn, tables.Product, tables.BookValue)))
LAST_HOLD = select(HOLD.c.placed).where(HOLD.c.deal_id == bindparam("deal")).order_by(HOLD.c.deal_seq.desc()).limit(1)
ENTRIES_LEFT = (
    select(ENTRY.c.id, ENTRY.c.leaf_hash)
    .where(
        ENTRY.c.deal_id.in_(bindparam("deals", expanding=True)),
        ~exists().where(ERASURE.c.erased == ENTRY.c.id, ERASURE.c.path == ALL_OF_IT),
    )
    .order_by(ENTRY.c.id)
)
"""Of some deals, those that no purge has taken out yet."""

LOCK = (
    select(DEAL.c.deal_id)
    .where(DEAL.c.deal_id.in_(bindparam("deals", expanding=True)))
    .order_by(DEAL.c.deal_id)
    .with_for_update()
)
"""Whoever appends to a deal holds its row: what is read once it is locked stays true to the end of the transaction."""
LOCK_OF_ENTRY = (
    select(DEAL.c.deal_id)
    .where(DEAL.c.deal_id == select(ENTRY.c.deal_id).where(ENTRY.c.entry_id == bindparam("id")).scalar_subquery())
    .with_for_update()
)


class NoticeError(ValueError):
    """A notice that cannot be as it is told; the message says why."""


class ErasureError(ValueError):
    """Nothing was taken out; the message says why."""


def record_notice(
    session: Writable,
    deal_id: str,
    kind: str,
    sent_at: datetime,
    now: datetime,
    *,
    actor: str,
    note: str = "",
    channel: str | None = None,
    decision_id: str | None = None,
    reasons: Sequence[str] = (),
) -> Receipt:
    """Record that the applicant was notified of action taken, by which channel, and with which of the decision's reasons.

    Without a decision it is the last one that was made before the notice was sent. Raises `UnknownDealError` and `NoticeError`.
    """
    _check_notice(kind, sent_at, now, channel)
    noticed = decision_id or _last_decision(session, deal_id, sent_at)
    _check_reasons(session, deal_id, kind, noticed, decision_id is not None, reasons)
    told = {"channel": channel, "decision_id": noticed, "reasons": list(reasons) or None}
    content = {"notice": {"kind": kind, "sent_at": moment(sent_at), "note": note, **told}}
    receipt = append(
        session, Draft(str(uuid4()), "notice", content, deal_id=deal_id, effective_at=sent_at, actor=named(actor)), now
    )
    row = {"entry": receipt.entry, "deal_id": deal_id, "kind": kind, "sent_at": sent_at}
    session.execute(insert(NOTICE), row | told | {"reasons": reasons_text(told["reasons"])})
    set_clocks(session, [deal_id])
    return receipt


def reasons_text(reasons: Any) -> str | None:
    """As the column has them."""
    return None if reasons is None else json.dumps(reasons, ensure_ascii=False)


def _check_notice(kind: str, sent_at: datetime, now: datetime, channel: str | None) -> None:
    if kind not in NOTICES:
        raise NoticeError(f"no notice is called {kind!r}: use {', '.join(NOTICES)}")
    if sent_at > now:
        raise NoticeError(f"the notice of {moment(sent_at)} lies in the future: record it once it is sent")
    if channel is not None and channel not in CHANNELS:
        raise NoticeError(f"no channel is called {channel!r}: use {', '.join(CHANNELS)}")


def _last_decision(session: Writable, deal_id: str, sent_at: datetime) -> str | None:
    made = select(DECISION.c.decision_id).where(DECISION.c.deal_id == deal_id, DECISION.c.decided_at <= sent_at)
    found: str | None = session.execute(made.order_by(DECISION.c.submission.desc()).limit(1)).scalar()
    return found


def _check_reasons(
    session: Writable, deal_id: str, kind: str, decision_id: str | None, named: bool, reasons: Sequence[str]
) -> None:
    """A notice gives reasons that the decision has, in its words."""
    if not named and not reasons:
        return
    decision = find_decision(session, decision_id) if decision_id else None
    if decision is None or decision["deal_id"] != deal_id:
        what = f"has the id {decision_id!r}" if named else "was made before the notice was sent"
        raise NoticeError(f"no decision about the deal {deal_id!r} {what}: see dealgate decision list --deal {deal_id}")
    if reasons and kind not in WITH_REASONS:
        raise NoticeError(f"a notice of the kind {kind!r} gives no reasons: use {' or '.join(WITH_REASONS)}")
    if len(reasons) > MOST_REASONS or len(set(reasons)) < len(reasons):
        raise NoticeError(f"a notice gives at most {MOST_REASONS} reasons, each once; got {len(reasons)}")
    known = reasons_to_give(session, decision)
    if foreign := [reason for reason in reasons if reason not in known]:
        raise NoticeError(f"{foreign[0]!r} is no reason of this decision; it has: {'; '.join(known) or 'none'}")


def hold(session: Writable, deal_id: str, reason: str, now: datetime, *, actor: str, placed: bool = True) -> Receipt:
    """Place a legal hold on a deal's records, or release it. Raises `UnknownDealError`, and `ErasureError` if it is so already."""
    session.execute(LOCK, {"deals": [deal_id]})
    if is_held(session, deal_id) is placed:
        raise ErasureError(f"the deal {deal_id!r} {'is already' if placed else 'is not'} under a legal hold")
    content = {"legal_hold": {"placed": placed, "reason": _given(reason)}}
    receipt = append(session, Draft(str(uuid4()), "legal_hold", content, deal_id=deal_id, actor=named(actor)), now)
    row = {"entry": receipt.entry, "deal_id": deal_id, "deal_seq": receipt.deal_seq, "placed": placed}
    session.execute(insert(HOLD), row)
    return receipt


def is_held(session: Writable, deal_id: str) -> bool:
    return bool(session.execute(LAST_HOLD, {"deal": deal_id}).scalar())


def redact(
    session: Writable, entry_id: str, paths: Sequence[str], reason: str, now: datetime, *, actor: str
) -> Receipt:
    """Erase personal values of an entry, at JSON pointers that its envelope lists under `private`.

    The commitments stay. Raises `ErasureError`; retention comes before erasure, so know that it does not forbid this one.
    """
    session.execute(LOCK_OF_ENTRY, {"id": entry_id})
    entry = session.execute(
        select(ENTRY.c.id, ENTRY.c.deal_id, BODY.c.envelope)
        .join(BODY, BODY_OF_ENTRY)
        .where(ENTRY.c.entry_id == entry_id)
    ).first()
    if entry is None:
        raise ErasureError(f"no entry has the id {entry_id!r}, or it was purged")
    if entry.deal_id and is_held(session, entry.deal_id):
        raise ErasureError(f"the deal {entry.deal_id!r} is under a legal hold: nothing of it is erased")
    _check_paths(json.loads(entry.envelope), paths)
    gone = select(ERASURE.c.path).where(ERASURE.c.erased == entry.id, ERASURE.c.path.in_(paths))
    if erased := session.execute(gone).scalars().all():
        raise ErasureError(f"{', '.join(sorted(erased))} of entry {entry_id!r} was erased before")
    content = {"redaction": {"entry_id": entry_id, "paths": sorted(paths), "reason": _given(reason)}}
    receipt = append(session, Draft(str(uuid4()), "redaction", content, deal_id=entry.deal_id, actor=named(actor)), now)
    leave = [{"erased": entry.id, "path": path, "entry": receipt.entry} for path in sorted(paths)]
    session.execute(insert(ERASURE), leave)
    session.execute(delete(PRIVATE).where(PRIVATE.c.entry == entry.id, PRIVATE.c.path.in_(paths)))
    connection_of(session).info[ERASED] = True
    return receipt


def _check_paths(envelope: dict[str, Any], paths: Sequence[str]) -> None:
    unknown = [path for path in paths if path not in envelope["private"] or not commitment_at(envelope, path)]
    if unknown or not paths or len(set(paths)) != len(paths):
        raise ErasureError(
            f"{', '.join(unknown) or 'no path, or one twice'}: give paths that hold personal values: "
            f"{', '.join(envelope['private']) or 'this entry has none'}"
        )


class Due(NamedTuple):
    """A deal whose time of retention has passed since the last notice about it."""

    deal_id: str
    notified_at: datetime


def due(session: Writable, now: datetime, months: int = MONTHS, most: int = 1_000) -> list[Due]:
    """Deals that may be purged: the last notice lies so many months back, no decision and no grant of an override came after it,
    no hold is placed, and every entry is sealed.

    A deal without a notice is kept: its time has not begun.
    """
    return list(islice(_due(session, now, months), most))


def _due(session: Writable, now: datetime, months: int, among: Sequence[str] | None = None) -> Iterator[Due]:
    last = (
        select(NOTICE.c.deal_id, func.max(NOTICE.c.sent_at).label("notified_at"))
        .group_by(NOTICE.c.deal_id)
        .having(func.max(NOTICE.c.sent_at) <= months_before(now, months))
        .subquery()
    )
    decided_since = exists().where(
        ENTRY.c.deal_id == last.c.deal_id,
        ENTRY.c.kind.in_(STOPS_THE_CLOCK),
        ENTRY.c.recorded_at > last.c.notified_at,
    )
    with_decisions = exists().where(DECISION.c.deal_id == last.c.deal_id)
    unsealed = exists().where(ENTRY.c.deal_id == last.c.deal_id, PENDING.c.entry == ENTRY.c.id)
    statement = (
        select(last.c.deal_id, last.c.notified_at)
        .where(~decided_since, with_decisions, ~unsealed)
        .order_by(last.c.notified_at, last.c.deal_id)
    )
    if among is not None:
        statement = statement.where(last.c.deal_id.in_(among))
    found = (Due(*row) for row in session.execute(statement))
    return (one for one in found if not is_held(session, one.deal_id))


def purge(
    session: Writable, now: datetime, *, actor: str, months: int = MONTHS, most: int = 1_000
) -> tuple[Receipt, list[Due]] | None:
    """Take out everything about the deals that are `due`, but for their leaf hashes. None where none is."""
    found = [one.deal_id for one in due(session, now, months, most)]
    session.execute(LOCK, {"deals": found})
    # Before the lock was had somebody may have submitted one again, placed a hold, or purged it.
    deals = list(_due(session, now, months, found))
    if not deals:
        return None
    names = [one.deal_id for one in deals]
    entries = session.execute(ENTRIES_LEFT, {"deals": names}).all()
    content = {
        "retention_purge": {
            "months": months,
            "before": moment(months_before(now, months)),
            "deals": len(deals),
            "entries": len(entries),
            "entries_sha256": entries_hash([row.leaf_hash for row in entries]),
        }
    }
    receipt = append(session, Draft(str(uuid4()), "retention_purge", content, actor=named(actor)), now)
    session.execute(insert(ERASURE), [{"erased": row.id, "path": ALL_OF_IT, "entry": receipt.entry} for row in entries])
    _take_out(session, names, receipt.entry)
    return receipt, deals


def entries_hash(leaf_hashes: Iterable[bytes]) -> str:
    """What a purge entry says of the entries that it took out: by their leaf hashes, all that stays of them."""
    return hashlib.sha256("\n".join(sorted(one.hex() for one in leaf_hashes)).encode()).hexdigest()


def _take_out(session: Writable, deals: Sequence[str], purge: int) -> None:
    """What the purge gave leave for. No list of entries or submissions is sent: there may be more than a statement takes."""
    entries = select(ERASURE.c.erased).where(ERASURE.c.entry == purge)
    decisions = select(DECISION.c.id).where(DECISION.c.deal_id.in_(deals))
    decided = select(DECISION.c.decision_id).where(DECISION.c.deal_id.in_(deals))
    submissions = select(SUBMISSION.c.id).where(SUBMISSION.c.deal_id.in_(deals))
    session.execute(delete(OVERRIDE_FINDING).where(OVERRIDE_FINDING.c.entry.in_(entries)))
    session.execute(delete(OVERRIDE_STEP).where(OVERRIDE_STEP.c.entry.in_(entries)))
    session.execute(delete(SHADOW).where(SHADOW.c.decision_id.in_(decided)))
    session.execute(delete(FINDING).where(FINDING.c.decision.in_(decisions)))
    session.execute(delete(DECISION).where(DECISION.c.deal_id.in_(deals)))
    for part in PARTS:
        session.execute(delete(part).where(part.c.submission_id.in_(submissions)))
    session.execute(delete(SUBMISSION).where(SUBMISSION.c.deal_id.in_(deals)))
    session.execute(delete(PRIVATE).where(PRIVATE.c.entry.in_(entries)))
    session.execute(delete(BODY).where(BODY.c.entry.in_(entries)))
    connection_of(session).info[ERASED] = True


def months_before(now: datetime, months: int) -> datetime:
    """The same moment so many months earlier, or the last day of a shorter month; by UTC, whatever the zone it is told in."""
    now = now.astimezone(UTC)
    year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    last_day = calendar.monthrange(year, month + 1)[1]
    return now.replace(year=year, month=month + 1, day=min(now.day, last_day))


def _given(reason: str) -> str:
    if not reason.strip():
        raise ErasureError("no reason was given: say who asked and on what ground")
    return reason
