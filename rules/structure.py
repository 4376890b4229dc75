"""The structure of a decided deal, step by step from the cash price to the amount financed, and how much its limit allows.

Read from the documents of deal and decision, so that a stored decision shows what a fresh one does.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from dealgate.rules.amounts import dollars, hundredths, percent
from dealgate.rules.deal import PartialDeal, TradeIn

Document = Mapping[str, Any]


class Unknown(NamedTuple):
    """What cannot be shown, and the fields of the deal that it would take."""

    what: str
    missing: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        if not self.missing:
            return f"{self.what}."
        return f"{self.what}: {_listed(self.missing)} {'is' if len(self.missing) == 1 else 'are'} unknown."


class Step(NamedTuple):
    """What one part of the structure adds to the amount financed, in cents; a credit is negative."""

    label: str
    amount: int


class LtvLimit(NamedTuple):
    """A limit on total LTV that applies to the deal: the rule, the percent as the decision shows it, and what may be lent."""

    rule: str
    percent: str
    amount: int


class Structure(NamedTuple):
    """Steps that sum to the amount financed exactly, beside the collateral value and the tightest limit on total LTV."""

    steps: tuple[Step, ...]
    amount_financed: int
    collateral_value: int | Unknown
    total_ltv: str | None
    limit: LtvLimit | None

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the numbers say together, in two sentences."""
        return self._loan_to_value, self._against_the_limit

    @property
    def _loan_to_value(self) -> str:
        financed = f"Amount financed {dollars(self.amount_financed)}"
        if isinstance(self.collateral_value, Unknown):
            return f"{financed}. {self.collateral_value.sentence}"
        share = "" if self.total_ltv is None else f": total LTV {self.total_ltv} %"
        if self._divides_others:
            share = f"; total LTV, by the policy's own formula, {self.total_ltv} %"
        return f"{financed} on a collateral value of {dollars(self.collateral_value)}{share}."

    @property
    def _divides_others(self) -> bool:
        """Whether the total LTV is another than that of these amounts."""
        value = self.collateral_value
        if self.total_ltv is None or isinstance(value, Unknown):
            return False
        return value <= 0 or percent(self.amount_financed, value) != self.total_ltv

    @property
    def _against_the_limit(self) -> str:
        if self.limit is None and self._divides_others:
            return "Limits on total LTV are held against the policy's own formula, not against these amounts."
        if self.limit is None:
            return "No limit on total LTV could be applied."
        room = self.limit.amount - self.amount_financed
        distance = f"{dollars(room)} to spare" if room >= 0 else f"{dollars(-room)} over"
        limit = f"{self.limit.percent} % ({self.limit.rule})"
        return (
            f"The tightest limit on total LTV that applies, {limit}, allows {dollars(self.limit.amount)}: {distance}."
        )


def structure_of(deal: Document, decision: Document) -> Structure | Unknown:
    """The structure as decided; `Unknown` when the amount financed is."""
    amount = money_measure(decision, "amount_financed", "The amount financed is not known")
    if isinstance(amount, Unknown):
        return amount
    value = money_measure(decision, "collateral_value", "The collateral value is not known")
    stated = tuple(_stated_steps(PartialDeal.read(deal)))
    # A policy may define the amount financed in its own way; what it counts beside the stated parts is a step too.
    others = Step("Other, by the policy", amount - sum(step.amount for step in stated))
    steps = tuple(step for step in (*stated, others) if step.amount)
    total_ltv = decision["measures"].get("total_ltv", {}).get("value")
    return Structure(steps, amount, value, total_ltv, _tightest_limit(decision, amount, value))


def money_measure(decision: Document, name: str, otherwise: str) -> int | Unknown:
    """A measure in cents, or why there is none."""
    measure = decision["measures"].get(name, {})
    value = measure.get("value")
    return Unknown(otherwise, tuple(measure.get("missing", ()))) if value is None else cents(value)


def cents(text: str) -> int:
    """Read money as documents of decisions write it: "-0.05" is -5."""
    return int(text.replace(".", ""))


def _stated_steps(deal: PartialDeal) -> Iterator[Step]:
    yield Step("Cash price", deal.cash_price or 0)
    yield Step("Sales tax", deal.sales_tax)
    yield Step("Title and fees", deal.title_and_registration + deal.doc_fee)
    yield Step("Products", sum(product.price for product in deal.products))
    equity = [_owed_above_allowance(trade) for trade in deal.trade_ins]
    net = sum(amount for amount in equity if amount is not None) if None not in equity else 0
    yield Step("Negative equity" if net > 0 else "Trade-in equity", net)
    yield Step("Cash down", -deal.cash_down)
    yield Step("Rebate", -deal.rebate)
    yield Step("Prepaid finance charge", -deal.prepaid_finance_charge)


def _owed_above_allowance(trade: TradeIn) -> int | None:
    payoff = 0 if trade.kind == "none" else trade.payoff
    return None if payoff is None or trade.allowance is None else payoff - trade.allowance


def _tightest_limit(decision: Document, amount: int, value: int | Unknown) -> LtvLimit | None:
    ratio = decision["measures"].get("total_ltv", {})
    # A policy's own total LTV may divide other amounts; its limit then has no place beside these.
    if isinstance(value, Unknown) or value <= 0 or not _divides(ratio, amount, value):
        return None
    limits = (_limit(finding, amount, value) for finding in decision["findings"])
    return min((limit for limit in limits if limit), key=lambda limit: limit.amount, default=None)


def _divides(ratio: Document, amount: int, value: int) -> bool:
    return (ratio.get("numerator"), ratio.get("denominator")) == (hundredths(amount), hundredths(value))


def _limit(finding: Document, amount: int, value: int) -> LtvLimit | None:
    """The most that a finding's rule lets be financed, exact through the margin it carries; None for any other rule."""
    margin, limit = finding.get("margin"), finding.get("limit")
    if finding.get("measure") != "total_ltv" or margin is None or limit is None:
        return None
    room, shown_room = 10_000 * cents(str(margin)), cents(str(limit)) * value - 10_000 * amount
    if abs(shown_room + room) < abs(shown_room - room):  # a rule that asks for at least so much
        return None
    return LtvLimit(finding["rule"], str(limit), amount + cents(str(margin)))


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
