"""A guard on a host's class: whatever changes the deal is decided at the flush, in the host's own transaction."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, event, text, update
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from dealgate import Deal, DealError, Gate, Outcome
from dealgate.adapters.guard import Guard
from dealgate.models import find_decision, find_submission
from dealgate.models.erasure import redact
from dealgate.models.last_decision import last_decision
from tests.adapters.guarded_host import (
    FIELDS,
    POLICY,
    Application,
    BookValue,
    TradeIn,
    Vehicle,
    a_trade,
    add,
    an_application,
    deal_of,
    decisions,
    guarding,
    host_tables,
    let_through,
    put,
    structures,
    watch_host,
)
from tests.databases import count_rows
from tests.models.samples import NOW


@pytest.fixture
def host(database: Engine) -> Iterator[Engine]:
    """Its tables are not watched: what the guard does not see by itself, nobody does."""
    with host_tables(database, None):
        yield database


@pytest.fixture
def gate() -> Gate:
    return Gate(policy=POLICY)


@pytest.fixture(autouse=True)
def guard(gate: Gate) -> Iterator[Guard]:
    with guarding(gate) as guard:
        yield guard


def assert_settled(host: Engine) -> None:
    """Every application's present structure is the one that was decided last, and nothing is left over."""
    with host.connect() as connection:
        for structure in structures(connection).values():
            last = last_decision(connection, Deal.read(structure))
            assert last is not None
            assert last.same, structure
    assert count_rows(host)["dealgate_unanswered_change"] == 0


def test_a_new_application_is_decided_with_its_key_and_defaults_in_the_hosts_transaction(host: Engine) -> None:
    with Session(host) as session:
        application = an_application()
        session.add(application)
        session.flush()
        with host.connect() as elsewhere:
            if host.dialect.name == "postgresql":
                assert count_rows(elsewhere)["dealgate_decision"] == 0
        session.commit()
        deal_id = f"A-{application.id}"
    assert decisions(host) == [(deal_id, 1, "desk")]
    with host.connect() as connection:
        last = last_decision(connection, Deal.read(structures(connection)[application.id]))
        assert last is not None
        submitted = find_submission(connection, last.recorded.decision_id)
    assert submitted is not None
    assert submitted["term_months"] == 60
    assert_settled(host)


CHANGES: dict[str, Any] = {
    "amount": lambda session, one: setattr(one, "price", Decimal("20000.01")),
    "term": lambda session, one: setattr(one, "term", 72),
    "an attribute of the vehicle": lambda session, one: setattr(one.vehicle, "condition", "new"),
    "another vehicle": lambda session, one: setattr(one, "vehicle", Vehicle(condition="new")),
    "a value two relationships away": lambda session, one: setattr(one.vehicle.values[0], "amount", Decimal(1)),
    "one more value": lambda session, one: one.vehicle.values.append(BookValue(amount=Decimal(5))),
    "a value dropped": lambda session, one: one.vehicle.values.clear(),
    "one more trade-in": lambda session, one: one.trade_ins.append(a_trade()),
    "one more trade-in by its key": lambda session, one: session.add(a_trade(application_id=one.id)),
    "one more trade-in from its side": lambda session, one: session.add(a_trade(application=one)),
    "a trade-in's payoff": lambda session, one: setattr(one.trade_ins[0], "payoff", Decimal(6)),
    "a trade-in taken out": lambda session, one: one.trade_ins.pop(),
    "a trade-in deleted": lambda session, one: session.delete(one.trade_ins[0]),
    "a trade-in let go by its key": lambda session, one: setattr(one.trade_ins[0], "application_id", None),
    "merge": lambda session, one: session.merge(Application(id=one.id, term=48)),
}


def test_each_change_of_the_structure_is_decided_anew(host: Engine) -> None:
    add(host, *(an_application(number, trade_ins=[a_trade("5500.00")]) for number in range(len(CHANGES))))
    for number, (name, change) in enumerate(CHANGES.items()):
        before = decisions(host)
        with Session(host) as session, session.begin():
            change(session, session.get(Application, number))
        assert decisions(host)[len(before) :] == [(f"A-{number}", 2, "desk")], name
    assert_settled(host)


def test_a_child_that_is_loaded_without_its_parents_is_a_change_of_theirs(host: Engine) -> None:
    add(host, an_application(1, trade_ins=[a_trade()]))
    with Session(host) as session, session.begin():
        session.get_one(TradeIn, 1).payoff = Decimal("7000.00")
    with Session(host) as session, session.begin():
        session.get_one(BookValue, 1).amount = Decimal("7000.00")
    with Session(host) as session, session.begin():
        session.delete(session.get_one(TradeIn, 1))
    assert len(decisions(host, "A-1")) == 4
    assert_settled(host)


@pytest.mark.parametrize("by", ["key", "relationship"])
def test_a_child_that_moves_is_a_change_of_both_parents(host: Engine, by: str) -> None:
    add(host, an_application(1, trade_ins=[a_trade()]), an_application(2))
    with Session(host) as session, session.begin():
        trade = session.get_one(TradeIn, 1)
        if by == "key":
            trade.application_id = 2
        else:
            trade.application = session.get_one(Application, 2)
    assert [len(decisions(host, deal)) for deal in ("A-1", "A-2")] == [2, 2]
    assert_settled(host)


def test_a_vehicle_of_two_applications_is_a_change_of_both(host: Engine) -> None:
    one = an_application(1)
    add(host, one, Application(id=2, price=Decimal(100), vehicle=one.vehicle))
    with Session(host) as session, session.begin():
        session.get_one(Vehicle, 1).condition = "new"
    assert [len(decisions(host, deal)) for deal in ("A-1", "A-2")] == [2, 2]
    assert_settled(host)


UNRELATED: dict[str, Any] = {
    "status": lambda session, one: setattr(one, "status", "booked"),
    "the same price": lambda session, one: setattr(one, "price", Decimal("20000.00")),
    "the same price, never loaded": lambda session, one: [session.expire(one), put(one, price=Decimal(20000))],
    "a column of the vehicle that is not read": lambda session, one: setattr(one.vehicle, "colour", "red"),
    "a remark on a trade-in": lambda session, one: setattr(one.trade_ins[0], "remark", "seen"),
    "there and back": lambda session, one: [put(one, term=72), put(one, term=60)],
}


def test_what_changes_nothing_of_the_deal_writes_nothing(host: Engine) -> None:
    add(host, an_application(1, trade_ins=[a_trade()]))
    for name, change in UNRELATED.items():
        with Session(host) as session, session.begin():
            change(session, session.get(Application, 1))
        assert len(decisions(host)) == 1, name
    assert_settled(host)


def test_several_flushes_of_one_transaction_decide_what_changed_between_them(host: Engine) -> None:
    with Session(host) as session, session.begin():
        application = an_application(1)
        session.add(application)
        session.flush()
        application.status = "priced"
        session.flush()
        application.term = 72
        session.flush()
        application.term = 72
        session.flush()
        application.term = 60
    assert len(decisions(host)) == 3
    assert_settled(host)


def test_the_mapping_may_read_what_the_session_has_not_loaded_and_starts_no_flush(host: Engine) -> None:
    flushes: list[object] = []
    add(host, an_application(1, trade_ins=[a_trade()]))
    with Session(host) as session, session.begin():
        event.listen(session, "before_flush", lambda *_: flushes.append(1))
        session.get_one(Application, 1).term = 72
    assert len(flushes) == 1


def test_a_row_that_is_deleted_leaves_nothing_to_decide(host: Engine) -> None:
    add(host, an_application(1, trade_ins=[a_trade()]))
    with Session(host) as session, session.begin():
        session.delete(session.get_one(Application, 1))
    assert len(decisions(host)) == 1
    assert_settled(host)


def test_a_rollback_leaves_neither_deal_nor_decision(host: Engine) -> None:
    with Session(host) as session:
        session.add(an_application(1))
        session.flush()
        session.rollback()
    assert decisions(host) == []
    assert_settled(host)


def test_a_savepoint_that_is_rolled_back_takes_its_decision_with_it(host: Engine) -> None:
    add(host, an_application(1))
    with Session(host) as session, session.begin():
        application = session.get_one(Application, 1)
        application.term = 61
        with session.begin_nested() as savepoint:
            application.term = 72
            session.flush()
            savepoint.rollback()
        assert application.term == 61
        with session.begin_nested():
            application.price = Decimal(5)
    assert len(decisions(host)) == 3
    assert_settled(host)


def test_sessions_of_every_kind_are_listened_to(host: Engine) -> None:
    class OwnSession(Session):
        pass

    factories: list[Callable[..., Session]] = [Session, OwnSession, sessionmaker(), sessionmaker(class_=OwnSession)]
    for number, factory in enumerate(factories, 1):
        with factory(bind=host) as session, session.begin():
            session.add(an_application(number))
    registry = scoped_session(sessionmaker(host))
    registry.add(an_application(9))
    registry.commit()
    registry.remove()
    assert len(decisions(host)) == 5
    assert_settled(host)


def test_a_deal_that_cannot_be_made_refuses_the_flush_and_names_the_field(host: Engine) -> None:
    with pytest.raises(DealError) as refusal:
        add(host, an_application(1, price=Decimal("-1.00")))
    assert [problem.field for problem in refusal.value.problems] == ["cash_price"]
    assert "Application 1" in refusal.value.__notes__[0]
    with host.connect() as connection:
        assert structures(connection) == {}
    assert decisions(host) == []


def test_a_mapping_that_fails_refuses_the_flush(host: Engine, gate: Gate) -> None:
    def broken(application: Application) -> Any:
        raise KeyError("tier")

    with guarding(gate, mapping=broken), pytest.raises(KeyError, match="tier"):
        add(host, an_application(1))
    with host.connect() as connection:
        assert structures(connection) == {}


def test_a_field_that_is_not_mapped_is_refused_at_once(gate: Gate) -> None:
    with pytest.raises(ValueError, match=r"'trade_ins.pay': TradeIn has no mapped attribute 'pay'"):
        gate.guard(Application, mapping=deal_of, fields=["trade_ins.pay"])
    with pytest.raises(ValueError, match="'record' or 'raise'"):
        gate.guard(Application, mapping=deal_of, on_decline="ignore")  # type: ignore[arg-type]


def test_without_fields_every_column_of_the_class_counts(host: Engine, guard: Guard) -> None:
    guard.stop()
    with guarding(Gate(policy=POLICY), fields=None):
        add(host, an_application(1))
        with Session(host) as session, session.begin():
            application = session.get_one(Application, 1)
            application.status = "booked"
            application.term = 61
    assert len(decisions(host)) == 2


def test_a_guard_that_is_stopped_listens_no_more(host: Engine, guard: Guard) -> None:
    guard.stop()
    add(host, an_application(1))
    assert decisions(host) == []


def test_two_guards_decide_each_its_own_deal(host: Engine, gate: Gate) -> None:
    def other(application: Application) -> dict[str, Any]:
        return deal_of(application) | {"deal_id": f"B-{application.id}"}

    with guarding(Gate(policy=POLICY), mapping=other, actor=lambda: "second desk"):
        add(host, an_application(1))
        assert sorted(decisions(host)) == [("A-1", 1, "desk"), ("B-1", 1, "second desk")]
        with host.begin() as connection:
            watch_host(connection)
        with Session(host) as session, session.begin():
            session.execute(update(Application).values(term=61))
        with host.begin() as connection:
            connection.exec_driver_sql("UPDATE application SET term = 62")
        with Session(host) as session, session.begin():
            assert len(gate.unanswered(session)) == 1
            assert [one.decision and one.decision.decision["deal_id"] for one in gate.answer(session)] == ["A-1", "B-1"]
    for deal in ("A-1", "B-1"):
        assert len(decisions(host, deal)) == 3
    assert_settled(host)


def test_a_mapping_document_is_given_the_attributes_that_it_reads(host: Engine, guard: Guard) -> None:
    class Mapped:
        def __init__(self, document: dict[str, Any]) -> None:
            self.document = document

    class Document:
        reads = ("id", *FIELDS)
        seen: list[Any] = []  # noqa: RUF012

        def deal(self, payload: Any) -> Mapped:
            self.seen.append(payload)
            vehicle = {"condition": payload["vehicle"]["condition"]}
            return Mapped(
                {
                    "deal_id": f"A-{payload['id']}",
                    "submitted_on": "2026-11-20",
                    "vehicle": vehicle,
                    "cash_price": payload["price"],
                    "term_months": payload["term"],
                }
            )

    guard.stop()
    with guarding(Gate(policy=POLICY), mapping=Document(), fields=None):
        add(host, an_application(1, trade_ins=[a_trade()]))
        with Session(host) as session, session.begin():
            session.get_one(Application, 1).term = 61
            session.get_one(Application, 1).status = "booked"
    trades = [{"allowance": Decimal("5000.00"), "payoff": Decimal("5000.00")}]
    vehicle = {"condition": "used", "values": [{"amount": Decimal("21000.00")}]}
    expected = {"id": 1, "price": Decimal("20000.00"), "term": 60, "trade_ins": trades, "vehicle": vehicle}
    assert Document.seen == [expected, expected | {"term": 61}]
    assert len(decisions(host)) == 2


def test_who_only_reads_or_has_another_database_notices_nothing(host: Engine, empty_database: Engine) -> None:
    add(host, an_application(1))
    with Session(host) as session, session.begin():
        assert session.get_one(Application, 1).term == 60
    with Session(empty_database) as session, session.begin():
        session.execute(text("CREATE TABLE thing (number INTEGER)"))
        session.execute(text("INSERT INTO thing VALUES (1)"))


# At the moment of funding


def test_a_deal_stands_as_it_was_decided_or_does_not(host: Engine, gate: Gate) -> None:
    add(host, an_application(1, term=84))
    with Session(host) as session, session.begin():
        application = session.get_one(Application, 1)
        standing = gate.check(application, session)
        assert (standing.current, standing.outcome, standing.passes) == (True, Outcome.REFER, False)
        application.term = 60
        standing = gate.check(application, session)
        assert standing.passes
        assert find_decision(session, str(standing.decision_id)) is not None
        session.connection().execute(text("UPDATE application SET term = 96"))
        stale = gate.check(application, session)
        assert (stale.current, stale.outcome, stale.passes) == (False, Outcome.PASS, False)


def test_a_deal_that_was_never_decided_stands_by_nothing(host: Engine, guard: Guard) -> None:
    guard.stop()
    add(host, an_application(1))
    gate = Gate(policy=POLICY)
    with guarding(gate), Session(host) as session, session.begin():
        standing = gate.check(session.get_one(Application, 1), session)
    assert not standing.passes
    assert not standing.cleared
    assert standing.missing == ("the deal was not decided yet",)
    assert standing == ("A-1", False, None, None, None)


def test_a_deal_may_be_booked_by_an_override_of_the_very_decision_that_it_stands_by(host: Engine, gate: Gate) -> None:
    add(host, an_application(1, term=84))
    with Session(host) as session, session.begin():
        standing = gate.check(session.get_one(Application, 1), session)
    assert not standing.cleared
    assert standing.missing == ("TERM refers the deal: no override was asked for",)
    let_through(host, str(standing.decision_id), "TERM")
    with Session(host) as session, session.begin():
        application = session.get_one(Application, 1)
        standing = gate.check(application, session)
        assert (standing.cleared, standing.passes, standing.missing) == (True, False, ())
        session.connection().execute(text("UPDATE application SET term = 85"))
        stale = gate.check(application, session)
        assert not stale.cleared
        assert stale.missing == ("the deal is not the one that was decided: it was changed since",)
        application.price += 1
        again = gate.check(application, session)
        assert (again.current, again.cleared) == (True, False)
        assert again.missing == ("TERM refers the deal: no override was asked for",)


def test_a_guarded_deal_is_submitted_as_its_rows_have_it(host: Engine, gate: Gate) -> None:
    add(host, an_application(1))
    with Session(host) as session, session.begin():
        application = session.get_one(Application, 1)
        application.trade_ins.append(a_trade(payoff="5500.00"))
        verdict = gate.submit(
            gate.deal(application, session), session=session, actor="los", idempotency_key="A-1/submit"
        )
        assert verdict.decision["submission"] == 3, "after the application and its trade-in"
        standing = gate.check(application, session)
        assert (standing.decision_id, standing.passes) == (verdict.decision_id, True)
    with Session(host) as session, session.begin():
        application = session.get_one(Application, 1)
        again = gate.submit(gate.deal(application, session), session=session, actor="los", idempotency_key="A-1/submit")
        assert again.replayed
    assert len(decisions(host)) == 3


def test_a_deal_of_which_something_was_erased_is_not_taken_for_the_one_that_was_decided(
    host: Engine, guard: Guard
) -> None:
    """What is gone cannot be compared: a change of it could go unseen."""
    guard.stop()
    gate = Gate(policy=POLICY)

    def with_notes(application: Application) -> dict[str, Any]:
        return deal_of(application) | {"metadata": {"status": application.status}}

    with guarding(gate, mapping=with_notes, fields=[*FIELDS, "status"]):
        add(host, an_application(1))
        with Session(host) as session, session.begin():
            application = session.get_one(Application, 1)
            decision_id = gate.check(application, session).decision_id
            assert decision_id is not None
            redact(session, decision_id, ["/deal/metadata"], "asked for", NOW, actor="privacy")
            standing = gate.check(application, session)
            assert (standing.current, standing.cleared, standing.passes) == (False, False, False)
        with Session(host) as session, session.begin():
            application = session.get_one(Application, 1)
            application.status = "changed"
            session.flush()
            standing = gate.check(application, session)
            assert standing.cleared
            assert standing.decision_id != decision_id


def test_of_two_guards_on_a_class_each_is_asked_itself(host: Engine, gate: Gate) -> None:
    add(host, an_application(1))
    with guarding(gate) as second, Session(host) as session, session.begin():
        application = session.get_one(Application, 1)
        with pytest.raises(ValueError, match="2 guards of this gate are on Application: ask each of them"):
            gate.check(application, session)
        assert second.check(application, session).cleared


def test_what_is_not_guarded_or_not_there_is_not_checked(host: Engine, gate: Gate) -> None:
    with Session(host) as session, session.begin():
        with pytest.raises(ValueError, match="0 guards of this gate are on TradeIn"):
            gate.check(a_trade(), session)
        with pytest.raises(LookupError, match="is not in the database"):
            gate.check(Application(id=99), session)
