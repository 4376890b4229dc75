"""Every named report on any history, against the same in plain Python over all rows, on each database."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select

from dealgate.adapters.compliance import same_inputs
from dealgate.adapters.compliance.reporting import Page, Share, read_page
from dealgate.adapters.compliance.reports import REPORTS
from dealgate.models.erasure import due, months_before
from dealgate.models.ledger import DEAL
from dealgate.models.open_clocks import CLOCK_FROM
from tests.adapters.compliance.histories import DAY, HISTORIES, RICH, History
from tests.adapters.compliance.naive import AGAINST, Naive

BY = {
    "exceptions": ("program", "version", "tier", "dealer", "state", "channel", "condition", "month", "outcome"),
    "overrides": ("program", "dealer", "side", "reason", "requester", "grantor", "role", "rule", "month"),
    "findings": ("rule", "result", "severity", "reason", "tier", "dealer", "version", "month"),
}
QUESTIONS = st.fixed_dictionaries(
    {
        "as_of": st.integers(-8, 30),
        "since": st.none() | st.integers(0, 99),
        "until": st.none() | st.integers(0, 99),
        "limit": st.sampled_from((1, 3, 100)),
        "by": st.fixed_dictionaries(
            {name: st.lists(st.sampled_from(found), max_size=3, unique=True) for name, found in BY.items()}
        ),
    }
)
BOOK = {"basis": "jdpower_clean_trade", "amount": "90000.00"}
EXAMPLES = int(os.environ.get("REPORT_EXAMPLES", "10"))
"""Each takes about a second on each database."""

MOMENTS = ((-1, None, None), (6, None, None), (23, None, None), (25, None, None), (-1, 5, 21))
"""Of the history in which everything happens: after which of its steps it is asked as of, and from and until after which."""

OTHER_CLOCKS = select(DEAL.c.deal_id, DEAL.c.clock_from).where(DEAL.c.clock_from.is_distinct_from(CLOCK_FROM))
"""Deals whose clock was not set by what was recorded last."""

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@contextmanager
def undone(database: Engine) -> Iterator[Connection]:
    """A connection whose transaction leaves nothing."""
    with database.connect() as connection:
        transaction = connection.begin()
        try:
            yield connection
        finally:
            transaction.rollback()


def told(connection: Connection, name: str, limit: int = 100, **asked: Any) -> list[dict[str, Any]]:
    """All pages of a report, the first and the ones after, with shares as pairs."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = read_page(connection, REPORTS[name], limit=limit, cursor=cursor, **asked)
        assert len(page.rows) <= limit or name == "same-inputs-different-outcome"
        found += [plain(page, row) for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            return found
        asked.pop("as_of", None)


def plain(page: Page, row: dict[str, Any]) -> dict[str, Any]:
    assert list(row) == [column.name for column in page.columns]
    for column in page.columns:
        value = row[column.name]
        expected = {"count": int, "money": int, "percent": Share, "days": int, "truth": bool, "list": list}
        assert value is None or type(value) is expected.get(column.unit, type(value)), (column, value)
    return {name: tuple(value) if isinstance(value, Share) else value for name, value in row.items()}


def agree(got: list[dict[str, Any]], expected: list[dict[str, Any]], ordered: bool = True) -> None:
    """Each expected row has the columns that are worked out independently."""
    told_of = [{name: row[name] for name in (expected[0] if expected else row)} for row in got]
    if ordered:
        assert told_of == expected
    else:
        assert sorted(map(repr, told_of)) == sorted(map(repr, expected))


def test_every_report_agrees_with_plain_python(database: Engine) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps=HISTORIES, question=QUESTIONS)
    def run(steps: list[Any], question: dict[str, Any]) -> None:
        with undone(database) as connection:
            history = History(connection)
            history.take(steps)
            hold_against_each_other(connection, history, question)

    run()


DEBTS = {"applicant__monthly_debt": "3000.00"}
"""With these the sample deal is judged otherwise."""


def test_older_decisions_that_differ_are_compared_though_the_latest_agree(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(same_inputs, "MOST_COMPARED", 2)
    with undone(database) as connection:
        history = History(connection)
        for changes in (DEBTS, {}, {}, {}):
            history.submit("D", vehicle__values=[BOOK], **changes)
            history.now += DAY
        (row,) = told(connection, "same-inputs-different-outcome", as_of=history.now, since=LONG_AGO)
    assert (row["decisions"], row["not_compared"], row["explained_by"]) == (3, 1, "personal values")
    assert sorted(outcome.split()[1] for outcome in row["outcomes"]) == ["1", "2"]


def test_where_none_that_were_read_are_alike_those_that_were_not_read_are_told(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents may differ where the columns do not: here in a rebate of nothing that is stated."""
    monkeypatch.setattr(same_inputs, "MOST_COMPARED", 1)
    with undone(database) as connection:
        history = History(connection)
        for changes in ({"rebate": "0.00"}, DEBTS | {"rebate": "0.00"}, {"rebate": None}):
            history.submit("D", vehicle__values=[BOOK], **changes)
            history.now += DAY
        (row,) = told(connection, "same-inputs-different-outcome", as_of=history.now, since=LONG_AGO)
    assert (row["decisions"], row["not_compared"], row["explained_by"]) == (2, 1, "not compared")


def test_every_report_tells_of_a_history_in_which_everything_happens(database: Engine) -> None:
    with undone(database) as connection:
        history = History(connection)
        history.take(RICH)
        for as_of, since, until in MOMENTS:
            by = {name: ["tier", "dealer"] for name in BY}
            question = {"as_of": as_of, "since": since, "until": until, "limit": 2, "by": by}
            hold_against_each_other(connection, history, question)
        asked: dict[str, Any] = {"as_of": history.now + 800 * DAY, "since": LONG_AGO}
        nothing = {name for name in REPORTS if not told(connection, name, **asked)}
        assert not nothing


def hold_against_each_other(connection: Connection, history: History, question: dict[str, Any]) -> None:
    moments, limit = history.moments, question["limit"]
    assert connection.execute(OTHER_CLOCKS).all() == []
    as_of = moments[question["as_of"] % len(moments)]
    since = LONG_AGO if question["since"] is None else moments[question["since"] % len(moments)]
    until = None if question["until"] is None else moments[question["until"] % len(moments)]
    if until is not None and until <= since:
        until = since + 9 * DAY
    asked: dict[str, Any] = {"as_of": as_of, "since": since, "until": until}
    naive = Naive(connection, as_of, since, until)

    def rows(name: str, **more: Any) -> list[dict[str, Any]]:
        return told(connection, name, limit, **asked, **more)

    for name in BY:
        by = tuple(question["by"][name])
        expected = getattr(naive, name)(by)
        if not by and not expected:  # nothing was decided: one row of noughts
            assert all(not row[column] for row in rows(name, by=by) for column in row if type(row[column]) is int)
            continue
        got = rows(name, by=by)
        agree(got, expected, ordered=False)
        places = [tuple(row[part] or "" for part in by) for row in got]
        assert places == sorted(places)
    agree(rows("override-log"), naive.override_log())
    for severity, severities in (("refer", AGAINST), ("flag", {"flag", *AGAINST})):
        agree(rows("approvals-with-open-findings", given={"severity": severity}), naive.approvals(severities))
    agree(rows("adverse-action-worklist"), naive.worklist())
    agree(rows("counteroffers"), naive.counteroffers())
    agree(rows("reasons"), naive.reasons())
    agree(rows("resubmissions"), naive.resubmissions())
    agree(rows("dealers-by-hidden-negative-equity"), naive.dealers())
    agree(rows("same-inputs-different-outcome"), naive.same_inputs(), ordered=False)
    agree(rows("not-evaluable"), naive.not_evaluable())
    agree(rows("engine-trouble"), naive.engine_trouble())
    counted = [row for row in rows("near-limits", given={"width": "5"}) if row["judged"]]
    agree(sorted(counted, key=lambda row: (row["version"], row["rule"])), naive.near_limits(Fraction(5, 100)))
    agree(rows("policies"), naive.policies(since))
    later = as_of + 800 * DAY
    old = Naive(connection, later, since, until)
    told_later = told(connection, "retention", limit, **(asked | {"as_of": later}))
    agree(told_later, old.retention(months_before(later, 25)))
    if until is None and since == LONG_AGO:
        known_due = {one.deal_id for one in due(connection, later)}
        assert known_due == {row["deal_id"] for row in told_later if row["status"] == "due"}
