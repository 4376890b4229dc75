"""Guards where the deal turns on columns that no field names: those a relationship selects by, and those a value is worked out from."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Computed, Engine, ForeignKey, Integer, event, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, column_property, mapped_column, relationship, sessionmaker

from dealgate import Gate
from tests.adapters.guarded_host import POLICY, decisions, guarding


class Base(DeclarativeBase):
    pass


class Trade(Base):
    """Never deleted: one that is gone is marked so."""

    __tablename__ = "marked_trade"

    id: Mapped[int] = mapped_column(primary_key=True)
    sale_id: Mapped[int] = mapped_column(ForeignKey("sale.id"))
    payoff: Mapped[int]
    gone: Mapped[bool] = mapped_column(default=False)


class Sale(Base):
    __tablename__ = "sale"

    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[int] = mapped_column()
    discount: Mapped[int] = mapped_column(default=0)
    net: Mapped[int] = mapped_column(Integer, Computed("price - discount", persisted=True))
    asked = column_property(price + 0)
    note: Mapped[str | None]
    trades: Mapped[list[Trade]] = relationship(primaryjoin="and_(Sale.id == Trade.sale_id, Trade.gone.is_(False))")


Sale.owed = column_property(
    select(func.sum(Trade.payoff)).where(Trade.sale_id == Sale.id).correlate_except(Trade).scalar_subquery()
)


def deal_of(sale: Sale) -> dict[str, Any]:
    return {
        "deal_id": f"S-{sale.id}",
        "submitted_on": "2026-11-20",
        "vehicle": {"condition": "new"},
        "cash_price": sale.net,
        "trade_ins": [{"kind": "loan", "payoff": trade.payoff} for trade in sale.trades],
        "term_months": 60,
    }


@pytest.fixture
def sales(database: Engine) -> Iterator[Engine]:
    with database.begin() as connection:
        Base.metadata.create_all(connection)
    with Session(database) as session, session.begin():
        session.add(Sale(id=1, price=30_000, trades=[Trade(payoff=5_000)]))
    yield database
    with database.begin() as connection:
        Base.metadata.drop_all(connection)


def decided(sales: Engine, gate: Gate, name: str, value: object, cls: type[Base] = Sale) -> int:
    """How many decisions there are once an attribute was set."""
    with Session(sales) as session, session.begin():
        setattr(session.get_one(cls, 1), name, value)
    with Session(sales) as session, session.begin():
        assert gate.check(session.get_one(Sale, 1), session).current
    return len(decisions(sales, "S-1"))


def test_what_a_relationship_selects_by_is_part_of_the_deal(sales: Engine) -> None:
    gate = Gate(policy=POLICY)
    with guarding(gate, Sale, mapping=deal_of, fields=["price", "trades.payoff"]):
        assert decided(sales, gate, "payoff", 6_000, Trade) == 1
        assert decided(sales, gate, "gone", True, Trade) == 2
        assert decided(sales, gate, "gone", False, Trade) == 3


@pytest.mark.parametrize("field", ["net", "asked"])
def test_of_what_the_database_works_out_the_columns_that_it_is_made_of_count(sales: Engine, field: str) -> None:
    gate = Gate(policy=POLICY)
    with guarding(gate, Sale, mapping=deal_of, fields=[field]):
        assert decided(sales, gate, "price", 29_000) == 1
        assert decided(sales, gate, "note", "called") == 1
        if field == "net":
            assert decided(sales, gate, "discount", 500) == 2


def test_a_value_that_is_worked_out_from_other_tables_cannot_be_a_field() -> None:
    with pytest.raises(ValueError, match=r"Sale\.owed is worked out .* Name the columns that it is made of"):
        Gate(policy=POLICY).guard(Sale, mapping=deal_of, fields=["owed"])


@pytest.mark.parametrize("by", [{"sale_id": 2}, None])
def test_what_a_listener_of_the_hosts_changes_during_the_flush_is_decided_for_whom_it_belonged_to(
    sales: Engine, by: dict[str, Any] | None
) -> None:
    """Its listeners may come after the guard's, and take a part from a deal that nobody else changes."""
    gate, sessions = Gate(policy=POLICY), sessionmaker(sales)

    def take_the_trade(session: Session, *_: object) -> None:
        trade = session.get(Trade, 1)
        if trade and by:
            trade.sale_id = by["sale_id"]
        elif trade:
            session.delete(trade)

    with guarding(gate, Sale, mapping=deal_of, fields=["price", "discount", "trades.payoff"]) as guard:
        with Session(sales) as session, session.begin():
            session.add(Sale(id=2, price=20_000))
            session.get_one(Sale, 1).price = 29_000
        event.listen(sessions, "before_flush", take_the_trade)
        with sessions.begin() as session:
            session.get_one(Sale, 2).price = 21_000
        with Session(sales) as session, session.begin():
            assert all(gate.check(session.get_one(Sale, number), session).current for number in (1, 2))
    assert len(decisions(sales, "S-1")) == 2
    assert not guard.listens
    with Session(sales) as session, session.begin():
        session.get_one(Sale, 1).price = 1
    assert len(decisions(sales, "S-1")) == 2
