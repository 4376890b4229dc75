"""Who takes part: dealgate in its several uses, and the same rules by hand as the floor."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dealgate import CompiledPolicy, Deal, Result
from dealgate.rules.evaluation import Evaluation
from dealgate.rules.fields import facts_of
from dealgate.rules.reference import Reckoning
from tests.benchmarks.deals import Deals, PlainFacts, measures_by_hand
from tests.benchmarks.workload import PlainRule, Workload


@dataclass(frozen=True)
class Contender:
    """One way to hold a deal against the policy: what is timed is `call` on one of the inputs, one input a deal."""

    name: str
    call: Callable[[Any], Any]
    inputs: Sequence[Any]
    violated: Callable[[Any], frozenset[str]]
    """Reads the violated rules off an answer; not timed."""

    def check(self, expected: frozenset[str]) -> None:
        """Raise `AssertionError` unless every deal breaks exactly the expected rules."""
        for number, given in enumerate(self.inputs):
            found = self.violated(self.call(given))
            assert found == expected, f"{self.name}, deal {number}: {sorted(found ^ expected)} differ"


DEALGATE = "dealgate"
UNREAD = "dealgate, evidence not read"
TO_JSON = "dealgate, to the JSON decision"
REFERENCE = "dealgate, reference alone"
REFERENCE_ON_FACTS = "dealgate, reference on laid-out facts"
BY_HAND = "Python by hand"
BY_HAND_WITH_MEASURES = "Python by hand, measures too"
MEASURES_BY_HAND = "Python by hand, measures alone"

WHAT = {
    DEALGATE: "`CompiledPolicy.evaluate` and every finding's evidence: engine and reference, agreement, measures, sentences",
    UNREAD: "`CompiledPolicy.evaluate` alone: engine, reference, agreement, outcome; words are drawn from exact values when read",
    TO_JSON: "`evaluate`, `.document()` and `json.dumps`: what is printed and stored",
    REFERENCE: "`facts_of` and the compiled reference: measures, limits and every rule's result, no engine, no evidence",
    REFERENCE_ON_FACTS: "the compiled reference on facts that are laid out already, as a search for cures asks it time and again",
    BY_HAND: "a function of plain `if`s on the finished facts: the floor",
    BY_HAND_WITH_MEASURES: "the same after computing the measures and looking up the limits from the deal",
    MEASURES_BY_HAND: "the eleven measures from the deal and no rule at all",
}


def rotation(deals: Deals, workload: Workload) -> list[PlainFacts]:
    return [workload.facts(measured) for measured in deals.measured]


def dealgate_contenders(deals: Deals, workload: Workload) -> list[Contender]:
    compiled = CompiledPolicy(workload.read_policy())

    def with_evidence(deal: Deal) -> Evaluation:
        evaluation = compiled.evaluate(deal)
        for finding in evaluation.findings:
            finding.evidence  # noqa: B018  it is put into words here
        return evaluation

    def to_json(deal: Deal) -> str:
        return json.dumps(compiled.evaluate(deal).document())

    def reference(deal: Deal) -> Reckoning:
        return compiled.reference(facts_of(deal))

    rotating = deals.deals
    return [
        Contender(DEALGATE, with_evidence, rotating, violated_findings),
        Contender(UNREAD, compiled.evaluate, rotating, violated_findings),
        Contender(TO_JSON, to_json, rotating, _violated_in_json),
        Contender(REFERENCE, reference, rotating, _violated_results),
        Contender(REFERENCE_ON_FACTS, compiled.reference, list(map(facts_of, rotating)), _violated_results),
    ]


def violated_findings(evaluation: Evaluation) -> frozenset[str]:
    assert evaluation.engine["agreed"], evaluation.findings[-1].explanation
    return frozenset(finding.rule for finding in evaluation.findings if finding.result is Result.VIOLATED)


def _violated_in_json(text: str) -> frozenset[str]:
    document = json.loads(text)
    assert document["engine"]["agreed"]
    return frozenset(finding["rule"] for finding in document["findings"] if finding["result"] == "violated")


def _violated_results(reckoning: Reckoning) -> frozenset[str]:
    return frozenset(rule for rule, result in reckoning.results.items() if result is Result.VIOLATED)


def by_hand_contenders(deals: Deals, workload: Workload) -> list[Contender]:
    check = write_by_hand(workload.rules)

    def from_the_deal(deal: Deal) -> list[str]:
        return check(workload.facts(measures_by_hand(deal)))

    def judged(measured: PlainFacts) -> frozenset[str]:
        return frozenset(check(workload.facts(measured)))

    return [
        Contender(BY_HAND, check, rotation(deals, workload), frozenset),
        Contender(BY_HAND_WITH_MEASURES, from_the_deal, deals.deals, frozenset),
        Contender(MEASURES_BY_HAND, measures_by_hand, deals.deals, judged),
    ]


def write_by_hand(rules: Sequence[PlainRule]) -> Callable[[PlainFacts], list[str]]:
    """The function somebody would write: measures in local names, one `if` a rule."""
    names = dict.fromkeys(breach.measure for rule in rules for breach in rule.breaches)
    lines = ["def check(facts):", "    found = []", '    condition = facts["condition"]']
    lines += [f'    {name} = facts["{name}"]' for name in names]
    for rule in rules:
        tests = [
            f"{breach.measure} {breach.operator} "
            + (f'facts["{breach.limit}"]' if isinstance(breach.limit, str) else str(breach.limit))
            for breach in rule.breaches
        ]
        if rule.condition:
            tests.append(f'condition == "{rule.condition}"')
        lines += [f"    if {' and '.join(tests)}:", f'        found.append("{rule.rule}")']
    lines.append("    return found")
    scope: dict[str, Any] = {}
    exec("\n".join(lines), scope)
    check: Callable[[PlainFacts], list[str]] = scope["check"]
    return check
