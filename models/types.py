"""Column types with the units of the field."""

from datetime import UTC, datetime
from typing import Annotated

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, LargeBinary, String, Text
from sqlalchemy.orm import mapped_column
from sqlalchemy.types import TypeDecorator

# SQLite numbers rows by itself only in a column declared INTEGER.
RowNumber = BigInteger().with_variant(Integer, "sqlite")


class Moment(TypeDecorator[datetime]):
    """A moment in UTC. A time without a zone is refused, because nobody can say later what it meant."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; give a moment such as datetime.now(UTC)")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Cents = Annotated[int, mapped_column(BigInteger)]
Exact = Annotated[int, mapped_column(BigInteger)]
Sha256 = Annotated[str, mapped_column(String(64))]
Words = Annotated[str, mapped_column(String(200))]
Document = Annotated[str, mapped_column(Text)]
Hash = Annotated[bytes, mapped_column(LargeBinary(32))]
Bytes = Annotated[bytes, mapped_column(LargeBinary)]
