"""Submissions with their ledger entries against bare INSERTs of the same rows, in turn, by one and by many writers."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from time import perf_counter
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, Engine, Table, insert

from dealgate import Deal, Gate
from dealgate.adapters.attempts import Concluded
from dealgate.adapters.transactions import in_transaction
from dealgate.models import Base
from tests.benchmarks.deals import ROTATION, deal_documents

BARE, DRIVER, STORED, WHOLE = (
    "bare INSERTs, SQLAlchemy Core",
    "bare INSERTs, the driver alone",
    "dealgate, evaluated before",
    "dealgate, with the evaluation",
)
WHAT = {
    BARE: "one transaction of INSERTs of the very rows that a submission leaves, numbers and hashes given, nothing read",
    DRIVER: "the same statements on the driver's own cursor",
    STORED: "`Gate.submit` of a deal that was read and evaluated before: key looked up, deal's row held, entry hashed and chained",
    WHOLE: "`Gate.submit`: both evaluators, every sentence, and all of that",
}
WRITERS = (1, 4, 16)

numbers = count(1_000_000)
"""For everything that must be new: deals, keys, rows."""


class ReadyGate(Gate):
    """A gate that has concluded before what the deals come to."""

    def __init__(self, engine: Engine, documents: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(engine)
        self._ready: dict[str, Concluded] = {}
        for document in documents:
            concluded = super()._conclude(None, Deal.read(document))
            concluded.answer.evaluation.document()
            self._ready[document["deal_id"]] = concluded

    def _conclude(self, session: object, deal: Deal, now: datetime | None = None) -> Concluded:
        return self._ready[str(deal.metadata["of"])]._replace(at=now or datetime.now(UTC))


class Rows(NamedTuple):
    """What one submission inserts: by table, in the order of the references."""

    by_table: Sequence[tuple[Table, Sequence[dict[str, Any]]]]


def deals() -> list[dict[str, Any]]:
    return [document | {"metadata": {"of": document["deal_id"]}} for document in deal_documents(ROTATION)]


def renamed(document: Mapping[str, Any]) -> Deal:
    return Deal.read({**document, "deal_id": f"D-{next(numbers)}"})


def again(deal: Deal) -> Deal:
    """A deal that was read before, under another id."""
    return deal.model_copy(update={"deal_id": f"D-{next(numbers)}"})


def store(gate: Gate, deal: Deal) -> None:
    gate.submit(deal, actor="los", idempotency_key=f"K-{deal.deal_id}")


class BareWriter:
    """Inserts copies of the rows that real submissions left, under new numbers."""

    def __init__(self, engine: Engine, gate: Gate, documents: Sequence[Mapping[str, Any]]) -> None:
        self.engine = engine
        self.rows = [captured(engine, gate, renamed(document)) for document in documents]

    def insert(self, place: int) -> None:
        rows = anew(self.rows[place % len(self.rows)])

        def work(connection: Connection, again: bool) -> None:
            for table, items in rows.by_table:
                connection.execute(INSERTS[table.name], items if len(items) > 1 else items[0])

        in_transaction(self.engine, work)

    def insert_by_driver(self, place: int) -> None:
        rows = anew(self.rows[place % len(self.rows)])
        statements = [(table, [bound(self.engine, table, item) for item in items]) for table, items in rows.by_table]

        def work(connection: Connection, again: bool) -> None:
            cursor = connection.connection.cursor()
            for table, items in statements:
                statement = driver_insert(self.engine, table)
                if len(items) > 1:
                    cursor.executemany(statement, items)
                else:
                    cursor.execute(statement, items[0])
            cursor.close()

        in_transaction(self.engine, work)


INSERTS = {table.name: insert(table) for table in Base.metadata.sorted_tables}
LEFT = (
    "dealgate_deal",
    "dealgate_ledger_entry",
    "dealgate_ledger_body",
    "dealgate_ledger_private",
    "dealgate_submission",
    "dealgate_trade_in",
    "dealgate_product",
    "dealgate_book_value",
    "dealgate_decision",
    "dealgate_finding",
)
"""The tables in which a submission leaves rows; the database's trigger adds the place in the sealer's queue to both."""


def captured(engine: Engine, gate: Gate, deal: Deal) -> Rows:
    """Submit a deal and read back what it left."""
    verdict = gate.submit(deal, actor="los", idempotency_key=f"K-{deal.deal_id}")
    tables = Base.metadata.tables
    with engine.connect() as connection:
        decision = connection.execute(
            tables["dealgate_decision"].select().where(tables["dealgate_decision"].c.decision_id == verdict.decision_id)
        ).one()
        keys = {
            "dealgate_deal": ("deal_id", deal.deal_id),
            "dealgate_ledger_entry": ("id", verdict.receipt.entry),
            "dealgate_ledger_body": ("entry", verdict.receipt.entry),
            "dealgate_ledger_private": ("entry", verdict.receipt.entry),
            "dealgate_submission": ("id", decision.submission_id),
            "dealgate_decision": ("id", decision.id),
            "dealgate_finding": ("decision", decision.id),
        }
        found = []
        for name in LEFT:
            column, value = keys.get(name, ("submission_id", decision.submission_id))
            rows = connection.execute(tables[name].select().where(tables[name].c[column] == value)).all()
            if rows:
                found.append((tables[name], [dict(row._mapping) for row in rows]))
        connection.rollback()
    return Rows(found)


def anew(rows: Rows) -> Rows:
    """The same rows of a deal, an entry, a submission and a decision that are not there yet."""
    number = next(numbers) * 1_000
    entry_id = str(uuid4())
    renumbered = {
        "id": number,
        "entry": number,
        "submission_id": number,
        "decision": number,
        "deal_id": f"D-{number}",
        "entry_id": entry_id,
        "decision_id": entry_id,
        "idempotency_key": f"K-{number}",
    }
    return Rows(
        [
            (table, [item | {name: value for name, value in renumbered.items() if name in item} for item in items])
            for table, items in rows.by_table
        ]
    )


def bound(engine: Engine, table: Table, item: Mapping[str, Any]) -> Sequence[Any]:
    """The row as the driver takes it."""
    processors = {
        column.name: column.type.dialect_impl(engine.dialect).bind_processor(engine.dialect) for column in table.columns
    }
    return [
        processor(item[name]) if (processor := processors[name]) and item[name] is not None else item[name]
        for name in table.columns.keys()  # noqa: SIM118  a collection of columns, not of names
    ]


def driver_insert(engine: Engine, table: Table) -> str:
    mark = "?" if engine.dialect.name == "sqlite" else "%s"
    names = table.columns.keys()
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join([mark] * len(names))})"


class Written(NamedTuple):
    """Submissions a second, one number a round, by contender; and how long single ones took, in milliseconds."""

    rates: dict[str, list[float]]
    waits: dict[str, list[float]]


def at_once(work: Callable[[int], None], writers: int, seconds: float) -> tuple[float, list[float]]:
    """Calls a second of so many threads that go on for so long, and the time of each call."""
    waits: list[list[float]] = [[] for _ in range(writers)]
    start = threading.Barrier(writers + 1)
    ending = [0.0]

    def run(writer: int) -> None:
        start.wait()
        while (began := perf_counter()) < ending[0]:
            work(writer)
            waits[writer].append((perf_counter() - began) * 1e3)

    threads = [threading.Thread(target=run, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    began = perf_counter()
    ending[0] = began + seconds
    start.wait()
    for thread in threads:
        thread.join()
    every = [wait for each in waits for wait in each]
    return len(every) / (perf_counter() - began), every


def measure_writing(engine: Engine, writers: int, rounds: int, seconds: float) -> Written:
    documents = deals()
    gate, ready = Gate(engine), ReadyGate(engine, documents)
    bare = BareWriter(engine, gate, documents)
    read, places = [Deal.read(document) for document in documents], count()

    def stored(_writer: int) -> None:
        store(ready, again(read[next(places) % ROTATION]))

    contenders: dict[str, Callable[[int], None]] = {
        BARE: lambda _: bare.insert(next(places)),
        DRIVER: lambda _: bare.insert_by_driver(next(places)),
        STORED: stored,
        WHOLE: lambda _: store(gate, renamed(documents[next(places) % ROTATION])),
    }
    found = Written({name: [] for name in contenders}, {name: [] for name in contenders})
    for call in contenders.values():
        call(0)
    for _ in range(rounds):
        for name, call in contenders.items():
            rate, waits = at_once(call, writers, seconds)
            found.rates[name].append(rate)
            found.waits[name] += waits
    return found


WITH_QUEUE, WITHOUT = "with the write queue", "BEGIN IMMEDIATE alone"


def measure_queue(engine: Engine, writers: int, rounds: int, seconds: float) -> Written:
    """The same submissions on SQLite, queued in the process and left to SQLite's own lock."""
    documents = deals()
    ready = ReadyGate(engine, documents)
    read, places = [Deal.read(document) for document in documents], count()

    def queued(_writer: int) -> None:
        store(ready, again(read[next(places) % ROTATION]))

    def alone(_writer: int) -> None:
        deal = again(read[next(places) % ROTATION])
        with engine.begin() as connection:
            ready.submit(deal, session=connection, actor="los", idempotency_key=f"K-{deal.deal_id}")

    found = Written({WITH_QUEUE: [], WITHOUT: []}, {WITH_QUEUE: [], WITHOUT: []})
    queued(0)
    for _ in range(rounds):
        for name, call in ((WITH_QUEUE, queued), (WITHOUT, alone)):
            rate, waits = at_once(call, writers, seconds)
            found.rates[name].append(rate)
            found.waits[name] += waits
    return found


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
