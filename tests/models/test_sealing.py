"""Sealing: what waits gets its place in the tree, and a checkpoint that other people's verifiers read."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection, Engine, text

from dealgate.models.keys import acceptable_keys, introduce_key, recorded_keys
from dealgate.models.merkle import Frontier, inclusion_proof, leaf_hash, tree_root, verify_inclusion
from dealgate.models.notes import MOST_ENTRIES, Checkpoint, Note, read_checkpoint, sign_checkpoint
from dealgate.models.sealing import SealError, next_origin, reopen, rotate, seal
from dealgate.models.signing import Ed25519Signer, NoteError
from dealgate.models.tree import WIDTH, StoredTree
from tests.models.ledgers import NAME, START, a_signer, scalar, seal_all, submit_deals, unguarded, verified

SIGNER = a_signer()


def test_nothing_is_sealed_where_there_is_nothing_but_the_key_to_introduce(database: Engine) -> None:
    sealed = seal_all(database, SIGNER)
    assert sealed is not None
    assert sealed.checkpoint.size == 1
    assert seal_all(database, SIGNER) is None
    with database.connect() as connection:
        assert recorded_keys(connection) == [SIGNER.key]


def test_every_entry_gets_a_leaf_and_waits_no_longer(database: Engine) -> None:
    submit_deals(database, 3)
    sealed = seal_all(database, SIGNER)
    assert sealed is not None
    assert sealed.checkpoint.origin == NAME
    assert sealed.checkpoint.size == sealed.added == 5  # three decisions, their policy, the key
    with database.connect() as connection:
        assert scalar(connection, "SELECT count(*) FROM dealgate_ledger_pending") == 0
        indexes = connection.execute(text("SELECT leaf_index FROM dealgate_ledger_leaf ORDER BY 1")).scalars().all()
    assert indexes == list(range(5))


def test_the_checkpoint_is_the_root_over_the_envelopes_in_the_order_they_were_appended(database: Engine) -> None:
    submit_deals(database, 4, deals=2)
    sealed = seal_all(database, SIGNER)
    assert sealed is not None
    frontier = Frontier()
    with database.connect() as connection:
        for envelope in connection.execute(text("SELECT envelope FROM dealgate_ledger_body ORDER BY entry")).scalars():
            frontier.append(leaf_hash(bytes(envelope)))
    assert read_checkpoint(sealed.note, [SIGNER.key]) == sealed.checkpoint
    assert (sealed.checkpoint.size, sealed.checkpoint.root) == (frontier.size, frontier.root())


def test_a_ledger_grows_over_many_seals_and_every_leaf_can_be_proved(database: Engine) -> None:
    """Past a full tile, so that stored and partial tiles both are read."""
    for number in range(3):
        submit_deals(database, WIDTH // 2, first=number * WIDTH, deals=50)
        sealed = seal_all(database, SIGNER)
    assert sealed is not None
    size, root = sealed.checkpoint.size, sealed.checkpoint.root
    assert size > WIDTH
    with database.connect() as connection:
        tree = StoredTree(connection)
        assert tree_root(size, tree) == root
        leaves = (
            connection.execute(text("SELECT leaf_hash FROM dealgate_ledger_leaf ORDER BY leaf_index")).scalars().all()
        )
        for index in (0, 1, WIDTH - 1, WIDTH, size - 2, size - 1):
            verify_inclusion(bytes(leaves[index]), index, size, inclusion_proof(index, size, tree), root)
    assert verified(database, SIGNER.key).intact


def test_at_most_so_many_entries_are_sealed_at_once_and_the_rest_next_time(database: Engine) -> None:
    submit_deals(database, 5)
    sizes = []
    with database.begin() as connection:
        while sealed := seal(connection, SIGNER, START, most=2):
            sizes.append((sealed.checkpoint.size, sealed.added))
    assert sizes == [(2, 2), (4, 2), (6, 2), (7, 1)]


def test_a_seal_that_is_rolled_back_leaves_everything_waiting(database: Engine) -> None:
    submit_deals(database, 2)
    with database.connect() as connection:
        assert seal(connection, SIGNER, START)
        connection.rollback()
        assert scalar(connection, "SELECT count(*) FROM dealgate_ledger_checkpoint") == 0
        assert scalar(connection, "SELECT count(*) FROM dealgate_ledger_pending") == 3


def test_another_key_does_not_go_on_where_it_was_not_handed_over(database: Engine) -> None:
    seal_all(database, SIGNER)
    submit_deals(database, 1)
    with pytest.raises(SealError, match="the checkpoint at 1 entries does not verify: no key of"):
        seal_all(database, a_signer())


def test_an_entry_altered_before_it_is_sealed_stops_the_sealer_by_name(database: Engine) -> None:
    (decision,) = submit_deals(database, 1)
    with database.begin() as connection:
        unguarded(connection, "dealgate_ledger_body")
        statement = (
            "UPDATE dealgate_ledger_body SET envelope = :data WHERE entry = (SELECT max(id) FROM dealgate_ledger_entry)"
        )
        connection.execute(text(statement), {"data": b"{}"})
    with pytest.raises(SealError, match=f"entry {decision} was altered before it was sealed: expected .*, got "):
        seal_all(database, SIGNER)


def test_an_altered_frontier_stops_the_sealer(database: Engine) -> None:
    seal_all(database, SIGNER)
    submit_deals(database, 1)
    with database.begin() as connection:
        unguarded(connection, "dealgate_ledger_checkpoint")
        forged = Frontier(1, [bytes(32)]).to_bytes()
        connection.execute(text("UPDATE dealgate_ledger_checkpoint SET frontier = :data"), {"data": forged})
    with pytest.raises(SealError, match=r"signs the root .* of 1, its frontier has 0000"):
        seal_all(database, SIGNER)


def test_a_rotation_is_signed_by_both_keys_and_only_the_new_one_goes_on(database: Engine) -> None:
    successor = a_signer()
    submit_deals(database, 2)
    seal_all(database, SIGNER)
    with database.begin() as connection:
        sealed = rotate(connection, SIGNER, successor, START)
    assert Note.parse(sealed.note).verified_by([SIGNER.key, successor.key]) == [SIGNER.key, successor.key]

    submit_deals(database, 1, first=10)
    assert seal_all(database, successor)
    submit_deals(database, 1, first=20)
    with pytest.raises(SealError, match="no key of"):
        seal_all(database, SIGNER)
    with database.connect() as connection:
        assert acceptable_keys(connection, successor.key) == {successor.key: MOST_ENTRIES, SIGNER.key: 5}
        assert acceptable_keys(connection, SIGNER.key) == {SIGNER.key: MOST_ENTRIES}
    assert verified(database, successor.key).intact
    assert not verified(database, SIGNER.key).intact


def test_a_key_that_has_handed_over_signs_no_more(database: Engine) -> None:
    """Whoever kept the old key could go on with it: a verification by the new key's holder sees that."""
    successor = a_signer()
    seal_all(database, SIGNER)
    with database.begin() as connection:
        rotate(connection, SIGNER, successor, START)
    submit_deals(database, 1)
    seal_all(database, successor)
    sign_newest(database, SIGNER)
    flaws = verified(database, successor.key, level="notes").flaws
    assert [(flaw.what, flaw.expected) for flaw in flaws] == [("checkpoint", "the key that took over")]


@pytest.mark.parametrize("level", ["notes", "full"])
def test_a_ledger_rebuilt_under_another_key_that_is_said_to_have_handed_over_is_found(
    database: Engine, level: str
) -> None:
    """Who has the database has a key of their own, and writes that it handed over to the one that verifiers hold."""
    insider = a_signer()
    submit_deals(database, 2)
    seal_all(database, insider)
    with database.begin() as connection:
        introduce_key(connection, SIGNER.key, START, insider.key)
    assert not verified(database, SIGNER.key, level=level).intact
    seal_all(database, insider)
    flaws = verified(database, SIGNER.key, level=level).flaws
    assert [(flaw.what, flaw.where) for flaw in flaws if flaw.what == "checkpoint"] == [
        ("checkpoint", "checkpoint at 4 entries"),
        ("checkpoint", "checkpoint at 5 entries"),
    ]


def test_a_handover_that_was_slipped_in_lets_nobody_go_on_from_there(database: Engine) -> None:
    """Whoever may submit can have the sealer itself seal such an entry: the key in it signs nothing that comes later."""
    insider = a_signer()
    seal_all(database, SIGNER)
    with database.begin() as connection:
        introduce_key(connection, SIGNER.key, START, insider.key)
        introduce_key(connection, insider.key, START, SIGNER.key)
    seal_all(database, SIGNER)
    assert verified(database, SIGNER.key).intact
    submit_deals(database, 1)
    seal_all(database, SIGNER)
    sign_newest(database, insider)
    flaws = verified(database, SIGNER.key).flaws
    assert [(flaw.what, flaw.expected) for flaw in flaws if flaw.what != "guard"] == [
        ("checkpoint", "the key that took over")
    ]


def test_a_key_may_be_taken_up_again(database: Engine) -> None:
    successor = a_signer()
    seal_all(database, SIGNER)
    for old, new in ((SIGNER, successor), (successor, SIGNER)):
        with database.begin() as connection:
            rotate(connection, old, new, START)
        submit_deals(database, 1, first=int(new is SIGNER))
        seal_all(database, new)
    assert verified(database, SIGNER.key).intact


def test_a_key_that_signs_under_another_name_is_not_handed_over_to(database: Engine) -> None:
    """The origins that follow a restore would be counted under the other name, and no note anchored before be known as the ledger's."""
    seal_all(database, SIGNER)
    with (
        pytest.raises(NoteError, match=f"signs as lender.example: make one that signs as {NAME}, the ledger's name"),
        database.begin() as connection,
    ):
        rotate(connection, SIGNER, a_signer("lender.example"), START)


def test_a_ledger_may_begin_with_a_rotation(database: Engine) -> None:
    """Its own record of the keys is whole then, too."""
    successor = a_signer()
    with database.begin() as connection:
        assert rotate(connection, SIGNER, successor, START).checkpoint.size == 2
        assert recorded_keys(connection) == [SIGNER.key, successor.key]
    assert verified(database).intact
    assert verified(database, successor.key).intact


def test_a_database_that_was_lost_before_its_first_seal_goes_on_under_the_next_origin(database: Engine) -> None:
    submit_deals(database, 1)
    with database.begin() as connection:
        assert reopen(connection, SIGNER, {"reason": "disk lost"}, START).checkpoint.origin == f"{NAME}/2"
        assert recorded_keys(connection) == [SIGNER.key]
    assert verified(database).intact
    assert verified(database, SIGNER.key).intact


def sign_newest(database: Engine, signer: Ed25519Signer) -> None:
    """What an insider does with a key that is not, or no more, the ledger's."""
    with database.begin() as connection:
        unguarded(connection, "dealgate_ledger_checkpoint")
        newest = Checkpoint.parse(Note.parse(str(newest_note(connection)).encode()).text)
        connection.execute(
            text("UPDATE dealgate_ledger_checkpoint SET note = :note WHERE size = :size"),
            {"note": sign_checkpoint(newest, signer).decode(), "size": newest.size},
        )


def newest_note(connection: Connection) -> object:
    return scalar(connection, "SELECT note FROM dealgate_ledger_checkpoint ORDER BY size DESC LIMIT 1")


def test_a_leaf_slipped_in_stops_the_sealer_by_name(database: Engine) -> None:
    submit_deals(database, 1)
    seal_all(database, SIGNER)
    submit_deals(database, 1, first=5)
    with database.begin() as connection:
        forged = "INSERT INTO dealgate_ledger_leaf (leaf_index, entry, leaf_hash) SELECT 3, max(id), :hash FROM dealgate_ledger_entry"
        connection.execute(text(forged), {"hash": bytes(32)})
    with pytest.raises(SealError, match="leaf 3 lies beyond the last checkpoint, which has 3 entries"):
        seal_all(database, SIGNER)


def test_after_a_restore_the_ledger_goes_on_under_the_next_origin(database: Engine) -> None:
    submit_deals(database, 2)
    seal_all(database, SIGNER)
    with database.begin() as connection:
        first = reopen(connection, SIGNER, {"reason": "disk lost"}, START)
        second = reopen(connection, SIGNER, {"reason": "again"}, START + timedelta(days=1))
    assert (first.checkpoint.origin, second.checkpoint.origin) == (f"{NAME}/2", f"{NAME}/3")
    assert verified(database, SIGNER.key).intact


@pytest.mark.parametrize(
    ("origins", "following"),
    [(["a"], "a/2"), (["a/2"], "a/3"), (["a/9"], "a/10"), (["a", "a/3", "a/2", "b/7", "a/x", "a/3/8"], "a/4")],
)
def test_origins_are_counted(origins: list[str], following: str) -> None:
    assert next_origin(origins, "a") == following
