"""Cures by trying every change, one cent after the other, on the deal's document: slow, plain, and apart from the search."""

import copy
from collections.abc import Iterator
from decimal import Decimal
from itertools import combinations
from typing import Any

from dealgate import CompiledPolicy, Deal
from dealgate.rules.amounts import hundredths
from dealgate.rules.fields import facts_of
from dealgate.rules.reference import Reckoning, Result

Document = dict[str, Any]
Tried = tuple[int, Document]
"""A change, in cents or months, and the deal after it."""

LONGEST = 240


def judged(policy: CompiledPolicy, document: Document) -> Reckoning:
    return policy.reference(facts_of(Deal.read(document)))


def is_cured(before: dict[str, Result], after: dict[str, Result]) -> bool:
    broken = any(result in {"violated", "mitigated"} for result in after.values())
    newly_unjudged = any(after[rule] == "not_evaluable" != result for rule, result in before.items())
    return not broken and not newly_unjudged


VALUES_SCANNED = 3_000
"""Cents of collateral value that a scan goes up."""


def cents(text: str | None) -> int:
    return int(Decimal(text or 0) * 100)


def without_payment(document: Document) -> Document:
    return {name: value for name, value in document.items() if name != "monthly_payment"}


def changes(policy: CompiledPolicy, document: Document, lever: str) -> Iterator[Tried]:
    """Every change of a lever that the deal has room for, the least first."""
    if lever == "collateral_value":
        yield from _higher_values(policy, document)
        return
    plain = without_payment(document)
    financed = policy.evidence(facts_of(Deal.read(plain))).measures["amount_financed"].numerator
    most = 10**9 if financed is None else financed - 1
    match lever:
        case "cash_down":
            down = cents(plain.get("cash_down"))
            for change in range(1, most + 1):
                yield change, {**plain, "cash_down": hundredths(down + change)}
        case "cash_price":
            price = cents(plain["cash_price"])
            for change in range(1, min(most, price - 1) + 1):
                yield change, {**plain, "cash_price": hundredths(price - change)}
        case "payoff":
            yield from _lower_payoffs(plain, most)
        case "products":
            yield from _fewer_products(plain)


def _lower_payoffs(document: Document, most: int) -> Iterator[Tried]:
    trades = document.get("trade_ins", [])
    under_water = [cents(trade.get("payoff")) - cents(trade.get("allowance")) for trade in trades]
    order = sorted(range(len(trades)), key=lambda index: -under_water[index])
    changed = copy.deepcopy(document)
    change = 0
    for index in order:
        trade = changed["trade_ins"][index]
        while cents(trade.get("payoff")) and change < most:
            trade["payoff"] = hundredths(cents(trade["payoff"]) - 1)
            change += 1
            yield change, copy.deepcopy(changed)


def _fewer_products(document: Document) -> Iterator[Tried]:
    products = document.get("products", [])
    prices = [cents(product["price"]) for product in products]
    tried = []
    for size in range(1, len(products) + 1):
        for dropped in combinations(range(len(products)), size):
            kept = [product for index, product in enumerate(products) if index not in dropped]
            tried.append((sum(prices[index] for index in dropped), {**document, "products": kept}))
    yield from sorted(tried, key=lambda found: found[0])


def _higher_values(policy: CompiledPolicy, document: Document) -> Iterator[Tried]:
    bases = policy.policy.collateral_value[document["vehicle"]["condition"]]
    values = document["vehicle"].get("values", [])
    listed = next((basis for basis in bases if any(value["basis"] == basis for value in values)), None)
    if listed is None:
        return
    for change in range(1, VALUES_SCANNED):
        changed = copy.deepcopy(document)
        for value in changed["vehicle"]["values"]:
            if value["basis"] == listed:
                value["amount"] = hundredths(cents(value["amount"]) + change)
        yield change, changed


def terms(document: Document, *, longer: bool) -> Iterator[Tried]:
    term = document["term_months"]
    for other in range(term + 1, LONGEST + 1) if longer else range(term - 1, 0, -1):
        yield other - term, {**without_payment(document), "term_months": other}


def least_changes(policy: CompiledPolicy, document: Document, lever: str) -> list[int]:
    """The least change of a lever that cures the deal, if any; of the term, shorter and longer."""
    before = judged(policy, document).results
    if lever != "collateral_value" and is_cured(before, judged(policy, without_payment(document)).results):
        return []  # the stated payment alone is in the way
    ways = (
        [terms(document, longer=False), terms(document, longer=True)]
        if lever == "term_months"
        else [changes(policy, document, lever)]
    )
    found = (
        next((change for change, changed in way if is_cured(before, judged(policy, changed).results)), None)
        for way in ways
    )
    return [change for change in found if change is not None]
