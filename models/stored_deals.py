"""The deals behind the submissions of a database, for whoever judges them all again."""

from collections.abc import Iterator

from sqlalchemy import func, select

from dealgate.models.recording import SUBMISSION, Writable

AT_ONCE = 1_000


def count_deals(session: Writable) -> int:
    """How many deals have been submitted, however often."""
    found: int = session.execute(select(func.count(SUBMISSION.c.deal_id.distinct()))).scalar_one()
    return found


def stored_deals(session: Writable) -> Iterator[tuple[int, str]]:
    """The document of each deal as it was last submitted, with the number of that submission's row, in the order of submission."""
    last = select(func.max(SUBMISSION.c.id)).group_by(SUBMISSION.c.deal_id)
    statement = (
        select(SUBMISSION.c.id, SUBMISSION.c.document).where(SUBMISSION.c.id.in_(last)).order_by(SUBMISSION.c.id)
    )
    for row in session.execute(statement, execution_options={"yield_per": AT_ONCE}):
        yield row.id, row.document
