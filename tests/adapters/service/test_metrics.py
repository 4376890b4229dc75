"""The metrics of a service: what they count, that they stay few, and that no database holds up a scrape."""

import socket
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from threading import enumerate as enumerate_threads
from time import monotonic
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection

from dealgate.adapters.service import depths, metrics
from dealgate.adapters.service.depths import Depth, Depths
from dealgate.adapters.service.metrics import Metrics, listening_for_scrapes
from dealgate.adapters.service.service import Service
from tests.adapters.service.observed_services import DEAL, a_service, ask, submit


@pytest.fixture
def service(database_url: str) -> Iterator[Service]:
    with a_service(database_url) as service:
        yield service


def value(service: Service, name: str, **labels: str) -> float | None:
    return service.metrics.registry.get_sample_value(f"dealgate_{name}", labels)


def test_a_decision_is_counted_once_with_its_findings(service: Service) -> None:
    decision = submit(service, DEAL, **{"Idempotency-Key": "one"}).json()
    submit(service, DEAL, **{"Idempotency-Key": "one"})
    policy = {"policy": decision["policy"]["name"], "policy_version": decision["policy"]["version"]}
    assert value(service, "decisions_total", outcome=decision["outcome"], **policy) == 1
    assert value(service, "submissions_replayed_total") == 1
    for finding in decision["findings"]:
        assert value(service, "findings_total", rule=finding["rule"], result=finding["result"]) == 1
    assert value(service, "evaluation_seconds_count") == 2
    assert value(service, "storage_seconds_count") == 2


def test_a_what_if_is_evaluated_and_nothing_is_counted_as_decided(service: Service) -> None:
    ask(service, lambda client: client.post("/v1/evaluations", json=DEAL))
    assert value(service, "evaluation_seconds_count") == 1
    assert value(service, "storage_seconds_count") == 0
    assert next(iter(service.metrics.decisions.collect())).samples == []


def test_a_request_is_timed_by_route_and_status_whatever_its_path(service: Service) -> None:
    for number in range(3):
        ask(service, lambda client, number=number: client.get(f"/v1/deals/{number}"))  # type: ignore[misc]
        ask(service, lambda client, number=number: client.get(f"/{number}"))  # type: ignore[misc]
    assert value(service, "request_seconds_count", method="GET", route="/v1/deals/{deal_id}", status="404") == 3
    assert value(service, "request_seconds_count", method="GET", route="none", status="404") == 3


def test_who_is_sent_away_is_counted_by_the_route(service: Service) -> None:
    ask(service, lambda client: client.post("/v1/submissions", content=b"x" * 3_000_000))
    assert value(service, "requests_sent_away_total", status="413", route="/v1/submissions") == 1


def test_a_doubt_of_the_engine_is_counted_by_its_kind(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    assert value(service, "engine_failures_total", kind="failure") == 0
    engine = service.gate.compiled.engine
    monkeypatch.setattr(engine, "evaluate", lambda *_: {})
    submit(service)
    assert value(service, "engine_failures_total", kind="disagreement") == 1
    monkeypatch.setattr(engine, "evaluate", lambda *_: 1 // 0)
    submit(service)
    assert value(service, "engine_failures_total", kind="failure") == 1


def test_there_are_only_so_many_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_POLICIES", 2)
    monkeypatch.setattr(metrics, "MOST_RULES", 2)
    counted = Metrics()
    for number in range(5):
        policy = {"name": "p", "version": str(number)}
        counted.recorded({"outcome": "pass", "policy": policy, "findings": [{"rule": f"R{number}", "result": "pass"}]})
    told = counted.registry.get_sample_value
    assert told("dealgate_decisions_total", {"outcome": "pass", "policy": "other", "policy_version": "other"}) == 3
    assert told("dealgate_findings_total", {"rule": "other", "result": "pass"}) == 3


def test_unsealed_entries_and_connections_are_read_when_they_are_asked_for(service: Service) -> None:
    assert value(service, "pool_connections_most") == 8
    submit(service)
    assert value(service, "unsealed_entries") == 2  # the policy's publication, and the decision
    age = value(service, "unsealed_oldest_seconds")
    assert age is not None
    assert 0 <= age < 60
    assert value(service, "pool_connections_in_use") == 0
    with service.reading() as connection:
        connection.exec_driver_sql("SELECT 1")
        assert value(service, "pool_connections_in_use") == 1


def test_a_database_that_is_gone_makes_the_depth_absent_and_counts(tmp_path: Path) -> None:
    with a_service(f"sqlite:///{tmp_path / 'empty.db'}") as service:
        assert value(service, "unsealed_entries") is None
        assert value(service, "scrape_errors_total", reading="unsealed") == 1
        assert value(service, "unsealed_entries") is None
        assert value(service, "scrape_errors_total", reading="unsealed") == 1  # the same reading, told again


def test_a_server_that_takes_connections_and_says_nothing_does_not_hold_up_a_scrape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setattr(depths, "LONGEST", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        with a_service(url) as service:
            begun = monotonic()
            assert value(service, "unsealed_entries") is None
            assert monotonic() - begun < 20
            assert value(service, "scrape_errors_total", reading="unsealed") == 1


def test_a_reading_that_does_not_end_is_not_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depths, "LONGEST", 0.05)
    monkeypatch.setattr(depths, "FRESH", 0.0)
    goes_on, begun = Event(), list[datetime]()

    def read(_: Connection, now: datetime) -> dict[str, dict[str, float]]:
        begun.append(now)
        goes_on.wait(10)
        return {"theirs": {"waiting": 7.0}}

    errors = Counter("errors", "Errors.", ["reading"], registry=None)
    found = Depths(
        f"sqlite:///{tmp_path / 'any.db'}", errors, [Depth("slow", {"waiting": "What waits."}, "whose", read)]
    )
    try:
        until = monotonic() + 10
        while not begun and monotonic() < until:
            assert list(found.collect()) == []
        assert [list(found.collect()) for _ in range(3)] == [[], [], []]
        assert [thread.name for thread in enumerate_threads()].count("depths") == 1
        goes_on.set()
        until = monotonic() + 10
        while not (told := list(found.collect())) and monotonic() < until:
            pass
        assert told[0].samples[0][:3] == ("dealgate_waiting", {"whose": "theirs"}, 7.0)
    finally:
        goes_on.set()
        found.close()


def test_the_listener_answers_scrapes_until_it_is_closed(service: Service) -> None:
    submit(service)
    with listening_for_scrapes(service.metrics.registry, "127.0.0.1", 0) as address:
        assert address is not None
        with urllib.request.urlopen(address, timeout=10) as answer:
            text = answer.read().decode()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"dealgate_decisions", "dealgate_unsealed_entries", "process_resident_memory_bytes"} <= names
    assert "D-1" not in text
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address, timeout=10)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(OSError, match=f"metrics_port: cannot listen on 127.0.0.1:{port}: Address already in use"),
            listening_for_scrapes(CollectorRegistry(), "127.0.0.1", port),
        ):
            pass


def test_what_is_counted_ends_with_the_request(service: Service) -> None:
    submit(service)
    assert value(service, "requests_in_progress") == 0


def test_an_age_is_of_the_oldest(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(service)
    monkeypatch.setattr(depths, "datetime", SimpleNamespace(now=lambda _: datetime(2099, 1, 1, tzinfo=UTC)))
    age = value(service, "unsealed_oldest_seconds")
    assert age is not None
    assert age > 365 * 24 * 3600
