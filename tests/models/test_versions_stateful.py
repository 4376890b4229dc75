"""Any history of steps: what is in force at any moment, as known at any moment, is what a naive model says."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule
from sqlalchemy import Engine

from dealgate import Policy
from dealgate.adapters.database import open_database
from dealgate.models.versions import (
    LEAD,
    VersionError,
    add_version,
    all_steps,
    approve_version,
    in_force,
    retire_version,
)
from tests.databases import SqliteFiles
from tests.models.samples import a_policy

START = datetime(2027, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FILES = SqliteFiles(Path(mkdtemp(prefix="dealgate-versions-")))
NAMES = ("prime", "subprime")
PEOPLE = ("ann", "bob")


class Approved(NamedTuple):
    """What the naive model keeps of an approved version."""

    name: str
    version: str
    start: datetime
    end: datetime | None
    known: datetime


class Lives(RuleBasedStateMachine):
    drafts = Bundle("drafts")
    approved = Bundle("approved")

    def __init__(self) -> None:
        super().__init__()
        self.database: Engine = open_database(FILES.ready())
        self.now = START
        self.count = 0
        self.model: list[Approved] = []
        self.retired: dict[tuple[str, str], tuple[datetime, datetime]] = {}

    @rule(hours=st.integers(1, 60))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR

    @rule(
        target=drafts,
        name=st.sampled_from(NAMES),
        author=st.sampled_from(PEOPLE),
        begins=st.integers(-3, 6),
        lasts=st.none() | st.integers(1, 5),
    )
    def add(self, name: str, author: str, begins: int, lasts: int | None) -> object:
        self.count += 1
        first = (self.now + timedelta(days=begins)).date()
        last = (first + timedelta(days=lasts)).isoformat() if lasts else "2040-01-01"
        policy = a_policy(policy=name, version=f'"{self.count}"', effective_from=first.isoformat(), effective_to=last)
        with self.database.begin() as connection:
            add_version(connection, policy, policy.self_contained, self.now, actor=author)
        return policy, author

    @rule(target=approved, draft=consumes(drafts), by=st.sampled_from(PEOPLE))
    def approve(self, draft: tuple[Policy, str], by: str) -> object:
        policy, author = draft
        begins = datetime.combine(policy.effective_from, datetime.min.time(), UTC)
        end = datetime.combine(policy.effective_to, datetime.min.time(), UTC) if policy.effective_to else None
        start = max(begins, self.now + LEAD)
        taken = any(one.name == policy.name and one.start == start for one in self.model if self.is_live(one))
        allowed = by != author and (end is None or start < end) and not taken
        try:
            with self.database.begin() as connection:
                approve_version(connection, policy, self.now, actor=by)
        except VersionError:
            assert not allowed
            return multiple()
        assert allowed
        self.model.append(Approved(policy.name, policy.version, start, end, self.now))
        return policy

    def is_live(self, one: Approved) -> bool:
        """Whether a version is still to begin, or began: one that was retired before is as if it had never been approved."""
        known = self.retired.get((one.name, one.version))
        return known is None or known[1] > one.start

    @rule(policy=consumes(approved), later=st.none() | st.integers(0, 200))
    def retire(self, policy: Policy, later: int | None) -> None:
        at = None if later is None else self.now + later * HOUR
        with self.database.begin() as connection:
            retire_version(connection, policy.sha256, self.now, actor="ann", at=at)
        self.retired[policy.name, policy.version] = (self.now, max(at or self.now, self.now + LEAD))

    def expected(self, at: datetime, known_at: datetime) -> set[tuple[str, str]]:
        """Hour by hour would do; here: of each policy the last that began by then, unless it has ended."""
        found = set()
        for name in NAMES:
            begun = []
            for one in self.model:
                noticed, retired = self.retired.get((one.name, one.version), (None, None))
                gone = retired if noticed is not None and noticed <= known_at else None
                void = gone is not None and gone <= one.start
                if one.name == name and one.known <= known_at and one.start <= at and not void:
                    begun.append((one.start, one.version, one.end, gone))
            if begun:
                _, version, end, gone = max(begun)
                if (end is None or at < end) and (gone is None or at < gone):
                    found.add((name, version))
        return found

    @invariant()
    @precondition(lambda self: bool(self.model))
    def agrees(self) -> None:
        with self.database.connect() as connection:
            steps = all_steps(connection)
        moments = {one.start for one in self.model} | {self.now, START, self.now + timedelta(days=9)}
        moments |= {gone for _, gone in self.retired.values()} | {one.end for one in self.model if one.end}
        for moment in sorted(moments):
            for at in (moment - timedelta(microseconds=1), moment):
                for known_at in (self.now, self.now - 30 * HOUR):
                    got = {(one.name, one.version) for one in in_force(steps, at, known_at)}
                    assert got == self.expected(at, known_at)
                    assert len({name for name, _ in got}) == len(got)

    def teardown(self) -> None:
        self.database.dispose()


TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
