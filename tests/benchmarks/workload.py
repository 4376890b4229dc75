"""Policies of any size and the deals they are held against: the same rules as a policy document and as plain comparisons.

The deals stay as they are; the limits move. A rule that is to be violated has a limit that every deal breaks, any other
rule one that every deal keeps, so each deal breaks exactly the rules that were asked for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dealgate import Policy
from dealgate.rules.amounts import hundredths
from tests.benchmarks.deals import TIERS, Deals, PlainFacts

TABLE_ROOM = 4
"""Steps kept free between the limits to be broken and the deals: one for each tier."""


class Family(NamedTuple):
    """Rules on one measure. `step` is the distance from one rule's limit to the next, in the measure's smallest unit."""

    code: str
    measure: str
    unit: str
    step: int
    reason: str
    is_least: bool = False

    @property
    def operator(self) -> str:
        return ">=" if self.is_least else "<="

    def literal(self, limit: int) -> str:
        if self.unit == "percent":
            return f"{hundredths(limit)}%"
        return f"${hundredths(limit)}" if self.unit == "money" else str(limit)


COLLATERAL, TRADE, INCOME = (
    "Value or type of collateral not sufficient",
    "Unpaid balance on trade-in",
    "Income insufficient",
)

FAMILIES = (
    Family("LTV-TOTAL", "total_ltv", "percent", 100, COLLATERAL),
    Family("LTV-FRONT", "front_end_ltv", "percent", 100, COLLATERAL),
    Family("NE-TO-VALUE", "negative_equity_to_value", "percent", 50, TRADE),
    Family("PTI", "payment_to_income", "percent", 50, INCOME),
    Family("DTI", "debt_to_income", "percent", 100, "Excessive obligations in relation to income"),
    Family("NE-ROLLED", "rolled_in_negative_equity", "money", 10_000, TRADE),
    Family("AMOUNT", "amount_financed", "money", 25_000, "Amount of credit requested"),
    Family("TERM", "term_months", "count", 1, "Length of maturity requested"),
    Family("MILEAGE", "mileage", "count", 1_000, "Mileage of automobile"),
    Family("AGE", "vehicle_age", "count", 1, "Age of automobile"),
    Family("SCORE", "credit_score", "count", 1, "Credit history shown in the consumer report", is_least=True),
)


class Breach(NamedTuple):
    """A measure beyond its limit: the limit is a number, or the name of a fact that holds the tier's limit."""

    measure: str
    operator: str
    limit: int | str


class PlainRule(NamedTuple):
    """One rule as the peers get it: violated when every breach is there and the vehicle is of the condition, if one is named."""

    rule: str
    breaches: tuple[Breach, ...]
    condition: str | None


@dataclass(frozen=True)
class Workload:
    """One policy, the deals, and what every evaluator must find on each of them."""

    policy: str
    rules: tuple[PlainRule, ...]
    tables: Mapping[str, Mapping[str, int]]
    violated: frozenset[str]

    def read_policy(self) -> Policy:
        return Policy.from_text(self.policy)

    def facts(self, measured: PlainFacts) -> PlainFacts:
        """Everything a peer gets: the measures and, looked up already, the limits of the deal's tier."""
        tier = str(measured["tier"])
        return measured | {name: limits[tier] for name, limits in self.tables.items()}


HEADER = """\
policy: benchmark
version: "{rules}"
title: Benchmark, {rules} rules of which every deal breaks {violated}
effective_from: 2026-01-01
collateral_value:
  new: [invoice]
  used: [jdpower_clean_trade]
"""


def build_workload(deals: Deals, rules: int, violated: int) -> Workload:
    """A policy of so many rules, of which every deal breaks so many. The last rule is layered on two others.

    Of ten rules in a row one applies to used vehicles only (all are used) and one to new vehicles only (none is). Of each
    family, every other rule has a table of limits by tier, the others one limit for all.
    """
    broken = frozenset(_indexes_to_break(rules, violated))
    tables: dict[str, dict[str, int]] = {}
    plain: list[PlainRule] = []
    written: list[str] = []
    for index in range(rules - 1):
        family, position = FAMILIES[index % len(FAMILIES)], index // len(FAMILIES)
        edge = _Edge(family, *deals.edges[family.measure], breaks=index in broken)
        name: int | str = edge.limit(position, 0)
        if position % 2 == 0:
            name = f"limit_{family.measure}_{position}"
            tables[name] = {tier: edge.limit(position, offset) for offset, tier in enumerate(reversed(TIERS))}
        condition = {3: "used", 7: "new"}.get(index % 10)
        rule = f"{family.code}-{position}"
        plain.append(PlainRule(rule, (Breach(family.measure, "<" if family.is_least else ">", name),), condition))
        shown = name if isinstance(name, str) else family.literal(name)
        written.append(_rule_text(rule, f"{family.measure} {family.operator} {shown}", family.reason, condition))
    first, second = plain[0], plain[5]
    plain.append(PlainRule("LAYERED", first.breaches + second.breaches, None))
    layered = f"not (violated({_quoted(first.rule)}) and violated({_quoted(second.rule)}))"
    written.append(_rule_text("LAYERED", layered, COLLATERAL, None))
    header = HEADER.format(rules=rules, violated=violated)
    text = header + "limits:\n" + "".join(map(_table_text, tables.items())) + "rules:\n" + "".join(written)
    return Workload(text, tuple(plain), tables, frozenset(plain[index].rule for index in broken))


def _indexes_to_break(rules: int, violated: int) -> Iterable[int]:
    """From all over the policy; the layered rule exactly when both rules it rests on are broken, as it must be."""
    layered = rules - 1
    applicable = [index for index in range(layered) if index % 10 != 7 and index not in {0, 5}]
    mixed = [index for start in range(3) for index in applicable[start::3]]
    chosen = [0, 5, layered, *mixed][:violated] if violated > 2 else [0, *mixed][:violated]
    assert len(chosen) == violated, f"a policy of {rules} rules cannot have {violated} violated"
    return chosen


class _Edge(NamedTuple):
    """Where the limits of a family lie: beyond what every deal keeps, or beyond what every deal breaks."""

    family: Family
    least: int
    most: int
    breaks: bool

    def limit(self, position: int, offset: int) -> int:
        """`offset` is the tier's, kinder with each step."""
        family = self.family
        inward = (TABLE_ROOM + position - offset) * family.step
        outward = (1 + position + offset) * family.step
        if family.is_least:
            return self.most + inward if self.breaks else self.least - outward
        return self.least - inward if self.breaks else self.most + outward


def _quoted(text: str) -> str:
    return f'"{text}"'


def _rule_text(rule: str, require: str, reason: str, condition: str | None) -> str:
    applies = f"    applies: condition == {_quoted(condition)}\n" if condition else ""
    return (
        f"  - id: {rule}\n    title: {rule} within policy\n{applies}"
        f"    require: {require}\n    otherwise: refer\n    reason: {reason}\n"
    )


def _table_text(table: tuple[str, Mapping[str, int]]) -> str:
    name, limits = table
    measure = name.removeprefix("limit_").rpartition("_")[0]
    family = next(family for family in FAMILIES if family.measure == measure)
    rows = [
        f"      - when: tier == {_quoted(tier)}\n        limit: {family.literal(limits[tier])}\n" for tier in TIERS[:-1]
    ]
    return (
        f"  {name}:\n    unit: {family.unit}\n    rows:\n"
        + "".join(rows)
        + f"      - limit: {family.literal(limits[TIERS[-1]])}\n"
    )
