"""Searching stored decisions: what is found, in which order, page by page, and what is refused."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any
from unittest import mock

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Engine, literal, select

from dealgate.adapters.compliance import search as searching
from dealgate.adapters.compliance.paging import write_parts
from dealgate.adapters.compliance.query import Condition, Query, QueryError
from dealgate.adapters.compliance.ratios_in_sql import RatioSign, prepare
from dealgate.adapters.compliance.readers import Reader
from dealgate.adapters.compliance.rows import rows_of
from dealgate.adapters.compliance.search import count_by_outcome, search, search_all
from dealgate.adapters.database import open_database
from dealgate.models.erasure import record_notice
from tests.adapters.compliance.naive_search import found
from tests.adapters.compliance.searched_histories import History
from tests.models.overriding import decided
from tests.models.samples import NOW

SIGNS = ("<", "<=", "=", ">=", ">")
LIMITS = {
    "total_ltv": ("139.89", "139.8876", "139.887666", "139.887667", "102.8", "0"),
    "amount_financed": ("37769.67", "37769.66", "27774", "-1"),
    "rolled_in_negative_equity": ("1999.99", "0", "2000"),
    "vehicle_age": ("3", "2"),
    "break_even_month": ("50", "24"),
}
MOMENTS = ("decided_from", "decided_before", "as_of")
ONE_OF = {
    "override": ("none", "asked", "granted", "denied"),
    "override_side": ("low", "high"),
}
SOME_OF = {
    "deals": ("D-0", "D-1", "D-2", "D-9"),
    "dealers": ("DLR-1", "DLR-2"),
    "states": ("TX", "OH"),
    "channels": ("indirect", "direct"),
    "tiers": ("A", "B"),
    "outcomes": ("pass", "flag", "refer", "decline"),
    "policies": ("overridable", "other"),
    "versions": ("1", "2"),
    "actors": ("ann", "ben"),
    "rules": ("LTV-TOTAL", "PTI", "DTI"),
    "results": ("violated", "mitigated", "not_evaluable"),
    "reasons": ("Age of automobile", "Value or type of collateral not sufficient"),
    "measures": tuple(Condition(name, sign, bound) for name in LIMITS for sign in SIGNS for bound in LIMITS[name]),
    "grantors": ("ben", "cyd"),
    "override_reasons": ("STRONG-INCOME", "COLLATERAL-DOUBT"),
    "notices": ("adverse_action", "approval", "none"),
}


def any_query(pick: Random, moments: Sequence[datetime]) -> Query:
    """Of up to three parts, half of them as of a moment; a half asks for overrides."""
    about_overrides = [name for name in (*ONE_OF, *SOME_OF) if "override" in name or name == "grantors"]
    names = pick.sample((*MOMENTS[:2], *ONE_OF, *SOME_OF), pick.randrange(3))
    names += [pick.choice(about_overrides)] if pick.random() < 0.5 else []
    parts: dict[str, Any] = {name: pick.choice(moments) for name in {*names} & {*MOMENTS}}
    parts |= {name: pick.choice(ONE_OF[name]) for name in sorted({*names} & {*ONE_OF})}
    parts |= {name: tuple(pick.sample(SOME_OF[name], pick.randrange(1, 3))) for name in sorted({*names} & {*SOME_OF})}
    try:
        return Query(**parts, as_of=pick.choice((None, *moments)) if pick.random() < 0.7 else None)
    except QueryError:  # parts that contradict each other are another test's
        return Query(as_of=pick.choice(moments))


def ids_of(database: Engine, query: Query, most: int = 1_000) -> list[str]:
    with database.connect() as connection:
        return [one.decision_id for one in search(connection, query, most=most).rows]


@given(seed=st.integers(0, 10**6))
@settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_any_query_finds_in_any_history_what_a_plain_filter_finds(databases: Any, seed: int) -> None:
    url = databases.ready()
    database = open_database(url)
    history = History(database, seed)
    history.happen(28)
    order, pick = history.ids(), Random(seed)
    with database.connect() as connection, mock.patch.object(searching, "RARE", pick.choice((3, 50_000))):
        for query in (any_query(pick, history.moments()) for _ in range(80)):
            wanted = set(found(history, query))
            rows = search(connection, query, most=1_000).rows
            assert [one.decision_id for one in rows] == [one for one in order if one in wanted], query
            assert sum(count_by_outcome(connection, query).values()) == len(wanted)
    database.dispose()
    databases.give_back(url)


def test_pages_have_every_row_once_while_others_submit(database: Engine) -> None:
    history = History(database, 4)
    for _ in range(17):
        history.submit()
    expected, pages, cursor = history.ids(), list[list[str]](), None
    while cursor is not None or not pages:
        with database.connect() as connection:
            page = search(connection, Query(), most=3, cursor=cursor)
        pages.append([one.decision_id for one in page.rows])
        cursor = page.cursor
        history.now += timedelta(minutes=1)
        history.submit()
    assert [one for page in pages for one in page] == expected
    assert [len(page) for page in pages] == [3, 3, 3, 3, 3, 2]


def test_all_is_read_in_batches_of_bounded_size(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dealgate.adapters.compliance.search.AT_ONCE", 4)
    history = History(database, 5)
    for _ in range(10):
        history.submit()
    with database.connect() as connection:
        read = [[one.decision_id for one in rows] for rows in search_all(connection, Query())]
        some_of_them = [len(rows) for rows in search_all(connection, Query(), most=7)]
    assert [len(rows) for rows in read] == [4, 4, 2]
    assert [one for rows in read for one in rows] == history.ids()
    assert some_of_them == [4, 3]


def test_a_cursor_serves_its_own_query_only(database: Engine) -> None:
    history = History(database, 6)
    for _ in range(3):
        history.submit()
    with database.connect() as connection:
        cursor = search(connection, Query(channels=("indirect", "direct")), most=1).cursor
        assert cursor is not None
        with pytest.raises(QueryError, match="belongs to another query"):
            search(connection, Query(), cursor=cursor)
        for broken in ("", "x", cursor[1:], "WzEsMiwzXQ", "bnVsbA"):
            if broken:
                with pytest.raises(QueryError, match=r"^cursor: "):
                    search(connection, Query(channels=("indirect", "direct")), cursor=broken)


@pytest.mark.parametrize("number", [None, True, "1", 1.5, 2**63, -(2**63) - 1, 10**400, float("inf"), float("nan"), []])
def test_a_cursor_with_a_made_up_number_is_refused(database: Engine, number: Any) -> None:
    query = Query()
    with database.connect() as connection, pytest.raises(QueryError, match=r"pass on .* or leave it out to begin"):
        search(connection, query, cursor=write_parts([query.sha256[:16], "2026-11-20T00:00:00Z", number]))


@pytest.mark.parametrize(
    "decided_at", [None, 1, "x", "2026-11-20", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", []]
)
def test_a_cursor_with_a_made_up_moment_is_refused(database: Engine, decided_at: Any) -> None:
    query = Query()
    with database.connect() as connection, pytest.raises(QueryError, match=r"pass on .* or leave it out to begin"):
        search(connection, query, cursor=write_parts([query.sha256[:16], decided_at, 1]))


@pytest.mark.parametrize("decided_at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_a_cursor_at_the_ends_of_what_is_stored_is_answered(database: Engine, decided_at: str, number: int) -> None:
    query = Query()
    with database.connect() as connection:
        assert search(connection, query, cursor=write_parts([query.sha256[:16], decided_at, number])).rows == []


def test_a_ratio_at_its_bound_is_told_from_one_beyond(database: Engine) -> None:
    """3,776,967 over 2,700,000 is 139.887666..., between two bounds of six places."""
    only = decided(database)
    for condition, holds in (
        ("total_ltv >= 139.887666", True),
        ("total_ltv > 139.887667", False),
        ("total_ltv < 139.887667", True),
        ("total_ltv = 139.89", False),
        ("collateral_value = 27000", True),
        ("collateral_value > 27000", False),
    ):
        assert ids_of(database, Query(measures=(Condition.parse(condition),))) == ([only] if holds else []), condition


@pytest.mark.parametrize(
    ("ratio", "bound", "sign"),
    [
        ((2**63 - 1, 2**63 - 2), (1, 1), 1),
        ((2**63 - 2, 2**63 - 1), (1, 1), -1),
        ((2**62, 2**62), (10**8, 10**8), 0),
        ((-(2**62), 3), (-(2**62), 3), 0),
    ],
)
def test_ratios_of_64_bits_are_compared_without_overflow(
    database: Engine, ratio: tuple[int, int], bound: tuple[int, int], sign: int
) -> None:
    with database.connect() as connection:
        prepare(connection)
        got = connection.execute(select(RatioSign(*(literal(one, BigInteger) for one in ratio + bound)))).scalar_one()
    assert (got > 0) - (got < 0) == sign


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"outcomes": "approved"}, "outcomes: 'approved': use pass, flag, refer, decline"),
        ({"results": "pass"}, "results: 'pass': use mitigated, not_evaluable, violated; passes"),
        ({"states": "Texas"}, "states: 'Texas': write two capital letters"),
        ({"measures": "ltv > 5"}, "measures: 'ltv': use one of products_total, "),
        ({"measures": "total_ltv over 5"}, "measures: 'total_ltv over 5': write a measure, an operator and a number"),
        ({"measures": "total_ltv > 1.2.3"}, "measures: '1.2.3': give total_ltv a plain number"),
        ({"measures": "amount_financed > 1.005"}, "measures: '1.005': amount_financed takes at most 2 decimal places"),
        ({"measures": "vehicle_age > 1.5"}, "measures: '1.5': vehicle_age takes at most 0 decimal places"),
        ({"measures": "amount_financed > 99999999999999999999"}, "no measure is as large"),
        ({"measures": "total_ltv > 125.00000000000000000000000000001"}, "total_ltv takes at most 6 decimal places"),
        ({"measures": "amount_financed > 0.0000000000000000000000000000001"}, "takes at most 2 decimal places"),
        ({"measures": f"total_ltv > {'1' * 201}"}, "give total_ltv a plain number"),
        ({"measures": "total_ltv > \u0663"}, "give total_ltv a plain number"),
        ({"measures": "total_ltv > ."}, "give total_ltv a plain number"),
        ({"as_of": "2026-11-20"}, "as_of: .*: give a moment with its time zone"),
        ({"as_of": "yesterday"}, "as_of: 'yesterday': give a moment with its time zone"),
        ({"decided_from": "2026-11-20T00:00:00Z", "decided_before": "2026-11-20T00:00:00Z"}, "after decided_from"),
        ({"deals": ""}, "deals: '': give a text"),
        ({"dealers": 5}, "dealers: 5: give a text or a list of texts"),
        ({"override": "none", "grantors": "ben"}, "override: 'none': leave out side, grantor and reason"),
        ({"notices": ["none", "approval"]}, "notices: 'none': ask for kinds of notices or for none"),
        ({"dealer": "DLR-1"}, "dealer: 'DLR-1': there is no such part; use actors, "),
    ],
)
def test_a_query_that_cannot_be_asked_is_refused_with_part_value_and_remedy(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(QueryError, match=words):
        Query.read(parts)


@pytest.mark.parametrize(
    "bound", ["sNaN", "NaN", "Infinity", "-Infinity", "1e2", "1_000", " 1", "", "-", 125, 1.5, None]
)
def test_a_bound_that_is_no_plain_number_is_refused(bound: Any) -> None:
    with pytest.raises(QueryError, match=r"measures: .*: give total_ltv a plain number"):
        Condition("total_ltv", ">", bound)


@given(st.decimals(-(10**12), 10**12, places=6), st.integers(0, 30))
def test_a_bound_is_held_exactly(bound: Decimal, zeros: int) -> None:
    assert Fraction(*Condition("total_ltv", ">", f"{bound:f}{'0' * zeros}").ratio) == Fraction(bound) / 100


@pytest.mark.parametrize(("bound", "cents"), [("-.5", -50), ("5.", 500), ("-0", 0), ("0.070", 7), ("007", 700)])
def test_a_bound_may_be_written_shorter_or_longer(bound: str, cents: int) -> None:
    assert Condition("amount_financed", ">", bound).ratio == (cents, 1)


@given(seed=st.integers())
def test_a_query_is_read_back_from_its_document(seed: int) -> None:
    query = any_query(Random(seed), [NOW, NOW + timedelta(days=1)])
    assert Query.read(query.document()) == query
    assert Query.read(query.document()).sha256 == query.sha256


def test_a_notice_of_the_very_moment_is_one_about_the_decision(database: Engine) -> None:
    only = decided(database)
    earlier = NOW - timedelta(microseconds=1)
    for sent, found_by in ((earlier, "none"), (NOW, "approval")):
        with database.begin() as connection:
            record_notice(connection, "D", "approval", sent, NOW, actor="notices")
        for notice in ("none", "approval"):
            assert ids_of(database, Query(notices=(notice,))) == ([only] if notice == found_by else [])


def test_a_row_tells_what_was_known_at_the_moment_and_no_more(database: Engine) -> None:
    decision_id = decided(database)
    with database.begin() as connection:
        record_notice(connection, "D", "approval", NOW, NOW + timedelta(days=3), actor="notices")
    for days, told in ((1, None), (4, "approval 2026-11-20T15:04:05.123456Z")):
        as_of = NOW + timedelta(days=days)
        with database.connect() as connection:
            rows = search(connection, Query(as_of=as_of)).rows
            (row,) = rows_of(connection, rows, Reader(), as_of)
        assert (row["decision_id"], row["notices"]) == (decision_id, told)
        assert row["findings"] == "AGE violated; LTV-TOTAL violated; PRODUCTS violated; PTI mitigated"
        assert (row["total_ltv"], row["amount_financed"]) == ("139.89", "37769.67")
