"""Overrides: who asks, who grants, what that clears and for how long, and what of it is kept."""

from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from dealgate.models import (
    IdempotencyConflictError,
    OverrideError,
    UnknownDealError,
    clearance,
    find_override,
    latest_overrides,
    overrides_of,
)
from dealgate.models.envelope import Draft
from dealgate.models.erasure import purge, record_notice, redact
from dealgate.models.ledger import append, private_values
from dealgate.models.standing import steps_told
from tests.databases import count_rows
from tests.models.ledgers import a_signer, seal_all, unguarded, verified
from tests.models.overriding import CLEAN, DAY, HOUR, LARGE, SMALL, cleared, decided, denied, granted, requested
from tests.models.samples import NOW, POLICY, a_deal, compiled, submit
from tests.models.sound import assert_sound

SECOND = HOUR / 3600


# Low side


def test_an_override_clears_the_submission_for_the_policys_days(database: Engine) -> None:
    decision = decided(database)
    assert cleared(database).missing == ("LTV-TOTAL refers the deal: no override was asked for",)
    override = requested(database, decision, "LTV-TOTAL")
    assert (override.state(NOW), override.persons, override.lacking(NOW)) == ("requested", 1, 1)
    assert cleared(database).missing == (
        f"LTV-TOTAL refers the deal: override {override.override_id} waits for 1 to grant it",
    )
    override = granted(database, override, NOW + HOUR, role="underwriter")
    found = cleared(database, NOW + HOUR)
    assert (found.outcome, found.cleared, found.missing) == ("refer", True, ())
    assert (found.overrides, found.until) == ((override.override_id,), NOW + HOUR + 30 * DAY)
    assert cleared(database, NOW + HOUR + 30 * DAY - SECOND).cleared
    ended = cleared(database, NOW + HOUR + 30 * DAY)
    assert (ended.cleared, ended.until) == (False, None)
    assert ended.missing == (f"LTV-TOTAL refers the deal: override {override.override_id} has ended",)
    assert not cleared(database, NOW).cleared, "not before it was granted"


def test_the_requester_grants_what_one_person_may(database: Engine) -> None:
    override = granted(database, requested(database, decided(database), "LTV-TOTAL"), actor="ann", role="underwriter")
    assert override.state(NOW) == "in force"


def test_the_grantor_names_an_earlier_end_and_no_later_one(database: Engine) -> None:
    override = requested(database, decided(database), "LTV-TOTAL")
    for until in (NOW, NOW - DAY, NOW + 30 * DAY + SECOND):
        with pytest.raises(OverrideError, match="is not after now and at most 2026-12-20"):
            granted(database, override, until=until)
    assert granted(database, override, until=NOW + DAY).ends_at == NOW + DAY
    assert (cleared(database, NOW + DAY - SECOND).cleared, cleared(database, NOW + DAY).cleared) == (True, False)


def test_it_dies_when_the_deal_is_submitted_again(database: Engine) -> None:
    waiting, first = (requested(database, decided(database), "LTV-TOTAL") for _ in range(2))
    with pytest.raises(OverrideError, match="was submitted again: the override died with that"):
        granted(database, waiting)
    granted(database, first)
    second = decided(database, now=NOW + HOUR)
    assert not cleared(database, NOW + HOUR).cleared
    with pytest.raises(OverrideError, match=f"ask for an override of its last decision, {second}"):
        requested(database, first.decision_id, "LTV-TOTAL")
    with pytest.raises(OverrideError, match="the override died"):
        denied(database, first)
    with database.connect() as connection:
        assert [one.state(NOW + HOUR) for one in overrides_of(connection, "D")] == ["superseded", "superseded"]


def test_every_finding_that_refers_or_declines_needs_an_override(database: Engine) -> None:
    decision = decided(database, applicant__credit_score=600)
    one = granted(database, requested(database, decision, "LTV-TOTAL"), until=NOW + 2 * DAY)
    assert cleared(database).missing == ("PTI refers the deal: no override was asked for",)
    first = granted(
        database, granted(database, requested(database, decision, "PTI"), actor="ben", until=NOW + HOUR), actor="cyd"
    )
    found = cleared(database)
    assert (found.cleared, found.overrides, found.until) == (True, (one.override_id, first.override_id), NOW + HOUR)
    longer = granted(database, granted(database, requested(database, decision, "PTI"), until=NOW + DAY), actor="cyd")
    found = cleared(database)
    assert (found.overrides, found.until) == ((one.override_id, longer.override_id), NOW + DAY)


def test_a_flag_may_be_overridden_too_and_bars_nothing(database: Engine) -> None:
    decision = decided(database, **{**CLEAN, "vehicle__model_year": 2023})
    assert (cleared(database).outcome, cleared(database).cleared) == ("flag", True)
    override = requested(database, decision, "AGE")
    assert override.persons == 2, "an excess in years is above every threshold of money"
    with pytest.raises(OverrideError, match="DTI does not stand against the deal"):
        requested(database, decision, "DTI")


# A second person


def test_above_a_threshold_two_persons_grant_and_neither_asked(database: Engine) -> None:
    override = requested(database, decided(database, **LARGE), "LTV-TOTAL")
    assert override.persons == 2
    with pytest.raises(OverrideError, match="ann asked for it: two other persons grant it"):
        granted(database, override, actor=" ANN ")
    granted(database, override, until=NOW + 2 * DAY)
    assert "waits for 1 to grant it" in cleared(database).missing[0]
    with pytest.raises(OverrideError, match="Ben granted it already: another person grants it, too"):
        granted(database, override, actor="Ben")
    both = granted(database, override, NOW + DAY, actor="cyd", note="I agree.")
    assert [(one.actor, one.role) for one in both.grants] == [("ben", "credit-manager"), ("cyd", "credit-manager")]
    assert not cleared(database, NOW + DAY - SECOND).cleared
    assert cleared(database, NOW + DAY).until == NOW + 2 * DAY, "the grant that ends first ends it"
    with pytest.raises(OverrideError, match="granted already, by ben and cyd: to end it, submit the deal again"):
        granted(database, override, actor="dee")


def test_a_first_grant_that_ended_is_not_joined(database: Engine) -> None:
    override = granted(database, requested(database, decided(database, **LARGE), "LTV-TOTAL"), until=NOW + HOUR)
    with pytest.raises(OverrideError, match="the grant by ben has ended before a second person granted: ask anew"):
        granted(database, override, NOW + HOUR, actor="cyd")


# Authority


def test_a_role_grants_within_its_authority_only(database: Engine) -> None:
    override = requested(database, decided(database, **LARGE), "LTV-TOTAL")
    with pytest.raises(OverrideError, match=r"the excess of LTV-TOTAL is \$9,024.67, at most \$4,500.00"):
        granted(database, override, role="underwriter")
    with pytest.raises(OverrideError, match="gives the role 'clerk' no authority"):
        granted(database, override, role="clerk")
    with pytest.raises(
        OverrideError, match=r"no role may grant this \(underwriter: .*; credit-manager: .*change the deal"
    ):
        requested(database, decided(database, cash_price="90000.00"), "LTV-TOTAL")


def test_what_is_not_measured_in_money_needs_a_role_for_such(database: Engine) -> None:
    override = requested(database, decided(database, vehicle__values=[]), "LTV-TOTAL")
    with pytest.raises(OverrideError, match="the excess of LTV-TOTAL is not measured in money"):
        granted(database, override, role="underwriter")
    assert granted(database, override).lacking(NOW) == 1


def test_the_version_that_decided_has_the_say(database: Engine) -> None:
    with database.begin() as connection:
        nobody = submit(connection, a_deal(**SMALL), policy=compiled()).decision_id
    with pytest.raises(OverrideError, match="sample 1 lets nobody override"):
        requested(database, nobody, "LTV-TOTAL")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"reason": "BECAUSE"}, "no reason 'BECAUSE'; it has: COLLATERAL-DOUBT, STRONG-INCOME"),
        ({"compensating_factors": ["LUCK"]}, "no compensating factor 'LUCK'; it has: LONG-EMPLOYED, RESERVES"),
        ({"compensating_factors": ["RESERVES", "RESERVES"]}, "a compensating factor is named twice"),
        ({"note": " "}, "a note says why, in at most 4,000 characters"),
        ({"note": "x" * 4_001}, "this one has 4,001"),
        ({"actor": " "}, "say who takes this step"),
        ({"actor": "x" * 201}, "in at most 200 characters"),
        ({"side": "middle"}, "no side is called 'middle': use low or high"),
        ({"side": "high"}, "the policy says refer already"),
    ],
)
def test_a_request_that_cannot_be_leaves_nothing(database: Engine, given: dict[str, Any], words: str) -> None:
    decision = decided(database)
    before = count_rows(database)
    with pytest.raises(OverrideError, match=words):
        requested(database, decision, "LTV-TOTAL", **given)
    assert count_rows(database) == before


def test_what_is_not_there_is_told(database: Engine) -> None:
    with pytest.raises(OverrideError, match="no decision has the id 'x'"):
        requested(database, "x", "LTV-TOTAL")
    with pytest.raises(OverrideError, match="no override has the id 'x'"):
        granted(database, "x")
    with pytest.raises(UnknownDealError, match="no deal 'D' was submitted"):
        cleared(database)


# High side


def test_a_deal_that_the_policy_lets_pass_is_turned_down(database: Engine) -> None:
    decision = decided(database, **CLEAN, applicant__monthly_income="9000.00")
    assert (cleared(database).outcome, cleared(database).cleared) == ("pass", True)
    override = requested(database, decision, side="high", reason="COLLATERAL-DOUBT")
    assert cleared(database).cleared, "asking is not enough"
    with pytest.raises(OverrideError, match="the role turns no deal down"):
        granted(database, override, role="underwriter")
    with pytest.raises(OverrideError, match="stays so until it is submitted again: give no end"):
        granted(database, override, until=NOW + DAY)
    granted(database, override)
    found = cleared(database, NOW + 400 * DAY)
    assert (found.cleared, found.turned_down, found.until) == (False, True, None)
    assert found.missing == ("turned down by ben (credit-manager): COLLATERAL-DOUBT",)
    decided(database, now=NOW + DAY, **CLEAN, applicant__monthly_income="9000.00")
    assert cleared(database, NOW + DAY).cleared


def test_a_deal_is_turned_down_by_whosever_clock_once_it_is_recorded(database: Engine) -> None:
    decision = decided(database, **CLEAN, applicant__monthly_income="9000.00")
    ahead = NOW + HOUR
    override = requested(database, decision, side="high", reason="COLLATERAL-DOUBT", now=ahead)
    granted(database, override, ahead)
    assert (cleared(database).cleared, cleared(database).turned_down) == (False, True)
    with database.connect() as connection:
        assert clearance(connection, "D", NOW, in_hindsight=True).cleared
        assert clearance(connection, "D", ahead, in_hindsight=True).turned_down


# Denial


def test_what_was_denied_is_not_granted(database: Engine) -> None:
    override = requested(database, decided(database), "LTV-TOTAL")
    assert denied(database, override).state(NOW) == "denied"
    assert "was denied" in cleared(database).missing[0]
    for step in (granted, denied):
        with pytest.raises(OverrideError, match="cyd denied the override"):
            step(database, override)
    with pytest.raises(OverrideError, match="cyd denied"):
        granted(database, override, NOW - DAY)  # by a clock that is behind


def test_one_of_two_grants_may_be_met_with_a_denial_and_both_may_not(database: Engine) -> None:
    half = granted(database, requested(database, decided(database, **LARGE), "LTV-TOTAL"))
    assert denied(database, half).state(NOW) == "denied"
    whole = granted(database, requested(database, half.decision_id, "LTV-TOTAL"))
    whole = granted(database, whole, actor="cyd")
    with pytest.raises(OverrideError, match="granted already"):
        denied(database, whole)


# The same step again


def test_a_step_is_taken_once_under_its_key(database: Engine) -> None:
    decision = decided(database)
    first, again = (requested(database, decision, "LTV-TOTAL", idempotency_key="K-1") for _ in range(2))
    assert first == again
    granted(database, first, idempotency_key="K-2")
    assert len(granted(database, first, NOW + DAY, idempotency_key="K-2").grants) == 1
    decided(database)
    assert requested(database, decision, "LTV-TOTAL", idempotency_key="K-1").state(NOW) == "superseded"
    assert count_rows(database)["dealgate_override_step"] == 2


def test_a_key_that_comes_with_something_else_is_refused(database: Engine) -> None:
    decision = decided(database)
    override = requested(database, decision, "LTV-TOTAL", idempotency_key="K")
    for given in ({"note": "Another."}, {"actor": "ben"}, {"compensating_factors": ["RESERVES"]}):
        with pytest.raises(IdempotencyConflictError, match="'K' was used for something else"):
            requested(database, decision, "LTV-TOTAL", **given, idempotency_key="K")
    with pytest.raises(IdempotencyConflictError):
        granted(database, override, idempotency_key="K")


# What is kept, and what is not


def test_everything_asked_and_granted_stands_in_the_ledger(database: Engine) -> None:
    decision = decided(database)
    override = requested(database, decision, "LTV-TOTAL", "PTI", compensating_factors=["RESERVES"])
    granted(database, override, note="Seen the pay slips.")
    with database.connect() as connection:
        ask, grant = steps_told(connection, override)
        assert_sound(connection)
    assert {
        name: ask[name] for name in ("decision_id", "submission", "side", "reason", "persons", "note", "actor")
    } == {
        "decision_id": decision,
        "submission": 1,
        "side": "low",
        "reason": "STRONG-INCOME",
        "persons": 2,
        "note": "Ten years with the county.",
        "actor": "ann",
    }
    assert (ask["amount_financed"], ask["compensating_factors"]) == ("37769.67", ["RESERVES"])
    assert [(one["rule"], one["severity"], one["excess"]) for one in ask["findings"]] == [
        ("LTV-TOTAL", "refer", "4019.67"),
        ("PTI", "flag", None),
    ]
    assert (grant["role"], grant["note"], grant["ends_at"]) == (
        "credit-manager",
        "Seen the pay slips.",
        "2026-12-20T15:04:05.123456Z",
    )
    assert grant["authority"]["max_amount"] == "$90,000"
    signer = a_signer()
    seal_all(database, signer)
    assert verified(database, signer.key).intact


PERSONAL = POLICY.replace("policy: sample", "policy: by-score").replace('tier == "B"', "credit_score >= 600")


def test_a_note_and_an_excess_that_tells_a_score_can_be_erased(database: Engine) -> None:
    section = "overrides:\n  reasons: {R: Words}\n  expires_after_days: 9\n"
    section += "  authority: [{role: cm, max_amount: $90000, max_excess: $20000}]\n"
    with database.begin() as connection:
        decision = submit(connection, a_deal(**SMALL), policy=compiled(PERSONAL + section)).decision_id
    override = requested(database, decision, "LTV-TOTAL", reason="R", note="His wife is ill.", idempotency_key="K")
    granted(database, override, role="cm")
    paths = ["/override/note", "/override/findings/0/excess"]
    with database.begin() as connection:
        stored = connection.execute(text("SELECT envelope FROM dealgate_ledger_body")).scalars().all()
        assert not any(b"His wife" in bytes(each) or b"4019.67" in bytes(each) for each in stored)
        assert steps_told(connection, override)[0]["findings"][0]["excess"] == "4019.67"
        redact(connection, override.override_id, paths, "asked by the applicant", NOW, actor="privacy")
        (ask, _) = steps_told(connection, override)
    assert "note" not in ask
    assert "excess" not in ask["findings"][0]
    assert cleared(database).cleared
    assert requested(database, decision, "LTV-TOTAL", reason="R", note="?", idempotency_key="K") is not None
    signer = a_signer()
    seal_all(database, signer)
    assert verified(database, signer.key).intact


@pytest.mark.parametrize("asked_before", [False, True])
def test_an_erased_excess_is_not_taken_for_one_that_is_not_measured_in_money(
    database: Engine, asked_before: bool
) -> None:
    """A role that is unmeasured would let a deal through that is further beyond the limit than the role may go."""
    section = "overrides:\n  reasons: {R: Words}\n  expires_after_days: 9\n"
    section += "  authority:\n    - {role: cm, max_amount: $90000, max_excess: $20000}\n"
    section += "    - {role: desk, max_amount: $90000, max_excess: $1000, unmeasured: true}\n"
    with database.begin() as connection:
        decision = submit(connection, a_deal(**SMALL), policy=compiled(PERSONAL + section)).decision_id
    if asked_before:
        step = partial(granted, database, requested(database, decision, "LTV-TOTAL", reason="R"), role="desk")
    else:
        step = partial(requested, database, decision, "LTV-TOTAL", reason="R")
    with database.begin() as connection:
        paths = [one.path for one in private_values(connection, [decision])[decision] if "/evidence" in one.path]
        redact(connection, decision, paths, "asked by the applicant", NOW, actor="privacy")
    with pytest.raises(OverrideError, match="was erased from the decision, and no authority can be held against it"):
        step()
    assert not cleared(database).cleared


def test_a_purge_takes_overrides_with_the_deal(database: Engine) -> None:
    override = granted(database, requested(database, decided(database), "LTV-TOTAL", idempotency_key="K"))
    kept = requested(database, decided(database, deal_id="E"), "LTV-TOTAL")
    signer, later = a_signer(), NOW + 1_000 * DAY
    with database.begin() as connection:
        record_notice(connection, "D", "approval", NOW + HOUR, NOW + HOUR, actor="los")
    seal_all(database, signer)
    with database.begin() as connection:
        assert purge(connection, later, actor="records")
        assert find_override(connection, override.override_id) is None
        assert [one.override_id for one in latest_overrides(connection, 9)] == [kept.override_id]
        found = clearance(connection, "D", later)
    assert (found.cleared, found.missing) == (False, ("the deal's records were purged",))
    with pytest.raises(IdempotencyConflictError, match="was purged since"):
        requested(database, kept.decision_id, "LTV-TOTAL", idempotency_key="K")
    seal_all(database, signer)
    assert verified(database, signer.key).intact


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("dealgate_override_step", "UPDATE dealgate_override_step SET actor = 'eve' WHERE step = 'grant'"),
        ("dealgate_override_step", "UPDATE dealgate_override_step SET ends_at = recorded_at WHERE step = 'grant'"),
        ("dealgate_override_step", "UPDATE dealgate_override_step SET persons = 2 WHERE step = 'request'"),
        ("dealgate_override_step", "DELETE FROM dealgate_override_step WHERE step = 'grant'"),
        ("dealgate_override_finding", "UPDATE dealgate_override_finding SET rule = 'PTI'"),
        ("dealgate_override_finding", "DELETE FROM dealgate_override_finding"),
        ("dealgate_override_finding", "INSERT INTO dealgate_override_finding SELECT min(entry), 'PTI' FROM dealgate_override_step"),
        (
            "dealgate_override_step",
            "INSERT INTO dealgate_override_step (entry, override_id, deal_id, decision_id, step, actor, recorded_at) "
            "SELECT 1, override_id, deal_id, decision_id, 'deny', 'eve', recorded_at FROM dealgate_override_step LIMIT 1",
        ),
    ],
)  # fmt: skip
def test_the_verification_sees_what_was_changed(database: Engine, table: str, change: str) -> None:
    granted(database, requested(database, decided(database), "LTV-TOTAL"))
    with database.begin() as connection:
        unguarded(connection, table)
        connection.exec_driver_sql(change)
    flaws = verified(database).flaws
    assert any(flaw.what == "override" for flaw in flaws), flaws


# What the database itself refuses

FORGED = (
    "INSERT INTO dealgate_override_step "
    "(entry, override_id, deal_id, decision_id, step, actor, recorded_at, side, reason, persons, role, ends_at) "
    "SELECT :entry, override_id, deal_id, decision_id, "
    ":step, :actor, recorded_at, side, reason, persons, 'r', recorded_at FROM dealgate_override_step "
    "WHERE step = 'request' AND deal_id = :deal"
)
KINDS = {"request": "override_request", "grant": "override_grant"}


def forge(database: Engine, step: str, actor: str, *, deal: str = "D", keep: bool = False) -> None:
    """Try to write a step past the models, in the name of an entry that says so; it is rolled back."""
    kind = KINDS.get(step, "override_denial")
    with database.connect() as connection:
        entry = append(connection, Draft(str(uuid4()), kind, {}, deal_id=deal), NOW).entry
        connection.execute(text(FORGED), {"entry": entry, "step": step, "actor": actor, "deal": deal})
        if keep:
            connection.commit()


def refused(database: Engine, step: str, actor: str) -> None:
    with pytest.raises(DBAPIError, match="keeps what was recorded"):
        forge(database, step, actor)


def test_the_database_wants_two_different_persons_and_not_the_one_who_asked(database: Engine) -> None:
    override = requested(database, decided(database, **LARGE), "LTV-TOTAL")
    for actor in ("ann", " ANN "):
        refused(database, "grant", actor)
    granted(database, override)
    for actor in ("ben", "Ben "):
        refused(database, "grant", actor)
    forge(database, "grant", "cyd")
    granted(database, override, actor="cyd")
    refused(database, "grant", "dee")
    refused(database, "deny", "dee")


def test_where_one_person_is_enough_it_may_be_the_one_who_asked(database: Engine) -> None:
    requested(database, decided(database), "LTV-TOTAL")
    forge(database, "grant", "ann")
    refused(database, "request", "eve")
    refused(database, "withdraw", "ann")


def test_the_database_grants_nothing_that_was_denied_or_is_of_an_earlier_submission(database: Engine) -> None:
    override = requested(database, decided(database), "LTV-TOTAL")
    forge(database, "grant", "ben")
    decided(database)
    refused(database, "grant", "ben")
    decision = decided(database, deal_id="E")
    other = requested(database, decision, "LTV-TOTAL")
    denied(database, other)
    with pytest.raises(DBAPIError, match="not once it is denied"):
        forge(database, "grant", "ben", deal="E")
    assert override.override_id != other.override_id


def test_no_finding_is_added_to_what_was_asked_for(database: Engine) -> None:
    override = requested(database, decided(database), "LTV-TOTAL")
    added = text("INSERT INTO dealgate_override_finding SELECT entry, 'PTI' FROM dealgate_override_step")
    with database.connect() as connection, pytest.raises(DBAPIError, match="named before the override is asked for"):
        connection.execute(added)
    with database.connect() as connection:
        assert find_override(connection, override.override_id) == override
