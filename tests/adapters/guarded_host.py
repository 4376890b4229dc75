"""A host with an application, its vehicle, the vehicle's values and trade-ins, each in a table of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, ForeignKey, Numeric, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from dealgate import Gate, Policy
from dealgate.adapters.guard import Guard
from dealgate.migrations.watching import Child, Mode, unwatch, watch
from dealgate.models import Submission, grant_override, request_override

POLICY = Policy.from_text(
    """
policy: guarded
version: "1"
title: Three rules that a change of the structure can break
effective_from: 2026-01-01
collateral_value: {new: [invoice], used: [book_0]}
rules:
  - {id: PRICE, title: No price above the greatest, require: "cash_price <= $50,000", otherwise: decline,
     reason: Amount of credit requested}
  - {id: TERM, title: At most 72 months, require: term_months <= 72, otherwise: refer, reason: Length of maturity requested}
  - {id: NE, title: Little negative equity, require: "rolled_in_negative_equity <= $1,000", otherwise: flag,
     reason: Unpaid balance on trade-in vehicle exceeds limits}
overrides:
  reasons: {STRONG-INCOME: Income well above what the tier asks for}
  authority: [{role: credit-manager, max_amount: "$90,000", max_excess: "$9,000", unmeasured: true}]
  expires_after_days: 30
"""
)


class Base(DeclarativeBase):
    pass


class Vehicle(Base):
    __tablename__ = "vehicle"

    id: Mapped[int] = mapped_column(primary_key=True)
    condition: Mapped[str]
    colour: Mapped[str | None]
    values: Mapped[list["BookValue"]] = relationship(order_by="BookValue.id", cascade="all, delete-orphan")


class BookValue(Base):
    __tablename__ = "book_value"

    id: Mapped[int] = mapped_column(primary_key=True)
    vehicle_id: Mapped[int | None] = mapped_column(ForeignKey("vehicle.id"))
    amount: Mapped[Decimal] = mapped_column(Numeric(12, 2))


class Application(Base):
    __tablename__ = "application"

    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    term: Mapped[int] = mapped_column(server_default=text("60"))
    status: Mapped[str] = mapped_column(server_default="new")
    vehicle_id: Mapped[int] = mapped_column(ForeignKey("vehicle.id"))
    vehicle: Mapped[Vehicle] = relationship()
    trade_ins: Mapped[list["TradeIn"]] = relationship(
        back_populates="application", order_by="TradeIn.id", cascade="all, delete-orphan"
    )


class TradeIn(Base):
    __tablename__ = "trade_in"

    id: Mapped[int] = mapped_column(primary_key=True)
    application_id: Mapped[int | None] = mapped_column(ForeignKey("application.id"))
    allowance: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    payoff: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    remark: Mapped[str | None]
    application: Mapped[Application | None] = relationship(back_populates="trade_ins")


FIELDS = ("price", "term", "vehicle.condition", "vehicle.values.amount", "trade_ins.allowance", "trade_ins.payoff")


def deal_of(application: Application) -> dict[str, Any]:
    return {
        "deal_id": f"A-{application.id}",
        "submitted_on": "2026-11-20",
        "vehicle": {
            "condition": application.vehicle.condition,
            "values": [
                {"basis": f"book_{place}", "amount": str(one.amount)}
                for place, one in enumerate(application.vehicle.values)
            ],
        },
        "cash_price": str(application.price),
        "term_months": application.term,
        "trade_ins": [
            {"kind": "loan", "allowance": str(one.allowance), "acv": str(one.allowance), "payoff": str(one.payoff)}
            for one in application.trade_ins
        ],
    }


def watch_host(connection: Connection, mode: Mode = "record") -> None:
    watch(
        connection,
        "application",
        columns=["price", "term"],
        children=[
            Child("vehicle", "condition", referred_by="vehicle_id"),
            Child("book_value", "amount", owner="vehicle_id", of="vehicle"),
            Child("trade_in", ["allowance", "payoff"], owner="application_id"),
        ],
        mode=mode,
    )


@contextmanager
def host_tables(database: Engine, mode: Mode | None = "record") -> Iterator[Engine]:
    """The host's tables, and triggers on them; taken away again, so that the next test finds the database as it was."""
    with database.begin() as connection:
        Base.metadata.create_all(connection)
        if mode:
            watch_host(connection, mode)
    yield database
    with database.begin() as connection:
        unwatch(connection, "application")
        Base.metadata.drop_all(connection)


@contextmanager
def guarding(gate: Gate, cls: type[Any] = Application, **options: Any) -> Iterator[Guard]:
    asked: dict[str, Any] = {"mapping": deal_of, "fields": FIELDS, "actor": "desk"} | options
    guard = gate.guard(cls, **asked)
    try:
        yield guard
    finally:
        guard.stop()


def an_application(number: int | None = None, **changes: Any) -> Application:
    """New, of a used vehicle, within policy."""
    vehicle = Vehicle(condition="used", values=[BookValue(amount=Decimal("21000.00"))])
    application = Application(id=number, price=Decimal("20000.00"), vehicle=vehicle)
    put(application, **changes)
    return application


def a_trade(payoff: str = "5000.00", **more: Any) -> TradeIn:
    return TradeIn(allowance=Decimal("5000.00"), payoff=Decimal(payoff), **more)


def add(host: Engine, *applications: Application) -> None:
    with Session(host) as session, session.begin():
        session.add_all(applications)


def let_through(host: Engine, decision_id: str, *rules: str) -> None:
    """By an override that is asked for and granted."""
    now = datetime.now(UTC)
    with host.begin() as connection:
        words = {"actor": "ann", "reason": "STRONG-INCOME", "note": "Pay slips of a year seen."}
        asked = request_override(connection, decision_id, rules, now, **words).override
        grant_override(connection, asked.override_id, now, actor="ben", role="credit-manager")


def empty(host: Engine) -> None:
    """Take every row of the host's away, and what was noted of it."""
    with host.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
        connection.exec_driver_sql("DELETE FROM dealgate_unanswered_change")


def put(one: object, **values: Any) -> object:
    for name, value in values.items():
        setattr(one, name, value)
    return one


def structures(connection: Connection) -> dict[int, dict[str, Any]]:
    """The deal of every application as the database has it, read past all guards."""
    with Session(connection, join_transaction_mode="rollback_only") as session:
        return {one.id: deal_of(one) for one in session.scalars(select(Application))}


def decisions(database: Engine, deal_id: str | None = None) -> Sequence[tuple[str, int, str | None]]:
    """Which deal was decided, how often, and by whom, in order."""
    statement = select(Submission.deal_id, Submission.submission, Submission.actor).order_by(Submission.id)
    if deal_id:
        statement = statement.where(Submission.deal_id == deal_id)
    with database.connect() as connection:
        return [(row.deal_id, row.submission, row.actor) for row in connection.execute(statement)]
