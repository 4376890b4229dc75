"""What `dealgate ledger` shows: reports of a verification, and where the ledger stands."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress as Bar
from rich.text import Text
from sqlalchemy import Connection, func, select

from dealgate.models.keys import recorded_keys
from dealgate.models.ledger import ENTRY, table
from dealgate.models.ledger_tables import LedgerAnchor
from dealgate.models.sealing import LAST, PENDING
from dealgate.models.verification import Progress, Report
from dealgate.rules.decision import moment

MOST_FLAWS = 50
"""Flaws that are shown; --json has them all."""

ANCHOR = table(LedgerAnchor)


def report_document(report: Report) -> dict[str, Any]:
    return {
        "intact": report.intact,
        "level": report.level,
        "sealed": report.sealed,
        "entries": report.entries,
        "checkpoints": report.checkpoints,
        "anchored": report.anchored,
        "receipts": report.receipts,
        "flaws": [flaw._asdict() for flaw in report.flaws],
        "remarks": report.remarks,
    }


def show_report(console: Console, report: Report) -> None:
    looked_at = [f"{report.checkpoints} checkpoints", f"{report.anchored} anchored notes"]
    if report.receipts:
        looked_at.append(f"{report.receipts} receipts")
    if report.level != "notes":
        looked_at.append(f"{report.sealed} sealed entries")
    if report.entries:
        looked_at.append(f"{report.entries} entries with everything about them")
    console.print(f"Looked at {', '.join(looked_at)} (level {report.level}).")
    for flaw in report.flaws[:MOST_FLAWS]:
        console.print(Text(f"✗ {flaw.what}  {flaw.where}", style="bold red"))
        if flaw.since:
            console.print(f"    altered {flaw.since}")
        console.print(Text(f"    expected {flaw.expected}\n    got      {flaw.got}"))
    if len(report.flaws) > MOST_FLAWS:
        console.print(f"... and {len(report.flaws) - MOST_FLAWS} more; --json has them all")
    for remark in report.remarks:
        console.print(Text(f"! {remark}", style="yellow"))
    if report.intact:
        console.print(Text("Intact.", style="bold green"))
    else:
        console.print(Text(f"Not intact: {len(report.flaws)} flaws.", style="bold red"))


@contextmanager
def progress_of(quiet: bool) -> Iterator[Progress | None]:
    """A bar on standard error, where that is a terminal, while entries are looked at."""
    if quiet:
        yield None
        return
    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Entries", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show_status(console: Console, connection: Connection) -> None:
    entries = connection.execute(select(func.count()).select_from(ENTRY)).scalar_one()
    waiting, oldest = connection.execute(
        select(func.count(), func.min(ENTRY.c.recorded_at))
        .select_from(PENDING)
        .join(ENTRY, ENTRY.c.id == PENDING.c.entry)
    ).one()
    console.print(
        f"{entries} entries, {waiting} wait to be sealed" + (f", the oldest since {moment(oldest)}" if oldest else "")
    )
    newest = connection.execute(LAST).first()
    if newest is None:
        console.print("Nothing is sealed yet.")
        return
    console.print(f"Last sealed at {moment(newest.sealed_at)}, {newest.size} entries:")
    console.print(Text(newest.note.rstrip("\n")), soft_wrap=True)  # a note that was broken is none
    for key in recorded_keys(connection):
        console.print(Text(f"key     {key.text}"))
    anchors = select(ANCHOR.c.sink, func.max(ANCHOR.c.size), func.max(ANCHOR.c.anchored_at)).group_by(ANCHOR.c.sink)
    rows = connection.execute(anchors.order_by(ANCHOR.c.sink)).all()
    for sink, size, at in rows:
        console.print(Text(f"anchor  {sink}  {size} entries at {moment(at)}"))
    if not rows:
        console.print("No checkpoint is anchored outside this database.")
