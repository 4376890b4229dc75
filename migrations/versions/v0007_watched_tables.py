"""What a host's tables are watched for, and what was changed there behind the guard."""

import sqlalchemy as sa
from alembic import op

from dealgate.migrations import watching

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "dealgate_watched_table",
        sa.Column("table_name", sa.String(200), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("table_name", name="pk_dealgate_watched_table"),
    )
    op.create_table(
        "dealgate_unanswered_change",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("table_name", sa.String(200), nullable=False),
        sa.Column("row_key", sa.Text(), nullable=False),
        sa.Column("changed_table", sa.String(200), nullable=False),
        sa.Column("operation", sa.String(20), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("transaction_id", sa.String(20), nullable=True),
        sa.Column("changed_by", sa.Text(), nullable=True),
        sa.Column("undecided", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["undecided"],
            ["dealgate_decision.decision_id"],
            name="fk_dealgate_unanswered_change_undecided",
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_dealgate_unanswered_change"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_dealgate_unanswered_change_table_name_row_key", "dealgate_unanswered_change", ["table_name", "row_key"]
    )
    op.create_index("ix_dealgate_unanswered_change_transaction_id", "dealgate_unanswered_change", ["transaction_id"])


def downgrade() -> None:
    """A trigger without the table that it writes to would refuse every change of the host's."""
    watching.unwatch_all(op.get_bind())
    op.drop_table("dealgate_unanswered_change")
    op.drop_table("dealgate_watched_table")
