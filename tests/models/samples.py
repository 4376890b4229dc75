"""One deal with everything in it, the policy it is held against, and the way a submission is stored."""

from copy import deepcopy
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dealgate import CompiledPolicy, Deal, Policy
from dealgate.models import Recorded, record_policy, record_submission

NOW = datetime(2026, 11, 20, 15, 4, 5, 123456, tzinfo=UTC)

POLICY = """
policy: sample
version: "1"
title: A policy with every kind of result
effective_from: 2026-11-01
effective_to: 2027-11-01
collateral_value: {new: [invoice], used: [jdpower_clean_trade]}
limits:
  max_total_ltv:
    unit: percent
    rows:
      - when: tier == "B"
        limit: 125%
      - limit: 110%
rules:
  - {id: LTV-TOTAL, title: LTV within the tier's limit, require: total_ltv <= max_total_ltv, otherwise: refer,
     reason: Value or type of collateral not sufficient}
  - {id: PRODUCTS, title: Products within a limit, require: "products_total <= $3,000", otherwise: flag,
     reason: Price of products exceeds the amount that can be financed}
  - {id: AGE, title: At most two model years old, require: vehicle_age <= 2, otherwise: flag, reason: Age of automobile}
  - id: PTI
    title: Payment within a tenth of the income
    require: payment_to_income <= 10%
    otherwise: refer
    reason: Income insufficient for amount of credit requested
    mitigated_by: {when: credit_score >= 680, to: flag}
  - {id: DTI, title: Debts within 45 percent of the income, require: debt_to_income <= 45%, otherwise: flag,
     reason: Excessive obligations in relation to income}
  - {id: NE-ROLLED, title: Little negative equity rolled in, require: "rolled_in_negative_equity <= $5,000", otherwise: flag,
     reason: Unpaid balance on trade-in vehicle exceeds limits}
  - {id: NEW-TERM, title: New vehicles within 60 months, applies: condition == "new", require: term_months <= 60, otherwise: flag,
     reason: Length of maturity requested}
"""

OVERRIDABLE = (
    POLICY.replace("policy: sample", "policy: overridable")
    + """
overrides:
  reasons: {STRONG-INCOME: Income well above the tier's requirement, COLLATERAL-DOUBT: The collateral is in doubt}
  compensating_factors: {LONG-EMPLOYED: Ten years with one employer, RESERVES: Six payments in reserve}
  authority:
    - role: underwriter
      rules: [LTV-TOTAL, NE-ROLLED]
      max_amount: $40,000
      max_excess: $4,500
      sides: [low]
    - role: credit-manager
      max_amount: $90,000
      max_excess: $20,000
      unmeasured: true
  second_person: {above_amount: "$60,000", above_excess: "$5,000"}
  expires_after_days: 30
"""
)
"""The sample policy, and who may override it: LTV-TOTAL refers the sample deal by $4,019.69."""

DEAL: dict[str, Any] = {
    "deal_id": "D-2026-001847",
    "submitted_on": "2026-11-20",
    "expected_funding_on": "2026-12-15",
    "channel": "indirect",
    "dealer_id": "DLR-0042",
    "state": "TX",
    "applicant": {
        "tier": "B",
        "credit_score": 684,
        "monthly_income": "5200.00",
        "monthly_debt": "1150.00",
        "first_time_buyer": False,
        "covered_borrower": True,
        "credit_report_as_of": "2026-11-10",
    },
    "vehicle": {
        "vin": "1HGCV1F30NA000001",
        "condition": "used",
        "model_year": 2023,
        "mileage": 31200,
        "values": [
            {"basis": "jdpower_clean_trade", "amount": "27000.00", "as_of": "2026-11-18"},
            {"basis": "jdpower_clean_retail", "amount": "29950.00"},
        ],
    },
    "cash_price": "29995.00",
    "sales_tax": "1874.69",
    "title_and_registration": "380.00",
    "doc_fee": "225.00",
    "products": [{"kind": "gap", "price": "895.00"}, {"kind": "service_contract", "price": "2400.00"}],
    "trade_ins": [
        {
            "kind": "loan",
            "allowance": "15500.00",
            "acv": "15500.00",
            "payoff": "19000.00",
            "lienholder": "First Bank",
            "payoff_good_through": "2026-12-01",
            "per_diem": "3.12",
        },
        {"kind": "none", "allowance": "0.01", "acv": "0.01"},
    ],
    "cash_down": "1400.00",
    "rebate": "100.00",
    "prepaid_finance_charge": "0.01",
    "term_months": 72,
    "apr_percent": "7.9025",
    "metadata": {"desk": {"screens": [1, 2.5]}},
}

MINIMAL: dict[str, Any] = {
    "deal_id": "D-MINIMAL",
    "submitted_on": "2026-11-20",
    "vehicle": {"condition": "new"},
    "cash_price": "20000.00",
    "term_months": 60,
}


def a_deal(**changes: Any) -> dict[str, Any]:
    """The sample deal with some fields changed; `applicant__tier="A"` reaches into a part, None leaves a field out."""
    document = deepcopy(DEAL)
    for path, value in changes.items():
        *parts, field = path.split("__")
        place = document
        for part in parts:
            place = place[part]
        if value is None:
            del place[field]
        else:
            place[field] = value
    return document


def a_policy(**changes: str) -> Policy:
    """The sample policy with words of its text exchanged, such as `version='"2"'` for the line that begins `version:`."""
    lines = POLICY.splitlines()
    for name, value in changes.items():
        lines = [f"{name}: {value}" if line.startswith(f"{name}:") else line for line in lines]
    return Policy.from_text("\n".join(lines), "sample.yaml")


@cache
def compiled(text: str = POLICY) -> CompiledPolicy:
    return CompiledPolicy(Policy.from_text(text, "sample.yaml"))


def submit(
    session: Session | Connection,
    document: dict[str, Any],
    *,
    now: datetime = NOW,
    actor: str | None = None,
    key: str | None = None,
    policy: CompiledPolicy | None = None,
) -> Recorded:
    """Evaluate a deal and store it in the caller's transaction."""
    deal, policy = Deal.read(document), policy or compiled()
    evaluation = policy.evaluate(deal)
    record_policy(session, policy.policy, policy.policy.self_contained, now)
    return record_submission(
        session, deal, evaluation, decision_id=str(uuid4()), now=now, actor=actor, idempotency_key=key
    )


CLEAN = a_deal(
    deal_id="D-CLEAN", cash_price="20000.00", products=[], vehicle__model_year=2025, applicant__monthly_income="9000.00"
)
"""A deal that passes every rule of the sample policy."""
