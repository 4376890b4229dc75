"""The fields of the deal document as a mapping may fill them."""

from collections.abc import Mapping
from typing import NamedTuple

from dealgate.adapters.mappings.values import Kind
from dealgate.rules.fields import FIELDS, LISTS, FieldOfDeal, Unit

KINDS: Mapping[Unit, Kind] = {
    Unit.MONEY: Kind.MONEY,
    Unit.PERCENT: Kind.RATE,
    Unit.COUNT: Kind.COUNT,
    Unit.TEXT: Kind.TEXT,
    Unit.BOOLEAN: Kind.BOOLEAN,
    Unit.DATE: Kind.DATE,
}


class Target(NamedTuple):
    """A field of the deal document. `words` are the only ones it takes, where it has such."""

    kind: Kind
    words: tuple[str, ...] = ()
    required: bool = False
    structure: bool = False


def _target(field: FieldOfDeal, required: bool = False) -> Target:
    kind = Kind.MONTHS if field.name == "term_months" else KINDS[field.unit]
    return Target(kind, field.words, required, field.zero_when_absent)


REQUIRED = {"submitted_on", "cash_price", "term_months", "condition"}

TARGETS: Mapping[str, Target] = {
    "deal_id": Target(Kind.TEXT, required=True),
    **{field.path: _target(field, field.name in REQUIRED) for field in FIELDS.values()},
    "vehicle.vin": Target(Kind.TEXT),
}

ITEMS: Mapping[str, Mapping[str, Target]] = {
    "products": {name: _target(field, required=True) for name, field in LISTS["products"].items.items()},
    "trade_ins": {name: _target(field, name == "kind") for name, field in LISTS["trade_ins"].items.items()}
    | {"lienholder": Target(Kind.TEXT), "payoff_good_through": Target(Kind.DATE)},
    "vehicle.values": {
        "basis": Target(Kind.TEXT, required=True),
        "amount": Target(Kind.MONEY, required=True),
        "as_of": Target(Kind.DATE),
    },
}

GROUPS = ("applicant", "vehicle")
STRUCTURE_LISTS = ("products", "trade_ins")
"""Lists whose absence makes the structure smaller: a mapping says what it means that the payload has none."""
