"""What a service is told when it starts: by variables named DEALGATE_..., credentials, and a TOML file, in this order."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from dealgate.adapters.database import check_url
from dealgate.adapters.outbox.subscribers import Name, OutboxSettings, Subscriber
from dealgate.adapters.service.oidc import OidcSettings
from dealgate.adapters.service.rates import Rate

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""The folder in which systemd puts a unit's credentials: a file `dealgate_db` there is the setting `db`. Containers may set it."""


def _url(given: SecretStr) -> SecretStr:
    check_url(given.get_secret_value())
    return given


Seconds = Annotated[float, Field(gt=0, le=3600)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_url)]


class Settings(BaseSettings):
    """Every setting with what it is where nothing is said. A setting that nobody knows is an error."""

    model_config = SettingsConfigDict(
        env_prefix="DEALGATE_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    db: DatabaseUrl = SecretStr("sqlite:///dealgate.db")
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
    """Requests that are worked on at once, each with a connection to the database; half of them, where no deal is decided."""
    most_waiting: Annotated[int, Field(ge=1)] = 128
    """Requests that are taken in at once; further ones are sent away for a second. Half of them, of credentials that never opened."""
    most_body_bytes: Annotated[int, Field(ge=1)] = 2_000_000
    request_seconds: Seconds = 10.0
    """How long a caller waits at most before it is told to ask again, and an answer for a caller who reads nothing of it."""
    shutdown_seconds: Seconds = 30.0
    """How long what was accepted may take when the service is told to stop."""

    # sealing
    ledger_key: SecretStr | None = None
    """The private key, or the file that holds it: with one, this process seals the ledger whenever no other does."""
    seal_at_once: bool = False
    """Answer a submission when its entry is sealed, and not before. Needs `ledger_key`."""
    anchors: tuple[str, ...] = ()
    """Where checkpoints are kept outside the database: `file:/path`, `tsa:https://...`, `witness:https://...#key`."""
    anchor_seconds: Seconds = 60.0
    """The least time between two checkpoints that are anchored."""

    # who may do what
    oidc: OidcSettings | None = None
    """The identity provider whose tokens open; without one, only API keys do."""
    rate_limit: Rate = "6000/minute"
    """Of one API key, or of one name in tokens; in each process."""
    failed_rate_limit: Rate = "60/minute"
    """Of credentials that do not open, from one address."""

    # Audit
    query_seconds: Seconds = 8.0
    """How long the database may take to answer one question of compliance's."""
    most_export_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Rows of an export at the most; larger ones are made with `dealgate audit search`."""

    # operations
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Where Prometheus asks, apart from the callers' port. Without one, nobody can."""
    otlp_endpoint: Annotated[str, Field(pattern="^https?://")] | None = None
    """The collector that takes traces over OTLP and HTTP, without `/v1/traces`. Without it, and without OTEL_..., there are none."""

    # Outward events
    webhooks: dict[Name, Subscriber] = {}
    """Who is told what happened, by names of their own; a secret may stand in DEALGATE_WEBHOOKS__NAME__SECRET."""
    outbox: OutboxSettings = OutboxSettings()
    """How events are told: how long is waited, how often is tried."""

    @field_validator("seal_at_once")
    @classmethod
    def _with_a_key(cls, at_once: bool, given: ValidationInfo) -> bool:
        if at_once and given.data.get("ledger_key") is None:
            raise ValueError("there is no key to seal with: set ledger_key")
        return at_once

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, *sources_of(settings_cls).values()


class _Variables(EnvSettingsSource):
    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """What is no JSON is left to be named with everything else that is wrong."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def sources_of(settings: type[BaseSettings]) -> Mapping[str, PydanticBaseSettingsSource]:
    """Where settings come from, the first first."""
    credentials = os.environ.get(CREDENTIALS)
    return {
        "environment": _Variables(settings),
        **({"credential": SecretsSettingsSource(settings, credentials)} if credentials else {}),
        "file": TomlConfigSettingsSource(settings),
    }


def settings_from(file: Path | None) -> type[Settings]:
    """The settings as a file has them. Raises `OSError`."""
    if file is None:
        return Settings
    with file.open("rb"):  # a file that is not there would be passed over

        class FromFile(Settings):
            model_config = SettingsConfigDict(toml_file=file)

    return FromFile


def read_settings(file: Path | None = None, **given: object) -> Settings:
    """What is given here, then the environment, credentials, the file. Raises `pydantic.ValidationError`, and `OSError` for the file."""
    return settings_from(file)(**given)  # type: ignore[arg-type]
