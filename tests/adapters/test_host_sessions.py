"""A gate in sessions of every sort that a host may have: it joins them, or says why it cannot."""

import asyncio
import gc
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Barrier, Event

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError, OperationalError, UnboundExecutionError
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from dealgate import IN_FORCE, Deal, Gate
from dealgate.adapters.database import guard_sqlite, open_database, upgrade_database
from dealgate.models import Base as DealgateBase
from dealgate.models.erasure import hold
from tests import hosts
from tests.adapters.test_asynchronous_hosts import DRIVERS, engine_for
from tests.databases import NOTHING, Databases, PostgreSQL, count_rows
from tests.hosts import Application, book, kept_together, make_tables
from tests.models.samples import NOW, a_deal, a_policy


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate(policy=a_policy())


@pytest.fixture
def host(database: Engine) -> Engine:
    make_tables(database)
    return database


@contextmanager
def on_connection(database: Engine) -> Iterator[Session]:
    with database.connect() as connection, connection.begin(), Session(connection) as session:
        yield session
        session.commit()


@contextmanager
def by_hand(database: Engine) -> Iterator[Session]:
    with Session(database, autobegin=False) as session, session.begin():
        yield session


@contextmanager
def keeping(database: Engine) -> Iterator[Session]:
    with Session(database, expire_on_commit=False) as session:
        yield session
        session.commit()


SORTS: dict[str, Callable[[Engine], object]] = {
    "sessionmaker.begin": lambda database: sessionmaker(database).begin(),
    "session on a connection": on_connection,
    "session that is begun by hand": by_hand,
    "session that keeps what it loaded": keeping,
}


@pytest.mark.parametrize("sort", SORTS.values(), ids=SORTS)
def test_a_submission_stands_with_the_hosts_row_in_any_session(
    host: Engine, gate: Gate, sort: Callable[[Engine], object]
) -> None:
    for number in range(2):
        with sort(host) as session:  # type: ignore[attr-defined]
            book(session, gate, "D-1", f"K-{number}")
    assert kept_together(host) == {"K-0", "K-1"}


def test_a_session_that_is_not_begun_and_does_not_begin_by_itself_is_an_error(host: Engine, gate: Gate) -> None:
    with Session(host, autobegin=False) as session, pytest.raises(InvalidRequestError, match="Autobegin is disabled"):
        book(session, gate, "D-1", "K-1")


def test_a_scoped_session_is_each_threads_own(host: Engine) -> None:
    sessions = scoped_session(sessionmaker(host))
    for gate in (Gate(sessions, a_policy()), Gate(policy=a_policy())):

        def work(number: int, gate: Gate = gate) -> None:
            handed = None if gate.database else sessions
            gate.submit(a_deal(), session=handed, idempotency_key=f"K-{number % 4}")
            if number % 2:
                sessions.commit()
            sessions.remove()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(12)))
    assert count_rows(host)["dealgate_decision"] == 2


def test_many_deals_are_submitted_in_a_scoped_session(host: Engine, gate: Gate) -> None:
    sessions = scoped_session(sessionmaker(host))
    assert len(list(gate.submit_all([Deal.read(a_deal())] * 3, session=sessions))) == 3
    sessions.commit()
    sessions.remove()
    assert count_rows(host)["dealgate_decision"] == 3


@pytest.mark.parametrize("scoped", [False, True])
def test_an_asynchronous_session_of_the_hosts(host: Engine, database_url: str, gate: Gate, scoped: bool) -> None:
    async def submit(driver: str) -> None:
        engine = engine_for(database_url, driver)
        maker = async_sessionmaker(engine)
        session: AsyncSession | async_scoped_session[AsyncSession]
        session = async_scoped_session(maker, asyncio.current_task) if scoped else maker()
        for number, commits in enumerate((True, False)):
            verdict = await gate.submit_async(a_deal(), session=session, idempotency_key=f"{driver}-{number}")
            session.add(Application(decision_id=verdict.decision_id, key=f"{driver}-{number}"))
            await (session.commit() if commits else session.rollback())
        await session.close()
        await engine.dispose()

    drivers = DRIVERS[make_url(database_url).get_backend_name()]
    for driver in drivers:
        asyncio.run(submit(driver))
    assert kept_together(host) == {f"{driver}-0" for driver in drivers}


def test_what_is_no_place_to_store_in_is_refused_with_what_to_do(database: Engine, database_url: str) -> None:
    url = make_url(database_url)
    asynchronous = create_async_engine(
        url.set(drivername="sqlite+aiosqlite" if "sqlite" in url.drivername else "postgresql+psycopg")
    )
    for given, remedy in (
        (sessionmaker(database), "not in a sessionmaker: open one"),
        (AsyncSession(asynchronous), "not in a AsyncSession: await submit_async"),
        (asynchronous, "not in a AsyncEngine: await submit_async"),
        (database_url, "not in a str"),
    ):
        with pytest.raises(TypeError, match=remedy):
            Gate(given, a_policy())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=remedy):
            Gate(policy=a_policy()).submit(a_deal(), session=given)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="many deals are stored in one transaction of yours"):
        next(Gate(policy=a_policy()).submit_all([Deal.read(a_deal())], session=database))  # type: ignore[arg-type]


def test_what_the_host_has_pending_is_not_touched(host: Engine, gate: Gate) -> None:
    """Its objects are flushed when it says so, and an object that it loaded stays loaded."""
    with Session(host, autoflush=False) as session, session.begin():
        first = book(session, gate, "D-1", "K-1")
        loaded = session.get_one(Application, first.decision_id)
        session.add(pending := Application(decision_id="later", key="later"))
        gate.submit(a_deal(), session=session, idempotency_key="K-2")
        assert pending in session.new
        assert "key" in loaded.__dict__
        session.expunge(pending)
        second = gate.submit(a_deal(), session=session, idempotency_key="K-2")
        session.add(Application(decision_id=second.decision_id, key="K-2"))
    assert kept_together(host) == {"K-1", "K-2"}


def test_savepoints_of_the_host_take_their_decisions_along_and_leave_no_gap(host: Engine, gate: Gate) -> None:
    with Session(host) as session, session.begin():
        book(session, gate, "D-1", "K-1")
        for number in range(4):
            with session.begin_nested() as outer:
                book(session, gate, "D-1", f"OUTER-{number}")
                with session.begin_nested() as inner:
                    book(session, gate, "D-1", f"INNER-{number}")
                    if number % 2:
                        inner.rollback()
                if number > 1:
                    outer.rollback()
        assert book(session, gate, "D-1", "K-2").decision["submission"] == 5
        assert book(session, gate, "D-1", "OUTER-3").replayed is False
    assert kept_together(host) == {"K-1", "OUTER-0", "INNER-0", "OUTER-1", "K-2", "OUTER-3"}


# Autocommit


@pytest.mark.parametrize("key", [None, "K-1"])
def test_autocommit_is_refused_with_what_to_do_and_nothing_is_stored(
    database_url: str, gate: Gate, key: str | None
) -> None:
    """Of the engine, of the session's connection, and of the driver itself."""
    engines = [create_engine(database_url, isolation_level="AUTOCOMMIT")]
    engines.append(create_engine(database_url).execution_options(isolation_level="AUTOCOMMIT"))
    if engines[0].dialect.name == "postgresql":
        engines.append(create_engine(database_url, connect_args={"autocommit": True}))
    for engine in engines:
        for open_one in (partial(Session, engine), engine.connect):
            for attempt in (
                partial(gate.submit, a_deal(), idempotency_key=key),
                lambda session: list(gate.submit_all([Deal.read(a_deal())], session=session)),
                lambda session: hold(session, "D-1", "a lawsuit", NOW, actor="counsel"),
            ):
                with (
                    open_one() as place,
                    pytest.raises(ValueError, match="is in autocommit, where a decision could be kept"),
                ):
                    attempt(session=place)
        assert count_rows(engine) == NOTHING
        engine.dispose()


def test_autocommit_of_an_asynchronous_host_is_refused(database_url: str, gate: Gate) -> None:
    async def submit(driver: str) -> None:
        engine = engine_for(database_url, driver).execution_options(isolation_level="AUTOCOMMIT")
        async with AsyncSession(engine) as session:
            with pytest.raises(ValueError, match="autocommit"):
                await gate.submit_async(a_deal(), session=session, idempotency_key="K-1")
        await engine.dispose()

    for driver in DRIVERS[make_url(database_url).get_backend_name()]:
        asyncio.run(submit(driver))


def test_a_gates_own_transactions_do_not_depend_on_the_hosts_autocommit(database_url: str) -> None:
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT")
    own = Gate(engine, a_policy())
    if engine.dialect.name == "sqlite":
        with pytest.raises(ValueError, match="autocommit"):
            own.submit(a_deal())
        assert count_rows(engine) == NOTHING
    else:
        first = own.submit(a_deal(), idempotency_key="K-1")
        assert own.submit(a_deal(), idempotency_key="K-1") == first._replace(replayed=True)
        with engine.connect() as connection:
            assert connection.connection.dbapi_connection.autocommit is True  # type: ignore[union-attr]
    engine.dispose()


# Transactions that only read, and isolation


def test_a_transaction_that_only_reads_is_an_error(database: Engine, database_url: str, gate: Gate) -> None:
    with Session(database) as session, session.begin():
        first = gate.submit(a_deal(), session=session, idempotency_key="K-1")
    if database.dialect.name == "sqlite":
        reading = create_engine(database_url.replace("sqlite:///", "sqlite:///file:") + "?mode=ro&uri=true")
    else:
        reading = create_engine(database_url, execution_options={"postgresql_readonly": True})
    with Session(reading) as session:
        if database.dialect.name == "postgresql":  # what is known is found all the same
            assert gate.submit(a_deal(), session=session, idempotency_key="K-1") == first._replace(replayed=True)
        with pytest.raises(DBAPIError, match=r"read-only transaction|readonly database"):
            gate.submit(a_deal(), session=session, idempotency_key="K-2")
    reading.dispose()
    assert count_rows(database)["dealgate_decision"] == 1


@pytest.fixture
def strict(postgresql: PostgreSQL, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A host on PostgreSQL that works at a level above the usual one."""
    url = postgresql.ready()
    engine = create_engine(url, isolation_level=request.param, pool_size=32)
    make_tables(engine)
    yield engine
    engine.dispose()


LEVELS = pytest.mark.parametrize("strict", ["REPEATABLE READ", "SERIALIZABLE"], indirect=True)
SERIALIZATION_FAILURE = "40001"


@LEVELS
def test_a_deal_that_somebody_else_submitted_since_is_a_serialization_failure_and_goes_through_again(
    strict: Engine, gate: Gate
) -> None:
    with Session(strict) as session, session.begin():
        book(session, gate, "D-1", "K-0")
    with Session(strict) as late:
        late.execute(text("SELECT count(*) FROM dealgate_deal"))
        with Session(strict) as session, session.begin():
            book(session, gate, "D-1", "K-1")
        with pytest.raises(OperationalError) as failure:
            book(late, gate, "D-1", "K-1")
        assert getattr(failure.value.orig, "sqlstate", None) == SERIALIZATION_FAILURE
        late.rollback()
        assert book(late, gate, "D-1", "K-1").replayed
        assert book(late, gate, "D-1", "K-2").decision["submission"] == 3
        late.commit()
    assert kept_together(strict) == {"K-0", "K-1", "K-2"}


@LEVELS
def test_a_policy_that_somebody_else_recorded_since_is_no_conflict_of_its_content(strict: Engine, gate: Gate) -> None:
    with Session(strict) as late:
        late.execute(text("SELECT count(*) FROM dealgate_deal"))
        with Session(strict) as session, session.begin():
            book(session, gate, "D-1", "K-1")
        with pytest.raises(DBAPIError):
            book(late, gate, "D-2", "K-2")
        late.rollback()
        book(late, gate, "D-2", "K-2")
        late.commit()
    assert kept_together(strict) == {"K-1", "K-2"}


@LEVELS
def test_a_host_that_tries_again_gets_every_deal_in_whoever_else_is_at_work(strict: Engine, gate: Gate) -> None:
    start = Barrier(8)

    def work(thread: int) -> int:
        start.wait()
        failures = 0
        for number in range(4):
            while True:
                try:
                    with Session(strict) as session, session.begin():
                        book(session, gate, f"D-{number % 2}", f"K-{thread % 4}-{number}")
                    break
                except DBAPIError:
                    failures += 1
        return failures

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) > 0
    assert kept_together(strict) == {f"K-{thread}-{number}" for thread in range(4) for number in range(4)}


@LEVELS
def test_a_gates_own_transactions_queue_whatever_level_the_host_works_at(strict: Engine) -> None:
    own, start = Gate(strict, a_policy()), Barrier(16)

    def work(thread: int) -> None:
        start.wait()
        for number in range(4):
            own.submit(a_deal(), idempotency_key=f"K-{thread % 8}-{number}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    assert count_rows(strict)["dealgate_submission"] == 32


# Engines


def test_a_pool_of_one_connection_is_enough(databases: Databases, database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=5)
    if engine.dialect.name == "sqlite":
        guard_sqlite(engine)
    make_tables(engine)
    for gate in (Gate(engine, a_policy()), Gate(engine, IN_FORCE)):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _, gate=gate: gate.submit(a_deal()), range(8)))
        with Session(engine) as session:
            gate.submit(a_deal(), session=session)
    assert count_rows(engine)["dealgate_decision"] == 16
    engine.dispose()


@pytest.fixture
def two(database: Engine, databases: Databases) -> Iterator[tuple[Engine, Engine]]:
    """Dealgate's database, and another one in which the host keeps its own tables."""
    other = open_database(databases.empty())
    make_tables(other)
    yield database, other
    other.dispose()


@pytest.mark.parametrize("otherwise", [True, False])
def test_a_session_that_is_bound_to_several_engines_stores_where_dealgates_tables_are(
    two: tuple[Engine, Engine], gate: Gate, otherwise: bool
) -> None:
    ours, theirs = two
    session = Session(theirs, binds={DealgateBase: ours})
    if not otherwise:
        session = Session(binds={DealgateBase: ours, hosts.Base: theirs})
    with session, session.begin():
        book(session, gate, "D-1", "K-1")
        with session.begin_nested() as savepoint:
            book(session, gate, "D-1", "K-2")
            savepoint.rollback()
        book(session, gate, "D-1", "K-3")
    assert count_rows(ours)["dealgate_decision"] == 2
    with theirs.connect() as connection:
        assert sorted(connection.execute(text("SELECT key FROM application")).scalars()) == ["K-1", "K-3"]


def test_a_policy_in_force_is_read_where_dealgates_tables_are(two: tuple[Engine, Engine]) -> None:
    ours, theirs = two
    with Session(theirs, binds={DealgateBase: ours}) as session:
        assert Gate(policy=IN_FORCE).evaluate(a_deal(), session=session).outcome == "refer"


def test_a_session_that_does_not_know_where_dealgates_tables_are_is_an_error(
    two: tuple[Engine, Engine], gate: Gate
) -> None:
    with Session(binds={hosts.Base: two[1]}) as session, pytest.raises(UnboundExecutionError):
        gate.submit(a_deal(), session=session)


def test_a_session_whose_two_engines_are_one_database_of_another_kind(
    database: Engine, gate: Gate, tmp_path: object
) -> None:
    other = open_database(f"sqlite:///{tmp_path}/other.db")
    make_tables(other)
    with Session(other, binds={DealgateBase: database}) as session, session.begin():
        book(session, gate, "D-1", "K-1")
    assert count_rows(database)["dealgate_decision"] == 1
    other.dispose()


# A session that the gate was built on


def test_a_session_that_lives_long_is_used_again_after_commit_rollback_and_close(host: Engine) -> None:
    with Session(host) as session:
        gate = Gate(session, a_policy())
        for ending in (session.commit, session.rollback, session.close, session.commit):
            gate.submit(a_deal(), idempotency_key=ending.__name__)
            ending()
        assert gate.submit(a_deal()).decision["submission"] == 2


def test_a_session_that_lives_long_gathers_nothing(host: Engine) -> None:
    with Session(host) as session:
        gate = Gate(session, a_policy())
        for _ in range(50):
            gate.submit(a_deal())
            session.commit()
        gc.collect()
        assert not session.identity_map.values()
        assert len(gate._recorded) <= 1


def test_two_threads_in_the_session_of_one_gate_are_told(database: Engine) -> None:
    inside, leave = Event(), Event()

    with Session(database) as session, ThreadPoolExecutor(1) as pool:
        gate = Gate(session, a_policy())

        @event.listens_for(database, "before_cursor_execute")
        def wait(_connection: Connection, *_: object) -> None:
            inside.set()
            leave.wait(20)

        first = pool.submit(gate.submit, a_deal())
        inside.wait(20)
        with pytest.raises(
            ValueError, match="this gate holds a Session that another thread is using: build it on an engine"
        ):
            gate.submit(a_deal())
        leave.set()
        first.result(20)
        event.remove(database, "before_cursor_execute", wait)
        session.rollback()


# Forks


def forked(work: Callable[[], object]) -> str:
    """What a child says that was forked off: what the work returned, or what it raised."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = str(work())
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


def test_workers_that_were_forked_off_share_a_gate_and_no_connection(database: Engine) -> None:
    """As under gunicorn with preload: the parent has used its connections, and goes on to."""
    gate = Gate(database, a_policy())
    assert gate.submit(a_deal()).decision["submission"] == 1
    children = []
    for number in range(4):
        if (child := os.fork()) == 0:
            try:
                for attempt in range(5):
                    gate.submit(a_deal(), idempotency_key=f"K-{number}-{attempt}")
                os._exit(0)
            except BaseException:
                os._exit(1)
        children.append(child)
    for attempt in range(5):
        gate.submit(a_deal(), idempotency_key=f"PARENT-{attempt}")
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    with database.connect() as connection:
        numbers = connection.execute(text("SELECT submission FROM dealgate_submission ORDER BY 1")).scalars().all()
    assert numbers == list(range(1, 27))


def test_a_gate_on_a_session_says_that_it_was_forked(database: Engine) -> None:
    with Session(database) as session:
        gate = Gate(session, a_policy())
        gate.submit(a_deal(), idempotency_key="K-1")
        told = forked(lambda: gate.submit(a_deal(), idempotency_key="K-2").outcome)
        assert told.startswith(
            f"ValueError: this gate holds a Session of process {os.getpid()}, which this one was forked from"
        )
        session.commit()
    assert count_rows(database)["dealgate_decision"] == 1


def test_a_database_in_memory_is_a_copy_after_a_fork() -> None:
    engine = open_database("sqlite://")
    gate = Gate(engine, a_policy())
    upgrade_database(engine)
    gate.submit(a_deal())
    assert forked(lambda: gate.submit(a_deal()).decision["submission"]) == "2"
    assert gate.submit(a_deal()).decision["submission"] == 2
    engine.dispose()
