"""What came of one rule on one submission, in the shape that is printed and stored."""

from collections.abc import Callable, Iterable, Mapping
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
    when the limit is broken; `excess` is how far it is broken. Both are money wherever the measure is a share of money, and
    `margin_points` is then the same room in percentage points. `inputs` are the parts of the measure's formula; `limit_when`
    is the condition of the table row that gave the limit, `limit_origin` where that row stands.
    """

    explanation: str
    measure: str | None = None
    value: str | int | None = None
    limit: str | int | None = None
    unit: str | None = None
    margin: str | int | None = None
    margin_points: str | None = None
    excess: str | int | None = None
    inputs: Mapping[str, str | int] | None = None
    limit_when: str | None = None
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
            "result": str(self.result),
            "severity": str(self.severity),
            "measure": evidence.measure,
            "value": evidence.value,
            "limit": evidence.limit,
            "unit": evidence.unit,
            "margin": evidence.margin,
            "margin_points": evidence.margin_points,
            "excess": evidence.excess,
            "limit_when": evidence.limit_when,
            "limit_origin": evidence.limit_origin,
            "inputs": dict(evidence.inputs) if evidence.inputs else None,  # findings on one measure share them
            "reason": self.reason,
            "explanation": evidence.explanation,
            "missing": list(self.missing) or None,
            "rests_on": [{"rule": part.rule, "result": part.result.value} for part in self.rests_on] or None,
            "used_consumer_report": self.used_consumer_report,
        }
        return {name: value for name, value in document.items() if value is not None}


def principal_reasons(findings: Iterable[Finding]) -> tuple[str, ...]:
    """At most four reasons, most severe first, in the policy's words, without repeats."""
    adverse = [finding for finding in findings if finding.reason and finding.severity is not Outcome.PASS]
    adverse.sort(key=lambda finding: (-finding.severity.severity, finding.result == Result.NOT_EVALUABLE))
    return tuple(dict.fromkeys(finding.reason for finding in adverse if finding.reason))[:MOST_REASONS]
