"""Changes that go past the unit of work: decided before the commit where a session makes them, else listed until they are."""

import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import count
from threading import Event
from time import sleep
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import BigInteger, Engine, delete, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column

from dealgate import Deal, Gate, Outcome
from dealgate.adapters.database import open_database
from dealgate.adapters.declined import UnwatchedError
from dealgate.adapters.guard import Guard
from dealgate.adapters.guarded_rows import Answered
from dealgate.migrations.watching import unwatch, watch
from dealgate.models import LedgerBody, LedgerEntry
from dealgate.models.last_decision import last_decision
from dealgate.models.unanswered import unanswered
from tests.adapters.commands import invoke, read_lines
from tests.adapters.guarded_host import (
    POLICY,
    Application,
    Base,
    BookValue,
    TradeIn,
    Vehicle,
    a_trade,
    add,
    an_application,
    deal_of,
    decisions,
    empty,
    guarding,
    host_tables,
    put,
    structures,
)
from tests.databases import count_rows
from tests.models.sound import assert_sound


@pytest.fixture
def host(database: Engine) -> Iterator[Engine]:
    with host_tables(database):
        yield database


@pytest.fixture
def gate() -> Gate:
    return Gate(policy=POLICY)


@pytest.fixture(autouse=True)
def guard(gate: Gate) -> Iterator[Guard]:
    with guarding(gate) as guard:
        yield guard


def stale(host: Engine) -> set[int]:
    """The applications whose structure is not the one that was decided last."""
    found = set()
    with host.connect() as connection:
        for number, structure in structures(connection).items():
            last = last_decision(connection, Deal.read(structure))
            if last is None or not last.same:
                found.add(number)
    return found


def left(host: Engine) -> set[int]:
    with host.connect() as connection:
        return {change.key[0] for change in unanswered(connection, "application")}


def upsert(table: Any, host: Engine, **values: Any) -> Any:
    dialect: Any = {"sqlite": sqlite, "postgresql": postgresql}[host.dialect.name]
    statement = dialect.insert(table).values(**values)
    return statement.on_conflict_do_update(index_elements=["id"], set_={"price": Decimal(7)})


prices = count(100)
TABLE = Base.metadata.tables["application"]


def new(number: int = 3) -> dict[str, Any]:
    return {"id": number, "price": Decimal(next(prices)), "vehicle_id": 1}


Way = Callable[[Session, Engine], Any]
IN_A_SESSION: dict[str, Way] = {
    "bulk update": lambda session, _: session.execute(update(Application).values(term=61)),
    "bulk update by key": lambda session, _: session.execute(
        update(Application), [{"id": 1, "term": 61}, {"id": 2, "price": Decimal(4)}]
    ),
    "Query.update": lambda session, _: session.query(Application).update({"term": 61}),
    "bulk delete of children": lambda session, _: session.execute(delete(TradeIn)),
    "bulk insert": lambda session, _: session.execute(insert(Application), [new()]),
    "bulk update of the vehicle": lambda session, _: session.execute(update(Vehicle).values(condition="new")),
    "Core update": lambda session, _: session.execute(update(TABLE).values(term=61)),
    "Core on the connection": lambda session, _: session.connection().execute(insert(TABLE), [new(), new(4)]),
    "text": lambda session, _: session.execute(text("UPDATE application SET term = term + 1")),
    "driver's own text": lambda session, _: session.connection().exec_driver_sql("UPDATE application SET term = 61"),
    "bulk_save_objects": lambda session, _: session.bulk_save_objects([Application(**new())]),
    "bulk_insert_mappings": lambda session, _: session.bulk_insert_mappings(Application, [new()]),
    "bulk_update_mappings": lambda session, _: session.bulk_update_mappings(Application, [{"id": 1, "term": 61}]),
    "ON CONFLICT": lambda session, host: session.execute(
        upsert(Application, host, id=1, price=Decimal(1), vehicle_id=1)
    ),
    "in a savepoint": lambda session, _: session.begin_nested().session.execute(update(Application).values(term=61)),
    "beside what is not flushed yet": lambda session, _: (
        put(session.get_one(Application, 1), term=70),
        session.connection().exec_driver_sql("UPDATE application SET price = 5"),
    ),
}


def test_in_a_session_it_is_decided_before_the_commit_whatever_way_it_takes(host: Engine) -> None:
    for name, way in IN_A_SESSION.items():
        one = an_application(1, trade_ins=[a_trade("5100.00")], vehicle=Vehicle(id=1, condition="used"))
        add(host, one, an_application(2, vehicle=one.vehicle))
        before = len(decisions(host))
        with Session(host) as session:
            way(session, host)
            session.commit()
        assert len(decisions(host)) > before, name
        assert (stale(host), left(host)) == (set(), set()), name
        empty(host)


def test_pending_changes_and_what_goes_past_them_are_one_decision(host: Engine) -> None:
    add(host, an_application(1))
    with Session(host) as session:
        IN_A_SESSION["beside what is not flushed yet"](session, host)
        session.commit()
    assert len(decisions(host)) == 2


ELSEWHERE: dict[str, tuple[str, set[int]]] = {
    "update": ("UPDATE application SET price = 9 WHERE id = 1", {1}),
    "update of all": ("UPDATE application SET term = 9", {1, 2}),
    "insert": ("INSERT INTO application (id, price, vehicle_id) VALUES (3, 9, 1)", {3}),
    "a child": ("UPDATE trade_in SET payoff = 9", {1}),
    "a child moved": ("UPDATE trade_in SET application_id = 2", {1, 2}),
    "a child deleted": ("DELETE FROM trade_in", {1}),
    "a child added": ("INSERT INTO trade_in (application_id, allowance, payoff) VALUES (2, 1, 2)", {2}),
    "what it refers to": ("UPDATE vehicle SET condition = 'new' WHERE id = 1", {1}),
    "what belongs to what it refers to": ("UPDATE book_value SET amount = 1 WHERE vehicle_id = 2", {2}),
    "another reference": ("UPDATE application SET vehicle_id = 1", {2}),
}


def two_applications() -> list[Application]:
    vehicles = [Vehicle(id=number, condition="used", values=[BookValue(amount=Decimal(number))]) for number in (1, 2)]
    trade = a_trade("5100.00")
    return [an_application(1, vehicle=vehicles[0], trade_ins=[trade]), an_application(2, vehicle=vehicles[1])]


def test_elsewhere_it_is_listed_with_whose_deal_it_was_until_it_is_answered(
    host: Engine, database_url: str, gate: Gate
) -> None:
    other, listed = open_database(database_url), 0
    for name, (statement, expected) in ELSEWHERE.items():
        add(host, *two_applications())
        with other.begin() as connection:
            connection.exec_driver_sql(statement)
        assert left(host) == stale(host) == expected, name
        with Session(host) as session, session.begin():
            assert {change.key[0] for change in gate.unanswered(session)} == expected
            answered = gate.answer(session)
        assert {one.key[0]: one.problem for one in answered} == dict.fromkeys(expected), name
        assert (stale(host), left(host)) == (set(), set()), name
        listed += len(expected)
        empty(host)
    other.dispose()
    assert {row[2] for row in decisions(host)} == {"desk", "dealgate sweep"}
    with host.connect() as connection:
        bypassed = select(LedgerEntry.deal_id, LedgerEntry.actor).where(LedgerEntry.kind == "guard_bypass")
        told = connection.execute(bypassed).all()
        assert_sound(connection)
    assert len(told) == listed
    assert {row.actor for row in told} == {"dealgate sweep"}


def test_what_went_past_the_guard_stays_told_when_the_row_is_changed_again_before_a_sweep(
    host: Engine, gate: Gate
) -> None:
    add(host, an_application(1), an_application(2))
    with host.begin() as connection:
        connection.exec_driver_sql("UPDATE application SET price = 31000 WHERE id = 1")
    with Session(host) as session, session.begin():
        session.get_one(Application, 1).term = 48
        session.get_one(Application, 2).term = 48
    assert (stale(host), left(host)) == (set(), set())
    with host.connect() as connection:
        entries = select(LedgerEntry.deal_id, LedgerEntry.actor, LedgerBody.envelope).join(
            LedgerBody, LedgerBody.entry == LedgerEntry.id
        )
        (told,) = connection.execute(entries.where(LedgerEntry.kind == "guard_bypass")).all()
        assert_sound(connection)
    assert (told.deal_id, told.actor) == ("A-1", "desk")
    (change,) = json.loads(told.envelope)["guard_bypass"]["changes"]
    assert (change["changed_table"], change["operation"], change["key"]) == ("application", "UPDATE", [1])


def test_what_changes_nothing_that_is_read_is_not_noted(host: Engine) -> None:
    add(host, an_application(1, trade_ins=[a_trade()]))
    with host.begin() as connection:
        for statement in (
            "UPDATE application SET status = 'booked', price = price",
            "UPDATE trade_in SET remark = 'x', payoff = payoff",
            "UPDATE vehicle SET colour = 'red'",
        ):
            connection.exec_driver_sql(statement)
    assert left(host) == set()


def test_a_note_tells_what_when_and_by_whom(host: Engine) -> None:
    with host.begin() as connection:
        connection.exec_driver_sql("INSERT INTO vehicle (id, condition) VALUES (1, 'used')")
        connection.exec_driver_sql("INSERT INTO application (id, price, vehicle_id) VALUES (3, 9, 1)")
        connection.exec_driver_sql("DELETE FROM application")
    with host.connect() as connection:
        changes = unanswered(connection)
    assert [(one.table, one.key, one.changed_table, one.operation, one.refused) for one in changes] == [
        ("application", (3,), "application", "INSERT", False),
        ("application", (3,), "application", "DELETE", False),
    ]
    assert changes[0].changed_at <= changes[1].changed_at
    by = changes[0].changed_by
    assert by is None if host.dialect.name == "sqlite" else by is not None and by.startswith("postgres")


def test_a_row_that_cannot_be_decided_uses_up_nothing_of_what_a_sweep_may_do(host: Engine, gate: Gate) -> None:
    add(host, an_application(1), an_application(2))
    with host.begin() as connection:
        connection.exec_driver_sql("UPDATE application SET price = -1 WHERE id = 1")
        connection.exec_driver_sql("UPDATE application SET price = 9 WHERE id = 2")
    with Session(host) as session, session.begin():
        broken, decided = gate.answer(session, most=1)
    assert (broken.key, broken.decision, decided.key) == ((1,), None, (2,))
    assert decided.decision is not None
    assert left(host) == {1}


def test_a_bulk_change_of_a_column_that_nobody_watches_is_refused(host: Engine) -> None:
    add(host, an_application(1))
    with host.begin() as connection:
        unwatch(connection, "application")
        watch(connection, "application", columns=["price"])
    with Session(host) as session, pytest.raises(UnwatchedError, match=r"changes application, whose .*term"):
        session.execute(update(Application).values(term=96))


def test_a_row_that_is_gone_is_answered_with_no_decision(host: Engine, gate: Gate) -> None:
    add(host, an_application(1))
    with host.begin() as connection:
        connection.exec_driver_sql("DELETE FROM application")
    with Session(host) as session, session.begin():
        (answered,) = gate.answer(session)
    assert (answered.key, answered.decision, answered.outcome, answered.problem) == ((1,), None, None, None)
    assert left(host) == set()


def test_truncating_is_noted_for_every_row_that_goes(host: Engine) -> None:
    if host.dialect.name == "sqlite":
        pytest.skip("SQLite has no TRUNCATE")
    add(host, an_application(1, trade_ins=[a_trade("5100.00")]), an_application(2))
    with host.begin() as connection:
        connection.exec_driver_sql("TRUNCATE trade_in")
    assert left(host) == stale(host) == {1}
    with host.begin() as connection:
        connection.exec_driver_sql("TRUNCATE application CASCADE")
    assert left(host) == {1, 2}


def test_one_row_whose_deal_cannot_be_made_stays_and_stops_no_other(host: Engine, gate: Gate) -> None:
    add(host, an_application(1), an_application(2))
    with host.begin() as connection:
        connection.exec_driver_sql("UPDATE application SET price = -1 WHERE id = 1")
        connection.exec_driver_sql("UPDATE application SET price = 60000 WHERE id = 2")
    with Session(host) as session, session.begin():
        broken, declined = gate.answer(session)
    assert broken.problem is not None
    assert "cash_price" in broken.problem
    assert declined.outcome is Outcome.DECLINE
    assert left(host) == {1}
    with Session(host) as session, session.begin():
        assert not gate.check(session.get_one(Application, 2), session).passes


def test_whatever_a_mapping_raises_stops_no_other_row(host: Engine, gate: Gate, guard: Guard) -> None:
    """A host has errors of its own, and no base class in common with anybody's."""

    class NoBookValueError(Exception):
        pass

    def mapping(application: Application) -> dict[str, Any]:
        if application.term == 66:
            raise NoBookValueError("the book is closed")
        return deal_of(application)

    guard.stop()
    add(host, an_application(1), an_application(2))
    with host.begin() as connection:
        connection.exec_driver_sql("UPDATE application SET term = 65 + id")
    with guarding(gate, mapping=mapping), Session(host) as session, session.begin():
        broken, decided = gate.answer(session)
    assert broken.problem == "NoBookValueError: the book is closed"
    assert (decided.key, decided.outcome) == ((2,), Outcome.PASS)
    assert left(host) == {1}


def test_of_two_who_sweep_at_once_each_row_is_answered_by_one(host: Engine, gate: Gate, guard: Guard) -> None:
    """The second has listed what the first has not committed yet, and finds it answered once it holds the row."""
    add(host, an_application(1), an_application(2))
    with host.begin() as connection:
        connection.exec_driver_sql("UPDATE application SET term = 61")
    holds = Event()

    def sweep() -> list[Answered]:
        holds.wait(60)
        with Session(host) as session, session.begin():
            return gate.answer(session)

    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(sweep)
        with Session(host) as session, session.begin():
            first = guard.rows.sweep(session.connection(), "first", None)
            found = [next(first)]
            holds.set()
            while not second.done() and not somebody_waits(host):
                sleep(0.01)
            found += first
        assert [one.key for one in found] == [(1,), (2,)]
        assert second.result(60) == []
    assert left(host) == stale(host) == set()
    with host.connect() as connection:
        kinds = connection.execute(select(LedgerEntry.kind).where(LedgerEntry.kind == "guard_bypass")).all()
        assert len(kinds) == 2
        assert_sound(connection)


def somebody_waits(host: Engine) -> bool:
    """SQLite lets one in at a time, and nobody has to be waited for."""
    if host.dialect.name == "sqlite":
        return True
    with host.connect() as connection:
        return bool(connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar())


def test_the_next_flush_of_a_row_answers_what_was_left_of_it(host: Engine) -> None:
    add(host, an_application(1), an_application(2))
    with host.begin() as connection:
        connection.exec_driver_sql("UPDATE application SET price = 9")
    with Session(host) as session, session.begin():
        session.get_one(Application, 1).term = 61
    assert left(host) == stale(host) == {2}


def test_what_another_left_is_not_taken_for_ones_own(host: Engine) -> None:
    add(host, an_application(1), an_application(2))
    with host.begin() as connection:
        connection.exec_driver_sql("UPDATE application SET price = 9 WHERE id = 1")
    with Session(host) as session, session.begin():
        session.execute(update(Application).where(Application.id == 2).values(term=61))
    assert left(host) == {1}


def test_a_rollback_takes_the_notes_with_it(host: Engine) -> None:
    add(host, an_application(1))
    with host.connect() as connection:
        connection.exec_driver_sql("UPDATE application SET price = 9")
        connection.rollback()
    assert left(host) == stale(host) == set()


# Refusing


def test_where_it_is_refused_no_change_past_the_guard_is_committed(database: Engine, database_url: str) -> None:
    with host_tables(database, "refuse") as host:
        add(host, an_application(1, trade_ins=[a_trade("5100.00")]))
        for what in ("update", "insert", "a child", "a child deleted", "what it refers to"):
            with host.connect() as connection:
                connection.exec_driver_sql(ELSEWHERE[what][0])
                assert {change.refused for change in unanswered(connection)} == {True}
                with pytest.raises(IntegrityError, match=r"undecided|FOREIGN KEY constraint failed"):
                    connection.commit()
        assert left(host) == stale(host) == set()
        with Session(host) as session, session.begin():
            session.get_one(Application, 1).term = 61
            session.execute(update(TradeIn).values(payoff=Decimal("5200.00")))
        assert left(host) == stale(host) == set()
        assert len(decisions(host)) == 3


def test_on_sqlite_who_does_not_check_references_is_noted_but_not_refused(database: Engine) -> None:
    if database.dialect.name != "sqlite":
        return  # PostgreSQL checks them for everybody
    with host_tables(database, "refuse") as host:
        add(host, an_application(1))
        driver = host.raw_connection()
        driver.execute("PRAGMA foreign_keys=OFF")
        driver.execute("UPDATE application SET price = 9")
        driver.commit()
        driver.invalidate()
        assert left(host) == stale(host) == {1}


# Without triggers


def test_where_nobody_watches_a_bulk_statement_is_refused_and_a_warning_says_so_before(
    database: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with host_tables(database, None) as host:
        with caplog.at_level(logging.WARNING, logger="dealgate"):
            add(host, an_application(1))
            add(host, an_application(2))
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == 4
        assert said[0].startswith(
            "Application is guarded, but application (id, price, term, vehicle_id) is not watched"
        )
        returning = update(Application).values(term=1).returning(Application)
        hidden = update(Application).values(term=1).returning(Application.id).cte()
        statements = (
            update(Application).values(term=1),
            delete(TradeIn),
            insert(Application).values(**new()),
            select(Application).from_statement(returning),
            update(aliased(Application)).values(term=1),
            select(hidden),
            select(Vehicle).add_cte(hidden),
            select(Vehicle).where(Vehicle.id.in_(select(hidden.c.id))),
        )
        for statement in statements:
            with Session(host) as session, pytest.raises(UnwatchedError, match=r"watch\(connection, 'application'"):
                session.execute(statement)
        assert stale(host) == set()


def test_columns_that_are_read_and_not_watched_are_told(database: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with host_tables(database) as host:
        with host.begin() as connection:
            watch(connection, "application", columns=["price"])
        with caplog.at_level(logging.WARNING, logger="dealgate"):
            add(host, an_application(1))
        assert "but application (term, vehicle_id) is not watched" in caplog.text


# Keys of other kinds


def test_keys_of_other_kinds_are_found_again(database: Engine) -> None:
    class Others(DeclarativeBase):
        pass

    class Offer(Others):
        __tablename__ = "offer"

        lender: Mapped[str] = mapped_column(primary_key=True)
        number: Mapped[UUID] = mapped_column(primary_key=True)
        price: Mapped[int]

    def deal(offer: Offer) -> dict[str, Any]:
        vehicle = {"condition": "new"}
        return {
            "deal_id": f"{offer.lender}/{offer.number}",
            "submitted_on": "2026-11-20",
            "vehicle": vehicle,
            "cash_price": offer.price,
            "term_months": 60,
        }

    gate = Gate(policy=POLICY)
    with guarding(gate), database.begin() as connection:
        Others.metadata.create_all(connection)
        watch(connection, "offer", key=["lender", "number"], columns="price")
    guard = gate.guard(Offer, mapping=deal)
    number, lender = uuid4(), 'Crédit "Ouest", [1]'
    with Session(database) as session, session.begin():
        session.add(Offer(lender=lender, number=number, price=100))
    assert count_rows(database)["dealgate_unanswered_change"] == 0
    with database.begin() as connection:
        connection.execute(text("UPDATE offer SET price = 101"))
    with Session(database) as session, session.begin():
        (answered,) = gate.answer(session)
    assert answered.key == (lender, number)
    assert len(decisions(database)) == 2
    guard.stop()
    with database.begin() as connection:
        unwatch(connection, "offer")
        Others.metadata.drop_all(connection)


# On the command line


def test_a_key_beyond_what_json_readers_keep_stands_in_the_ledger_as_text(database: Engine) -> None:
    """Such as a snowflake id, of which any reader that takes numbers for floats would make another."""

    class Others(DeclarativeBase):
        pass

    class Offer(Others):
        __tablename__ = "offer"

        id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
        price: Mapped[int]

    def deal(offer: Offer) -> dict[str, Any]:
        return deal_of(an_application(price=offer.price, term=60)) | {"deal_id": f"O-{offer.id}"}

    gate, number = Gate(policy=POLICY), 2**60 + 1
    with database.begin() as connection:
        Others.metadata.create_all(connection)
        watch(connection, "offer", columns="price")
    guard = gate.guard(Offer, mapping=deal)
    with Session(database) as session, session.begin():
        session.add(Offer(id=number, price=100))
    with database.begin() as connection:
        connection.execute(text("UPDATE offer SET price = 101"))
    with Session(database) as session, session.begin():
        (answered,) = gate.answer(session)
    assert (answered.key, answered.outcome) == ((number,), Outcome.PASS)
    with database.begin() as connection:
        envelopes = connection.execute(select(LedgerBody.envelope).order_by(LedgerBody.entry)).scalars().all()
        assert json.loads(envelopes[-1])["guard_bypass"]["key"] == [str(number)]
        assert_sound(connection)
        unwatch(connection, "offer")
        Others.metadata.drop_all(connection)
    guard.stop()


def test_the_command_line_lists_and_counts_what_is_left(host: Engine, database_url: str) -> None:
    add(host, an_application(1))
    nothing = invoke("guard", "check", "--db", database_url)
    assert (nothing.exit_code, nothing.stdout) == (
        0,
        "Every watched table is watched, and every change is answered.\n",
    )
    assert "Nothing is left" in invoke("guard", "list", "--db", database_url).stdout
    with host.begin() as connection:
        connection.exec_driver_sql("UPDATE application SET price = 9")
    checked = invoke("guard", "check", "--db", database_url)
    assert checked.exit_code == 1
    assert checked.stdout == "application: 1 changes are unanswered; gate.answer(session) decides them\n"
    (change,) = read_lines(invoke("guard", "list", "--json", "--db", database_url).stdout)
    assert (change["table"], change["key"], change["operation"]) == ("application", [1], "UPDATE")
    assert "application 1" in invoke("guard", "list", "--db", database_url).stdout
