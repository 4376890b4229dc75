"""A grant against a resubmission, and grants against each other: whoever comes second sees what the first did."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine

from dealgate.models import (
    IdempotencyConflictError,
    OverrideError,
    deny_override,
    find_override,
    grant_override,
    request_override,
)
from tests.adapters.test_concurrency import until_it_waits
from tests.databases import count_rows
from tests.models.overriding import LARGE, SMALL, cleared, decided, granted, requested
from tests.models.samples import NOW, OVERRIDABLE, a_deal, compiled, submit

THREADS = 8


@pytest.mark.parametrize("commits", [True, False])
def test_a_grant_waits_for_a_submission_and_is_refused_after_it(database: Engine, commits: bool) -> None:
    override = requested(database, decided(database), "LTV-TOTAL")
    with database.connect() as first, ThreadPoolExecutor(1) as pool:
        submit(first, a_deal(**SMALL), policy=compiled(OVERRIDABLE))
        waiting = pool.submit(granted, database, override)
        until_it_waits(database)
        assert not waiting.done()
        if commits:
            first.commit()
            with pytest.raises(OverrideError, match="was submitted again: the override died with that"):
                waiting.result(20)
        else:
            first.rollback()
            assert waiting.result(20).state(NOW) == "in force"
    assert cleared(database).cleared is not commits


def test_a_submission_waits_for_a_grant_and_ends_it(database: Engine) -> None:
    override = requested(database, decided(database), "LTV-TOTAL")
    with database.connect() as first, ThreadPoolExecutor(1) as pool:
        grant_override(first, override.override_id, NOW, actor="ben", role="underwriter")
        waiting = pool.submit(decided, database)
        until_it_waits(database)
        first.commit()
        waiting.result(20)
    assert not cleared(database).cleared


@pytest.mark.parametrize("commits", [True, False])
def test_a_key_that_two_deals_use_at_once_is_refused_to_the_second(database: Engine, commits: bool) -> None:
    """Neither holds the other's deal: the key alone tells them."""
    one, other = decided(database), decided(database, deal_id="E")
    with database.connect() as first, ThreadPoolExecutor(1) as pool:
        words = {"actor": "ann", "reason": "STRONG-INCOME", "note": "Ten years with the county."}
        request_override(first, one, ["LTV-TOTAL"], NOW, idempotency_key="K", **words)
        waiting = pool.submit(requested, database, other, "LTV-TOTAL", idempotency_key="K")
        until_it_waits(database)
        if commits:
            first.commit()
            with pytest.raises(IdempotencyConflictError, match="the idempotency key 'K' was used for something else"):
                waiting.result(20)
        else:
            first.rollback()
            assert waiting.result(20).state(NOW) == "requested"
    assert count_rows(database)["dealgate_override_step"] == 1


def together(database: Engine, *steps: tuple[str, str]) -> list[str]:
    """Who came through, of grants and denials that are sent at once for an override of the large deal."""
    override = requested(database, decided(database, **LARGE), "LTV-TOTAL")
    start = Barrier(len(steps))

    def take(step: tuple[str, str]) -> str:
        kind, actor = step
        start.wait()
        try:
            with database.begin() as connection:
                if kind == "grant":
                    grant_override(connection, override.override_id, NOW, actor=actor, role="credit-manager")
                else:
                    deny_override(connection, override.override_id, NOW, actor=actor, note="No.")
        except OverrideError:
            return ""
        return f"{kind} {actor}"

    with ThreadPoolExecutor(len(steps)) as pool:
        through = [name for name in pool.map(take, steps) if name]
    with database.connect() as connection:
        found = find_override(connection, override.override_id)
    assert found is not None
    assert sorted(through) == sorted(
        [f"grant {one.actor}" for one in found.grants] + ([f"deny {found.denied_by}"] if found.denied_by else [])
    )
    assert count_rows(database)["dealgate_override_step"] == 1 + len(through)
    return through


def test_of_many_grants_at_once_as_many_count_as_are_needed(database: Engine) -> None:
    assert len(together(database, *(("grant", f"person {number}") for number in range(THREADS)))) == 2
    assert cleared(database).cleared


def test_one_person_who_grants_many_times_at_once_counts_once(database: Engine) -> None:
    assert together(database, *(("grant", "ben") for _ in range(THREADS))) == ["grant ben"]
    assert not cleared(database).cleared


def test_a_denial_among_grants_ends_it_or_comes_too_late(database: Engine) -> None:
    through = together(database, ("grant", "ben"), ("deny", "dee"), ("grant", "cyd"))
    assert ("deny dee" in through) is not cleared(database).cleared
