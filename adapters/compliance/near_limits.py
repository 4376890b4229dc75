"""Bunching: how many decisions end up just within a limit, and how many just beyond it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, case, func, not_, select

from dealgate.adapters.compliance.asking import Asked, ReportError
from dealgate.adapters.compliance.known import count_if, in_period, of_submission
from dealgate.adapters.compliance.limits_in_sql import Held, NotCountableError, held
from dealgate.adapters.compliance.policy_texts import policy_of
from dealgate.adapters.compliance.reporting import Column, Parameter, Report, Row
from dealgate.models.recording import DECISION, SUBMISSION, VERSION
from dealgate.rules.tracing import COMPARE

COUNTS = ("judged", "next_within", "just_within", "just_beyond", "next_beyond")


def versions_statement(asked: Asked) -> Select[Any]:
    """The policy versions that decided in the period."""
    used = select(DECISION.c.policy_sha256).where(in_period(DECISION.c.decided_at, asked)).distinct()
    return (
        select(VERSION.c.sha256, VERSION.c.name, VERSION.c.version, VERSION.c.document)
        .where(VERSION.c.sha256.in_(used))
        .order_by(VERSION.c.name, VERSION.c.version, VERSION.c.sha256)
    )


def _width(asked: Asked) -> int:
    """In thousandths of the limit."""
    given = asked.given["width"]
    whole, _, tenth = given.partition(".")
    digits = whole + (tenth or "0")
    if not (digits.isascii() and digits.isdigit() and len(tenth) <= 1 and 0 < int(digits) <= 250):
        raise ReportError(f"width {given!r}: give percent of the limit, more than 0 and at most 25, to one place")
    return int(digits)


def _counted(connection: Connection, asked: Asked, rows: Sequence[Row]) -> list[Row]:
    width = _width(asked)
    return [one for row in rows for one in _of_version(connection, asked, row, width)]


def _of_version(connection: Connection, asked: Asked, version: Row, width: int) -> Iterator[Row]:
    policy = policy_of(version["sha256"], version["document"])
    countable, reasons = dict[str, Held](), dict[str, str]()
    for rule in policy.rules:
        try:
            countable[rule.id] = held(policy, rule)
        except NotCountableError as error:
            reasons[rule.id] = str(error)
    counted = _count(connection, asked, version["sha256"], countable, width)
    for rule in policy.rules:
        counts = counted.get(rule.id)
        measure = countable[rule.id].measure if counts else None
        yield {
            "program": version["name"],
            "version": version["version"],
            "rule": rule.id,
            "measure": measure,
            **(counts or dict.fromkeys(COUNTS)),
            "near": counts["just_within"] + counts["just_beyond"] if counts else 0,
            "difference": counts["just_within"] - counts["just_beyond"] if counts else 0,
            "not_counted": reasons.get(rule.id),
        }


def _count(
    connection: Connection, asked: Asked, sha256: str, rules: Mapping[str, Held], width: int
) -> dict[str, dict[str, int]]:
    """All rules of a version in one statement: first what each decision is held against, then how far it is from that."""
    sides = [side for index, one in enumerate(rules.values()) for side in _sides(one, index)]
    judged = (
        select(DECISION.c.id, *sides)
        .select_from(DECISION.join(SUBMISSION, of_submission(asked)))
        .where(in_period(DECISION.c.decided_at, asked), DECISION.c.policy_sha256 == sha256)
        .offset(0)  # keeps the planner from working the sides out again for each count
        .subquery("judged")
    )
    numbers = [
        number
        for index, one in enumerate(rules.values())
        for number in _bands(judged.c[f"left_{index}"], judged.c[f"right_{index}"], one.operator, width)
    ]
    found = iter(connection.execute(select(func.count(judged.c.id), *numbers)).one()[1:])
    return {rule: {name: int(next(found)) for name in COUNTS} for rule in rules}


def _sides(one: Held, index: int) -> Iterator[Any]:
    """The value and the limit over their common denominator. Inside CASE, where the products are known to fit 64 bits."""
    yield case((one.where, one.value.numerator * one.limit.denominator)).label(f"left_{index}")
    yield case((one.where, one.limit.numerator * one.value.denominator)).label(f"right_{index}")


def _bands(left: Any, right: Any, operator: str, width: int) -> Iterator[Any]:
    distance, one_width = func.abs(left - right) * 1000, func.abs(right) * width
    keeps = COMPARE[operator](left, right)
    just, following = distance < one_width, and_(distance >= one_width, distance < one_width * 2)
    yield func.count(left)
    yield count_if(and_(keeps, following))
    yield count_if(and_(keeps, just))
    yield count_if(and_(not_(keeps), just))
    yield count_if(and_(not_(keeps), following))


NEAR_LIMITS = Report(
    name="near-limits",
    title="Decisions near a limit",
    question="Do decisions bunch just within a limit, with few just beyond it: are deals being structured, or values stated, to fit?",
    asked_by="credit committee, fraud team, model risk",
    source="a test of bunching: without steering, the numbers just within and just beyond a limit are much alike",
    columns=(
        Column("program", "text", "the policy"),
        Column("version", "text", "its version"),
        Column("rule", "text", "the rule"),
        Column("measure", "text", "what it judges"),
        Column("judged", "count", "decisions of the period with a known value and limit, to which the rule applies"),
        Column("next_within", "count", "within the limit, one to two widths from it"),
        Column("just_within", "count", "within the limit, less than a width from it"),
        Column("just_beyond", "count", "beyond the limit, less than a width from it"),
        Column("next_beyond", "count", "beyond the limit, one to two widths from it"),
        Column(
            "asymmetry",
            "percent",
            "just within less just beyond, of both: 0 is even, 100 is all within",
            ("difference", "near"),
        ),
        Column("not_counted", "text", "why the rule cannot be counted, if so"),
    ),
    statement=versions_statement,
    parameters=(Parameter("width", "of a band, in percent of the limit", "2"),),
    finish=_counted,
    whole=True,
    summary=True,
)
