"""A payload as a tree in which every value knows where it stands and whether it was taken.

So what no path took can be told: a down payment under an unknown name must not vanish.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from dealgate.adapters.mappings.problems import UnreadableError, shown

MOST_DEPTH = 50
MOST_VALUES = 20_000
"""Of one deal. Each is an object in memory, many times as large as the bytes that may have written it."""

MONEY_WORDS = re.compile(
    r"amount|price|paid|pay(ment|off|able)|down|cash|deposit|fee|tax|charge|cost|balance|owe[ds]|allowance|equity|trade"
    r"|rebate|incentive|credit(?!.?(score|limit))|premium|warrant|insur|gap|contract|product|cover|due|net|gross|amt|pmt|finance"
    r"|lien|loan|plan|mainten|discount|debt|value|service",
    re.IGNORECASE,
)
"""Words in the name of a field that make a number in it look like money of the structure."""

RATES = re.compile(r"rate|ratio|percent(age)?|apr|factor|score", re.IGNORECASE)
LABELS = re.compile(
    r"id|number|num|no|code|date|count|ind(icator)?|type|year|term|months|phone|zip|mileage", re.IGNORECASE
)
"""Last words of names of what is a rate, and of what only labels: a number there is money only if it is written in dollars and cents."""

WORDS = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=\D)(?=\d)|(?<=\d)(?=\D)")
"""Where one word of a name ends: the `id` of `tradeId` is one, that of `paid` is none."""

CURRENCY = r"USD?|CAD?|CDN|MXN|EUR|GBP|[$€£¥]"
NUMBER_LIKE = re.compile(
    rf"([-+(~<>=≈\s]|{CURRENCY}|[A-Z]{{1,3}}(?=[$€£¥]))*+\d[\d.,' ]*([eE][-+]?\d+)?"
    rf"([-+)~.%\s]|{CURRENCY}|dollars?|thousand|million|k|m)*+",
    re.ASCII | re.IGNORECASE,
)
LONGEST_AMOUNT = 60
"""A longer text is no amount, and looking for one in it could take long."""

CENTS_LIKE = re.compile(r"\d[.,]\d\d\D*$", re.ASCII)
CURRENCY_SIGN = re.compile("[$€£¥]")


class Text(str):
    """A text of the payload, empty where the host left it empty or wrote null. An XML element's attributes are below it."""

    __slots__ = ("attributes", "taken", "where")
    attributes: "Branch"
    taken: bool
    where: str

    def get(self, name: str) -> Any:
        """JMESPath asks objects for their parts in this way."""
        return self.attributes.get(name)


class Number(Decimal):
    """A number of the payload, with its digits as they were written."""

    taken: bool
    where: str


class Branch(dict[str, Any]):
    """An object of the payload."""

    where = ""


Leaf = Text | Number
NO_ATTRIBUTES = Branch()


@dataclass(slots=True)
class Payload:
    """One deal as the host wrote it, or as an object of its program holds it. `place` says where in a stream: "line 3"."""

    root: Branch = field(default_factory=Branch)
    leaves: list[Leaf] = field(default_factory=list)
    number: int = 1
    place: str = ""
    held: bool = False

    def leaf(self, value: str | Decimal, where: str, attributes: Branch = NO_ATTRIBUTES) -> Leaf:
        """Raises `UnreadableError` for one value too many."""
        made: Leaf
        if isinstance(value, str):
            made = Text(value.strip())
            made.attributes = attributes
        else:
            made = Number(value)
        made.taken, made.where = False, where
        if len(self.leaves) >= MOST_VALUES:
            raise UnreadableError(f"more than {MOST_VALUES:,} values in one deal", "Send one deal.", "more", where)
        self.leaves.append(made)
        return made

    @property
    def untaken(self) -> Iterator[Leaf]:
        """What says something and no path took."""
        return (leaf for leaf in self.leaves if not leaf.taken and leaf != "")


def of_objects(value: Mapping[str, Any], *, held: bool = False) -> Payload:
    """The tree of plain values: parsed JSON, or the attributes of a host's object. Raises `UnreadableError`."""
    payload = Payload(held=held)
    payload.root = _branch(payload, value, "", MOST_DEPTH)
    return payload


def _branch(payload: Payload, parts: Mapping[str, Any], where: str, depth: int) -> Branch:
    named = ((str(name), part) for name, part in parts.items())
    made = Branch({name: _node(payload, part, f"{where}.{name}" if where else name, depth - 1) for name, part in named})
    made.where = where
    return made


def _node(payload: Payload, value: object, where: str, depth: int) -> Any:
    if depth < 0:
        raise UnreadableError(f"nested deeper than {MOST_DEPTH} levels", "Send one deal, as documented.", "more", where)
    match value:
        case Mapping():
            return _branch(payload, value, where, depth)
        case list() | tuple():
            return [_node(payload, part, f"{where}[{index}]", depth - 1) for index, part in enumerate(value)]
        case None:
            return payload.leaf("", where)
        case bool() | date():
            return value
        case Decimal() if payload.held:
            return payload.leaf(_digits(value), where)
        case str() | Decimal():
            return payload.leaf(value, where)
        case int():
            return payload.leaf(Decimal(value), where)
        case float():
            raise UnreadableError("a binary float is not exact", "Give a Decimal or a text.", shown(value), where)
    raise UnreadableError(f"a {type(value).__name__} cannot be read", "Give plain values.", "an object", where)


def _digits(value: Decimal) -> Decimal:
    """An amount that a database driver holds as 1E+3; written so in a text it is refused."""
    exponent = value.as_tuple().exponent
    return Decimal(f"{value:f}") if isinstance(exponent, int) and 0 < exponent < 12 else value


def is_money_like(leaf: Leaf) -> bool:
    """Whether it could be money of the structure: a number above or below zero, in dollars and cents or under a name of money."""
    text = str(leaf)
    if len(text) > LONGEST_AMOUNT or not NUMBER_LIKE.fullmatch(text) or not text.strip("0.,+-$€£ %()"):
        return False
    if CURRENCY_SIGN.search(text):
        return True
    names = without_numbers(leaf.where).split(".")
    last = WORDS.split(names[-1])[-1]
    in_cents = bool(CENTS_LIKE.search(text))
    if RATES.fullmatch(last):
        return in_cents and "%" not in text
    return in_cents or bool(MONEY_WORDS.search(".".join(names[-2:])) and not LABELS.fullmatch(last))


def without_numbers(where: str) -> str:
    return re.sub(r"\[\d+\]", "", where)
