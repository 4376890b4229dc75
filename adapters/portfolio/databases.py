"""Tables in a database, read in record batches through ADBC."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import polars as pl
from sqlalchemy.engine import make_url

from dealgate.adapters.portfolio.book import SourceError

ROWS_AT_ONCE = 100_000


def database_tables(url: str, query: str) -> Iterator[pl.DataFrame]:
    """The rows of a query, batch by batch. Raises `SourceError` for a database that cannot be asked."""
    with closing(_connected(url)) as connection, connection.cursor(adbc_stmt_kwargs=_options(url)) as cursor:
        try:
            cursor.execute(query)
        except Exception as error:  # every driver has its own
            raise SourceError(f"the database refuses the query: {error}") from None
        try:
            for batch in cursor.fetch_record_batch():
                yield pl.DataFrame(batch)
        except OSError as error:
            remedy = "Give a --query in which each column holds one type, such as CAST(cash_price AS TEXT)."
            raise SourceError(f"the rows of the database cannot be read: {error}. {remedy}") from None


def _options(url: str) -> dict[str, int]:
    """SQLite's driver takes the type of a column from the first rows that it reads: one that is empty in these must not be a number."""
    return {"adbc.sqlite.query.batch_rows": ROWS_AT_ONCE} if make_url(url).get_backend_name() == "sqlite" else {}


def _connected(url: str) -> Any:
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            from adbc_driver_sqlite import dbapi as sqlite  # noqa: PLC0415

            return sqlite.connect(parsed.database)
        case "postgresql":
            from adbc_driver_postgresql import dbapi as postgresql  # noqa: PLC0415

            plain = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
            return postgresql.connect(plain)
    raise SourceError(f"{parsed.get_backend_name()}: give a URL that begins with sqlite: or postgresql:")
