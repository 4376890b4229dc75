"""What a changed policy does to deals is proved or shown, or it is said that neither was done."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from dealgate import CompiledPolicy, Deal, Outcome, Policy, Result
from dealgate.adapters.policies import load_policy
from dealgate.rules import comparison, encoding, near_misses, proof
from dealgate.rules.comparison import Comparison, Effect, Mark, compare
from dealgate.rules.comparison_words import APART, EQUIVALENT, answered_deals, comparison_page, effect_in_words, verdict
from dealgate.rules.explaining import Grid, Heading, Paragraph
from dealgate.rules.proof import Answer, Verdict, Witness
from dealgate.rules.sameness import Sameness
from dealgate.rules.smt import ProofUnavailableError
from tests.fuzzing.comparison_campaign import ContradictionError, run

Write = Callable[..., str]

LTV = {"id": "LTV", "require": "total_ltv <= max_ltv"}
ROWS = [{"when": 'tier == "A"', "limit": "130%"}, {"when": 'tier == "B"', "limit": "125%"}, {"limit": "110%"}]
STRICTER = [{**ROWS[0], "limit": "120%"}, *ROWS[1:]]
TERM = {"id": "TERM", "require": "term_months <= 72", "otherwise": "flag"}


@pytest.fixture(scope="session")
def prime() -> str:
    return load_policy("prime-auto").text


@pytest.fixture
def small(write_policy: Write) -> Callable[..., Policy]:
    """A policy with a table of limits by tier; named parts replace or join it."""

    def small(*rules: Any, rows: Any = ROWS, **sections: Any) -> Policy:
        limits = {"max_ltv": {"unit": "percent", "rows": rows}}
        return Policy.from_text(write_policy(*(rules or (LTV, TERM)), **{"limits": limits, **sections}))

    return small


def edit(text: str, *replacements: tuple[str, str]) -> Policy:
    """The policy of an edited text; each part to be replaced must stand there."""
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new, 1)
    return Policy.from_text(text)


def decided(policy: Policy, witness: Witness) -> Outcome:
    """What the engine and the reference together make of a witness."""
    evaluation = CompiledPolicy(policy).evaluate(Deal.read(witness.document))
    assert evaluation.engine["agreed"]
    return evaluation.outcome


def confirm(first: Policy, second: Policy, effect: Effect) -> None:
    for answer, sign in zip(effect, (1, -1), strict=True):
        assert (answer.witness is not None) is (answer.verdict is Verdict.SHOWN)
        if answer.witness:
            before, after = decided(first, answer.witness), decided(second, answer.witness)
            assert sign * (after.severity - before.severity) > 0
            assert (answer.witness.outcome, answer.witness.beside[0].outcome) == (before, after)


def marks(found: Comparison) -> list[tuple[str, str, Mark]]:
    return [(marked.change.name, marked.change.what, marked.effect.mark) for marked in found.changes]


# A shipped policy, edited in one place

REFACTORED = """measures:
  amount_financed:
    unit: money
    source: 12 CFR 1026.18(b)
    formula: >-
      cash_price - (cash_down + rebate + prepaid_finance_charge) + (sales_tax + title_and_registration + doc_fee)
      + products_total - (trade_allowance - trade_payoff)
"""
WITHOUT_FEES = """measures:
  amount_financed:
    unit: money
    source: 12 CFR 1026.18(b)
    formula: >-
      cash_price + sales_tax + products_total + trade_payoff - trade_allowance - cash_down - rebate - prepaid_finance_charge
"""
OLDER = '{id: AGE-20, title: Age, require: vehicle_age <= 20 or condition == "new", otherwise: refer, reason: Age of automobile}'
EDITS: dict[str, tuple[Mark, tuple[tuple[str, str], ...]]] = {
    "a tighter limit": (Mark.TIGHTER, (("limit: 125% ", "limit: 120% "),)),
    "a looser limit": (Mark.LOOSER, (("limit: 110% ", "limit: 112% "),)),
    "a limit that a payment is held against": (Mark.LOOSER, (("limit: 13% ", "limit: 14% "),)),
    "a formula in another form": (Mark.NEUTRAL, (("measures:\n", REFACTORED),)),
    "a formula without the fees": (Mark.MIXED, (("measures:\n", WITHOUT_FEES),)),
    "a quotient multiplied out": (
        Mark.NEUTRAL,
        (("debt_to_income <= max_debt_to_income", "monthly_debt + monthly_payment <= max_debt_to_income * monthly_income"),),
    ),
    "a condition that says the same": (Mark.NEUTRAL, (("term_months > 72", "term_months >= 73"),)),
    "a reason": (Mark.NEUTRAL, (("reason: Age of automobile", "reason: Age of the automobile"),)),
    "a title": (Mark.NEUTRAL, (("title: Used vehicle at most 10", "title: A used vehicle is at most 10"),)),
    "a severity": (Mark.TIGHTER, (("otherwise: flag", "otherwise: refer"),)),
    "a mitigation that asks for more": (Mark.TIGHTER, (("cash_down >= 10% * cash_price", "cash_down >= 20% * cash_price"),)),
    "what secures the loan": (Mark.MIXED, (("new: [invoice, msrp]", "new: [msrp, invoice]"),)),
    "one basis more": (Mark.MIXED, (("new: [invoice, msrp]", "new: [invoice, msrp, kbb_trade_in]"),)),
    "a higher cost of disposal": (Mark.TIGHTER, (("disposal_cost: $1,000", "disposal_cost: $1,200"),)),
    "unknowns declined": (Mark.TIGHTER, (("effective_from", "on_unknown: decline\neffective_from"),)),
    "a rule for which another stands in": (
        Mark.NEUTRAL,
        (("rules:\n", f"rules:\n  - {OLDER}\n"),),
    ),
    "a rule that refers and another that it makes milder": (
        Mark.MIXED,
        (("limit: 125% ", "limit: 120% "), ("limit: 110% ", "limit: 112% ")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_policy_is_marked_by_what_it_does_to_deals(name: str, prime: str) -> None:
    mark, replacements = EDITS[name]
    first, second = Policy.from_text(prime), edit(prime, *replacements)
    found = compare(first, second)
    assert found.effect.mark is mark, effect_in_words(found.effect)
    assert found.is_equivalent is (mark is Mark.NEUTRAL)
    assert found.is_different is (mark is not Mark.NEUTRAL)
    confirm(first, second, found.effect)
    for marked in found.changes:
        if marked.change.alone:
            confirm(first, marked.change.alone.policy, marked.effect)
    if len(found.changes) == 1:
        assert found.changes[0].effect.mark is mark


def test_a_basis_more_lets_a_deal_be_judged_that_was_referred_and_may_break_it(prime: str) -> None:
    """An unknown value refers; a known one may pass, or break a rule that declines."""
    found = compare(
        Policy.from_text(prime), edit(prime, ("new: [invoice, msrp]", "new: [invoice, msrp, kbb_trade_in]"))
    )
    assert found.effect.looser.witness
    assert found.effect.looser.witness.outcome == "refer"


def test_each_of_several_changes_is_marked_alone(prime: str) -> None:
    second = edit(
        prime, ("limit: 125% ", "limit: 120% "), ("limit: 110% ", "limit: 112% "), ("Age of automobile", "Age")
    )
    assert marks(compare(Policy.from_text(prime), second)) == [
        ("max_total_ltv", "row_limit", Mark.TIGHTER),
        ("max_total_ltv", "row_limit", Mark.LOOSER),
        ("VEHICLE-AGE", "reason", Mark.NEUTRAL),
    ]


@pytest.mark.parametrize("name", ["prime-auto", "subprime-auto", "recreational"])
def test_a_policy_is_equivalent_to_what_is_stored_of_it(name: str) -> None:
    policy = load_policy(name).policy
    found = compare(policy, Policy.from_text(policy.self_contained))
    assert found.is_equivalent
    assert verdict(found) == EQUIVALENT
    assert found.changes == ()


# Rows


def test_rows_that_never_meet_may_change_places(small: Any) -> None:
    found = compare(small(), small(rows=[ROWS[1], ROWS[0], ROWS[2]]))
    assert marks(found) == [("max_ltv", "rows_reordered", Mark.NEUTRAL)]
    assert found.is_equivalent


def test_rows_that_meet_may_not(small: Any) -> None:
    wide = {"when": 'tier in ["A", "B"]', "limit": "120%"}
    found = compare(small(rows=[ROWS[0], wide, ROWS[2]]), small(rows=[wide, ROWS[0], ROWS[2]]))
    assert marks(found) == [("max_ltv", "rows_reordered", Mark.TIGHTER)]
    assert found.effect.tighter.witness
    assert found.effect.tighter.witness.document["applicant"]["tier"] == "A"


# Unknown fields are possible deals


def test_what_is_unknown_sets_policies_apart(small: Any) -> None:
    """`tier != "A"` is unknown without a tier; `not missing(tier)` beside it refers no such deal."""
    asks = {"id": "SCORE", "require": "credit_score >= 600", "otherwise": "refer"}
    forgives = {**asks, "require": "missing(credit_score) or credit_score >= 600"}
    found = compare(small(asks), small(forgives))
    assert found.effect.mark is Mark.LOOSER
    assert found.effect.looser.witness
    assert "credit_score" not in found.effect.looser.witness.document.get("applicant", {})


def test_what_differs_only_where_a_field_is_unknown_is_found(small: Any) -> None:
    """For every known income the two say the same."""
    first = small({"id": "DTI", "require": "debt_to_income <= 45% or debt_to_income > 45%"})
    second = small({"id": "DTI", "require": "cash_price >= $0"})
    found = compare(first, second)
    assert found.effect.mark is Mark.LOOSER
    confirm(first, second, found.effect)


# Parts that need each other


def test_a_new_rule_brings_the_limit_that_it_reads(small: Any) -> None:
    limits = {
        "max_ltv": {"unit": "percent", "rows": ROWS},
        "max_price": {"unit": "money", "rows": [{"limit": "$50,000"}]},
    }
    second = small(LTV, TERM, {"id": "PRICE", "require": "cash_price <= max_price"}, limits=limits)
    limit, rule = compare(small(), second).changes
    assert (limit.change.words, limit.effect.mark) == ("Limit Max price added", Mark.NEUTRAL)
    assert (rule.change.words, rule.effect.mark) == ("Rule PRICE added: Rule 2", Mark.TIGHTER)
    assert rule.change.alone
    assert rule.change.alone.together_with == ("limit max_price",)


def test_a_limit_in_another_unit_brings_the_rules_that_read_it(small: Any) -> None:
    rule = {"id": "PRICE", "require": "cash_price <= max_ltv"}
    second = small(
        {**LTV, "require": "cash_price <= max_ltv"},
        TERM,
        limits={"max_ltv": {"unit": "money", "rows": [{"limit": "$9"}]}},
    )
    found = compare(small(), second)
    assert {marked.change.what for marked in found.changes} == {"unit", "require"}
    for marked in found.changes:
        assert marked.change.alone
        assert len(marked.change.alone.together_with) == 1
    assert rule


def test_a_rule_that_goes_takes_along_what_rests_on_it(small: Any) -> None:
    layered = {"id": "LAYERED", "require": 'not violated("LTV")', "otherwise": "decline"}
    first = small(LTV, TERM, layered)
    found = compare(first, small(TERM))
    assert [(marked.change.name, marked.effect.mark) for marked in found.changes if marked.change.name != "TERM"] == [
        ("LTV", Mark.LOOSER),
        ("LAYERED", Mark.LOOSER),
    ]


# Which deals they answer for


def test_a_narrower_policy_is_compared_on_the_deals_that_both_answer_for(small: Any) -> None:
    first, second = (
        small(applies_to='tier in ["A", "B"]'),
        small(applies_to='tier == "A"', rows=[ROWS[0], {"limit": "100%"}]),
    )
    found = compare(first, second)
    assert found.effect.mark is Mark.NEUTRAL
    assert not found.is_equivalent
    assert found.is_different
    assert found.narrower.witness
    assert found.narrower.witness.document["applicant"]["tier"] == "B"
    assert found.wider.verdict is Verdict.IMPOSSIBLE
    assert next(answered_deals(found)).startswith("There are deals that it no longer answers for, for example: ")


def test_policies_that_share_no_deal_are_compared_over_all(small: Any) -> None:
    found = compare(small(applies_to='tier == "A"'), small(applies_to='tier == "B"', rows=STRICTER))
    assert found.apart
    assert found.effect.mark is Mark.TIGHTER
    assert APART in answered_deals(found)


def test_the_same_deals_in_other_words_are_the_same_deals(small: Any) -> None:
    found = compare(small(applies_to='tier in ["A", "B"]'), small(applies_to='tier == "A" or tier == "B"'))
    assert found.is_equivalent


# Honesty


def test_what_is_given_up_is_not_called_equivalent(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "EFFORT", 1)
    monkeypatch.setattr(near_misses, "MOST_EVALUATIONS", 0)
    first = small({"id": "DTI", "require": "debt_to_income <= 45% or debt_to_income > 45%"}, applies_to='tier == "A"')
    found = compare(first, small({"id": "DTI", "require": "cash_price >= $0"}, applies_to='tier != "B"'))
    assert found.effect.mark is Mark.NOT_PROVED
    assert not found.is_equivalent
    assert not found.is_different
    assert verdict(found).startswith("Not proved: ")
    assert "is undecided: the solver gave up at its limit of effort" in verdict(found)


def test_changes_for_which_no_effort_is_left_are_not_proved(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "WORK_ON_CHANGES", -1)
    second = small({**LTV, "otherwise": "decline"}, TERM, rows=STRICTER)
    marked, _ = compare(small(), second).changes
    assert marked.effect.mark is Mark.NOT_PROVED
    assert marked.effect.tighter.why == proof.SPENT


def test_without_the_solver_nothing_is_compared(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "z3", None)
    with pytest.raises(ProofUnavailableError):
        compare(small(), small())


@pytest.mark.parametrize(
    ("tighter", "looser", "mark"),
    [
        ("shown", "shown", Mark.MIXED),
        ("shown", "impossible", Mark.TIGHTER),
        ("impossible", "shown", Mark.LOOSER),
        ("impossible", "impossible", Mark.NEUTRAL),
        ("shown", "undecided", Mark.NOT_PROVED),
        ("undecided", "shown", Mark.NOT_PROVED),
        ("undecided", "impossible", Mark.NOT_PROVED),
        ("impossible", "undecided", Mark.NOT_PROVED),
    ],
)
def test_a_mark_claims_no_more_than_both_answers(tighter: str, looser: str, mark: Mark) -> None:
    effect = Effect(*(Answer(Verdict(verdict), why="of a limit") for verdict in (tighter, looser)))
    assert effect.mark is mark
    if mark is Mark.NOT_PROVED:
        assert effect_in_words(effect).count("undecided: of a limit.") == (tighter, looser).count("undecided")


# Random pairs of policies


def test_no_random_deal_contradicts_what_was_proved_of_two_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_misses, "MOST_EVALUATIONS", 300)
    counts = run(deals=2_400, seed=548, deals_a_pair=200)
    for mark in (Mark.TIGHTER, Mark.LOOSER, Mark.NEUTRAL):
        assert counts[mark.value], f"the campaign never saw {mark.value}: it proves nothing about it"
    assert counts["equivalent"]


def call_everything_the_same(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sameness, "definition", lambda self, name: True)


def forget_what_is_unknown(patch: pytest.MonkeyPatch) -> None:
    finding = encoding.Encoder.finding

    def judged(self: Any, rule: Any, outcome: Outcome) -> Any:
        unknown = self.rule(rule.id)[Result.NOT_EVALUABLE]
        return self.terms.every((finding(self, rule, outcome), self.terms.negated(unknown)))

    patch.setattr(encoding.Encoder, "finding", judged)


def relate_the_wrong_way_round(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        comparison, "relations", lambda terms: [terms.implies(True, False) for _ in terms.free_values()] or [True]
    )


BREAKS = ((call_everything_the_same, 501), (forget_what_is_unknown, 500), (relate_the_wrong_way_round, 558))
"""Each with a seed of the campaign from which on it is noticed soon."""


@pytest.mark.parametrize(("break_it", "seed"), BREAKS)
def test_a_broken_comparison_is_noticed(break_it: Any, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_misses, "MOST_EVALUATIONS", 300)
    break_it(monkeypatch)
    with pytest.raises(ContradictionError):
        run(deals=4_000, seed=seed, deals_a_pair=200)


# The page


def test_the_page_tells_the_verdict_every_change_and_the_deals(prime: str) -> None:
    second = edit(prime, ("limit: 125% ", "limit: 120% "), ('"2026.11"', '"2026.12"'), ("Age of automobile", "Age"))
    blocks = list(comparison_page(compare(Policy.from_text(prime), second)))
    assert blocks[0] == Heading(1, "prime-auto 2026.11 compared with prime-auto 2026.12")
    assert Paragraph("Tighter: some deals come to a more severe outcome, and none to a milder one.") in blocks
    grid = next(block for block in blocks if isinstance(block, Grid) and "Change" in block.columns)
    assert grid.rows == (
        ("1", "Limit Max total LTV where tier is one of A, B", "125 %", "120 %", "tighter"),
        ("2", "Reason of rule VEHICLE-AGE", "Age of automobile", "Age", "neutral"),
    )
    assert Heading(3, "1. Limit Max total LTV where tier is one of A, B") in blocks
    assert not any(isinstance(block, Heading) and block.text.startswith("2. ") for block in blocks)


def test_the_page_of_two_that_are_the_same_says_so(prime: str) -> None:
    policy = Policy.from_text(prime)
    blocks = list(comparison_page(compare(policy, policy)))
    assert Paragraph(EQUIVALENT) in blocks
    assert blocks[-1] == Paragraph("Nothing changed.")


def test_the_content_of_a_policy_is_not_touched_by_comparing_it(small: Any) -> None:
    first, second = small(), small(rows=ROWS[1:])
    before = json.dumps([first.content, second.content])
    compare(first, second)
    assert json.dumps([first.content, second.content]) == before
