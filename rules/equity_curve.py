"""The equity curve of a decided deal: the projection drawn again from the decision's own assumptions, and what it says."""

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from dealgate.rules.amounts import dollars, percent
from dealgate.rules.deal import PartialDeal
from dealgate.rules.equity import Equity, Projection, project
from dealgate.rules.reading import read_equity
from dealgate.rules.stated_values import RATE_SCALE
from dealgate.rules.structure import Document, Unknown, money_measure

NO_CURVE = "There is no equity curve"
DEFICIENCY_MONTHS = (12, 24)
MOST_YEARS = 8


class EquityCurve(NamedTuple):
    """Balance and value month by month, with the assumptions behind them."""

    projection: Projection
    equity: Equity
    apr_percent: str

    @property
    def months(self) -> int:
        return len(self.projection.balances) - 1

    @property
    def peak_month(self) -> int:
        """The month of the deepest shortfall."""
        pairs = enumerate(zip(self.projection.balances, self.projection.values, strict=True))
        return max(pairs, key=lambda month: month[1][0] - month[1][1])[0]

    @property
    def shown_months(self) -> list[int]:
        """The ends of the years, of every other or tenth year in a long loan, the month above water and the last."""
        years = next(years for years in (1, 2, 5, 10) if self.months <= 12 * years * MOST_YEARS)
        return sorted({*range(0, self.months + 1, 12 * years), self.projection.break_even_month, self.months})

    @property
    def underwater(self) -> tuple[tuple[int, int], ...]:
        """Each run of months in which more is owed than the vehicle is worth: its first and its last month."""
        pairs = enumerate(zip(self.projection.balances, self.projection.values, strict=True))
        runs = ([month for month, _ in run] for under, run in groupby(pairs, _is_underwater) if under)
        return tuple((run[0], run[-1]) for run in runs)

    @property
    def break_even(self) -> str:
        """When the deal comes above water, and whether it sinks again."""
        month, spells = self.projection.break_even_month, self.underwater
        later = [f"from month {first} to month {last}" for first, last in spells if first > month]
        if month == 0:
            first_words = "Above water at the deal" if later else "Above water from the start"
        else:
            first_words = f"Above water from month {month}"
        if month and month == self.months:
            first_words += ", the last payment"
        return f"{first_words}{', then underwater ' if later else ''}{' and '.join(later)}"

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the curve says: break-even, deepest shortfall, projected deficiencies."""
        return f"{self.break_even}.", self._shortfall, *self._deficiencies

    @property
    def _shortfall(self) -> str:
        peak = self.projection.peak_shortfall
        if not peak:
            return "The balance never exceeds the value."
        return (
            f"Deepest shortfall {dollars(peak)}, {f'in month {self.peak_month}' if self.peak_month else 'at the deal'}."
        )

    @property
    def _deficiencies(self) -> Iterator[str]:
        owed = {month: self.projection.deficiency(month) for month in DEFICIENCY_MONTHS if month < self.months}
        if any(owed.values()):
            parts = [f"after {month} months {dollars(deficiency)}" for month, deficiency in owed.items()]
            yield f"Deficiency if the lender sells {', '.join(parts)}."
        elif owed:
            yield f"No deficiency if the lender sells after {' or '.join(map(str, owed))} months."

    @property
    def assumptions(self) -> str:
        """What was assumed, in one sentence: every picture names it."""
        curve, cost = self.equity.curve, self.equity.disposal_cost.numerator
        payments = "one payment after a month" if self.months == 1 else f"{self.months} level monthly payments"
        return (
            f"Assumed: {curve.title} ({retained(self.equity, self.months)}); a lender's sale brings {self.wholesale} "
            f"of the value, {f'less {dollars(cost)} of disposal cost' if cost else 'without disposal cost'}; "
            f"{payments} at {self.apr_percent} % a year."
        )

    @property
    def source(self) -> str:
        return f"Source of the curve: {self.equity.curve.source}."

    @property
    def wholesale(self) -> str:
        factor = self.equity.wholesale_factor
        return percent_of(factor.numerator, factor.denominator)


def equity_curve(deal: Document, decision: Document) -> EquityCurve | Unknown:
    """The curve by the assumptions that the decision carries; `Unknown` says why there is none."""
    stated = PartialDeal.read(deal)
    if "equity" not in decision:
        return Unknown(f"{NO_CURVE}: the decision carries no assumptions")
    amount = money_measure(decision, "amount_financed", f"{NO_CURVE}, for the amount financed is not known")
    value = money_measure(decision, "collateral_value", f"{NO_CURVE}, for the collateral value is not known")
    if isinstance(amount, Unknown):
        return amount
    if isinstance(value, Unknown):
        return value
    rate, months = stated.apr_percent, stated.term_months
    missing = tuple(name for name, part in (("apr_percent", rate), ("term_months", months)) if part is None)
    if rate is None or months is None:
        return Unknown(NO_CURVE, missing)
    equity = read_equity(decision["equity"])
    projection = project(equity, amount, rate, 100 * RATE_SCALE, months, value)
    if projection is None:
        return Unknown(f"{NO_CURVE}: {'nothing is financed' if amount <= 0 else 'the collateral is worth nothing'}")
    return EquityCurve(projection, equity, stated.document()["apr_percent"])


def percent_of(numerator: int, denominator: int) -> str:
    """A percent for people: "84 %", "92.5 %"."""
    return f"{_short(percent(numerator, denominator))} %"


def retained(equity: Equity, months: int) -> str:
    """The shares that a curve retains, as far as the loan runs, and what is taken beyond the table."""
    years = -(-months // 12)
    shares = equity.curve.retained[:years]
    shown = ", ".join(_short(percent(share.numerator, share.denominator)) for share in shares)
    ends = "year 1" if len(shares) == 1 else f"years 1 to {len(shares)}"
    beyond = ", then falling as in the last" if years > len(equity.curve.retained) else ""
    return f"{shown} % of the value is left after {ends}{beyond}"


def _is_underwater(month: tuple[int, tuple[int, int]]) -> bool:
    balance, value = month[1]
    return balance > value


def _short(decimal: str) -> str:
    return decimal.rstrip("0").rstrip(".") if "." in decimal else decimal
