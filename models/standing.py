"""Where overrides stand at a moment, worked out from their steps, and what that lets the host do with a deal."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, bindparam, case, select

from dealgate.models.commitments import disclose
from dealgate.models.joining import Writable
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, DEAL, ENTRY, UnknownDealError, private_values, table
from dealgate.models.override_tables import OverrideFinding, OverrideStep
from dealgate.models.reading import find_decision
from dealgate.models.recording import DECISION
from dealgate.rules.authority import Side
from dealgate.rules.decision import moment
from dealgate.rules.overriding import PASSES, still_open
from dealgate.rules.reading import RESERVED_RULES

STEP, NAMED = map(table, (OverrideStep, OverrideFinding))
STEP_OF_KIND = {"override_request": "request", "override_grant": "grant", "override_denial": "deny"}
ENTRY_OF_STEP: Any = and_(
    ENTRY.c.id == STEP.c.entry, ENTRY.c.deal_id == STEP.c.deal_id, STEP.c.step == case(STEP_OF_KIND, value=ENTRY.c.kind)
)
"""A step counts while the entry that took it is there: a row can name any entry, one that was purged too."""

STEPS = (
    select(STEP, DECISION.c.submission, (DEAL.c.decision_id == STEP.c.decision_id).label("is_latest"))
    .join(ENTRY, ENTRY_OF_STEP)
    .join(BODY, BODY_OF_ENTRY)
    .join(DECISION, DECISION.c.decision_id == STEP.c.decision_id)
    .join(DEAL, DEAL.c.deal_id == STEP.c.deal_id)
    .order_by(STEP.c.entry)
)
LATEST = select(DEAL.c.decision_id, DEAL.c.submissions, DEAL.c.outcome).where(DEAL.c.deal_id == bindparam("deal"))
TOLD = select(ENTRY.c.entry_id, BODY.c.envelope).join(BODY, BODY_OF_ENTRY)

REQUESTED, IN_FORCE, DENIED, ENDED, SUPERSEDED = "requested", "in force", "denied", "ended", "superseded"
STATES = (REQUESTED, IN_FORCE, DENIED, ENDED, SUPERSEDED)


class Grant(NamedTuple):
    """By one person, in a role. `ends_at` is None on the high side: a deal that was turned down does not come back by itself."""

    actor: str
    role: str
    granted_at: datetime
    ends_at: datetime | None


class Override(NamedTuple):
    """One override of one submission. `persons` must grant it; `is_latest` tells whether the deal was not submitted since."""

    override_id: str
    deal_id: str
    submission: int
    decision_id: str
    side: Side
    rules: tuple[str, ...]
    reason: str
    requested_by: str
    requested_at: datetime
    persons: int
    grants: tuple[Grant, ...]
    denied_by: str | None
    denied_at: datetime | None
    is_latest: bool

    @property
    def ends_at(self) -> datetime | None:
        """The end of the grant that ends first; None where none has an end."""
        return min((one.ends_at for one in self.grants if one.ends_at), default=None)

    def caught_up(self, at: datetime) -> datetime:
        """The moment, or that of the latest step, whichever is later."""
        return max(at, *(one.granted_at for one in self.grants), self.denied_at or at)

    def lacking(self, at: datetime) -> int:
        """How many persons have still to grant it, as known at a moment."""
        return self.persons - sum(one.granted_at <= at for one in self.grants)

    def state(self, at: datetime) -> str:
        """One of `STATES`. Without the grants it needs it ends with the first of them, too."""
        if not self.is_latest:
            return SUPERSEDED
        if self.denied_at and self.denied_at <= at:
            return DENIED
        if any(one.ends_at and one.granted_at <= at and one.ends_at <= at for one in self.grants):
            return ENDED
        return IN_FORCE if self.lacking(at) <= 0 else REQUESTED

    def document(self, at: datetime) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "override_id": self.override_id,
            "deal_id": self.deal_id,
            "submission": self.submission,
            "decision_id": self.decision_id,
            "side": self.side.value,
            "rules": list(self.rules),
            "reason": self.reason,
            "state": self.state(at),
            "requested_by": self.requested_by,
            "requested_at": moment(self.requested_at),
            "persons": self.persons,
            "grants": [{name: _shown(value) for name, value in one._asdict().items()} for one in self.grants],
            "ends_at": _shown(self.ends_at),
            "denied_by": self.denied_by,
            "denied_at": _shown(self.denied_at),
        }


class Clearance(NamedTuple):
    """What the host may do: book the submission that is named here if it is `cleared`, before `until` where that is set.

    `overrides` are those that it rests on; `missing` says in words what stands against it.
    """

    deal_id: str
    submission: int
    decision_id: str
    outcome: str
    cleared: bool
    turned_down: bool
    overrides: tuple[str, ...]
    until: datetime | None
    missing: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As plain JSON values."""
        lists = {"overrides": list(self.overrides), "missing": list(self.missing)}
        return {**self._asdict(), **lists, "until": _shown(self.until)}


def overrides_of(session: Writable, deal_id: str) -> list[Override]:
    """Every override of a deal, of all its submissions, in the order they were asked for."""
    return _overrides(session, STEPS.where(STEP.c.deal_id == deal_id))


def find_override(session: Writable, override_id: str) -> Override | None:
    return next(iter(_overrides(session, STEPS.where(STEP.c.override_id == override_id))), None)


def latest_overrides(session: Writable, most: int) -> list[Override]:
    """Those that were asked for last, of any deal; the latest first."""
    last = select(STEP.c.override_id).where(STEP.c.step == "request").order_by(STEP.c.entry.desc()).limit(most)
    chosen = session.execute(last).scalars().all()
    return _overrides(session, STEPS.where(STEP.c.override_id.in_(chosen)))[::-1]


def steps_told(session: Writable, override: Override) -> list[dict[str, Any]]:
    """What the entry of each step says, with what is left of its personal values."""
    chosen = select(STEP.c.entry).where(STEP.c.override_id == override.override_id)
    rows = session.execute(TOLD.where(ENTRY.c.id.in_(chosen)).order_by(ENTRY.c.id)).all()
    values = private_values(session, [row.entry_id for row in rows])
    told = []
    for row in rows:
        envelope = json.loads(row.envelope)
        head = {name: envelope[name] for name in ("kind", "entry_id", "actor", "recorded_at")}
        told.append(head | disclose(envelope, values[row.entry_id], envelope["private"])["override"])
    return told


def clearance(session: Writable, deal_id: str, at: datetime, *, in_hindsight: bool = False) -> Clearance:
    """Whether a deal's last submission may be booked at a moment. Raises `UnknownDealError`.

    A decision that refers or declines is cleared where overrides in force cover every finding that does; one that passes or
    flags, unless an override in force turns it down. That one counts as soon as it is recorded, also by a process whose clock is
    ahead; only `in_hindsight` is left out what was recorded later than `at`.
    """
    latest = session.execute(LATEST, {"deal": deal_id}).first()
    if latest is None:
        raise UnknownDealError(f"no deal {deal_id!r} was submitted; check the id")
    head = (deal_id, latest.submissions, latest.decision_id, latest.outcome)
    decision = find_decision(session, latest.decision_id)
    if decision is None:
        return Clearance(*head, False, False, (), None, ("the deal's records were purged",))
    found = _overrides(session, STEPS.where(STEP.c.decision_id == latest.decision_id))
    high = [
        one
        for one in found
        if one.side is Side.HIGH and one.state(at if in_hindsight else one.caught_up(at)) == IN_FORCE
    ]
    if high:
        against = tuple(f"turned down by {_persons(one)}: {one.reason}" for one in high)
        return Clearance(*head, False, True, tuple(one.override_id for one in high), None, against)
    if decision["outcome"] in PASSES:
        return Clearance(*head, True, False, (), None, ())
    return _let_through(head, decision, [one for one in found if one.side is Side.LOW], at)


def _let_through(
    head: tuple[str, int, str, str], decision: Mapping[str, Any], overrides: Sequence[Override], at: datetime
) -> Clearance:
    """Each open finding needs an override in force; of several, the one that holds longest counts."""
    used, missing = list[Override](), list[str]()
    for finding in still_open(decision):
        naming = [one for one in overrides if finding["rule"] in one.rules]
        holding = [(one.ends_at, one) for one in naming if one.state(at) == IN_FORCE and one.ends_at]
        if holding:
            used.append(max(holding, key=lambda each: each[0])[1])
        else:
            missing.append(_lack(finding, naming, at))
    cleared = bool(used) and not missing
    ids = tuple(dict.fromkeys(one.override_id for one in used))
    until = min((one.ends_at for one in used if one.ends_at), default=None)
    return Clearance(*head, cleared, False, ids, until if cleared else None, tuple(missing))


def _lack(finding: Mapping[str, Any], naming: Sequence[Override], at: datetime) -> str:
    rule, leads_to = finding["rule"], f"{finding['rule']} {finding['severity']}s the deal"
    if rule in RESERVED_RULES:
        return f"{leads_to}: nobody overrides it, submit the deal again"
    if not naming:
        return f"{leads_to}: no override was asked for"
    last, state = naming[-1], naming[-1].state(at)
    if state == REQUESTED:
        return f"{leads_to}: override {last.override_id} waits for {last.lacking(at)} to grant it"
    return f"{leads_to}: override {last.override_id} {'was denied' if state == DENIED else 'has ended'}"


def _persons(override: Override) -> str:
    return " and ".join(f"{one.actor} ({one.role})" for one in override.grants)


def _overrides(session: Writable, statement: Select[Any]) -> list[Override]:
    """From steps in the order they were taken."""
    rows = session.execute(statement).all()
    named = dict[int, list[str]]()
    requests = [row.entry for row in rows if row.step == "request"]
    for row in session.execute(select(NAMED).where(NAMED.c.entry.in_(requests)).order_by(NAMED.c.entry, NAMED.c.rule)):
        named.setdefault(row.entry, []).append(row.rule)
    by_id = dict[str, list[Any]]()
    for row in rows:
        by_id.setdefault(row.override_id, []).append(row)
    return list(_standing(by_id, named))


def _standing(by_id: Mapping[str, Sequence[Any]], named: Mapping[int, Sequence[str]]) -> Iterator[Override]:
    for override_id, steps in by_id.items():
        request = next((row for row in steps if row.step == "request"), None)
        if request is None:  # tampered with; the verification says so
            continue
        denial = next((row for row in steps if row.step == "deny"), None)
        grants = (Grant(row.actor, row.role, row.recorded_at, row.ends_at) for row in steps if row.step == "grant")
        yield Override(
            override_id,
            request.deal_id,
            request.submission,
            request.decision_id,
            Side(request.side),
            tuple(named.get(request.entry, ())),
            request.reason,
            request.actor,
            request.recorded_at,
            request.persons,
            tuple(grants),
            denial.actor if denial else None,
            denial.recorded_at if denial else None,
            request.is_latest,
        )


def _shown(value: Any) -> Any:
    return moment(value) if isinstance(value, datetime) else value
