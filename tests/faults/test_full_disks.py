"""T7: the disk is full, or answers with errors. What was acknowledged stays, errors are told, and work resumes with space."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from dealgate import Gate
from dealgate.adapters.database import open_database
from tests.databases import SqliteFiles
from tests.faults.clusters import Cluster
from tests.faults.efforts import efforts
from tests.models.ledgers import a_signer, seal_all, verified
from tests.models.samples import a_deal, a_policy
from tests.programs import program

KEYS = text("SELECT idempotency_key FROM dealgate_ledger_entry WHERE idempotency_key IS NOT NULL")
MEGABYTE = 1 << 20


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system in memory of so many bytes; needs the rights to mount one."""
    folder.mkdir()
    mount = program("mount", "a small disk cannot be made")
    command = [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"no small disk, mount needs root: {found.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def submit_until_full(gate: Gate, tried: range) -> tuple[list[str], Counter[str]]:
    """The keys that were acknowledged, and the errors of the others."""
    acknowledged, errors = list[str](), Counter[str]()
    for number in tried:
        try:
            gate.submit(a_deal(deal_id=f"D-{number % 5}"), idempotency_key=f"K-{number}")
            acknowledged.append(f"K-{number}")
        except DBAPIError as error:
            errors[getattr(error.orig, "sqlstate", None) or str(error.orig).partition(":")[0]] += 1
            if errors.total() == 3:
                break
    return acknowledged, errors


def assert_kept(database: Engine, acknowledged: list[str]) -> None:
    with database.connect() as connection:
        kept = connection.execute(KEYS).scalars().all()
    assert sorted(kept) == sorted(acknowledged)
    signer = a_signer()
    seal_all(database, signer)
    assert verified(database, signer.key).flaws == []


def test_a_full_disk_under_sqlite_keeps_what_it_acknowledged_and_takes_more_once_there_is_space(
    tmp_path: Path, figures: Callable[[str], None]
) -> None:
    template = Path(SqliteFiles(tmp_path).ready().removeprefix("sqlite:///"))
    with small_disk(tmp_path / "disk", 2 * MEGABYTE) as folder:
        (folder / "ballast").write_bytes(bytes(MEGABYTE // 2))
        (folder / "ledger.db").write_bytes(template.read_bytes())
        database = open_database(f"sqlite:///{folder / 'ledger.db'}")
        gate = Gate(database, a_policy())
        acknowledged, errors = submit_until_full(gate, range(1_000))
        assert acknowledged
        assert set(errors) <= {"database or disk is full", "disk I/O error"}
        (folder / "ballast").unlink()
        more, _ = submit_until_full(gate, range(1_000, 1_003))
        assert len(more) == 3
        assert_kept(database, acknowledged + more)
        database.dispose()
    figures(f"{len(acknowledged)} acknowledged before the disk was full, all kept; errors {dict(errors)}; resumed")


@pytest.mark.faults
def test_a_full_disk_under_postgresql_keeps_what_it_acknowledged_and_takes_more_once_there_is_space(
    figures: Callable[[str], None],
) -> None:
    # The server runs as another user, to whom pytest's own folders are closed.
    with TemporaryDirectory(prefix="dealgate-") as place, small_disk(Path(place) / "disk", 130 * MEGABYTE) as disk:
        Path(place).chmod(0o755)
        (folder := disk / "data").mkdir()
        with Cluster.started(folder=folder) as cluster:
            database = open_database(cluster.new_database())
            cluster.run("ALTER SYSTEM SET max_wal_size = '64MB'", "SELECT pg_reload_conf()")
            ballast = disk / "ballast"
            with ballast.open("wb") as file:
                free = os.statvfs(disk)
                file.write(bytes(max(0, free.f_bavail * free.f_bsize - 6 * MEGABYTE)))
            gate = Gate(database, a_policy())
            acknowledged, errors = submit_until_full(gate, range(100_000))
            assert acknowledged
            ballast.unlink()
            cluster.start()
            database.dispose()
            more, _ = submit_until_full(gate, range(100_000, 100_003))
            assert len(more) == 3
            assert_kept(database, acknowledged + more)
            database.dispose()
    figures(f"{len(acknowledged)} acknowledged before the disk was full, all kept; errors {dict(errors)}; resumed")


INJECTIONS = {
    "sync fails": ("fsync,fdatasync", "EIO", 10),
    "write finds no space": ("pwrite64", "ENOSPC", 300),
}
"""The system calls, the error, and of about how many calls one fails: a submission writes often and syncs once."""


@pytest.mark.parametrize("injection", INJECTIONS.values(), ids=INJECTIONS)
@efforts(25, 400)
def test_a_disk_that_answers_with_errors_keeps_what_was_acknowledged(
    tmp_path: Path, injection: tuple[str, str, int], effort: int, chance: Random, figures: Callable[[str], None]
) -> None:
    """In a process of its own, so that its system calls can be made to fail."""
    strace = program("strace", "no error can be injected")
    url = SqliteFiles(tmp_path).ready()
    told = tmp_path / "told"
    calls, error, every = injection
    faults = f"inject={calls}:error={error}:when={every}+{every + chance.randrange(every)}"
    worker = [sys.executable, str(Path(__file__).parent / "submitter.py"), url, str(told), str(effort)]
    command = [strace, "-f", "-qq", "-o", os.devnull, "-e", f"trace={calls}", "-e", faults, *worker]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    if "PTRACE" in found.stderr:
        pytest.skip(f"strace may not trace here: {found.stderr.strip()}")
    assert found.returncode == 0, found.stderr
    lines = told.read_text().splitlines()
    acknowledged = [line for line in lines if not line.startswith("error")]
    database = open_database(url)
    with database.connect() as connection:
        kept = connection.execute(KEYS).scalars().all()
    assert len(kept) == len(set(kept))
    assert set(acknowledged) <= set(kept)
    assert len(acknowledged) < effort, "no error was injected"
    assert acknowledged, "nothing came through"
    signer = a_signer()
    seal_all(database, signer)
    assert verified(database, signer.key).flaws == []
    database.dispose()
    figures(f"{effort} tried, {len(acknowledged)} acknowledged and kept, {len(lines) - len(acknowledged)} errors told")
