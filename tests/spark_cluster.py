"""A standalone Spark cluster of two worker processes judges a book, one of them is killed half way, and the answer is right.

    python tests/spark_cluster.py [DEALS]

A script and no test of the suite: a process has one Spark session, and starting a cluster takes longer than the suite may.
"""

import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

import polars as pl

from dealgate.adapters.policies import load_policy
from dealgate.adapters.portfolio.engines import open_engine
from dealgate.adapters.portfolio.evaluating import evaluate_book
from dealgate.adapters.portfolio.generating import generate
from dealgate.adapters.portfolio.running import files_of
from dealgate.adapters.portfolio.sources import Source
from dealgate.adapters.portfolio.spark_engine import SparkEngine
from tests.booked import quiet
from tests.clusters import Cluster, cluster, java_home

DEALS, FILES = 240_000, 24
POLICY = load_policy("prime-auto").policy


class Lost:
    """Kills a worker, with the executor under it, once some of the job's tasks have ended and others have not."""

    def __init__(self, started: Cluster, engine: SparkEngine) -> None:
        self.done, self.tasks = 0, 0
        self._started, self._status = started, engine.session.sparkContext.statusTracker()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self.done:
            for number in self._status.getActiveStageIds():
                stage = self._status.getStageInfo(number)
                if stage and stage.numTasks > 4 and stage.numTasks // 4 <= stage.numCompletedTasks < stage.numTasks - 1:
                    self.done, self.tasks = stage.numCompletedTasks, stage.numTasks
                    self._started.kill(0)
                    return
            time.sleep(0.02)


def main(deals: int) -> None:
    java_home()
    with TemporaryDirectory() as name:
        folder = Path(name)
        book = folder / "book"
        book.mkdir()
        for number in range(FILES):
            generate(deals // FILES, number, book / f"part-{number:02d}.parquet", lambda _: None)
        with cluster(folder) as started:
            engine = SparkEngine.start(started.url)
            begun = time.monotonic()
            lost = Lost(started, engine)
            evaluate_book(Source(str(book)), POLICY, engine, "spark", folder / "spark.parquet", quiet)
            spent = time.monotonic() - begun
            alive = [worker.poll() is None for worker in started.workers]
            engine.close()
        assert lost.done, "no worker was killed while the job ran"
        assert alive == [False, True], "the wrong worker is gone"
        evaluate_book(Source(str(book)), POLICY, open_engine("polars"), "polars", folder / "polars.parquet", quiet)
        spark, polars = (_rows(folder / f"{name}.parquet") for name in ("spark", "polars"))
        assert spark.height == polars.height == deals // FILES * FILES
        assert spark.equals(polars), "the cluster's answer differs"
        print(
            f"{spark.height:,} deals in {spent:.0f} s; worker killed after {lost.done} of {lost.tasks} tasks; every row is right"
        )


def _rows(out: Path) -> pl.DataFrame:
    """In an order of its own: the same ids stand in several files."""
    table = pl.concat([pl.read_parquet(file) for file in files_of([out])], how="vertical_relaxed")
    words = [name for name, dtype in table.schema.items() if isinstance(dtype, pl.Enum)]
    return table.with_columns(pl.col(words).cast(pl.String)).sort(
        "deal_id", "amount_financed", "monthly_payment", "total_ltv_denominator"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DEALS)
