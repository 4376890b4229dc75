"""The hook at deal submission: one call evaluates a deal and stores submission, decision and findings together."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, Transaction
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dealgate.adapters.attempts import Attempt, Concluded
from dealgate.adapters.database import READS_ONLY
from dealgate.adapters.declined import DeclinedError
from dealgate.adapters.guard import Guard, OnDecline, record_declined
from dealgate.adapters.guarded_class import Reader
from dealgate.adapters.guarded_rows import Actor, Answered, Judge, Standing
from dealgate.adapters.hosts import Joinable, opened
from dealgate.adapters.isolation import IsolatedEngine, isolated_within
from dealgate.adapters.policies import PolicyDocument
from dealgate.adapters.programs import AnswersForDeals, InForce, OnePolicy, PoliciesInForce
from dealgate.adapters.shadows import record_looks
from dealgate.adapters.transactions import in_transaction
from dealgate.models import (
    Clearance,
    Entry,
    Receipt,
    Recorded,
    clearance,
    find_by_key,
    find_recorded,
    record_new,
    record_policy,
    record_submission,
    record_submissions,
    recorded_meanwhile,
)
from dealgate.models.joining import connection_of, join
from dealgate.models.last_decision import REFUSED
from dealgate.models.ledger import LONGEST_WORDS
from dealgate.models.recording import plain_json
from dealgate.models.unanswered import Change
from dealgate.rules.deal import Deal
from dealgate.rules.engine import Engine as RulesEngine
from dealgate.rules.evaluation import CompiledPolicy, EvaluatesRules, Evaluation
from dealgate.rules.policy import Outcome, Policy

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

    from dealgate.adapters.sealer import Sealer

BATCH = 200
"""Deals that are stored with one round of statements when many are submitted at once."""

log = logging.getLogger("dealgate")


class Verdict(NamedTuple):
    """What the gate says to its host.

    `decision` is the stored document; `replayed` tells of an earlier, equal submission. Who keeps the `receipt`
    can show later that the ledger still has this very entry.
    """

    decision_id: str
    outcome: Outcome
    decision: Mapping[str, Any]
    replayed: bool
    receipt: Receipt

    @property
    def text(self) -> str:
        """The decision as JSON; written when somebody asks."""
        return plain_json(self.decision)


class Gate:
    """Holds deals against one policy version, or against those in force.

    `database` is an engine, connection or session. With an engine, each `submit` is a transaction of its own unless a
    `session` is handed in; it is tried again after failures that pass, and stored once. With a session or connection the
    caller commits. A gate on an engine is for all threads, and for the processes that are forked off later. A policy whose
    examples do not hold is refused with `PolicyError`. With `IN_FORCE` for a policy, the version in force that answers for a
    deal is chosen at each submission. An `isolated` gate runs the rules engine in worker processes: whatever happens to its
    C code then happens to a worker, and the deal is referred after 250 milliseconds at the latest, or the seconds that are
    given in place of True. With a `sealer`, a submission is answered once its entry is sealed: for transactions of the gate's own.
    """

    def __init__(
        self,
        database: Engine | Joinable | None = None,
        policy: Policy | PolicyDocument | InForce | str | None = None,
        *,
        isolated: bool | float = False,
        sealer: "Sealer | None" = None,
    ) -> None:
        opened(database)
        self.database = database
        self.sealer = sealer
        self._process = os.getpid()
        self._turn = Lock()
        engine = _engine(isolated)
        self._policies: AnswersForDeals
        if isinstance(policy, InForce):
            self._policies = PoliciesInForce(engine)
        else:
            self._policies = OnePolicy(policy, engine)
        self._recorded: WeakKeyDictionary[Transaction, set[str]] = WeakKeyDictionary()
        self._guards: list[Guard] = []
        self._kept: WeakKeyDictionary[Engine, set[str]] = WeakKeyDictionary()
        """The policy versions that this gate has committed itself."""

    @property
    def policy(self) -> Policy:
        """The one version of a gate that was given one. Raises `ValueError` for a gate on those in force."""
        return self._one_policy.document.policy

    @property
    def compiled(self) -> CompiledPolicy:
        """The same, ready to evaluate."""
        return self._one_policy.compiled

    @property
    def _one_policy(self) -> OnePolicy:
        if isinstance(self._policies, OnePolicy):
            return self._policies
        raise ValueError("this gate holds deals against the versions in force: each decision names its own")

    def evaluate(self, deal: Deal | Mapping[str, Any], *, session: Joinable | None = None) -> Evaluation:
        """Evaluate without storing anything. Raises `DealError` for a bad document."""
        deal = deal if isinstance(deal, Deal) else Deal.read(deal)
        with self._reading(session) as reading:
            return self._conclude(reading, deal).answer.evaluation

    def submit(
        self,
        deal: Deal | Mapping[str, Any],
        *,
        session: Joinable | None = None,
        actor: str | None = None,
        idempotency_key: str | None = None,
    ) -> Verdict:
        """Evaluate a deal and store everything in one transaction.

        A submission with a key that was used before returns the first decision. Raises `DealError` for a bad document,
        `IdempotencyConflictError` for a key used with another deal, `ValueError` in autocommit or for an actor that is no text of
        at most 200 characters, and what SQLAlchemy raises when the database fails: then nothing is stored, and the deal has not
        passed. `UnsealedError` where the entry of a gate with a sealer is stored and not sealed.
        """
        deal = deal if isinstance(deal, Deal) else Deal.read(deal)
        if idempotency_key is not None:
            _check_key(idempotency_key)
        with self._place(session) as place:
            if place is None:
                raise ValueError(
                    "a gate without a database cannot store: give it an engine, or hand submit() a session"
                )
            if isinstance(place, Engine):
                return self._submit_alone(place, deal, actor, idempotency_key)
            self._refuse_to_seal()
            return _verdict(self._store(join(place), deal, actor, idempotency_key))

    async def submit_async(
        self,
        deal: Deal | Mapping[str, Any],
        *,
        session: "AsyncSession | async_scoped_session[Any] | AsyncConnection",
        actor: str | None = None,
        idempotency_key: str | None = None,
    ) -> Verdict:
        """The same in the transaction of an asynchronous host. Needs the extra `dealgate[async]`."""

        def submit(session: Session | Connection) -> Verdict:
            return self.submit(deal, session=session, actor=actor, idempotency_key=idempotency_key)

        # A scoped one hands out the session of this task.
        return await (session.registry() if hasattr(session, "registry") else session).run_sync(submit)

    def clearance(self, deal_id: str, *, session: Joinable | None = None) -> Clearance:
        """Whether the deal's last submission may be booked now: by its decision, and by the overrides in force.

        Raises `UnknownDealError`.
        """
        now = datetime.now(UTC)
        with self._place(session) as place:
            if place is None:
                raise ValueError(
                    "a gate without a database knows no deals: give it an engine, or hand clearance() a session"
                )
            if not isinstance(place, Engine):
                return clearance(connection_of(place), deal_id, now)
            with place.connect().execution_options(**{READS_ONLY: True}) as connection:
                return clearance(connection, deal_id, now)

    def submit_all(self, deals: Iterable[Deal], *, session: Joinable, actor: str | None = None) -> Iterator[Verdict]:
        """Submit many deals in the caller's transaction, a batch at a time; the verdicts come in the order of the deals."""
        self._refuse_to_seal()
        for batch in _batches(deals, BATCH):
            connection = join(_joinable(session))
            now = datetime.now(UTC)  # of the choice among policies and of the decision: a version may begin meanwhile
            concluded = [self._conclude(connection, deal, now) for deal in batch]
            for one in concluded:
                self._record_policy(connection, one)
            entries = [
                Entry(deal, one.answer.evaluation, str(uuid4())) for deal, one in zip(batch, concluded, strict=True)
            ]
            recorded = record_submissions(connection, entries, now=now, actor=actor)
            for one, decision in zip(concluded, recorded, strict=True):
                record_looks(connection, decision.decision_id, one.looks, one.at)
            yield from map(_verdict, recorded)

    def guard(
        self,
        cls: type[Any],
        *,
        mapping: Reader,
        fields: Iterable[str] | None = None,
        on_decline: OnDecline = "record",
        actor: Actor = None,
    ) -> Guard:
        """Decide every change of what the deal of a mapped class is made of, in the transaction of the session that makes it.

        `mapping` makes a deal of an instance: a function, or a mapping document. `fields` are the attributes that it reads, such as
        `"amount"` or `"trade_ins.payoff"`; all columns of the class where nothing is said. With `raise`, a change whose deal the policy
        declines leaves the flush as `DeclinedError`. `actor` is a name, or asked at each decision.
        """
        self._refuse_to_seal()
        guard = Guard(self._judge, cls, mapping, fields, on_decline, actor)
        self._guards = [*self._listening, guard]
        return guard

    @property
    def _listening(self) -> list[Guard]:
        return [guard for guard in self._guards if guard.listens]

    def check(self, instance: object, session: Session) -> Standing:
        """Whether the deal of a guarded instance, as it is now, is the one decided last, and may be booked: ask before it is funded.

        Flushes, and holds the row until the transaction ends.
        """
        return self._guard_of(instance).check(instance, session)

    def deal(self, instance: object, session: Session) -> Deal:
        """The deal of a guarded instance as it is now, to be submitted: `gate.submit(gate.deal(instance, session), session=session)`.

        Flushes, and holds the row until the transaction ends.
        """
        return self._guard_of(instance).deal(instance, session)

    def _guard_of(self, instance: object) -> Guard:
        guards = [guard for guard in self._listening if isinstance(instance, guard.guarded.mapper.class_)]
        if len(guards) != 1:
            name = type(instance).__name__
            remedy = "ask each of them, what gate.guard returned" if guards else "call gate.guard first"
            raise ValueError(f"{len(guards)} guards of this gate are on {name}: {remedy}")
        return guards[0]

    def unanswered(self, session: Session | Connection) -> list[Change]:
        """The changes of guarded rows that went past the sessions and are not decided yet. The tables must be watched."""
        changes = (change for guard in self._listening for change in guard.unanswered(session))
        return list(dict.fromkeys(changes))

    def answer(
        self, session: Session | Connection, *, actor: str = "dealgate sweep", most: int | None = None
    ) -> list[Answered]:
        """Decide them, at `most` so many for each class, and note in the ledger that they were made behind the guard."""
        return [answered for guard in self._listening for answered in guard.answer(session, actor, most)]

    def record_declined(self, error: DeclinedError) -> None:
        """Store the decision of a refused change, where that failed at the end of the host's transaction. Stored once."""
        if error.engine is not None:
            record_declined(self._judge, error, error.engine)

    @property
    def _judge(self) -> Judge:
        return Judge(self._conclude, self._record, self._keep)

    def _submit_alone(self, engine: Engine, deal: Deal, actor: str | None, key: str | None) -> Verdict:
        """In a transaction of its own, tried again after failures that pass. Its entry is stored once, however often that is."""
        with self._reading(engine) as reading:
            attempt = Attempt(deal, self._conclude(reading, deal), str(uuid4()), actor, key)
        recorded = self._keep(engine, attempt)
        if self.sealer is not None:
            self.sealer.seal_through(recorded.receipt)
        return _verdict(recorded)

    def _refuse_to_seal(self) -> None:
        if self.sealer is not None:
            raise ValueError(
                "what the host has not committed cannot be sealed: build the gate without a sealer, and call "
                "sealer.seal_through(verdict.receipt) after the commit"
            )

    def _keep(self, engine: Engine, attempt: Attempt) -> Recorded:
        deal, concluded, entry_id, _, key = attempt
        concluded.answer.evaluation.document()  # drawn before anybody waits for the database

        def submit(connection: Connection, again: bool) -> Recorded:
            join(connection)
            if again and (found := find_recorded(connection, entry_id)):
                return found
            if key is not None and (found := find_by_key(connection, key, deal)):
                return found
            return self._record_alone(connection, attempt)

        try:
            recorded = in_transaction(engine, submit)
        except IntegrityError:
            self._kept.pop(engine, None)
            # Another submission may have taken the key between our look and our insert.
            found = key is not None and in_transaction(engine, lambda one, again: recorded_meanwhile(one, key, deal))
            if not found:
                raise
            recorded = found
        if not recorded.replayed:  # nothing was stored for a replay, its policy neither
            self._kept.setdefault(engine, set()).add(concluded.answer.document.policy.sha256)
        return recorded

    def _record_alone(self, connection: Connection, attempt: Attempt) -> Recorded:
        """In a transaction that holds nothing else and is rolled back whole: it needs no savepoint."""
        deal, concluded, entry_id, actor, key = attempt
        if concluded.answer.document.policy.sha256 not in self._kept.get(connection.engine, ()):
            self._record_policy(connection, concluded)
        entry = Entry(deal, concluded.answer.evaluation, entry_id)
        recorded = record_new(connection, entry, now=concluded.at, actor=actor, idempotency_key=key)
        record_looks(connection, recorded.decision_id, concluded.looks, concluded.at)
        return recorded

    def _store(self, connection: Connection, deal: Deal, actor: str | None, key: str | None) -> Recorded:
        if key is not None and (found := find_by_key(connection, key, deal)):
            return found
        return self._record(connection, Attempt(deal, self._conclude(connection, deal), str(uuid4()), actor, key))

    def _conclude(self, connection: Connection | None, deal: Deal, now: datetime | None = None) -> Concluded:
        """What the policies make of a deal now, the versions that only look on included."""
        now = now or datetime.now(UTC)
        answer = self._policies.answer(connection, deal, now)
        evaluation = answer.evaluation
        if not evaluation.engine["agreed"]:
            log.critical("deal %s referred: %s", deal.deal_id, evaluation.findings[-1].explanation)
        return Concluded(answer, self._policies.looks(connection, deal, evaluation, now), now)

    def _record(self, connection: Connection, attempt: Attempt) -> Recorded:
        concluded = attempt.concluded
        self._record_policy(connection, concluded)
        recorded = record_submission(
            connection,
            attempt.deal,
            concluded.answer.evaluation,
            decision_id=attempt.entry_id,
            now=concluded.at,
            actor=attempt.actor,
            idempotency_key=attempt.key,
        )
        if not recorded.replayed:
            record_looks(connection, recorded.decision_id, concluded.looks, concluded.at)
        return recorded

    def _record_policy(self, connection: Connection, concluded: Concluded) -> None:
        """Once a transaction is enough; a savepoint may be rolled back alone, so it counts as one of its own."""
        policy, text = concluded.answer.document.policy, concluded.answer.document.text
        transaction = connection.get_nested_transaction() or connection.get_transaction()
        known = self._recorded.setdefault(transaction, set()) if transaction else set()
        if policy.sha256 not in known:
            record_policy(connection, policy, text, concluded.at)
            known.add(policy.sha256)

    @contextmanager
    def _reading(self, given: Engine | Joinable | None) -> Iterator[Connection | None]:
        """Where policies in force are read; an engine lends a connection for it."""
        if not self._policies.need_a_database:
            yield None
            return
        with self._place(given) as place:
            if isinstance(place, Engine):
                with place.connect().execution_options(**{READS_ONLY: True}) as connection:
                    yield connection
            else:
                yield None if place is None else connection_of(place)

    @contextmanager
    def _place(self, given: Engine | Joinable | None) -> Iterator[Engine | Session | Connection | None]:
        """What was handed in, else what the gate was built on. Raises `ValueError` where two would use one session at once."""
        if given is not None or not isinstance(self.database, Session | Connection):
            yield opened(self.database if given is None else given)
            return
        kind, remedy = type(self.database).__name__, "build it on an engine, or hand submit() a session"
        if self._process != os.getpid():
            raise ValueError(
                f"this gate holds a {kind} of process {self._process}, which this one was forked from: {remedy}"
            )
        if not self._turn.acquire(blocking=False):
            raise ValueError(f"this gate holds a {kind} that another thread is using: {remedy} for each thread")
        try:
            yield self.database
        finally:
            self._turn.release()


def _check_key(key: str) -> None:
    """Of a host that knows no key and hands an empty one over, every submission would be a repetition of the first."""
    if not isinstance(key, str) or not key.strip() or len(key) > LONGEST_WORDS or not key.isprintable():
        raise ValueError(
            f"idempotency_key is {key!r:.60}: give 1 to {LONGEST_WORDS} printable characters that no other submission has, or None"
        )
    if key.casefold().startswith(REFUSED):
        raise ValueError(f"an idempotency key that begins with {REFUSED!r} is that of a refused attempt: use another")


def _engine(isolated: bool | float) -> Callable[[Policy], EvaluatesRules]:
    if isolated is True:
        return IsolatedEngine
    return isolated_within(isolated) if isolated else RulesEngine


def _joinable(session: Joinable) -> Session | Connection:
    place = opened(session)
    if not isinstance(place, Session | Connection):
        raise TypeError("many deals are stored in one transaction of yours: hand over a Session or a Connection")
    return place


def _verdict(recorded: Recorded) -> Verdict:
    return Verdict(
        recorded.decision_id,
        Outcome(recorded.decision["outcome"]),
        recorded.decision,
        recorded.replayed,
        recorded.receipt,
    )


def _batches(deals: Iterable[Deal], size: int) -> Iterator[list[Deal]]:
    waiting = iter(deals)
    while batch := list(islice(waiting, size)):
        yield batch
