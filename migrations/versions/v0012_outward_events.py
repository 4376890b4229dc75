"""Who is told of what, and what is still to be told; written by triggers in the transaction of what happened."""

import sqlalchemy as sa
from alembic import op

from dealgate.migrations import guards

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
SUBSCRIPTION, OUTBOX = "dealgate_subscription", "dealgate_outbox"
INDEXES = {
    "due": (("subscriber", "due_at", "id"), "state = 'waiting'"),
    "turn": (("subscriber", "subject", "turn"), "state IN ('waiting', 'dead')"),
    "settled": (("settled_at",), "settled_at IS NOT NULL"),
}


def upgrade() -> None:
    op.create_table(
        SUBSCRIPTION,
        sa.Column("subscriber", sa.String(60), nullable=False),
        sa.Column("event", sa.String(30), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("subscriber", "event", name=f"pk_{SUBSCRIPTION}"),
    )
    op.create_table(
        OUTBOX,
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("subscriber", sa.String(60), nullable=False),
        sa.Column("entry", ROW_NUMBER, nullable=False),
        sa.Column("event", sa.String(30), nullable=False),
        sa.Column("subject", sa.String(210), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("first_due_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("settled_at", MOMENT, nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(200), nullable=True),
        sa.ForeignKeyConstraint(["entry"], ["dealgate_ledger_entry.id"], name=f"fk_{OUTBOX}_entry"),
        sa.PrimaryKeyConstraint("id", name=f"pk_{OUTBOX}"),
        sa.UniqueConstraint("entry", "subscriber", name=f"uq_{OUTBOX}_entry_subscriber"),
        sqlite_autoincrement=True,
    )
    for name, (columns, where) in INDEXES.items():
        condition = sa.text(where)
        op.create_index(
            f"ix_{OUTBOX}_{name}", OUTBOX, list(columns), postgresql_where=condition, sqlite_where=condition
        )
    guards.install(op.get_bind(), revision)


def downgrade() -> None:
    guards.remove(op.get_bind(), revision)
    op.drop_table(OUTBOX)
    op.drop_table(SUBSCRIPTION)
