"""Decision tables as SMT: when a row gives the limit, and what the limit then is, by every hit policy.

What a table means is said in limit_compiling.py. A condition that is unknown leaves a table unknown of which every row
counts; so does a value that is.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import lcm
from types import MappingProxyType
from typing import NamedTuple, Protocol

from dealgate.rules.expressions import Expression
from dealgate.rules.fields import Unit
from dealgate.rules.policy import Limit, Row
from dealgate.rules.quantities import FREE, Case, Logic, Quantity, merged, one_case, single
from dealgate.rules.smt import Term, Terms, Whole, constant

MOST_SUMS = 64
"""Sums of constant rows that are kept apart; beyond it the sum is one number, and a share held against it is not linear."""

MOST_PAIRS = 2_500
"""Pairs of computed rows that are compared for the least or the greatest; beyond it the limit is left free."""


class WritesExpressions(Protocol):
    terms: Terms

    def truth(self, expression: Expression) -> Logic: ...
    def number(self, expression: Expression) -> Quantity: ...
    def whole_cents(self, found: Quantity) -> Quantity: ...
    def compare(self, operator: str, first: Quantity, second: Quantity) -> Logic: ...


class Table(NamedTuple):
    """When each row, and after them the default, is the one that gave the limit; and the limit.

    `clashes` says when a row holds beside the first that does, and must not.
    """

    taken: tuple[Term, ...]
    value: Quantity
    clashes: Mapping[int, Term] = MappingProxyType({})


class TableEncoder:
    """One limit over one encoder."""

    def __init__(self, encoder: WritesExpressions, limit: Limit) -> None:
        self.encoder = encoder
        self.terms = encoder.terms
        self.limit = limit

    def table(self) -> Table:
        if self.limit.hit_policy == "first":
            return self._first()
        conditions = [self._condition(row) for row in self.limit.rows]
        self.hits = [self.terms.named(condition.yes) for condition in conditions]
        self.settled = self.terms.every(self.terms.some(condition) for condition in conditions)
        self.no_hit = self.terms.named(self.terms.every(condition.no for condition in conditions))
        match self.limit.aggregate or self.limit.hit_policy:
            case "unique":
                found = self._unique()
            case "any":
                found = self._any()
            case "min" | "max":
                found = self._least_or_greatest()
            case "count":
                found = self._sum([single(True, constant(1), constant(1))] * len(self.hits))
                found = found._replace(taken=(False,) * len(self.hits))
            case _:
                found = self._sum([self._value(row) for row in self.limit.rows])
        return self._with_default(found)

    def _condition(self, row: Row) -> Logic:
        return self.encoder.truth(row.when) if row.when else Logic(yes=True, no=False)

    def _value(self, row: Row) -> Quantity:
        """What a row gives: an amount of money is whole cents."""
        found = self.encoder.number(row.limit)
        return self.encoder.whole_cents(found) if self.limit.unit == Unit.MONEY else found

    def _chosen(self, taken: Sequence[Term], values: Sequence[Quantity]) -> Table:
        known = (self.terms.every((row, value.known)) for row, value in zip(taken, values, strict=True))
        return Table(tuple(taken), Quantity(self.terms.some(known), self._cases(taken, values)))

    def _cases(self, taken: Iterable[Term], values: Iterable[Quantity]) -> tuple[Case, ...]:
        cases = [
            case._replace(guard=self.terms.every((row, case.guard)))
            for row, value in zip(taken, values, strict=True)
            for case in value.cases
        ]
        return tuple(case for case in cases if case.guard is not False)

    def _first(self) -> Table:
        """All rows above the one that is taken are known not to match."""
        above: Term = True
        taken: list[Term] = []
        for row in self.limit.rows:
            when = self._condition(row)
            taken.append(self.terms.every((above, when.yes)))
            above = self.terms.named(self.terms.every((above, when.no)))
        return self._chosen(taken, [self._value(row) for row in self.limit.rows])

    def _with_default(self, found: Table) -> Table:
        """Where no row holds, a table without a default gives nothing, but counts to zero."""
        if self.limit.default is None:
            return found
        value, terms = self._value(self.limit.default), self.terms
        cases = [
            case._replace(guard=terms.every((terms.negated(self.no_hit), case.guard))) for case in found.value.cases
        ]
        known = terms.some(
            (terms.every((terms.negated(self.no_hit), found.value.known)), terms.every((self.no_hit, value.known)))
        )
        cases += self._cases([self.no_hit], [value])
        return Table((*found.taken, self.no_hit), Quantity(known, tuple(cases)), found.clashes)

    # Rows beside each other

    def _only(self) -> list[Term]:
        """When each row is the only one that holds."""
        terms, after = self.terms, list[Term]()
        later: Term = False
        for hit in reversed(self.hits):
            after.append(later)
            later = terms.named(terms.some((later, hit)))
        earlier: Term = False
        only = []
        for hit, following in zip(self.hits, reversed(after), strict=True):
            only.append(terms.every((self.settled, hit, terms.negated(earlier), terms.negated(following))))
            earlier = terms.named(terms.some((earlier, hit)))
        return only

    def _in_order(self, order: Iterable[int]) -> list[Term]:
        """When each row is the first in an order that holds."""
        before: Term = False
        found: list[Term] = [False] * len(self.hits)
        for index in order:
            found[index] = self.terms.every((self.hits[index], self.terms.negated(before)))
            before = self.terms.named(self.terms.some((before, self.hits[index])))
        return found

    def _all_known(self, values: Sequence[Quantity]) -> Term:
        """That every condition is known, and every value of a row that holds."""
        terms = self.terms
        known = (terms.implies(hit, value.known) for hit, value in zip(self.hits, values, strict=True))
        return terms.named(terms.every((self.settled, *known)))

    def _unique(self) -> Table:
        found = self._chosen(self._only(), [self._value(row) for row in self.limit.rows])
        return found._replace(clashes=self._beside_earlier())

    def _beside_earlier(self) -> dict[int, Term]:
        """When each row holds beside one above it."""
        earlier: Term = False
        found = {}
        for index, hit in enumerate(self.hits):
            found[index] = self.terms.every((hit, earlier))
            earlier = self.terms.named(self.terms.some((earlier, hit)))
        return found

    def _any(self) -> Table:
        terms, values = self.terms, [self._value(row) for row in self.limit.rows]
        first = self._in_order(range(len(values)))
        agreed = one_case(terms, self._chosen(first, values).value)
        differing = {
            index: terms.every((self.hits[index], self.encoder.compare("!=", values[index], agreed).yes))
            for index in range(1, len(values))
        }
        none_differs = terms.negated(terms.some(differing.values()))
        known = terms.named(terms.every((self._all_known(values), none_differs)))
        found = self._chosen([terms.every((known, row)) for row in first], values)
        return found._replace(clashes=differing)

    def _least_or_greatest(self) -> Table:
        terms, values = self.terms, [self._value(row) for row in self.limit.rows]
        numbers = [_constant_of(value) for value in values]
        known = self._all_known(values)
        if None not in numbers:
            sign = 1 if self.limit.aggregate == "min" else -1
            common = lcm(*(number[1] for number in numbers if number))
            ranks = [sign * number[0] * (common // number[1]) for number in numbers if number]
            best = self._in_order(sorted(range(len(ranks)), key=ranks.__getitem__))
        elif len(values) ** 2 <= MOST_PAIRS:
            best = [self._is_best(index, values) for index in range(len(values))]
        else:
            return self._free(known)
        return self._chosen([terms.every((known, row)) for row in best], values)

    def _is_best(self, index: int, values: Sequence[Quantity]) -> Term:
        """That a row holds, and none that holds is better; of equals the first."""
        terms, better = self.terms, "<" if self.limit.aggregate == "min" else ">"
        ahead = [
            self.encoder.compare(better if other < index else f"{better}=", values[index], values[other]).yes
            if other != index
            else True
            for other in range(len(values))
        ]
        kept = (terms.implies(hit, test) for hit, test in zip(self.hits, ahead, strict=True))
        return terms.every((self.hits[index], *kept))

    def _free(self, known: Term) -> Table:
        """Too much to compare: any row that holds may be the one."""
        terms = self.terms
        chosen = [terms.every((known, hit, terms.flag("chosen"))) for hit in self.hits]
        given = terms.every((known, terms.negated(self.no_hit)))
        value = single(given, terms.whole("free", -FREE, FREE), terms.whole("free", 1, FREE))
        return Table(tuple(chosen), value)

    # Sums

    def _sum(self, values: Sequence[Quantity]) -> Table:
        terms = self.terms
        known = self._all_known(values)
        if self.limit.aggregate != "count":
            known = terms.every((known, terms.negated(self.no_hit)))
        numbers = [_constant_of(value) for value in values]
        apart = self._sums_apart([number for number in numbers if number]) if None not in numbers else None
        cases = apart or self._total(values)
        if cases is None:
            free = terms.whole("sum", -FREE, FREE), terms.whole("sum", 1, FREE)
            cases = single(True, *free).cases
        taken = [terms.every((known, row)) for row in self._only()]
        return Table(tuple(taken), Quantity(known, cases))

    def _sums_apart(self, numbers: Sequence[tuple[int, int]]) -> tuple[Case, ...] | None:
        """A case for each sum that rows of constants can come to, so that a share held against it stays linear."""
        terms, bottom = self.terms, lcm(*(number[1] for number in numbers))
        sums: dict[int, Term] = {0: True}
        for hit, (top, own) in zip(self.hits, numbers, strict=True):
            reached: dict[int, list[Term]] = {}
            for so_far, guard in sums.items():
                reached.setdefault(so_far, []).append(terms.every((guard, terms.negated(hit))))
                reached.setdefault(so_far + top * (bottom // own), []).append(terms.every((guard, hit)))
            sums = {total: terms.named(terms.some(guards)) for total, guards in reached.items()}
            sums = {total: guard for total, guard in sums.items() if guard is not False}
            if len(sums) > MOST_SUMS:
                return None
        return tuple(Case(guard, constant(total), constant(bottom)) for total, guard in sums.items())

    def _total(self, values: Sequence[Quantity]) -> tuple[Case, ...] | None:
        """The sum as one number, where the rows have constant divisors."""
        terms = self.terms
        parts = [one_case(terms, value).cases for value in values]
        bottoms = [case.bottom.constant for cases in parts for case in cases]
        if None in bottoms or any(len(cases) != 1 for cases in parts):
            return None
        bottom = lcm(*(own or 1 for own in bottoms))
        total = constant(0)
        for hit, cases in zip(self.hits, parts, strict=True):
            case: Case = merged(terms, cases, bottom)
            part: Whole = terms.either(hit, case.top, constant(0))
            total = terms.plus(total, part)
        return (Case(True, total, constant(bottom)),)


def _constant_of(value: Quantity) -> tuple[int, int] | None:
    """A number that is the same for every deal, as numerator and denominator."""
    if value.known is not True or len(value.cases) != 1:
        return None
    case = value.cases[0]
    top, bottom = case.top.constant, case.bottom.constant
    return (top, bottom) if case.guard is True and top is not None and bottom is not None else None
