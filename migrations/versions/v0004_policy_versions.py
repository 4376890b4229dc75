"""The life of policy versions, step by step, and what shadow versions make of the deals."""

import sqlalchemy as sa
from alembic import op

from dealgate.migrations import guards

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "dealgate_policy_step",
        sa.Column("entry", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("step", sa.String(20), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("starts_at", MOMENT, nullable=True),
        sa.Column("ends_at", MOMENT, nullable=True),
        sa.Column("share", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["entry"], ["dealgate_ledger_entry.id"], name="fk_dealgate_policy_step_entry"),
        sa.ForeignKeyConstraint(["sha256"], ["dealgate_policy_version.sha256"], name="fk_dealgate_policy_step_sha256"),
        sa.PrimaryKeyConstraint("entry", name="pk_dealgate_policy_step"),
    )
    op.create_table(
        "dealgate_shadow_decision",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("decision_id", sa.String(36), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("outcome", sa.String(20), nullable=True),
        sa.Column("live_outcome", sa.String(20), nullable=False),
        sa.Column("flips", sa.Text(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["dealgate_decision.decision_id"], name="fk_dealgate_shadow_decision_decision_id"
        ),
        sa.ForeignKeyConstraint(
            ["sha256"], ["dealgate_policy_version.sha256"], name="fk_dealgate_shadow_decision_sha256"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_dealgate_shadow_decision"),
    )
    op.create_index("ix_dealgate_shadow_decision_decision_id", "dealgate_shadow_decision", ["decision_id"])
    op.create_index("ix_dealgate_shadow_decision_sha256", "dealgate_shadow_decision", ["sha256"])
    guards.install(op.get_bind(), revision)


def downgrade() -> None:
    guards.remove(op.get_bind(), revision)
    op.drop_table("dealgate_shadow_decision")
    op.drop_table("dealgate_policy_step")
