"""Which of several policies answers for a deal: exactly one, or the reason why not; and whether that is so for every deal."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dealgate import Deal, Policy, PolicyError
from dealgate.rules.fields import facts_of
from dealgate.rules.program_proofs import does_answer, side_by_side
from dealgate.rules.programs import Chosen, Unchosen, applies, choose
from dealgate.rules.proof import Verdict, Witness
from dealgate.rules.reference import Names, Reckoning
from dealgate.rules.review import review_policy
from tests.fuzzing.random_policies import Author
from tests.rules import random_deals

Write = Callable[..., str]


@pytest.fixture(scope="session")
def program(write_policy: Write) -> Callable[..., Policy]:
    """A policy of that name for the deals of a condition."""

    def program(name: str, applies_to: str | None = None, **entries: Any) -> Policy:
        scope = {"applies_to": applies_to} if applies_to else {}
        return Policy.from_text(write_policy("cash_price > $1", policy=name, **scope, **entries))

    return program


@pytest.fixture
def deal(small_deal: Any) -> Callable[..., Deal]:
    def deal(tier: str | None = None, **parts: Any) -> Deal:
        found: Deal = small_deal(**({"applicant": {"tier": tier}} if tier else {}), **parts)
        return found

    return deal


# In the document


def test_it_is_part_of_the_content_and_reads_back(program: Any) -> None:
    policy = program("prime", 'tier in ["A","B"]   and channel == "indirect"')
    assert policy.content["applies_to"] == 'tier in ["A", "B"] and channel == "indirect"'
    assert Policy.from_text(policy.canonical).sha256 == policy.sha256
    assert Policy.from_text(policy.self_contained).applies_to == policy.applies_to
    assert policy.sha256 != program("prime").sha256
    assert "applies_to" not in program("prime").content


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("total_ltv <= 100%", "total_ltv is the policy's to define, and applies_to reads the deal's own fields only"),
        ("own > $5", "own is the policy's to define, and applies_to reads the deal's own fields only"),
        ("cash_price > most", "most is the policy's to define, and applies_to reads the deal's own fields only"),
        (
            "listed_value() > $5",
            "listed_value is the policy's to define, and applies_to reads the deal's own fields only",
        ),
        (
            "break_even(cash_price, 5%, 60, cash_price) > 5",
            "break_even is the policy's to define, and applies_to reads the deal's own fields only",
        ),
        ('violated("R0")', "violated() reads the result of a rule and has its place in rules only"),
        ("true", "applies_to does not depend on the deal"),
        ("cash_price", "this is a money, where a boolean is needed"),
        ("cash_price > 5", "a money cannot be compared with a count"),
        ('teir == "A"', "unknown name 'teir'"),
        ('condition == "old"', "condition is never 'old'"),
        ('outcome == "pass"', "unknown name 'outcome'"),
    ],
)
def test_only_a_condition_over_the_deals_own_fields_is_read(condition: str, words: str, write_policy: Write) -> None:
    own = {"measures": {"own": {"unit": "money", "formula": "cash_price"}}}
    limits = {"limits": {"most": {"unit": "money", "rows": [{"limit": "$5"}]}}}
    with pytest.raises(PolicyError) as told:
        Policy.from_text(write_policy("cash_price > $1", applies_to=condition, **own, **limits))
    (problem,) = told.value.problems
    assert problem.message == words


def test_a_condition_that_can_never_hold_is_refused_by_proof(write_policy: Write) -> None:
    found = review_policy(write_policy("cash_price > $1", applies_to="credit_score > 700 and credit_score < 600"))
    (error,) = found.errors
    assert error.message == "the policy answers for no deal: credit_score > 700 and credit_score < 600 can never hold"
    assert error.witness


def test_a_branch_that_can_never_hold_is_refused_too(write_policy: Write) -> None:
    condition = 'tier == "A" or (credit_score > 700 and credit_score < 600)'
    (error,) = review_policy(write_policy("cash_price > $1", applies_to=condition)).errors
    assert error.message == "contradictory bounds: credit_score > 700 and credit_score < 600 can never hold"


def test_a_condition_that_always_holds_is_doubted(write_policy: Write) -> None:
    found = review_policy(write_policy("cash_price > $1", applies_to='condition == "new" or condition == "used"'))
    assert found.errors == ()
    assert [problem.message for problem in found.warnings] == [
        "applies_to holds for every deal whose fields are known, and only makes the policy unsure of the others"
    ]


def test_its_words_are_doubted_as_those_of_rules_are(write_policy: Write) -> None:
    found = review_policy(write_policy("cash_price > $1", applies_to='state == "ZX"'))
    assert [problem.message for problem in found.warnings] == ["'ZX' is no code of a state or territory"]


# One deal


@pytest.mark.parametrize(
    ("condition", "tier", "answer"),
    [
        ('tier in ["A", "B"]', "A", True),
        ('tier in ["A", "B"]', "C", False),
        ('tier in ["A", "B"]', None, None),
        ('tier == "A" or cash_price > $1', None, True),
        ('tier == "A" and cash_price < $1', None, False),
        ("missing(tier)", None, True),
        ("count(trade_ins) == 0", None, True),
        ('sum(products, price, kind == "gap") > $0', None, False),
        ("year(submitted_on) >= 2026", None, True),
        ('book_value("jdpower_clean_trade") == $10,000', None, True),
        ('book_value("msrp") > $1', None, None),
        (None, None, True),
    ],
)
def test_a_policy_applies_does_not_or_it_cannot_be_told(
    condition: str | None, tier: str | None, answer: bool | None, program: Any, deal: Any
) -> None:
    assert applies(program("prime", condition), deal(tier)) is answer


def test_the_one_policy_that_applies_is_chosen(program: Any, deal: Any) -> None:
    prime, subprime = program("prime", 'tier in ["A", "B"]'), program("subprime", 'tier not in ["A", "B"]')
    assert choose([prime, subprime], deal("B")) == Chosen(prime)
    assert choose([prime, subprime], deal("D")) == Chosen(subprime)
    assert choose([prime], deal("A")) == Chosen(prime)
    assert choose([program("only")], deal()) == Chosen(program("only"))


def test_where_none_applies_the_reason_names_them(program: Any, deal: Any) -> None:
    versions = [program("prime", 'tier == "A"'), program("subprime", 'tier == "B"'), program("sports", 'tier == "S"')]
    assert choose(versions, deal("C")) == Unchosen(
        "no policy in force applies to this deal: not prime 1, subprime 1 nor sports 1"
    )
    assert choose([], deal("C")) == Unchosen("no policy is in force")


def test_where_two_apply_the_reason_says_which(program: Any, deal: Any) -> None:
    prime, every, other = program("prime", 'tier == "A"'), program("every"), program("other", 'tier == "B"')
    found = choose([prime, every, other], deal("A"))
    assert isinstance(found, Unchosen)
    assert found.reason == "prime 1 and every 1 apply to this deal; exactly one policy must"
    assert found.applying == (prime, every)


def test_where_it_cannot_be_told_the_reason_names_what_is_missing(program: Any, deal: Any) -> None:
    prime, sports = program("prime", 'tier == "A" and credit_score > 700'), program("sports", "mileage < 9")
    every = program("every")
    found = choose([prime, sports], deal())
    assert isinstance(found, Unchosen)
    assert found.unknown == (prime, sports)
    assert found.missing == ("applicant.tier", "applicant.credit_score", "vehicle.mileage")
    assert found.reason == (
        "whether prime 1 and sports 1 apply to this deal is unknown without applicant.tier, applicant.credit_score, vehicle.mileage"
    )
    one = choose([prime, every], deal())
    assert isinstance(one, Unchosen), "one applies, and a second may"
    assert one.applying == (every,)
    assert (
        one.reason == "whether prime 1 applies to this deal is unknown without applicant.tier, applicant.credit_score"
    )


def test_a_quotient_without_a_divisor_is_unknown_and_named(program: Any, small_deal: Any) -> None:
    policy = program("ratio", "cash_price / monthly_income > 50%")
    found = choose([policy], small_deal(applicant={"monthly_income": "0.00"}))
    assert isinstance(found, Unchosen)
    assert found.reason.endswith("is unknown without applicant.monthly_income (above zero)")


# All readers of the condition agree


def own_fields(author: Author) -> str:
    """A random condition that reads no measure."""
    while True:
        text = author.truth(2, limits=False)
        try:
            Policy.from_text(json.dumps({**HEAD, "applies_to": text}))
        except PolicyError:
            continue
        return text


HEAD = {
    "policy": "p",
    "version": "1",
    "title": "t",
    "effective_from": "2026-01-01",
    "rules": [{"id": "R", "title": "t", "require": "cash_price > $1", "otherwise": "refer", "reason": "Because"}],
}


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), document=random_deals.DEALS)
def test_whether_a_policy_applies_is_what_the_evidence_says(seed: int, document: Any) -> None:
    policy = Policy.from_text(json.dumps({**HEAD, "applies_to": own_fields(Author(seed))}))
    deal = Deal.read(document)
    assert policy.applies_to
    facts = facts_of(deal)
    answer = applies(policy, deal)
    assert does_answer(Witness(policy, document, facts, Reckoning(Names((), ()), {}, (), ()))) is answer


# Every deal


def test_programs_that_divide_the_deals_are_proved_to(program: Any) -> None:
    found = side_by_side([program("prime", 'tier in ["A", "B"]'), program("subprime", 'tier not in ["A", "B"]')])
    assert [overlap.answer.verdict for overlap in found.overlaps] == [Verdict.IMPOSSIBLE]
    assert [gap.answer.verdict for gap in found.gaps] == [Verdict.IMPOSSIBLE]


def test_a_deal_for_both_and_a_deal_for_none_are_shown(program: Any) -> None:
    prime, subprime = program("prime", 'tier in ["A", "B"]'), program("subprime", 'tier in ["B", "C"]')
    found = side_by_side([prime, subprime])
    (overlap,), (gap,) = found.overlaps, found.gaps
    assert overlap.answer.witness
    assert gap.answer.witness
    both, none = Deal.read(overlap.answer.witness.document), Deal.read(gap.answer.witness.document)
    assert both.applicant.tier == "B"
    assert isinstance(choose([prime, subprime], both), Unchosen)
    assert choose([prime, subprime], none) == Unchosen(
        "no policy in force applies to this deal: not prime 1 nor subprime 1"
    )


def test_of_three_only_the_pairs_that_meet_are_named(program: Any) -> None:
    found = side_by_side(
        [program("a", "credit_score >= 700"), program("b", "credit_score < 700"), program("c", "credit_score < 600")]
    )
    shown = {(part.first.name, part.second.name): part.answer.verdict for part in found.overlaps}
    assert shown == {
        ("a", "b"): Verdict.IMPOSSIBLE,
        ("a", "c"): Verdict.IMPOSSIBLE,
        ("b", "c"): Verdict.SHOWN,
    }


def test_versions_that_follow_each_other_do_not_overlap(program: Any) -> None:
    found = side_by_side(
        [
            program("old", effective_to="2026-07-01"),
            program("new", 'tier == "A"', effective_from="2026-07-01", effective_to="2026-09-01"),
        ]
    )
    assert found.overlaps == ()
    first, second = found.gaps
    assert (first.period.end, first.answer.verdict) == (datetime(2026, 7, 1, tzinfo=UTC), Verdict.IMPOSSIBLE)
    assert (second.period.start, second.answer.verdict) == (datetime(2026, 7, 1, tzinfo=UTC), Verdict.SHOWN)
    assert [policy.name for policy in second.policies] == ["new"]


def test_time_in_which_no_policy_is_effective_is_no_gap_between_programs(program: Any) -> None:
    found = side_by_side([program("a", effective_to="2026-02-01"), program("b", effective_from="2026-03-01")])
    assert [gap.period.start.month for gap in found.gaps] == [1, 3]


@pytest.mark.parametrize("seed", range(6))
def test_no_random_deal_contradicts_what_was_proved_of_programs(seed: int) -> None:
    author = Author(seed)
    programs = [
        Policy.from_text(json.dumps({**HEAD, "policy": f"p{index}", "applies_to": own_fields(author)}))
        for index in range(3)
    ]
    found = side_by_side(programs)
    for _ in range(300):
        deal = Deal.read(author.deal())
        answers = {policy.name: applies(policy, deal) for policy in programs}
        for overlap in found.overlaps:
            both = answers[overlap.first.name] and answers[overlap.second.name]
            assert not both or overlap.answer.verdict is not Verdict.IMPOSSIBLE
        none = all(answer is False for answer in answers.values())
        assert not none or found.gaps[0].answer.verdict is not Verdict.IMPOSSIBLE
