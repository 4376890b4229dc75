"""The tree held against its leaves, the leaves against the envelopes, and both against the checkpoints and anchors over them."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, func, select

from dealgate.models.ledger import ENTRY
from dealgate.models.merkle import Frontier, leaf_hash
from dealgate.models.notes import Checkpoint
from dealgate.models.signing import VerifierKey
from dealgate.models.tree import CHECKPOINT, LEAF, TILE, WIDTH, GrowingTree
from dealgate.models.verification import Progress, Report, Sealing, check_anchors, check_notes, trusted_keys

FETCH = 2_048
LAST_SIZE = select(func.max(CHECKPOINT.c.size))


def verify_tree(
    connection: Connection,
    report: Report,
    keys: Sequence[VerifierKey],
    anchored: Sequence[bytes],
    purged: Collection[int] = (),
    progress: Progress | None = None,
) -> None:
    """The levels `notes`, `tree` and `bodies`, as far as the report's level asks. `purged` are entries without an envelope."""
    trusted = trusted_keys(connection, report, keys)
    sealings = check_notes(connection, report, trusted)
    anchors = check_anchors(report, sealings, trusted, anchored)
    if report.level == "notes":
        return
    with report.reading("leaf", "leaves, tiles and envelopes"):
        LeafChecks(connection, report, sealings, anchors, purged, progress).run()


class LeafChecks:
    """One walk over all leaves, in their order. Where 256 of them are as they should be, they are taken together."""

    def __init__(
        self,
        connection: Connection,
        report: Report,
        sealings: Sequence[Sealing],
        anchors: Sequence[Checkpoint],
        purged: Collection[int],
        progress: Progress | None,
    ) -> None:
        self.connection = connection
        self.report = report
        self.progress = progress
        self.sealings = sorted(sealings)
        self.roots = defaultdict[int, list[tuple[str, bytes, str]]](list)
        for sealing in sealings:
            self.roots[sealing.size].append(("checkpoint", sealing.root, f"sealed at {sealing.sealed_at}"))
        for anchor in anchors:
            self.roots[anchor.size].append(("anchor", anchor.root, ""))
        self.stops = sorted(self.roots, reverse=True)
        self.tree = GrowingTree(connection, Frontier())
        self.bodies = Bodies(connection, purged) if report.level != "tree" else None
        self.tiles = StoredTiles(connection)

    def run(self) -> None:
        frontier, leaves = self.tree.frontier, LEAF.name
        total = self.connection.exec_driver_sql(f"SELECT count(*) FROM {leaves}").scalar_one()
        rows = Rows(self.connection, f"SELECT leaf_index, entry, leaf_hash FROM {leaves} ORDER BY leaf_index")
        while part := rows.take(WIDTH - frontier.size % WIDTH):
            if not (self._together(part) or self._one_by_one(part)):
                break
            if self.progress and frontier.size % FETCH == 0:
                self.progress(frontier.size, total)
        for one in (rows, self.tiles.lowest, *([self.bodies.stream] if self.bodies else [])):
            one.close()
        self.report.sealed = frontier.size
        self._check_ends()
        if self.progress:
            self.progress(total, total)

    def _together(self, rows: Sequence[Any]) -> bool:
        """Take a whole tile of leaves at once. False where something about them must be looked at one by one."""
        size = self.tree.frontier.size
        if len(rows) != WIDTH or (rows[0][0], rows[-1][0]) != (size, size + WIDTH - 1):
            return False
        if self._next_stop() < size + WIDTH:
            return False
        hashes = [row[2] for row in rows]
        if self.bodies and not self.bodies.are_next([row[1] for row in rows], hashes):
            return False
        self.tree.append_tile(hashes)
        self._check_filled()
        self._check_roots()
        return True

    def _one_by_one(self, rows: Sequence[Any]) -> bool:
        for index, entry, stored in rows:
            size = self.tree.frontier.size
            if index != size:
                self.report.flaw("leaf", f"leaf {size}", f"a leaf at {size}", f"the next is at {index}")
                return False
            leaf = stored if isinstance(stored, bytes) else b""
            self._hold_against_body(index, entry, leaf)
            self.tree.append(leaf)
            self._check_filled()
            self._check_roots()
        return True

    def _next_stop(self) -> int:
        """The next size at which a root must be right."""
        while self.stops and self.stops[-1] <= self.tree.frontier.size:
            self.stops.pop()
        return self.stops[-1] if self.stops else 2**63

    def _check_roots(self) -> None:
        size = self.tree.frontier.size
        if size in self.roots:
            for what, expected, since in self.roots[size]:
                if (found := self.tree.frontier.root()) != expected:
                    self.report.flaw("root", f"{what} at {size} entries", expected, found, since)

    def _check_filled(self) -> None:
        while self.tree.filled:
            tile = self.tree.filled.pop()
            self.tiles.expected += 1
            found = self.tiles.at(tile["level"], tile["n"])
            if found != (tile["hashes"], tile["root"]):
                where = f"tile {tile['n']} at level {tile['level']}"
                self.report.flaw("tile", where, tile["root"], "other hashes" if found else "none")

    def _check_ends(self) -> None:
        size = self.tree.frontier.size
        if self.tiles.stored > self.tiles.expected:
            self.report.flaw("tile", "tiles", f"{self.tiles.expected} over {size} leaves", self.tiles.stored)
        for stop in sorted(self.roots):
            if stop > size:
                self.report.flaw("leaf", f"checkpoint at {stop} entries", f"{stop} leaves", f"{size} leaves")
        signed = self.connection.execute(LAST_SIZE).scalar() or 0  # asked now: a sealer may be at work
        if size > signed:
            self.report.flaw("leaf", f"leaf {signed} and those after it", "a checkpoint that signs them", "none")

    def _hold_against_body(self, index: int, entry: int, leaf: bytes) -> None:
        if self.bodies is None:
            return
        found = self.bodies.leaf_of(entry)
        if found == leaf or (found is None and entry in self.bodies.purged):
            return
        expected = leaf if found else "its envelope, or an entry that purged it"
        where = f"{self.bodies.name(entry)}, leaf {index}"
        self.report.flaw("envelope", where, expected, found or "none", self._since(index))

    def _since(self, index: int) -> str:
        """When a leaf was sealed."""
        at = next((one.sealed_at for one in self.sealings if one.size > index), None)
        return f"after it was sealed at {at}" if at else ""


class StoredTiles:
    """The tiles as they are stored; those of the lowest level, which are nearly all, are read in their order."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.expected = 0
        # Before the leaves, as a sealer may be at work: every tile there is now lies over leaves that are read below.
        self.stored = connection.execute(select(func.count()).select_from(TILE)).scalar_one()
        self.lowest = Rows(connection, f"SELECT n, hashes, root FROM {TILE.name} WHERE level = 0 ORDER BY n")
        self._next = self._following()

    def at(self, level: int, n: int) -> tuple[bytes, bytes] | None:
        while level == 0 and self._next and self._next[0] < n:
            self._next = self._following()
        if level == 0 and self._next and self._next[0] == n:
            return self._next[1], self._next[2]
        row = self.connection.execute(select(TILE).where(TILE.c.level == level, TILE.c.n == n)).first()
        return (row.hashes, row.root) if row else None

    def _following(self) -> Any:
        return next(iter(self.lowest.take(1)), None)


class Bodies:
    """The leaf hashes of envelopes, computed again, read once in the order in which they lie."""

    def __init__(self, connection: Connection, purged: Collection[int]) -> None:
        self.connection = connection
        self.purged = purged
        order = "rowid" if connection.dialect.name == "sqlite" else "entry"
        self.stream = Rows(connection, f"SELECT entry, envelope FROM dealgate_ledger_body ORDER BY {order}")
        self._ahead: dict[int, bytes] = {}
        self._reached = 0

    def are_next(self, entries: Sequence[int], hashes: Sequence[bytes]) -> bool:
        """Whether the next envelopes are those of these entries and have these hashes; those purged are passed over."""
        if self._ahead:
            return False
        if self.purged:
            left = [pair for pair in zip(entries, hashes, strict=True) if pair[0] not in self.purged]
            entries, hashes = [entry for entry, _ in left], [hashed for _, hashed in left]
        rows = self.stream.take(len(entries)) if entries else []
        found = _leaves_of(rows)
        numbers = [row[0] for row in rows]
        self._reached = max(self._reached, *numbers) if numbers else self._reached
        if numbers == entries and found == hashes:
            return True
        self._ahead = dict(zip(numbers, found, strict=True))
        return False

    def leaf_of(self, entry: int) -> bytes | None:
        while entry not in self._ahead and self._reached < entry:
            rows = self.stream.take(1)
            if not rows:
                break
            self._reached = rows[0][0]
            self._ahead[self._reached] = _leaf_of(rows[0][1])
        found = self._ahead.pop(entry, None)
        return found if found is not None or entry in self.purged else self._looked_up(entry)

    def _looked_up(self, entry: int) -> bytes | None:
        """Rows may lie in another order than they were made in; before a body is missed, it is asked for."""
        data = self.connection.exec_driver_sql(
            f"SELECT envelope FROM dealgate_ledger_body WHERE entry = {int(entry)}"
        ).scalar()
        return _leaf_of(data) if data is not None else None

    def name(self, entry: int) -> str:
        return f"entry {self.connection.execute(select(ENTRY.c.entry_id).where(ENTRY.c.id == entry)).scalar()}"


def _leaves_of(rows: Sequence[Any]) -> list[bytes]:
    try:
        return [sha256(b"\0" + row[1]).digest() for row in rows]
    except TypeError:
        return [_leaf_of(row[1]) for row in rows]


def _leaf_of(envelope: object) -> bytes:
    """SQLite keeps whatever it is given; what is not bytes is no envelope."""
    return leaf_hash(envelope) if type(envelope) is bytes else b""


class Rows:
    """Rows straight from the driver, as many at a time as are asked for: a million of them pass through here."""

    def __init__(self, connection: Connection, statement: str) -> None:
        self._cursor: Any
        if connection.dialect.name == "postgresql":
            options = {"stream_results": True, "yield_per": FETCH}
            self._cursor = connection.exec_driver_sql(statement, execution_options=options)
        else:
            self._cursor = connection.connection.cursor()
            self._cursor.execute(statement)

    def take(self, count: int) -> Sequence[Any]:
        rows: Sequence[Any] = self._cursor.fetchmany(count)
        return rows

    def close(self) -> None:
        self._cursor.close()
