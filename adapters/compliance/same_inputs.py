"""The same deal, judged otherwise: what tells the decisions apart, if anything does."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, String, cast, func, select

from dealgate.adapters.compliance.asking import Asked
from dealgate.adapters.compliance.known import DECIDED, in_period
from dealgate.adapters.compliance.paging import Key
from dealgate.adapters.compliance.reporting import Column, Report, Row
from dealgate.models.reading import find_submissions
from dealgate.models.recording import DECISION, SUBMISSION, VERSION, plain_json

MOST_COMPARED = 200
"""Of each outcome among the decisions that are alike in all columns, the latest."""


class Judged(NamedTuple):
    """A decision, and what it was made about. `inputs` are all that a rule can read, but for the day and the personal values."""

    row: Any
    inputs: str
    personal: str
    erased: bool


def same_inputs_statement(asked: Asked) -> Select[Any]:
    """Decisions that are alike in all columns of what was judged, and not in the outcome: those whose documents are worth reading."""
    differing = (
        select(DECISION.c.inputs_number)
        .where(in_period(DECISION.c.decided_at, asked))
        .group_by(DECISION.c.inputs_number)
        .having(func.min(DECISION.c.outcome) != func.max(DECISION.c.outcome))
    )
    numbers: Any = func.aggregate_strings(DECISION.c.outcome + " " + cast(DECISION.c.id, String), ",")
    return (
        select(
            func.max(DECISION.c.id).label("last"),
            numbers.label("numbers"),
        )
        .where(in_period(DECISION.c.decided_at, asked), DECISION.c.inputs_number.in_(differing))
        .group_by(DECISION.c.inputs_number)
    )


def _compared(connection: Connection, _asked: Asked, rows: Sequence[Row]) -> list[Row]:
    return [told for row in rows for told in _alike(connection, row)]


def _alike(connection: Connection, row: Row) -> Iterator[Row]:
    """Those that differ; where none that were read do, and not all were, a row says so."""
    numbers, left_out = _latest(row["numbers"])
    by_inputs: dict[str, list[Judged]] = {}
    for one in _judged(connection, numbers):
        by_inputs.setdefault(one.inputs, []).append(one)
    differ = [alike for alike in by_inputs.values() if len({one.row.outcome for one in alike}) > 1]
    for alike in differ:
        yield _told(alike, left_out, explained_by(alike))
    if left_out and not differ:
        yield _told([one for alike in by_inputs.values() for one in alike], left_out, "not compared")


def _latest(numbers: str) -> tuple[list[int], int]:
    """Of each outcome, so that however many agree, what differs is read; and how many are left out."""
    by_outcome: dict[str, list[int]] = {}
    for outcome, number in map(str.split, numbers.split(",")):
        by_outcome.setdefault(outcome, []).append(int(number))
    latest = [number for found in by_outcome.values() for number in sorted(found)[-MOST_COMPARED:]]
    return latest, sum(map(len, by_outcome.values())) - len(latest)


def _judged(connection: Connection, numbers: Sequence[int]) -> list[Judged]:
    statement = (
        select(
            DECISION.c.id,
            DECISION.c.decision_id,
            DECISION.c.deal_id,
            DECISION.c.decided_at,
            DECISION.c.outcome,
            DECISION.c.engine_agreed,
            DECISION.c.policy_sha256,
            VERSION.c.name,
            VERSION.c.version,
            SUBMISSION.c.submitted_on,
        )
        .select_from(DECIDED)
        .where(DECISION.c.id.in_(numbers))
        .order_by(DECISION.c.id)
    )
    rows = connection.execute(statement).all()
    documents = find_submissions(connection, [row.decision_id for row in rows])
    return [_split(row, *documents[row.decision_id]) for row in rows if row.decision_id in documents]


def _split(row: Any, document: Mapping[str, Any], erased: Sequence[str]) -> Judged:
    """Without what no rule can read: names, the VIN, the lienholder, what the host carries along."""
    applicant = dict(document.get("applicant", {}))
    personal = {name: applicant.pop(name, None) for name in ("credit_score", "monthly_income", "monthly_debt")}
    vehicle = {name: value for name, value in document["vehicle"].items() if name != "vin"}
    trades = [
        {name: value for name, value in trade.items() if name != "lienholder"}
        for trade in document.get("trade_ins", ())
    ]
    told = {name: value for name, value in document.items() if name not in {"deal_id", "submitted_on", "metadata"}}
    told |= {"applicant": applicant, "vehicle": vehicle, "trade_ins": trades}
    lost = any(path.startswith("/deal/applicant/") for path in erased)
    return Judged(row, plain_json(told), plain_json(personal), lost)


TELLS: tuple[tuple[str, Callable[[Judged], Any]], ...] = (
    ("engine", lambda one: one.row.engine_agreed),
    ("policy", lambda one: one.row.policy_sha256),
    ("personal values", lambda one: one.personal),
    ("day", lambda one: one.row.submitted_on),
)


def explained_by(alike: Sequence[Judged]) -> str:
    """The first of these that, with those before it, tells every outcome; `erased` where values that might are gone."""
    known = list[Callable[[Judged], Any]]()
    for name, tell in TELLS:
        if name == "personal values" and any(one.erased for one in alike):
            return "erased"
        known.append(tell)
        outcomes: dict[tuple[Any, ...], set[str]] = {}
        for one in alike:
            outcomes.setdefault(tuple(each(one) for each in known), set()).add(one.row.outcome)
        if all(len(found) == 1 for found in outcomes.values()):
            return name
    return "nothing"


def _told(alike: Sequence[Judged], left_out: int, explanation: str) -> Row:
    outcomes = Counter(one.row.outcome for one in alike)
    examples = {one.row.outcome: one.row for one in alike}
    return {
        "decisions": len(alike),
        "deals": len({one.row.deal_id for one in alike}),
        "first_decided_at": min(one.row.decided_at for one in alike),
        "last_decided_at": max(one.row.decided_at for one in alike),
        "outcomes": [f"{outcome} {number}" for outcome, number in sorted(outcomes.items())],
        "versions": sorted({f"{one.row.name} {one.row.version}" for one in alike}),
        "explained_by": explanation,
        "examples": [f"{outcome} {row.decision_id}" for outcome, row in sorted(examples.items())],
        "not_compared": left_out,
    }


SAME_INPUTS = Report(
    name="same-inputs-different-outcome",
    title="The same inputs, another outcome",
    question="Which decisions about the same inputs came out differently, and what explains it: the policy, an applicant's values?",
    asked_by="fair-lending team, internal audit, model risk",
    source="consistency: like deals are to be treated alike",
    columns=(
        Column("decisions", "count", "decisions about the same inputs in the period"),
        Column("deals", "count", "deals among them: 1 where a deal was submitted again unchanged"),
        Column("first_decided_at", "moment", "the first of them"),
        Column("last_decided_at", "moment", "the last"),
        Column("outcomes", "list", "how many came to which outcome"),
        Column("versions", "list", "the policy versions that decided"),
        Column(
            "explained_by",
            "text",
            "what tells the outcomes apart: engine (it failed on one), policy (the version), personal values (score, income, debts), "
            "day (of submission); erased where such values are gone; nothing; not compared where no two that were read are alike",
        ),
        Column("examples", "list", "of each outcome the latest decision"),
        Column(
            "not_compared",
            "count",
            f"decisions as like, beyond the latest {MOST_COMPARED} of each outcome, whose documents were not read",
        ),
    ),
    statement=same_inputs_statement,
    key=(Key("last", descending=True),),
    finish=_compared,
    summary=True,
)
