"""The hook at deal submission: with an engine, a session or a connection, in the caller's transaction or its own."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.orm import Session

from dealgate import Deal, DealError, Gate, Outcome, Policy, PolicyError
from dealgate.adapters import gate as gate_module
from dealgate.adapters.database import stored
from dealgate.adapters.policies import PolicyDocument, load_policy
from dealgate.models import IdempotencyConflictError, LedgerBody, PolicyConflictError, find_decision, find_submission
from dealgate.models.merkle import leaf_hash
from tests.databases import NOTHING, count_rows
from tests.models.samples import CLEAN, POLICY, a_deal, a_policy

SUBMITTED = ("decision_id", "decided_at")
"""What two submissions of the same deal differ in, beside their number."""


@pytest.fixture(scope="module")
def policy() -> Policy:
    return a_policy()


def test_a_gate_with_an_engine_commits_each_submission(database: Engine, database_url: str, policy: Policy) -> None:
    verdict = Gate(database, policy).submit(a_deal(), actor="los")

    with stored(database_url) as elsewhere:
        assert find_decision(elsewhere, verdict.decision_id) == verdict.decision
        assert find_submission(elsewhere, verdict.decision_id) == a_deal()
        actors = elsewhere.execute(text("SELECT actor FROM dealgate_submission")).scalars().all()
    assert actors == ["los"]


def test_a_verdict_says_what_was_stored(database: Engine, policy: Policy) -> None:
    verdict = Gate(database, policy).submit(a_deal())
    assert verdict.outcome is Outcome.REFER
    assert json.loads(verdict.text) == verdict.decision
    assert verdict.decision["decision_id"] == verdict.decision_id
    assert verdict.decision["policy"] == {"name": "sample", "version": "1", "sha256": policy.sha256}
    assert verdict.replayed is False


def test_a_receipt_names_the_entry_that_the_ledger_has(database: Engine, policy: Policy) -> None:
    gate = Gate(database, policy)
    first, second = gate.submit(a_deal()), gate.submit(a_deal())
    with database.connect() as connection:
        batch = list(gate.submit_all([Deal.read(a_deal())] * 2, session=connection))
        for place, verdict in enumerate([first, second, *batch], 1):
            receipt = verdict.receipt
            assert (receipt.entry_id, receipt.deal_seq) == (verdict.decision_id, place)
            found = connection.execute(
                select(LedgerBody.envelope).where(LedgerBody.entry == receipt.entry)
            ).scalar_one()
            assert leaf_hash(found) == receipt.leaf_hash


def test_a_deal_is_given_as_a_document_or_as_a_deal(database: Engine, policy: Policy) -> None:
    gate = Gate(database, policy)
    by_document, by_deal = gate.submit(a_deal()), gate.submit(Deal.read(a_deal()))

    differing = {name for name in by_deal.decision if by_deal.decision[name] != by_document.decision[name]}
    assert differing == {*SUBMITTED, "submission"}


def test_a_gate_commits_nothing_of_a_session_it_is_given(database: Engine, database_url: str, policy: Policy) -> None:
    with Session(database) as session:
        verdict = Gate(database, policy).submit(a_deal(), session=session)
        with stored(database_url) as elsewhere:
            assert count_rows(elsewhere) == NOTHING
        session.commit()

    with stored(database_url) as elsewhere:
        assert find_decision(elsewhere, verdict.decision_id) == verdict.decision


def test_a_gate_commits_nothing_of_a_connection_it_is_given(
    database: Engine, database_url: str, policy: Policy
) -> None:
    with database.connect() as connection:
        verdict = Gate(policy=policy).submit(a_deal(), session=connection)
        with stored(database_url) as elsewhere:
            assert count_rows(elsewhere) == NOTHING
        connection.commit()

    with stored(database_url) as elsewhere:
        assert find_decision(elsewhere, verdict.decision_id) == verdict.decision


def test_a_gate_may_hold_the_session_or_the_connection_itself(database: Engine, policy: Policy) -> None:
    with Session(database) as session:
        Gate(session, policy).submit(a_deal())
        session.commit()
    with database.connect() as connection:
        Gate(connection, policy).submit(a_deal())
        connection.rollback()
    assert count_rows(database)["dealgate_submission"] == 1


def test_a_session_that_is_bound_to_a_connection_is_rolled_back_with_it(database: Engine, policy: Policy) -> None:
    gate = Gate(policy=policy)
    with database.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            gate.submit(a_deal(), session=session, idempotency_key="K-1")
            session.commit()
        assert count_rows(connection)["dealgate_submission"] == 1
        outer.rollback()
    assert count_rows(database) == NOTHING


def test_a_gate_without_a_database_evaluates_and_cannot_store(policy: Policy) -> None:
    gate = Gate(policy=policy)
    assert gate.evaluate(CLEAN).outcome is Outcome.PASS
    with pytest.raises(ValueError, match="a gate without a database cannot store"):
        gate.submit(CLEAN)


def test_evaluating_stores_nothing(database: Engine, policy: Policy) -> None:
    assert Gate(database, policy).evaluate(a_deal()).outcome is Outcome.REFER
    assert count_rows(database) == NOTHING


def test_a_document_with_mistakes_is_refused_with_all_of_them_and_nothing_is_stored(
    database: Engine, policy: Policy
) -> None:
    with pytest.raises(DealError) as refusal:
        Gate(database, policy).submit(a_deal(cash_price="-1.00", cash_dwon="1.00", term_months="72"))
    assert {problem.field for problem in refusal.value.problems} == {"cash_price", "cash_dwon", "term_months"}
    assert count_rows(database) == NOTHING


def test_a_key_that_comes_again_gets_the_first_verdict(database: Engine, policy: Policy) -> None:
    gate = Gate(database, policy)
    first = gate.submit(a_deal(), idempotency_key="K-1")
    again = gate.submit(a_deal(), idempotency_key="K-1")

    assert again == first._replace(replayed=True)
    assert count_rows(database)["dealgate_decision"] == 1


def test_a_key_used_for_another_deal_is_refused_and_nothing_is_stored(database: Engine, policy: Policy) -> None:
    gate = Gate(database, policy)
    gate.submit(a_deal(), idempotency_key="K-1")
    before = count_rows(database)
    with pytest.raises(IdempotencyConflictError):
        gate.submit(CLEAN, idempotency_key="K-1")
    assert count_rows(database) == before


@pytest.mark.parametrize("key", ["", " ", "K\0", "K\n", "\ud800", "K" * 201, 5])
def test_a_key_that_tells_nothing_or_cannot_be_stored_is_refused(database: Engine, policy: Policy, key: Any) -> None:
    """An empty one would make every submission a repetition of the first."""
    with pytest.raises(ValueError, match=r"idempotency_key is .*: give 1 to 200 printable characters"):
        Gate(database, policy).submit(a_deal(), idempotency_key=key)
    assert count_rows(database) == NOTHING


@pytest.mark.parametrize("key", [None, "K-1"])
def test_the_policy_is_recorded_again_after_the_savepoint_that_recorded_it_was_rolled_back(
    database: Engine, policy: Policy, key: str | None
) -> None:
    gate = Gate(policy=policy)
    with Session(database) as session:
        session.execute(text("SELECT 1"))
        savepoint = session.begin_nested()
        gate.submit(a_deal(), session=session, idempotency_key=key)
        savepoint.rollback()
        assert count_rows(session.connection()) == NOTHING
        verdict = gate.submit(a_deal(), session=session, idempotency_key=key)
        session.commit()

    assert verdict.decision["submission"] == 1
    assert count_rows(database)["dealgate_policy_version"] == 1


def test_the_policy_is_recorded_again_on_a_connection_whose_savepoint_was_rolled_back(
    database: Engine, policy: Policy
) -> None:
    gate = Gate(policy=policy)
    with database.begin() as connection:
        for last in (False, True):
            savepoint = connection.begin_nested()
            gate.submit(a_deal(), session=connection)
            if last:
                savepoint.commit()
            else:
                savepoint.rollback()
    assert count_rows(database)["dealgate_policy_version"] == 1


def test_the_policy_is_recorded_again_after_a_whole_transaction_was_rolled_back(
    database: Engine, policy: Policy
) -> None:
    gate = Gate(policy=policy)
    with Session(database) as session:
        gate.submit(a_deal(), session=session)
        session.rollback()
        gate.submit(a_deal(), session=session)
        session.commit()
    assert count_rows(database)["dealgate_submission"] == 1


def test_savepoints_within_savepoints_are_no_different(database: Engine, policy: Policy) -> None:
    gate = Gate(policy=policy)

    def submit_within(connection: Connection, depth: int) -> None:
        with connection.begin_nested() as savepoint:
            if depth:
                submit_within(connection, depth - 1)
            gate.submit(a_deal(), session=connection)
            if depth == 2:
                savepoint.rollback()

    with database.begin() as connection:
        submit_within(connection, 3)
    assert count_rows(database)["dealgate_submission"] == 1


def test_a_policy_is_given_as_a_policy_as_a_file_or_by_a_shipped_name(tmp_path: Path, policy: Policy) -> None:
    (tmp_path / "sample.yaml").write_text(POLICY)
    document = load_policy(str(tmp_path / "sample.yaml"))

    given: list[Policy | PolicyDocument | str] = [policy, document, str(tmp_path / "sample.yaml")]
    assert [Gate(policy=each).policy.sha256 for each in given] == [policy.sha256] * 3
    assert Gate(policy="subprime-auto").policy.name == "subprime-auto"
    assert Gate().policy.name == "prime-auto"


def test_the_policy_is_recorded_with_the_text_of_its_file(database: Engine, tmp_path: Path) -> None:
    written = "# who asked for it, and when\n" + POLICY
    (tmp_path / "sample.yaml").write_text(written)
    Gate(database, str(tmp_path / "sample.yaml")).submit(a_deal())
    with database.connect() as connection:
        assert connection.execute(text("SELECT document FROM dealgate_policy_version")).scalar_one() == written


def test_a_policy_that_came_without_a_text_is_recorded_with_its_content(database: Engine, policy: Policy) -> None:
    Gate(database, policy).submit(a_deal())
    with database.connect() as connection:
        written = connection.execute(text("SELECT document FROM dealgate_policy_version")).scalar_one()
    assert Policy.from_text(written).sha256 == policy.sha256


def test_a_policy_whose_examples_do_not_hold_is_refused_with_each_of_them() -> None:
    examples = """
examples:
  - {name: the clean deal, deal: {cash_price: "20000.00"}, expect: {outcome: pass}}
  - {name: the amount, deal: {cash_price: "20000.00"}, expect: {measures: {amount_financed: "20000.01"}}}
  - {name: a true one, deal: {cash_price: "20000.00"}, expect: {outcome: refer}}
"""
    with pytest.raises(PolicyError) as refusal:
        Gate(policy=Policy.from_text(POLICY + examples, "sample.yaml"))
    first, second = refusal.value.problems
    assert "'the clean deal' does not hold: the outcome is refer, expected pass" in str(first)
    assert "'the amount' does not hold: amount_financed is 20000.00, expected 20000.01" in str(second)


def test_another_policy_of_the_same_name_and_version_is_refused_and_nothing_is_stored(
    database: Engine, policy: Policy
) -> None:
    Gate(database, policy).submit(a_deal())
    before = count_rows(database)
    with pytest.raises(PolicyConflictError):
        Gate(database, a_policy(title="Another title")).submit(a_deal())
    assert count_rows(database) == before


def test_many_deals_are_submitted_in_the_callers_transaction_and_answered_in_their_order(
    database: Engine, database_url: str, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "BATCH", 3)
    deals = [Deal.read(a_deal(deal_id=f"D-{number % 3}")) for number in range(8)]
    with database.connect() as connection:
        verdicts = list(Gate(policy=policy).submit_all(deals, session=connection, actor="desk"))
        with stored(database_url) as elsewhere:
            assert count_rows(elsewhere) == NOTHING
        connection.commit()

    numbered = [(verdict.decision["deal_id"], verdict.decision["submission"]) for verdict in verdicts]
    assert numbered == [(f"D-{number % 3}", 1 + number // 3) for number in range(8)]
    with stored(database_url) as elsewhere:
        for verdict in verdicts:
            assert find_decision(elsewhere, verdict.decision_id) == verdict.decision
        assert count_rows(elsewhere)["dealgate_policy_version"] == 1


def test_a_replay_does_not_make_the_gate_believe_its_policy_recorded(database: Engine) -> None:
    Gate(database, a_policy()).submit(a_deal(), idempotency_key="K-1")
    gate = Gate(database, a_policy(version='"2"'))
    assert gate.submit(a_deal(), idempotency_key="K-1").replayed
    assert gate.submit(a_deal()).decision["policy"]["version"] == "2"
