"""The engines that a book can be evaluated on, by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import narwhals as nw
import pyarrow as pa

from dealgate.adapters.portfolio.judging import OUTCOME, REASONS, OutputColumn, Reasons, book_columns
from dealgate.rules.columns import ColumnPlan, Kernel

ENGINES = ("polars", "duckdb", "spark")


class Part(NamedTuple):
    """Some rows of one file of a book; all of them where `rows` is None."""

    path: Path
    first: int = 0
    rows: int | None = None


class Engine(Protocol):
    """What an engine does in its own way; the rest is Narwhals."""

    divides: bool
    """Whether a book is handed over part by part. A cluster divides it by itself."""

    def scan(self, parts: Sequence[Part]) -> nw.LazyFrame[Any]: ...

    def with_kernel(self, frame: nw.LazyFrame[Any], kernel: Kernel) -> nw.LazyFrame[Any]: ...

    def with_reasons(self, frame: nw.LazyFrame[Any], reasons: Reasons) -> nw.LazyFrame[Any]: ...

    def spell(self, frame: nw.LazyFrame[Any], columns: Sequence[OutputColumn]) -> nw.LazyFrame[Any]: ...

    def write(self, frame: nw.LazyFrame[Any], path: Path) -> None: ...

    def collect(self, frame: nw.LazyFrame[Any]) -> pa.Table: ...

    def close(self) -> None: ...


def judge(engine: Engine, frame: nw.LazyFrame[Any], plan: ColumnPlan, carried: Sequence[str] = ()) -> nw.LazyFrame[Any]:
    """Add to a scanned book the columns of a plan and the outcome; `carried` columns of the book stay with them.

    Rows outside what the plan proves are left out: `unproved` has them.
    """
    found = _read(frame, plan, carried)
    if plan.unproved is not None:
        found = found.filter(~plan.unproved)
    for stage in plan.stages:
        if stage.columns:
            found = found.with_columns(**stage.columns)
        for kernel in stage.kernels:
            found = engine.with_kernel(found, kernel)
    return found.with_columns(**{OUTCOME: plan.outcome})


def unproved(frame: nw.LazyFrame[Any], plan: ColumnPlan) -> nw.LazyFrame[Any] | None:
    """The rows that are to be judged deal by deal; None where the plan proves every row of its layout."""
    if plan.unproved is None:
        return None
    return _read(frame, plan, [column.name for column in plan.layout.columns]).filter(plan.unproved)


def _read(frame: nw.LazyFrame[Any], plan: ColumnPlan, carried: Sequence[str]) -> nw.LazyFrame[Any]:
    names = frame.collect_schema().names()
    return frame.select(*book_columns(plan.layout, names, (*plan.reads, *carried)))


def evaluated(
    engine: Engine, frame: nw.LazyFrame[Any], plan: ColumnPlan, columns: Sequence[OutputColumn]
) -> nw.LazyFrame[Any]:
    """The result of `evaluate`: one row a deal, in the documented columns."""
    judged = judge(engine, frame, plan)
    if any(column.name == "reasons" for column in columns):
        judged = engine.with_reasons(judged, Reasons(plan.reasons))
    return engine.spell(judged, columns)


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


__all__ = ["ENGINES", "OUTCOME", "REASONS", "Engine", "Part", "evaluated", "judge", "open_engine"]
