"""The engines that a book can be evaluated on, and what is asked of one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import narwhals as nw

from dealgate.adapters.portfolio.judging import OutputColumn, Reasons
from dealgate.rules.column_plan import Kernel

ENGINES = ("polars", "duckdb", "spark")


class Part(NamedTuple):
    """Some rows of one file of a book; all of them where `rows` is None."""

    path: Path
    first: int = 0
    rows: int | None = None


class Frames(Protocol):
    """What an engine does to a frame in its own way; the rest is Narwhals."""

    def with_kernel(self, frame: nw.LazyFrame[Any], kernel: Kernel) -> nw.LazyFrame[Any]: ...

    def with_reasons(self, frame: nw.LazyFrame[Any], reasons: Reasons) -> nw.LazyFrame[Any]: ...

    def spell(self, frame: nw.LazyFrame[Any], columns: Sequence[OutputColumn]) -> nw.LazyFrame[Any]: ...


class Work(Protocol):
    """What is to be made of a book: a table with a row for each deal, or for some of them.

    Work can be pickled: a cluster sends it to where the rows are.
    """

    def result(self, frames: Frames, book: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]: ...


class Engine(Protocol):
    divides: bool
    """Whether a book is handed over part by part. A cluster divides it by itself."""

    def run(self, work: Work, parts: Sequence[Part], path: Path) -> None:
        """Write the work's result for these parts to a Parquet file, or to a folder of such files."""

    def close(self) -> None: ...


def open_engine(name: str, *, master: str | None = None) -> Engine:
    """Start an engine by its name. Raises `ValueError` for an unknown one, `ImportError` where it is not installed."""
    match name:
        case "polars":
            from dealgate.adapters.portfolio.polars_engine import PolarsEngine  # noqa: PLC0415

            return PolarsEngine()
        case "duckdb":
            from dealgate.adapters.portfolio.duckdb_engine import DuckDBEngine  # noqa: PLC0415

            return DuckDBEngine()
        case "spark":
            from dealgate.adapters.portfolio.spark_engine import SparkEngine  # noqa: PLC0415

            return SparkEngine.start(master)
    raise ValueError(f"no engine is called {name!r}: use {', '.join(ENGINES[:-1])} or {ENGINES[-1]}")
