"""Sums over a deal's lists, and the greatest of a list, as SMT: over the items that are spelled out, and what the rest may add."""

from collections.abc import Iterable, Sequence
from math import lcm
from typing import NamedTuple

from dealgate.rules.any_deal import ALWAYS_IN_ITEMS, Rest, Variable
from dealgate.rules.expressions import (
    All,
    Arithmetic,
    Comparison,
    Expression,
    Extreme,
    Greatest,
    ItemName,
    ListSum,
    Membership,
    Not,
    Number,
    Text,
    Truth,
    walk,
)
from dealgate.rules.expressions import Any as AnyOf
from dealgate.rules.fields import Unit
from dealgate.rules.quantities import FREE, Case, Logic, Quantity, better, merged, single
from dealgate.rules.smt import Term, Terms, Whole, constant


class OfItem(NamedTuple):
    """One item: when the deal has it, whether it counts, and its value."""

    present: Term
    where: Logic
    value: Quantity


class ListEncoder:
    """One sum, or one greatest, over a list of any deal."""

    def __init__(self, terms: Terms, node: ListSum | Greatest, rest: Rest) -> None:
        self.terms = terms
        self.node = node
        self.rest = rest

    def over(self, items: Iterable[OfItem]) -> Quantity:
        terms = self.terms
        unknown: list[Term] = []
        parts: list[tuple[Term, Case]] = []
        for present, where, value in items:
            counts = terms.every((present, where.yes))
            in_doubt = terms.every((present, terms.negated(terms.some(where))))
            unknown += [in_doubt, terms.every((counts, terms.negated(value.known)))]
            bottoms = [case.bottom.constant for case in value.cases]
            if None in bottoms:
                return self._free(unknown)
            parts.append((counts, merged(terms, value.cases, lcm(*(bottom or 1 for bottom in bottoms)))))
        bottom = lcm(*(case.bottom.constant or 1 for _, case in parts))
        scaled = [
            (counts, terms.times(case.top, constant(bottom // (case.bottom.constant or 1)))) for counts, case in parts
        ]
        found, more = self._greatest(scaled) if isinstance(self.node, Greatest) else self._total(scaled, bottom)
        unknown.append(terms.negated(more))
        return single(terms.negated(terms.some(unknown)), found, constant(bottom))

    def _free(self, unknown: Sequence[Term]) -> Quantity:
        """Items with divisors of their own have no common one: what they come to is left free."""
        known = self.terms.every((self.terms.flag("known sum"), self.terms.negated(self.terms.some(unknown))))
        return single(known, self.terms.anything("sum", -FREE, FREE), self.terms.anything("sum", 1, FREE))

    def _greatest(self, parts: Sequence[tuple[Term, Whole]]) -> tuple[Whole, Term]:
        """Of the items that are not spelled out, anything that one of them can come to; and when it is known."""
        terms, zero = self.terms, constant(0)
        found = zero
        more = terms.whole("greatest of more", 0, max(0, *(part.high for _, part in parts)))
        empty = terms.compare("==", self.rest.more, zero)
        terms.hold(terms.implies(empty, terms.compare("==", more, zero)))
        for counts, part in (*parts, (True, more)):
            counted = terms.either(counts, part, zero)
            found = better(terms, ">=", terms.compare(">=", found, counted), found, counted)
        return found, True if self._is_always_known() else terms.some((empty, terms.flag("known in more")))

    def _total(self, parts: Sequence[tuple[Term, Whole]], bottom: int) -> tuple[Whole, Term]:
        """The sum over all items, and when what those add is known that are not spelled out."""
        terms = self.terms
        total, low, high = constant(0), 0, 0
        for counts, part in parts:
            low, high = min(low, part.low), max(high, part.high)
            total = terms.plus(total, terms.either(counts, part, constant(0)))
        more = self._more(bottom, low, high)
        return terms.plus(total, more.value), more.known

    def _more(self, bottom: int, low: int, high: int) -> Variable:
        """What the items that are not spelled out add: exact where it depends on their totals alone, else free within bounds."""
        terms, more = self.terms, self.rest.more
        everything = self._of_totals(bottom)
        if everything is not None and self.node.where is None:
            return everything
        empty = terms.compare("==", more, constant(0))
        value = terms.whole("more", min(0, low * more.high), max(0, high * more.high))
        terms.hold(terms.compare(">=", value, terms.times(more, constant(low))))
        terms.hold(terms.compare("<=", value, terms.times(more, constant(high))))
        if everything is not None and min(low, high) >= 0:
            terms.hold(terms.implies(everything.known, terms.compare("<=", value, everything.value)))
        known = True if self._is_always_known() else terms.some((empty, terms.flag("known more")))
        return Variable(known, value)

    def _of_totals(self, bottom: int) -> Variable | None:
        """A linear value over all the items that are not spelled out, times `bottom`."""
        shares = _linear(self.node.value)
        if shares is None or any(bottom % share.denominator for share in shares.values()):
            return None
        value = constant(0)
        for name, share in shares.items():
            whole = self.rest.totals[name].value if name else self.rest.more
            factor = constant(share.numerator * (bottom // share.denominator))
            value = self.terms.plus(value, self.terms.times(whole, factor))
        return Variable(self.terms.every(self.rest.totals[name].known for name in shares if name), value)

    def _is_always_known(self) -> bool:
        """Whether it reads nothing that an item may lack."""
        parts = [part for expression in (self.node.where, self.node.value) for part in walk(expression)]
        known = (Number, Text, Truth, ItemName, Comparison, Membership, Not, All, AnyOf, Extreme)
        names = {(self.node.list, part.name) for part in parts if isinstance(part, ItemName)}
        return all(isinstance(part, known) for part in parts) and names <= ALWAYS_IN_ITEMS


def _linear(expression: Expression) -> dict[str, Number] | None:
    """A value of one item as shares of its amounts, the constant under the empty name; None where it is not linear in them."""
    match expression:
        case Number():
            return {"": expression}
        case ItemName(name, Unit.MONEY):
            return {name: Number(Unit.COUNT, 1)}
        case Arithmetic("+" | "-" as operator, left, right):
            first, second = _linear(left), _linear(right)
            if first is None or second is None:
                return None
            sign = 1 if operator == "+" else -1
            for name, share in second.items():
                so_far = first.get(name, Number(Unit.COUNT, 0))
                first[name] = _sum_of(so_far, share, sign)
            return first
        case Arithmetic("*", left, right):
            factor, other = (left, right) if isinstance(left, Number) else (right, left)
            shares = _linear(other) if isinstance(factor, Number) else None
            if shares is None or not isinstance(factor, Number):
                return None
            return {
                name: Number(Unit.COUNT, share.numerator * factor.numerator, share.denominator * factor.denominator)
                for name, share in shares.items()
            }
    return None


def _sum_of(left: Number, right: Number, sign: int) -> Number:
    top = left.numerator * right.denominator + sign * right.numerator * left.denominator
    return Number(Unit.COUNT, top, left.denominator * right.denominator)
