"""What the tests of the rules share: the worked cases, small policies, whole random deals and random expressions."""

import json
import runpy
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from dealgate import CompiledPolicy, Deal, Policy
from dealgate.rules.amounts import MAX_CENTS, hundredths
from dealgate.rules.expressions import (
    All,
    Arithmetic,
    BookValueOn,
    Comparison,
    Expression,
    Extreme,
    FieldName,
    FirstKnown,
    ItemName,
    LevelPayment,
    LimitName,
    ListedValue,
    ListSum,
    MeasureName,
    Membership,
    Missing,
    Not,
    Number,
    Text,
    Year,
)
from dealgate.rules.expressions import Any as AnyOf
from dealgate.rules.fields import FIELDS, LISTS, Unit
from dealgate.rules.reading import shipped_measures

settings.register_profile("dealgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dealgate")

Document = dict[str, Any]
Strategy = st.SearchStrategy[Any]

# The worked cases


@pytest.fixture(scope="session")
def shared_file() -> Callable[..., Path]:
    """tests/shared.py, by its place: the package layout of the tests is not this room's business."""
    found: Callable[..., Path] = runpy.run_path(str(Path(__file__).parents[1] / "shared.py"))["shared_file"]
    return found


@pytest.fixture(scope="session")
def cases(shared_file: Callable[..., Path]) -> list[Document]:
    read: list[Document] = json.loads(shared_file("cases", "cases.json").read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="session")
def case_policy(shared_file: Callable[..., Path]) -> CompiledPolicy:
    path = shared_file("cases", "policy.yaml")
    return CompiledPolicy(Policy.from_text(path.read_text(encoding="utf-8"), path.name))


# Small policies and deals, to be bent by a test


@pytest.fixture(scope="session")
def write_policy() -> Callable[..., str]:
    """The text of a policy: what a test does not care about is filled in."""

    def write(*rules: Document | str, **sections: Any) -> str:
        head = {"policy": "small", "version": "1", "title": "Small", "effective_from": "2026-01-01"}
        lists = {"collateral_value": {"new": ["invoice", "msrp"], "used": ["jdpower_clean_trade", "kbb_trade_in"]}}
        return json.dumps(
            {**head, **lists, "rules": [_rule(index, rule) for index, rule in enumerate(rules)], **sections}
        )

    return write


def _rule(index: int, rule: Document | str) -> Document:
    stated = {"require": rule} if isinstance(rule, str) else rule
    usual = {"id": f"R{index}", "title": f"Rule {index}", "otherwise": "refer", "reason": f"Reason {index}"}
    return {**usual, **stated}


@pytest.fixture(scope="session")
def small_deal() -> Callable[..., Deal]:
    """A used car at $10,000, all of it financed on a trade value of $10,000; named parts replace or join it."""

    def build(**parts: Any) -> Deal:
        usual = {
            "deal_id": "D-1",
            "submitted_on": "2026-11-20",
            "vehicle": {"condition": "used", "values": [{"basis": "jdpower_clean_trade", "amount": "10000.00"}]},
            "cash_price": "10000.00",
            "term_months": 72,
        }
        return Deal.read({**usual, **parts})

    return build


# Whole random deals

LEFT_OUT = "(left out)"
EDGES = (0, 1, 99, 100, 2_500_00, 5_000_00, 15_500_00, 27_000_00, 33_750_00, 33_750_01, MAX_CENTS - 1, MAX_CENTS)

MONEY: Strategy = st.one_of(st.sampled_from(EDGES), st.integers(0, 60_000_00), st.integers(0, MAX_CENTS)).map(
    hundredths
)
RATE: Strategy = st.one_of(
    st.sampled_from(["0.00", "0", "0.0001", "7.90", "999.9999"]),
    st.integers(0, 40_0000).map(lambda rate: f"{rate // 10_000}.{rate % 10_000:04d}"),
)
DAY: Strategy = st.dates().map(lambda day: day.isoformat())
WORD: Strategy = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
BASES = ("invoice", "msrp", "jdpower_clean_trade", "kbb_trade_in", "blackbook_average", "house value")


def _mostly(value: Strategy, *, null: bool = True) -> Strategy:
    """Stated three times in four, else left out or (where null means unknown) null."""
    return st.one_of(value, value, value, st.sampled_from([LEFT_OUT, None]) if null else st.just(LEFT_OUT))


def _object(**parts: Strategy) -> Strategy:
    drop = lambda found: {name: part for name, part in found.items() if part != LEFT_OUT}  # noqa: E731
    return st.fixed_dictionaries(parts).map(drop)


APPLICANT = _object(
    tier=_mostly(st.sampled_from("ABCD")),
    credit_score=_mostly(st.integers(250, 900)),
    monthly_income=_mostly(MONEY),
    monthly_debt=_mostly(MONEY),
    first_time_buyer=_mostly(st.booleans()),
    covered_borrower=_mostly(st.booleans()),
)
BOOK_VALUES = st.lists(
    _object(basis=st.sampled_from(BASES), amount=MONEY, as_of=_mostly(DAY)),
    max_size=4,
    unique_by=lambda value: value["basis"],
)
VEHICLE = _object(
    vin=_mostly(st.text("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", min_size=5, max_size=17)),
    condition=st.sampled_from(["new", "used"]),
    model_year=_mostly(st.integers(1900, 2100)),
    mileage=_mostly(st.one_of(st.sampled_from([0, 10_000_000]), st.integers(0, 200_000))),
    values=_mostly(BOOK_VALUES, null=False),
)
TRADE = _object(
    kind=st.sampled_from(["loan", "lease"]),
    allowance=_mostly(MONEY),
    acv=_mostly(MONEY),
    payoff=_mostly(MONEY),
    lienholder=_mostly(WORD),
    payoff_good_through=_mostly(DAY),
    per_diem=_mostly(MONEY),
)
OWNED = _object(
    kind=st.just("none"), allowance=_mostly(MONEY), acv=_mostly(MONEY), payoff=_mostly(st.sampled_from(["0.00", None]))
)
PRODUCT = _object(kind=st.one_of(st.sampled_from(["gap", "service_contract"]), WORD), price=MONEY)
CARRIED = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), WORD),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORD, inner, max_size=3)),
    max_leaves=5,
)
DEAL = _object(
    deal_id=WORD,
    submitted_on=DAY,
    channel=_mostly(st.sampled_from(["indirect", "direct"])),
    dealer_id=_mostly(WORD),
    state=_mostly(st.sampled_from(["TX", "CA", "NV"])),
    applicant=_mostly(APPLICANT, null=False),
    vehicle=VEHICLE,
    cash_price=MONEY,
    sales_tax=_mostly(MONEY, null=False),
    title_and_registration=_mostly(MONEY, null=False),
    doc_fee=_mostly(MONEY, null=False),
    products=_mostly(st.lists(PRODUCT, max_size=3), null=False),
    trade_ins=_mostly(st.lists(st.one_of(TRADE, TRADE, OWNED), max_size=3), null=False),
    cash_down=_mostly(MONEY, null=False),
    rebate=_mostly(MONEY, null=False),
    prepaid_finance_charge=_mostly(MONEY, null=False),
    term_months=st.one_of(st.sampled_from([1, 72, 600]), st.integers(1, 600)),
    apr_percent=_mostly(RATE),
    monthly_payment=_mostly(MONEY),
    metadata=_mostly(st.dictionaries(WORD, CARRIED, max_size=2), null=False),
)


@pytest.fixture(scope="session")
def deal_documents() -> Strategy:
    """Deal documents as a host may send them: unknowns of every kind, amounts up to the largest, lists of a few items."""
    return DEAL


# Random expressions, typed. Each is small: what matters is how the parts meet.

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
    if not items and unit in {Unit.MONEY, Unit.COUNT}:
        deeper += [_list_sum(unit, depth - 1, name) for name in ITEMS]
    if unit == Unit.COUNT:
        deeper.append(st.just(Year(FieldName("submitted_on", Unit.DATE))))
    if unit == Unit.MONEY and not items:
        parts = [numbers(of, depth - 1) for of in (Unit.MONEY, Unit.PERCENT, Unit.COUNT)]
        deeper.append(st.builds(LevelPayment, *parts))
    return st.one_of(*leaves, *deeper)


def _arithmetic(unit: Unit, operator: str, depth: int, items: str) -> Strategy:
    def build(units: tuple[Unit, Unit]) -> Strategy:
        return _pair(*(numbers(of, depth - 1, items) for of in units))

    pairs = st.sampled_from(OPERANDS_OF[unit, operator]).flatmap(build)
    return pairs.map(lambda pair: Arithmetic(operator, pair[0], pair[1], unit))


def _list_sum(unit: Unit, depth: int, items: str) -> Strategy:
    where = st.one_of(st.none(), truths(depth, items))
    return st.builds(ListSum, st.just(items), numbers(unit, depth, items), where, st.just(unit))


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
    leaves = [*compared, *member, _texts(items), missing, names(Unit.BOOLEAN)]
    if not depth:
        return st.one_of(leaves)
    same = truths(depth - 1, items)
    several = st.lists(same, min_size=2, max_size=3).map(tuple)
    return st.one_of(*leaves, st.builds(Not, same), st.builds(All, several), st.builds(AnyOf, several), same.map(Not))


@pytest.fixture(scope="session")
def expressions() -> Callable[..., Strategy]:
    """Random typed trees: `expressions(Unit.MONEY, depth)`. They read the limits max_money, max_percent and max_count."""

    def of(unit: Unit, depth: int = 2) -> Strategy:
        return truths(depth) if unit == Unit.BOOLEAN else numbers(unit, depth)

    return of
