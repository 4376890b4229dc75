"""What counts can be taken by: of decisions, of their findings, of overrides. Unknown is the empty text, so that it has a place."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, func, literal, literal_column, select, true

from dealgate.adapters.compliance.asking import Asked
from dealgate.adapters.compliance.known import decided, in_period
from dealgate.models.moments_in_sql import utc_month
from dealgate.models.recording import DECISION, SUBMISSION, VERSION

NOTHING: Any = literal_column("''")
"""Written out: a parameter in the list of columns would be another one than that in GROUP BY."""

DIMENSIONS: dict[str, Any] = {
    "program": VERSION.c.name,
    "version": VERSION.c.version,
    "tier": SUBMISSION.c.tier,
    "dealer": SUBMISSION.c.dealer_id,
    "state": SUBMISSION.c.state,
    "channel": SUBMISSION.c.channel,
    "condition": SUBMISSION.c.condition,
    "month": utc_month(DECISION.c.decided_at),
    "outcome": DECISION.c.outcome,
}
"""Of a decision."""

MEANINGS = {
    "program": "the policy that decided",
    "version": "the version of that policy",
    "tier": "the applicant's tier",
    "dealer": "the dealer",
    "state": "the state",
    "channel": "indirect or direct",
    "condition": "new or used",
    "month": "the month of the decision, in UTC",
    "outcome": "the decision's outcome",
}


def labelled(by: Sequence[str], dimensions: Mapping[str, Any]) -> list[ColumnElement[Any]]:
    return [func.coalesce(dimensions[name], NOTHING).label(name) for name in by]


def grouped(statement: Select[Any], by: Sequence[str], dimensions: Mapping[str, Any]) -> Select[Any]:
    """A statement's counts, one row for each of what they are taken by."""
    return statement.group_by(*(func.coalesce(dimensions[name], NOTHING) for name in by))


def with_decisions(counts: Select[Any], asked: Asked, *where: Any) -> Select[Any]:
    """Counts with the number of decisions in the period beside them, those alike in all that decisions are counted by.

    With decisions that nothing is counted of, so that rows are missing nowhere, except by what only findings or overrides have.
    """
    shared = [name for name in asked.by if name in DIMENSIONS]
    of_decisions = select(*labelled(shared, DIMENSIONS), func.count().label("decisions")).select_from(
        decided(asked, shared)
    )
    of_decisions = of_decisions.where(in_period(DECISION.c.decided_at, asked), *where)
    decisions = grouped(of_decisions, shared, DIMENSIONS).subquery("decided")
    counted = counts.subquery("counted")
    alike = and_(true(), *(counted.c[name] == decisions.c[name] for name in shared))
    joined: FromClause = (
        decisions.join(counted, alike, isouter=True) if len(shared) == len(asked.by) else counted.join(decisions, alike)
    )
    by = [(decisions if name in shared else counted).c[name].label(name) for name in asked.by]
    numbers = [
        func.coalesce(column, literal(0)).label(column.name) for column in counted.c if column.name not in asked.by
    ]
    return select(*by, *numbers, decisions.c.decisions).select_from(joined)
