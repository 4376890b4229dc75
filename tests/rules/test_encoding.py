"""Every deal is among those that a proof speaks of, and comes to the same there as in the reference.

A random deal fixes every variable. The reference's results must then be possible; where nothing was left free, no other may be.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dealgate import Deal, DealError, Policy, Result
from dealgate.rules.amounts import MAX_CENTS
from dealgate.rules.any_deal import COUNTS, ITEMS, AnyDeal, Item, Variable
from dealgate.rules.encoding import Encoder, words_of
from dealgate.rules.fields import FIELDS, LISTS, Facts, Unit, facts_of
from dealgate.rules.quantities import Logic, Quantity
from dealgate.rules.reading import read_policy
from dealgate.rules.reference import compile_reference
from dealgate.rules.smt import Term, Terms, Whole, constant
from tests.fuzzing.random_policies import Author

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
        self.solver.pop()
        return found

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
            yield from self.fixed(item.parts[part], LISTS[name].items[part].unit, value)

    def fixed(self, variable: Variable, unit: Unit, value: Any) -> Iterator[Term]:
        yield variable.known if value is not None else self.terms.negated(variable.known)
        if value is not None:
            yield variable.value.term == self.number(unit, value)

    def number(self, unit: Unit, value: Any) -> int:
        if unit == Unit.TEXT:
            words = self.deal.word_numbers
            return words.get(value, len(words))
        return int(value.year if unit == Unit.DATE else value)


@pytest.mark.parametrize("seed", range(8))
def test_what_the_proofs_know_of_a_deal_is_what_the_reference_says(seed: int) -> None:
    author = Author(seed)
    fixed = Fixed(Policy.from_text(author.policy(5)))
    for _ in range(4):
        document = author.deal()
        if author.random.random() < 0.2:
            document["trade_ins"] = LONG
        assert fixed.disagreements(Deal.read(document)) == [], document


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
            found: Deal = small_deal(vehicle={"condition": "used", last: value})
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
    most = deal.field("apr_percent").value.high
    assert small_deal(apr_percent=f"{most / 10_000:.4f}").apr_percent == most
    with pytest.raises(DealError):
        small_deal(apr_percent=f"{(most + 1) / 10_000:.4f}")


# Breaking the encoding: the comparison above must notice


SWAPPED = {"<=": ">=", ">=": "<="}


def take_lesser_for_greater(patch: pytest.MonkeyPatch) -> None:
    better = Encoder._better
    patch.setattr(
        Encoder,
        "_better",
        lambda self, operator, first, one, other: better(
            self, SWAPPED[operator], self.terms.negated(first), one, other
        ),
    )


def forget_the_rest_of_a_list(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Encoder, "_rest", lambda self, node, rest, bottom, each: Variable(True, constant(0)))


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


BREAKS = (
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
    "limits": {"table": {"unit": "count", "rows": [{"when": "mileage > 5", "limit": "60"}, {"limit": "72"}]}},
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
)
DEALS: tuple[dict[str, Any], ...] = (
    {"cash_price": "10000.01", "trade_ins": LONG},
    {"doc_fee": "4999.99", "cash_down": "1.00", "monthly_payment": "150.01", "apr_percent": "7.9"},
    {"vehicle": {"condition": "used", "values": [{"basis": "kbb_trade_in", "amount": "0.00"}]}, "term_months": 71},
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
