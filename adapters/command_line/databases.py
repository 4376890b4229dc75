"""`dealgate db upgrade`."""

import typer

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import exit_codes

app = typer.Typer(help="The database.", no_args_is_help=True)


@app.command()
def upgrade(db: DatabaseOption = "sqlite:///dealgate.db") -> None:
    """Bring a database to the newest revision; a SQLite file is created where there is none."""
    from dealgate.adapters.database import open_database, upgrade_database  # noqa: PLC0415

    with exit_codes():
        engine = open_database(db)
        revision = upgrade_database(engine)
        engine.dispose()
        print(f"{engine.url.render_as_string(hide_password=True)} is at revision {revision}")
