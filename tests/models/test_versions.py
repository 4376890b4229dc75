"""The life of policy versions: who may take which step, and what is in force at any moment, as known at any moment."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, bindparam, text
from sqlalchemy.exc import DBAPIError

from dealgate import Policy
from dealgate.models.envelope import Draft
from dealgate.models.ledger import append
from dealgate.models.types import Moment
from dealgate.models.versions import (
    LEAD,
    Step,
    VersionError,
    add_version,
    all_steps,
    approve_version,
    in_force,
    retire_version,
    shadows,
    start_shadow,
    state,
    stop_shadow,
    tenures,
)
from tests.models.ledgers import a_signer, seal_all, verified
from tests.models.samples import a_policy

JAN = datetime(2027, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
YEAR = timedelta(days=365)


def version(number: int, start: str = "2026-11-01", end: str = "2030-01-01", name: str = "sample") -> Policy:
    return a_policy(policy=name, version=f'"{number}"', effective_from=start, effective_to=end)


def added(database: Engine, policy: Policy, *, at: datetime = JAN, author: str = "ann") -> Policy:
    with database.begin() as connection:
        add_version(connection, policy, policy.self_contained, at, actor=author)
    return policy


def approved(database: Engine, policy: Policy, *, at: datetime = JAN, by: str = "bob") -> Policy:
    added(database, policy, at=at)
    with database.begin() as connection:
        approve_version(connection, policy, at, actor=by)
    return policy


def known(database: Engine) -> list[Step]:
    with database.connect() as connection:
        return all_steps(connection)


def names(database: Engine, at: datetime, known_at: datetime | None = None) -> list[str]:
    return [f"{one.name} {one.version}" for one in in_force(known(database), at, known_at)]


def test_a_version_is_a_draft_then_approved_then_in_force_then_retired(database: Engine) -> None:
    policy = added(database, version(1, start="2027-02-01"))
    assert state(known(database), policy.sha256, JAN) == "draft"
    with database.begin() as connection:
        approve_version(connection, policy, JAN + HOUR, actor="bob")
    assert state(known(database), policy.sha256, JAN + 2 * HOUR) == "approved"
    assert state(known(database), policy.sha256, JAN) == "draft"
    february = datetime(2027, 2, 1, tzinfo=UTC)
    assert names(database, february - timedelta(microseconds=1)) == []
    assert names(database, february) == ["sample 1"]
    assert state(known(database), policy.sha256, february) == "in force"
    with database.begin() as connection:
        retire_version(connection, policy.sha256, february + DAY, actor="bob", at=february + 2 * DAY)
    assert names(database, february + 2 * DAY - HOUR) == ["sample 1"]
    assert names(database, february + 2 * DAY) == []
    assert state(known(database), policy.sha256, february + 3 * DAY) == "retired"


@pytest.mark.parametrize("approver", ["ann", " Ann ", "ANN"])
def test_the_author_does_not_approve(database: Engine, approver: str) -> None:
    policy = added(database, version(1))
    with (
        database.begin() as connection,
        pytest.raises(VersionError, match="ann added sample 1: another person approves"),
    ):
        approve_version(connection, policy, JAN, actor=approver)


def test_a_name_in_another_of_unicodes_spellings_is_the_same_person(database: Engine) -> None:
    composed, decomposed = "Jos\u00e9", "Jose\u0301"
    policy = added(database, version(1), author=composed)
    with database.begin() as connection, pytest.raises(VersionError, match="another person approves"):
        approve_version(connection, policy, JAN, actor=decomposed)


@pytest.mark.parametrize("approver", ["ann", " Ann ", "ANN"])
def test_and_the_database_refuses_it_too(database: Engine, approver: str) -> None:
    policy = added(database, version(1))
    forged = text(
        "INSERT INTO dealgate_policy_step (entry, sha256, step, actor, recorded_at) "
        "VALUES (:entry, :sha256, 'approve', :actor, :at)"
    ).bindparams(bindparam("at", type_=Moment))
    with database.begin() as connection:
        entry = append(connection, Draft(str(uuid4()), "policy_step", {}), JAN).entry
    told = {"entry": entry, "sha256": policy.sha256, "actor": approver, "at": JAN}
    with database.connect() as connection, pytest.raises(DBAPIError, match="by another person than its author"):
        connection.execute(forged, told)
    with database.connect() as connection:
        connection.execute(forged, told | {"actor": "bob"})


def test_nothing_is_approved_that_was_not_added(database: Engine) -> None:
    with database.begin() as connection, pytest.raises(VersionError, match="sample 1 was not added"):
        approve_version(connection, version(1), JAN, actor="bob")


def test_steps_are_taken_once_and_by_somebody(database: Engine) -> None:
    policy = approved(database, version(1))
    with database.begin() as connection:
        with pytest.raises(VersionError, match="was added by ann"):
            add_version(connection, policy, policy.self_contained, JAN, actor="bob")
        with pytest.raises(VersionError, match="was approved by bob"):
            approve_version(connection, policy, JAN, actor="cyd")
        with pytest.raises(VersionError, match="nobody is named"):
            retire_version(connection, policy.sha256, JAN, actor=" ")
        with pytest.raises(VersionError, match="has passed"):
            retire_version(connection, policy.sha256, JAN, actor="bob", at=JAN - HOUR)
        retire_version(connection, policy.sha256, JAN, actor="bob")
        with pytest.raises(VersionError, match="is retired already"):
            retire_version(connection, policy.sha256, JAN, actor="bob")
        with pytest.raises(VersionError, match="no version with the hash 00"):
            retire_version(connection, "00", JAN, actor="bob")


def test_a_version_whose_days_are_over_is_not_approved(database: Engine) -> None:
    policy = added(database, version(1, end="2026-12-01"))
    with database.begin() as connection, pytest.raises(VersionError, match="it would never be in force"):
        approve_version(connection, policy, JAN, actor="bob")


def test_approval_does_not_reach_back(database: Engine) -> None:
    approved(database, version(1), at=JAN)
    assert names(database, JAN) == []
    assert names(database, JAN + LEAD) == ["sample 1"]


def test_the_next_version_ends_the_time_of_the_one_before_for_good(database: Engine) -> None:
    approved(database, version(1))
    approved(database, version(2, start="2027-03-01", end="2027-04-01"))
    march, april = datetime(2027, 3, 1, tzinfo=UTC), datetime(2027, 4, 1, tzinfo=UTC)
    assert names(database, march - HOUR) == ["sample 1"]
    assert names(database, march) == ["sample 2"]
    assert names(database, april) == []


def test_a_version_retired_before_its_time_ends_nobodys(database: Engine) -> None:
    approved(database, version(1))
    later = approved(database, version(2, start="2027-03-01"))
    with database.begin() as connection:
        retire_version(connection, later.sha256, JAN + DAY, actor="bob")
    assert names(database, JAN + YEAR) == ["sample 1"]


def test_two_versions_of_one_policy_do_not_begin_at_the_same_moment(database: Engine) -> None:
    approved(database, version(1, start="2027-03-01"))
    other = added(database, version(2, start="2027-03-01"))
    with database.begin() as connection, pytest.raises(VersionError, match="sample 1 begins at the same moment"):
        approve_version(connection, other, JAN, actor="bob")


def test_policies_of_other_names_stand_side_by_side(database: Engine) -> None:
    approved(database, version(1))
    approved(database, version(1, name="powersports"))
    assert names(database, JAN + DAY) == ["sample 1", "powersports 1"]


def test_what_was_known_then_is_told_apart_from_what_is_known_now(database: Engine) -> None:
    approved(database, version(1))
    march = datetime(2027, 3, 1, tzinfo=UTC)
    approved(database, version(2, start="2027-03-01"), at=JAN + 30 * DAY)
    assert names(database, march) == ["sample 2"]
    assert names(database, march, known_at=JAN + DAY) == ["sample 1"]
    assert names(database, march, known_at=JAN - DAY) == []


def test_every_step_is_an_entry_of_the_ledger_and_is_held_against_it(database: Engine) -> None:
    policy = approved(database, version(1))
    signer = a_signer()
    seal_all(database, signer)
    assert verified(database, signer.key).intact
    assert [(step.step, step.actor) for step in known(database)] == [("add", "ann"), ("approve", "bob")]
    assert tenures(known(database))[0].sha256 == policy.sha256


def test_shadows_start_and_stop(database: Engine) -> None:
    policy = added(database, version(1))
    with database.begin() as connection:
        start_shadow(connection, policy.sha256, JAN, actor="ann", share=2_500)
        with pytest.raises(VersionError, match="is a shadow already"):
            start_shadow(connection, policy.sha256, JAN, actor="ann")
        with pytest.raises(VersionError, match="give more than 0"):
            start_shadow(connection, policy.sha256, JAN, actor="ann", share=0)
        assert [one.share for one in shadows(all_steps(connection), JAN)] == [2_500]
        assert shadows(all_steps(connection), JAN - HOUR) == []
        stop_shadow(connection, policy.sha256, JAN + HOUR, actor="ann")
        assert shadows(all_steps(connection), JAN + HOUR) == []
        with pytest.raises(VersionError, match="is no shadow"):
            stop_shadow(connection, policy.sha256, JAN + 2 * HOUR, actor="ann")
