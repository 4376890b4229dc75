"""Is the ledger what it was? Checks that name what is wrong, where, since when, what was expected and what is there."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from dealgate.models.keys import acceptable_keys, recorded_keys, rotations
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY
from dealgate.models.merkle import Frontier
from dealgate.models.notes import MOST_ENTRIES, Checkpoint, Note, incarnation, read_checkpoint, speaks_for
from dealgate.models.signing import Kind, NoteError, VerifierKey
from dealgate.models.tree import CHECKPOINT
from dealgate.rules.decision import moment

LEVELS = ("notes", "tree", "bodies", "full")
"""Each does what those before it do: signatures and anchors; leaf hashes up to the roots; every envelope hashed again;
columns, chains, commitments and projections."""

FETCH = 2_000

RESTORES = (
    select(ENTRY.c.entry_id, BODY.c.envelope)
    .select_from(ENTRY)
    .join(BODY, BODY_OF_ENTRY)
    .where(ENTRY.c.kind == "restore")
    .order_by(ENTRY.c.id)
)

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
    receipts: int = 0
    flaws: list[Flaw] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    restores: list[Mapping[str, Any]] = field(default_factory=list)
    """What the ledger tells of each of its restores."""

    @property
    def intact(self) -> bool:
        return not self.flaws

    def flaw(self, what: str, where: str, expected: object, got: object, since: str = "") -> None:
        self.flaws.append(Flaw(what, where, since, _shown(expected), _shown(got)))

    @contextmanager
    def reading(self, what: str, where: str) -> Iterator[None]:
        """What cannot be read is a flaw of its own: what was tampered with must not end the report. A lost database ends it."""
        try:
            yield
        except Exception as error:
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise
            self.flaw(what, where, "something that can be read", f"{type(error).__name__}: {error}")


MOST_SHOWN = 200
"""Characters of a value in a flaw."""


def compare(report: Report, what: str, where: str, expected: object, got: object) -> None:
    """A flaw for each innermost place in which two documents differ."""
    for path, here, there in differences(expected, got):
        report.flaw(what, f"{path.lstrip('/')} of {where}" if path else where, here, there)


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


def in_parts(
    report: Report,
    name: Callable[[int], str],
    keys: Sequence[int],
    check: Callable[[Report, Sequence[int]], None],
) -> None:
    """Check rows together; where that fails, in halves, down to the one that cannot be read, which is a flaw by its name."""
    found = Report(report.level)
    if len(keys) == 1:
        with report.reading("row", name(keys[0])):
            check(found, keys)
    elif keys:
        try:
            check(found, keys)
        except Exception:
            middle = len(keys) // 2
            in_parts(report, name, keys[:middle], check)
            in_parts(report, name, keys[middle:], check)
            return
    report.flaws += found.flaws


class Sealing(NamedTuple):
    """A stored checkpoint that verified as a note."""

    size: int
    root: bytes
    origin: str
    sealed_at: str
    signed_by: tuple[VerifierKey, ...]


def trusted_keys(connection: Connection, report: Report, given: Sequence[VerifierKey]) -> Mapping[VerifierKey, int]:
    """The keys to hold checkpoints against, each with the last size that it may sign: those given, and those that handed over to them."""
    trusted = dict.fromkeys(given, MOST_ENTRIES)
    with report.reading("key", "the keys that the ledger names"):
        for entry_id in (entry_id for entry_id, rotation in rotations(connection) if rotation is None):
            report.flaw(
                "key", f"entry {entry_id}", "a key, and the one that it takes over from if there is one", "neither"
            )
        if not given:
            report.remarks.append(
                "no key was given: the keys are those that the database itself names. Whoever could rewrite it could name others; "
                "give the key that you hold"
            )
            given = recorded_keys(connection)[-1:]
        for one in given:
            for key, size in acceptable_keys(connection, one).items():
                trusted[key] = max(size, trusted.get(key, 0))
    return trusted


def check_notes(connection: Connection, report: Report, trusted: Mapping[VerifierKey, int]) -> list[Sealing]:
    found, keys = list[Sealing](), [key for key in trusted if key.kind is Kind.ED25519]

    def check(report: Report, sizes: Sequence[int]) -> None:
        span = select(CHECKPOINT).where(CHECKPOINT.c.size.between(sizes[0], sizes[-1])).order_by(CHECKPOINT.c.size)
        read = [_check_note(report, row, keys, named) for row in connection.execute(span)]
        found.extend(one for one in read if one)

    with report.reading("checkpoint", "checkpoints"):
        named = [*keys, *recorded_keys(connection)]
        sizes = connection.execute(select(CHECKPOINT.c.size).order_by(CHECKPOINT.c.size)).scalars().all()
        report.checkpoints = len(sizes)
        for first in range(0, len(sizes), FETCH):
            in_parts(report, "checkpoint at {} entries".format, sizes[first : first + FETCH], check)
        _check_succession(report, found, trusted)
    with report.reading("restore", "the restores that the ledger tells of"):
        report.restores = _told_restores(connection, report)
    return found


def _check_note(report: Report, row: Any, keys: Sequence[VerifierKey], named: Sequence[VerifierKey]) -> Sealing | None:
    """A note here bears signatures of the ledger's own keys and no others: what a witness signs is kept apart."""
    where = f"checkpoint at {row.size} entries"
    try:
        checkpoint = read_checkpoint(row.note.encode(), keys)
        note = Note.parse(row.note.encode())
        signed_by = tuple(note.verified_by(named))
        frontier = Frontier.from_bytes(row.frontier)
    except ValueError as error:
        report.flaw("checkpoint", where, "a note signed by the ledger's key", error)
        return None
    if (row.size, frontier.size, frontier.root()) != (checkpoint.size, checkpoint.size, checkpoint.root):
        report.flaw(
            "checkpoint",
            where,
            f"{checkpoint.size} entries, root {checkpoint.root.hex()}",
            f"{row.size} entries, root {frontier.root().hex()} in its columns",
        )
    if len(signed_by) != len(note.signatures):
        known = ", ".join(key.text for key in signed_by)
        report.flaw(
            "checkpoint",
            where,
            f"signatures by keys that the ledger names: {known}",
            f"{len(note.signatures)} signatures",
        )
    return Sealing(row.size, checkpoint.root, checkpoint.origin, moment(row.sealed_at), signed_by)


def _check_succession(report: Report, sealings: Sequence[Sealing], trusted: Mapping[VerifierKey, int]) -> None:
    """A key that has handed over signs no more: only the checkpoint of the handover bears both."""
    for sealing in sealings:
        able = [key for key in sealing.signed_by if trusted.get(key, 0) >= sealing.size]
        if not any(speaks_for(key, sealing.origin) for key in able):
            where = f"checkpoint at {sealing.size} entries"
            report.flaw(
                "checkpoint", where, "the key that took over", f"{sealing.signed_by[0].text}, which had handed over"
            )


def check_anchors(
    report: Report,
    sealings: Sequence[Sealing],
    keys: Collection[VerifierKey],
    anchored: Sequence[bytes],
) -> list[Checkpoint]:
    """Anchored checkpoints whose root the tree must have; those that the log does not reach are flaws here."""
    if not anchored:
        report.remarks.append(
            "no anchor was given: that the whole database was put back to an earlier state, or rebuilt by whoever holds the key, "
            "would not be seen"
        )
    within, last, reach = [], sealings[-1] if sealings else None, _reaches(sealings)
    for data in _of_this_ledger(report, keys, anchored):
        report.anchored += 1
        try:
            checkpoint = read_checkpoint(data, keys)
        except NoteError as error:
            report.flaw("anchor", "a note that was kept outside", "a note signed by the ledger's key", error)
            continue
        if last and checkpoint.size <= reach.get(checkpoint.origin, 0):
            within.append(checkpoint)
        elif last and (restore := _restore_after(checkpoint.origin, last, report.restores)):
            report.remarks.append(_lost(checkpoint, reach.get(checkpoint.origin, 0), restore))
        else:
            report.flaw(
                "rollback",
                f"anchor at {checkpoint.size} entries of {checkpoint.origin}",
                f"at least {checkpoint.size} entries",
                f"{last.size if last else 0} of {last.origin if last else 'none'}",
            )
    return within


def _of_this_ledger(report: Report, keys: Collection[VerifierKey], anchored: Sequence[bytes]) -> list[bytes]:
    """Several ledgers may share a file of notes. Some must be of this one, and what cannot be read is taken for one."""
    origins = [_origin(data) for data in anchored]
    names = {key.name for key in keys}
    ours = [not origin or any(incarnation(origin, name) for name in names) for origin in origins]
    others = sorted({origin for origin, our in zip(origins, ours, strict=True) if origin and not our})
    if others and not any(ours):
        report.flaw(
            "anchor", "the notes that were kept outside", "some of this ledger", f"none but of {', '.join(others)}"
        )
    elif others:
        report.remarks.append(f"{ours.count(False)} notes were passed over, of other ledgers: {', '.join(others)}")
    return [data for data, our in zip(anchored, ours, strict=True) if our]


def _origin(note: bytes) -> str:
    try:
        return Checkpoint.parse(Note.parse(note).text).origin
    except NoteError:
        return ""


def _reaches(sealings: Sequence[Sealing]) -> Mapping[str, int]:
    """How many entries are sealed under each origin or, for an earlier one, were when it ended. There may be millions of checkpoints."""
    reach = dict[str, int]()
    for one in sealings:
        reach[one.origin] = max(one.size, reach.get(one.origin, 0))
    return reach


def _told_restores(connection: Connection, report: Report) -> list[Mapping[str, Any]]:
    found = list[Mapping[str, Any]]()
    for entry_id, envelope in connection.execute(RESTORES):
        with report.reading("restore", f"entry {entry_id}"):
            told = json.loads(envelope)["restore"]
            sizes = {name: int(told.get(name) or 0) for name in ("size", "anchored_size")}
            found.append({"origin": str(told["origin"]), **sizes})
    return found


def _restore_after(origin: str, last: Sealing, restores: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The first restore that ended an origin, which is an earlier one of the same ledger: `name`, `name/2`, `name/3`."""
    name = next(key.name for key in last.signed_by if speaks_for(key, last.origin))
    ended, current = incarnation(origin, name) or MOST_ENTRIES, incarnation(last.origin, name) or 0
    begun = ((incarnation(restore["origin"], name) or 0, restore) for restore in restores)
    return next((restore for number, restore in begun if ended < number <= current), None)


def _lost(checkpoint: Checkpoint, reach: int, restore: Mapping[str, Any]) -> str:
    """Exact where the lost origin is known here; where an older backup was put back, what went before it is not."""
    count = f"{checkpoint.size - reach}" if reach else f"at least {max(1, checkpoint.size - restore['size'])}"
    told = restore["anchored_size"] >= checkpoint.size
    return f"{count} entries that {checkpoint.origin} had sealed at {checkpoint.size} are gone since a restore, " + (
        "as the ledger says" if told else "whose record tells of fewer"
    )
