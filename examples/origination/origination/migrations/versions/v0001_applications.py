"""Applications and trade-ins."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

AMOUNT = sa.Numeric(12, 2)


def upgrade() -> None:
    op.create_table(
        "loan_application",
        sa.Column("number", sa.String(40), primary_key=True),
        sa.Column("received_on", sa.Date, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("funded_on", sa.String(36), sa.ForeignKey("dealgate_decision.decision_id", ondelete="SET NULL")),
        sa.Column("tier", sa.String(40), nullable=False),
        sa.Column("monthly_income", AMOUNT, nullable=False),
        sa.Column("book_value", AMOUNT, nullable=False),
        sa.Column("price", AMOUNT, nullable=False),
        sa.Column("sales_tax", AMOUNT, nullable=False),
        sa.Column("cash_down", AMOUNT, nullable=False),
        sa.Column("term_months", sa.Integer, nullable=False),
        sa.Column("apr_percent", AMOUNT, nullable=False),
    )
    op.create_table(
        "trade_in",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("application", sa.String(40), sa.ForeignKey("loan_application.number"), nullable=False),
        sa.Column("allowance", AMOUNT, nullable=False),
        sa.Column("appraised", AMOUNT, nullable=False),
        sa.Column("payoff", AMOUNT, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("trade_in")
    op.drop_table("loan_application")
