"""Deals, submissions, decisions, findings and policy versions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dealgate_deal",
        sa.Column("deal_id", sa.String(length=200), nullable=False),
        sa.Column("submissions", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("decision_id", sa.String(length=36), nullable=True),
        sa.PrimaryKeyConstraint("deal_id", name=op.f("pk_dealgate_deal")),
    )
    op.create_table(
        "dealgate_policy_version",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("version", sa.String(length=200), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("effective_from", sa.Date(), nullable=False),
        sa.Column("effective_to", sa.Date(), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_dealgate_policy_version")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_dealgate_policy_version_name_version")),
    )
    op.create_table(
        "dealgate_submission",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deal_id", sa.String(length=200), nullable=False),
        sa.Column("submission", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=True),
        sa.Column("idempotency_key", sa.String(length=200), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("document_sha256", sa.String(length=64), nullable=False),
        sa.Column("submitted_on", sa.Date(), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=True),
        sa.Column("dealer_id", sa.String(length=200), nullable=True),
        sa.Column("state", sa.String(length=2), nullable=True),
        sa.Column("tier", sa.String(length=200), nullable=True),
        sa.Column("credit_score", sa.Integer(), nullable=True),
        sa.Column("monthly_income_cents", sa.BigInteger(), nullable=True),
        sa.Column("monthly_debt_cents", sa.BigInteger(), nullable=True),
        sa.Column("first_time_buyer", sa.Boolean(), nullable=True),
        sa.Column("covered_borrower", sa.Boolean(), nullable=True),
        sa.Column("vin", sa.String(length=17), nullable=True),
        sa.Column("condition", sa.String(length=20), nullable=False),
        sa.Column("model_year", sa.Integer(), nullable=True),
        sa.Column("mileage", sa.Integer(), nullable=True),
        sa.Column("cash_price_cents", sa.BigInteger(), nullable=False),
        sa.Column("sales_tax_cents", sa.BigInteger(), nullable=False),
        sa.Column("title_and_registration_cents", sa.BigInteger(), nullable=False),
        sa.Column("doc_fee_cents", sa.BigInteger(), nullable=False),
        sa.Column("cash_down_cents", sa.BigInteger(), nullable=False),
        sa.Column("rebate_cents", sa.BigInteger(), nullable=False),
        sa.Column("prepaid_finance_charge_cents", sa.BigInteger(), nullable=False),
        sa.Column("term_months", sa.Integer(), nullable=False),
        sa.Column("apr_ten_thousandths", sa.Integer(), nullable=True),
        sa.Column("monthly_payment_cents", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["deal_id"], ["dealgate_deal.deal_id"], name=op.f("fk_dealgate_submission_deal_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dealgate_submission")),
        sa.UniqueConstraint("deal_id", "submission", name=op.f("uq_dealgate_submission_deal_id_submission")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_dealgate_submission_idempotency_key")),
    )
    op.create_table(
        "dealgate_book_value",
        sa.Column("submission_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("basis", sa.String(length=200), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["dealgate_submission.id"], name=op.f("fk_dealgate_book_value_submission_id")
        ),
        sa.PrimaryKeyConstraint("submission_id", "position", name=op.f("pk_dealgate_book_value")),
    )
    op.create_table(
        "dealgate_decision",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("decision_id", sa.String(length=36), nullable=False),
        sa.Column("submission_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deal_id", sa.String(length=200), nullable=False),
        sa.Column("submission", sa.Integer(), nullable=False),
        sa.Column("policy_sha256", sa.String(length=64), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("engine_agreed", sa.Boolean(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("products_total_cents", sa.BigInteger(), nullable=True),
        sa.Column("trade_allowance_cents", sa.BigInteger(), nullable=True),
        sa.Column("trade_acv_cents", sa.BigInteger(), nullable=True),
        sa.Column("trade_payoff_cents", sa.BigInteger(), nullable=True),
        sa.Column("over_allowance_cents", sa.BigInteger(), nullable=True),
        sa.Column("contract_negative_equity_cents", sa.BigInteger(), nullable=True),
        sa.Column("economic_negative_equity_cents", sa.BigInteger(), nullable=True),
        sa.Column("hidden_negative_equity_cents", sa.BigInteger(), nullable=True),
        sa.Column("rolled_in_negative_equity_cents", sa.BigInteger(), nullable=True),
        sa.Column("amount_financed_cents", sa.BigInteger(), nullable=True),
        sa.Column("front_end_amount_cents", sa.BigInteger(), nullable=True),
        sa.Column("collateral_value_cents", sa.BigInteger(), nullable=True),
        sa.Column("total_ltv_numerator", sa.BigInteger(), nullable=True),
        sa.Column("total_ltv_denominator", sa.BigInteger(), nullable=True),
        sa.Column("front_end_ltv_numerator", sa.BigInteger(), nullable=True),
        sa.Column("front_end_ltv_denominator", sa.BigInteger(), nullable=True),
        sa.Column("negative_equity_to_value_numerator", sa.BigInteger(), nullable=True),
        sa.Column("negative_equity_to_value_denominator", sa.BigInteger(), nullable=True),
        sa.Column("monthly_payment_cents", sa.BigInteger(), nullable=True),
        sa.Column("payment_to_income_numerator", sa.BigInteger(), nullable=True),
        sa.Column("payment_to_income_denominator", sa.BigInteger(), nullable=True),
        sa.Column("debt_to_income_numerator", sa.BigInteger(), nullable=True),
        sa.Column("debt_to_income_denominator", sa.BigInteger(), nullable=True),
        sa.Column("vehicle_age", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["deal_id"], ["dealgate_deal.deal_id"], name=op.f("fk_dealgate_decision_deal_id")),
        sa.ForeignKeyConstraint(
            ["policy_sha256"], ["dealgate_policy_version.sha256"], name=op.f("fk_dealgate_decision_policy_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["dealgate_submission.id"], name=op.f("fk_dealgate_decision_submission_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dealgate_decision")),
        sa.UniqueConstraint("decision_id", name=op.f("uq_dealgate_decision_decision_id")),
        sa.UniqueConstraint("submission_id", name=op.f("uq_dealgate_decision_submission_id")),
    )
    op.create_index(op.f("ix_dealgate_decision_deal_id"), "dealgate_decision", ["deal_id"], unique=False)
    op.create_index(op.f("ix_dealgate_decision_decided_at"), "dealgate_decision", ["decided_at"], unique=False)
    op.create_index(op.f("ix_dealgate_decision_outcome"), "dealgate_decision", ["outcome"], unique=False)
    op.create_index(op.f("ix_dealgate_decision_policy_sha256"), "dealgate_decision", ["policy_sha256"], unique=False)
    op.create_table(
        "dealgate_product",
        sa.Column("submission_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=200), nullable=False),
        sa.Column("price_cents", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["dealgate_submission.id"], name=op.f("fk_dealgate_product_submission_id")
        ),
        sa.PrimaryKeyConstraint("submission_id", "position", name=op.f("pk_dealgate_product")),
    )
    op.create_table(
        "dealgate_trade_in",
        sa.Column("submission_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("allowance_cents", sa.BigInteger(), nullable=True),
        sa.Column("acv_cents", sa.BigInteger(), nullable=True),
        sa.Column("payoff_cents", sa.BigInteger(), nullable=True),
        sa.Column("lienholder", sa.String(length=200), nullable=True),
        sa.Column("payoff_good_through", sa.Date(), nullable=True),
        sa.Column("per_diem_cents", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["dealgate_submission.id"], name=op.f("fk_dealgate_trade_in_submission_id")
        ),
        sa.PrimaryKeyConstraint("submission_id", "position", name=op.f("pk_dealgate_trade_in")),
    )
    op.create_table(
        "dealgate_finding",
        sa.Column("decision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rule", sa.String(length=60), nullable=False),
        sa.Column("result", sa.String(length=20), nullable=False),
        sa.Column("severity", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("measure", sa.Text(), nullable=True),
        sa.Column("unit", sa.String(length=20), nullable=True),
        sa.Column("value_numerator", sa.BigInteger(), nullable=True),
        sa.Column("value_denominator", sa.BigInteger(), nullable=True),
        sa.Column("limit_numerator", sa.BigInteger(), nullable=True),
        sa.Column("limit_denominator", sa.BigInteger(), nullable=True),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("used_consumer_report", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["decision"], ["dealgate_decision.id"], name=op.f("fk_dealgate_finding_decision")),
        sa.PrimaryKeyConstraint("decision", "rule", name=op.f("pk_dealgate_finding")),
    )


def downgrade() -> None:
    op.drop_table("dealgate_finding")
    op.drop_table("dealgate_trade_in")
    op.drop_table("dealgate_product")
    op.drop_index(op.f("ix_dealgate_decision_policy_sha256"), table_name="dealgate_decision")
    op.drop_index(op.f("ix_dealgate_decision_outcome"), table_name="dealgate_decision")
    op.drop_index(op.f("ix_dealgate_decision_decided_at"), table_name="dealgate_decision")
    op.drop_index(op.f("ix_dealgate_decision_deal_id"), table_name="dealgate_decision")
    op.drop_table("dealgate_decision")
    op.drop_table("dealgate_book_value")
    op.drop_table("dealgate_submission")
    op.drop_table("dealgate_policy_version")
    op.drop_table("dealgate_deal")
