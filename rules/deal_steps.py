"""A deal document with one of its numbers moved: what the search for boundary deals walks along.

A document holds what a host sends, so a deal that was found can be written down as it stands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from dealgate.rules.amounts import MAX_CENTS, hundredths
from dealgate.rules.deal import PartialDeal
from dealgate.rules.expressions import (
    BookValueAsOf,
    BookValueOn,
    Expression,
    FieldName,
    Greatest,
    ItemName,
    LimitName,
    ListedValue,
    ListedValueAsOf,
    ListSum,
    MeasureName,
    Violated,
    walk,
)
from dealgate.rules.fields import FIELDS, LISTS, Unit
from dealgate.rules.policy import Policy, Rule

Document = Mapping[str, Any]
Path = tuple[str | int, ...]

RANGES = {"credit_score": (250, 900), "model_year": (1900, 2100), "mileage": (0, 10_000_000), "term_months": (1, 600)}
"""What the deal document admits of the fields that are counts."""

MOST_BASIS_POINTS = 99_999

MOVABLE = {Unit.MONEY, Unit.COUNT, Unit.PERCENT, Unit.DATE}

PREFERRED = (
    "monthly_payment", "cash_price", "payoff", "acv", "allowance", "price", "cash_down", "monthly_debt", "monthly_income",
)  # fmt: skip
"""What is moved first where a comparison reads several numbers: what upsets the fewest other rules."""

VALUE = "(book value)"
VALUE_AS_OF = "(day of the book value)"

DAYS = (date(2020, 1, 1).toordinal(), date(2035, 12, 31).toordinal())
"""How far a date goes, in days of the calendar. The day of submission stays: everything is dated by it."""


@dataclass(frozen=True)
class Step:
    """One number of a deal: where it stands, and how far it goes, in cents, basis points, days of the calendar, or whole counts."""

    path: Path
    unit: Unit
    least: int
    most: int

    def __str__(self) -> str:
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text

    @property
    def size(self) -> str:
        return {Unit.MONEY: "one cent", Unit.PERCENT: "one basis point", Unit.DATE: "one day"}.get(self.unit, "one")

    def number(self, deal: Document) -> int | None:
        value: Any = deal
        for part in self.path:
            value = value[part] if isinstance(part, int) else value.get(part)
            if value is None:
                return None
        if self.unit == Unit.DATE:
            return date.fromisoformat(value).toordinal()
        return int(value) if self.unit == Unit.COUNT else _hundredths_in(str(value))

    def moved(self, deal: Document, number: int) -> Document:
        changed: Document = replaced(deal, self.path, self._stated(number))
        return changed

    def _stated(self, number: int) -> str | int:
        if self.unit == Unit.DATE:
            return date.fromordinal(number).isoformat()
        return number if self.unit == Unit.COUNT else hundredths(number)


def replaced(part: Any, path: Path, value: object) -> Any:
    """A document with one value set, everything else as it was."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        return [replaced(item, rest, value) if index == step else item for index, item in enumerate(part)]
    part = part or {}
    return {**part, step: replaced(part.get(step), rest, value)}


def _hundredths_in(text: str) -> int:
    whole, _, places = text.partition(".")
    return int(whole) * 100 + int(places[:2].ljust(2, "0"))


def steps_of(deal: Document, names: frozenset[str]) -> list[Step]:
    """The numbers of a deal that `names` speaks of, in the order of preference."""
    found = [*_field_steps(names), *_item_steps(deal, names)]
    return sorted(found, key=_rank)


def _rank(step: Step) -> int:
    name = str(step.path[-1])
    return PREFERRED.index(name) if name in PREFERRED else len(PREFERRED)


def _field_steps(names: frozenset[str]) -> Iterator[Step]:
    for field in FIELDS.values():
        if field.name in names and field.unit in MOVABLE and field.name != "submitted_on":
            yield _step(tuple(field.path.split(".")), field.unit, field.least)


def _item_steps(deal: Document, names: frozenset[str]) -> Iterator[Step]:
    for name, part in LISTS.items():
        for index in range(len(deal.get(name, ()))):
            for field in part.items.values():
                if f"{name}.{field.name}" in names and field.unit in MOVABLE:
                    yield _step((name, index, field.name), field.unit)
    for index in range(len(deal.get("vehicle", {}).get("values", ()))):
        if VALUE in names:
            yield _step(("vehicle", "values", index, "amount"), Unit.MONEY)
        if VALUE_AS_OF in names:
            yield _step(("vehicle", "values", index, "as_of"), Unit.DATE)


def _step(path: Path, unit: Unit, least: int = 0) -> Step:
    if unit == Unit.COUNT:
        return Step(path, unit, *RANGES[str(path[-1])])
    if unit == Unit.DATE:
        return Step(path, unit, *DAYS)
    return Step(path, unit, least, MAX_CENTS if unit == Unit.MONEY else MOST_BASIS_POINTS)


def numbers_read(policy: Policy, *expressions: Expression | None) -> frozenset[str]:
    """Names of what expressions read of a deal, through measures, limits and other rules: fields, `list.field`, book values."""
    found: set[str] = set()
    seen: set[str] = set()
    rules = {rule.id: rule for rule in policy.rules}
    waiting = [expression for expression in expressions if expression is not None]
    while waiting:
        for node in walk(waiting.pop()):
            match node:
                case FieldName(name):
                    found.add(name)
                case ListedValue() | BookValueOn():
                    found.add(VALUE)
                case ListedValueAsOf() | BookValueAsOf():
                    found.add(VALUE_AS_OF)
                case ListSum(name) | Greatest(name):
                    found |= {f"{name}.{part.name}" for part in walk(node) if isinstance(part, ItemName)}
                case MeasureName(name) | LimitName(name) | Violated(name) if name not in seen:
                    seen.add(name)
                    waiting += _below(policy, rules, node)
    return frozenset(found)


def _below(policy: Policy, rules: Mapping[str, Rule], node: Expression) -> list[Expression]:
    match node:
        case MeasureName(name):
            return [policy.measures[name].formula]
        case LimitName(name):
            return [part for row in policy.limits[name].all_rows for part in (row.when, row.limit) if part is not None]
        case Violated(rule):
            return list(rules[rule].expressions())
    return []


def starting_deals(policy: Policy) -> list[Document]:
    """The deals of the policy's examples, then plain ones that say everything a rule can ask."""
    stated = [PartialDeal.read(example.deal).document() for example in policy.examples]
    plain = [_plain_deal(policy, condition, owed) for condition in ("used", "new") for owed in ("12000.00", "9000.00")]
    return [*stated, *plain]


def _plain_deal(policy: Policy, condition: str, owed: str) -> Document:
    bases = dict.fromkeys(basis for listed in policy.collateral_value.values() for basis in listed)
    return {
        "submitted_on": "2026-11-20",
        "expected_funding_on": "2026-11-27",
        "channel": "indirect",
        "dealer_id": "DLR-0001",
        "state": "TX",
        "applicant": {
            "tier": "A", "credit_score": 760, "monthly_income": "8000.00", "monthly_debt": "1000.00",
            "first_time_buyer": False, "covered_borrower": False, "credit_report_as_of": "2026-11-16",
        },
        "vehicle": {
            "condition": condition, "model_year": 2024, "mileage": 20000,
            "values": [{"basis": basis, "amount": "30000.00", "as_of": "2026-11-18"} for basis in bases],
        },
        "cash_price": "30000.00",
        "products": [{"kind": "gap", "price": "500.00"}, {"kind": "service_contract", "price": "500.00"}],
        "trade_ins": [
            {
                "kind": "loan", "allowance": "10000.00", "acv": "10000.00", "payoff": owed,
                "payoff_good_through": "2026-11-30", "per_diem": "2.50",
            }
        ],
        "cash_down": "1000.00",
        "term_months": 60,
        "apr_percent": "7.00",
    }  # fmt: skip
