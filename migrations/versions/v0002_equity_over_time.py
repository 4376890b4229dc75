"""Columns for the measures of equity over time; unknown for decisions made before."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = (
    "break_even_month",
    "peak_shortfall_cents",
    "deficiency_at_12_months_cents",
    "deficiency_at_24_months_cents",
    "projected_deficiency_cents",
)


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("dealgate_decision", sa.Column(name, sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for name in reversed(COLUMNS):
        op.drop_column("dealgate_decision", name)
