"""How reports are asked: what is refused, what is taken where nothing is said, and pages that stay as they are while others write."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from dealgate.adapters.compliance.asking import ReportError
from dealgate.adapters.compliance.reporting import ask, read_page
from dealgate.adapters.compliance.reports import REPORTS, report_named
from tests.adapters.compliance.histories import DAY, History
from tests.models.samples import NOW

SUMMARIES = sorted(name for name, report in REPORTS.items() if report.summary)


@pytest.fixture
def connection(database: Engine) -> Iterator[Connection]:
    with database.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


@pytest.mark.parametrize("report", REPORTS.values(), ids=list(REPORTS))
def test_a_report_says_what_it_is(report: Any) -> None:
    assert report.question.endswith("?")
    assert report.asked_by
    assert report.source
    names = [column.name for column in report.columns]
    assert len(set(names)) == len(names)
    assert all(column.meaning for column in report.columns)
    assert set(report.by) <= set(report.dimensions)


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        (
            "exceptions",
            {"since": datetime(1, 1, 1, tzinfo=UTC)},
            "--since 0001-01-01 00:00:00+00:00: give a year from 1900 to 2999",
        ),
        ("reasons", {"as_of": datetime(2026, 1, 1)}, "--as-of 2026-01-01 00:00:00 has no time zone"),  # noqa: DTZ001
        ("reasons", {"since": NOW, "until": NOW}, "is not after --since"),
        ("reasons", {"by": ["tier"]}, "--by tier: reasons is counted by nothing"),
        ("findings", {"by": ["grantor"]}, "--by grantor: findings is counted by program, version"),
        ("findings", {"by": ["rule", "rule"]}, "names one thing twice"),
        ("findings", {"given": {"width": "2"}}, "findings has no parameter 'width'; it has: none"),
        ("approvals-with-open-findings", {"given": {"severity": "pass"}}, "use flag, refer"),
        ("near-limits", {"given": {"width": "0"}}, "width '0': give percent of the limit"),
        ("near-limits", {"given": {"width": "2.55"}}, "to one place"),
        ("near-limits", {"given": {"width": "²"}}, "give percent"),
        ("retention", {"given": {"months": "24"}}, "months '24': give a number from 25, which is the law's"),
        ("reasons", {"limit": 0}, "--limit 0: give 1 to 10,000"),
        ("reasons", {"cursor": "what"}, "--cursor 'what' is none"),
        ("reasons", {"cursor": "WzEsMl0"}, "is none"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    connection: Connection, name: str, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(ReportError) as error:
        read_page(connection, REPORTS[name], **asked)
    assert words in str(error.value)


def test_an_unknown_report_names_those_there_are() -> None:
    with pytest.raises(ReportError, match="no report is called 'overide'; there are: exceptions, overrides"):
        report_named("overide")


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_summary_covers_three_days_where_nothing_is_said(name: str) -> None:
    assert ask(REPORTS[name], as_of=NOW).since == NOW - 3 * DAY
    assert ask(REPORTS[name], as_of=NOW, until=NOW - DAY).since == NOW - 4 * DAY


def test_pages_hold_each_row_once_while_others_submit(connection: Connection) -> None:
    history = History(connection)
    made = [history.submit(f"D-{number}") for number in range(7)]
    seen, cursor = [], None
    while True:
        page = read_page(connection, REPORTS["reasons"], as_of=None if cursor else NOW, limit=2, cursor=cursor)
        seen += [row["decision_id"] for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            break
        history.now += timedelta(seconds=1)
        history.submit("D-3")
    assert seen == made[::-1]


def test_a_cursor_goes_on_with_no_other_question(connection: Connection) -> None:
    history = History(connection)
    for number in range(3):
        history.submit(f"D-{number}")
    first = read_page(connection, REPORTS["reasons"], as_of=NOW, limit=1)
    others: list[tuple[str, dict[str, Any]]] = [("reasons", {"since": NOW}), ("resubmissions", {})]
    for name, asked in others:
        with pytest.raises(ReportError, match="another question"):
            read_page(connection, REPORTS[name], cursor=first.cursor, **asked)
    with pytest.raises(ReportError, match="the cursor goes on as of"):
        read_page(connection, REPORTS["reasons"], cursor=first.cursor, as_of=NOW + DAY)
    assert len(read_page(connection, REPORTS["reasons"], cursor=first.cursor, as_of=NOW).rows) == 2


def test_the_second_page_of_a_summary_covers_the_days_of_the_first(connection: Connection) -> None:
    history = History(connection)
    history.submit("D-1")
    history.submit("D-2", dealer_id="DLR-7")
    first = read_page(connection, REPORTS["findings"], by=["dealer"], as_of=NOW, limit=1)
    second = read_page(connection, REPORTS["findings"], by=["dealer"], limit=1, cursor=first.cursor)
    assert second.asked.since == first.asked.since
    assert [row["dealer"] for row in (*first.rows, *second.rows)] == ["DLR-0042", "DLR-7"]


def test_what_was_recorded_later_was_not_known(connection: Connection) -> None:
    history = History(connection)
    history.submit("D-1")
    history.now += DAY
    history.notice("D-1", "adverse_action", NOW + timedelta(hours=1))  # told a day after it was sent
    before = read_page(connection, REPORTS["adverse-action-worklist"], as_of=NOW + timedelta(hours=2))
    after = read_page(connection, REPORTS["adverse-action-worklist"], as_of=NOW + DAY)
    assert [row["deal_id"] for row in before.rows] == ["D-1"]
    assert after.rows == []
