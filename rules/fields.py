"""What a rule can see of a deal: the names, their units, where they stand in the document."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from operator import itemgetter
from typing import Any

from dealgate.rules.deal import PartialDeal


class Unit(StrEnum):
    MONEY = "money"
    PERCENT = "percent"
    COUNT = "count"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"


@dataclass(frozen=True, slots=True)
class FieldOfDeal:
    """One fact of a deal. `path` is where it stands, and what an error or a request for information names.

    `personal` facts are about a person rather than the deal; the record keeps them where they can be erased. `least` is the least
    amount, in cents, that a document can state.
    """

    name: str
    unit: Unit
    path: str
    words: tuple[str, ...] = ()
    consumer_report: bool = False
    zero_when_absent: bool = False
    personal: bool = False
    least: int = 0


@dataclass(frozen=True, slots=True)
class ListOfDeal:
    """A list in a deal whose items a formula can add up. `told` is what no formula reads, and explanations name."""

    name: str
    items: Mapping[str, FieldOfDeal]
    told: tuple[str, ...] = ()


def _plain(name: str, unit: Unit, words: tuple[str, ...] = ()) -> FieldOfDeal:
    return FieldOfDeal(name, unit, name, words)


def _part_of_structure(name: str) -> FieldOfDeal:
    return FieldOfDeal(name, Unit.MONEY, name, zero_when_absent=True)


def _applicant(name: str, unit: Unit, *, consumer_report: bool = False, personal: bool = False) -> FieldOfDeal:
    return FieldOfDeal(name, unit, f"applicant.{name}", (), consumer_report, personal=personal)


def _vehicle(name: str, unit: Unit, words: tuple[str, ...] = ()) -> FieldOfDeal:
    return FieldOfDeal(name, unit, f"vehicle.{name}", words)


FIELDS: Mapping[str, FieldOfDeal] = {
    field.name: field
    for field in (
        _plain("submitted_on", Unit.DATE),
        _plain("expected_funding_on", Unit.DATE),
        _plain("channel", Unit.TEXT, ("indirect", "direct")),
        _plain("dealer_id", Unit.TEXT),
        _plain("state", Unit.TEXT),
        _applicant("tier", Unit.TEXT, consumer_report=True),
        _applicant("credit_score", Unit.COUNT, consumer_report=True, personal=True),
        _applicant("credit_report_as_of", Unit.DATE, consumer_report=True),
        _applicant("monthly_income", Unit.MONEY, personal=True),
        _applicant("monthly_debt", Unit.MONEY, personal=True),
        _applicant("first_time_buyer", Unit.BOOLEAN),
        _applicant("covered_borrower", Unit.BOOLEAN),
        _vehicle("condition", Unit.TEXT, ("new", "used")),
        _vehicle("model_year", Unit.COUNT),
        _vehicle("mileage", Unit.COUNT),
        _plain("cash_price", Unit.MONEY),
        _part_of_structure("sales_tax"),
        _part_of_structure("title_and_registration"),
        _part_of_structure("doc_fee"),
        _part_of_structure("cash_down"),
        _part_of_structure("rebate"),
        _part_of_structure("prepaid_finance_charge"),
        _plain("term_months", Unit.COUNT),
        _plain("apr_percent", Unit.PERCENT),
        # The measure `monthly_payment` is what rules read: as given, else computed.
        FieldOfDeal("given_monthly_payment", Unit.MONEY, "monthly_payment", least=1),
    )
}

LISTS: Mapping[str, ListOfDeal] = {
    "products": ListOfDeal("products", {"kind": _plain("kind", Unit.TEXT), "price": _plain("price", Unit.MONEY)}),
    "trade_ins": ListOfDeal(
        "trade_ins",
        {
            "kind": _plain("kind", Unit.TEXT, ("loan", "lease", "none")),
            "allowance": _plain("allowance", Unit.MONEY),
            "acv": _plain("acv", Unit.MONEY),
            "payoff": _plain("payoff", Unit.MONEY),
            "payoff_good_through": _plain("payoff_good_through", Unit.DATE),
            "per_diem": _plain("per_diem", Unit.MONEY),
        },
        told=("lienholder",),
    ),
}

BASIS_NAMES: Mapping[str, str] = {
    "invoice": "a dealer invoice",
    "msrp": "an MSRP",
    "jdpower_clean_trade": "a J.D. Power clean trade value",
    "jdpower_clean_retail": "a J.D. Power clean retail value",
    "kbb_trade_in": "a KBB trade-in value",
    "blackbook_average": "a Black Book average value",
}


def basis_name(basis: str) -> str:
    """How a sentence names a book value; a lender's own basis is read as it is written."""
    return BASIS_NAMES.get(basis) or f"a value on the basis {basis.replace('_', ' ')}"


Facts = Mapping[str, Any]
"""What the evaluators read: a value or None (unknown) for each field, a tuple of item facts for each list, `values` by basis, and
by basis again the day that each of them is of, `values_as_of`."""


_PLACES = {
    holder: [field for field in FIELDS.values() if field.path.rpartition(".")[0] == holder]
    for holder in ("", "applicant", "vehicle")
}
_NAMES = tuple(field.name for fields in _PLACES.values() for field in fields)
_of_deal, _of_applicant, _of_vehicle = (
    itemgetter(*(field.path.rpartition(".")[2] for field in fields)) for fields in _PLACES.values()
)

_ITEMS = {name: ((*part.items, *part.told), itemgetter(*part.items, *part.told)) for name, part in LISTS.items()}


def facts_of(deal: PartialDeal) -> Facts:
    """Lay a deal out as the facts a policy can see. Read from the parts' own dictionaries: a third of the time of attributes."""
    stated, vehicle = deal.__dict__, deal.vehicle.__dict__
    values = (*_of_deal(stated), *_of_applicant(deal.applicant.__dict__), *_of_vehicle(vehicle))
    facts: dict[str, Any] = dict(zip(_NAMES, values, strict=True))
    for name, (parts, read) in _ITEMS.items():
        facts[name] = tuple([dict(zip(parts, read(item.__dict__), strict=True)) for item in stated[name]])
    for trade in facts["trade_ins"]:
        if trade["kind"] == "none":
            trade["payoff"] = 0  # such a trade owes nothing, stated or not
    facts["values"] = {value.basis: value.amount for value in vehicle["values"]}
    submitted_on = facts["submitted_on"]
    facts["values_as_of"] = {value.basis: looked_up_on(value.as_of, submitted_on) for value in vehicle["values"]}
    return facts


def looked_up_on(as_of: date | None, submitted_on: date | None) -> date | None:
    """The day that a book value is of. No value can be looked up after the deal was submitted with it: such a day is unknown."""
    return None if as_of is None or (submitted_on is not None and as_of > submitted_on) else as_of
