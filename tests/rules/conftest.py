"""What the tests of the rules share: the worked cases, small policies and small deals."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from dealgate import CompiledPolicy, Deal, Policy
from tests.shared import shared_file

settings.register_profile("dealgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dealgate")

Document = dict[str, Any]

# The worked cases


@pytest.fixture(scope="session")
def cases() -> list[Document]:
    read: list[Document] = json.loads(shared_file("cases", "cases.json").read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="session")
def case_policy() -> CompiledPolicy:
    path = shared_file("cases", "policy.yaml")
    return CompiledPolicy(Policy.from_text(path.read_text(encoding="utf-8"), path.name))


# Small policies and deals, to be bent by a test


@pytest.fixture(scope="session")
def write_policy() -> Callable[..., str]:
    """The text of a policy: what a test does not care about is filled in."""

    def write(*rules: Document | str, **sections: Any) -> str:
        head = {"policy": "small", "version": "1", "title": "Small", "effective_from": "2026-01-01"}
        lists = {"collateral_value": {"new": ["invoice", "msrp"], "used": ["jdpower_clean_trade", "kbb_trade_in"]}}
        return json.dumps(
            {**head, **lists, "rules": [_rule(index, rule) for index, rule in enumerate(rules)], **sections},
            ensure_ascii=False,
        )

    return write


def _rule(index: int, rule: Document | str) -> Document:
    stated = {"require": rule} if isinstance(rule, str) else rule
    usual = {"id": f"R{index}", "title": f"Rule {index}", "otherwise": "refer", "reason": f"Reason {index}"}
    return {**usual, **stated}


@pytest.fixture(scope="session")
def small_deal() -> Callable[..., Deal]:
    """A used car at $10,000, all of it financed on a trade value of $10,000; named parts replace or join it."""

    def build(**parts: Any) -> Deal:
        usual = {
            "deal_id": "D-1",
            "submitted_on": "2026-11-20",
            "vehicle": {"condition": "used", "values": [{"basis": "jdpower_clean_trade", "amount": "10000.00"}]},
            "cash_price": "10000.00",
            "term_months": 72,
        }
        return Deal.read({**usual, **parts})

    return build
