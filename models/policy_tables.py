"""The tables of policy versions' lives: each step of each version, and what shadow versions make of the deals."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from dealgate.models.ledger_tables import ENTRY
from dealgate.models.tables import PREFIX, Base
from dealgate.models.types import Document, RowNumber, Sha256, Words

VERSION = f"{PREFIX}policy_version.sha256"


class PolicyStep(Base):
    """One step in the life of a policy version: who took it, and from when to when it counts.

    `share` is how many of ten thousand deals a shadow looks at.
    """

    __tablename__ = PREFIX + "policy_step"

    entry: Mapped[int] = mapped_column(RowNumber, ForeignKey(ENTRY), primary_key=True, autoincrement=False)
    sha256: Mapped[Sha256] = mapped_column(ForeignKey(VERSION))
    step: Mapped[str] = mapped_column(String(20))
    actor: Mapped[Words]
    recorded_at: Mapped[datetime]
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    share: Mapped[int | None]


class ShadowDecision(Base):
    """What a shadow version made of a submission, or how it failed: apart from the decision, which it does not touch.

    `flips` are the rules whose results differ, as JSON: the live one's and the shadow's, null where one lacks the rule.
    """

    __tablename__ = PREFIX + "shadow_decision"

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    decision_id: Mapped[str] = mapped_column(String(36), ForeignKey(f"{PREFIX}decision.decision_id"), index=True)
    sha256: Mapped[Sha256] = mapped_column(ForeignKey(VERSION), index=True)
    recorded_at: Mapped[datetime]
    outcome: Mapped[str | None] = mapped_column(String(20))
    live_outcome: Mapped[str] = mapped_column(String(20))
    flips: Mapped[Document]
    failure: Mapped[Document | None]
