"""What is noted of a request while it is worked on, in whichever thread: for its line in the log, and its spans."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dealgate.adapters.service.tracing import Tracing

log = logging.getLogger("dealgate.service")


@dataclass(slots=True)
class Observation:
    """Names and ids only: nothing of what a deal says."""

    request_id: str
    trace_id: str | None = None
    tracing: "Tracing | None" = None
    actor: str | None = None
    decision_id: str | None = None
    outcome: str | None = None
    told: bool = False
    """Whether the caller has its answer."""

    def decided(self, decision_id: str, outcome: str) -> None:
        self.decision_id, self.outcome = decision_id, outcome
        if self.told:
            late = {"request_id": self.request_id, "actor": self.actor, "decision_id": decision_id, "outcome": outcome}
            log.warning("decided after the caller was told to come again", extra=late)


_current: ContextVar[Observation | None] = ContextVar("dealgate_observation", default=None)


@contextmanager
def observing(observation: Observation) -> Iterator[None]:
    """Tasks and threads that are started meanwhile note on it, too."""
    token = _current.set(observation)
    try:
        yield
    finally:
        observation.told = True
        _current.reset(token)


def observed() -> Observation | None:
    """The request that is worked on here; None outside of one."""
    return _current.get()


def part(name: str) -> AbstractContextManager[object]:
    """A part of the work on a request: a span, where there are any."""
    observation = _current.get()
    if observation is None or observation.tracing is None:
        return nullcontext()
    return observation.tracing.part(name)
