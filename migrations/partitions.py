"""The months of `dealgate_ledger_body` on PostgreSQL. A month without a partition of its own goes to the one for the others."""

from datetime import UTC, datetime
from itertools import pairwise

from sqlalchemy import Connection, text

from dealgate.migrations import guards

BODY = guards.PARTITIONED
OTHERS = BODY + "_others"
MONTHS_AHEAD = 24

_ENTRIES_OF_OTHERS = text(f"SELECT 1 FROM {OTHERS} WHERE recorded_at >= :start AND recorded_at < :end LIMIT 1")


def make_partitions(connection: Connection, now: datetime) -> list[str]:
    """Make the partitions of this month and the next; returns those that had to be left out, for rows in the way."""
    there = set(guards.partitions(connection))
    left_out = []
    for start, end in _months(now):
        name = f"{BODY}_{start:%Y%m}"
        if name in there:
            continue
        if connection.execute(_ENTRIES_OF_OTHERS, {"start": start, "end": end}).first():
            left_out.append(name)
            continue
        _make(connection, name, f"FOR VALUES FROM ('{start.isoformat()}') TO ('{end.isoformat()}')")
        guards.guard_partition(connection, name)
    return left_out


def is_partition(table: str) -> bool:
    return table.startswith(BODY + "_")


def make_others(connection: Connection) -> None:
    _make(connection, OTHERS, "DEFAULT")


def _make(connection: Connection, name: str, bounds: str) -> None:
    connection.exec_driver_sql(f"CREATE TABLE {name} PARTITION OF {BODY} {bounds}")


def _months(now: datetime) -> list[tuple[datetime, datetime]]:
    first = now.year * 12 + now.month - 1
    starts = [datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC) for month in range(first, first + MONTHS_AHEAD + 2)]
    return list(pairwise(starts))
