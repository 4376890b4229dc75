"""What the service answers on one lender's day: the examples of the OpenAPI document.

`python -m tests.adapters.service.answers` writes them. By the names of their schemas; bodies that are sent stand among them.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dealgate.adapters.database import open_database, upgrade_database
from tests.adapters.service.hosting import Hosted, answered
from tests.models.samples import OVERRIDABLE, compiled, submit

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "adapters" / "service" / "examples.json"
DEAL = ROOT / "adapters" / "service" / "example_deal.json"
SENT_AT = "2026-11-20T16:30:00-06:00"
DECIDED_AT = datetime(2026, 11, 20, 15, 4, 5, 123456, UTC)


def answers(hosted: Hosted) -> dict[str, Any]:
    """Of a service on an empty database."""
    return _of_policies(hosted) | _of_overrides(hosted) | _of_compliance(hosted)


def _of_policies(hosted: Hosted) -> dict[str, Any]:
    added = answered(hosted.call("ada", "POST", "/v1/policies", content=OVERRIDABLE), 201)
    path = f"/v1/policies/{added['sha256']}"
    return {
        "PolicyAdded": added,
        "PolicyReview": answered(hosted.call("ada", "POST", "/v1/policy-checks", content=OVERRIDABLE)),
        "PolicyStepTaken": answered(hosted.post("pia", f"{path}/approve")),
        "Policies": answered(hosted.get("sam", "/v1/policies")),
        "PolicyVersion": answered(hosted.get("sam", path)),
        "Retirement": {"at": "2027-11-01T00:00:00-05:00"},
    }


def _of_overrides(hosted: Hosted) -> dict[str, Any]:
    with hosted.service.engine.begin() as connection:
        deal = json.loads(DEAL.read_text(encoding="utf-8"))
        decided = submit(connection, deal, now=DECIDED_AT, actor="sam", policy=compiled(OVERRIDABLE))
    asked = {
        "decision_id": decided.decision_id,
        "rules": ["LTV-TOTAL"],
        "reason": "STRONG-INCOME",
        "note": "Ten years with the county.",
        "compensating_factors": ["LONG-EMPLOYED"],
    }
    grant = {"role": "credit-manager", "note": "Stable employment."}
    path = f"/v1/overrides/{answered(hosted.post('ann', '/v1/overrides', asked), 201)['override_id']}"
    return {
        "OverrideRequest": asked,
        "OverrideGrant": grant,
        "OverrideDenial": {"note": "The collateral is in doubt."},
        "OverrideTaken": answered(hosted.post("cyd", f"{path}/grant", grant)),
        "Override": answered(hosted.get("ann", path)),
        "Overrides": answered(hosted.get("sam", "/v1/overrides")),
        "Clearance": answered(hosted.get("sam", f"/v1/deals/{deal['deal_id']}/clearance")),
        "Deals": answered(hosted.get("sam", f"/v1/deals/{deal['deal_id']}")),
    }


def _of_compliance(hosted: Hosted) -> dict[str, Any]:
    query = {"outcomes": ["refer"], "measures": ["total_ltv > 125"], "decided_from": "2026-11-01T00:00:00-05:00"}
    replay = {"query": query, "most": 50}
    notice = {
        "kind": "adverse_action",
        "sent_at": SENT_AT,
        "channel": "mail",
        "reasons": ["Value or type of collateral not sufficient"],
    }
    deal = f"/v1/audit/deals/{json.loads(DEAL.read_text(encoding='utf-8'))['deal_id']}"
    reports = answered(hosted.get("cole", "/v1/audit/reports"))["reports"]
    return {
        "DecisionQuery": query,
        "DecisionRows": answered(hosted.post("cole", "/v1/audit/search", query)),
        "ReplayRequest": replay,
        "Replays": answered(hosted.post("cole", "/v1/audit/replays", replay)),
        "NoticeSent": notice,
        "NoticeRecorded": answered(hosted.post("cole", f"{deal}/notices", notice), 201),
        "Clocks": answered(hosted.get("cole", f"{deal}/clocks?time_zone=America/Chicago")),
        "Reports": {"reports": reports[:1]},
        "ReportPage": answered(hosted.get("cole", "/v1/audit/reports/findings?since=2026-11-01&limit=2")),
    }


def main() -> None:
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/example.db"
        engine = open_database(url)
        upgrade_database(engine)
        engine.dispose()
        hosted = Hosted(url, request_seconds=60)
        EXAMPLES.write_text(json.dumps(answers(hosted), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        hosted.close()


if __name__ == "__main__":
    main()
