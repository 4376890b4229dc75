"""What reports on ten million decisions walk: the day of a deal's clock, a number of a decision's inputs, and indexes that cover.

docs/benchmarks-compliance.md has the plans that justify each index.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from dealgate.migrations import guards
from dealgate.models import tables
from dealgate.models.ledger import table
from dealgate.models.open_clocks import CLOCK_FROM
from dealgate.models.projections import number_of

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

DEAL, DECISION, ENTRY = "dealgate_deal", "dealgate_decision", "dealgate_ledger_entry"
OWED = "ix_dealgate_deal_owed"
IS_OWED = sa.text("clock_from IS NOT NULL")
BY_DEAL, BY_MOMENT = "ix_dealgate_decision_deal_id_submission_decided_at", "ix_dealgate_decision_decided_at_id"
RECORDED = "ix_dealgate_ledger_entry_recorded_at"
REPLACED = {
    "ix_dealgate_decision_deal_id": (DECISION, ["deal_id"]),
    "ix_dealgate_decision_decided_at": (DECISION, ["decided_at"]),
}
"""What the new ones begin with."""

AT_ONCE = 5_000


def upgrade() -> None:
    connection = op.get_bind()
    op.add_column(DEAL, sa.Column("clock_from", sa.String(10), nullable=True))
    op.add_column(DECISION, sa.Column("inputs_number", sa.BigInteger(), nullable=True))
    owed = sa.update(table(tables.Deal)).where(CLOCK_FROM.is_not(None)).values(clock_from=CLOCK_FROM)
    plain = owed.compile(connection, compile_kwargs={"literal_binds": True})
    connection.exec_driver_sql(str(plain), execution_options=guards.PLAIN)
    _number_inputs(connection)
    for name, (of, _) in REPLACED.items():
        op.drop_index(name, of)
    op.create_index(BY_DEAL, DECISION, ["deal_id", "submission", "decided_at"])
    op.create_index(BY_MOMENT, DECISION, ["decided_at", "id"], postgresql_include=["submission_id"])
    op.create_index(OWED, DEAL, ["clock_from", "deal_id"], postgresql_where=IS_OWED, sqlite_where=IS_OWED)
    op.create_index(RECORDED, ENTRY, ["recorded_at"], postgresql_using="brin")


def downgrade() -> None:
    op.drop_index(RECORDED, ENTRY)
    op.drop_index(OWED, DEAL)
    op.drop_index(BY_MOMENT, DECISION)
    op.drop_index(BY_DEAL, DECISION)
    for name, (of, columns) in REPLACED.items():
        op.create_index(name, of, columns)
    op.drop_column(DECISION, "inputs_number")
    op.drop_column(DEAL, "clock_from")


PARTS = tuple(map(table, (tables.TradeIn, tables.Product, tables.BookValue)))
SUBMISSION = table(tables.Submission)
APART = {"id", "submission", "received_at", "actor", "idempotency_key"}
"""Columns of a submission that are no part of its document."""


def _number_inputs(connection: sa.Connection) -> None:
    last = 0
    of_inputs = select_submissions()
    numbered = sa.text(f"UPDATE {DECISION} SET inputs_number = :number WHERE submission_id = :submission")
    while rows := connection.execute(of_inputs, {"last": last}).all():
        last = rows[-1].id
        with guards.suspended(connection, "refuses_update", (DECISION,)):
            connection.execute(numbered, list(_numbers(connection, rows)))


def select_submissions() -> sa.Select[Any]:
    return sa.select(SUBMISSION).where(SUBMISSION.c.id > sa.bindparam("last")).order_by(SUBMISSION.c.id).limit(AT_ONCE)


def _numbers(connection: sa.Connection, rows: Any) -> Iterator[Mapping[str, Any]]:
    parts = [_parts(connection, part, rows[0].id, rows[-1].id) for part in PARTS]
    for row in rows:
        columns = {name: value for name, value in row._mapping.items() if name not in APART}
        yield {"submission": row.id, "number": number_of(columns, [part.get(row.id, []) for part in parts])}


def _parts(connection: sa.Connection, part: sa.Table, first: int, last: int) -> dict[int, list[Mapping[str, Any]]]:
    found: dict[int, list[Mapping[str, Any]]] = {}
    between = sa.select(part).where(part.c.submission_id.between(first, last))
    for row in connection.execute(between.order_by(part.c.submission_id, part.c.position)):
        told = {name: value for name, value in row._mapping.items() if name != "submission_id"}
        found.setdefault(row.submission_id, []).append(told)
    return found
