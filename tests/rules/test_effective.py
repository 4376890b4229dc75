"""From days of a time zone to moments: inclusive start, exclusive end, also where midnight is skipped or comes twice."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dealgate import Policy, PolicyError
from dealgate.rules.effective import Period, effective_period, first_moment, time_zones, zone_of


@pytest.mark.parametrize(
    ("day", "zone", "moment"),
    [
        (date(2026, 11, 1), "UTC", "2026-11-01T00:00:00"),
        (date(2026, 11, 1), "America/Chicago", "2026-11-01T05:00:00"),
        (date(2026, 11, 2), "America/Chicago", "2026-11-02T06:00:00"),
        (date(2026, 3, 8), "America/Chicago", "2026-03-08T06:00:00"),
        (date(2026, 3, 9), "America/Chicago", "2026-03-09T05:00:00"),
        (date(2026, 1, 1), "Asia/Kathmandu", "2025-12-31T18:15:00"),
        # Clocks go from 24:00 to 01:00: the day begins at one.
        (date(2018, 11, 4), "America/Sao_Paulo", "2018-11-04T03:00:00"),
        # From 23:30 to 00:30: the day begins at half past midnight.
        (date(1919, 3, 31), "America/Toronto", "1919-03-31T04:30:00"),
        # From 01:00 back to 00:00: midnight comes twice, and the day begins with the first.
        (date(2025, 11, 2), "America/Havana", "2025-11-02T04:00:00"),
        # From 24:00 back to 23:00: midnight comes once.
        (date(2018, 2, 18), "America/Sao_Paulo", "2018-02-18T03:00:00"),
        # A day that a country left out begins when the next one does.
        (date(2011, 12, 30), "Pacific/Apia", "2011-12-30T10:00:00"),
        (date(2011, 12, 31), "Pacific/Apia", "2011-12-30T10:00:00"),
    ],
)
def test_a_day_begins_at_its_first_moment(day: date, zone: str, moment: str) -> None:
    assert first_moment(day, zone) == datetime.fromisoformat(moment).replace(tzinfo=UTC)


ZONES = st.sampled_from(sorted(time_zones()))


@given(day=st.dates(date(1900, 1, 1), date(2200, 1, 1)), name=ZONES)
def test_the_second_before_a_day_begins_belongs_to_an_earlier_day(day: date, name: str) -> None:
    moment = first_moment(day, name)
    zone = zone_of(name)
    assert moment.tzinfo is UTC
    assert moment.astimezone(zone).date() >= day
    assert (moment - timedelta(seconds=1)).astimezone(zone).date() < day


@given(day=st.dates(), name=ZONES)
def test_every_day_of_the_calendar_has_a_beginning_and_days_keep_their_order(day: date, name: str) -> None:
    moment = first_moment(day, name)
    if day < date.max:
        assert moment <= first_moment(day + timedelta(days=1), name)


def test_a_zone_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone of the IANA database"):
        first_moment(date(2026, 1, 1), "../../etc/passwd")


# Periods


@pytest.fixture
def period(write_policy: Any) -> Any:
    def period(**entries: Any) -> Period:
        return effective_period(Policy.from_text(write_policy("cash_price > $1", **entries)))

    return period


def test_the_start_is_within_and_the_end_is_not(period: Any) -> None:
    found = period(effective_from="2026-11-01", effective_to="2026-12-01", time_zone="America/Chicago")
    start, end = datetime(2026, 11, 1, 5, tzinfo=UTC), datetime(2026, 12, 1, 6, tzinfo=UTC)
    assert found == Period(start, end)
    second = timedelta(seconds=1)
    assert [found.holds(moment) for moment in (start - second, start, end - second, end)] == [False, True, True, False]


def test_without_a_zone_days_are_those_of_utc_and_without_an_end_there_is_none(period: Any) -> None:
    assert period(effective_from="2026-11-01") == Period(datetime(2026, 11, 1, tzinfo=UTC), None)
    assert period(effective_from="2026-11-01").holds(datetime(9999, 1, 1, tzinfo=UTC))


def test_a_moment_without_a_time_zone_is_refused(period: Any) -> None:
    with pytest.raises(TypeError):
        period().holds(datetime(2026, 1, 1))  # noqa: DTZ001  that is what is refused


@pytest.mark.parametrize(
    ("first", "second", "meet"),
    [
        ((1, 3), (3, 5), False),
        ((1, 3), (2, 5), True),
        ((1, None), (7, None), True),
        ((4, 5), (1, None), True),
        ((1, 2), (4, None), False),
    ],
)
def test_periods_meet_where_a_moment_lies_in_both(first: Any, second: Any, meet: bool) -> None:
    periods = [
        Period(datetime(2026, 1, start, tzinfo=UTC), None if end is None else datetime(2026, 1, end, tzinfo=UTC))
        for start, end in (first, second)
    ]
    assert periods[0].meets(periods[1]) is meet
    assert periods[1].meets(periods[0]) is meet


# In the document


def test_the_zone_is_part_of_the_content_unless_it_is_utc(write_policy: Any) -> None:
    plain, stated, chicago = (
        Policy.from_text(write_policy("cash_price > $1", **zone))
        for zone in ({}, {"time_zone": "UTC"}, {"time_zone": "America/Chicago"})
    )
    assert plain.sha256 == stated.sha256
    assert chicago.content["time_zone"] == "America/Chicago"
    assert Policy.from_text(chicago.canonical).sha256 == chicago.sha256 != plain.sha256


@pytest.mark.parametrize(
    ("zone", "suggestion"),
    [("America/Chicgo", "Did you mean 'America/Chicago'?"), ("+06:00", "Zones have names such as America/Chicago.")],
)
def test_a_zone_that_nobody_knows_is_told_with_its_place(zone: str, suggestion: str, write_policy: Any) -> None:
    with pytest.raises(PolicyError) as told:
        Policy.from_text(write_policy("cash_price > $1", time_zone=zone))
    (problem,) = told.value.problems
    assert problem.message == f"{zone!r} is no time zone of the IANA database"
    assert problem.suggestion == suggestion
