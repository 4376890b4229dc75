"""PySpark: a session on this machine, or a cluster when the book outgrows it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.types import ArrayType, LongType, StringType, StructField, StructType

from dealgate.adapters.portfolio.engines import Part
from dealgate.adapters.portfolio.judging import REASONS, OutputColumn, Reasons, run_kernel, spelled
from dealgate.rules.columns import Kernel

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "8",
}
LOCAL = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}


class SparkEngine:
    divides = False

    def __init__(self, session: SparkSession) -> None:
        self._session = session

    @classmethod
    def start(cls, master: str | None = None) -> "SparkEngine":
        """A session on the cluster of `master`, or on all cores of this machine."""
        builder = SparkSession.builder.appName("dealgate portfolio").master(master or "local[*]")
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # workers on this machine run what this process runs
        settings = SETTINGS | (LOCAL if _is_here(master) else {})
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        return cls(session)

    def scan(self, parts: Sequence[Part]) -> nw.LazyFrame[Any]:
        if any(part.rows is not None for part in parts):
            raise ValueError("Spark divides a book by itself: hand it whole files")
        return nw.from_native(self._session.read.parquet(*(str(part.path) for part in parts)))

    def with_kernel(self, frame: nw.LazyFrame[Any], kernel: Kernel) -> nw.LazyFrame[Any]:
        def run(*columns: pa.Array) -> pa.Array:
            return pa.StructArray.from_arrays(run_kernel(kernel, columns), list(kernel.outputs))

        made = StructType([StructField(name, LongType()) for name in kernel.outputs])
        native: DataFrame = frame.to_native()
        found = native.withColumn("made", sf.arrow_udf(run, made)(*kernel.inputs))
        return nw.from_native(found.withColumns({name: sf.col(f"made.{name}") for name in kernel.outputs}).drop("made"))

    def with_reasons(self, frame: nw.LazyFrame[Any], reasons: Reasons) -> nw.LazyFrame[Any]:
        def run(*columns: pa.Array) -> pa.Array:
            return reasons(columns)

        native: DataFrame = frame.to_native()
        made = sf.arrow_udf(run, ArrayType(StringType()))(*reasons.rules)
        return nw.from_native(native.withColumn(REASONS, made))

    def spell(self, frame: nw.LazyFrame[Any], columns: Sequence[OutputColumn]) -> nw.LazyFrame[Any]:
        return frame.select(*map(spelled, columns))

    def write(self, frame: nw.LazyFrame[Any], path: Path) -> None:
        native: DataFrame = frame.to_native()
        native.write.parquet(str(path), mode="overwrite", compression="zstd")

    def collect(self, frame: nw.LazyFrame[Any]) -> pa.Table:
        native: DataFrame = frame.to_native()
        return native.toArrow()

    def close(self) -> None:
        self._session.stop()


def _is_here(master: str | None) -> bool:
    return master is None or master.startswith("local") or "//127.0.0.1" in master
