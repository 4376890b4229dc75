"""Transactions of the gate's own: failures that pass are tried again, and nothing is stored twice."""

import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

from dealgate import Gate
from dealgate.adapters import transactions
from dealgate.adapters.database import open_database
from dealgate.adapters.transactions import ATTEMPTS, in_transaction, passes
from dealgate.adapters.write_queue import queue_of
from tests.databases import PostgreSQL, count_rows
from tests.models.samples import a_deal, a_policy


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "FIRST_PAUSE", 0.0)


def dropped() -> DBAPIError:
    """What a connection that the server closed looks like."""
    return OperationalError("COMMIT", None, ConnectionError("server closed"), connection_invalidated=True)


class CodedError(Exception):
    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


class Busy(sqlite3.OperationalError):
    sqlite_errorcode = 5 | 2 << 8  # SQLITE_BUSY_SNAPSHOT


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03", "08006", "57P01", "57P03"])
def test_these_failures_pass(sqlstate: str) -> None:
    assert passes(OperationalError("", None, CodedError(sqlstate)))


@pytest.mark.parametrize("sqlstate", ["23505", "53100", "42P01", "57014"])
def test_these_do_not(sqlstate: str) -> None:
    assert not passes(OperationalError("", None, CodedError(sqlstate)))


def test_a_busy_file_passes_and_a_broken_one_does_not() -> None:
    assert passes(OperationalError("", None, Busy()))
    assert not passes(OperationalError("", None, sqlite3.OperationalError("disk I/O error")))


def test_work_is_tried_again_and_told_so(database: Engine) -> None:
    told = []

    def work(_connection: Connection, again: bool) -> str:
        told.append(again)
        if len(told) < 3:
            raise dropped()
        return "done"

    assert in_transaction(database, work) == "done"
    assert told == [False, True, True]


def test_after_the_last_attempt_the_failure_is_the_callers(database: Engine) -> None:
    attempts = []

    def work(_connection: Connection, again: bool) -> None:
        attempts.append(again)
        raise dropped()

    with pytest.raises(OperationalError):
        in_transaction(database, work)
    assert len(attempts) == ATTEMPTS


def test_what_does_not_pass_is_not_tried_again(database: Engine) -> None:
    attempts = []

    def work(connection: Connection, again: bool) -> None:
        attempts.append(again)
        connection.execute(text("SELECT * FROM nothing_of_that_name"))

    with pytest.raises((OperationalError, ProgrammingError)):
        in_transaction(database, work)
    assert attempts == [False]


@pytest.mark.parametrize("key", [None, "K-1"])
def test_a_commit_whose_answer_was_lost_is_not_done_again(database: Engine, key: str | None) -> None:
    """The transaction is committed, the connection breaks before the answer: the retry finds what the first attempt stored."""
    lost: list[object] = []

    @event.listens_for(database, "commit")
    def lose_the_answer(connection: Connection) -> None:
        if not lost:
            lost.append(connection)
            connection.connection.dbapi_connection.commit()  # type: ignore[union-attr]
            raise dropped()

    verdict = Gate(database, a_policy()).submit(a_deal(), idempotency_key=key)
    assert lost
    assert verdict.replayed
    rows = count_rows(database)
    assert rows["dealgate_submission"] == rows["dealgate_decision"] == 1
    assert rows["dealgate_ledger_entry"] == 2  # and the policy's


def test_a_server_that_throws_the_connection_out_costs_an_attempt_only(postgresql: PostgreSQL) -> None:
    url = postgresql.ready()
    database = open_database(url)
    gate = Gate(database, a_policy())
    gate.submit(a_deal())
    ended: list[object] = []

    @event.listens_for(database, "begin")
    def end_it(connection: Connection) -> None:
        if not ended:
            ended.append(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar())
            other = open_database(url)
            with other.connect() as second:
                second.execute(text("SELECT pg_terminate_backend(:pid, 2000)"), {"pid": ended[0]})
            other.dispose()

    assert gate.submit(a_deal()).decision["submission"] == 2
    assert ended
    database.dispose()
    postgresql.give_back(url)


@pytest.fixture
def file(tmp_path: object) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path}/queue.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE written (number INTEGER PRIMARY KEY)"))
    yield engine
    engine.dispose()


def writing(number: int) -> Callable[[Connection], int]:
    def write(connection: Connection) -> int:
        connection.execute(text("INSERT INTO written VALUES (:number)"), {"number": number})
        return number

    return write


def transaction(engine: Engine, number: int) -> Callable[[], int]:
    return lambda: in_transaction(engine, lambda connection, again: writing(number)(connection))


def numbers(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT number FROM written ORDER BY number")).scalars())


def test_waiting_writers_are_committed_together(file: Engine) -> None:
    commits: list[object] = []
    event.listen(file, "commit", commits.append)
    queue = queue_of(file)
    assert queue is not None
    assert queue_of(file) is queue
    held, let_go = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        held.set()
        let_go.wait(10)

    with ThreadPoolExecutor(17) as pool:
        first = pool.submit(queue.run, hold)
        held.wait(10)
        waiting = [pool.submit(queue.run, writing(number)) for number in range(16)]
        while len(queue._waiting) < 16:
            pass
        let_go.set()
        first.result()
        assert sorted(each.result() for each in waiting) == list(range(16))
    assert numbers(file) == list(range(16))
    assert len(commits) == 2


def test_one_that_fails_half_way_leaves_nothing_and_takes_nobody_with_it(file: Engine) -> None:
    queue = queue_of(file)
    assert queue is not None
    held, let_go = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        held.set()
        let_go.wait(10)

    def fail(connection: Connection) -> None:
        writing(50)(connection)
        raise RuntimeError("half way")

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(queue.run, hold)
        held.wait(10)
        works = [pool.submit(queue.run, work) for work in (writing(1), fail, writing(2))]
        while len(queue._waiting) < 3:
            pass
        let_go.set()
        first.result()
        assert [type(each.exception()) for each in works] == [type(None), RuntimeError, type(None)]
    assert numbers(file) == [1, 2]


def test_one_that_fails_takes_nobody_with_it(file: Engine) -> None:
    queue = queue_of(file)
    assert queue is not None
    with ThreadPoolExecutor(8) as pool:
        works = [pool.submit(queue.run, writing(number // 2)) for number in range(8)]
        failed = sum(isinstance(each.exception(), IntegrityError) for each in works)
    assert failed == 4
    assert numbers(file) == [0, 1, 2, 3]


def test_a_commit_that_fails_is_everybodys_failure(file: Engine) -> None:
    queue = queue_of(file)
    assert queue is not None

    @event.listens_for(file, "commit")
    def full(_connection: Connection) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        queue.run(writing(1))
    event.remove(file, "commit", full)
    assert numbers(file) == []
    assert queue.run(writing(2)) == 2


@contextmanager
def waiting_in(engine: Engine, works: Sequence[Callable[[], object]]) -> Iterator[list[Future[object]]]:
    """Works that wait in the queue of an engine, and are let go together."""
    queue = queue_of(engine)
    assert queue is not None
    held, let_go = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        held.set()
        let_go.wait(10)

    with ThreadPoolExecutor(len(works) + 1) as pool:
        first = pool.submit(queue.run, hold)
        held.wait(10)
        waiting = [pool.submit(work) for work in works]
        while len(queue._waiting) < len(works):
            pass
        yield waiting
        let_go.set()
        first.result()


def test_a_commit_that_fails_stores_nothing_of_anybody_on_an_engine_of_the_hosts_own_making_too(file: Engine) -> None:
    engine, commits = create_engine(file.url), list[object]()
    with waiting_in(engine, [transaction(engine, number) for number in range(2)]) as works:

        @event.listens_for(engine, "commit")
        def full(connection: Connection) -> None:
            commits.append(connection)
            if len(commits) > 1:
                raise OSError(28, "No space left on device")

    assert [type(each.exception()) for each in works] == [OSError, OSError]
    assert numbers(file) == []
    engine.dispose()


@pytest.mark.parametrize("make", [open_database, create_engine])
def test_a_failure_at_which_sqlite_ends_the_transaction_itself_takes_nobody_along(
    file: Engine, make: Callable[[str], Engine]
) -> None:
    """What it had taken before must not be called stored, and what follows must not be kept outside of a transaction."""
    engine = make(str(file.url))
    transaction(file, 0)()
    attempts: list[bool] = []

    def end(connection: Connection, again: bool) -> None:
        attempts.append(again)
        connection.execute(text("INSERT OR ROLLBACK INTO written VALUES (0)"))

    ending = partial(in_transaction, engine, end)
    with waiting_in(engine, [transaction(engine, 1), ending, transaction(engine, 2)]) as works:
        pass
    assert attempts == [False]
    assert isinstance(works[1].exception(), DBAPIError)
    assert [works[0].result(), works[2].result()] == [1, 2]
    assert numbers(file) == [0, 1, 2]
    engine.dispose()


def test_who_is_interrupted_while_committing_for_others_takes_nobody_along(file: Engine) -> None:
    commits: list[object] = []

    with waiting_in(file, [transaction(file, number) for number in range(3)]) as works:

        @event.listens_for(file, "commit")
        def interrupt(connection: Connection) -> None:
            commits.append(connection)
            if len(commits) == 2:
                raise KeyboardInterrupt

    came_to = [each.exception() for each in works]
    assert sorted(type(one).__name__ for one in came_to) == ["KeyboardInterrupt", "NoneType", "NoneType"]
    assert numbers(file) == [number for number, one in enumerate(came_to) if one is None]


def test_who_gave_up_waiting_is_not_stored_later(file: Engine) -> None:
    queue = queue_of(file)
    assert queue is not None

    def give_up(*_: object) -> None:
        raise TimeoutError("too late")

    before = signal.signal(signal.SIGUSR1, give_up)
    try:
        with waiting_in(file, [transaction(file, 1)]) as works:
            main = threading.main_thread().ident
            assert main is not None
            impatient = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGUSR1))
            impatient.start()
            with pytest.raises(TimeoutError, match="too late"):
                queue.run(writing(2))
    finally:
        signal.signal(signal.SIGUSR1, before)
    queue.run(writing(3))
    assert works[0].result() == 1
    assert numbers(file) == [1, 3]


def test_databases_in_memory_and_on_servers_have_no_queue(databases: object, database: Engine) -> None:
    assert queue_of(open_database("sqlite://")) is None
    assert (queue_of(database) is None) == (database.dialect.name == "postgresql")
