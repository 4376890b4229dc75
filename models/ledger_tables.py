"""The tables of the ledger: entries, what they say, what may be erased of it, and the sealed tree over them.

Names follow `dealgate_ledger_`; hashes are 32 bytes of SHA-256.
"""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from dealgate.models.tables import PREFIX, Base
from dealgate.models.types import Bytes, Document, Hash, RowNumber, Sha256, Words

LEDGER = PREFIX + "ledger_"
ENTRY = f"{LEDGER}entry.id"


class LedgerEntry(Base):
    """One thing that happened: permanent and narrow. The columns repeat what the envelope says, for queries."""

    __tablename__ = LEDGER + "entry"
    __table_args__ = (
        UniqueConstraint("deal_id", "deal_seq"),
        Index(None, "recorded_at", postgresql_using="brin"),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    entry_id: Mapped[str] = mapped_column(String(36), unique=True)
    kind: Mapped[str] = mapped_column(String(30))
    deal_id: Mapped[Words | None] = mapped_column(ForeignKey(f"{PREFIX}deal.deal_id"))
    deal_seq: Mapped[int | None]
    idempotency_key: Mapped[Words | None] = mapped_column(unique=True)
    actor: Mapped[Words | None]
    recorded_at: Mapped[datetime]
    effective_at: Mapped[datetime]
    policy_sha256: Mapped[Sha256 | None]
    leaf_hash: Mapped[Hash]


OF_KEYS = text("kind = 'key_rotation'")
Index(f"ix_{LEDGER}entry_key_rotation", LedgerEntry.id, postgresql_where=OF_KEYS, sqlite_where=OF_KEYS)
"""The entries that introduce keys, a handful, which nobody must look for among millions."""


class LedgerBody(Base):
    """The envelope, byte for byte as it was hashed. On PostgreSQL partitioned by month, so that old months are dropped cheaply."""

    __tablename__ = LEDGER + "body"
    __table_args__ = {"postgresql_partition_by": "RANGE (recorded_at)"}  # noqa: RUF012  as SQLAlchemy documents it

    entry: Mapped[int] = mapped_column(RowNumber, ForeignKey(ENTRY), primary_key=True, autoincrement=False)
    recorded_at: Mapped[datetime] = mapped_column(primary_key=True)
    envelope: Mapped[Bytes]


class LedgerPrivate(Base):
    """A personal value that the envelope only commits to: the salt, and the value as canonical JSON."""

    __tablename__ = LEDGER + "private"

    entry: Mapped[int] = mapped_column(RowNumber, ForeignKey(ENTRY), primary_key=True, autoincrement=False)
    path: Mapped[Words] = mapped_column(primary_key=True)
    salt: Mapped[Bytes]
    value: Mapped[Bytes]


class LedgerErasure(Base):
    """Leave to erase, given by an entry: one path of another entry, or all of it where the path is empty."""

    __tablename__ = LEDGER + "erasure"

    erased: Mapped[int] = mapped_column(RowNumber, ForeignKey(ENTRY), primary_key=True, autoincrement=False)
    path: Mapped[Words] = mapped_column(primary_key=True)
    entry: Mapped[int] = mapped_column(RowNumber, ForeignKey(ENTRY))


class LedgerPending(Base):
    """Entries that are not sealed yet. A trigger fills it, the sealer empties it."""

    __tablename__ = LEDGER + "pending"

    entry: Mapped[int] = mapped_column(RowNumber, ForeignKey(ENTRY), primary_key=True, autoincrement=False)


class LedgerLeaf(Base):
    """The place of an entry in the tree. The sealer numbers leaves without gap."""

    __tablename__ = LEDGER + "leaf"

    leaf_index: Mapped[int] = mapped_column(RowNumber, primary_key=True, autoincrement=False)
    entry: Mapped[int] = mapped_column(RowNumber, ForeignKey(ENTRY), unique=True)
    leaf_hash: Mapped[Hash]


class LedgerTile(Base):
    """256 neighbouring hashes of the tree, `level` times eight levels above the leaves, and the root over them."""

    __tablename__ = LEDGER + "tile"

    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hashes: Mapped[Bytes]
    root: Mapped[Hash]


class LedgerCheckpoint(Base):
    """A signed root of the tree at a size, with the hashes needed to go on from there."""

    __tablename__ = LEDGER + "checkpoint"

    size: Mapped[int] = mapped_column(RowNumber, primary_key=True, autoincrement=False)
    note: Mapped[Document]
    frontier: Mapped[Bytes]
    sealed_at: Mapped[datetime]


class LedgerAnchor(Base):
    """A receipt for a checkpoint that is kept outside this database."""

    __tablename__ = LEDGER + "anchor"

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger, ForeignKey(f"{LEDGER}checkpoint.size"))
    sink: Mapped[Words]
    receipt: Mapped[Bytes]
    anchored_at: Mapped[datetime]


class Notice(Base):
    """A notice of action taken, sent to the applicant: the clock of retention starts with it.

    `decision_id` is the decision that it tells of, `reasons` the reasons that it gave, as a JSON list: a notice outlives both.
    NULL is what was not told when it was recorded.
    """

    __tablename__ = PREFIX + "notice"
    __table_args__ = (Index(None, "kind", "sent_at"),)

    entry: Mapped[int] = mapped_column(RowNumber, ForeignKey(ENTRY), primary_key=True, autoincrement=False)
    deal_id: Mapped[Words] = mapped_column(ForeignKey(f"{PREFIX}deal.deal_id"), index=True)
    kind: Mapped[str] = mapped_column(String(30))
    sent_at: Mapped[datetime]
    channel: Mapped[str | None] = mapped_column(String(20))
    decision_id: Mapped[str | None] = mapped_column(String(36))
    reasons: Mapped[Document | None]


class LegalHold(Base):
    """A hold placed on a deal's records or released: while the last of them is placed, nothing is purged."""

    __tablename__ = PREFIX + "legal_hold"

    entry: Mapped[int] = mapped_column(RowNumber, ForeignKey(ENTRY), primary_key=True, autoincrement=False)
    deal_id: Mapped[Words] = mapped_column(ForeignKey(f"{PREFIX}deal.deal_id"), index=True)
    deal_seq: Mapped[int]
    placed: Mapped[bool]
