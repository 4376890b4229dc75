"""The dispatcher: tells every subscriber what waits for it, again and again, at least once and of each deal in order."""

import logging
from collections.abc import Mapping, Sequence
from threading import Event as Signal
from time import monotonic

from sqlalchemy import Connection, Engine

from dealgate.adapters.database import READS_ONLY
from dealgate.adapters.outbox.events import Event, event_of
from dealgate.adapters.outbox.lane import Lane
from dealgate.adapters.outbox.pace import outcome_of
from dealgate.adapters.outbox.sending import Answer, Sender
from dealgate.adapters.outbox.subscribers import OutboxSettings, Subscriber
from dealgate.adapters.outbox.work import (
    REMOVED_AT_ONCE,
    Outcome,
    Taken,
    is_due,
    register,
    remove_settled,
    take,
    write_down,
)
from dealgate.adapters.transactions import in_transaction
from dealgate.models.outbox_tables import DEAD, DELIVERED, WAITING, WITHDRAWN

log = logging.getLogger("dealgate.outbox")

CLEANED_EVERY = 60.0


class Outbox:
    """Tells the subscribers of one database. Several processes may do so at once: an event is with one of them at a time."""

    def __init__(
        self,
        engine: Engine,
        subscribers: Mapping[str, Subscriber],
        settings: OutboxSettings | None = None,
        sender: Sender | None = None,
    ) -> None:
        self.engine = engine
        self.subscribers = subscribers
        self.settings = settings or OutboxSettings()
        self._sender = sender or Sender()
        self.registered = False
        """Whether what is committed from now on is told."""
        self._finished: list[Outcome] = []
        self._cleaned_at = -CLEANED_EVERY

    def register(self) -> None:
        """From now on, events for these subscribers are written down. Raises what SQLAlchemy raises when the database fails."""
        others = in_transaction(self.engine, lambda connection, again: register(connection, self.subscribers))
        self.registered = True
        for name in others:
            words = "%s subscribes but is not configured here: its events wait; dealgate outbox end %s ends that"
            log.warning(words, name, name)

    def deliver(self) -> None:
        """Try once everything that is due, and what becomes due by that. Raises what SQLAlchemy raises."""
        self.register()
        wake = Signal()
        lanes = self._lanes(wake)
        try:
            while self._round(lanes) or any(lane.busy for lane in lanes):
                if any(lane.busy for lane in lanes):
                    wake.wait(self.settings.lease)
                wake.clear()
        finally:
            self._close(lanes)
        self._clean()

    def watch(self, stop: Signal, interval: float = 1.0) -> None:
        """Deliver until told to stop; what is being sent then is finished. A failure is logged, and the next round begins anew."""
        wake = Signal()
        lanes = self._lanes(wake)
        while not stop.is_set():
            try:
                if not self.registered:
                    self.register()
                self._round(lanes)
                self._clean()
            except Exception:
                log.critical("nothing is told: the outbox failed", exc_info=True)
                stop.wait(interval)
            # What is done wakes the next round; so does time, and the stop is looked at in between.
            wake.wait(interval)
            wake.clear()
        self._close(lanes)

    def _lanes(self, wake: Signal) -> list[Lane]:
        return [
            Lane(name, subscriber, self.settings, self._sender, wake)
            for name, subscriber in sorted(self.subscribers.items())
        ]

    def _round(self, lanes: Sequence[Lane]) -> bool:
        """Write down what is finished and take what is due, in one transaction; returns whether something was."""
        for lane in lanes:
            self._finished += lane.finished()
        free = {lane.name: most for lane in lanes if (most := lane.free)}
        finished = list(self._finished)
        if not finished and not self._anything_due(free):
            return False
        # Counted from here, not from when the transaction has come to its end: the leases run already.
        until = monotonic() + self.settings.seconds
        taken = in_transaction(self.engine, lambda connection, again: self._turn(connection, finished, free))
        self._finished.clear()
        for outcome in finished:
            _tell(outcome)
        by_name = {lane.name: lane for lane in lanes}
        for one, event in taken:
            by_name[one.subscriber].send(one, event, until)
        return True

    def _anything_due(self, free: Mapping[str, int]) -> bool:
        """A look that on SQLite queues for no lock."""
        if not free:
            return False
        with self.engine.connect().execution_options(**{READS_ONLY: True}) as connection:
            return any(is_due(connection, name) for name in free)

    def _turn(
        self, connection: Connection, finished: Sequence[Outcome], free: Mapping[str, int]
    ) -> list[tuple[Taken, Event]]:
        write_down(connection, finished)
        ready = []
        for name, most in free.items():
            for taken in take(connection, name, most, self.settings.lease):
                event = self._event(connection, taken)
                if isinstance(event, Event):
                    ready.append((taken, event))
                else:
                    write_down(connection, [event])
        return ready

    def _event(self, connection: Connection, taken: Taken) -> Event | Outcome:
        """What is sent, or what has come of the event without that."""
        try:
            event = event_of(connection, taken.entry, taken.event, taken.subject, self.settings.source)
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            # The entry is not as it was written: the verification of the ledger says more.
            log.error("outbox event %d cannot be told: %s", taken.id, type(error).__name__)
            return outcome_of(taken, Answer(None, f"the entry cannot be read: {type(error).__name__}"), self.settings)
        return event or Outcome(taken, WITHDRAWN, error="there is nothing to tell any more")

    def _clean(self) -> None:
        if monotonic() - self._cleaned_at < CLEANED_EVERY:
            return
        removed = in_transaction(
            self.engine, lambda connection, again: remove_settled(connection, self.settings.days_kept)
        )
        if removed < REMOVED_AT_ONCE:
            self._cleaned_at = monotonic()

    def _close(self, lanes: Sequence[Lane]) -> None:
        """Write down what came of the last attempts; what cannot be is sent again once its lease has ended."""
        for lane in lanes:
            lane.close()
            self._finished += lane.finished()
        finished = list(self._finished)
        self._finished.clear()
        try:
            if finished:
                in_transaction(self.engine, lambda connection, again: write_down(connection, finished))
        except Exception:
            log.critical("what was told last is not written down, and is told again", exc_info=True)
            return
        for outcome in finished:
            _tell(outcome)


def _tell(outcome: Outcome) -> None:
    taken = outcome.taken
    told = (taken.id, taken.event, taken.subscriber, taken.attempt)
    if outcome.state == DELIVERED:
        log.info("outbox event %d, %s, told to %s at attempt %d", *told)
    elif outcome.state == DEAD:
        words = "outbox event %d, %s, to %s is dead after attempt %d: %s. To go on: dealgate outbox retry %d"
        log.error(words, *told, outcome.error, taken.id)
    else:
        level = logging.WARNING if outcome.state == WAITING else logging.INFO
        log.log(level, "outbox event %d, %s, to %s, attempt %d: %s", *told, outcome.error)
