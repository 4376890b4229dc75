"""One deal under one policy: the engine and the reference side by side, and the evidence."""

from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.metadata import version
from typing import Any, NamedTuple, Protocol

from dealgate.rules.amounts import hundredths, percent
from dealgate.rules.comparing import Sides, is_share_of_money
from dealgate.rules.cures import Cures, find_cures
from dealgate.rules.deal import Deal, PartialDeal
from dealgate.rules.engine import Engine, installed_version
from dealgate.rules.explanation import Explainer
from dealgate.rules.expressions import MeasureName
from dealgate.rules.fields import Facts, Unit, facts_of
from dealgate.rules.finding import Evidence, Finding, principal_reasons
from dealgate.rules.levers import REACHES
from dealgate.rules.policy import Outcome, Policy
from dealgate.rules.privacy import PersonalParts, personal_parts
from dealgate.rules.ranging import Ranging
from dealgate.rules.reading import ENGINE_DISAGREEMENT, ENGINE_FAILURE
from dealgate.rules.reference import Reckoning, Result, Value, compile_reference
from dealgate.rules.tracing import Trace

PASS, _, _, NOT_APPLICABLE, _ = Result
"""By short names: to look a member up through its class takes as long as to judge a rule."""

VERSIONS = {"dealgate": version("dealgate"), "durable_rules": installed_version()}


class EvaluatesRules(Protocol):
    """What the evaluation asks of an engine."""

    def evaluate(self, facts: Facts, reckoning: Reckoning) -> dict[str, Result]: ...


class ExactMeasure(NamedTuple):
    """A measure as integers: cents or a count over 1, or the two amounts behind a percent. None when unknown."""

    numerator: int | None
    denominator: int = 1


class CompiledPolicy:
    """A policy version ready to evaluate deals: compiled once, used for every deal, by any number of threads."""

    def __init__(self, policy: Policy, engine: Callable[[Policy], EvaluatesRules] = Engine) -> None:
        self.policy = policy
        self.reference = compile_reference(policy, only_what_rules_read=True)
        sides = Sides(policy)
        self.explainers = {rule.id: Explainer(rule, policy, sides) for rule in policy.rules}
        self.shares_of_money = {name for name, measure in policy.measures.items() if is_share_of_money(measure)}
        self.engine = engine(policy)
        self._rangings: dict[str, Ranging] = {}

    @cached_property
    def evidence(self) -> Callable[[Facts], Reckoning]:
        """The reference with every measure, for whoever reads an evaluation."""
        return compile_reference(self.policy)

    @cached_property
    def personal(self) -> PersonalParts:
        """What a decision under this policy would tell of the applicant."""
        return personal_parts(self.policy)

    def evaluate(self, deal: PartialDeal) -> "Evaluation":
        """Evaluate a deal. Never raises for what the engine does: that becomes a finding which refers the deal."""
        facts = facts_of(deal)
        reckoning = self.reference(facts)
        return Evaluation(self, deal, facts, reckoning, self._doubt(facts, reckoning))

    def referred(self, deal: PartialDeal, cause: Finding) -> "Evaluation":
        """An evaluation that refers the deal for a cause beside its rules."""
        facts = facts_of(deal)
        return Evaluation(self, deal, facts, self.reference(facts), cause)

    def ranging(self, lever: str) -> Ranging:
        """The rules along a lever, written when a first deal is to be cured with it."""
        if lever not in self._rangings:
            self._rangings[lever] = Ranging(self.policy, REACHES[lever])
        return self._rangings[lever]

    def judged(self, deal: PartialDeal) -> tuple[Reckoning, Finding | None]:
        """What an evaluation rests on, every measure included, and the doubt that the engine casts on it, if any."""
        facts = facts_of(deal)
        reckoning = self.evidence(facts)
        return reckoning, self._doubt(facts, reckoning)

    def _doubt(self, facts: Facts, reckoning: Reckoning) -> Finding | None:
        """The finding that refers the deal when the engine fails or differs from the reference in any rule."""
        try:
            seen = self.engine.evaluate(facts, reckoning)
        except Exception as error:
            return engine_finding(
                ENGINE_FAILURE, f"The rules engine failed ({type(error).__name__}: {error}).{REFERRED}"
            )
        if seen == reckoning.results:
            return None
        words = ", ".join(
            f"{rule} ({seen.get(rule, 'nothing')} against {result})"
            for rule, result in reckoning.results.items()
            if seen.get(rule) != result
        )
        return engine_finding(
            ENGINE_DISAGREEMENT,
            f"The rules engine and the reference evaluation differ on {words or 'the set of rules'}.{REFERRED}",
        )


class Evaluation:
    """What a policy makes of a deal: pure, the same for the same deal and policy version, for ever.

    Every result, measure and limit is settled, exactly, when it is made; findings, sentences, cures and shown measures are drawn
    from them when somebody asks.
    """

    def __init__(
        self,
        compiled: CompiledPolicy,
        deal: PartialDeal,
        facts: Facts,
        reckoning: Reckoning,
        doubt: Finding | None,
    ) -> None:
        self._compiled = compiled
        self._deal = deal
        self._facts = facts
        self._judged = reckoning
        self._doubt = doubt
        bad = [
            (rule, result)
            for rule, result in reckoning.results.items()
            if result is not PASS and result is not NOT_APPLICABLE
        ]
        severities = [compiled.explainers[rule].severities[result] for rule, result in bad]
        self.outcome = Outcome.most_severe(severities if doubt is None else [*severities, doubt.severity])

    @property
    def policy(self) -> Mapping[str, str]:
        policy = self._compiled.policy
        return {"name": policy.name, "version": policy.version, "sha256": policy.sha256}

    @property
    def engine(self) -> Mapping[str, Any]:
        agreed = self._doubt is None or self._doubt.rule not in {ENGINE_FAILURE, ENGINE_DISAGREEMENT}
        return {**VERSIONS, "agreed": agreed}

    @property
    def results(self) -> Mapping[str, Result]:
        """Each rule's result, without the evidence."""
        return self._judged.results

    @property
    def personal(self) -> PersonalParts:
        return self._compiled.personal

    @cached_property
    def _reckoning(self) -> Reckoning:
        """With every measure, also those that no rule rests on."""
        full = self._compiled.evidence(self._facts)
        return Reckoning(full.names, self._judged.results, full.numbers, full.rows)

    @cached_property
    def _trace(self) -> Trace:
        """Of what the rules rest on: all that findings tell."""
        return Trace(self._compiled.policy, self._facts, self._judged)

    @cached_property
    def _whole_trace(self) -> Trace:
        return Trace(self._compiled.policy, self._facts, self._reckoning)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """One for each rule, in the policy's order; one more where the engine gave cause for doubt."""
        explainers, trace = self._compiled.explainers, self._trace
        findings = [explainers[rule].finding(result, trace) for rule, result in self._judged.results.items()]
        return tuple(findings if self._doubt is None else [*findings, self._doubt])

    @cached_property
    def reasons(self) -> tuple[str, ...]:
        return principal_reasons(self.findings)

    @cached_property
    def cures(self) -> Cures:
        """For each lever the least change that clears the deal, or why there is none; searched when somebody asks."""
        return find_cures(self._compiled, self._deal, self._reckoning, self._doubt)

    @cached_property
    def unknown(self) -> tuple[str, ...]:
        """The fields of the deal that left rules unjudged."""
        return tuple(dict.fromkeys(name for finding in self.findings for name in finding.missing))

    @cached_property
    def measures(self) -> Mapping[str, Mapping[str, Any]]:
        """Every measure as it is shown."""
        return {name: self._shown(name, value) for name, value in self._reckoning.measures.items()}

    @cached_property
    def exact_measures(self) -> Mapping[str, ExactMeasure]:
        measures = self._reckoning.measures
        return {name: ExactMeasure(value.numerator, value.denominator) for name, value in measures.items()}

    def _shown(self, name: str, value: Value) -> Mapping[str, Any]:
        unit = self._compiled.policy.measures[name].unit
        document: dict[str, Any] = {"unit": str(unit), "value": None}
        if value.numerator is None:
            return document | {"missing": self._whole_trace.missing(MeasureName(name, unit))}
        if unit == Unit.MONEY:
            return document | {"value": hundredths(value.numerator)}
        if unit == Unit.COUNT:
            return document | {"value": value.numerator}
        shown = hundredths if name in self._compiled.shares_of_money else str
        ratio = {"numerator": shown(value.numerator), "denominator": shown(value.denominator)}
        return document | {"value": percent(value.numerator, value.denominator)} | ratio

    def document(self) -> dict[str, Any]:
        """As plain JSON values. Drawn once: whoever is to store it can have it drawn before the database is asked."""
        return dict(self._document)

    @cached_property
    def _document(self) -> dict[str, Any]:
        return {
            "policy": self.policy,
            "outcome": self.outcome.value,
            "measures": {name: dict(measure) for name, measure in self.measures.items()},
            "equity": dict(self._compiled.policy.content["equity"]),
            "findings": [finding.document() for finding in self.findings],
            "reasons": list(self.reasons),
            "cures": [cure.document() for cure in self.cures.offered],
            "unfixable": [lever.document() for lever in self.cures.unfixable],
            "unknown": list(self.unknown),
            "engine": self.engine,
        }


REFERRED = " The deal is referred; a person decides."


def engine_finding(rule: str, explanation: str) -> Finding:
    """What refers a deal whose results the engine did not confirm."""
    evidence = Evidence(explanation)
    title = "The rules engine confirms every result"
    return Finding(rule, title, Result.NOT_EVALUABLE, Outcome.REFER, None, (), (), False, lambda: evidence)


def evaluate(deal: PartialDeal | Mapping[str, Any], policy: Policy | CompiledPolicy) -> Evaluation:
    """Evaluate a deal, given as a `Deal` or as a document, under a policy. Stores nothing.

    Compile the policy once with `CompiledPolicy` when there are many deals. Raises `DealError` for a bad document.
    """
    compiled = policy if isinstance(policy, CompiledPolicy) else CompiledPolicy(policy)
    return compiled.evaluate(deal if isinstance(deal, PartialDeal) else Deal.read(deal))
