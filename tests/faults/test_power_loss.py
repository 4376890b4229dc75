"""T4: the power fails while SQLite writes as the gate opens it. What it had acknowledged is there; nothing else is wrong."""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from sqlalchemy import event, text

from dealgate.adapters.database import open_database
from tests.databases import SqliteFiles
from tests.faults.efforts import efforts
from tests.faults.power import Loss, Operation, Statement, fail, record
from tests.models.ledgers import a_signer, seal_all, submit_deals, verified

NAME = "ledger.db"
COUNT = text("SELECT count(*) FROM dealgate_ledger_entry")
SIGNER = a_signer()


class Run(NamedTuple):
    """A database file as it was, what was done to the disk since, and how many entries there were after each commit."""

    before: bytes
    operations: Sequence[Operation]
    entries: Sequence[int]


class Effort(NamedTuple):
    submissions: int
    crashes: int
    """Of each kind of loss."""

    pages: int = 1000
    """Of the log, after which SQLite copies it into the database; 1,000 is what the gate leaves it at."""


def run(folder: Path, effort: Effort, synchronous: str = "FULL") -> Run:
    template = Path(SqliteFiles(folder).ready().removeprefix("sqlite:///"))
    before = template.read_bytes()
    statements, entries = _statements(template, effort.submissions)
    settings = [Statement(f"PRAGMA wal_autocheckpoint = {effort.pages}")]
    settings += [
        Statement(text.replace("synchronous=FULL", f"synchronous={synchronous}")) for text in _settings(template)
    ]
    (folder / NAME).write_bytes(before)
    return Run(before, record(folder / NAME, settings + statements), entries)


def _settings(path: Path) -> list[str]:
    """What the gate tells SQLite when it opens a file."""
    database, settings = open_database(f"sqlite:///{path}"), list[str]()

    @event.listens_for(database, "connect", insert=True)
    def trace(connection: Any, _record: object) -> None:
        connection.set_trace_callback(settings.append)

    database.connect().close()
    database.dispose()
    return [setting for setting in settings if setting.startswith("PRAGMA") and "=" in setting]


def _statements(path: Path, submissions: int) -> tuple[list[Statement], list[int]]:
    """What the gate and the sealer send for so many submissions, one of five sealed; and the entries after each commit."""
    database, statements, entries = open_database(f"sqlite:///{path}"), list[Statement](), [0]

    @event.listens_for(database, "before_cursor_execute")
    def note(_connection: object, _cursor: object, text: str, parameters: Any, _context: object, many: bool) -> None:
        statements.extend(Statement(text, one) for one in (parameters if many else [parameters]))

    @event.listens_for(database, "commit")
    def commit(_connection: object) -> None:
        statements.append(Statement("COMMIT"))

    reading = open_database(f"sqlite:///{path}")

    def count() -> None:
        commits = sum(statement.text == "COMMIT" for statement in statements)
        with reading.connect() as connection:
            entries.extend([connection.execute(COUNT).scalar_one()] * (commits - len(entries) + 1))

    for number in range(submissions):
        submit_deals(database, 1, first=number, deals=4)
        count()
        if number % 5 == 4:
            seal_all(database, SIGNER)  # the first time with an entry of its own, about the key
            count()
    database.dispose()
    reading.dispose()
    return statements, entries


def crash(made: Run, after: int, loss: Loss, chance: Random, folder: Path) -> tuple[int, int]:
    """How many entries were acknowledged when the power failed after so many operations, and how many are there again."""
    done = made.operations[:after]
    fail(made.before, done, loss, chance, folder, NAME)
    database = open_database(f"sqlite:///{folder / NAME}")
    with database.connect() as connection:
        there = connection.execute(COUNT).scalar_one()
    assert verified(database, SIGNER.key).flaws == []
    assert there in made.entries
    database.dispose()
    shutil.rmtree(folder)
    return made.entries[sum(operation.kind == "commit" for operation in done)], there


@efforts(Effort(submissions=6, crashes=3, pages=40), Effort(submissions=120, crashes=150))
def test_what_was_acknowledged_survives_the_loss_of_power(
    tmp_path: Path, effort: Effort, chance: Random, figures: Callable[[str], None]
) -> None:
    made = run(tmp_path, effort)
    counts = Counter[str]()
    for loss in Loss:
        for number in range(effort.crashes):
            after = chance.randrange(1, len(made.operations) + 1)
            acknowledged, there = crash(made, after, loss, chance, tmp_path / f"{loss.name}{number}")
            assert there >= acknowledged, f"{acknowledged - there} entries lost after {after} operations, {loss.value}"
            counts[loss.value] += 1
    figures(f"{sum(counts.values())} losses of power over {len(made.operations)} operations {dict(counts)}: 0 lost")


@efforts(Effort(submissions=6, crashes=8), Effort(submissions=120, crashes=100))
def test_without_full_syncs_the_same_crashes_lose_what_was_acknowledged(
    tmp_path: Path, effort: Effort, chance: Random, figures: Callable[[str], None]
) -> None:
    """So the crashes are real ones, and `synchronous=FULL` is what stands between."""
    made = run(tmp_path, effort, "NORMAL")
    lost = 0
    for number in range(effort.crashes):
        after = chance.randrange(len(made.operations) // 2, len(made.operations) + 1)
        acknowledged, there = crash(made, after, Loss.DROPPED, chance, tmp_path / str(number))
        lost += there < acknowledged
    assert lost > 0
    figures(f"synchronous=NORMAL: acknowledged entries lost in {lost} of {effort.crashes} losses of power")
