"""A backup is put back: the anchors say exactly how many entries are gone, once the ledger itself admits the restore."""

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from dealgate.adapters.anchors.append_only_file import FileAnchor
from dealgate.adapters.database import open_database
from dealgate.adapters.sealed_entries import record_restore
from dealgate.adapters.sealer import Sealer
from dealgate.adapters.transactions import in_transaction
from tests.databases import Databases, PostgreSQL, upgrade
from tests.models.ledgers import START, a_signer, submit_deals, verified


class Files:
    """A SQLite file, backed up while it is in use."""

    def __init__(self, url: str) -> None:
        self.url = url

    def back_up(self, file: Path) -> None:
        with closing(sqlite3.connect(self._path)) as source, closing(sqlite3.connect(file)) as target:
            source.backup(target)

    def put_back(self, file: Path) -> None:
        for end in ("-wal", "-shm"):
            Path(f"{self._path}{end}").unlink(missing_ok=True)
        shutil.copy(file, self._path)

    @property
    def _path(self) -> Path:
        return Path(self.url.removeprefix("sqlite:///"))


class Dumps:
    """A database of PostgreSQL, backed up with its own programs."""

    def __init__(self, server: PostgreSQL) -> None:
        self.url = server.apart()
        self._programs = server.server.bin_path
        self._name = str(make_url(self.url).database)
        upgrade(self.url)

    def back_up(self, file: Path) -> None:
        self._run("pg_dump", "--file", str(file), self._name)

    def put_back(self, file: Path) -> None:
        self._run("dropdb", self._name)
        self._run("createdb", self._name)
        self._run("psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", str(file), self._name)

    def _run(self, program: str, *arguments: str) -> None:
        place = ["--host", str(make_url(self.url).query["host"]), "--username", "postgres"]
        command = [str(self._programs / program), *place, *arguments]
        found = subprocess.run(command, check=False, capture_output=True, text=True)
        assert found.returncode == 0, found.stderr


@pytest.fixture
def kept(databases: Databases) -> Files | Dumps:
    return Dumps(databases) if isinstance(databases, PostgreSQL) else Files(databases.ready())


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    return tmp_path / "backup"


def test_a_restored_backup_is_a_rollback_until_the_ledger_says_so_and_then_every_lost_entry_is_counted(
    kept: Files | Dumps, backup: Path, tmp_path: Path
) -> None:
    anchor, signer = FileAnchor(tmp_path / "anchors"), a_signer()
    database = open_database(kept.url)
    sealer = Sealer(database, signer, [anchor], anchor_every=0.0)
    submit_deals(database, 4, deals=2)
    sealer.seal()
    assert sealer.anchor() == []
    kept.back_up(backup)
    submit_deals(database, 5, first=4, deals=3)
    sealer.seal()
    assert sealer.anchor() == []
    notes = list(anchor.notes())
    sizes = [int(note.split(b"\n")[1]) for note in notes]
    database.dispose()

    kept.put_back(backup)
    database = open_database(kept.url)
    found = verified(database, signer.key, anchored=notes).flaws
    assert [(flaw.what, flaw.expected, flaw.got) for flaw in found] == [
        ("rollback", f"at least {sizes[1]} entries", f"{sizes[0]} of lender.example/ledger")
    ]

    restored = in_transaction(
        database, lambda connection, again: record_restore(connection, signer, notes, "disk lost", "operations", START)
    )
    submit_deals(database, 3, first=20, deals=2)
    sealer = Sealer(database, signer, [anchor], anchor_every=0.0)
    sealer.seal()
    assert sealer.anchor() == []
    report = verified(database, signer.key, anchored=list(anchor.notes()))
    assert report.flaws == []
    lost = sizes[1] - sizes[0]
    assert [remark for remark in report.remarks if "restore" in remark] == [
        f"{lost} entries that lender.example/ledger had sealed at {sizes[1]} are gone since a restore, as the ledger says"
    ]
    assert restored.checkpoint.origin == "lender.example/ledger/2"
    database.dispose()


def test_a_backup_put_back_across_a_second_restore_is_a_rollback_and_the_anchor_takes_nothing_more_of_it(
    kept: Files | Dumps, backup: Path, tmp_path: Path
) -> None:
    """The first restore, which the old state tells of, does not excuse what the second incarnation has lost."""
    anchor, signer = FileAnchor(tmp_path / "anchors"), a_signer()

    def go_on(first: int) -> str:
        database = open_database(kept.url)
        submit_deals(database, 2, first=first)
        sealer = Sealer(database, signer, [anchor], anchor_every=0.0)
        sealed = sealer.seal()
        failures = sealer.anchor()
        database.dispose()
        assert sealed
        return " ".join(map(str, failures)) or sealed.checkpoint.origin

    def restored() -> None:
        database = open_database(kept.url)
        notes = list(anchor.notes())
        in_transaction(
            database, lambda connection, again: record_restore(connection, signer, notes, "lost", "operations", START)
        )
        database.dispose()

    def found() -> tuple[list[str], list[str]]:
        database = open_database(kept.url)
        report = verified(database, signer.key, anchored=list(anchor.notes()))
        database.dispose()
        return [flaw.what for flaw in report.flaws], [one for one in report.remarks if "restore" in one]

    go_on(0)
    restored()
    assert go_on(2) == "lender.example/ledger/2"
    kept.back_up(backup)
    restored()
    assert go_on(4) == "lender.example/ledger/3"
    assert found() == ([], [])
    kept.put_back(backup)
    assert found() == (["rollback"], [])
    assert "holds lender.example/ledger/3, so none comes of lender.example/ledger/2" in go_on(6)
    assert found() == (["rollback"], [])
    restored()
    assert go_on(8) == "lender.example/ledger/4"
    flaws, remarks = found()
    assert flaws == []
    assert remarks == [
        "at least 1 entries that lender.example/ledger/3 had sealed at 10 are gone since a restore, as the ledger says"
    ]
