"""OpenTelemetry traces: a span for each request and its parts. Loaded only where traces are wanted."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from threading import Thread

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

LAST_SPANS = 5.0
"""Seconds that a collector may take for what is left when the service stops."""

PROPAGATOR = TraceContextTextMapPropagator()
QUIET = {"record_exception": False, "set_status_on_exception": False}
"""An exception may quote what a deal says."""


class Tracing:
    """Spans of one provider, which sends them from a thread of its own and drops what nobody takes."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("dealgate.service")

    @contextmanager
    def request(self, headers: Mapping[str, str]) -> Iterator[Span]:
        """The span of a request; it continues the trace of its traceparent."""
        context = PROPAGATOR.extract(headers)
        with self._tracer.start_as_current_span("request", context, SpanKind.SERVER, **QUIET) as span:  # type: ignore[arg-type]
            yield span

    @contextmanager
    def part(self, name: str) -> Iterator[Span]:
        with self._tracer.start_as_current_span(name, **QUIET) as span:  # type: ignore[arg-type]
            try:
                yield span
            except Exception as error:
                span.set_status(Status(StatusCode.ERROR))
                span.set_attribute("error.type", type(error).__name__)
                raise

    @staticmethod
    def trace_id(span: Span) -> str:
        return f"{span.get_span_context().trace_id:032x}"

    @staticmethod
    def conclude(span: Span, method: str, route: str, status: int | None, attributes: Mapping[str, str | None]) -> None:
        """Say of a request's span what came of it."""
        span.update_name(f"{method} {route}")
        known = {name: value for name, value in attributes.items() if value is not None}
        span.set_attributes({"http.request.method": method, "http.route": route, **known})
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        if status is None or status >= 500:
            span.set_status(Status(StatusCode.ERROR))

    def close(self) -> None:
        """Send what is left, for so long as that may take."""
        closing = Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(LAST_SPANS)


def tracing_to(endpoint: str | None) -> Tracing:
    """Spans sent over OTLP. Without an endpoint, and for everything else, the variables OTEL_... say where and how."""
    address = endpoint and f"{endpoint.rstrip('/')}/v1/traces"
    ours = Resource({"service.name": "dealgate", "service.version": version("dealgate")})
    provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address)))
    return Tracing(provider)
