"""The examples of a policy: what each expects and gets, and how far all of them together exercise rules and tables."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from dealgate.rules.deal import PartialDeal
from dealgate.rules.evaluation import CompiledPolicy, Evaluation
from dealgate.rules.fields import facts_of
from dealgate.rules.finding import Finding
from dealgate.rules.policy import Example, Limit, Outcome, Policy
from dealgate.rules.reference import Result
from dealgate.rules.tracing import Trace


class Difference(NamedTuple):
    """One thing that an example expects and does not get."""

    what: str
    expected: str
    found: str
    explanation: str = ""

    @property
    def sentence(self) -> str:
        if self.what == "engine":
            return self.explanation
        return f"{'the outcome' if self.what == 'outcome' else self.what} is {self.found}, expected {self.expected}"


class Tried(NamedTuple):
    """One example, evaluated."""

    example: Example
    outcome: str
    results: dict[str, Result]
    rows: dict[str, frozenset[int]]
    differences: tuple[Difference, ...]

    @property
    def holds(self) -> bool:
        return not self.differences


class RowCoverage(NamedTuple):
    """How many examples took a limit from a row. `number` counts from 1; the default stands after the rows."""

    number: int
    name: str
    origin: str
    hits: int


class Coverage(NamedTuple):
    """How often each rule came to each result, and each row gave its limit."""

    rules: dict[str, Counter[Result]]
    rows: dict[str, tuple[RowCoverage, ...]]

    @property
    def rules_both_ways(self) -> int:
        """Rules that some example keeps and another breaks."""
        broken = (Result.VIOLATED, Result.MITIGATED)
        return sum(
            bool(results[Result.PASS]) and any(results[result] for result in broken) for results in self.rules.values()
        )

    @property
    def never_hit(self) -> list[tuple[str, RowCoverage]]:
        return [(limit, row) for limit, rows in self.rows.items() for row in rows if not row.hits]


def try_examples(compiled: CompiledPolicy, examples: Iterable[Example] | None = None) -> list[Tried]:
    """Evaluate the policy's examples, or others. What does not hold is told, not raised."""
    return [_tried(compiled, example) for example in (compiled.policy.examples if examples is None else examples)]


def coverage_of(policy: Policy, tried: Sequence[Tried]) -> Coverage:
    rules = {rule.id: Counter(one.results[rule.id] for one in tried) for rule in policy.rules}
    rows = {
        name: tuple(
            RowCoverage(index + 1, row_name(limit, index), row.origin, sum(index in one.rows[name] for one in tried))
            for index, row in enumerate(limit.all_rows)
        )
        for name, limit in policy.limits.items()
    }
    return Coverage(rules, rows)


def row_name(limit: Limit, index: int) -> str:
    return "default" if index == len(limit.rows) else f"row {index + 1}"


def rows_hit(limit: Limit, trace: Trace) -> frozenset[int]:
    """The rows that the limit rests on, from 0: one, or with `collect` perhaps several; none where it is unknown."""
    value = trace.reckoning.limits[limit.name]
    if value.numerator is None:
        return frozenset()
    if limit.hit_policy == "first":
        return frozenset({value.row})
    holding = [index for index, row in enumerate(limit.rows) if row.when is None or trace.value(row.when)]
    if limit.default and not holding:
        holding = [len(limit.rows)]
    return frozenset(holding)


def _tried(compiled: CompiledPolicy, example: Example) -> Tried:
    deal = PartialDeal.read(example.deal)
    evaluation = compiled.evaluate(deal)
    facts = facts_of(deal)
    trace = Trace(compiled.policy, facts, compiled.evidence(facts))
    return Tried(
        example,
        evaluation.outcome.value,
        {rule.id: trace.reckoning.results[rule.id] for rule in compiled.policy.rules},
        {name: rows_hit(limit, trace) for name, limit in compiled.policy.limits.items()},
        tuple(differences(evaluation, example)),
    )


def differences(evaluation: Evaluation, example: Example) -> Iterable[Difference]:
    """Outcome, rules in the policy's order, measures: what is expected and did not come about."""
    expect = example.expect
    if not evaluation.engine["agreed"]:
        yield Difference("engine", "agreement", "doubt", evaluation.findings[-1].explanation)
    if "outcome" in expect and expect["outcome"] != evaluation.outcome:
        yield Difference("outcome", expect["outcome"], evaluation.outcome.value, _decisive(evaluation))
    for finding in evaluation.findings:
        yield from _rule_difference(finding, expect)
    for name, value in expect.get("measures", {}).items():
        found = evaluation.measures[name]["value"]
        if found != value:
            yield Difference(name, _shown(value), _shown(found))


def _decisive(evaluation: Evaluation) -> str:
    """The rules behind an outcome."""
    rules = [finding.rule for finding in evaluation.findings if finding.severity == evaluation.outcome]
    return "" if evaluation.outcome == Outcome.PASS else f"because of {', '.join(rules)}"


def _rule_difference(finding: Finding, expect: Any) -> Iterable[Difference]:
    """A list in `expect` is complete: a rule that it leaves out must not come to that result."""
    wanted = [result for result in Result for rule in expect.get(result.value, ()) if rule == finding.rule]
    if wanted:
        if wanted != [finding.result]:
            words = " and ".join(_words(result) for result in wanted)
            yield Difference(finding.rule, words, _words(finding.result), finding.explanation)
    elif finding.result.value in expect:
        words = f"not {_words(finding.result)}"
        yield Difference(finding.rule, words, _words(finding.result), finding.explanation)


def _words(result: Result) -> str:
    return result.value.replace("_", " ")


def _shown(value: object) -> str:
    return "unknown" if value is None else str(value)
