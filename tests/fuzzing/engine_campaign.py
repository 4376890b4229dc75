"""A randomized campaign against the engine: random policies, random deals, engine and reference held against each other.

    python tests/fuzzing/engine_campaign.py --seconds 3600 --seed 1

Ends with exit code 1 at the first disagreement, engine failure or unexpected error, and prints the seed that shows it.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import psutil

from dealgate import CompiledPolicy, Deal, Policy, Result
from dealgate.rules.conjunctions import TangledRuleError
from dealgate.rules.fields import facts_of
from dealgate.rules.policy import Rule
from dealgate.rules.tracing import Trace

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzzing.random_policies import Author

RULES = (1, 5, 20, 40, 80, 200, 400)


def walk_rules(compiled: CompiledPolicy, deal: Deal) -> dict[str, Result]:
    """Every rule's result from a plain walk over the tree in fractions: a third opinion, written apart from the other two."""
    facts = facts_of(deal)
    trace = Trace(compiled.policy, facts, compiled.evidence(facts))
    return {rule.id: _walk_rule(rule, trace) for rule in compiled.policy.rules}


def _walk_rule(rule: Rule, trace: Trace) -> Result:
    applies = True if rule.applies is None else trace.value(rule.applies)
    if applies is False:
        return Result.NOT_APPLICABLE
    holds = None if applies is None else trace.value(rule.require)
    if holds is None:
        return Result.NOT_EVALUABLE
    if holds:
        return Result.PASS
    mitigated = rule.mitigated_by is not None and trace.value(rule.mitigated_by.when) is True
    return Result.MITIGATED if mitigated else Result.VIOLATED


def run(seconds: float, seed: int, deals: int) -> Counter[str]:
    """Run whole policies until the time is up; raises `AssertionError` with the seed of a policy that shows a fault."""
    counts: Counter[str] = Counter()
    process = psutil.Process()
    end, told = time.monotonic() + seconds, time.monotonic() + 60
    while time.monotonic() < end:
        author = Author(seed + counts["policies"] + counts["tangled"])
        shown = f"seed {seed + counts['policies'] + counts['tangled']}"
        try:
            policy = Policy.from_text(author.policy(author.random.choice(RULES)))
            compiled = CompiledPolicy(policy)
            compiled.engine  # noqa: B018  builds the rulesets
        except TangledRuleError:
            counts["tangled"] += 1
            continue
        counts["policies"] += 1
        counts["rules"] += len(policy.rules)
        for _ in range(deals):
            deal = Deal.read(author.deal())
            evaluation = compiled.evaluate(deal)
            walked = walk_rules(compiled, deal)
            differing = [finding.rule for finding in evaluation.findings if walked[finding.rule] != finding.result]
            assert not differing, f"{shown}: the walked tree differs on {differing}"
            assert evaluation.engine["agreed"], f"{shown}: {evaluation.findings[-1].explanation}"
            counts["evaluations"] += 1
            counts["results"] += len(evaluation.findings)
            for finding in evaluation.findings:
                counts[finding.result.value] += 1
        if counts["policies"] == 20:
            counts["megabytes after 20 policies"] = process.memory_info().rss >> 20
        if time.monotonic() > told:
            told += 60
            print(dict(counts), f"{process.memory_info().rss >> 20} MB", flush=True)
    counts["megabytes at the end"] = process.memory_info().rss >> 20
    return counts


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--deals", type=int, default=50, help="random deals for each policy")
    given = arguments.parse_args()
    try:
        counts = run(given.seconds, given.seed, given.deals)
    except AssertionError as error:
        print(f"FAULT {error}")
        raise SystemExit(1) from None
    for name, count in counts.items():
        print(f"{name:30} {count:,}")


if __name__ == "__main__":
    main()
