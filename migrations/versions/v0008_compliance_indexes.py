"""Indexes for what compliance asks and for what verification looks for. docs/benchmarks-compliance.md has the plans that justify each."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_dealgate_submission_dealer_id_received_at": ("dealgate_submission", ["dealer_id", "received_at"]),
    "ix_dealgate_submission_state_received_at": ("dealgate_submission", ["state", "received_at"]),
    "ix_dealgate_finding_rule_result_decision": ("dealgate_finding", ["rule", "result", "decision"]),
    "ix_dealgate_override_step_step_recorded_at": ("dealgate_override_step", ["step", "recorded_at"]),
    "ix_dealgate_notice_kind_sent_at": ("dealgate_notice", ["kind", "sent_at"]),
}
KEYS, ENTRY = "ix_dealgate_ledger_entry_key_rotation", "dealgate_ledger_entry"
OF_KEYS = sa.text("kind = 'key_rotation'")
TOGETHER = "dealgate_finding_rule_result"
"""Without it PostgreSQL takes a rule and a result for independent, and looks for what never comes together decision by decision."""


def upgrade() -> None:
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)
    op.create_index(KEYS, ENTRY, ["id"], postgresql_where=OF_KEYS, sqlite_where=OF_KEYS)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"CREATE STATISTICS {TOGETHER} (mcv) ON rule, result FROM dealgate_finding")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"DROP STATISTICS {TOGETHER}")
    op.drop_index(KEYS, ENTRY)
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table)
