"""Rates by comparison group: counted right, nothing suppressed that can be computed, and nothing of the file left anywhere."""

import logging
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, event, select

from dealgate.adapters.compliance.asking import ReportError
from dealgate.adapters.compliance.exceptions import EXCEPTIONS
from dealgate.adapters.compliance.groups import Group, group_rates, read_groups, suppress, totals
from dealgate.adapters.compliance.intervals import Z, newcombe, wilson
from dealgate.adapters.compliance.reporting import ask
from dealgate.models import Base
from tests.adapters.compliance.histories import DAY, RICH, History
from tests.adapters.compliance.naive import AGAINST, Naive

SECRET = "GROUP-THAT-NOBODY-MAY-SEE"
FILE = {f"D-{number}": ("one" if number % 2 else SECRET) for number in range(7)} | {"NEVER-SUBMITTED": SECRET}


@pytest.fixture
def history(database: Engine) -> Iterator[History]:
    with database.connect() as connection, connection.begin() as transaction:
        history = History(connection)
        history.take(RICH)
        yield history
        transaction.rollback()


def everything(connection: Connection) -> dict[str, list[Any]]:
    return {
        name: sorted(map(repr, connection.execute(select(table)).all())) for name, table in Base.metadata.tables.items()
    }


@pytest.mark.parametrize("rate", ["overrides", "exceptions", "declines"])
def test_each_rate_is_that_of_plain_python(history: History, rate: str) -> None:
    since, as_of = history.moments[0], history.now
    asked = ask(EXCEPTIONS, as_of=as_of, since=since, by=())
    found = group_rates(history.connection, asked, FILE, rate, least=1)
    naive = Naive(history.connection, as_of, since)
    deals, parts, wholes = Counter[Any](), Counter[Any](), Counter[Any]()
    for one in naive.latest():
        group, against = FILE.get(one["deal_id"]), one["outcome"] in AGAINST
        approved = any(at >= one["decided_at"] for at in naive.sent(one["deal_id"], "approval"))
        through = against and (naive.overridden(one, "low") or approved)
        part = {
            "overrides": (against and naive.overridden(one, "low")) or naive.turned_down(one),
            "exceptions": through,
            "declines": (one["outcome"] == "decline" and not through) or naive.turned_down(one),
        }[rate]
        deals[group] += 1
        parts[group] += part
        wholes[group] += against if rate == "exceptions" else 1
    assert {row.group: (row.deals, row.part, row.whole) for row in found.rows} == {
        group: (deals[group], parts[group], wholes[group]) for group in ("one", SECRET, None)
    }
    assert found.deals == sum(deals.values())
    assert found.unmatched == 1
    assert sum(parts.values()) > 0


def test_nothing_of_the_file_is_stored_or_logged(history: History, caplog: pytest.LogCaptureFixture) -> None:
    connection, sent = history.connection, list[str]()
    before = everything(connection)

    @event.listens_for(connection, "before_cursor_execute")
    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append(f"{statement} {parameters}")

    with caplog.at_level(logging.DEBUG):
        connection.engine.echo = "debug"
        group_rates(connection, ask(EXCEPTIONS, as_of=history.now, by=()), FILE, "exceptions")
        connection.engine.echo = False
    event.remove(connection, "before_cursor_execute", listen)
    assert sent
    assert not [text for text in sent if SECRET in text or "NEVER-SUBMITTED" in text or "D-1" in text]
    assert not [record for record in caplog.records if SECRET in record.getMessage()]
    assert everything(connection) == before


def test_small_groups_are_withheld_and_differences_with_them(history: History) -> None:
    asked = ask(EXCEPTIONS, as_of=history.now, since=history.now - 90 * DAY, by=())
    found = group_rates(history.connection, asked, FILE, "overrides")
    assert [row.suppressed for row in found.rows] == [True, True, True]
    assert all(row[2:] == (None,) * 9 for row in found.rows)
    assert (found.deals, found.unmatched) == (None, None)
    assert found.reference is None


def test_with_the_deals_without_a_group_withheld_no_total_tells_of_them(history: History) -> None:
    """So many of the file are unmatched that their number alone would be told."""
    connection, lines = history.connection, {f"NEVER-{number}": "one" for number in range(30)}
    found = group_rates(connection, ask(EXCEPTIONS, as_of=history.now, by=()), lines, "overrides")
    assert [(row.group, row.suppressed) for row in found.rows] == [("one", False), (None, True)]
    assert (found.deals, found.unmatched) == (None, None)


COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60)).map(
    lambda found: Group(None, found[0] + found[1] + found[2], found[0], found[0] + found[1])
)


@given(st.lists(COUNTS, max_size=7), st.none() | COUNTS, st.integers(0, 60), st.integers(1, 20))
def test_no_withheld_group_can_be_computed(
    counts: list[Group], unnamed: Group | None, unmatched: int, least: int
) -> None:
    """Not from what is shown and the totals, those of other reports included, nor from the lines of the file."""
    groups = [one._replace(name=f"G{index}") for index, one in enumerate(counts)] + ([unnamed] if unnamed else [])
    suppressed = suppress(groups, least)
    deals, told_unmatched = totals(groups, suppressed, unmatched, least)

    def is_small(one: Group) -> bool:
        numbers = (one.deals, one.part, one.whole, one.whole - one.part, one.deals - one.whole)
        return any(0 < number < least for number in numbers)

    def together(some: list[Group]) -> Group:
        return Group(None, *(sum(getattr(one, name) for one in some) for name in ("deals", "part", "whole")))

    assert not [one for one in groups if is_small(one) and one not in suppressed]
    assert told_unmatched in {None, unmatched}
    assert deals in {None, together(groups).deals}
    if least == 1:
        assert not suppressed
        assert (deals, told_unmatched) == (together(groups).deals, unmatched)
    if suppressed and [one for one in groups if one not in suppressed and one.deals]:
        assert len(suppressed) > 1
        assert not is_small(together(suppressed))
    if None in {one.name for one in suppressed}:  # what the file has less the unmatched are all that have a name
        assert told_unmatched is None
        assert deals is None


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [
        (81, 263, "0.2553", "0.3662"),
        (15, 148, "0.0624", "0.1605"),
        (0, 20, "0.0000", "0.1611"),
        (1, 29, "0.0061", "0.1718"),
    ],
)
def test_score_intervals_are_those_published(part: int, whole: int, low: str, high: str) -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3."""
    found = wilson(part, whole)
    assert [round(end, 4) for end in found] == [Decimal(low), Decimal(high)]


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), "0.0524", "0.3339"),
        ((9, 10, 3, 10), "0.1705", "0.8090"),
        ((5, 56, 0, 29), "-0.0381", "0.1926"),
        ((0, 10, 0, 20), "-0.1611", "0.2775"),
        ((10, 10, 0, 10), "0.6075", "1.0000"),
    ],
)
def test_intervals_of_differences_are_those_published(counts: tuple[int, int, int, int], low: str, high: str) -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998), 873-890, table II, method 10."""
    assert [round(end, 4) for end in newcombe(*counts)] == [Decimal(low), Decimal(high)]


@given(st.integers(1, 10**9).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))))
def test_the_ends_of_an_interval_are_where_the_score_is_z(counts: tuple[int, int]) -> None:
    part, whole = counts
    found, share = wilson(part, whole), Decimal(part) / whole
    assert 0 <= found.low <= share <= found.high <= 1
    for end in found:
        score = (share - end) ** 2 * whole - Z * Z * end * (1 - end)
        assert abs(score) < Decimal("1e-12")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: the header is another one: write deal_id,group"),
        ("deal,group\n", "line 1: the header is another one: write deal_id,group"),
        ("deal_id,group\nD-1\n", "line 2: 1 fields"),
        ("deal_id,group\nD-1, \n", "line 2: give a deal_id and a group"),
        ("deal_id,group\nD-1,a\nD-1,a\n", "line 3: the deal 'D-1' stands in the file twice"),
        ('deal_id,group\nD-1,"a\n', "not CSV"),
        ("deal_id,group\n" + "D" * 201 + ",a\n", "of 1 to 200 characters"),
    ],
)
def test_a_file_that_is_not_right_is_refused(text: str, words: str) -> None:
    with pytest.raises(ReportError) as error:
        read_groups(text.splitlines(keepends=True), "groups.csv")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"rate": "approvals"}, "no rate is called 'approvals': use overrides, exceptions, declines"),
        ({"rate": "overrides", "reference": "two"}, "the file has no such group"),
        ({"rate": "overrides", "least": 0}, "--least 0"),
    ],
)
def test_a_question_that_is_not_right_is_refused(database: Engine, given_: dict[str, Any], words: str) -> None:
    with database.connect() as connection, pytest.raises(ReportError) as error:
        group_rates(connection, ask(EXCEPTIONS, by=()), FILE, **given_)
    assert words in str(error.value)
