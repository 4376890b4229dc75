"""The ledger: an entry for each decision and policy version, personal values apart, and triggers that refuse to change what was
recorded.

What was recorded before is carried into it: its entries begin here, with the moments at which the things themselves happened.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

from dealgate.migrations import guards, partitions
from dealgate.models.envelope import Draft, Place, decision_content, read_deal, read_decision
from dealgate.models.ledger import append_all, private_values
from dealgate.models.projections import decision_columns, finding_columns
from dealgate.rules.document import PolicyError
from dealgate.rules.policy import Policy
from dealgate.rules.privacy import PersonalParts, personal_parts

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)

REMOVED: dict[str, dict[str, Any]] = {
    "dealgate_submission": {
        "document": sa.Text(),
        "document_sha256": sa.String(64),
        "credit_score": sa.Integer(),
        "monthly_income_cents": sa.BigInteger(),
        "monthly_debt_cents": sa.BigInteger(),
        "vin": sa.String(17),
    },
    "dealgate_trade_in": {"lienholder": sa.String(200)},
    "dealgate_decision": {
        "document": sa.Text(),
        "payment_to_income_numerator": sa.BigInteger(),
        "payment_to_income_denominator": sa.BigInteger(),
        "debt_to_income_numerator": sa.BigInteger(),
        "debt_to_income_denominator": sa.BigInteger(),
    },
    "dealgate_finding": {
        "value_numerator": sa.BigInteger(),
        "value_denominator": sa.BigInteger(),
        "limit_numerator": sa.BigInteger(),
        "limit_denominator": sa.BigInteger(),
        "explanation": sa.Text(),
    },
}
ADDED = ("measured_value", "limit_value", "margin_value")

COLUMNS_OVER_TIME = (
    "break_even_month",
    "peak_shortfall_cents",
    "deficiency_at_12_months_cents",
    "deficiency_at_24_months_cents",
    "projected_deficiency_cents",
)
OVER_TIME = sa.text(
    f"UPDATE dealgate_decision SET {', '.join(f'{name} = :{name}' for name in COLUMNS_OVER_TIME)} WHERE id = :id"
)
"""A database that was taken down below 0002 has lost these columns; the documents still tell them."""

RECORDED = sa.text("""
SELECT d.id, d.decision_id, d.deal_id, d.policy_sha256, d.decided_at, d.document AS decision, s.document AS deal,
  s.actor, s.idempotency_key
FROM dealgate_decision d JOIN dealgate_submission s ON s.id = d.submission_id ORDER BY d.id
""").columns(decided_at=MOMENT)
VERSIONS = sa.text("SELECT sha256, name, version, document, content, recorded_at FROM dealgate_policy_version").columns(
    recorded_at=MOMENT
)


def upgrade() -> None:
    _create_tables()
    op.add_column("dealgate_deal", sa.Column("entries", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("dealgate_deal", sa.Column("head", sa.LargeBinary(32), nullable=True))
    for name in ADDED:
        op.add_column("dealgate_finding", sa.Column(name, sa.BigInteger(), nullable=True))
    connection = op.get_bind()
    _carry_into_the_ledger(connection)
    for table, columns in REMOVED.items():
        for name in columns:
            op.drop_column(table, name)
    guards.install(connection, revision)


def downgrade() -> None:
    connection = op.get_bind()
    if connection.execute(sa.text("SELECT 1 FROM dealgate_ledger_checkpoint")).first():
        raise RuntimeError(
            "the ledger is sealed: a sealed ledger is not undone. Keep this revision, or restore a backup"
        )
    guards.remove(connection, revision)
    for table, columns in REMOVED.items():
        for name, kind in columns.items():
            default = "" if name in {"document", "document_sha256", "explanation"} else None
            op.add_column(table, sa.Column(name, kind, nullable=default is None, server_default=default))
    _carry_out_of_the_ledger(connection)
    for name in reversed(ADDED):
        op.drop_column("dealgate_finding", name)
    op.drop_column("dealgate_deal", "head")
    op.drop_column("dealgate_deal", "entries")
    for table in TABLES_IN_ORDER[::-1]:
        op.drop_table(table)


def _carry_into_the_ledger(connection: sa.Connection) -> None:
    personal = {}
    for version in connection.execute(VERSIONS).all():
        personal[version.sha256] = _personal(version.document)
        named = {"name": version.name, "version": version.version, "sha256": version.sha256}
        content = {"policy": named | {"document_sha256": hashlib.sha256(version.document.encode()).hexdigest()}}
        draft = Draft(str(uuid4()), "policy_publication", content, policy_sha256=version.sha256)
        append_all(connection, [(draft, None)], _utc(version.recorded_at))
    places: dict[str, Place] = {}
    for row in connection.execute(RECORDED).all():
        _carry(connection, row, personal[row.policy_sha256], places)
    connection.execute(sa.text("INSERT INTO dealgate_ledger_pending (entry) SELECT id FROM dealgate_ledger_entry"))


def _carry(connection: sa.Connection, row: Any, personal: PersonalParts, places: dict[str, Place]) -> None:
    content, paths = decision_content(json.loads(row.deal), json.loads(row.decision), personal)
    draft = Draft(
        row.decision_id,
        "decision",
        content,
        paths,
        deal_id=row.deal_id,
        policy_sha256=row.policy_sha256,
        idempotency_key=row.idempotency_key,
        actor=row.actor,
    )
    place = places.get(row.deal_id, Place(1, None))
    receipt = append_all(connection, [(draft, place)], _utc(row.decided_at))[0]
    places[row.deal_id] = Place(place.deal_seq + 1, receipt.leaf_hash)
    connection.execute(
        sa.text("UPDATE dealgate_deal SET entries = :entries, head = :head WHERE deal_id = :deal"),
        {"entries": place.deal_seq, "head": receipt.leaf_hash, "deal": row.deal_id},
    )
    told = decision_columns(content["decision"])
    connection.execute(OVER_TIME, {"id": row.id, **{name: told.get(name) for name in COLUMNS_OVER_TIME}})
    for finding in content["decision"]["findings"]:
        columns = finding_columns(finding)
        connection.execute(
            sa.text(
                "UPDATE dealgate_finding SET measured_value = :measured_value, limit_value = :limit_value, "
                "margin_value = :margin_value WHERE decision = :decision AND rule = :rule"
            ),
            {"decision": row.id, "rule": finding["rule"], **{name: columns[name] for name in ADDED}},
        )


def _personal(document: str) -> PersonalParts:
    """What of a policy is personal; of one that cannot be read any more, nothing is told apart but the deal's own fields."""
    try:
        return personal_parts(Policy.from_text(document))
    except PolicyError:
        return PersonalParts(frozenset(), frozenset())


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _carry_out_of_the_ledger(connection: sa.Connection) -> None:
    rows = connection.execute(
        sa.text(
            "SELECT d.id, d.submission_id, e.entry_id, b.envelope FROM dealgate_decision d "
            "JOIN dealgate_ledger_entry e ON e.entry_id = d.decision_id "
            "JOIN dealgate_ledger_body b ON b.entry = e.id ORDER BY d.id"
        )
    ).all()
    for row in rows:
        envelope = json.loads(row.envelope)
        values = private_values(connection, [row.entry_id])[row.entry_id]
        deal, decision = read_deal(envelope, values), read_decision(envelope, values)
        _write_back(connection, row, deal, decision)


def _write_back(connection: sa.Connection, row: Any, deal: Any, decision: Any) -> None:
    document = _plain(deal)
    connection.execute(
        sa.text("UPDATE dealgate_submission SET document = :document, document_sha256 = :sha256 WHERE id = :id"),
        {"document": document, "sha256": hashlib.sha256(document.encode()).hexdigest(), "id": row.submission_id},
    )
    connection.execute(
        sa.text("UPDATE dealgate_decision SET document = :document WHERE id = :id"),
        {"document": _plain(decision), "id": row.id},
    )
    for finding in decision["findings"]:
        connection.execute(
            sa.text("UPDATE dealgate_finding SET explanation = :words WHERE decision = :id AND rule = :rule"),
            {"words": finding["explanation"], "id": row.id, "rule": finding["rule"]},
        )


def _plain(document: Any) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


TABLES_IN_ORDER = (
    "dealgate_ledger_entry",
    "dealgate_ledger_body",
    "dealgate_ledger_private",
    "dealgate_ledger_erasure",
    "dealgate_ledger_pending",
    "dealgate_ledger_leaf",
    "dealgate_ledger_tile",
    "dealgate_ledger_checkpoint",
    "dealgate_ledger_anchor",
    "dealgate_notice",
    "dealgate_legal_hold",
)


def _create_tables() -> None:
    op.create_table(
        "dealgate_ledger_entry",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(30), nullable=False),
        sa.Column("deal_id", sa.String(200), nullable=True),
        sa.Column("deal_seq", sa.Integer(), nullable=True),
        sa.Column("idempotency_key", sa.String(200), nullable=True),
        sa.Column("actor", sa.String(200), nullable=True),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("effective_at", MOMENT, nullable=False),
        sa.Column("policy_sha256", sa.String(64), nullable=True),
        sa.Column("leaf_hash", sa.LargeBinary(32), nullable=False),
        sa.ForeignKeyConstraint(["deal_id"], ["dealgate_deal.deal_id"], name="fk_dealgate_ledger_entry_deal_id"),
        sa.PrimaryKeyConstraint("id", name="pk_dealgate_ledger_entry"),
        sa.UniqueConstraint("entry_id", name="uq_dealgate_ledger_entry_entry_id"),
        sa.UniqueConstraint("deal_id", "deal_seq", name="uq_dealgate_ledger_entry_deal_id_deal_seq"),
        sa.UniqueConstraint("idempotency_key", name="uq_dealgate_ledger_entry_idempotency_key"),
    )
    op.create_table(
        "dealgate_ledger_body",
        sa.Column("entry", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        _to_entry("dealgate_ledger_body", "entry"),
        sa.PrimaryKeyConstraint("entry", "recorded_at", name="pk_dealgate_ledger_body"),
        postgresql_partition_by="RANGE (recorded_at)",
    )
    if op.get_bind().dialect.name == "postgresql":
        partitions.make_others(op.get_bind())
    op.create_table(
        "dealgate_ledger_private",
        sa.Column("entry", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("path", sa.String(200), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        _to_entry("dealgate_ledger_private", "entry"),
        sa.PrimaryKeyConstraint("entry", "path", name="pk_dealgate_ledger_private"),
    )
    op.create_table(
        "dealgate_ledger_erasure",
        sa.Column("erased", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("path", sa.String(200), nullable=False),
        sa.Column("entry", ROW_NUMBER, autoincrement=False, nullable=False),
        _to_entry("dealgate_ledger_erasure", "erased"),
        _to_entry("dealgate_ledger_erasure", "entry"),
        sa.PrimaryKeyConstraint("erased", "path", name="pk_dealgate_ledger_erasure"),
    )
    op.create_table(
        "dealgate_ledger_pending",
        sa.Column("entry", ROW_NUMBER, autoincrement=False, nullable=False),
        _to_entry("dealgate_ledger_pending", "entry"),
        sa.PrimaryKeyConstraint("entry", name="pk_dealgate_ledger_pending"),
    )
    _create_tree()
    _create_registers()


def _create_tree() -> None:
    op.create_table(
        "dealgate_ledger_leaf",
        sa.Column("leaf_index", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("entry", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(32), nullable=False),
        _to_entry("dealgate_ledger_leaf", "entry"),
        sa.PrimaryKeyConstraint("leaf_index", name="pk_dealgate_ledger_leaf"),
        sa.UniqueConstraint("entry", name="uq_dealgate_ledger_leaf_entry"),
    )
    op.create_table(
        "dealgate_ledger_tile",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("level", "n", name="pk_dealgate_ledger_tile"),
    )
    op.create_table(
        "dealgate_ledger_checkpoint",
        sa.Column("size", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_dealgate_ledger_checkpoint"),
    )
    op.create_table(
        "dealgate_ledger_anchor",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sink", sa.String(200), nullable=False),
        sa.Column("receipt", sa.LargeBinary(), nullable=False),
        sa.Column("anchored_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["size"], ["dealgate_ledger_checkpoint.size"], name="fk_dealgate_ledger_anchor_size"),
        sa.PrimaryKeyConstraint("id", name="pk_dealgate_ledger_anchor"),
    )


def _create_registers() -> None:
    op.create_table(
        "dealgate_notice",
        sa.Column("entry", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("deal_id", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(30), nullable=False),
        sa.Column("sent_at", MOMENT, nullable=False),
        _to_entry("dealgate_notice", "entry"),
        sa.ForeignKeyConstraint(["deal_id"], ["dealgate_deal.deal_id"], name="fk_dealgate_notice_deal_id"),
        sa.PrimaryKeyConstraint("entry", name="pk_dealgate_notice"),
    )
    op.create_index("ix_dealgate_notice_deal_id", "dealgate_notice", ["deal_id"])
    op.create_table(
        "dealgate_legal_hold",
        sa.Column("entry", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("deal_id", sa.String(200), nullable=False),
        sa.Column("deal_seq", sa.Integer(), nullable=False),
        sa.Column("placed", sa.Boolean(), nullable=False),
        _to_entry("dealgate_legal_hold", "entry"),
        sa.ForeignKeyConstraint(["deal_id"], ["dealgate_deal.deal_id"], name="fk_dealgate_legal_hold_deal_id"),
        sa.PrimaryKeyConstraint("entry", name="pk_dealgate_legal_hold"),
    )
    op.create_index("ix_dealgate_legal_hold_deal_id", "dealgate_legal_hold", ["deal_id"])


def _to_entry(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], ["dealgate_ledger_entry.id"], name=f"fk_{table}_{column}")
