"""Rows as files: JSON Lines, CSV, Parquet and Excel, written a batch at a time, and read back to the same rows.

Money and percents are decimal texts; in Parquet money is an exact decimal. No number is a float anywhere.
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any, Protocol

from dealgate.adapters.compliance.query import COUNT, MONEY, PERCENT, QueryError
from dealgate.adapters.compliance.rows import Column, Row

SHEET_ROWS = 1_048_575
"""Rows that an Excel sheet holds below its head."""

CELL = 32_767
EXACT = 2**53
ESCAPED = re.compile(r"[\x00-\x1f]|_(?=x[0-9A-Fa-f]{4}_)")
"""What an Excel file writes as `_x000D_`, and what would be read as such by mistake."""

CHARACTER = re.compile("_x([0-9A-Fa-f]{4})_")
TRIGGERS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
"""A spreadsheet would take a text that begins so for a formula; a text that begins with the sign of escape is escaped, too."""


class UnreadableError(ValueError):
    """A file whose rows cannot be read as they were written; the message says why."""


class Writer(Protocol):
    """Takes rows batch by batch; the file is whole once it is closed."""

    def write(self, rows: Sequence[Row]) -> None: ...

    def close(self) -> None: ...


def line(row: Row) -> str:
    """A row as one line of JSON: what the hash of an export's rows is taken over, whatever the format."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"


class _JsonLines:
    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self.file = path.open("w", encoding="utf-8", newline="\n")

    def write(self, rows: Sequence[Row]) -> None:
        self.file.writelines(map(line, rows))

    def close(self) -> None:
        self.file.close()


def _read_json_lines(path: Path, columns: Sequence[Column]) -> Iterator[Row]:
    def row_of(pairs: list[tuple[str, Any]]) -> Row:
        _need_columns([name for name, _ in pairs], columns)
        return dict(pairs)

    with path.open(encoding="utf-8", newline="\n") as file:
        for text in file:
            row = json.loads(text, object_pairs_hook=row_of)
            if not isinstance(row, dict):
                raise UnreadableError(f"a line is no row, but {text[:80]!r}")
            yield row


def _need_columns(names: Sequence[str], columns: Sequence[Column]) -> None:
    """All of them, each once and in their order: of two of one name, one program would show the first and another the last."""
    for number, (got, column) in enumerate(zip_longest(names, columns), 1):
        expected = column.name if column else None
        if got != expected:
            told = f"column {number} is {got or 'missing'}, expected {expected or 'none'}"
            raise UnreadableError(f"its columns are not those of the manifest: {told}")


class _Csv:
    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self.file = path.open("w", encoding="utf-8", newline="")
        self.columns = columns
        self.rows = csv.writer(self.file, lineterminator="\r\n")
        self.rows.writerow([column.name for column in columns])

    def write(self, rows: Sequence[Row]) -> None:
        self.rows.writerows([csv_cell(row[column.name], column.kind) for column in self.columns] for row in rows)

    def close(self) -> None:
        self.file.close()


def csv_cell(value: str | int | None, kind: str) -> str:
    """A number stays one, a text cannot become a formula, and an empty text is told from none."""
    if value is None:
        return ""
    text = str(value)
    if kind in {MONEY, PERCENT, COUNT}:
        return text
    return harmless(text) if text else "'"


def harmless(text: str) -> str:
    """A text that a spreadsheet takes for nothing else."""
    return f"'{text}" if text.lstrip(" ").startswith(TRIGGERS) else text


def _read_csv(path: Path, columns: Sequence[Column]) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        _need_columns(next(rows, []), columns)
        for row in rows:
            yield {column.name: _from_cell(text, column) for column, text in zip(columns, row, strict=True)}


def _from_cell(text: str, column: Column) -> str | int | None:
    if text == "":
        return None
    value = int(text) if column.kind == COUNT else text.removeprefix("'")
    if csv_cell(value, column.kind) != text:
        raise UnreadableError(f"a cell of {column.name} is {text!r}: it is written {csv_cell(value, column.kind)!r}")
    return value


class _Parquet:
    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        kinds = {MONEY: pa.decimal128(19, 2), COUNT: pa.int64()}
        self.table = pa.Table
        self.schema = pa.schema([(column.name, kinds.get(column.kind, pa.string())) for column in columns])
        self.money = [column.name for column in columns if column.kind == MONEY]
        self.file = pq.ParquetWriter(path, self.schema, compression="zstd")

    def write(self, rows: Sequence[Row]) -> None:
        told = [
            {**row, **{name: Decimal(str(row[name])) for name in self.money if row[name] is not None}} for row in rows
        ]
        self.file.write_table(self.table.from_pylist(told, schema=self.schema))

    def close(self) -> None:
        self.file.close()


def _read_parquet(path: Path, columns: Sequence[Column]) -> Iterator[Row]:
    import pyarrow.parquet as pq  # noqa: PLC0415

    with pq.ParquetFile(path) as file:
        _need_columns(file.schema_arrow.names, columns)
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                yield {name: str(value) if isinstance(value, Decimal) else value for name, value in row.items()}


class _Excel:
    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        from openpyxl import Workbook  # noqa: PLC0415

        self.path, self.columns = path, columns
        self.book = Workbook(write_only=True)
        self.sheet = self.book.create_sheet("decisions")
        self.sheet.append([column.name for column in columns])
        self.left = SHEET_ROWS

    def write(self, rows: Sequence[Row]) -> None:
        self.left -= len(rows)
        if self.left < 0:
            raise QueryError(
                "format", "xlsx", f"a sheet holds {SHEET_ROWS:,} rows: use csv or parquet, or a narrower query"
            )
        for row in rows:
            self.sheet.append([self._cell(row[column.name], column) for column in self.columns])

    def _cell(self, value: str | int | None, column: Column) -> Any:
        """A text as a text, whatever it begins with; so, too, an integer that Excel's numbers could not hold."""
        from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415

        if value is None or (isinstance(value, int) and abs(value) < EXACT):
            return value
        text = ESCAPED.sub(lambda found: f"_x{ord(found[0]):04X}_", str(value))
        if len(text) > CELL:
            raise QueryError("format", "xlsx", f"a cell of {column.name} holds {CELL:,} characters: use csv or parquet")
        cell = WriteOnlyCell(self.sheet, value=text)
        cell.data_type = "s"
        return cell

    def close(self) -> None:
        self.book.save(self.path)


def _read_excel(path: Path, columns: Sequence[Column]) -> Iterator[Row]:
    from openpyxl import load_workbook  # noqa: PLC0415

    with path.open("rb") as file, closing(load_workbook(file, read_only=True)) as book:  # whatever the file is called
        rows = book.worksheets[0].iter_rows(values_only=True)
        _need_columns([str(name) for name in next(rows, ())], columns)
        for row in rows:
            if len(row) > len(columns):
                raise UnreadableError(f"a row has {len(row)} cells, but there are {len(columns)} columns")
            texts = (None if value is None else _unescaped(str(value)) for value in row)
            yield {
                column.name: int(text) if text is not None and column.kind == COUNT else text
                for column, text in zip_longest(columns, texts)  # empty cells at the end of a row are not in the file
            }


def _unescaped(text: str) -> str:
    return CHARACTER.sub(lambda found: chr(int(found[1], 16)), text)


WRITERS: dict[str, Any] = {"jsonl": _JsonLines, "csv": _Csv, "parquet": _Parquet, "xlsx": _Excel}
READERS: dict[str, Any] = {"jsonl": _read_json_lines, "csv": _read_csv, "parquet": _read_parquet, "xlsx": _read_excel}


def writer_of(file_format: str, path: Path, columns: Sequence[Column]) -> Writer:
    """Raises `QueryError`."""
    check_format(file_format)
    made: Writer = WRITERS[file_format](path, columns)
    return made


def read_rows(file_format: str, path: Path, columns: Sequence[Column]) -> Iterator[Row]:
    """The rows of a file as they were written. Raises `UnreadableError`, also for other columns than these."""
    try:
        check_format(file_format)
        yield from READERS[file_format](path, columns)
    except Exception as error:  # whatever a changed byte leads to
        raise UnreadableError(str(error)) from error


def check_format(file_format: str) -> None:
    """Raises `QueryError` for one that nobody can write here."""
    if file_format not in WRITERS:
        raise QueryError("format", file_format, f"use {', '.join(WRITERS)}")
    if file_format == "parquet" and find_spec("pyarrow") is None:
        raise QueryError("format", "parquet", "needs pyarrow: pip install 'dealgate[portfolio]', or use csv or jsonl")
