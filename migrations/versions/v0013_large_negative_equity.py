"""The deals that rolled in negative equity, by how much: few among all, and asked for by an amount that fewer reach.

docs/benchmarks-compliance.md has the plan that justifies the index.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

NAME, DECISION, ROLLED_IN = (
    "ix_dealgate_decision_rolled_in",
    "dealgate_decision",
    "rolled_in_negative_equity_cents",
)
IS_ROLLED_IN = sa.text(f"{ROLLED_IN} > 0")


def upgrade() -> None:
    op.create_index(NAME, DECISION, [ROLLED_IN], postgresql_where=IS_ROLLED_IN, sqlite_where=IS_ROLLED_IN)


def downgrade() -> None:
    op.drop_index(NAME, DECISION)
