"""Every request that comes in, and what is told of it: a line in the log, a time, a span, and an id for its caller."""

import logging
import re
from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dealgate.adapters.service.metrics import Metrics
from dealgate.adapters.service.observation import Observation, observing

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from dealgate.adapters.service.tracing import Tracing

log = logging.getLogger("dealgate.service.requests")

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
NO_ROUTE = "none"
PROBES = {"/healthz", "/readyz"}
"""Asked every few seconds: a line in the log is of use where they fail."""

REQUEST_ID = re.compile(r"[0-9a-fA-F-]{20,64}|[0-9A-HJKMNP-TV-Z]{26}")
"""A UUID, a trace's id or a ULID. What is shorter or freer could be somebody's number or name."""
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class ObservedRequests:
    """ASGI middleware, the outermost: what the inner ones refuse is told, too."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute], metrics: Metrics, tracing: "Tracing | None") -> None:
        self.app = app
        self.routes = routes
        self.metrics = metrics
        self.tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        observation = _observation(headers, self.tracing)
        if self.tracing is None:
            await self._observe(observation, scope, receive, send)
            return
        with self.tracing.request(headers) as span:
            observation.trace_id = self.tracing.trace_id(span)
            await self._observe(observation, scope, receive, send, span)

    async def _observe(
        self, observation: Observation, scope: Scope, receive: Receive, send: Send, span: "Span | None" = None
    ) -> None:
        answer = _Answer(observation, send)
        begun = perf_counter()
        try:
            with observing(observation):
                await self.app(scope, receive, answer.send)
        finally:
            seconds = perf_counter() - begun
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = self._route(scope)
            self.metrics.answered(method, route, answer.status, seconds)
            if self.tracing is not None and span is not None:
                self.tracing.conclude(span, method, route, answer.status, _attributes(observation))
            _log(observation, method, route, answer.status, seconds)

    def _route(self, scope: Scope) -> str:
        """The route's template. Who was refused at the door never came to a route."""
        matches = ((route, route.matches(scope)[0]) for route in self.routes)
        found = scope.get("route") or next((route for route, match in matches if match is not Match.NONE), None)
        return getattr(found, "path_format", NO_ROUTE)


class _Answer:
    def __init__(self, observation: Observation, send: Send) -> None:
        self.observation = observation
        self.status: int | None = None
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["X-Request-Id"] = self.observation.request_id
        await self._send(message)


def _observation(headers: Headers, tracing: "Tracing | None") -> Observation:
    given, trace = headers.get("x-request-id", ""), TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    of_trace = trace[1] if trace else None
    request_id = given if REQUEST_ID.fullmatch(given) else of_trace or str(uuid4())
    return Observation(request_id, of_trace, tracing)


def _attributes(observation: Observation) -> dict[str, str | None]:
    return {
        "dealgate.request_id": observation.request_id,
        "dealgate.decision_id": observation.decision_id,
        "dealgate.outcome": observation.outcome,
    }


def _log(observation: Observation, method: str, route: str, status: int | None, seconds: float) -> None:
    failed = status is None or status >= 500
    level = logging.WARNING if failed else logging.DEBUG if route in PROBES else logging.INFO
    told: dict[str, Any] = {
        "method": method,
        "route": route,
        "status": status,
        "milliseconds": round(seconds * 1000, 1),
        "request_id": observation.request_id,
        "trace_id": observation.trace_id,
        "actor": observation.actor,
        "decision_id": observation.decision_id,
        "outcome": observation.outcome,
    }
    log.log(level, "the caller was gone" if status is None else "answered", extra=told)
