"""The decision by which a deal stands: the last one about it, attempts that were refused and never written passed over."""

import json
from typing import NamedTuple

from sqlalchemy import bindparam, or_, select

from dealgate.models.joining import Writable
from dealgate.models.ledger import ENTRY_BY_ID, private_values
from dealgate.models.recording import DECISION, SUBMISSION, Recorded, as_recorded, same_deal
from dealgate.rules.deal import Deal

REFUSED = "refused:"
"""What the idempotency key of a refused attempt begins with. Its deal was never written, so the one before it stands."""

LAST_DECISION = (
    select(DECISION.c.decision_id)
    .join(SUBMISSION, SUBMISSION.c.id == DECISION.c.submission_id)
    .where(SUBMISSION.c.deal_id == bindparam("deal"))
    .where(or_(SUBMISSION.c.idempotency_key.is_(None), SUBMISSION.c.idempotency_key.not_like(f"{REFUSED}%")))
    .order_by(SUBMISSION.c.submission.desc())
    .limit(1)
)


class LastDecision(NamedTuple):
    """`same` tells whether it is about the deal as it is now. What was erased of it since cannot be compared: it is another then."""

    recorded: Recorded
    same: bool


def last_decision(session: Writable, deal: Deal) -> LastDecision | None:
    decision_id = session.execute(LAST_DECISION, {"deal": deal.deal_id}).scalar()
    found = session.execute(ENTRY_BY_ID, {"id": decision_id}).first() if decision_id else None
    if found is None:
        return None
    envelope, values = json.loads(found.envelope), private_values(session, [found.entry_id])[found.entry_id]
    kept = {value.path for value in values}
    is_whole = all(path in kept for path in envelope["private"] if path.startswith("/deal/"))
    same = is_whole and same_deal(envelope, values, deal.document())
    return LastDecision(as_recorded(found, envelope, values), same)
