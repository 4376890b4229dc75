"""A randomized campaign against the proofs: what was proved of every deal is held against random deals.

    python tests/fuzzing/proof_campaign.py --deals 100000 --seed 1

Ends with exit code 1 at the first deal that contradicts a proof, and prints the seed and the deal that show it.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dealgate import Deal, Policy, Result
from dealgate.rules.fields import facts_of
from dealgate.rules.proof import Prover, Verdict, Witness

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzzing.random_policies import Author

RULES = (1, 5, 10, 20)


class ContradictionError(AssertionError):
    """A deal that does what was proved impossible."""


def document(author: Author) -> str:
    """A random policy with random guarantees; most of the latter are false, which asks for a counterexample."""
    text = author.policy(author.random.choice(RULES))
    lines = ["guarantees:"]
    for _ in range(4):
        outcome = author.random.choice(("pass", "flag", "refer", "decline"))
        never = f'({author.truth(2)}) and ({author.truth(1)}) and outcome == "{outcome}"'
        lines.append("  - never: '" + never.replace("'", "''") + "'")
    return text + "\n".join(lines) + "\n"


class Claims:
    """Everything that can be proved impossible of one policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.prover = Prover(policy)
        self.counts: Counter[str] = Counter()
        self.results = {
            (rule.id, result)
            for rule in policy.rules
            for result in Result
            if self._is_impossible_result(rule.id, result)
        }
        self.rows = {(limit.name, row) for limit in policy.limits.values() for row in self._impossible_rows(limit.name)}
        self.guarantees = [index for index in range(len(policy.guarantees)) if self._is_proved(index)]

    def _verdict(self, formula: Any, confirms: Any) -> bool:
        verdict = self.prover.ask(formula, confirms).verdict
        self.counts[verdict.value] += 1
        return verdict is Verdict.IMPOSSIBLE

    def _is_impossible_result(self, rule: str, result: Result) -> bool:
        formula = self.prover.encoder.rule(rule)[result]
        return self._verdict(formula, lambda deal: deal.reckoning.results[rule] == result)

    def _impossible_rows(self, limit: str) -> Iterator[int]:
        for row, taken in enumerate(self.prover.encoder.rows(limit)):
            if self._verdict(taken, lambda deal, row=row: deal.reckoning.limits[limit].row == row):
                yield row

    def _is_proved(self, index: int) -> bool:
        never = self.policy.guarantees[index].never
        return self._verdict(self.prover.encoder.truth(never).yes, lambda deal: deal.trace.value(never) is True)

    def contradicted_by(self, deal: Deal, shown: dict[str, Any]) -> list[str]:
        facts = facts_of(deal)
        witness = Witness(self.policy, shown, facts, self.prover.reference(facts))
        found = [
            f"{rule} is {result}"
            for rule, result in witness.reckoning.results.items()
            if (rule, result) in self.results
        ]
        found += [
            f"{name} comes from row {value.row}"
            for name, value in witness.reckoning.limits.items()
            if (name, value.row) in self.rows
        ]
        found += [
            f"guarantee {index} is broken"
            for index in self.guarantees
            if witness.trace.value(self.policy.guarantees[index].never) is True
        ]
        return found


def run(deals: int, seed: int, deals_a_policy: int = 500) -> Counter[str]:
    counts: Counter[str] = Counter()
    while counts["deals"] < deals:
        author = Author(seed + counts["policies"])
        claims = Claims(Policy.from_text(document(author)))
        counts["policies"] += 1
        counts += claims.counts
        for _ in range(deals_a_policy):
            shown = author.deal()
            counts["deals"] += 1
            if found := claims.contradicted_by(Deal.read(shown), shown):
                raise ContradictionError(
                    f"seed {seed + counts['policies'] - 1}: {'; '.join(found)}: {json.dumps(shown)}"
                )
    return counts


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--deals", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    try:
        counts = run(given.deals, given.seed)
    except ContradictionError as error:
        print(f"CONTRADICTION {error}")
        raise SystemExit(1) from None
    for name, count in counts.items():
        print(f"{name:30} {count:,}")


if __name__ == "__main__":
    main()
