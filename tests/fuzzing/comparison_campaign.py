"""A randomized campaign against comparisons: what was proved of two policies is held against random deals under both.

    python tests/fuzzing/comparison_campaign.py --deals 100000 --seed 1

Beside random deals, those are tried that lie on both sides of where each rule turns.

Ends with exit code 1 at the first deal that contradicts a proof, and prints the seed and the deal that show it.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from dealgate import CompiledPolicy, Deal, Policy, evaluate
from dealgate.rules import near_misses
from dealgate.rules.comparison import Effect, compare
from dealgate.rules.fields import facts_of
from dealgate.rules.near_misses import near_miss
from dealgate.rules.policy import Outcome
from dealgate.rules.program_proofs import does_answer
from dealgate.rules.programs import applies
from dealgate.rules.proof import Prover, Verdict, Witness
from dealgate.rules.reference import compile_reference

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzzing.random_policies import Author

RULES = (1, 3, 6)

Document = dict[str, Any]


class ContradictionError(AssertionError):
    """A deal that does what was proved impossible, or a witness that shows nothing."""


# Pairs of policies: the second is the first, edited once or a few times


def edited(author: Author, first: Policy) -> Policy:
    content: Document = json.loads(first.canonical)
    for _ in range(author.random.choice((1, 1, 2, 3))):
        author.random.choice(EDITS)(author, content)
    return Policy.from_text(json.dumps(content))


def _another_limit(author: Author, content: Document) -> None:
    limit = _any_limit(author.random, content)
    author.random.choice(limit["rows"])["limit"] = author.literal(limit["unit"])


def _another_condition(author: Author, content: Document) -> None:
    row = author.random.choice(_any_limit(author.random, content)["rows"])
    if "when" in row:
        row["when"] = author.truth(2, limits=False)


def _other_order(author: Author, content: Document) -> None:
    rows = _any_limit(author.random, content)["rows"]
    rows[:-1] = author.random.sample(rows[:-1], len(rows) - 1)


def _row_more(author: Author, content: Document) -> None:
    limit = _any_limit(author.random, content)
    row = {"when": author.truth(1, limits=False), "limit": author.literal(limit["unit"])}
    limit["rows"].insert(author.random.randrange(len(limit["rows"])), row)


def _row_less(author: Author, content: Document) -> None:
    rows = _any_limit(author.random, content)["rows"]
    if len(rows) > 1:
        del rows[author.random.randrange(len(rows) - 1)]


def _other_requirement(author: Author, content: Document) -> None:
    author.random.choice(content["rules"])["require"] = author.truth(3)


def _refactored(author: Author, content: Document) -> None:
    """The same in other words."""
    rule = author.random.choice(content["rules"])
    rule["require"] = f"not (not ({rule['require']}))"
    content["measures"]["amount_financed"]["formula"] = (
        "cash_price - (cash_down + rebate + prepaid_finance_charge) + (sales_tax + title_and_registration + doc_fee)"
        " + products_total - (trade_allowance - trade_payoff)"
    )


def _other_outcome(author: Author, content: Document) -> None:
    rule = author.random.choice(content["rules"])
    rule["otherwise"] = author.random.choice(("refer", "decline"))


def _rule_less(author: Author, content: Document) -> None:
    rules = content["rules"]
    last = rules[-1]["id"]  # the others cannot rest on it
    content["rules"] = [rule for rule in rules if rule["id"] != last] or rules


def _rule_more(author: Author, content: Document) -> None:
    rule = {"id": "MORE", "title": "More", "require": author.truth(2), "otherwise": "refer", "reason": "Random"}
    content["rules"] = [*(other for other in content["rules"] if other["id"] != "MORE"), rule]


def _other_assumption(author: Author, content: Document) -> None:
    match author.random.randrange(3):
        case 0:
            content["on_unknown"] = "decline"
        case 1:
            content["collateral_value"]["used"].reverse()
        case 2:
            content["measures"]["total_ltv"]["formula"] = "front_end_amount / collateral_value"


def _other_deals(author: Author, content: Document) -> None:
    content["applies_to"] = author.random.choice(('tier in ["A", "B"]', 'state == "TX"', "mileage < 50000"))


EDITS: tuple[Callable[[Author, Document], None], ...] = (
    _another_limit, _another_condition, _other_order, _row_more, _row_less, _other_requirement, _refactored, _other_outcome,
    _rule_less, _rule_more, _other_assumption, _other_deals,
)  # fmt: skip


def _any_limit(random: Random, content: Document) -> Document:
    limit: Document = content["limits"][random.choice(sorted(content["limits"]))]
    return limit


# What was claimed, held against deals


class Claims:
    """What was proved of a policy and another, and of each change alone; every witness is confirmed at once."""

    def __init__(self, first: Policy, second: Policy) -> None:
        self.comparison = compare(first, second)
        self.pairs = [("overall", first, second, self.comparison.effect)]
        for marked in self.comparison.changes:
            if marked.change.alone:
                self.pairs.append((marked.change.words, first, marked.change.alone.policy, marked.effect))
        self.references = {id(policy): compile_reference(policy) for pair in self.pairs for policy in pair[1:3]}
        for words, one, other, effect in self.pairs:
            self._confirm(words, one, other, effect)

    def _confirm(self, words: str, first: Policy, second: Policy, effect: Effect) -> None:
        """By the engine and the reference together, as at a submission."""
        for answer, sign in zip(effect, (1, -1), strict=True):
            if answer.witness:
                outcomes = [_decided(policy, answer.witness.document) for policy in (first, second)]
                if sign * (outcomes[1].severity - outcomes[0].severity) <= 0:
                    raise ContradictionError(f"{words}: {outcomes} do not show it: {answer.witness.document}")

    def contradicted_nearby(self) -> list[str]:
        """Deals around every turn of every rule, where two policies would differ if they did."""
        found = []
        for words, first, second, effect in self.pairs:
            rules = list(dict.fromkeys(rule.id for rule in (*first.rules, *second.rules)))
            for answer, sign in zip(effect, (1, -1), strict=True):
                if answer.verdict is Verdict.IMPOSSIBLE:
                    deal = near_miss(Prover(first, second), rules, partial(self._fares_worse, sign=sign))
                    found += [f"{words}: {json.dumps(deal.document)}"] if deal else []
        return found

    def _fares_worse(self, deal: Witness, sign: int) -> bool:
        is_meant = self.comparison.apart or all(does_answer(one) for one in (deal, *deal.beside))
        return is_meant and sign * (Outcome(deal.beside[0].outcome).severity - Outcome(deal.outcome).severity) > 0

    def contradicted_by(self, deal: Deal) -> list[str]:
        facts = facts_of(deal)
        outcomes = {}
        found = []
        for words, first, second, effect in self.pairs:
            if not self.comparison.apart and not all(applies(policy, deal) for policy in (first, second)):
                continue
            for policy in (first, second):
                if id(policy) not in outcomes:
                    outcomes[id(policy)] = policy.outcome(self.references[id(policy)](facts).results)
            worse = outcomes[id(second)].severity - outcomes[id(first)].severity
            if worse > 0 and effect.tighter.verdict is Verdict.IMPOSSIBLE:
                found.append(f"{words}: fares worse")
            if worse < 0 and effect.looser.verdict is Verdict.IMPOSSIBLE:
                found.append(f"{words}: fares better")
        return found


def _decided(policy: Policy, document: Any) -> Outcome:
    evaluation = evaluate(Deal.read(document), CompiledPolicy(policy))
    assert evaluation.engine["agreed"]
    return evaluation.outcome


def run(deals: int, seed: int, deals_a_pair: int = 500) -> Counter[str]:
    counts: Counter[str] = Counter()
    while counts["deals"] < deals:
        author = Author(seed + counts["pairs"])
        first = Policy.from_text(author.policy(author.random.choice(RULES)))
        claims = Claims(first, edited(author, first))
        counts["pairs"] += 1
        counts["changes"] += len(claims.comparison.changes)
        counts["equivalent"] += claims.comparison.is_equivalent
        for _, _, _, effect in claims.pairs:
            counts[effect.mark.value] += 1
        if nearby := claims.contradicted_nearby():
            raise ContradictionError(f"seed {seed + counts['pairs'] - 1}: {'; '.join(nearby)}")
        for _ in range(deals_a_pair):
            shown = author.deal()
            counts["deals"] += 1
            if found := claims.contradicted_by(Deal.read(shown)):
                raise ContradictionError(f"seed {seed + counts['pairs'] - 1}: {'; '.join(found)}: {json.dumps(shown)}")
    return counts


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--deals", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    near_misses.MOST_EVALUATIONS = 2_000
    try:
        counts = run(given.deals, given.seed)
    except ContradictionError as error:
        print(f"CONTRADICTION {error}")
        raise SystemExit(1) from None
    for name, count in counts.items():
        print(f"{name:30} {count:,}")


if __name__ == "__main__":
    main()
