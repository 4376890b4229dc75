"""Tables with a column a field, amounts in dollars or in cents, read into a book batch by batch.

The columns are read by expressions; a row that they do not read cleanly is read again by the reader of the deal document, which
alone decides what is wrong with it, in the same words as for a single deal.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from dealgate.adapters.portfolio.book import SourceError, column_problems, schema
from dealgate.adapters.portfolio.rejects import Rejects
from dealgate.adapters.portfolio.rows import column_of_path, document_of, row_of
from dealgate.adapters.portfolio.validity import valid
from dealgate.rules.column_layout import BookColumn, Layout, layout_of
from dealgate.rules.deal import Deal, DealError
from dealgate.rules.fields import Unit

MONEY = r"^[0-9]{1,8}(\.[0-9]{1,2})?$"
RATE = r"^[0-9]{1,3}(\.[0-9]{1,4})?$"
COUNT = r"^[0-9]{1,10}$"
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


def read_tables(tables: Iterable[pl.DataFrame], folder: Path, rejects: Rejects) -> Iterator[tuple[Path, int]]:
    """Write each table's good rows to a file of the book; yields the file and how many rows of the source it took.

    Raises `SourceError` where the columns cannot be read.
    """
    first = 0
    for number, table in enumerate(tables):
        layout = checked_layout(table.schema)
        file = folder / f"read-{number:05d}.parquet"
        _good(table, layout, first, rejects).write_parquet(file, compression="zstd", compression_level=1)
        first += table.height
        yield file, table.height


def checked_layout(stated: pl.Schema) -> Layout:
    """Raises `SourceError` naming every column that is unknown, missing, or of a type that is not exact."""
    layout = layout_of(stated)
    problems = [*column_problems(list(stated), layout), *_inexact(stated, layout)]
    if problems:
        raise SourceError("\n".join(problems))
    return layout


def _inexact(stated: pl.Schema, layout: Layout) -> Iterator[str]:
    for column in layout.columns:
        for name in {column.name, column.stated} & stated.keys():
            dtype = stated[name]
            if dtype.is_float() and column.unit not in (Unit.TEXT, Unit.BOOLEAN):
                yield f"column {name!r}: binary floats are not exact. Give decimals, text or whole cents."
            elif name == column.name != column.stated and not (dtype.is_integer() or dtype == pl.String):
                yield f"column {name!r}: holds {dtype}. Give whole numbers, or call it {column.stated!r}."
            elif (
                dtype.is_nested()
                or dtype == pl.Binary
                or (dtype.is_temporal() and (column.unit != Unit.DATE or dtype != pl.Date))
            ):
                yield f"column {name!r}: holds {dtype}, which is not read as {column.unit}."


def is_exact(stated: pl.Schema, layout: Layout) -> bool:
    """Whether a table is a book as it stands."""
    wanted = {column.name: dtype for column, dtype in zip(layout.columns, schema(layout.columns).values(), strict=True)}
    return all(
        name in wanted and (stated[name] == wanted[name] or (stated[name].is_integer() and wanted[name] == pl.Int64))
        for name in stated
        if not name.startswith("metadata.")
    )


def _good(table: pl.DataFrame, layout: Layout, first: int, rejects: Rejects) -> pl.DataFrame:
    names = [column.name for column in layout.columns]
    read = table.select(_parsed(column, table.schema).alias(column.name) for column in layout.columns)
    misread = [
        pl.lit(table[name].is_not_null() & read[column.name].is_null())
        for column in layout.columns
        for name in {column.name, column.stated} & set(table.columns)
    ]
    judged = nw.from_native(read.lazy()).with_columns(valid=valid(layout, names)).to_native().collect()
    good = judged.select(pl.all_horizontal(pl.col("valid"), *(~wrong for wrong in misread))).to_series()
    late = reject_rows(table.with_row_index("at").filter(~good), layout, first, rejects)
    kept = read.filter(good)
    return pl.concat([kept, pl.DataFrame(late, schema=kept.schema)]) if late else kept


def reject_rows(doubtful: pl.DataFrame, layout: Layout, first: int, rejects: Rejects) -> list[dict[str, Any]]:
    """Read rows singly, which stand `at` so many rows after `first`. Those that a deal document could state are given back; the
    others are rejected in the words of its reader."""
    late = []
    for stated in doubtful.iter_rows(named=True):
        document = document_of(stated, layout)
        try:
            late.append(row_of(Deal.read(document)))
        except DealError as error:
            told = (problem._replace(field=column_of_path(problem.field, document)) for problem in error.problems)
            rejects.add(first + stated["at"] + 1, str(stated.get("deal_id") or ""), told)
    return late


def _parsed(column: BookColumn, stated: pl.Schema) -> pl.Expr:
    """The column of the book; null where it cannot be read."""
    if column.name in stated and column.name != column.stated:
        return _whole(pl.col(column.name), stated[column.name])
    if column.stated not in stated:
        return pl.lit(None, schema([column])[column.name])
    value, dtype = pl.col(column.stated), stated[column.stated]
    match column.unit:
        case Unit.MONEY:
            return _scaled(value.cast(pl.String), MONEY, 2)
        case Unit.PERCENT:
            return _scaled(value.cast(pl.String), RATE, 4)
        case Unit.COUNT:
            return _whole(value, dtype)
        case Unit.BOOLEAN if dtype != pl.Boolean:
            return value.cast(pl.String).replace_strict(
                {"true": True, "false": False}, default=None, return_dtype=pl.Boolean
            )
        case Unit.DATE if dtype != pl.Date:
            text = value.cast(pl.String)
            return pl.when(text.str.contains(DAY)).then(text.str.to_date("%Y-%m-%d", strict=False))
        case Unit.TEXT:  # of a float 42 it would make the word 42.0, and of NaN a name
            return pl.lit(None, pl.String) if dtype.is_float() else value.cast(pl.String)
    return value


def _whole(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_integer():
        return value.cast(pl.Int64)
    text = value.cast(pl.String)
    return pl.when(text.str.contains(COUNT)).then(text.cast(pl.Int64, strict=False))


def _scaled(text: pl.Expr, form: str, places: int) -> pl.Expr:
    """A decimal text as a whole number of its last place."""
    whole = text.str.extract(r"^(\d+)").cast(pl.Int64, strict=False)
    part = text.str.extract(r"\.(\d+)$").str.pad_end(places, "0").cast(pl.Int64, strict=False).fill_null(0)
    return pl.when(text.str.contains(form)).then(whole * 10**places + part)
