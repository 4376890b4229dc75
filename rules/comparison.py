"""Two policies over every possible deal: is there one that fares worse under the second, or better?

Compared are outcomes, `pass < flag < refer < decline`, over all deals that both policies answer for, those with unknown fields
among them; and which deals they answer for.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from dealgate.rules.changed_rows import where_tables_differ
from dealgate.rules.differences import Change, differences
from dealgate.rules.encoding import Encoder
from dealgate.rules.near_misses import near_miss
from dealgate.rules.policy import Outcome, Policy, Rule
from dealgate.rules.program_proofs import answers_for, does_answer
from dealgate.rules.proof import IMPOSSIBLE, SPENT, WORK, Answer, Prover, Verdict, Witness
from dealgate.rules.relations import relations
from dealgate.rules.smt import Term

STEPS = tuple(outcome for outcome in Outcome if outcome is not Outcome.PASS)
"""What an outcome can reach; the first step first, so that a deal which passes on one side is shown where there is one."""

WORK_ON_CHANGES = 2 * WORK
"""What all queries about single changes may cost together."""


WORK_OF_WRITING = 50
"""What writing a fact counts against it: the tables of a policy may have thousands of rows."""


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


class MarkedChange(NamedTuple):
    """A change with its effect alone, and the parts that had to come along with it."""

    change: Change
    effect: Effect
    together_with: tuple[str, ...] = ()


class Comparison(NamedTuple):
    """Two policies held against each other.

    `narrower` says whether the second leaves a deal unanswered that the first answers for, `wider` the reverse. Where no deal is
    answered for by both (`apart`), outcomes are compared over all deals.
    """

    first: Policy
    second: Policy
    effect: Effect
    narrower: Answer
    wider: Answer
    apart: bool
    changes: tuple[MarkedChange, ...]

    @property
    def is_equivalent(self) -> bool:
        """Whether it is proved that the two say the same of every deal."""
        answers = (*self.effect, self.narrower, self.wider)
        return all(answer.verdict is Verdict.IMPOSSIBLE for answer in answers)

    @property
    def is_different(self) -> bool:
        """Whether a deal shows that they do not."""
        answers = (*self.effect, self.narrower, self.wider)
        return any(answer.verdict is Verdict.SHOWN for answer in answers)


def compare(first: Policy, second: Policy) -> Comparison:
    """What changes when the second policy takes the place of the first. Raises `ProofUnavailableError` without the solver."""
    pair = _Pair(first, second)
    effect, changes = pair.effect(), differences(first, second)
    marked = tuple(_marked(first, changes, effect if _is_all(first, second, changes) else None))
    effect = pair.shown_by_changes(effect, marked)
    return Comparison(first, second, effect, pair.narrower(), pair.wider(), pair.apart, marked)


def _is_all(first: Policy, second: Policy, changes: Sequence[Change]) -> bool:
    """Whether one change alone makes the second policy of the first, as far as outcomes rest on it."""
    return sum(change.bears_on_outcomes for change in changes) == 1 and first.applies_to == second.applies_to


def _marked(first: Policy, changes: Sequence[Change], whole: Effect | None) -> Iterator[MarkedChange]:
    """Each change with its effect; `whole` is that of the only one on which outcomes can rest."""
    work, spent = WORK_ON_CHANGES, Answer(Verdict.UNDECIDED, why=SPENT)
    for change in changes:
        alone = change.alone if work >= 0 else None
        if not change.bears_on_outcomes:
            yield MarkedChange(change, NO_EFFECT)
        elif alone is None:
            yield MarkedChange(change, Effect(spent, spent))
        elif whole is not None:
            yield MarkedChange(change, whole, alone.together_with)
        else:
            pair = _Pair(first, alone.policy, work)
            yield MarkedChange(change, pair.effect(), alone.together_with)
            work = pair.prover.work_left


class _Pair:
    def __init__(self, first: Policy, second: Policy, work: int = WORK) -> None:
        self.prover = Prover(first, second, work=work)
        self.terms = self.prover.terms
        self.first, (self.second,) = self.prover.encoder, self.prover.beside
        for encoder in (self.first, self.second):
            for rule in encoder.policy.rules:
                encoder.rule(rule.id)
        for fact in relations(self.terms):
            self.terms.hold(fact)
        self.prover.work_left -= WORK_OF_WRITING * len(self.terms.facts)
        self.both_answer = self.terms.every(answers_for(encoder).yes for encoder in (self.first, self.second))
        self.apart = self.prover.is_impossible(self.both_answer)
        self.where = where_tables_differ(self.first, self.second)

    # Outcomes

    def effect(self) -> Effect:
        return Effect(self._worse(self.second, self.first, 1), self._worse(self.first, self.second, -1))

    def shown_by_changes(self, effect: Effect, changes: Sequence[MarkedChange]) -> Effect:
        """The same with the deal that shows one of the changes, where it shows both policies: it is the plainer one."""
        answers = [answer for marked in changes for answer in marked.effect if answer.witness]
        found = [self.prover.evaluate(answer.witness.document) for answer in answers if answer.witness]
        tighter, looser = (
            next((deal for deal in found if deal and self._fares_worse(deal, sign)), None) for sign in (1, -1)
        )
        return Effect(
            Answer(Verdict.SHOWN, tighter) if tighter else effect.tighter,
            Answer(Verdict.SHOWN, looser) if looser else effect.looser,
        )

    def _fares_worse(self, deal: Witness, sign: int) -> bool:
        """Under the second policy, or with the sign -1 under the first."""
        return self._is_meant(deal) and sign * (_severity(deal.beside[0]) - _severity(deal)) > 0

    def _worse(self, one: Encoder, other: Encoder, sign: int) -> Answer:
        """Whether some deal has a more severe outcome by one encoder than by the other.

        Then some rule leads to more by the one than by the other: rules of which that is impossible are not looked at again.
        """
        confirms = partial(self._fares_worse, sign=sign)
        rules = [
            rule for rule in one.policy.rules if not self.prover.is_impossible(self._leads_to_more(one, other, rule))
        ]
        only_by_one = self.terms.some(self._reached_only_by(one, other, rules, step) for step in STEPS)
        formula = self._meant(only_by_one)
        answer = self.prover.ask(formula, confirms)
        if answer.verdict is Verdict.UNDECIDED:
            found = near_miss(self.prover, [rule.id for rule in rules], confirms)
            return Answer(Verdict.SHOWN, found) if found else answer
        return self.prover.plausible(formula, answer, confirms)

    def _meant(self, formula: Term) -> Term:
        """Only of deals that both answer for, unless there are none, and where the two can differ."""
        return self.terms.every((self.apart or self.both_answer, self.where, formula))

    def _is_meant(self, deal: Witness) -> bool:
        return self.apart or all(does_answer(one) for one in (deal, *deal.beside))

    def _reached_only_by(self, one: Encoder, other: Encoder, rules: list[Rule], step: Outcome) -> Term:
        """When one of the rules leads to so severe an outcome, and no rule of the other does."""
        reached = self.terms.some(one.finding(rule, step) for rule in rules)
        return self.terms.every((reached, self.terms.negated(other.reaches(step))))

    def _leads_to_more(self, one: Encoder, other: Encoder, rule: Rule) -> Term:
        twin = next((found for found in other.policy.rules if found.id == rule.id), None)
        pairs = ((one.finding(rule, step), other.finding(twin, step) if twin else False) for step in STEPS)
        more = self.terms.some(
            self.terms.every((more, self.terms.negated(less)))
            for more, less in pairs
            if not self.terms.alike(more, less)
        )
        return self._meant(more)

    # Deals that they answer for

    def narrower(self) -> Answer:
        return self._answered_only_by(self.first, self.second, first=True)

    def wider(self) -> Answer:
        return self._answered_only_by(self.second, self.first, first=False)

    def _answered_only_by(self, one: Encoder, other: Encoder, *, first: bool) -> Answer:
        def confirms(deal: Witness) -> bool:
            answers = [does_answer(under) is True for under in (deal, *deal.beside)]
            return answers == [first, not first]

        yes, other_yes = answers_for(one).yes, answers_for(other).yes
        formula = self.terms.every((yes, self.terms.negated(other_yes)))
        if self.terms.alike(yes, other_yes):
            return IMPOSSIBLE
        return self.prover.plausible(formula, self.prover.ask(formula, confirms), confirms)


def _severity(deal: Witness) -> int:
    return Outcome(deal.outcome).severity
