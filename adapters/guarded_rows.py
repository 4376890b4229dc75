"""Deciding the deals of guarded rows as the database has them, on the connection of whoever changed them."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dealgate.adapters.attempts import Attempt, Concluded
from dealgate.adapters.declined import DeclinedError
from dealgate.adapters.guarded_class import GuardedClass, Identity, Reader, ReadsAttributes
from dealgate.models import Clearance, Recorded, clearance
from dealgate.models import Deal as DealRow
from dealgate.models.envelope import Draft
from dealgate.models.last_decision import last_decision
from dealgate.models.ledger import append
from dealgate.models.unanswered import Change, forget, unanswered
from dealgate.rules.deal import Deal
from dealgate.rules.decision import Decision
from dealgate.rules.policy import Outcome

BYPASS = "guard_bypass"
"""The kind of an entry about changes that were made behind a guard and decided afterwards."""


NOTED_AT_ONCE = 500

Actor = str | Callable[[], str | None] | None


class Judge(NamedTuple):
    """What a gate does about a deal. `keep` stores in a transaction of its own, `record` in the one that is given."""

    conclude: Callable[[Connection, Deal], Concluded]
    record: Callable[[Connection, Attempt], Recorded]
    keep: Callable[[Engine, Attempt], Recorded]


class Reading(Session):
    """A session that only reads guarded rows: no guard listens to it, and nothing of the host's is in it."""


class Answered(NamedTuple):
    """What became of a guarded row that had changed.

    `decision` is the decision by which it stands now, None where the row is gone or `problem` says why its deal cannot be read.
    `changes` are what the triggers had noted of it; with a problem they stay.
    """

    key: Identity
    decision: Recorded | None
    changes: list[Change]
    problem: str | None = None

    @property
    def outcome(self) -> Outcome | None:
        return Outcome(self.decision.decision["outcome"]) if self.decision else None


class Standing(NamedTuple):
    """Whether a deal, as its rows are now, is the one that was decided last. Only where it is, the outcome is about it.

    `outcome` and `decision_id` are of the decision by which it stands, None where there is none; `clearance` is of the last
    submission, which may be an attempt that was refused since.
    """

    deal_id: str
    current: bool
    outcome: Outcome | None
    decision_id: str | None
    clearance: Clearance | None

    @property
    def passes(self) -> bool:
        """Decided as it stands, and passed. Overrides do not count."""
        return self.current and self.outcome is Outcome.PASS

    @property
    def cleared(self) -> bool:
        """Decided as it stands, and that very decision may be booked now: by itself, or by the overrides in force."""
        last = self.clearance
        return self.current and last is not None and last.decision_id == self.decision_id and last.cleared

    @property
    def missing(self) -> tuple[str, ...]:
        """What stands against it, in words."""
        if self.clearance is None:
            return ("the deal was not decided yet",)
        if not self.current:
            return ("the deal is not the one that was decided: it was changed since",)
        if self.clearance.decision_id != self.decision_id:
            return ("a change of the deal was refused since, and ended what cleared it: submit the deal again",)
        return self.clearance.missing


LISTENING: list["GuardedRows"] = []
"""Those of every guard in the process."""


class GuardedRows:
    """The rows of a guarded class, read fresh from the database: the host's objects may be older than what was committed since."""

    def __init__(self, judge: Judge, guarded: GuardedClass, read: Reader, actor: Actor, *, veto: bool) -> None:
        self.judge = judge
        self.guarded = guarded
        self.read = read
        self._actor = actor
        self._veto = veto

    def decide(
        self, connection: Connection, identities: Iterable[Identity], sweeper: str | None = None
    ) -> Iterator[Answered]:
        """Decide each row's deal unless the last decision is about the same document, and take away what was noted of it.

        What was noted of a row is decided by every guard on its table. Raises `DeclinedError` where a guard vetoes, and what the
        host's mapping raises where no deal can be made of a row. A sweeper takes the actor's place, and vetoes nothing.
        """
        with reading_on(connection) as reading:
            for identity in sorted(
                identities, key=repr
            ):  # in one order whoever asks: two writers must not wait for each other
                reading.expunge_all()
                there = self._lock(reading, identity)
                # Before the row is read: what is noted after this is about what may not have been seen.
                key = self.guarded.row_key(identity, connection.dialect)
                changes = unanswered(connection, self.guarded.table, key)
                deciding = [self, *self._beside()] if changes else [self]
                decided = [one.decided(reading, identity, sweeper) for one in deciding] if there else []
                answered = [Answered(identity, decision, changes) for decision in decided if decision]
                if there and not answered:
                    continue  # of a class beside the guarded ones
                forget(connection, changes)
                yield from answered or [Answered(identity, None, changes)]

    def _beside(self) -> list["GuardedRows"]:
        return [one for one in LISTENING if one is not self and one.guarded.root is self.guarded.root]

    def decided(self, reading: Session, identity: Identity, sweeper: str | None) -> Recorded | None:
        """The decision by which a row stands now; None where it is of another class."""
        instance = reading.get(self.guarded.mapper, identity)
        if instance is None:
            return None
        connection, deal = reading.connection(), self._deal(instance)
        veto = self._veto and sweeper is None
        last = last_decision(connection, deal)
        standing = last.recorded if last and last.same else None
        refused = veto and standing is not None and standing.decision["outcome"] == Outcome.DECLINE.value
        if standing and not refused:
            return standing
        attempt = Attempt(deal, self.judge.conclude(connection, deal), str(uuid4()), sweeper or self._actor_now())
        evaluation = attempt.concluded.answer.evaluation
        if refused or (veto and evaluation.outcome is Outcome.DECLINE):
            # One that stands already may have been made in the very transaction that is to be rolled back.
            decision = standing.decision if standing else self._document(connection, attempt)
            raise DeclinedError(self._row(identity), decision, evaluation.personal.rules, attempt)
        return self.judge.record(connection, attempt)

    def _actor_now(self) -> str | None:
        return self._actor() if callable(self._actor) else self._actor

    def _document(self, connection: Connection, attempt: Attempt) -> dict[str, Any]:
        """The decision as it would be recorded."""
        deal_id, concluded = attempt.deal.deal_id, attempt.concluded
        before = connection.execute(select(DealRow.submissions).where(DealRow.deal_id == deal_id)).scalar() or 0
        evaluation = concluded.answer.evaluation
        return Decision(attempt.entry_id, deal_id, before + 1, concluded.at, evaluation).document()

    def sweep(self, connection: Connection, sweeper: str, most: int | None) -> Iterator[Answered]:
        """Decide what was changed behind the guard, and write down in the ledger that it was. A row's problem stops no other row."""
        done = 0
        for identity, changes in self._left(connection):
            if done == most:
                return
            try:
                answered = list(self.decide(connection, [identity], sweeper))
            except DBAPIError:  # the transaction may be gone with it
                raise
            except Exception as error:  # the host's mapping raises what it likes
                yield Answered(identity, None, changes, f"{type(error).__name__}: {error}")
                continue
            if not answered or not answered[0].changes:
                continue  # somebody else answered it since it was listed
            self._write_down(connection, answered[0], sweeper)
            done += 1
            yield from answered

    def _left(self, connection: Connection) -> Iterator[tuple[Identity, list[Change]]]:
        """Each row that something is noted of, once, in the order of the notes; some at a time, for there may be many."""
        seen, after = set[Identity](), 0
        while noted := unanswered(connection, self.guarded.table, after=after, most=NOTED_AT_ONCE):
            after = noted[-1].id
            rows: dict[Identity, list[Change]] = {}
            for change in noted:
                rows.setdefault(self.guarded.identity_of(change.key, connection.dialect), []).append(change)
            yield from ((identity, changes) for identity, changes in rows.items() if identity not in seen)
            seen.update(rows)

    def tell_of_earlier(self, connection: Connection, answered: Answered, noted: list[Change]) -> None:
        """Write down what was changed before this transaction, behind the guard, and is decided now that the row changed again.

        `noted` are the changes of this transaction; those that are told join them.
        """
        earlier = [change for change in answered.changes if change not in noted]
        if earlier:
            self._write_down(connection, answered._replace(changes=earlier), self._actor_now())
            noted += earlier

    def _write_down(self, connection: Connection, answered: Answered, actor: str | None) -> None:
        changes = [change.document() for change in answered.changes]
        content = {"guard_bypass": {"table": self.guarded.table, "key": changes[0]["key"], "changes": changes}}
        deal_id = answered.decision.decision["deal_id"] if answered.decision else None
        append(connection, Draft(str(uuid4()), BYPASS, content, deal_id=deal_id, actor=actor), datetime.now(UTC))

    def deal(self, connection: Connection, identity: Identity) -> Deal:
        """Holds the row until the transaction ends. Raises `LookupError` for a row that is not there."""
        with reading_on(connection) as reading:
            self._lock(reading, identity)
            instance = reading.get(self.guarded.mapper, identity)
            if instance is None:
                raise LookupError(f"{self._row(identity)} is not in the database: add it and flush first")
            return self._deal(instance)

    def standing(self, connection: Connection, identity: Identity) -> Standing:
        deal = self.deal(connection, identity)
        last = last_decision(connection, deal)
        if last is None:
            return Standing(deal.deal_id, False, None, None, None)
        outcome, decision_id = Outcome(last.recorded.decision["outcome"]), last.recorded.decision_id
        cleared = clearance(connection, deal.deal_id, datetime.now(UTC))
        return Standing(deal.deal_id, last.same, outcome, decision_id, cleared)

    def _lock(self, reading: Session, identity: Identity) -> bool:
        """Hold a row, so that of two who change parts of one deal the second sees what the first one wrote; whether it is there."""
        columns = self.guarded.mapper.primary_key
        statement = select(*columns).where(self.guarded.condition(identity)).with_for_update(key_share=True)
        return reading.execute(statement).first() is not None

    def _deal(self, instance: object) -> Deal:
        try:
            if isinstance(self.read, ReadsAttributes):
                found = self.read.deal(self.guarded.payload(instance)).document
            else:
                found = self.read(instance)
            return found if isinstance(found, Deal) else Deal.read(found)
        except Exception as error:
            row = self._row(self.guarded.identity(instance))
            error.add_note(
                f"No deal can be made of {row}, so it is not written. What the mapping made of it cannot be taken."
            )
            raise

    def _row(self, identity: Identity) -> str:
        return f"{self.guarded.name} {', '.join(map(str, identity))}"


def reading_on(connection: Connection) -> Reading:
    """It leaves the connection's transaction alone."""
    return Reading(bind=connection, autoflush=False, join_transaction_mode="rollback_only")
