"""What Prometheus reads of a service: one registry for each, so that nothing of a host's is told."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, Info, ProcessCollector
from prometheus_client.exposition import start_http_server
from sqlalchemy import Engine
from sqlalchemy.pool import QueuePool

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SENT_AWAY = {413, 429, 503}
MOST_POLICIES = 100
MOST_RULES = 1000
OTHER = "other"
"""The label of what comes beyond the most that there may be: a registry that grows for ever ends the process."""


class Metrics:
    """Counts and times. Labels hold routes, statuses, outcomes, rules and policy versions, never anything of a deal."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._policies, self._rules = set[tuple[str, str]](), set[str]()
        self._count_decisions()
        self._count_requests()
        self.scrape_errors = self._counter(
            "scrape_errors", "Readings of the database for a scrape that failed or took too long.", ["reading"]
        )
        Info("dealgate_build", "The version that runs.", registry=self.registry).info({"version": version("dealgate")})
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def _count_decisions(self) -> None:
        self.decisions = self._counter(
            "decisions", "Decisions that were recorded.", ["outcome", "policy", "policy_version"]
        )
        self.findings = self._counter("findings", "Findings of recorded decisions.", ["rule", "result"])
        self.replayed = self._counter("submissions_replayed", "Submissions that had come before under their key.")
        self.engine_failures = self._counter(
            "engine_failures", "Deals referred because the rules engine failed or disagreed.", ["kind"]
        )
        self.evaluation = self._histogram("evaluation_seconds", "Time to hold a deal against its policy.")
        self.storage = self._histogram("storage_seconds", "Time to store a submission, its commit included.")
        for kind in ("failure", "disagreement"):
            self.engine_failures.labels(kind)

    def _count_requests(self) -> None:
        self.requests = self._histogram(
            "request_seconds", "Time from a request to the end of its answer.", ["method", "route", "status"]
        )
        self.sent_away = self._counter(
            "requests_sent_away", "Requests answered with 413, 429 or 503.", ["status", "route"]
        )
        self.in_progress = self._gauge("requests_in_progress", "Requests that are worked on or wait for it.")
        self.connections = self._gauge("pool_connections_in_use", "Connections of the pool that somebody holds.")
        self.most_connections = self._gauge("pool_connections_most", "Connections that the pool gives out at the most.")

    def recorded(self, decision: Mapping[str, Any]) -> None:
        """Count a decision document that was stored now."""
        policy = decision["policy"]["name"], decision["policy"]["version"]
        name, number = policy if _is_counted(self._policies, policy, MOST_POLICIES) else (OTHER, OTHER)
        self.decisions.labels(decision["outcome"], name, number).inc()
        for finding in decision["findings"]:
            rule = finding["rule"] if _is_counted(self._rules, finding["rule"], MOST_RULES) else OTHER
            self.findings.labels(rule, finding["result"]).inc()

    def answered(self, method: str, route: str, status: int | None, seconds: float) -> None:
        told = "none" if status is None else str(status)
        self.requests.labels(method, route, told).observe(seconds)
        if status in SENT_AWAY:
            self.sent_away.labels(told, route).inc()

    def watch_pool(self, engine: Engine) -> None:
        pool = engine.pool
        assert isinstance(pool, QueuePool)
        self.connections.set_function(pool.checkedout)
        self.most_connections.set_function(pool.size)

    def _counter(self, name: str, what: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"dealgate_{name}", what, labels, registry=self.registry)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"dealgate_{name}", what, registry=self.registry)

    def _histogram(self, name: str, what: str, labels: Sequence[str] = ()) -> Histogram:
        return Histogram(f"dealgate_{name}", what, labels, registry=self.registry, buckets=SECONDS)


def _is_counted(known: set[Any], one: object, most: int) -> bool:
    if one not in known and len(known) < most:
        known.add(one)
    return one in known


@contextmanager
def listening_for_scrapes(registry: CollectorRegistry, host: str, port: int | None) -> Iterator[str | None]:
    """A listener of its own, whose address is given; none without a port. Raises `OSError` where it cannot listen."""
    if port is None:
        yield None
        return
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise OSError(f"metrics_port: cannot listen on {host}:{port}: {error.strerror or error}") from error
    try:
        yield f"http://{host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
