"""Why each index of the compliance queries is there: the plan with it, the time without it, and what it costs a submission."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, Engine, Select, literal_column, select, text
from sqlalchemy.exc import OperationalError

from dealgate import CompiledPolicy, Deal
from dealgate.adapters.compliance.adverse_action import WORKLIST, worklist_statements
from dealgate.adapters.compliance.asking import Asked
from dealgate.adapters.compliance.known import bounds_statement, in_period, is_latest
from dealgate.adapters.compliance.paging import after
from dealgate.adapters.compliance.query import Condition, Query
from dealgate.adapters.compliance.search import statement_of
from dealgate.adapters.policies import load_policy
from dealgate.models import record_policy, record_submission
from dealgate.models.erasure import NOTICE
from dealgate.models.ledger import ENTRY
from dealgate.models.recording import DECISION
from dealgate.models.standing import STEP
from tests.benchmarks.compliance_history import DEALERS
from tests.benchmarks.compliance_templates import utc_now
from tests.benchmarks.deals import deal_documents
from tests.benchmarks.timing import ratio

PAGE, WIDTH = 50, 150
LONGEST = 30_000
"""Milliseconds for one statement: longer ones are given up."""

ROUNDS, SUBMISSIONS = 9, 60


class Justified(NamedTuple):
    """An index, what is asked through it, and the plan with and without it."""

    name: str
    question: str
    size: int
    plan: str
    without: str


def indexes(engine: Engine, end: datetime) -> Iterator[str]:
    yield "## Indexes"
    yield (
        "What each index of revisions 0008, 0010 and 0013 is for: the plan with it, and the time of the same statement where it is dropped "
        "in a transaction that is rolled back. An index costs each submission a write per row of its table, and the disk its size."
    )
    small = Query(dealers=(f"DLR-{DEALERS:04}",))
    never = Query(rules=("LTV-TOTAL",), results=("not_evaluable",))
    large = Query(measures=(Condition("rolled_in_negative_equity", ">", "100000"),))
    last_asked = select(STEP).where(STEP.c.step == "request").order_by(STEP.c.recorded_at.desc()).limit(PAGE)
    keys = select(ENTRY.c.id).where(ENTRY.c.kind == literal_column("'key_rotation'"))
    last_sent = select(NOTICE).where(NOTICE.c.kind == "counteroffer").order_by(NOTICE.c.sent_at.desc()).limit(PAGE)
    state = Query(states=("WY",), tiers=("D",))
    week = Asked(end, since=end - timedelta(days=7))
    last_day = Asked(end, since=end - timedelta(days=1))
    latest = select(DECISION.c.outcome, DECISION.c.decision_id).where(
        in_period(DECISION.c.decided_at, last_day), is_latest(end)
    )
    asked: Mapping[str, tuple[str, Select[Any]]] = {
        "ix_dealgate_decision_decided_at_id": (
            "between which numbers the decisions of a week lie, and their submissions",
            bounds_statement(week),
        ),
        "ix_dealgate_decision_deal_id_submission_decided_at": (
            "which decisions of a day are their deals' last",
            latest,
        ),
        "ix_dealgate_deal_owed": (
            "the deals that have waited longest for a notice",
            after(worklist_statements(Asked(end))[0], WORKLIST.key, None).limit(PAGE),
        ),
        "ix_dealgate_ledger_entry_recorded_at": (
            "the deals of which something was recorded after a moment",
            select(ENTRY.c.deal_id).where(ENTRY.c.recorded_at > end),
        ),
        "ix_dealgate_submission_dealer_id_received_at": ("a small dealer, first page", statement_of(small, PAGE)),
        "ix_dealgate_submission_state_received_at": ("a state's worst tier, first page", statement_of(state, PAGE)),
        "ix_dealgate_finding_rule_result_decision": ("a result that a rule never has", statement_of(never, PAGE)),
        "ix_dealgate_decision_rolled_in": ("over $100,000 rolled in, which no deal did", statement_of(large, PAGE)),
        "ix_dealgate_override_step_step_recorded_at": ("the overrides asked for last", last_asked),
        "ix_dealgate_notice_kind_sent_at": ("the counter-offers sent last", last_sent),
        "ix_dealgate_ledger_entry_key_rotation": (
            "the entries that introduce keys, which `ledger verify` looks for three times",
            keys,
        ),
    }
    for index, (question, statement) in asked.items():
        one = _justified(engine, index, question, statement)
        yield f"### `{one.name}`"
        yield f"{one.size / 1e6:,.0f} MB. {one.question.capitalize()}:"
        yield f"```text\n{one.plan}\n```"
        yield f"Without it: {one.without}."
    yield _cost(engine, list(asked))


def _cost(engine: Engine, indexes: Sequence[str]) -> str:
    """What submissions take with the indexes and without, in turn, in transactions that are rolled back."""
    compiled = CompiledPolicy(load_policy().policy)
    deals = [Deal.read(document) for document in deal_documents(SUBMISSIONS)]
    evaluated = [(deal, compiled.evaluate(deal)) for deal in deals]
    times: dict[str, list[float]] = {"with": [], "without": []}
    for number in range(2 * ROUNDS):
        with engine.connect() as connection:
            record_policy(connection, compiled.policy, compiled.policy.self_contained, utc_now())
            for index in indexes if number % 2 else ():
                connection.exec_driver_sql(f"DROP INDEX {index}")
            started = perf_counter()
            for deal, evaluation in evaluated:
                record_submission(connection, deal, evaluation, decision_id=str(uuid4()), now=utc_now())
            times["without" if number % 2 else "with"].append((perf_counter() - started) * 1_000 / SUBMISSIONS)
            connection.rollback()
    found = ratio(times, "with", "without")
    return (
        f"Recording a submission (its rows and its entry, not committed) takes {median(times['with']):.2f} ms with all of them, "
        f"{median(times['without']):.2f} ms without: {found.middle:.2f} times ({found.least:.2f} to {found.most:.2f} over {ROUNDS} rounds)."
    )


def _justified(engine: Engine, index: str, question: str, statement: Select[Any]) -> Justified:
    with engine.connect() as connection:
        size = connection.execute(text("SELECT pg_relation_size(to_regclass(:name))"), {"name": index}).scalar_one()
        _plan(connection, statement)  # warms up
        plan = _plan(connection, statement)
        connection.exec_driver_sql(f"DROP INDEX {index}")
        without = _time_of(connection, statement)
        connection.rollback()
    return Justified(index, question, size, "\n".join(_excerpt(plan, index)), without)


def _time_of(connection: Connection, statement: Select[Any]) -> str:
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {LONGEST}")
    try:
        return _plan(connection, statement)[-1]
    except OperationalError:
        return f"given up after {LONGEST / 1_000:g} s"


def _plan(connection: Connection, statement: Select[Any]) -> list[str]:
    compiled = statement.compile(connection, compile_kwargs={"literal_binds": True})
    lines = connection.exec_driver_sql(
        f"EXPLAIN (ANALYZE, BUFFERS) {compiled}", execution_options={"no_parameters": True}
    )
    return list(lines.scalars())


def _excerpt(plan: Sequence[str], index: str) -> Iterator[str]:
    """The whole, each use of the index with what it reads, and the time."""
    yield plan[0][:WIDTH]
    for line, condition in pairwise(plan[1:]):
        if index in line:
            yield line.strip()[:WIDTH]
            yield f"      {condition.strip()[:WIDTH]}"
    yield plan[-1]
