"""The tables of API keys: each key as it was issued, and its revocation. They repeat what the entries say. No secret is in them."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from dealgate.models.ledger_tables import ENTRY
from dealgate.models.tables import PREFIX, Base
from dealgate.models.types import Document, Hash, RowNumber, Words


class ApiKey(Base):
    """A key that lets a program into the service under a name. Several keys may carry one name: that is how they are rotated.

    `roles` and `authorities` are sorted lists as JSON; `secret_sha256` is the hash of the secret's 64 characters.
    """

    __tablename__ = PREFIX + "api_key"

    key_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    entry: Mapped[int] = mapped_column(RowNumber, ForeignKey(ENTRY), unique=True)
    name: Mapped[Words]
    secret_sha256: Mapped[Hash]
    roles: Mapped[Document]
    authorities: Mapped[Document]
    issued_at: Mapped[datetime]
    issued_by: Mapped[Words]
    expires_at: Mapped[datetime]


class ApiKeyRevocation(Base):
    """The end of a key before its time. It is never taken back."""

    __tablename__ = PREFIX + "api_key_revocation"

    key_id: Mapped[str] = mapped_column(String(16), ForeignKey(f"{PREFIX}api_key.key_id"), primary_key=True)
    entry: Mapped[int] = mapped_column(RowNumber, ForeignKey(ENTRY), unique=True)
    revoked_at: Mapped[datetime]
    revoked_by: Mapped[Words]
