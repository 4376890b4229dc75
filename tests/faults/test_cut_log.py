"""T3b: SQLite's write-ahead log is cut off at any byte; what is left is exactly what had been committed before that byte."""

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

from sqlalchemy import text

from dealgate.adapters.database import open_database
from tests.databases import SqliteFiles
from tests.faults.efforts import efforts
from tests.models.ledgers import a_signer, seal_all, submit_deals, verified

HEADER, FRAME_HEADER = 32, 24
ENTRIES = text("SELECT entry_id FROM dealgate_ledger_entry ORDER BY id")


def commits_before(log: bytes, cut: int) -> int:
    """How many transactions lie wholly within so many bytes of the log; a frame that ends one tells the database's size."""
    page = int.from_bytes(log[8:12])
    count, at = 0, HEADER
    while at + FRAME_HEADER + page <= cut:
        count += int.from_bytes(log[at + 4 : at + 8]) != 0
        at += FRAME_HEADER + page
    return count


@efforts(12, 3_400)
def test_a_log_that_is_cut_off_leaves_what_was_committed_before(
    tmp_path: Path, effort: int, chance: Random, figures: Callable[[str], None]
) -> None:
    source = Path(SqliteFiles(tmp_path).ready().removeprefix("sqlite:///"))
    database, signer = open_database(f"sqlite:///{source}"), a_signer()
    after: list[list[str]] = [[]]
    with database.connect() as holding:  # the log is kept as long as somebody has the file open
        holding.rollback()
        for number in range(6):
            submit_deals(database, 1, first=number, deals=2)
            after.append(list(holding.execute(ENTRIES).scalars()))
            holding.rollback()
            if number % 2:
                seal_all(database, signer)
                after.append(list(holding.execute(ENTRIES).scalars()))
                holding.rollback()
        log = Path(f"{source}-wal").read_bytes()
        shutil.copy(source, tmp_path / "whole")

    assert commits_before(log, len(log)) == len(after) - 1
    cuts = [0, HEADER, len(log), *(chance.randrange(len(log)) for _ in range(effort))]
    left = open_database(f"sqlite:///{tmp_path / 'cut'}")
    for cut in cuts:
        shutil.copy(tmp_path / "whole", tmp_path / "cut")
        (tmp_path / "cut-wal").write_bytes(log[:cut])
        with left.connect() as connection:
            assert list(connection.execute(ENTRIES).scalars()) == after[commits_before(log, cut)]
        report = verified(left, signer.key)
        assert report.flaws == []
        left.dispose()
    database.dispose()
    figures(f"a log of {len(log)} bytes cut at {len(cuts)} places: always exactly what was committed before, verified")
