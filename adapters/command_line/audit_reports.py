"""`dealgate audit report|groups`: the named reports, and rates by comparison group."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import refuse
from dealgate.adapters.command_line.ledger import DEFAULT, ledger_exit_codes
from dealgate.adapters.command_line.moments import read_moment
from dealgate.adapters.command_line.terminal import standard_output

if TYPE_CHECKING:
    from dealgate.adapters.compliance.asking import Asked
    from dealgate.adapters.compliance.reporting import Column, Page

NO_BREAK = "\u00a0"
LARGEST_FILE = 200_000_000

SinceOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="From this moment on, with its time zone, or from a day in UTC.")
]
UntilOption = Annotated[str | None, typer.Option(metavar="TIME", help="Up to this moment, which is no part of it.")]
AsOfOption = Annotated[
    str | None, typer.Option("--as-of", metavar="TIME", help="As it was known then; without it, as it is known now.")
]
FormatOption = Annotated[str, typer.Option("--format", help="table, jsonl or csv.")]


def report(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Without it, the reports are listed.")] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_of: AsOfOption = None,
    by: Annotated[str | None, typer.Option(help="What a summary is counted by: names with commas between.")] = None,
    given: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the report's own.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Rows of a page.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended, as it printed.")] = None,
    form: FormatOption = "table",
    db: DatabaseOption = DEFAULT,
) -> None:
    """Print one page of a named report. Without NAME: every report, with the question that it answers."""
    from dealgate.adapters.compliance.reporting import read_page  # noqa: PLC0415
    from dealgate.adapters.compliance.reports import report_named  # noqa: PLC0415
    from dealgate.adapters.database import stored  # noqa: PLC0415

    with audit_exit_codes():
        if name is None:
            _list_reports()
            return
        chosen = report_named(name)
        parts = None if by is None else [part.strip() for part in by.split(",") if part.strip()]
        with stored(db) as connection:
            page = read_page(
                connection,
                chosen,
                as_of=_moment(as_of),
                since=_moment(since),
                until=_moment(until),
                by=parts,
                given=_parameters(given or []),
                limit=limit,
                cursor=cursor,
            )
        _show(page, form)


def groups(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV: deal_id,group. Nothing of it is stored.")],
    rate: Annotated[str, typer.Option(help="overrides, exceptions or declines.")],
    since: SinceOption = None,
    until: UntilOption = None,
    as_of: AsOfOption = None,
    reference: Annotated[
        str | None, typer.Option(help="The group that others are held against; without it, the largest.")
    ] = None,
    least: Annotated[int, typer.Option(help="Counts from 1 to below this are suppressed.")] = 11,
    form: FormatOption = "table",
    db: DatabaseOption = DEFAULT,
) -> None:
    """Print a rate by comparison group, from a file supplied apart."""
    from dealgate.adapters.compliance.exceptions import EXCEPTIONS  # noqa: PLC0415
    from dealgate.adapters.compliance.groups import COLUMNS, RATES, group_rates, rows_of  # noqa: PLC0415
    from dealgate.adapters.compliance.reporting import ask  # noqa: PLC0415
    from dealgate.adapters.database import stored  # noqa: PLC0415

    with audit_exit_codes():
        supplied = _read_groups(file)
        asked = ask(EXCEPTIONS, as_of=_moment(as_of), since=_moment(since), until=_moment(until), by=())
        with stored(db) as connection:
            found = group_rates(connection, asked, supplied, rate, reference=reference, least=least)
        heading = [f"{rate}: {RATES[rate]}", _period(asked)]
        ending = [
            f"{'a suppressed number of' if found.deals is None else found.deals} deals; of the file, "
            f"{'a suppressed number' if found.unmatched is None else found.unmatched} are not among them; reference: {found.reference}"
        ]
        _write(form, COLUMNS, list(rows_of(found)), heading, ending)


@contextmanager
def audit_exit_codes() -> Iterator[None]:
    """A question that cannot be answered as it is put is bad input."""
    from dealgate.adapters.compliance.asking import ReportError  # noqa: PLC0415

    with ledger_exit_codes():
        try:
            yield
        except ReportError as error:
            refuse([error])


def _moment(text: str | None) -> datetime | None:
    """A moment, or the beginning of a day in UTC."""
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return read_moment(text)


def _parameters(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or name in found:
            refuse([f"--set {one!r}: write NAME=VALUE, each name once"])
        found[name] = value
    return found


def _read_groups(file: Path) -> dict[str, str]:
    from dealgate.adapters.compliance.groups import read_groups  # noqa: PLC0415

    try:
        if file.stat().st_size > LARGEST_FILE:
            refuse([f"{file}: more than {LARGEST_FILE:,} bytes: give the deals of the period only"])
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return read_groups(lines, str(file))
    except OSError as error:
        refuse([f"{file}: cannot be read: {error.strerror or error}"])
    except UnicodeDecodeError as error:
        refuse([f"{file}: not UTF-8 text (byte {error.start})"])


def _list_reports() -> None:
    from dealgate.adapters.compliance.reports import REPORTS  # noqa: PLC0415

    console = standard_output()
    for one in REPORTS.values():
        console.print(Text(one.name, style="bold"))
        console.print(Text(f"    {one.question}"))
        console.print(Text(f"    asked by: {one.asked_by}", style="dim"))


def _show(page: "Page", form: str) -> None:
    report = page.report
    ending = [f"... more: --cursor {page.cursor}"] if page.cursor else []
    if form != "table" and page.cursor:
        print(ending[0], file=sys.stderr)
    _write(form, page.columns, page.rows, [report.title, _period(page.asked), *_given(page)], ending)


def _period(asked: "Asked") -> str:
    from dealgate.rules.decision import moment  # noqa: PLC0415

    since = f"from {moment(asked.since)} " if asked.since else ""
    until = f"until {moment(asked.until)} " if asked.until else ""
    return f"{since}{until}as known at {moment(asked.as_of)}"


def _given(page: "Page") -> list[str]:
    return [f"{name} {value}" for name, value in page.asked.given.items()]


def _write(
    form: str,
    columns: "Sequence[Column]",
    rows: Sequence[Mapping[str, Any]],
    heading: Sequence[str],
    ending: Sequence[str],
) -> None:
    from dealgate.adapters.compliance.writing import write_csv, write_jsonl  # noqa: PLC0415

    if form == "jsonl":
        write_jsonl(sys.stdout, columns, rows)
    elif form == "csv":
        write_csv(sys.stdout, columns, rows)
    elif form == "table":
        _print_table(columns, rows, heading, ending)
    else:
        refuse([f"--format {form!r}: use table, jsonl or csv"])


def _print_table(
    columns: "Sequence[Column]", rows: Sequence[Mapping[str, Any]], heading: Sequence[str], ending: Sequence[str]
) -> None:
    console = standard_output()
    for line in heading:
        console.print(Text(line, style="dim"))
    shown = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        right = column.unit in {"count", "money", "percent", "points", "days"}
        shown.add_column(column.name.replace("_", " "), justify="right" if right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(_brief(column, row[column.name])) for column in columns))
    if shown.__rich_measure__(console, console.options.update(width=10_000)).maximum <= console.width:
        console.print(shown)
    else:
        _print_records(console, columns, rows)
    if not rows:
        console.print("Nothing.")
    for line in ending:
        console.print(Text(line, style="dim"), soft_wrap=True)


def _print_records(console: Console, columns: "Sequence[Column]", rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows that are too wide for a table: each as a paragraph, without what is unknown."""
    for row in rows:
        told = [(column.name.replace("_", NO_BREAK), _brief(column, row[column.name])) for column in columns]
        parts = [part for name, text in told if text for part in ((name, "dim"), NO_BREAK, text, "   ")]
        console.print(Padding(Text.assemble(*parts), (0, 0, 0, 2)), soft_wrap=False)
        console.print()


def _brief(column: "Column", value: Any) -> str:
    """A moment to the second: csv and jsonl have all of it."""
    from dealgate.adapters.compliance.writing import cell  # noqa: PLC0415

    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    text = cell(column, value)
    return f"{text} %" if text and column.unit == "percent" else text
