"""A verification names what is wrong, where, since when, what was expected and what is there."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from dealgate.models.envelope import Draft
from dealgate.models.ledger import INSERT_BODY, append
from dealgate.models.notes import Checkpoint, sign_checkpoint
from dealgate.models.sealing import reopen
from dealgate.models.verification import Report, Sealing, check_anchors, differences
from tests.models.ledgers import NAME, START, a_signer, scalar, seal_all, submit_deals, unguarded, verified

SIGNER = a_signer()


def change(database: Engine, table: str, statement: str, **parameters: object) -> None:
    with database.begin() as connection:
        unguarded(connection, table)
        connection.execute(text(statement), parameters)


def test_a_ledger_as_it_was_is_intact_at_every_level(database: Engine) -> None:
    submit_deals(database, 4, deals=2)
    sealed = seal_all(database, SIGNER)
    assert sealed is not None
    for level in ("notes", "tree", "bodies", "full", "replay"):
        report = verified(database, SIGNER.key, anchored=[sealed.note], level=level)
        assert report.intact, report.flaws
        assert report.remarks == [one for one in report.remarks if "amcheck" in one]
    assert (report.sealed, report.entries, report.checkpoints, report.anchored) == (6, 6, 1, 1)


def test_it_says_what_it_cannot_see_without_a_key_and_an_anchor(database: Engine) -> None:
    submit_deals(database, 1)
    seal_all(database, SIGNER)
    remarks = " ".join(verified(database, level="tree").remarks)
    assert "no key was given" in remarks
    assert "no anchor was given" in remarks


def test_ledgers_may_share_a_file_of_notes_but_one_without_this_ledger_s_is_not_taken(database: Engine) -> None:
    submit_deals(database, 1)
    sealed = seal_all(database, SIGNER)
    assert sealed is not None
    others = [sign_checkpoint(Checkpoint(name, 9, bytes(32)), a_signer(name)) for name in ("b.example", "a.example")]
    report = verified(database, SIGNER.key, anchored=[*others, sealed.note], level="tree")
    assert (report.flaws, report.anchored) == ([], 1)
    assert report.remarks == ["2 notes were passed over, of other ledgers: a.example, b.example"]
    (flaw,) = verified(database, SIGNER.key, anchored=others, level="notes").flaws
    assert (flaw.what, flaw.got) == ("anchor", "none but of a.example, b.example")
    forged = sign_checkpoint(sealed.checkpoint, a_signer())
    (flaw,) = verified(database, SIGNER.key, anchored=[*others, forged], level="notes").flaws
    assert (flaw.what, flaw.expected) == ("anchor", "a note signed by the ledger's key")


def test_the_checkpoints_are_gone_through_once_however_many_notes_are_held_against_them() -> None:
    """A ledger that is sealed every second and anchored every minute has thousands of notes and millions of checkpoints."""

    class Counted(list[Sealing]):
        times = 0

        def __iter__(self) -> Iterator[Sealing]:
            self.times += 1
            return super().__iter__()

    sealings = Counted(Sealing(size, bytes(32), NAME, "", (SIGNER.key,)) for size in range(1, 10))
    notes = [sign_checkpoint(Checkpoint(NAME, size, bytes(32)), SIGNER) for size in range(1, 10)]
    assert len(check_anchors(Report("notes"), sealings, [SIGNER.key], notes)) == 9
    assert sealings.times == 1


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("key_rotation", {"key": {"old": None, "new": "x"}}),
        ("key_rotation", {"key": {"old": 5, "new": 5}}),
        ("key_rotation", {"key": []}),
        ("key_rotation", {}),
        ("restore", {"restore": {"origin": f"{NAME}/2", "size": "x"}}),
        ("restore", {"restore": []}),
        ("restore", {}),
    ],
)
def test_an_entry_that_says_nothing_of_its_kind_is_named_and_hides_nothing_else(
    database: Engine, kind: str, content: dict[str, Any]
) -> None:
    """Whoever may submit may append one, and no checkpoint and no restore would be known any more."""
    submit_deals(database, 1)
    sealed = seal_all(database, SIGNER)
    assert sealed is not None
    with database.begin() as connection:
        slipped_in = append(connection, Draft(str(uuid4()), kind, content), START)
        reopen(connection, SIGNER, {"reason": "disk lost"}, START)
    lost = sign_checkpoint(Checkpoint(NAME, 9, bytes(32)), SIGNER)
    report = verified(database, SIGNER.key, anchored=[sealed.note, lost], level="tree")
    assert [flaw.where for flaw in report.flaws] == [f"entry {slipped_in.entry_id}"]
    assert report.remarks == [
        f"6 entries that {NAME} had sealed at 9 are gone since a restore, whose record tells of fewer"
    ]


def test_an_altered_envelope_is_named_with_both_hashes_and_since_when(database: Engine) -> None:
    (decision,) = submit_deals(database, 1)
    seal_all(database, SIGNER, START + timedelta(hours=1))
    change(
        database,
        "dealgate_ledger_body",
        "UPDATE dealgate_ledger_body SET envelope = :data WHERE entry = "
        "(SELECT id FROM dealgate_ledger_entry WHERE entry_id = :id)",
        data=b"{}",
        id=decision,
    )
    report = verified(database, SIGNER.key, level="bodies")
    (envelope,) = report.flaws
    assert envelope.what == "envelope"
    assert decision in envelope.where
    assert envelope.since == "after it was sealed at 2026-11-20T16:00:00.000000Z"
    assert len(envelope.expected) == len(envelope.got) == 64


def test_a_second_envelope_of_an_entry_is_named(database: Engine) -> None:
    """Which PostgreSQL puts into the partition of another month for whoever may submit; on SQLite a guard stands against it."""
    (decision,) = submit_deals(database, 1)
    seal_all(database, SIGNER)
    with database.begin() as connection:
        if connection.dialect.name == "sqlite":
            unguarded(connection, "dealgate_ledger_body")
        entry = scalar(connection, "SELECT id FROM dealgate_ledger_entry WHERE entry_id = :id", id=decision)
        month = START - timedelta(days=200)
        connection.execute(INSERT_BODY, {"entry": entry, "recorded_at": month, "envelope": b"{}"})
    flaws = [flaw for flaw in verified(database, SIGNER.key).flaws if flaw.what != "guard"]
    assert [(flaw.what, flaw.where, flaw.got) for flaw in flaws] == [("envelope", f"entry {decision}", "several")]


def test_an_altered_outcome_is_seen_against_the_envelope(database: Engine) -> None:
    (decision,) = submit_deals(database, 1)
    seal_all(database, SIGNER)
    change(database, "dealgate_decision", "UPDATE dealgate_decision SET outcome = 'pass'")
    flaws = [flaw for flaw in verified(database, SIGNER.key).flaws if flaw.what != "guard"]
    assert [(flaw.what, flaw.where, flaw.expected, flaw.got) for flaw in flaws] == [
        ("projection", f"outcome of the decision of entry {decision}", "refer", "pass"),
        ("chain", "outcome of deal D-0", "pass", "refer"),
    ]


@pytest.mark.parametrize(
    ("table", "statement", "where"),
    [
        ("dealgate_deal", "UPDATE dealgate_deal SET clock_from = NULL", "clock of deal D-0"),
        (
            "dealgate_decision",
            "UPDATE dealgate_decision SET inputs_number = inputs_number + 1",
            "inputs_number of the decision of entry {}",
        ),
    ],
)
def test_what_would_hide_a_deal_from_a_report_is_seen(database: Engine, table: str, statement: str, where: str) -> None:
    (decision,) = submit_deals(database, 1)
    seal_all(database, SIGNER)
    change(database, table, statement)
    (flaw,) = [flaw for flaw in verified(database, SIGNER.key).flaws if flaw.what != "guard"]
    assert (flaw.what, flaw.where) == ("projection", where.format(decision))


def test_a_leaf_that_no_checkpoint_signs_is_a_flaw(database: Engine) -> None:
    seal_all(database, SIGNER)
    submit_deals(database, 1)
    assert verified(database, SIGNER.key, level="tree").intact
    change(
        database,
        "dealgate_ledger_leaf",
        "INSERT INTO dealgate_ledger_leaf SELECT 1, id, leaf_hash FROM dealgate_ledger_entry WHERE kind = 'decision'",
    )
    (flaw,) = verified(database, SIGNER.key, level="tree").flaws
    assert (flaw.where, flaw.expected) == ("leaf 1 and those after it", "a checkpoint that signs them")


def test_a_missing_guard_is_a_flaw(database: Engine) -> None:
    seal_all(database, SIGNER)
    with database.begin() as connection:
        unguarded(connection, "dealgate_finding")
    assert {flaw.what for flaw in verified(database, SIGNER.key).flaws} == {"guard"}


def test_a_policy_text_altered_afterwards_is_seen(database: Engine) -> None:
    submit_deals(database, 1)
    seal_all(database, SIGNER)
    change(database, "dealgate_policy_version", "UPDATE dealgate_policy_version SET document = document || ' '")
    assert [flaw.where for flaw in verified(database, SIGNER.key).flaws if flaw.what == "policy"] == [
        "document of policy sample 1"
    ]


def test_a_ledger_behind_its_anchor_was_rolled_back_unless_a_restore_says_so(database: Engine) -> None:
    submit_deals(database, 1)
    seal_all(database, SIGNER)
    ahead = a_longer_ledger(database)
    (flaw,) = verified(database, SIGNER.key, anchored=[ahead], level="notes").flaws
    assert (flaw.what, flaw.expected, flaw.got) == ("rollback", "at least 9 entries", f"3 of {NAME}")
    with database.begin() as connection:
        reopen(connection, SIGNER, {"reason": "disk lost"}, START)
    report = verified(database, SIGNER.key, anchored=[ahead], level="tree")
    assert report.intact, report.flaws
    assert report.remarks[0].startswith(f"6 entries that {NAME} had sealed at 9 are gone since a restore")


def test_a_loss_that_no_restore_of_the_ledger_tells_of_is_a_rollback(database: Engine) -> None:
    """Whoever holds the key signs the next origin; without the entry it excuses nothing."""
    submit_deals(database, 1)
    seal_all(database, SIGNER)
    ahead = a_longer_ledger(database)
    with database.begin() as connection:
        reopen(connection, SIGNER, {"reason": "disk lost"}, START)
    (remark,) = [
        one for one in verified(database, SIGNER.key, anchored=[ahead], level="notes").remarks if "gone" in one
    ]
    assert remark.endswith("are gone since a restore, whose record tells of fewer")
    change(
        database,
        "dealgate_ledger_entry",
        "UPDATE dealgate_ledger_entry SET kind = 'notice' WHERE kind = 'restore'",
    )
    (flaw,) = verified(database, SIGNER.key, anchored=[ahead], level="notes").flaws
    assert flaw.what == "rollback"


def a_longer_ledger(database: Engine) -> bytes:
    """The note of a ledger of the same key with nine entries, as an anchor would hold it."""
    from dealgate.models.merkle import Frontier, leaf_hash  # noqa: PLC0415
    from dealgate.models.notes import Checkpoint, sign_checkpoint  # noqa: PLC0415

    frontier = Frontier()
    for number in range(9):
        frontier.append(leaf_hash(bytes([number])))
    return sign_checkpoint(Checkpoint(NAME, 9, frontier.root()), SIGNER)


@pytest.mark.parametrize(
    ("expected", "got", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, [("/a/b/1", 2, 3)]),
        ({"a": 1}, {"b": 1}, [("/a", 1, None), ("/b", None, 1)]),
        ([1], [1, 2], [("", [1], [1, 2])]),
    ],
)
def test_documents_differ_at_their_innermost_places(expected: object, got: object, found: list[object]) -> None:
    assert list(differences(expected, got)) == found
