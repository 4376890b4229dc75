"""The engine in worker processes: whatever happens to its C code, the host goes on and the deal is referred."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from dealgate import Gate, Outcome
from dealgate.adapters import isolation
from dealgate.adapters.database import open_database, ready_database
from dealgate.adapters.isolation import IsolatedEngine
from dealgate.models import tables
from tests.models.samples import CLEAN as PASSING
from tests.models.samples import a_policy

CLEAN = {
    "deal_id": "D-1",
    "submitted_on": "2026-11-20",
    "cash_price": "20000.00",
    "term_months": 60,
    "vehicle": {"condition": "used", "values": [{"basis": "jdpower_clean_trade", "amount": "25000.00"}]},
}
BUDGET = 2.0
"""Seconds for an evaluation: more than is given unasked, for a busy machine must not refer what is to pass."""

POLICY = """\
policy: small
version: "1"
title: A small policy
effective_from: 2026-01-01
collateral_value: {used: [jdpower_clean_trade]}
rules:
  - {id: LTV, title: LTV, require: total_ltv <= 125%, otherwise: refer, reason: Value or type of collateral not sufficient}
"""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    (tmp_path / "policy.yaml").write_text(POLICY)
    engine = open_database(f"sqlite:///{tmp_path / 'deals.db'}")
    ready_database(engine)
    gate = Gate(engine, str(tmp_path / "policy.yaml"), isolated=BUDGET)
    yield gate
    workers(gate).close()
    engine.dispose()


def workers(gate: Gate) -> IsolatedEngine:
    engine = gate.compiled.engine
    assert isinstance(engine, IsolatedEngine)
    return engine


def pids(gate: Gate) -> list[int]:
    return [worker.process.pid for worker in list(workers(gate)._workers.alive)]


def until_it_passes(gate: Gate, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while gate.evaluate(CLEAN).outcome != Outcome.PASS:
        assert time.monotonic() < end, "no replaced worker came up"
        time.sleep(0.05)


def test_a_clean_deal_passes_through_a_worker(gate: Gate) -> None:
    assert gate.submit(CLEAN).outcome == Outcome.PASS


def test_a_crash_in_mid_evaluation_and_an_endless_loop_refer_and_record_their_deals(gate: Gate) -> None:
    """A stopped process is what an endless loop in C looks like from outside; SIGSEGV then hits it in mid-evaluation."""
    for pid in pids(gate):
        os.kill(pid, signal.SIGSTOP)
    killed = pids(gate)

    def crash() -> None:
        time.sleep(BUDGET / 4)
        for pid in killed:
            os.kill(pid, signal.SIGSEGV)
            os.kill(pid, signal.SIGCONT)

    crasher = threading.Thread(target=crash)
    crasher.start()
    crashed = gate.submit(CLEAN | {"deal_id": "D-CRASH"})
    crasher.join()
    until_it_passes(gate)
    for pid in pids(gate):
        os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    looped = gate.submit(CLEAN | {"deal_id": "D-LOOP"})
    took = time.monotonic() - begun
    until_it_passes(gate)

    assert [crashed.outcome, looped.outcome] == [Outcome.REFER, Outcome.REFER]
    assert "signal 11" in crashed.decision["findings"][-1]["explanation"]
    assert looped.decision["findings"][-1]["rule"] == "ENGINE-FAILURE"
    assert BUDGET <= took < 10 * BUDGET
    assert gate.submit(CLEAN | {"deal_id": "D-NEXT"}).outcome == Outcome.PASS
    assert isinstance(gate.database, type(open_database("sqlite://")))
    with gate.database.connect() as connection:
        stored = connection.execute(select(tables.Decision.deal_id, tables.Decision.outcome)).all()
        findings = connection.scalar(select(func.count()).where(tables.Finding.rule == "ENGINE-FAILURE"))
    assert [tuple(row) for row in stored] == [("D-CRASH", "refer"), ("D-LOOP", "refer"), ("D-NEXT", "pass")]
    assert findings == 2


FAULTY = """\
import durable_rules_engine, os, signal

def crash(handle, fact):
    os.kill(os.getpid(), signal.SIGSEGV)

def spin(handle, fact):
    while True:
        pass

durable_rules_engine.assert_fact = {fault}
"""


def test_a_worker_that_takes_a_sigsegv_and_one_that_spins_for_ever_refer_and_record_their_deals(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault is planted in the workers' own start, so that it strikes between a fact and its answer, and burns the processor."""
    start = tmp_path / "sitecustomize.py"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for fault, words in (("crash", "signal 11"), ("spin", "no answer from the engine's process within 2000 ms")):
        start.write_text(FAULTY.format(fault=fault))
        workers(gate).close()
        gate.compiled.engine = IsolatedEngine(gate.compiled.policy, budget=BUDGET)
        start.unlink()  # the workers that replace these are sound
        failed = gate.submit(CLEAN | {"deal_id": f"D-{fault}"})
        assert (failed.outcome, failed.decision["findings"][-1]["rule"]) == (Outcome.REFER, "ENGINE-FAILURE")
        assert words in failed.decision["findings"][-1]["explanation"]
        until_it_passes(gate)
        assert gate.submit(CLEAN | {"deal_id": f"D-after-{fault}"}).outcome == Outcome.PASS

    with gate.database.connect() as connection:  # type: ignore[union-attr]
        stored = connection.execute(select(tables.Decision.deal_id, tables.Decision.outcome)).all()
    assert [tuple(row) for row in stored] == [
        ("D-crash", "refer"),
        ("D-after-crash", "pass"),
        ("D-spin", "refer"),
        ("D-after-spin", "pass"),
    ]


def test_a_worker_that_died_while_idle_costs_no_deal(gate: Gate) -> None:
    victim = pids(gate)[0]
    os.kill(victim, signal.SIGKILL)
    time.sleep(0.1)

    assert [gate.evaluate(CLEAN).outcome for _ in range(6)] == [Outcome.PASS] * 6


def test_many_threads_share_the_workers(gate: Gate) -> None:
    outcomes: list[Outcome] = []

    def evaluate() -> None:
        outcomes.extend(gate.evaluate(CLEAN).outcome for _ in range(40))

    threads = [threading.Thread(target=evaluate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == [Outcome.PASS] * 160


def test_closing_ends_every_worker(gate: Gate) -> None:
    alive = list(workers(gate)._workers.alive)

    workers(gate).close()

    assert all(worker.process.poll() is not None for worker in alive)
    assert gate.evaluate(CLEAN).outcome == Outcome.REFER


def test_the_time_that_an_evaluation_may_take_is_the_hosts_to_say() -> None:
    gate = Gate(policy=a_policy(), isolated=7.5)
    engine = workers(gate)
    assert engine.budget == 7.5
    unasked = workers(Gate(policy=a_policy(), isolated=True))
    assert unasked.budget == isolation.BUDGET
    unasked.close()
    assert Gate(policy=a_policy(), isolated=7.5).compiled is gate.compiled
    assert gate.evaluate(PASSING).outcome == Outcome.PASS
    engine.close()
    with pytest.raises(ValueError, match="more than 0 seconds"):
        Gate(policy=a_policy(), isolated=-1.0)


def test_workers_that_are_stopped_and_replaced_at_once_are_each_stopped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """To close a line twice may close what another thread has just opened."""
    stopped = list[object]()
    stop = isolation._Worker.stop

    def counted(worker: isolation._Worker) -> None:
        time.sleep(0.01)
        stopped.append(worker)
        stop(worker)

    monkeypatch.setattr(isolation._Worker, "stop", counted)
    engine = IsolatedEngine(a_policy())
    pool = engine._workers
    threads = [threading.Thread(target=pool.replace, args=(worker,)) for worker in [*pool.alive] * 3]
    threads.append(threading.Thread(target=engine.close))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stopped) == len(set(map(id, stopped)))
    assert not pool.alive
    assert pool.start() is None


def test_a_worker_that_does_not_come_up_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "PAUSE", 0.0)
    engine = IsolatedEngine(a_policy(), workers=1)
    ready, failures = isolation._Worker.ready, [False, False]
    monkeypatch.setattr(isolation._Worker, "ready", lambda worker: failures.pop() if failures else ready(worker))
    worker = engine._workers.idle.get(timeout=20)
    engine._workers.replace(worker)
    assert engine._workers.idle.get(timeout=20).process.poll() is None
    assert len(engine._workers.alive) == 1
    engine.close()
