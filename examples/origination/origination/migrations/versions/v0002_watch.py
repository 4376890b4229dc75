"""Watch what a deal is made of, so that a change past the application is noticed."""

from alembic import op

from dealgate.migrations.watching import Child, unwatch, watch

revision = "0002"
down_revision = "0001"

COLUMNS = (
    *("received_on", "tier", "monthly_income", "book_value"),
    *("price", "sales_tax", "cash_down", "term_months", "apr_percent"),
)


def upgrade() -> None:
    watch(
        op.get_bind(),
        "loan_application",
        key="number",
        columns=COLUMNS,
        children=[Child("trade_in", ["allowance", "appraised", "payoff"], owner="application")],
    )


def downgrade() -> None:
    unwatch(op.get_bind(), "loan_application")
