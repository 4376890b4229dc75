"""Three evaluators, one answer: the engine, the reference and a naive walk agree on random policies and deals, rule by rule."""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from fractions import Fraction
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from dealgate import CompiledPolicy, Deal, Policy
from dealgate.rules.conjunctions import TangledRuleError
from dealgate.rules.expressions import EXPRESSION_TYPES, Expression, LimitName, Number, Truth
from dealgate.rules.fields import facts_of
from dealgate.rules.writing import expression_text
from tests.rules.naive import Naive
from tests.rules.random_deals import DEALS
from tests.rules.random_expressions import LIMITS, numbers, truths

Document = dict[str, Any]

HEAD = {"policy": "random", "version": "1", "title": "Random", "effective_from": "2026-01-01"}
BASES = {"new": ["invoice", "msrp"], "used": ["jdpower_clean_trade", "msrp", "house value"]}


def compiled(document: Document) -> CompiledPolicy:
    try:
        return CompiledPolicy(
            Policy.from_text(json.dumps({**HEAD, "collateral_value": BASES, **document}, ensure_ascii=False))
        )
    except TangledRuleError:
        reject()


def check(policy: CompiledPolicy, document: Document) -> Naive:
    """Hold the evaluators against each other on one deal."""
    deal = Deal.read(document)
    facts = facts_of(deal)
    naive, reckoning = Naive(policy.policy, facts), policy.evidence(facts)
    assert reckoning.results == policy.reference(facts).results == naive.results
    assert policy.engine.evaluate(facts, reckoning) == naive.results
    for name, (numerator, denominator, _) in reckoning.measures.items():
        assert naive.measures[name] == (None if numerator is None else Fraction(numerator, denominator)), name
    for name, (numerator, denominator, row) in reckoning.limits.items():
        assert naive.limits[name] == (None if numerator is None else Fraction(numerator, denominator), row), name
    evaluation = policy.evaluate(deal)
    assert (evaluation.outcome, evaluation.engine["agreed"]) == (naive.outcome, True)
    json.dumps(evaluation.document(), allow_nan=False)  # every sentence can be told
    return naive


# Random policies


def without(expression: Expression, names: frozenset[str]) -> Expression:
    """The expression with some limits replaced by a number, so that tables do not read each other in a circle."""
    if isinstance(expression, LimitName) and expression.name in names:
        return Number(expression.unit, 1)

    def bent(value: Any) -> Any:
        if isinstance(value, EXPRESSION_TYPES):
            return without(value, names)
        return tuple(without(part, names) for part in value) if isinstance(value, tuple) else value

    return replace(expression, **{field.name: bent(getattr(expression, field.name)) for field in fields(expression)})


@st.composite
def tables(draw: st.DrawFn) -> Document:
    """Three limits; each may read the ones before it."""
    found: Document = {}
    for number, (name, unit) in enumerate(LIMITS.items()):
        later = frozenset(list(LIMITS)[number:])
        rows: list[Document] = [
            {
                "when": expression_text(without(draw(truths(1)), later)),
                "limit": expression_text(without(draw(numbers(unit, 0)), later)),
            }
            for _ in range(draw(st.integers(0, 2)))
        ]
        last = expression_text(without(draw(numbers(unit, 1)), later))
        found[name] = {"unit": unit.value, **draw(hit_policies(unit.value, rows, last))}
    return found


@st.composite
def hit_policies(draw: st.DrawFn, unit: str, rows: list[Document], last: str) -> Document:
    """A table by any hit policy, closed by a last row or a default, or left open on purpose."""
    policy = draw(
        st.sampled_from(["first", "unique", "any", "sum", "min", "max", *(["count"] if unit == "count" else [])])
    )
    closing = draw(st.sampled_from(["row", "default", "unknown"])) if rows else "row"
    if policy == "unique" and closing == "row" and rows:
        closing = "default"
    if policy == "count" and closing == "unknown":
        closing = "default"
    found: Document = {"rows": rows}
    if policy in {"sum", "min", "max", "count"}:
        found |= {"hit_policy": "collect", "aggregate": policy}
    else:
        found["hit_policy"] = policy
    if closing == "row":
        return found | {"rows": [*rows, {"limit": last}]}
    return found | ({"default": last} if closing == "default" else {"on_no_hit": "unknown"})


@st.composite
def rules(draw: st.DrawFn) -> list[Document]:
    """A few rules, some of them layered on earlier ones, some conditional, some mitigated."""
    found: list[Document] = []
    for number in range(draw(st.integers(1, 5))):
        ids = [rule["id"] for rule in found]
        rule: Document = {
            "id": f"R{number}",
            "title": f"Rule {number}",
            "reason": "Reason",
            "require": draw(demand(ids)),
        }
        if draw(st.booleans()):
            rule["applies"] = draw(demand(ids))
        rule["otherwise"] = draw(st.sampled_from(["flag", "refer", "decline"]))
        softer = ["pass", "flag", "refer", "decline"].index(rule["otherwise"])
        if draw(st.booleans()):
            to = draw(st.sampled_from(["pass", "flag", "refer"][:softer]))
            rule["mitigated_by"] = {"when": draw(demand(ids)), "to": to}
        found.append(rule)
    return found


@st.composite
def demand(draw: st.DrawFn, ids: list[str]) -> str:
    """Something true, false or unknown; with earlier rules at hand, often about them too."""
    text = expression_text(draw(truths(2).filter(lambda expression: not isinstance(expression, Truth))))
    if not ids or draw(st.booleans()):
        return text
    one, other = (f'violated("{draw(st.sampled_from(ids))}")' for _ in range(2))
    shapes = [
        "{one}",
        "not {one}",
        "({text}) or {one}",
        "({text}) and not {one}",
        "not ({one} and {other})",
        "{one} or not {other}",
    ]
    return draw(st.sampled_from(shapes)).format(one=one, other=other, text=text)


@given(
    rules=rules(),
    limits=tables(),
    deals=st.lists(DEALS, min_size=1, max_size=3),
    unknown=st.sampled_from(["refer", "decline"]),
)
@settings(max_examples=80)
def test_engine_reference_and_a_naive_walk_agree(
    rules: list[Document], limits: Document, deals: list[Document], unknown: str
) -> None:
    policy = compiled({"rules": rules, "limits": limits, "on_unknown": unknown})
    for deal in deals:
        check(policy, deal)


@given(
    pool=st.lists(truths(1), min_size=6, max_size=12),
    limits=tables(),
    deals=st.lists(DEALS, min_size=2, max_size=3),
    size=st.integers(60, 120),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=8)
def test_policies_too_large_for_one_ruleset_agree_too(
    pool: list[Expression], limits: Document, deals: list[Document], size: int, seed: int
) -> None:
    pick = Random(seed)
    texts = [f"({expression_text(expression)})" for expression in pool]
    shapes = ["{} or not {}", "{} and not {}", "not {} or not {}", "not ({} and {})"]
    rules = []
    for number in range(size):
        require = pick.choice(shapes).format(*pick.sample(texts, 2))
        if number > 3 and pick.random() < 0.3:
            require += f' and not (violated("R{pick.randrange(number)}") and violated("R{pick.randrange(number)}"))'
        rules.append({"id": f"R{number}", "title": "T", "require": require, "otherwise": "refer", "reason": "R"})
    policy = compiled({"rules": rules, "limits": limits})
    for deal in deals:
        check(policy, deal)


# Kleene's tables, one by one. Two truths of the applicant stand for the two operands.

LEAST = {
    "deal_id": "D",
    "submitted_on": "2026-11-20",
    "vehicle": {"condition": "used"},
    "cash_price": "100.00",
    "term_months": 72,
}
T, F, U = True, False, None
RESULT = {T: "pass", F: "violated", U: "not_evaluable"}
A, B = "first_time_buyer", "covered_borrower"


def knowing(**truths: bool | None) -> Document:
    return {**LEAST, "applicant": {name: truth for name, truth in truths.items() if truth is not None}}


def results(rules: Mapping[str, Any], deal: Document) -> dict[str, str]:
    stated = [{"id": name, "title": "T", "otherwise": "refer", "reason": "R", **rule} for name, rule in rules.items()]
    return check(compiled({"rules": stated}), deal).results


@pytest.mark.parametrize(
    ("logic", "table"),
    [
        (
            f"{A} and {B}",
            [(T, T, T), (T, F, F), (T, U, U), (F, T, F), (F, F, F), (F, U, F), (U, T, U), (U, F, F), (U, U, U)],
        ),
        (
            f"{A} or {B}",
            [(T, T, T), (T, F, T), (T, U, T), (F, T, T), (F, F, F), (F, U, U), (U, T, T), (U, F, U), (U, U, U)],
        ),
        (f"not {A}", [(T, T, F), (F, T, T), (U, T, U)]),
        (f"not ({A} and not {B})", [(T, T, T), (T, F, F), (T, U, U), (F, U, T), (U, T, T), (U, F, U), (U, U, U)]),
        (f"{A} and not {A}", [(T, T, F), (F, T, F), (U, T, U)]),
        (f"{A} or not {A}", [(T, T, T), (F, T, T), (U, T, U)]),
        (f"missing({A}) or {A}", [(T, T, T), (F, T, F), (U, T, T)]),
        (f"{A} and true", [(T, T, T), (F, T, F), (U, T, U)]),
        (f"{A} or true", [(T, T, T), (F, T, T), (U, T, T)]),
        (f"{A} and false", [(T, T, F), (F, T, F), (U, T, F)]),
    ],
)
def test_logic_is_kleene_s(logic: str, table: list[tuple[bool | None, bool | None, bool | None]]) -> None:
    for a, b, expected in table:
        deal = knowing(first_time_buyer=a, covered_borrower=b)
        assert results({"R": {"require": logic}}, deal) == {"R": RESULT[expected]}, (a, b)


@pytest.mark.parametrize(
    ("applies", "require", "expected"),
    [
        (T, T, "pass"),
        (T, F, "violated"),
        (T, U, "not_evaluable"),
        (F, T, "not_applicable"),
        (F, F, "not_applicable"),
        (F, U, "not_applicable"),
        (U, T, "not_evaluable"),
        (U, F, "not_evaluable"),
        (U, U, "not_evaluable"),
    ],
)
def test_an_unknown_condition_makes_a_rule_not_evaluable_whatever_it_requires(
    applies: bool | None, require: bool | None, expected: str
) -> None:
    deal = knowing(first_time_buyer=applies, covered_borrower=require)
    assert results({"R": {"applies": A, "require": B}}, deal) == {"R": expected}


@pytest.mark.parametrize(("when", "expected"), [(T, "mitigated"), (F, "violated"), (U, "violated")])
def test_only_a_mitigation_known_to_hold_softens(when: bool | None, expected: str) -> None:
    rule = {"require": A, "otherwise": "decline", "mitigated_by": {"when": B, "to": "flag"}}
    assert results({"R": rule}, knowing(first_time_buyer=F, covered_borrower=when)) == {"R": expected}


LOWER_RULES = {
    "violated": {"require": f"not {A}"},
    "mitigated": {"require": f"not {A}", "mitigated_by": {"when": A, "to": "flag"}},
    "pass": {"require": A},
    "not_applicable": {"applies": f"not {A}", "require": A},
    "not_evaluable": {"require": B},
}


@pytest.mark.parametrize(
    ("lower", "seen"),
    [("violated", T), ("mitigated", T), ("pass", F), ("not_applicable", F), ("not_evaluable", U)],
)
def test_violated_is_true_of_a_mitigated_rule_false_of_one_that_does_not_apply_and_unknown_of_an_unknown_one(
    lower: str, seen: bool | None
) -> None:
    rules = {
        "LOW": LOWER_RULES[lower],
        "HIGH": {"require": 'violated("LOW")'},
        "TOP": {"require": 'not violated("HIGH")'},
    }
    found = results(rules, knowing(first_time_buyer=T))
    assert found["LOW"] == lower
    assert found["HIGH"] == RESULT[seen]
    assert found["TOP"] == (RESULT[U] if seen is None else RESULT[seen])


def test_a_layered_rule_may_stand_before_the_rules_it_rests_on() -> None:
    rules = {"HIGH": {"require": 'not violated("LOW")'}, "LOW": {"require": A}}
    assert results(rules, knowing(first_time_buyer=F)) == {"HIGH": "violated", "LOW": "violated"}


@pytest.mark.parametrize(("first", "second"), list(product([T, F, U], repeat=2)))
def test_an_unknown_row_above_the_first_true_one_makes_the_limit_unknown(
    first: bool | None, second: bool | None
) -> None:
    rows = [{"when": A, "limit": "$100"}, {"when": B, "limit": "$100"}, {"limit": "$1"}]
    limits = {"most": {"unit": "money", "rows": rows}}
    rule = {"id": "R", "title": "T", "require": "cash_price <= most", "otherwise": "flag", "reason": "R"}
    naive = check(
        compiled({"rules": [rule], "limits": limits}), knowing(first_time_buyer=first, covered_borrower=second)
    )
    known = first is True or (first is False and second is not None)
    row = -1 if not known else 0 if first else 1 if second else 2
    assert naive.limits["most"][1] == row
    assert naive.results["R"] == ("not_evaluable" if row < 0 else "violated" if row == 2 else "pass")


@pytest.mark.parametrize(
    ("require", "expected"),
    [
        ("cash_price / cash_down > 5%", "not_evaluable"),  # a divisor of zero
        ("cash_price / (cash_down - $1) > 5%", "not_evaluable"),  # a divisor below zero
        ("total_ltv > 0%", "not_evaluable"),  # no value on a listed basis
        ("cash_price / $3 == 100% / 3 * 100", "pass"),  # exact thirds
        ("cash_price * 33.3333% < $33.34", "pass"),
        ("cash_price / 3 > $33.33", "pass"),  # not rounded inside a rule
        ("cash_price / 3 in [$33.33]", "violated"),
        ("min(cash_price / 3, $33.34, cash_price / 2) < $33.34", "pass"),
        ("max(cash_price / 3, $33.33, cash_price / 7) > $33.33", "pass"),
        ("max(cash_price / 3, $33.33, cash_price / count(trade_ins)) > $33.33", "not_evaluable"),
        ("cash_price in [$1, $100]", "pass"),
        ("cash_price in [$100, $1]", "pass"),
        ("cash_price not in [$100]", "violated"),
        ("apr_percent not in [7.9%]", "not_evaluable"),
        ("submitted_on == submitted_on", "pass"),
        ("state == 'TX' or cash_price > $1", "pass"),
        ("cash_price * 1000000000000 * 1000000000000 > $1", "pass"),  # far beyond 64 bits
        ("cash_price - $999999999999999 * 1000000000000000 < $0", "pass"),
        ("sum(trade_ins, payoff) == $0", "pass"),  # an empty list sums to zero
        ("missing(monthly_payment)", "pass"),
        ("first_known(given_monthly_payment, $5) == $5", "pass"),
    ],
)
def test_arithmetic_is_exact_and_what_cannot_be_divided_is_unknown(require: str, expected: str) -> None:
    assert results({"R": {"require": require}}, LEAST) == {"R": expected}


def test_the_outcome_is_the_most_severe_over_all_findings() -> None:
    ladder = ["flag", "refer", "decline"]
    for broken in product([True, False], repeat=3):
        rules = [
            {
                "id": word,
                "title": "T",
                "require": "cash_price < $1" if bad else "cash_price > $1",
                "otherwise": word,
                "reason": "R",
            }
            for word, bad in zip(ladder, broken, strict=True)
        ]
        expected = next((word for word, bad in reversed(list(zip(ladder, broken, strict=True))) if bad), "pass")
        assert check(compiled({"rules": rules}), LEAST).outcome == expected
        assert compiled({"rules": rules}).evaluate(Deal.read(LEAST)).outcome == expected
