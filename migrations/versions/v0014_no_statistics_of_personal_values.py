"""PostgreSQL's planner keeps samples of every column, and no erasure reaches them: of personal values and salts it keeps none."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

PRIVATE, COLUMNS = "dealgate_ledger_private", ("salt", "value")


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for column in COLUMNS:
        op.execute(f"ALTER TABLE {PRIVATE} ALTER COLUMN {column} SET STATISTICS 0")
        # To the type that it has: no row is written, and the samples that there are go.
        op.execute(f"ALTER TABLE {PRIVATE} ALTER COLUMN {column} TYPE bytea")


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for column in COLUMNS:
        op.execute(f"ALTER TABLE {PRIVATE} ALTER COLUMN {column} SET STATISTICS -1")
