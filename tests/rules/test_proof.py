"""What is planted is found, what is found is shown by a deal, and nothing is claimed that was not shown."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from dealgate import CompiledPolicy, Deal, Policy, Result
from dealgate.rules import proof, review
from dealgate.rules.document import Problem
from dealgate.rules.fields import facts_of
from dealgate.rules.proof import Prover, Verdict
from dealgate.rules.questions import Questions
from dealgate.rules.reference import compile_reference
from dealgate.rules.review import Review, review_policy
from dealgate.rules.tracing import Trace
from tests.fuzzing.proof_campaign import Claims, ContradictionError, run
from tests.fuzzing.random_policies import Author

Write = Callable[..., str]
Document = Mapping[str, Any]

TIERS = {"unit": "percent", "rows": [{"when": 'tier == "A"', "limit": "130%"}, {"limit": "120%"}]}
LTV = {"require": "total_ltv <= max_ltv", "reason": "Value or type of collateral not sufficient"}


@pytest.fixture(scope="session")
def look(write_policy: Write) -> Callable[..., Review]:
    """A review of a small policy whose words say nothing."""

    def look(*rules: Any, **sections: Any) -> Review:
        return review_policy(write_policy(*rules, **sections), "small.yaml")

    return look


def told(found: Review) -> list[str]:
    return [problem.message for problem in (*found.errors, *found.warnings)]


def only(problems: tuple[Problem, ...]) -> Problem:
    assert len(problems) == 1, [problem.message for problem in problems]
    return problems[0]


def rows(*whens: str | None, unit: str = "count") -> Document:
    """A table whose rows give 1, 2, 3, ..."""
    return {
        "unit": unit,
        "rows": [({"when": when} if when else {}) | {"limit": str(index + 1)} for index, when in enumerate(whens)],
    }


def evaluated(text: str, witness: Document | None) -> Any:
    """What `dealgate evaluate` says of a witness."""
    assert witness is not None
    return CompiledPolicy(Policy.from_text(text)).evaluate(Deal.read(witness))


# Tables


@pytest.mark.parametrize(
    ("whens", "words"),
    [
        (('tier in ["A", "B"]', 'tier == "B" and credit_score > 700', None), "row 1 (line 1) takes"),
        (("credit_score < 700", "credit_score >= 640", "cash_price > $5", None), "the rows above it take"),
        (("cash_price <= $20,000", "cash_price <= $19,999.99", None), "row 1 (line 1) takes"),
        (("amount_financed > $9,999.99", "amount_financed >= $10,000", None), "row 1 (line 1) takes"),
        (
            ("total_ltv > 100%", "amount_financed > collateral_value and collateral_value > $0", None),
            "row 1 (line 1) takes",
        ),
        (("collateral_value > $0", "total_ltv > 90%", None), "row 1 (line 1) takes"),
        (('state in ["TX", "CA"]', 'state == "CA"', None), "row 1 (line 1) takes"),
        (('tier not in ["A"]', 'tier in ["B", "C"]', None), "row 1 (line 1) takes"),
        (("not first_time_buyer", "not first_time_buyer and mileage < 5", None), "row 1 (line 1) takes"),
        (("sum(products, price) > $5", 'sum(products, price, kind == "gap") > $5', None), "row 1 (line 1) takes"),
        (("count(trade_ins) > 1", "count(trade_ins) > 4", None), "row 1 (line 1) takes"),
        (("trade_payoff >= $0", "trade_payoff > $1", None), "row 1 (line 1) takes"),
    ],
)
def test_a_row_that_earlier_rows_cover_is_found(whens: tuple[str, ...], words: str, write_policy: Write) -> None:
    text = write_policy("term_months <= table", limits={"table": rows(*whens)})
    found = [problem for problem in review_policy(text).errors if "can never match" in problem.message]
    problem = only(tuple(found))
    assert problem.message == f"this row can never match: {words} every deal that it is for"
    policy, facts = Policy.from_text(text), facts_of(Deal.read(problem.witness))
    reckoning, dead = compile_reference(policy)(facts), len(whens) - 2
    when = policy.limits["table"].rows[dead].when
    assert when
    assert Trace(policy, facts, reckoning).value(when) is True
    assert 0 <= reckoning.limits["table"].row < dead


@pytest.mark.parametrize(
    "whens",
    [
        ('tier == "A"', 'tier == "A" and credit_score > 700 or tier == "B"', None),
        ("credit_score < 700", "credit_score >= 700", None),
        ("total_ltv > 100%", "amount_financed > $5,000", None),
        ("count(trade_ins) > 1", "count(trade_ins) > 0", None),
        ("missing(tier)", 'tier == "A"', None),
    ],
)
def test_a_row_that_some_deal_needs_is_left_alone(whens: tuple[str, ...], look: Callable[..., Review]) -> None:
    found = look("term_months <= table", limits={"table": rows(*whens)})
    assert found.errors == ()


def test_a_row_that_repeats_another_is_found_with_the_other_line(look: Callable[..., Review]) -> None:
    found = look("term_months <= table", limits={"table": rows("mileage > 9", 'tier == "A"', "mileage > 9", None)})
    assert only(found.errors).message == "this row repeats row 1 (line 1), so it can never match"


@pytest.mark.parametrize(
    ("whens", "gap"),
    [
        (("cash_price < $20,000", "cash_price > $20,000"), {"cash_price": "20000.00"}),
        (("term_months <= 60", "term_months >= 62"), {"term_months": 61}),
        (('tier == "A"', 'tier == "B"'), {}),
        (("total_ltv < 100%", "amount_financed > collateral_value"), {}),
    ],
)
def test_a_gap_is_shown_by_a_deal_in_it(whens: tuple[str, ...], gap: Document, look: Callable[..., Review]) -> None:
    found = look("term_months <= table", limits={"table": rows(*whens)})
    problem = next(problem for problem in found.errors if "has a gap" in problem.message)
    assert found.policy is None
    assert problem.witness is not None
    assert gap.items() <= problem.witness.items()


def test_a_table_whose_rows_cover_everything_is_told_to_drop_its_last_condition(look: Callable[..., Review]) -> None:
    found = look("term_months <= table", limits={"table": rows('condition == "new"', 'condition == "used"')})
    assert only(found.errors).suggestion == (
        "Every deal whose fields are known matches a row: leave the 'when' off the last one."
    )
    closed = look("term_months <= table", limits={"table": rows('condition == "new"', 'condition == "used"', None)})
    assert closed.errors == ()
    assert only(closed.warnings).message.startswith("this row is never needed")


# Tables by the other hit policies


def listed(hit_policy: str, *entries: tuple[str, str], **more: Any) -> Document:
    found = [{"when": when, "limit": limit} for when, limit in entries]
    return {"unit": "count", "hit_policy": hit_policy, "rows": found, **({"on_no_hit": "unknown"} | more)}


LOW, MIDDLE, HIGH = "credit_score < 660", "credit_score >= 650 and credit_score < 700", "credit_score >= 700"


def test_rows_of_a_unique_table_that_overlap_are_found_with_a_deal(write_policy: Write) -> None:
    limits = {"table": listed("unique", (LOW, "48"), (MIDDLE, "60"), (HIGH, "72"))}
    text = write_policy("term_months <= table", limits=limits)
    problem = only(review_policy(text).errors)
    assert problem.message == "this row and row 1 (line 1) can both hold, and then hit_policy unique gives none"
    assert problem.witness is not None
    assert 650 <= problem.witness["applicant"]["credit_score"] < 660
    evaluation = evaluated(text, problem.witness)
    assert evaluation.outcome == "refer"


def test_rows_of_a_unique_table_that_exclude_each_other_are_left_alone(look: Callable[..., Review]) -> None:
    limits = {"table": listed("unique", ("credit_score < 650", "48"), (MIDDLE, "60"), (HIGH, "72"))}
    assert told(look("term_months <= table", limits=limits)) == []


@pytest.mark.parametrize(("middle", "is_found"), [("60", True), ("48", False)])
def test_rows_of_an_any_table_must_agree_where_they_overlap(
    middle: str, is_found: bool, look: Callable[..., Review]
) -> None:
    limits = {"table": listed("any", (LOW, "48"), (MIDDLE, middle), (HIGH, "72"))}
    found = [problem.message for problem in look("term_months <= table", limits=limits).errors]
    message = "this row and row 1 (line 1) can both hold with different limits, and then hit_policy any gives none"
    assert found == [message] * is_found


@pytest.mark.parametrize("aggregate", ["sum", "min", "max"])
def test_rows_that_are_collected_do_not_cover_each_other(aggregate: str, look: Callable[..., Review]) -> None:
    table = listed("collect", ("credit_score < 700", "48"), ("credit_score < 650", "60"), aggregate=aggregate)
    assert told(look("term_months <= table", limits={"table": table})) == []


@pytest.mark.parametrize(("hit_policy", "effect"), [("any", "changes nothing"), ("collect", "is counted twice")])
def test_a_row_that_is_repeated_where_every_row_counts_is_doubted(
    hit_policy: str, effect: str, look: Callable[..., Review]
) -> None:
    more = {"aggregate": "sum"} if hit_policy == "collect" else {}
    found = look("term_months <= table", limits={"table": listed(hit_policy, (LOW, "48"), (LOW, "48"), **more)})
    assert found.errors == ()
    assert only(found.warnings).message == f"this row repeats row 1 (line 1): it {effect}"


def test_a_row_that_can_never_hold_is_found_by_every_hit_policy(look: Callable[..., Review]) -> None:
    for hit_policy in ("first", "unique", "any"):
        table = listed(hit_policy, (LOW, "48"), ("term_months > 60 and term_months < 60", "60"))
        message = only(look("term_months <= table", limits={"table": table}).errors).message
        assert message.startswith("contradictory bounds: term_months > 60"), hit_policy


def test_a_default_that_is_never_needed_is_doubted(look: Callable[..., Review]) -> None:
    rows = listed("unique", ('condition == "new"', "84"), ('condition == "used"', "72"))
    table = {key: value for key, value in rows.items() if key != "on_no_hit"} | {"default": "60"}
    found = look("term_months <= table", limits={"table": table})
    assert only(found.warnings).message == (
        "this default is never needed: the rows match every deal whose fields are known"
    )


def test_a_gap_that_is_meant_is_no_mistake_and_one_that_is_not_is_shown(look: Callable[..., Review]) -> None:
    table = listed("unique", ("credit_score < 650", "48"), (HIGH, "72"))
    assert told(look("term_months <= table", limits={"table": table})) == []
    del table["on_no_hit"]  # type: ignore[attr-defined]
    problem = only(look("term_months <= table", limits={"table": table}).errors)
    assert problem.message == "limit table has a gap: a deal that matches no row has no limit"
    assert problem.witness is not None
    assert 650 <= problem.witness["applicant"]["credit_score"] < 700


def test_the_row_of_a_table_by_priority_is_told_where_it_stands(write_policy: Write) -> None:
    rows = [{"when": "credit_score < 700", "limit": "72"}, {"when": "credit_score < 650", "limit": "84"}]
    rows.append({"when": "credit_score < 600", "limit": "72"})
    table = {"unit": "count", "hit_policy": "priority", "output_values": ["84", "72"], "rows": rows, "default": "60"}
    policy = json.loads(write_policy("term_months <= table", limits={"table": table}))
    problem = only(review_policy(json.dumps(policy, indent=1)).errors)
    assert "can never match" in problem.message
    assert "credit_score < 600" in problem.source_line


@pytest.mark.parametrize(
    "never",
    [
        "total > 84",
        "total == 73",
        "least > 60 and credit_score < 640",
        "counted > 2",
        'break_even_month > 0 and amount_financed <= book_value("jdpower_clean_trade") and condition == "used"',
        "peak_shortfall > amount_financed",
        "break_even_month > term_months",
    ],
)
def test_a_guarantee_about_tables_and_projections_is_proved(never: str, look: Callable[..., Review]) -> None:
    entries = (LOW, "60"), ("credit_score < 640", "12"), ("credit_score < 600", "12")
    limits = {
        "total": listed("collect", *entries, aggregate="sum"),
        "least": listed("collect", *entries, aggregate="min"),
        "counted": {"unit": "count", "hit_policy": "collect", "aggregate": "count", "rows": [
            {"when": when, "limit": limit} for when, limit in entries[:2]
        ]},
    }  # fmt: skip
    found = look("term_months <= total", limits=limits, guarantees=[{"never": never}])
    assert [problem.message for problem in found.errors] == []
    assert found.proved == 1


def test_limits_that_are_looser_for_a_worse_tier_are_doubted(look: Callable[..., Review]) -> None:
    steps = {"A": "120%", "B": "125%", "C": "110%"}
    table = [{"when": f'tier == "{tier}"', "limit": limit} for tier, limit in steps.items()]
    limits = {"max_ltv": {"unit": "percent", "rows": [*table, {"limit": "100%"}]}}
    problem = only(look(LTV, limits=limits).warnings)
    assert problem.message == "limit max_ltv is looser for tier B than for tier A"
    assert problem.witness is not None
    assert problem.witness["applicant"]["tier"] == "B"


@pytest.mark.parametrize(
    ("require", "looser"),
    [
        ("credit_score >= least", True),
        ("least <= credit_score", True),
        ("not (credit_score < least)", True),
        ("credit_score <= least", False),
        ("not (credit_score >= least)", False),
        ("credit_score <= least and mileage >= least", False),
    ],
)
def test_a_least_that_falls_is_looser_and_a_most_is_not(
    require: str, looser: bool, look: Callable[..., Review]
) -> None:
    limits = {
        "least": {
            "unit": "count",
            "rows": [
                {"when": 'tier == "A"', "limit": "700"},
                {"when": 'tier == "B"', "limit": "600"},
                {"limit": "600"},
            ],
        }
    }
    assert any("looser" in message for message in told(look(require, limits=limits))) is looser


# Rules


@pytest.mark.parametrize(
    ("rule", "where", "why"),
    [
        ("rolled_in_negative_equity >= $0", "require", "its requirement holds"),
        ("credit_score <= 900", "require", "its requirement holds"),
        ("vehicle_age < 9000", "require", "its requirement holds"),
        ("contract_negative_equity <= trade_payoff", "require", "its requirement holds"),
        ("hidden_negative_equity <= economic_negative_equity", "require", "its requirement holds"),
        ("front_end_amount <= amount_financed", "require", "its requirement holds"),
        ("front_end_ltv <= total_ltv or front_end_ltv > total_ltv", "require", "its requirement holds"),
        ("missing(credit_score) or credit_score > 200", "require", "its requirement holds"),
        ("min(cash_price, $5) <= $5", "require", "its requirement holds"),
        ('not (state == "TX" and state == "CA")', "require", "its requirement holds"),
        ("not (term_months > 72 and term_months < 60)", "require", "its requirement holds"),
        (
            {"applies": "term_months > 84 and term_months < 60", "require": "mileage < 9"},
            "applies",
            "it applies to no deal",
        ),
        ({"applies": 'state == "tx"', "require": "mileage < 9"}, "applies", "it applies to no deal"),
        ({"applies": "mileage < 9", "require": "mileage < 10"}, "require", "its requirement holds"),
        ({"applies": "missing(mileage)", "require": "mileage < 10"}, "require", "its requirement is unknown"),
        ({"applies": "total_ltv > 130%", "require": "amount_financed > $0"}, "require", "its requirement holds"),
    ],
)
def test_a_rule_that_can_never_be_violated_is_refused(
    rule: Any, where: str, why: str, look: Callable[..., Review]
) -> None:
    found = look(rule)
    problem = next(problem for problem in found.errors if "can never be violated" in problem.message)
    assert f"rule R0 can never be violated: {why}" in problem.message
    source = problem.source_line[problem.place.column - 1 :]
    stated = rule if isinstance(rule, str) else rule[where]
    assert source.startswith(stated.replace('"', '\\"'))


@pytest.mark.parametrize(
    "require",
    [
        "hidden_negative_equity <= contract_negative_equity",
        "over_allowance <= trade_allowance - trade_acv",
        "total_ltv <= 100000%",
        "payment_to_income <= 90%",
        "count(trade_ins) <= 99",
        'count(products, kind == "gap") <= 3',
        "level_payment(amount_financed, apr_percent, term_months) <= $17,000,000",
        "trade_payoff <= $900,000,000",
        "monthly_payment * term_months >= amount_financed",
    ],
)
def test_a_rule_that_some_deal_violates_is_left_alone(require: str, look: Callable[..., Review]) -> None:
    assert look(require).errors == ()


def test_a_rule_that_every_deal_violates_is_refused_and_a_ban_doubted(look: Callable[..., Review]) -> None:
    problem = only(look("credit_score > 900").errors)
    assert problem.message == "rule R0 is violated by every deal that can be judged"
    ban = look({"applies": "mileage > 100000", "require": "mileage <= 100000"})
    assert ban.errors == ()
    doubt = only(ban.warnings)
    assert doubt.message == "rule R0 is violated by every deal to which it applies"
    assert doubt.witness is not None
    assert doubt.witness["vehicle"]["mileage"] > 100_000


def test_a_mitigation_that_never_or_always_helps_is_doubted(look: Callable[..., Review]) -> None:
    rule = {"require": "payment_to_income <= 15%"}
    never = look(rule | {"mitigated_by": {"when": "payment_to_income <= 12%", "to": "flag"}})
    assert only(never.warnings).message == "the mitigation of R0 can never help: no deal that breaks the rule meets it"
    always = look(rule | {"mitigated_by": {"when": "payment_to_income > 12%", "to": "flag"}})
    assert only(always.warnings).message == "every deal that breaks R0 is mitigated: 'otherwise' never comes"
    sometimes = look(rule | {"mitigated_by": {"when": "payment_to_income <= 18%", "to": "flag"}})
    assert sometimes.warnings == ()


def test_a_rule_that_rests_on_two_that_exclude_each_other_is_refused(look: Callable[..., Review]) -> None:
    found = look("term_months <= 72", "term_months >= 24", 'not (violated("R0") and violated("R1"))')
    assert only(found.errors).message.startswith("rule R2 can never be violated")


def test_a_part_that_can_never_hold_is_pointed_at(look: Callable[..., Review]) -> None:
    problem = only(look("mileage < 5 or (credit_score > 700 and credit_score < 650) or missing(tier)").errors)
    assert problem.message == "contradictory bounds: credit_score > 700 and credit_score < 650 can never hold"
    start = problem.place.column - 1
    assert problem.source_line[start : start + problem.place.width] == "credit_score > 700 and credit_score < 650"


# Guarantees

LIMITED = {"limits": {"max_ltv": TIERS}}


@pytest.mark.parametrize(
    "never",
    [
        'outcome == "pass" and total_ltv > 130%',
        'outcome != "refer" and total_ltv > 130%',
        'outcome in ["flag", "decline"]',
        'total_ltv > 120% and tier == "B" and not violated("R0")',
        'outcome == "pass" and missing(tier)',
        'total_ltv > max_ltv and not violated("R0")',
        "trade_payoff < $0",
        "sum(trade_ins, payoff) > sum(trade_ins, payoff + $1)",
        'products_total < sum(products, price, kind == "gap")',
        "over_allowance > $1,000,000,000",
        "level_payment(amount_financed, 0%, 10) > amount_financed + $1",
        "level_payment($10,000, 6%, 60) != $193.33",
        "level_payment(amount_financed, 12%, term_months) > amount_financed * 2 + $1",
        "level_payment(cash_price, apr_percent, term_months) > $190 and cash_price < $10,000"
        " and apr_percent <= 5% and term_months > 59",
        "max(cash_price, cash_down) < min(cash_price, cash_down)",
        "cash_price * term_months < $0",
        "vehicle_age < -2",
        "given_monthly_payment == $0",
    ],
)
def test_a_guarantee_that_holds_is_proved(never: str, look: Callable[..., Review]) -> None:
    found = look(LTV, **LIMITED, guarantees=[{"never": never}])
    assert told(found) == []
    assert found.proved == 1


@pytest.mark.parametrize(
    "never",
    [
        'outcome == "pass" and total_ltv >= 130%',
        'outcome == "pass" and total_ltv > 120%',
        'outcome == "refer"',
        'violated("R0") and tier == "A"',
        "payment_to_income > 50%",
        "level_payment(amount_financed, apr_percent, term_months) == $500",
        "level_payment(amount_financed, apr_percent, 60) > $500 and amount_financed < $26,000 and apr_percent > 5%",
        "monthly_payment * term_months < amount_financed",
        "count(trade_ins) == 8",
        "sum(trade_ins, payoff) > $900,000,000",
        "total_ltv > payment_to_income and apr_percent == 7.5%",
        "collateral_value * debt_to_income == $5,000 and debt_to_income > 3%",
        "missing(total_ltv) and not missing(collateral_value)",
        'tier != "A" and tier != "B" and dealer_id == tier and state != "TX"',
        "year(submitted_on) == 2031",
    ],
)
def test_a_guarantee_that_does_not_hold_is_refuted_by_a_deal(never: str, write_policy: Write) -> None:
    text = write_policy(LTV, **LIMITED, guarantees=[{"never": never}])
    found = review_policy(text)
    problem = only(found.errors)
    assert "this guarantee does not hold" in problem.message
    evaluation = evaluated(text, problem.witness)
    assert problem.message.endswith(f"its outcome is {evaluation.outcome}")
    assert evaluation.engine["agreed"]
    policy = Policy.from_text(text)
    facts = facts_of(Deal.read(problem.witness))
    assert Trace(policy, facts, compile_reference(policy)(facts)).value(policy.guarantees[0].never) is True


@pytest.mark.parametrize(
    "never",
    [
        "level_payment(cash_price, apr_percent, 60) + $1 < level_payment(cash_price, apr_percent, 61)",
        "cash_price * term_months * mileage == $9,999,999.99 and cash_price * mileage == $7.13 and mileage > 3 and term_months > 3",
    ],
)
def test_where_arithmetic_is_not_linear_nothing_is_claimed(never: str, look: Callable[..., Review]) -> None:
    found = look(LTV, **LIMITED, guarantees=[{"never": never}])
    assert found.errors == ()
    assert found.proved == 0
    assert only(found.warnings).message.startswith("this guarantee is not proved: ")


def test_a_query_that_costs_too_much_is_given_up_and_said_so(
    look: Callable[..., Review], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "EFFORT", 1)
    never = 'outcome == "pass" and total_ltv > 130%'
    found = look(LTV, **LIMITED, guarantees=[{"never": never}])
    assert found.errors == ()
    assert "this guarantee is not proved: the solver gave up at its limit of effort" in told(found)


def test_a_search_ends_when_the_solver_has_given_up_near_a_few_deals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "EFFORT", 50_000)
    search, given_up = Prover._search, list[int]()

    def searching(self: Prover, *arguments: Any) -> proof.Answer:
        answer = search(self, *arguments)
        given_up.append(self._give_ups)
        return answer

    monkeypatch.setattr(Prover, "_search", searching)
    review_policy(Author(4).policy(8))
    assert max(given_up) == proof.GIVE_UPS


def test_what_there_was_no_effort_left_for_is_counted(
    look: Callable[..., Review], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "WORK", 0)
    found = look("mileage <= 9", LTV, **LIMITED, guarantees=[{"never": "mileage == 7"}])
    assert only(found.errors).message.startswith("this guarantee does not hold")
    assert only(found.warnings).message == "4 questions were left undecided: the effort for one policy is spent"


def test_guarantees_are_part_of_the_content_and_read_back(write_policy: Write) -> None:
    never = 'outcome == "pass" and total_ltv > 130%'
    policy = Policy.from_text(write_policy(LTV, **LIMITED, guarantees=[{"never": never}]))
    assert policy.content["guarantees"] == [{"never": never}]
    assert Policy.from_text(policy.canonical).sha256 == policy.sha256
    assert Policy.from_text(write_policy(LTV, **LIMITED)).sha256 != policy.sha256
    assert "guarantees" not in Policy.from_text(write_policy(LTV, **LIMITED)).content


# The whole


@pytest.mark.parametrize("name", ["prime_auto", "subprime_auto", "recreational"])
def test_the_shipped_policies_have_no_fault_and_no_doubt(name: str) -> None:
    from importlib.resources import files  # noqa: PLC0415

    text = (files("dealgate.rules") / "policies" / f"{name}.yaml").read_text(encoding="utf-8")
    assert told(review_policy(text)) == []


def test_every_row_and_every_rule_of_a_shipped_policy_is_shown_by_a_deal() -> None:
    from dealgate.adapters.policies import load_policy  # noqa: PLC0415

    questions = Questions(load_policy("prime-auto").policy)
    assert list(questions.remarks()) == []
    shown = {
        (rule, result) for witness in questions.prover.witnesses for rule, result in witness.reckoning.results.items()
    }
    for rule in questions.policy.rules:
        assert {(rule.id, Result.PASS), (rule.id, Result.VIOLATED)} <= shown


def test_the_same_policy_gets_the_same_answer(write_policy: Write) -> None:
    text = write_policy("payment_to_income <= 15%", guarantees=[{"never": "payment_to_income > 14%"}])
    first, second = review_policy(text), review_policy(text)
    assert first.errors[0].witness == second.errors[0].witness


def test_without_the_solver_the_review_says_that_nothing_was_proved(
    write_policy: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "z3", None)
    found = review_policy(write_policy("mileage >= 0"))
    assert found.errors == ()
    assert only(found.warnings).message == (
        "nothing was proved about rows, rules and guarantees: z3 is not installed; install dealgate[proof]"
    )
    gap = review_policy(write_policy("term_months <= table", limits={"table": rows("mileage > 5")}))
    assert "has a gap" in only(gap.errors).message


def test_a_policy_of_endless_rows_is_not_asked_about(
    look: Callable[..., Review], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review, "MOST_QUESTIONS", 2)
    found = look(LTV, **LIMITED)
    assert "3 rules and rows are more than the 2 that are asked about" in only(found.warnings).message


def test_a_deal_that_would_have_to_have_longer_lists_is_asked_for_too(write_policy: Write) -> None:
    prover = Prover(Policy.from_text(write_policy("count(trade_ins) <= 50")))
    answer = prover.ask(
        prover.encoder.rule("R0")[Result.VIOLATED], lambda deal: deal.reckoning.results["R0"] == Result.VIOLATED
    )
    assert answer.verdict is Verdict.SHOWN
    assert answer.witness
    assert len(answer.witness.document["trade_ins"]) > 50


def test_random_deals_never_contradict_a_proof() -> None:
    counts = run(deals=900, seed=41, deals_a_policy=300)
    assert counts["impossible"] > 20
    assert counts["shown"] > 40


def test_a_false_proof_would_be_contradicted(write_policy: Write, small_deal: Callable[..., Deal]) -> None:
    claims = Claims(Policy.from_text(write_policy("term_months <= 60")))
    claims.results.add(("R0", Result.VIOLATED))
    assert claims.contradicted_by(small_deal(term_months=72), {}) == ["R0 is violated"]
    assert issubclass(ContradictionError, AssertionError)


def test_a_policy_of_two_hundred_rules_is_reviewed_in_under_ten_seconds() -> None:
    from time import process_time  # noqa: PLC0415

    from tests.benchmarks.deals import Deals  # noqa: PLC0415
    from tests.benchmarks.workload import build_workload  # noqa: PLC0415

    text = build_workload(Deals(), rules=200, violated=5).policy
    begun = process_time()
    found = review_policy(text)
    assert process_time() - begun < 10
    assert told(found) == []


def test_a_witness_is_plain_json(look: Callable[..., Review]) -> None:
    problem = only(look("credit_score > 900").errors)
    assert Deal.from_json(json.dumps(problem.witness)).deal_id == f"LINE-{problem.place.line}"


@pytest.mark.parametrize("seed", range(5))
def test_a_review_of_a_random_policy_ends_and_every_witness_is_a_deal(seed: int) -> None:
    found = review_policy(Author(seed).policy(8))
    assert found.policy is not None
    for problem in (*found.errors, *found.warnings):
        assert problem.witness is None or Deal.read(problem.witness)


def test_a_long_chain_of_measures_can_be_asked_about(look: Callable[..., Review]) -> None:
    chain = {f"step_{index}": f"step_{index - 1} + $1" for index in range(1, 400)}
    measures = {
        name: {"unit": "money", "formula": formula} for name, formula in {"step_0": "cash_price", **chain}.items()
    }
    found = look("step_399 > $399", measures=measures, guarantees=[{"never": "step_399 < $399"}])
    assert found.errors == ()
    assert found.proved == 1


def test_conditions_may_be_nested_as_deep_as_the_language_allows(look: Callable[..., Review]) -> None:
    require = "mileage > 5"
    for index in range(60):
        require = (
            f"not ({require}) and term_months != {index + 1}" if index % 2 else f"({require} or mileage == {index})"
        )
    assert look(require).policy is not None
