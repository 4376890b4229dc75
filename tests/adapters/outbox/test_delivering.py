"""How it is told: at least once, of each deal in order, again after failures, by however many processes."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update

from dealgate.adapters.database import open_database
from dealgate.adapters.outbox.depth import depth
from dealgate.adapters.outbox.dispatcher import Outbox
from dealgate.adapters.outbox.subscribers import OutboxSettings
from dealgate.adapters.outbox.work import OUTBOX, moment_of, retry, take
from dealgate.models.ledger import BODY
from tests.adapters.outbox.receivers import QUICK, SECRET, Answer, Receiver, Told, deliver, receiving, until
from tests.databases import PostgreSQL
from tests.models.ledgers import unguarded
from tests.models.samples import a_deal, submit


def outbox_of(database: Engine, receiver: Receiver, settings: OutboxSettings = QUICK) -> Outbox:
    outbox = Outbox(database, {"crm": receiver.subscriber()}, settings)
    outbox.register()
    return outbox


def submit_deals(database: Engine, *deals: str) -> list[str]:
    """Submit the deals of these names, in this order; the ids of their decisions."""
    with database.begin() as connection:
        return [submit(connection, a_deal(deal_id=deal)).decision_id for deal in deals]


def rows(database: Engine) -> list[Any]:
    with database.connect() as connection:
        return list(connection.execute(select(OUTBOX).order_by(OUTBOX.c.id)))


def is_settled(database: Engine) -> bool:
    return {row.state for row in rows(database)} <= {"delivered", "withdrawn"}


@contextmanager
def watching(*outboxes: Outbox) -> Iterator[None]:
    stop = Event()
    threads = [Thread(target=one.watch, args=(stop, 0.02)) for one in outboxes]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def assert_in_order(receiver: Receiver, decisions: list[str]) -> None:
    """Every decision arrived, and none after a later one of its deal had."""
    place = {decision: number for number, decision in enumerate(decisions)}
    latest: dict[str, int] = {}
    for told in receiver.told:
        assert place[told.id] >= latest.get(told.subject, -1), "told after a later one of its deal"
        latest[told.subject] = place[told.id]
    assert set(receiver.ids()) == set(decisions)


def by_chance(seed: int) -> Callable[[Told], Answer]:
    """A receiver that fails in every way there is, half of the time."""
    chance = random.Random(seed)
    ways: list[Answer] = [500, 404, (503, {"Retry-After": "0"}), "reset", "silence", 302]
    weights = [6, 2, 2, 6, 1, 1]

    def answer(_: Told) -> Answer:
        return chance.choices(ways, weights)[0] if chance.random() < 0.5 else 200

    return answer


@pytest.mark.parametrize("seed", [1, 2])
def test_each_deal_is_told_in_order_whatever_fails(database: Engine, seed: int) -> None:
    settings = QUICK.model_copy(update={"seconds": 0.4, "attempts": 100, "first_pause": 0.01, "longest_pause": 0.05})
    chance = random.Random(seed)
    with receiving(by_chance(seed)) as receiver:
        receiver.silence = 0.6
        with watching(outbox_of(database, receiver, settings), outbox_of(database, receiver, settings)):
            decisions = [
                decision
                for _ in range(12)
                for decision in submit_deals(database, *chance.choices(["D-1", "D-2", "D-3", "D-4", "D-5"], k=3))
            ]
            until(lambda: is_settled(database), 60)
    assert_in_order(receiver, decisions)


def test_two_dispatchers_tell_everything_once(database: Engine) -> None:
    with receiving() as receiver, watching(*(outbox_of(database, receiver) for _ in range(2))):
        decisions = [one for _ in range(10) for one in submit_deals(database, *(f"D-{n}" for n in range(4)))]
        until(lambda: is_settled(database))
    assert_in_order(receiver, decisions)
    assert len(receiver.told) == len(decisions)


def test_several_deals_are_told_at_once_and_no_more_than_the_limit(database: Engine) -> None:
    arrived, go_on = count(), Event()

    def answer(_: Told) -> Answer:
        if next(arrived) == 2:
            go_on.set()
        assert go_on.wait(10)
        return 200

    with receiving(answer) as receiver:
        outbox = outbox_of(database, receiver, OutboxSettings(at_once=3, seconds=20))
        submit_deals(database, *(f"D-{number % 6}" for number in range(12)))
        outbox.deliver()
    assert receiver.most_at_once == 3
    assert len(receiver.accepted) == 12


def test_a_slow_subscriber_stops_nobody_else(database: Engine) -> None:
    go_on = Event()

    def slow(_: Told) -> Answer:
        return 200 if go_on.wait(20) else 500

    with receiving(slow) as first, receiving() as second:
        outbox = Outbox(
            database, {"slow": first.subscriber(), "swift": second.subscriber()}, OutboxSettings(seconds=20)
        )
        outbox.register()
        submit_deals(database, *(f"D-{number}" for number in range(10)))
        with watching(outbox):
            until(lambda: len(second.accepted) == 10)
            assert len(first.accepted) == 0
            go_on.set()
            until(lambda: len(first.accepted) == 10)


# Given up, and set going again


def refusing(*deals: str) -> Callable[[Told], Answer]:
    return lambda told: 500 if told.subject in deals else 200


def test_a_dead_event_stops_its_deal_only_until_it_is_retried(
    database: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    settings = QUICK.model_copy(update={"attempts": 3})
    with receiving(refusing("D-1")) as receiver:
        outbox = outbox_of(database, receiver, settings)
        decisions = submit_deals(database, "D-1", "D-2", "D-1", "D-2")
        deliver(outbox, lambda: any(row.state == "dead" for row in rows(database)))
        decisions += submit_deals(database, "D-1", "D-3")
        outbox.deliver()
        found = [row.state for row in rows(database)]
        assert found == ["dead", "delivered", "waiting", "delivered", "waiting", "delivered"]
        dead = rows(database)[0]
        assert (dead.attempts, dead.status, dead.error) == (3, 500, "answered 500")
        assert f"dealgate outbox retry {dead.id}" in caplog.text
        with database.connect() as connection:
            crm = depth(connection)["crm"]
        assert (crm.waiting, crm.dead) == (2, 1)
        assert crm.oldest_due_at == rows(database)[2].first_due_at
        receiver.answer = refusing()
        outbox.deliver()
        assert rows(database)[0].state == "dead"
        with database.begin() as connection:
            assert retry(connection, [dead.id]) == [dead.id]
        outbox.deliver()
    assert is_settled(database)
    assert_in_order(receiver, decisions)


def test_all_that_is_dead_is_retried_at_once(database: Engine) -> None:
    with receiving(lambda _: 410) as receiver:
        outbox = outbox_of(database, receiver)
        submit_deals(database, "D-1", "D-2", "D-1")
        outbox.deliver()
        assert [(row.state, row.attempts) for row in rows(database)] == [("dead", 1), ("dead", 1), ("waiting", 0)]
        receiver.answer = refusing()
        waiting = rows(database)[2].id
        with database.begin() as connection:
            assert retry(connection, [waiting]) == []
            assert len(retry(connection, dead=True)) == 2
            assert retry(connection, dead=True) == []
        outbox.deliver()
    assert is_settled(database)


def test_what_follows_a_failure_waits_no_longer_than_it(database: Engine) -> None:
    with receiving(lambda _: 500) as receiver:
        outbox = outbox_of(database, receiver, OutboxSettings(first_pause=60))
        submit_deals(database, "D-1", "D-1")
        outbox.deliver()
        receiver.answer = refusing()
        with database.begin() as connection:
            first, second = (row.due_at for row in connection.execute(select(OUTBOX.c.due_at).order_by(OUTBOX.c.id)))
            assert first == second
            assert timedelta(seconds=40) < first - moment_of(connection) < timedelta(seconds=80)
            assert retry(connection, [1, 2]) == [1]
        outbox.deliver()
    assert is_settled(database)


def test_what_follows_a_failure_is_told_as_soon_as_that_is(database: Engine) -> None:
    with receiving(lambda _: 500) as receiver:
        outbox = outbox_of(database, receiver, OutboxSettings(first_pause=60))
        decisions = submit_deals(database, "D-1", "D-1", "D-1")
        outbox.deliver()
        receiver.answer = refusing()
        with database.begin() as connection:
            first = update(OUTBOX).where(OUTBOX.c.id == 1)
            connection.execute(first.values(due_at=moment_of(connection) - timedelta(seconds=1)))
        outbox.deliver()
    assert receiver.accepted == decisions


def test_what_one_takes_another_does_not_wait_for(postgresql: PostgreSQL) -> None:
    """On SQLite the other waits, for there is one writer."""
    url = postgresql.ready()
    database = open_database(url)
    with receiving() as receiver:
        outbox_of(database, receiver)
    submit_deals(database, "D-1", "D-2", "D-3")
    with database.begin() as first, database.begin() as second:
        assert [one.id for one in take(first, "crm", 2, 60)] == [1, 2]
        assert [one.id for one in take(second, "crm", 2, 60)] == [3]
    with database.begin() as third:
        assert take(third, "crm", 9, 60) == []
    database.dispose()
    postgresql.give_back(url)


OUT_OF_TIME = "Mon, 01 Jan 99999999999 00:00:00 GMT"


@pytest.mark.parametrize(("asked", "waited"), [("30", 30), ("100000", 120), ("soon", 10), (OUT_OF_TIME, 10)])
def test_a_receiver_that_asks_for_time_gets_it_up_to_a_bound(database: Engine, asked: str, waited: int) -> None:
    with receiving(lambda _: (503, {"Retry-After": asked})) as receiver:
        outbox = outbox_of(database, receiver, OutboxSettings(first_pause=10, longest_pause=120, at_once=1))
        submit_deals(database, "D-1", "D-2")
        outbox.deliver()
        with database.connect() as connection:
            pause = (rows(database)[0].due_at - moment_of(connection)).total_seconds()
    assert waited * 0.7 < pause <= waited * 1.2
    # The other deal waits, too, where the receiver asked for time.
    assert len(receiver.told) == (1 if asked.isdigit() else 2)


def test_what_was_taken_is_told_no_more_whatever_else_the_receiver_says(database: Engine) -> None:
    with receiving(lambda _: (200, {"Retry-After": OUT_OF_TIME})) as receiver:
        outbox = outbox_of(database, receiver)
        submit_deals(database, "D-1")
        outbox.deliver()
    assert [row.state for row in rows(database)] == ["delivered"]


def test_a_receiver_that_cannot_be_reached_is_left_in_peace(database: Engine) -> None:
    with receiving() as receiver:
        outbox = outbox_of(database, receiver, OutboxSettings(first_pause=60, at_once=1))
    submit_deals(database, *(f"D-{number}" for number in range(20)))
    outbox.deliver()
    tried = [row for row in rows(database) if row.attempts]
    assert len(tried) == 5
    assert {row.error for row in tried} == {"no answer: Connection refused"}


# Processes that die


DISPATCHER = """
import sys
from threading import Event
from dealgate.adapters.database import open_database
from dealgate.adapters.outbox.dispatcher import Outbox
from dealgate.adapters.outbox.subscribers import OutboxSettings, Subscriber
_, database, url, secret = sys.argv
subscriber = Subscriber(url=url, secret=secret, allow_private=True)
Outbox(open_database(database), {"crm": subscriber}, OutboxSettings(seconds=1)).watch(Event(), 0.05)
"""


def test_a_dispatcher_that_is_killed_in_the_midst_loses_nothing(database: Engine, database_url: str) -> None:
    with receiving(lambda _: "silence") as receiver:
        outbox = outbox_of(database, receiver, QUICK.model_copy(update={"seconds": 1}))
        decisions = submit_deals(database, "D-1", "D-1", "D-2")
        arguments = [sys.executable, "-c", DISPATCHER, database_url, receiver.url, SECRET]
        with subprocess.Popen(arguments) as process:
            until(lambda: len(receiver.told) == 2)
            os.kill(process.pid, signal.SIGKILL)
        receiver.answer = refusing()
        assert {row.state for row in rows(database)} == {"waiting"}
        deliver(outbox, lambda: is_settled(database))
    assert_in_order(receiver, decisions)
    assert len(receiver.told) == 5
    assert len(receiver.accepted) == 3


def test_who_was_away_too_long_writes_nothing_down(database: Engine) -> None:
    """Its event was taken by another since, and may have failed there."""
    go_on = Event()

    def answer(_: Told) -> Answer:
        if receiver.told[1:]:
            return 500
        go_on.wait(10)
        return 200

    with receiving(answer) as receiver:
        away = outbox_of(database, receiver, OutboxSettings(seconds=20))
        submit_deals(database, "D-1")
        with watching(away):
            until(lambda: receiver.told)
            with database.begin() as connection:
                connection.execute(update(OUTBOX).values(due_at=moment_of(connection) - timedelta(seconds=1)))
            outbox_of(database, receiver, OutboxSettings(first_pause=60)).deliver()
            go_on.set()
            until(lambda: receiver.accepted)
        assert [(row.state, row.attempts, row.status) for row in rows(database)] == [("waiting", 2, 500)]


def test_a_watch_goes_on_after_the_database_was_away(database: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with receiving() as receiver:
        outbox = outbox_of(database, receiver)
        with watching(outbox):
            with database.begin() as connection:
                connection.exec_driver_sql("ALTER TABLE dealgate_outbox RENAME TO aside")
            until(lambda: "nothing is told" in caplog.text)
            with database.begin() as connection:
                connection.exec_driver_sql("ALTER TABLE aside RENAME TO dealgate_outbox")
            decisions = submit_deals(database, "D-1")
            until(lambda: receiver.accepted == decisions)


@pytest.mark.parametrize("envelope", [b"", b"[]", b'{"decision": ' + b"[" * 9_000 + b"]" * 9_000 + b"}"])
def test_an_entry_that_was_tampered_with_stops_no_other(database: Engine, envelope: bytes) -> None:
    with receiving() as receiver:
        outbox = outbox_of(database, receiver)
        _, sound = submit_deals(database, "D-1", "D-2")
        with database.begin() as connection:
            if database.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            unguarded(connection, "dealgate_ledger_body")
            first = select(func.min(OUTBOX.c.entry)).scalar_subquery()
            connection.execute(update(BODY).where(BODY.c.entry == first).values(envelope=envelope))
        outbox.deliver()
        assert receiver.ids() == [sound]
    told = [(row.state, (row.error or "").partition(":")[0]) for row in rows(database)]
    assert told == [("waiting", "the entry cannot be read"), ("delivered", "")]


def test_what_was_told_long_ago_is_taken_out(database: Engine) -> None:
    with receiving() as receiver:
        outbox = outbox_of(database, receiver, QUICK.model_copy(update={"days_kept": 7}))
        submit_deals(database, "D-1", "D-2", "D-3")
        outbox.deliver()
        with database.begin() as connection:
            long_ago = moment_of(connection) - timedelta(days=8)
            connection.execute(update(OUTBOX).where(OUTBOX.c.id < 3).values(settled_at=long_ago))
        submit_deals(database, "D-4")
        Outbox(database, outbox.subscribers, outbox.settings).deliver()
    assert [row.id for row in rows(database)] == [3, 4]
