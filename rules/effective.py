"""The moments between which a policy is effective: days of its time zone, from the first moment of the one to that of the other.

Zones are read from the package `tzdata`, as measures are from the catalogue: the same installation says the same on every machine.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dealgate.rules.policy import Policy


class Period(NamedTuple):
    """Aware moments in UTC: `start` is within the period, `end` is not; None for a period without an end."""

    start: datetime
    end: datetime | None

    def holds(self, moment: datetime) -> bool:
        """Whether an aware moment lies within the period. Raises `TypeError` for one without a time zone."""
        return self.start <= moment and (self.end is None or moment < self.end)

    def meets(self, other: "Period") -> bool:
        """Whether some moment lies within both."""
        return (other.end is None or self.start < other.end) and (self.end is None or other.start < self.end)


def effective_period(policy: Policy) -> Period:
    """When a policy is effective, by the days and the time zone that it states."""
    end = None if policy.effective_to is None else first_moment(policy.effective_to, policy.time_zone)
    return Period(first_moment(policy.effective_from, policy.time_zone), end)


def first_moment(day: date, time_zone: str) -> datetime:
    """The moment at which a day begins in a time zone, in UTC.

    Where clocks are set forward over midnight, that is when they are; where they are set back over it, the first of the two.
    Raises `ValueError` for a zone that the IANA database does not know.
    """
    zone, midnight = zone_of(time_zone), datetime.combine(day, datetime.min.time())
    earlier, later = sorted(_in_utc(midnight.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if earlier == later or _local(earlier, zone) == midnight:
        return earlier
    return _first_second(earlier, later, lambda moment: _local(moment, zone) >= midnight)


def _in_utc(moment: datetime) -> datetime:
    """Days at the ends of the calendar may lie beyond it in UTC."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if moment.year == date.min.year else datetime.max.replace(tzinfo=UTC)


def _local(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def _first_second(low: datetime, high: datetime, is_reached: Callable[[datetime], bool]) -> datetime:
    """The first whole second after `low` and up to `high` from which on it is reached."""
    before, after = 0, int((high - low).total_seconds())
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (before, middle) if is_reached(low + timedelta(seconds=middle)) else (middle, after)
    return low + timedelta(seconds=after)


@cache
def time_zones() -> frozenset[str]:
    """The names of the IANA database, in the edition that is installed."""
    return frozenset((files("tzdata") / "zones").read_text(encoding="utf-8").split())


@cache
def zone_of(name: str) -> ZoneInfo:
    if name not in time_zones():
        raise ValueError(f"{name!r} is no time zone of the IANA database; zones have names such as America/Chicago")
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
