"""What a DMN expression or a table's cell comes to. Three-valued throughout: what cannot be computed is null."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property

from dealgate.rules.document import did_you_mean
from dealgate.rules.feel_functions import FUNCTIONS, call
from dealgate.rules.feel_syntax import (
    AtLiteral,
    Between,
    Binary,
    Call,
    Compared,
    Conditional,
    Context,
    FeelError,
    In,
    ListOf,
    Literal,
    Name,
    Negative,
    Path,
    Range,
    Syntax,
    TestedValue,
    Tests,
    parse_expression,
    parse_tests,
)
from dealgate.rules.feel_values import (
    ARITHMETIC,
    Interval,
    Months,
    Value,
    all_true,
    any_true,
    compare,
    equal,
    is_vast,
    kind,
    opposite,
    read_date,
    read_date_and_time,
    read_duration,
    read_time,
)

LARGEST_EXPONENT = 100_000
LONGEST_TEXT = 1_000_000
MOST_VALUES = 100_000


@dataclass(frozen=True)
class Scope:
    """What an expression may name: values, functions of the model, and names of parts that are more than a plain word."""

    values: Mapping[str, Value] = field(default_factory=dict)
    functions: Mapping[str, Callable[[list[Value], tuple[str, ...]], Value]] = field(default_factory=dict)
    parts: frozenset[str] = frozenset()

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset([*self.values, *self.functions, *self.parts])

    def with_values(self, values: Mapping[str, Value]) -> "Scope":
        return Scope({**self.values, **values}, self.functions, self.parts)


def evaluate(text: str, scope: Scope) -> Value:
    """The value of an expression. Raises `FeelError` for what cannot be read and for unknown names."""
    return _Evaluator(scope).value(parse_expression(text, scope.names))


def cell_holds(text: str, value: Value, scope: Scope) -> bool:
    """Whether an input cell accepts a value; null is no acceptance. Raises `FeelError`."""
    return tests_hold(parse_tests(text, scope.names), value, scope) is True


def tests_hold(tests: Tests, value: Value, scope: Scope) -> bool | None:
    return _Evaluator(scope, value).tests(tests)


def values_of(text: str, scope: Scope) -> list[Value]:
    """The values of a list of allowed or ordered values, intervals among them."""
    evaluator = _Evaluator(scope)
    return [evaluator.value(test) for test in parse_tests(text, scope.names).tests]


class _Evaluator:
    def __init__(self, scope: Scope, tested: Value = None) -> None:
        self.scope = scope
        self.tested = tested

    # Cells

    def tests(self, tests: Tests) -> bool | None:
        if tests.always:
            return True
        held = any_true(self.test(test) for test in tests.tests)
        return opposite(held) if tests.negated else held

    def test(self, test: Syntax) -> bool | None:
        if isinstance(test, Compared):
            return compare(test.operator, self.tested, self.value(test.operand))
        wanted = self.value(test)
        if _reads_tested_value(test):
            return wanted if isinstance(wanted, bool) else None
        return self.accepts(wanted)

    def accepts(self, wanted: Value) -> bool | None:
        """A list accepts its members, an interval what lies in it, anything else what equals it."""
        if isinstance(wanted, Interval):
            return wanted.holds(self.tested)
        if isinstance(wanted, list) and not isinstance(self.tested, list):
            return any_true(self.accepts(item) for item in wanted)
        return equal(self.tested, wanted)

    # Expressions

    def value(self, node: Syntax) -> Value:
        match node:
            case Literal(value):
                return value
            case AtLiteral(text):
                return at_literal(text)
            case Name(name):
                return self.named(name)
            case TestedValue():
                return self.tested
            case Path(whole, name):
                return self.path(node, whole, name)
            case Negative(operand):
                return _negative(self.value(operand))
            case Binary():
                return self.binary(node)
            case Between(value, low, high):
                tested = self.value(value)
                return all_true([compare(">=", tested, self.value(low)), compare("<=", tested, self.value(high))])
            case In(value, tests):
                return _Evaluator(self.scope, self.value(value)).tests(tests)
            case Range(low, high, with_low, with_high):
                return Interval(self.value(low), self.value(high), with_low, with_high)
            case Conditional(condition, then, otherwise):
                return self.value(then if self.value(condition) is True else otherwise)
            case ListOf(items):
                return _within_bounds([self.value(item) for item in items])
            case Context(entries):
                return self.context(entries)
            case Call():
                return self.call(node)
            case Compared(operator, operand):
                return compare(operator, self.tested, self.value(operand))

    def named(self, name: str) -> Value:
        if name in self.scope.values:
            return self.scope.values[name]
        known = [*self.scope.values, *self.scope.functions]
        raise FeelError(f"unknown name {name!r}. {did_you_mean(name, known)}".strip())

    def path(self, node: Path, whole: Syntax, name: str) -> Value:
        joined = _joined(node)
        if joined is not None and joined in self.scope.values:  # a parameter may have a dot in its name
            return self.scope.values[joined]
        value = self.value(whole)
        return [part(item, name) for item in value] if isinstance(value, list) else part(value, name)

    def binary(self, node: Binary) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        match node.operator:
            case "and":
                return all_true([left, right])
            case "or":
                return any_true([left, right])
            case "+" | "-" | "*" | "/" | "**":
                return arithmetic(node.operator, left, right)
        return compare(node.operator, left, right)

    def context(self, entries: Iterable[tuple[str, Syntax]]) -> Value:
        found: dict[str, Value] = {}
        for key, entry in entries:
            found[key] = _within_bounds(_Evaluator(self.scope.with_values(found), self.tested).value(entry))
        return found

    def call(self, node: Call) -> Value:
        operands = [self.value(argument) for argument in node.arguments]
        if node.function in self.scope.functions:
            return self.scope.functions[node.function](operands, node.names)
        if node.function not in FUNCTIONS:
            known = [*FUNCTIONS, *self.scope.functions]
            raise FeelError(f"unknown function {node.function!r}. {did_you_mean(node.function, known)}".strip())
        if node.names:
            raise FeelError(f"{node.function}() is called with its operands in order, without their names")
        return call(FUNCTIONS[node.function], operands)


def _within_bounds(value: Value) -> Value:
    if is_vast(value, MOST_VALUES):
        raise FeelError(f"a list or context of more than {MOST_VALUES:,} values, or nested too deeply")
    return value


def _reads_tested_value(node: object) -> bool:
    if isinstance(node, TestedValue):
        return True
    if isinstance(node, tuple):
        return any(map(_reads_tested_value, node))
    names = getattr(node, "__dataclass_fields__", ())
    return any(_reads_tested_value(getattr(node, name)) for name in names)


def _joined(node: Syntax) -> str | None:
    """`Person.Name` as one name."""
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Path) and (whole := _joined(node.whole)) is not None:
        return f"{whole}.{node.name}"
    return None


def at_literal(text: str) -> Value:
    for read in (read_date, read_date_and_time, read_time, read_duration):
        if (value := read(text)) is not None:
            return value
    return None


PARTS: Mapping[str, Mapping[str, Callable[[Value], int | None]]] = {
    "date": {"year": lambda day: day.year, "month": lambda day: day.month, "day": lambda day: day.day,
             "weekday": lambda day: day.isoweekday()},
    "time": {"hour": lambda clock: clock.hour, "minute": lambda clock: clock.minute, "second": lambda clock: clock.second},
    "years and months duration": {"years": lambda length: int(length.months / 12),
                                  "months": lambda length: length.months - 12 * int(length.months / 12)},
    "days and time duration": {"days": lambda length: length.days, "hours": lambda length: length.seconds // 3600,
                               "minutes": lambda length: length.seconds // 60 % 60,
                               "seconds": lambda length: length.seconds % 60},
}  # fmt: skip


def part(whole: Value, name: str) -> Value:
    if isinstance(whole, Mapping):
        return whole.get(name)
    parts = PARTS.get(kind(whole), {})
    if isinstance(whole, datetime):
        parts = {**PARTS["date"], **PARTS["time"]}
    return Decimal(parts[name](whole) or 0) if name in parts else None


def _negative(value: Value) -> Value:
    if isinstance(value, Months):
        return Months(-value.months)
    return ARITHMETIC.minus(value) if kind(value) == "number" else -value if isinstance(value, timedelta) else None


def arithmetic(operator: str, left: Value, right: Value) -> Value:
    """Null where the operands do not fit, or the result is no number of 34 digits."""
    try:
        if isinstance(left, Decimal) and isinstance(right, Decimal):
            return _of_numbers(operator, left, right)
        if isinstance(left, str) and isinstance(right, str) and operator == "+":
            return left + right if len(left) + len(right) <= LONGEST_TEXT else None
        return _of_days_and_durations(operator, left, right)
    except (ArithmeticError, ValueError, TypeError):
        return None


def _of_numbers(operator: str, left: Decimal, right: Decimal) -> Value:
    match operator:
        case "+":
            return ARITHMETIC.add(left, right)
        case "-":
            return ARITHMETIC.subtract(left, right)
        case "*":
            return ARITHMETIC.multiply(left, right)
        case "/":
            return ARITHMETIC.divide(left, right) if right else None
    return ARITHMETIC.power(left, right) if abs(right) <= LARGEST_EXPONENT else None


def _of_days_and_durations(operator: str, left: Value, right: Value) -> Value:
    match operator, left, right:
        case "+", Months(), date():
            return _shifted(right, left.months)
        case "+", date(), Months():
            return _shifted(left, right.months)
        case "-", date(), Months():
            return _shifted(left, -right.months)
        case (("+" | "-"), Months(), Months()):
            return Months(left.months + right.months if operator == "+" else left.months - right.months)
        case "-", date(), date():
            return left - right
        case (("*" | "/"), Months(), Decimal()):
            return Months(int(left.months * right if operator == "*" else left.months / right))
        case (("+" | "-"), date() | timedelta(), timedelta()):
            return left + right if operator == "+" else left - right
        case "+", timedelta(), date():
            return right + left
        case (("*" | "/"), timedelta(), Decimal()):
            microseconds = left // timedelta(microseconds=1)
            exact = microseconds * right if operator == "*" else microseconds / right
            return timedelta(microseconds=int(exact))
        case (("+" | "-"), time(), timedelta()):
            moment = datetime.combine(date(2000, 1, 1), left)
            return (moment + right if operator == "+" else moment - right).timetz()
    return None


def _shifted(day: date, months: int) -> date:
    """The same day of another month, or its last one."""
    year, month = divmod(12 * day.year + day.month - 1 + months, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return day.replace(year=year, month=month + 1, day=min(day.day, last))
        except ValueError:
            continue
    raise ValueError("no such day")
