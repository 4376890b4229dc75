"""`dealgate guard ...`: changes of guarded rows that nobody has decided, and whether they would be noticed."""

import json
from typing import Annotated

import typer
from rich.table import Table

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import exit_codes
from dealgate.adapters.command_line.terminal import standard_output

UNANSWERED = 1
"""The exit code where something is undecided, or would not be noticed."""

app = typer.Typer(help="Changes of a host's own rows.", no_args_is_help=True)


@app.command("list")
def list_(
    db: DatabaseOption = "sqlite:///dealgate.db",
    most: Annotated[
        int, typer.Option("--most", min=1, max=10_000, help="How many at the most, the oldest first.")
    ] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print documents, one a line.")] = False,
) -> None:
    """List changes that no decision has answered for yet, the oldest first."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.models.unanswered import unanswered  # noqa: PLC0415

    with exit_codes(), stored(db) as connection:
        changes = unanswered(connection, most=most)
        if as_json:
            for change in changes:
                print(json.dumps(change.document(), ensure_ascii=False))
            return
        table = Table("Changed at", "Row", "Where", "What", "By", box=None, header_style="bold")
        for change in changes:
            row = f"{change.table} {', '.join(map(str, change.key))}"
            by = change.changed_by or ""
            table.add_row(f"{change.changed_at:%Y-%m-%d %H:%M:%S}", row, change.changed_table, change.operation, by)
        standard_output().print(table if changes else "Nothing is left to answer.")


@app.command()
def check(db: DatabaseOption = "sqlite:///dealgate.db") -> None:
    """Say how many changes are unanswered, and which triggers do not stand. Exit code 1 where there is either."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.migrations import watching  # noqa: PLC0415
    from dealgate.models.unanswered import count_unanswered  # noqa: PLC0415

    with exit_codes(), stored(db) as connection:
        problems = watching.problems(connection)
        for table, number in count_unanswered(connection):
            problems.append(f"{table}: {number} changes are unanswered; gate.answer(session) decides them")
        for problem in problems:
            print(problem)
        if problems:
            raise typer.Exit(UNANSWERED)
        print("Every watched table is watched, and every change is answered.")
