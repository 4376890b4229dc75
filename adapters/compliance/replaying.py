"""Stored decisions made again, each with a verdict: a match, or what drifted since and in which direction."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from multiprocessing import get_context
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from dealgate.adapters.compliance.shown_drift import shown_difference, shown_flaw
from dealgate.adapters.compliance.withholding import OUTSIDE, may_read
from dealgate.adapters.database import READS_ONLY, open_database
from dealgate.adapters.replay import Difference, Replayer, compared, other_versions
from dealgate.models.commitments import PrivateValue
from dealgate.models.entry_checks import check_batch
from dealgate.models.envelope import read_deal, read_decision
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY, private_values
from dealgate.models.merkle import leaf_hash
from dealgate.models.verification import Flaw, Report
from dealgate.rules.evaluation import VERSIONS
from dealgate.rules.policy import Outcome

BATCH = 200
"""Decisions that are read at once."""

CHUNK = 1_000
"""Decisions that a process makes again before it tells how far it is."""

SPARSE = 20
"""Entries to a decision from which on the ones between are not worth looking at."""

INPUTS = {"envelope", "leaf hash", "column", "personal value", "projection", "row"}
"""Flaws of an entry that put in doubt what was decided about; its place in chain and tree is the verification's to judge."""

OF_DECISION = ENTRY.c.kind == "decision"
STORED = select(ENTRY.c.id, ENTRY.c.entry_id, ENTRY.c.deal_id, ENTRY.c.leaf_hash, BODY.c.envelope).outerjoin(
    BODY, BODY_OF_ENTRY
)


class Verdict(StrEnum):
    MATCH = "match"
    INPUT_DRIFT = "input drift"
    POLICY_DRIFT = "policy drift"
    ENGINE_DRIFT = "engine drift"
    NOT_REPLAYABLE = "not replayable"


DRIFTS = (Verdict.INPUT_DRIFT, Verdict.POLICY_DRIFT, Verdict.ENGINE_DRIFT)


class Replayed(NamedTuple):
    """What came of making one decision again.

    `direction` is that of today's decision: stricter, looser, mixed, or evidence only where no rule and no outcome differs; None
    where it could not be made. `flaws` are what is wrong with the stored inputs.
    """

    decision_id: str
    deal_id: str
    verdict: Verdict
    why: str = ""
    direction: str | None = None
    differences: tuple[Difference, ...] = ()
    flaws: tuple[Flaw, ...] = ()

    def shown_to(self, reader: str) -> "Replayed":
        """Every place that differs, without the values that this reader is not shown. Raises `UnknownReaderError`."""
        shows = may_read(reader)
        return self._replace(
            differences=tuple(shown_difference(one, shows) for one in self.differences),
            flaws=tuple(shown_flaw(one, reader) for one in self.flaws),
        )

    def document(self) -> dict[str, Any]:
        """As plain JSON values."""
        return self._asdict() | {
            "verdict": self.verdict.value,
            "differences": [one._asdict() for one in self.differences],
            "flaws": [one._asdict() for one in self.flaws],
        }


@dataclass
class Summary:
    """How many decisions came out how. `told` are those that drifted, `reasons` why others could not be made again."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    directions: Counter[tuple[Verdict, str]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    told: list[Replayed] = field(default_factory=list)

    @property
    def decisions(self) -> int:
        return self.verdicts.total()

    @property
    def drifted(self) -> int:
        return sum(self.verdicts[verdict] for verdict in DRIFTS)

    def add(self, one: Replayed) -> None:
        self.verdicts[one.verdict] += 1
        if one.verdict is Verdict.NOT_REPLAYABLE:
            self.reasons[one.why] += 1
        elif one.verdict is not Verdict.MATCH:
            self.directions[one.verdict, one.direction or "cannot be told"] += 1
            self.told.append(one)

    def merge(self, other: "Summary") -> None:
        self.verdicts += other.verdicts
        self.directions += other.directions
        self.reasons += other.reasons
        self.told += other.told

    def document(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "decisions": self.decisions,
            "made_again_by": dict(VERSIONS),
            "verdicts": {verdict.value: self.verdicts[verdict] for verdict in Verdict},
            "directions": [
                {"verdict": verdict.value, "direction": direction, "decisions": number}
                for (verdict, direction), number in sorted(self.directions.items())
            ],
            "not_replayable": dict(sorted(self.reasons.items())),
            "drifted": [one.document() for one in self.told],
        }


Progress = Callable[[int, int], None]
"""Told how many decisions are done, and of how many."""


def find_decisions(connection: Connection, ids: Sequence[str]) -> list[int]:
    """The numbers of decisions' entries, in the order of the ids. Raises `LookupError` that names those that are not there."""
    rows = connection.execute(select(ENTRY.c.entry_id, ENTRY.c.id).where(OF_DECISION, ENTRY.c.entry_id.in_(ids)))
    numbers = {row.entry_id: row.id for row in rows}
    if unknown := [one for one in ids if one not in numbers]:
        raise LookupError(f"no decision has the id {', '.join(map(repr, unknown))}; dealgate decision list names them")
    return [numbers[one] for one in ids]


def decisions_between(connection: Connection, since: datetime, until: datetime | None = None) -> list[int]:
    """The numbers of every decision recorded from a moment on and before another, purged ones too, in their order."""
    statement = select(ENTRY.c.id).where(OF_DECISION, ENTRY.c.recorded_at >= since).order_by(ENTRY.c.id)
    if until is not None:
        statement = statement.where(ENTRY.c.recorded_at < until)
    return list(connection.execute(statement).scalars())


def replay_stored(
    url: str, numbers: Sequence[int], *, reader: str = OUTSIDE, processes: int = 1, progress: Progress | None = None
) -> Summary:
    """Make the decisions of these entries again, in so many processes, each with a connection of its own, and tell this reader.

    Raises `UnknownReaderError`.
    """
    may_read(reader)
    summary, total = Summary(), len(numbers)
    chunks = [numbers[first : first + CHUNK] for first in range(0, total, CHUNK)]
    for found in _in_processes(url, chunks, processes):
        summary.merge(found)
        if progress:
            progress(summary.decisions, total)
    summary.told = [one.shown_to(reader) for one in summary.told]
    return summary


def _in_processes(url: str, chunks: Sequence[Sequence[int]], processes: int) -> Iterator[Summary]:
    if processes == 1 or len(chunks) < 2:
        with _opened(url) as work:
            yield from map(work, chunks)
        return
    workers = min(processes, len(chunks))
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (url,)) as pool:
        try:
            yield from pool.map(_work, chunks)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _opened(url: str) -> Iterator[Callable[[Sequence[int]], Summary]]:
    """Takes chunk after chunk, each with a connection of its own, so that none is held for long; policies are compiled once."""
    engine = open_database(url)
    replayer: Replayer | None = None

    def work(numbers: Sequence[int]) -> Summary:
        nonlocal replayer
        summary = Summary()
        with engine.connect().execution_options(**{READS_ONLY: True}) as connection:
            replayer = replayer or Replayer(connection)
            replayer.connection = connection
            for one in replay(replayer, numbers):
                summary.add(one)
        return summary

    try:
        yield work
    finally:
        engine.dispose()


_opened_here = ExitStack()
_worker: list[Callable[[Sequence[int]], Summary]] = []


def _begin(url: str) -> None:
    """In each process of a pool, once."""
    _worker.append(_opened_here.enter_context(_opened(url)))


def _work(numbers: Sequence[int]) -> Summary:
    return _worker[0](numbers)


def replay(replayer: Replayer, numbers: Sequence[int]) -> Iterator[Replayed]:
    """Make the decisions of these entries again, in their order."""
    for first in range(0, len(numbers), BATCH):
        batch = numbers[first : first + BATCH]
        flaws = _flaws(replayer.connection, batch)
        rows = {row.id: row for row in replayer.connection.execute(STORED.where(ENTRY.c.id.in_(batch)))}
        values = private_values(replayer.connection, [row.entry_id for row in rows.values()])
        for number in batch:
            row = rows[number]
            yield _replayed(replayer, row, values[row.entry_id], (*flaws.get(number, ()), *_unlike_its_hash(row)))


def _flaws(connection: Connection, numbers: Sequence[int]) -> dict[int, tuple[Flaw, ...]]:
    """What is wrong with the stored inputs of decisions. All are looked at together; one by one only where something is."""
    dense = max(numbers) - min(numbers) < SPARSE * len(numbers)
    if dense and not _looked_at(connection, sorted(numbers)):
        return {}
    return {number: found for number in numbers if (found := _looked_at(connection, [number]))}


def _looked_at(connection: Connection, numbers: Sequence[int]) -> tuple[Flaw, ...]:
    report = Report("full")
    with report.reading("row", f"entry number {numbers[0]}"):
        check_batch(connection, report, numbers)
    return tuple(flaw for flaw in report.flaws if flaw.what in INPUTS)


def _unlike_its_hash(row: Any) -> Iterator[Flaw]:
    """Envelope and columns may have been altered alike: of sealed entries the batch leaves the hash to the tree's verification."""
    if row.envelope is not None and (found := leaf_hash(row.envelope)) != row.leaf_hash:
        yield Flaw("envelope", f"entry {row.entry_id}", "", row.leaf_hash.hex(), found.hex())


def _replayed(replayer: Replayer, row: Any, values: Sequence[PrivateValue], flaws: tuple[Flaw, ...]) -> Replayed:
    if flaws:
        return _drifted(replayer, row, values, flaws)
    head = (row.entry_id, row.deal_id)
    if row.envelope is None:
        return Replayed(*head, Verdict.NOT_REPLAYABLE, "it was purged when its time of retention was over")
    envelope = json.loads(row.envelope)
    if len(values) < len(envelope["private"]):
        return Replayed(*head, Verdict.NOT_REPLAYABLE, "personal values that it rests on were erased")
    stored = read_decision(envelope, values)
    again = replayer.decide_again(read_deal(envelope, values), stored)
    differing = tuple(compared(stored, again.decision)) if again.decision else ()
    way = direction(stored, again.decision) if again.decision else None
    if again.problem or again.decision is None:
        return Replayed(*head, Verdict.POLICY_DRIFT, again.problem, way if differing else None, differing)
    if not differing:
        return Replayed(*head, Verdict.MATCH)
    return Replayed(*head, Verdict.ENGINE_DRIFT, _made_by(stored), way, differing)


def _made_by(stored: Mapping[str, Any]) -> str:
    if made_by := other_versions(stored):
        return f"it was made by {made_by}"
    return "it was made by these very versions, so what is stored is not what they concluded"


def _drifted(replayer: Replayer, row: Any, values: Sequence[PrivateValue], flaws: tuple[Flaw, ...]) -> Replayed:
    """Made again from what is there now, as far as that can be: to say which way the drift goes."""
    why = "; ".join(dict.fromkeys(f"{flaw.what}: {flaw.where}" for flaw in flaws[:3]))
    found = Replayed(row.entry_id, row.deal_id, Verdict.INPUT_DRIFT, why, flaws=flaws)
    try:
        envelope = json.loads(row.envelope)
        stored = read_decision(envelope, values)
        again = replayer.decide_again(read_deal(envelope, values), stored).decision
        if again is None:
            return found
        return found._replace(direction=direction(stored, again), differences=tuple(compared(stored, again)))
    except Exception:  # whatever the altered bytes lead to, the flaws are told
        return found


def direction(stored: Mapping[str, Any], today: Mapping[str, Any]) -> str:
    """Which way today's decision differs: by its outcome, else by the rules that weigh more or less."""
    outcomes = _severity(today["outcome"]) - _severity(stored["outcome"])
    before, now = _severities(stored), _severities(today)
    changes = [now.get(rule, 0) - before.get(rule, 0) for rule in before.keys() | now.keys()]
    up, down = any(change > 0 for change in changes), any(change < 0 for change in changes)
    if outcomes or up != down:
        return "stricter" if outcomes > 0 or (not outcomes and up) else "looser"
    return "mixed" if up else "evidence only"


def _severities(decision: Mapping[str, Any]) -> dict[str, int]:
    return {finding["rule"]: _severity(finding["severity"]) for finding in decision["findings"]}


def _severity(outcome: str) -> int:
    return Outcome(outcome).severity
