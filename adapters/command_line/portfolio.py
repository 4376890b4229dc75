"""`dealgate portfolio`: a whole book against policies."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from dealgate.adapters.command_line.deals import PolicyOption
from dealgate.adapters.command_line.failures import exit_codes, refuse
from dealgate.adapters.command_line.new_files import refuse_existing
from dealgate.adapters.command_line.terminal import standard_output

if TYPE_CHECKING:
    from dealgate.adapters.portfolio.engines import Engine
    from dealgate.adapters.portfolio.evaluating import Evaluated
    from dealgate.adapters.portfolio.running import Tell
    from dealgate.adapters.portfolio.sources import Source

app = typer.Typer(help="A whole book of deals against policies.", no_args_is_help=True)

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="A Parquet file or folder, .csv, .jsonl, ABS-EE .csv or .xml, or a database URL."
    ),
]
EngineOption = Annotated[str, typer.Option("--engine", metavar="NAME", help="polars, duckdb or spark.")]
MasterOption = Annotated[
    str | None, typer.Option("--master", metavar="URL", help="The Spark cluster, such as spark://host:7077.")
]
TableOption = Annotated[
    str | None, typer.Option("--table", metavar="NAME", help="Of a database: the table; else the deals stored there.")
]
QueryOption = Annotated[str | None, typer.Option("--query", metavar="SQL", help="Of a database: what to read.")]


@app.command()
def evaluate(
    source: SourceArgument,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The result, Parquet.")],
    policy: PolicyOption = None,
    engine: EngineOption = "polars",
    master: MasterOption = None,
    table: TableOption = None,
    query: QueryOption = None,
) -> None:
    """Judge every deal of a book: outcome, reasons, measures and the result of every rule, as columns."""
    from dealgate.adapters.policies import load_policy  # noqa: PLC0415

    with portfolio_failures():
        from dealgate.adapters.portfolio.evaluating import evaluate_book  # noqa: PLC0415

        refuse_existing(str(out))
        found = load_policy(policy).policy
        with opened(engine, master) as started, progress() as tell:
            evaluated = evaluate_book(named(source, table, query), found, started, engine, out, tell)
        _show(evaluated, out)


def _show(evaluated: "Evaluated", out: Path) -> None:
    console = standard_output()
    shares = Table("Outcome", "Deals", "Share", box=None, pad_edge=False)
    for outcome, deals in evaluated.outcomes.items():
        shares.add_row(outcome, f"{deals:,}", f"{100 * deals / max(1, evaluated.deals):.1f} %")
    rules = Table("Rule", "Violated by", "Share", box=None, pad_edge=False)
    for rule, deals in evaluated.violated.items():
        if deals:
            rules.add_row(rule, f"{deals:,}", f"{100 * deals / max(1, evaluated.deals):.1f} %")
    for table in (shares, rules):
        for column in table.columns[1:]:
            column.justify = "right"
    console.print(shares)
    console.print()
    console.print(rules)
    console.print()
    console.print(f"{evaluated.deals:,} deals judged, in {out}", soft_wrap=True, highlight=False)
    if evaluated.rejected:
        print(
            f"{evaluated.rejected:,} rows rejected, each with its reason in {evaluated.rejects_file}", file=sys.stderr
        )


def named(source: str, table: str | None, query: str | None) -> "Source":
    """What the options name. A table may stand in a schema, as in lending.deals."""
    from dealgate.adapters.portfolio.sources import Source  # noqa: PLC0415

    found = Source(source)
    if (table or query) and not found.is_database:
        refuse([f"{source}: --table and --query are for databases, and this is no URL of one"])
    if table and query:
        refuse(["--table and --query: give one of the two"])
    if table:
        quoted = ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))
        query = f"SELECT * FROM {quoted}"
    return found._replace(query=query)


@contextmanager
def opened(engine: str, master: str | None) -> "Iterator[Engine]":
    from dealgate.adapters.portfolio.engines import ENGINES, open_engine  # noqa: PLC0415

    if engine not in ENGINES:
        refuse([f"no engine is called {engine!r}: use {', '.join(ENGINES[:-1])} or {ENGINES[-1]}"])
    if master and engine != "spark":
        refuse(["--master: only Spark has a cluster; add --engine spark"])
    started = open_engine(engine, master=master)
    try:
        yield started
    finally:
        started.close()


@contextmanager
def portfolio_failures() -> Iterator[None]:
    """The documented exit codes; a source, an output or a policy that cannot be used is bad input."""
    with exit_codes():
        try:
            from dealgate.adapters.portfolio.book import SourceError  # noqa: PLC0415
            from dealgate.rules.columns import ColumnsError  # noqa: PLC0415

            try:
                yield
            except (SourceError, ColumnsError) as error:
                refuse(str(error).splitlines())
        except ModuleNotFoundError as error:
            extra = "spark" if (error.name or "").partition(".")[0] in {"pyspark", "pandas"} else "portfolio"
            refuse([f"{error.name} is not installed: pip install 'dealgate[{extra}]'"])


@contextmanager
def progress() -> "Iterator[Tell]":
    """A bar on standard error, where somebody watches."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, rows: int | None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=rows)
            bar.update(tasks[what], completed=done, total=rows)

        yield tell


__all__: list[Any] = ["app"]
