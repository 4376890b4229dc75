"""A guard that may veto: nothing of a declined deal is written, and its decision is recorded nevertheless."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from itertools import count

import pytest
from sqlalchemy import Connection, Engine, event, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from dealgate import Gate, Outcome
from dealgate.adapters.declined import DeclinedError
from dealgate.models import find_decision
from tests.adapters.guarded_host import (
    POLICY,
    Application,
    TradeIn,
    a_trade,
    add,
    an_application,
    deal_of,
    decisions,
    guarding,
    host_tables,
    let_through,
    structures,
)
from tests.adapters.test_asynchronous_hosts import DRIVERS, engine_for
from tests.databases import count_rows, set_aside
from tests.models.sound import assert_sound

TOO_MUCH = Decimal("50000.01")


@pytest.fixture
def host(database: Engine) -> Iterator[Engine]:
    with host_tables(database):
        yield database


@pytest.fixture(autouse=True)
def gate() -> Iterator[Gate]:
    gate = Gate(policy=POLICY)
    with guarding(gate, on_decline="raise"):
        yield gate


def prices(host: Engine) -> dict[int, str]:
    with host.connect() as connection:
        return {number: structure["cash_price"] for number, structure in structures(connection).items()}


def test_a_declined_deal_is_not_written_and_the_error_says_why_and_what_would_cure_it(host: Engine) -> None:
    with pytest.raises(DeclinedError) as declined:
        add(host, an_application(1, price=TOO_MUCH))
    assert str(declined.value).splitlines() == [
        "Application 1 is not written: guarded 1 declines deal A-1.",
        "PRICE: Cash price is $50,000.01; the policy allows $50,000.00. $0.01 over.",
        "Cure: $0.01 off the cash price, which comes to $50,000.00, clears PRICE.",
    ]
    assert declined.value.decision["outcome"] == "decline"
    assert prices(host) == {}


def test_at_the_limit_it_is_written_and_what_is_referred_is_too(host: Engine) -> None:
    add(host, an_application(1, price=TOO_MUCH - Decimal("0.01"), term=73))
    assert prices(host) == {1: "50000.00"}
    assert len(decisions(host)) == 1


def test_a_refused_attempt_is_on_record_once_the_hosts_transaction_has_ended(host: Engine, gate: Gate) -> None:
    add(host, an_application(1))
    with Session(host) as session:
        session.get_one(Application, 1).price = TOO_MUCH
        with pytest.raises(DeclinedError) as declined:
            session.flush()
        assert not declined.value.recorded
        session.rollback()
        assert declined.value.recorded
    assert decisions(host) == [("A-1", 1, "desk"), ("A-1", 2, "desk")]
    with host.connect() as connection:
        assert find_decision(connection, declined.value.decision_id) == declined.value.decision
        assert_sound(connection)
    gate.record_declined(declined.value)
    assert len(decisions(host)) == 2
    assert prices(host) == {1: "20000.00"}


def test_after_a_refused_attempt_the_deal_stands_by_the_decision_before_it(host: Engine, gate: Gate) -> None:
    add(host, an_application(1))
    for _ in range(2):  # each attempt is one of its own
        with pytest.raises(DeclinedError), Session(host) as session, session.begin():
            session.get_one(Application, 1).price = TOO_MUCH
    assert len(decisions(host)) == 3
    with Session(host) as session, session.begin():
        application = session.get_one(Application, 1)
        assert gate.check(application, session).passes
        application.price = Decimal("20000.00")
    assert len(decisions(host)) == 3


def test_a_refused_attempt_ends_what_cleared_the_deal_until_it_is_submitted_again(host: Engine, gate: Gate) -> None:
    add(host, an_application(1, term=84), an_application(2))
    with Session(host) as session, session.begin():
        referred = gate.check(session.get_one(Application, 1), session)
    let_through(host, str(referred.decision_id), "TERM")
    for number in (1, 2):
        with Session(host) as session, session.begin():
            assert gate.check(session.get_one(Application, number), session).cleared
        with pytest.raises(DeclinedError), Session(host) as session, session.begin():
            session.get_one(Application, number).price = TOO_MUCH
    with Session(host) as session, session.begin():
        for number in (1, 2):
            application = session.get_one(Application, number)
            standing = gate.check(application, session)
            assert (standing.current, standing.cleared) == (True, False)
            assert standing.missing == (
                "a change of the deal was refused since, and ended what cleared it: submit the deal again",
            )
            gate.submit(gate.deal(application, session), session=session)
        assert gate.check(session.get_one(Application, 2), session).cleared
        missing = gate.check(session.get_one(Application, 1), session).missing
        assert missing == ("TERM refers the deal: no override was asked for",)


def test_an_override_of_a_refused_attempt_clears_nothing_that_is_stored(host: Engine, gate: Gate) -> None:
    add(host, an_application(1, term=84))
    with pytest.raises(DeclinedError) as declined, Session(host) as session, session.begin():
        session.get_one(Application, 1).price = TOO_MUCH
    let_through(host, declined.value.decision_id, "PRICE", "TERM")
    with Session(host) as session, session.begin():
        assert gate.clearance("A-1", session=session).cleared, "that submission, which is not the one that is stored"
        assert not gate.check(session.get_one(Application, 1), session).cleared


def test_a_savepoint_takes_the_refused_change_back_and_the_rest_is_committed(host: Engine) -> None:
    add(host, an_application(1))
    with Session(host) as session, session.begin():
        application = session.get_one(Application, 1)
        application.term = 61
        with pytest.raises(DeclinedError) as declined, session.begin_nested():
            application.price = TOO_MUCH
        assert application.price == Decimal("20000.00")
    assert declined.value.recorded
    assert prices(host) == {1: "20000.00"}
    with host.connect() as connection:
        assert structures(connection)[1]["term_months"] == 61
    assert len(decisions(host)) == 3


def test_what_goes_past_the_flush_is_vetoed_at_the_commit(host: Engine) -> None:
    add(host, an_application(1))
    with Session(host) as session:
        session.execute(update(Application).values(price=TOO_MUCH))
        with pytest.raises(DeclinedError):
            session.commit()
    assert prices(host) == {1: "20000.00"}
    assert len(decisions(host)) == 2
    assert count_rows(host)["dealgate_unanswered_change"] == 0


def test_a_deal_that_was_declined_before_is_not_written_after_it(host: Engine) -> None:
    application = an_application(1, price=TOO_MUCH, term=60)
    Gate(host, POLICY).submit(deal_of(application))
    with pytest.raises(DeclinedError) as declined:
        add(host, application)
    assert declined.value.recorded
    assert (prices(host), len(decisions(host))) == ({}, 1)


def test_a_declined_row_that_stands_can_be_mended_and_deleted(host: Engine, gate: Gate) -> None:
    add(host, an_application(1, trade_ins=[a_trade()]), an_application(2))
    with host.begin() as connection:
        connection.execute(text("UPDATE application SET price = 60000"))
    with Session(host) as session, session.begin():
        assert [one.outcome for one in gate.answer(session)] == [Outcome.DECLINE] * 2
    with pytest.raises(DeclinedError), Session(host) as session, session.begin():
        session.get_one(TradeIn, 1).payoff = Decimal(1)
    with Session(host) as session, session.begin():
        session.get_one(Application, 1).status = "declined"
        session.delete(session.get_one(Application, 2))
    with Session(host) as session, session.begin():
        session.get_one(Application, 1).price = Decimal(5)
    assert prices(host) == {1: "5.00"}


def test_where_the_attempt_cannot_be_recorded_that_is_told_and_can_be_done_later(
    host: Engine, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    add(host, an_application(1))

    def shut(*_: object) -> None:
        raise OSError("the database is out of reach")

    with Session(host) as session:
        session.get_one(Application, 1).price = TOO_MUCH
        with pytest.raises(DeclinedError) as declined:
            session.flush()
        event.listen(host, "begin", shut)
        session.rollback()
        event.remove(host, "begin", shut)
    assert not declined.value.recorded
    assert [record.getMessage() for record in caplog.records] == [
        "refused deal A-1 is not recorded yet: call gate.record_declined(error)"
    ]
    gate.record_declined(declined.value)
    assert declined.value.recorded
    assert len(decisions(host)) == 2


def test_what_could_not_be_stored_is_not_told_to_the_log(host: Engine, caplog: pytest.LogCaptureFixture) -> None:
    add(host, an_application(1))

    def without_a_table(connection: Connection) -> None:
        set_aside(connection, "dealgate_ledger_body")

    with Session(host) as session:
        session.get_one(Application, 1).price = TOO_MUCH
        with pytest.raises(DeclinedError):
            session.flush()
        event.listen(host, "begin", without_a_table)
        session.rollback()
        event.remove(host, "begin", without_a_table)
    assert "dealgate_ledger_body" in caplog.text
    assert "parameters hidden" in caplog.text
    assert "[parameters: " not in caplog.text


def test_a_session_in_a_transaction_of_the_hosts_connection_records_in_it(host: Engine, gate: Gate) -> None:
    with host.connect() as connection, connection.begin():
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            session.add(an_application(1, price=TOO_MUCH))
            with pytest.raises(DeclinedError) as declined:
                session.commit()
        assert not declined.value.recorded, "nobody knows yet what becomes of the host's transaction"
        assert count_rows(connection)["dealgate_decision"] == 1
    gate.record_declined(declined.value)
    assert declined.value.recorded
    assert len(decisions(host)) == 1


def test_an_attempt_that_goes_with_the_hosts_transaction_can_be_recorded_after_it(host: Engine, gate: Gate) -> None:
    def write() -> None:
        with (
            host.connect() as connection,
            connection.begin(),
            Session(connection, join_transaction_mode="create_savepoint") as session,
        ):
            session.add(an_application(1, price=TOO_MUCH))
            session.commit()

    with pytest.raises(DeclinedError) as declined:
        write()
    assert (declined.value.recorded, decisions(host)) == (False, [])
    gate.record_declined(declined.value)
    assert (declined.value.recorded, len(decisions(host))) == (True, 1)


def test_a_decision_that_is_rolled_back_with_the_refused_change_is_recorded_after_it(host: Engine, gate: Gate) -> None:
    """The host submits first and writes then, or a guard that only records stands before the one that vetoes."""
    application = an_application(1, price=TOO_MUCH, term=60)

    def write() -> None:
        with Session(host) as session, session.begin():
            gate.submit(deal_of(application), session=session)
            session.add(application)

    with pytest.raises(DeclinedError) as declined:
        write()
    assert (declined.value.recorded, len(decisions(host))) == (True, 1)
    with host.connect() as connection:
        assert find_decision(connection, declined.value.decision_id) == declined.value.decision


def test_a_savepoint_that_is_open_at_the_commit_hides_nothing(host: Engine) -> None:
    add(host, an_application(1))

    def write() -> None:
        with Session(host) as session, session.begin():
            session.begin_nested()
            session.execute(update(Application).values(price=TOO_MUCH))

    with pytest.raises(DeclinedError):
        write()
    assert prices(host) == {1: "20000.00"}
    assert len(decisions(host)) == 2


def test_no_host_may_use_the_key_of_a_refused_attempt(host: Engine, gate: Gate) -> None:
    for key in ("refused:1", "Refused:1"):
        with pytest.raises(ValueError, match="is that of a refused attempt: use another"):
            gate.submit(deal_of(an_application(1, term=60)), session=None, idempotency_key=key)


def test_an_asynchronous_host_is_guarded_too(host: Engine, database_url: str) -> None:
    async def work(driver: str, number: int) -> None:
        engine = engine_for(database_url, driver)
        async with AsyncSession(engine) as session, session.begin():
            session.add(an_application(number))
        async with AsyncSession(engine) as session:
            application = await session.get_one(Application, number)
            application.price = TOO_MUCH
            with pytest.raises(DeclinedError) as declined:
                await session.commit()
            await session.rollback()
            assert declined.value.recorded
        await engine.dispose()

    host.dispose()
    drivers = DRIVERS[host.dialect.name]
    for number, driver in enumerate(drivers, 1):
        asyncio.run(work(driver, number))
        assert [row[1] for row in decisions(host, f"A-{number}")] == [1, 2]
    assert set(prices(host).values()) == {"20000.00"}


async def cancelled(engine: AsyncEngine, at: int | None) -> DeclinedError:
    """A task is cancelled when its change was refused: at once, or at a statement by which the attempt is recorded."""
    refused: list[DeclinedError] = []
    statements = count()

    async def change() -> None:
        async with AsyncSession(engine) as session, session.begin():
            (await session.get_one(Application, 1)).price = TOO_MUCH
            try:
                await session.flush()
            except DeclinedError as error:
                refused.append(error)
                raise

    def cancel(*_: object) -> None:
        if refused and next(statements) == at:
            task.cancel()

    event.listen(engine.sync_engine, "before_cursor_execute", cancel)
    task = asyncio.create_task(change())
    while at is None and not refused:
        await asyncio.sleep(0)
    if at is None:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    event.remove(engine.sync_engine, "before_cursor_execute", cancel)
    return refused[0]


def each_driver_records(host: Engine, url: str, work: Callable[[AsyncEngine], Awaitable[None]]) -> None:
    """One more decision by each asynchronous driver of a database."""

    async def recorded(driver: str) -> None:
        engine = engine_for(url, driver)
        await work(engine)
        await engine.dispose()

    add(host, an_application(1))
    host.dispose()
    for number, driver in enumerate(DRIVERS[host.dialect.name], 2):
        asyncio.run(recorded(driver))
        assert len(decisions(host)) == number


@pytest.mark.parametrize("at", [0, 1, 3, 6, 9])
def test_a_task_that_is_cancelled_while_its_refused_attempt_is_recorded_loses_nothing(
    host: Engine, database_url: str, at: int
) -> None:
    async def work(engine: AsyncEngine) -> None:
        assert (await cancelled(engine, at)).recorded

    each_driver_records(host, database_url, work)


def test_what_a_cancelled_rollback_leaves_unrecorded_is_recorded_at_the_end_of_the_next_transaction(
    host: Engine, database_url: str
) -> None:
    """SQLAlchemy tells of no end then: the connection was on its way back."""

    async def work(engine: AsyncEngine) -> None:
        error = await cancelled(engine, None)
        async with AsyncSession(engine) as session:
            assert await session.get_one(Application, 1)
        assert error.recorded

    each_driver_records(host, database_url, work)


def test_what_interrupts_twice_is_told(host: Engine, caplog: pytest.LogCaptureFixture) -> None:
    add(host, an_application(1))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with Session(host) as session:
        session.get_one(Application, 1).price = TOO_MUCH
        with pytest.raises(DeclinedError):
            session.flush()
        event.listen(host, "begin", interrupt)
        with pytest.raises(KeyboardInterrupt):
            session.rollback()
        event.remove(host, "begin", interrupt)
    assert [record.getMessage() for record in caplog.records] == [
        "refused deal A-1 is not recorded yet: call gate.record_declined(error)"
    ]
