"""From the typed tree back to the text of the language: one spelling for each meaning, so that content can be hashed."""

from dealgate.rules.amounts import dollars
from dealgate.rules.expressions import (
    All,
    Any,
    Arithmetic,
    BookValueAsOf,
    BookValueOn,
    Comparison,
    DaysBetween,
    Expression,
    Extreme,
    FirstKnown,
    Greatest,
    LevelPayment,
    ListedValue,
    ListedValueAsOf,
    ListSum,
    Membership,
    Missing,
    Not,
    Number,
    Projected,
    Text,
    Truth,
    Violated,
    Year,
)
from dealgate.rules.fields import Unit

_STRENGTH = {Any: 1, All: 2, Not: 3, Comparison: 4, Membership: 4}
_ATOM = 9


def _strength(expression: Expression) -> int:
    if isinstance(expression, Arithmetic):
        return 5 if expression.operator in {"+", "-"} else 6
    return _STRENGTH.get(type(expression), _ATOM)


def _within(expression: Expression, least: int) -> str:
    text = expression_text(expression)
    return text if _strength(expression) >= least else f"({text})"


def number_text(number: Number) -> str:
    """A literal as it is written in a policy: `$5,000`, `125%`, `72`."""
    sign, numerator = ("-", -number.numerator) if number.numerator < 0 else ("", number.numerator)
    if number.unit == Unit.MONEY:
        return sign + dollars(numerator).removesuffix(".00")
    if number.unit == Unit.PERCENT:
        whole, part = divmod(numerator * 1_000_000 // number.denominator, 10_000)
        return f"{sign}{whole}.{part:04d}".rstrip("0").rstrip(".") + "%"
    return sign + str(numerator)


def _call(name: str, *operands: Expression | None) -> str:
    return f"{name}({', '.join(expression_text(operand) for operand in operands if operand is not None)})"


def expression_text(expression: Expression) -> str:
    """The one spelling of an expression."""
    match expression:
        case Number():
            return number_text(expression)
        case Text(value):
            return f"'{value}'" if '"' in value else f'"{value}"'
        case Truth(value):
            return "true" if value else "false"
        case Arithmetic(operator, left, right):
            strength = _strength(expression)
            return f"{_within(left, strength)} {operator} {_within(right, strength + 1)}"
        case Comparison(operator, left, right):
            return f"{_within(left, 5)} {operator} {_within(right, 5)}"
        case Membership(operand, options):
            return f"{_within(operand, 5)} in [{', '.join(map(expression_text, options))}]"
        case Not(operand):
            return f"not {_within(operand, 4)}"
        case All(operands):
            return " and ".join(_within(operand, 3) for operand in operands)
        case Any(operands):
            return " or ".join(_within(operand, 2) for operand in operands)
        case Extreme(name, operands):
            return _call(name, *operands)
        case FirstKnown(operands):
            return _call("first_known", *operands)
        case ListSum() | Greatest():
            return _over_items(expression)
        case Year(date):
            return _call("year", date)
        case DaysBetween(start, end):
            return _call("days", start, end)
        case LevelPayment(amount, rate, months):
            return _call("level_payment", amount, rate, months)
        case Projected(reading, amount, rate, months, value, after):
            return _call(reading, after, amount, rate, months, value)
        case BookValueOn(basis):
            return _call("book_value", Text(basis))
        case ListedValue():
            return "listed_value()"
        case BookValueAsOf(basis):
            return _call("book_value_as_of", Text(basis))
        case ListedValueAsOf():
            return "listed_value_as_of()"
        case Missing(operand):
            return _call("missing", operand)
        case Violated(rule):
            return _call("violated", Text(rule))
        case _:
            return expression.name


def _over_items(node: ListSum | Greatest) -> str:
    where = f", {expression_text(node.where)}" if node.where else ""
    if isinstance(node, ListSum) and node.value == Number(Unit.COUNT, 1):
        return f"count({node.list}{where})"
    name = "greatest" if isinstance(node, Greatest) else "sum"
    return f"{name}({node.list}, {expression_text(node.value)}{where})"
