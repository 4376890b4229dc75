"""A rule that holds a value against a limit, as an expression over the columns of stored decisions, exact in 64-bit integers and beyond.

Only where the columns have all of it: a field, or a measure of the shipped catalogue, that tells nothing personal; a table whose
conditions read columns; limits that are plain amounts. For anything else `NotCountableError` says why.
"""

from math import lcm
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, and_, case, false, literal, not_, null, or_, true

from dealgate.adapters.compliance.ratios_in_sql import RatioSign
from dealgate.models.projections import MEASURE_COLUMNS
from dealgate.models.recording import DECISION, SUBMISSION
from dealgate.rules import expressions as tree
from dealgate.rules.amounts import MAX_CENTS
from dealgate.rules.comparing import NUMERIC, facing_the_limit
from dealgate.rules.compiling import RATE_DENOMINATOR
from dealgate.rules.fields import FIELDS
from dealgate.rules.policy import Limit, Policy, Rule
from dealgate.rules.tracing import COMPARE

LARGEST = 10_000_000_000
"""In cents: a limit above it is not counted."""

FINEST = 10_000
"""The largest common denominator of a table's limits."""

MOST = (2**63 - 1) // 2_000
"""Of a product: the difference of two, in thousandths, then lies within 64 bits."""


class NotCountableError(ValueError):
    """A rule that the columns do not tell; the message says why."""


class Ratio(NamedTuple):
    """An exact number. `most` is the largest denominator that products are made with: the denominator itself where all rows have one."""

    numerator: Any
    denominator: Any
    most: int = MAX_CENTS

    @classmethod
    def fixed(cls, numerator: Any, denominator: int = 1) -> "Ratio":
        return cls(numerator, _whole(denominator), denominator)

    def over(self, other: "Ratio") -> Any:
        """Its numerator, held against that of another."""
        return self.numerator if other.most == 1 else self.numerator * other.denominator

    def within(self, other: "Ratio") -> ColumnElement[bool]:
        """Whether it is known, and the product above within `MOST`."""
        bound = MOST // other.most
        numerator: ColumnElement[bool] = self.numerator.between(_whole(-bound), _whole(bound))
        return numerator if self.most == 1 else and_(numerator, self.denominator.between(_whole(1), _whole(self.most)))


class Held(NamedTuple):
    """What a rule judges, what it holds it against, in which direction, and when. The limit is unknown where its numerator is."""

    measure: str
    operator: str
    value: Ratio
    limit: Ratio
    applies: ColumnElement[bool]


def fits(one: Ratio, other: Ratio) -> ColumnElement[bool]:
    """Whether both are known, and no product that holds one against the other leaves 64 bits."""
    return and_(one.within(other), other.within(one))


def _whole(number: int) -> Any:
    """A number of 64 bits: a shorter one would make shorter products."""
    return literal(number, BigInteger)


def held(policy: Policy, rule: Rule) -> Held:
    """Raises `NotCountableError`."""
    if not isinstance(rule.require, tree.Comparison):
        raise NotCountableError("it is no single comparison")
    comparison = facing_the_limit(rule.require)
    if comparison.operator not in {"<=", "<", ">=", ">"}:
        raise NotCountableError("it is no limit above or below")
    if not isinstance(comparison.left, tree.MeasureName | tree.FieldName):
        raise NotCountableError("what it judges is a formula")
    value = _ratio(comparison.left)
    limit = _limit(policy, comparison.right)
    applies = true() if rule.applies is None else _truth(rule.applies)
    # A shipped measure may be redefined to rest on an income: its column is empty then.
    for node in policy.everything_read(rule.require, rule.applies):
        if isinstance(node, tree.FieldName) and FIELDS[node.name].personal:
            raise NotCountableError(f"it reads {node.name}, which has no column: it is personal")
    return Held(comparison.left.name, comparison.operator, value, limit, applies)


def _limit(policy: Policy, expression: tree.Expression) -> Ratio:
    if isinstance(expression, tree.Number):
        return _plain(expression)
    if not isinstance(expression, tree.LimitName):
        raise NotCountableError("what it is held against is a formula")
    limit = policy.limits[expression.name]
    numbers = [_number(row.limit) for row in limit.all_rows]
    common = lcm(*(number.denominator for number in numbers))
    if common > FINEST or any(abs(number.numerator) * common > LARGEST for number in numbers):
        raise NotCountableError("its limits are too fine, or too large")
    return Ratio.fixed(_chosen(limit, [number.numerator * common // number.denominator for number in numbers]), common)


def _plain(number: tree.Number) -> Ratio:
    if number.denominator > FINEST or abs(number.numerator) > LARGEST:
        raise NotCountableError("its limit is too fine, or too large")
    return Ratio.fixed(_whole(number.numerator), number.denominator)


def _number(expression: tree.Expression) -> tree.Number:
    if not isinstance(expression, tree.Number):
        raise NotCountableError("a row of its table is a formula")
    return expression


def _chosen(limit: Limit, numbers: list[int]) -> Any:
    """The first row that holds. An unknown row above it makes the limit unknown; by `unique` and `any` one anywhere does, and so do
    two that hold, by `any` only where they differ."""
    if limit.hit_policy not in {"first", "unique", "any"}:
        raise NotCountableError(f"its table is read by {limit.hit_policy}")
    conditions = [true() if row.when is None else _truth(row.when) for row in limit.all_rows]
    rows: list[tuple[Any, Any]] = []
    if limit.hit_policy != "first":
        rows.append((or_(false(), *(condition.is_(None) for condition in conditions)), null()))
        apart: dict[int, list[ColumnElement[bool]]] = {}
        for place, condition in enumerate(conditions[: len(limit.rows)]):  # the default is no row
            apart.setdefault(place if limit.hit_policy == "unique" else numbers[place], []).append(condition)
        rows.append((sum((case((or_(*alike), 1), else_=0) for alike in apart.values()), literal(0)) > 1, null()))
    for condition, number in zip(conditions, numbers, strict=True):
        rows += [(condition, _whole(number)), (condition.is_(None), null())]
    return case(*rows)


def _truth(expression: tree.Expression) -> ColumnElement[bool]:
    """Three-valued as in the policy language: NULL is unknown, and AND, OR and NOT of SQL are Kleene's."""
    match expression:
        case tree.Truth():
            return true() if expression.value else false()
        case tree.Not():
            return not_(_truth(expression.operand))
        case tree.All():
            return and_(*map(_truth, expression.operands))
        case tree.Any():
            return or_(*map(_truth, expression.operands))
        case tree.Comparison():
            return _compared(expression.operator, expression.left, expression.right)
        case tree.Membership():
            return or_(*(_compared("==", expression.operand, option) for option in expression.options))
        case tree.FieldName():
            found: ColumnElement[bool] = _column(expression) == true()
            return found
        case _:
            raise NotCountableError("its conditions read more than fields")


def _compared(operator: str, left: tree.Expression, right: tree.Expression) -> ColumnElement[bool]:
    compared: ColumnElement[bool]
    if isinstance(right, tree.Text):
        if not isinstance(left, tree.FieldName):
            raise NotCountableError("its conditions read more than fields")
        compared = COMPARE[operator](_column(left), right.value)
        return compared
    one, other = _ratio(left), _ratio(right)
    compared = COMPARE[operator](one.over(other), other.over(one))
    if one.most == other.most == 1:
        return compared
    widely = RatioSign(one.numerator, one.denominator, other.numerator, other.denominator)
    return case((fits(one, other), compared), else_=COMPARE[operator](widely, 0))


def _ratio(expression: tree.Expression) -> Ratio:
    match expression:
        case tree.Number():
            return _plain(expression)
        case tree.FieldName() if expression.unit in NUMERIC:
            return Ratio.fixed(_column(expression), RATE_DENOMINATOR if expression.name == "apr_percent" else 1)
        case tree.MeasureName():
            return _measure(expression.name)
        case _:
            raise NotCountableError("it reads a formula")


def _measure(name: str) -> Ratio:
    """The column as the decision filled it, by the definition that its policy had."""
    match MEASURE_COLUMNS.get(name):
        case (numerator, denominator):
            return Ratio(DECISION.c[numerator], DECISION.c[denominator])
        case (column,):
            return Ratio.fixed(DECISION.c[column])
    raise NotCountableError(f"{name} has no column: it is the policy's own, or personal")


def _column(field: tree.FieldName) -> Any:
    columns = SUBMISSION.c
    names = {"apr_percent": "apr_ten_thousandths", "given_monthly_payment": "monthly_payment_cents"}
    name = names.get(field.name) or (f"{field.name}_cents" if f"{field.name}_cents" in columns else field.name)
    if name not in columns or (field.name in FIELDS and FIELDS[field.name].personal):
        raise NotCountableError(f"it reads {field.name}, which has no column: it is personal")
    return columns[name]
