"""From syntax to the typed tree: names are resolved and units agree, or the mistake is told with its place."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from lark import Token, Tree

from dealgate.rules.document import did_you_mean
from dealgate.rules.expressions import (
    All,
    Any,
    Arithmetic,
    BookValueAsOf,
    BookValueOn,
    Comparison,
    DaysBetween,
    DealOutcome,
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
    Truth,
    Violated,
    Year,
)
from dealgate.rules.fields import FIELDS, LISTS, ListOfDeal, Unit
from dealgate.rules.parsing import ExpressionError, Syntax, parse
from dealgate.rules.writing import expression_text

MAX_LITERAL = 10**15
MAX_DIGITS = 50
MOST_MISTAKES = 20
"""Told of the parts of one operator or call; the next reading tells more."""

NUMERIC = {Unit.MONEY, Unit.PERCENT, Unit.COUNT}

SUM_UNITS = {(unit, unit): unit for unit in NUMERIC}

PRODUCT_UNITS = {
    (Unit.MONEY, Unit.COUNT): Unit.MONEY,
    (Unit.MONEY, Unit.PERCENT): Unit.MONEY,
    (Unit.COUNT, Unit.MONEY): Unit.MONEY,
    (Unit.PERCENT, Unit.MONEY): Unit.MONEY,
    (Unit.PERCENT, Unit.PERCENT): Unit.PERCENT,
    (Unit.PERCENT, Unit.COUNT): Unit.PERCENT,
    (Unit.COUNT, Unit.PERCENT): Unit.PERCENT,
    (Unit.COUNT, Unit.COUNT): Unit.COUNT,
}

QUOTIENT_UNITS = {
    (Unit.MONEY, Unit.MONEY): Unit.PERCENT,
    (Unit.MONEY, Unit.COUNT): Unit.MONEY,
    (Unit.MONEY, Unit.PERCENT): Unit.MONEY,
    (Unit.PERCENT, Unit.PERCENT): Unit.PERCENT,
    (Unit.PERCENT, Unit.COUNT): Unit.PERCENT,
    (Unit.COUNT, Unit.COUNT): Unit.PERCENT,
}

ARITHMETIC_UNITS = {"+": SUM_UNITS, "-": SUM_UNITS, "*": PRODUCT_UNITS, "/": QUOTIENT_UNITS}


@dataclass(frozen=True)
class Scope:
    """What an expression may name. `rules` is None where `violated()` has no meaning; `outcomes` are the words of an outcome."""

    measures: Mapping[str, Unit] = field(default_factory=dict)
    limits: Mapping[str, Unit] = field(default_factory=dict)
    rules: frozenset[str] | None = None
    outcomes: tuple[str, ...] = ()


def read_expression(text: str, scope: Scope, wanted: Unit | None = None) -> Expression:
    """Parse and check one expression. Raises `ExpressionError` for the first mistake in it."""
    tree = parse(text)
    expression = _Checker(scope).read(tree)
    if wanted is not None and expression.unit != wanted:
        raise ExpressionError(
            0, len(text), f"this is a {expression.unit}, where a {wanted} is needed", _unit_hint(expression, wanted)
        )
    return expression


def _unit_hint(expression: Expression, wanted: Unit) -> str:
    if isinstance(expression, Number) and expression.unit == Unit.COUNT:
        number = expression.numerator
        return {Unit.MONEY: f"Write ${number:,}.", Unit.PERCENT: f"Write {number}%."}.get(wanted, "")
    return ""


def _span(node: Syntax | Token) -> tuple[int, int]:
    if isinstance(node, Token):
        start = node.start_pos or 0
        return start, start + len(node)
    if node.meta.empty:
        return 0, 1
    return node.meta.start_pos, node.meta.end_pos


def _mistake(node: Syntax | Token, message: str, suggestion: str = "") -> ExpressionError:
    return ExpressionError(*_span(node), message, suggestion)


class _Checker:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.items: ListOfDeal | None = None

    def read(self, node: Syntax | Token) -> Expression:
        if isinstance(node, Token):
            return self._token(node)
        read: Callable[[Syntax], Expression] = getattr(self, f"_{node.data}")
        return read(node)

    def _each(self, nodes: Iterable[Syntax | Token], read: Callable[[Syntax | Token], Expression]) -> list[Expression]:
        """Read all of several nodes before telling what is wrong with any of them."""
        found, errors = list[Expression](), list[ExpressionError]()
        for node in nodes:
            try:
                found.append(read(node))
            except ExpressionError as error:
                errors.append(error)
                if len(errors) == MOST_MISTAKES:
                    break
        if errors:
            first, *rest = errors
            first.more += tuple(rest)
            raise first
        return found

    # Literals and names

    def _token(self, token: Token) -> Expression:
        if token.type == "NAME":
            return self._name(token)
        if token.type == "STRING":
            return Text(str(token)[1:-1])
        if token.type in {"TRUE", "FALSE"}:
            return Truth(token.type == "TRUE")
        return self._number(token)

    def _number(self, token: Token) -> Expression:
        if len(token) > MAX_DIGITS:  # Python refuses to read an endless one
            raise _mistake(token, "this number is too large for a vehicle loan")
        value = Fraction(str(token).strip("$% ").replace(",", ""))
        if value > MAX_LITERAL:
            raise _mistake(token, "this number is too large for a vehicle loan")
        if token.type == "MONEY":
            cents = value * 100
            if cents.denominator != 1:
                raise _mistake(token, "money has at most two decimal places")
            return Number(Unit.MONEY, cents.numerator)
        if token.type == "PERCENT":
            ratio = value / 100
            if (ratio * 1_000_000).denominator != 1:
                raise _mistake(token, "a percent has at most four decimal places")
            return Number(Unit.PERCENT, ratio.numerator, ratio.denominator)
        if value.denominator != 1 or "." in token:
            hint = f"As a percent, write {(Decimal(token) * 100).normalize():f}%." if value < 10 else ""
            raise _mistake(token, "a bare number is a count and has no decimal places", hint)
        return Number(Unit.COUNT, value.numerator)

    def _name(self, token: Token) -> Expression:
        name = str(token)
        if self.items and name in self.items.items:
            return ItemName(name, self.items.items[name].unit)
        if name in self.scope.limits:
            return LimitName(name, self.scope.limits[name])
        if name in self.scope.measures:
            return MeasureName(name, self.scope.measures[name])
        if name in FIELDS:
            return FieldName(name, FIELDS[name].unit)
        if name == "outcome" and self.scope.outcomes:
            return DealOutcome()
        if name in LISTS:
            raise _mistake(
                token,
                f"{name!r} is a list",
                f"Add it up, for example sum({name}, {list(LISTS[name].items)[-1]}).",
            )
        known = [*(self.items.items if self.items else ()), *self.scope.limits, *self.scope.measures, *FIELDS]
        raise _mistake(token, f"unknown name {name!r}", did_you_mean(name, known))

    # Logic

    def _any_of(self, node: Syntax) -> Expression:
        return Any(tuple(self._each(node.children, self._boolean)))

    def _all_of(self, node: Syntax) -> Expression:
        return All(tuple(self._each(node.children, self._boolean)))

    def _negated(self, node: Syntax) -> Expression:
        return Not(self._boolean(node.children[0]))

    def _boolean(self, node: Syntax | Token) -> Expression:
        expression = self.read(node)
        if expression.unit != Unit.BOOLEAN:
            raise _mistake(node, f"this is a {expression.unit}, where something true or false is needed")
        return expression

    def _compared(self, node: Syntax) -> Expression:
        left_node, operator, right_node = node.children
        left, right = self._each([left_node, right_node], self.read)
        if left.unit != right.unit:
            hint = _unit_hint(right, left.unit) or _unit_hint(left, right.unit)
            raise _mistake(node, f"a {left.unit} cannot be compared with a {right.unit}", hint)
        if left.unit in {Unit.TEXT, Unit.BOOLEAN} and operator not in {"==", "!="}:
            raise _mistake(node, f"a {left.unit} has no order: only == and != apply")
        if left.unit == Unit.BOOLEAN:
            raise _mistake(node, "a truth needs no comparison", "Write the name itself, or 'not' before it.")
        self._check_word(left, right, right_node)
        self._check_word(right, left, left_node)
        return Comparison(str(operator), left, right)

    def _member(self, node: Syntax) -> Expression:
        operand_node, options_node = node.children
        assert isinstance(options_node, Tree)
        operand = self.read(operand_node)
        if operand.unit == Unit.BOOLEAN:
            raise _mistake(operand_node, "a truth is not looked up in a list")
        if not options_node.children:
            raise _mistake(options_node, "this list is empty, so nothing is ever in it")
        options = []
        for child in options_node.children:
            option = self.read(child)
            if not isinstance(option, Number | Text):
                raise _mistake(child, "a list after 'in' holds plain values only")
            if option.unit != operand.unit:
                raise _mistake(
                    child, f"a {option.unit} in a list for a {operand.unit}", _unit_hint(option, operand.unit)
                )
            self._check_word(operand, option, child)
            options.append(option)
        return Membership(operand, tuple(options))

    def _not_member(self, node: Syntax) -> Expression:
        return Not(self._member(node))

    def _check_word(self, operand: Expression, option: Expression, node: Syntax | Token) -> None:
        """A word a field can never hold is a typo that would silence the rule."""
        words: tuple[str, ...] = ()
        if isinstance(operand, FieldName):
            words = FIELDS[operand.name].words
        elif isinstance(operand, ItemName) and self.items:
            words = self.items.items[operand.name].words
        elif isinstance(operand, DealOutcome):
            words = self.scope.outcomes
        if words and isinstance(option, Text) and option.value not in words:
            name = getattr(operand, "name", "")
            raise _mistake(node, f"{name} is never {option.value!r}", did_you_mean(option.value, words))

    # Arithmetic

    def _arithmetic(self, node: Syntax) -> Expression:
        left_node, operator, right_node = node.children
        left, right = self._each([left_node, right_node], self.read)
        unit = ARITHMETIC_UNITS[str(operator)].get((left.unit, right.unit))
        if unit is None:
            words = {"+": "added to", "-": "subtracted from", "*": "multiplied by", "/": "divided by"}[str(operator)]
            first, second = (right, left) if operator in {"+", "-"} else (left, right)
            hint = _unit_hint(right, left.unit)
            if operator == "-" and left.unit == right.unit == Unit.DATE:
                hint = f"Write days({expression_text(right)}, {expression_text(left)})."
            raise _mistake(node, f"a {first.unit} cannot be {words} a {second.unit}", hint)
        return Arithmetic(str(operator), left, right, unit)

    def _opposite(self, node: Syntax) -> Expression:
        operand = self._numeric(node.children[1])
        if isinstance(operand, Number):
            return Number(operand.unit, -operand.numerator, operand.denominator)
        return Arithmetic("-", Number(operand.unit, 0), operand, operand.unit)

    def _numeric(self, node: Syntax | Token, wanted: Unit | None = None) -> Expression:
        expression = self.read(node)
        if wanted is not None and expression.unit != wanted:
            raise _mistake(
                node, f"this is a {expression.unit}, where a {wanted} is needed", _unit_hint(expression, wanted)
            )
        if expression.unit not in NUMERIC:
            raise _mistake(node, f"this is a {expression.unit}, where a number is needed")
        return expression

    # Functions

    def _call(self, node: Syntax) -> Expression:
        name_token, *arguments = node.children
        assert isinstance(name_token, Token)
        function = FUNCTIONS.get(str(name_token))
        if function is None:
            raise _mistake(
                name_token, f"unknown function {str(name_token)!r}", did_you_mean(str(name_token), FUNCTIONS)
            )
        if not function.fewest <= len(arguments) <= function.most:
            raise _mistake(node, f"{name_token} takes {function.takes}", f"For example: {function.example}")
        return function.read(self, node, arguments)

    def _same_unit(self, node: Syntax, arguments: list[Syntax | Token]) -> tuple[tuple[Expression, ...], Unit]:
        operands = tuple(self._each(arguments, self._numeric))
        units = {operand.unit for operand in operands}
        if len(units) > 1:
            raise _mistake(node, "its operands have different units: " + ", ".join(sorted(units)))
        return operands, operands[0].unit

    def _extreme(self, node: Syntax, arguments: list[Syntax | Token]) -> Expression:
        operands, unit = self._same_unit(node, arguments)
        return Extreme(str(node.children[0]), operands, unit)

    def _first_known(self, node: Syntax, arguments: list[Syntax | Token]) -> Expression:
        operands, unit = self._same_unit(node, arguments)
        return FirstKnown(operands, unit)

    def _list(self, argument: Syntax | Token) -> ListOfDeal:
        if self.items:
            raise _mistake(argument, "a list cannot be added up inside another")
        if not isinstance(argument, Token) or str(argument) not in LISTS:
            raise _mistake(argument, "the first operand must be a list", "Lists of a deal: " + ", ".join(LISTS) + ".")
        return LISTS[str(argument)]

    def _over_items(self, node: Syntax, arguments: list[Syntax | Token]) -> Expression:
        items = self.items = self._list(arguments[0])
        try:
            value = self._numeric(arguments[1])
            where = self._boolean(arguments[2]) if len(arguments) == 3 else None
        finally:
            self.items = None
        if node.children[0] == "greatest":
            return Greatest(items.name, value, where, value.unit)
        if value.unit == Unit.PERCENT:
            raise _mistake(arguments[1], "percents of single items cannot be added up")
        return ListSum(items.name, value, where, value.unit)

    def _count(self, _: Syntax, arguments: list[Syntax | Token]) -> Expression:
        items = self.items = self._list(arguments[0])
        try:
            where = self._boolean(arguments[1]) if len(arguments) == 2 else None
        finally:
            self.items = None
        return ListSum(items.name, Number(Unit.COUNT, 1), where, Unit.COUNT)

    def _violated(self, node: Syntax, arguments: list[Syntax | Token]) -> Expression:
        if self.scope.rules is None:
            raise _mistake(node, "violated() reads the result of a rule and has its place in rules only")
        if self.items:
            raise _mistake(
                node, "violated() is about the whole deal and cannot stand inside sum(), count() or greatest()"
            )
        rule = self._literal(arguments[0], "the id of a rule")
        if rule not in self.scope.rules:
            raise _mistake(arguments[0], f"no rule has the id {rule!r}", did_you_mean(rule, sorted(self.scope.rules)))
        return Violated(rule)

    def _literal(self, argument: Syntax | Token, what: str) -> str:
        expression = self.read(argument)
        if not isinstance(expression, Text):
            raise _mistake(argument, f"{what} is written in quotes")
        return expression.value

    def _missing(self, _: Syntax, arguments: list[Syntax | Token]) -> Expression:
        operand = self.read(arguments[0])
        if not isinstance(operand, FieldName | MeasureName | ItemName):
            raise _mistake(arguments[0], "missing() takes the name of a field or a measure")
        return Missing(operand)

    def _date(self, argument: Syntax | Token) -> Expression:
        date = self.read(argument)
        if date.unit != Unit.DATE:
            raise _mistake(argument, f"this is a {date.unit}, where a date is needed")
        return date

    def _year(self, _: Syntax, arguments: list[Syntax | Token]) -> Expression:
        return Year(self._date(arguments[0]))

    def _days(self, _: Syntax, arguments: list[Syntax | Token]) -> Expression:
        start, end = self._each(arguments, self._date)
        return DaysBetween(start, end)

    def _level_payment(self, _: Syntax, arguments: list[Syntax | Token]) -> Expression:
        amount, rate, months = arguments
        if self.items:
            raise _mistake(amount, "a payment cannot be computed for single items")
        return LevelPayment(
            self._numeric(amount, Unit.MONEY), self._numeric(rate, Unit.PERCENT), self._numeric(months, Unit.COUNT)
        )

    def _projected(self, node: Syntax, arguments: list[Syntax | Token]) -> Expression:
        reading = str(node.children[0])
        if self.items:
            raise _mistake(node, "equity cannot be projected for single items")
        after = self._numeric(arguments.pop(0), Unit.COUNT) if reading == "deficiency_after" else None
        units = (Unit.MONEY, Unit.PERCENT, Unit.COUNT, Unit.MONEY)
        amount, rate, months, value = map(self._numeric, arguments, units)
        unit = Unit.COUNT if reading == "break_even" else Unit.MONEY
        return Projected(reading, amount, rate, months, value, after, unit)

    def _book_value(self, _: Syntax, arguments: list[Syntax | Token]) -> Expression:
        return BookValueOn(self._literal(arguments[0], "the basis of a book value"))

    def _listed_value(self, _node: Syntax, _arguments: list[Syntax | Token]) -> Expression:
        return ListedValue()

    def _book_value_as_of(self, _: Syntax, arguments: list[Syntax | Token]) -> Expression:
        return BookValueAsOf(self._literal(arguments[0], "the basis of a book value"))

    def _listed_value_as_of(self, _node: Syntax, _arguments: list[Syntax | Token]) -> Expression:
        return ListedValueAsOf()


@dataclass(frozen=True)
class _Function:
    read: Callable[[_Checker, Syntax, list[Syntax | Token]], Expression]
    fewest: int
    most: int
    takes: str
    example: str


FUNCTIONS = {
    "min": _Function(_Checker._extreme, 2, 50, "two operands or more", "min($6,000, 20% * collateral_value)"),
    "max": _Function(_Checker._extreme, 2, 50, "two operands or more", "max($0, trade_payoff - trade_allowance)"),
    "first_known": _Function(
        _Checker._first_known,
        2,
        50,
        "two operands or more",
        'first_known(book_value("kbb_trade_in"), book_value("blackbook_average"))',
    ),
    "sum": _Function(
        _Checker._over_items, 2, 3, "a list, a value and perhaps a condition", 'sum(products, price, kind == "gap")'
    ),
    "greatest": _Function(
        _Checker._over_items, 2, 3, "a list, a value and perhaps a condition", "greatest(trade_ins, payoff - acv)"
    ),
    "count": _Function(_Checker._count, 1, 2, "a list and perhaps a condition", "count(trade_ins, payoff > allowance)"),
    "violated": _Function(_Checker._violated, 1, 1, "the id of a rule", 'violated("LTV-TOTAL")'),
    "missing": _Function(_Checker._missing, 1, 1, "one name", "missing(credit_score)"),
    "year": _Function(_Checker._year, 1, 1, "one date", "year(submitted_on)"),
    "days": _Function(_Checker._days, 2, 2, "two dates, from and to", "days(submitted_on, expected_funding_on)"),
    "level_payment": _Function(
        _Checker._level_payment,
        3,
        3,
        "an amount, a yearly rate and months",
        "level_payment(amount_financed, apr_percent, 72)",
    ),
    "break_even": _Function(
        _Checker._projected,
        4,
        4,
        "an amount, a yearly rate, months and a value",
        "break_even(amount_financed, apr_percent, term_months, collateral_value)",
    ),
    "deepest_shortfall": _Function(
        _Checker._projected,
        4,
        4,
        "an amount, a yearly rate, months and a value",
        "deepest_shortfall(amount_financed, apr_percent, term_months, collateral_value)",
    ),
    "deficiency_after": _Function(
        _Checker._projected,
        5,
        5,
        "a month, an amount, a yearly rate, months and a value",
        "deficiency_after(12, amount_financed, apr_percent, term_months, collateral_value)",
    ),
    "book_value": _Function(_Checker._book_value, 1, 1, "the name of a basis", 'book_value("kbb_trade_in")'),
    "listed_value": _Function(_Checker._listed_value, 0, 0, "no operand", "listed_value()"),
    "book_value_as_of": _Function(
        _Checker._book_value_as_of, 1, 1, "the name of a basis", 'book_value_as_of("kbb_trade_in")'
    ),
    "listed_value_as_of": _Function(_Checker._listed_value_as_of, 0, 0, "no operand", "listed_value_as_of()"),
}
