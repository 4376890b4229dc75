"""The outbox as work: what is due is taken for a while, and what came of it is written down. All in the caller's transaction.

An event that was taken is nobody else's until its lease ends; who takes it counts an attempt, and who writes down what came of it must
name that attempt. So a process that is killed loses nothing, and one that was away too long changes nothing.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Table,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from dealgate.adapters.outbox.subscribers import Subscriber
from dealgate.models.ledger import table
from dealgate.models.outbox_tables import (
    DEAD,
    DELIVERED,
    POLICY_IN_FORCE,
    WAITING,
    WITHDRAWN,
    OutboxEvent,
    Subscription,
)

OUTBOX, SUBSCRIPTION = map(table, (OutboxEvent, Subscription))

REMOVED_AT_ONCE = 500
BEHIND_A_DEAD_ONE = timedelta(days=1)
"""How often what waits behind a dead event is looked at."""

STATE: dict[str, ColumnElement[str]] = {state: literal_column(f"'{state}'") for state in (WAITING, DEAD)}
"""Written out: an index on some of the rows is not used for a parameter."""

earlier = OUTBOX.alias("earlier")
FIRST_OF_SUBJECT = (
    select(func.min(earlier.c.turn))
    .where(
        earlier.c.subscriber == OUTBOX.c.subscriber,
        earlier.c.subject == OUTBOX.c.subject,
        earlier.c.state.in_(STATE.values()),
    )
    .correlate(OUTBOX)
    .scalar_subquery()
)
"""Not as NOT EXISTS: PostgreSQL would make a join over the whole outbox of that, for the sake of a few events."""
IS_DUE = and_(
    OUTBOX.c.subscriber == bindparam("subscriber"),
    OUTBOX.c.state == STATE[WAITING],
    OUTBOX.c.due_at <= bindparam("now"),
)
DUE = (
    select(OUTBOX.c.id, OUTBOX.c.entry, OUTBOX.c.event, OUTBOX.c.subject, OUTBOX.c.turn, OUTBOX.c.attempts)
    .where(IS_DUE, OUTBOX.c.turn == FIRST_OF_SUBJECT)
    .order_by(OUTBOX.c.due_at, OUTBOX.c.id)
    .limit(bindparam("most"))
)
TAKE_DUE = DUE.with_for_update(skip_locked=True)
TAKE = (
    update(OUTBOX)
    .where(OUTBOX.c.id == bindparam("number"))
    .values(due_at=bindparam("lease_ends"), attempts=OUTBOX.c.attempts + 1, status=None, error=None)
)
MINE = and_(
    OUTBOX.c.id == bindparam("number"), OUTBOX.c.attempts == bindparam("attempt"), OUTBOX.c.state == STATE[WAITING]
)
WRITE = (
    update(OUTBOX)
    .where(MINE)
    .values({name: bindparam(f"new_{name}") for name in ("state", "due_at", "settled_at", "status", "error")})
)
FOLLOWERS = and_(
    OUTBOX.c.subscriber == bindparam("of"),
    OUTBOX.c.subject == bindparam("about"),
    OUTBOX.c.turn > bindparam("after"),
    OUTBOX.c.state == STATE[WAITING],
    # A version's moment is its own; versions are few, too.
    OUTBOX.c.event != POLICY_IN_FORCE,
)
PUT_OFF = update(OUTBOX).where(FOLLOWERS, OUTBOX.c.due_at < bindparam("at")).values(due_at=bindparam("at"))
BRING_FORWARD = update(OUTBOX).where(FOLLOWERS, OUTBOX.c.due_at > bindparam("at")).values(due_at=bindparam("at"))


def _subscribe_statement(insert_into: Callable[[Table], Any]) -> Any:
    statement = insert_into(SUBSCRIPTION)
    return statement.on_conflict_do_update(
        index_elements=["subscriber", "event"],
        set_={"since": statement.excluded.since, "ended_at": None},
        where=SUBSCRIPTION.c.ended_at.is_not(None),
    )


SUBSCRIBE = {
    "sqlite": _subscribe_statement(sqlite.insert),
    "postgresql": _subscribe_statement(postgresql.insert),
}


class Taken(NamedTuple):
    """An event that is ours to send for the time of its lease; `attempt` counts from 1."""

    id: int
    subscriber: str
    entry: int
    event: str
    subject: str
    turn: int
    attempt: int


class Outcome(NamedTuple):
    """What came of an attempt. An event that stays waiting is due again after `pause`."""

    taken: Taken
    state: str
    status: int | None = None
    error: str | None = None
    pause: timedelta = timedelta()


def moment_of(connection: Connection) -> datetime:
    """By the database's clock, where it has one: what several processes agree on."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now


def is_due(connection: Connection, subscriber: str) -> bool:
    return bool(connection.execute(DUE, _asked(connection, subscriber, 1)).first())


def take(connection: Connection, subscriber: str, most: int, lease: float) -> list[Taken]:
    """At most so many events of one subscriber that are due, of each deal the first."""
    asked = _asked(connection, subscriber, most)
    rows = connection.execute(TAKE_DUE, asked).all()
    if rows:
        lease_ends = asked["now"] + timedelta(seconds=lease)
        connection.execute(TAKE, [{"number": row.id, "lease_ends": lease_ends} for row in rows])
    return [Taken(row.id, subscriber, row.entry, row.event, row.subject, row.turn, row.attempts + 1) for row in rows]


def write_down(connection: Connection, outcomes: Iterable[Outcome]) -> None:
    """Record what came of attempts; nothing where somebody else took the event since."""
    now = moment_of(connection)
    for outcome in outcomes:
        settled = outcome.state in {DELIVERED, WITHDRAWN}
        row = {
            "number": outcome.taken.id,
            "attempt": outcome.taken.attempt,
            "new_state": outcome.state,
            "new_due_at": now + outcome.pause,
            "new_settled_at": now if settled else None,
            "new_status": outcome.status,
            "new_error": outcome.error,
        }
        if not _changed(connection, WRITE, row):
            continue
        taken = outcome.taken
        followers = {"of": taken.subscriber, "about": taken.subject, "after": taken.turn}
        if not settled:
            pause = outcome.pause if outcome.state == WAITING else BEHIND_A_DEAD_ONE
            connection.execute(PUT_OFF, {**followers, "at": now + pause})
        elif taken.attempt > 1:
            connection.execute(BRING_FORWARD, {**followers, "at": now})


def remove_settled(connection: Connection, days: int) -> int:
    """Take out a batch of what was settled so many days ago; returns how many."""
    before = moment_of(connection) - timedelta(days=days)
    batch = select(OUTBOX.c.id).where(OUTBOX.c.settled_at < before).limit(REMOVED_AT_ONCE)
    return _changed(connection, delete(OUTBOX).where(OUTBOX.c.id.in_(batch)), {})


def register(connection: Connection, subscribers: Mapping[str, Subscriber]) -> list[str]:
    """Note who is told of what from now on; returns who is noted but not configured here, and goes on having events written down.

    Such a subscriber is ended by `end` alone: a process that was started without its settings must not cost it anything.
    """
    rows = connection.execute(select(SUBSCRIPTION.c.subscriber).where(SUBSCRIPTION.c.ended_at.is_(None))).all()
    now = moment_of(connection)
    for name, subscriber in sorted(subscribers.items()):
        for event in sorted(subscriber.events):
            row = {"subscriber": name, "event": event, "since": now}
            connection.execute(SUBSCRIBE[connection.dialect.name], row)
        _end(connection, name, keeping=subscriber.events, now=now)
    return sorted({row.subscriber for row in rows} - set(subscribers))


def end(connection: Connection, subscriber: str) -> int | None:
    """Tell a subscriber nothing more, and withdraw what it was not told; returns how much that is, None for one that is not there."""
    now = moment_of(connection)
    known = connection.execute(select(SUBSCRIPTION.c.event).where(SUBSCRIPTION.c.subscriber == subscriber)).first()
    if known is None:
        return None
    _end(connection, subscriber, keeping=(), now=now)
    left = update(OUTBOX).where(OUTBOX.c.subscriber == subscriber, OUTBOX.c.state.in_((WAITING, DEAD)))
    return _changed(connection, left.values(state=WITHDRAWN, settled_at=now, error="the subscriber was ended"), {})


def retry(connection: Connection, ids: Sequence[int] = (), *, dead: bool = False) -> list[int]:
    """Make these events, or all dead ones, due at once with all their attempts before them; returns which.

    Left alone is what is settled, is being sent, or was not tried yet: a version, say, that is not in force yet.
    """
    chosen = select(OUTBOX.c.id, OUTBOX.c.subscriber, OUTBOX.c.subject, OUTBOX.c.turn).order_by(OUTBOX.c.id)
    failed = OUTBOX.c.state.in_(STATE.values()) & OUTBOX.c.error.is_not(None)
    which = OUTBOX.c.state == STATE[DEAD] if dead else OUTBOX.c.id.in_(ids) & failed
    now = moment_of(connection)
    rows = connection.execute(chosen.where(which).with_for_update()).all()
    for row in rows:
        again = update(OUTBOX).where(OUTBOX.c.id == row.id).values(state=WAITING, attempts=0, due_at=now)
        connection.execute(again)
        followers = {"of": row.subscriber, "about": row.subject, "after": row.turn}
        connection.execute(BRING_FORWARD, {**followers, "at": now})
    return [row.id for row in rows]


def _asked(connection: Connection, subscriber: str, most: int) -> dict[str, Any]:
    return {"subscriber": subscriber, "now": moment_of(connection), "most": most}


def _end(connection: Connection, name: str, *, keeping: Collection[str], now: datetime) -> None:
    others = update(SUBSCRIPTION).where(SUBSCRIPTION.c.subscriber == name, SUBSCRIPTION.c.ended_at.is_(None))
    connection.execute(others.where(SUBSCRIPTION.c.event.not_in(sorted(keeping))).values(ended_at=now))


def _changed(connection: Connection, statement: Any, row: Mapping[str, Any]) -> int:
    return cast("CursorResult[Any]", connection.execute(statement, row)).rowcount
