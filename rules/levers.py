"""The levers a desk can pull on a deal: what each one changes, how far it goes, and the deal after the change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dealgate.rules.amounts import MAX_CENTS
from dealgate.rules.deal import PartialDeal
from dealgate.rules.fields import Facts
from dealgate.rules.policy import Policy
from dealgate.rules.ranging import Item, Reach
from dealgate.rules.reference import Reckoning
from dealgate.rules.spans import Span, Stretch, exactly
from dealgate.rules.tracing import Trace

LEVERS = ("cash_down", "cash_price", "products", "payoff", "term_months", "collateral_value")
"""In this order cures are told. It ranks nothing: which change suits the customer and the dealer, no policy knows."""

REACHES: Mapping[str, Reach] = {
    "cash_down": Reach(fields=frozenset({"cash_down"})),
    "cash_price": Reach(fields=frozenset({"cash_price"})),
    "products": Reach(lists=frozenset({"products"})),
    "payoff": Reach(items=frozenset({("trade_ins", "payoff")})),
    "term_months": Reach(fields=frozenset({"term_months"})),
    "collateral_value": Reach(book_value=True),
}

LONGEST_TERM_SOUGHT = 240
"""Months; the longest term a shipped policy knows. A deal that is longer already is not made longer still."""

MOST_PRODUCTS = 12
"""Of so many products every choice is tried, 4,095 at the most."""


@dataclass(frozen=True)
class Motion:
    """A deal with one number in motion: `start` plus or minus the change, which runs from 1 to `most`."""

    deal: PartialDeal
    base: Facts
    most: int
    start: int
    sign: int

    name = ""

    def facts(self, change: int) -> Facts:
        return {**self.base, self.name: self.start + self.sign * change}

    def after(self, change: int) -> PartialDeal:
        return self.deal.model_copy(update={self.name: self.start + self.sign * change})

    def to(self, change: int) -> int:
        """What the number comes to."""
        return self.start + self.sign * change

    def field(self, name: str, stretch: Stretch) -> Span | None:
        return stretch.line(self.start, self.sign)

    def book_value(self, basis: str, stretch: Stretch) -> Span | None:
        value = self.base["values"].get(basis)
        return None if value is None else exactly(value)

    def listed_value(self, stretch: Stretch) -> Span | None:
        return None

    def items(self, name: str, stretch: Stretch) -> Sequence[tuple[Item, bool]]:
        return [(item, True) for item in self.base[name]]


class CashDown(Motion):
    name = "cash_down"


class CashPrice(Motion):
    name = "cash_price"


class Term(Motion):
    name = "term_months"


@dataclass(frozen=True)
class CollateralValue(Motion):
    """The book value that secures the deal, higher than it is."""

    basis: str = ""

    def facts(self, change: int) -> Facts:
        return {**self.base, "values": {**self.base["values"], self.basis: self.start + change}}

    def after(self, change: int) -> PartialDeal:
        values = [
            value.model_copy(update={"amount": self.start + change}) if value.basis == self.basis else value
            for value in self.deal.vehicle.values
        ]
        return self.deal.model_copy(update={"vehicle": self.deal.vehicle.model_copy(update={"values": values})})

    def book_value(self, basis: str, stretch: Stretch) -> Span | None:
        return self.listed_value(stretch) if basis == self.basis else super().book_value(basis, stretch)

    def listed_value(self, stretch: Stretch) -> Span | None:
        return stretch.line(self.start, 1)


@dataclass(frozen=True)
class Payoff(Motion):
    """Payoffs that fall one trade after the other, the trade that is deepest under water first."""

    order: tuple[int, ...] = ()

    def payoffs(self, change: int) -> dict[int, int]:
        """What each trade's payoff comes to, by the trade's position."""
        left = {}
        for index in self.order:
            payoff = self.base["trade_ins"][index]["payoff"]
            paid = min(payoff, change)
            left[index], change = payoff - paid, change - paid
        return left

    def facts(self, change: int) -> Facts:
        left = self.payoffs(change)
        trades = [
            {**trade, "payoff": left[index]} if index in left else trade
            for index, trade in enumerate(self.base["trade_ins"])
        ]
        return {**self.base, "trade_ins": tuple(trades)}

    def after(self, change: int) -> PartialDeal:
        left = self.payoffs(change)
        trades = [
            trade.model_copy(update={"payoff": left[index]}) if index in left else trade
            for index, trade in enumerate(self.deal.trade_ins)
        ]
        return self.deal.model_copy(update={"trade_ins": trades})

    def items(self, name: str, stretch: Stretch) -> Sequence[tuple[Item, bool]]:
        if name != "trade_ins":
            return super().items(name, stretch)
        spans, paid_before = dict[int, Span](), 0
        for index in self.order:
            payoff = self.base["trade_ins"][index]["payoff"]
            spans[index] = _payoff_span(payoff, paid_before, stretch)
            paid_before += payoff
        return [
            ({**trade, "payoff": spans.get(index, trade["payoff"])}, True)
            for index, trade in enumerate(self.base["trade_ins"])
        ]


def _payoff_span(payoff: int, paid_before: int, stretch: Stretch) -> Span:
    """A payoff that stands until the trades before it are paid, then falls to nothing and stays there."""
    first, last = stretch.first - paid_before, stretch.last - paid_before
    if last <= 0:
        return exactly(payoff)
    if first >= payoff:
        return exactly(0)
    if first >= 0 and last <= payoff:
        return stretch.line(payoff + paid_before, -1)
    stretch.crossings |= {paid_before, paid_before + payoff}
    return Span(payoff - min(payoff, last), payoff - max(0, first))


@dataclass(frozen=True)
class Choice:
    """A deal with any of its products dropped."""

    deal: PartialDeal
    base: Facts

    def price(self, dropped: tuple[int, ...]) -> int:
        return sum(self.base["products"][index]["price"] for index in dropped)

    def facts(self, dropped: tuple[int, ...]) -> Facts:
        kept = [product for index, product in enumerate(self.base["products"]) if index not in dropped]
        return {**self.base, "products": tuple(kept)}

    def after(self, dropped: tuple[int, ...]) -> PartialDeal:
        kept = [product for index, product in enumerate(self.deal.products) if index not in dropped]
        return self.deal.model_copy(update={"products": kept})

    def field(self, name: str, stretch: Stretch) -> Span | None:
        return None

    def book_value(self, basis: str, stretch: Stretch) -> Span | None:
        value = self.base["values"].get(basis)
        return None if value is None else exactly(value)

    def listed_value(self, stretch: Stretch) -> Span | None:
        return None

    def items(self, name: str, stretch: Stretch) -> Sequence[tuple[Item, bool]]:
        return [(item, name != "products") for item in self.base[name]]


@dataclass(frozen=True)
class Start:
    """A deal before any change, as a lever finds it: a stated payment is gone where the lever changes what it pays off."""

    deal: PartialDeal
    facts: Facts
    reckoning: Reckoning
    policy: Policy
    stated_payment: int | None = field(default=None)

    @cached_property
    def trace(self) -> Trace:
        """One for all levers: what none of them moves is worked out once."""
        return Trace(self.policy, self.facts, self.reckoning)

    @property
    def financed(self) -> int | None:
        """The amount financed in cents, None when unknown."""
        return self.reckoning.measures["amount_financed"].numerator

    def short_of_everything(self, most: int) -> int:
        """No change takes away the whole loan: what is left to finance stays above zero."""
        return most if self.financed is None else min(most, self.financed - 1)


def motions(lever: str, start: Start) -> tuple[Motion, ...] | str:
    """The ways a lever can move a deal, or why it cannot."""
    found = _motions(lever, start)
    if isinstance(found, str):
        return found
    return tuple(motion for motion in found if motion.most >= 1) or "There is no room to change it."


def _motions(lever: str, start: Start) -> tuple[Motion, ...] | str:
    deal, facts = start.deal, start.facts
    match lever:
        case "cash_down":
            down = facts["cash_down"]
            return (CashDown(deal, facts, start.short_of_everything(MAX_CENTS - down), down, 1),)
        case "cash_price":
            price = facts["cash_price"]
            if price is None:
                return "The cash price is unknown."
            return (CashPrice(deal, facts, start.short_of_everything(price - 1), price, -1),)
        case "payoff":
            return _payoff(start)
        case "term_months":
            term = facts["term_months"]
            if term is None:
                return "The term is unknown."
            shorter = Term(deal, facts, term - 1, term, -1)
            return shorter, Term(deal, facts, LONGEST_TERM_SOUGHT - term, term, 1)
    return _collateral_value(start)


def _payoff(start: Start) -> tuple[Motion, ...] | str:
    trades: tuple[Mapping[str, Any], ...] = start.facts["trade_ins"]
    owed = [index for index, trade in enumerate(trades) if trade["payoff"]]
    if not owed:
        return "The deal states no payoff."
    depth = {index: trades[index]["payoff"] - (trades[index]["allowance"] or 0) for index in owed}
    order = tuple(sorted(owed, key=lambda index: (-depth[index], index)))
    total = sum(trades[index]["payoff"] for index in owed)
    return (Payoff(start.deal, start.facts, start.short_of_everything(total), total, -1, order),)


def _collateral_value(start: Start) -> tuple[Motion, ...] | str:
    values: Mapping[str, int] = start.facts["values"]
    bases = start.policy.collateral_value.get(start.facts["condition"], ())
    basis = next((basis for basis in bases if basis in values), None)
    if basis is None:
        return "The deal carries no value on the policy's list."
    value = values[basis]
    return (CollateralValue(start.deal, start.facts, MAX_CENTS - value, value, 1, basis),)
