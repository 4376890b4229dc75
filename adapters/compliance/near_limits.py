"""Bunching: how many decisions end up just within a limit, and how many just beyond it."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, case, func, literal, not_, select

from dealgate.adapters.compliance.asking import Asked, ReportError
from dealgate.adapters.compliance.known import count_if, in_period
from dealgate.adapters.compliance.limits_in_sql import COMPARE, Held, NotCountableError, held
from dealgate.adapters.compliance.policy_texts import policy_of
from dealgate.adapters.compliance.reporting import Column, Parameter, Report, Row
from dealgate.models.recording import DECISION, SUBMISSION, VERSION

BANDS = ("next_within", "just_within", "just_beyond", "next_beyond")


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
    """One statement counts all rules of a version."""
    policy = policy_of(version["sha256"], version["document"])
    countable, reasons = dict[str, Held](), dict[str, str]()
    for rule in policy.rules:
        try:
            countable[rule.id] = held(policy, rule)
        except NotCountableError as error:
            reasons[rule.id] = str(error)
    numbers = [count for one in countable.values() for count in _counts(one, width)]
    statement = (
        select(func.count(), *numbers)
        .select_from(DECISION.join(SUBMISSION, SUBMISSION.c.id == DECISION.c.submission_id))
        .where(in_period(DECISION.c.decided_at, asked), DECISION.c.policy_sha256 == version["sha256"])
    )
    found = iter([int(value or 0) for value in connection.execute(statement).one()][1:])
    counted = {rule: dict(zip(("judged", *BANDS), found, strict=False)) for rule in countable}
    for rule in policy.rules:
        head = {"program": version["name"], "version": version["version"], "rule": rule.id}
        nothing = dict.fromkeys(("measure", "judged", *BANDS, "near", "difference"))
        if rule.id in reasons:
            yield {**head, **nothing, "near": 0, "difference": 0, "not_counted": reasons[rule.id]}
        else:
            yield {**head, **_told(countable[rule.id], counted[rule.id]), "not_counted": None}


def _told(one: Held, counts: dict[str, int]) -> Row:
    near = counts["just_within"] + counts["just_beyond"]
    return {"measure": one.measure, **counts, "near": near, "difference": counts["just_within"] - counts["just_beyond"]}


def _counts(one: Held, width: int) -> Iterator[Any]:
    """How many are judged, and how many lie in each band: the distance from the limit in thousandths of it, times the denominators."""
    value, limit = one.value, one.limit
    left, right = value.numerator * limit.denominator, limit.numerator * value.denominator
    # Inside CASE, where the sums are known to fit: a condition beside another is not promised to be looked at second.
    distance = case((one.where, func.abs(left - right) * 1000))
    band = case((one.where, func.abs(right) * literal(width)))
    keeps = case((one.where, COMPARE[one.operator](left, right)))
    just, following = distance < band, and_(distance >= band, distance < band * 2)
    yield count_if(one.where)
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
