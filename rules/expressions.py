"""The typed tree of the policy language. Every reader of a policy (reference, engine, columns, proofs, prose) walks it."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TypeAlias

from dealgate.rules.fields import Unit


@dataclass(frozen=True, slots=True)
class Number:
    """A literal amount: cents for money, the count itself, a ratio for a percent. The denominator is positive."""

    unit: Unit
    numerator: int
    denominator: int = 1


@dataclass(frozen=True, slots=True)
class Text:
    value: str
    unit: Unit = Unit.TEXT


@dataclass(frozen=True, slots=True)
class Truth:
    value: bool
    unit: Unit = Unit.BOOLEAN


@dataclass(frozen=True, slots=True)
class FieldName:
    """A field of the deal."""

    name: str
    unit: Unit


@dataclass(frozen=True, slots=True)
class ItemName:
    """A field of the list item at hand, inside `sum`, `count` or `greatest`."""

    name: str
    unit: Unit


@dataclass(frozen=True, slots=True)
class MeasureName:
    name: str
    unit: Unit


@dataclass(frozen=True, slots=True)
class LimitName:
    name: str
    unit: Unit


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`+ - * /` on exact ratios; a quotient whose divisor is not positive is unknown."""

    operator: str
    left: "Expression"
    right: "Expression"
    unit: Unit


@dataclass(frozen=True, slots=True)
class Extreme:
    """`min(...)` or `max(...)`; unknown if any operand is."""

    name: str
    operands: tuple["Expression", ...]
    unit: Unit


@dataclass(frozen=True, slots=True)
class FirstKnown:
    """The first operand that is not unknown."""

    operands: tuple["Expression", ...]
    unit: Unit


@dataclass(frozen=True, slots=True)
class ListSum:
    """The sum of `value` over the items for which `where` holds; unknown if a needed part is."""

    list: str
    value: "Expression"
    where: "Expression | None"
    unit: Unit


@dataclass(frozen=True, slots=True)
class Greatest:
    """The greatest `value` of the items for which `where` holds, and never below zero; unknown if a needed part is."""

    list: str
    value: "Expression"
    where: "Expression | None"
    unit: Unit


@dataclass(frozen=True, slots=True)
class Year:
    date: "Expression"
    unit: Unit = Unit.COUNT


@dataclass(frozen=True, slots=True)
class DaysBetween:
    """Days from one date to another, below zero where the other is the earlier."""

    start: "Expression"
    end: "Expression"
    unit: Unit = Unit.COUNT


@dataclass(frozen=True, slots=True)
class LevelPayment:
    """The level monthly payment, rounded half up to the cent; unknown without a positive amount and a rate."""

    amount: "Expression"
    rate: "Expression"
    months: "Expression"
    unit: Unit = Unit.MONEY


@dataclass(frozen=True, slots=True)
class Projected:
    """A reading of the equity projection: `break_even`, `deepest_shortfall`, or `deficiency_after` a month.

    Unknown without a positive amount and value, a rate and a term.
    """

    reading: str
    amount: "Expression"
    rate: "Expression"
    months: "Expression"
    value: "Expression"
    after: "Expression | None"
    unit: Unit


@dataclass(frozen=True, slots=True)
class BookValueOn:
    """The vehicle's value on one basis; unknown when the deal does not carry it."""

    basis: str
    unit: Unit = Unit.MONEY


@dataclass(frozen=True, slots=True)
class ListedValue:
    """The value on the first basis of the policy's list for the vehicle's condition that the deal carries."""

    unit: Unit = Unit.MONEY


@dataclass(frozen=True, slots=True)
class BookValueAsOf:
    """The day that the value on one basis is of; unknown when the deal does not tell it, or tells one after its submission."""

    basis: str
    unit: Unit = Unit.DATE


@dataclass(frozen=True, slots=True)
class ListedValueAsOf:
    """The day that the value is of which `ListedValue` takes, unknown likewise."""

    unit: Unit = Unit.DATE


@dataclass(frozen=True, slots=True)
class Comparison:
    operator: str
    left: "Expression"
    right: "Expression"
    unit: Unit = Unit.BOOLEAN


@dataclass(frozen=True, slots=True)
class Membership:
    """`operand in [...]`; `not in` is its negation."""

    operand: "Expression"
    options: tuple["Expression", ...]
    unit: Unit = Unit.BOOLEAN


@dataclass(frozen=True, slots=True)
class Missing:
    """Whether a field or measure is unknown; itself always known."""

    operand: "Expression"
    unit: Unit = Unit.BOOLEAN


@dataclass(frozen=True, slots=True)
class Violated:
    """Whether another rule is violated or mitigated; unknown if that rule could not be evaluated."""

    rule: str
    unit: Unit = Unit.BOOLEAN


@dataclass(frozen=True, slots=True)
class DealOutcome:
    """The outcome of the whole submission: only a guarantee may read it, since the rules make it."""

    name: str = "outcome"
    unit: Unit = Unit.TEXT


@dataclass(frozen=True, slots=True)
class Not:
    operand: "Expression"
    unit: Unit = Unit.BOOLEAN


@dataclass(frozen=True, slots=True)
class All:
    """`and`, three-valued: false if any operand is false, else unknown if any is unknown."""

    operands: tuple["Expression", ...]
    unit: Unit = Unit.BOOLEAN


@dataclass(frozen=True, slots=True)
class Any:
    """`or`, three-valued: true if any operand is true, else unknown if any is unknown."""

    operands: tuple["Expression", ...]
    unit: Unit = Unit.BOOLEAN


Name: TypeAlias = FieldName | ItemName | MeasureName | LimitName
Numeric: TypeAlias = (
    Number
    | Name
    | Arithmetic
    | Extreme
    | FirstKnown
    | ListSum
    | Greatest
    | Year
    | DaysBetween
    | LevelPayment
    | Projected
    | BookValueOn
    | ListedValue
)
Logical: TypeAlias = Truth | Comparison | Membership | Missing | Violated | Not | All | Any
Dated: TypeAlias = BookValueAsOf | ListedValueAsOf
Expression: TypeAlias = Numeric | Dated | Text | DealOutcome | Logical

EXPRESSION_TYPES = (
    Number, Text, Truth, FieldName, ItemName, MeasureName, LimitName, Arithmetic, Extreme, FirstKnown, ListSum, Greatest, Year,
    DaysBetween, LevelPayment, Projected, BookValueOn, ListedValue, BookValueAsOf, ListedValueAsOf, Comparison, Membership,
    Missing, Violated, DealOutcome, Not, All, Any,
)  # fmt: skip


_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in EXPRESSION_TYPES}


def parts(expression: Expression) -> Iterator[Expression]:
    """The direct operands of a node."""
    for name in _FIELDS[type(expression)]:
        value = getattr(expression, name)
        if isinstance(value, EXPRESSION_TYPES):
            yield value
        elif isinstance(value, tuple):
            yield from value


def walk(expression: Expression | None) -> Iterator[Expression]:
    """A node and everything below it."""
    if expression is not None:
        yield expression
        for part in parts(expression):
            yield from walk(part)
