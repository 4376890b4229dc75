"""DuckDB: embedded, on disk where memory does not suffice."""

from collections.abc import Sequence
from glob import escape
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import pyarrow as pa
import pyarrow.parquet as pq

from dealgate.adapters.portfolio.engines import Part, Work
from dealgate.adapters.portfolio.judging import REASONS, OutputColumn, Reasons, run_kernel, spelled
from dealgate.rules.column_plan import Kernel
from dealgate.rules.columns import ColumnsError

BIGINT = duckdb.sqltype("BIGINT")
TINYINT = duckdb.sqltype("TINYINT")


class DuckDBEngine:
    divides = True

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET enable_progress_bar = false")
        self._connection.execute("SET memory_limit = '2GB'")
        self._names = count()

    def run(self, work: Work, parts: Sequence[Part], path: Path) -> None:
        book, *others = map(self._scan, parts)
        for other in others:
            book = book.union(other)
        native: duckdb.DuckDBPyRelation = work.result(self, nw.from_native(book)).to_native()
        native.write_parquet(str(path), compression="zstd")

    def _scan(self, part: Part) -> duckdb.DuckDBPyRelation:
        _check_names(pq.read_schema(part.path).names)
        rows = self._connection.read_parquet([escape(str(part.path))], file_row_number=True)
        if part.rows is not None:
            rows = rows.filter(f"file_row_number >= {part.first} AND file_row_number < {part.first + part.rows}")
        return rows.project("* EXCLUDE (file_row_number)")

    def with_kernel(self, frame: nw.LazyFrame[Any], kernel: Kernel) -> nw.LazyFrame[Any]:
        def run(columns: Any) -> Any:
            return pa.StructArray.from_arrays(run_kernel(kernel, _parts(columns)), list(kernel.outputs))

        made = duckdb.struct_type(dict.fromkeys(kernel.outputs, BIGINT))
        name = self._function(run, dict.fromkeys(kernel.inputs, BIGINT), made)
        parts = ", ".join(f"made.{output} AS {output}" for output in kernel.outputs)
        return self._projected(frame, name, kernel.inputs, parts)

    def with_reasons(self, frame: nw.LazyFrame[Any], reasons: Reasons) -> nw.LazyFrame[Any]:
        if not reasons.rules:
            return frame.with_columns(**{REASONS: nw.lit(None, dtype=nw.List(nw.String))})
        name = self._function(
            lambda columns: reasons(_parts(columns)), dict.fromkeys(reasons.rules, TINYINT), "VARCHAR[]"
        )
        return self._projected(frame, name, reasons.rules, f"made AS {REASONS}")

    def _function(self, run: Any, inputs: dict[str, Any], made: Any) -> str:
        """Register a function of one record of columns."""
        name = f"kernel_{next(self._names)}"
        record = [duckdb.struct_type(inputs)]
        self._connection.create_function(  # type: ignore[call-overload]  # the stubs know no Arrow functions
            name, run, record, made, type="arrow", null_handling="special"
        )
        return name

    def _projected(self, frame: nw.LazyFrame[Any], name: str, inputs: Sequence[str], parts: str) -> nw.LazyFrame[Any]:
        native: duckdb.DuckDBPyRelation = frame.to_native()
        record = ", ".join(f"'{column}': {column}" for column in inputs)
        made = native.project(f"*, {name}({{{record}}}) AS made")
        return nw.from_native(made.project(f"* EXCLUDE (made), {parts}"))

    def spell(self, frame: nw.LazyFrame[Any], columns: Sequence[OutputColumn]) -> nw.LazyFrame[Any]:
        return frame.select(*map(spelled, columns))

    def close(self) -> None:
        self._connection.close()


def _check_names(names: Sequence[str]) -> None:
    """Raises `ColumnsError` for two columns that would be one to DuckDB, which then calls the second otherwise."""
    by_folded: dict[str, str] = {}
    for name in names:
        other = by_folded.setdefault(name.casefold(), name)
        if other != name and not name.startswith("metadata."):
            raise ColumnsError(
                f"columns {other!r} and {name!r}: DuckDB does not tell capital letters from others. Use --engine polars or "
                "spark, or write the basis alike in every deal."
            )


def _parts(record: Any) -> list[pa.Array]:
    if isinstance(record, pa.ChunkedArray):
        record = record.combine_chunks()
    return [record.field(index) for index in range(record.type.num_fields)]
