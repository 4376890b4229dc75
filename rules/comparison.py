"""Two policies over every possible deal: is there one that fares worse under the second, or better?

Compared are outcomes, `pass < flag < refer < decline`, over all deals that both answer for, those with unknown fields among them.
"""

from enum import StrEnum
from typing import NamedTuple

from dealgate.rules.encoding import Encoder
from dealgate.rules.near_misses import near_miss
from dealgate.rules.policy import Outcome, Policy, Rule
from dealgate.rules.proof import IMPOSSIBLE, Answer, Confirms, Prover, Verdict, Witness
from dealgate.rules.relations import relations
from dealgate.rules.smt import Term

STEPS = tuple(outcome for outcome in Outcome if outcome is not Outcome.PASS)
"""What an outcome can reach; the first step first, so that a deal which passes on one side is shown where there is one."""


class Mark(StrEnum):
    """What a change does to the outcomes of deals."""

    TIGHTER = "tighter"
    LOOSER = "looser"
    MIXED = "mixed"
    NEUTRAL = "neutral"
    NOT_PROVED = "not proved"


class Effect(NamedTuple):
    """Whether some deal fares worse under the second policy, and whether some deal fares better."""

    tighter: Answer
    looser: Answer

    @property
    def mark(self) -> Mark:
        match self.tighter.verdict, self.looser.verdict:
            case Verdict.SHOWN, Verdict.SHOWN:
                return Mark.MIXED
            case Verdict.SHOWN, Verdict.IMPOSSIBLE:
                return Mark.TIGHTER
            case Verdict.IMPOSSIBLE, Verdict.SHOWN:
                return Mark.LOOSER
            case Verdict.IMPOSSIBLE, Verdict.IMPOSSIBLE:
                return Mark.NEUTRAL
        return Mark.NOT_PROVED


NO_EFFECT = Effect(IMPOSSIBLE, IMPOSSIBLE)


def effect(first: Policy, second: Policy) -> Effect:
    """What putting the second policy in the place of the first does. Raises `ProofUnavailableError` without the solver."""
    return _Pair(first, second).effect()


class _Pair:
    def __init__(self, first: Policy, second: Policy) -> None:
        self.prover = Prover(first, second)
        self.terms = self.prover.terms
        self.first, (self.second,) = self.prover.encoder, self.prover.beside
        for encoder in (self.first, self.second):
            for rule in encoder.policy.rules:
                encoder.rule(rule.id)
        for fact in relations(self.terms):
            self.terms.hold(fact)

    def effect(self) -> Effect:
        return Effect(self._worse(self.second, self.first, _is_tighter), self._worse(self.first, self.second, _is_looser))

    def _worse(self, one: Encoder, other: Encoder, confirms: Confirms) -> Answer:
        """Whether some deal has a more severe outcome by one encoder than by the other.

        Then some rule leads to more by the one than by the other: rules of which that is impossible are not looked at again.
        """
        rules = [rule for rule in one.policy.rules if not self.prover.is_impossible(self._leads_to_more(one, other, rule))]
        formula = self.terms.some(self._reached_only_by(one, other, rules, step) for step in STEPS)
        answer = self.prover.ask(formula, confirms)
        if answer.verdict is Verdict.UNDECIDED and (found := near_miss(self.prover, [rule.id for rule in rules], confirms)):
            return Answer(Verdict.SHOWN, found)
        return self.prover.plausible(formula, answer, confirms)

    def _reached_only_by(self, one: Encoder, other: Encoder, rules: list[Rule], step: Outcome) -> Term:
        """When one of the rules leads to so severe an outcome, and no rule of the other does."""
        reached = self.terms.some(one.finding(rule, step) for rule in rules)
        return self.terms.every((reached, self.terms.negated(other.reaches(step))))

    def _leads_to_more(self, one: Encoder, other: Encoder, rule: Rule) -> Term:
        twin = next((found for found in other.policy.rules if found.id == rule.id), None)
        pairs = ((one.finding(rule, step), other.finding(twin, step) if twin else False) for step in STEPS)
        return self.terms.some(
            self.terms.every((more, self.terms.negated(less)))
            for more, less in pairs
            if not self.terms.alike(more, less)
        )


def _is_tighter(deal: Witness) -> bool:
    return Outcome(deal.beside[0].outcome).severity > Outcome(deal.outcome).severity


def _is_looser(deal: Witness) -> bool:
    return Outcome(deal.beside[0].outcome).severity < Outcome(deal.outcome).severity
