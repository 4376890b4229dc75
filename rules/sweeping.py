"""The least change that clears a deal: from one cent on, over every stretch on which some rule cannot but be broken.

Nothing is assumed about the shape of the policy. At each change it comes to, the reference judges the changed deal; where a rule is
broken, `Ranging` proves how far it stays broken, and the sweep goes on behind. So no smaller change is left out, whether the rules
turn once, often, or only at one cent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from dealgate.rules.fields import Facts
from dealgate.rules.levers import MOST_PRODUCTS, Choice, Motion
from dealgate.rules.ranging import Journey, Leg, Ranging
from dealgate.rules.reference import Reckoning, Result
from dealgate.rules.tracing import Trace

BROKEN = frozenset({Result.VIOLATED, Result.MITIGATED})
UNCURED = BROKEN | {Result.NOT_EVALUABLE}

MOST_LOOKS = 600
"""Looks that one search takes before it gives up, a few hundredths of a second; a search among fewer changes never gives up."""


@dataclass(frozen=True)
class Aim:
    """What a changed deal must come to: no rule broken, and none unjudged that was judged before."""

    bad: Mapping[str, frozenset[Result]]

    @classmethod
    def from_results(cls, results: Mapping[str, Result]) -> "Aim":
        return cls({rule: BROKEN if result is Result.NOT_EVALUABLE else UNCURED for rule, result in results.items()})

    def missed(self, results: Mapping[str, Result]) -> list[str]:
        """The rules in the way, in the policy's order."""
        return [rule for rule, bad in self.bad.items() if results[rule] in bad]


@dataclass
class Search:
    """What came of one search. `change` is None where nothing was found; `given_up` where that proves nothing."""

    change: int | None = None
    dropped: tuple[int, ...] = ()
    in_the_way: dict[str, Result] = field(default_factory=dict)
    never: tuple[str, ...] = ()
    given_up: bool = False


class Sweep:
    """A search along one motion."""

    def __init__(
        self,
        ranging: Ranging,
        aim: Aim,
        reference: Callable[[Facts], Reckoning],
        trace: Trace,
        missed: list[str],
    ) -> None:
        self.ranging = ranging
        self.aim = aim
        self.reference = reference
        self.trace = trace
        self.missed = missed
        self.looks = 0
        self.strides: dict[str, int] = {}

    # Along a number

    def along(self, motion: Motion) -> Search:
        """The least change from 1 to `most` that meets the aim."""
        journey, found, change = Journey(motion, self.trace), Search(), 1
        if never := [rule for rule in self.missed if self._surely_missed(journey, rule, 1, motion.most)]:
            return self._hopeless(never)
        while change <= motion.most:
            self.looks += 1
            results = self.reference(motion.facts(change)).results
            missed = self.aim.missed(results)
            if not missed:
                found.change = change
                return found
            found.in_the_way.update((rule, results[rule]) for rule in missed)
            if self.looks < MOST_LOOKS:
                change = 1 + self._reach(journey, missed, change, motion.most)
            elif motion.most <= MOST_LOOKS:
                change += 1
            else:
                found.given_up = True
                return found
        return found

    def _reach(self, journey: Journey, missed: list[str], change: int, most: int) -> int:
        """The last change up to which one of the rules missed at a change is proved to stay missed."""
        reached = change
        for rule in missed:
            if reached == most:
                break
            if reached == change or self._surely_missed(journey, rule, change, reached + 1):
                reached = self._reach_of(journey, rule, change, reached, most)
        return reached

    def _reach_of(self, journey: Journey, rule: str, change: int, held: int, most: int) -> int:
        """Between `held`, where the proof holds, and where it fails: crossings the proof names are tried before halves.

        The first try is as far as the rule's last proof went: where proofs get tighter step by step, the next goes less far.
        """
        crossings, fails = set[int](), most + 1
        probe = min(most, max(held + 1, change + self.strides.get(rule, most)))
        while fails - held > 1:
            leg = self._leg(journey, change, probe)
            if self.ranging.rule(rule)(leg) <= self.aim.bad[rule]:
                held = probe
            else:
                fails = probe
                crossings |= leg.stretch.crossings
            crossings = {crossing for crossing in crossings if held < crossing < fails}
            halfway = most if fails > most else (held + fails) // 2
            probe = min(crossings) if crossings and self.looks < MOST_LOOKS else halfway
        self.strides[rule] = held - change
        return held

    def _surely_missed(self, journey: Journey, rule: str, first: int, last: int) -> bool:
        return self.ranging.rule(rule)(self._leg(journey, first, last)) <= self.aim.bad[rule]

    def _leg(self, journey: Journey, first: int, last: int) -> Leg:
        self.looks += 1
        return Leg(journey, first, last)

    def _hopeless(self, never: list[str]) -> Search:
        """Some rules are in the way all along, as they are before any change."""
        results = self.trace.reckoning.results
        return Search(in_the_way={rule: results[rule] for rule in never}, never=tuple(never))

    # Among products

    def among(self, choice: Choice) -> Search:
        """The cheapest products to drop; of equal price the fewest, then the first in the document."""
        journey, found = Journey(choice, self.trace), Search()
        if never := [rule for rule in self.missed if self._surely_missed(journey, rule, 0, 0)]:
            return self._hopeless(never)
        count = len(choice.base["products"])
        if count > MOST_PRODUCTS:
            found.given_up = True
            return found
        subsets = [dropped for size in range(1, count + 1) for dropped in combinations(range(count), size)]
        for dropped in sorted(subsets, key=choice.price):
            results = self.reference(choice.facts(dropped)).results
            missed = self.aim.missed(results)
            if not missed:
                found.change, found.dropped = choice.price(dropped), dropped
                return found
            found.in_the_way.update((rule, results[rule]) for rule in missed)
        return found
