"""Every deal is among those that a proof speaks of, and comes to the same there as in the reference.

A random deal fixes every variable. The reference's results must then be possible; where nothing was left free, no other may be.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from dealgate import Deal, DealError, Policy, Result
from dealgate.rules.amounts import MAX_CENTS
from dealgate.rules.any_deal import COUNTS, ITEMS, AnyDeal, Item, Variable
from dealgate.rules.encoding import Encoder, words_of
from dealgate.rules.fields import FIELDS, LISTS, Facts, Unit, facts_of
from dealgate.rules.reading import read_policy
from dealgate.rules.reference import compile_reference
from dealgate.rules.smt import Term, Terms
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
            yield rest.count.term == len(more)
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
