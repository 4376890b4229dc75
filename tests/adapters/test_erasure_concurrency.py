"""A purge or a redaction against what is written about the same deal: whoever comes second sees what the first did."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine

from dealgate.adapters.transactions import in_transaction
from dealgate.models import find_decision
from dealgate.models.erasure import Due, ErasureError, due, hold, is_held, purge, record_notice, redact
from tests.adapters.test_concurrency import until_it_waits
from tests.databases import count_rows
from tests.models.ledgers import a_signer, seal_all, verified
from tests.models.samples import a_deal, submit
from tests.models.test_erasure import LATER, decided_and_notified

SIGNER = a_signer()
VIN = "/deal/vehicle/vin"


def submitted_again(connection: Connection) -> None:
    submit(connection, a_deal(deal_id="D-1"), now=LATER)


def held(connection: Connection) -> None:
    hold(connection, "D-1", "litigation", LATER, actor="counsel")


def notified(connection: Connection) -> None:
    record_notice(connection, "D-1", "adverse_action", LATER, LATER, actor="compliance")


def purged(database: Engine) -> list[Due]:
    found = in_transaction(database, lambda connection, again: purge(connection, LATER, actor="compliance"))
    return found[1] if found else []


def redacted(database: Engine, decision: str) -> None:
    in_transaction(
        database, lambda connection, again: redact(connection, decision, [VIN], "asked", LATER, actor="compliance")
    )


def old_deals(database: Engine, *names: str) -> list[str]:
    """Decided, notified and sealed long ago; the ids of the decisions."""
    with database.begin() as connection:
        decisions = [decided_and_notified(connection, name) for name in names]
    seal_all(database, SIGNER)
    return decisions


@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("write", [submitted_again, held, notified])
def test_a_purge_leaves_what_is_no_longer_due_once_it_has_the_deal(
    database: Engine, write: Callable[[Connection], None], commits: bool
) -> None:
    one, _ = old_deals(database, "D-1", "D-2")
    with database.connect() as first, ThreadPoolExecutor(1) as pool:
        write(first)
        waiting = pool.submit(purged, database)
        until_it_waits(database)
        assert not waiting.done()
        (first.commit if commits else first.rollback)()
        gone = [deal.deal_id for deal in waiting.result(20)]
    assert gone == (["D-2"] if commits else ["D-1", "D-2"])
    with database.connect() as connection:
        assert (find_decision(connection, one) is not None) is commits
    assert seal_all(database, SIGNER)
    assert verified(database, SIGNER.key, level="replay").flaws == []


def test_a_purge_that_finds_nothing_due_any_more_leaves_no_entry(database: Engine) -> None:
    old_deals(database, "D-1")
    with database.connect() as first, ThreadPoolExecutor(1) as pool:
        held(first)
        waiting = pool.submit(purged, database)
        until_it_waits(database)
        first.commit()
        assert waiting.result(20) == []
    assert count_rows(database)["dealgate_ledger_erasure"] == 0


def test_a_purge_waits_for_another_and_takes_nothing_twice(database: Engine) -> None:
    old_deals(database, "D-1")
    with database.connect() as first, ThreadPoolExecutor(1) as pool:
        assert purge(first, LATER, actor="compliance")
        waiting = pool.submit(purged, database)
        until_it_waits(database)
        first.commit()
        assert waiting.result(20) == []
        assert due(first, LATER) == []
    assert seal_all(database, SIGNER)
    assert verified(database, SIGNER.key).flaws == []


def test_a_redaction_waits_for_a_hold_and_is_refused_after_it(database: Engine) -> None:
    (decision,) = old_deals(database, "D-1")
    with database.connect() as first, ThreadPoolExecutor(1) as pool:
        held(first)
        waiting = pool.submit(redacted, database, decision)
        until_it_waits(database)
        first.commit()
        with pytest.raises(ErasureError, match="'D-1' is under a legal hold"):
            waiting.result(20)
    assert count_rows(database)["dealgate_ledger_erasure"] == 0


def test_a_redaction_waits_for_a_purge_and_finds_nothing_left(database: Engine) -> None:
    (decision,) = old_deals(database, "D-1")
    with database.connect() as first, ThreadPoolExecutor(1) as pool:
        assert purge(first, LATER, actor="compliance")
        waiting = pool.submit(redacted, database, decision)
        until_it_waits(database)
        first.commit()
        with pytest.raises(ErasureError, match="or it was purged"):
            waiting.result(20)
    assert seal_all(database, SIGNER)
    assert verified(database, SIGNER.key).flaws == []


def test_a_redaction_waits_for_the_same_and_is_refused_after_it(database: Engine) -> None:
    (decision,) = old_deals(database, "D-1")
    with database.connect() as first, ThreadPoolExecutor(1) as pool:
        redact(first, decision, [VIN], "asked", LATER, actor="compliance")
        waiting = pool.submit(redacted, database, decision)
        until_it_waits(database)
        first.commit()
        with pytest.raises(ErasureError, match="was erased before"):
            waiting.result(20)


def test_a_hold_waits_for_another_and_is_refused_after_it(database: Engine) -> None:
    """Two that are both placed would be lifted by one release."""
    old_deals(database, "D-1")
    with database.connect() as first, ThreadPoolExecutor(1) as pool:
        held(first)
        waiting = pool.submit(in_transaction, database, lambda connection, again: held(connection))
        until_it_waits(database)
        first.commit()
        with pytest.raises(ErasureError, match="is already under a legal hold"):
            waiting.result(20)
        assert is_held(first, "D-1")
