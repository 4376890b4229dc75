"""The settings of the service, for the commands that need them, and the extra that these need."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dealgate.adapters.command_line.failures import refuse

if TYPE_CHECKING:
    from dealgate.adapters.service.settings import Settings

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", envvar="DEALGATE_CONFIG", help="Settings in TOML."),
]


@contextmanager
def with_the_extra(what: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dealgate"):
            raise
        refuse([f"{what} {error.name}, which is not installed. Run: pip install 'dealgate[service]'"])


def settings_of(config: Path | None, given: Mapping[str, object]) -> "Settings":
    """Options that are given, then the environment, credentials and the file. Everything wrong is told at once."""
    from dealgate.adapters.service.configuration import SettingsProblems, configured  # noqa: PLC0415

    try:
        return configured(config, **{name: value for name, value in given.items() if value is not None})
    except SettingsProblems as error:
        refuse(error.problems)
