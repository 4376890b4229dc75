"""How long is waited before an event is tried again, and when it is given up."""

import random
from datetime import timedelta

from dealgate.adapters.outbox.sending import Answer
from dealgate.adapters.outbox.subscribers import OutboxSettings
from dealgate.adapters.outbox.work import Outcome, Taken
from dealgate.models.outbox_tables import DEAD, DELIVERED, LONGEST_ERROR, WAITING

GROWTH = 3
JITTER = 0.2


def outcome_of(taken: Taken, answer: Answer, settings: OutboxSettings) -> Outcome:
    """What an answer makes of an event: delivered, to be tried again, or dead.

    410 Gone is dead at once: whether nobody is there any more, or something stands before the receiver, is for a person to say.
    """
    if answer.delivered:
        return Outcome(taken, DELIVERED, answer.status)
    state = DEAD if answer.gone or taken.attempt >= settings.attempts else WAITING
    seconds = max(pause(taken.attempt, settings), min(answer.retry_after, settings.longest_pause))
    return Outcome(taken, state, answer.status, answer.error[:LONGEST_ERROR], timedelta(seconds=seconds))


def pause(attempt: int, settings: OutboxSettings) -> float:
    """Seconds after an attempt, scattered by a fifth so that what failed together does not come back together."""
    grown = settings.first_pause * float(GROWTH) ** min(attempt - 1, 30)
    return min(grown, settings.longest_pause) * random.uniform(1 - JITTER, 1 + JITTER)
