"""Is the ledger what it was? Checks that name what is wrong, where, since when, what was expected and what is there."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from dealgate.models.keys import acceptable_keys, recorded_keys
from dealgate.models.ledger import ENTRY, table
from dealgate.models.ledger_tables import LedgerErasure, LedgerLeaf, LedgerTile
from dealgate.models.merkle import Frontier, leaf_hash
from dealgate.models.notes import Checkpoint, read_checkpoint
from dealgate.models.sealing import CHECKPOINT
from dealgate.models.signing import NoteError, VerifierKey
from dealgate.models.tree import GrowingTree
from dealgate.rules.decision import moment

LEVELS = ("notes", "tree", "bodies", "full")
"""Each does what those before it do: signatures and anchors; leaf hashes up to the roots; every envelope hashed again;
columns, chains, commitments and projections."""

FETCH = 2_000

ERASURE, LEAF, TILE = map(table, (LedgerErasure, LedgerLeaf, LedgerTile))

Progress = Callable[[int, int], None]
"""Told how many entries are done, and of how many."""


class Flaw(NamedTuple):
    """One thing that is not as it was. `since` says when it was still right, as far as that can be known."""

    what: str
    where: str
    since: str
    expected: str
    got: str

    def __str__(self) -> str:
        since = f", {self.since}" if self.since else ""
        return f"{self.what}: {self.where}{since}: expected {self.expected}, got {self.got}"


@dataclass
class Report:
    """What was looked at and what was found. `remarks` are things to know that are no flaw."""

    level: str
    entries: int = 0
    sealed: int = 0
    checkpoints: int = 0
    anchored: int = 0
    flaws: list[Flaw] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        return not self.flaws

    def flaw(self, what: str, where: str, expected: object, got: object, since: str = "") -> None:
        self.flaws.append(Flaw(what, where, since, _shown(expected), _shown(got)))


MOST_SHOWN = 200
"""Characters of a value in a flaw."""


def _shown(value: object) -> str:
    shown = value.hex() if isinstance(value, bytes) else str(value)
    return shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}..."


def differences(expected: Any, got: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two documents differ: the innermost places, each with what stands there."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for name in dict.fromkeys([*expected, *got]):
            yield from differences(expected.get(name), got.get(name), f"{path}/{name}")
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (left, right) in enumerate(zip(expected, got, strict=True)):
            yield from differences(left, right, f"{path}/{index}")
    elif expected != got:
        yield path, expected, got


class Sealing(NamedTuple):
    """A stored checkpoint that verified as a note."""

    size: int
    root: bytes
    origin: str
    sealed_at: str


def verify_tree(
    connection: Connection,
    report: Report,
    keys: Sequence[VerifierKey],
    anchored: Sequence[bytes],
    progress: Progress | None = None,
) -> None:
    """The levels `notes`, `tree` and `bodies`, as far as the report's level asks."""
    sealings = _check_notes(connection, report, keys)
    anchors = _check_anchors(connection, report, sealings, keys, anchored)
    if report.level == "notes":
        return
    _check_leaves(connection, report, {one.size: one for one in sealings}, anchors, progress)


def trusted_keys(connection: Connection, report: Report, given: Sequence[VerifierKey]) -> list[VerifierKey]:
    """The keys to hold checkpoints against: those given, and those that handed over to them."""
    if not given:
        report.remarks.append(
            "no key was given: the keys are those that the database itself names. Whoever could rewrite it could name others; "
            "give the key that you hold"
        )
        return recorded_keys(connection)
    return list(dict.fromkeys(key for one in given for key in acceptable_keys(connection, one)))


def _check_notes(connection: Connection, report: Report, given: Sequence[VerifierKey]) -> list[Sealing]:
    found, keys = list[Sealing](), trusted_keys(connection, report, given)
    for row in connection.execute(select(CHECKPOINT).order_by(CHECKPOINT.c.size)):
        report.checkpoints += 1
        where = f"checkpoint at {row.size} entries"
        try:
            checkpoint = read_checkpoint(row.note.encode(), keys)
            frontier = Frontier.from_bytes(row.frontier)
        except ValueError as error:
            report.flaw("checkpoint", where, "a note signed by the ledger's key", error)
            continue
        if (row.size, frontier.size, frontier.root()) != (checkpoint.size, checkpoint.size, checkpoint.root):
            report.flaw(
                "checkpoint",
                where,
                f"{checkpoint.size} entries, root {checkpoint.root.hex()}",
                f"{row.size} entries, root {frontier.root().hex()} in its columns",
            )
        found.append(Sealing(row.size, checkpoint.root, checkpoint.origin, moment(row.sealed_at)))
    return found


def _check_anchors(
    connection: Connection,
    report: Report,
    sealings: Sequence[Sealing],
    given: Sequence[VerifierKey],
    anchored: Sequence[bytes],
) -> list[Checkpoint]:
    """Anchored checkpoints whose root the tree must have; those that the log does not reach are flaws here."""
    if not anchored:
        report.remarks.append(
            "no anchor was given: that the whole database was put back to an earlier state, or rebuilt by whoever holds the key, "
            "would not be seen"
        )
    within, last = [], sealings[-1] if sealings else None
    keys = trusted_keys(connection, Report(report.level), given)
    for data in anchored:
        report.anchored += 1
        try:
            checkpoint = read_checkpoint(data, keys)
        except NoteError as error:
            report.flaw("anchor", "a note that was kept outside", "a note signed by the ledger's key", error)
            continue
        if last and checkpoint.size <= _reach(sealings, checkpoint.origin):
            within.append(checkpoint)
        elif last and checkpoint.origin != last.origin and _earlier(checkpoint.origin, last.origin):
            lost = checkpoint.size - _reach(sealings, checkpoint.origin)
            report.remarks.append(
                f"{lost} entries that {checkpoint.origin} had sealed at {checkpoint.size} are gone since a restore, as the ledger says"
            )
        else:
            report.flaw(
                "rollback",
                f"anchor at {checkpoint.size} entries of {checkpoint.origin}",
                f"at least {checkpoint.size} entries",
                f"{last.size if last else 0} of {last.origin if last else 'none'}",
            )
    return within


def _reach(sealings: Sequence[Sealing], origin: str) -> int:
    """How many entries are sealed under an origin or, for an earlier one, were when it ended."""
    return max((one.size for one in sealings if one.origin == origin), default=0)


def _earlier(origin: str, current: str) -> bool:
    """Whether one origin came before another of the same ledger: `name`, `name/2`, `name/3`."""
    name, _, number = current.rpartition("/")
    return number.isdigit() and (origin == name or (origin.startswith(name + "/") and origin != current))


def _check_leaves(
    connection: Connection,
    report: Report,
    sealings: Mapping[int, Sealing],
    anchors: Sequence[Checkpoint],
    progress: Progress | None,
) -> None:
    total = connection.exec_driver_sql(f"SELECT count(*) FROM {LEAF.name}").scalar_one()
    bodies = Bodies(connection) if report.level != "tree" else None
    sealed_in = _next_sealing(sealings)
    tree = GrowingTree(connection, Frontier())
    frontier = tree.frontier
    wanted = {one.size: one for one in anchors}
    for index, entry, stored in _rows(
        connection, f"SELECT leaf_index, entry, leaf_hash FROM {LEAF.name} ORDER BY leaf_index"
    ):
        leaf = bytes(stored)
        if index != frontier.size:
            report.flaw("leaf", f"leaf {frontier.size}", f"a leaf at {frontier.size}", f"the next is at {index}")
            break
        if bodies:
            leaf = _held_against_body(report, bodies, index, entry, leaf, sealed_in(index))
        tree.append(leaf)
        while tree.filled:
            _check_tile(connection, report, tree.filled.pop())
        size = frontier.size
        if size in sealings:
            _compare_root(
                report, f"checkpoint at {size} entries", sealings[size].root, frontier, sealings[size].sealed_at
            )
        if size in wanted:
            _compare_root(report, f"anchor at {size} entries", wanted[size].root, frontier, "")
        if progress and size % FETCH == 0:
            progress(size, total)
    report.sealed = frontier.size
    for size in sorted({*sealings, *wanted}):
        if size > frontier.size:
            report.flaw("leaf", f"checkpoint at {size} entries", f"{size} leaves", f"{frontier.size} leaves")
    signed = connection.execute(select(func.max(CHECKPOINT.c.size))).scalar() or 0  # asked now: a sealer may be at work
    if frontier.size > signed:
        report.flaw("leaf", f"leaf {signed} and those after it", "a checkpoint that signs them", "none")
    if progress:
        progress(total, total)


def _next_sealing(sealings: Mapping[int, Sealing]) -> Callable[[int], str]:
    """When a leaf was sealed; asked in the order of the leaves."""
    waiting = iter(sorted(sealings.items()))
    current: tuple[int, Sealing] | None = next(waiting, None)

    def sealed_in(index: int) -> str:
        nonlocal current
        while current and current[0] <= index:
            current = next(waiting, None)
        return f"after it was sealed at {current[1].sealed_at}" if current else ""

    return sealed_in


def _held_against_body(report: Report, bodies: "Bodies", index: int, entry: int, leaf: bytes, since: str) -> bytes:
    found = bodies.leaf_of(entry)
    if found is None:
        if entry not in bodies.erased:
            report.flaw(
                "envelope",
                f"{bodies.name(entry)}, leaf {index}",
                "its envelope, or an entry that purged it",
                "none",
                since,
            )
        return leaf
    if found != leaf:
        report.flaw("envelope", f"{bodies.name(entry)}, leaf {index}", leaf, found, since)
    return leaf


def _check_tile(connection: Connection, report: Report, tile: Mapping[str, Any]) -> None:
    level, n = tile["level"], tile["n"]
    row = connection.execute(select(TILE.c.hashes, TILE.c.root).where(TILE.c.level == level, TILE.c.n == n)).first()
    if row is None or (bytes(row.hashes), bytes(row.root)) != (tile["hashes"], tile["root"]):
        report.flaw("tile", f"tile {n} at level {level}", tile["root"], "none" if row is None else "other hashes")


def _compare_root(report: Report, where: str, expected: bytes, frontier: Frontier, sealed_at: str) -> None:
    if frontier.root() != expected:
        report.flaw("root", where, expected, frontier.root(), f"sealed at {sealed_at}" if sealed_at else "")


class Bodies:
    """The leaf hashes of envelopes, computed again, read once in the order in which they lie."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        whole = select(ERASURE.c.erased).where(ERASURE.c.path == "")
        self.erased = frozenset(connection.execute(whole).scalars())
        order = "rowid" if connection.dialect.name == "sqlite" else "entry"
        self._stream = _rows(connection, f"SELECT entry, envelope FROM dealgate_ledger_body ORDER BY {order}")
        self._ahead: dict[int, bytes] = {}
        self._reached = 0

    def leaf_of(self, entry: int) -> bytes | None:
        while entry not in self._ahead and self._reached < entry:
            row = next(self._stream, None)
            if row is None:
                break
            self._reached = row[0]
            self._ahead[row[0]] = leaf_hash(bytes(row[1]))
        found = self._ahead.pop(entry, None)
        return found if found is not None or entry in self.erased else self._looked_up(entry)

    def _looked_up(self, entry: int) -> bytes | None:
        """Rows may lie in another order than they were made in; before a body is missed, it is asked for."""
        data = self.connection.exec_driver_sql(
            f"SELECT envelope FROM dealgate_ledger_body WHERE entry = {int(entry)}"
        ).scalar()
        return leaf_hash(bytes(data)) if data is not None else None

    def name(self, entry: int) -> str:
        return f"entry {self.connection.execute(select(ENTRY.c.entry_id).where(ENTRY.c.id == entry)).scalar()}"


def _rows(connection: Connection, statement: str) -> Iterator[Any]:
    """Rows straight from the driver, a few thousand at a time: a million of them pass through here."""
    if connection.dialect.name == "postgresql":
        options = {"stream_results": True, "yield_per": FETCH}
        with connection.exec_driver_sql(statement, execution_options=options) as result:
            yield from result
        return
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement)
        while rows := cursor.fetchmany(FETCH):
            yield from rows
    finally:
        cursor.close()
