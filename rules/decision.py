"""A decision: an evaluation that was recorded, with its identity."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dealgate.rules.evaluation import Evaluation
from dealgate.rules.policy import Outcome


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
