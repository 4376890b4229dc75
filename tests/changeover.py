"""Versions change over under load, and come and go by the hundred: run by hand, `python tests/changeover.py`.

Prints how many submissions each version decided, and fails where one was decided under another version than the one in force at its
moment, or where memory does not return to where it was.
"""

import argparse
import gc
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from sqlalchemy import Engine

from dealgate import Gate, Policy
from dealgate.adapters.database import open_database, upgrade_database
from dealgate.adapters.programs import IN_FORCE
from dealgate.models import versions
from dealgate.models.versions import add_version, all_steps, approve_version, in_force
from tests.models.samples import CLEAN, POLICY

THREADS = 4
MEGABYTE = 1_000_000


def version(number: int) -> Policy:
    """A version whose limit tells its number."""
    text = POLICY.replace('version: "1"', f'version: "{number}"').replace("limit: 125%", f"limit: {100 + number}%")
    return Policy.from_text(text.replace("effective_to: 2027-11-01\n", ""), "sample.yaml")


def put_in_force(database: Engine, policy: Policy) -> None:
    with database.begin() as connection:
        now = datetime.now(UTC)
        add_version(connection, policy, policy.self_contained, now, actor="ann")
        approve_version(connection, policy, now, actor="bob")


def change_over(database: Engine, submissions: int) -> Counter[str]:
    """So many submissions by several threads while a new version comes into force every half second."""
    gate, stop = Gate(database, IN_FORCE), threading.Event()
    put_in_force(database, version(0))
    time.sleep(versions.LEAD.total_seconds() + 0.1)
    decided: list[tuple[str, str, datetime]] = []

    def submit(thread: int) -> None:
        for number in range(submissions // THREADS):
            decision = gate.submit(CLEAN | {"deal_id": f"D-{thread}-{number}"}).decision
            (limit,) = [one["limit"] for one in decision["findings"] if one["rule"] == "LTV-TOTAL"]
            decided.append((decision["policy"]["version"], limit, datetime.fromisoformat(decision["decided_at"])))

    def publish() -> None:
        number = 1
        while not stop.wait(0.5):
            put_in_force(database, version(number))
            number += 1

    publisher = threading.Thread(target=publish)
    publisher.start()
    with ThreadPoolExecutor(THREADS) as pool:
        for each in [pool.submit(submit, thread) for thread in range(THREADS)]:
            each.result()
    stop.set()
    publisher.join()
    with database.connect() as connection:
        steps = all_steps(connection)
    for deciding, limit, at in decided:
        assert limit == f"{100 + int(deciding)}.00", f"version {deciding} decided with the limit {limit}"
        assert [one.version for one in in_force(steps, at)] == [deciding], f"version {deciding} decided at {at}"
    return Counter(deciding for deciding, *_ in decided)


def come_and_go(database: Engine, count: int) -> list[int]:
    """So many versions, each in force for one submission; resident memory in bytes after each tenth of them."""
    gate, sizes, process = Gate(database, IN_FORCE), list[int](), psutil.Process()
    for number in range(count):
        put_in_force(database, version(1_000 + number))
        assert gate.submit(CLEAN).decision["policy"]["version"] == str(1_000 + number)
        if (number + 1) % max(1, count // 10) == 0:
            gc.collect()
            sizes.append(process.memory_info().rss)
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(f"sqlite:///{Path(folder) / 'changeover.db'}")
        upgrade_database(database)
        counted = change_over(database, options.submissions)
        print(f"{sum(counted.values())} submissions under {len(counted)} versions, each wholly under the one in force")
        database.dispose()
        database = open_database(f"sqlite:///{Path(folder) / 'come-and-go.db'}")
        upgrade_database(database)
        versions.LEAD = timedelta(0)
        sizes = come_and_go(database, options.versions)
        print("resident memory in MB:", " ".join(f"{size / MEGABYTE:.1f}" for size in sizes))
        assert sizes[-1] - sizes[1] < 15 * MEGABYTE, "memory does not return to where it was"
        database.dispose()


if __name__ == "__main__":
    main()
