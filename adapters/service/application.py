"""The application: every endpoint, behind its bounds. Denied is whatever names no role."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from importlib.metadata import version

import anyio.to_thread
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from dealgate.adapters.service import (
    audit,
    audited_deals,
    decisions,
    health,
    ledger,
    overrides,
    policies,
    reports,
    submissions,
)
from dealgate.adapters.service.bounds import Bounds
from dealgate.adapters.service.documents import add_description
from dealgate.adapters.service.observed_requests import ObservedRequests
from dealgate.adapters.service.problems import add_handlers
from dealgate.adapters.service.routes import AskedRoute, roles_of
from dealgate.adapters.service.service import Service
from dealgate.adapters.service.watches import watching

DESCRIPTION = "Holds vehicle-loan deals against the lender's written policy, says why, and keeps the record."
OPEN = {"/healthz", "/readyz"}
RECORDS = (overrides.router, policies.router, reports.router, audit.router, audited_deals.router, ledger.router)
ROUTERS = (submissions.router, *RECORDS, decisions.router, health.router)
"""The one of a deal, whose id may have slashes, after those of what is below a deal."""


def create_application(service: Service) -> ObservedRequests:
    """The ASGI application of a service."""
    app = FastAPI(
        title="dealgate",
        version=version("dealgate"),
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        responses={},
    )
    app.state.service = service
    add_description(app)
    for router in ROUTERS:
        app.include_router(router)
    routes = [route for router in ROUTERS for route in router.routes]
    check_denied_by_default(routes)
    app.state.routes = routes
    add_handlers(app)
    settings = service.settings
    bounds = Bounds(app, settings.most_body_bytes, settings.most_waiting, settings.request_seconds, service.rates)
    app.state.bounds = bounds
    service.metrics.in_progress.set_function(lambda: len(bounds.working))
    return ObservedRequests(bounds, routes, service.metrics, service.tracing)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    anyio.to_thread.current_default_thread_limiter().total_tokens = service.settings.threads
    with watching(service.watches):
        yield
        await app.state.bounds.finish()
    service.close()


def check_denied_by_default(routes: Iterable[BaseRoute]) -> None:
    """Raises `AssertionError` for an endpoint that asks nobody who they are."""
    for route in routes:
        if isinstance(route, APIRoute) and route.path not in OPEN:
            asks = isinstance(route, AskedRoute) and roles_of(route)
            assert asks, f"{route.path} names no role"
