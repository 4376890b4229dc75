"""The ledger's tree in the database: leaves by number, and above them tiles of 256 hashes (C2SP tlog-tiles, height 8)."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from dealgate.models.ledger import table
from dealgate.models.ledger_tables import LedgerCheckpoint, LedgerLeaf, LedgerTile
from dealgate.models.merkle import HASH_BYTES, Frontier

HEIGHT = 8
WIDTH = 1 << HEIGHT

LEAF, TILE, CHECKPOINT = map(table, (LedgerLeaf, LedgerTile, LedgerCheckpoint))
INSERT_LEAF, INSERT_TILE = map(insert, (LEAF, TILE))
LEAVES_OF = (
    select(LEAF.c.leaf_hash)
    .where(LEAF.c.leaf_index >= bindparam("first"), LEAF.c.leaf_index < bindparam("end"))
    .order_by(LEAF.c.leaf_index)
)
ROOTS_OF = (
    select(TILE.c.root)
    .where(TILE.c.level == bindparam("level"), TILE.c.n >= bindparam("first"), TILE.c.n < bindparam("end"))
    .order_by(TILE.c.n)
)
TILE_AT = select(TILE.c.hashes).where(TILE.c.level == bindparam("level"), TILE.c.n == bindparam("n"))


class StoredTree:
    """The nodes of the tree over the sealed entries. Only full tiles are stored; the last, partial one is put together."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._read: dict[tuple[int, int], list[bytes]] = {}

    def node(self, height: int, index: int, /) -> bytes:
        """The hash of the perfect subtree over the 2**height leaves from `index * 2**height` on. Raises `LookupError`."""
        level, above = divmod(height, HEIGHT)
        first = index << above
        hashes = self._tile(level, first // WIDTH)
        within = hashes[first % WIDTH : first % WIDTH + (1 << above)]
        if len(within) != 1 << above:
            raise LookupError(f"the tree has no node {index} at height {height}: leaves or tiles are missing")
        return perfect_root(within)

    def _tile(self, level: int, n: int) -> list[bytes]:
        if (level, n) not in self._read:
            self._read[level, n] = self._stored_tile(level, n) or self.partial(level, n)
        return self._read[level, n]

    def _stored_tile(self, level: int, n: int) -> list[bytes]:
        hashes = self.connection.execute(TILE_AT, {"level": level, "n": n}).scalar()
        return list(split_hashes(hashes)) if hashes else []

    def partial(self, level: int, n: int) -> list[bytes]:
        """The hashes of a tile that is not full yet, as far as there are any."""
        span = {"first": n * WIDTH, "end": (n + 1) * WIDTH}
        if level == 0:
            return list(self.connection.execute(LEAVES_OF, span).scalars())
        return list(self.connection.execute(ROOTS_OF, {"level": level - 1, **span}).scalars())


class GrowingTree:
    """A frontier that takes leaves, and the tiles that they fill."""

    def __init__(self, connection: Connection, frontier: Frontier) -> None:
        self.frontier = frontier
        self.filled: list[dict[str, Any]] = []
        self._stored = StoredTree(connection)
        self._open: dict[int, list[bytes]] = {}

    def append(self, leaf: bytes) -> None:
        index = self.frontier.size
        self.frontier.append(leaf)
        self._add(0, index, leaf)

    def append_tile(self, leaves: list[bytes]) -> None:
        """Take as many leaves as fill a tile, where one begins."""
        n, root = self.frontier.size // WIDTH, perfect_root(leaves)
        self.frontier.append_subtree(HEIGHT, root)
        self._fill(0, n, leaves, root)

    def _add(self, level: int, index: int, hashed: bytes) -> None:
        """Put a hash in its place on a level; a tile that it fills is one hash of the level above."""
        n, place = divmod(index, WIDTH)
        if level not in self._open:
            self._open[level] = self._stored.partial(level, n)[:place]
        tile = self._open[level]
        tile.append(hashed)
        if len(tile) == WIDTH:
            self._fill(level, n, tile, perfect_root(tile))

    def _fill(self, level: int, n: int, tile: list[bytes], root: bytes) -> None:
        self.filled.append({"level": level, "n": n, "hashes": b"".join(tile), "root": root})
        self._open[level] = []
        self._add(level + 1, n, root)


def perfect_root(hashes: list[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    level = b"".join(hashes)
    while len(level) > HASH_BYTES:
        pairs = range(0, len(level), 2 * HASH_BYTES)
        level = b"".join([sha256(b"\1" + level[at : at + 2 * HASH_BYTES]).digest() for at in pairs])
    return level


def split_hashes(data: bytes) -> Iterator[bytes]:
    return (data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))
