"""What an entry of the ledger says, as one document whose canonical bytes are hashed and kept.

Personal values are not in it: `commitments` says how they are tied to it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from dealgate.models.commitments import PrivateValue, disclose
from dealgate.rules.decision import moment
from dealgate.rules.privacy import PersonalParts

VERSION = 1
"""Of the envelope's form. An envelope is never rewritten: a new form is a new number beside this one."""

TOLD_OF_A_FINDING = (
    "rule",
    "title",
    "result",
    "severity",
    "reason",
    "missing",
    "rests_on",
    "used_consumer_report",
)
"""What a finding says without its numbers and its sentence."""

PERSONAL_FIELDS = (
    "applicant/credit_score",
    "applicant/monthly_income",
    "applicant/monthly_debt",
    "vehicle/vin",
    "metadata",
)
"""Of a deal document, and the lienholder of each trade-in."""

ERASED = "Erased. The ledger keeps the commitment."


class Draft(NamedTuple):
    """An entry before it has its place: what happened, about which deal, by whom.

    `personal` are JSON pointers into `content`, whose values are set apart.
    """

    entry_id: str
    kind: str
    content: Mapping[str, Any]
    personal: Sequence[str] = ()
    deal_id: str | None = None
    policy_sha256: str | None = None
    effective_at: datetime | None = None
    idempotency_key: str | None = None
    actor: str | None = None


class Place(NamedTuple):
    """Where an entry stands in its deal's chain: the how-manieth it is, and the leaf hash of the one before."""

    deal_seq: int
    previous: bytes | None


def envelope(draft: Draft, place: Place | None, committed: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return {
        "v": VERSION,
        "kind": draft.kind,
        "entry_id": draft.entry_id,
        "deal_id": draft.deal_id,
        "deal_seq": place.deal_seq if place else None,
        "previous": place.previous.hex() if place and place.previous else None,
        "idempotency_key": draft.idempotency_key,
        "actor": draft.actor,
        "recorded_at": moment(now),
        "effective_at": moment(draft.effective_at or now),
        "policy_sha256": draft.policy_sha256,
        "private": list(draft.personal),
        **committed,
    }


def decision_content(
    deal: Mapping[str, Any], decision: Mapping[str, Any], personal: PersonalParts
) -> tuple[dict[str, Any], list[str]]:
    """The content of a decision's entry, and where its personal values stand."""
    content = {"deal": deal, "decision": _set_apart(decision, personal)}
    return content, [*_personal_of_deal(deal), *_personal_of_decision(content["decision"])]


def read_decision(document: Mapping[str, Any], values: Sequence[PrivateValue]) -> dict[str, Any]:
    """The decision as it was made, from its envelope and what is left of the personal values."""
    decision = dict(disclose(document, values, document["private"])["decision"])
    decision["measures"] = {name: _measure(measure) for name, measure in decision["measures"].items()}
    decision["findings"] = [_finding(finding) for finding in decision["findings"]]
    return {"cures": [], "unfixable": []} | decision


def read_deal(document: Mapping[str, Any], values: Sequence[PrivateValue]) -> dict[str, Any]:
    """The deal document as it was submitted; erased fields are left out."""
    deal: dict[str, Any] = disclose(document, values, document["private"])["deal"]
    return deal


def _set_apart(decision: Mapping[str, Any], personal: PersonalParts) -> dict[str, Any]:
    """The decision with the evidence of personal measures and rules in a part of its own."""
    measures = {
        name: _split(measure, ("unit",)) if name in personal.measures and measure["value"] is not None else measure
        for name, measure in decision["measures"].items()
    }
    findings = [
        _split(finding, TOLD_OF_A_FINDING) if finding["rule"] in personal.rules else finding
        for finding in decision["findings"]
    ]
    return {**decision, "measures": measures, "findings": findings}


def _split(part: Mapping[str, Any], told: Sequence[str]) -> dict[str, Any]:
    head = {name: value for name, value in part.items() if name in told}
    return {**head, "evidence": {name: value for name, value in part.items() if name not in told}}


def _measure(measure: Mapping[str, Any]) -> dict[str, Any]:
    told = dict(measure)
    told |= told.pop("evidence", {})
    return told if "value" in told else told | {"value": None, "erased": True}


def _finding(finding: Mapping[str, Any]) -> dict[str, Any]:
    told = dict(finding)
    told |= told.pop("evidence", {})
    return told if "explanation" in told else told | {"explanation": ERASED, "erased": True}


def _personal_of_deal(deal: Mapping[str, Any]) -> list[str]:
    paths = []
    for field in PERSONAL_FIELDS:
        above, _, name = field.rpartition("/")
        if (deal.get(above) or {} if above else deal).get(name) not in (None, {}):
            paths.append(f"/deal/{field}")
    trades = enumerate(deal.get("trade_ins", ()))
    return paths + [f"/deal/trade_ins/{index}/lienholder" for index, trade in trades if trade.get("lienholder")]


def _personal_of_decision(decision: Mapping[str, Any]) -> list[str]:
    measures = [
        f"/decision/measures/{name}/evidence" for name, part in decision["measures"].items() if "evidence" in part
    ]
    findings = [
        f"/decision/findings/{index}/evidence" for index, part in enumerate(decision["findings"]) if "evidence" in part
    ]
    # How far a lever may go is bounded by every rule, those on the income too: a cure may tell it.
    cures = [f"/decision/{name}" for name in ("cures", "unfixable") if findings and decision[name]]
    return measures + findings + cures
