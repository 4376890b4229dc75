"""The sealer in the background: seals, anchors, goes on after failures, and ends with nothing waiting."""

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from dealgate.adapters.anchors.anchor import AnchorError
from dealgate.adapters.anchors.append_only_file import FileAnchor
from dealgate.adapters.sealer import Sealer
from dealgate.models.merkle import Nodes
from dealgate.models.sealing import SEALER_LOCK
from tests.models.ledgers import a_signer, scalar, seal_all, submit_deals, verified

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
