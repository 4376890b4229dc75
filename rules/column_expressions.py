"""Expressions of the policy language as Narwhals expressions, placed in stages.

A column of a stage reads those of the stages before it; what a function of many deals makes can be read in the stage after it.
Null is unknown.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date as date_type
from functools import reduce
from typing import NamedTuple

import narwhals as nw

from dealgate.rules.column_kernels import DeficienciesAfter, Function, Projections, level_payments
from dealgate.rules.column_layout import (
    COUNTS,
    MONEY,
    RATES,
    Layout,
    as_of_column,
    column_of,
    item_column,
    value_column,
)
from dealgate.rules.column_limits import Truth
from dealgate.rules.column_numbers import (
    UNKNOWN,
    ColumnNumber,
    add,
    choose,
    compare,
    compare_columns,
    constant,
    divide,
    extreme,
    greatest,
    half_up,
    multiply,
    narrow,
)
from dealgate.rules.column_plan import (
    Kernel,
    Stage,
)
from dealgate.rules.compiling import RATE_DENOMINATOR
from dealgate.rules.expressions import (
    All,
    Arithmetic,
    BookValueAsOf,
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
    ListedValueAsOf,
    ListSum,
    MeasureName,
    Membership,
    Missing,
    Not,
    Number,
    Projected,
    Text,
    Violated,
    Year,
    walk,
)
from dealgate.rules.expressions import Any as AnyOf
from dealgate.rules.expressions import Truth as TruthLiteral
from dealgate.rules.fields import FIELDS, Unit
from dealgate.rules.payment import LONGEST_TERM
from dealgate.rules.policy import Limit, Measure, Policy, Rule, definition_expressions

NO_DAY = nw.lit(None, dtype=nw.Date)

Loan = tuple[Expression, Expression, Expression, Expression]
Reading = tuple[str, int]


class Placed(NamedTuple):
    """What an expression became, and the first stage in which it can be read."""

    value: ColumnNumber | Truth | nw.Expr
    stage: int


class Readings(NamedTuple):
    """The columns of one loan's projection, and the first stage in which they can be read."""

    columns: Mapping[Reading, str]
    stage: int


class ColumnExpressions:
    """Writes the expressions of one policy, each in the first stage where all that it reads is there.

    `names` tells where measures, limits and rules already stand; `depth` is the stage of what has been written since it was set to 0.
    """

    def __init__(self, policy: Policy, layout: Layout, largest_amount: int, prefix: str) -> None:
        self.policy = policy
        self.layout = layout
        self.largest_amount = largest_amount
        self.prefix = prefix
        self.at = policy.name
        self.stages: list[Stage] = []
        self.reads: dict[str, None] = {}
        self.names: dict[str, Placed] = {}
        self._known: dict[Expression, Placed] = {}
        self.readings: dict[Loan, list[Reading]] = {}
        self._projected_loans: dict[Loan, Readings] = {}
        self._kernels = 0
        self._item = 0
        self._list = ""
        self.depth = 0

    def stage(self, number: int) -> Stage:
        while len(self.stages) <= number:
            self.stages.append(Stage())
        return self.stages[number]

    def number(self, expression: Expression) -> ColumnNumber:
        value = self._write(expression)
        assert isinstance(value, ColumnNumber)
        return value

    def truth(self, expression: Expression) -> Truth:
        value = self._write(expression)
        assert isinstance(value, Truth)
        return value

    def _write(self, expression: Expression) -> ColumnNumber | Truth | nw.Expr:
        """Write a node, once however often it occurs; the stage being written moves behind all that it reads."""
        if not self._item and expression in self._known:
            found = self._known[expression]
        else:
            outer, self.depth = self.depth, 0
            value = self._node(expression)
            found = Placed(value, self.depth)
            self.depth = outer
            if not self._item:
                self._known[expression] = found
        self.depth = max(self.depth, found.stage)
        return found.value

    def _node(self, node: Expression) -> ColumnNumber | Truth | nw.Expr:
        match node:
            case Number():
                return constant(node.numerator, node.denominator)
            case Text(value):
                return nw.lit(value)
            case TruthLiteral(value):
                return Truth(nw.lit(value), nullable=False)
            case FieldName(name):
                return self._field(name)
            case ItemName(name, unit):
                return self._column(item_column(self._list, self._item, name), unit, name)
            case MeasureName(name) | LimitName(name):
                return self._named(name)
            case Violated(rule):
                return self._named(f"rule {rule}")
            case BookValueOn(basis):
                return self._book_value(basis)
            case ListedValue():
                return self._listed_value()
            case BookValueAsOf(basis):
                return self._book_value_as_of(basis)
            case ListedValueAsOf():
                return self._listed_value_as_of()
            case ListSum() | Greatest():
                return self._over_items(node)
            case LevelPayment():
                return self._level_payment(node)
            case Projected():
                return self._projected(node)
            case Arithmetic() | Extreme() | FirstKnown() | Year() | DaysBetween():
                return self._arithmetic(node)
            case _:
                return self._logic(node)

    def _named(self, name: str) -> ColumnNumber | Truth | nw.Expr:
        placed = self.names[name]
        self.depth = max(self.depth, placed.stage)
        return placed.value

    def _field(self, name: str) -> ColumnNumber | Truth | nw.Expr:
        spec = FIELDS[name]
        return self._column(column_of(spec), spec.unit, name, nullable=not spec.zero_when_absent)

    def _column(self, column: str, unit: Unit, name: str, *, nullable: bool = True) -> ColumnNumber | Truth | nw.Expr:
        self.reads[column] = None
        found = nw.col(column)
        if unit == Unit.BOOLEAN:
            return Truth(found)
        if unit in (Unit.TEXT, Unit.DATE):
            return found
        if unit == Unit.PERCENT:
            return ColumnNumber(found, *RATES, bottom=RATE_DENOMINATOR, most_bottom=RATE_DENOMINATOR)
        if unit == Unit.MONEY:
            return ColumnNumber(found, MONEY.least, self.largest_amount, nullable=nullable)
        return ColumnNumber(found, *COUNTS[name])

    def _book_value(self, basis: str) -> ColumnNumber:
        if basis not in self.layout.bases:
            return ColumnNumber(UNKNOWN, 0, 0)
        value = self._column(value_column(basis), Unit.MONEY, basis)
        assert isinstance(value, ColumnNumber)
        return value

    def _listed_value(self) -> ColumnNumber:
        condition = self._column(column_of(FIELDS["condition"]), Unit.TEXT, "condition")
        assert isinstance(condition, nw.Expr)
        found = ColumnNumber(UNKNOWN, 0, self.largest_amount)
        for word, bases in self.policy.collateral_value.items():
            listed = [self._book_value(basis).expression for basis in bases if basis in self.layout.bases]
            if listed:
                found = choose(condition == nw.lit(word), found._replace(top=nw.coalesce(*listed)), found)
        return found

    def _book_value_as_of(self, basis: str) -> nw.Expr:
        """No value can be looked up after the deal was submitted with it: `looked_up_on`."""
        if basis not in self.layout.bases:
            return NO_DAY
        submitted, as_of = self._day("submitted_on"), self._day(as_of_column(basis))
        return nw.when(as_of <= submitted).then(as_of)

    def _listed_value_as_of(self) -> nw.Expr:
        condition = self._column(column_of(FIELDS["condition"]), Unit.TEXT, "condition")
        assert isinstance(condition, nw.Expr)
        found = NO_DAY
        for word, bases in self.policy.collateral_value.items():
            for basis in (basis for basis in reversed(bases) if basis in self.layout.bases):
                listed = (condition == nw.lit(word)) & ~self._book_value(basis).expression.is_null()
                found = nw.when(listed).then(self._book_value_as_of(basis)).otherwise(found)
        return found

    def _day(self, column: str) -> nw.Expr:
        day = self._column(column, Unit.DATE, column)
        assert isinstance(day, nw.Expr)
        return day

    def _over_items(self, node: ListSum | Greatest) -> ColumnNumber:
        """Item by item; one needed part that is unknown makes the whole unknown."""
        items = []
        kind = f"{node.list.removesuffix('s')}_{{}}_kind"
        for number in range(1, self.layout.items(node.list) + 1):
            self._list, self._item = node.list, number
            present = self._column(kind.format(number), Unit.TEXT, "kind")
            assert isinstance(present, nw.Expr)
            items.append(self._item_value(node, present))
        self._item = 0
        return greatest([constant(0), *items]) if isinstance(node, Greatest) else reduce(add, items, constant(0))

    def _item_value(self, node: ListSum | Greatest, present: nw.Expr) -> ColumnNumber:
        value = self.number(node.value)
        none = constant(0)._replace(bottom=value.bottom, most_bottom=value.most_bottom)
        if node.where is None:
            return choose(present.is_null(), none, value)
        where = self.truth(node.where)
        counted = choose(where.expression, value, none)
        if where.nullable:
            unknown = nw.when(where.expression.is_null()).then(UNKNOWN).otherwise(counted.expression)
            counted = counted._replace(top=unknown, nullable=True)
        return choose(present.is_null(), none, counted)

    # Kernels

    def _kernel(self, numbers: Sequence[ColumnNumber], outputs: int, function: Function) -> list[str]:
        """Columns that a function makes of whole numbers, once these are columns."""
        stage, self._kernels = self.stage(self.depth), self._kernels + 1
        inputs = [f"{self.prefix}k_{self._kernels}_of_{index}" for index in range(len(numbers))]
        names = [f"{self.prefix}k_{self._kernels}_{index}" for index in range(outputs)]
        stage.columns.update((name, narrow(number).expression) for name, number in zip(inputs, numbers, strict=True))
        stage.kernels.append(Kernel(tuple(inputs), tuple(names), function))
        self.depth += 1
        return names

    def _level_payment(self, node: LevelPayment) -> ColumnNumber:
        amount, rate, months = map(self.number, (node.amount, node.rate, node.months))
        operands = [amount, _denominator(amount), rate, _denominator(rate), months]
        (name,) = self._kernel(operands, 1, level_payments)
        yearly = 12 * (rate.bottom if isinstance(rate.bottom, int) else 1)
        # Nothing takes more a month than the whole amount and a month's interest on it.
        return narrow(ColumnNumber(nw.col(name), 0, max(0, amount.high + amount.high * rate.high // yearly + 1)))

    def _projected(self, node: Projected) -> ColumnNumber:
        loan = _loan(node)
        amount, rate, months, value = map(self.number, loan)
        operands = [half_up(amount), rate, _denominator(rate), months, half_up(value)]
        # No balance exceeds the amount: the payment is the interest rounded alike, or more.
        most = max(LONGEST_TERM, amount.high + self.policy.equity.disposal_cost.numerator)
        if node.after is not None and not isinstance(node.after, Number):
            after = self.number(node.after)
            (name,) = self._kernel([*operands, after], 1, DeficienciesAfter(self.policy.equity))
            return ColumnNumber(nw.col(name), 0, most)
        reading = _reading(node)
        if reading[1] < 0:
            return ColumnNumber(UNKNOWN, 0, 0)
        if loan not in self._projected_loans:
            readings = self.readings[loan]
            names = self._kernel(operands, len(readings), Projections(self.policy.equity, readings))
            self._projected_loans[loan] = Readings(dict(zip(readings, names, strict=True)), self.depth)
        placed = self._projected_loans[loan]
        self.depth = max(self.depth, placed.stage)
        return ColumnNumber(nw.col(placed.columns[reading]), 0, most)

    # Numbers and logic

    def _arithmetic(self, node: Arithmetic | Extreme | FirstKnown | Year | DaysBetween) -> ColumnNumber:
        match node:
            case Arithmetic(operator, left, right):
                first, second = self.number(left), self.number(right)
                if operator in "+-":
                    return add(first, second, 1 if operator == "+" else -1)
                return multiply(first, second) if operator == "*" else divide(first, second)
            case Extreme(name, operands):
                return reduce(lambda one, other: extreme(name, one, other), map(self.number, operands))
            case FirstKnown(operands):
                *others, last = map(self.number, operands)
                for number in reversed(others):
                    last = choose(~number.expression.is_null(), number, last)._replace(
                        nullable=number.nullable and last.nullable
                    )
                return last
            case Year(date):
                return ColumnNumber(_year(self._date(date)), date_type.min.year, date_type.max.year)
            case DaysBetween(start, end):
                most = (date_type.max - date_type.min).days
                return ColumnNumber(_day_number(self._date(end)) - _day_number(self._date(start)), -most, most)

    def _date(self, expression: Expression) -> nw.Expr:
        day = self._write(expression)
        assert isinstance(day, nw.Expr)
        return day

    def _logic(self, node: Expression) -> Truth:
        match node:
            case Comparison(operator, left, right):
                return self._comparison(operator, left, right)
            case Membership(operand, options):
                tests = [self._comparison("==", operand, option) for option in options]
                return Truth(
                    reduce(lambda one, other: one | other, (test.expression for test in tests)), tests[0].nullable
                )
            case Missing(operand):
                value = self._write(operand)
                found = value if isinstance(value, nw.Expr) else value.expression
                nullable = isinstance(value, nw.Expr) or value.nullable
                return Truth(found.is_null() if nullable else nw.lit(False), nullable=False)
            case Not(operand):
                truth = self.truth(operand)
                return Truth(~truth.expression, truth.nullable)
            case All(operands):
                truths = [self.truth(operand) for operand in operands]
                return _joined(truths, lambda one, other: one & other)
            case AnyOf(operands):
                truths = [self.truth(operand) for operand in operands]
                return _joined(truths, lambda one, other: one | other)
        raise TypeError(f"{type(node).__name__} is not evaluated as a column")

    def _comparison(self, operator: str, left: Expression, right: Expression) -> Truth:
        first, second = self._write(left), self._write(right)
        if isinstance(first, ColumnNumber) and isinstance(second, ColumnNumber):
            return Truth(compare(operator, first, second), first.nullable or second.nullable)
        if isinstance(first, Truth) and isinstance(second, Truth):
            return Truth(
                compare_columns(operator, first.expression, second.expression), first.nullable or second.nullable
            )
        assert isinstance(first, nw.Expr)
        return Truth(compare_columns(operator, first, second))


def _joined(truths: Sequence[Truth], join: Callable[[nw.Expr, nw.Expr], nw.Expr]) -> Truth:
    """Kleene's `and` and `or` are those of every engine."""
    return Truth(reduce(join, (truth.expression for truth in truths)), any(truth.nullable for truth in truths))


def _year(day: nw.Expr) -> nw.Expr:
    return day.dt.year().cast(nw.Int64)


def _day_number(day: nw.Expr) -> nw.Expr:
    """The number of a day in the calendar, from 1 for January 1 of year 1: what a difference of dates is called differs by engine."""
    whole_years = _year(day) - 1
    leap_days = whole_years // 4 - whole_years // 100 + whole_years // 400
    return 365 * whole_years + leap_days.cast(nw.Int64) + day.dt.ordinal_day().cast(nw.Int64)


def _denominator(number: ColumnNumber) -> ColumnNumber:
    return ColumnNumber(number.denominator, 1, number.most_bottom, nullable=False)


def _loan(node: Projected) -> Loan:
    return node.amount, node.rate, node.months, node.value


def _reading(node: Projected) -> Reading:
    return node.reading, node.after.numerator if isinstance(node.after, Number) else 0


def readings_of(definitions: Sequence[Measure | Limit], rules: Sequence[Rule]) -> dict[Loan, list[Reading]]:
    """What is read of each loan's projection: one kernel makes it all."""
    found: dict[Loan, list[Reading]] = {}
    expressions = [part for definition in definitions for part in definition_expressions(definition)]
    for part in [*expressions, *(part for rule in rules for part in rule.expressions())]:
        for node in walk(part):
            if isinstance(node, Projected) and (node.after is None or isinstance(node.after, Number)):
                readings = found.setdefault(_loan(node), [])
                if _reading(node) not in readings and _reading(node)[1] >= 0:
                    readings.append(_reading(node))
    return found
