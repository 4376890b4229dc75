"""Measure, and write the results to docs/benchmarks.md and docs/benchmarks.svg.

python tests/benchmarks/run.py             the engine and its peers, some minutes
python tests/benchmarks/run.py --quick     the same with little patience, to try
python tests/benchmarks/run.py --memory    a million evaluations on 1 thread, then on 8
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks import engine, page
from tests.benchmarks.memory import run_long
from tests.benchmarks.plot import draw

DOCS = Path(__file__).parents[2] / "docs"
THREADS = (1, 8)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="under a minute; the numbers are rough")
    arguments.add_argument("--memory", action="store_true", help="only the run for memory and wrong results")
    arguments.add_argument(
        "--evaluations", type=int, default=1_000_000, help="of the run for memory, on each count of threads"
    )
    arguments.add_argument("--output", type=Path, default=DOCS, help="folder of the page and the plot")
    given = arguments.parse_args()
    target = given.output / "benchmarks.md"
    if given.memory:
        runs = [run_long(threads, given.evaluations) for threads in THREADS]
        page.write_section(target, "memory", page.memory_section(runs))
        raise SystemExit(any(run.wrong for run in runs))
    measured = engine.run(engine.QUICK if given.quick else engine.FULL)
    page.write_section(target, "engine", page.engine_section(measured, "benchmarks.svg"))
    draw(measured, given.output / "benchmarks.svg")
    print(f"written to {target}")


if __name__ == "__main__":
    main()
