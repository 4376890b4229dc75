"""A whole policy in words, for a committee's minutes: rules as sentences, limits as tables, measures with their formulas.

What comes out is headings, paragraphs, lists and tables of plain text; how they look on a page is not decided here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from dealgate.rules.amounts import dollars
from dealgate.rules.authority import Overrides
from dealgate.rules.explanation import used_consumer_report
from dealgate.rules.expressions import (
    All,
    Comparison,
    Expression,
    FieldName,
    LimitName,
    ListedValue,
    MeasureName,
    Membership,
    Not,
    Number,
    Text,
    walk,
)
from dealgate.rules.fields import Unit, basis_name
from dealgate.rules.phrasing import OPPOSITES, phrase, title_of
from dealgate.rules.policy import Example, Limit, Measure, Outcome, Policy, Row, Rule
from dealgate.rules.writing import expression_text, number_text

BREACHES = {
    Outcome.DECLINE: "Rules whose breach declines the deal",
    Outcome.REFER: "Rules whose breach refers the deal to a person",
    Outcome.FLAG: "Rules whose breach flags the deal",
}
IN_CELLS = {"<=": "at most ", "<": "below ", ">=": "at least ", ">": "above ", "==": "", "!=": "not "}
FLIPPED = {"<=": ">=", "<": ">", ">=": "<=", ">": "<", "==": "==", "!=": "!="}
HIT_POLICIES = {
    "first": "The first row that holds gives the limit.",
    "unique": "The one row that holds gives the limit; where several hold, it is unknown.",
    "any": "The rows that hold agree on the limit; where they differ, it is unknown.",
    "sum": "The limit is the sum over the rows that hold.",
    "min": "The limit is the least of the rows that hold.",
    "max": "The limit is the greatest of the rows that hold.",
    "count": "The limit is the number of rows that hold.",
}


class Code(NamedTuple):
    """Text of the policy language, or a name as the document has it."""

    text: str


Cell: TypeAlias = "str | Code"


class Heading(NamedTuple):
    level: int
    text: str


class Paragraph(NamedTuple):
    text: str


class Points(NamedTuple):
    items: tuple[str, ...]


class Grid(NamedTuple):
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


Block: TypeAlias = Heading | Paragraph | Points | Grid


def explain(policy: Policy) -> Iterator[Block]:
    """The policy from top to bottom."""
    yield from _head(policy)
    yield from _rules(policy)
    yield from _guarantees(policy)
    yield from _overrides(policy.overrides)
    yield from _limits(policy)
    yield from _assumptions(policy)
    yield from _measures(policy)
    yield from _examples(policy)


# Head


def _head(policy: Policy) -> Iterator[Block]:
    yield Heading(1, policy.title)
    rows: list[tuple[Cell, ...]] = [
        ("Policy", policy.name),
        ("Version", policy.version),
        ("Effective", effective_words(policy)),
        ("Answers for", deals_answered_for(policy)),
        ("A rule that cannot be judged", f"leads to: {policy.on_unknown}"),
        ("SHA-256 of the content", Code(policy.sha256)),
    ]
    yield Grid(("", ""), tuple(rows))


def effective_words(policy: Policy) -> str:
    until = f" until the day before {policy.effective_to.isoformat()}" if policy.effective_to else ""
    return f"from {policy.effective_from.isoformat()}{until}, days of the time zone {policy.time_zone}"


def deals_answered_for(policy: Policy) -> str:
    if policy.applies_to is None:
        return "every deal"
    return f"deals where {phrase(policy.applies_to, policy.measures)}"


# Rules


def _rules(policy: Policy) -> Iterator[Block]:
    yield Heading(2, "Rules")
    yield Paragraph("The outcome of a deal is the most severe of pass, flag, refer and decline over all rules.")
    if any(rule.rests_on() for rule in policy.rules):
        yield Paragraph("Where one rule asks whether another is violated, a breach that is mitigated counts as one.")
    for outcome, title in BREACHES.items():
        rules = [rule for rule in policy.rules if rule.otherwise == outcome]
        if rules:
            yield Heading(3, title)
        for rule in rules:
            yield Heading(4, f"{rule.id}: {rule.title}")
            yield Points(tuple(_rule_points(policy, rule)))
    reported = [rule.id for rule in policy.rules if used_consumer_report(policy, rule)]
    yield Heading(3, "Consumer reports")
    if reported:
        yield Paragraph(
            "An adverse action on these rules rests in whole or in part on a consumer report (15 USC 1681m(a)): "
            f"{', '.join(reported)}."
        )
    else:
        yield Paragraph("No rule rests on a consumer report.")


def _rule_points(policy: Policy, rule: Rule) -> Iterator[str]:
    measures = policy.measures
    if rule.applies is not None:
        yield f"Applies where {phrase(rule.applies, measures)}."
    else:
        yield "Applies to every deal."
    yield f"Requires that {phrase(rule.require, measures)}."
    yield f"Otherwise: {rule.otherwise}. Reason: {rule.reason}."
    if rule.mitigated_by:
        yield f"Mitigated to {rule.mitigated_by.to} where {phrase(rule.mitigated_by.when, measures)}."


def _guarantees(policy: Policy) -> Iterator[Block]:
    """What the document promises of every deal, where it promises anything."""
    guarantees = getattr(policy, "guarantees", ())
    if guarantees:
        yield Heading(2, "Guarantees")
        never = [getattr(guarantee, "never", guarantee) for guarantee in guarantees]
        yield Points(
            tuple(
                f"Never: {condition if isinstance(condition, str) else phrase(condition, policy.measures)}."
                for condition in never
            )
        )


# Overrides


def _overrides(overrides: Overrides | None) -> Iterator[Block]:
    yield Heading(2, "Overrides")
    if overrides is None:
        yield Paragraph("Nobody may override a finding.")
        return
    columns = ("Role", "Findings", "Amount financed at most", "Excess at most", "Sides", "What is not measured")
    yield Grid(
        columns,
        tuple(
            (
                one.role,
                ", ".join(one.rules) if one.rules is not None else "every rule",
                dollars(one.max_amount),
                dollars(one.max_excess),
                " and ".join(one.sides),
                "covered" if one.unmeasured else "not covered",
            )
            for one in overrides.authority
        ),
    )
    yield Points(tuple(override_terms(overrides)))


def override_terms(overrides: Overrides) -> Iterator[str]:
    """What holds whatever the role."""
    if second := overrides.second_person:
        bounds = (("an amount financed", second.above_amount), ("an excess", second.above_excess))
        told = [f"{what} above {dollars(most)}" for what, most in bounds if most is not None]
        yield f"Two persons, neither of them the one who asks, grant {' or '.join(told)}, or one that is not measured."
    else:
        yield "One person grants."
    yield f"An override ends {overrides.expires_after_days} days after its grant, and when the deal is submitted again."
    for what, codes in (("Reasons", overrides.reasons), ("Compensating factors", overrides.compensating_factors)):
        if codes:
            yield f"{what}: {'; '.join(f'{code}, {words}' for code, words in codes.items())}."


# Limits


def _limits(policy: Policy) -> Iterator[Block]:
    if policy.limits:
        yield Heading(2, "Limits")
    for limit in policy.limits.values():
        yield Heading(3, title_of(LimitName(limit.name, limit.unit), policy.measures))
        readers = [rule.id for rule in policy.rules if _reads_limit(rule, limit.name)]
        read = f" Read by {', '.join(readers)}." if readers else ""
        told = HIT_POLICIES[limit.aggregate or limit.hit_policy] if len(limit.all_rows) > 1 else ""
        yield Paragraph(f"{limit.name}, {limit.unit}. {told}{read}".replace(".  ", ". ").strip())
        yield limit_grid(limit, policy.measures)


def _reads_limit(rule: Rule, name: str) -> bool:
    return any(
        isinstance(node, LimitName) and node.name == name
        for expression in rule.expressions()
        for node in walk(expression)
    )


def limit_grid(limit: Limit, measures: Mapping[str, Measure]) -> Grid:
    """A column for each field that the rows test, where every test is simple; else the conditions in words."""
    rows = [(row, _simple_tests(row)) for row in limit.rows]
    values = [_value(row.limit, measures) for row in limit.all_rows]
    if all(tests is not None for _, tests in rows):
        names = list(dict.fromkeys(test for _, tests in rows for test, _ in tests or ()))
        columns = [title_of(name, measures) for name in names]
        cells = [tuple(_cell(name, tests or ()) for name in names) for _, tests in rows]
        if limit.default:
            cells.append(("no row holds", *[""] * (len(names) - 1)) if names else ())
    else:
        columns = ["Where"]
        cells = [(phrase(row.when, measures) if row.when is not None else "any deal",) for row in limit.rows]
        if limit.default:
            cells.append(("no row holds",))
    grid = tuple((str(index + 1), *cell, value) for index, (cell, value) in enumerate(zip(cells, values, strict=True)))
    return Grid(("Row", *columns, "Limit"), grid)


Test: TypeAlias = tuple[Expression, str]
"""What is tested, and the words of the cell."""


def _simple_tests(row: Row) -> tuple[Test, ...] | None:
    if row.when is None:
        return ()
    operands: Sequence[Expression] = row.when.operands if isinstance(row.when, All) else (row.when,)
    tests = [_simple_test(operand) for operand in operands]
    return None if None in tests else tuple(test for test in tests if test)


def _simple_test(node: Expression) -> Test | None:
    match node:
        case Comparison(operator, (FieldName() | MeasureName()) as name, (Number() | Text()) as value):
            return name, IN_CELLS[operator] + _literal(value)
        case Comparison(operator, (Number() | Text()) as value, (FieldName() | MeasureName()) as name):
            return name, IN_CELLS[FLIPPED[operator]] + _literal(value)
        case Not(Comparison(operator, left, right)):
            return _simple_test(Comparison(OPPOSITES[operator], left, right))
        case Membership((FieldName() | MeasureName()) as name, options):
            return name, ", ".join(map(_literal, options))
        case Not(Membership((FieldName() | MeasureName()) as name, options)):
            return name, f"none of {', '.join(map(_literal, options))}"
        case FieldName(unit=Unit.BOOLEAN):
            return node, "yes"
        case Not(FieldName(unit=Unit.BOOLEAN) as name):
            return name, "no"
    return None


def _cell(name: Expression, tests: Iterable[Test]) -> str:
    return " and ".join(words for tested, words in tests if tested == name) or "any"


def _literal(value: Expression) -> str:
    if isinstance(value, Number):
        return f"{value.numerator:,}" if value.unit == Unit.COUNT else number_text(value)
    return value.value if isinstance(value, Text) else expression_text(value)


def _value(limit: Expression, measures: Mapping[str, Measure]) -> Cell:
    if isinstance(limit, Number):
        return _literal(limit)
    return measures[limit.name].title if isinstance(limit, MeasureName) else Code(expression_text(limit))


# Assumptions


def _assumptions(policy: Policy) -> Iterator[Block]:
    yield Heading(2, "What secures the loan")
    what = "collateral value"
    if not isinstance(policy.measures["collateral_value"].formula, ListedValue):
        what = "listed value"
        yield Paragraph("The policy has its own formula for the collateral value: it stands among the measures.")
    for condition in ("new", "used"):
        bases = policy.collateral_value.get(condition, ())
        words = ", else ".join(f"{basis_name(basis)} ({basis})" for basis in bases)
        yield Paragraph(f"The {what} of a {condition} vehicle is {words or 'never known: no basis is listed'}.")
    equity = policy.equity
    yield Heading(2, "Equity over time")
    shares = ", ".join(number_text(share) for share in equity.curve.retained)
    yield Paragraph(
        f"Assumed: of its value a vehicle retains, at the end of each year, {shares} ({equity.curve.title or equity.curve.name}). "
        f"A lender's sale brings {number_text(equity.wholesale_factor)} of the value; disposal costs "
        f"{number_text(equity.disposal_cost)}."
    )
    if equity.curve.source:
        yield Paragraph(f"Source of the curve: {equity.curve.source}")


# Measures


def _measures(policy: Policy) -> Iterator[Block]:
    yield Heading(2, "Measures")
    read = [measure for name, measure in policy.measures.items() if name in policy.read_by_rules]
    others = [measure for name, measure in policy.measures.items() if name not in policy.read_by_rules]
    for title, measures in (("That rules rest on", read), ("Shown beside them", others)):
        if measures:
            yield Heading(3, title)
            yield Grid(("Measure", "Name", "Unit", "Formula", "Meaning", "Source"), tuple(map(_measure_row, measures)))


def _measure_row(measure: Measure) -> tuple[Cell, ...]:
    return (
        measure.title,
        Code(measure.name),
        measure.unit.value,
        Code(expression_text(measure.formula)),
        measure.meaning,
        measure.source,
    )


# Examples


def _examples(policy: Policy) -> Iterator[Block]:
    yield Heading(2, "Examples")
    if policy.examples:
        yield Points(tuple(_example_words(example) for example in policy.examples))
    else:
        yield Paragraph("The document states no examples.")


def _example_words(example: Example) -> str:
    expect = example.expect
    parts = [f"outcome {expect['outcome']}"] if "outcome" in expect else []
    for result in ("violated", "mitigated", "not_evaluable", "not_applicable", "pass"):
        if result in expect:
            parts.append(f"{result.replace('_', ' ')}: {', '.join(expect[result]) or 'none'}")
    for name, value in expect.get("measures", {}).items():
        parts.append(f"{name} {'unknown' if value is None else value}")
    return f"{example.name}. Expected: {'; '.join(parts) or 'nothing'}."
