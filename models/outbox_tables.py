"""The tables by which others are told what happened: who is told of what, and what is still to be told. No record, but work to do."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from dealgate.models.ledger_tables import ENTRY
from dealgate.models.tables import PREFIX, Base
from dealgate.models.types import RowNumber

WAITING, DELIVERED, DEAD, WITHDRAWN = STATES = ("waiting", "delivered", "dead", "withdrawn")
"""Withdrawn is what is no longer to be told: the version never came into force, the decision was purged, the subscriber left."""

DECISION_MADE, OVERRIDE_GRANTED, POLICY_IN_FORCE = EVENTS = ("decision.made", "override.granted", "policy.in_force")

LONGEST_ERROR = 200
IS_WAITING = text("state = 'waiting'")
IS_OPEN = text("state IN ('waiting', 'dead')")
IS_SETTLED = text("settled_at IS NOT NULL")


class Subscription(Base):
    """A subscriber, by name, is told of an event. Where to and signed with what is configuration and no business of the database's."""

    __tablename__ = PREFIX + "subscription"

    subscriber: Mapped[str] = mapped_column(String(60), primary_key=True)
    event: Mapped[str] = mapped_column(String(30), primary_key=True)
    since: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class OutboxEvent(Base):
    """A subscriber is to be told of an entry. Triggers write it, in the transaction of the entry; who delivers works it off.

    What has the same subscriber and `subject` is told in the order of `turn`: of a deal, the places in its chain; of a policy, the
    moments at which its versions come into force, in microseconds. `first_due_at` is from when it is to be told, `due_at` when it is
    next to be tried, `attempts` how often it was.
    """

    __tablename__ = PREFIX + "outbox"
    __table_args__ = (
        UniqueConstraint("entry", "subscriber"),
        Index(
            "ix_dealgate_outbox_due", "subscriber", "due_at", "id", postgresql_where=IS_WAITING, sqlite_where=IS_WAITING
        ),
        Index(
            "ix_dealgate_outbox_turn", "subscriber", "subject", "turn", postgresql_where=IS_OPEN, sqlite_where=IS_OPEN
        ),
        Index("ix_dealgate_outbox_settled", "settled_at", postgresql_where=IS_SETTLED, sqlite_where=IS_SETTLED),
        # A number is given once: who retries names it.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    subscriber: Mapped[str] = mapped_column(String(60))
    entry: Mapped[int] = mapped_column(RowNumber, ForeignKey(ENTRY))
    event: Mapped[str] = mapped_column(String(30))
    subject: Mapped[str] = mapped_column(String(210))
    turn: Mapped[int] = mapped_column(BigInteger)
    first_due_at: Mapped[datetime]
    due_at: Mapped[datetime]
    attempts: Mapped[int]
    state: Mapped[str] = mapped_column(String(20))
    settled_at: Mapped[datetime | None]
    status: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(String(LONGEST_ERROR))
