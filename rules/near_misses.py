"""Deals near where a rule turns from kept to broken, looked at where the proofs gave up.

A deal that just breaks a rule lies there, and so does one that two policies tell apart: between where the one turns and where the
other does. What is found was evaluated; that nothing is found shows nothing.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import product
from typing import Any

from dealgate.rules.amounts import MAX_CENTS, half_up, hundredths
from dealgate.rules.boundaries import crossing
from dealgate.rules.deal_steps import Document, Step, numbers_read, starting_deals, steps_of
from dealgate.rules.fields import Unit
from dealgate.rules.proof import Confirms, Prover, Witness
from dealgate.rules.reference import Result

AMOUNT = re.compile(r"\d+\.\d\d", re.ASCII)
NO_MONEY = {"apr_percent", "deal_id", "dealer_id", "basis", "metadata"}

USUAL = {"deal_id": "witness", "submitted_on": "2026-11-20", "term_months": 60}
"""What an example may leave out, and a deal may not."""

MOST_STARTS = 60
MOST_EVALUATIONS = 30_000
"""Of one search: a few seconds."""

WORK_OF_ONE = 8
"""What an evaluation counts against the effort for all queries: it takes about as long as so many facts."""

BROKEN = (Result.VIOLATED, Result.MITIGATED)
KEPT = (Result.PASS, Result.NOT_APPLICABLE)


def near_miss(prover: Prover, rules: Collection[str], confirms: Confirms) -> Witness | None:
    """A deal that `confirms`, near where one of the rules turns under any of the prover's policies."""
    search = _Search(prover)
    for deal in search.deals(rules):
        witness = prover.evaluate(deal)
        if witness and confirms(witness):
            prover.witnesses.append(witness)
            return witness
    return None


class Scale(Step):
    """A whole deal made smaller or larger, in ten-thousandths: shares stay as they are, and amounts come near their limits."""

    def number(self, deal: Document) -> int:
        return 10_000

    def moved(self, deal: Document, number: int) -> Document:
        scaled: Document = _scaled(deal, number)
        return scaled


WHOLE_DEAL = Scale((), Unit.COUNT, 1_000, 1_000_000)


def _scaled(part: Any, number: int) -> Any:
    """The amounts of money, which are the texts with two places."""
    if isinstance(part, Mapping):
        return {name: _scaled(value, number) if name not in NO_MONEY else value for name, value in part.items()}
    if isinstance(part, list):
        return [_scaled(item, number) for item in part]
    if isinstance(part, str) and AMOUNT.fullmatch(part):
        return hundredths(min(MAX_CENTS, half_up(int(part.replace(".", "")) * number, 10_000)))
    return part


class _Search:
    def __init__(self, prover: Prover) -> None:
        self.prover = prover
        self.policies = (prover.policy, *(policy for policy, _ in prover.references))
        self.evaluations = 0

    def deals(self, rules: Collection[str]) -> Iterator[Document]:
        """First deals to start from, then those where a rule turns as one of their numbers is moved."""
        starts = self._starts()
        yield from starts
        for start, rule, side in product(starts, rules, range(len(self.policies))):
            if not any(one.id == rule for one in self.policies[side].rules):
                continue
            for step in (WHOLE_DEAL, *steps_of(start, self._numbers(rule))):
                yield from self._turns(start, step, side, rule)
                if self.evaluations > MOST_EVALUATIONS:
                    return

    def _starts(self) -> list[Document]:
        """The deals of the examples, plain ones, and what the solver came upon."""
        found: list[Document] = [{**USUAL, **deal} for policy in self.policies for deal in starting_deals(policy)]
        found += [witness.document for witness in self.prover.unconfirmed]
        return [deal for deal in found if self.prover.evaluate(deal)][:MOST_STARTS]

    def _numbers(self, rule: str) -> frozenset[str]:
        read = [
            numbers_read(policy, *one.expressions())
            for policy in self.policies
            for one in policy.rules
            if one.id == rule
        ]
        return frozenset().union(*read)

    def _turns(self, deal: Document, step: Step, side: int, rule: str) -> Iterator[Document]:
        """The deals on both sides of where a rule turns as one number is moved."""

        def sign(number: int) -> int | None:
            self.evaluations += 1
            self.prover.work_left -= WORK_OF_ONE
            found = self.prover.evaluate(step.moved(deal, number))
            result = (found, *found.beside)[side].reckoning.results[rule] if found else None
            return 1 if result in BROKEN else -1 if result in KEPT else None

        numbers = crossing(sign, step, step.number(deal))
        yield from (step.moved(deal, number) for number in numbers if number is not None)
