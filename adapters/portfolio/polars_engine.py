"""Polars: embedded, streaming, larger than memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from dealgate.adapters.portfolio.engines import Part, Work
from dealgate.adapters.portfolio.judging import REASONS, OutputColumn, Reasons, run_kernel
from dealgate.rules.column_plan import Kernel

ROW_GROUP = 250_000


class PolarsEngine:
    divides = True

    def run(self, work: Work, parts: Sequence[Part], path: Path) -> None:
        frames = [pl.scan_parquet(part.path, glob=False).slice(part.first, part.rows) for part in parts]
        book = frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal")
        native: pl.LazyFrame = work.result(self, nw.from_native(book)).to_native()
        native.sink_parquet(path, compression="zstd", compression_level=1, row_group_size=ROW_GROUP)

    def with_kernel(self, frame: nw.LazyFrame[Any], kernel: Kernel) -> nw.LazyFrame[Any]:
        def run(columns: Sequence[pl.Series]) -> pl.Series:
            found = run_kernel(kernel, [column.to_arrow() for column in columns])
            made = [pl.Series(name, values) for name, values in zip(kernel.outputs, found, strict=True)]
            return pl.DataFrame(made).to_struct(kernel.outputs[0])

        fields = pl.Struct(dict.fromkeys(kernel.outputs, pl.Int64))
        made = pl.map_batches([pl.col(name) for name in kernel.inputs], run, return_dtype=fields, is_elementwise=True)
        native: pl.LazyFrame = frame.to_native()
        return nw.from_native(native.with_columns(made.alias("made")).unnest("made"))

    def with_reasons(self, frame: nw.LazyFrame[Any], reasons: Reasons) -> nw.LazyFrame[Any]:
        def run(columns: Sequence[pl.Series]) -> pl.Series:
            return pl.Series(REASONS, reasons([column.to_arrow() for column in columns]), pl.List(pl.String))

        made = pl.map_batches(
            [pl.col(name) for name in reasons.rules], run, return_dtype=pl.List(pl.String), is_elementwise=True
        )
        native: pl.LazyFrame = frame.to_native()
        return nw.from_native(native.with_columns(made.alias(REASONS)))

    def spell(self, frame: nw.LazyFrame[Any], columns: Sequence[OutputColumn]) -> nw.LazyFrame[Any]:
        native: pl.LazyFrame = frame.select(*(column.source.alias(column.name) for column in columns)).to_native()
        words = [pl.col(column.name).cast(pl.UInt8).cat.to(pl.Enum(column.words)) for column in columns if column.words]
        return nw.from_native(native.with_columns(words))

    def close(self) -> None:
        """Nothing is held."""
