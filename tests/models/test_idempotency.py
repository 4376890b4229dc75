"""An idempotency key leads back to the decision that its first submission came to."""

from uuid import uuid4

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from dealgate import CompiledPolicy
from dealgate.models import IdempotencyConflictError, find_by_key, find_decision, find_submission
from dealgate.models.envelope import Draft
from dealgate.models.ledger import append
from dealgate.rules.deal import Deal
from tests.databases import count_rows
from tests.models.erasing import ALL, erase
from tests.models.samples import NOW, a_deal, a_policy, submit


def test_a_key_that_comes_again_leads_to_the_first_decision_and_stores_nothing(database: Engine) -> None:
    with Session(database) as session:
        first = submit(session, a_deal(), key="K-1")
        session.commit()
    before = count_rows(database)

    with Session(database) as session:
        again = submit(session, a_deal(), key="K-1")
        session.commit()

    assert (again.decision_id, again.text, again.decision) == (first.decision_id, first.text, first.decision)
    assert (first.replayed, again.replayed) == (False, True)
    assert count_rows(database) == before


def test_a_key_replays_within_the_transaction_that_used_it(database: Engine) -> None:
    with Session(database) as session:
        first = submit(session, a_deal(), key="K-1")
        again = submit(session, a_deal(), key="K-1")
        other = submit(session, a_deal(), key="K-2")
        session.commit()

    assert again.decision_id == first.decision_id != other.decision_id
    assert count_rows(database)["dealgate_submission"] == 2


def test_a_replay_does_not_count_as_a_submission(database: Engine) -> None:
    with Session(database) as session:
        submit(session, a_deal(), key="K-1")
        submit(session, a_deal(), key="K-1")
        following = submit(session, a_deal(), key="K-2")
        session.commit()

    assert following.decision["submission"] == 2


def test_a_key_replays_the_first_decision_even_under_another_policy(database: Engine) -> None:
    with Session(database) as session:
        first = submit(session, a_deal(), key="K-1")
        again = submit(session, a_deal(), key="K-1", policy=CompiledPolicy(a_policy(version='"2"')))
        session.commit()

    assert again.text == first.text
    assert again.decision["policy"]["version"] == "1"


@pytest.mark.parametrize("change", [{"cash_down": "1400.01"}, {"deal_id": "D-OTHER"}, {"metadata": {}}])
def test_a_key_used_for_another_deal_is_refused_and_nothing_is_stored(
    database: Engine, change: dict[str, object]
) -> None:
    with Session(database) as session:
        submit(session, a_deal(), key="K-1")
        session.commit()
    before = count_rows(database)

    with Session(database) as session:
        with pytest.raises(IdempotencyConflictError, match="'K-1' was used for another deal document"):
            submit(session, a_deal(**change), key="K-1")
        session.commit()
    assert count_rows(database) == before


def test_a_session_can_go_on_after_a_refused_key(database: Engine) -> None:
    with Session(database) as session:
        submit(session, a_deal(), key="K-1")
        with pytest.raises(IdempotencyConflictError):
            submit(session, a_deal(cash_down="0.00"), key="K-1")
        following = submit(session, a_deal(cash_down="0.00"), key="K-2")
        session.commit()

    assert following.decision["submission"] == 2


def test_the_same_deal_written_in_another_order_of_fields_is_the_same_deal(database: Engine) -> None:
    with Session(database) as session:
        first = submit(session, a_deal(), key="K-1")
        again = submit(session, dict(reversed(a_deal().items())), key="K-1")

    assert again.decision_id == first.decision_id


@pytest.mark.parametrize("number", [1.0, -0.0, 1e17, 3.623034659995294e16, 1e300, 0.1, 2**53 - 1, 10**17])
def test_a_number_in_metadata_is_the_same_number_when_it_comes_again(database: Engine, number: float) -> None:
    with Session(database) as session:
        first = submit(session, a_deal(metadata={"n": number}), key="K-1")
        assert submit(session, a_deal(metadata={"n": number}), key="K-1").receipt == first.receipt
        found = find_submission(session, first.decision_id)
        assert found is not None
        assert submit(session, dict(found), key="K-1").receipt == first.receipt
        with pytest.raises(IdempotencyConflictError):
            submit(session, a_deal(metadata={"n": True}), key="K-1")


def test_submissions_without_a_key_are_each_their_own(database: Engine) -> None:
    with Session(database) as session:
        first, second = submit(session, a_deal()), submit(session, a_deal())
        session.commit()

    assert first.decision_id != second.decision_id
    assert count_rows(database)["dealgate_submission"] == 2


def test_a_key_whose_submission_was_rolled_back_is_free_again(database: Engine) -> None:
    with Session(database) as session:
        lost = submit(session, a_deal(), key="K-1")
        session.rollback()
        kept = submit(session, a_deal(), key="K-1")
        session.commit()

    assert kept.decision_id != lost.decision_id
    assert kept.replayed is False


def test_a_key_nobody_used_leads_nowhere(database: Engine) -> None:
    with Session(database) as session:
        assert find_by_key(session, "K-1", Deal.read(a_deal())) is None


ERASED = ("/deal/applicant/monthly_income", "/deal/trade_ins/0/lienholder")


def test_a_key_replays_after_an_erasure_with_the_deal_as_it_was_or_without_what_was_erased(database: Engine) -> None:
    with database.begin() as connection:
        first = submit(connection, a_deal(), key="K-1")
        erase(connection, first.decision_id, *ERASED)
    before = count_rows(database)

    with database.begin() as connection:
        again = submit(connection, a_deal(), key="K-1")
        other_income = submit(connection, a_deal(applicant__monthly_income="9.00"), key="K-1")
    for replay in (again, other_income):
        assert (replay.decision_id, replay.receipt, replay.replayed) == (first.decision_id, first.receipt, True)
    assert count_rows(database) == before


@pytest.mark.parametrize("change", [{"cash_down": "1400.01"}, {"applicant__credit_score": 683}, {"trade_ins": []}])
def test_a_key_is_refused_after_an_erasure_for_a_deal_that_differs_in_what_is_left(
    database: Engine, change: dict[str, object]
) -> None:
    with database.begin() as connection:
        first = submit(connection, a_deal(), key="K-1")
        erase(connection, first.decision_id, *ERASED)
    with database.begin() as connection, pytest.raises(IdempotencyConflictError):
        submit(connection, a_deal(**change), key="K-1")


def test_a_key_replays_what_is_left_of_a_decision_whose_personal_values_are_all_erased(database: Engine) -> None:
    with database.begin() as connection:
        first = submit(connection, a_deal(), key="K-1")
        erase(connection, first.decision_id, ALL)
        again = submit(connection, a_deal(), key="K-1")
        assert again.decision == find_decision(connection, first.decision_id)
    assert again.replayed
    assert again.decision["outcome"] == first.decision["outcome"]
    assert again.decision["measures"]["debt_to_income"] == {"unit": "percent", "value": None, "erased": True}


def test_a_key_that_an_entry_of_another_kind_carries_is_no_decisions(database: Engine) -> None:
    with database.begin() as connection:
        submit(connection, a_deal())
        append(connection, Draft(str(uuid4()), "override", {}, deal_id=a_deal()["deal_id"], idempotency_key="K-1"), NOW)
        with pytest.raises(IdempotencyConflictError):
            submit(connection, a_deal(), key="K-1")
