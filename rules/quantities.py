"""What the encoding makes of an expression: numbers by cases, and Kleene's truths."""

from collections.abc import Sequence
from math import lcm
from typing import NamedTuple

from dealgate.rules.smt import Term, Terms, Whole, constant

FREE = 10**30
"""Bounds of a number of which nothing is kept."""


class Case(NamedTuple):
    """Under `guard` the number is top / bottom; the bottom is above zero wherever the number is known."""

    guard: Term
    top: Whole
    bottom: Whole


class Quantity(NamedTuple):
    known: Term
    cases: tuple[Case, ...]


class Logic(NamedTuple):
    """When it is known to hold, and when it is known not to."""

    yes: Term
    no: Term


def single(known: Term, top: Whole, bottom: Whole) -> Quantity:
    return Quantity(known, (Case(True, top, bottom),))


def merged(terms: Terms, cases: Sequence[Case], bottom: int) -> Case:
    """Several cases with constant bottoms as one, over a bottom that all of them divide."""
    *others, last = cases
    top = terms.times(last.top, constant(bottom // (last.bottom.constant or 1)))
    for case in reversed(others):
        scaled = terms.times(case.top, constant(bottom // (case.bottom.constant or 1)))
        top = terms.either(case.guard, scaled, top)
    return Case(True, top, constant(bottom))


def one_case(terms: Terms, found: Quantity) -> Quantity:
    """One case where the bottoms are constants: for what is compared or projected, not for what others multiply."""
    bottoms = [case.bottom.constant for case in found.cases]
    if len(found.cases) < 2 or None in bottoms:
        return found
    return Quantity(found.known, (merged(terms, found.cases, lcm(*(bottom or 1 for bottom in bottoms))),))


def better(terms: Terms, operator: str, first: Term, one: Whole, other: Whole) -> Whole:
    """The lesser or the greater of two; its bounds are tighter than those of a mere choice."""
    found = terms.either(first, one, other)
    pick = min if operator == "<=" else max
    return found._replace(low=pick(one.low, other.low), high=pick(one.high, other.high))
