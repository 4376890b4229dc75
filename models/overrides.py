"""Overrides: a person asks for one, persons with authority grant it, or it is denied.

An override belongs to one submission and dies when the deal is submitted again. Every step is an entry of the ledger and is never
taken back. Taking one holds the deal's row, so that a step and a submission cannot cross. `clearance` says what follows.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError

from dealgate.models.commitments import disclose
from dealgate.models.envelope import Draft
from dealgate.models.joining import Writable
from dealgate.models.ledger import DEAL, ENTRY_BY_KEY, Receipt, append, private_values
from dealgate.models.open_clocks import set_clocks
from dealgate.models.reading import find_decision
from dealgate.models.recording import PURGED_BY_KEY, VERSION, IdempotencyConflictError
from dealgate.models.standing import NAMED, STEP, Override, find_override
from dealgate.rules.amounts import hundredths
from dealgate.rules.authority import Asked, OverrideError, Overrides, Side, plain_name
from dealgate.rules.decision import moment
from dealgate.rules.overriding import asked, overrides_of_policy
from dealgate.rules.policy import Policy
from dealgate.rules.privacy import personal_parts

LONGEST_NAME, LONGEST_NOTE = 200, 4_000
MOST_READ = 8
"""Policy versions kept in memory."""

HOLD_DEAL = select(DEAL.c.decision_id).where(DEAL.c.deal_id == bindparam("deal")).with_for_update()
POLICY_TEXT = select(VERSION.c.document, VERSION.c.name, VERSION.c.version).where(
    VERSION.c.sha256 == bindparam("sha256")
)


class UnknownIdError(OverrideError):
    """No decision, or no override, has the id that was given, or it was purged."""


class Taken(NamedTuple):
    """Where an override stands after a step, and the receipt of the step's entry. `replayed` tells that its key had come before."""

    override: Override
    receipt: Receipt
    replayed: bool = False


def request_override(
    session: Writable,
    decision_id: str,
    rules: Sequence[str],
    now: datetime,
    *,
    actor: str,
    reason: str,
    note: str,
    side: str = Side.LOW,
    compensating_factors: Sequence[str] = (),
    idempotency_key: str | None = None,
) -> Taken:
    """Ask that a deal be let through against these findings of its last decision, or on the high side that it be turned down.

    `reason` and `compensating_factors` are codes of the policy; the note is kept as a personal value. Raises `OverrideError`,
    and `IdempotencyConflictError` for a key that came with something else.
    """
    decision = _decision(session, decision_id)
    given = {
        "decision_id": decision_id,
        "side": _side(side).value,
        "rules": list(rules),
        "reason": reason,
        "compensating_factors": list(compensating_factors),
        "note": _note(note),
    }
    step = _Step("override_request", str(uuid4()), decision, _person(actor), now, idempotency_key, given)
    latest = session.execute(HOLD_DEAL, {"deal": decision["deal_id"]}).scalar()
    if found := _taken_before(session, step):
        return found
    if latest != decision_id:
        raise OverrideError(f"the deal was submitted again since: ask for an override of its last decision, {latest}")
    policy = policy_that_decided(session, decision)
    overrides, ask = overrides_of_policy(policy), asked(policy, decision, _side(side), rules)
    _check_codes("reason", [reason], overrides.reasons)
    _check_codes("compensating factor", compensating_factors, overrides.compensating_factors)
    overrides.check_somebody_may(ask)
    persons = overrides.persons(ask)
    told, personal = _evidence(policy, decision, ask)
    row = {"step": "request", "side": given["side"], "reason": reason, "persons": persons}
    return _take(session, step, step.entry_id, given | told | {"persons": persons}, row, ["/override/note", *personal])


def grant_override(
    session: Writable,
    override_id: str,
    now: datetime,
    *,
    actor: str,
    role: str,
    until: datetime | None = None,
    note: str = "",
    idempotency_key: str | None = None,
) -> Taken:
    """Grant an override in a role, for the days that the policy says or until an earlier moment. The host answers for the role.

    Where two persons are needed, each has the authority, and neither is the one who asked. Raises `OverrideError`.
    """
    given = {
        "override_id": override_id,
        "role": role,
        "until": moment(until) if until else None,
        "note": _note(note) if note else "",
    }
    step, override, found = _held(session, "override_grant", actor, now, idempotency_key, given)
    if found:
        return found
    _check_waits(override, now)
    _check_person(override, actor)
    policy = policy_that_decided(session, step.decision)
    overrides = overrides_of_policy(policy)
    authority = overrides.of_role(role)
    if lacks := authority.lacks(asked(policy, step.decision, override.side, override.rules)):
        raise OverrideError(f"{authority.role} may not grant this: {'; '.join(lacks)}")
    ends_at = _end(override, overrides, now, until)
    told = {"role": authority.role, "authority": authority.document(), "ends_at": moment(ends_at) if ends_at else None}
    row = {"step": "grant", "role": authority.role, "ends_at": ends_at}
    return _take(session, step, override_id, given | told, row, ["/override/note"] if note else [])


def deny_override(
    session: Writable,
    override_id: str,
    now: datetime,
    *,
    actor: str,
    note: str,
    idempotency_key: str | None = None,
) -> Taken:
    """Deny an override that is not granted yet: whoever does it, nothing is let through by it. Raises `OverrideError`."""
    given = {"override_id": override_id, "note": _note(note)}
    step, override, found = _held(session, "override_denial", actor, now, idempotency_key, given)
    if found:
        return found
    _check_waits(override, now)
    return _take(session, step, override_id, given, {"step": "deny"}, ["/override/note"])


class _Step(NamedTuple):
    """A step before it is taken. `given` is what the caller gave: a key that comes again must come with the same."""

    kind: str
    entry_id: str
    decision: Mapping[str, Any]
    actor: str
    now: datetime
    key: str | None
    given: Mapping[str, Any]


def _held(
    session: Writable, kind: str, actor: str, now: datetime, key: str | None, given: Mapping[str, Any]
) -> tuple[_Step, Override, Taken | None]:
    """The step, the override as it stands once nobody else can take one or submit the deal, and what the key led to before."""
    override = _override(session, given["override_id"])
    step = _Step(kind, str(uuid4()), _decision(session, override.decision_id), _person(actor), now, key, given)
    session.execute(HOLD_DEAL, {"deal": override.deal_id})
    return step, _override(session, override.override_id), _taken_before(session, step)


def _taken_before(session: Writable, step: _Step) -> Taken | None:
    """What the key led to before. What was erased of it since cannot be compared, and is not."""
    if step.key is None:
        return None
    row = session.execute(ENTRY_BY_KEY, {"key": step.key}).first()
    if row is None:
        if session.execute(PURGED_BY_KEY, {"key": step.key}).first():
            raise IdempotencyConflictError(f"the idempotency key {step.key!r} was used for what was purged since")
        return None
    envelope = json.loads(row.envelope)
    kept = disclose(envelope, private_values(session, [row.entry_id])[row.entry_id], envelope["private"])
    told = kept.get("override", {})
    same = all(told.get(name, value) == value for name, value in step.given.items())
    if row.kind != step.kind or envelope["actor"] != step.actor or not same:
        raise IdempotencyConflictError(f"the idempotency key {step.key!r} was used for something else; use a new key")
    receipt = Receipt(row.entry_id, row.leaf_hash, row.id, row.deal_seq)
    return Taken(_override(session, told.get("override_id", row.entry_id)), receipt, replayed=True)


def _take(
    session: Writable,
    step: _Step,
    override_id: str,
    told: dict[str, Any],
    row: dict[str, Any],
    personal: Sequence[str],
) -> Taken:
    decision = step.decision
    head = {"override_id": override_id, "decision_id": decision["decision_id"], "submission": decision["submission"]}
    draft = Draft(
        step.entry_id,
        step.kind,
        {"override": head | told},
        personal,
        deal_id=decision["deal_id"],
        policy_sha256=decision["policy"]["sha256"],
        idempotency_key=step.key,
        actor=step.actor,
    )
    try:
        with session.begin_nested():
            receipt = append(session, draft, step.now)
    except IntegrityError:  # whoever works at another deal may have used the key between our look and our insert
        if found := _taken_before(session, step):
            return found
        raise
    if named := [{"entry": receipt.entry, "rule": rule} for rule in told.get("rules", ())]:
        session.execute(insert(NAMED), named)
    row |= {"entry": receipt.entry, "override_id": override_id, "deal_id": decision["deal_id"]}
    row |= {"decision_id": decision["decision_id"], "actor": step.actor, "recorded_at": step.now}
    session.execute(insert(STEP), row)
    if row.get("side") == Side.HIGH:
        set_clocks(session, [decision["deal_id"]])
    return Taken(_override(session, override_id), receipt)


# What is asked, and of what


def _decision(session: Writable, decision_id: str) -> Mapping[str, Any]:
    decision = find_decision(session, decision_id)
    if decision is None:
        raise UnknownIdError(f"no decision has the id {decision_id!r}, or it was purged")
    return decision


def _override(session: Writable, override_id: str) -> Override:
    override = find_override(session, override_id)
    if override is None:
        raise UnknownIdError(f"no override has the id {override_id!r}, or it was purged")
    return override


def policy_that_decided(session: Writable, decision: Mapping[str, Any]) -> Policy:
    """The very version: what came into force since has no say. Raises `OverrideError` where its text was exchanged."""
    row = session.execute(POLICY_TEXT, {"sha256": decision["policy"]["sha256"]}).one()
    policy = _read(row.document, f"{row.name} {row.version}")
    if policy.sha256 != decision["policy"]["sha256"]:
        raise OverrideError(f"the stored text of {policy.name} {policy.version} is not the one that decided")
    return policy


@lru_cache(MOST_READ)
def _read(text: str, name: str) -> Policy:
    """A tenth of a second of work, which the deal's row need not be held for again."""
    return Policy.from_text(text, name)


def _evidence(policy: Policy, decision: Mapping[str, Any], ask: Asked) -> tuple[dict[str, Any], list[str]]:
    """What is held against an authority, and where it is personal: an excess is None where it is no sum of money."""
    severities = {finding["rule"]: (finding["result"], finding["severity"]) for finding in decision["findings"]}
    findings = [
        {
            "rule": rule,
            "result": severities[rule][0],
            "severity": severities[rule][1],
            "excess": None if cents is None or ask.side is Side.HIGH else hundredths(cents),
        }
        for rule, cents in ask.excesses.items()
    ]
    amount = decision["measures"].get("amount_financed", {}).get("value")
    parts = personal_parts(policy)
    personal = [
        f"/override/findings/{index}/excess"
        for index, finding in enumerate(findings)
        if finding["rule"] in parts.rules and finding["excess"] is not None
    ]
    if "amount_financed" in parts.measures and amount is not None:
        personal.append("/override/amount_financed")
    return {"findings": findings, "amount_financed": amount}, personal


# What is refused


def _check_waits(override: Override, now: datetime) -> None:
    """By what is recorded, whatever the clock of whoever recorded it said."""
    if not override.is_latest:
        raise OverrideError(f"the deal {override.deal_id!r} was submitted again: the override died with that, ask anew")
    if override.denied_by is not None:
        raise OverrideError(f"{override.denied_by} denied the override: whoever still wants it asks anew")
    if len(override.grants) >= override.persons:
        by = " and ".join(one.actor for one in override.grants)
        raise OverrideError(f"the override is granted already, by {by}: to end it, submit the deal again")
    if override.ends_at and override.ends_at <= now:
        raise OverrideError(
            f"the grant by {override.grants[0].actor} has ended before a second person granted: ask anew"
        )


def _check_person(override: Override, actor: str) -> None:
    if plain_name(actor) in {plain_name(one.actor) for one in override.grants}:
        raise OverrideError(f"{actor} granted it already: another person grants it, too")
    if override.persons > 1 and plain_name(actor) == plain_name(override.requested_by):
        raise OverrideError(f"{override.requested_by} asked for it: two other persons grant it")


def _end(override: Override, overrides: Overrides, now: datetime, until: datetime | None) -> datetime | None:
    """When a grant ends. One that turns a deal down does not: the deal would come back by itself."""
    if override.side is Side.HIGH:
        if until:
            raise OverrideError("a deal that is turned down stays so until it is submitted again: give no end")
        return None
    latest = now + timedelta(days=overrides.expires_after_days)
    if until and not now < until <= latest:
        raise OverrideError(f"the end {moment(until)} is not after now and at most {moment(latest)}")
    return until or latest


def _check_codes(what: str, codes: Sequence[str], known: Mapping[str, str]) -> None:
    if unknown := [code for code in codes if code not in known]:
        raise OverrideError(f"the policy has no {what} {unknown[0]!r}; it has: {', '.join(known) or 'none'}")
    if len(set(codes)) < len(codes):
        raise OverrideError(f"a {what} is named twice")


def _side(side: str) -> Side:
    if side not in {one.value for one in Side}:
        raise OverrideError(f"no side is called {side!r}: use {' or '.join(one.value for one in Side)}")
    return Side(side)


def _person(actor: str) -> str:
    if not actor.strip() or len(actor) > LONGEST_NAME:
        raise OverrideError(f"say who takes this step, in at most {LONGEST_NAME} characters")
    return actor


def _note(note: str) -> str:
    if not note.strip() or len(note) > LONGEST_NOTE:
        raise OverrideError(f"a note says why, in at most {LONGEST_NOTE:,} characters; this one has {len(note):,}")
    return note
