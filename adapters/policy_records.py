"""Policy versions on record as plain JSON values."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dealgate.adapters.policies import PolicyDocument
from dealgate.models.versions import Step, Tenure, state, tenures
from dealgate.rules.decision import moment
from dealgate.rules.policy import Policy


def stored_document(row: Any) -> PolicyDocument:
    """Of a row of policy versions."""
    return PolicyDocument(row.document, Policy.from_text(row.document, f"{row.name} {row.version}"))


def versions_on_record(steps: Sequence[Step], at: datetime) -> list[dict[str, Any]]:
    """Every version that was added, in that order, each with where it stands at a moment."""
    times = {one.sha256: one for one in tenures(steps)}
    return [
        version_document(step, state(steps, step.sha256, at), times.get(step.sha256))
        for step in steps
        if step.step == "add"
    ]


def version_document(added: Step, state: str, tenure: Tenure | None) -> dict[str, Any]:
    times = tenure_document(tenure) if tenure else {"from": None, "to": None}
    return {
        "name": added.name,
        "version": added.version,
        "state": state,
        "from": times["from"],
        "to": times["to"],
        "author": added.actor,
        "sha256": added.sha256,
    }


def tenure_document(tenure: Tenure) -> dict[str, Any]:
    return {
        "name": tenure.name,
        "version": tenure.version,
        "sha256": tenure.sha256,
        "from": moment(tenure.start),
        "to": moment(tenure.end) if tenure.end else None,
    }


def step_document(step: Step) -> dict[str, Any]:
    return {
        name: moment(value) if isinstance(value, datetime) else value
        for name, value in step._asdict().items()
        if name != "entry"
    }
