"""T2, on: who may erase takes out what must be kept yet. No guard refuses it, and the entry says that it was a purge like any other."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Connection, Engine

from dealgate.models import erasure
from dealgate.models.erasure import Due, due, hold, purge, record_notice, redact
from dealgate.models.open_clocks import set_clocks
from tests.models.ledgers import START, a_signer, seal_all, verified
from tests.models.overriding import decided, granted, requested
from tests.models.samples import a_deal, submit

SIGNER = a_signer()
LATER = START + timedelta(days=800)
"""Twenty-six months on."""

DEAL = "D-1"


def noticed(connection: Connection) -> None:
    record_notice(connection, DEAL, "adverse_action", START, START, actor="compliance")


def without_a_notice(connection: Connection) -> None:
    """Its clock has not begun."""


def before_its_time(connection: Connection) -> None:
    noticed(connection)
    record_notice(connection, DEAL, "adverse_action", LATER, LATER, actor="compliance")


def decided_since(connection: Connection) -> None:
    noticed(connection)
    submit(connection, a_deal(deal_id=DEAL), now=LATER)


def under_a_hold(connection: Connection) -> None:
    noticed(connection)
    hold(connection, DEAL, "a lawsuit", START, actor="counsel")


WAYS = (without_a_notice, before_its_time, decided_since, under_a_hold)


def anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "_due", lambda *_: iter([Due(DEAL, START)]))
    monkeypatch.setattr(erasure, "is_held", lambda *_: False)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_purge_of_what_was_to_be_kept_is_told(
    database: Engine, way: Callable[[Connection], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.begin() as connection:
        submit(connection, a_deal(deal_id=DEAL), now=START)
        way(connection)
    seal_all(database, SIGNER)
    anyway(monkeypatch)
    with database.begin() as connection:
        assert purge(connection, LATER, actor="records")
        set_clocks(connection, [DEAL])
    seal_all(database, SIGNER)
    found = verified(database, SIGNER.key).flaws
    assert [flaw.what for flaw in found] == ["retention"]
    assert DEAL in found[0].where


def test_a_purge_that_reckons_its_months_otherwise_than_it_says_is_told(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.begin() as connection:
        submit(connection, a_deal(deal_id=DEAL), now=START)
        noticed(connection)
    seal_all(database, SIGNER)
    monkeypatch.setattr(erasure, "months_before", lambda now, months: now)
    with database.begin() as connection:
        assert purge(connection, START, actor="records")
    seal_all(database, SIGNER)
    assert [flaw.what for flaw in verified(database, SIGNER.key).flaws] == ["retention"]


@pytest.mark.parametrize("purged_since", [False, True])
def test_a_redaction_under_a_hold_is_told(
    database: Engine, monkeypatch: pytest.MonkeyPatch, purged_since: bool
) -> None:
    with database.begin() as connection:
        decision = submit(connection, a_deal(deal_id=DEAL), now=START).decision_id
        under_a_hold(connection)
    with monkeypatch.context() as patched, database.begin() as connection:
        anyway(patched)
        redact(connection, decision, ["/deal/vehicle/vin"], "asked", START, actor="records")
    with database.begin() as connection:
        hold(connection, DEAL, "settled", START, actor="counsel", placed=False)
        redact(connection, decision, ["/deal/metadata"], "asked", START, actor="records")
    seal_all(database, SIGNER)
    if purged_since:
        with database.begin() as connection:
            assert purge(connection, LATER, actor="records")
        seal_all(database, SIGNER)
    found = verified(database, SIGNER.key).flaws
    assert [(flaw.what, DEAL in flaw.where) for flaw in found] == [("retention", True)]


def test_what_comes_after_a_purge_does_not_make_it_an_early_one(database: Engine) -> None:
    with database.begin() as connection:
        submit(connection, a_deal(deal_id=DEAL), now=START)
        noticed(connection)
    seal_all(database, SIGNER)
    with database.begin() as connection:
        assert purge(connection, LATER, actor="records")
        hold(connection, DEAL, "a lawsuit", LATER, actor="counsel")
        submit(connection, a_deal(deal_id=DEAL), now=LATER)
        record_notice(connection, DEAL, "approval", LATER, LATER, actor="compliance")
        hold(connection, DEAL, "settled", LATER, actor="counsel", placed=False)
    seal_all(database, SIGNER)
    with database.begin() as connection:
        assert purge(connection, LATER + timedelta(days=800), actor="records")
    seal_all(database, SIGNER)
    assert verified(database, SIGNER.key).flaws == []


@pytest.mark.parametrize(
    ("now", "hours"),
    [(datetime(2029, 3, 1, 2, tzinfo=UTC), -11), (datetime(2029, 2, 28, 22, tzinfo=UTC), 14)],
    ids=["yesterday", "tomorrow"],
)
def test_a_purge_whose_clock_tells_another_day_than_utc_is_no_early_one(
    database: Engine, now: datetime, hours: int
) -> None:
    with database.begin() as connection:
        submit(connection, a_deal(deal_id=DEAL), now=START)
        noticed(connection)
    seal_all(database, SIGNER)
    with database.begin() as connection:
        assert purge(connection, now.astimezone(timezone(timedelta(hours=hours))), actor="records")
    seal_all(database, SIGNER)
    assert verified(database, SIGNER.key).flaws == []


def test_a_deal_that_an_override_let_pass_since_its_last_notice_is_kept(database: Engine) -> None:
    """The applicant was told of something else: that it passed starts the time of retention, not what came before."""
    decision = decided(database, START, deal_id=DEAL)
    with database.begin() as connection:
        record_notice(connection, DEAL, "incomplete", START, START, actor="compliance")
    passed = START + timedelta(days=5)
    granted(database, requested(database, decision, "LTV-TOTAL", now=passed), now=passed)
    seal_all(database, SIGNER)
    with database.begin() as connection:
        assert due(connection, LATER) == []
        record_notice(connection, DEAL, "approval", passed, passed, actor="compliance")
    seal_all(database, SIGNER)
    with database.begin() as connection:
        assert [one.deal_id for one in due(connection, LATER)] == [DEAL]
