"""A second opinion: the policy walked in fractions and three-valued logic, as the design's sentences say it and as slowly as it likes.

Shares nothing with the evaluators but the tree and the facts.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache, lru_cache
from math import floor
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from dealgate.rules import expressions as tree
from dealgate.rules.policy import Limit, Measure, Policy, Rule

Value = Any
"""A Fraction (cents, ratio or count), a text, a day, a truth; None when unknown."""

COMPARE = {"<=": le, "<": lt, ">=": ge, ">": gt, "==": eq, "!=": ne}
RATE = 1_000_000


def both(truths: Iterable[bool | None]) -> bool | None:
    """Kleene's `and`: false if any is false, else unknown if any is unknown."""
    seen = list(truths)
    return False if False in seen else None if None in seen else True


def either(truths: Iterable[bool | None]) -> bool | None:
    seen = list(truths)
    return True if True in seen else None if None in seen else False


def opposite(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


def rounded(amount: Fraction) -> Fraction:
    return Fraction(floor(amount + Fraction(1, 2)))


class Naive:
    """One deal under one policy. Results are the words of the design: pass, violated, mitigated, not_applicable, not_evaluable."""

    def __init__(self, policy: Policy, facts: Mapping[str, Any]) -> None:
        self.policy = policy
        self.facts = facts
        self.measures: dict[str, Value] = {}
        self.limits: dict[str, tuple[Value, int]] = {}
        self.results: dict[str, str] = {}
        for definition in policy.definitions:
            self._define(definition)
        for layer in policy.layers:
            for rule in layer:
                self.results[rule.id] = self._result(rule)

    @property
    def outcome(self) -> str:
        ladder = ["pass", "flag", "refer", "decline"]
        return max((self._severity(rule) for rule in self.policy.rules), key=ladder.index)

    def _severity(self, rule: Rule) -> str:
        match self.results[rule.id]:
            case "violated":
                return str(rule.otherwise)
            case "mitigated":
                assert rule.mitigated_by
                return str(rule.mitigated_by.to)
            case "not_evaluable":
                return str(self.policy.on_unknown)
        return "pass"

    def _result(self, rule: Rule) -> str:
        applies = True if rule.applies is None else self.value(rule.applies)
        if applies is None:
            return "not_evaluable"
        if not applies:
            return "not_applicable"
        holds = self.value(rule.require)
        if holds is None:
            return "not_evaluable"
        if holds:
            return "pass"
        softened = rule.mitigated_by is not None and self.value(rule.mitigated_by.when) is True
        return "mitigated" if softened else "violated"

    def _define(self, definition: Measure | Limit) -> None:
        if isinstance(definition, Measure):
            self.measures[definition.name] = self._amount(definition.formula, definition.unit)
            return
        self.limits[definition.name] = self._limit(definition)

    def _limit(self, limit: Limit) -> tuple[Value, int]:
        """The value and the row it came from, counted from 0; -1 where that is no single row."""
        rows = [(True if row.when is None else self.value(row.when), row) for row in limit.rows]
        if limit.hit_policy == "first":
            index = next((index for index, (holds, _) in enumerate(rows) if holds is not False), None)
            if index is None or rows[index][0] is None:
                return None, -1
            return self._amount(limit.rows[index].limit, limit.unit), index
        if any(holds is None for holds, _ in rows):
            return None, -1
        hits = [(self._amount(row.limit, limit.unit), index) for index, (holds, row) in enumerate(rows) if holds]
        if not hits and limit.default:
            return self._amount(limit.default.limit, limit.unit), len(rows)
        return self._of_all(limit.aggregate or limit.hit_policy, hits)

    def _of_all(self, policy: str, hits: list[tuple[Value, int]]) -> tuple[Value, int]:
        values = [value for value, _ in hits]
        if policy == "count":
            return Fraction(len(hits)), -1
        if policy == "unique":
            return hits[0] if len(hits) == 1 else (None, -1)
        if not hits or None in values:
            return None, -1
        if policy == "any":
            return hits[0] if len(set(values)) == 1 else (None, -1)
        if policy == "sum":
            return sum(values, Fraction(0)), hits[0][1] if len(hits) == 1 else -1
        return hits[values.index(min(values) if policy == "min" else max(values))]

    def _amount(self, expression: tree.Expression, unit: str) -> Value:
        value = self.value(expression)
        return rounded(value) if unit == "money" and value is not None else value

    def value(self, node: tree.Expression, item: Mapping[str, Any] | None = None) -> Value:
        match node:
            case tree.Number():
                return Fraction(node.numerator, node.denominator)
            case tree.Text() | tree.Truth():
                return node.value
            case tree.FieldName():
                return self._stated(self.facts[node.name], node.unit)
            case tree.ItemName():
                assert item is not None
                return self._stated(item[node.name], node.unit)
            case tree.MeasureName():
                return self.measures[node.name]
            case tree.LimitName():
                return self.limits[node.name][0]
            case tree.BookValueOn():
                return self._stated(self.facts["values"].get(node.basis), "money")
            case tree.ListedValue():
                bases = self.policy.collateral_value.get(self.facts["condition"], ())
                carried = [self.facts["values"][basis] for basis in bases if basis in self.facts["values"]]
                return Fraction(carried[0]) if carried else None
            case tree.Missing():
                return self.value(node.operand, item) is None
            case tree.Violated():
                result = self.results[node.rule]
                return None if result == "not_evaluable" else result in {"violated", "mitigated"}
            case tree.BookValueAsOf():
                return self.facts["values_as_of"].get(node.basis)
            case tree.ListedValueAsOf():
                bases = self.policy.collateral_value.get(self.facts["condition"], ())
                carried = [self.facts["values_as_of"][basis] for basis in bases if basis in self.facts["values"]]
                return carried[0] if carried else None
            case tree.ListSum() | tree.Greatest():
                return self._over_items(node)
            case tree.FirstKnown():
                return next((value for value in self._values(node.operands, item) if value is not None), None)
            case tree.All():
                return both(self._values(node.operands, item))
            case tree.Any():
                return either(self._values(node.operands, item))
            case tree.Not():
                return opposite(self.value(node.operand, item))
        return self._of_known(node, item)

    def _values(self, nodes: Iterable[tree.Expression], item: Mapping[str, Any] | None) -> list[Value]:
        return [self.value(node, item) for node in nodes]

    def _stated(self, value: Any, unit: str) -> Value:
        if value is None or unit in {"text", "boolean", "date"}:
            return value
        return Fraction(value, RATE) if unit == "percent" else Fraction(value)

    def _of_known(self, node: tree.Expression, item: Mapping[str, Any] | None) -> Value:
        """What is unknown as soon as one operand is."""
        values = self._values(tree.parts(node), item)
        if any(value is None for value in values):
            return None
        match node:
            case tree.Comparison():
                return COMPARE[node.operator](*values)
            case tree.Membership():
                return any(values[0] == option for option in values[1:])
            case tree.Extreme():
                return min(values) if node.name == "min" else max(values)
            case tree.Year():
                return Fraction(values[0].year)
            case tree.DaysBetween():
                return Fraction(values[1].toordinal() - values[0].toordinal())
            case tree.LevelPayment():
                return _payment(*values)
            case tree.Projected():
                return _projected(self.policy.equity, node.reading, *values)
            case tree.Arithmetic():
                return _arithmetic(node.operator, *values)
        raise AssertionError(f"no such node: {node}")

    def _over_items(self, node: tree.ListSum | tree.Greatest) -> Value:
        amounts = []
        for item in self.facts[node.list]:
            wanted = True if node.where is None else self.value(node.where, item)
            if wanted is None:
                return None
            if wanted:
                amounts.append(self.value(node.value, item))
        if None in amounts:
            return None
        return max([Fraction(0), *amounts]) if isinstance(node, tree.Greatest) else sum(amounts, Fraction(0))


def _arithmetic(operator: str, left: Fraction, right: Fraction) -> Value:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    return left / right if right > 0 else None


def _payment(amount: Fraction, rate: Fraction, months: Fraction) -> Value:
    if amount <= 0 or rate < 0 or not 0 < months <= 1200:
        return None
    r, n = rate / 12, int(months)
    return rounded(amount / n if r == 0 else amount * r / (1 - (1 + r) ** -n))


def _projected(
    equity: Any,
    reading: str,
    amount: Fraction,
    rate: Fraction,
    months: Fraction,
    value: Fraction,
    after: Fraction = Fraction(0),
) -> Value:
    """The projection again, with 60-digit powers where the project takes integer roots."""
    lent, first = rounded(amount), rounded(value)
    if _payment(lent, rate, months) is None or first <= 0 or after < 0:
        return None
    owed, worth = _schedule(equity, lent, rate, int(months), first)
    if reading == "break_even":
        return Fraction(min(month for month in range(int(months) + 1) if owed[month] <= worth[month]))
    if reading == "deepest_shortfall":
        return max(Fraction(0), *(balance - value for balance, value in zip(owed, worth, strict=True)))
    if after > months or not owed[int(after)]:
        return Fraction(0)
    factor = Fraction(equity.wholesale_factor.numerator, equity.wholesale_factor.denominator)
    return max(Fraction(0), owed[int(after)] + equity.disposal_cost.numerator - rounded(worth[int(after)] * factor))


@lru_cache(maxsize=8)
def _schedule(
    equity: Any, lent: Fraction, rate: Fraction, months: int, first: Fraction
) -> tuple[list[Fraction], list[Fraction]]:
    payment = _payment(lent, rate, Fraction(months))
    owed = [lent]
    for _ in range(months):
        owed.append(max(Fraction(0), owed[-1] + rounded(owed[-1] * rate / 12) - payment))
    owed[-1] = Fraction(0)
    return owed, [rounded(first * _share(equity.curve.retained, month)) for month in range(months + 1)]


@cache
def _share(retained: tuple[Any, ...], month: int) -> Fraction:
    ends = [Fraction(1), *(Fraction(share.numerator, share.denominator) for share in retained)]
    while len(ends) <= month // 12 + 1:
        ends.append(ends[-1] * ends[-1] / ends[-2])
    year, part = divmod(month, 12)
    with localcontext(prec=60):
        before, after = (Decimal(end.numerator) / Decimal(end.denominator) for end in ends[year : year + 2])
        share = before * (after / before) ** (Decimal(part) / 12) * 10**9
    return Fraction(int(share + Decimal("1e-30")), 10**9)
