"""What a guard refuses, and in which words."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine

from dealgate.adapters.attempts import Attempt
from dealgate.rules.policy import Outcome


class UnwatchedError(RuntimeError):
    """A statement that changes guarded rows without telling which, on a table that nobody watches."""


class DeclinedError(Exception):
    """A change of a guarded row whose deal the policy declines. Roll the transaction back: nothing of it may be written.

    `decision` is the document: of the attempt, or of an earlier decision about the same deal. A refused deal must not be lost: once
    the host's transaction has ended and none of them is in the database, the attempt is recorded in a transaction of its own, and then
    `recorded` is true. Where that failed, and where the session ran in a transaction of the host's that goes on, call
    `gate.record_declined(error)`.
    """

    def __init__(self, row: str, decision: Mapping[str, Any], personal: Collection[str], attempt: Attempt) -> None:
        self.decision = decision
        self.engine: Engine | None = None
        """Of the database that it was to be written to."""
        self.attempt = attempt
        self.recorded = False
        super().__init__(_words(row, decision, personal))

    @property
    def decision_id(self) -> str:
        return str(self.decision["decision_id"])


def _words(row: str, decision: Mapping[str, Any], personal: Collection[str]) -> str:
    """Exceptions end up in logs: of a rule that rests on something personal, its title, and no cure where there is one."""
    policy = decision["policy"]
    words = [f"{row} is not written: {policy['name']} {policy['version']} declines deal {decision['deal_id']}."]
    for finding in decision["findings"]:
        if finding["severity"] == Outcome.DECLINE.value and finding["result"] not in {"pass", "not_applicable"}:
            said = finding["title"] if finding["rule"] in personal else finding["explanation"]
            words.append(f"{finding['rule']}: {said}")
    return "\n".join([*words, *_cures(decision, personal)])


def _cures(decision: Mapping[str, Any], personal: Collection[str]) -> list[str]:
    """How far a lever may go is bounded by every rule, those on the income too: from a cure it follows to the cent."""
    if not decision["cures"]:
        return _why_none(decision["unfixable"])
    if any(finding["rule"] in personal for finding in decision["findings"]):
        return ["What would cure it may tell of the applicant: the decision has it."]
    return [f"Cure: {cure['explanation']}" for cure in decision["cures"]]


def _why_none(levers: Sequence[Mapping[str, Any]]) -> list[str]:
    """No lever was pulled where nothing is broken: then the findings say what is missing."""
    if not levers:
        return []
    if all(lever["proved"] for lever in levers):
        return ["No single change cures it."]
    return ["Whether a single change cures it was not searched to the end."]
