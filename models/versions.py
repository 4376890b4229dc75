"""The life of a policy version: added by its author, approved by somebody else, in force for a time, retired.

Every step is an entry of the ledger and is never taken back. What was in force is worked out from the steps, for any moment, and
as it was known at any moment.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, func, insert, select, text

from dealgate.models.envelope import Draft
from dealgate.models.joining import Writable, join
from dealgate.models.ledger import ENTRY, append, table
from dealgate.models.policy_tables import PolicyStep
from dealgate.models.recording import VERSION, record_policy
from dealgate.rules.authority import plain_name
from dealgate.rules.decision import moment
from dealgate.rules.effective import effective_period
from dealgate.rules.policy import Policy
from dealgate.rules.unanswered import UNANSWERED

LEAD = timedelta(seconds=1)
"""How long after it was recorded a step counts at the earliest: by then every process knows of it."""

ALL_DEALS = 10_000

STEP = table(PolicyStep)
STEPS = (
    select(STEP, VERSION.c.name, VERSION.c.version)
    .join(VERSION, VERSION.c.sha256 == STEP.c.sha256)
    .order_by(STEP.c.entry)
)
LATEST_ID = (
    select(ENTRY.c.entry_id).where(ENTRY.c.id == select(func.max(STEP.c.entry)).scalar_subquery()).scalar_subquery()
)
IN_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended('dealgate_policy_step ' || :what, 0))")
MARK = select(func.count(), func.sum(STEP.c.entry), LATEST_ID).select_from(STEP)


class VersionError(ValueError):
    """A step that cannot be taken; the message says why."""


class Step(NamedTuple):
    """`add`, `approve`, `retire`, `shadow` or `unshadow`, as it was recorded."""

    entry: int
    sha256: str
    name: str
    version: str
    step: str
    actor: str
    recorded_at: datetime
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    share: int | None = None


class Tenure(NamedTuple):
    """The time for which a version is in force; `end` is not part of it, None for as long as nothing else is said."""

    sha256: str
    name: str
    version: str
    start: datetime
    end: datetime | None

    def holds(self, at: datetime) -> bool:
        return self.start <= at and (self.end is None or at < self.end)


class Shadow(NamedTuple):
    """A version that looks at a share of the deals beside the one in force."""

    sha256: str
    share: int


def add_version(session: Writable, policy: Policy, text: str, now: datetime, *, actor: str) -> Step:
    """Put a checked policy document on record as a draft of its author's. Raises `VersionError` and `PolicyConflictError`."""
    if policy.name == UNANSWERED.name:
        raise VersionError(
            f"{policy.name!r} is what decisions name where no policy answers: give the policy another name"
        )
    session = in_turn(session, policy.sha256)
    steps = steps_of(session, policy.sha256)
    if added := _taken(steps, "add"):
        raise VersionError(f"{policy.name} {policy.version} was added by {added.actor} at {moment(added.recorded_at)}")
    record_policy(session, policy, text, now)
    return _take(session, Step(0, policy.sha256, policy.name, policy.version, "add", _person(actor), now))


def approve_version(session: Writable, policy: Policy, now: datetime, *, actor: str) -> Step:
    """Approve the very content that has this hash, as somebody else than its author.

    It is in force from the first moment of its effective days, or at once where they have begun. Raises `VersionError`.
    """
    session = in_turn(session, policy.sha256, policy.name)  # two of one name may not begin at one moment
    name, steps = f"{policy.name} {policy.version}", steps_of(session, policy.sha256)
    added = _taken(steps, "add")
    if added is None:
        raise VersionError(f"{name} was not added: its author adds it first")
    if plain_name(added.actor) == plain_name(_person(actor)):
        raise VersionError(f"{added.actor} added {name}: another person approves it")
    if approved := _taken(steps, "approve"):
        raise VersionError(f"{name} was approved by {approved.actor} at {moment(approved.recorded_at)}")
    if _taken(steps, "retire"):
        raise VersionError(f"{name} is retired: give the document a new version")
    period = effective_period(policy)
    start = max(period.start, now + LEAD)
    if period.end is not None and period.end <= start:
        raise VersionError(f"the effective days of {name} end at {moment(period.end)}: it would never be in force")
    for other in tenures(all_steps(session)):
        if other.name == policy.name and other.start == start:
            raise VersionError(
                f"{other.name} {other.version} begins at the same moment, {moment(start)}: retire it first"
            )
    step = Step(0, policy.sha256, policy.name, policy.version, "approve", actor, now, start, period.end)
    return _take(session, step)


def retire_version(session: Writable, sha256: str, now: datetime, *, actor: str, at: datetime | None = None) -> Step:
    """End a version's time, at once or at a later moment; one that never began will not begin. Raises `VersionError`."""
    session = in_turn(session, sha256)
    steps = steps_of(session, sha256)
    added = _taken(steps, "add")
    if added is None:
        raise VersionError(f"no version with the hash {sha256[:12]}... was added")
    if _taken(steps, "retire"):
        raise VersionError(f"{added.name} {added.version} is retired already")
    if at is not None and at < now:
        raise VersionError(f"{moment(at)} has passed: what was in force then stays as it was")
    end = max(at or now, now + LEAD)
    return _take(session, Step(0, sha256, added.name, added.version, "retire", _person(actor), now, ends_at=end))


def start_shadow(session: Writable, sha256: str, now: datetime, *, actor: str, share: int = ALL_DEALS) -> Step:
    """Let a version look at a share of the deals, in ten-thousandths, the same deals always. Raises `VersionError`."""
    if not 0 < share <= ALL_DEALS:
        raise VersionError(f"a share of {share / 100} % is none: give more than 0 and at most 100")
    session = in_turn(session, sha256)
    steps = steps_of(session, sha256)
    added = _taken(steps, "add")
    if added is None:
        raise VersionError(f"no version with the hash {sha256[:12]}... was added")
    if sha256 in {one.sha256 for one in shadows(steps, now)}:
        raise VersionError(f"{added.name} {added.version} is a shadow already")
    step = Step(0, sha256, added.name, added.version, "shadow", _person(actor), now, share=share)
    return _take(session, step)


def stop_shadow(session: Writable, sha256: str, now: datetime, *, actor: str) -> Step:
    """Raises `VersionError`."""
    session = in_turn(session, sha256)
    steps = steps_of(session, sha256)
    if sha256 not in {one.sha256 for one in shadows(steps, now)}:
        raise VersionError(f"the version with the hash {sha256[:12]}... is no shadow")
    first = steps[0]
    return _take(session, Step(0, sha256, first.name, first.version, "unshadow", _person(actor), now))


def in_turn(session: Writable, *whose: str) -> Connection:
    """From here on nobody else takes a step of these versions until the transaction ends: two that each look first would not see
    each other's. Where one writes at a time that is so anyway.
    """
    connection = join(session)
    if connection.dialect.name == "postgresql":
        for one in whose:
            connection.execute(IN_TURN, {"what": one})
    return connection


def all_steps(session: Writable) -> list[Step]:
    """Every step of every version, in the order they were recorded."""
    return [_step(row) for row in session.execute(STEPS)]


def steps_of(session: Writable, sha256: str) -> list[Step]:
    return [_step(row) for row in session.execute(STEPS.where(STEP.c.sha256 == sha256))]


def mark_of_steps(session: Writable) -> tuple[Any, ...]:
    """Changes with the set of steps: also when one is committed after a later one, or rolled back and its number taken again."""
    return tuple(session.execute(MARK).one())


def tenures(steps: Iterable[Step], known_at: datetime | None = None) -> list[Tenure]:
    """When each approved version is in force, as known at a moment: until its own end, its retirement, or the beginning of the next
    version of the same policy, for good.
    """
    known = [step for step in steps if known_at is None or step.recorded_at <= known_at]
    retired = {step.sha256: step.ends_at for step in known if step.step == "retire"}
    found: list[Tenure] = []
    for step in known:
        if step.step == "approve" and step.starts_at is not None:
            end = _earliest(step.ends_at, retired.get(step.sha256))
            if end is None or step.starts_at < end:
                found.append(Tenure(step.sha256, step.name, step.version, step.starts_at, end))
    return _followed(found)


def in_force(steps: Iterable[Step], at: datetime, known_at: datetime | None = None) -> list[Tenure]:
    """The versions in force at a moment, at most one of each policy; `known_at` leaves out what was recorded later."""
    return [tenure for tenure in tenures(steps, known_at) if tenure.holds(at)]


def shadows(steps: Iterable[Step], at: datetime) -> list[Shadow]:
    """The versions that look on at a moment."""
    found: dict[str, Shadow] = {}
    for step in steps:
        if step.recorded_at <= at and step.step == "shadow":
            found[step.sha256] = Shadow(step.sha256, step.share or ALL_DEALS)
        if step.recorded_at <= at and step.step == "unshadow":
            found.pop(step.sha256, None)
    return list(found.values())


def state(steps: Sequence[Step], sha256: str, at: datetime) -> str:
    """`draft`, `approved`, `in force` or `retired`: where a version stands at a moment."""
    known = [step for step in steps if step.recorded_at <= at]
    mine = {step.step for step in known if step.sha256 == sha256}
    tenure = next((one for one in tenures(known) if one.sha256 == sha256), None)
    if tenure and tenure.holds(at):
        return "in force"
    if "retire" in mine or (tenure and tenure.start <= at) or ("approve" in mine and tenure is None):
        return "retired"
    return "approved" if "approve" in mine else "draft"


def _followed(found: Sequence[Tenure]) -> list[Tenure]:
    """Each version's time, ended by the beginning of the next one of the same policy."""
    ended = list(found)
    order = sorted(range(len(found)), key=lambda index: (found[index].name, found[index].start, index))
    for earlier, later in pairwise(order):
        if found[earlier].name == found[later].name:
            ended[earlier] = found[earlier]._replace(end=_earliest(found[earlier].end, found[later].start))
    return ended


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((one for one in moments if one is not None), default=None)


def _take(session: Writable, step: Step) -> Step:
    told = {
        "name": step.name,
        "version": step.version,
        "sha256": step.sha256,
        "step": step.step,
        "starts_at": moment(step.starts_at) if step.starts_at else None,
        "ends_at": moment(step.ends_at) if step.ends_at else None,
        "share": step.share,
    }
    draft = Draft(str(uuid4()), "policy_step", {"policy": told}, policy_sha256=step.sha256, actor=step.actor)
    taken = step._replace(entry=append(session, draft, step.recorded_at).entry)
    session.execute(insert(STEP), {name: value for name, value in taken._asdict().items() if name in STEP.columns})
    return taken


def _step(row: Any) -> Step:
    return Step(**{name: getattr(row, name) for name in Step._fields})


def _taken(steps: Iterable[Step], step: str) -> Step | None:
    return next((one for one in steps if one.step == step), None)


def _person(actor: str) -> str:
    if not actor.strip():
        raise VersionError("nobody is named: say who takes this step")
    return actor
