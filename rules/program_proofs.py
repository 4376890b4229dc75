"""Policies side by side over every possible deal: is there one that two of them answer for, or none?

A deal of which it is unknown whether a policy applies is neither: more of it must be known first.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import combinations
from typing import NamedTuple

from dealgate.rules.effective import Period, effective_period
from dealgate.rules.encoding import Encoder
from dealgate.rules.policy import Policy
from dealgate.rules.proof import Answer, Prover, Witness
from dealgate.rules.quantities import Logic

MOST_PROGRAMS = 20


class Overlap(NamedTuple):
    """Whether some deal falls to both of two policies that are effective at one time."""

    first: Policy
    second: Policy
    answer: Answer


class Gap(NamedTuple):
    """Whether some deal falls to none of the policies that are effective from one moment to another."""

    period: Period
    policies: tuple[Policy, ...]
    answer: Answer


class SideBySide(NamedTuple):
    overlaps: tuple[Overlap, ...]
    gaps: tuple[Gap, ...]


def side_by_side(policies: Sequence[Policy]) -> SideBySide:
    """Overlaps of each two, and gaps for each stretch of time in which the same policies are effective.

    Raises `ProofUnavailableError` without the solver.
    """
    found = _SideBySide(policies)
    return SideBySide(tuple(found.overlaps()), tuple(found.gaps()))


class _SideBySide:
    def __init__(self, policies: Sequence[Policy]) -> None:
        self.policies = policies
        self.periods = [effective_period(policy) for policy in policies]
        self.prover = Prover(*policies)
        self.encoders = [self.prover.encoder, *self.prover.beside]

    def overlaps(self) -> Iterator[Overlap]:
        for pair in combinations(range(len(self.policies)), 2):
            first, second = pair
            if self.periods[first].meets(self.periods[second]):
                yield Overlap(self.policies[first], self.policies[second], self._ask(pair, truth=True))

    def gaps(self) -> Iterator[Gap]:
        moments = sorted({moment for period in self.periods for moment in period if moment is not None})
        for index, start in enumerate(moments):
            effective = [at for at, period in enumerate(self.periods) if period.holds(start)]
            if effective:
                policies = tuple(self.policies[at] for at in effective)
                yield Gap(Period(start, _next(moments, index)), policies, self._ask(effective, truth=False))

    def _ask(self, numbers: Sequence[int], *, truth: bool) -> Answer:
        """Whether all of these policies apply to some deal, or all of them do not."""
        logics = [answers_for(self.encoders[number]) for number in numbers]
        formula = self.prover.terms.every(logic.yes if truth else logic.no for logic in logics)

        def confirms(deal: Witness) -> bool:
            under = (deal, *deal.beside)
            return all(does_answer(under[number]) is truth for number in numbers)

        return self.prover.plausible(formula, self.prover.ask(formula, confirms), confirms)


def _next(moments: Sequence[datetime], index: int) -> datetime | None:
    return moments[index + 1] if index + 1 < len(moments) else None


def answers_for(encoder: Encoder) -> Logic:
    """When a policy answers for a deal, and when it does not."""
    condition = encoder.policy.applies_to
    return Logic(yes=True, no=False) if condition is None else encoder.truth(condition)


def does_answer(deal: Witness) -> bool | None:
    """The same of a deal that was evaluated."""
    condition = deal.policy.applies_to
    found: bool | None = True if condition is None else deal.trace.value(condition)
    return found
