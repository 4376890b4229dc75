"""The sealer: seals what waits, again and again, and anchors the checkpoints outside the database."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Event
from time import monotonic, sleep

from sqlalchemy import Connection, Engine, bindparam, insert, select

from dealgate.adapters.anchors.anchor import Anchor, AnchorConflictError, AnchorError
from dealgate.adapters.database import READS_ONLY
from dealgate.adapters.transactions import in_transaction
from dealgate.models.ledger import Receipt, table
from dealgate.models.ledger_tables import LedgerAnchor
from dealgate.models.sealing import AT_ONCE, LAST, Sealed, SealError, seal
from dealgate.models.signing import Signer
from dealgate.models.tree import LEAF, StoredTree

log = logging.getLogger("dealgate.sealer")

ANCHOR = table(LedgerAnchor)
INSERT_ANCHOR = insert(ANCHOR)
LEAF_OF = select(LEAF.c.leaf_hash).where(LEAF.c.entry == bindparam("entry"))
SINKS_AT = select(ANCHOR.c.sink).where(ANCHOR.c.size == bindparam("at"))


PAUSE = 0.01
"""In seconds, while another sealer is at work."""


class UnsealedError(RuntimeError):
    """An entry is recorded, but was not sealed when its caller could wait no longer; or what was sealed is another."""


class Sealer:
    """Seals the ledger of one database with one key.

    `anchor_every` is the least time in seconds between two anchored checkpoints; the last one is anchored when a watch ends.
    """

    def __init__(
        self, engine: Engine, signer: Signer, anchors: Sequence[Anchor] = (), *, anchor_every: float = 60.0
    ) -> None:
        self.engine = engine
        self.signer = signer
        self.anchors = anchors
        self.anchor_every = anchor_every
        self._anchored_at = -anchor_every

    def seal(self) -> Sealed | None:
        """Seal everything that waits, in as many transactions as it takes. None where nothing did, or another sealer is at work.

        Raises `SealError` where the ledger does not verify, and what SQLAlchemy raises when the database fails.
        """
        last, added = None, 0
        while sealed := in_transaction(self.engine, self._seal_once):
            last, added = sealed, added + sealed.added
            if sealed.added < AT_ONCE:
                break
        return last._replace(added=added) if last else None

    def seal_through(self, receipt: Receipt, patience: float = 5.0) -> None:
        """Return once this committed entry is sealed, by this sealer or by another that is at work.

        Raises `UnsealedError` where it is not within so many seconds, or cannot be: the entry stands, and is sealed later. Also where
        another is sealed in its place.
        """
        ending = monotonic() + patience
        try:
            while (leaf := self._leaf_of(receipt.entry)) is None:
                if monotonic() >= ending:
                    raise SealError("another sealer is at work, or it does not wait to be sealed")
                if self.seal() is None:
                    sleep(PAUSE)
        except Exception as error:
            raise UnsealedError(
                f"entry {receipt.entry_id} is recorded and not sealed yet: {error}; take nothing for passed, and submit it again "
                "under the same idempotency key"
            ) from error
        if leaf != receipt.leaf_hash:
            raise UnsealedError(
                f"entry {receipt.entry_id} is not what is sealed in its place: expected {receipt.leaf_hash.hex()}, got {leaf.hex()}. "
                "It was exchanged before it was sealed, or this is another database: take nothing for passed, and verify the ledger"
            )

    def _leaf_of(self, entry: int) -> bytes | None:
        with self.engine.connect().execution_options(**{READS_ONLY: True}) as connection:
            return connection.execute(LEAF_OF, {"entry": entry}).scalar()

    def anchor(self) -> list[AnchorError]:
        """Publish the newest checkpoint to every anchor that does not have it. One that fails is told, and tried again next time."""
        self._anchored_at = monotonic()
        failures = list[AnchorError]()
        for anchor in self.anchors:
            try:
                self._publish_newest(anchor)
            except AnchorError as error:
                log.error("the newest checkpoint is not anchored: %s", error)
                failures.append(error)
        return failures

    def watch(self, stop: Event, interval: float = 1.0) -> None:
        """Seal and anchor until told to stop. A failure is logged, and the next round begins anew."""
        while not stop.is_set():
            try:
                sealed = self.seal()
                if sealed:
                    log.info("sealed %d entries, %d in all", sealed.added, sealed.checkpoint.size)
                if monotonic() - self._anchored_at >= self.anchor_every:
                    self.anchor()
            except Exception:
                log.critical("the ledger was not sealed", exc_info=True)
            stop.wait(interval)
        self.seal()
        self.anchor()

    def _seal_once(self, connection: Connection, again: bool) -> Sealed | None:
        return seal(connection, self.signer, datetime.now(UTC))

    def _publish_newest(self, anchor: Anchor) -> None:
        """Where another sealer anchored a later checkpoint in between, that is the newest by now, and no other history."""
        try:
            self._publish(anchor)
        except AnchorConflictError:
            self._publish(anchor)

    def _publish(self, anchor: Anchor) -> None:
        with self.engine.connect().execution_options(**{READS_ONLY: True}) as connection:
            newest = connection.execute(LAST).first()
            if newest is None or anchor.name in connection.execute(SINKS_AT, {"at": newest.size}).scalars():
                return
            receipt = anchor.publish(newest.note.encode(), StoredTree(connection))
        row = {"size": newest.size, "sink": anchor.name, "receipt": receipt, "anchored_at": datetime.now(UTC)}
        in_transaction(self.engine, lambda connection, again: connection.execute(INSERT_ANCHOR, row))
