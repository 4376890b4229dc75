"""One subscriber's lane: what is being sent to it now, by threads of its own, so that a slow one stops nobody else."""

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event as Signal
from time import monotonic

from dealgate.adapters.outbox.events import Event
from dealgate.adapters.outbox.pace import outcome_of
from dealgate.adapters.outbox.sending import Answer, Sender
from dealgate.adapters.outbox.subscribers import OutboxSettings, Subscriber
from dealgate.adapters.outbox.work import Outcome, Taken
from dealgate.models.outbox_tables import WAITING

FAILURES_IN_A_ROW = 5
LONGEST_REST = 60.0
ASKS_TO_SLOW_DOWN = {429, 503}


class Lane:
    """`wake` is set whenever something has come of an attempt."""

    def __init__(
        self, name: str, subscriber: Subscriber, settings: OutboxSettings, sender: Sender, wake: Signal
    ) -> None:
        self.name = name
        self._subscriber = subscriber
        self._settings = settings
        self._sender = sender
        self._wake = wake
        self._threads = ThreadPoolExecutor(settings.at_once, thread_name_prefix=f"outbox-{name}")
        self._sending: dict[Future[Answer], Taken] = {}
        self._failures = 0
        self._rests_until = 0.0

    @property
    def free(self) -> int:
        """How many events may be taken now. While a receiver cannot be reached, one at a time and seldom."""
        if monotonic() < self._rests_until:
            return 0
        most = 1 if self._failures >= FAILURES_IN_A_ROW else self._settings.at_once
        return max(0, most - len(self._sending))

    @property
    def busy(self) -> bool:
        return bool(self._sending)

    def send(self, taken: Taken, event: Event, until: float) -> None:
        """Have it sent by one of the threads, and given up when `monotonic()` reaches `until`."""
        future = self._threads.submit(self._sender.send, self._subscriber, event.id, event.body, until)
        self._sending[future] = taken
        future.add_done_callback(lambda _: self._wake.set())

    def finished(self) -> list[Outcome]:
        """What has come of attempts since this was asked last."""
        done = [future for future in self._sending if future.done()]
        return [self._outcome(self._sending.pop(future), future) for future in done]

    def close(self) -> None:
        """Wait for what is being sent."""
        self._threads.shutdown()

    def _outcome(self, taken: Taken, future: Future[Answer]) -> Outcome:
        failure = future.exception()
        answer = future.result() if failure is None else Answer(None, f"a failure inside: {type(failure).__name__}")
        outcome = outcome_of(taken, answer, self._settings)
        self._failures = self._failures + 1 if answer.status is None else 0
        if answer.status in ASKS_TO_SLOW_DOWN and answer.retry_after and outcome.state == WAITING:
            self._rest(min(answer.retry_after, self._settings.longest_pause))
        elif self._failures >= FAILURES_IN_A_ROW:
            rest = self._settings.first_pause * 2 ** min(self._failures - FAILURES_IN_A_ROW, 10)
            self._rest(min(rest, LONGEST_REST))
        return outcome

    def _rest(self, seconds: float) -> None:
        self._rests_until = max(self._rests_until, monotonic() + seconds)
