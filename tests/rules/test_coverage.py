"""Examples, evaluated: what differs from what they expect, and which results and rows they reach."""

from collections.abc import Callable

from dealgate import CompiledPolicy, Policy
from dealgate.rules.coverage import Difference, coverage_of, try_examples
from dealgate.rules.reference import Result

LIMITS = {
    "max_price": {
        "unit": "money",
        "rows": [{"when": 'tier == "A"', "limit": "$200"}, {"when": 'tier == "B"', "limit": "$150"}, {"limit": "$100"}],
    }
}
RULES = (
    {"id": "PRICE", "require": "cash_price <= max_price"},
    {"id": "TERM", "require": "term_months <= 60", "mitigated_by": {"when": "credit_score >= 700", "to": "flag"}},
)


def compiled(write_policy: Callable[..., str], *examples: object, **sections: object) -> CompiledPolicy:
    return CompiledPolicy(Policy.from_text(write_policy(*RULES, **{"limits": LIMITS, **sections}, examples=examples)))


def example(deal: object, **expect: object) -> object:
    return {"name": "an example", "deal": deal, "expect": expect}


def differences(write_policy: Callable[..., str], deal: object, **expect: object) -> list[tuple[str, str, str]]:
    (tried,) = try_examples(compiled(write_policy, example(deal, **expect)))
    return [part[:3] for part in tried.differences]


DEAL = {"applicant": {"tier": "A"}, "cash_price": "200.01", "term_months": 60}


def test_an_example_that_holds_has_no_differences(write_policy: Callable[..., str]) -> None:
    expect = {"outcome": "refer", "violated": ["PRICE"], "pass": ["TERM"], "measures": {"amount_financed": "200.01"}}
    assert differences(write_policy, DEAL, **expect) == []


def test_the_difference_names_outcome_rules_and_measures(write_policy: Callable[..., str]) -> None:
    expect = {
        "outcome": "pass",
        "pass": ["PRICE", "TERM"],
        "measures": {"amount_financed": "200.00", "total_ltv": "1.00"},
    }
    assert differences(write_policy, DEAL, **expect) == [
        ("outcome", "pass", "refer"),
        ("PRICE", "pass", "violated"),
        ("amount_financed", "200.00", "200.01"),
        ("total_ltv", "1.00", "unknown"),
    ]


def test_the_difference_of_an_outcome_names_the_rules_behind_it(write_policy: Callable[..., str]) -> None:
    (tried,) = try_examples(compiled(write_policy, example(DEAL, outcome="pass")))
    assert tried.differences == (Difference("outcome", "pass", "refer", "because of PRICE"),)


def test_a_rule_that_a_complete_list_leaves_out_is_a_difference(write_policy: Callable[..., str]) -> None:
    assert differences(write_policy, DEAL, violated=[]) == [("PRICE", "not violated", "violated")]


def test_a_result_that_nothing_is_said_about_is_no_difference(write_policy: Callable[..., str]) -> None:
    assert differences(write_policy, DEAL, mitigated=[], not_evaluable=[]) == []


def test_a_rule_that_is_listed_twice_cannot_hold(write_policy: Callable[..., str]) -> None:
    """As when the policy is checked: both lists are complete."""
    expect = {"violated": ["PRICE"], "pass": ["PRICE", "TERM"]}
    assert differences(write_policy, DEAL, **expect) == [("PRICE", "pass and violated", "violated")]


def test_the_difference_of_a_rule_has_its_sentence(write_policy: Callable[..., str]) -> None:
    (tried,) = try_examples(compiled(write_policy, example(DEAL, violated=[])))
    assert tried.differences == (Difference("PRICE", "not violated", "violated", tried.differences[0].explanation),)
    assert "$200.01" in tried.differences[0].explanation


def test_coverage_counts_results_and_rows(write_policy: Callable[..., str]) -> None:
    deals: list[object] = [
        DEAL,
        {**DEAL, "cash_price": "200.00"},
        {"cash_price": "1.00", "term_months": 61, "applicant": {"tier": "Z", "credit_score": 700}},
        {"cash_price": "1.00", "term_months": 61},
    ]
    policy = compiled(write_policy, *(example(deal) for deal in deals))
    coverage = coverage_of(policy.policy, try_examples(policy))
    assert coverage.rules == {
        "PRICE": {Result.VIOLATED: 1, Result.PASS: 2, Result.NOT_EVALUABLE: 1},
        "TERM": {Result.PASS: 2, Result.MITIGATED: 1, Result.VIOLATED: 1},
    }
    assert [(row.number, row.hits) for row in coverage.rows["max_price"]] == [(1, 2), (2, 0), (3, 1)]
    assert [(limit, row.name) for limit, row in coverage.never_hit] == [("max_price", "row 2")]
    assert coverage.rules_both_ways == 2


def test_every_row_that_a_collected_limit_rests_on_is_hit(write_policy: Callable[..., str]) -> None:
    limit = {
        "unit": "money",
        "hit_policy": "collect",
        "aggregate": "sum",
        "rows": [
            {"when": f"term_months > {least}", "limit": limit} for least, limit in ((1, "$1"), (9, "$2"), (99, "$3"))
        ],
        "default": "$7",
    }
    examples = [example({"term_months": 60}), example({"term_months": 1}), example({})]
    policy = compiled(write_policy, *examples, limits={"max_price": limit})
    tried = try_examples(policy)
    assert [one.rows["max_price"] for one in tried] == [{0, 1}, {3}, frozenset()]
    assert [row.name for row in coverage_of(policy.policy, tried).rows["max_price"]][-1] == "default"
