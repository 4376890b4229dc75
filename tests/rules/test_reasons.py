"""What goes into an adverse action notice: the principal reasons, and whether a consumer report was used."""

from collections.abc import Callable
from typing import Any

import pytest

from dealgate import Deal, Policy, evaluate

Document = dict[str, Any]
Write = Callable[..., str]
Build = Callable[..., Deal]

BROKEN, KEPT = "cash_price < $1", "cash_price > $1"


def decision(write_policy: Write, deal: Deal, *rules: Document | str, **sections: Any) -> Document:
    return evaluate(deal, Policy.from_text(write_policy(*rules, **sections))).document()


def broken(otherwise: str, reason: str) -> Document:
    return {"require": BROKEN, "otherwise": otherwise, "reason": reason}


def test_reasons_run_from_the_most_severe_and_within_it_in_the_order_of_the_policy(
    write_policy: Write, small_deal: Build
) -> None:
    rules = [broken("flag", "F"), broken("decline", "D1"), broken("refer", "R"), broken("decline", "D2")]
    assert decision(write_policy, small_deal(), *rules)["reasons"] == ["D1", "D2", "R", "F"]


def test_reasons_are_at_most_four(write_policy: Write, small_deal: Build) -> None:
    rules = [broken("flag", "F"), *(broken("refer", f"R{n}") for n in range(4)), broken("decline", "D")]
    assert decision(write_policy, small_deal(), *rules)["reasons"] == ["D", "R0", "R1", "R2"]


def test_a_reason_is_not_repeated_and_a_repeat_takes_no_place(write_policy: Write, small_deal: Build) -> None:
    rules = [broken("decline", "Same")] * 3 + [broken("refer", "Same")] + [broken("flag", f"F{n}") for n in range(4)]
    stated = [{**rule, "id": f"X{n}"} for n, rule in enumerate(rules)]
    assert decision(write_policy, small_deal(), *stated)["reasons"] == ["Same", "F0", "F1", "F2"]


def test_what_passes_or_does_not_apply_is_no_reason(write_policy: Write, small_deal: Build) -> None:
    rules = [{"require": KEPT}, {"require": BROKEN, "applies": BROKEN}]
    assert decision(write_policy, small_deal(), *rules)["reasons"] == []


def test_what_is_mitigated_counts_with_what_is_left_of_it(write_policy: Write, small_deal: Build) -> None:
    softened = {
        "require": BROKEN,
        "otherwise": "decline",
        "reason": "Soft",
        "mitigated_by": {"when": KEPT, "to": "flag"},
    }
    assert decision(write_policy, small_deal(), softened, broken("refer", "Hard"))["reasons"] == ["Hard", "Soft"]
    forgiven = {**softened, "mitigated_by": {"when": KEPT, "to": "pass"}}
    assert decision(write_policy, small_deal(), forgiven, broken("refer", "Hard"))["reasons"] == ["Hard"]


def test_a_deal_that_could_not_be_judged_has_the_reason_of_form_c_1_after_the_others_of_its_weight(
    write_policy: Write, small_deal: Build
) -> None:
    rules: list[Document | str] = ["tier == 'A'", "state == 'TX'", broken("refer", "R"), broken("flag", "F")]
    assert decision(write_policy, small_deal(), *rules)["reasons"] == ["R", "Credit application incomplete", "F"]
    strict = decision(write_policy, small_deal(), *rules, on_unknown="decline")
    assert strict["reasons"] == ["Credit application incomplete", "R", "F"]
    assert strict["outcome"] == "decline"


# 15 USC 1681m(a): "in whole or in part" on a consumer report

TIERED = {"most": {"unit": "percent", "rows": [{"when": "tier == 'A'", "limit": "5%"}, {"limit": "6%"}]}}
RATED = {"most": {"unit": "percent", "rows": [{"limit": "0.01% * credit_score"}]}}
PLAIN = {"most": {"unit": "percent", "rows": [{"when": "state == 'TX'", "limit": "5%"}, {"limit": "6%"}]}}
OWN = {"own": {"unit": "count", "formula": "credit_score - 5"}, "outer": {"unit": "count", "formula": "own + 1"}}


@pytest.mark.parametrize(
    ("rule", "sections", "used"),
    [
        ("credit_score > 600", {}, True),
        ("tier in ['A']", {}, True),
        ("state == 'TX'", {}, False),
        ("monthly_income > $5", {}, False),
        ("not missing(credit_score)", {}, True),
        ({"require": KEPT, "applies": "credit_score > 5"}, {}, True),
        ({"require": BROKEN, "mitigated_by": {"when": "tier == 'A'", "to": "flag"}}, {}, True),
        ("total_ltv <= most", {"limits": TIERED}, True),
        ("total_ltv <= most", {"limits": RATED}, True),
        ("total_ltv <= most", {"limits": PLAIN}, False),
        ("outer > 5", {"measures": OWN}, True),
        ("vehicle_age > 5", {"measures": OWN}, False),
        ("max(credit_score, 5) > 5", {}, True),
        ("sum(trade_ins, payoff, tier == 'A') > $5", {}, True),
    ],
)
def test_a_finding_says_whether_a_consumer_report_was_used(
    rule: Document | str, sections: Document, used: bool, write_policy: Write, small_deal: Build
) -> None:
    assert decision(write_policy, small_deal(), rule, **sections)["findings"][0]["used_consumer_report"] is used


def test_a_layered_rule_uses_what_the_rules_below_it_use(write_policy: Write, small_deal: Build) -> None:
    rules = [
        "tier == 'A'",
        KEPT,
        "not violated('R0')",
        "not violated('R1')",
        "not violated('R2')",
        "not violated('R3')",
    ]
    found = decision(write_policy, small_deal(), *rules)["findings"]
    assert [finding["used_consumer_report"] for finding in found] == [True, False, True, False, True, False]
