"""Any sequence of changes, through sessions and past them: each row's structure is decided or listed, never neither."""

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from decimal import Decimal
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.orm import Session

from dealgate import Deal, Gate
from dealgate.adapters.declined import DeclinedError
from dealgate.models.last_decision import last_decision
from dealgate.models.unanswered import unanswered
from tests.adapters.guarded_host import (
    POLICY,
    Application,
    BookValue,
    TradeIn,
    Vehicle,
    empty,
    guarding,
    host_tables,
    structures,
)
from tests.models.sound import assert_sound

PRICES = strategies.sampled_from([Decimal(100), Decimal(200), Decimal("50000.00"), Decimal("50000.01")])
AMOUNTS = strategies.sampled_from([Decimal(1), Decimal(2), Decimal(3)])
NUMBERS = strategies.integers(1, 3)

Rows = dict[int, dict[str, Any]]
"""The naive model: for each application its price, its vehicle's value, and the payoffs of its trade-ins by their numbers."""


class Change:
    """One change: made to objects, by a statement, and to the naive model."""

    def __init__(self, objects: Callable[[Session], object], statement: Any, naive: Callable[[Rows], object]) -> None:
        self.objects = objects
        self.statement = statement
        self.naive = naive


def price(number: int, amount: Decimal, _: Decimal) -> Change:
    return Change(
        lambda session: setattr(session.get_one(Application, number), "price", amount),
        update(Application).where(Application.id == number).values(price=amount),
        lambda rows: rows[number].update(price=amount),
    )


def value(number: int, _: Decimal, amount: Decimal) -> Change:
    values = select(BookValue).where(BookValue.vehicle_id == number)
    return Change(
        lambda session: setattr(session.scalars(values).one(), "amount", amount),
        update(BookValue).where(BookValue.vehicle_id == number).values(amount=amount),
        lambda rows: rows[number].update(value=amount),
    )


def payoff(number: int, _: Decimal, amount: Decimal) -> Change:
    """Of the trade-in with the application's number, whosever it is by now."""

    def naive(rows: Rows) -> None:
        for row in rows.values():
            if number in row["payoffs"]:
                row["payoffs"][number] = amount

    return Change(
        lambda session: setattr(session.get_one(TradeIn, number), "payoff", amount),
        update(TradeIn).where(TradeIn.id == number).values(payoff=amount),
        naive,
    )


def move(number: int, _: Decimal, amount: Decimal) -> Change:
    """The trade-in of this number goes to another application."""
    to = int(amount)

    def naive(rows: Rows) -> None:
        paid = next(row["payoffs"].pop(number) for row in rows.values() if number in row["payoffs"])
        rows[to]["payoffs"][number] = paid

    return Change(
        lambda session: setattr(session.get_one(TradeIn, number), "application", session.get_one(Application, to)),
        update(TradeIn).where(TradeIn.id == number).values(application_id=to),
        naive,
    )


CHANGES = strategies.sampled_from([price, value, payoff, move])


def booked(number: int) -> Application:
    vehicle = Vehicle(id=number, condition="used", values=[BookValue(amount=Decimal(1))])
    trade = TradeIn(id=number, allowance=Decimal(1), payoff=Decimal(1))
    return Application(id=number, price=Decimal(100), vehicle=vehicle, trade_ins=[trade])


def deal_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What of it is told in a deal: trade-ins that have been exchanged for like ones are no other structure."""
    return row["price"], row["value"], [payoff for _, payoff in sorted(row["payoffs"].items())]


class Sequences(RuleBasedStateMachine):
    host: ClassVar[Engine]
    gate: ClassVar[Gate]

    def __init__(self) -> None:
        super().__init__()
        self.rows: Rows = {
            number: {"price": Decimal(100), "value": Decimal(1), "payoffs": {number: Decimal(1)}}
            for number in (1, 2, 3)
        }
        self.decided = deepcopy(self.rows)
        empty(self.host)
        with Session(self.host) as session, session.begin():
            session.add_all(booked(number) for number in (1, 2, 3))

    def after(self, change: Change) -> Rows:
        rows = deepcopy(self.rows)
        change.naive(rows)
        return rows

    def settle(self, rows: Rows, *, by_guard: bool) -> None:
        """Whatever the guard sees of is decided as it stands: the rows that change now, and only those."""
        for number, row in rows.items():
            if by_guard and row != self.rows[number]:
                self.decided[number] = deepcopy(row)
        self.rows = rows

    @rule(
        kind=CHANGES,
        number=NUMBERS,
        much=PRICES,
        amount=AMOUNTS,
        bulk=strategies.booleans(),
        keep=strategies.booleans(),
    )
    def in_a_session(self, kind: Any, number: int, much: Decimal, amount: Decimal, bulk: bool, keep: bool) -> None:
        change = kind(number, much, amount)
        rows = self.after(change)
        vetoed = any(row["price"] > 50_000 and row != self.rows[key] for key, row in rows.items())
        with suppress(DeclinedError), Session(self.host) as session:
            if bulk:
                session.execute(change.statement)
            else:
                change.objects(session)
            session.flush()
            if keep:
                session.commit()
                assert not vetoed
                self.settle(rows, by_guard=True)

    @rule(kind=CHANGES, number=NUMBERS, much=PRICES, amount=AMOUNTS)
    def in_a_savepoint_that_goes_and_then_for_good(
        self, kind: Any, number: int, much: Decimal, amount: Decimal
    ) -> None:
        change = kind(number, much, amount)
        rows = self.after(change)
        with suppress(DeclinedError), Session(self.host) as session, session.begin():
            with session.begin_nested() as savepoint:
                change.objects(session)
                session.flush()
                savepoint.rollback()
            session.execute(change.statement)
            session.commit()
            self.settle(rows, by_guard=True)

    @rule(kind=CHANGES, number=NUMBERS, much=PRICES, amount=AMOUNTS, keep=strategies.booleans())
    def behind_the_guard(self, kind: Any, number: int, much: Decimal, amount: Decimal, keep: bool) -> None:
        change = kind(number, much, amount)
        with self.host.connect() as connection:
            connection.execute(change.statement)
            if keep:
                connection.commit()
                self.settle(self.after(change), by_guard=False)

    @rule()
    def sweep(self) -> None:
        with Session(self.host) as session, session.begin():
            assert all(one.problem is None for one in self.gate.answer(session))
        self.decided = deepcopy(self.rows)

    @invariant()
    def every_structure_is_decided_or_listed(self) -> None:
        with self.host.connect() as connection:
            there = structures(connection)
            listed = {change.key[0] for change in unanswered(connection)}
            stale = {number for number, structure in there.items() if not _is_decided(connection, structure)}
        assert {number: Decimal(one["cash_price"]) for number, one in there.items()} == {
            number: row["price"] for number, row in self.rows.items()
        }
        assert stale <= listed
        assert stale == {number for number, row in self.rows.items() if deal_of(row) != deal_of(self.decided[number])}

    def teardown(self) -> None:
        with self.host.connect() as connection:
            assert_sound(connection)


def _is_decided(connection: Connection, structure: dict[str, Any]) -> bool:
    last = last_decision(connection, Deal.read(structure))
    return last is not None and last.same


def test_every_structure_is_decided_or_listed_whatever_the_sequence(database: Engine) -> None:
    gate = Gate(policy=POLICY)

    class Here(Sequences):
        pass

    Here.host, Here.gate = database, gate
    with host_tables(database), guarding(gate, on_decline="raise"):
        run_state_machine_as_test(
            Here,
            settings=settings(
                max_examples=6,
                stateful_step_count=10,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )
