"""The boundary days of the clocks of 12 CFR 1002.9, in UTC: the thirtieth day is in time, the one after is not."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from dealgate.adapters.compliance.notices import clocks_of
from dealgate.adapters.compliance.reporting import read_page
from dealgate.adapters.compliance.reports import REPORTS
from dealgate.rules.notice_clocks import APPLICATION, CLOSING, COUNTEROFFER, clock
from tests.adapters.compliance.histories import History

CENTRAL = timezone(timedelta(hours=-6))


def at(text: str, zone: Any = UTC) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.fixture
def history(database: Engine) -> Iterator[History]:
    with database.connect() as connection, connection.begin() as transaction:
        yield History(connection)
        transaction.rollback()


def row(connection: Connection, name: str, as_of: datetime) -> dict[str, Any] | None:
    return next(iter(read_page(connection, REPORTS[name], as_of=as_of).rows), None)


def owed(history: History, as_of: datetime) -> dict[str, Any] | None:
    return row(history.connection, "adverse-action-worklist", as_of)


def submitted(history: History, moment: datetime, on: str | None = None, deal: str = "D") -> None:
    history.now = moment
    on = on or f"{moment.astimezone(UTC):%Y-%m-%d}"
    history.submit(deal, submitted_on=on, expected_funding_on=None, applicant__credit_report_as_of=None)


@pytest.mark.parametrize(
    ("start", "days", "as_of", "left"),
    [
        ("2026-01-01", 30, "2026-01-01", 30),
        ("2026-01-01", 30, "2026-01-31", 0),
        ("2026-01-01", 30, "2026-02-01", -1),
        ("2028-01-31", 30, "2028-03-01", 0),  # through the 29th of February
        ("2027-01-31", 30, "2027-03-02", 0),
        ("2028-02-29", 90, "2028-05-29", 0),
        ("2026-12-15", 30, "2027-01-15", -1),
    ],
)
def test_whole_days(start: str, days: int, as_of: str, left: int) -> None:
    duty = {one.days: one for one in (APPLICATION, COUNTEROFFER)}[days]
    assert clock(duty, date.fromisoformat(start)).days_left(date.fromisoformat(as_of)) == left


@pytest.mark.parametrize(
    ("as_of", "left", "overdue"),
    [
        ("2028-01-31T12:00:01", 30, False),
        ("2028-03-01T00:00:00", 0, False),
        ("2028-03-01T23:59:59.999999", 0, False),
        ("2028-03-02T00:00:00", -1, True),
    ],
)
def test_the_thirtieth_day_is_in_time(history: History, as_of: str, left: int, overdue: bool) -> None:
    submitted(history, at("2028-01-31T12:00:00"))
    found = owed(history, at(as_of))
    assert found is not None
    assert (found["clock_from"], found["due_on"]) == (date(2028, 1, 31), date(2028, 3, 1))
    assert (found["days_left"], found["overdue"]) == (left, overdue)


def test_days_are_those_of_utc_wherever_a_moment_was_told(history: History) -> None:
    submitted(history, at("2026-11-20T18:30:00", CENTRAL), on="2026-11-21")  # the 21st in UTC
    found = owed(history, at("2026-11-20T19:00:00", CENTRAL))
    assert found is not None
    assert (found["clock_from"], found["days_left"]) == (date(2026, 11, 21), 30)


def test_an_earlier_day_that_the_deal_names_starts_the_clock(history: History) -> None:
    submitted(history, at("2026-11-20T08:00:00"), on="2026-11-18")
    submitted(history, at("2026-11-25T08:00:00"), on="2026-11-25")
    found = owed(history, at("2026-11-26T00:00:00"))
    assert found is not None
    assert found["submission"] == 2
    assert found["clock_from"] == date(2026, 11, 18)
    (clock,) = clocks_of(history.connection, "D")
    assert (clock.began_on, clock.due_on) == (found["clock_from"], found["due_on"])


def test_a_later_day_that_the_deal_names_does_not_delay_it(history: History) -> None:
    submitted(history, at("2026-11-20T08:00:00"), on="2027-11-20")
    found = owed(history, at("2026-11-21T00:00:00"))
    assert found is not None
    assert found["clock_from"] == date(2026, 11, 20)
    assert [one.began_on for one in clocks_of(history.connection, "D")] == [found["clock_from"]]


@pytest.mark.parametrize("kind", ["adverse_action", "approval", "counteroffer", "incomplete"])
def test_a_notice_ends_the_clock_and_the_next_submission_starts_another(history: History, kind: str) -> None:
    submitted(history, at("2026-11-01T08:00:00"))
    history.now = at("2026-11-10T08:00:00")
    history.notice("D", kind)
    assert owed(history, at("2026-11-10T08:00:00")) is None
    submitted(history, at("2026-11-20T08:00:00"), on="2026-11-01")  # the day of the first submission, carried along
    found = owed(history, at("2026-11-20T09:00:00"))
    assert found is not None
    assert found["clock_from"] == date(2026, 11, 10)  # not before what was answered
    if kind in CLOSING:
        assert [one.began_on for one in clocks_of(history.connection, "D")] == [found["clock_from"]]


def test_a_notice_at_the_very_moment_of_the_decision_answers_it(history: History) -> None:
    submitted(history, at("2026-11-20T08:00:00"))
    history.notice("D", "adverse_action")
    assert owed(history, at("2026-11-20T08:00:00")) is None


def test_the_overdue_come_first(history: History) -> None:
    for number, day in enumerate(("2026-11-20", "2026-10-01", "2026-11-05")):
        submitted(history, at(f"{day}T08:00:00"), deal=f"D-{number}")
    rows = read_page(history.connection, REPORTS["adverse-action-worklist"], as_of=at("2026-11-21T00:00:00")).rows
    assert [(one["deal_id"], one["overdue"]) for one in rows] == [("D-1", True), ("D-2", False), ("D-0", False)]


@pytest.mark.parametrize(("as_of", "left"), [("2026-11-20", 90), ("2027-02-18", 0), ("2027-02-19", -1)])
def test_ninety_days_after_a_counteroffer(history: History, as_of: str, left: int) -> None:
    submitted(history, at("2026-11-20T08:00:00"))
    history.notice("D", "counteroffer")
    found = row(history.connection, "counteroffers", at(f"{as_of}T23:00:00"))
    assert found is not None
    assert (found["due_on"], found["days_left"], found["overdue"]) == (date(2027, 2, 18), left, left < 0)


def test_adverse_action_with_the_counteroffer_leaves_nothing_to_send(history: History) -> None:
    submitted(history, at("2026-11-20T08:00:00"))
    history.notice("D", "counteroffer")
    history.notice("D", "adverse_action")
    assert row(history.connection, "counteroffers", at("2026-11-21T00:00:00")) is None
