"""How large the exact value of a measure or limit may become: measures that multiply each other grow without any bound.

Counted in factors, above and below the fraction's line; a factor is a field or a literal, at most about fifty bits.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dealgate.rules.expressions import (
    Arithmetic,
    Expression,
    Extreme,
    FirstKnown,
    LimitName,
    MeasureName,
    Number,
    parts,
)
from dealgate.rules.policy import Limit, Measure

MOST_FACTORS = 500


class Factors(NamedTuple):
    above: int
    below: int


def too_large(definitions: Iterable[Measure | Limit]) -> str:
    """The first definition of more than `MOST_FACTORS`, empty if none is; each stands after those that it reads."""
    known: dict[str, Factors] = {}
    for definition in definitions:
        values = [definition.formula] if isinstance(definition, Measure) else [row.limit for row in definition.all_rows]
        known[definition.name] = _largest(factors(value, known) for value in values)
        if max(known[definition.name]) > MOST_FACTORS:
            return definition.name
    return ""


def factors(expression: Expression, known: Mapping[str, Factors]) -> Factors:
    match expression:
        case Number(denominator=denominator):
            return Factors(1, 0 if denominator == 1 else 1)
        case MeasureName(name) | LimitName(name):
            return known.get(name, Factors(1, 1))
        case Arithmetic(operator, left, right):
            return _combined(operator, factors(left, known), factors(right, known))
    found = _largest(factors(part, known) for part in parts(expression))
    return found if isinstance(expression, Extreme | FirstKnown) else Factors(found.above + 1, found.below)


def _combined(operator: str, left: Factors, right: Factors) -> Factors:
    match operator:
        case "*":
            return Factors(left.above + right.above, left.below + right.below)
        case "/":
            return Factors(left.above + right.below, left.below + right.above)
    return Factors(max(left.above + right.below, right.above + left.below), left.below + right.below)


def _largest(found: Iterable[Factors]) -> Factors:
    every = [Factors(0, 0), *found]
    return Factors(max(one.above for one in every), max(one.below for one in every))
