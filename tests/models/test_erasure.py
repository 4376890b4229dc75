"""What may be taken out of the ledger, what keeps it in, and that what is left still verifies."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from dealgate.models import UnknownDealError, find_decision, find_submission
from dealgate.models.erasure import (
    ErasureError,
    NoticeError,
    due,
    hold,
    is_held,
    months_before,
    purge,
    record_notice,
    redact,
)
from tests.databases import count_rows
from tests.models.ledgers import START, a_signer, scalar, seal_all, submit_deals, unguarded, verified
from tests.models.samples import a_deal, submit

SIGNER = a_signer()
LATER = START + timedelta(days=800)
"""Twenty-six months on."""


def decided_and_notified(connection: Connection, deal_id: str, at: datetime = START) -> str:
    decision = submit(connection, a_deal(deal_id=deal_id), now=at).decision_id
    record_notice(connection, deal_id, "adverse_action", at, at, actor="compliance")
    return decision


def test_a_redaction_takes_the_value_out_and_leaves_its_commitment(database: Engine) -> None:
    (decision,) = submit_deals(database, 1)
    with database.begin() as connection:
        redact(connection, decision, ["/deal/vehicle/vin", "/deal/metadata"], "asked", START, actor="compliance")
        deal = find_submission(connection, decision)
    assert deal is not None
    assert "vin" not in deal["vehicle"]
    assert "metadata" not in deal
    seal_all(database, SIGNER)
    assert verified(database, SIGNER.key, level="replay").intact


def test_a_redacted_decision_says_what_was_erased(database: Engine) -> None:
    (decision,) = submit_deals(database, 1)
    with database.begin() as connection:
        before = find_decision(connection, decision)
        assert before is not None
        index = [finding["rule"] for finding in before["findings"]].index("PTI")
        paths = [f"/decision/findings/{index}/evidence", "/decision/measures/payment_to_income/evidence"]
        redact(connection, decision, paths, "asked", START, actor="compliance")
        after = find_decision(connection, decision)
    assert after is not None
    assert after["findings"][index]["erased"]
    assert after["findings"][index]["result"] == before["findings"][index]["result"]
    assert after["measures"]["payment_to_income"] == {"unit": "percent", "value": None, "erased": True}


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["/deal/cash_price"], "/deal/cash_price: give paths that hold personal values"),
        (["/deal/vehicle/vin", "/deal/vehicle/vin"], "no path, or one twice"),
        ([], "no path, or one twice"),
    ],
)
def test_only_personal_values_are_redacted(database: Engine, paths: list[str], words: str) -> None:
    (decision,) = submit_deals(database, 1)
    with database.begin() as connection, pytest.raises(ErasureError, match=words):
        redact(connection, decision, paths, "asked", START, actor="compliance")


def test_a_redaction_needs_a_reason_and_an_entry(database: Engine) -> None:
    (decision,) = submit_deals(database, 1)
    with database.begin() as connection:
        with pytest.raises(ErasureError, match="no reason was given"):
            redact(connection, decision, ["/deal/vehicle/vin"], "  ", START, actor="compliance")
        with pytest.raises(ErasureError, match="no entry has the id 'D-9'"):
            redact(connection, "D-9", ["/deal/vehicle/vin"], "asked", START, actor="compliance")


def test_a_legal_hold_keeps_everything(database: Engine) -> None:
    with database.begin() as connection:
        decision = decided_and_notified(connection, "D-1")
        hold(connection, "D-1", "litigation", START, actor="counsel")
    seal_all(database, SIGNER)
    with database.begin() as connection:
        assert is_held(connection, "D-1")
        with pytest.raises(ErasureError, match="'D-1' is under a legal hold"):
            redact(connection, decision, ["/deal/vehicle/vin"], "asked", LATER, actor="compliance")
        assert purge(connection, LATER, actor="compliance") is None
        with pytest.raises(ErasureError, match="is already under a legal hold"):
            hold(connection, "D-1", "again", START, actor="counsel")
        hold(connection, "D-1", "settled", START, actor="counsel", placed=False)
    seal_all(database, SIGNER)
    with database.begin() as connection:
        assert not is_held(connection, "D-1")
        assert purge(connection, LATER, actor="compliance")


def test_holds_and_notices_are_about_deals_that_were_submitted(database: Engine) -> None:
    with database.begin() as connection:
        with pytest.raises(UnknownDealError, match="no deal 'D-9' was submitted"):
            hold(connection, "D-9", "litigation", START, actor="counsel")
        with pytest.raises(UnknownDealError):
            record_notice(connection, "D-9", "approval", START, START, actor="compliance")
        with pytest.raises(NoticeError, match="no notice is called 'letter': use adverse_action"):
            record_notice(connection, "D-9", "letter", START, START, actor="compliance")
        with pytest.raises(NoticeError, match="lies in the future"):
            record_notice(connection, "D-9", "approval", LATER, START, actor="compliance")


def test_the_clock_of_retention_starts_with_the_last_notice(database: Engine) -> None:
    """Not with the decision, and not before every decision had its notice."""
    with database.begin() as connection:
        decided_and_notified(connection, "D-OLD")
        decided_and_notified(connection, "D-NEW", START + timedelta(days=90))
        submit(connection, a_deal(deal_id="D-NO-NOTICE"), now=START)
        decided_and_notified(connection, "D-RESUBMITTED")
        submit(connection, a_deal(deal_id="D-RESUBMITTED"), now=START + timedelta(days=1))
    seal_all(database, SIGNER)
    with database.begin() as connection:
        assert [one.deal_id for one in due(connection, LATER)] == ["D-OLD"]
        assert due(connection, START + timedelta(days=700)) == []
        assert due(connection, START + timedelta(days=400), months=12) == due(connection, LATER)
        assert [one.notified_at for one in due(connection, LATER)] == [START]


def test_a_purge_takes_out_everything_but_the_hashes_and_every_proof_stays_valid(database: Engine) -> None:
    with database.begin() as connection:
        gone = decided_and_notified(connection, "D-OLD")
        kept = submit(connection, a_deal(deal_id="D-KEPT"), now=START).decision_id
    before = seal_all(database, SIGNER)
    assert before is not None
    with database.begin() as connection:
        purged = purge(connection, LATER, actor="compliance")
        assert purged is not None
        assert [one.deal_id for one in purged[1]] == ["D-OLD"]
        assert find_decision(connection, gone) is None
        assert find_decision(connection, kept) is not None
        left = "SELECT count(*) FROM dealgate_submission WHERE deal_id = 'D-OLD'"
        assert scalar(connection, left) == 0
    seal_all(database, SIGNER)
    report = verified(database, SIGNER.key, anchored=[before.note], level="replay")
    assert report.flaws == []
    with database.connect() as connection:
        assert due(connection, LATER) == []


def test_what_is_not_sealed_yet_is_not_purged(database: Engine) -> None:
    with database.begin() as connection:
        decided_and_notified(connection, "D-OLD")
        assert purge(connection, LATER, actor="compliance") is None


def test_a_purge_that_took_out_other_entries_than_it_says_is_seen(database: Engine) -> None:
    with database.begin() as connection:
        decided_and_notified(connection, "D-OLD")
        submit(connection, a_deal(deal_id="D-KEPT"), now=START)
    seal_all(database, SIGNER)
    with database.begin() as connection:
        purge(connection, LATER, actor="compliance")
        unguarded(connection, "dealgate_ledger_erasure")
        connection.execute(
            text(
                "INSERT INTO dealgate_ledger_erasure (erased, path, entry) SELECT k.id, '', p.id FROM dealgate_ledger_entry k, "
                "dealgate_ledger_entry p WHERE k.deal_id = 'D-KEPT' AND p.kind = 'retention_purge'"
            )
        )
    seal_all(database, SIGNER)
    found = {flaw.what for flaw in verified(database, SIGNER.key).flaws}
    assert found == {
        "erasure",
        "envelope",
        "notice",
        "retention",
        "guard",
    }  # what it took is no longer taken with leave; its guard was lifted


def test_a_notice_of_what_was_purged_is_of_an_entry_that_was_a_notice(database: Engine) -> None:
    """No envelope is left that tells more of it."""
    with database.begin() as connection:
        decided_and_notified(connection, "D-OLD")
    seal_all(database, SIGNER)
    with database.begin() as connection:
        purge(connection, LATER, actor="compliance")
        unguarded(connection, "dealgate_notice")
        connection.execute(
            text(
                "UPDATE dealgate_notice SET entry = (SELECT id FROM dealgate_ledger_entry "
                "WHERE kind = 'decision' AND deal_id = 'D-OLD')"
            )
        )
    seal_all(database, SIGNER)
    found = [one for one in verified(database, SIGNER.key).flaws if one.what == "notice"]
    assert [one.expected for one in found if one.got == "None"] == ["('D-OLD', '2026-11-20T15:00:00.000000Z')"]
    assert [one.expected for one in found if one.got != "None"] == ["None"]


def test_a_purge_rolled_back_leaves_everything(database: Engine) -> None:
    with database.begin() as connection:
        decided_and_notified(connection, "D-OLD")
    seal_all(database, SIGNER)
    rows = count_rows(database)
    with database.connect() as connection:
        assert purge(connection, LATER, actor="compliance")
        connection.rollback()
    assert count_rows(database) == rows


@pytest.mark.parametrize(
    ("now", "months", "then"),
    [
        ((2026, 3, 31), 1, (2026, 2, 28)),
        ((2024, 3, 31), 1, (2024, 2, 29)),
        ((2026, 1, 15), 25, (2023, 12, 15)),
        ((2026, 12, 31), 12, (2025, 12, 31)),
    ],
)
def test_months_are_those_of_the_calendar(now: tuple[int, int, int], months: int, then: tuple[int, int, int]) -> None:
    assert months_before(datetime(*now, tzinfo=UTC), months) == datetime(*then, tzinfo=UTC)


def test_a_purge_sends_no_list_that_grows_with_the_entries_of_its_deals(database: Engine) -> None:
    """A statement takes 65,535 parameters on PostgreSQL, and a thousand deals may have more entries."""
    most = []

    def count(_: object, __: object, statement: str, parameters: Any, ___: object, many: bool) -> None:
        most.append(0 if many else len(parameters))

    with database.begin() as connection:
        submit_deals_again(connection, "D-OLD", 30)
    seal_all(database, SIGNER)
    event.listen(database, "before_cursor_execute", count)
    with database.begin() as connection:
        purged = purge(connection, LATER, actor="compliance")
    event.remove(database, "before_cursor_execute", count)
    assert purged is not None
    assert max(most) < 30
    seal_all(database, SIGNER)
    assert verified(database, SIGNER.key).flaws == []
    with database.connect() as connection:
        for table in ("submission", "decision", "trade_in", "finding"):
            assert scalar(connection, f"SELECT count(*) FROM dealgate_{table}") == 0


def submit_deals_again(connection: Connection, deal_id: str, times: int) -> None:
    for _ in range(times):
        submit(connection, a_deal(deal_id=deal_id), now=START)
    record_notice(connection, deal_id, "adverse_action", START, START, actor="compliance")
