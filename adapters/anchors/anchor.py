"""What every anchor does: take a checkpoint's note, give a receipt, and hold one against the other later."""

from datetime import datetime
from typing import Protocol

from dealgate.models.merkle import Nodes


class AnchorError(RuntimeError):
    """An anchor that did not take a note, or cannot be asked; the ledger itself is not in doubt."""


class AnchorConflictError(AnchorError):
    """What an anchor holds and the ledger do not go together: one of them was rolled back, forked or altered."""


class Anchor(Protocol):
    """`name` is what `parse_anchor` reads."""

    name: str

    def publish(self, note: bytes, nodes: Nodes, /) -> bytes:
        """Hand over the latest checkpoint's note; the same one again does no harm. Raises `AnchorError`.

        What comes back is the receipt, for `check`.
        """

    def check(self, receipt: bytes, note: bytes, /) -> datetime | None:
        """Hold a receipt against the note: when the anchor says it took it. Raises `AnchorError`."""
