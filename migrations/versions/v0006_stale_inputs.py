"""Columns for the dates that inputs go stale by, and for the measures of that; unknown for what was recorded before."""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from dealgate.migrations import guards
from dealgate.models.commitments import disclose
from dealgate.models.projections import decision_columns, submission_columns
from dealgate.rules.deal import Deal

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SUBMISSION, DECISION = "dealgate_submission", "dealgate_decision"
COLUMNS: Mapping[str, Mapping[str, sa.types.TypeEngine[Any]]] = {
    SUBMISSION: {"expected_funding_on": sa.Date(), "credit_report_as_of": sa.Date()},
    DECISION: {
        "days_past_good_through": sa.BigInteger(),
        "per_diem_past_good_through_cents": sa.BigInteger(),
        "payoff_at_funding_cents": sa.BigInteger(),
        "amount_financed_at_funding_cents": sa.BigInteger(),
        "negative_equity_at_funding_cents": sa.BigInteger(),
        "book_value_age": sa.BigInteger(),
        "credit_report_age": sa.BigInteger(),
    },
}
TELLING = ("expected_funding_on", "credit_report_as_of", "payoff_at_funding")
"""Words of the entries that have something for these columns."""


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind, nullable=True))
    _fill(op.get_bind())


def downgrade() -> None:
    for table, columns in COLUMNS.items():
        for name in columns:
            op.drop_column(table, name)


def _fill(connection: sa.Connection) -> None:
    """A database that was taken down below this revision has lost the columns; its entries still tell them.

    They are sought by the database itself: on the way up from before, no entry need leave it.
    """
    entries, last = _entries_that_tell(connection), 0
    while rows := connection.execute(entries, {"last": last}).all():
        with guards.suspended(connection, "refuses_update", (SUBMISSION, DECISION)):
            for row in rows:
                envelope = json.loads(row.envelope)
                plain = disclose(envelope, [], envelope["private"])
                _update(connection, SUBMISSION, row.submission_id, submission_columns(Deal.read(plain["deal"])))
                _update(connection, DECISION, row.id, decision_columns(plain["decision"]))
        last = rows[-1].id


def _entries_that_tell(connection: sa.Connection) -> sa.TextClause:
    holds = "instr(b.envelope, CAST('{}' AS BLOB)) > 0"
    if connection.dialect.name != "sqlite":
        holds = "position(convert_to('{}', 'UTF8') IN b.envelope) > 0"
    return sa.text(
        "SELECT d.id, d.submission_id, b.envelope FROM dealgate_decision d "
        "JOIN dealgate_ledger_entry e ON e.entry_id = d.decision_id JOIN dealgate_ledger_body b ON b.entry = e.id "
        f"WHERE d.id > :last AND ({' OR '.join(map(holds.format, TELLING))}) ORDER BY d.id LIMIT 500"
    )


def _update(connection: sa.Connection, table: str, row: int, told: Mapping[str, Any]) -> None:
    columns = COLUMNS[table]
    kinds = [sa.bindparam(name, type_=kind) for name, kind in columns.items()]
    statement = sa.text(f"UPDATE {table} SET {', '.join(f'{name} = :{name}' for name in columns)} WHERE id = :id")
    connection.execute(statement.bindparams(*kinds), {"id": row, **{name: told.get(name) for name in columns}})
