"""A policy along one lever: what every rule can come to while the deal changes by anything from one amount to another.

The typed tree is turned into functions over a `Stretch`, once for each policy version and lever; what the lever does not move is
read off the evaluation. The answer holds every result that a rule has on the stretch, and perhaps more; never less. So a rule
that cannot but be broken on a stretch needs no second look anywhere on it, whatever the shape of the policy.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from dealgate.rules.compiling import RATE_DENOMINATOR
from dealgate.rules.equity_spans import Loan, projected_span
from dealgate.rules.expressions import (
    All,
    Arithmetic,
    BookValueOn,
    Comparison,
    DaysBetween,
    Expression,
    Extreme,
    FieldName,
    FirstKnown,
    Greatest,
    ItemName,
    LevelPayment,
    LimitName,
    ListedValue,
    ListSum,
    MeasureName,
    Membership,
    Missing,
    Not,
    Projected,
    Violated,
    parts,
    walk,
)
from dealgate.rules.expressions import Any as AnyOf
from dealgate.rules.fields import Unit
from dealgate.rules.policy import Limit, Measure, Policy, Row, Rule, definition_reads
from dealgate.rules.reference import Result
from dealgate.rules.spans import (
    ANYTHING,
    EITHER,
    FALSE,
    TRUE,
    UNKNOWN,
    Span,
    Stretch,
    as_span,
    both,
    either,
    exactly,
    hull,
    opposite,
)
from dealgate.rules.tracing import Trace

NUMERIC = frozenset({Unit.MONEY, Unit.PERCENT, Unit.COUNT})

Item = Mapping[str, Any]
"""A list item: plain facts, a `Span` for what the lever moves."""


@dataclass(frozen=True)
class Reach:
    """What a lever can move: fields, fields of list items, whether items are there at all, the collateral's book value."""

    fields: frozenset[str] = frozenset()
    items: frozenset[tuple[str, str]] = frozenset()
    lists: frozenset[str] = frozenset()
    book_value: bool = False


class Moved(Protocol):
    """A deal with one lever in motion, as `Ranging` reads it."""

    def field(self, name: str, stretch: Stretch) -> Span | None: ...
    def book_value(self, basis: str, stretch: Stretch) -> Span | None: ...
    def listed_value(self, stretch: Stretch) -> Span | None: ...
    def items(self, name: str, stretch: Stretch) -> Sequence[tuple[Item, bool]]:
        """The items of a list, each with whether it is there for certain."""
        ...


@dataclass
class Journey:
    """One deal on its way along the lever; what stays put is worked out once and kept with its trace."""

    moved: Moved
    trace: Trace


class Leg:
    """One stretch of a journey; measures, limits and rules are worked out at most once on it."""

    def __init__(self, journey: Journey, first: int, last: int) -> None:
        self.journey = journey
        self.stretch = Stretch(first, last)
        self.known: dict[str, Any] = {}
        self.item: Item = {}


ReadsNumber = Callable[[Leg], Span | None]
ReadsTruth = Callable[[Leg], int]
ReadsWord = Callable[[Leg], Any]
ReadsResults = Callable[[Leg], frozenset[Result]]


class Ranging:
    """The rules of a policy as functions over a stretch of one lever. Each is written when it is first asked for."""

    def __init__(self, policy: Policy, reach: Reach) -> None:
        self.policy = policy
        self.reach = reach
        self._rules = {rule.id: rule for rule in policy.rules}
        self._moving = self._moving_names()
        self._numbers: dict[str, ReadsNumber] = {}
        self._results: dict[str, ReadsResults] = {}

    # What moves at all

    def bears_on(self, rule: str) -> bool:
        """Whether anything the rule reads can move with the lever."""
        return f"rule {rule}" in self._moving

    def _moving_names(self) -> set[str]:
        moving: set[str] = set()
        for definition in self.policy.definitions:
            if any(name in moving for name in definition_reads(definition)) or self._touches(_of(definition)):
                moving.add(definition.name)
        for rule in (rule for layer in self.policy.layers for rule in layer):
            if self._moves_in(rule.expressions(), moving):
                moving.add(f"rule {rule.id}")
        return moving

    def _moves_in(self, expressions: Iterable[Expression], moving: set[str]) -> bool:
        nodes = [node for expression in expressions for node in walk(expression)]
        return self._touches(expressions) or any(
            (isinstance(node, MeasureName | LimitName) and node.name in moving)
            or (isinstance(node, Violated) and f"rule {node.rule}" in moving)
            for node in nodes
        )

    def _touches(self, expressions: Iterable[Expression]) -> bool:
        return any(self._is_moved(node) for expression in expressions for node in walk(expression))

    def _is_moved(self, node: Expression) -> bool:
        match node:
            case FieldName(name):
                return name in self.reach.fields
            case ListedValue() | BookValueOn():
                return self.reach.book_value
            case ListSum(name) | Greatest(name):
                inner = {part.name for part in walk(node) if isinstance(part, ItemName)}
                return name in self.reach.lists or any((name, item) in self.reach.items for item in inner)
        return False

    def _stands(self, expression: Expression) -> bool:
        """Whether the lever leaves an expression as it is, and no list item is needed to read it."""
        return not (_reads_item(expression) or self._moves_in((expression,), self._moving))

    def _standing(self, expression: Expression, read: Callable[[Any], Any]) -> Callable[[Leg], Any]:
        key = id(expression)  # the policy keeps its tree, so no other expression can come to stand there

        def standing(leg: Leg) -> Any:
            values = leg.journey.trace.standing
            if key not in values:
                values[key] = read(leg.journey.trace.value(expression))
            return values[key]

        return standing

    # Rules

    def rule(self, name: str) -> ReadsResults:
        if name not in self._results:
            self._results[name] = self._rule(self._rules[name])
        return self._results[name]

    def _rule(self, rule: Rule) -> ReadsResults:
        if not self.bears_on(rule.id):
            return lambda leg: frozenset({leg.journey.trace.reckoning.results[rule.id]})
        applies = self.truth(rule.applies) if rule.applies else _always
        require = self.truth(rule.require)
        when = self.truth(rule.mitigated_by.when) if rule.mitigated_by else None

        def results(leg: Leg) -> frozenset[Result]:
            where, kept, found = applies(leg), 0, set()
            if where & UNKNOWN:
                found.add(Result.NOT_EVALUABLE)
            if where & FALSE:
                found.add(Result.NOT_APPLICABLE)
            if where & TRUE:
                kept = require(leg)
            if kept & UNKNOWN:
                found.add(Result.NOT_EVALUABLE)
            if kept & TRUE:
                found.add(Result.PASS)
            if kept & FALSE:
                mitigated = when(leg) if when else FALSE
                found |= {Result.MITIGATED} if mitigated & TRUE else set()
                found |= {Result.VIOLATED} if mitigated & (FALSE | UNKNOWN) else set()
            return frozenset(found)

        return self._once(f"rule {rule.id}", results)

    def _once(self, name: str, read: Callable[[Leg], Any]) -> Callable[[Leg], Any]:
        def once(leg: Leg) -> Any:
            if name not in leg.known:
                leg.known[name] = read(leg)
            return leg.known[name]

        return once

    # Measures and limits

    def _definition(self, name: str) -> ReadsNumber:
        if name not in self._numbers:
            measure = self.policy.measures.get(name)
            read = self._measure(measure) if measure else self._limit(self.policy.limits[name])
            self._numbers[name] = self._once(name, read)
        return self._numbers[name]

    def _measure(self, measure: Measure) -> ReadsNumber:
        formula = self.number(measure.formula)
        if measure.unit != Unit.MONEY:
            return formula
        return lambda leg: leg.stretch.whole_cents(formula(leg))

    def _limit(self, limit: Limit) -> ReadsNumber:
        if limit.hit_policy != "first":
            return self._limit_by_all_rows(limit)
        return self._first_row(limit)

    def _rows(self, rows: Iterable[Row], unit: Unit) -> list[tuple[ReadsTruth, ReadsNumber]]:
        def cents(read: ReadsNumber) -> ReadsNumber:
            return lambda leg: leg.stretch.whole_cents(read(leg))

        reads = [(self.truth(row.when) if row.when else _always, self.number(row.limit)) for row in rows]
        return [(when, cents(read) if unit == Unit.MONEY else read) for when, read in reads]

    def _limit_by_all_rows(self, limit: Limit) -> ReadsNumber:
        """Rows that can be true may count, those that must be true do; an unknown condition makes the limit unknown."""
        rows = self._rows(limit.rows, limit.unit)
        default = self._rows([limit.default], limit.unit)[0][1] if limit.default else None

        def settled(leg: Leg) -> Span | None:
            matches = [when(leg) for when, _ in rows]
            hits = [(truths, read(leg)) for truths, (_, read) in zip(matches, rows, strict=True) if truths & TRUE]
            found = [by_all_rows(leg.stretch, limit, hits)] if hits or limit.aggregate == "count" else []
            if limit.aggregate != "count" and not any(truths == TRUE for truths in matches):
                found.append(default(leg) if default else None)
            return hull([*found, None] if any(truths & UNKNOWN for truths in matches) else found)

        return settled

    def _first_row(self, limit: Limit) -> ReadsNumber:
        """Every row that can be the first true one counts; an unknown row above it makes the limit unknown."""
        rows = self._rows(limit.rows, limit.unit)

        def first_true(leg: Leg) -> Span | None:
            found: list[Span | None] = []
            for when, read in rows:
                matches = when(leg)
                if matches & UNKNOWN:
                    found.append(None)
                if matches & TRUE:
                    found.append(read(leg))
                if not matches & FALSE:
                    return hull(found)
            return hull([*found, None])

        return first_true

    # Numbers

    def number(self, expression: Expression) -> ReadsNumber:
        if self._stands(expression):
            return self._standing(expression, as_span)
        match expression:
            case FieldName(name):
                return lambda leg: leg.journey.moved.field(name, leg.stretch)
            case ItemName(name, unit):
                scale = RATE_DENOMINATOR if unit == Unit.PERCENT else 1
                return lambda leg: _of_item(leg.item[name], scale)
            case MeasureName(name) | LimitName(name):
                return self._definition(name)
            case BookValueOn(basis):
                return lambda leg: leg.journey.moved.book_value(basis, leg.stretch)
            case ListedValue():
                return lambda leg: leg.journey.moved.listed_value(leg.stretch)
            case FirstKnown(operands):
                return _first_known([self.number(operand) for operand in operands])
            case ListSum() | Greatest():
                return self._over_items(expression)
            case DaysBetween(start, end):
                return _days(self._word(start), self._word(end))
            case Extreme(name, operands):
                reads = [self.number(operand) for operand in operands]
                return lambda leg: leg.stretch.extreme(name, [read(leg) for read in reads])
            case LevelPayment(amount, rate, months):
                lent, yearly, term = self.number(amount), self.number(rate), self.number(months)
                return lambda leg: leg.stretch.payment(lent(leg), yearly(leg), term(leg))
            case Projected():
                return self._projected(expression)
            case Arithmetic("+" | "-"):
                return self._total(expression)
            case Arithmetic(operator, left, right):
                return _arithmetic(operator, self.number(left), self.number(right))
        return lambda leg: ANYTHING

    def _total(self, node: Arithmetic) -> ReadsNumber:
        """A chain of sums: what stands is added up once for a deal, however long the chain."""
        terms = list(_terms(node))
        standing = [(sign, term) for sign, term in terms if self._stands(term)]
        moving = [(sign, self.number(term)) for sign, term in terms if not self._stands(term)]

        def total(leg: Leg) -> Span | None:
            values = leg.journey.trace.standing
            if total not in values:
                values[total] = _standing_total(leg.journey.trace, standing)
            found: Span | None = values[total]
            for sign, read in moving:
                found = leg.stretch.sum(found, read(leg), sign)
            return found

        return total

    def _projected(self, node: Projected) -> ReadsNumber:
        operands = [self.number(part) for part in (node.amount, node.rate, node.months, node.value)]
        after = self.number(node.after) if node.after else lambda leg: exactly(0)

        def reading(leg: Leg) -> Span | None:
            amount, rate, months, value = (read(leg) for read in operands)
            lent, worth = leg.stretch.whole_cents(amount), leg.stretch.whole_cents(value)
            loan = Loan(lent, rate, months, leg.stretch.payment(lent, rate, months))
            return projected_span(self.policy.equity, node.reading, loan, worth, after(leg))

        return reading

    def _over_items(self, node: ListSum | Greatest) -> ReadsNumber:
        where = self.truth(node.where) if node.where is not None else _always
        value, name, is_greatest = self.number(node.value), node.list, isinstance(node, Greatest)

        def total(leg: Leg) -> Span | None:
            found: Span | None = exactly(0)
            outer = leg.item
            for item, certain in leg.journey.moved.items(name, leg.stretch):
                leg.item = item
                counts = where(leg) if certain else where(leg) | FALSE
                added: list[Span | None] = [exactly(0)] if counts & FALSE else []
                added += [value(leg)] if counts & TRUE else []
                added += [None] if counts & UNKNOWN else []
                other = hull(added)
                found = leg.stretch.extreme("max", [found, other]) if is_greatest else leg.stretch.sum(found, other)
            leg.item = outer
            return found

        return total

    # Logic

    def truth(self, expression: Expression) -> ReadsTruth:
        if self._stands(expression):
            return self._standing(expression, _as_truth)
        match expression:
            case Comparison(operator, left, right) if left.unit in NUMERIC:
                one, other = self.number(left), self.number(right)
                return lambda leg: leg.stretch.comparison(operator, one(leg), other(leg))
            case Comparison(operator, left, right) if left.unit == Unit.DATE:
                gap = _days(self._word(right), self._word(left))
                return lambda leg: leg.stretch.comparison(operator, gap(leg), exactly(0))
            case Comparison(operator, left, right):
                return _of_words(operator == "==", self._word(left), [self._word(right)])
            case Membership(operand, options) if operand.unit in NUMERIC:
                read, numbers = self.number(operand), [self.number(option) for option in options]
                return lambda leg: either(
                    [leg.stretch.comparison("==", read(leg), number(leg)) for number in numbers] or [FALSE]
                )
            case Membership(operand, options):
                return _of_words(True, self._word(operand), [self._word(option) for option in options])
            case Missing(operand) if operand.unit in NUMERIC:
                sought = self.number(operand)
                return lambda leg: _missing(sought(leg))
            case Missing(operand):
                word = self._word(operand)
                return lambda leg: TRUE if word(leg) is None else FALSE
            case Violated(rule):
                results = self.rule(rule)
                return lambda leg: _violated(results(leg))
            case Not(operand):
                truth = self.truth(operand)
                return lambda leg: opposite(truth(leg))
            case All(operands):
                all_of = [self.truth(operand) for operand in operands]
                return lambda leg: both([read(leg) for read in all_of])
            case AnyOf(operands):
                any_of = [self.truth(operand) for operand in operands]
                return lambda leg: either([read(leg) for read in any_of])
        return lambda leg: EITHER | UNKNOWN

    def _word(self, expression: Expression) -> ReadsWord:
        if isinstance(expression, ItemName):
            return lambda leg: leg.item[expression.name]
        return self._standing(expression, lambda value: value)


def _of(definition: Measure | Limit) -> list[Expression]:
    if isinstance(definition, Measure):
        return [definition.formula]
    return [part for row in definition.all_rows for part in (row.when, row.limit) if part is not None]


def by_all_rows(stretch: Stretch, limit: Limit, hits: list[tuple[int, Span | None]]) -> Span | None:
    """What a table comes to whose hit policy looks at every row, if any row is hit. `hits` are the rows that can be."""
    certain = sum(truths == TRUE for truths, _ in hits)
    values = [value for _, value in hits]
    match limit.aggregate or limit.hit_policy:
        case "count":
            return Span(certain, len(hits), 1, (certain, 0) if certain == len(hits) else None)
        case "sum":
            total: Span | None = exactly(0)
            for truths, value in hits:
                total = stretch.sum(total, value if truths == TRUE else hull([value, exactly(0)]))
            return total
        case "min" | "max":
            if certain == len(hits):
                return stretch.extreme(limit.aggregate, values)
            return hull(values)
    # unique and any: rows that fail each other leave the limit unknown
    return hull([*values, None] if len(values) > 1 else values)


def _reads_item(expression: Expression) -> bool:
    """Whether an expression can only be read beside a list item."""
    if isinstance(expression, ListSum | Greatest):
        return False
    return isinstance(expression, ItemName) or any(_reads_item(part) for part in parts(expression))


def _always(leg: Leg) -> int:
    return TRUE


def _of_item(value: Any, scale: int) -> Span | None:
    return value if value is None or isinstance(value, Span) else exactly(value, scale)


def _first_known(reads: list[ReadsNumber]) -> ReadsNumber:
    def first_known(leg: Leg) -> Span | None:
        found: list[Span | None] = []
        for read in reads:
            span = read(leg)
            if span is not None:
                found.append(span._replace(unknown=False))
                if not span.unknown:
                    return hull(found)
        return hull([*found, None])

    return first_known


def _terms(expression: Expression, sign: int = 1) -> Iterator[tuple[int, Expression]]:
    """The terms of a chain of sums and differences, each with its sign."""
    if isinstance(expression, Arithmetic) and expression.operator in {"+", "-"}:
        yield from _terms(expression.left, sign)
        yield from _terms(expression.right, sign if expression.operator == "+" else -sign)
    else:
        yield sign, expression


def _standing_total(trace: Trace, terms: list[tuple[int, Expression]]) -> Span | None:
    whole, rest = 0, Fraction(0)  # nearly all are cents, and integers add up far faster than fractions
    for sign, term in terms:
        value = trace.value(term)
        if value is None:
            return None
        if value.denominator == 1:
            whole += sign * value.numerator
        else:
            rest += sign * value
    return as_span(whole + rest)


def _arithmetic(operator: str, left: ReadsNumber, right: ReadsNumber) -> ReadsNumber:
    if operator == "*":
        return lambda leg: leg.stretch.product(left(leg), right(leg))
    return lambda leg: leg.stretch.quotient(left(leg), right(leg))


def _of_words(wanted: bool, word: ReadsWord, options: list[ReadsWord]) -> ReadsTruth:
    def truth(leg: Leg) -> int:
        value, others = word(leg), [option(leg) for option in options]
        if value is None or None in others:
            return UNKNOWN
        return TRUE if (value in others) is wanted else FALSE

    return truth


def _days(start: ReadsWord, end: ReadsWord) -> ReadsNumber:
    """No lever moves a date; which item it is of may differ."""

    def days(leg: Leg) -> Span | None:
        first, last = start(leg), end(leg)
        return None if first is None or last is None else exactly((last - first).days)

    return days


def _as_truth(value: bool | None) -> int:
    return UNKNOWN if value is None else TRUE if value else FALSE


def _missing(span: Span | None) -> int:
    return TRUE if span is None else EITHER if span.unknown else FALSE


def _violated(results: frozenset[Result]) -> int:
    truths = UNKNOWN if Result.NOT_EVALUABLE in results else 0
    truths |= TRUE if results & {Result.VIOLATED, Result.MITIGATED} else 0
    return truths | (FALSE if results & {Result.PASS, Result.NOT_APPLICABLE} else 0)
