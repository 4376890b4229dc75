"""Two policies over every possible deal: is there one that fares worse, or better, under the second?"""

from collections.abc import Iterator

from dealgate.rules.encoding import Encoder
from dealgate.rules.policy import Outcome, Policy, Rule
from dealgate.rules.proof import IMPOSSIBLE, Answer, Prover, Witness
from dealgate.rules.relations import relations
from dealgate.rules.smt import Term

STEPS = tuple(outcome for outcome in Outcome if outcome is not Outcome.PASS)


class Comparer:
    def __init__(self, first: Policy, second: Policy) -> None:
        self.prover = Prover(first, second)
        for encoder in (self.prover.encoder, *self.prover.beside):
            for rule in encoder.policy.rules:
                encoder.rule(rule.id)
        for fact in relations(self.prover.terms):
            self.prover.terms.hold(fact)

    def tighter(self) -> Answer:
        first, (second,) = self.prover.encoder, self.prover.beside
        return self._severer(second, first, _is_tighter)

    def looser(self) -> Answer:
        first, (second,) = self.prover.encoder, self.prover.beside
        return self._severer(first, second, _is_looser)

    def _severer(self, one, other, confirms) -> Answer:
        terms = self.prover.terms
        rules = [rule for rule in one.policy.rules if not self.prover.is_impossible(self._local(one, other, rule))]
        print("candidates", [r.id for r in rules], self.prover._work)
        if not rules:
            return IMPOSSIBLE
        steps = []
        for step in STEPS:
            at_least = _at_least(step)
            reached = terms.some(one.finding(rule, at_least) for rule in rules)
            below = terms.negated(other._some_finding(at_least))
            steps.append(terms.every((reached, below)))
        formula = terms.some(steps)
        answer = self.prover.ask(formula, confirms)
        print(answer.verdict, answer.why)
        return self.prover.plausible(formula, answer, confirms)

    def _local(self, one: Encoder, other: Encoder, rule: Rule) -> Term:
        twin = next((found for found in other.policy.rules if found.id == rule.id), None)
        terms = self.prover.terms
        parts = []
        for step in STEPS:
            more = one.finding(rule, _at_least(step))
            less = other.finding(twin, _at_least(step)) if twin else False
            if terms.alike(more, less):
                continue
            parts.append(terms.every((more, terms.negated(less))))
        return terms.some(parts)


def _at_least(step):
    return [outcome for outcome in Outcome if outcome.severity >= step.severity]


def _is_tighter(deal: Witness) -> bool:
    return Outcome(deal.beside[0].outcome).severity > Outcome(deal.outcome).severity


def _is_looser(deal: Witness) -> bool:
    return Outcome(deal.beside[0].outcome).severity < Outcome(deal.outcome).severity
