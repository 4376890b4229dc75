"""Many submitters at once: every key leads to one decision, every deal's submissions are numbered without gap."""

import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from random import Random
from threading import Barrier

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from dealgate import Gate
from dealgate.adapters.database import guard_sqlite
from dealgate.adapters.gate import Verdict
from dealgate.models import IdempotencyConflictError
from tests.databases import count_rows
from tests.hosts import Application, book, kept_together, make_tables
from tests.models.samples import a_deal, a_policy

THREADS = 16
DEALS = 5
PATIENT = {"sqlite": {"timeout": 30}, "postgresql": {}}
KEYS = 4
"""Keys of each deal. Every thread submits every deal once under every key, so each key comes sixteen times."""


@pytest.fixture
def gate(database: Engine) -> Gate:
    return Gate(database, a_policy())


def at_once(work: Callable[[int], list[tuple[str, Verdict]]]) -> list[tuple[str, Verdict]]:
    """What sixteen threads do that start together. An error in any of them is an error here."""
    start = Barrier(THREADS)

    def run(thread: int) -> list[tuple[str, Verdict]]:
        start.wait()
        return work(thread)

    with ThreadPoolExecutor(THREADS) as pool:
        return [answer for answers in pool.map(run, range(THREADS)) for answer in answers]


def numbers_by_deal(database: Engine) -> dict[str, list[int]]:
    numbers = defaultdict(list)
    with database.connect() as connection:
        for deal, number in connection.execute(text("SELECT deal_id, submission FROM dealgate_submission")):
            numbers[deal].append(number)
    return {deal: sorted(found) for deal, found in numbers.items()}


def test_sixteen_threads_with_the_same_keys_come_to_one_decision_a_key(gate: Gate, database: Engine) -> None:
    def work(thread: int) -> list[tuple[str, Verdict]]:
        tasks = [(deal, key) for deal in range(DEALS) for key in range(KEYS)]
        Random(thread).shuffle(tasks)
        return [
            (f"{deal}-{key}", gate.submit(a_deal(deal_id=f"D-{deal}"), idempotency_key=f"K-{deal}-{key}"))
            for deal, key in tasks
        ]

    answers = at_once(work)

    decisions = defaultdict(set)
    for key, verdict in answers:
        decisions[key].add((verdict.decision_id, verdict.text))
    assert len(answers) == THREADS * DEALS * KEYS
    assert {key: len(found) for key, found in decisions.items()} == {
        f"{deal}-{key}": 1 for deal in range(DEALS) for key in range(KEYS)
    }
    assert sum(not verdict.replayed for _, verdict in answers) == DEALS * KEYS
    assert numbers_by_deal(database) == {f"D-{deal}": list(range(1, KEYS + 1)) for deal in range(DEALS)}


def test_sixteen_threads_without_keys_are_numbered_without_gap_or_duplicate(gate: Gate, database: Engine) -> None:
    answers = at_once(lambda _: [("", gate.submit(a_deal(deal_id=f"D-{deal}"))) for deal in range(DEALS)])

    assert len({verdict.decision_id for _, verdict in answers}) == THREADS * DEALS
    assert numbers_by_deal(database) == {f"D-{deal}": list(range(1, THREADS + 1)) for deal in range(DEALS)}
    rows = count_rows(database)
    assert (rows["dealgate_decision"], rows["dealgate_policy_version"]) == (THREADS * DEALS, 1)


@pytest.mark.parametrize("own", [True, False], ids=["own transactions", "sessions of the host"])
def test_sixty_four_threads_that_resubmit_the_same_deals_come_to_one_decision_a_key(
    database_url: str, database: Engine, own: bool
) -> None:
    """No error surfaces, and the host's row stands beside each decision: none is lost, none twice."""
    deals, keys, threads = 2, 2, 64
    engine = (
        database if own else create_engine(database_url, pool_size=threads, connect_args=PATIENT[database.dialect.name])
    )
    if not own and engine.dialect.name == "sqlite":
        guard_sqlite(engine)
    make_tables(engine)
    gate, start = Gate(engine, a_policy()), Barrier(threads)

    def work(thread: int) -> list[tuple[str, Verdict]]:
        tasks = [(f"D-{deal}", f"K-{deal}-{key}") for deal in range(deals) for key in range(keys)]
        Random(thread).shuffle(tasks)
        start.wait()
        return [(key, in_one_transaction(deal, key)) for deal, key in tasks]

    def in_one_transaction(deal: str, key: str) -> Verdict:
        if not own:
            with Session(engine) as session, session.begin():
                return book(session, gate, deal, key)
        verdict = gate.submit(a_deal(deal_id=deal), idempotency_key=key)
        if not verdict.replayed:
            with Session(engine) as session, session.begin():
                session.add(Application(decision_id=verdict.decision_id, key=key))
        return verdict

    with ThreadPoolExecutor(threads) as pool:
        answers = [answer for found in pool.map(work, range(threads)) for answer in found]
    assert len({(key, verdict.decision_id) for key, verdict in answers}) == deals * keys
    assert sum(not verdict.replayed for _, verdict in answers) == deals * keys
    assert len(answers) == threads * deals * keys
    assert kept_together(engine) == {f"K-{deal}-{key}" for deal in range(deals) for key in range(keys)}
    engine.dispose()


def test_a_key_that_sixteen_threads_use_for_deals_of_their_own_goes_to_one_of_them(
    gate: Gate, database: Engine
) -> None:
    def work(thread: int) -> list[tuple[str, Verdict]]:
        try:
            return [("", gate.submit(a_deal(deal_id=f"D-{thread}"), idempotency_key="K"))]
        except IdempotencyConflictError:
            return []

    ((_, verdict),) = at_once(work)
    assert numbers_by_deal(database) == {verdict.decision["deal_id"]: [1]}
    assert count_rows(database)["dealgate_deal"] == 1


def until_it_waits(database: Engine) -> None:
    """Until somebody waits for a lock that another transaction holds; SQLite does not tell, so there it is a moment."""
    deadline = time.monotonic() + 20
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with database.connect() if database.dialect.name == "postgresql" else nullcontext() as connection:
        while connection is not None and not connection.execute(waiting).scalar():
            connection.rollback()
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.01)
    if database.dialect.name == "sqlite":
        time.sleep(0.2)


@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("deal", ["D-1", "D-2"])
def test_a_key_that_another_transaction_is_about_to_use_is_waited_for(
    gate: Gate, database: Engine, deal: str, commits: bool
) -> None:
    with database.connect() as first, ThreadPoolExecutor(1) as pool:
        held = gate.submit(a_deal(deal_id="D-1"), session=first, idempotency_key="K")
        waiting = pool.submit(gate.submit, a_deal(deal_id=deal), idempotency_key="K")
        until_it_waits(database)
        assert not waiting.done()
        (first.commit if commits else first.rollback)()

        if not commits:
            assert waiting.result(20).replayed is False
        elif deal == "D-1":
            assert waiting.result(20) == held._replace(replayed=True)
        else:
            with pytest.raises(IdempotencyConflictError):
                waiting.result(20)
    assert numbers_by_deal(database) == ({"D-1": [1]} if commits else {deal: [1]})
