"""The tables of overrides: each step of each one, and the findings it names. They repeat what the entries say, and nothing personal."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from dealgate.models.ledger_tables import ENTRY
from dealgate.models.tables import PREFIX, Base
from dealgate.models.types import RowNumber, Words


class OverrideStep(Base):
    """An override was asked for, granted by one person, or denied. `override_id` is the id of the request's entry.

    `side`, `reason` and `persons`, how many must grant, stand on the request; `role` and `ends_at` on a grant.
    """

    __tablename__ = PREFIX + "override_step"
    __table_args__ = (Index(None, "step", "recorded_at"),)

    entry: Mapped[int] = mapped_column(RowNumber, ForeignKey(ENTRY), primary_key=True, autoincrement=False)
    override_id: Mapped[str] = mapped_column(String(36), index=True)
    deal_id: Mapped[Words] = mapped_column(ForeignKey(f"{PREFIX}deal.deal_id"), index=True)
    decision_id: Mapped[str] = mapped_column(String(36), ForeignKey(f"{PREFIX}decision.decision_id"), index=True)
    step: Mapped[str] = mapped_column(String(20))
    actor: Mapped[Words]
    recorded_at: Mapped[datetime]
    side: Mapped[str | None] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(String(60))
    persons: Mapped[int | None]
    role: Mapped[Words | None]
    ends_at: Mapped[datetime | None]


class OverrideFinding(Base):
    """A finding that an override names; `entry` is the request's."""

    __tablename__ = PREFIX + "override_finding"

    entry: Mapped[int] = mapped_column(RowNumber, ForeignKey(ENTRY), primary_key=True, autoincrement=False)
    rule: Mapped[str] = mapped_column(String(60), primary_key=True)
