"""`dealgate audit replay`: stored decisions made again."""

import json
import os
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import exit_codes, refuse
from dealgate.adapters.command_line.ledger import DEFAULT
from dealgate.adapters.command_line.moments import read_moment
from dealgate.adapters.command_line.terminal import standard_output

if TYPE_CHECKING:
    from dealgate.adapters.compliance.replaying import Replayed, Summary

DRIFTED = 1
"""The exit code where a decision does not come out as it is stored."""

MOST_TOLD, MOST_DIFFERENCES = 20, 8
"""Decisions and differences that are shown; --json has them all."""


def replay(
    decision_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Decisions, by their ids.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="MOMENT", help="Every decision from this moment on, instead.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="MOMENT", help="And before this one.")] = None,
    reader: Annotated[
        str, typer.Option(help="For whom: compliance sees all, analyst no identity, outside no personal value.")
    ] = "outside",
    processes: Annotated[int, typer.Option(min=1, max=256, help="How many processes share the work.")] = os.cpu_count()
    or 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
    db: DatabaseOption = DEFAULT,
) -> None:
    """Make stored decisions again from their stored inputs and policy versions. Exit code 1 where one does not come out the same."""
    from dealgate.adapters.command_line.ledger_reports import progress_of  # noqa: PLC0415
    from dealgate.adapters.compliance.replaying import replay_stored  # noqa: PLC0415

    with exit_codes():
        _check_reader(reader)
        numbers = _chosen(db, decision_ids or [], since, until)
        with progress_of(as_json) as progress:
            summary = replay_stored(db, numbers, reader=reader, processes=processes, progress=progress)
        if as_json:
            print(json.dumps(summary.document(), ensure_ascii=False))
        else:
            _show(standard_output(), summary)
        if summary.drifted:
            raise typer.Exit(DRIFTED)


def _check_reader(reader: str) -> None:
    from dealgate.adapters.compliance.withholding import UnknownReaderError, may_read  # noqa: PLC0415

    try:
        may_read(reader)
    except UnknownReaderError as error:
        refuse([error])


def _chosen(db: str, ids: list[str], since: str | None, until: str | None) -> list[int]:
    from dealgate.adapters.compliance.replaying import decisions_between, find_decisions  # noqa: PLC0415
    from dealgate.adapters.database import stored  # noqa: PLC0415

    if bool(ids) == (since is not None):
        refuse(["give either the ids of decisions, or --since with a moment"])
    if until is not None and since is None:
        refuse(["--until goes with --since"])
    first, end = read_moment(since) if since else None, read_moment(until) if until else None
    if first and end and end <= first:
        refuse([f"--until {until} is not after --since {since}"])
    with stored(db) as connection:
        if first:
            return decisions_between(connection, first, end)
        try:
            return find_decisions(connection, ids)
        except LookupError as error:
            refuse([error.args[0]])


def _show(console: Console, summary: "Summary") -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Verdict")
    table.add_column("Decisions", justify="right")
    table.add_column("Today's decision")
    for verdict, number in summary.document()["verdicts"].items():
        ways = [f"{count:,} {way}" for (found, way), count in sorted(summary.directions.items()) if found == verdict]
        table.add_row(Text(verdict), f"{number:,}", ", ".join(ways))
    console.print(table)
    for why, number in summary.reasons.most_common():
        console.print(Text(f"! {number:,} not made again: {why}", style="yellow"))
    for one in summary.told[:MOST_TOLD]:
        _show_drift(console, one)
    if len(summary.told) > MOST_TOLD:
        console.print(f"... and {len(summary.told) - MOST_TOLD:,} more; --json has them all")
    if summary.drifted:
        console.print(Text(f"{summary.drifted:,} of {summary.decisions:,} decisions drifted.", style="bold red"))
    elif summary.verdicts["match"]:  # type: ignore[index]  # members of a StrEnum are strings
        console.print(Text("Every decision that was made again matches.", style="bold green"))


def _show_drift(console: Console, one: "Replayed") -> None:
    console.print(Text(f"✗ {one.verdict.value}  deal {one.deal_id}  decision {one.decision_id}", style="bold red"))
    console.print(Text(f"    {one.why}"))
    lines = [f"{flaw.where}: recorded {flaw.expected}, stored {flaw.got}" for flaw in one.flaws]
    lines += [f"{each.where}: stored {each.stored}, today {each.today}" for each in one.differences]
    for line in lines[:MOST_DIFFERENCES]:
        console.print(Text(f"    {line}"))
    if len(lines) > MOST_DIFFERENCES:
        console.print(f"    ... and {len(lines) - MOST_DIFFERENCES} more")
