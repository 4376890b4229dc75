"""`dealgate ledger verify`: the tree, the entries, the replay, and the database that holds them."""

from collections.abc import Sequence

from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

from dealgate.adapters.anchors.anchor import Anchor, AnchorError
from dealgate.adapters.replay import replay_decisions
from dealgate.adapters.sealer import ANCHOR
from dealgate.migrations import definitions, guards, roles, watching
from dealgate.migrations.revisions import HOME
from dealgate.models.entry_checks import check_entries
from dealgate.models.leave_checks import Leave, leave_given
from dealgate.models.signing import VerifierKey
from dealgate.models.stored_forms import check_stored_forms
from dealgate.models.tree import CHECKPOINT
from dealgate.models.tree_checks import verify_tree
from dealgate.models.verification import LEVELS, Progress, Report

ALL_LEVELS = (*LEVELS, "replay")
"""`replay` makes every decision again, too."""

SETTINGS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "recursive_triggers": 1}
"""Of a SQLite connection that stores decisions; `synchronous` 2 is FULL."""

NOT_PERMITTED = "42501"
"""PostgreSQL's insufficient_privilege."""

_AMCHECK = text("SELECT CAST(extnamespace AS regnamespace)::text FROM pg_extension WHERE extname = 'amcheck'")
"""The schema of its functions, which need not be on the search path."""

CHECK = "bt_index_check"
_INDEXES = rf"""
SELECT {CHECK}(c.oid, true), c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid JOIN pg_am a ON a.oid = c.relam
WHERE t.relnamespace = {HOME} AND t.relname LIKE 'dealgate\_%' AND a.amname = 'btree' AND c.relkind = 'i'
"""


def verify_ledger(
    connection: Connection,
    *,
    keys: Sequence[VerifierKey] = (),
    anchored: Sequence[bytes] = (),
    anchors: Sequence[Anchor] = (),
    level: str = "full",
    progress: Progress | None = None,
) -> Report:
    """Verify everything that the level asks; the report has every flaw.

    `anchored` are notes that were kept elsewhere. `anchors` are asked whether the receipts that are stored of them hold.
    """
    report, leave = Report(level), Leave()
    if level not in {"notes", "tree"}:
        with report.reading("erasure", "leave to erase"):
            leave = leave_given(connection)
    verify_tree(connection, report, keys, anchored, leave.whole, progress)
    with report.reading("receipt", "receipts of anchors"):
        _check_receipts(connection, report, anchors)
    if level in {"full", "replay"}:
        check_entries(connection, report, leave, progress)
        with report.reading("database", "guards, definitions and indexes"):
            _check_database(connection, report)
    if level == "replay":
        with report.reading("replay", "decisions"):
            replay_decisions(connection, report, progress)
    return report


def _check_receipts(connection: Connection, report: Report, anchors: Sequence[Anchor]) -> None:
    """Each stored receipt of an anchor against the note that it is for."""
    receipts = select(ANCHOR.c.size, ANCHOR.c.receipt, CHECKPOINT.c.note).join(
        CHECKPOINT, CHECKPOINT.c.size == ANCHOR.c.size
    )
    for anchor in anchors:
        row = None
        for row in connection.execute(receipts.where(ANCHOR.c.sink == anchor.name).order_by(ANCHOR.c.size)):
            try:
                anchor.check(row.receipt, row.note.encode())
                report.receipts += 1
            except AnchorError as error:
                where = f"receipt of {anchor.name} for {row.size} entries"
                report.flaw("receipt", where, "one that holds for the checkpoint", error)
        if row is None:
            report.remarks.append(f"no receipt of {anchor.name} is stored: name the anchor as it was named for sealing")


def check_database(connection: Connection) -> list[str]:
    """What keeps this database from refusing changes to what was recorded; one sentence each."""
    problems = [*guards.problems(connection), *watching.problems(connection)]
    problems += map(str, definitions.differences(connection))
    if connection.dialect.name == "postgresql":
        return [*problems, *roles.problems(connection)]
    for name, expected in SETTINGS.items():
        got = connection.exec_driver_sql(f"PRAGMA {name}").scalar()
        if got != expected:
            problems.append(f"PRAGMA {name} is {got}, expected {expected}: open the database with open_database")
    return problems


def rights_beyond(connection: Connection) -> list[str]:
    """What the user of this connection could do that an application should not; one sentence each."""
    return roles.rights_beyond(connection) if connection.dialect.name == "postgresql" else []


def _check_database(connection: Connection, report: Report) -> None:
    """The guards, the definitions, and the database's own check of its files and indexes."""
    for problem in guards.problems(connection):
        report.flaw("guard", problem, "as the migrations made it", "otherwise")
    for where, expected, got in definitions.differences(connection):
        report.flaw("definition", where, expected, got)
    if connection.dialect.name == "sqlite":
        check_stored_forms(connection, report)
        for row in connection.exec_driver_sql("PRAGMA integrity_check").scalars():
            if row != "ok":
                report.flaw("database", "PRAGMA integrity_check", "ok", row)
        return
    schema = connection.execute(_AMCHECK).scalar()
    if schema is None:
        report.remarks.append("indexes were not checked: CREATE EXTENSION amcheck lets this command do it")
        return
    try:
        with connection.begin_nested():
            connection.execute(text(_INDEXES.replace(CHECK, f"{schema}.{CHECK}"))).all()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == NOT_PERMITTED:
            report.remarks.append(
                "indexes were not checked: GRANT EXECUTE ON FUNCTION bt_index_check(regclass, boolean) lets this user do it"
            )
            return
        report.flaw("database", "indexes (amcheck)", "every row of each table in its indexes", error.orig)
