"""T1b, T1c: bits of the database's own files are flipped. Nothing is read otherwise than it was written without being told."""

import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count, islice
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, Text, create_engine, select, text
from sqlalchemy.exc import DBAPIError

from dealgate.adapters.database import open_database
from dealgate.adapters.ledger_verification import verify_ledger
from dealgate.models import Base
from dealgate.models.numbered_rows import DamagedDatabaseError, in_turn
from dealgate.models.verification import Flaw, Progress
from tests.databases import TABLES, SqliteFiles
from tests.faults.clusters import AMCHECK, Cluster
from tests.faults.efforts import efforts
from tests.faults.eventful import Eventful, eventful
from tests.faults.test_flipped_cells import PURGED, free_of
from tests.models.ledgers import a_signer, seal_all, submit_deals, verified


def content(path: Path) -> list[object] | None:
    """All that can be read of a database and that something rests on; None where not all of it can."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            schema = [
                (*names, " ".join((definition or "").split()))  # into which lines it is broken is no matter
                for *names, definition in connection.execute(
                    "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
                )
            ]
            rows = [
                connection.execute(f"SELECT {_relied_on(table)} FROM {table} NOT INDEXED ORDER BY rowid").fetchall()
                for table in TABLES
            ]
            return [schema, rows]
    except (sqlite3.Error, ValueError):
        return None


def _relied_on(table: str) -> str:
    columns, purged = Base.metadata.tables[table].columns.keys(), PURGED.get(table, "false")
    free, gone = free_of(table, purged=False), free_of(table, purged=True)
    return (
        ", ".join(
            f"CASE WHEN {purged} THEN 0 ELSE {column} END" if column in gone else column
            for column in columns
            if column not in free
        )
        or "0"
    )


def kinds(flaws: list[Flaw]) -> str:
    """Which of the two saw it: the ledger's own checks or the database's."""
    own = any(flaw.what != "database" for flaw in flaws)
    database = any(flaw.what == "database" for flaw in flaws)
    return {(True, True): "both", (True, False): "the ledger's checks", (False, True): "integrity_check"}[own, database]


@efforts(16, 12_500)
def test_a_flipped_bit_of_the_file_is_told_or_changes_nothing(
    tmp_path: Path, effort: int, chance: Random, figures: Callable[[str], None]
) -> None:
    path = Path(SqliteFiles(tmp_path).ready().removeprefix("sqlite:///"))
    database = open_database(f"sqlite:///{path}")
    ledger = eventful(database, tmp_path)
    database.dispose()  # no connection is left; what was compiled for it is
    whole, before = path.read_bytes(), content(path)
    assert before is not None
    counts, silent = Counter[str](), []
    for _ in range(effort):
        place, bit = chance.randrange(len(whole)), chance.randrange(8)
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        found = found_in(path, database, ledger)
        if found:
            counts[kinds(found)] += 1
        elif content(path) == before:
            counts["nothing changed"] += 1
        else:
            silent.append((place, bit))
    assert silent == []
    figures(f"{effort} bits of {len(whole)} bytes flipped, silent 0; seen by {dict(counts)}")


@pytest.mark.parametrize("level", ["full", "replay"])
def test_a_damaged_index_that_gives_the_same_rows_again_and_again_is_told_of_once(tmp_path: Path, level: str) -> None:
    path = Path(SqliteFiles(tmp_path).ready().removeprefix("sqlite:///"))
    database = open_database(f"sqlite:///{path}")
    ledger = eventful(database, tmp_path)
    database.dispose()
    mislead(path, "dealgate_ledger_entry")

    times = count()

    def told(done: int, total: int) -> None:
        assert done <= total, "it goes round in circles"
        assert next(times) < 100, "it goes round in circles"

    found = found_in(path, database, ledger, told, level)
    assert ("rows of dealgate_ledger_entry beyond number 30", "each once, in order") in [
        (flaw.where, flaw.expected) for flaw in found
    ]
    assert not any("circles" in flaw.got for flaw in found)
    assert (level == "replay") == any("DamagedDatabaseError: rows beyond" in flaw.got for flaw in found)


def test_rows_that_a_damaged_index_gives_again_end_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "deals.db"
    rows = Table("deals", MetaData(), Column("id", Integer, primary_key=True), Column("notes", Text))
    database = create_engine(f"sqlite:///{path}")
    with database.begin() as connection:
        rows.create(connection)
        connection.execute(rows.insert(), [{"id": number, "notes": "n" * 200} for number in range(1, 31)])
        read = [[row.id for row in some] for some in in_turn(connection, select(rows), rows.c.id, 25)]
        assert read == [[*range(1, 26)], [*range(26, 31)]]
    database.dispose()
    mislead(path, "deals")
    with (
        database.connect() as connection,
        pytest.raises(DamagedDatabaseError, match=r"^rows beyond number .* ledger verify"),
    ):
        deque(islice(in_turn(connection, select(rows), rows.c.id, 25), 100))
    database.dispose()


def mislead(path: Path, table: str) -> None:
    """Flip one bit: the greatest number on the first page of the table's rows is said to be 64 more, so that who looks for a higher
    number begins there.
    """
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    damaged, page = bytearray(path.read_bytes()), (root - 1) * size
    assert damaged[page] == INTERIOR, "the rows must not all lie on one page"
    cell = page + int.from_bytes(damaged[page + 12 : page + 14])
    damaged[cell + 4] ^= 1 << 6
    path.write_bytes(damaged)


INTERIOR = 5
"""The first byte of a page of a table whose rows lie on further pages."""


def found_in(
    path: Path, database: Engine, ledger: Eventful, progress: Progress | None = None, level: str = "full"
) -> list[Flaw]:
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    try:
        with database.connect() as connection:
            keys, anchors = [ledger.signer.key], [ledger.anchor]
            return verify_ledger(
                connection, keys=keys, anchored=ledger.notes, anchors=anchors, level=level, progress=progress
            ).flaws
    except (DBAPIError, sqlite3.Error, UnicodeDecodeError) as error:  # it cannot even be opened
        return [Flaw("database", str(path), "", "a database", str(error))]
    finally:
        database.dispose()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    if AMCHECK is None:
        pytest.skip("no PostgreSQL server with the extension amcheck in /usr/lib/postgresql: apt install postgresql")
    with Cluster.started(AMCHECK) as made:
        yield made


INDEXES = text("""
SELECT pg_relation_filepath(i.indexrelid) FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
WHERE t.relname IN ('dealgate_ledger_entry', 'dealgate_ledger_leaf', 'dealgate_deal') AND t.relnamespace = 'public'::regnamespace
ORDER BY 1
""")
PAGE, ITEMS = 8192, 24


@pytest.mark.faults
def test_a_damaged_index_of_postgresql_is_told_by_amcheck(
    cluster: Cluster, chance: Random, figures: Callable[[str], None]
) -> None:
    """An index that lost an entry finds no key any more: nothing in the tables is wrong, and yet a key would be used twice."""
    signer = a_signer()
    database = open_database(cluster.new_database())
    submit_deals(database, 30, deals=10)
    seal_all(database, signer)
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM FULL")  # nobody misses the index entry of a row that is dead
    with database.connect() as connection:
        connection.exec_driver_sql("CREATE EXTENSION amcheck")
        connection.commit()
        files = [cluster.folder / name for name in connection.execute(INDEXES).scalars()]
    assert verified(database, signer.key).flaws == []
    seen = Counter[bool]()
    for _ in range(12):
        database.dispose()
        cluster.stop()
        file = chance.choice([one for one in files if lines_of_first_leaf(one.read_bytes()) > 2])  # not those of no row
        whole = file.read_bytes()
        file.write_bytes(damaged_index(whole, chance))
        cluster.start()
        found = verified(database, signer.key).flaws
        seen[any(flaw.what == "database" for flaw in found)] += 1
        database.dispose()
        cluster.stop()
        file.write_bytes(whole)
        cluster.start()
    database.dispose()
    assert seen[False] == 0
    figures(f"{seen[True]} indexes damaged, every one told by amcheck")


@pytest.mark.faults
def test_amcheck_is_asked_where_its_schema_is_not_on_the_search_path(cluster: Cluster) -> None:
    signer, database = a_signer(), open_database(cluster.new_database())
    with database.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA elsewhere")
        connection.exec_driver_sql('CREATE EXTENSION amcheck SCHEMA "elsewhere"')
    submit_deals(database, 3)
    seal_all(database, signer)
    report = verified(database, signer.key)
    database.dispose()
    assert report.flaws == []
    assert [remark for remark in report.remarks if "indexes" in remark] == []


def lines_of_first_leaf(index: bytes) -> int:
    """Page 0 is the meta page."""
    return (int.from_bytes(index[PAGE + 12 : PAGE + 14], "little") - ITEMS) // 4


def damaged_index(whole: bytes, chance: Random) -> bytes:
    """One line pointer of the first leaf page less, as a lost write would leave it."""
    damaged, lines = bytearray(whole), lines_of_first_leaf(whole)
    end = PAGE + ITEMS + 4 * lines
    gone = PAGE + ITEMS + 4 * chance.randrange(1, lines)
    damaged[gone : end - 4] = damaged[gone + 4 : end]
    damaged[PAGE + 12 : PAGE + 14] = (end - PAGE - 4).to_bytes(2, "little")
    return bytes(damaged)
