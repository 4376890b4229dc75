"""Every change of a document is told, in credit language, with what stood there and what stands there now."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dealgate import Deal, Policy
from dealgate.adapters.policies import load_policy
from dealgate.rules.differences import Change, differences
from dealgate.rules.fields import facts_of
from dealgate.rules.isolation import EVERYTHING
from dealgate.rules.policy import Limit
from dealgate.rules.reference import compile_reference
from dealgate.rules.row_differences import Reordered, RowChange, row_changes
from tests.fuzzing.comparison_campaign import edited
from tests.fuzzing.random_policies import Author

Write = Callable[..., str]

DOCUMENT: dict[str, Any] = {
    "policy": "small",
    "version": "1",
    "title": "Small",
    "effective_from": "2026-01-01",
    "collateral_value": {"new": ["invoice", "msrp"], "used": ["kbb_trade_in"]},
    "equity": {"wholesale_factor": "80%", "disposal_cost": "$1,000"},
    "measures": {"own": {"unit": "money", "title": "Own money", "formula": "cash_down + rebate", "meaning": "Cash."}},
    "limits": {
        "max_ltv": {
            "unit": "percent",
            "rows": [
                {"when": 'tier == "A"', "limit": "130%"},
                {"when": 'tier == "B" and condition == "used"', "limit": "125%"},
                {"limit": "110%"},
            ],
        },
        "least": {"unit": "money", "hit_policy": "collect", "aggregate": "max", "default": "$100",
                  "rows": [{"when": "term_months > 60", "limit": "$500"}]},
    },
    "rules": [
        {"id": "LTV", "title": "LTV", "require": "total_ltv <= max_ltv", "otherwise": "refer", "reason": "Value not sufficient"},
        {"id": "OWN", "title": "Own money", "applies": "cash_price > $9", "require": "own >= least", "otherwise": "decline",
         "reason": "Down payment", "mitigated_by": {"when": "credit_score >= 760", "to": "flag"}},
    ],
    "guarantees": [{"never": 'outcome == "pass" and total_ltv > 130%'}],
    "examples": [{"name": "nothing known", "deal": {}, "expect": {"outcome": "refer"}}],
}  # fmt: skip


def changed(*path: Any, to: Any = None) -> Policy:
    """The document with one entry in another form; without it, where there is no other."""
    document = json.loads(json.dumps(DOCUMENT))
    part = document
    for step in path[:-1]:
        part = part[step]
    if to is None:
        del part[path[-1]]
    elif isinstance(part, list) and path[-1] == len(part):
        part.append(to)
    else:
        part[path[-1]] = to
    return Policy.from_text(json.dumps(document))


FIRST = Policy.from_text(json.dumps(DOCUMENT))
ROWS = ("limits", "max_ltv", "rows")
Told = tuple[str, str, str, str | None, str | None]

CASES: list[tuple[Policy, list[Told]]] = [
    (changed("title", to="Tiny"), [("policy", "title", "Title of the policy", "Small", "Tiny")]),
    (
        changed("effective_from", to="2026-02-01"),
        [("policy", "effective_from", "Effective from", "2026-01-01", "2026-02-01")],
    ),
    (
        changed("effective_to", to="2027-01-01"),
        [("policy", "effective_to", "Effective until the day before", "no end", "2027-01-01")],
    ),
    (
        changed("time_zone", to="America/Chicago"),
        [("policy", "time_zone", "Time zone of its days", "UTC", "America/Chicago")],
    ),
    (
        changed("applies_to", to='tier in ["A", "B"]'),
        [("policy", "applies_to", "Deals that the policy answers for", "every deal", "tier is one of A, B")],
    ),
    (changed("version", to="2"), []),
    (
        changed("on_unknown", to="decline"),
        [("assumption", "on_unknown", "A rule that cannot be judged", "refer", "decline")],
    ),
    (
        changed("collateral_value", "new", to=["msrp", "invoice"]),
        [("assumption", "new", "Collateral value of a new vehicle", "a dealer invoice, else an MSRP", "an MSRP, else a dealer invoice")],
    ),
    (
        changed("equity", "wholesale_factor", to="75%"),
        [("assumption", "wholesale_factor", "What a lender's sale brings, of the value", "80 %", "75 %")],
    ),
    (
        changed("equity", "disposal_cost", to="$1,200"),
        [("assumption", "disposal_cost", "Cost of disposal that is assumed", "$1,000", "$1,200")],
    ),
    (
        changed("measures", "own", "formula", to="cash_down"),
        [("measure", "formula", "Formula of the measure Own money", "cash_down + rebate", "cash_down")],
    ),
    (
        changed("measures", "own", "meaning", to="Money."),
        [("measure", "meaning", "Meaning of the measure own", "Cash.", "Money.")],
    ),
    (
        changed("measures", "other", to={"unit": "money", "formula": "doc_fee"}),
        [("measure", "added", "Measure Other added", None, "doc_fee")],
    ),
    (
        changed(*ROWS, 1, "limit", to="120%"),
        [("limit", "row_limit", "Limit Max LTV where tier is B and condition is used", "125 %", "120 %")],
    ),
    (changed(*ROWS, 2, "limit", to="100%"), [("limit", "row_limit", "Limit Max LTV for any other deal", "110 %", "100 %")]),
    (
        changed(*ROWS, 1, "when", to='tier == "B"'),
        [("limit", "row_condition", "Limit Max LTV: deals for which row 2 gives 125 %", "tier is B and condition is used", "tier is B")],
    ),
    (
        changed(*ROWS, 1, to={"when": 'tier == "C"', "limit": "115%"}),
        [("limit", "row", "Limit Max LTV: row 2", "125 % where tier is B and condition is used", "115 % where tier is C")],
    ),
    (
        changed(*ROWS, to=[*DOCUMENT["limits"]["max_ltv"]["rows"][:2], {"when": 'tier == "C"', "limit": "115%"}, {"limit": "110%"}]),
        [("limit", "row_added", "Limit Max LTV: row 3 added", None, "115 % where tier is C")],
    ),
    (changed(*ROWS, 0), [("limit", "row_removed", "Limit Max LTV: row 1 removed", "130 % where tier is A", None)]),
    (
        changed(*ROWS, to=[DOCUMENT["limits"]["max_ltv"]["rows"][index] for index in (1, 0, 2)]),
        [("limit", "rows_reordered", "Limit Max LTV: rows in another order", "1, 2, 3", "2, 1, 3")],
    ),
    (
        changed("limits", "least", "default", to="$50"),
        [("limit", "default", "Limit Least where no row holds", "$100", "$50")],
    ),
    (
        changed("limits", "least", "aggregate", to="min"),
        [("limit", "hit_policy", "Limit Least, its rows read in another way",
          "max: $500 where term in months is above 60; $100 for any other deal",
          "min: $500 where term in months is above 60; $100 for any other deal")],
    ),
    (
        changed("limits", "more", to={"unit": "count", "rows": [{"limit": "84"}]}),
        [("limit", "added", "Limit More added", None, "first: 84 for any other deal")],
    ),
    (changed("rules", 0, "title", to="Total LTV"), [("rule", "title", "Title of rule LTV", "LTV", "Total LTV")]),
    (
        changed("rules", 0, "reason", to="Type of collateral not sufficient"),
        [("rule", "reason", "Reason of rule LTV", "Value not sufficient", "Type of collateral not sufficient")],
    ),
    (
        changed("rules", 0, "otherwise", to="decline"),
        [("rule", "otherwise", "What a breach of rule LTV leads to", "refer", "decline")],
    ),
    (
        changed("rules", 0, "require", to="front_end_ltv <= max_ltv"),
        [("rule", "require", "What rule LTV requires", "total LTV is at most max LTV", "front-end LTV is at most max LTV")],
    ),
    (
        changed("rules", 1, "applies"),
        [("rule", "applies", "Deals that rule OWN applies to", "cash price is above $9.00", "every deal")],
    ),
    (
        changed("rules", 1, "mitigated_by"),
        [("rule", "mitigated_by", "What mitigates a breach of rule OWN", "to flag where credit score is at least 760", "nothing")],
    ),
    (changed("rules", 1), [("rule", "removed", "Rule OWN removed: Own money", "own money is at least least, else decline", None)]),
    (
        changed("rules", 2, to={"id": "TERM", "title": "Term", "require": "term_months <= 72", "otherwise": "flag", "reason": "Term"}),
        [("rule", "added", "Rule TERM added: Term", None, "term in months is at most 72, else flag")],
    ),
    (changed("rules", to=DOCUMENT["rules"][::-1]), [("rule", "reordered", "Rules in another order", "LTV, OWN", "OWN, LTV")]),
    (
        changed("guarantees"),
        [("guarantee", "removed", "Guarantee removed", "outcome is pass and total LTV is above 130.00 %", None)],
    ),
    (
        changed("guarantees", 1, to={"never": "term_months > 90"}),
        [("guarantee", "added", "Guarantee added", None, "term in months is above 90")],
    ),
    (changed("examples"), [("example", "removed", "Example removed: nothing known", None, None)]),
    (
        changed("examples", 0, "deal", to={"cash_price": "1.00"}),
        [("example", "changed", "Example changed: nothing known", None, None)],
    ),
]  # fmt: skip


def told(change: Change) -> Told:
    before, after = (reading.text if reading else None for reading in (change.before, change.after))
    return change.part, change.what, change.words, before, after


@pytest.mark.parametrize(
    ("second", "expected"), CASES, ids=lambda part: part[0][2] if isinstance(part, list) and part else ""
)
def test_a_change_is_told_and_nothing_else_is(second: Policy, expected: list[Told]) -> None:
    assert [told(change) for change in differences(FIRST, second)] == expected


@pytest.mark.parametrize("second", [second for second, _ in CASES])
def test_one_change_alone_makes_the_second_policy_of_the_first(second: Policy) -> None:
    for change in differences(FIRST, second):
        if change.alone:
            assert decisive(change.alone.policy) == decisive(second)
            assert change.alone.together_with == ()
        else:
            assert decisive(second) == decisive(FIRST)


def decisive(policy: Policy) -> Any:
    """What outcomes can rest on."""
    content = json.loads(policy.canonical)
    unread = set(content["limits"]) - policy.read_by_rules
    for name in unread:
        del content["limits"][name]
    measures = {
        name: (m["unit"], m["formula"]) for name, m in content["measures"].items() if name in policy.read_by_rules
    }
    rules = sorted(
        (rule["id"], rule.get("applies"), rule["require"], rule["otherwise"], json.dumps(rule.get("mitigated_by")))
        for rule in content["rules"]
    )
    rests = [content[name] for name in ("on_unknown", "collateral_value", "equity", "limits")]
    return measures, rules, rests


@pytest.mark.parametrize("seed", range(60))
def test_every_change_alone_is_a_whole_policy(seed: int) -> None:
    """What it reads is there, fits, and runs in no circle: its content is a document."""
    author = Author(seed)
    first = Policy.from_text(author.policy(4))
    second = edited(author, first)
    for one, other in ((first, second), (second, first)):
        for change in differences(one, other):
            if change.alone:
                read = Policy.from_text(replace(change.alone.policy, examples=()).canonical)
                assert read.canonical == replace(change.alone.policy, examples=()).canonical


def test_of_two_policies_that_have_little_in_common_each_change_alone_can_be_evaluated() -> None:
    first, second = (load_policy(name).policy for name in ("prime-auto", "recreational"))
    facts = facts_of(Deal.read(Author(1).deal()))
    for change in differences(first, second):
        if change.alone:
            assert compile_reference(change.alone.policy)(facts).results


def test_parts_that_run_in_a_circle_only_together_are_taken_together(write_policy: Write) -> None:
    def policy(first: str, second: str) -> Policy:
        measures = {"one": {"unit": "money", "formula": first}, "two": {"unit": "money", "formula": second}}
        return Policy.from_text(write_policy("one + two > $1", measures=measures))

    one, two = differences(policy("cash_price", "one"), policy("two", "cash_price"))
    assert one.alone
    assert two.alone
    assert one.alone.together_with == (EVERYTHING,)
    assert two.alone.together_with == ()


def test_of_two_examples_with_one_name_a_change_of_the_first_is_told(write_policy: Write) -> None:
    def policy(amount: str) -> Policy:
        examples = [{"name": "one", "deal": {"cash_price": price}, "expect": {}} for price in (amount, "2.00")]
        return Policy.from_text(write_policy("cash_price > $1", examples=examples))

    (change,) = differences(policy("1.00"), policy("3.00"))
    assert change.words == "Example changed: one"


# Rows


ROW = st.tuples(st.sampled_from("ABCDE"), st.integers(1, 3))


def table(rows: list[tuple[str, int]]) -> Limit:
    written = [{"when": f'tier == "{tier}"', "limit": str(limit)} for tier, limit in rows]
    limits = {
        "most": {"unit": "count", "hit_policy": "collect", "aggregate": "max", "on_no_hit": "unknown", "rows": written}
    }
    return Policy.from_text(json.dumps({**DOCUMENT, "limits": {**DOCUMENT["limits"], **limits}})).limits["most"]


@given(first=st.lists(ROW, min_size=1, max_size=6), second=st.lists(ROW, min_size=1, max_size=6))
def test_the_changes_of_a_table_account_for_every_row(first: Any, second: Any) -> None:
    before, after = table(first), table(second)
    changes = list(row_changes(before, after))
    rows = [change for change in changes if isinstance(change, RowChange)]
    gone, come = (sum(getattr(change, side) is None for change in rows) for side in ("after", "before"))
    assert len(first) - gone + come == len(second)
    assert len([change for change in changes if isinstance(change, Reordered)]) <= 1
    alike = [(row.when, row.limit) for row in before.rows] == [(row.when, row.limit) for row in after.rows]
    assert (changes == []) is alike
    if len(changes) == 1:
        assert [(row.when, row.limit) for row in changes[0].table().rows] == [
            (row.when, row.limit) for row in after.rows
        ]


def test_a_table_of_thousands_of_rows_is_compared_at_once() -> None:
    rows = [(f"T{index}", index % 7 + 1) for index in range(3_000)]
    changes = list(row_changes(table(rows), table([*rows[:1_000], ("X", 9), *rows[1_001:], ("Y", 9)])))
    assert len(changes) == 2
    recalibrated = Policy.from_text(json.dumps({**DOCUMENT, "limits": {**DOCUMENT["limits"], "most": rated(1)}}))
    every = differences(
        Policy.from_text(json.dumps({**DOCUMENT, "limits": {**DOCUMENT["limits"], "most": rated(0)}})), recalibrated
    )
    assert len(every) == 3_000


def rated(more: int) -> Any:
    rows = [{"when": f'tier == "T{index}"', "limit": str(index + more)} for index in range(3_000)]
    return {"unit": "count", "on_no_hit": "unknown", "rows": rows}
