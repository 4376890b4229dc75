"""Overrides: asked for, granted, denied, step by step, and the findings they name."""

import sqlalchemy as sa
from alembic import op

from dealgate.migrations import guards

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
STEP, FINDING = "dealgate_override_step", "dealgate_override_finding"


def upgrade() -> None:
    op.create_table(
        STEP,
        sa.Column("entry", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("override_id", sa.String(36), nullable=False),
        sa.Column("deal_id", sa.String(200), nullable=False),
        sa.Column("decision_id", sa.String(36), nullable=False),
        sa.Column("step", sa.String(20), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("side", sa.String(20), nullable=True),
        sa.Column("reason", sa.String(60), nullable=True),
        sa.Column("persons", sa.Integer(), nullable=True),
        sa.Column("role", sa.String(200), nullable=True),
        sa.Column("ends_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["entry"], ["dealgate_ledger_entry.id"], name=f"fk_{STEP}_entry"),
        sa.ForeignKeyConstraint(["deal_id"], ["dealgate_deal.deal_id"], name=f"fk_{STEP}_deal_id"),
        sa.ForeignKeyConstraint(["decision_id"], ["dealgate_decision.decision_id"], name=f"fk_{STEP}_decision_id"),
        sa.PrimaryKeyConstraint("entry", name=f"pk_{STEP}"),
    )
    for column in ("override_id", "deal_id", "decision_id"):
        op.create_index(f"ix_{STEP}_{column}", STEP, [column])
    op.create_table(
        FINDING,
        sa.Column("entry", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("rule", sa.String(60), nullable=False),
        sa.ForeignKeyConstraint(["entry"], ["dealgate_ledger_entry.id"], name=f"fk_{FINDING}_entry"),
        sa.PrimaryKeyConstraint("entry", "rule", name=f"pk_{FINDING}"),
    )
    guards.install(op.get_bind(), revision)


def downgrade() -> None:
    guards.remove(op.get_bind(), revision)
    op.drop_table(FINDING)
    op.drop_table(STEP)
