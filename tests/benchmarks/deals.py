"""The deals, always the same ones: as documents, read, and measured by hand."""

from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Any

from dealgate import Deal
from dealgate.rules.amounts import hundredths
from dealgate.rules.payment import level_payment

ROTATION = 64
"""Deals that a measurement goes round; every contender gets the same ones."""

DISTINCT = 8192
"""Deals of the run in which hardly any repeats within the reach of a cache. The rotation is the first of them."""

TIERS = "ABCD"

PlainFacts = dict[str, int | str]
"""What peers get of a deal: finished measures, the tier, the condition, and the limits of the tier."""


def deal_documents(count: int) -> Iterator[dict[str, Any]]:
    """Used vehicles with an underwater trade-in, tier after tier; always the same ones."""
    pick = Random(5)
    for index in range(count):
        price = pick.randrange(24_000_00, 34_000_00)
        allowance = pick.randrange(8_000_00, 15_000_00)
        yield {
            "deal_id": f"B-{index:06}",
            "submitted_on": "2026-11-20",
            "channel": "indirect",
            "dealer_id": f"DLR-{index % 40:04}",
            "state": pick.choice(("TX", "CA", "OH")),
            "applicant": {
                "tier": TIERS[index % len(TIERS)],
                "credit_score": pick.randrange(620, 790),
                "monthly_income": hundredths(pick.randrange(4_500_00, 9_500_00)),
                "monthly_debt": hundredths(pick.randrange(900_00, 1_600_00)),
                "first_time_buyer": False,
                "covered_borrower": False,
            },
            "vehicle": {
                "vin": "1HGCV1F30NA000001",
                "condition": "used",
                "model_year": pick.randrange(2013, 2017),
                "mileage": pick.randrange(30_000, 90_000),
                "values": [
                    {"basis": "jdpower_clean_trade", "amount": hundredths(price * pick.randrange(85, 100) // 100)},
                    {"basis": "jdpower_clean_retail", "amount": hundredths(price)},
                ],
            },
            "cash_price": hundredths(price),
            "sales_tax": hundredths(price * pick.randrange(500, 825) // 10_000),
            "title_and_registration": "380.00",
            "doc_fee": "225.00",
            "products": [
                {"kind": "gap", "price": "895.00"},
                {"kind": "service_contract", "price": hundredths(pick.randrange(1_900_00, 2_400_00))},
            ],
            "trade_ins": [
                {
                    "kind": "loan",
                    "allowance": hundredths(allowance),
                    "acv": hundredths(allowance - pick.randrange(1_000_00)),
                    "payoff": hundredths(allowance + pick.randrange(3_000_00, 6_000_00)),
                }
            ],
            "cash_down": hundredths(pick.randrange(500_00, 1_000_00)),
            "term_months": pick.choice((60, 66, 72, 75, 84)),
            "apr_percent": pick.choice(("5.90", "7.90", "9.45", "11.20")),
        }


def worse(document: Mapping[str, Any]) -> dict[str, Any]:
    """The deal on a quarter of the income and half of the collateral."""
    applicant, vehicle = document["applicant"], document["vehicle"]
    values = [{**value, "amount": _share(value["amount"], 2)} for value in vehicle["values"]]
    return {
        **document,
        "applicant": {**applicant, "monthly_income": _share(applicant["monthly_income"], 4)},
        "vehicle": {**vehicle, "values": values},
    }


def _share(amount: str, parts: int) -> str:
    return hundredths(int(amount.replace(".", "")) // parts)


def measures_by_hand(deal: Deal) -> PlainFacts:
    """The measures as a programmer would write them for such deals, nothing unknown. Percents are hundredths, rounded up:
    a whole limit is then broken by the rounded number exactly when it is broken by the exact one."""
    products = sum(product.price for product in deal.products)
    payoff = sum(trade.payoff or 0 for trade in deal.trade_ins)
    allowance = sum(trade.allowance or 0 for trade in deal.trade_ins)
    rolled_in = max(0, max(0, payoff - allowance) - deal.cash_down - deal.rebate)
    charges = deal.sales_tax + deal.title_and_registration + deal.doc_fee + products
    credits = deal.cash_down + deal.rebate + deal.prepaid_finance_charge
    financed = deal.cash_price + charges + payoff - allowance - credits
    value = next(value.amount for value in deal.vehicle.values if value.basis == "jdpower_clean_trade")
    applicant, vehicle = deal.applicant, deal.vehicle
    income, debt = _known(applicant.monthly_income), _known(applicant.monthly_debt)
    payment = _known(level_payment(financed, 1, _known(deal.apr_percent), 1_000_000, deal.term_months))
    return {
        "total_ltv": -(-10_000 * financed // value),
        "front_end_ltv": -(-10_000 * (financed - products) // value),
        "negative_equity_to_value": -(-10_000 * rolled_in // value),
        "payment_to_income": -(-10_000 * payment // income),
        "debt_to_income": -(-10_000 * (debt + payment) // income),
        "rolled_in_negative_equity": rolled_in,
        "amount_financed": financed,
        "term_months": deal.term_months,
        "mileage": _known(vehicle.mileage),
        "vehicle_age": deal.submitted_on.year - _known(vehicle.model_year),
        "credit_score": _known(applicant.credit_score),
        "tier": applicant.tier or "",
        "condition": vehicle.condition,
    }


def _known(value: int | None) -> int:
    assert value is not None
    return value


class Deals:
    """The rotation, read once, with its measures; and what every deal has in common."""

    def __init__(self) -> None:
        self.documents = list(deal_documents(ROTATION))
        self.deals = [Deal.read(document) for document in self.documents]
        self.measured = [measures_by_hand(deal) for deal in self.deals]
        self.edges = _edges(measures_by_hand(deal) for deal in distinct_deals())
        """The least and the greatest value of each measure over all deals: no limit may lie between."""


def distinct_deals() -> Iterator[Deal]:
    return map(Deal.read, deal_documents(DISTINCT))


def _edges(measured: Iterable[PlainFacts]) -> dict[str, tuple[int, int]]:
    edges: dict[str, tuple[int, int]] = {}
    for facts in measured:
        for name, value in facts.items():
            if isinstance(value, int):
                least, most = edges.get(name, (value, value))
                edges[name] = (min(least, value), max(most, value))
    return edges
