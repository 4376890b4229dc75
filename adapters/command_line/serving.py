"""`dealgate serve` and `dealgate config ...`: the service, and what it is told."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from dealgate.adapters.command_line.failures import exit_codes, refuse
from dealgate.adapters.command_line.service_settings import ConfigOption, settings_of, with_the_extra
from dealgate.adapters.command_line.terminal import standard_output

if TYPE_CHECKING:
    from dealgate.adapters.service.configuration import Shown
    from dealgate.adapters.service.principals import Authenticates
    from dealgate.adapters.service.service import Service
    from dealgate.adapters.service.settings import Settings

app = typer.Typer(help="What the service is told.", no_args_is_help=True)


def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen (default: 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="On which port (default: 8000); 0 takes a free one.")] = None,
    policy: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A policy file, or a shipped policy by name; else the versions in force."),
    ] = None,
    db: Annotated[str | None, typer.Option(metavar="URL", help="The database.")] = None,
    config: ConfigOption = None,
) -> None:
    """Serve submissions and what belongs to them over HTTP, until SIGTERM. Options go before the environment, that before the file."""
    given = {"host": host, "port": port, "policy": policy, "db": db}
    with exit_codes(), with_the_extra("the service needs"):
        run(settings_of(config, given))


@app.command()
def show(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
) -> None:
    """Every setting, its value without secrets, and where it comes from."""
    with exit_codes(), with_the_extra("the service needs"):
        read = settings_of(config, {})
        from dealgate.adapters.service.configuration import shown  # noqa: PLC0415

        settings = shown(config, read)
        if as_json:
            print(json.dumps({one.name: {"value": one.value, "from": one.origin} for one in settings}, indent=2))
        else:
            standard_output().print(_table(settings))


def run(settings: "Settings", authenticator: "Authenticates | None" = None) -> None:
    """Serve with these settings until told to stop. Ends with exit code 2 on a database that is not ready."""
    from dealgate.adapters.service.logs import set_up_logging  # noqa: PLC0415
    from dealgate.adapters.service.service import Service  # noqa: PLC0415
    from dealgate.adapters.service.serving import serve  # noqa: PLC0415

    service = Service(settings, authenticator)
    if problem := _what_is_to_be_done(service):
        service.close()
        refuse([problem])
    set_up_logging(settings.log_level, settings.log_format)
    serve(service)


def _what_is_to_be_done(service: "Service") -> object:
    """Before this database can be served. One that does not answer yet is waited for: until it does, /readyz says so."""
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415

    from dealgate.adapters.database import wrong_revision  # noqa: PLC0415

    url = service.engine.url
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        return f"there is no database at {url.database}. Run: dealgate db upgrade --db {url}"
    try:
        with service.reading() as connection:
            return wrong_revision(connection)
    except OperationalError:
        return None


def _table(settings: "list[Shown]") -> Table:
    table = Table(header_style="bold", pad_edge=False, box=None, padding=(0, 2, 0, 0))
    for name in ("Setting", "Value", "From", "Variable"):
        table.add_column(name, overflow="fold", no_wrap=name in {"Setting", "Variable"})
    for one in settings:
        value = "" if one.value is None else one.value if isinstance(one.value, str) else json.dumps(one.value)
        table.add_row(*map(Text, (one.name, value, one.origin, one.variable)))
    return table
