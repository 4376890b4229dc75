"""T2, on: rows that name an entry which never said so, because a purge left it nothing to say."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, Engine, delete, insert, select, update

from dealgate.models.envelope import Draft
from dealgate.models.erasure import ALL_OF_IT, ERASURE, HOLD, NOTICE, entries_hash, hold, purge, record_notice, redact
from dealgate.models.ledger import BODY, DEAL, ENTRY, PRIVATE, append, table
from dealgate.models.open_clocks import set_clocks
from dealgate.models.recording import DECISION, FINDING, INSERT_PART, SUBMISSION
from dealgate.models.sealing import PENDING
from dealgate.models.signing import Ed25519Signer
from dealgate.models.standing import NAMED, STEP, clearance
from tests.faults import forging
from tests.faults.insiders import flaws, insider, tried
from tests.models.ledgers import START, a_signer, seal_all
from tests.models.overriding import decided, granted, requested
from tests.models.samples import a_deal, submit

LATER = START + timedelta(days=800)
VIN = "/deal/vehicle/vin"
OLD, VICTIM = "D-OLD", "D-VICTIM"


class Ledger(NamedTuple):
    """A deal that was purged with everything that can be about one, one that must not vanish, and one with a redaction."""

    signer: Ed25519Signer
    notes: list[bytes]
    old: str
    victim: str
    kept: str


@pytest.fixture
def ledger(database: Engine) -> Ledger:
    signer, notes = a_signer(), []
    old = decided(database, START, deal_id=OLD)
    granted(database, requested(database, old, "LTV-TOTAL", now=START), now=START)
    with database.begin() as connection:
        redact(connection, old, [VIN], "asked", START, actor="privacy")
        for placed in (True, False):
            hold(connection, OLD, "a lawsuit", START, actor="counsel", placed=placed)
        record_notice(connection, OLD, "approval", START, START, actor="los")
        kept = submit(connection, a_deal(deal_id="D-KEPT"), now=START).decision_id
        redact(connection, kept, [VIN], "asked", START, actor="privacy")
    victim = decided(database, LATER, deal_id=VICTIM)
    with database.begin() as connection:
        hold(connection, VICTIM, "another lawsuit", LATER, actor="counsel")
    notes.append(_note(database, signer))
    with database.begin() as connection:
        assert purge(connection, LATER, actor="records") is not None
    notes.append(_note(database, signer))
    return Ledger(signer, notes, old, victim, kept)


def _note(database: Engine, signer: Ed25519Signer) -> bytes:
    sealed = seal_all(database, signer, LATER)
    assert sealed is not None
    return sealed.note


# What each attack is made of


def entry(connection: Connection, kind: str, deal_id: str | None = None) -> Any:
    return connection.execute(
        select(ENTRY).where(ENTRY.c.kind == kind, ENTRY.c.deal_id == deal_id).order_by(ENTRY.c.id)
    ).first()


def give(connection: Connection, erased: int, giver: int, path: str = ALL_OF_IT) -> None:
    connection.execute(insert(ERASURE), {"erased": erased, "path": path, "entry": giver})


def take_out_victim(connection: Connection) -> None:
    """As a purge does it."""
    entries = connection.execute(select(ENTRY.c.id).where(ENTRY.c.deal_id == VICTIM)).scalars().all()
    decisions = select(DECISION.c.id).where(DECISION.c.deal_id == VICTIM)
    submissions = select(SUBMISSION.c.id).where(SUBMISSION.c.deal_id == VICTIM)
    connection.execute(delete(FINDING).where(FINDING.c.decision.in_(decisions)))
    connection.execute(delete(DECISION).where(DECISION.c.deal_id == VICTIM))
    for part in map(table, INSERT_PART):
        connection.execute(delete(part).where(part.c.submission_id.in_(submissions)))
    connection.execute(delete(SUBMISSION).where(SUBMISSION.c.deal_id == VICTIM))
    for each in (PRIVATE, BODY):
        connection.execute(delete(each).where(each.c.entry.in_(entries)))
    set_clocks(connection, [VICTIM])


def victims(connection: Connection) -> Sequence[int]:
    return connection.execute(select(ENTRY.c.id).where(ENTRY.c.deal_id == VICTIM)).scalars().all()


def copied(connection: Connection, source: Any, where: Any, **changes: Any) -> int:
    """A row as another is, but for these columns."""
    row = connection.execute(select(source).where(where)).one()._asdict() | changes
    row.pop("id")
    return int(connection.execute(insert(source).returning(source.c.id), row).scalar_one())


# Attacks


def by_a_redaction_that_was_purged(connection: Connection, ledger: Ledger) -> None:
    for number in victims(connection):
        give(connection, number, entry(connection, "redaction", OLD).id)
    take_out_victim(connection)


def by_a_redaction_that_takes_itself_out(connection: Connection, ledger: Ledger) -> None:
    redaction = entry(connection, "redaction", "D-KEPT").id
    for number in (redaction, *victims(connection)):
        give(connection, number, redaction)
    connection.execute(delete(BODY).where(BODY.c.entry == redaction))
    take_out_victim(connection)


def by_itself(connection: Connection, ledger: Ledger) -> None:
    for number in victims(connection):
        give(connection, number, number)
    take_out_victim(connection)


def by_a_purge_that_took_others(connection: Connection, ledger: Ledger) -> None:
    for number in victims(connection):
        give(connection, number, entry(connection, "retention_purge").id)
    take_out_victim(connection)


def by_a_purge_that_was_rewritten(connection: Connection, ledger: Ledger) -> None:
    """It says the right thing now, in bytes that were never sealed."""
    giver = entry(connection, "retention_purge")
    by_a_purge_that_took_others(connection, ledger)
    taken = select(ENTRY.c.leaf_hash).join(ERASURE, ERASURE.c.erased == ENTRY.c.id)
    document = forging.envelope_of(connection, giver.id)
    hashes = connection.execute(taken.where(ERASURE.c.entry == giver.id)).scalars()
    document["retention_purge"]["entries_sha256"] = entries_hash(hashes)
    forging.write_envelope(connection, giver.id, document)


def by_a_purge_of_what_is_about_no_deal(connection: Connection, ledger: Ledger) -> None:
    """A purge of a policy's publication, which says so: there is no time of retention for it."""
    published = entry(connection, "policy_publication")
    told = {"months": 25, "deals": 1, "entries": 1, "entries_sha256": entries_hash([published.leaf_hash])}
    forged = append(connection, Draft("forged", "retention_purge", {"retention_purge": told}, actor="records"), LATER)
    connection.execute(PENDING.insert(), {"entry": forged.entry})  # the trigger that does this is lifted
    give(connection, published.id, forged.entry)
    connection.execute(delete(BODY).where(BODY.c.entry == published.id))


def a_value_by_the_redaction_of_another(connection: Connection, ledger: Ledger) -> None:
    victim = forging.number_of(connection, ledger.victim)
    give(connection, victim, entry(connection, "redaction", "D-KEPT").id, VIN)
    connection.execute(delete(PRIVATE).where(PRIVATE.c.entry == victim, PRIVATE.c.path == VIN))


def an_override_by_purged_entries(connection: Connection, ledger: Ledger) -> None:
    request, grant = (entry(connection, f"override_{step}", OLD).id for step in ("request", "grant"))
    connection.execute(insert(NAMED), {"entry": request, "rule": "LTV-TOTAL"})
    head = {"override_id": "forged", "deal_id": VICTIM, "decision_id": ledger.victim, "recorded_at": LATER}
    asked = {
        "entry": request,
        "step": "request",
        "actor": "ann",
        "side": "low",
        "reason": "STRONG-INCOME",
        "persons": 1,
    }
    given = {"entry": grant, "step": "grant", "actor": "ben", "role": "credit-manager"}
    connection.execute(insert(STEP), head | asked)
    connection.execute(insert(STEP), head | given | {"ends_at": LATER + timedelta(days=20)})
    assert not clearance(connection, VICTIM, LATER + timedelta(seconds=5)).cleared


def a_decision(connection: Connection, decision_id: str, deal_id: str) -> None:
    one = SUBMISSION.c.deal_id == VICTIM
    number = copied(connection, SUBMISSION, one, submission=2, idempotency_key=None, deal_id=deal_id)
    changes = {"decision_id": decision_id, "submission_id": number, "submission": 2, "deal_id": deal_id}
    copied(connection, DECISION, DECISION.c.deal_id == VICTIM, outcome="pass", **changes)


def a_decision_of_another_kind_of_entry(connection: Connection, ledger: Ledger) -> None:
    a_decision(connection, entry(connection, "policy_publication").entry_id, VICTIM)


def a_decision_of_the_deals_hold(connection: Connection, ledger: Ledger) -> None:
    a_decision(connection, entry(connection, "legal_hold", VICTIM).entry_id, VICTIM)


def a_decision_that_was_purged(connection: Connection, ledger: Ledger) -> None:
    a_decision(connection, ledger.old, OLD)


def a_purged_decision_about_another_deal(connection: Connection, ledger: Ledger) -> None:
    a_decision(connection, ledger.old, VICTIM)


def a_release_of_another_deals_hold(connection: Connection, ledger: Ledger) -> None:
    connection.execute(update(HOLD).where(HOLD.c.deal_id == OLD, ~HOLD.c.placed).values(deal_id=VICTIM))


def a_later_release(connection: Connection, ledger: Ledger) -> None:
    connection.execute(update(HOLD).where(HOLD.c.deal_id == OLD, HOLD.c.placed).values(deal_seq=HOLD.c.deal_seq + 9))


def a_notice_about_another_deal(connection: Connection, ledger: Ledger) -> None:
    moved = {"deal_id": VICTIM, "sent_at": LATER, "decision_id": ledger.victim}
    connection.execute(update(NOTICE).where(NOTICE.c.deal_id == OLD).values(moved))
    connection.execute(update(DEAL).where(DEAL.c.deal_id == VICTIM).values(clock_from=None))


def a_notice_that_vanished(connection: Connection, ledger: Ledger) -> None:
    connection.execute(delete(NOTICE).where(NOTICE.c.deal_id == OLD))


def a_purged_entry_at_another_place(connection: Connection, ledger: Ledger) -> None:
    redaction = entry(connection, "redaction", OLD).id
    connection.execute(update(ENTRY).where(ENTRY.c.id == redaction).values(deal_seq=ENTRY.c.deal_seq + 90))


ERASED = {"erasure", "envelope"}
TOLD_BY: dict[Callable[[Connection, Ledger], None], set[str]] = {
    by_a_redaction_that_was_purged: ERASED,
    by_a_redaction_that_takes_itself_out: ERASED,
    by_itself: ERASED,
    by_a_purge_that_took_others: ERASED,
    by_a_purge_that_was_rewritten: ERASED,
    by_a_purge_of_what_is_about_no_deal: ERASED,
    a_value_by_the_redaction_of_another: {"erasure", "personal value"},
    an_override_by_purged_entries: {"override"},
    a_decision_of_another_kind_of_entry: {"projection"},
    a_decision_of_the_deals_hold: {"projection"},
    a_decision_that_was_purged: {"projection"},
    a_purged_decision_about_another_deal: {"projection"},
    a_release_of_another_deals_hold: {"legal hold"},
    a_later_release: {"legal hold"},
    a_notice_about_another_deal: {"notice"},
    a_notice_that_vanished: {"notice"},
    a_purged_entry_at_another_place: {"chain"},
}


def test_what_names_an_entry_that_never_said_so_is_told(database_url: str, ledger: Ledger) -> None:
    with insider(database_url) as connection:

        def found(level: str = "full") -> set[str]:
            return {one.what for one in flaws(connection, ledger.signer.key, anchored=ledger.notes, level=level)}

        assert found("replay") == set()
        told = {}
        for attack, expected in TOLD_BY.items():
            with tried(connection):
                attack(connection, ledger)
                told[attack.__name__] = expected & found()
                assert (found("bodies") != set()) == (expected is ERASED), attack.__name__
    assert told == {attack.__name__: expected for attack, expected in TOLD_BY.items()}
