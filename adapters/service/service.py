"""What the endpoints share: the database, the gate, the mappings, and who is who."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine

from dealgate.adapters.database import READS_ONLY, open_database, open_for_callers
from dealgate.adapters.mappings import SHIPPED, HostMapping, load_mapping
from dealgate.adapters.outbox.dispatcher import Outbox
from dealgate.adapters.programs import IN_FORCE
from dealgate.adapters.service.api_keys import ApiKeys
from dealgate.adapters.service.credentials import Credentials
from dealgate.adapters.service.depths import Depths
from dealgate.adapters.service.metrics import Metrics
from dealgate.adapters.service.observed_gate import ObservedGate
from dealgate.adapters.service.oidc import Tokens
from dealgate.adapters.service.principals import Authenticates
from dealgate.adapters.service.problems import refused_field
from dealgate.adapters.service.rates import Rates
from dealgate.adapters.service.settings import Settings
from dealgate.adapters.service.watches import sealer_of, watches_of

if TYPE_CHECKING:
    from dealgate.adapters.service.tracing import Tracing

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Service:
    """Raises `PolicyError` for a policy or a mapping that cannot be used. Opens no connection before one is needed."""

    def __init__(self, settings: Settings, authenticator: Authenticates | None = None) -> None:
        self.settings = settings
        self.engine: Engine = open_for_callers(
            settings.db.get_secret_value(), settings.threads, settings.request_seconds
        )
        tokens = Tokens(settings.oidc) if settings.oidc else None
        self.authenticator: Authenticates = authenticator or Credentials(ApiKeys(self.reading), tokens)
        self.rates = Rates(settings.rate_limit, settings.failed_rate_limit)
        self.beside = open_database(settings.db.get_secret_value())
        """For work that no caller waits for."""
        self.watches = watches_of(settings, self.beside)
        self.metrics = Metrics()
        self.metrics.watch_pool(self.engine)
        self.depths = Depths(settings.db.get_secret_value(), self.metrics.scrape_errors)
        self.metrics.registry.register(self.depths)
        self.tracing = _tracing(settings.otlp_endpoint)
        at_once = settings.ledger_key if settings.seal_at_once else None
        self.gate = ObservedGate(
            self.engine,
            settings.policy or IN_FORCE,
            self.metrics,
            isolated=settings.isolated,
            sealer=sealer_of(at_once, settings, self.engine) if at_once else None,
        )
        own = {name: load_mapping(str(path)) for name, path in settings.mappings.items()}
        self.mappings: Mapping[str, HostMapping] = {name: load_mapping(name) for name in SHIPPED} | own

    @property
    def tells(self) -> bool:
        """Whether every subscriber is entered: of what is decided before that, a new one is told nothing."""
        return all(one.registered for one in self.watches if isinstance(one, Outbox))

    def mapping(self, name: str) -> HostMapping:
        found = self.mappings.get(name)
        if found is None:
            remedy = f"Use one of {', '.join(sorted(self.mappings))}."
            title = "The payload cannot be read"
            raise refused_field("mapping", repr(name), "no mapping has this name", remedy, kind="mapping", title=title)
        return found

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self.engine.connect().execution_options(**{READS_ONLY: True}) as connection:
            yield connection

    def close(self) -> None:
        if self.tracing is not None:
            self.tracing.close()
        self.depths.close()
        self.engine.dispose()
        self.beside.dispose()


def _tracing(endpoint: str | None) -> "Tracing | None":
    """None where nobody said where traces go: then OpenTelemetry is not even loaded."""
    if endpoint is None and not any(map(os.environ.get, ENDPOINTS)):
        return None
    from dealgate.adapters.service.tracing import tracing_to  # noqa: PLC0415

    return tracing_to(endpoint)
