"""What is in the outbox, to be looked at: each event with where it stands and what waits behind it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from dealgate.adapters.outbox.work import FIRST_OF_SUBJECT, OUTBOX, STATE
from dealgate.models.ledger import ENTRY
from dealgate.models.outbox_tables import DEAD, WAITING
from dealgate.rules.decision import moment

later = OUTBOX.alias("later")
BEHIND = (
    select(func.count())
    .where(
        later.c.subscriber == OUTBOX.c.subscriber,
        later.c.subject == OUTBOX.c.subject,
        later.c.turn > OUTBOX.c.turn,
        later.c.state == STATE[WAITING],
    )
    .correlate(OUTBOX)
    .scalar_subquery()
)
LISTED = (
    select(OUTBOX, ENTRY.c.entry_id, BEHIND.label("behind"), (OUTBOX.c.turn > FIRST_OF_SUBJECT).label("waits_behind"))
    .join(ENTRY, ENTRY.c.id == OUTBOX.c.entry)
    .order_by(OUTBOX.c.id.desc())
)
IS_OPEN = OUTBOX.c.state.in_(STATE.values())


class Listed(NamedTuple):
    """An event. `behind` is how many wait for it, `waits_behind` whether it waits for an earlier one itself."""

    id: int
    subscriber: str
    event: str
    subject: str
    entry_id: str
    state: str
    attempts: int
    first_due_at: datetime
    due_at: datetime
    settled_at: datetime | None
    status: int | None
    error: str | None
    behind: int
    waits_behind: bool

    def document(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {name: moment(value) if isinstance(value, datetime) else value for name, value in self._asdict().items()}


def listed(connection: Connection, state: str | None = None, most: int = 50) -> Sequence[Listed]:
    """Events in a state, or what is still to be told and what is dead; the latest first."""
    statement = LISTED.where(IS_OPEN if state is None else OUTBOX.c.state == state).limit(most)
    return [_listed(row._mapping) for row in connection.execute(statement)]


def _listed(row: Any) -> Listed:
    is_open = row["state"] in {WAITING, DEAD}
    told = {name: row[name] for name in Listed._fields}
    told |= {"behind": row["behind"] if is_open else 0, "waits_behind": bool(row["waits_behind"]) and is_open}
    return Listed(**told)
