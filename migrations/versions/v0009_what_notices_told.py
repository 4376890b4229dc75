"""What a notice told: by which channel it went, about which decision, with which reasons."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NOTICE = "dealgate_notice"


def upgrade() -> None:
    op.add_column(NOTICE, sa.Column("channel", sa.String(20), nullable=True))
    op.add_column(NOTICE, sa.Column("decision_id", sa.String(36), nullable=True))
    op.add_column(NOTICE, sa.Column("reasons", sa.Text(), nullable=True))


def downgrade() -> None:
    for column in ("reasons", "decision_id", "channel"):
        op.drop_column(NOTICE, column)
