"""The policies in force, read from the database, and the one of them that answers for a deal."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import NamedTuple, Protocol

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from dealgate.adapters.policies import PolicyDocument, check_policy, load_policy
from dealgate.adapters.shadows import Look, look, looks_at
from dealgate.models.recording import VERSION
from dealgate.models.versions import Step, Tenure, all_steps, mark_of_steps, shadows, tenures
from dealgate.rules.deal import Deal
from dealgate.rules.document import PolicyError
from dealgate.rules.evaluation import CompiledPolicy, EvaluatesRules, Evaluation
from dealgate.rules.policy import Policy
from dealgate.rules.programs import Chosen, choose
from dealgate.rules.unanswered import UNANSWERED, unanswered

log = logging.getLogger("dealgate")


class Answer(NamedTuple):
    """What was concluded about a deal, and the text of the policy version that it was concluded under."""

    evaluation: Evaluation
    document: PolicyDocument


class Loaded(NamedTuple):
    """A stored version ready to evaluate, or the sentence that says why it is not."""

    document: PolicyDocument | None
    compiled: CompiledPolicy | None
    failure: str = ""


class AnswersForDeals(Protocol):
    """What the gate asks of its policies. Where they `need_a_database`, a session is handed over to read them from."""

    need_a_database: bool

    def answer(self, session: Session | Connection | None, deal: Deal, now: datetime) -> Answer: ...

    def looks(
        self, session: Session | Connection | None, deal: Deal, live: Evaluation, now: datetime
    ) -> list[Look]: ...


class OnePolicy:
    """One version for every deal, whatever is on record."""

    need_a_database = False

    def __init__(
        self, policy: Policy | PolicyDocument | str | None, engine: Callable[[Policy], EvaluatesRules]
    ) -> None:
        document = PolicyDocument(policy.self_contained, policy) if isinstance(policy, Policy) else policy
        self.document = document if isinstance(document, PolicyDocument) else load_policy(document)
        self.compiled = check_policy(self.document, engine)

    def answer(self, session: Session | Connection | None, deal: Deal, now: datetime) -> Answer:
        return Answer(self.compiled.evaluate(deal), self.document)

    def looks(self, session: Session | Connection | None, deal: Deal, live: Evaluation, now: datetime) -> list[Look]:
        return []


class InForce:
    """Says that the versions in force answer. `IN_FORCE` is the one."""


IN_FORCE = InForce()


class _Known(NamedTuple):
    """The steps that there are, and what follows from them."""

    mark: tuple[object, ...]
    steps: Sequence[Step]
    tenures: Sequence[Tenure]


class PoliciesInForce:
    """Chooses among the versions in force, as they are known at each call: a step that somebody else recorded counts without
    a restart. Versions that are no longer needed are let go of.
    """

    need_a_database = True

    def __init__(self, engine: Callable[[Policy], EvaluatesRules]) -> None:
        self._engine = engine
        self._known = _Known((), [], [])
        self._loaded: Mapping[str, Loaded] = {}
        self._lock = Lock()

    def answer(self, session: Session | Connection | None, deal: Deal, now: datetime) -> Answer:
        """Evaluate a deal under the one version that answers for it; where not exactly one does, the deal is referred."""
        session = _given(session)
        versions = self._versions(session, [one.sha256 for one in self._latest(session).tenures if one.holds(now)])
        if failed := [one.failure for one in versions if one.compiled is None]:
            return _unanswered(deal, failed[0])
        documents = {id(one.compiled.policy): one for one in versions if one.compiled}
        choice = choose([one.compiled.policy for one in versions if one.compiled], deal)
        if not isinstance(choice, Chosen):
            return _unanswered(deal, choice.reason, choice.missing)
        loaded = documents[id(choice.policy)]
        assert loaded.compiled
        assert loaded.document
        return Answer(loaded.compiled.evaluate(deal), loaded.document)

    def looks(self, session: Session | Connection | None, deal: Deal, live: Evaluation, now: datetime) -> list[Look]:
        """What the versions that only look on make of the deal. Their failures are looks, too."""
        session = _given(session)
        looking = [one for one in shadows(self._latest(session).steps, now) if looks_at(one, deal.deal_id)]
        loaded = self._versions(session, [one.sha256 for one in looking], keep=True)
        return [
            look(shadow.sha256, version.compiled, version.failure, deal, live)
            for shadow, version in zip(looking, loaded, strict=True)
        ]

    def _latest(self, session: Session | Connection) -> _Known:
        """Every step there is; read again when somebody has taken one."""
        known, mark = self._known, mark_of_steps(session)
        if known.mark != mark:
            steps = all_steps(session)
            self._known = known = _Known(mark, steps, tenures(steps))
        return known

    def _versions(self, session: Session | Connection, wanted: Sequence[str], *, keep: bool = False) -> list[Loaded]:
        """Load what is wanted and not there yet. Nobody sees a version before it is whole."""
        loaded = self._loaded
        if missing := [sha256 for sha256 in wanted if sha256 not in loaded]:
            with self._lock:
                loaded = {**loaded, **self._loaded} | {sha256: self._load(session, sha256) for sha256 in missing}
                self._loaded = loaded
        found = [loaded[sha256] for sha256 in wanted]
        if not keep and len(loaded) > len(wanted) + MOST_IDLE:
            self._loaded = {sha256: loaded[sha256] for sha256 in wanted}
        return found

    def _load(self, session: Session | Connection, sha256: str) -> Loaded:
        row = session.execute(select(VERSION).where(VERSION.c.sha256 == sha256)).one()
        name = f"{row.name} {row.version}"
        try:
            policy = Policy.from_text(row.document, name)
            if policy.sha256 != sha256:
                return Loaded(None, None, f"the stored text of {name} is not the one that was approved")
            document = PolicyDocument(row.document, policy)
            return Loaded(document, check_policy(document, self._engine))
        except PolicyError as error:
            log.critical("the policy %s that is in force cannot be used: %s", name, error)
            return Loaded(None, None, f"the stored text of {name} cannot be used by this version of dealgate")


MOST_IDLE = 8
"""Versions kept beside those in force: shadows, and those that have just been followed by others."""


def _given(session: Session | Connection | None) -> Session | Connection:
    if session is None:
        raise ValueError(
            "the policies in force are read from a database: give the gate an engine, or hand over a session"
        )
    return session


def _unanswered(deal: Deal, reason: str, missing: Sequence[str] = ()) -> Answer:
    return Answer(unanswered(deal, reason, missing), PolicyDocument(UNANSWERED.self_contained, UNANSWERED))
