"""What several policies make of each deal of a book, side by side: the table behind comparisons, sweeps and stress."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import narwhals as nw
import polars as pl

from dealgate.adapters.portfolio.engines import Frames, Work
from dealgate.adapters.portfolio.rows import facts_of_row
from dealgate.adapters.portfolio.work import Compiled, read_rows, with_plan
from dealgate.rules.amounts import MAX_CENTS
from dealgate.rules.column_layout import CENTS, Layout
from dealgate.rules.column_numbers import ColumnNumber, half_up, whole
from dealgate.rules.column_plan import RESULTS, ColumnPlan
from dealgate.rules.fields import Unit
from dealgate.rules.policy import Policy
from dealgate.rules.reference import Reckoning, compile_reference

BREAKDOWN = ("tier", "dealer_id", "state", "submitted_on")
MEASURES = (
    "amount_financed",
    "collateral_value",
    "projected_deficiency",
    "rolled_in_negative_equity",
    "total_ltv",
)


@dataclass(frozen=True)
class Shock:
    """Every book value and every payoff of a trade-in changed by so many percent, to the nearest cent, halves up."""

    value_percent: int = 0
    payoff_percent: int = 0

    def percent(self, column: str) -> int:
        if column.startswith("value_") and column.endswith(CENTS):
            return self.value_percent
        return self.payoff_percent if column.endswith(f"_payoff{CENTS}") else 0

    def expression(self, column: str) -> nw.Expr:
        percent = 100 + self.percent(column)
        shocked = half_up(ColumnNumber(nw.col(column) * whole(percent), 0, MAX_CENTS * percent, 100, 100))
        found = shocked.expression
        return nw.when(found > whole(MAX_CENTS)).then(whole(MAX_CENTS)).otherwise(found)


def outcome_column(policy: int) -> str:
    return f"outcome_{policy}"


def rule_column(policy: int, rule: int) -> str:
    return f"rule_{policy}_{rule}"


@dataclass(frozen=True)
class Outcomes:
    """The deal, what it is broken down by, measures as the first policy defines them, and each policy's outcome and results.

    Results and outcomes stand as small integers, in the order of `Result` and `Outcome`.
    """

    policies: tuple[Policy, ...]
    layout: Layout
    shock: Shock = Shock()
    clean: bool = False

    @property
    def plans(self) -> tuple[ColumnPlan, ...]:
        return tuple(
            Compiled(policy, self.layout, frozenset() if number else frozenset(MEASURES), f"p{number}_").plan
            for number, policy in enumerate(self.policies)
        )

    @property
    def doubtful(self) -> nw.Expr | None:
        """The rows that some plan does not prove."""
        found = [plan.unproved for plan in self.plans if plan.unproved is not None]
        return reduce(lambda one, other: one | other, found) if found else None

    def result(self, frames: Frames, book: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        plans, doubtful = self.plans, self.doubtful
        found = self.shocked(book)
        if doubtful is not None:
            found = found.filter(~doubtful)
        for plan in plans:
            found = with_plan(frames, found, plan)
        return found.select("deal_id", *BREAKDOWN, **self._columns())

    def shocked(self, book: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        columns = dict.fromkeys([*BREAKDOWN, *(name for plan in self.plans for name in plan.reads)])
        return self.rows(book, columns)

    def rows(self, book: nw.LazyFrame[Any], columns: Iterable[str]) -> nw.LazyFrame[Any]:
        """The valid rows after the shock."""
        found = read_rows(book, self.layout, columns, clean=self.clean)
        changed = {column: self.shock.expression(column) for column in columns if self.shock.percent(column)}
        return found.with_columns(**changed) if changed else found

    def _columns(self) -> dict[str, nw.Expr]:
        found: dict[str, nw.Expr] = {}
        for name in MEASURES:
            measure = self.plans[0].measures[name]
            found[name] = measure.expression
            if self.policies[0].measures[name].unit == Unit.PERCENT:
                found[f"{name}_per"] = measure.denominator
        for number, plan in enumerate(self.plans):
            found[outcome_column(number)] = nw.col(plan.outcome_column)
            found |= {rule_column(number, at): nw.col(column) for at, column in enumerate(plan.rules.values())}
        return found


@dataclass(frozen=True)
class Doubtful:
    """The rows that columns do not prove, with all columns of the book, after the shock."""

    of: Outcomes

    def result(self, frames: Frames, book: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        doubtful = self.of.doubtful
        assert doubtful is not None
        return self.of.rows(book, [column.name for column in self.of.layout.columns]).filter(doubtful)


class JudgingOutcomes:
    """The judging of a table of outcomes: by columns, and by the reference where these prove nothing."""

    def __init__(self, work: Outcomes) -> None:
        self.work = work
        self.unproved: Work | None = None if work.doubtful is None else Doubtful(work)

    def settle(self, rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
        references = [compile_reference(policy) for policy in self.work.policies]
        found = [
            self._settled(row, [reference(facts_of_row(row, self.work.layout)) for reference in references])
            for row in rows
        ]
        return pl.DataFrame(found, orient="row", infer_schema_length=None)

    def _settled(self, row: Mapping[str, Any], reckonings: Sequence[Reckoning]) -> dict[str, Any]:
        settled = {name: row[name] for name in ("deal_id", *BREAKDOWN)}
        measures = reckonings[0].measures
        settled |= {name: measures[name].numerator for name in MEASURES}
        settled["total_ltv_per"] = measures["total_ltv"].denominator
        for number, (policy, reckoning) in enumerate(zip(self.work.policies, reckonings, strict=True)):
            settled[outcome_column(number)] = policy.outcome(reckoning.results).severity
            settled |= {
                rule_column(number, at): RESULTS.index(one) for at, one in enumerate(reckoning.results.values())
            }
        return settled
