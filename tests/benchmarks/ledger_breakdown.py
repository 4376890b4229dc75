"""Where a stored submission's time goes beyond bare INSERTs: statements, and what is made before they are sent."""

from collections.abc import Callable
from datetime import UTC, datetime
from time import process_time
from typing import NamedTuple, cast
from uuid import uuid4

from sqlalchemy import Connection, Engine, event

from dealgate import Deal, Gate
from dealgate.models.envelope import Draft, Place, decision_content
from dealgate.models.ledger import append_all
from dealgate.models.projections import TOLD, decision_columns, finding_columns, part_columns, submission_columns
from dealgate.rules.decision import Decision
from tests.benchmarks.deals import ROTATION
from tests.benchmarks.ledger_writing import BARE, STORED, BareWriter, ReadyGate, again, deals, store

CALLS = 400


class Part(NamedTuple):
    """Microseconds of processor time a submission, and statements that it sends."""

    name: str
    microseconds: float
    statements: int | None


def measure_parts(engine: Engine) -> list[Part]:
    """On SQLite, by one thread: the processor's time is all the process's own."""
    documents = deals()
    ready, bare = ReadyGate(engine, documents), BareWriter(engine, Gate(engine), documents)
    read = [Deal.read(document) for document in documents]
    calls: dict[str, Callable[[int], object]] = {
        BARE: bare.insert,
        STORED: lambda place: store(ready, again(read[place % ROTATION])),
    }
    parts = [Part(name, _timed(call), _statements(engine, call)) for name, call in calls.items()]
    made = _timed(lambda place: _documents(ready, read[place % ROTATION]))
    unsent, drafts = cast("Connection", _Unsent()), [_documents(ready, deal)[0] for deal in read]
    hashed = _timed(lambda place: append_all(unsent, [(drafts[place % ROTATION], Place(1, None))], datetime.now(UTC)))
    return [
        *parts,
        Part("of it: the decision's document, what is personal set apart, columns", made, None),
        Part("of it: salts, commitments, canonical bytes and hashes", hashed, None),
    ]


class _Unsent:
    """Takes statements and sends none."""

    def execute(self, _statement: object, _parameters: object = None) -> "_Unsent":
        return self

    def scalar_one(self) -> int:
        return 1


def _documents(gate: ReadyGate, deal: Deal) -> tuple[Draft, list[object]]:
    now = datetime.now(UTC)
    evaluation = gate._conclude(None, deal).answer.evaluation
    decision = Decision(str(uuid4()), deal.deal_id, 1, now, evaluation).document()
    content, personal = decision_content(deal.document(), decision, evaluation.personal)
    told = content["decision"]
    columns = [submission_columns(deal), part_columns(deal), decision_columns(told)]
    columns += [finding_columns(finding) for finding in told["findings"] if finding["result"] in TOLD]
    return Draft(decision["decision_id"], "decision", content, personal, deal_id=deal.deal_id), columns


def _timed(call: Callable[[int], object]) -> float:
    call(0)
    started = process_time()
    for place in range(CALLS):
        call(place)
    return (process_time() - started) / CALLS * 1e6


def _statements(engine: Engine, call: Callable[[int], object]) -> int:
    sent = list[str]()

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    call(1)
    event.remove(engine, "before_cursor_execute", note)
    return sum(not statement.startswith("BEGIN") for statement in sent)
