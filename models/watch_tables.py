"""The tables by which the database tells what was changed behind the guard: no record, but a list of what is still to be decided."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from dealgate.models.tables import PREFIX, Base
from dealgate.models.types import Document, RowNumber, Words


class UnansweredChange(Base):
    """A row of a host's table changed, and no decision has answered for that yet.

    Triggers on the host's tables write it, in the transaction of the change; who decides deletes it. `undecided` is NULL where a
    change may stay unanswered. Else no decision has the id that stands there, and so the transaction cannot commit before it is answered.
    """

    __tablename__ = PREFIX + "unanswered_change"
    __table_args__ = (
        Index("ix_dealgate_unanswered_change_table_name_row_key", "table_name", "row_key"),
        # A number is given once: what came after a moment is told by it.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    table_name: Mapped[Words]
    row_key: Mapped[Document]
    changed_table: Mapped[Words]
    operation: Mapped[str] = mapped_column(String(20))
    changed_at: Mapped[datetime]
    transaction_id: Mapped[str | None] = mapped_column(String(20), index=True)
    changed_by: Mapped[Document | None]
    undecided: Mapped[Document | None] = mapped_column(
        ForeignKey(f"{PREFIX}decision.decision_id", deferrable=True, initially="DEFERRED")
    )


class WatchedTable(Base):
    """A host's table on which the triggers must stand, and what they watch, as JSON."""

    __tablename__ = PREFIX + "watched_table"

    table_name: Mapped[Words] = mapped_column(primary_key=True)
    definition: Mapped[Document]
