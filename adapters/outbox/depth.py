"""How much is still to be told."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select

from dealgate.adapters.outbox.work import OUTBOX, STATE, SUBSCRIPTION, moment_of
from dealgate.models.outbox_tables import DEAD


class Depth(NamedTuple):
    """Events of one subscriber: how many wait, those behind a dead one included, how many are dead, and since when the oldest waits.

    A version that is not in force yet is not counted.
    """

    waiting: int
    dead: int
    oldest_due_at: datetime | None


OPEN = (
    select(
        OUTBOX.c.subscriber,
        OUTBOX.c.state,
        func.count().label("events"),
        func.min(OUTBOX.c.first_due_at).label("oldest"),
    )
    .where(OUTBOX.c.state.in_(STATE.values()), OUTBOX.c.first_due_at <= bindparam("now"))
    .group_by(OUTBOX.c.subscriber, OUTBOX.c.state)
)
CURRENT = select(SUBSCRIPTION.c.subscriber).where(SUBSCRIPTION.c.ended_at.is_(None)).distinct()
NONE = Depth(0, 0, None)


def depth(connection: Connection) -> dict[str, Depth]:
    """By subscriber; every one that is told of something is there, also where nothing waits."""
    found = dict.fromkeys(connection.execute(CURRENT).scalars(), NONE)
    for row in connection.execute(OPEN, {"now": moment_of(connection)}):
        so_far = found.get(row.subscriber, NONE)
        if row.state == DEAD:
            found[row.subscriber] = so_far._replace(dead=row.events)
        else:
            found[row.subscriber] = so_far._replace(waiting=row.events, oldest_due_at=row.oldest)
    return found
