"""Decisions and submissions, read back as they were stored."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from dealgate.models import Recorded, find_decision, find_submission, list_decisions
from tests.models.samples import CLEAN, a_deal, submit


@pytest.fixture
def connection(database: Engine) -> Iterator[Connection]:
    with database.connect() as connection:
        yield connection


@pytest.fixture
def five(connection: Connection) -> list[Recorded]:
    """Five submissions, the second and fourth of a clean deal, in the order in which they were stored."""
    return [submit(connection, CLEAN if number % 2 else a_deal()) for number in range(5)]


def ids(decisions: list[object]) -> list[str]:
    return [decision["decision_id"] for decision in decisions if isinstance(decision, dict)]


def test_a_decision_is_found_by_its_id_and_is_what_was_returned(connection: Connection) -> None:
    recorded = submit(connection, a_deal())
    assert find_decision(connection, recorded.decision_id) == recorded.decision


def test_a_submission_is_found_by_its_decision_and_is_the_deal_as_it_came(connection: Connection) -> None:
    recorded = submit(connection, a_deal())
    submit(connection, a_deal(cash_down="0.00"))
    assert find_submission(connection, recorded.decision_id) == a_deal()


def test_an_unknown_id_finds_nothing(connection: Connection) -> None:
    submit(connection, a_deal())
    assert find_decision(connection, "nobody") is None
    assert find_submission(connection, "nobody") is None


def test_an_empty_database_lists_nothing(connection: Connection) -> None:
    assert list_decisions(connection) == ([], None)


def test_decisions_are_listed_the_latest_first(connection: Connection, five: list[Recorded]) -> None:
    page = list_decisions(connection)
    assert list(page.decisions) == [recorded.decision for recorded in reversed(five)]
    assert page.before is None


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_pages_follow_each_other_without_gap_or_overlap(
    connection: Connection, five: list[Recorded], most: int
) -> None:
    seen, sizes = list[str](), list[int]()
    before: int | None = None
    while len(sizes) < 6:
        page = list_decisions(connection, before=before, most=most)
        seen += ids(list(page.decisions))
        sizes.append(len(page.decisions))
        before = page.before
        if before is None:
            break

    assert before is None
    assert seen == [recorded.decision_id for recorded in reversed(five)]
    assert all(size == most for size in sizes[:-1])
    assert 1 <= sizes[-1] <= most


def test_a_page_that_holds_all_that_is_left_is_the_last(connection: Connection, five: list[Recorded]) -> None:
    assert list_decisions(connection, most=len(five)).before is None


def test_decisions_of_one_deal_are_listed(connection: Connection, five: list[Recorded]) -> None:
    page = list_decisions(connection, deal_id="D-CLEAN")
    assert ids(list(page.decisions)) == [five[3].decision_id, five[1].decision_id]


def test_decisions_of_one_outcome_are_listed(connection: Connection, five: list[Recorded]) -> None:
    assert [recorded.decision["outcome"] for recorded in five] == ["refer", "pass", "refer", "pass", "refer"]
    page = list_decisions(connection, outcome="refer", most=2)
    assert ids(list(page.decisions)) == [five[4].decision_id, five[2].decision_id]
    following = list_decisions(connection, outcome="refer", most=2, before=page.before)
    assert ids(list(following.decisions)) == [five[0].decision_id]


def test_filters_hold_together(connection: Connection, five: list[Recorded]) -> None:
    assert five
    assert list_decisions(connection, deal_id="D-CLEAN", outcome="refer").decisions == []
    assert len(list_decisions(connection, deal_id="D-CLEAN", outcome="pass").decisions) == 2
