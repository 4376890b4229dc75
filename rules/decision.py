"""What was concluded about one submission, in the shape that is printed and stored."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from dealgate.rules.policy import Outcome
from dealgate.rules.reference import Result

MOST_REASONS = 4
"""More than four reasons are not likely to help an applicant: commentary to 12 CFR 1002.9(b)(2), paragraph 1."""

INCOMPLETE = "Credit application incomplete"
"""Regulation B, form C-1: the reason that fits a rule which could not be judged."""


class RestsOn(NamedTuple):
    """Another rule's result that a layered rule read."""

    rule: str
    result: Result


class Evidence(NamedTuple):
    """The comparison behind a finding and the sentence that tells it.

    `value`, `limit`, `margin` and `excess` are decimal strings (counts are integers). `margin` is the room left, negative
    when the limit is broken; `excess` is how far it is broken. Both are money wherever the measure is a share of money.
    """

    explanation: str
    measure: str | None = None
    value: str | int | None = None
    limit: str | int | None = None
    unit: str | None = None
    margin: str | int | None = None
    excess: str | int | None = None
    limit_origin: str | None = None
    exact_value: tuple[int, int] | None = None
    exact_limit: tuple[int, int] | None = None


class Finding(NamedTuple):
    """One rule's result on one submission. Its evidence is put into words when it is asked for: most deals are never read."""

    rule: str
    title: str
    result: Result
    severity: Outcome
    reason: str | None
    missing: tuple[str, ...]
    rests_on: tuple[RestsOn, ...]
    used_consumer_report: bool
    tell: Callable[[], Evidence]

    @property
    def evidence(self) -> Evidence:
        return self.tell()

    @property
    def explanation(self) -> str:
        return self.tell().explanation

    def document(self) -> dict[str, Any]:
        """As plain JSON values; what does not apply to the finding is left out. The exact numbers are stored apart."""
        evidence = self.tell()
        document: dict[str, Any] = {
            "rule": self.rule,
            "title": self.title,
            "result": self.result.value,
            "severity": self.severity.value,
            "measure": evidence.measure,
            "value": evidence.value,
            "limit": evidence.limit,
            "unit": evidence.unit,
            "margin": evidence.margin,
            "excess": evidence.excess,
            "limit_origin": evidence.limit_origin,
            "reason": self.reason,
            "explanation": evidence.explanation,
            "missing": list(self.missing) or None,
            "rests_on": [{"rule": part.rule, "result": part.result.value} for part in self.rests_on] or None,
            "used_consumer_report": self.used_consumer_report,
        }
        return {name: value for name, value in document.items() if value is not None}


class ExactMeasure(NamedTuple):
    """A measure as integers: cents or a count over 1, or the two amounts behind a percent. None when unknown."""

    numerator: int | None
    denominator: int = 1


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a policy makes of a deal: pure, the same for the same deal and policy version, for ever."""

    policy: Mapping[str, str]
    outcome: Outcome
    measures: Mapping[str, Mapping[str, Any]]
    findings: tuple[Finding, ...]
    reasons: tuple[str, ...]
    unknown: tuple[str, ...]
    engine: Mapping[str, Any]
    exact_measures: Mapping[str, ExactMeasure]

    def document(self) -> dict[str, Any]:
        return {
            "policy": dict(self.policy),
            "outcome": self.outcome.value,
            "measures": {name: dict(measure) for name, measure in self.measures.items()},
            "findings": [finding.document() for finding in self.findings],
            "reasons": list(self.reasons),
            "unknown": list(self.unknown),
            "engine": dict(self.engine),
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """An evaluation with its identity: which deal, which submission, when."""

    decision_id: str
    deal_id: str
    submission: int
    decided_at: datetime
    evaluation: Evaluation

    @property
    def outcome(self) -> Outcome:
        return self.evaluation.outcome

    def document(self) -> dict[str, Any]:
        """The decision as plain JSON values, as design and reference describe it."""
        return {
            "decision_id": self.decision_id,
            "deal_id": self.deal_id,
            "submission": self.submission,
            "decided_at": moment(self.decided_at),
            **self.evaluation.document(),
        }


def moment(time: datetime) -> str:
    """UTC with microseconds: "2026-11-20T15:04:05.123456Z". A naive time raises `ValueError`."""
    if time.tzinfo is None:
        raise ValueError("a time without a zone cannot be recorded")
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def principal_reasons(findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """At most four reasons, most severe first, in the policy's words, without repeats."""
    adverse = [finding for finding in findings if finding.reason and finding.severity is not Outcome.PASS]
    adverse.sort(key=lambda finding: (-finding.severity.severity, finding.result == Result.NOT_EVALUABLE))
    return tuple(dict.fromkeys(finding.reason for finding in adverse if finding.reason))[:MOST_REASONS]
