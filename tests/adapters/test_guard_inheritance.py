"""Guards on classes that inherit, in one table or in joined ones, and two who change parts of one deal at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from dealgate import Deal, Gate
from dealgate.adapters.declined import UnwatchedError
from dealgate.adapters.transactions import passes
from dealgate.migrations.watching import Child, unwatch, watch
from dealgate.models.last_decision import last_decision
from dealgate.models.unanswered import unanswered
from tests.adapters.guarded_host import (
    POLICY,
    TradeIn,
    Vehicle,
    a_trade,
    an_application,
    decisions,
    guarding,
    host_tables,
    structures,
)


class Base(DeclarativeBase):
    pass


class Loan(Base):
    __tablename__ = "loan"
    __mapper_args__: Any = {"polymorphic_on": "kind", "polymorphic_identity": "loan"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    price: Mapped[int]


class FleetLoan(Loan):
    """In the same table."""

    __mapper_args__: Any = {"polymorphic_identity": "fleet"}  # noqa: RUF012

    rebate: Mapped[int | None]


class LeaseLoan(Loan):
    """In a table of its own beside it."""

    __tablename__ = "lease_loan"
    __mapper_args__: Any = {"polymorphic_identity": "lease"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(ForeignKey("loan.id"), primary_key=True)
    term: Mapped[int]
    plan_id: Mapped[int | None] = mapped_column(ForeignKey("lease_plan.id"))
    plan: Mapped["LeasePlan | None"] = relationship()
    fees: Mapped[list["LeaseFee"]] = relationship(cascade="all, delete-orphan")


class LeasePlan(Base):
    __tablename__ = "lease_plan"

    id: Mapped[int] = mapped_column(primary_key=True)
    rebate: Mapped[int]


class LeaseFee(Base):
    __tablename__ = "lease_fee"

    id: Mapped[int] = mapped_column(primary_key=True)
    lease_id: Mapped[int] = mapped_column(ForeignKey("lease_loan.id"))
    price: Mapped[int]


def loan_deal(loan: Loan) -> dict[str, Any]:
    return {
        "deal_id": f"L-{loan.id}",
        "submitted_on": "2026-11-20",
        "vehicle": {"condition": "new"},
        "cash_price": loan.price,
        "rebate": getattr(loan, "rebate", None) or 0,
        "term_months": getattr(loan, "term", 60),
    }


@pytest.fixture
def loans(database: Engine) -> Iterator[Engine]:
    with database.begin() as connection:
        Base.metadata.create_all(connection)
        children = [Child("lease_loan", "term", owner="id")]
        watch(connection, "loan", columns=["kind", "price", "rebate"], children=children)
    yield database
    with database.begin() as connection:
        unwatch(connection, "loan")
        Base.metadata.drop_all(connection)


def test_subclasses_are_guarded_with_their_base(loans: Engine) -> None:
    gate = Gate(policy=POLICY)
    with guarding(gate, Loan, mapping=loan_deal, fields=None):
        with Session(loans) as session, session.begin():
            fleet, lease = FleetLoan(id=1, price=100, rebate=1), LeaseLoan(id=2, price=100, term=48)
            session.add_all([fleet, lease, Loan(id=3, price=100)])
            session.flush()
            fleet.rebate, lease.term = 2, 60
        assert [len(decisions(loans, f"L-{number}")) for number in (1, 2, 3)] == [2, 2, 1]
        with loans.begin() as connection:
            connection.execute(text("UPDATE lease_loan SET term = 72"))
            assert [change.key for change in unanswered(connection)] == [(2,)]
        with Session(loans) as session, session.begin():
            session.execute(update(FleetLoan).values(rebate=3))
            assert sorted(answered.key for answered in gate.answer(session)) == [(1,), (2,)]
        assert [len(decisions(loans, f"L-{number}")) for number in (1, 2, 3)] == [3, 3, 1]


def test_a_guard_on_a_subclass_leaves_its_siblings_alone(loans: Engine) -> None:
    gate = Gate(policy=POLICY)
    with guarding(gate, FleetLoan, mapping=loan_deal, fields=None):
        with Session(loans) as session, session.begin():
            session.add_all([FleetLoan(id=1, price=100), LeaseLoan(id=2, price=100, term=48)])
        assert decisions(loans) == [("L-1", 1, "desk")]
        with loans.connect() as connection:
            assert {change.key for change in unanswered(connection)} == {(2,)}
        with Session(loans) as session, session.begin():
            assert gate.answer(session) == []


def lease_deal(loan: Loan) -> dict[str, Any]:
    if not isinstance(loan, LeaseLoan):
        return loan_deal(loan)
    rebate = loan.plan.rebate if loan.plan else 0
    return loan_deal(loan) | {"doc_fee": sum(fee.price for fee in loan.fees), "rebate": rebate}


def test_relationships_of_a_subclass_are_guarded_with_the_base(loans: Engine) -> None:
    gate = Gate(policy=POLICY)
    with guarding(gate, Loan, mapping=lease_deal, fields=["price", "term", "fees.price", "plan.rebate"]):
        with Session(loans) as session, session.begin():
            lease = LeaseLoan(id=2, price=100, term=48, fees=[LeaseFee(id=1, price=5)])
            session.add_all([Loan(id=1, price=100), lease, LeasePlan(id=3, rebate=4)])
        for cls, number, name, value in (
            (LeaseFee, 1, "price", 6),
            (LeaseLoan, 2, "plan_id", 3),
            (LeasePlan, 3, "rebate", 5),
        ):
            with Session(loans) as session, session.begin():
                setattr(session.get_one(cls, number), name, value)
        with Session(loans) as session, session.begin():
            assert gate.check(session.get_one(Loan, 2), session).current
        assert [len(decisions(loans, f"L-{number}")) for number in (1, 2)] == [1, 4]


@pytest.mark.parametrize("fields", [None, ["price", "term"]])
def test_a_bulk_statement_on_the_table_of_a_subclass_is_refused_where_nobody_watches(
    loans: Engine, fields: list[str] | None
) -> None:
    with loans.begin() as connection:
        unwatch(connection, "loan")
    with guarding(Gate(policy=POLICY), Loan, mapping=loan_deal, fields=fields):
        with Session(loans) as session, session.begin():
            session.add(LeaseLoan(id=2, price=100, term=48))
        with Session(loans) as session, pytest.raises(UnwatchedError, match=r"changes lease_loan, whose .*term"):
            session.execute(update(LeaseLoan).values(term=60))


@pytest.fixture
def host(database: Engine) -> Iterator[Engine]:
    with host_tables(database):
        yield database


def test_of_two_who_change_parts_of_one_deal_at_once_the_second_decides_on_both_parts(host: Engine) -> None:
    """Each has the other's part in its session as it was before."""
    gate, together = Gate(policy=POLICY), Barrier(2)

    def change(cls: Any, values: dict[str, Any]) -> None:
        with Session(host) as session:
            if host.dialect.name == "postgresql":  # SQLite lets one in at a time
                loaded = [session.get_one(TradeIn, 1), session.get_one(Vehicle, 1)]
                assert len(loaded) == 2
                together.wait(10)
            for name, value in values.items():
                setattr(session.get_one(cls, 1), name, value)
            session.commit()

    with guarding(gate):
        with Session(host) as session, session.begin():
            session.add(an_application(1, trade_ins=[a_trade()]))
        with ThreadPoolExecutor(2) as pool:
            done = [
                pool.submit(change, TradeIn, {"payoff": Decimal(7)}),
                pool.submit(change, Vehicle, {"condition": "new"}),
            ]
            for one in done:
                error = one.exception(30)
                assert error is None or passes(error), error  # type: ignore[arg-type]
    with host.connect() as connection:
        last = last_decision(connection, Deal.read(structures(connection)[1]))
        assert last is not None
        assert last.same
        assert unanswered(connection) == []
    assert len(decisions(host, "A-1")) == 3
