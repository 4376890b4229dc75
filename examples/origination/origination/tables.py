"""The lender's own tables: an application with its collateral, and the trade-ins."""

import os
from datetime import date
from decimal import Decimal

from sqlalchemy import ForeignKey, Numeric, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from dealgate.adapters.database import open_database
from dealgate.models import Decision

ENGINE = open_database(os.environ.get("DATABASE_URL", "sqlite:///origination.db"))


class Base(DeclarativeBase):
    type_annotation_map = {Decimal: Numeric(12, 2), str: String(40)}  # noqa: RUF012  as SQLAlchemy has it


class LoanApplication(Base):
    """Known by a number that is never given twice: what was decided about it stays on record under that number."""

    __tablename__ = "loan_application"

    number: Mapped[str] = mapped_column(primary_key=True)
    received_on: Mapped[date]
    status: Mapped[str] = mapped_column(default="open")
    funded_on: Mapped[str | None] = mapped_column(ForeignKey(Decision.__table__.c.decision_id, ondelete="SET NULL"))

    tier: Mapped[str]
    monthly_income: Mapped[Decimal]
    book_value: Mapped[Decimal]
    price: Mapped[Decimal]
    sales_tax: Mapped[Decimal]
    cash_down: Mapped[Decimal]
    term_months: Mapped[int]
    apr_percent: Mapped[Decimal]
    trade_ins: Mapped[list["TradeIn"]] = relationship(order_by="TradeIn.id", cascade="all, delete-orphan")


class TradeIn(Base):
    __tablename__ = "trade_in"

    id: Mapped[int] = mapped_column(primary_key=True)
    application: Mapped[str] = mapped_column(ForeignKey(LoanApplication.number))
    allowance: Mapped[Decimal]
    appraised: Mapped[Decimal]
    payoff: Mapped[Decimal]
