"""The settings as an operator sees them: each with where it came from, without secrets; and what is wrong with them, all at once."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from dealgate.adapters.service.settings import CREDENTIALS, Settings, read_settings, settings_from, sources_of

MASKED = "***"
PREFIX = "DEALGATE_"
NOT_SETTINGS = {"DEALGATE_CONFIG", "DEALGATE_TRACEBACK"}
"""Variables that the command line knows beside them."""

MOST_SHOWN = 60


class SettingsProblems(Exception):  # noqa: N818  many of them
    """What is wrong with the settings, each in a sentence that names setting, value and remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Shown(NamedTuple):
    """A setting without its secrets, and where it came from."""

    name: str
    value: Any
    origin: str
    variable: str


def configured(file: Path | None, **given: object) -> Settings:
    """Raises `SettingsProblems`."""
    unknown = list(_unknown_variables())
    try:
        settings = read_settings(file, **given)
    except ValidationError as error:
        origins = origins_of(file, given)
        raise SettingsProblems(unknown + [_problem(one, origins) for one in error.errors()]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsProblems([*unknown, f"{file}: not TOML: {error}. Correct the file."]) from None
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsProblems(
            [*unknown, f"{file}: cannot be read: {told}. Name another file with --config."]
        ) from None
    except SettingsError as error:  # it tells of folders and names, not of values
        remedy = f"Correct {CREDENTIALS}, or leave it out."
        raise SettingsProblems([*unknown, f"{CREDENTIALS}: {error}. {remedy}"]) from None
    if unknown:
        raise SettingsProblems(unknown)
    return settings


def shown(file: Path | None, settings: Settings) -> list[Shown]:
    """Every setting."""
    origins = origins_of(file, {})
    return [
        Shown(name, without_secrets(getattr(settings, name)), origins.get(name, "default"), f"{PREFIX}{name.upper()}")
        for name in Settings.model_fields
    ]


def origins_of(file: Path | None, given: Mapping[str, object]) -> dict[str, str]:
    """Where each setting that somebody set comes from; where two say a part of it each, both."""
    origins = dict.fromkeys(given, "option")
    for origin, source in sources_of(settings_from(file)).items():
        for name, value in source().items():
            if name not in origins:
                origins[name] = origin
            elif isinstance(value, dict) and origins[name] != "option":
                origins[name] += f", {origin}"
    return origins


def without_secrets(value: Any) -> Any:
    """As JSON has it. Of a database's URL only the password is left out."""
    match value:
        case SecretStr() | SecretBytes():
            return _of_secret(value.get_secret_value())
        case BaseModel():
            return {name: without_secrets(getattr(value, name)) for name in type(value).model_fields}
        case Mapping():
            return {str(name): without_secrets(one) for name, one in value.items()}
        case list() | tuple() | set() | frozenset():
            return [without_secrets(one) for one in value]
        case str() if "@" in value and "://" in value:
            return _of_secret(value)
        case None | bool() | int() | float():
            return value
    return str(value)


def _of_secret(text: str | bytes) -> str:
    """A URL without what is secret in it; of anything else, nothing."""
    if not isinstance(text, str) or "://" not in text:
        return MASKED
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        return MASKED
    if not url.host and not url.database and not url.query:
        return MASKED
    return _without_query_secrets(url).render_as_string(hide_password=True)


def _without_query_secrets(url: URL) -> URL:
    secret = {
        name: MASKED for name in url.query if any(word in name.lower() for word in ("pass", "key", "secret", "token"))
    }
    return url.update_query_dict(secret) if secret else url


def _problem(error: ErrorDetails, origins: Mapping[str, str]) -> str:
    """One problem of pydantic's, in our words."""
    name, *inner = map(str, error["loc"])
    place = ".".join([name, *inner])
    if name not in Settings.model_fields:
        return f"{place} ({origins.get(name, 'file')}): no setting has this name. {_near(name)}"
    if error["type"] == "extra_forbidden":
        return f"{place} ({origins.get(name, 'default')}): there is no such part of {name}. Leave it out."
    value = _value(name, error["input"])
    message = error["msg"].removeprefix("Value error, ").rstrip(".")
    remedy = f"Correct {PREFIX}{name.upper()} or the line in the file, or leave it out: docs/reference/settings.md."
    return f"{place} ({origins.get(name, 'default')}): {value} is not taken: {message}. {remedy}"


def _value(name: str, given: Any) -> str:
    if _holds_secrets(Settings.model_fields[name].annotation):
        return MASKED
    if isinstance(given, Mapping | list | tuple):
        return "what is given"
    return repr(given)[:MOST_SHOWN]


def _holds_secrets(kind: Any) -> bool:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return any(_holds_secrets(one.annotation) for one in kind.model_fields.values())
    return kind in {SecretStr, SecretBytes} or any(map(_holds_secrets, get_args(kind)))


def _unknown_variables() -> Iterator[str]:
    for variable in sorted(os.environ):
        name = variable.removeprefix(PREFIX).partition("__")[0].lower()
        if variable.startswith(PREFIX) and variable not in NOT_SETTINGS and name not in Settings.model_fields:
            yield f"{variable} (environment): no setting has this name. {_near(name)}"


def _near(name: str) -> str:
    near = get_close_matches(name, Settings.model_fields, 1)
    return (
        f"Did you mean {near[0]}? If not, leave it out."
        if near
        else "Leave it out: docs/reference/settings.md has all."
    )
