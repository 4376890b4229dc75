"""What a service is told when it starts: from variables named DEALGATE_..., and from a TOML file, in this order."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from dealgate.adapters.outbox.subscribers import Name, OutboxSettings, Subscriber

Seconds = Annotated[float, Field(gt=0, le=3600)]


class Settings(BaseSettings):
    """Every setting with what it is where nothing is said. A setting that nobody knows is an error."""

    model_config = SettingsConfigDict(
        env_prefix="DEALGATE_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    db: SecretStr = SecretStr("sqlite:///dealgate.db")
    """The database; its URL may hold a password."""
    policy: str | None = None
    """A policy file, or a shipped policy by name. Without one, the versions in force answer."""
    isolated: bool = False
    """Run the rules engine in processes of its own."""
    mappings: dict[str, Path] = {}
    """Mapping documents of the lender's own, by the names under which payloads are sent; shipped ones need not be listed."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    threads: Annotated[int, Field(ge=1, le=256)] = 8
    """Requests that are worked on at once, each with a connection to the database."""
    most_waiting: Annotated[int, Field(ge=1)] = 128
    """Requests that are taken in at once; further ones are sent away for a second."""
    most_body_bytes: Annotated[int, Field(ge=1)] = 2_000_000
    request_seconds: Seconds = 10.0
    """How long a caller waits at most before it is told to ask again."""
    shutdown_seconds: Seconds = 30.0
    """How long what was accepted may take when the service is told to stop."""

    # Outward events
    webhooks: dict[Name, Subscriber] = {}
    """Who is told what happened, by names of their own; a secret may stand in DEALGATE_WEBHOOKS__NAME__SECRET."""
    outbox: OutboxSettings = OutboxSettings()
    """How events are told: how long is waited, how often is tried."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def read_settings(file: Path | None = None, **given: object) -> Settings:
    """What is given here, then the environment, then the file. Raises `pydantic.ValidationError`, and `OSError` for the file."""
    if file is None:
        return Settings(**given)  # type: ignore[arg-type]
    with file.open("rb"):  # a file that is not there would be passed over

        class FromFile(Settings):
            model_config = SettingsConfigDict(toml_file=file)

        return FromFile(**given)  # type: ignore[arg-type]
