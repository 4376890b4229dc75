"""Threads share an engine, a process may fork under way, a spawned one starts afresh: nowhere a wrong or lost finding."""

import multiprocessing
import threading

import pytest

from dealgate import CompiledPolicy, Deal, Outcome, Policy
from tests.fuzzing.random_policies import Author

DOCUMENT = Author(3).policy(20)
DEALS = [Deal.read(author.deal()) for author in map(Author, range(25))]
CHILDREN = [method for method in ("fork", "spawn", "forkserver") if method in multiprocessing.get_all_start_methods()]


def outcomes(compiled: CompiledPolicy) -> list[tuple[Outcome, bool]]:
    evaluations = map(compiled.evaluate, DEALS)
    return [(evaluation.outcome, evaluation.engine["agreed"]) for evaluation in evaluations]


def test_eight_threads_share_one_engine_without_a_wrong_finding() -> None:
    compiled = CompiledPolicy(Policy.from_text(DOCUMENT))
    expected = outcomes(compiled)
    wrong: list[int] = []

    def work(number: int) -> None:
        wrong.extend(number for _ in range(5) if outcomes(compiled) != expected)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(agreed for _, agreed in expected)
    assert wrong == []


def _child(compiled: CompiledPolicy | None, line: "multiprocessing.connection.Connection[object, object]") -> None:
    line.send(outcomes(compiled or CompiledPolicy(Policy.from_text(DOCUMENT))))


@pytest.mark.parametrize("method", CHILDREN)
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_child_process_decides_as_its_parent_does(method: str) -> None:
    """A forked child goes on with the parent's engine, as under a preloading web server, while threads evaluate."""
    compiled = CompiledPolicy(Policy.from_text(DOCUMENT))
    expected = outcomes(compiled)
    busy = threading.Event()
    threads = [threading.Thread(target=_evaluate_until, args=(compiled, busy)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            context = multiprocessing.get_context(method)
            ours, theirs = context.Pipe()
            inherited = compiled if method == "fork" else None
            child = context.Process(target=_child, args=(inherited, theirs))  # type: ignore[attr-defined]
            child.start()
            assert ours.poll(60), "the child did not answer"
            assert ours.recv() == expected
            child.join(30)
            assert child.exitcode == 0
    finally:
        busy.set()
        for thread in threads:
            thread.join()
    assert outcomes(compiled) == expected


def _evaluate_until(compiled: CompiledPolicy, stop: threading.Event) -> None:
    while not stop.is_set():
        compiled.evaluate(DEALS[0])
