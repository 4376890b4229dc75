"""Why a rule came out as it did, from data: the comparison at its heart, the distance, and one sentence a dealer understands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from dealgate.rules.comparing import NO_ROOM, NUMERIC, Heart, Sides, facing_the_limit
from dealgate.rules.expressions import (
    All,
    Comparison,
    Expression,
    FieldName,
)
from dealgate.rules.fields import FIELDS
from dealgate.rules.finding import INCOMPLETE, Evidence, Finding, RestsOn
from dealgate.rules.phrasing import phrase
from dealgate.rules.policy import Outcome, Policy, Rule
from dealgate.rules.reference import Result
from dealgate.rules.staleness import Tells, staleness_told
from dealgate.rules.tracing import NO_ROW_HOLDS, SEVERAL_ROWS_HOLD, Trace

PASS, VIOLATED, MITIGATED, NOT_APPLICABLE, NOT_EVALUABLE = Result
"""By short names: to look a member up through its class costs as much as half a sentence."""

new_finding: Callable[[tuple[Any, ...]], Finding] = partial(tuple.__new__, Finding)
new_evidence: Callable[[tuple[Any, ...]], Evidence] = partial(tuple.__new__, Evidence)
"""Faster than to call the classes, and an evaluation makes dozens of each."""


@dataclass(frozen=True)
class Explainer:
    """Builds the findings of one rule."""

    rule: Rule
    policy: Policy
    sides: Sides

    @cached_property
    def hearts(self) -> tuple[Heart, ...]:
        operands = self.rule.require.operands if isinstance(self.rule.require, All) else (self.rule.require,)
        return tuple(
            Heart(facing_the_limit(node), self.sides)
            for node in operands
            if isinstance(node, Comparison) and node.left.unit in NUMERIC
        )

    @cached_property
    def staleness(self) -> Mapping[Heart, tuple[Tells, ...]]:
        """By comparison, what can be told of the dates that it reads; most read none."""
        told = {heart: staleness_told(self.policy, heart.comparison) for heart in self.hearts}
        return {heart: tells for heart, tells in told.items() if tells}

    @cached_property
    def is_conjunction(self) -> bool:
        return isinstance(self.rule.require, All)

    @cached_property
    def rests_on(self) -> tuple[str, ...]:
        return self.rule.rests_on()

    @cached_property
    def used_consumer_report(self) -> bool:
        return used_consumer_report(self.policy, self.rule)

    @cached_property
    def condition(self) -> str:
        return (
            f"Does not apply: only where {phrase(self.rule.applies, self.policy.measures)}."
            if self.rule.applies
            else ""
        )

    @cached_property
    def requirement(self) -> tuple[str, str]:
        """What is said of a requirement that is no comparison of numbers, where it holds and where it does not."""
        if self.rests_on:
            return f"{self.rule.title}: holds.", f"{self.rule.title}: does not hold."
        required = f"{self.rule.title}. The policy requires that {phrase(self.rule.require, self.policy.measures)}"
        return f"{required}: it holds.", f"{required}: it does not hold."

    @cached_property
    def severities(self) -> Mapping[Result, Outcome]:
        mitigated = self.rule.mitigated_by
        return {
            PASS: Outcome.PASS,
            NOT_APPLICABLE: Outcome.PASS,
            VIOLATED: self.rule.otherwise,
            MITIGATED: mitigated.to if mitigated else Outcome.PASS,
            NOT_EVALUABLE: self.policy.on_unknown,
        }

    @cached_property
    def heads(self) -> Mapping[Result, tuple[str, str, Result, Outcome, str | None]]:
        """How a finding begins, by its result: rule, title, result, severity, reason."""
        rule = self.rule
        reasons = {VIOLATED: rule.reason, MITIGATED: rule.reason, NOT_EVALUABLE: INCOMPLETE}
        return {
            result: (rule.id, rule.title, result, self.severities[result], reasons.get(result)) for result in Result
        }

    def finding(self, result: Result, trace: Trace) -> Finding:
        missing = tuple(trace.missing_for_rule(self.rule.id)) if result is NOT_EVALUABLE else ()
        rests_on: tuple[RestsOn, ...] = ()
        if self.rests_on:
            rests_on = tuple(RestsOn(name, trace.reckoning.results[name]) for name in self.rests_on)
        tell = partial(self._evidence, result, trace, missing, rests_on)
        return new_finding(self.heads[result] + (missing, rests_on, self.used_consumer_report, tell))

    def _evidence(
        self, result: Result, trace: Trace, missing: tuple[str, ...], rests_on: tuple[RestsOn, ...]
    ) -> Evidence:
        heart = self._heart(result, trace)
        if heart is None:
            return Evidence(self._sentence(result, "", missing, rests_on))
        value, text, opening, inputs = heart.subject.on(trace)
        limit, limit_text, closing, when, origin = heart.standard.on(trace)
        measure, unit = heart.measure, heart.unit_text
        if value is None or limit is None:
            sentence = self._sentence(result, "", missing, rests_on)
            return Evidence(sentence, measure, unit=unit, inputs=inputs, limit_when=when, limit_origin=origin)
        if result is PASS and not rests_on:
            margin, points, excess, room = heart.room(value, limit, passed=True)
            sentence = opening + closing + room
        else:
            quiet = result is NOT_APPLICABLE or result is NOT_EVALUABLE
            margin, points, excess, room = NO_ROOM if quiet else heart.room(value, limit, passed=result is PASS)
            stale = self._stale(heart, trace) if result is VIOLATED or result is MITIGATED else ""
            sentence = self._sentence(result, opening + closing + room + stale, missing, rests_on)
        return new_evidence(
            (sentence, measure, text, limit_text, unit, margin, points, excess, inputs, when, origin, value, limit)
        )

    def _heart(self, result: Result, trace: Trace) -> Heart | None:
        """Of several comparisons joined by `and`, the first that fails, else the first unknown, else the first.

        None where what fails is not a comparison of numbers: a comparison that holds would explain nothing.
        """
        if not self.is_conjunction:
            return self.hearts[0] if self.hearts else None
        truths = [trace.value(heart.comparison) for heart in self.hearts]
        return next(
            (
                heart
                for wanted in (False, None)
                for heart, truth in zip(self.hearts, truths, strict=True)
                if truth is wanted
            ),
            None if result in {VIOLATED, MITIGATED} else next(iter(self.hearts), None),
        )

    def _stale(self, heart: Heart, trace: Trace) -> str:
        """Each sentence once: the listed value may be the very one that the comparison names too."""
        return "".join(dict.fromkeys(words for tell in self.staleness.get(heart, ()) for words in tell(trace)))

    def _sentence(
        self, result: Result, comparison: str, missing: tuple[str, ...], rests_on: tuple[RestsOn, ...]
    ) -> str:
        if result is NOT_APPLICABLE:
            return self.condition
        if result is NOT_EVALUABLE:
            are, them = ("are", "them") if len(missing) > 1 else ("is", "it")
            remedy = f"Supply {them} and submit the deal again."
            if missing and all(name.endswith((NO_ROW_HOLDS, SEVERAL_ROWS_HOLD)) for name in missing):
                remedy = "The policy's table does not say which limit the deal has; a person decides."
            return f"Cannot be judged: {' and '.join(missing) or 'a needed value'} {are} unknown. {remedy}"
        sentence = comparison or self.requirement[0 if result is PASS else 1]
        if rests_on:
            sentence += (
                " Rests on " + ", ".join(f"{part.rule} ({part.result.replace('_', ' ')})" for part in rests_on) + "."
            )
        if result is MITIGATED and self.rule.mitigated_by:
            sentence += (
                f" Mitigated to {self.rule.mitigated_by.to}, because "
                f"{phrase(self.rule.mitigated_by.when, self.policy.measures)}."
            )
        return sentence


def used_consumer_report(policy: Policy, rule: Rule) -> bool:
    """Whether a rule reads the credit score, the tier or the report's date, also through measures, limits and other rules.

    Then an adverse action on it rests "in whole or in part" on a consumer report: 15 USC 1681m(a).
    """
    nodes = policy.everything_read(*rule.expressions(), *_of_other_rules(policy, rule))
    return any(isinstance(node, FieldName) and FIELDS[node.name].consumer_report for node in nodes)


def _of_other_rules(policy: Policy, rule: Rule) -> list[Expression]:
    by_id = {other.id: other for other in policy.rules}
    found, waiting = dict[str, None](), list(rule.rests_on())
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting.extend(by_id[name].rests_on())
    return [expression for name in found for expression in by_id[name].expressions()]
