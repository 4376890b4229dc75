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
from dealgate.adapters.command_line.new_files import refuse_existing, write_over
from dealgate.adapters.command_line.terminal import standard_output

if TYPE_CHECKING:
    from dealgate.adapters.portfolio.engines import Engine
    from dealgate.adapters.portfolio.evaluating import Evaluated
    from dealgate.adapters.portfolio.running import Tell
    from dealgate.adapters.portfolio.simulating import Simulation
    from dealgate.adapters.portfolio.sources import Source
    from dealgate.rules.expressions import Number
    from dealgate.rules.policy import Policy

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
    with portfolio_failures():
        from dealgate.adapters.portfolio.evaluating import evaluate_book  # noqa: PLC0415

        refuse_existing(str(out))
        found = checked(policy)
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


ReportOption = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write one HTML page with charts; it opens offline.")
]


@app.command()
def generate(
    deals: Annotated[int, typer.Argument(metavar="N", min=1, help="How many deals.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The book, Parquet.")],
    seed: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="The same seed draws the same book.")] = 1,
) -> None:
    """Draw a synthetic book, calibrated to published figures. No row describes a real loan."""
    with portfolio_failures():
        from dealgate.adapters.portfolio import generating  # noqa: PLC0415

        refuse_existing(str(out))
        with progress() as tell:
            generating.generate(deals, seed, out, lambda done: tell("Drawing", done, deals))
        print(f"{deals:,} synthetic deals, seed {seed}, in {out}")


@app.command()
def simulate(
    source: SourceArgument,
    candidate: Annotated[str, typer.Option("--candidate", metavar="FILE", help="The policy to be tried.")],
    policy: PolicyOption = None,
    report: ReportOption = None,
    engine: EngineOption = "polars",
    master: MasterOption = None,
    table: TableOption = None,
    query: QueryOption = None,
) -> None:
    """Judge a book under the current policy and under a candidate, and say what changes."""
    with portfolio_failures():
        from dealgate.adapters.portfolio.simulating import simulate as run  # noqa: PLC0415
        from dealgate.adapters.portfolio.simulation_page import simulation_page  # noqa: PLC0415

        current, new = checked(policy), checked(candidate)
        with opened(engine, master) as started, progress() as tell:
            found = run(
                named(source, table, query), current, new, started, engine, working_folder("simulate", report), tell
            )
        console = standard_output()
        console.print(f"{new.name} {new.version} against {current.name} {current.version}, {found.deals:,} deals")
        console.print(_matrix(found))
        for words, moved in (("stricter", found.stricter), ("looser", found.looser)):
            console.print(
                f"{moved.deals:,} deals with a {words} outcome: {_dollars(moved.amount_financed)} financed, "
                f"{_dollars(moved.negative_equity)} of rolled-in negative equity",
                highlight=False,
                soft_wrap=True,
            )
        _rejected(found.rejected, working_folder("simulate", report))
        _write(report, simulation_page(found, shown(source)))


@app.command()
def sweep(
    source: SourceArgument,
    limit: Annotated[str, typer.Option("--limit", metavar="NAME", help="The limit to be moved.")],
    first: Annotated[str, typer.Option("--from", metavar="VALUE", help='As in a policy: "90%", "$2,500", 60.')],
    last: Annotated[str, typer.Option("--to", metavar="VALUE")],
    step: Annotated[str, typer.Option("--step", metavar="VALUE")],
    shift: Annotated[
        bool, typer.Option("--shift", help="Add the values to every row, instead of putting them there.")
    ] = False,
    policy: PolicyOption = None,
    report: ReportOption = None,
    engine: EngineOption = "polars",
    master: MasterOption = None,
    table: TableOption = None,
    query: QueryOption = None,
) -> None:
    """Move one limit over a range, and say how many deals and dollars would not pass at each value."""
    with portfolio_failures():
        from dealgate.adapters.portfolio.sweeping import Range, sweep_page  # noqa: PLC0415
        from dealgate.adapters.portfolio.sweeping import sweep as run  # noqa: PLC0415

        found = checked(policy)
        if limit not in found.limits:
            refuse([f"--limit: {found.name} has no limit called {limit!r}; it has {', '.join(found.limits) or 'none'}"])
        unit = found.limits[limit].unit
        over = Range(amount(first, unit), amount(last, unit), amount(step, unit), shift)
        folder = working_folder("sweep", report)
        with opened(engine, master) as started, progress() as tell:
            steps = run(named(source, table, query), found, limit, over, started, engine, folder, tell)
        lines = Table(limit, "Do not pass", "Share", "Financed in them", box=None, pad_edge=False)
        for one in steps:
            lines.add_row(
                one.value, f"{one.stopped:,}", f"{100 * one.stopped / max(1, one.deals):.1f} %", _dollars(one.amount)
            )
        _print(lines)
        _rejected(steps[0].rejected, folder)
        _write(report, sweep_page(steps, found, limit, shown(source), shift=shift))


@app.command()
def stress(
    source: SourceArgument,
    policy: PolicyOption = None,
    values: Annotated[
        list[int] | None, typer.Option("--values", metavar="PERCENT", help="Shock of the book values; may be repeated.")
    ] = None,
    payoffs: Annotated[
        list[int] | None, typer.Option("--payoffs", metavar="PERCENT", help="Shock of the payoffs; may be repeated.")
    ] = None,
    report: ReportOption = None,
    engine: EngineOption = "polars",
    master: MasterOption = None,
    table: TableOption = None,
    query: QueryOption = None,
) -> None:
    """Shock collateral values and payoffs, and say who is underwater and what deficiencies are projected."""
    with portfolio_failures():
        from dealgate.adapters.portfolio.outcomes import Shock  # noqa: PLC0415
        from dealgate.adapters.portfolio.stressing import stress as run  # noqa: PLC0415
        from dealgate.adapters.portfolio.stressing import stress_page  # noqa: PLC0415

        found = checked(policy)
        if any(not -100 <= percent <= 100 for percent in [*(values or []), *(payoffs or [])]):
            refuse(["--values, --payoffs: give whole percents from -100 to 100"])
        shocks = [
            Shock(value, payoff) for payoff in (0, *(payoffs or [5, 10])) for value in (0, *(values or [-5, -10, -20]))
        ]
        folder = working_folder("stress", report)
        with opened(engine, master) as started, progress() as tell:
            scenarios = run(named(source, table, query), found, shocks, started, engine, folder, tell)
        lines = Table("Scenario", "Underwater", "Share", "Projected deficiency", box=None, pad_edge=False)
        for one in scenarios:
            lines.add_row(
                one.words,
                f"{one.underwater:,}",
                f"{100 * one.underwater / max(1, one.known):.1f} %",
                _dollars(one.deficiency),
            )
        _print(lines)
        _rejected(scenarios[0].rejected, folder)
        _write(report, stress_page(scenarios, found, shown(source)))


def _matrix(found: "Simulation") -> Table:
    words = ("pass", "flag", "refer", "decline")
    lines = Table("Current", *words, box=None, pad_edge=False)
    for current in words:
        cells = (found.matrix.get((current, candidate)) for candidate in words)
        lines.add_row(current, *(f"{cell.deals:,}" if cell else "0" for cell in cells))
    return _right(lines)


def _print(table: Table) -> None:
    standard_output().print(_right(table))


def _right(table: Table) -> Table:
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _dollars(cents: int) -> str:
    return f"${cents // 100:,}"


def _write(report: Path | None, page: str) -> None:
    if report:
        write_over(str(report), page)
        print(f"{report}: the page, to be opened in a browser")


def _rejected(rows: int, folder: Path) -> None:
    if rows:
        from dealgate.adapters.portfolio.running import Run  # noqa: PLC0415

        print(f"{rows:,} rows rejected, each with its reason in {Run(folder).rejects_file}", file=sys.stderr)


def working_folder(command: str, report: Path | None) -> Path:
    """Beside the report, so that a run that was stopped is found again; else in the current folder."""
    return report if report else Path(f"portfolio-{command}")


def shown(source: str) -> str:
    """How a page names its source: a password in a URL is nobody's business."""
    if "://" not in source:
        return Path(source).name
    from sqlalchemy.engine import make_url  # noqa: PLC0415

    return make_url(source).render_as_string(hide_password=True)


def amount(text: str, unit: str) -> "Number":
    """Read a number as a policy writes it, of a unit."""
    from dealgate.adapters.portfolio.amount_texts import read_amount  # noqa: PLC0415

    found = read_amount(text, unit)
    if found is None:
        refuse(
            [
                f"{text!r}: not {'an amount' if unit == 'money' else f'a {unit}'} as a policy writes it, such as 125%, $2,500 or 72"
            ]
        )
    return found


def checked(policy: str | None) -> "Policy":
    """The policy, once its examples hold."""
    from dealgate.adapters.policies import check_policy, load_policy  # noqa: PLC0415

    return check_policy(load_policy(policy)).policy


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
            package = (error.name or "").partition(".")[0]
            extra = "spark" if package in {"pyspark", "pandas"} else "portfolio"
            refuse([f"{package} is not installed: pip install 'dealgate[{extra}]'"])


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
