"""The tables. Every name carries the prefix `dealgate_`, so that they stand beside a host's own tables in one database.

Money is integer cents. A percent is the two integers it is the ratio of. A rate is in ten-thousandths of a percent.
"""

from datetime import date, datetime
from typing import ClassVar

from sqlalchemy import ForeignKey, Index, MetaData, String, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dealgate.models.types import Cents, Document, Exact, Hash, Moment, RowNumber, Sha256, Words

PREFIX = "dealgate_"


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {datetime: Moment}


class PolicyVersion(Base):
    """A policy document as it was given, and the content that decides, identified by the content's hash."""

    __tablename__ = PREFIX + "policy_version"
    __table_args__ = (UniqueConstraint("name", "version"),)

    sha256: Mapped[Sha256] = mapped_column(primary_key=True)
    name: Mapped[Words]
    version: Mapped[Words]
    title: Mapped[Words]
    effective_from: Mapped[date]
    effective_to: Mapped[date | None]
    document: Mapped[Document]
    content: Mapped[Document]
    recorded_at: Mapped[datetime]


class Deal(Base):
    """The head of a deal: how often it was submitted, what came of it last, and where its chain of ledger entries ends.

    `clock_from` is the day from which a notice may be owed about it, NULL where none is. All else about a deal is append-only.
    """

    __tablename__ = PREFIX + "deal"

    deal_id: Mapped[Words] = mapped_column(primary_key=True)
    submissions: Mapped[int]
    entries: Mapped[int] = mapped_column(server_default=text("0"))
    head: Mapped[Hash | None]
    outcome: Mapped[str | None] = mapped_column(String(20))
    decision_id: Mapped[str | None] = mapped_column(String(36))
    clock_from: Mapped[str | None] = mapped_column(String(10))


IS_OWED = text("clock_from IS NOT NULL")
Index(f"ix_{PREFIX}deal_owed", Deal.clock_from, Deal.deal_id, postgresql_where=IS_OWED, sqlite_where=IS_OWED)


class Submission(Base):
    """One attempt to book a deal: the fields of its document as columns, the personal ones apart.

    The document stands in the ledger entry of the decision about it.
    """

    __tablename__ = PREFIX + "submission"
    __table_args__ = (
        UniqueConstraint("deal_id", "submission"),
        Index(None, "dealer_id", "received_at"),
        Index(None, "state", "received_at"),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    deal_id: Mapped[Words] = mapped_column(ForeignKey(f"{PREFIX}deal.deal_id"))
    submission: Mapped[int]
    received_at: Mapped[datetime]
    actor: Mapped[Words | None]
    idempotency_key: Mapped[Words | None] = mapped_column(unique=True)

    submitted_on: Mapped[date]
    expected_funding_on: Mapped[date | None]
    channel: Mapped[str | None] = mapped_column(String(20))
    dealer_id: Mapped[Words | None]
    state: Mapped[str | None] = mapped_column(String(2))
    tier: Mapped[Words | None]
    first_time_buyer: Mapped[bool | None]
    covered_borrower: Mapped[bool | None]
    credit_report_as_of: Mapped[date | None]
    condition: Mapped[str] = mapped_column(String(20))
    model_year: Mapped[int | None]
    mileage: Mapped[int | None]
    cash_price_cents: Mapped[Cents]
    sales_tax_cents: Mapped[Cents]
    title_and_registration_cents: Mapped[Cents]
    doc_fee_cents: Mapped[Cents]
    cash_down_cents: Mapped[Cents]
    rebate_cents: Mapped[Cents]
    prepaid_finance_charge_cents: Mapped[Cents]
    term_months: Mapped[int]
    apr_ten_thousandths: Mapped[int | None]
    monthly_payment_cents: Mapped[Cents | None]


class TradeIn(Base):
    """One vehicle traded in."""

    __tablename__ = PREFIX + "trade_in"

    submission_id: Mapped[int] = mapped_column(RowNumber, ForeignKey(f"{PREFIX}submission.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(20))
    allowance_cents: Mapped[Cents | None]
    acv_cents: Mapped[Cents | None]
    payoff_cents: Mapped[Cents | None]
    payoff_good_through: Mapped[date | None]
    per_diem_cents: Mapped[Cents | None]


class Product(Base):
    """One product sold with the vehicle."""

    __tablename__ = PREFIX + "product"

    submission_id: Mapped[int] = mapped_column(RowNumber, ForeignKey(f"{PREFIX}submission.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[Words]
    price_cents: Mapped[Cents]


class BookValue(Base):
    """One value of the vehicle, on one basis."""

    __tablename__ = PREFIX + "book_value"

    submission_id: Mapped[int] = mapped_column(RowNumber, ForeignKey(f"{PREFIX}submission.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    basis: Mapped[Words]
    amount_cents: Mapped[Cents]
    as_of: Mapped[date | None]


class Decision(Base):
    """What was concluded about one submission, for queries. The record is the ledger entry of the same id.

    `inputs_number` is made of all columns of what was judged, but for the day and what is personal: alike for like deals.
    """

    __tablename__ = PREFIX + "decision"
    __table_args__ = (
        Index(None, "deal_id", "submission", "decided_at"),
        Index(None, "decided_at", "id", postgresql_include=["submission_id"]),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    decision_id: Mapped[str] = mapped_column(String(36), unique=True)
    submission_id: Mapped[int] = mapped_column(RowNumber, ForeignKey(f"{PREFIX}submission.id"), unique=True)
    deal_id: Mapped[Words] = mapped_column(ForeignKey(f"{PREFIX}deal.deal_id"))
    submission: Mapped[int]
    policy_sha256: Mapped[Sha256] = mapped_column(ForeignKey(f"{PREFIX}policy_version.sha256"), index=True)
    decided_at: Mapped[datetime]
    outcome: Mapped[str] = mapped_column(String(20), index=True)
    engine_agreed: Mapped[bool]
    inputs_number: Mapped[Exact | None]

    products_total_cents: Mapped[Cents | None]
    trade_allowance_cents: Mapped[Cents | None]
    trade_acv_cents: Mapped[Cents | None]
    trade_payoff_cents: Mapped[Cents | None]
    over_allowance_cents: Mapped[Cents | None]
    contract_negative_equity_cents: Mapped[Cents | None]
    economic_negative_equity_cents: Mapped[Cents | None]
    hidden_negative_equity_cents: Mapped[Cents | None]
    rolled_in_negative_equity_cents: Mapped[Cents | None]
    amount_financed_cents: Mapped[Cents | None]
    front_end_amount_cents: Mapped[Cents | None]
    collateral_value_cents: Mapped[Cents | None]
    total_ltv_numerator: Mapped[Exact | None]
    total_ltv_denominator: Mapped[Exact | None]
    front_end_ltv_numerator: Mapped[Exact | None]
    front_end_ltv_denominator: Mapped[Exact | None]
    negative_equity_to_value_numerator: Mapped[Exact | None]
    negative_equity_to_value_denominator: Mapped[Exact | None]
    monthly_payment_cents: Mapped[Cents | None]
    vehicle_age: Mapped[Exact | None]
    days_past_good_through: Mapped[Exact | None]
    per_diem_past_good_through_cents: Mapped[Cents | None]
    payoff_at_funding_cents: Mapped[Cents | None]
    amount_financed_at_funding_cents: Mapped[Cents | None]
    negative_equity_at_funding_cents: Mapped[Cents | None]
    book_value_age: Mapped[Exact | None]
    credit_report_age: Mapped[Exact | None]
    break_even_month: Mapped[Exact | None]
    peak_shortfall_cents: Mapped[Cents | None]
    deficiency_at_12_months_cents: Mapped[Cents | None]
    deficiency_at_24_months_cents: Mapped[Cents | None]
    projected_deficiency_cents: Mapped[Cents | None]


IS_ROLLED_IN = text("rolled_in_negative_equity_cents > 0")
Index(
    f"ix_{PREFIX}decision_rolled_in",
    Decision.rolled_in_negative_equity_cents,
    postgresql_where=IS_ROLLED_IN,
    sqlite_where=IS_ROLLED_IN,
)


class Finding(Base):
    """A finding that a person may ask about: violated, mitigated or not evaluable. The decision's document holds all.

    The values are cents, basis points (half up) or a count; NULL where they would tell a personal value.
    """

    __tablename__ = PREFIX + "finding"
    __table_args__ = (Index(None, "rule", "result", "decision"),)

    decision: Mapped[int] = mapped_column(RowNumber, ForeignKey(f"{PREFIX}decision.id"), primary_key=True)
    rule: Mapped[str] = mapped_column(String(60), primary_key=True)
    result: Mapped[str] = mapped_column(String(20))
    severity: Mapped[str] = mapped_column(String(20))
    reason: Mapped[Words | None]
    measure: Mapped[Document | None]
    unit: Mapped[str | None] = mapped_column(String(20))
    measured_value: Mapped[Exact | None]
    limit_value: Mapped[Exact | None]
    margin_value: Mapped[Exact | None]
    used_consumer_report: Mapped[bool]
