"""Conditions of a policy in the words of the trade, for sentences that a dealer reads."""

from collections.abc import Mapping

from dealgate.rules.amounts import dollars, percent
from dealgate.rules.expressions import (
    All,
    Any,
    Arithmetic,
    BookValueAsOf,
    Comparison,
    DaysBetween,
    Expression,
    FieldName,
    Greatest,
    ItemName,
    LimitName,
    ListedValueAsOf,
    ListSum,
    MeasureName,
    Membership,
    Missing,
    Not,
    Number,
    Text,
    Violated,
)
from dealgate.rules.fields import Unit, basis_name
from dealgate.rules.policy import Measure
from dealgate.rules.writing import expression_text

TITLES = {"term_months": "Term in months", "apr_percent": "APR"}
ABBREVIATIONS = {word.lower(): word for word in ("LTV", "GAP", "PTI", "DTI", "ACV", "APR")}

RELATIONS = {
    "<=": "is at most",
    "<": "is below",
    ">=": "is at least",
    ">": "is above",
    "==": "is",
    "!=": "is not",
}
OPPOSITES = {"<=": ">", "<": ">=", ">=": "<", ">": "<=", "==": "!=", "!=": "=="}
OPERATIONS = {"+": "plus", "-": "less", "*": "times", "/": "divided by"}
BINDS = {"+": 1, "-": 1, "*": 2, "/": 2}


def title_of(expression: Expression, measures: Mapping[str, Measure]) -> str:
    """The name of a measure, field or limit as a heading; anything else as the policy writes it."""
    if isinstance(expression, MeasureName):
        return measures[expression.name].title
    if isinstance(expression, FieldName) and expression.name in TITLES:
        return TITLES[expression.name]
    if isinstance(expression, FieldName | ItemName | LimitName):
        words = [ABBREVIATIONS.get(word, word) for word in expression.name.split("_")]
        return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])
    return expression_text(expression)


def phrase(expression: Expression, measures: Mapping[str, Measure]) -> str:
    """A condition within a sentence: "credit score is at least 760 and payment to income is at most 10.00 %"."""
    match expression:
        case Comparison(operator, left, right):
            return f"{_part(left, measures)} {RELATIONS[operator]} {_part(right, measures)}"
        case Not(Comparison(operator, left, right)):
            return phrase(Comparison(OPPOSITES[operator], left, right), measures)
        case Membership(operand, (option,)):
            return f"{_part(operand, measures)} is {_part(option, measures)}"
        case Membership(operand, options):
            return f"{_part(operand, measures)} is one of {', '.join(_part(option, measures) for option in options)}"
        case Not(Membership(operand, options)):
            return f"{_part(operand, measures)} is none of {', '.join(_part(option, measures) for option in options)}"
        case FieldName(unit=Unit.BOOLEAN) | ItemName(unit=Unit.BOOLEAN):
            return f"{_part(expression, measures)} is true"
        case Not(FieldName(unit=Unit.BOOLEAN) as operand):
            return f"{_part(operand, measures)} is false"
        case Not(operand):
            return f"it is not the case that {_grouped(operand, measures)}"
        case All(operands):
            return " and ".join(_grouped(operand, measures) for operand in operands)
        case Any(operands):
            return " or ".join(_grouped(operand, measures) for operand in operands)
        case Missing(operand):
            return f"{_part(operand, measures)} is unknown"
        case Violated(rule):
            return f"{rule} is violated"
        case _:
            return _part(expression, measures)


def _grouped(expression: Expression, measures: Mapping[str, Measure]) -> str:
    text = phrase(expression, measures)
    return f"({text})" if isinstance(expression, All | Any) else text


def _part(expression: Expression, measures: Mapping[str, Measure]) -> str:
    match expression:
        case Number(Unit.MONEY, cents):
            return dollars(cents)
        case Number(Unit.PERCENT, numerator, denominator):
            return f"{percent(numerator, denominator)} %"
        case Number(_, count):
            return f"{count:,}"
        case Text(value):
            return value
        case Arithmetic(operator, left, right):
            least = BINDS[operator]
            return f"{_operand(left, least, measures)} {OPERATIONS[operator]} {_operand(right, least + 1, measures)}"
        case ListSum(name, value, where):
            what = "number" if expression.unit == Unit.COUNT else f"total {_part(value, measures)}"
            which = f" where {phrase(where, measures)}" if where else ""
            return f"the {what} of {name.replace('_', '-')}{which}"
        case Greatest(name, value, where):
            which = f" where {phrase(where, measures)}" if where else ""
            return f"the greatest {_part(value, measures)} of {name.replace('_', '-')}{which}"
        case DaysBetween(start, end):
            return f"the days from {_part(start, measures)} to {_part(end, measures)}"
        case BookValueAsOf(basis):
            return f"the day of {basis_name(basis)}"
        case ListedValueAsOf():
            return "the day of the collateral value"
        case _:
            return _inside_a_sentence(title_of(expression, measures))


def _operand(expression: Expression, least: int, measures: Mapping[str, Measure]) -> str:
    """In brackets where the words would be read in another order than they are reckoned."""
    text = _part(expression, measures)
    return f"({text})" if isinstance(expression, Arithmetic) and BINDS[expression.operator] < least else text


def _inside_a_sentence(title: str) -> str:
    """ "Credit score" becomes "credit score"; "GAP price" and "APR" stay."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]
