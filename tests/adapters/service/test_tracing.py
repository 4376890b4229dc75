"""Traces: a span for each request and its parts, nothing of a deal in them, and a collector that fails costs nobody anything."""

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from dealgate.adapters.service import tracing
from dealgate.adapters.service.service import Service
from dealgate.adapters.service.tracing import Tracing
from tests.adapters.service.observed_services import DEAL, a_service, ask, logged, of_requests, submit
from tests.servers import Reply, serving

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.fixture
def exported(database_url: str) -> Iterator[tuple[Service, InMemorySpanExporter]]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with a_service(database_url) as service:
        service.tracing = Tracing(provider)
        yield service, exporter


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_request_continues_its_callers_trace_and_its_parts_are_its_children(
    exported: tuple[Service, InMemorySpanExporter],
) -> None:
    service, exporter = exported
    with logged() as log:
        answer = submit(service, DEAL, traceparent=f"00-{TRACE}-{PARENT}-01")
    spans = by_name(exporter)
    request = spans["POST /v1/submissions"]
    assert request.kind is SpanKind.SERVER
    assert request.context is not None
    assert f"{request.context.trace_id:032x}" == TRACE == of_requests(log)[0]["trace_id"]
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == PARENT
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/submissions",
        "http.response.status_code": 201,
        "dealgate.request_id": TRACE,
        "dealgate.decision_id": answer.json()["decision_id"],
        "dealgate.outcome": answer.json()["outcome"],
    }
    for name in ("read", "evaluate", "store"):
        parent = spans[name].parent
        assert parent is not None
        assert parent.span_id == request.context.span_id


def test_a_span_of_a_failure_names_its_type_and_quotes_nothing(
    exported: tuple[Service, InMemorySpanExporter], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, exporter = exported

    def fail(*_: object, **__: object) -> None:
        raise ValueError("MARKED")

    monkeypatch.setattr("dealgate.adapters.gate.record_new", fail)
    submit(service, DEAL | {"dealer_id": "MARKED", "cash_price": "12345.67"})
    submit(service, DEAL | {"cash_price": "MARKED"})
    spans = exporter.get_finished_spans()
    stored = by_name(exporter)["store"]
    assert stored.status.status_code is StatusCode.ERROR
    assert stored.attributes == {"error.type": "ValueError"}
    assert [span.events for span in spans] == [()] * len(spans)
    written = "".join(span.to_json() for span in spans)
    assert "MARKED" not in written
    assert "12345.67" not in written


def sent(bodies: Sequence[bytes]) -> set[str]:
    requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    scopes = [scope for one in requests for resource in one.resource_spans for scope in resource.scope_spans]
    return {span.name for scope in scopes for span in scope.spans}


@pytest.mark.parametrize("by_variable", [False, True])
def test_spans_go_to_a_collector_over_otlp(by_variable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    received = list[tuple[str, bytes]]()

    def receive(path: str, body: bytes) -> Reply:
        received.append((path, body))
        return Reply(200)

    with serving(receive) as address:
        if by_variable:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        given = {} if by_variable else {"otlp_endpoint": address}
        with a_service(f"sqlite:///{tmp_path / 'none.db'}", **given) as service:
            ask(service, lambda client: client.get("/healthz"))
    assert {path for path, _ in received} == {"/v1/traces"}
    assert sent([body for _, body in received]) == {"GET /healthz"}
    assert b"service.name" in received[0][1]


def test_a_collector_that_says_nothing_holds_up_neither_a_request_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "LAST_SPANS", 0.3)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "30")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with a_service(f"sqlite:///{tmp_path / 'none.db'}", otlp_endpoint=endpoint) as service:
            begun = monotonic()
            assert ask(service, lambda client: client.get("/healthz")).status_code == 200
        assert monotonic() - begun < 20


def test_without_an_endpoint_there_are_no_spans(tmp_path: Path) -> None:
    with a_service(f"sqlite:///{tmp_path / 'none.db'}") as service:
        assert service.tracing is None
