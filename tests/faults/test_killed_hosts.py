"""A host is killed with SIGKILL in the midst of its transactions: no decision without its deal, no deal without its decision."""

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import psutil
from sqlalchemy import Engine

from tests.faults.efforts import efforts
from tests.hosts import kept_together, make_tables
from tests.models.ledgers import a_signer, seal_all, verified

HOSTING = Path(__file__).parent / "hosting.py"
WORKERS = 4
PATIENCE = 60.0


@contextmanager
def hosting(url: str, folder: Path) -> Iterator[psutil.Process]:
    """The host's first process; in the end it is killed with all of its workers."""
    leader = subprocess.Popen([sys.executable, HOSTING, url, folder, str(WORKERS)])
    process = psutil.Process(leader.pid)
    try:
        yield process
    finally:
        process.suspend()  # or it would replace those that are killed now
        doomed = process.children()
        for each in (*doomed, process):
            each.kill()
        leader.wait(PATIENCE)
        psutil.wait_procs(doomed, PATIENCE)


def wait_for(told: Callable[[], int], least: int, leader: psutil.Process) -> None:
    deadline = time.monotonic() + PATIENCE
    while told() < least:
        assert time.monotonic() < deadline, f"{told()} of {least} after {PATIENCE} s"
        assert leader.is_running()
        time.sleep(0.005)


def lines(folder: Path) -> dict[str, set[str]]:
    """The keys, by what their worker said last about them, or that it began with them and said no more."""
    found = defaultdict[str, set[str]](set)
    for file in folder.glob("worker-*"):
        said = {key: word for word, key in map(str.split, file.read_text().splitlines())}
        for key, word in said.items():
            found[word].add(key)
    return found


@efforts(12, 400)
def test_a_host_that_is_killed_at_any_point_leaves_a_deal_with_its_decision_or_neither(
    database: Engine,
    database_url: str,
    tmp_path: Path,
    effort: int,
    chance: Random,
    figures: Callable[[str], None],
) -> None:
    make_tables(database)
    (folder := tmp_path / "told").mkdir()
    with hosting(database_url, folder) as leader:
        for number in range(effort):
            # Whoever is killed next has been at work.
            wait_for(lambda: len([*folder.glob("worker-*")]), WORKERS + number, leader)
            time.sleep(chance.uniform(0.0, 0.06))
            with suppress(psutil.NoSuchProcess):
                os.kill(chance.choice(leader.children()).pid, signal.SIGKILL)
        wait_for(lambda: len(lines(folder)["kept"]), 8, leader)
    said = lines(folder)
    assert set(said) <= {"begin", "kept", "rolled-back", "failed"}
    kept = kept_together(database)
    assert said["kept"] <= kept
    assert not kept & (said["rolled-back"] | said["failed"])
    assert said["begin"], "nobody was killed in the midst of a transaction"
    signer = a_signer()
    seal_all(database, signer)
    assert verified(database, signer.key).flaws == []
    figures(
        f"killed {effort} workers and {WORKERS} more, {len(said['begin'])} in the midst of a transaction, of which "
        f"{len(kept & said['begin'])} had committed; {len(said['kept'])} acknowledged, {len(said['rolled-back'])} rolled back, "
        f"{len(said['failed'])} failed at the commit: 0 lost, 0 halves"
    )
