"""The policy as columns: the typed tree compiled to Narwhals expressions, so that one evaluation judges a whole book.

A plan is a sequence of stages; the columns of a stage read those of the stages before it. Null is unknown. Every number is an
integer whose size the compiler has proved from the bounds of the book's columns.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import narwhals as nw

from dealgate.rules.amounts import MAX_CENTS
from dealgate.rules.column_kernels import DeficienciesAfter, Function, Projections, level_payments
from dealgate.rules.column_layout import COUNTS, MONEY, RATES, Layout, column_of, item_column, value_column
from dealgate.rules.column_limits import TableRow, Truth, limit_column
from dealgate.rules.column_numbers import (
    UNKNOWN,
    ColumnNumber,
    UnboundedError,
    add,
    choose,
    compare,
    compare_columns,
    constant,
    divide,
    extreme,
    half_up,
    multiply,
    narrow,
)
from dealgate.rules.column_plan import (
    MITIGATED,
    NOT_APPLICABLE,
    NOT_EVALUABLE,
    PASS,
    VIOLATED,
    ColumnPlan,
    Kernel,
    Stage,
)
from dealgate.rules.compiling import RATE_DENOMINATOR
from dealgate.rules.expressions import (
    All,
    Arithmetic,
    BookValueOn,
    Comparison,
    Expression,
    Extreme,
    FieldName,
    FirstKnown,
    ItemName,
    LevelPayment,
    LimitName,
    ListedValue,
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
from dealgate.rules.policy import Limit, Measure, Policy, Rule, written

LEAST_PROVABLE = 250_000_00
"""Cents. A policy whose arithmetic is not proved for amounts up to this is refused."""


class ColumnsError(ValueError):
    """A policy that cannot be evaluated as columns; the message names the measure, limit or rule."""


def compile_columns(
    policy: Policy, layout: Layout, *, measures: Collection[str] | None = None, prefix: str = ""
) -> ColumnPlan:
    """Compile a policy for books of a layout. Raises `ColumnsError` where the size of a number cannot be proved.

    `measures` are those wanted beside what the rules read; all of them if it is None. The names of all columns that are made begin
    with `prefix`, so that a frame can carry the plans of several policies.
    """
    largest = MAX_CENTS
    while True:
        compiler = Compiler(policy, layout, largest, prefix)
        try:
            return compiler.plan(policy.definitions if measures is None else policy.read_for(measures))
        except UnboundedError:
            if largest // 2 < LEAST_PROVABLE:
                raise ColumnsError(
                    f"{compiler.at}: a number in it may outgrow what a column holds even where no amount exceeds "
                    f"${LEAST_PROVABLE // 100:,}: divide or multiply fewer amounts in one formula"
                ) from None
            largest //= 2


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


class Compiler:
    """Walks the tree of one policy and places every definition in the first stage where all that it reads is there."""

    def __init__(self, policy: Policy, layout: Layout, largest_amount: int, prefix: str) -> None:
        self.policy = policy
        self.layout = layout
        self.largest_amount = largest_amount
        self.prefix = prefix
        self.at = policy.name
        self.stages: list[Stage] = []
        self.reads: dict[str, None] = {}
        self._names: dict[str, Placed] = {}
        self._known: dict[Expression, Placed] = {}
        self._readings: dict[Loan, list[Reading]] = {}
        self._projected_loans: dict[Loan, Readings] = {}
        self._kernels = 0
        self._item = 0
        self._list = ""
        self._depth = 0

    def plan(self, definitions: Sequence[Measure | Limit]) -> ColumnPlan:
        policy = self.policy
        self._readings = _readings(definitions, policy.rules)
        for definition in definitions:
            self.at = definition.name
            self._define(definition)
        rules = {rule.id: f"{self.prefix}r_{index}" for index, rule in enumerate(policy.rules)}
        for layer in policy.layers:
            for rule in layer:
                self.at = rule.id
                self._rule(rule, rules[rule.id])
        found = {definition.name: self._number_named(definition.name) for definition in definitions}
        return ColumnPlan(
            policy,
            self.layout,
            tuple(self.reads),
            tuple(self.stages),
            {name: found[name] for name in policy.measures if name in found},
            {name: found[name] for name in policy.limits if name in found},
            rules,
            f"{self.prefix}outcome",
            self.largest_amount,
        )

    def _number_named(self, name: str) -> ColumnNumber:
        number = self._names[name].value
        assert isinstance(number, ColumnNumber)
        return number

    # Placing

    def _stage(self, number: int) -> Stage:
        while len(self.stages) <= number:
            self.stages.append(Stage())
        return self.stages[number]

    def _keep(self, name: str, value: ColumnNumber, stage: int) -> Placed:
        """Make a column of a number that is not a plain one."""
        if isinstance(value.top, int) and isinstance(value.bottom, int):
            return Placed(value, stage)
        self._stage(stage).columns[name] = value.expression
        bottom = value.bottom
        if not isinstance(bottom, int):
            self._stage(stage).columns[f"{name}_per"] = bottom
            bottom = nw.col(f"{name}_per")
        return Placed(value._replace(top=nw.col(name), bottom=bottom), stage + 1)

    def _define(self, definition: Measure | Limit) -> None:
        self._depth = 0
        if isinstance(definition, Measure):
            value, kind = narrow(self._whole_cents(self.number(definition.formula), definition.unit)), "m"
        else:
            value, kind = self._limit(definition), "l"
        self._names[definition.name] = self._keep(f"{self.prefix}{kind}_{definition.name}", value, self._depth)

    def _whole_cents(self, number: ColumnNumber, unit: Unit) -> ColumnNumber:
        return half_up(number) if unit == Unit.MONEY else number

    def _limit(self, limit: Limit) -> ColumnNumber:
        rows = [
            TableRow(self.truth(row.when) if row.when else None, self._whole_cents(self.number(row.limit), limit.unit))
            for row in limit.rows
        ]
        default = self._whole_cents(self.number(limit.default.limit), limit.unit) if limit.default else None
        return limit_column(limit, rows, default)

    def _rule(self, rule: Rule, name: str) -> None:
        self._depth = 0
        applies = self.truth(rule.applies) if rule.applies else None
        require = self.truth(rule.require)
        when = self.truth(rule.mitigated_by.when) if rule.mitigated_by else None
        found = nw.lit(VIOLATED, dtype=nw.Int8)
        if when:
            found = nw.when(when.expression).then(nw.lit(MITIGATED, dtype=nw.Int8)).otherwise(found)
        found = nw.when(require.expression).then(nw.lit(PASS, dtype=nw.Int8)).otherwise(found)
        unknown = [part.expression.is_null() for part in (applies, require) if part and part.nullable]
        if unknown:
            doubtful = reduce(lambda one, other: one | other, unknown)
            found = nw.when(doubtful).then(nw.lit(NOT_EVALUABLE, dtype=nw.Int8)).otherwise(found)
        if applies:
            found = nw.when(~applies.expression).then(nw.lit(NOT_APPLICABLE, dtype=nw.Int8)).otherwise(found)
        self._stage(self._depth).columns[name] = found
        result = nw.col(name)
        broken = (result == VIOLATED) | (result == MITIGATED)
        if unknown:
            broken = nw.when(result != NOT_EVALUABLE).then(broken).otherwise(nw.lit(None, dtype=nw.Boolean))
        self._names[f"rule {rule.id}"] = Placed(Truth(broken, bool(unknown)), self._depth + 1)

    # Expressions

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
            outer, self._depth = self._depth, 0
            value = self._node(expression)
            found = Placed(value, self._depth)
            self._depth = outer
            if not self._item:
                self._known[expression] = found
        self._depth = max(self._depth, found.stage)
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
            case ListSum():
                return self._list_sum(node)
            case LevelPayment():
                return self._level_payment(node)
            case Projected():
                return self._projected(node)
            case Arithmetic() | Extreme() | FirstKnown() | Year():
                return self._arithmetic(node)
            case _:
                return self._logic(node)

    def _named(self, name: str) -> ColumnNumber | Truth | nw.Expr:
        placed = self._names[name]
        self._depth = max(self._depth, placed.stage)
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

    def _list_sum(self, node: ListSum) -> ColumnNumber:
        """Item by item; one needed part that is unknown makes the sum unknown."""
        items = []
        kind = f"{node.list.removesuffix('s')}_{{}}_kind"
        for number in range(1, self.layout.items(node.list) + 1):
            self._list, self._item = node.list, number
            present = self._column(kind.format(number), Unit.TEXT, "kind")
            assert isinstance(present, nw.Expr)
            items.append(self._item_value(node, present))
        self._item = 0
        return reduce(add, items, constant(0))

    def _item_value(self, node: ListSum, present: nw.Expr) -> ColumnNumber:
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
        stage, self._kernels = self._stage(self._depth), self._kernels + 1
        inputs = [f"{self.prefix}k_{self._kernels}_of_{index}" for index in range(len(numbers))]
        names = [f"{self.prefix}k_{self._kernels}_{index}" for index in range(outputs)]
        stage.columns.update((name, narrow(number).expression) for name, number in zip(inputs, numbers, strict=True))
        stage.kernels.append(Kernel(tuple(inputs), tuple(names), function))
        self._depth += 1
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
        if loan not in self._projected_loans or self._item:
            readings = [reading] if self._item else self._readings[loan]
            names = self._kernel(operands, len(readings), Projections(self.policy.equity, readings))
            self._projected_loans[loan] = Readings(dict(zip(readings, names, strict=True)), self._depth)
        placed = self._projected_loans[loan]
        self._depth = max(self._depth, placed.stage)
        return ColumnNumber(nw.col(placed.columns[reading]), 0, most)

    # Numbers and logic

    def _arithmetic(self, node: Arithmetic | Extreme | FirstKnown | Year) -> ColumnNumber:
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
                day = self._write(date)
                assert isinstance(day, nw.Expr)
                return ColumnNumber(day.dt.year().cast(nw.Int64), 1, 9999)

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


def _denominator(number: ColumnNumber) -> ColumnNumber:
    return ColumnNumber(number.denominator, 1, number.most_bottom, nullable=False)


def _loan(node: Projected) -> Loan:
    return node.amount, node.rate, node.months, node.value


def _reading(node: Projected) -> Reading:
    return node.reading, node.after.numerator if isinstance(node.after, Number) else 0


def _readings(definitions: Sequence[Measure | Limit], rules: Sequence[Rule]) -> dict[Loan, list[Reading]]:
    """What is read of each loan's projection: one kernel makes it all."""
    found: dict[Loan, list[Reading]] = {}
    expressions = [part for definition in definitions for part in written(definition)]
    for part in [*expressions, *(part for rule in rules for part in rule.expressions())]:
        for node in walk(part):
            if isinstance(node, Projected) and (node.after is None or isinstance(node.after, Number)):
                readings = found.setdefault(_loan(node), [])
                if _reading(node) not in readings and _reading(node)[1] >= 0:
                    readings.append(_reading(node))
    return found
