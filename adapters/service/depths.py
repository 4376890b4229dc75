"""How much waits in the database, read when Prometheus asks. A database that does not answer never holds up a scrape."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from threading import Event, Thread
from time import monotonic
from typing import NamedTuple

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Engine, func, select

from dealgate.adapters.database import READS_ONLY, open_for_callers
from dealgate.adapters.outbox import depth as outbox
from dealgate.models.ledger import ENTRY
from dealgate.models.sealing import PENDING

log = logging.getLogger("dealgate.service")

FRESH = 5.0
"""Seconds for which what was read is told again."""
LONGEST = 2.0
"""Seconds that a reading may take."""


Values = Mapping[str, Mapping[str, float]]
"""By what the label says, "" where there is none: each gauge's value."""


class Depth(NamedTuple):
    """Some gauges, by the names that follow `dealgate_`, with what they say; their label; and how they are read at a moment."""

    reading: str
    gauges: Mapping[str, str]
    label: str | None
    read: Callable[[Connection, datetime], Values]


def read_unsealed(connection: Connection, now: datetime) -> Values:
    waiting = select(func.count(), func.min(ENTRY.c.recorded_at))
    count, oldest = connection.execute(waiting.select_from(PENDING).join(ENTRY, ENTRY.c.id == PENDING.c.entry)).one()
    age = (now - oldest).total_seconds() if oldest else 0.0
    return {"": {"unsealed_entries": count, "unsealed_oldest_seconds": max(0.0, age)}}


UNSEALED = Depth(
    "unsealed",
    {
        "unsealed_entries": "Entries of the ledger that wait to be sealed.",
        "unsealed_oldest_seconds": "Age of the oldest of them; 0 where none waits.",
    },
    None,
    read_unsealed,
)


def read_outbox(connection: Connection, now: datetime) -> Values:
    def gauges(depth: outbox.Depth) -> Mapping[str, float]:
        age = (now - depth.oldest_due_at).total_seconds() if depth.oldest_due_at else 0.0
        return {"outbox_waiting": depth.waiting, "outbox_dead": depth.dead, "outbox_oldest_seconds": max(0.0, age)}

    return {name: gauges(depth) for name, depth in outbox.depth(connection).items()}


OUTBOX = Depth(
    "outbox",
    {
        "outbox_waiting": "Events that wait to be told to a subscriber, those behind a dead one included.",
        "outbox_dead": "Events that no attempt could deliver.",
        "outbox_oldest_seconds": "Since when the oldest waits; 0 where none does.",
    },
    "subscriber",
    read_outbox,
)
DEPTHS: tuple[Depth, ...] = (UNSEALED, OUTBOX)


class Depths(Collector):
    """The gauges of a database. One that cannot be read is absent, and counted in `errors`."""

    def __init__(self, url: str, errors: Counter, depths: Sequence[Depth] = DEPTHS) -> None:
        self._engine = open_for_callers(url, 1, LONGEST)
        self._errors = errors
        self._depths = depths
        self._reading: _Reading | None = None
        for depth in depths:
            errors.labels(depth.reading)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        for depth in self._depths:
            yield from _families(depth, {})

    def collect(self) -> Iterable[GaugeMetricFamily]:
        values = self._values()
        for depth in self._depths:
            if depth.reading in values:
                yield from _families(depth, values[depth.reading])

    def close(self) -> None:
        self._engine.dispose()

    def _values(self) -> Mapping[str, Values]:
        """One thread reads at a time, and whoever asks meanwhile waits for it, at most so long."""
        reading = self._reading
        if reading is None or reading.is_stale():
            self._reading = reading = _Reading(self._engine, self._depths, self._errors)
        return reading.values()


def _families(depth: Depth, values: Values) -> Iterable[GaugeMetricFamily]:
    labels = [] if depth.label is None else [depth.label]
    for name, what in depth.gauges.items():
        family = GaugeMetricFamily(f"dealgate_{name}", what, labels=labels)
        for whose, gauges in values.items():
            family.add_metric([whose] if labels else [], gauges[name])
        yield family


class _Reading:
    """Every depth, read once."""

    def __init__(self, engine: Engine, depths: Sequence[Depth], errors: Counter) -> None:
        self._engine, self._depths, self._errors = engine, depths, errors
        self._begun = monotonic()
        self._done = Event()
        self._values: Mapping[str, Values] = {}
        Thread(target=self._run, name="depths", daemon=True).start()

    def is_stale(self) -> bool:
        """One that does not end is not followed by another."""
        return self._done.is_set() and monotonic() - self._begun >= FRESH

    def values(self) -> Mapping[str, Values]:
        if self._done.wait(max(0.0, self._begun + LONGEST - monotonic())):
            return self._values
        for depth in self._depths:
            self._errors.labels(depth.reading).inc()
        return {}

    def _run(self) -> None:
        values = dict[str, Values]()
        for depth in self._depths:
            try:
                values[depth.reading] = self._read(depth)
            except Exception as error:
                self._errors.labels(depth.reading).inc()
                log.error("%s is not read for a scrape: %s", depth.reading, type(error).__name__)
        self._values = values
        self._done.set()

    def _read(self, depth: Depth) -> Values:
        with self._engine.connect().execution_options(**{READS_ONLY: True}) as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(LONGEST * 500)}")
            return depth.read(connection, datetime.now(UTC))
