"""T2: what an insider with every right on the database can alter, and what of it is seen without and with what lies outside."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import pytest
from sqlalchemy import Connection, Engine, delete, select, update

from dealgate.adapters.sealed_entries import check_receipt
from dealgate.models.erasure import redact
from dealgate.models.ledger import BODY, DEAL, ENTRY, PRIVATE, Receipt
from dealgate.models.merkle import ProofError
from dealgate.models.notes import read_checkpoint, sign_checkpoint
from dealgate.models.sealing import PENDING, seal
from dealgate.models.signing import Ed25519Signer
from dealgate.models.tree import CHECKPOINT, LEAF
from tests.faults import forging
from tests.faults.insiders import flaws, insider, tried
from tests.models.ledgers import START, a_signer, seal_all, verified
from tests.models.samples import a_deal, submit

VIN = "/deal/vehicle/vin"


class Ledger(NamedTuple):
    """Two deals, three decisions each sealed by two checkpoints, and two more of the first that wait."""

    signer: Ed25519Signer
    notes: list[bytes]
    receipts: list[Receipt]

    def id(self, number: int) -> str:
        return self.receipts[number].entry_id

    @property
    def last(self) -> str:
        return self.id(-1)


@pytest.fixture
def ledger(database: Engine) -> Ledger:
    signer, notes, receipts = a_signer(), list[bytes](), list[Receipt]()
    for deals in ("01", "0101", "00"):
        with database.begin() as connection:
            for deal in deals:
                now = START + timedelta(minutes=len(receipts))
                receipts.append(submit(connection, a_deal(deal_id=f"D-{deal}"), now=now).receipt)
        if deals != "00":
            sealed = seal_all(database, signer)
            assert sealed is not None
            notes.append(sealed.note)
    return Ledger(signer, notes, receipts)


# Attacks


def edit_sealed(connection: Connection, ledger: Ledger) -> None:
    forging.turn_outcome(connection, ledger.id(0))


def edit_and_rebuild(connection: Connection, ledger: Ledger) -> None:
    forging.turn_outcome(connection, ledger.id(0))
    forging.chain_anew(connection)
    forging.seal_anew(connection, forging.keep_note)


def edit_and_sign_with_another_key(connection: Connection, ledger: Ledger) -> None:
    forging.turn_outcome(connection, ledger.id(0))
    forging.chain_anew(connection)
    forging.seal_anew(connection, forging.with_key(a_signer()))


def edit_and_sign_with_the_stolen_key(connection: Connection, ledger: Ledger) -> None:
    forging.turn_outcome(connection, ledger.id(0))
    forging.chain_anew(connection)
    forging.seal_anew(connection, forging.with_key(ledger.signer))


def delete_sealed(connection: Connection, ledger: Ledger) -> None:
    forging.remove(connection, ledger.id(5))
    forging.count_back(connection, "D-1")


def delete_waiting_not_last(connection: Connection, ledger: Ledger) -> None:
    forging.remove(connection, ledger.id(-2))


def reorder(connection: Connection, ledger: Ledger) -> None:
    one, other = connection.execute(select(LEAF).order_by(LEAF.c.leaf_index).limit(2)).all()
    for index, row in ((999, one), (one.leaf_index, other), (other.leaf_index, one)):
        connection.execute(update(LEAF).where(LEAF.c.entry == row.entry).values(leaf_index=index))


def insert_into_the_tree(connection: Connection, ledger: Ledger) -> None:
    forged = submit(connection, a_deal(deal_id="D-FORGED"))
    size = connection.execute(select(LEAF.c.leaf_index).order_by(LEAF.c.leaf_index.desc()).limit(1)).scalar_one()
    leaf = {"leaf_index": 0, "entry": forged.receipt.entry, "leaf_hash": forged.receipt.leaf_hash}
    for index in range(size, -1, -1):
        connection.execute(update(LEAF).where(LEAF.c.leaf_index == index).values(leaf_index=index + 1))
    connection.execute(LEAF.insert(), leaf)
    connection.execute(delete(PENDING).where(PENDING.c.entry == forged.receipt.entry))


def cut_leaves(connection: Connection, ledger: Ledger) -> None:
    connection.execute(delete(LEAF).where(LEAF.c.leaf_index > 3))


def put_back(connection: Connection, ledger: Ledger) -> None:
    """The whole database as it was at the first checkpoint: nothing in it is wrong."""
    for number in range(len(ledger.receipts) - 1, 1, -1):
        forging.remove(connection, ledger.id(number))
        forging.count_back(connection, f"D-{'01010100'[number]}")
    first = min(connection.execute(select(CHECKPOINT.c.size)).scalars())
    connection.execute(delete(CHECKPOINT).where(CHECKPOINT.c.size > first))


def delete_last_waiting(connection: Connection, ledger: Ledger) -> None:
    forging.remove(connection, ledger.last)
    forging.count_back(connection, "D-0")


def edit_last_waiting(connection: Connection, ledger: Ledger) -> None:
    forging.turn_outcome(connection, ledger.last)
    forging.chain_anew(connection)


def edit_private(connection: Connection, ledger: Ledger) -> None:
    connection.execute(update(PRIVATE).where(PRIVATE.c.path == VIN).values(value=b'"1HGCV1F30NA000002"'))


def erase_without_leave(connection: Connection, ledger: Ledger) -> None:
    connection.execute(delete(PRIVATE).where(PRIVATE.c.path == VIN))


def take_envelope_out_without_leave(connection: Connection, ledger: Ledger) -> None:
    connection.execute(delete(BODY).where(BODY.c.entry == forging.number_of(connection, ledger.id(0))))


def erase_with_leave(connection: Connection, ledger: Ledger) -> None:
    redaction = redact(connection, ledger.id(0), [VIN], "asked by the applicant", START, actor="privacy")
    # The triggers that do this are lifted with the guards.
    connection.execute(PENDING.insert(), {"entry": redaction.entry})
    connection.execute(DEAL.update().where(DEAL.c.deal_id == "D-0").values(head=redaction.leaf_hash))


class Seen(NamedTuple):
    without_anchor: bool
    with_anchor: bool
    with_receipts: bool


NEVER_WRONG = Seen(False, False, False)
ALWAYS = Seen(True, True, True)
BY_ANCHOR = Seen(False, True, True)
BY_RECEIPT = Seen(False, False, True)
BUT_NOT_BY_RECEIPT = Seen(True, True, False)
"""A receipt is about one entry's bytes, and those are as they were."""

MATRIX: dict[Callable[[Connection, Ledger], None], Seen] = {
    edit_sealed: ALWAYS,
    edit_and_rebuild: ALWAYS,
    edit_and_sign_with_another_key: ALWAYS,
    edit_and_sign_with_the_stolen_key: BY_ANCHOR,
    delete_sealed: ALWAYS,
    delete_waiting_not_last: ALWAYS,
    reorder: BUT_NOT_BY_RECEIPT,
    insert_into_the_tree: BUT_NOT_BY_RECEIPT,
    cut_leaves: BUT_NOT_BY_RECEIPT,
    put_back: BY_ANCHOR,
    delete_last_waiting: BY_RECEIPT,
    edit_last_waiting: BY_RECEIPT,
    edit_private: BUT_NOT_BY_RECEIPT,
    erase_without_leave: BUT_NOT_BY_RECEIPT,
    take_envelope_out_without_leave: BUT_NOT_BY_RECEIPT,
    erase_with_leave: NEVER_WRONG,
}


def seen(connection: Connection, ledger: Ledger) -> Seen:
    key = ledger.signer.key
    return Seen(
        bool(flaws(connection, key)),
        bool(flaws(connection, key, anchored=ledger.notes)),
        any(not _holds(connection, receipt) for receipt in ledger.receipts),
    )


def _holds(connection: Connection, receipt: Receipt) -> bool:
    try:
        check_receipt(connection, receipt.entry_id, receipt.leaf_hash)
    except ProofError:
        return False
    return True


@contextmanager
def attacked(url: str, ledger: Ledger, attack: Callable[[Connection, Ledger], None]) -> Iterator[Connection]:
    with insider(url) as connection, tried(connection):
        attack(connection, ledger)
        yield connection


def test_what_insiders_do_is_seen_as_the_matrix_says(database_url: str, ledger: Ledger) -> None:
    with insider(database_url) as connection:
        assert seen(connection, ledger) == NEVER_WRONG
        found = {}
        for attack in MATRIX:
            with tried(connection):
                attack(connection, ledger)
                found[attack.__name__] = seen(connection, ledger)
    assert found == {attack.__name__: expected for attack, expected in MATRIX.items()}


def test_the_stolen_key_signs_a_fork_and_the_anchor_names_it(database_url: str, ledger: Ledger) -> None:
    with attacked(database_url, ledger, edit_and_sign_with_the_stolen_key) as connection:
        found = flaws(connection, ledger.signer.key, anchored=ledger.notes)
    assert {flaw.what for flaw in found} == {"root"}
    assert [flaw.where for flaw in found] == ["anchor at 4 entries", "anchor at 8 entries"]


def test_an_outcome_that_does_not_follow_is_seen_by_making_the_decision_again(
    database_url: str, ledger: Ledger
) -> None:
    """Beyond the prototype: even the stolen key and no anchor at all."""
    with attacked(database_url, ledger, edit_and_sign_with_the_stolen_key) as connection:
        found = flaws(connection, ledger.signer.key, level="replay")
    assert [(flaw.what, flaw.where) for flaw in found] == [("replay", f"/outcome of entry {ledger.id(0)}")]


def test_a_database_put_back_is_named_with_what_is_missing(database_url: str, ledger: Ledger) -> None:
    with attacked(database_url, ledger, put_back) as connection:
        found = flaws(connection, ledger.signer.key, anchored=ledger.notes)
    assert [(flaw.what, flaw.expected, flaw.got) for flaw in found] == [
        ("rollback", "at least 8 entries", "4 of lender.example/ledger")
    ]


def test_a_receipt_is_held_against_the_ledger_before_and_after_the_seal(database: Engine, ledger: Ledger) -> None:
    with database.begin() as connection:
        assert check_receipt(connection, ledger.last, ledger.receipts[-1].leaf_hash) is None
        sealed = seal(connection, ledger.signer, START)
        assert sealed is not None
        index = sealed.checkpoint.size - 1
        assert check_receipt(connection, ledger.last, ledger.receipts[-1].leaf_hash) == index
        with pytest.raises(ProofError, match="is not the one of the receipt: expected 00"):
            check_receipt(connection, ledger.last, bytes(32))
        with pytest.raises(ProofError, match="is not in this ledger: if that is the receipt's id"):
            check_receipt(connection, "another", bytes(32))


def test_an_unsealed_entry_that_vanished_is_told_by_its_receipt(database_url: str, ledger: Ledger) -> None:
    with attacked(database_url, ledger, delete_last_waiting) as connection:
        assert connection.execute(select(ENTRY.c.id).where(ENTRY.c.entry_id == ledger.last)).first() is None
        with pytest.raises(ProofError, match=f"entry {ledger.last} is not in this ledger: if that is the receipt's id"):
            check_receipt(connection, ledger.last, ledger.receipts[-1].leaf_hash)


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_notes_of_one_size_both_are_held_against_the_tree(database: Engine, ledger: Ledger, order: int) -> None:
    """A fork that somebody was shown: the true note must not hide the false one, whichever comes first."""
    true = read_checkpoint(ledger.notes[0], [ledger.signer.key])
    false = sign_checkpoint(true._replace(root=bytes(32)), ledger.signer)
    found = verified(database, ledger.signer.key, anchored=[ledger.notes[0], false][::order]).flaws
    assert [(flaw.what, flaw.where, flaw.expected) for flaw in found] == [
        ("root", f"anchor at {true.size} entries", bytes(32).hex())
    ]
