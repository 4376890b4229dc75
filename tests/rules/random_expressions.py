"""Random typed expressions. Each is small: what matters is how the parts meet."""

from fractions import Fraction
from functools import cache
from typing import Any

from hypothesis import strategies as st

from dealgate.rules.amounts import MAX_CENTS
from dealgate.rules.expressions import (
    All,
    Arithmetic,
    BookValueAsOf,
    BookValueOn,
    Comparison,
    DaysBetween,
    Expression,
    Extreme,
    FieldName,
    FirstKnown,
    Greatest,
    ItemName,
    LevelPayment,
    LimitName,
    ListedValue,
    ListedValueAsOf,
    ListSum,
    MeasureName,
    Membership,
    Missing,
    Not,
    Number,
    Projected,
    Text,
    Year,
)
from dealgate.rules.expressions import Any as AnyOf
from dealgate.rules.fields import FIELDS, LISTS, Unit
from dealgate.rules.reading import shipped_measures
from tests.rules.random_deals import EDGES

Strategy = st.SearchStrategy[Any]

LIMITS = {"max_money": Unit.MONEY, "max_percent": Unit.PERCENT, "max_count": Unit.COUNT}
"""The limits that random expressions read; a policy built around them declares them with these units."""


def _percent(millionths: int) -> Number:
    ratio = Fraction(millionths, 1_000_000)
    return Number(Unit.PERCENT, ratio.numerator, ratio.denominator)


NUMBERS: dict[Unit, Strategy] = {
    Unit.MONEY: st.one_of(st.sampled_from(EDGES), st.integers(-MAX_CENTS, 10**17)).map(
        lambda cents: Number(Unit.MONEY, cents)
    ),
    Unit.COUNT: st.one_of(st.integers(-3, 100), st.integers(0, 10**15)).map(lambda count: Number(Unit.COUNT, count)),
    Unit.PERCENT: st.one_of(
        st.sampled_from([0, 10_000, 150_000, 1_000_000, 1_250_000, 1_250_001]), st.integers(-1_000_000, 9_000_000)
    ).map(_percent),
}
OPERANDS_OF = {
    (Unit.MONEY, "*"): [
        (Unit.MONEY, Unit.COUNT),
        (Unit.PERCENT, Unit.MONEY),
        (Unit.MONEY, Unit.PERCENT),
        (Unit.COUNT, Unit.MONEY),
    ],
    (Unit.MONEY, "/"): [(Unit.MONEY, Unit.COUNT), (Unit.MONEY, Unit.PERCENT)],
    (Unit.PERCENT, "*"): [(Unit.PERCENT, Unit.PERCENT), (Unit.PERCENT, Unit.COUNT), (Unit.COUNT, Unit.PERCENT)],
    (Unit.PERCENT, "/"): [(Unit.MONEY, Unit.MONEY), (Unit.PERCENT, Unit.COUNT), (Unit.COUNT, Unit.COUNT)],
    (Unit.COUNT, "*"): [(Unit.COUNT, Unit.COUNT)],
}
ORDERED = st.sampled_from(["<=", "<", ">=", ">", "==", "!="])
ITEMS = {name: part.items for name, part in LISTS.items()}
TEXTS = st.sampled_from(["A", "B", "TX", "it's", 'the "best"', "", "ü"])


def _pair(*operands: Strategy) -> Strategy:
    return st.tuples(*operands)


@cache
def names(unit: Unit, items: str = "") -> Strategy:
    """Every name of a unit that an expression may hold: fields, measures, and in a list the items' own fields."""
    found: list[Expression] = [FieldName(name, unit) for name, field in FIELDS.items() if field.unit == unit]
    found += [MeasureName(name, unit) for name, measure in shipped_measures().items() if measure.unit == unit]
    found += [ItemName(name, unit) for name, field in ITEMS[items].items() if field.unit == unit] * 4 if items else []
    return st.sampled_from(found)


@cache
def numbers(unit: Unit, depth: int, items: str = "") -> Strategy:
    """Random numeric expressions of a unit."""
    limits = [LimitName(name, unit) for name, of in LIMITS.items() if of == unit]
    leaves = [NUMBERS[unit], names(unit, items), st.sampled_from(limits)]
    if unit == Unit.MONEY:
        leaves += [st.sampled_from([ListedValue(), BookValueOn("invoice"), BookValueOn("house value")])]
    if not depth:
        return st.one_of(leaves)
    same = numbers(unit, depth - 1, items)
    several = st.lists(same, min_size=2, max_size=3).map(tuple)
    deeper = [
        st.builds(Arithmetic, st.sampled_from("+-"), same, same, st.just(unit)),
        st.builds(Extreme, st.sampled_from(["min", "max"]), several, st.just(unit)),
        st.builds(FirstKnown, several, st.just(unit)),
        *(_arithmetic(unit, operator, depth, items) for operator in "*/" if (unit, operator) in OPERANDS_OF),
    ]
    if not items:
        deeper += [_over_items(Greatest, unit, depth - 1, name) for name in ITEMS]
    if not items and unit in {Unit.MONEY, Unit.COUNT}:
        deeper += [_over_items(ListSum, unit, depth - 1, name) for name in ITEMS]
    if unit == Unit.COUNT:
        deeper += [st.builds(Year, _dates(items)), st.builds(DaysBetween, _dates(items), _dates(items))]
    if unit == Unit.MONEY and not items:
        parts = [numbers(of, depth - 1) for of in (Unit.MONEY, Unit.PERCENT, Unit.COUNT)]
        deeper += [st.builds(LevelPayment, *parts), _projected("deepest_shortfall", depth)]
        deeper.append(_projected("deficiency_after", depth))
    if unit == Unit.COUNT and not items:
        deeper.append(_projected("break_even", depth))
    return st.one_of(*leaves, *deeper)


def _arithmetic(unit: Unit, operator: str, depth: int, items: str) -> Strategy:
    def build(units: tuple[Unit, Unit]) -> Strategy:
        return _pair(*(numbers(of, depth - 1, items) for of in units))

    pairs = st.sampled_from(OPERANDS_OF[unit, operator]).flatmap(build)
    return pairs.map(lambda pair: Arithmetic(operator, pair[0], pair[1], unit))


def _projected(reading: str, depth: int) -> Strategy:
    units = (Unit.MONEY, Unit.PERCENT, Unit.COUNT, Unit.MONEY)
    after = numbers(Unit.COUNT, 0) if reading == "deficiency_after" else st.none()
    unit = Unit.COUNT if reading == "break_even" else Unit.MONEY
    return st.builds(Projected, st.just(reading), *(numbers(of, depth - 1) for of in units), after, st.just(unit))


def _over_items(node: type[ListSum | Greatest], unit: Unit, depth: int, items: str) -> Strategy:
    where = st.one_of(st.none(), truths(depth, items))
    return st.builds(node, st.just(items), numbers(unit, depth, items), where, st.just(unit))


@cache
def _dates(items: str) -> Strategy:
    return st.one_of(names(Unit.DATE, items), st.sampled_from([ListedValueAsOf(), BookValueAsOf("invoice")]))


@cache
def _texts(items: str) -> Strategy:
    """A comparison or a membership of texts; a field with fixed words is held against its own words only."""

    def build(name: FieldName | ItemName) -> Strategy:
        spec = ITEMS[items][name.name] if isinstance(name, ItemName) else FIELDS[name.name]
        words = (st.sampled_from(spec.words) if spec.words else TEXTS).map(Text)
        sides = st.one_of(st.tuples(st.just(name), words), st.tuples(words, st.just(name)))
        compared = st.tuples(st.sampled_from(["==", "!="]), sides).map(lambda found: Comparison(found[0], *found[1]))
        return st.one_of(
            compared, st.builds(Membership, st.just(name), st.lists(words, min_size=1, max_size=3).map(tuple))
        )

    return names(Unit.TEXT, items).flatmap(build)


@cache
def truths(depth: int, items: str = "") -> Strategy:
    """Random expressions that are true, false or unknown."""
    compared = [
        st.builds(Comparison, ORDERED, numbers(unit, depth, items), numbers(unit, depth, items)) for unit in NUMBERS
    ]
    member = [
        st.builds(Membership, numbers(unit, depth, items), st.lists(NUMBERS[unit], min_size=1, max_size=3).map(tuple))
        for unit in NUMBERS
    ]
    missing = st.sampled_from(list(Unit)).flatmap(lambda unit: names(unit, items)).map(Missing)
    dated = st.builds(Comparison, ORDERED, _dates(items), _dates(items))
    leaves = [*compared, *member, dated, _texts(items), missing, names(Unit.BOOLEAN)]
    if not depth:
        return st.one_of(leaves)
    same = truths(depth - 1, items)
    several = st.lists(same, min_size=2, max_size=3).map(tuple)
    return st.one_of(*leaves, st.builds(Not, same), st.builds(All, several), st.builds(AnyOf, several), same.map(Not))
