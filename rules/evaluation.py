"""One deal under one policy: the engine and the reference side by side, and the evidence."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Protocol

from dealgate.rules.amounts import hundredths, percent
from dealgate.rules.deal import Deal, PartialDeal
from dealgate.rules.decision import Evaluation, Evidence, ExactMeasure, Finding, principal_reasons
from dealgate.rules.engine import Engine, installed_version
from dealgate.rules.explanation import Explainer, is_share_of_money
from dealgate.rules.expressions import MeasureName
from dealgate.rules.fields import Facts, Unit, facts_of
from dealgate.rules.policy import Outcome, Policy
from dealgate.rules.reading import ENGINE_DISAGREEMENT, ENGINE_FAILURE
from dealgate.rules.reference import Reckoning, Result, Value, compile_reference
from dealgate.rules.tracing import Trace

VERSIONS = {"dealgate": version("dealgate"), "durable_rules": installed_version()}


class EvaluatesRules(Protocol):
    """What the evaluation asks of an engine."""

    def evaluate(self, facts: Facts, reckoning: Reckoning) -> dict[str, Result]: ...


class CompiledPolicy:
    """A policy version ready to evaluate deals: compiled once, used for every deal, by any number of threads."""

    def __init__(self, policy: Policy, engine: Callable[[Policy], EvaluatesRules] = Engine) -> None:
        self.policy = policy
        self.reference = compile_reference(policy)
        self.explainers = [Explainer(rule, policy) for rule in policy.rules]
        self.shares_of_money = {name for name, measure in policy.measures.items() if is_share_of_money(measure)}
        self.engine = engine(policy)

    def evaluate(self, deal: PartialDeal) -> Evaluation:
        """Evaluate a deal. Never raises for what the engine does: that becomes a finding which refers the deal."""
        facts = facts_of(deal)
        reckoning = self.reference(facts)
        trace = Trace(self.policy, facts, reckoning)
        findings = tuple(
            explainer.finding(reckoning.results[explainer.rule.id], trace) for explainer in self.explainers
        )
        doubt = self._doubt(facts, reckoning)
        if doubt is not None:
            findings = (*findings, doubt)
        return Evaluation(
            policy={"name": self.policy.name, "version": self.policy.version, "sha256": self.policy.sha256},
            outcome=Outcome.most_severe(finding.severity for finding in findings),
            measures={name: self._measure(name, value, trace) for name, value in reckoning.measures.items()},
            findings=findings,
            reasons=principal_reasons(findings),
            unknown=tuple(dict.fromkeys(name for finding in findings for name in finding.missing)),
            engine={**VERSIONS, "agreed": doubt is None},
            exact_measures={
                name: ExactMeasure(value.numerator, value.denominator) for name, value in reckoning.measures.items()
            },
        )

    def _doubt(self, facts: Facts, reckoning: Reckoning) -> Finding | None:
        """The finding that refers the deal when the engine fails or differs from the reference in any rule."""
        try:
            seen = self.engine.evaluate(facts, reckoning)
        except Exception as error:
            return _engine_finding(ENGINE_FAILURE, f"The rules engine failed ({type(error).__name__}: {error}).")
        differing = [rule for rule, result in reckoning.results.items() if seen.get(rule) != result]
        if not differing and len(seen) == len(reckoning.results):
            return None
        words = ", ".join(
            f"{rule} ({seen.get(rule, 'nothing')} against {reckoning.results[rule]})" for rule in differing
        )
        return _engine_finding(
            ENGINE_DISAGREEMENT,
            f"The rules engine and the reference evaluation differ on {words or 'the set of rules'}.",
        )

    def _measure(self, name: str, value: Value, trace: Trace) -> Mapping[str, Any]:
        measure = self.policy.measures[name]
        document: dict[str, Any] = {"unit": measure.unit.value, "value": None}
        if value.numerator is None:
            return document | {"missing": trace.missing(MeasureName(name, measure.unit))}
        if measure.unit == Unit.MONEY:
            return document | {"value": hundredths(value.numerator)}
        if measure.unit == Unit.COUNT:
            return document | {"value": value.numerator}
        shown = hundredths if name in self.shares_of_money else str
        ratio = {"numerator": shown(value.numerator), "denominator": shown(value.denominator)}
        return document | {"value": percent(value.numerator, value.denominator)} | ratio


def _engine_finding(rule: str, explanation: str) -> Finding:
    evidence = Evidence(f"{explanation} The deal is referred; a person decides.")
    title = "The rules engine confirms every result"
    return Finding(rule, title, Result.NOT_EVALUABLE, Outcome.REFER, None, (), (), False, lambda: evidence)


def evaluate(deal: PartialDeal | Mapping[str, Any], policy: Policy | CompiledPolicy) -> Evaluation:
    """Evaluate a deal, given as a `Deal` or as a document, under a policy. Stores nothing.

    Compile the policy once with `CompiledPolicy` when there are many deals. Raises `DealError` for a bad document.
    """
    compiled = policy if isinstance(policy, CompiledPolicy) else CompiledPolicy(policy)
    return compiled.evaluate(deal if isinstance(deal, PartialDeal) else Deal.read(deal))
