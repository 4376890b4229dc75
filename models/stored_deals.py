"""The deals behind the submissions of a database, for whoever judges them all again."""

import json
from collections.abc import Iterator

from sqlalchemy import func, select

from dealgate.models.envelope import read_deal
from dealgate.models.joining import Writable
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY, private_values
from dealgate.models.numbered_rows import in_turn
from dealgate.models.recording import DECISION, SUBMISSION, plain_json

AT_ONCE = 1_000


def count_deals(session: Writable) -> int:
    """How many deals have been submitted, however often."""
    found: int = session.execute(select(func.count(SUBMISSION.c.deal_id.distinct()))).scalar_one()
    return found


def stored_deals(session: Writable) -> Iterator[tuple[int, str]]:
    """The document of each deal as it was last submitted, with the number of that submission's row, in the order of submission.

    What was erased of it since is left out, and so unknown. Raises `DamagedDatabaseError`.
    """
    latest = select(func.max(SUBMISSION.c.id)).group_by(SUBMISSION.c.deal_id)
    statement = (
        select(SUBMISSION.c.id, DECISION.c.decision_id, BODY.c.envelope)
        .join(DECISION, DECISION.c.submission_id == SUBMISSION.c.id)
        .join(ENTRY, ENTRY.c.entry_id == DECISION.c.decision_id)
        .join(BODY, BODY_OF_ENTRY)
        .where(SUBMISSION.c.id.in_(latest))
    )
    for rows in in_turn(session, statement, SUBMISSION.c.id, AT_ONCE):
        values = private_values(session, [row.decision_id for row in rows])
        for row in rows:
            yield row.id, plain_json(read_deal(json.loads(row.envelope), values[row.decision_id]))
