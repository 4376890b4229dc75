"""The layout of a book: one row a deal, one column a field, amounts in whole cents, lists side by side in numbered columns.

What a column may hold is bounded as in the deal document: what the bounds prove about a policy's arithmetic holds for every row.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from dealgate.rules.amounts import MAX_CENTS
from dealgate.rules.deal import MAX_ITEMS
from dealgate.rules.fields import FIELDS, LISTS, FieldOfDeal, Unit
from dealgate.rules.stated_values import RATE_SCALE

CENTS = "_cents"
AS_OF = "_as_of"
RATE = "apr_ten_thousandths"
REQUIRED = ("deal_id", "submitted_on", "cash_price", "condition", "term_months")


class Bounds(NamedTuple):
    least: int
    most: int


COUNTS = {
    "credit_score": Bounds(250, 900),
    "model_year": Bounds(1900, 2100),
    "mileage": Bounds(0, 10_000_000),
    "term_months": Bounds(1, 600),
}
RATES = Bounds(0, 1000 * RATE_SCALE - 1)
MONEY = Bounds(0, MAX_CENTS)


@dataclass(frozen=True)
class BookColumn:
    """One column of a book. `stated` is what the column is called where amounts are dollars and rates percents."""

    name: str
    stated: str
    unit: Unit
    bounds: Bounds | None = None
    words: tuple[str, ...] = ()
    required: bool = False
    zero_when_absent: bool = False


def column_of(field: FieldOfDeal) -> str:
    """The book's column for a field of the deal."""
    stated = stated_name(field)
    if field.unit == Unit.PERCENT:
        return RATE
    return stated + CENTS if field.unit == Unit.MONEY else stated


def stated_name(field: FieldOfDeal) -> str:
    return field.path.rpartition(".")[2]


def value_column(basis: str) -> str:
    return f"value_{basis}{CENTS}"


def as_of_column(basis: str) -> str:
    return f"value_{basis}{AS_OF}"


def item_column(part: str, number: int, field: str) -> str:
    """The column of one field of the n-th item of a list, from 1: `trade_in_1_payoff_cents`."""
    unit = LISTS[part].items[field].unit
    return f"{part.removesuffix('s')}_{number}_{field}{CENTS if unit == Unit.MONEY else ''}"


@dataclass(frozen=True)
class Layout:
    """What differs from book to book: the bases of value that occur, and how many items the longest lists have."""

    bases: tuple[str, ...] = ()
    products: int = 0
    trade_ins: int = 0

    def items(self, part: str) -> int:
        return self.products if part == "products" else self.trade_ins

    @property
    def columns(self) -> tuple[BookColumn, ...]:
        return tuple(self._columns())

    def _columns(self) -> Iterator[BookColumn]:
        yield BookColumn("deal_id", "deal_id", Unit.TEXT, required=True)
        for field in FIELDS.values():
            stated = stated_name(field)
            money = MONEY._replace(least=field.least)
            bounds = {Unit.MONEY: money, Unit.PERCENT: RATES}.get(field.unit, COUNTS.get(stated))
            required, absent = stated in REQUIRED, field.zero_when_absent
            yield BookColumn(column_of(field), stated, field.unit, bounds, field.words, required, absent)
        for basis in self.bases:
            name = value_column(basis)
            yield BookColumn(name, name.removesuffix(CENTS), Unit.MONEY, MONEY)
            yield BookColumn(as_of_column(basis), as_of_column(basis), Unit.DATE)
        for part in LISTS:
            for number in range(1, self.items(part) + 1):
                yield from item_columns(part, number)


def item_columns(part: str, number: int) -> Iterator[BookColumn]:
    for field in LISTS[part].items.values():
        name = item_column(part, number, field.name)
        bounds = MONEY if field.unit == Unit.MONEY else None
        yield BookColumn(name, name.removesuffix(CENTS), field.unit, bounds, field.words)


def layout_of(names: Iterable[str]) -> Layout:
    """Read a book's layout from the names of its columns, as in the book or as stated in dollars."""
    bare = [name.removesuffix(CENTS if name.endswith(CENTS) else AS_OF) for name in names]
    bases = tuple(dict.fromkeys(name.removeprefix("value_") for name in bare if name.startswith("value_")))
    return Layout(bases, _most(bare, "product"), _most(bare, "trade_in"))


def _most(names: Iterable[str], item: str) -> int:
    numbers = (name.removeprefix(f"{item}_").partition("_")[0] for name in names if name.startswith(f"{item}_"))
    return max((int(number) for number in numbers if number.isdecimal() and int(number) <= MAX_ITEMS), default=0)
