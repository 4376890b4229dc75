"""Verification of many entries against reading and hashing the same bytes, and how fast entries are sealed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Engine

from dealgate.adapters.database import READS_ONLY, open_database, upgrade_database
from dealgate.adapters.ledger_verification import verify_ledger
from dealgate.adapters.sealer import Sealer
from dealgate.models.envelope import Draft
from dealgate.models.ledger import append_all
from dealgate.models.signing import Ed25519Signer, new_key
from dealgate.models.tree import WIDTH, perfect_root

AT_ONCE = 1_000
FETCH = 2_000
READ, FLOOR, BODIES, FULL = "read and hash", "read, hash, tree", "level bodies", "level full"
WHAT = {
    READ: "every envelope read from the same file with the driver, and SHA-256 over it",
    FLOOR: "that, and SHA-256 once for each node above those hashes, by hand and with nothing compared: what any root costs in Python",
    BODIES: "that, leaves and tiles read, the tree's root at each checkpoint, signatures: `verify_ledger(level='bodies')`",
    FULL: "that, and every column, chain, personal value, projection, reference and guard: `level='full'`",
}


def fill(engine: Engine, entries: int, size: int) -> None:
    """Entries of about so many bytes, appended through the one door."""
    now, filling = datetime.now(UTC), "x" * (size - 360)
    for first in range(0, entries, AT_ONCE):
        drafts = [
            (Draft(str(UUID(int=number)), "measured", {"filling": f"{number:08}{filling}"}), None)
            for number in range(first, min(entries, first + AT_ONCE))
        ]
        with engine.begin() as connection:
            append_all(connection, drafts, now)


class Sealing(NamedTuple):
    """Entries sealed a second, by the clock on the wall and by the processor."""

    entries: int
    by_wall: float
    by_processor: float


def seal(engine: Engine, signer: Ed25519Signer) -> Sealing:
    wall, processor = perf_counter(), process_time()
    sealed = Sealer(engine, signer).seal()
    assert sealed is not None
    return Sealing(sealed.added, sealed.added / (perf_counter() - wall), sealed.added / (process_time() - processor))


class Verified(NamedTuple):
    """Seconds of processor time, one number a round, by contender; and the bytes of an envelope on average."""

    entries: int
    bytes_each: float
    seconds: dict[str, list[float]]
    sealing: Sealing


def read_hash_and_fold(path: Path) -> bytes:
    """The root over whole tiles of envelopes, with the least that Python can do for it."""
    roots = []
    with closing(sqlite3.connect(path)) as connection:
        cursor = connection.execute("SELECT envelope FROM dealgate_ledger_body ORDER BY rowid")
        while rows := cursor.fetchmany(WIDTH):
            leaves = [sha256(b"\0" + envelope).digest() for (envelope,) in rows]
            roots.append(perfect_root(leaves) if len(leaves) == WIDTH else b"")
    return sha256(b"".join(roots)).digest()


def read_and_hash(path: Path) -> int:
    length = 0
    with closing(sqlite3.connect(path)) as connection:
        cursor = connection.execute("SELECT envelope FROM dealgate_ledger_body ORDER BY rowid")
        while rows := cursor.fetchmany(FETCH):
            for (envelope,) in rows:
                sha256(b"\0" + envelope).digest()
                length += len(envelope)
    return length


def measure_verification(entries: int, size: int, rounds: int, full_rounds: int) -> Verified:
    with TemporaryDirectory(prefix="dealgate-bench-") as folder:
        path = Path(folder) / "ledger.db"
        engine = open_database(f"sqlite:///{path}")
        upgrade_database(engine)
        signer = Ed25519Signer.parse(new_key("lender.example/ledger").private)
        fill(engine, entries, size)
        sealing = seal(engine, signer)

        def verify(level: str) -> None:
            with engine.connect().execution_options(**{READS_ONLY: True}) as connection:
                report = verify_ledger(connection, keys=[signer.key], level=level)
                assert report.sealed >= entries, report
                assert report.intact, report.flaws[:3]

        calls: dict[str, Callable[[], object]] = {
            READ: lambda: read_and_hash(path),
            FLOOR: lambda: read_hash_and_fold(path),
            BODIES: lambda: verify("bodies"),
            FULL: lambda: verify("full"),
        }
        found: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(rounds):
            for name, call in calls.items():
                if name != FULL or number < full_rounds:
                    started = process_time()
                    call()
                    found[name].append(process_time() - started)
        length = read_and_hash(path)
        engine.dispose()
    return Verified(entries, length / (entries + 1), found, sealing)
