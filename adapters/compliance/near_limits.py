"""Bunching: how many decisions end up just within a limit, and how many just beyond it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, and_, case, cast, func, literal_column, select

from dealgate.adapters.compliance.asking import Asked, ReportError
from dealgate.adapters.compliance.known import in_period, of_submission
from dealgate.adapters.compliance.limits_in_sql import Held, NotCountableError, Ratio, fits, held
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
    """All rules of a version in one statement: decisions that stand alike to each of them are counted together, and told apart here."""
    judged = (
        select(*(column for index, one in enumerate(rules.values()) for column in _sides(one, index)))
        .select_from(DECISION.join(SUBMISSION, of_submission(asked)))
        .where(in_period(DECISION.c.decided_at, asked), DECISION.c.policy_sha256 == sha256)
        .offset(0)  # keeps the planner from working a limit's table out again wherever it is compared
        .subquery("judged")
    )
    digits = [_digit(judged.c, one, index, width) for index, one in enumerate(rules.values())]
    words = [
        sum(digits[first + 1 : first + RULES_IN_A_WORD], digits[first]).label(f"word_{first}")
        for first in range(0, len(digits), RULES_IN_A_WORD)
    ]
    statement = select(func.count().label("decisions"), *words).select_from(judged)
    statement = statement.group_by(*(word.name for word in words))
    counts = {rule: dict.fromkeys(COUNTS, 0) for rule in rules}
    for decisions, *found in connection.execute(statement):
        for rule, place in zip(rules, _places(found), strict=False):
            if place:
                counts[rule]["judged"] += decisions
                if place in PLACES:
                    counts[rule][PLACES[place]] += decisions
    return counts


PLACES = {1: "next_within", 2: "just_within", 3: "just_beyond", 4: "next_beyond"}
NOT_JUDGED, FAR, DIGITS = 0, 5, 6
RULES_IN_A_WORD = 24
"""So many digits of base six fit into 63 bits."""


def _sides(one: Held, index: int) -> Iterator[Any]:
    """The value and, where the rule applies, the limit."""
    yield one.value.numerator.label(f"value_{index}")
    if not isinstance(one.value.denominator, int):
        yield one.value.denominator.label(f"under_{index}")
    yield case((one.applies, one.limit.numerator)).label(f"limit_{index}")


def _places(words: Sequence[int]) -> Iterator[int]:
    for word in words:
        left = int(word)
        for _ in range(RULES_IN_A_WORD):
            left, place = divmod(left, DIGITS)
            yield place


def _digit(columns: Any, one: Held, index: int, width: int) -> Any:
    """Where a decision stands to a rule. Inside CASE, where the products are known to fit 64 bits."""
    under = one.value.denominator
    value = Ratio(columns[f"value_{index}"], under if isinstance(under, int) else columns[f"under_{index}"])
    limit = Ratio(columns[f"limit_{index}"], one.limit.denominator)
    left, right = value.over(limit.denominator), limit.over(value.denominator)
    distance, one_width, at = (
        func.abs(left - right) * 1000,
        func.abs(right) * width,
        _units(DIGITS ** (index % RULES_IN_A_WORD)),
    )
    within = case((distance < one_width, at["just_within"]), else_=at["next_within"])
    beyond = case((distance < one_width, at["just_beyond"]), else_=at["next_beyond"])
    keeps = COMPARE[one.operator](left, right)
    place = case((distance >= one_width * 2, at["far"]), (keeps, within), else_=beyond)
    return case((and_(limit.numerator.is_not(None), fits(value)), place), else_=at["not_judged"])


def _units(unit: int) -> dict[str, Any]:
    """The digits at a place, with 64 bits to be added up in, and written out: a parameter would be worked out row by row."""
    names = {name: place for place, name in PLACES.items()} | {"far": FAR, "not_judged": NOT_JUDGED}
    return {name: cast(literal_column(str(place * unit)), BigInteger) for name, place in names.items()}


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
