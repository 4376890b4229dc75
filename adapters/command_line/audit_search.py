"""`dealgate audit search|check`: find decisions, take them along as a file with a manifest, and hold such a file to its word."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import exit_codes, refuse
from dealgate.adapters.command_line.ledger import DEFAULT
from dealgate.adapters.command_line.terminal import outcome_text, standard_output

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dealgate.adapters.compliance.query import Query
    from dealgate.adapters.compliance.readers import Reader

PAGE = 50
DIFFERENT = 1
"""The exit code for a file that is not what its manifest or the ledger says."""

SHOWN = {
    "deal_id": "Deal",
    "submission": "Sub.",
    "decided_at": "Decided",
    "outcome": "Outcome",
    "version": "Policy",
    "dealer_id": "Dealer",
    "state": "State",
    "tier": "Tier",
    "total_ltv": "Total LTV",
    "rolled_in_negative_equity": "Rolled-in NE",
    "findings": "Findings",
    "overrides": "Overrides",
}
"""What a terminal has room for of a row; the other formats have all of it."""

PARTS = {
    "from_": "decided_from",
    "before": "decided_before",
    "deal": "deals",
    "dealer": "dealers",
    "state": "states",
    "channel": "channels",
    "tier": "tiers",
    "outcome": "outcomes",
    "policy": "policies",
    "policy_version": "versions",
    "actor": "actors",
    "rule": "rules",
    "result": "results",
    "reason": "reasons",
    "measure": "measures",
    "override": "override",
    "override_side": "override_side",
    "grantor": "grantors",
    "override_reason": "override_reasons",
    "notice": "notices",
    "as_of": "as_of",
}
"""Options, and the parts of a query that they are."""

Words = Annotated[list[str] | None, typer.Option(help="Any of these; may be repeated.")]


def search(
    from_: Annotated[
        str | None, typer.Option("--from", metavar="MOMENT", help="Decided at this moment or later.")
    ] = None,
    before: Annotated[str | None, typer.Option(metavar="MOMENT", help="Decided before this moment.")] = None,
    deal: Words = None,
    dealer: Words = None,
    state: Words = None,
    channel: Words = None,
    tier: Words = None,
    outcome: Words = None,
    policy: Words = None,
    policy_version: Words = None,
    actor: Words = None,
    rule: Annotated[list[str] | None, typer.Option(help="With a finding of this rule that did not pass.")] = None,
    result: Annotated[list[str] | None, typer.Option(help="violated, mitigated or not_evaluable.")] = None,
    reason: Annotated[list[str] | None, typer.Option(help="A finding's reason.")] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION", help="Such as 'total_ltv > 125'; may be repeated, all must hold."),
    ] = None,
    override: Annotated[str | None, typer.Option(help="none, asked, granted or denied.")] = None,
    override_side: Annotated[str | None, typer.Option(help="low or high.")] = None,
    grantor: Words = None,
    override_reason: Words = None,
    notice: Annotated[
        list[str] | None, typer.Option(help="A kind of notice sent since, or none: the deal has had none since.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="MOMENT", help="As it was known then: what was recorded later is left out.")
    ] = None,
    file_format: Annotated[str, typer.Option("--format", help="table, jsonl, csv, parquet or xlsx.")] = "table",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="All of it, with a manifest.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=1_000_000_000, help=f"So many at the most; of a page {PAGE}.")
    ] = None,
    cursor: Annotated[str | None, typer.Option(help="The next page, as the page before told it.")] = None,
    count: Annotated[bool, typer.Option("--count", help="Only how many there are, by outcome.")] = False,
    reader: Annotated[
        str,
        typer.Option(help="For whom: compliance sees all, analyst no identity, outside no personal value and no name."),
    ] = "outside",
    asked_by: Annotated[str | None, typer.Option(help="Who asks; goes into the manifest.")] = None,
    db: DatabaseOption = DEFAULT,
) -> None:
    """Find decisions, the latest first."""
    given = locals()
    with _query_exit_codes():
        from dealgate.adapters.compliance.query import Query  # noqa: PLC0415
        from dealgate.adapters.compliance.readers import Reader  # noqa: PLC0415
        from dealgate.adapters.database import stored  # noqa: PLC0415

        query = Query.read({part: given[name] for name, part in PARTS.items() if given[name] not in (None, [])})
        person = Reader(reader, asked_by)
        person.check(query)
        with stored(db) as connection:
            if count:
                _count(connection, query)
            elif output is not None:
                _write(connection, query, person, output, file_format, limit, cursor)
            else:
                _show_page(connection, query, person, file_format, limit or PAGE, cursor)


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An export; its manifest lies beside it.")],
    db: Annotated[
        str | None, typer.Option("--db", metavar="URL", help="Ask the same query again, and compare row by row.")
    ] = None,
) -> None:
    """Hold an export against its manifest, and with a database against the ledger. Exit code 1 where they differ."""
    from dealgate.adapters.compliance.exports import check_against_ledger, check_file, read_manifest  # noqa: PLC0415
    from dealgate.adapters.database import stored  # noqa: PLC0415

    with _query_exit_codes():
        if not file.is_file():
            refuse([f"{file}: there is no such file"])
        manifest = read_manifest(file)
        found = check_file(file, manifest)
        if db is not None:
            with stored(db) as connection:
                found += check_against_ledger(connection, file, manifest)
        for words in found:
            print(words)
        if found:
            raise typer.Exit(DIFFERENT)
        against = "its manifest and the ledger" if db else "its manifest"
        print(f"{manifest['rows']} rows as of {manifest['query']['as_of']}: the file agrees with {against}")


@contextmanager
def _query_exit_codes() -> Iterator[None]:
    """A query that cannot be asked is bad input."""
    from dealgate.adapters.compliance.query import QueryError  # noqa: PLC0415

    with exit_codes():
        try:
            yield
        except QueryError as error:
            refuse([error])


def _count(connection: "Connection", query: "Query") -> None:
    from dealgate.adapters.compliance.search import count_by_outcome  # noqa: PLC0415

    counts = count_by_outcome(connection, query)
    for outcome, number in counts.items():
        print(f"{outcome:<8} {number:>12,}")
    print(f"{'all':<8} {sum(counts.values()):>12,}")


def _write(
    connection: "Connection",
    query: "Query",
    reader: "Reader",
    output: Path,
    file_format: str,
    limit: int | None,
    cursor: str | None,
) -> None:
    from dealgate.adapters.compliance.exports import Export, manifest_path, write_export  # noqa: PLC0415

    if cursor is not None:
        refuse(["--cursor: a file has every row from the first on: leave it out, or leave out --output"])
    if file_format == "table":
        file_format = output.suffix.removeprefix(".")
    manifest = write_export(connection, Export(query, reader, limit), output, file_format, datetime.now(UTC))
    print(f"{manifest['rows']} rows in {output}, as of {manifest['as_of']}; manifest in {manifest_path(output).name}")


def _show_page(
    connection: "Connection", query: "Query", reader: "Reader", file_format: str, most: int, cursor: str | None
) -> None:
    from dealgate.adapters.compliance import search as searching  # noqa: PLC0415
    from dealgate.adapters.compliance.rows import rows_of  # noqa: PLC0415

    if file_format not in {"table", "jsonl", "csv"}:
        refuse([f"--format {file_format}: give the file that it goes to with --output"])
    page = searching.search(connection, query, most=most, cursor=cursor)
    rows = rows_of(connection, page.rows, reader, query.as_of)
    if file_format == "table":
        standard_output().print(_table(rows))
    else:
        _print(rows, file_format, head=cursor is None)
    if page.cursor:
        sys.stdout.flush()
        print(f"more: --cursor {page.cursor}", file=sys.stderr)


def _print(rows: Sequence[Any], file_format: str, *, head: bool) -> None:
    import csv  # noqa: PLC0415

    from dealgate.adapters.compliance.formats import csv_cell  # noqa: PLC0415
    from dealgate.adapters.compliance.rows import COLUMNS  # noqa: PLC0415

    if file_format == "jsonl":
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return
    cells = csv.writer(sys.stdout, lineterminator="\n")
    if head:
        cells.writerow([column.name for column in COLUMNS])
    cells.writerows([csv_cell(row[column.name], column.kind) for column in COLUMNS] for row in rows)


def _table(rows: Sequence[Any]) -> Table:
    shown = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, title in SHOWN.items():
        shown.add_column(title, justify="right" if name in {"total_ltv", "rolled_in_negative_equity"} else "left")
    for row in rows:
        cells = {name: Text(str(row[name]) if row[name] is not None else "") for name in SHOWN}
        cells["decided_at"] = Text(str(row["decided_at"])[:16].replace("T", " "))
        cells["outcome"] = outcome_text(row["outcome"])
        shown.add_row(*cells.values())
    return shown
