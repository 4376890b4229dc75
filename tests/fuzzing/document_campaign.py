"""A randomized campaign against everything that reads a document: policies, their tables' files, decision models and inputs.

    python tests/fuzzing/document_campaign.py --seconds 600 --seed 1
    python tests/fuzzing/document_campaign.py --extremes

Each document must be a policy or an error. What is a policy must compile, decide a random deal, and read back to the same hash.
Ends with exit code 1 at the first fault and prints what shows it. The extremes run each in a process with bounded memory.
"""

import argparse
import contextlib
import io
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import psutil
import typer

from dealgate import Deal, Policy, PolicyError
from dealgate.adapters.command_line.tables import run as run_table
from dealgate.adapters.policies import check_policy, load_policy

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzzing.extreme_documents import EXTREMES, MEGABYTE, Written
from tests.fuzzing.random_documents import Breaker
from tests.fuzzing.random_policies import Author

LONGEST_SECONDS = 10
EXTREME_SECONDS = 30
EXTREME_MEMORY = 1_500 * MEGABYTE


class TooSlowError(BaseException):
    """No `Exception`, so that nothing takes it for an error of the document."""


def judge_policy(written: Written, folder: Path, seed: int) -> str:
    """`policy` or `error`; whatever else comes is a fault."""
    file = folder / "policy.yaml"
    file.write_bytes(written.policy)
    if written.file:
        (folder / written.file).write_bytes(written.table)
    try:
        loaded = load_policy(str(file))
        policy = loaded.policy
        back = Policy.from_text(policy.canonical)
        assert back.sha256 == policy.sha256, "the canonical form reads back to another hash"
        compiled = check_policy(loaded)
    except PolicyError as error:
        return _error(str(error))
    evaluation = compiled.evaluate(Deal.read(Author(seed).deal()))
    assert evaluation.engine["agreed"], evaluation.findings[-1].explanation
    return "policy"


def _error(words: str) -> str:
    assert words, "an error without words, or with another exit code than 2"
    return "error"


def judge_model(model: bytes, inputs: str, folder: Path) -> str:
    """`value` or `error`, as `dealgate table run` ends."""
    file, given = folder / "model.dmn", folder / "input.json"
    file.write_bytes(model)
    given.write_bytes(inputs.encode("utf-8", "surrogatepass"))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            run_table(str(file), "Max", str(given), as_json=True)
        except typer.Exit as ended:
            return _error("" if ended.exit_code != 2 else "refused")
    return "value"


def judge_one(seed: int, folder: Path) -> tuple[str, str]:
    """What kind of document the seed stands for, and what became of it."""
    breaker = Breaker(seed)
    kind = breaker.random.choice(("policy", "policy", "policy", "csv", "excel", "dmn", "model"))
    if kind == "model":
        return kind, judge_model(breaker.model(), breaker.inputs(), folder)
    write: Callable[[], Written] = getattr(breaker, kind)
    return kind, judge_policy(write(), folder, seed)


def _too_slow(_signal: int, _frame: FrameType | None) -> None:
    raise TooSlowError(f"more than {LONGEST_SECONDS} seconds")


def run(seconds: float, seed: int, most: int = sys.maxsize) -> Counter[str]:
    """Judge documents until the time is up; raises `AssertionError` with the seed of one that shows a fault."""
    counts: Counter[str] = Counter()
    signal.signal(signal.SIGALRM, _too_slow)
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        for one in range(seed * 1_000_000, seed * 1_000_000 + most):
            if time.monotonic() > end:
                break
            begun = time.monotonic()
            signal.alarm(LONGEST_SECONDS)
            try:
                kind, ended = judge_one(one, Path(folder))
            except (Exception, TooSlowError) as error:
                raise AssertionError(f"document {one}: {type(error).__name__}: {error}") from error
            finally:
                signal.alarm(0)
            counts["documents"] += 1
            counts[f"{kind}: {ended}"] += 1
            counts["slowest, milliseconds"] = max(
                counts["slowest, milliseconds"], int(1_000 * (time.monotonic() - begun))
            )
    counts["largest RSS, megabytes"] = _largest_rss()
    return counts


def _largest_rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // MEGABYTE


def judge_extreme(name: str) -> str:
    """In a process of its own: `ended, seconds, megabytes beyond what writing the document took`."""
    written = EXTREMES[name]()
    before = psutil.Process().memory_info().rss
    resource.setrlimit(resource.RLIMIT_AS, (EXTREME_MEMORY, EXTREME_MEMORY))
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        ended = judge_policy(written, Path(folder), 1)
    return f"{ended} {time.monotonic() - begun:.1f} {_largest_rss() - before // MEGABYTE}"


def run_extreme(name: str) -> str:
    """Raises `AssertionError` for a fault."""
    command = [sys.executable, __file__, "--extreme", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=EXTREME_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{name}: more than {EXTREME_SECONDS} seconds") from None
    assert done.returncode == 0, f"{name}: exit code {done.returncode}: {done.stderr[-2_000:]}"
    return done.stdout.strip()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--most", type=int, default=sys.maxsize, help="documents, at most")
    arguments.add_argument("--extremes", action="store_true", help="the extreme documents instead")
    arguments.add_argument("--extreme", choices=EXTREMES, help="one of them, in this process")
    given = arguments.parse_args()
    if given.extreme:
        print(judge_extreme(given.extreme))
        return
    faults = 0
    if given.extremes:
        for name in EXTREMES:
            try:
                print(f"{name:50} {run_extreme(name)}", flush=True)
            except AssertionError as error:
                faults += 1
                print(f"FAULT {error}", flush=True)
        raise SystemExit(1 if faults else 0)
    try:
        counts = run(given.seconds, given.seed, given.most)
    except AssertionError as error:
        print(f"FAULT {error}")
        raise SystemExit(1) from None
    for name, count in sorted(counts.items()):
        print(f"{name:30} {count:,}")


if __name__ == "__main__":
    main()
