"""The sealer in the background: seals, anchors, goes on after failures, and ends with nothing waiting."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from dealgate import Deal, Gate
from dealgate.adapters.anchors.anchor import AnchorConflictError, AnchorError
from dealgate.adapters.anchors.append_only_file import FileAnchor
from dealgate.adapters.sealer import Sealer, UnsealedError
from dealgate.models.merkle import Nodes, leaf_hash
from dealgate.models.notes import Checkpoint, sign_checkpoint
from dealgate.models.sealing import SEALER_LOCK
from tests.models.ledgers import a_signer, scalar, seal_all, submit_deals, unguarded, verified
from tests.models.samples import a_deal

SIGNER = a_signer()


class Unreachable:
    """An anchor whose server is away until told otherwise."""

    name = "witness:away"

    def __init__(self) -> None:
        self.away = True
        self.notes: list[bytes] = []

    def publish(self, note: bytes, _nodes: Nodes, /) -> bytes:
        if self.away:
            raise AnchorError("nobody answers")
        self.notes.append(note)
        return b"receipt"

    def check(self, receipt: bytes, note: bytes, /) -> None:
        """It is never asked."""


def test_it_seals_everything_and_anchors_the_last_checkpoint_once(database: Engine, tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path / "anchors")
    sealer = Sealer(database, SIGNER, [anchor])
    submit_deals(database, 3)
    sealed = sealer.seal()
    assert sealed is not None
    assert sealer.anchor() == sealer.anchor() == []
    assert list(anchor.notes()) == [sealed.note]
    with database.connect() as connection:
        assert scalar(connection, "SELECT count(*) FROM dealgate_ledger_anchor") == 1
    assert verified(database, SIGNER.key, anchored=list(anchor.notes())).intact


def test_a_checkpoint_sealed_before_a_crash_is_anchored_by_the_next_sealer(database: Engine, tmp_path: Path) -> None:
    sealed = Sealer(database, SIGNER).seal()
    assert sealed is not None
    anchor = FileAnchor(tmp_path / "anchors")
    assert Sealer(database, SIGNER, [anchor]).anchor() == []
    assert list(anchor.notes()) == [sealed.note]


def test_an_anchor_that_is_away_is_told_and_tried_again(database: Engine, tmp_path: Path) -> None:
    away, file = Unreachable(), FileAnchor(tmp_path / "anchors")
    sealer = Sealer(database, SIGNER, [away, file])
    sealed = sealer.seal()
    assert sealed is not None
    assert [str(error) for error in sealer.anchor()] == ["nobody answers"]
    assert list(file.notes()) == [sealed.note]
    away.away = False
    assert sealer.anchor() == []
    assert away.notes == [sealed.note]


def test_a_sealer_that_another_overtakes_while_it_anchors_tells_of_no_other_history(
    database: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "anchors"

    class Overtaken(FileAnchor):
        """Comes too late with the first note it is given."""

        def publish(self, note: bytes, nodes: Nodes | None = None, /) -> bytes:
            if not path.exists():
                submit_deals(database, 1)
                other = Sealer(database, SIGNER, [FileAnchor(path)])
                assert other.seal()
                assert other.anchor() == []
            return super().publish(note, nodes)

    sealer = Sealer(database, SIGNER, [Overtaken(path)])
    sealer.seal()
    assert sealer.anchor() == []
    assert verified(database, SIGNER.key, anchored=list(FileAnchor(path).notes())).intact


def test_an_anchor_that_knows_another_history_is_told(database: Engine, tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path / "anchors")
    anchor.publish(sign_checkpoint(Checkpoint(SIGNER.key.name, 1, bytes(32)), SIGNER))
    sealer = Sealer(database, SIGNER, [anchor])
    sealer.seal()
    (error,) = sealer.anchor()
    assert isinstance(error, AnchorConflictError)


def test_a_watch_seals_what_comes_and_what_waits_when_it_is_stopped(database: Engine, tmp_path: Path) -> None:
    anchor, stop = FileAnchor(tmp_path / "anchors"), threading.Event()
    sealer = Sealer(database, SIGNER, [anchor], anchor_every=0.0)
    thread = threading.Thread(target=sealer.watch, args=(stop, 0.02))
    thread.start()
    try:
        submit_deals(database, 3)
        waited_for(database, 0)
    finally:
        submit_deals(database, 2, first=10)
        stop.set()
        thread.join(30)
    with database.connect() as connection:
        assert scalar(connection, "SELECT count(*) FROM dealgate_ledger_pending") == 0
        sizes = connection.execute(text("SELECT max(size) FROM dealgate_ledger_anchor")).scalar()
    assert sizes == 7
    assert verified(database, SIGNER.key, anchored=list(anchor.notes())).intact


def waited_for(database: Engine, pending: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with database.connect() as connection:
            if scalar(connection, "SELECT count(*) FROM dealgate_ledger_pending") == pending:
                return
        time.sleep(0.02)
    raise AssertionError("the sealer did not come round")


def test_a_watch_goes_on_after_a_failure(
    database: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sealer, stop = Sealer(database, SIGNER), threading.Event()
    rounds = []
    seal = sealer.seal

    def failing_first() -> object:
        rounds.append(True)
        if len(rounds) == 1:
            raise RuntimeError("the database is away")
        stop.set()
        return seal()

    monkeypatch.setattr(sealer, "seal", failing_first)
    sealer.watch(stop, 0.0)
    assert len(rounds) == 3
    assert "the ledger was not sealed" in caplog.text
    assert verified(database, SIGNER.key).sealed == 1


def test_a_gate_with_a_sealer_answers_when_the_entry_is_sealed(database: Engine) -> None:
    gate = Gate(database, "prime-auto", sealer=Sealer(database, SIGNER))
    keys = [f"K-{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda key: (gate.submit(a_deal(), idempotency_key=key), sealed_of(database)), keys))
    for verdict, sealed in verdicts:
        assert verdict.receipt.entry in sealed
    replayed = gate.submit(a_deal(), idempotency_key=keys[0])
    assert (replayed.replayed, replayed.decision_id) == (True, verdicts[0][0].decision_id)
    assert verified(database, SIGNER.key).intact


def sealed_of(database: Engine) -> set[object]:
    with database.connect() as connection:
        return {*connection.execute(text("SELECT entry FROM dealgate_ledger_leaf")).scalars()}


def test_what_cannot_be_sealed_is_told_and_answered_once_it_can(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealer = Sealer(database, SIGNER)
    gate, deal = Gate(database, "prime-auto", sealer=sealer), a_deal()
    monkeypatch.setattr(sealer, "seal", lambda: None)  # as while another one is at work
    with pytest.raises(UnsealedError, match=r"another sealer is at work.*same idempotency key") as refused:
        sealer.seal_through(Gate(database, "prime-auto").submit(deal, idempotency_key="K").receipt, patience=0.05)
    assert "is recorded and not sealed yet" in str(refused.value)
    monkeypatch.undo()
    seal_all(database, a_signer())
    with pytest.raises(UnsealedError, match="does not verify"):  # by a key that is not this one's
        gate.submit(deal, idempotency_key="K2")
    with database.connect() as connection:
        assert scalar(connection, "SELECT count(*) FROM dealgate_decision") == 2


def test_an_entry_that_was_exchanged_before_it_was_sealed_is_not_taken_for_the_one_of_the_receipt(
    database: Engine,
) -> None:
    sealer = Sealer(database, SIGNER)
    receipt = Gate(database, "prime-auto").submit(a_deal()).receipt
    with database.begin() as connection:
        forged = scalar(
            connection, "SELECT envelope FROM dealgate_ledger_body WHERE entry = :entry", entry=receipt.entry
        )
        assert isinstance(forged, bytes)
        forged = forged.replace(b'"actor":null', b'"actor":"someone"')
        for table, column, value in (("body", "envelope", forged), ("entry", "leaf_hash", leaf_hash(forged))):
            unguarded(connection, f"dealgate_ledger_{table}")
            key = "entry" if table == "body" else "id"
            change = text(f"UPDATE dealgate_ledger_{table} SET {column} = :value WHERE {key} = :entry")
            connection.execute(change, {"value": value, "entry": receipt.entry})
    with pytest.raises(UnsealedError, match=f"expected {receipt.leaf_hash.hex()}, got {leaf_hash(forged).hex()}"):
        sealer.seal_through(receipt)
    assert receipt.entry in sealed_of(database)


def test_another_sealer_that_is_at_work_is_waited_for(database: Engine) -> None:
    sealer = Sealer(database, SIGNER)
    receipt = Gate(database, "prime-auto").submit(a_deal()).receipt
    other = threading.Timer(0.2, seal_all, (database, SIGNER))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealer, "seal", lambda: None)
        other.start()
        sealer.seal_through(receipt, patience=30)
    other.join()
    assert receipt.entry in sealed_of(database)


def test_a_gate_with_a_sealer_takes_no_transaction_of_a_host(database: Engine) -> None:
    gate = Gate(database, "prime-auto", sealer=Sealer(database, SIGNER))
    with database.begin() as connection:
        for refused in (
            lambda: gate.submit(a_deal(), session=connection),
            lambda: list(gate.submit_all([Deal.read(a_deal())], session=connection)),
            lambda: gate.guard(object, mapping=lambda _: a_deal()),
        ):
            with pytest.raises(ValueError, match=r"sealer.seal_through\(verdict.receipt\) after the commit"):
                refused()
        assert scalar(connection, "SELECT count(*) FROM dealgate_deal") == 0


def test_while_one_sealer_is_at_work_another_waits_or_leaves(database: Engine) -> None:
    submit_deals(database, 1)
    if database.dialect.name == "postgresql":
        with database.connect() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": SEALER_LOCK})
            assert seal_all(database, SIGNER) is None
        assert seal_all(database, SIGNER)
        return
    sealers = [threading.Thread(target=Sealer(database, SIGNER).seal) for _ in range(4)]
    for each in sealers:
        each.start()
    for each in sealers:
        each.join(30)
    assert verified(database, SIGNER.key).sealed == 3
