"""A whole book on every engine against a loop over the fastest row-at-a-time peer; writes docs/benchmarks-portfolio.md.

python tests/benchmarks/portfolio.py              1, 10 and 50 million deals, 40 rules
python tests/benchmarks/portfolio.py --quick      1 million on each engine, to try
python tests/benchmarks/portfolio.py --large 20   a book of so many gigabytes of Parquet, in bounded memory
"""

import argparse
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import polars as pl
import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from dealgate.adapters.policies import load_policy
from dealgate.adapters.portfolio.book import row_schema
from dealgate.adapters.portfolio.generating import FILE_ROWS as GENERATED_ROWS
from dealgate.adapters.portfolio.generating import generate
from dealgate.adapters.portfolio.rows import row_of
from tests.benchmarks.deals import Deals, distinct_deals
from tests.benchmarks.machine import describe
from tests.benchmarks.page import write_section
from tests.benchmarks.peers import peers
from tests.benchmarks.timing import measure
from tests.benchmarks.workload import Workload, build_workload

MILLION = 1_000_000
RULES, VIOLATED = 40, 5
FILE_ROWS = 2 * MILLION
SIZES = {"polars": (1, 10, 50), "duckdb": (1, 10), "spark": (1, 10)}
WRITTEN = {"polars": (1, 10), "duckdb": (1,), "spark": (1,)}
RULE_COUNTS = (10, 40, 160)
DRAWN = 4
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks-portfolio.md"
HEAD = """\
# Benchmarks of the portfolio

Written by `make bench-portfolio`. Other programs may have had a share of the cores: wall-clock time is theirs too, processor time
is not. Ratios are of processor time, in the same run.
"""


class Measured(NamedTuple):
    engine: str
    mode: str
    rules: int
    deals: int
    wall: float
    cpu: float
    peak: int
    """Bytes of resident memory of the process and all its children, at the most."""


def book_of(deals: int, folder: Path) -> list[Path]:
    """The benchmark's 8,192 distinct deals over and over, each with an id of its own, in files of two million."""
    rows = [row_of(deal) for deal in distinct_deals()]
    once = pl.DataFrame(rows, schema=row_schema(rows), orient="row")
    files = []
    for number, first in enumerate(range(0, deals, FILE_ROWS)):
        count = min(FILE_ROWS, deals - first)
        table = pl.concat([once] * (count // once.height + 1)).head(count)
        table = table.with_columns(deal_id=pl.format("B-{}", pl.int_range(first, first + count)))
        files.append(folder / f"book-{deals}-{number:03d}.parquet")
        table.write_parquet(files[-1], compression="zstd", compression_level=1, row_group_size=250_000)
    return files


def measured(
    engine: str, mode: str, rules: int, policy: Path, files: Sequence[Path], folder: Path
) -> tuple[Measured, Any]:
    given = {
        "engine": engine,
        "mode": mode,
        "policy": str(policy),
        "files": list(map(str, files)),
        "folder": str(folder),
    }
    small = folder / "small.parquet"
    pl.scan_parquet(files[0]).head(1_000).sink_parquet(small)
    command = [
        sys.executable,
        str(Path(__file__).with_name("portfolio_run.py")),
        json.dumps(given | {"small": str(small)}),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        peak = _Peak(child.pid)
        output, _ = child.communicate()
    assert child.returncode == 0, f"{engine}, {mode}, {rules} rules ended with {child.returncode}"
    found = json.loads(output.strip().splitlines()[-1])
    cpu = found["cpu"] if engine != "spark" else float("nan")
    one = Measured(engine, mode, rules, found["deals"], found["wall"], cpu, peak.stop())
    print(one, flush=True)
    return one, found.get("counted")


class _Peak:
    """Watches the memory of a process and its children."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self._most = max(self._most, _resident(self._process))

    def stop(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._most


def _resident(process: psutil.Process) -> int:
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            total += one.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def fastest_peer(deals: Deals, workload: Workload) -> tuple[str, float]:
    """The peer that needs least processor time a deal, and how many microseconds."""
    contenders = [peer for peer in peers(deals, workload) if not peer.name.endswith("traced")]
    for contender in contenders:
        contender.check(workload.violated)
    rounds = measure(contenders, rounds=3, seconds=0.5)
    return min(((name, median(times)) for name, times in rounds.items()), key=lambda one: one[1])


def write_policy(deals: Deals, rules: int, folder: Path) -> tuple[Workload, Path]:
    workload = build_workload(deals, rules, VIOLATED)
    path = folder / f"policy-{rules}.yaml"
    path.write_text(workload.policy, encoding="utf-8")
    return workload, path


def all_sizes(folder: Path, *, quick: bool) -> str:
    deals = Deals()
    workload, policy = write_policy(deals, RULES, folder)
    peer, microseconds = fastest_peer(deals, workload)
    print(peer, microseconds, flush=True)
    runs = list(_by_size(workload, policy, folder, quick=quick))
    by_rules = list(_by_rules(deals, folder))
    return _section(runs, by_rules, peer, microseconds)


def _by_size(workload: Workload, policy: Path, folder: Path, *, quick: bool) -> Iterator[Measured]:
    for millions in (1,) if quick else (1, 10, 50):
        files = book_of(millions * MILLION, folder)
        for engine, sizes in SIZES.items():
            if millions in sizes:
                one, counted = measured(engine, "evaluate", RULES, policy, files, folder)
                _check(workload, counted, one.deals)
                yield one
                if millions in WRITTEN[engine]:
                    yield measured(engine, "write", RULES, policy, files, folder)[0]
        for file in files:
            file.unlink()


def _check(workload: Workload, counted: Mapping[str, int], deals: int) -> None:
    """Every deal breaks exactly the rules it was made to break."""
    assert counted["deals"] == deals
    wrong = {rule.rule for rule in workload.rules if counted[rule.rule] != deals * (rule.rule in workload.violated)}
    assert not wrong, wrong


def _by_rules(deals: Deals, folder: Path) -> Iterator[Measured]:
    files = book_of(2 * MILLION, folder)
    for rules in RULE_COUNTS:
        workload, policy = write_policy(deals, rules, folder)
        one, counted = measured("polars", "evaluate", rules, policy, files, folder)
        _check(workload, counted, one.deals)
        yield one


MODES = {
    "evaluate": "judged: every rule and the outcome, counted",
    "write": "written: all measures, reasons and results, to Parquet",
}


def _section(runs: Iterable[Measured], by_rules: Iterable[Measured], peer: str, microseconds: float) -> str:
    lines = [
        f"## {RULES} rules, every deal breaks {VIOLATED}",
        describe(),
        f"The fastest row-at-a-time peer in this run is {peer}, called in a loop on finished measures and looked-up limits: "
        f"{microseconds:.1f} µs of processor time a deal. dealgate reads the book from Parquet and computes measures, payments and "
        "limits too.",
        _table(runs, microseconds),
        "Memory is the resident memory of the process and all its children at the most. A part of the book is two million deals.",
        "### More rules, 2 million deals, Polars",
        _table(by_rules, microseconds, ratio=False),
    ]
    return "\n\n".join(lines)


def _table(runs: Iterable[Measured], microseconds: float, *, ratio: bool = True) -> str:
    head = ["engine", "what", "rules", "deals", "seconds", "deals a second", "processor time a deal", "peak memory"]
    head += ["times the peer's loop"] if ratio else []
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for run in runs:
        spent = run.cpu / run.deals * 1e6
        cells = [
            run.engine,
            MODES[run.mode],
            f"{run.rules}",
            f"{run.deals:,}",
            f"{run.wall:.1f}",
            f"{run.deals / run.wall:,.0f}",
        ]
        cells += ["in other processes" if spent != spent else f"{spent:.2f} µs", f"{run.peak / 1e9:.2f} GB"]  # noqa: PLR0124
        if ratio:
            cells.append("" if spent != spent else f"{microseconds / spent:,.0f}")  # noqa: PLR0124
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def large_book(gigabytes: float, folder: Path) -> str:
    """Judge a synthetic book of so many gigabytes of Parquet: some drawn files, copied until they are as large."""
    drawn = [folder / f"drawn-{seed}.parquet" for seed in range(DRAWN)]
    for seed, file in enumerate(drawn):
        generate(GENERATED_ROWS, seed, folder / "drawn.parquet", lambda _: None)
        pl.scan_parquet(folder / "drawn.parquet").sink_parquet(file, compression="uncompressed", row_group_size=250_000)
    files, size = list[Path](), 0
    while size < gigabytes * 1e9:
        files.append(folder / f"large-{len(files):04d}.parquet")
        shutil.copy(drawn[len(files) % DRAWN], files[-1])
        size += files[-1].stat().st_size
    print(f"{len(files)} files, {size / 1e9:.1f} GB", flush=True)
    policy = folder / "prime-auto.yaml"
    policy.write_text(load_policy("prime-auto").policy.self_contained, encoding="utf-8")
    one, _ = measured("polars", "evaluate", 22, policy, files, folder)
    return "\n\n".join(
        [
            "## A book larger than memory may be",
            describe(),
            f"{size / 1e9:.1f} GB of uncompressed Parquet in {len(files)} files ({DRAWN} drawn by `portfolio generate`, copied), "
            f"{one.deals:,} deals under `prime-auto` with its equity projections, on Polars: {one.wall:.0f} seconds, "
            f"{one.cpu / one.deals * 1e6:.2f} µs of processor time a deal, peak memory {one.peak / 1e9:.2f} GB.",
        ]
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--large", type=float, metavar="GB")
    arguments.add_argument("--folder", type=Path, help="where books are written and removed again")
    given = arguments.parse_args()
    if not PAGE.exists():
        PAGE.write_text(HEAD, encoding="utf-8")
    with TemporaryDirectory(dir=given.folder) as folder:
        if given.large:
            write_section(PAGE, "large", large_book(given.large, Path(folder)))
        else:
            write_section(PAGE, "sizes", all_sizes(Path(folder), quick=given.quick))
    print(f"written to {PAGE}")


if __name__ == "__main__":
    main()
