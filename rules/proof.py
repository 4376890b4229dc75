"""Questions about every possible deal, and answers that claim no more than was shown.

Impossible: no deal does it, by proof. Shown: here is one that does, and the reference evaluator agrees. Undecided: neither.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from dealgate.rules.any_deal import ITEMS, AnyDeal
from dealgate.rules.deal import Deal, DealError
from dealgate.rules.encoding import Encoder
from dealgate.rules.fields import Facts, facts_of
from dealgate.rules.policy import Policy
from dealgate.rules.reference import Reckoning, compile_reference
from dealgate.rules.smt import Term, Terms
from dealgate.rules.tracing import Trace
from dealgate.rules.vocabulary import words_of

EFFORT = 3_000_000
"""What one query may cost in z3's own count of steps: the same on every machine."""

LONGEST_QUERY = 2_000
"""Milliseconds after which a query is given up whatever the count says, for some of z3's steps take long and count little.

Whether one of those is decided depends on the machine; what is decided never does.
"""

WORK = 5_000_000
"""What all queries on one policy may cost, a query counted as the facts it is held against: about a minute."""

SPENT = "the effort for one policy is spent"

ROUNDS = 6
"""How often a free value is put right before the question is left undecided."""

GIVE_UPS = 2
"""How often the solver may give up near deals that it came upon before the question is left undecided."""

GAVE_UP = "the solver gave up at its limit of effort"


class Verdict(StrEnum):
    IMPOSSIBLE = "impossible"
    SHOWN = "shown"
    UNDECIDED = "undecided"


class Witness:
    """One deal and what the reference makes of it; `beside` is the same deal under each other policy."""

    def __init__(
        self,
        policy: Policy,
        document: Mapping[str, Any],
        facts: Facts,
        reckoning: Reckoning,
        beside: "tuple[Witness, ...]" = (),
    ) -> None:
        self.policy = policy
        self.document = document
        self.facts = facts
        self.reckoning = reckoning
        self.beside = beside

    @cached_property
    def trace(self) -> Trace:
        return Trace(self.policy, self.facts, self.reckoning)

    @cached_property
    def outcome(self) -> str:
        return self.policy.outcome(self.reckoning.results).value


Confirms = Callable[[Witness], bool]


class Answer(NamedTuple):
    verdict: Verdict
    witness: Witness | None = None
    why: str = ""
    """Why a question is undecided."""


IMPOSSIBLE = Answer(Verdict.IMPOSSIBLE)


class Prover:
    """One policy over every possible deal, or several of which questions are asked together."""

    def __init__(self, policy: Policy, *others: Policy, work: int | None = None) -> None:
        """`work` is what all queries may cost together, `WORK` when it is not given."""
        self.policy = policy
        self.work_left = WORK if work is None else work
        self.terms = Terms()
        self.deal = AnyDeal(self.terms, words_of(policy, *others))
        self.encoder = Encoder(policy, self.terms, self.deal)
        self.beside = [Encoder(other, self.terms, self.deal, beside=self.encoder) for other in others]
        self.reference = compile_reference(policy)
        self.references = [(other, compile_reference(other)) for other in others]
        self.witnesses: list[Witness] = []
        self.unconfirmed: list[Witness] = []
        """Deals that the solver came upon and that evaluating did not confirm: places to look around."""
        self._solver = self.terms.z3.Solver(ctx=self.terms.context)
        self._solver.set("rlimit", EFFORT)
        self._solver.set("timeout", LONGEST_QUERY)
        self._facts = self._give_ups = 0

    def evaluate(self, document: Mapping[str, Any]) -> Witness | None:
        """A deal held against the policies; None for a document that is no deal."""
        try:
            facts = facts_of(Deal.read(document))
        except DealError:
            return None
        beside = (Witness(other, document, facts, reference(facts)) for other, reference in self.references)
        return Witness(self.policy, document, facts, self.reference(facts), tuple(beside))

    def ask(self, formula: Term, confirms: Confirms) -> Answer:
        """Whether some deal makes a formula true; `confirms` asks the same of a deal that was evaluated."""
        if formula is False:
            return IMPOSSIBLE
        if self.work_left < 0:
            return Answer(Verdict.UNDECIDED, why=SPENT)
        short = self.deal.short_lists()
        answer = self._search([formula, short], confirms)
        if short is True or answer.verdict is Verdict.SHOWN:
            return answer
        longer = self._search([formula], confirms)
        if longer.verdict is not Verdict.UNDECIDED or answer.verdict is Verdict.UNDECIDED:
            return longer
        why = f"no deal with at most {ITEMS} trade-ins and {ITEMS} products does; for longer lists it could not be decided"
        return longer._replace(why=why)

    def is_impossible(self, formula: Term) -> bool:
        """Whether it is proved that no deal makes a formula true."""
        if isinstance(formula, bool) or self.work_left < 0:
            return formula is False
        self._state_facts()
        self._solver.push()
        self._solver.add(formula)
        impossible: bool = self._solver.check() == self.terms.z3.unsat
        self._solver.pop()
        return impossible

    def _state_facts(self) -> None:
        self._solver.add(self.terms.facts[self._facts :])
        self._facts = len(self.terms.facts)
        self.work_left -= self._facts

    def _search(self, wanted: Iterable[Term], confirms: Confirms) -> Answer:
        wanted = [formula for formula in wanted if formula is not True]
        if False in [formula for formula in wanted if isinstance(formula, bool)]:
            return IMPOSSIBLE
        self._state_facts()
        self._give_ups = 0
        self._solver.push()
        self._solver.add(wanted)
        try:
            return self._find(self.terms.every(wanted), confirms, ROUNDS)
        finally:
            self._solver.pop()

    def _find(self, formula: Term, confirms: Confirms, rounds: int) -> Answer:
        """Look for a model that the reference confirms, putting free values right where they stand in the way."""
        for _ in range(rounds):
            found = self._solver.check()
            if found == self.terms.z3.unsat:
                return IMPOSSIBLE
            if found != self.terms.z3.sat:
                return Answer(Verdict.UNDECIDED, why=GAVE_UP)
            model = self._solver.model()
            if witness := self._confirmed(model, confirms):
                return Answer(Verdict.SHOWN, witness)
            mends = [mend for free in self.terms.free_in(formula) if (mend := free.mend(self.terms, model))]
            if not mends:
                return Answer(Verdict.UNDECIDED, why="the deal that was found is not confirmed by evaluating it")
            for mend in mends:
                self.terms.hold(mend.lemma)
                self._solver.add(mend.lemma)
            for turn in range(max(len(mend.pins) for mend in mends)):
                pins = [mend.pins[min(turn, len(mend.pins) - 1)] for mend in mends]
                if (pinned := self._find_pinned(pins, formula, confirms)) is not None:
                    return pinned
                if self._give_ups == GIVE_UPS:
                    return Answer(Verdict.UNDECIDED, why=GAVE_UP)
        return Answer(Verdict.UNDECIDED, why="it rests on arithmetic that is not linear")

    def _confirmed(self, model: Any, confirms: Confirms) -> Witness | None:
        """The deal of a model, if evaluating it confirms what the model says."""
        witness = self.evaluate(self.deal.document(model))
        is_confirmed = witness is not None and confirms(witness)
        if witness:
            (self.witnesses if is_confirmed else self.unconfirmed).append(witness)
        return witness if is_confirmed else None

    def _find_pinned(self, pins: list[Term], formula: Term, confirms: Confirms) -> Answer | None:
        """Look where the free values were just put right: there arithmetic is linear."""
        self._solver.push()
        self._solver.add(pins)
        try:
            for _ in range(ROUNDS):
                found = self._solver.check()
                if found != self.terms.z3.sat:
                    self._give_ups += found == self.terms.z3.unknown
                    return None
                model = self._solver.model()
                if witness := self._confirmed(model, confirms):
                    return Answer(Verdict.SHOWN, witness)
                mends = [mend for free in self.terms.free_in(formula) if (mend := free.mend(self.terms, model))]
                if not mends:
                    return None
                for mend in mends:
                    self.terms.hold(mend.lemma)
                    self._solver.add(mend.lemma, mend.pins[0])
            return None
        finally:
            self._solver.pop()

    def plausible(self, formula: Term, answer: Answer, confirms: Confirms) -> Answer:
        """The same answer with a witness that looks like an everyday deal, as far as the formula allows."""
        if answer.witness is None:
            return answer
        wishes = self.deal.wishes()
        self._state_facts()
        self._solver.push()
        try:
            short = self.deal.short_lists()
            self._solver.add([term for term in (formula, short) if not isinstance(term, bool)])
            while wishes and (found := self._solver.check(*wishes)) != self.terms.z3.sat:
                refused = (
                    {term.get_id() for term in self._solver.unsat_core()} if found == self.terms.z3.unsat else set()
                )
                if not refused:
                    return answer
                last = max(index for index, name in enumerate(wishes) if name.get_id() in refused)
                del wishes[last]
            if not wishes:
                return answer
            self._solver.add(wishes)
            better = self._find(self.terms.every((formula, short)), confirms, 2)
            return better if better.verdict is Verdict.SHOWN else answer
        finally:
            self._solver.pop()
