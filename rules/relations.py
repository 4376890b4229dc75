"""How free values of one kind stand to each other: what grows with what, from the arithmetic that they stand for.

Two versions of a policy that write an amount in different ways have two payments on it. Each is left free for itself; that they
are equal where the amounts are, and grow together, is all that most comparisons need.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import permutations
from typing import TypeVar

from dealgate.rules.equity import Equity, monthly_shares
from dealgate.rules.payment import LONGEST_TERM
from dealgate.rules.smt import Loan, Payment, Product, Projection, Term, Terms, constant, same

Kind = TypeVar("Kind")

MOST_RELATED = 40
"""Free values of one kind that are held against each other, each pair in both directions."""


def relations(terms: Terms) -> Iterator[Term]:
    """Facts about every pair of free values that are made of the same arithmetic."""
    values = terms.free_values()
    yield from _each_pair(terms, [value for value in values if isinstance(value, Product)], _products)
    yield from _each_pair(terms, [value for value in values if isinstance(value, Payment)], _payments)
    yield from _each_pair(terms, [value for value in values if isinstance(value, Projection)], _projections)


def _each_pair(terms: Terms, values: Sequence[Kind], relate: Callable[[Terms, Kind, Kind], Term]) -> Iterator[Term]:
    for less, more in permutations(values[:MOST_RELATED], 2):
        fact = relate(terms, less, more)
        if fact is not True:
            yield fact


def _products(terms: Terms, less: Product, more: Product) -> Term:
    """Of two products with a factor in common, which is not below zero, the one with the lesser other factor is the lesser."""
    for shared, one in ((less.left, less.right), (less.right, less.left)):
        for other_shared, other in ((more.left, more.right), (more.right, more.left)):
            if same(shared, other_shared) and shared.low >= 0:
                return terms.implies(terms.compare("<=", one, other), less.value <= more.value)
    return True


def _payments(terms: Terms, less: Payment, more: Payment) -> Term:
    """A payment grows with the amount and the rate, and falls with the months."""
    if not same(less.amount_denominator, more.amount_denominator) or not same(
        less.rate_denominator, more.rate_denominator
    ):
        return True
    premise = [
        terms.compare("<=", less.amount, more.amount),
        terms.compare("<=", less.rate, more.rate),
        terms.compare(">=", less.months, more.months),
        terms.compare(">", less.amount, constant(0)),
        terms.compare(">=", less.rate, constant(0)),
        terms.compare(">", more.months, constant(0)),
        terms.compare("<=", less.months, constant(LONGEST_TERM)),
    ]
    return terms.implies(terms.every(premise), less.value <= more.value)


def _projections(terms: Terms, less: Projection, more: Projection) -> Term:
    """For one loan each reading falls as the vehicle's value grows, and as the assumptions become milder."""
    if less.reading != more.reading or not _is_milder(less.equity, more.equity, less.reading):
        return True
    pairs = zip(Loan._fields, less.loan, more.loan, strict=True)
    premise = [terms.compare("==", one, other) for name, one, other in pairs if name != "value"]
    premise += [terms.compare(">=", less.loan.value, more.loan.value), terms.projects(more.loan)]
    return terms.implies(terms.every(premise), less.result <= more.result)


def _is_milder(equity: Equity, other: Equity, reading: str) -> bool:
    """Whether no month leaves more owed: the vehicle keeps as much of its value, and a sale brings as much and costs no more."""
    years = LONGEST_TERM // 12
    shares = (monthly_shares(one.curve.retained, years) for one in (equity, other))
    if not all(kept >= other_kept for kept, other_kept in zip(*shares, strict=True)):
        return False
    factors = [Fraction(one.wholesale_factor.numerator, one.wholesale_factor.denominator) for one in (equity, other)]
    sells_as_well = factors[0] >= factors[1] and equity.disposal_cost.numerator <= other.disposal_cost.numerator
    return reading != "deficiency_after" or sells_as_well
