"""One measurement of the portfolio, in a process of its own: `python portfolio_run.py JSON`, answers with one JSON line."""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import narwhals as nw

from dealgate import Policy
from dealgate.adapters.portfolio.book import Book
from dealgate.adapters.portfolio.engines import Engine, Frames, Part, Work, open_engine
from dealgate.adapters.portfolio.running import files_of
from dealgate.adapters.portfolio.work import Compiled, Evaluation, judge
from dealgate.rules.column_layout import Layout
from dealgate.rules.column_plan import VIOLATED


@dataclass(frozen=True)
class Counted:
    """Every rule judged on every deal, and only counted: how many deals each rule and each outcome has."""

    policy: Policy
    layout: Layout

    def result(self, frames: Frames, book: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        plan = Compiled(self.policy, self.layout, frozenset()).plan
        judged = judge(frames, book, plan, clean=True)
        counts = {name: (nw.col(column) == VIOLATED).cast(nw.Int64).sum() for name, column in plan.rules.items()}
        return judged.select(
            deals=nw.len().cast(nw.Int64), outcome=nw.col(plan.outcome_column).cast(nw.Int64).sum(), **counts
        )


def run(engine: Engine, work: Work, parts: list[Part], folder: Path) -> list[Path]:
    """By parts, as a run does it; a cluster gets the book whole."""
    groups = (
        [[part] for part in parts]
        if engine.divides
        else [[Part(file) for file in dict.fromkeys(part.path for part in parts)]]
    )
    made = []
    for number, group in enumerate(groups):
        made.append(folder / f"out-{number}.parquet")
        engine.run(work, group, made[-1])
    return made


def main() -> None:
    given = json.loads(sys.argv[1])
    book = Book.of(map(Path, given["files"]))
    policy = Policy.from_text(Path(given["policy"]).read_text(encoding="utf-8"))
    engine = open_engine(given["engine"])
    work: Work = (
        Counted(policy, book.layout) if given["mode"] == "evaluate" else Evaluation(policy, book.layout, clean=True)
    )
    with TemporaryDirectory(dir=given["folder"]) as folder:
        first = Part(book.files[0], 0, 50_000) if engine.divides else Part(Path(given["small"]))
        run(engine, work, [first], Path(folder))
        wall, cpu = time.perf_counter(), time.process_time()
        made = run(engine, work, list(book.parts()), Path(folder))
        found: dict[str, Any] = {
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "deals": book.rows,
        }
        if given["mode"] == "evaluate":
            found["counted"] = _total(made)
    print(json.dumps(found))
    engine.close()


def _total(made: list[Path]) -> dict[str, int]:
    import polars as pl  # noqa: PLC0415

    totals: dict[str, int] = pl.read_parquet(list(files_of(made))).sum().row(0, named=True)
    return totals


if __name__ == "__main__":
    main()
