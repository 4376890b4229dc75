"""A gate on the versions in force: the one that answers is chosen at each submission, and changes without a restart."""

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from dealgate import CompiledPolicy, Deal, Gate, Policy
from dealgate.adapters import policies
from dealgate.adapters.database import open_database
from dealgate.adapters.programs import IN_FORCE
from dealgate.models import versions
from dealgate.models.versions import (
    VersionError,
    add_version,
    all_steps,
    approve_version,
    in_force,
    retire_version,
    start_shadow,
    stop_shadow,
)
from dealgate.rules.engine import Engine as RulesEngine
from dealgate.rules.reading import POLICY_IN_FORCE
from tests.databases import PostgreSQL
from tests.models.ledgers import a_signer, scalar, seal_all, unguarded, verified
from tests.models.samples import CLEAN, POLICY, a_deal


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps count as soon as they are recorded: these tests take them one after the other."""
    monkeypatch.setattr(versions, "LEAD", timedelta(0))


def version(number: int, *, ltv: str = "125%", name: str = "sample", applies: str = "") -> Policy:
    """A version that allows tier B another LTV."""
    lines = POLICY.replace("policy: sample", f"policy: {name}").replace('version: "1"', f'version: "{number}"')
    lines = lines.replace("limit: 125%", f"limit: {ltv}").replace("effective_to: 2027-11-01\n", "")
    return Policy.from_text(lines + (f"applies_to: {applies}\n" if applies else ""), "sample.yaml")


def put_in_force(database: Engine, policy: Policy) -> Policy:
    with database.begin() as connection:
        now = datetime.now(UTC)
        add_version(connection, policy, policy.self_contained, now, actor="ann")
        approve_version(connection, policy, now, actor="bob")
    return policy


def added(database: Engine, policy: Policy) -> Policy:
    with database.begin() as connection:
        add_version(connection, policy, policy.self_contained, datetime.now(UTC), actor="ann")
    return policy


@pytest.fixture
def gate(database: Engine) -> Gate:
    return Gate(database, IN_FORCE)


def test_a_deal_is_held_against_the_version_in_force(gate: Gate, database: Engine) -> None:
    policy = put_in_force(database, version(1))
    decision = gate.submit(a_deal()).decision
    assert decision["policy"] == {"name": "sample", "version": "1", "sha256": policy.sha256}


def test_a_version_that_comes_into_force_decides_the_next_deal_of_a_running_gate(gate: Gate, database: Engine) -> None:
    put_in_force(database, version(1))
    assert gate.submit(a_deal()).decision["policy"]["version"] == "1"
    put_in_force(database, version(2, ltv="150%"))
    decision = gate.submit(a_deal()).decision
    assert decision["policy"]["version"] == "2"
    assert decision["findings"][0]["limit"] == "150.00"


def test_a_version_waits_for_its_moment(gate: Gate, database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_force(database, version(1))
    monkeypatch.setattr(versions, "LEAD", timedelta(seconds=4))
    put_in_force(database, version(2))
    assert gate.submit(a_deal()).decision["policy"]["version"] == "1"
    time.sleep(4)
    assert gate.submit(a_deal()).decision["policy"]["version"] == "2"


@pytest.mark.parametrize("with_session", [False, True])
def test_without_a_policy_in_force_a_deal_is_referred_and_recorded(
    gate: Gate, database: Engine, with_session: bool
) -> None:
    if with_session:
        with database.begin() as connection:
            decision = gate.submit(CLEAN, session=connection).decision
    else:
        decision = gate.submit(CLEAN).decision
    assert decision["outcome"] == "refer"
    assert decision["policy"]["name"] == "unanswered"
    finding = decision["findings"][-1]
    assert (finding["rule"], finding["result"]) == (POLICY_IN_FORCE, "not_evaluable")
    assert finding["explanation"].startswith("No policy is in force.")
    assert decision["engine"]["agreed"]
    with database.connect() as connection:
        assert scalar(connection, "SELECT count(*) FROM dealgate_decision WHERE outcome = 'refer'") == 1


def test_no_policy_takes_the_name_that_deals_without_one_are_decided_under(gate: Gate, database: Engine) -> None:
    """Its version 1 would stand where the gate's own has to be recorded, and every such submission would fail."""
    taken = version(1, name="unanswered", applies='state == "CA"')
    with pytest.raises(VersionError, match="'unanswered' is what decisions name where no policy answers"):
        put_in_force(database, taken)
    assert gate.submit(CLEAN).decision["policy"]["name"] == "unanswered"


def test_the_program_is_chosen_by_the_deals_own_fields(gate: Gate, database: Engine) -> None:
    put_in_force(database, version(1, name="prime", applies='tier in ["A", "B"]'))
    put_in_force(database, version(1, name="subprime", applies='tier not in ["A", "B"]'))
    assert gate.submit(a_deal(applicant__tier="B")).decision["policy"]["name"] == "prime"
    assert gate.submit(a_deal(applicant__tier="D")).decision["policy"]["name"] == "subprime"
    unknown = gate.submit(a_deal(applicant__tier=None)).decision
    assert unknown["outcome"] == "refer"
    assert unknown["unknown"] == ["applicant.tier"]
    assert "is unknown without applicant.tier" in unknown["findings"][-1]["explanation"]


def test_two_programs_that_answer_for_one_deal_refer_it(gate: Gate, database: Engine) -> None:
    put_in_force(database, version(1, name="prime"))
    put_in_force(database, version(1, name="powersports"))
    decision = gate.submit(a_deal()).decision
    assert decision["outcome"] == "refer"
    assert "exactly one policy must" in decision["findings"][-1]["explanation"]


def test_a_retired_version_answers_no_more(gate: Gate, database: Engine) -> None:
    policy = put_in_force(database, version(1))
    gate.submit(a_deal())
    with database.begin() as connection:
        retire_version(connection, policy.sha256, datetime.now(UTC), actor="bob")
    assert gate.submit(a_deal()).decision["policy"]["name"] == "unanswered"


def test_a_stored_text_that_was_changed_decides_nothing(gate: Gate, database: Engine) -> None:
    put_in_force(database, version(1))
    with database.begin() as connection:
        unguarded(connection, "dealgate_policy_version")
        connection.execute(text("UPDATE dealgate_policy_version SET document = replace(document, '1.25', '9.99')"))
        connection.execute(text("UPDATE dealgate_policy_version SET document = replace(document, '125%', '999%')"))
    decision = gate.submit(a_deal()).decision
    assert decision["outcome"] == "refer"
    assert "the stored text of sample 1" in decision["findings"][-1]["explanation"].lower()


def test_evaluating_stores_nothing(gate: Gate, database: Engine) -> None:
    put_in_force(database, version(1))
    assert gate.evaluate(a_deal()).policy["name"] == "sample"
    with database.connect() as connection:
        assert scalar(connection, "SELECT count(*) FROM dealgate_decision") == 0


def test_a_gate_on_the_policies_in_force_needs_a_database(gate: Gate) -> None:
    with pytest.raises(ValueError, match="read from a database"):
        Gate(policy=IN_FORCE).evaluate(a_deal())
    with pytest.raises(ValueError, match="against the versions in force"):
        _ = gate.policy


def looks(database: Engine) -> list[tuple[str | None, str, str, str | None]]:
    statement = "SELECT outcome, live_outcome, flips, failure FROM dealgate_shadow_decision ORDER BY id"
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def shadowing(database: Engine, policy: Policy, share: int = 10_000) -> Policy:
    with database.begin() as connection:
        start_shadow(connection, policy.sha256, datetime.now(UTC), actor="ann", share=share)
    return policy


def test_a_shadow_looks_on_and_changes_nothing(gate: Gate, database: Engine) -> None:
    put_in_force(database, version(1))
    before = gate.submit(a_deal()).decision["outcome"]
    shadow = shadowing(database, added(database, version(2, ltv="500%")))
    decision = gate.submit(a_deal()).decision
    assert (decision["outcome"], decision["policy"]["version"]) == (before, "1")
    assert looks(database) == [("flag", "refer", '{"LTV-TOTAL":["violated","pass"]}', None)]
    with database.begin() as connection:
        list(gate.submit_all([], session=connection))
        stop_shadow(connection, shadow.sha256, datetime.now(UTC), actor="ann")
    gate.submit(a_deal())
    assert len(looks(database)) == 1
    signer = a_signer()
    seal_all(database, signer)
    assert verified(database, signer.key, level="replay").intact


def test_a_shadow_that_fails_is_recorded_and_the_decision_stands(
    gate: Gate, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_force(database, version(1))
    shadow = shadowing(database, added(database, version(2)))
    evaluate = CompiledPolicy.evaluate

    def failing(compiled: CompiledPolicy, deal: object) -> object:
        if compiled.policy.sha256 == shadow.sha256:
            raise RuntimeError("out of its depth")
        return evaluate(compiled, deal)  # type: ignore[arg-type]

    monkeypatch.setattr(CompiledPolicy, "evaluate", failing)
    assert gate.submit(a_deal()).decision["policy"]["version"] == "1"
    assert looks(database) == [(None, "refer", "{}", "RuntimeError: out of its depth")]


def test_a_look_at_whose_failure_sqlite_ends_the_transaction_itself_leaves_no_decision_that_was_told(
    gate: Gate, database: Engine
) -> None:
    if database.dialect.name != "sqlite":
        pytest.skip("PostgreSQL keeps a transaction that failed until it is rolled back")
    put_in_force(database, version(1))
    shadowing(database, added(database, version(2)))
    ends = "BEFORE INSERT ON dealgate_shadow_decision BEGIN SELECT RAISE(ROLLBACK, 'ended'); END"
    with database.begin() as connection:
        connection.execute(text(f"CREATE TRIGGER of_the_host {ends}"))
    plain = create_engine(database.url)
    with Session(plain) as session, pytest.raises(SQLAlchemyError, match="savepoint"):
        gate.submit(a_deal(), session=session)
    with pytest.raises(SQLAlchemyError, match="invalid transaction"):
        gate.submit(a_deal())
    with database.connect() as connection:
        assert scalar(connection, "SELECT count(*) FROM dealgate_decision") == 0
    plain.dispose()


def test_a_share_of_the_deals_is_looked_at_the_same_ones_always(gate: Gate, database: Engine) -> None:
    put_in_force(database, version(1))
    shadowing(database, added(database, version(2)), share=3_000)
    with database.begin() as connection:
        for _ in range(2):
            deals = [Deal.read(CLEAN | {"deal_id": f"D-{number}"}) for number in range(60)]
            list(gate.submit_all(deals, session=connection))
    with database.connect() as connection:
        counted = connection.execute(
            text(
                "SELECT d.deal_id, count(*) FROM dealgate_shadow_decision s "
                "JOIN dealgate_decision d ON d.decision_id = s.decision_id GROUP BY d.deal_id"
            )
        ).all()
    assert {number for _, number in counted} == {2}
    assert 8 <= len(counted) <= 30


def test_while_versions_change_over_every_deal_is_decided_wholly_under_the_one_in_force_then(
    gate: Gate, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each version has a limit of its own: a mixture would show."""
    put_in_force(database, version(0, ltv="100%"))
    monkeypatch.setattr(versions, "LEAD", timedelta(seconds=2))
    stop = threading.Event()
    decided: list[tuple[str, str, datetime]] = []

    def submit(thread: int) -> None:
        number = 0
        while not stop.is_set():
            decision = gate.submit(CLEAN | {"deal_id": f"D-{thread}-{number}"}).decision
            (limit,) = [one["limit"] for one in decision["findings"] if one["rule"] == "LTV-TOTAL"]
            decided.append((decision["policy"]["version"], limit, datetime.fromisoformat(decision["decided_at"])))
            number += 1

    with ThreadPoolExecutor(3) as pool:
        submitters = [pool.submit(submit, thread) for thread in range(3)]
        try:
            for number in range(1, 6):
                put_in_force(database, version(number, ltv=f"{100 + number}%"))
                time.sleep(0.3)
            until = time.monotonic() + 60
            while time.monotonic() < until and all(number != "5" for number, *_ in list(decided)):
                time.sleep(0.1)
        finally:
            stop.set()
        for each in submitters:
            each.result()
    seen = {number for number, *_ in decided}
    assert len(seen) > 2, "the machine was too busy: no version but the first and the last has decided a deal"
    assert "5" in seen
    assert all(limit == f"{100 + int(number)}.00" for number, limit, _ in decided)
    with database.connect() as connection:
        steps = all_steps(connection)
    for deciding, _, at in decided:
        assert [one.version for one in in_force(steps, at)] == [deciding]


def test_versions_that_nobody_uses_any_more_are_freed(gate: Gate, database: Engine) -> None:
    """Sixty versions come and go: what is kept is what may be needed, and memory does not grow with the rest."""
    process, sizes = psutil.Process(), []
    for number in range(60):
        put_in_force(database, version(number, ltv=f"{100 + number}%"))
        assert gate.submit(CLEAN).decision["policy"]["version"] == str(number)
        if number in {30, 59}:
            gc.collect()
            sizes.append(process.memory_info().rss)
    gc.collect()
    alive = [one for one in policies._compiled.values() if one.policy.name == "sample"]
    assert len(alive) <= 12
    assert sizes[1] - sizes[0] < 12_000_000


def test_a_step_that_is_committed_after_a_later_one_is_not_missed(postgresql: PostgreSQL) -> None:
    """Entries are numbered when they are inserted, and seen when they are committed: a retirement must not be passed over."""
    url = postgresql.ready()
    database = open_database(url)
    gate, policy = Gate(database, IN_FORCE), put_in_force(database, version(1))
    with database.connect() as slow:
        retire_version(slow, policy.sha256, datetime.now(UTC), actor="bob")
        added(database, version(2))
        assert gate.submit(a_deal()).decision["policy"]["name"] == "sample"
        slow.commit()
    assert gate.submit(a_deal()).decision["policy"]["name"] == "unanswered"
    database.dispose()
    postgresql.give_back(url)


def test_a_step_that_is_rolled_back_counts_no_more(database: Engine) -> None:
    """Also where the next step takes its number."""
    gate, policy = Gate(database, IN_FORCE), put_in_force(database, version(1))
    with database.connect() as connection:
        retire_version(connection, policy.sha256, datetime.now(UTC), actor="bob")
        assert gate.evaluate(a_deal(), session=connection).policy["name"] == "unanswered"
        connection.rollback()
    with database.begin() as connection:
        start_shadow(connection, policy.sha256, datetime.now(UTC), actor="ann")
    assert gate.submit(a_deal()).decision["policy"]["name"] == "sample"


def test_referrals_for_want_of_a_policy_and_for_a_failed_engine_are_no_flaws_when_decisions_are_made_again(
    gate: Gate, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.submit(a_deal())
    put_in_force(database, version(1, name="prime", applies='tier in ["A", "B"]'))
    gate.submit(a_deal(applicant__tier=None))
    gate.submit(a_deal())

    def broken(_engine: object, _facts: object, _reckoning: object) -> None:
        raise RuntimeError("the engine gave up")

    with monkeypatch.context() as patch:
        patch.setattr(RulesEngine, "evaluate", broken)
        assert not gate.submit(a_deal()).decision["engine"]["agreed"]
    signer = a_signer()
    seal_all(database, signer)
    report = verified(database, signer.key, level="replay")
    assert report.flaws == []
    told = "1 decisions refer their deals as the rules engine failed or differed then: that it did, nothing shows today"
    assert told in report.remarks
