"""A book on disk: Parquet files in the layout of `column_layout`, and what is wrong with one as a whole."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from dealgate.adapters.portfolio.engines import Part
from dealgate.rules.column_layout import BookColumn, Layout, item_columns, layout_of
from dealgate.rules.fields import LISTS, Unit

PART_ROWS = 2_000_000
"""Rows that an engine is handed at once: what a run that was stopped may have to do again."""

TYPES: dict[Unit, type[pl.DataType]] = {Unit.TEXT: pl.String, Unit.BOOLEAN: pl.Boolean, Unit.DATE: pl.Date}


class SourceError(ValueError):
    """A source that cannot be read as a book at all; every problem is a line."""


@dataclass(frozen=True)
class Book:
    files: tuple[Path, ...]
    layout: Layout
    rows: int

    @classmethod
    def of(cls, files: Iterable[Path]) -> "Book":
        """Raises `SourceError` for files that are no Parquet files."""
        files = tuple(files)
        names: dict[str, None] = {}
        rows = 0
        for file in files:
            metadata = _metadata(file)
            names |= dict.fromkeys(metadata.schema.to_arrow_schema().names)
            rows += metadata.num_rows
        return cls(files, layout_of(names), rows)

    def parts(self) -> Iterator[Part]:
        for file in self.files:
            rows = _metadata(file).num_rows
            for first in range(0, max(rows, 1), PART_ROWS):
                yield Part(file, first, min(PART_ROWS, rows - first))


def _metadata(file: Path) -> Any:
    try:
        return pq.read_metadata(file)
    except (OSError, ValueError) as error:
        raise SourceError(f"{file}: not a Parquet file ({error})") from None


def parquet_files(path: Path) -> tuple[Path, ...]:
    """A file, or the Parquet files of a folder in the order of their names. Raises `SourceError`."""
    files = tuple(sorted(path.glob("*.parquet"))) if path.is_dir() else (path,)
    if not files or not files[0].exists():
        raise SourceError(f"{path}: no Parquet file there. Give a file, or a folder of .parquet files.")
    return files


def column_problems(names: Sequence[str], layout: Layout) -> Iterator[str]:
    """What is wrong with the columns of a source: none may be misread, none dropped in silence."""
    known = {name for column in layout.columns for name in (column.name, column.stated)}
    for name in names:
        if name not in known and not name.startswith("metadata."):
            close = get_close_matches(name, sorted(known), n=1)
            hint = f"Did you mean {close[0]!r}?" if close else "What is only carried along is called metadata.NAME."
            yield f"column {name!r}: unknown. {hint}"
    for column in layout.columns:
        if column.name != column.stated and column.name in names and column.stated in names:
            yield f"column {column.stated!r}: stands there in cents too ({column.name!r}). Keep one of the two."
        if column.required and column.name not in names and column.stated not in names:
            yield f"column {column.stated!r}: missing. Every deal must state it."


def schema(columns: Iterable[BookColumn]) -> dict[str, Any]:
    return {column.name: TYPES.get(column.unit, pl.Int64) for column in columns}


def row_schema(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The columns of a book of these rows."""
    return schema(layout_of({name: None for row in rows for name in row}).columns)


__all__ = ["LISTS", "Book", "SourceError", "column_problems", "item_columns", "parquet_files", "row_schema", "schema"]
