"""The rules engine in worker processes: a crash or an endless loop in its C code ends a worker, never the host."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from multiprocessing.connection import Connection
from queue import Empty, Queue
from weakref import finalize

from dealgate.rules.engine import EngineError
from dealgate.rules.fields import Facts
from dealgate.rules.policy import Policy
from dealgate.rules.reference import Reckoning, Result

BUDGET = 0.25
"""Seconds that one evaluation may wait and run, where nothing else is said; then the deal is referred."""

START = 30.0
"""Seconds a worker may take to come up."""

PAUSE = 1.0
"""Seconds between two attempts to start one."""


class _Worker:
    """One process with the policy's rulesets, and the line to it."""

    def __init__(self, policy: Policy) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "dealgate.adapters.engine_worker", str(theirs.fileno())]
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        self.line: Connection[object, object] = Connection(ours.detach())
        self.line.send(policy)

    def ready(self) -> bool:
        try:
            return self.line.poll(START) and self.line.recv() == "ready"
        except (EOFError, OSError):
            return False

    def evaluate(self, facts: Facts, reckoning: Reckoning, deadline: float, budget: float) -> dict[str, Result]:
        """Raises `EngineError` when the worker dies, is late, or its engine failed."""
        try:
            self.line.send((facts, reckoning))
            if not self.line.poll(max(0.0, deadline - time.monotonic())):
                raise EngineError(f"no answer from the engine's process within {budget * 1000:.0f} ms")
            answer = self.line.recv()
        except (EOFError, OSError) as error:
            raise EngineError(f"the engine's process ended ({_ending(self.process)})") from error
        if not isinstance(answer, dict):
            raise EngineError(str(answer))
        return answer

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.line.close()


def _ending(process: "subprocess.Popen[bytes]") -> str:
    try:
        code = process.wait(1)
    except subprocess.TimeoutExpired:
        return "still running"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


class _Workers:
    """The workers of one process, each stopped once, whoever asks for it and however many do at the same time."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._process = os.getpid()
        # Re-entered where the engine is collected as garbage by the very thread that is replacing a worker.
        self._lock = threading.RLock()
        self._is_closed = False
        self.alive: set[_Worker] = set()
        self.idle: Queue[_Worker] = Queue()

    def start(self) -> _Worker | None:
        """One more; None once they are stopped."""
        worker = _Worker(self._policy)
        with self._lock:
            if not self._is_closed:
                self.alive.add(worker)
                return worker
        worker.stop()
        return None

    def replace(self, worker: _Worker) -> None:
        """Until another has come up, or nobody wants one any more."""
        self._stop(worker)
        while successor := self.start():
            if successor.ready():
                self.idle.put(successor)
                return
            self._stop(successor)
            time.sleep(PAUSE)

    def _stop(self, worker: _Worker) -> None:
        with self._lock:
            if worker in self.alive:
                self.alive.discard(worker)
                worker.stop()

    def stop(self) -> None:
        if self._process != os.getpid():  # a forked child must not end its parent's workers
            return
        with self._lock:
            self._is_closed = True
            while self.alive:
                self.alive.pop().stop()


class IsolatedEngine:
    """Evaluates in a pool of workers. A worker that dies or is late is replaced while the others go on.

    Any number of threads may use it. After a fork the child starts workers of its own.
    """

    def __init__(self, policy: Policy, workers: int = 2, budget: float | None = None) -> None:
        self.policy = policy
        self.budget = BUDGET if budget is None else budget
        self.workers = workers
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._workers = _Workers(self.policy)
        finalize(self, self._workers.stop)
        for worker in [self._workers.start() for _ in range(self.workers)]:
            assert worker, "nobody has stopped them yet"
            if not worker.ready():
                self._workers.stop()
                raise EngineError(f"the engine's process did not come up ({_ending(worker.process)})")
            self._workers.idle.put(worker)

    def evaluate(self, facts: Facts, reckoning: Reckoning) -> dict[str, Result]:
        """Raises `EngineError` within the budget when no worker answers."""
        deadline = time.monotonic() + self.budget
        if self._process != os.getpid():
            with self._lock:
                if self._process != os.getpid():
                    self._start()
        worker = self._take(deadline)
        try:
            results = worker.evaluate(facts, reckoning, deadline, self.budget)
        except BaseException:
            self._replace_soon(worker)
            raise
        self._workers.idle.put(worker)
        return results

    def _take(self, deadline: float) -> _Worker:
        """A worker that is alive; one that died while it was idle costs no deal."""
        while True:
            try:
                worker = self._workers.idle.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                raise EngineError(f"no process of the engine was free within {self.budget * 1000:.0f} ms") from None
            if worker.process.poll() is None:
                return worker
            self._replace_soon(worker)

    def _replace_soon(self, worker: _Worker) -> None:
        threading.Thread(target=self._workers.replace, args=(worker,), daemon=True).start()

    def close(self) -> None:
        """End the workers."""
        self._workers.stop()


@cache
def isolated_within(budget: float) -> Callable[[Policy], IsolatedEngine]:
    """The engine with a budget of its own, in seconds; one for each budget, so that gates share it. Raises `ValueError`."""
    if not budget > 0:
        raise ValueError(f"an evaluation needs time: give more than 0 seconds, not {budget!r}")
    return partial(IsolatedEngine, budget=budget)
