"""PySpark: a session on this machine, or a cluster when the book outgrows it.

Spark divides the book, moves it, and repeats what a lost worker leaves undone. What is computed in a task is the plan on Polars:
as expressions of Spark SQL a policy of twenty rules with projections takes the planner most of a minute and outgrows the
method size of the virtual machine; docs/explanation/portfolio.md has the measurement.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from dealgate.adapters.portfolio.engines import Part, Work
from dealgate.adapters.portfolio.polars_engine import PolarsEngine

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "250000",
    "spark.sql.files.maxPartitionBytes": "16m",
    "spark.sql.parquet.mergeSchema": "true",
}
PATTERN = re.compile(r"([\\*?\[\]{}])")
"""Characters by which Spark takes a path for a pattern, and reads other files."""

LOCAL = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}


class SparkEngine:
    divides = False

    def __init__(self, session: SparkSession) -> None:
        self.session = session

    @classmethod
    def start(cls, master: str | None = None) -> "SparkEngine":
        """A session on the cluster of `master`, or on all cores of this machine."""
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # workers on this machine run what this process runs
        builder = SparkSession.builder.appName("dealgate portfolio").master(master or "local[*]")
        for name, value in (SETTINGS | (LOCAL if _is_here(master) else {})).items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        return cls(session)

    def run(self, work: Work, parts: Sequence[Part], path: Path) -> None:
        if any(part.rows is not None for part in parts):
            raise ValueError("Spark divides a book by itself: hand it whole files")
        book = self.session.read.parquet(*(PATTERN.sub(r"\\\1", str(part.path)) for part in parts))

        def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                yield from _plain(work, pa.Table.from_batches([batch])).to_batches()

        empty = pa.Table.from_batches([], book.limit(0).toArrow().schema)
        schema = from_arrow_schema(_plain(work, empty).schema)
        book.mapInArrow(task, schema).write.parquet(str(path), mode="overwrite", compression="zstd")
        _only_parquet(path)

    def close(self) -> None:
        self.session.stop()


def _only_parquet(folder: Path) -> None:
    """Without Spark's marks and checksums, the files named by their numbers: every reader takes such a folder."""
    for number, file in enumerate(sorted(folder.glob("part-*.parquet"))):
        file.rename(folder / f"part-{number:05d}.parquet")
    for other in folder.iterdir():
        if other.suffix != ".parquet" or other.name.startswith((".", "_")):
            other.unlink()


def _plain(work: Work, book: pa.Table) -> pa.Table:
    """The work's result in types that Spark knows."""
    frame = pl.DataFrame(book).lazy()
    result: Any = work.result(PolarsEngine(), nw.from_native(frame)).to_native()
    words = pl.selectors.by_dtype(pl.Enum)
    table: pa.Table = (
        result.with_columns(words.cast(pl.String)).collect().to_arrow(compat_level=pl.CompatLevel.oldest())
    )
    return table.cast(pa.schema([(field.name, _SMALLER.get(field.type, field.type)) for field in table.schema]))


_SMALLER = {pa.large_string(): pa.string(), pa.large_list(pa.large_string()): pa.list_(pa.string())}


def _is_here(master: str | None) -> bool:
    return master is None or master.startswith("local") or "//127.0.0.1" in master
