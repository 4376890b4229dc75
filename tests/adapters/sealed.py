"""A ledger in memory that grows and is sealed, for what needs checkpoints and no database."""

from dealgate.models.merkle import leaf_hash, tree_root
from dealgate.models.notes import Checkpoint, sign_checkpoint
from dealgate.models.signing import Ed25519Signer, new_key
from tests.models.trees import Leaves, numbered

ORIGIN = "lender.example/ledger"


class Sealed:
    """Entries, their tree, and the note at each size."""

    def __init__(self, entries: int = 100, origin: str = ORIGIN, *, but: bytes = b"") -> None:
        """`but` is put behind every entry: another history under the same name."""
        self.origin = origin
        self.entries = [entry + but for entry in numbered(entries)]
        self.nodes = Leaves([leaf_hash(entry) for entry in self.entries])
        self.signer = Ed25519Signer.parse(new_key(origin).private)

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(self.origin, size, tree_root(size, self.nodes))

    def note(self, size: int) -> bytes:
        return sign_checkpoint(self.checkpoint(size), self.signer)
