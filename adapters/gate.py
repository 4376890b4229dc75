"""The hook at deal submission: one call evaluates a deal and stores submission, decision and findings together."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4
from weakref import WeakSet

from sqlalchemy import Connection, Engine, Transaction
from sqlalchemy.orm import Session, SessionTransaction

from dealgate.adapters.isolation import IsolatedEngine
from dealgate.adapters.policies import PolicyDocument, check_policy, load_policy
from dealgate.adapters.transactions import in_transaction
from dealgate.models import (
    Entry,
    Receipt,
    Recorded,
    find_by_key,
    find_recorded,
    record_policy,
    record_submission,
    record_submissions,
)
from dealgate.rules.deal import Deal
from dealgate.rules.engine import Engine as RulesEngine
from dealgate.rules.evaluation import Evaluation
from dealgate.rules.policy import Outcome, Policy

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

BATCH = 200
"""Deals that are stored with one round of statements when many are submitted at once."""

log = logging.getLogger("dealgate")


class Verdict(NamedTuple):
    """What the gate says to its host.

    `decision` is the stored document, `text` its JSON; `replayed` tells of an earlier, equal submission. Who keeps the `receipt`
    can show later that the ledger still has this very entry.
    """

    decision_id: str
    outcome: Outcome
    decision: Mapping[str, Any]
    text: str
    replayed: bool
    receipt: Receipt


class Gate:
    """Holds deals against one policy version.

    `database` is an engine, connection or session. With an engine, each `submit` is a transaction of its own unless a
    `session` is handed in; it is tried again after failures that pass, and stored once. With a session or connection the
    caller commits. A policy whose examples do not hold is refused with `PolicyError`. An `isolated` gate runs the rules engine
    in worker processes: whatever happens to its C code then happens to a worker, and the deal is referred.
    """

    def __init__(
        self,
        database: Engine | Connection | Session | None = None,
        policy: Policy | PolicyDocument | str | None = None,
        *,
        isolated: bool = False,
    ) -> None:
        self.database = database
        document = PolicyDocument(policy.self_contained, policy) if isinstance(policy, Policy) else policy
        self.document = document if isinstance(document, PolicyDocument) else load_policy(document)
        self.compiled = check_policy(self.document, IsolatedEngine if isolated else RulesEngine)
        self._policy_recorded_in: WeakSet[Transaction | SessionTransaction] = WeakSet()

    @property
    def policy(self) -> Policy:
        return self.document.policy

    def evaluate(self, deal: Deal | Mapping[str, Any]) -> Evaluation:
        """Evaluate without storing anything. Raises `DealError` for a bad document."""
        deal = deal if isinstance(deal, Deal) else Deal.read(deal)
        evaluation = self.compiled.evaluate(deal)
        if not evaluation.engine["agreed"]:
            log.critical("deal %s referred: %s", deal.deal_id, evaluation.findings[-1].explanation)
        return evaluation

    def submit(
        self,
        deal: Deal | Mapping[str, Any],
        *,
        session: Session | Connection | None = None,
        actor: str | None = None,
        idempotency_key: str | None = None,
    ) -> Verdict:
        """Evaluate a deal and store everything in one transaction.

        A submission with a key that was used before returns the first decision. Raises `DealError` for a bad document,
        `IdempotencyConflictError` for a key used with another deal, and what SQLAlchemy raises when the database fails:
        then nothing is stored, and the deal has not passed.
        """
        deal = deal if isinstance(deal, Deal) else Deal.read(deal)
        target = session if session is not None else self.database
        match target:
            case None:
                raise ValueError(
                    "a gate without a database cannot store: give it an engine, or hand submit() a session"
                )
            case Engine():
                return self._submit_alone(target, deal, actor, idempotency_key)
            case _:
                return _verdict(self._store(target, deal, actor, idempotency_key))

    async def submit_async(
        self,
        deal: Deal | Mapping[str, Any],
        *,
        session: "AsyncSession | AsyncConnection",
        actor: str | None = None,
        idempotency_key: str | None = None,
    ) -> Verdict:
        """The same in the transaction of an asynchronous host. Needs the extra `dealgate[async]`."""

        def submit(session: Session | Connection) -> Verdict:
            return self.submit(deal, session=session, actor=actor, idempotency_key=idempotency_key)

        return await session.run_sync(submit)

    def submit_all(
        self, deals: Iterable[Deal], *, session: Session | Connection, actor: str | None = None
    ) -> Iterator[Verdict]:
        """Submit many deals in the caller's transaction, a batch at a time; the verdicts come in the order of the deals."""
        for batch in _batches(deals, BATCH):
            now = datetime.now(UTC)
            entries = [Entry(deal, self.evaluate(deal), str(uuid4())) for deal in batch]
            self._record_policy(session, now)
            yield from map(_verdict, record_submissions(session, entries, now=now, actor=actor))

    def _submit_alone(self, engine: Engine, deal: Deal, actor: str | None, key: str | None) -> Verdict:
        """In a transaction of its own, tried again after failures that pass. Its entry is stored once, however often that is."""
        evaluation, entry_id = self.evaluate(deal), str(uuid4())
        evaluation.document()  # drawn before anybody waits for the database

        def submit(connection: Connection, again: bool) -> Recorded:
            if again and (found := find_recorded(connection, entry_id)):
                return found
            if key is not None and (found := find_by_key(connection, key, deal)):
                return found
            return self._record(connection, deal, evaluation, entry_id, actor, key)

        return _verdict(in_transaction(engine, submit))

    def _store(self, session: Session | Connection, deal: Deal, actor: str | None, key: str | None) -> Recorded:
        if key is not None and (found := find_by_key(session, key, deal)):
            return found
        return self._record(session, deal, self.evaluate(deal), str(uuid4()), actor, key)

    def _record(
        self,
        session: Session | Connection,
        deal: Deal,
        evaluation: Evaluation,
        entry_id: str,
        actor: str | None,
        key: str | None,
    ) -> Recorded:
        now = datetime.now(UTC)
        self._record_policy(session, now)
        return record_submission(
            session, deal, evaluation, decision_id=entry_id, now=now, actor=actor, idempotency_key=key
        )

    def _record_policy(self, session: Session | Connection, now: datetime) -> None:
        """Once a transaction is enough; a savepoint may be rolled back alone, so it counts as one of its own."""
        transaction = session.get_nested_transaction() or session.get_transaction()
        if transaction is None or transaction not in self._policy_recorded_in:
            record_policy(session, self.policy, self.document.text, now)
            if transaction is not None:
                self._policy_recorded_in.add(transaction)


def _verdict(recorded: Recorded) -> Verdict:
    return Verdict(
        recorded.decision_id,
        Outcome(recorded.decision["outcome"]),
        recorded.decision,
        recorded.text,
        recorded.replayed,
        recorded.receipt,
    )


def _batches(deals: Iterable[Deal], size: int) -> Iterator[list[Deal]]:
    waiting = iter(deals)
    while batch := list(islice(waiting, size)):
        yield batch
