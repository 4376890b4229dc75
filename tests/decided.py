"""A deal and what a policy decides about it, as the two documents that pictures and letters are drawn from."""

from typing import Any

from dealgate import Deal, evaluate
from dealgate.adapters.policies import check_policy, load_policy
from dealgate.rules.decision import Decision
from dealgate.rules.evaluation import CompiledPolicy
from tests.models.samples import NOW, a_deal

ID = "5f6c1a8e-0d0a-4c53-9b62-1f4a3a7d9c10"

Documents = tuple[dict[str, Any], dict[str, Any]]

NO_VALUE = {"condition": "used", "model_year": 2023, "mileage": 31200}


def decided(document: dict[str, Any], policy: CompiledPolicy | None = None) -> Documents:
    deal = Deal.read(document)
    evaluation = evaluate(deal, policy or check_policy(load_policy()))
    return deal.document(), Decision(ID, deal.deal_id, 1, NOW, evaluation).document()


def decided_sample(**changes: Any) -> Documents:
    return decided(a_deal(**changes))


def owing(payoff: str, allowance: str) -> list[dict[str, Any]]:
    return [{"kind": "loan", "allowance": allowance, "acv": allowance, "payoff": payoff}]
