"""Every deal is among those that a proof speaks of, and comes to the same there as in the reference.

A random deal fixes every variable. The reference's results must then be possible; where nothing was left free, no other may be.
"""

import json
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dealgate import Deal, DealError, Policy, Result
from dealgate.rules import encoding, list_encoding, quantities
from dealgate.rules.amounts import MAX_CENTS
from dealgate.rules.any_deal import COUNTS, ITEMS, AnyDeal, Item, Variable
from dealgate.rules.encoding import Encoder
from dealgate.rules.expressions import LimitName, MeasureName
from dealgate.rules.fields import FIELDS, LISTS, Facts, Unit, facts_of
from dealgate.rules.limit_encoding import TableEncoder
from dealgate.rules.quantities import FREE, Case, Logic, Quantity, single
from dealgate.rules.reading import read_policy, shipped_measures
from dealgate.rules.reference import Value, compile_reference
from dealgate.rules.smt import Term, Terms, Whole, constant
from dealgate.rules.vocabulary import words_of
from tests.fuzzing.random_policies import Author
from tests.rules import random_deals
from tests.rules.test_agreement import BASES, HEAD, rules, tables

LONG = [{"kind": "loan", "allowance": f"{9 + index}.50", "payoff": "1200.25"} for index in range(ITEMS + 4)]


class Fixed:
    """One policy over any deal, and the same over one deal at a time."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.terms = Terms()
        self.deal = AnyDeal(self.terms, words_of(policy))
        self.encoder = Encoder(policy, self.terms, self.deal)
        self.results = {rule.id: self.encoder.rule(rule.id) for rule in policy.rules}
        self.rows = {name: self.encoder.rows(name) for name in policy.limits}
        own = set(policy.measures) - set(shipped_measures())
        names: list[MeasureName | LimitName] = [MeasureName(name, policy.measures[name].unit) for name in sorted(own)]
        names += [LimitName(name, limit.unit) for name, limit in policy.limits.items()]
        self.numbers = {name.name: self.encoder.number(name) for name in names}
        self.reference = compile_reference(policy)
        self.solver = self.terms.z3.Solver(ctx=self.terms.context)
        self.solver.set("timeout", 5_000)
        self.solver.add(self.terms.facts)

    def disagreements(self, deal: Deal) -> list[str]:
        facts = facts_of(deal)
        reckoning = self.reference(facts)
        self.solver.push()
        self.solver.add([fact for fact in self.facts(facts) if fact is not True])
        assert self.possible(True), "the deal is not among those that can be submitted"
        found = []
        for rule, results in self.results.items():
            if not self.possible(results[reckoning.results[rule]]):
                found.append(f"{rule} cannot be {reckoning.results[rule]}")
            found += [
                f"{rule} can be {result}"
                for result, formula in results.items()
                if result != reckoning.results[rule]
                and not self.terms.free_in(formula)
                and self.is_short
                and self.possible(formula)
            ]
        for name, value in reckoning.limits.items():
            if value.row >= 0 and not self.possible(self.rows[name][value.row]):
                found.append(f"{name} cannot come from row {value.row}")
        values = {**reckoning.measures, **reckoning.limits}
        for name in self.numbers:
            found += self.other_number(name, values[name])
        self.solver.pop()
        return found

    def other_number(self, name: str, value: Value) -> Iterator[str]:
        """What is wrong with what the encoding makes of a measure or limit."""
        number, holds = self.numbers[name], self.terms.negated(self.numbers[name].known)
        if value.numerator is not None:
            exact = single(True, constant(value.numerator), constant(value.denominator))
            holds = self.encoder.compare("==", number, exact).yes
        if not self.possible(holds):
            yield f"{name} cannot be {value}"
        if any(case.bottom.high == FREE for case in number.cases):
            return  # left free, as a sum of shares with different divisors is: of it nothing more is claimed
        otherwise = self.terms.negated(holds)
        if not self.terms.free_in(otherwise) and self.is_short and self.possible(otherwise):
            yield f"{name} can be another than {value}"

    def possible(self, formula: Term) -> bool:
        if isinstance(formula, bool):
            return formula and self.solver.check() != self.terms.z3.unsat
        self.solver.push()
        self.solver.add(formula)
        found = self.solver.check()
        self.solver.pop()
        return bool(found != self.terms.z3.unsat)

    # A deal as constraints

    def facts(self, facts: Facts) -> Iterator[Term]:
        self.is_short = True
        for name, variable in self.deal.fields.items():
            yield from self.fixed(variable, FIELDS[name].unit, facts[name])
        for basis, variable in self.deal.book_values.items():
            yield from self.fixed(variable, Unit.MONEY, facts["values"].get(basis))
        for basis, variable in self.deal.book_days.items():
            yield from self.fixed(variable, Unit.DATE, facts["values_as_of"].get(basis))
        for name, (items, rest) in self.deal.lists.items():
            stated = facts[name]
            for item, parts in zip(items, [*stated, *[None] * ITEMS], strict=False):
                yield from self.item(name, item, parts)
            more = stated[ITEMS:]
            self.is_short = self.is_short and not more
            yield rest.more.term == len(more)
            for part, total in rest.totals.items():
                amounts = [other[part] for other in more]
                known = None not in amounts
                yield from self.fixed(total, Unit.MONEY, sum(amounts) if known else None)

    def item(self, name: str, item: Item, parts: dict[str, Any] | None) -> Iterator[Term]:
        yield item.present if parts is not None else self.terms.negated(item.present)
        for part, value in (parts or {}).items():
            if part in item.parts:
                yield from self.fixed(item.parts[part], LISTS[name].items[part].unit, value)

    def fixed(self, variable: Variable, unit: Unit, value: Any) -> Iterator[Term]:
        yield variable.known if value is not None else self.terms.negated(variable.known)
        if value is not None:
            yield variable.value.term == self.number(unit, value)

    def number(self, unit: Unit, value: Any) -> int:
        if unit == Unit.TEXT:
            words = self.deal.word_numbers
            return words.get(value, len(words))
        return int(value.toordinal() if unit == Unit.DATE else value)


@pytest.mark.parametrize("seed", range(8))
def test_what_the_proofs_know_of_a_deal_is_what_the_reference_says(seed: int) -> None:
    author = Author(seed)
    fixed = Fixed(Policy.from_text(author.policy(5)))
    for _ in range(4):
        document = author.deal()
        if author.random.random() < 0.2:
            document["trade_ins"] = LONG
        assert fixed.disagreements(Deal.read(document)) == [], document


@given(rules=rules(), limits=tables(), deals=st.lists(random_deals.DEALS, min_size=1, max_size=2))
@settings(max_examples=25, derandomize=True)
def test_tables_by_every_hit_policy_and_projections_are_known_as_the_reference_knows_them(
    rules: list[dict[str, Any]], limits: dict[str, Any], deals: list[dict[str, Any]]
) -> None:
    document = {**HEAD, "collateral_value": BASES, "rules": rules, "limits": limits}
    fixed = Fixed(Policy.from_text(json.dumps(document, ensure_ascii=False)))
    for deal in deals:
        assert fixed.disagreements(Deal.read(deal)) == [], deal


def table(hit_policy: str, closing: str, values: tuple[str, str, str]) -> dict[str, Any]:
    """Three rows that overlap: for one truth, for another, and for both."""
    whens = ("first_time_buyer", "covered_borrower", "first_time_buyer and covered_borrower")
    rows = [{"when": when, "limit": value} for when, value in zip(whens, values, strict=True)]
    closed = {"default": {"default": values[0]}, "unknown": {"on_no_hit": "unknown"}, "nothing": {}}[closing]
    collects = {"hit_policy": "collect", "aggregate": hit_policy}
    named = {"hit_policy": hit_policy} if hit_policy in {"first", "unique", "any"} else collects
    return {"unit": "count", "rows": rows, **named, **closed}


@pytest.mark.parametrize("hit_policy", ["first", "unique", "any", "sum", "min", "max", "count"])
@pytest.mark.parametrize(
    "values",
    [
        ("60", "48", "60"),
        ("3", "-1", "-1"),
        ("mileage", "60", "mileage"),
        ("mileage", "2 * model_year", "60"),
    ],
)
def test_a_table_means_to_the_proofs_what_it_means_to_the_reference(
    hit_policy: str, values: tuple[str, str, str], write_policy: Any, small_deal: Any
) -> None:
    vehicles = ({}, {"mileage": 60}) if "mileage" in values else ({},)
    closings = ("default", "nothing" if hit_policy == "count" else "unknown")
    for closing in closings:
        limits = {"table": table(hit_policy, closing, values)}
        fixed = Fixed(Policy.from_text(write_policy("term_months <= table", limits=limits)))
        for first, second, vehicle in product((True, False, None), (True, False, None), vehicles):
            truths = {"first_time_buyer": first, "covered_borrower": second}
            applicant = {name: truth for name, truth in truths.items() if truth is not None}
            deal = small_deal(applicant=applicant, vehicle={"condition": "used", "model_year": 2020, **vehicle})
            assert fixed.disagreements(deal) == [], (closing, first, second, vehicle)


PROJECTED_DEALS = (
    ("20000.00", "9.9", 72, "20000.00"),
    ("20000.01", "0", 72, "20000.00"),
    ("30000.00", "7.1", 84, "20000.00"),
    ("0.01", "999", 600, "0.01"),
    ("9999999.99", "999", 600, "0.01"),
    ("0.00", "9.9", 72, "20000.00"),
    ("20000.00", "9.9", 1, "0.00"),
    ("20000.00", None, 72, "20000.00"),
    ("20000.00", "9.9", 72, None),
)


@pytest.mark.parametrize(
    "formula",
    [
        "break_even(cash_price, apr_percent, term_months, book_value('msrp'))",
        "deepest_shortfall(cash_price / 3, apr_percent, term_months, book_value('msrp') * 50%)",
        "deficiency_after(mileage, cash_price, apr_percent, term_months, book_value('msrp'))",
        "deficiency_after(mileage - 12, cash_price, apr_percent, term_months, book_value('msrp'))",
    ],
)
def test_a_projection_is_known_where_the_reference_knows_it_and_never_beyond_its_bounds(
    formula: str, write_policy: Any, small_deal: Any
) -> None:
    unit = "count" if formula.startswith("break_even") else "money"
    measures = {"projection": {"unit": unit, "formula": formula.replace("'", '"')}}
    equity = {"wholesale_factor": "80%", "disposal_cost": "$1,000"}
    fixed = Fixed(Policy.from_text(write_policy("not missing(projection)", measures=measures, equity=equity)))
    for price, rate, months, value in PROJECTED_DEALS:
        values = [{"basis": "msrp", "amount": value}] if value else []
        vehicle = {"condition": "used", "mileage": months % 25, "values": values}
        given = {"apr_percent": rate} if rate else {}
        deal = small_deal(cash_price=price, term_months=months, vehicle=vehicle, **given)
        assert fixed.disagreements(deal) == []


@pytest.mark.parametrize(
    ("require", "kept"),
    [
        ("sum(trade_ins, allowance) == $87.50", True),
        ("sum(trade_ins, 2 * payoff - allowance) == $16,716", True),
        ("count(trade_ins) == 7", True),
        ("sum(trade_ins, max($0, payoff - allowance)) == $8,314.25", True),
        ('count(trade_ins, kind == "lease") == 0', True),
        ("sum(trade_ins, allowance) > $87.50", False),
        ("missing(trade_acv)", True),
    ],
)
def test_a_list_of_any_length_is_among_the_deals_that_a_proof_speaks_of(
    require: str, kept: bool, write_policy: Any, small_deal: Any
) -> None:
    fixed = Fixed(read_policy(write_policy(require)))
    deal = small_deal(trade_ins=LONG)
    assert fixed.reference(facts_of(deal)).results["R0"] == (Result.PASS if kept else Result.VIOLATED)
    assert fixed.disagreements(deal) == []


@pytest.mark.parametrize("name", COUNTS)
def test_the_bounds_of_a_count_are_those_of_the_deal_document(name: str, small_deal: Any) -> None:
    *outer, last = FIELDS[name].path.split(".")

    def deal(value: int) -> Deal:
        if outer == ["vehicle"]:
            found: Deal = small_deal(submitted_on="2099-11-20", vehicle={"condition": "used", last: value})
        else:
            found = small_deal(**({outer[0]: {last: value}} if outer else {last: value}))
        return found

    least, most = COUNTS[name]
    assert deal(least)
    assert deal(most)
    for beyond in (least - 1, most + 1):
        with pytest.raises(DealError):
            deal(beyond)


def test_the_bounds_of_amounts_and_rates_are_those_of_the_deal_document(small_deal: Any) -> None:
    deal = AnyDeal(Terms(), {})
    assert deal.field("cash_price").value[1:] == (0, MAX_CENTS)
    assert deal.field("given_monthly_payment").value[1:] == (1, MAX_CENTS)
    assert small_deal(monthly_payment="0.01").monthly_payment == 1
    with pytest.raises(DealError):
        small_deal(monthly_payment="0.00")
    most = deal.field("apr_percent").value.high
    assert small_deal(apr_percent=f"{most / 10_000:.4f}").apr_percent == most
    with pytest.raises(DealError):
        small_deal(apr_percent=f"{(most + 1) / 10_000:.4f}")


# Breaking the encoding: the comparison above must notice


SWAPPED = {"<=": ">=", ">=": "<="}


def take_lesser_for_greater(patch: pytest.MonkeyPatch) -> None:
    better = quantities.better

    def worse(terms: Terms, operator: str, first: Any, one: Whole, other: Whole) -> Whole:
        return better(terms, SWAPPED[operator], terms.negated(first), one, other)

    for reader in (encoding, list_encoding):
        patch.setattr(reader, "better", worse)


def forget_the_rest_of_a_list(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(list_encoding.ListEncoder, "_more", lambda self, bottom, low, high: Variable(True, constant(0)))


def let_unknown_rows_pass(patch: pytest.MonkeyPatch) -> None:
    truth = Encoder.truth

    def certain(self: Encoder, expression: Any) -> Logic:
        yes, _ = truth(self, expression)
        return Logic(yes, self.terms.negated(yes))

    patch.setattr(Encoder, "truth", certain)


def take_or_for_and(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Terms, "every", Terms.some)


def let_the_boundary_in(patch: pytest.MonkeyPatch) -> None:
    compare = Terms.compare

    def loose(self: Terms, operator: str, left: Whole, right: Whole) -> Term:
        return compare(self, {"<": "<=", ">": ">="}.get(operator, operator), left, right)

    patch.setattr(Terms, "compare", loose)


def round_down(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Terms, "half_up", lambda self, top, bottom: self.whole("rounded", 0, 1))


def take_the_last_that_is_known(patch: pytest.MonkeyPatch) -> None:
    first_known = Encoder._first_known
    patch.setattr(Encoder, "_first_known", lambda self, operands: first_known(self, operands[::-1]))


def know_every_quotient(patch: pytest.MonkeyPatch) -> None:
    arithmetic = Encoder._arithmetic

    def known(self: Encoder, operator: str, left: Quantity, right: Quantity) -> Quantity:
        found = arithmetic(self, operator, left, right)
        return found._replace(known=self.terms.every((left.known, right.known)))

    patch.setattr(Encoder, "_arithmetic", known)


def bound_payments_too_low(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Terms, "payment", lambda self, *parts: self.whole("payment", 0, 100))


def bound_projections_too_low(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Terms, "projection", lambda self, *parts: (self.whole("projection", 0, 3), True))


def sum_the_rows_that_do_not_hold(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TableEncoder, "_sums_apart", lambda self, numbers: None)
    patch.setattr(TableEncoder, "_total", lambda self, values: (Case(True, constant(84), constant(1)),))


def let_several_rows_be_unique(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TableEncoder, "_only", lambda self: self._in_order(range(len(self.hits))))


def forget_the_default(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TableEncoder, "_with_default", lambda self, found: found._replace(taken=(*found.taken, False)))


BREAKS = (
    bound_projections_too_low,
    sum_the_rows_that_do_not_hold,
    let_several_rows_be_unique,
    forget_the_default,
    take_lesser_for_greater,
    forget_the_rest_of_a_list,
    let_unknown_rows_pass,
    take_or_for_and,
    let_the_boundary_in,
    round_down,
    take_the_last_that_is_known,
    know_every_quotient,
    bound_payments_too_low,
)


EVERY_OPERATION: dict[str, Any] = {
    "measures": {"share": {"unit": "money", "formula": "33.33% * cash_price"}},
    "limits": {
        "table": {"unit": "count", "rows": [{"when": "mileage > 5", "limit": "60"}, {"limit": "72"}]},
        "unique": table("unique", "default", ("60", "48", "60")),
        "total": table("sum", "default", ("60", "12", "12")),
    },
}
RULES = (
    "min(cash_price, $5,000) <= doc_fee + cash_down",
    "sum(trade_ins, allowance) == $87.50",
    "share == $3,333",
    "total_ltv <= 100%",
    "term_months <= table",
    "term_months < 72 or mileage < 5",
    "first_known(given_monthly_payment, cash_price) == $150.01",
    "level_payment(cash_price, apr_percent, term_months) > $100",
    "term_months <= unique",
    "term_months <= total",
    "break_even(cash_price, 7.9%, term_months, cash_price / 2) > 6",
)
DEALS: tuple[dict[str, Any], ...] = (
    {"cash_price": "10000.01", "trade_ins": LONG},
    {"doc_fee": "4999.99", "cash_down": "1.00", "monthly_payment": "150.01", "apr_percent": "7.9"},
    {"vehicle": {"condition": "used", "values": [{"basis": "kbb_trade_in", "amount": "0.00"}]}, "term_months": 71},
    {"applicant": {"first_time_buyer": True, "covered_borrower": True}},
    {"applicant": {"first_time_buyer": True, "covered_borrower": False}},
    {"applicant": {"first_time_buyer": False, "covered_borrower": False}},
)


@pytest.fixture
def disagree(write_policy: Any, small_deal: Any) -> Callable[[], bool]:
    def disagree() -> bool:
        fixed = Fixed(Policy.from_text(write_policy(*RULES, **EVERY_OPERATION)))
        return any(fixed.disagreements(small_deal(**deal)) for deal in DEALS)

    return disagree


def test_the_unbroken_encoding_is_not_suspected(disagree: Callable[[], bool]) -> None:
    assert not disagree()


@pytest.mark.parametrize("break_it", BREAKS, ids=lambda break_it: break_it.__name__)
def test_a_broken_encoding_is_noticed(
    break_it: Any, disagree: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(monkeypatch)

    try:
        assert disagree()
    except AssertionError as error:
        assert "not among those that can be submitted" in str(error)  # noqa: PT017  a broken bound shuts deals out
