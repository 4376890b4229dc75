"""API keys of the service: as they were issued, and their revocations."""

import sqlalchemy as sa
from alembic import op

from dealgate.migrations import guards

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
KEY, REVOCATION = "dealgate_api_key", "dealgate_api_key_revocation"


def upgrade() -> None:
    op.create_table(
        KEY,
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("entry", ROW_NUMBER, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("authorities", sa.Text(), nullable=False),
        sa.Column("issued_at", MOMENT, nullable=False),
        sa.Column("issued_by", sa.String(200), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["entry"], ["dealgate_ledger_entry.id"], name=f"fk_{KEY}_entry"),
        sa.PrimaryKeyConstraint("key_id", name=f"pk_{KEY}"),
        sa.UniqueConstraint("entry", name=f"uq_{KEY}_entry"),
    )
    op.create_table(
        REVOCATION,
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("entry", ROW_NUMBER, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=False),
        sa.Column("revoked_by", sa.String(200), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], [f"{KEY}.key_id"], name=f"fk_{REVOCATION}_key_id"),
        sa.ForeignKeyConstraint(["entry"], ["dealgate_ledger_entry.id"], name=f"fk_{REVOCATION}_entry"),
        sa.PrimaryKeyConstraint("key_id", name=f"pk_{REVOCATION}"),
        sa.UniqueConstraint("entry", name=f"uq_{REVOCATION}_entry"),
    )
    guards.install(op.get_bind(), revision)


def downgrade() -> None:
    guards.remove(op.get_bind(), revision)
    op.drop_table(REVOCATION)
    op.drop_table(KEY)
