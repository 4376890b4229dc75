"""`dealgate db ...`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import exit_codes

if TYPE_CHECKING:
    from sqlalchemy import Connection

UNGUARDED = 1
"""The exit code of a database that would not refuse."""

app = typer.Typer(help="The database.", no_args_is_help=True)


@app.command()
def upgrade(
    db: DatabaseOption = "sqlite:///dealgate.db",
    schema: Annotated[
        str | None, typer.Option(metavar="NAME", help="On PostgreSQL: make the tables in a schema of their own.")
    ] = None,
) -> None:
    """Bring a database to the newest revision; a SQLite file is created where there is none."""
    from dealgate.adapters.database import open_kept, upgrade_database  # noqa: PLC0415

    with exit_codes():
        engine = open_kept(db)
        try:
            revision = upgrade_database(engine, schema)
            if schema:
                with engine.connect() as connection:
                    _tell_of_the_path(connection, schema)
        finally:
            engine.dispose()
        print(f"{engine.url.render_as_string(hide_password=True)} is at revision {revision}")


def _tell_of_the_path(connection: "Connection", schema: str) -> None:
    from dealgate.migrations.revisions import current_revision  # noqa: PLC0415

    if current_revision(connection) is None:
        print(
            f"note: {schema} is not on the search path: ALTER DATABASE ... SET search_path = public, {schema}",
            file=sys.stderr,
        )


@app.command()
def check(db: DatabaseOption = "sqlite:///dealgate.db") -> None:
    """Say what keeps the database from refusing changes to what was recorded. Exit code 1 where something does."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.adapters.ledger_verification import check_database, rights_beyond  # noqa: PLC0415

    with exit_codes(), stored(db) as connection:
        problems = check_database(connection)
        for problem in problems:
            print(problem)
        for advice in rights_beyond(connection):
            print(f"note: {advice}", file=sys.stderr)
        if problems:
            raise typer.Exit(UNGUARDED)
        print("Every guard stands.")
