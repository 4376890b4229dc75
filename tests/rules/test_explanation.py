"""The sentences of a finding, and the numbers beside them: a dealer must see what is wrong, by how much, and on whose account."""

from collections.abc import Callable
from typing import Any

import pytest

from dealgate import Deal, Policy, evaluate

Document = dict[str, Any]
Write = Callable[..., str]
Build = Callable[..., Deal]
Explain = Callable[..., Document]

ON_TRADE_VALUE = "financed on a J.D. Power clean trade value of $10,000.00"


@pytest.fixture
def explain(write_policy: Write, small_deal: Build) -> Explain:
    """The finding of one rule about the small deal, bent by `deal`, under a policy with `sections`."""

    def of(rule: str | Document, deal: Document | None = None, **sections: Any) -> Document:
        policy = Policy.from_text(write_policy(rule, **sections), "small.yaml")
        found: Document = evaluate(small_deal(**(deal or {})), policy).document()["findings"][0]
        return found

    return of


def numbers(finding: Document) -> tuple[object, ...]:
    return tuple(finding.get(name) for name in ("value", "limit", "unit", "margin", "excess"))


# Every comparison, kept and broken


@pytest.mark.parametrize(
    ("require", "sentence", "margin", "excess"),
    [
        ("cash_price <= $12,000", "allows $12,000.00. $2,000.00 to spare.", "2000.00", None),
        ("cash_price <= $10,000", "allows $10,000.00. Exactly at the limit.", "0.00", None),
        ("cash_price <= $9,999.99", "allows $9,999.99. $0.01 over.", "-0.01", "0.01"),
        ("cash_price < $10,000.01", "allows less than $10,000.01. $0.01 to spare.", "0.01", None),
        ("cash_price < $10,000", "allows less than $10,000.00. Exactly at the limit.", "0.00", "0.00"),
        ("cash_price < $9,000", "allows less than $9,000.00. $1,000.00 over.", "-1000.00", "1000.00"),
        ("cash_price >= $8,000", "requires at least $8,000.00. $2,000.00 to spare.", "2000.00", None),
        ("cash_price >= $10,000", "requires at least $10,000.00. Exactly at the limit.", "0.00", None),
        ("cash_price >= $12,000", "requires at least $12,000.00. $2,000.00 short.", "-2000.00", "2000.00"),
        ("cash_price > $9,999", "requires more than $9,999.00. $1.00 to spare.", "1.00", None),
        ("cash_price > $10,000", "requires more than $10,000.00. Exactly at the limit.", "0.00", "0.00"),
        ("cash_price > $12,000", "requires more than $12,000.00. $2,000.00 short.", "-2000.00", "2000.00"),
        ("cash_price == $10,000", "requires $10,000.00.", "0.00", None),
        ("cash_price == $9,000", "requires $9,000.00. $1,000.00 off.", "-1000.00", "1000.00"),
        ("cash_price == $11,000", "requires $11,000.00. $1,000.00 off.", "-1000.00", "1000.00"),
        ("cash_price != $9,000", "rules out $9,000.00.", None, None),
        ("cash_price != $10,000", "rules out $10,000.00.", None, None),
    ],
)  # fmt: skip
def test_a_comparison_of_money_is_told_with_its_room(
    require: str, sentence: str, margin: str | None, excess: str | None, explain: Explain
) -> None:
    finding = explain(require)
    assert finding["explanation"] == f"Cash price is $10,000.00; the policy {sentence}"
    assert (finding["value"], finding["unit"], finding.get("margin"), finding.get("excess")) == (
        "10000.00",
        "money",
        margin,
        excess,
    )
    assert (finding["result"] == "violated") == ("excess" in finding or require == "cash_price != $10,000")


@pytest.mark.parametrize(
    ("require", "sentence", "found"),
    [
        ("term_months <= 60", "Term in months is 72; the policy allows 60. 12 over.", (72, 60, "count", -12, 12)),
        ("term_months < 72", "Term in months is 72; the policy allows less than 72. Exactly at the limit.", (72, 72, "count", 0, 0)),
        ("term_months >= 12", "Term in months is 72; the policy requires at least 12. 60 to spare.", (72, 12, "count", 60, None)),
        ("mileage <= 99999", "Mileage is 123,456; the policy allows 99,999. 23,457 over.", (123_456, 99_999, "count", -23_457, 23_457)),
        ("vehicle_age <= 3", "Vehicle age in years is 7; the policy allows 3. 4 over.", (7, 3, "count", -4, 4)),
        ("model_year >= 2020", "Model year is 2019; the policy requires at least 2020. 1 short.", (2019, 2020, "count", -1, 1)),
        ("apr_percent <= 7.5%", "APR is 7.90 %; the policy allows 7.50 %. 0.40 points over.", ("7.90", "7.50", "percent", "-0.40", "0.40")),
        ("apr_percent <= 9%", "APR is 7.90 %; the policy allows 9.00 %. 1.10 points to spare.", ("7.90", "9.00", "percent", "1.10", None)),
    ],
)  # fmt: skip
def test_counts_and_rates_are_told_in_their_own_units(
    require: str, sentence: str, found: tuple[object, ...], explain: Explain
) -> None:
    vehicle = {"condition": "used", "mileage": 123_456, "model_year": 2019}
    finding = explain(require, {"vehicle": vehicle, "apr_percent": "7.90"})
    assert finding["explanation"] == sentence
    assert numbers(finding) == found


LTV = f"Total LTV is 100.00 % ($10,000.00 {ON_TRADE_VALUE})"
FRONT = f"Front-end LTV is 100.00 % ($10,000.00 {ON_TRADE_VALUE})".replace("financed", "financed without products")
NE = f"Negative equity to value is 0.00 % ($0.00 of rolled-in negative equity {ON_TRADE_VALUE})".replace(
    "financed ", ""
)
PTI = "Payment to income is 20.00 % ($500.00 a month of $2,500.00 monthly income)"
DTI = "Debt to income is 40.00 % ($1,000.00 of monthly debts and payment, of $2,500.00 monthly income)"


@pytest.mark.parametrize(
    ("require", "subject", "sentence", "found"),
    [
        ("total_ltv <= 95%", LTV, "allows 95.00 %. $500.00 over.", ("100.00", "95.00", "-500.00", "500.00")),
        ("total_ltv <= 125%", LTV, "allows 125.00 %. $2,500.00 to spare.", ("100.00", "125.00", "2500.00", None)),
        ("total_ltv <= 100%", LTV, "allows 100.00 %. Exactly at the limit.", ("100.00", "100.00", "0.00", None)),
        (
            "total_ltv >= 110%",
            LTV,
            "requires at least 110.00 %. $1,000.00 short.",
            ("100.00", "110.00", "-1000.00", "1000.00"),
        ),
        ("front_end_ltv <= 95%", FRONT, "allows 95.00 %. $500.00 over.", ("100.00", "95.00", "-500.00", "500.00")),
        (
            "negative_equity_to_value <= 10%",
            NE,
            "allows 10.00 %. $1,000.00 to spare.",
            ("0.00", "10.00", "1000.00", None),
        ),
        ("payment_to_income <= 10%", PTI, "allows 10.00 %. $250.00 over.", ("20.00", "10.00", "-250.00", "250.00")),
        ("debt_to_income <= 36%", DTI, "allows 36.00 %. $100.00 over.", ("40.00", "36.00", "-100.00", "100.00")),
    ],
)
def test_a_share_of_money_is_spelled_out_and_its_room_is_money(
    require: str, subject: str, sentence: str, found: tuple[object, ...], explain: Explain
) -> None:
    applicant = {"monthly_income": "2500.00", "monthly_debt": "500.00"}
    finding = explain(require, {"applicant": applicant, "monthly_payment": "500.00"})
    value, limit, margin, excess = found
    assert finding["explanation"] == f"{subject}; the policy {sentence}"
    assert numbers(finding) == (value, limit, "percent", margin, excess)


# Rounding


@pytest.mark.parametrize(
    ("price", "limit", "excess", "told"),
    [
        ("10000.01", "100%", "0.01", "$0.01 over. The difference is too small to show at two places."),
        ("10000.00", "99.9999%", "0.01", "$0.01 over. The difference is too small to show at two places."),
        ("10000.00", "99.99%", "1.00", "$1.00 over."),
        ("10000.00", "33.3333%", "6666.67", "$6,666.67 over."),
        ("10000.00", "66.6667%", "3333.33", "$3,333.33 over."),
    ],
)
def test_what_is_over_by_less_than_a_cent_is_over_by_a_cent(
    price: str, limit: str, excess: str, told: str, explain: Explain
) -> None:
    finding = explain(f"total_ltv <= {limit}", {"cash_price": price})
    assert finding["excess"] == excess
    assert finding["margin"] == f"-{excess}"
    assert finding["explanation"].endswith(told)


def test_room_is_rounded_down_so_that_nobody_uses_a_cent_there_is_not(explain: Explain) -> None:
    values = [{"basis": "kbb_trade_in", "amount": "10000.05"}]
    finding = explain("total_ltv <= 110%", {"vehicle": {"condition": "used", "values": values}})
    assert finding["margin"] == "1000.05"  # 11,000.055 less 10,000.00
    assert "$1,000.05 to spare" in finding["explanation"]


@pytest.mark.parametrize(
    ("require", "points"),
    [("total_ltv == 125%", "-25.00"), ("total_ltv <= 75%", "-25.00"), ("total_ltv >= 75%", "25.00")],
)
def test_room_in_points_has_the_sign_of_the_room_in_money(require: str, points: str, explain: Explain) -> None:
    finding = explain(require)
    assert (finding["margin"].startswith("-"), finding["margin_points"]) == (points.startswith("-"), points)


def test_half_a_hundredth_of_a_percent_shows_as_a_whole_one(explain: Explain) -> None:
    values = [{"basis": "kbb_trade_in", "amount": "20000.00"}]
    vehicle = {"condition": "used", "values": values}
    assert explain("total_ltv <= 50%", {"vehicle": vehicle, "cash_price": "9999.00"})["value"] == "50.00"  # 49.995
    assert explain("total_ltv <= 50%", {"vehicle": vehicle, "cash_price": "9998.99"})["value"] == "49.99"


@pytest.mark.parametrize(
    ("require", "sentence"),
    [
        ("cash_price <= 33.33% * $10,000", "Cash price is $10,000.00; the policy (33.33% * $10,000) allows $3,333.00. $6,667.00 over."),
        ("cash_price <= cash_price / 3", "Cash price is $10,000.00; the policy (cash_price / 3) allows $3,333.33. $6,666.67 over."),
        ("amount_financed - cash_price <= $5", "amount_financed - cash_price is $0.00; the policy allows $5.00. $5.00 to spare."),
        ("$5,000 >= cash_price", "Cash price is $10,000.00; the policy allows $5,000.00. $5,000.00 over."),
        ("95% > total_ltv", f"{LTV}; the policy allows less than 95.00 %. $500.00 over."),
        ("max_price >= cash_price", "Cash price is $10,000.00; the policy allows $9,000.00. $1,000.00 over."),
    ],
)  # fmt: skip
def test_what_is_held_against_what_is_told_in_that_order_however_it_is_written(
    require: str, sentence: str, explain: Explain
) -> None:
    limits = {"max_price": {"unit": "money", "rows": [{"limit": "$9,000"}]}}
    assert explain(require, limits=limits)["explanation"] == sentence


# On whose account


def tiered(*rows: tuple[str, str]) -> Document:
    stated = [{"when": when, "limit": limit} if when else {"limit": limit} for when, limit in rows]
    return {"most": {"unit": "percent", "rows": stated}}


@pytest.mark.parametrize(
    ("rows", "who"),
    [
        ([("tier == 'B'", "95%"), ("", "90%")], "tier B allows 95.00 %"),
        (
            [("tier in ['A', 'B'] and condition == 'used'", "95%"), ("", "90%")],
            "tier B on a used vehicle allows 95.00 %",
        ),
        ([("condition == 'used'", "95%"), ("", "90%")], "the policy on a used vehicle allows 95.00 %"),
        ([("tier == 'A'", "95%"), ("", "90%")], "tier B allows 90.00 %"),
        ([("tier == 'A' and condition == 'new'", "95%"), ("", "90%")], "tier B on a used vehicle allows 90.00 %"),
        ([("credit_score >= 600", "95%"), ("", "90%")], "credit score 684 allows 95.00 %"),
        ([("term_months > 60 and tier == 'B'", "95%"), ("", "90%")], "tier B, a term of 72 months allows 95.00 %"),
        ([("mileage < 50000", "95%"), ("", "90%")], "a mileage of 31,200 allows 95.00 %"),
        ([("model_year >= 2020", "95%"), ("", "90%")], "model year 2023 allows 95.00 %"),
        ([("cash_price > $5", "95%"), ("", "90%")], "the policy allows 95.00 %"),
        ([("", "90%")], "the policy allows 90.00 %"),
    ],
)
def test_a_limit_from_a_table_is_told_by_what_the_table_went_by(
    rows: list[tuple[str, str]], who: str, explain: Explain
) -> None:
    values = [{"basis": "jdpower_clean_trade", "amount": "10000.00"}]
    vehicle = {"condition": "used", "mileage": 31_200, "model_year": 2023, "values": values}
    deal = {"applicant": {"tier": "B", "credit_score": 684}, "vehicle": vehicle}
    finding = explain("total_ltv <= most", deal, limits=tiered(*rows))
    assert f"; {who}. " in finding["explanation"]


def test_a_finding_names_the_row_its_limit_came_from(write_policy: Write, small_deal: Build) -> None:
    table = "\n{most: {unit: percent, rows: [{when: tier == 'A', limit: 1%},\n {limit: 2%}]}}"
    text = write_policy("total_ltv <= most", limits="LIMITS").replace('"LIMITS"', table)
    decision = evaluate(small_deal(applicant={"tier": "C"}), Policy.from_text(text, "small.yaml")).document()
    assert decision["findings"][0]["limit_origin"] == "small.yaml:3"


@pytest.mark.parametrize(
    ("basis", "named"),
    [
        ("invoice", "a dealer invoice of $10,000.00"),
        ("kbb_trade_in", "a KBB trade-in value of $10,000.00"),
        ("house_value", "a value on the basis house value of $10,000.00"),
    ],
)
def test_the_collateral_is_named_by_the_basis_it_came_from(basis: str, named: str, explain: Explain) -> None:
    vehicle = {"condition": "new", "values": [{"basis": basis, "amount": "10000.00"}]}
    finding = explain("total_ltv <= 95%", {"vehicle": vehicle}, collateral_value={"new": [basis]})
    assert f"financed on {named})" in finding["explanation"]


def test_a_collateral_value_that_a_policy_computes_is_named_as_no_book_value(explain: Explain) -> None:
    measures = {"collateral_value": {"unit": "money", "formula": "cash_price"}}
    assert (
        "financed on a collateral value of $10,000.00)" in explain("total_ltv <= 95%", measures=measures)["explanation"]
    )


@pytest.mark.parametrize(
    ("measure", "formula", "told"),
    [
        ("total_ltv", "amount_financed / cash_price", "Total LTV is 90.00 % ($9,000.00 on $10,000.00); "),
        (
            "total_ltv",
            "(amount_financed + cash_down) / collateral_value",
            "Total LTV is 125.00 % ($10,000.00 on a J.D. Power clean trade value of $8,000.00); ",
        ),
        (
            "debt_to_income",
            "cash_down / (monthly_income - monthly_debt)",
            "Debt to income is 25.00 % ($1,000.00 on $4,000.00); ",
        ),
    ],
)
def test_the_words_of_a_shipped_formula_are_not_said_of_a_policy_s_own(
    measure: str, formula: str, told: str, explain: Explain
) -> None:
    deal = {
        "vehicle": {"condition": "used", "values": [{"basis": "jdpower_clean_trade", "amount": "8000.00"}]},
        "cash_down": "1000.00",
        "applicant": {"monthly_income": "5000.00", "monthly_debt": "1000.00"},
    }
    measures = {measure: {"unit": "percent", "formula": formula}}
    assert explain(f"{measure} <= 1%", deal, measures=measures)["explanation"].startswith(told)


# Rules that are more than one comparison


def test_of_several_comparisons_the_one_that_fails_is_told(explain: Explain) -> None:
    finding = explain("cash_price > $5 and term_months <= 60 and total_ltv <= 95%")
    assert finding["explanation"] == "Term in months is 72; the policy allows 60. 12 over."
    assert finding["measure"] == "term_months"


def test_when_all_hold_the_first_is_told(explain: Explain) -> None:
    assert explain("cash_price > $5 and term_months <= 72")["measure"] == "cash_price"


@pytest.mark.parametrize(
    "require",
    ["state == 'TX'", "(term_months < 5 or state in ['TX', 'CA'])", "not missing(mileage)"],
)
def test_a_comparison_that_holds_does_not_stand_for_the_one_that_fails(require: str, explain: Explain) -> None:
    """Total LTV is well inside its limit here; telling it would explain nothing, least of all as `-$2,500.00 over`."""
    finding = explain(f"total_ltv <= 125% and {require}", {"state": "NV"})
    assert finding["result"] == "violated"
    assert "measure" not in finding
    assert finding["explanation"].startswith("Rule 0. The policy requires that total LTV is at most 125.00 % and ")
    assert finding["explanation"].endswith(": it does not hold.")


@pytest.mark.parametrize(
    ("require", "sentence"),
    [
        ("state in ['TX']", "state is TX: it does not hold."),
        ("state in ['TX', 'CA']", "state is one of TX, CA: it does not hold."),
        ("state not in ['NV', 'CA']", "state is none of NV, CA: it does not hold."),
        ("state != 'TX'", "state is not TX: it holds."),
        ("not (state == 'NV')", "state is not NV: it does not hold."),
        ("not (cash_price > $5)", "cash price is at most $5.00: it does not hold."),
        ("cash_price < $5 or term_months < 5", "cash price is below $5.00 or term in months is below 5: it does not hold."),
        ("not (state == 'NV' or state == 'CA')", "it is not the case that (state is NV or state is CA): it does not hold."),
        ("not missing(state)", "it is not the case that state is unknown: it holds."),
        ("not first_time_buyer", "first time buyer is false: it holds."),
        ("missing(mileage) and (first_time_buyer or state == 'NV')",
         "mileage is unknown and (first time buyer is true or state is NV): it holds."),
        ("cash_price - (rebate + cash_down) in [$1]", "cash price less (rebate plus cash down) is $1.00: it does not hold."),
        ("(cash_price - rebate) * 2 - doc_fee in [$1]", "(cash price less rebate) times 2 less doc fee is $1.00: it does not hold."),
        ("count(products, kind == 'gap') in [1, 2]", "the number of products where kind is gap is one of 1, 2: it does not hold."),
    ],
)  # fmt: skip
def test_a_rule_without_a_comparison_of_numbers_is_told_by_its_title_and_words(
    require: str, sentence: str, explain: Explain
) -> None:
    finding = explain(
        require, {"state": "NV", "applicant": {"first_time_buyer": False}, "vehicle": {"condition": "used"}}
    )
    assert finding["explanation"] == f"Rule 0. The policy requires that {sentence}"
    assert "measure" not in finding


# Layers, mitigation, conditions


def findings(write_policy: Write, deal: Deal, *rules: Document | str, **sections: Any) -> list[Document]:
    found: list[Document] = evaluate(deal, Policy.from_text(write_policy(*rules, **sections))).document()["findings"]
    return found


def test_a_layered_rule_tells_what_it_rests_on(write_policy: Write, small_deal: Build) -> None:
    rules: list[Document | str] = [
        "cash_price < $5",
        "credit_score > 5",
        {"require": "cash_price > $5", "applies": "cash_down > $5"},
    ]
    layered = {
        "require": "not (violated('R0') and (violated('R1') or violated('R2')))",
        "title": "Not both",
    }
    finding = findings(write_policy, small_deal(), *rules, layered)[3]
    assert finding["explanation"].startswith("Cannot be judged: applicant.credit_score is unknown.")
    assert finding["rests_on"] == [
        {"rule": "R0", "result": "violated"},
        {"rule": "R1", "result": "not_evaluable"},
        {"rule": "R2", "result": "not_applicable"},
    ]
    known = findings(write_policy, small_deal(applicant={"credit_score": 300}), *rules, layered)[3]
    assert known["explanation"] == "Not both: holds. Rests on R0 (violated), R1 (pass), R2 (not applicable)."


def test_a_broken_layered_rule_says_so_and_on_what_it_rests(write_policy: Write, small_deal: Build) -> None:
    both = {"require": "not (violated('R0') and violated('R1'))", "title": "Not both"}
    finding = findings(write_policy, small_deal(), "cash_price < $5", "term_months < 5", both)[2]
    assert finding["explanation"] == "Not both: does not hold. Rests on R0 (violated), R1 (violated)."
    assert finding["reason"] == "Reason 2"


def test_a_mitigated_finding_says_to_what_and_why_and_keeps_its_reason_and_excess(explain: Explain) -> None:
    rule = {
        "require": "total_ltv <= 95%",
        "otherwise": "decline",
        "mitigated_by": {"when": "credit_score >= 760", "to": "flag"},
    }
    finding = explain(rule, {"applicant": {"credit_score": 800}})
    assert (finding["result"], finding["severity"], finding["excess"]) == ("mitigated", "flag", "500.00")
    assert finding["reason"] == "Reason 0"
    assert finding["explanation"].endswith("$500.00 over. Mitigated to flag, because credit score is at least 760.")
    assert "Mitigated" not in explain(rule, {"applicant": {"credit_score": 700}})["explanation"]


def test_a_rule_that_does_not_apply_says_where_it_would(explain: Explain) -> None:
    finding = explain(
        {"require": "cash_price > $50,000", "applies": "term_months > 72 and state == 'TX'"}, {"state": "NV"}
    )
    assert finding["explanation"] == "Does not apply: only where term in months is above 72 and state is TX."
    assert finding["severity"] == "pass"
    assert {"margin", "excess", "reason"}.isdisjoint(finding)
