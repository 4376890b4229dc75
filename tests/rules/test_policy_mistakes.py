"""One broken policy document for each kind of mistake: its exact place and the words that tell it.

Each row bends the small document below. The place expected is marked in the new text: «here» marks a word, « alone a point.
"""

import re
from typing import NamedTuple

import pytest

from dealgate import Policy, PolicyError
from dealgate.rules.document import Place, Problem
from dealgate.rules.review import review_policy

GOOD = """\
policy: small
version: "1"
title: A small policy
effective_from: 2026-01-01
collateral_value:
  new: [invoice, msrp]
  used: [kbb_trade_in]
measures:
  own_money:
    unit: money
    formula: cash_down + rebate
limits:
  max_ltv:
    unit: percent
    hit_policy: first
    rows:
      - when: tier == "A"
        limit: 125%
      - limit: 110%
rules:
  - id: LTV
    title: LTV within the limit
    require: total_ltv <= max_ltv
    otherwise: refer
    reason: Too much on too little
  - id: LAYER
    title: Not the other one
    applies: cash_price > $0
    require: not violated("LTV")
    otherwise: refer
    reason: Too much altogether
    mitigated_by: {when: credit_score >= 760, to: flag}
examples:
  - name: nothing known
    deal: {cash_price: "1.00", trade_ins: [{kind: loan}]}
    expect: {outcome: refer, not_evaluable: [LTV, LAYER], measures: {own_money: "0.00"}}
"""


class Broken(NamedTuple):
    """What stands in the good document, what stands there instead, and what must be said."""

    old: str
    new: str
    words: str
    suggestion: str = ""


OWN = "  own_money:\n    unit: money\n    formula: cash_down + rebate"
ROWS = '      - when: tier == "A"\n        limit: 125%\n      - limit: 110%\n'
TABLE = f"  max_ltv:\n    unit: percent\n    hit_policy: first\n    rows:\n{ROWS}"
DEMAND = "total_ltv <= max_ltv"
NO_MAPPING = "must be a mapping of names to values"
CIRCLE = "definitions rest on each other in a circle: "
EMPTY = "must be a text that is not empty"
NEEDED = "an expression is needed here"
LAYERED_ONLY = "violated() reads the result of a rule and has its place in rules only"

YAML = [
    Broken('{own_money: "0.00"}}\n', '{own_money: "0.00}}\n«', "not YAML: "),
    Broken("title: A small policy", "title: [A, small\neffective_to«: x", "not YAML: "),
    Broken("version:", "«\tversion:", "not YAML: found a tab character"),
    Broken("title: A small", "«title: \0 A small", "not YAML: a character that YAML does not allow"),
    Broken("title: A small", "«title: \ud800 A small", "not YAML: half of a surrogate pair"),
    Broken("title: A small policy", 'title: «"A\\x07"', "a character in this text does not show"),
    Broken("title: A small policy", 'title: «"A\\x85B"', "a character in this text does not show"),
    Broken("title: A small policy", 'title: «"A\\u2028"', "a character in this text does not show"),
    Broken("title: A small", "title: «&small A small", "anchors and aliases are not read", "Write the value out"),
    Broken("title: A small policy", "title: «*small", "anchors and aliases are not read", "Write the value out"),
    Broken("title: A small", "title: «!!str A small", "tags are not read", "Write the value without it."),
    Broken('version: "1"', 'version: "1"\n«policy»: twice', "'policy' stands here a second time (first on line 1)"),
    Broken("    reason: Too much on", "    «otherwise»: flag\n    reason: Too much on", "stands here a second time"),
    Broken("  new: [invoice, msrp]", "  ? «[new]\n  : [msrp]", "a key must be a plain word"),
    Broken("title: A small policy", "«<<»: {title: x}\ntitle: A small policy", "a policy has no entry '<<'"),
    Broken("examples:", "«---\nexamples:", "a second document begins here"),
    Broken("title: A small policy", "title: " + "[" * 31 + "«" + "[" * 40, "nested deeper than 32 levels"),
]

HEAD = [
    Broken("version:", "«verion»:", "a policy has no entry 'verion'", "Did you mean 'version'?"),
    Broken('policy: small\nversion: "1"\n', "«policy: small\n", "a policy lacks the entry 'version'"),
    Broken("policy: small", 'policy: «""', f"policy {EMPTY}"),
    Broken('version: "1"', "version: «[1]", f"version {EMPTY}"),
    Broken('version: "1"', "version:« ", f"version {EMPTY}"),
    Broken("title: A small policy", 'title: «"two\\nlines"', "title is one line of at most 200 characters"),
    Broken("title: A small policy", "title: «" + "x" * 201, "title is one line of at most 200 characters"),
    Broken("effective_from: 2026-01-01", "effective_from: «2026-02-30", "effective_from must be a day"),
    Broken("effective_from: 2026-01-01", "effective_from: «1 January 2026", "effective_from must be a day"),
    Broken("2026-01-01", "2026-01-01\neffective_to: «2026-01-01", "effective_to must be later than effective_from"),
    Broken("2026-01-01", "2026-01-01\non_unknown: «flag", "on_unknown cannot be 'flag'"),
    Broken("2026-01-01", '2026-01-01\non_unknown: «""', f"on_unknown {EMPTY}"),
    Broken("  used: [kbb", "  «usde»: [kbb", "collateral_value has no entry 'usde'", "Did you mean 'used'?"),
    Broken("  used: [kbb_trade_in]", "  used: «kbb_trade_in", "used must be a list"),
    Broken("  used: [kbb_trade_in]", '  used: [«""]', f"a basis {EMPTY}"),
    Broken("[invoice, msrp]", "«[msrp, msrp]", "the list for new vehicles names a basis twice"),
]

MEASURES = [
    Broken(OWN, "  «[own_money]", f"measures {NO_MAPPING}"),
    Broken(OWN, "  own_money: «cash_down", f"measure own_money {NO_MAPPING}"),
    Broken("own_money:", "«cash_down»:", "'cash_down' already has a meaning in the language", "Choose another name."),
    Broken("own_money:", "«max»:", "'max' already has a meaning in the language"),
    Broken("own_money:", "«trade_ins»:", "'trade_ins' already has a meaning in the language"),
    Broken("own_money:", '"«own money»":', "'own money' is not a name", "Use lower-case letters"),
    Broken("unit: money", "unit: «dollars", "the unit of a measure cannot be 'dollars'"),
    Broken("unit: money", "unit: «text", "the unit of a measure cannot be 'text'"),
    Broken("unit: money", 'unit: «""', f"the unit of a measure {EMPTY}"),
    Broken("unit: money\n    form", "«form", "measure own_money lacks the entry 'unit'"),
    Broken("cash_down + rebate", "«cash_down > rebate»", "this is a boolean, where a money is needed"),
    Broken("cash_down + rebate", "«500»", "this is a count, where a money is needed", "Write $500."),
    Broken("cash_down + rebate", "cash_down + «rebat»", "unknown name 'rebat'", "Did you mean 'rebate'?"),
    Broken("cash_down + rebate", "«[cash_down]", NEEDED, "Put quotes around it"),
    Broken("cash_down + rebate", 'sum(trade_ins, payoff, «violated("LTV")»)', LAYERED_ONLY),
    Broken("formula:", "«formla»:", "measure own_money has no entry 'formla'", "Did you mean 'formula'?"),
    Broken("own_money:\n    unit: ", "total_ltv:\n    unit: «", "total_ltv is a shipped measure in percent"),
    Broken(OWN, "  «own_money: {unit: money, formula: own_money + rebate}", f"{CIRCLE}own_money -> own_money"),
    Broken(OWN, "  «trade_acv: {unit: money, formula: hidden_negative_equity}", f"{CIRCLE}trade_acv -> hidden"),
]

LIMITS = [
    Broken(TABLE, "  «[max_ltv]\n", f"limits {NO_MAPPING}"),
    Broken("  max_ltv:\n", "  «total_ltv»:\n", "'total_ltv' is both a limit and a measure", "a name of its own"),
    Broken("  max_ltv:\n", "  «products»:\n", "'products' already has a meaning in the language"),
    Broken("unit: percent", "unit: «boolean", "the unit of a limit cannot be 'boolean'"),
    Broken("hit_policy: first", "hit_policy: «fist", "hit_policy cannot be 'fist'", "Did you mean 'first'?"),
    Broken("hit_policy: first", 'hit_policy: «""', f"hit_policy {EMPTY}"),
    Broken(ROWS, "      «[]\n", "limit max_ltv has no row"),
    Broken(ROWS, "      «110%\n", "rows must be a list"),
    Broken(
        TABLE, "  max_ltv: «{unit: percent, rows: [{when: mileage > 5, limit: 1%}]}\n", "has a gap", "End with a row"
    ),
    Broken("      - limit: 110%", "      - limit: 110%\n      - «limit: 2%", "this row can never match"),
    Broken('when: tier == "A"', "when: «tier»", "this is a text, where a boolean is needed"),
    Broken('when: tier == "A"', 'when: tier == "A" and «violated("LTV")»', LAYERED_ONLY),
    Broken("limit: 125%", "limit: «$125»", "this is a money, where a percent is needed"),
    Broken("limit: 125%", "limit: «125»", "this is a count, where a percent is needed", "Write 125%."),
    Broken("limit: 125%", "«limt»: 125%", "a row of max_ltv has no entry 'limt'", "Did you mean 'limit'?"),
    Broken(TABLE, "  «max_ltv: {unit: percent, rows: [{limit: max_ltv}]}\n", f"{CIRCLE}max_ltv -> max_ltv"),
]

RULES = [
    Broken("rules:\n", "rules: «[]\nruled:\n", "a policy has at least one rule"),
    Broken("  - id: LTV\n", "  - «LTV\n  - id: LTV\n", f"a rule {NO_MAPPING}"),
    Broken("  - id: LTV\n    title: LTV within the limit\n", "  - «id: LTV\n", "a rule lacks the entry 'title'"),
    Broken("title: LTV within the limit", 'title: «""', f"title {EMPTY}"),
    Broken("reason: Too much on too little", 'reason: «"  "', f"reason {EMPTY}"),
    Broken("id: LTV", 'id: «""', f"id {EMPTY}"),
    Broken("otherwise: refer", 'otherwise: «""', f"otherwise {EMPTY}"),
    Broken("otherwise: refer", "otherwise: «deny", "otherwise cannot be 'deny'", "Known here: flag, refer, decline."),
    Broken("otherwise: refer", "otherwise: «pass", "otherwise cannot be 'pass'"),
    Broken("id: LTV", "id: «L T V", "'L T V' cannot be a rule id", "Use letters, digits"),
    Broken("id: LTV", "id: «ENGINE-FAILURE", "'ENGINE-FAILURE' cannot be a rule id"),
    Broken("id: LTV", "id: «ENGINE-DISAGREEMENT", "'ENGINE-DISAGREEMENT' cannot be a rule id"),
    Broken("id: LAYER", "«id: LTV", "the id 'LTV' is taken by an earlier rule", "choose another"),
    Broken("require: total", "«requires»: total", "a rule has no entry 'requires'", "Did you mean 'require'?"),
    Broken(DEMAND, "«total_ltv»", "this is a percent, where a boolean is needed"),
    Broken(DEMAND, "«true", "this requirement does not depend on the deal"),
    Broken(DEMAND, "«total_ltv <= $5»", "a percent cannot be compared with a money"),
    Broken(DEMAND, "total_ltv <= «max_lvt»", "unknown name 'max_lvt'", "Did you mean 'max_ltv'?"),
    Broken(DEMAND, "«{total_ltv: max_ltv}", NEEDED, "Put quotes around it"),
    Broken(f" {DEMAND}", "« ", "an expression is missing here"),
    Broken("cash_price > $0", "«cash_price»", "this is a money, where a boolean is needed"),
    Broken('violated("LTV")', 'violated(«"LTC"»)', "no rule has the id 'LTC'", "Did you mean 'LTV'?"),
    Broken("to: flag}", "to: «refer}", "a mitigation to 'refer' does not soften 'refer'"),
    Broken("to: flag}", "to: «decline}", "a mitigation to 'decline' does not soften 'refer'"),
    Broken("to: flag}", "to: «flg}", "to cannot be 'flg'", "Did you mean 'flag'?"),
    Broken("to: flag}", "«too»: flag}", "mitigated_by has no entry 'too'", "Did you mean 'to'?"),
    Broken("{when: credit_score >= 760, to: flag}", "«flag", f"mitigated_by {NO_MAPPING}"),
    Broken("credit_score >= 760", "«credit_score >= $760»", "a count cannot be compared with a money"),
]

EXAMPLES = [
    Broken("name: nothing known", 'name: «""', f"name {EMPTY}"),
    Broken("name: nothing known\n    deal:", "«deal:", "an example lacks the entry 'name'"),
    Broken('{cash_price: "1.00",', "{«cash_price: 1.005,", "cash_price: more than 2 decimal places", "Round it"),
    Broken('{cash_price: "1.00",', "{«cash_prise: 1.00,", "cash_prise: unknown field", "Did you mean 'cash_price'?"),
    Broken("[{kind: loan}]", "[{«kind: laon}]", "trade_ins[0].kind: input should be 'loan', 'lease' or 'none'"),
    Broken("outcome: refer", "outcome: «reffer", "outcome cannot be 'reffer'", "Did you mean 'refer'?"),
    Broken("[LTV, LAYER]", "[LTV, «LAYERS]", "a rule in expect cannot be 'LAYERS'", "Did you mean 'LAYER'?"),
    Broken("[LTV, LAYER]", "«LTV", "not_evaluable must be a list"),
    Broken("not_evaluable:", "«not_evaluabel»:", "expect has no entry", "Did you mean 'not_evaluable'?"),
    Broken('{own_money: "0.00"}', '{«own_moni: "0.00"}', "no measure is called 'own_moni'", "mean 'own_money'?"),
    Broken('{own_money: "0.00"}', "«[own_money]", f"measures {NO_MAPPING}"),
    Broken("    expect: {", "    expect: «[] #", f"expect {NO_MAPPING}"),
]

GUARANTEES = [
    Broken("examples:", "guarantees: «{never: mileage > 5}\nexamples:", "guarantees must be a list"),
    Broken("examples:", "guarantees:\n  - «mileage > 5\nexamples:", f"a guarantee {NO_MAPPING}"),
    Broken("examples:", "guarantees:\n  - «{}\nexamples:", "a guarantee lacks the entry 'never'"),
    Broken(
        "examples:", "guarantees:\n  - «newer»: mileage > 5\nexamples:", "a guarantee has no entry", "mean 'never'?"
    ),
    Broken("examples:", "guarantees:\n  - never: «mileage»\nexamples:", "this is a count, where a boolean is needed"),
    Broken("examples:", "guarantees:\n  - never: «false\nexamples:", "this guarantee does not depend on the deal"),
    Broken(
        "examples:", 'guarantees:\n  - never: outcome == «"passed"»\nexamples:', "outcome is never 'passed'", "'pass'?"
    ),
    Broken(
        "examples:", 'guarantees:\n  - never: outcome in ["pass", «"reject"»]\nexamples:', "outcome is never 'reject'"
    ),
    Broken("examples:", 'guarantees:\n  - never: «outcome < "flag"»\nexamples:', "a text has no order"),
    Broken("examples:", 'guarantees:\n  - never: violated(«"LTW"»)\nexamples:', "no rule has the id 'LTW'", "'LTV'?"),
    Broken(DEMAND, '«outcome» == "pass"', "unknown name 'outcome'"),
]

EVERYTHING = [*YAML, *HEAD, *MEASURES, *LIMITS, *RULES, *EXAMPLES, *GUARANTEES]

TIER_A = '      - when: tier == "A"\n        limit: 125%\n'
SCORES = "credit_score > 700 and credit_score < 650"
REASON = "reason: Too much on too little"
SPECIFIC = "it must be specific (Regulation B, comment 9(b)(2)-1)"

REVIEWED = [
    # What a reading cannot know
    Broken(TIER_A, f'{TIER_A}      - when: «tier == "A"»\n        limit: 120%\n', "this row repeats row 1 (line 17)"),
    Broken(
        TIER_A,
        f'{TIER_A}      - when: «tier == "A" and mileage < 9»\n        limit: 1%\n',
        "this row can never match: row 1 (line 17) takes every deal that it is for",
        "Put the narrower row first",
    ),
    Broken(
        TIER_A,
        f'{TIER_A}      - when: tier != "A"\n        limit: 9%\n      - when: «mileage > 5»\n        limit: 9%\n',
        "this row can never match: the rows above it take",
        "Put the narrower row first",
    ),
    Broken('tier == "A"', f"«{SCORES}»", f"contradictory bounds: {SCORES} can never hold", "Correct the bounds"),
    Broken('tier == "A"', f"mileage < 5 or «{SCORES}»", f"contradictory bounds: {SCORES} can never hold"),
    Broken('tier == "A"', f"not (mileage < 5 or «{SCORES}»)", f"contradictory bounds: {SCORES} can never hold"),
    Broken(
        TABLE,
        '  max_ltv: «{unit: percent, rows: [{when: tier == "A", limit: 1%}, {when: tier != "A", limit: 2%}]}\n',
        "limit max_ltv has a gap",
        "Every deal whose fields are known matches a row: leave the 'when' off the last one.",
    ),
    Broken(
        TABLE,
        "  max_ltv: «{unit: percent, rows: [{when: mileage > 5, limit: 1%}]}\n",
        "limit max_ltv has a gap",
        "End with",
    ),
    Broken(DEMAND, "«mileage >= 0»", "rule LTV can never be violated: its requirement holds for every deal"),
    Broken(DEMAND, "«missing(tier) or total_ltv > 0% or total_ltv <= 0%»", "rule LTV can never be violated"),
    Broken(
        DEMAND, "«term_months < 0»", "rule LTV is violated by every deal that can be judged", "Correct the requirement."
    ),
    Broken(
        "applies: cash_price > $0", f"applies: «{SCORES}»", "rule LAYER can never be violated: it applies to no deal"
    ),
    Broken(
        "applies: cash_price > $0",
        "applies: cash_price > $0 and (mileage < 5 or «mileage < 0»)",
        "contradictory bounds: mileage < 0",
    ),
    Broken('not violated("LTV")', "«cash_price > $0»", "rule LAYER can never be violated"),
    Broken(
        'not violated("LTV")', "«missing(cash_price)»", "? rule LAYER is violated by every deal to which it applies"
    ),
    Broken("credit_score >= 760", "«credit_score > 900»", "? the mitigation of LAYER can never help"),
    Broken("credit_score >= 760", "«cash_price > $0»", "? every deal that breaks LAYER is mitigated"),
    Broken(
        f"  max_ltv:\n    unit: percent\n    hit_policy: first\n    rows:\n{TIER_A}",
        '  «max_ltv»:\n    unit: percent\n    rows:\n      - when: tier == "A"\n        limit: 90%\n'
        '      - when: tier == "B"\n        limit: 95%\n',
        "? limit max_ltv is looser for tier B than for tier A",
    ),
    Broken(
        "      - limit: 110%\n",
        '      - when: tier != "A"\n        limit: 9%\n      - «limit: 110%\n',
        "? this row is never needed",
    ),
    # Guarantees
    Broken("examples:", "guarantees:\n  - never: «total_ltv > 125%»\nexamples:", "this guarantee does not hold"),
    Broken(
        "examples:",
        "guarantees:\n  - never: «cash_price * mileage == $7.13 and cash_price * mileage * mileage == $71.31»\nexamples:",
        "? this guarantee is not proved: it rests on arithmetic that is not linear",
    ),
    # Words
    Broken(
        "cash_down + rebate",
        'book_value(«"kbb_trade_inn"»)',
        "no list of bases holds 'kbb_trade_inn'",
        "'kbb_trade_in'?",
    ),
    Broken(
        "cash_down + rebate",
        'book_value(«"auction"»)',
        "? no list of bases holds 'auction'",
        "deals carry this very word",
    ),
    Broken(
        "[kbb_trade_in]",
        "[«jdpower_clean_trad»]",
        "? 'jdpower_clean_trad' is close to a basis",
        "'jdpower_clean_trade'?",
    ),
    Broken('tier == "A"', 'state == «"tx"»', "state is never 'tx': it is two capital letters", "Did you mean 'TX'?"),
    Broken('tier == "A"', 'state in ["TX", «"Texas"»]', "state is never 'Texas'", "two-letter code"),
    Broken('tier == "A"', 'state == «"TZ"»', "? 'TZ' is no code of a state or territory", "Postal Service"),
    Broken(
        "cash_down + rebate", 'sum(products, price, kind == «"gapp"»)', "? 'gapp' is no product", "Did you mean 'gap'?"
    ),
    Broken(
        "cash_down + rebate", 'sum(products, price, kind in ["gap", «"GAP"»])', "kind is never 'GAP'", "mean 'gap'?"
    ),
    Broken(
        "cash_down + rebate",
        'sum(products, price, kind == «"Roof Box"»)',
        "kind is never 'Roof Box'",
        "as deals state it",
    ),
    Broken(
        'tier == "A"',
        'tier in ["A", "B", «"BB"»] or tier == "A" or tier == "B"',
        "? tier 'BB' is named only here",
        "'B'?",
    ),
    Broken(
        'tier == "A"',
        'tier in ["A", "B", «"b"»] or tier == "A" or tier == "B"',
        "? tier 'b' is named only here",
        "'B'?",
    ),
    # Reasons
    Broken(
        REASON,
        "reason: «Internal policy»",
        f"'Internal policy' is no sufficient reason: {SPECIFIC}",
        "Name what was found",
    ),
    Broken(
        REASON,
        "reason: Not within «our credit standards»",
        f"'our credit standards' is no sufficient reason: {SPECIFIC}",
    ),
    Broken(REASON, "reason: Does «not meet guidelines»", "is no sufficient reason"),
    Broken(REASON, "reason: Applicant «failed to achieve a qualifying score»", "is no sufficient reason"),
    Broken(REASON, "reason: «Insufficient score» on our system", "'Insufficient score' is no sufficient reason"),
    Broken(REASON, "reason: «Credit score too low»", "'Credit score too low' is no sufficient reason"),
    Broken(REASON, "reason: «Policy»", "'Policy' is no sufficient reason"),
    Broken(
        REASON,
        "reason: " + "x" * 90 + "«yz»",
        "? this reason has 92 characters; a line of a notice holds 90",
        "Shorten it.",
    ),
]
"""What only a review finds; a leading question mark says that it is a warning."""


def marked(broken: Broken) -> tuple[str, Place]:
    """The broken text without its marks, and the place that is marked in it."""
    assert broken.old in GOOD
    text = GOOD.replace(broken.old, broken.new, 1)
    start = text.index("«")
    width = max(1, text.find("»") - start - 1)
    before = text[:start]
    return re.sub("[«»]", "", text), Place(before.count("\n") + 1, start - before.rfind("\n"), width)


@pytest.mark.parametrize("broken", EVERYTHING, ids=lambda broken: ascii(broken.words)[1:60])
def test_a_mistake_is_told_with_its_place_and_its_remedy(broken: Broken) -> None:
    text, place = marked(broken)
    with pytest.raises(PolicyError) as caught:
        Policy.from_text(text, "small.yaml")
    found = [problem for problem in caught.value.problems if broken.words in problem.message]
    assert found, str(caught.value)
    assert broken.suggestion in found[0].suggestion
    assert found[0].place == place
    assert f"small.yaml:{place.line}:{place.column}: error: {found[0].message}" in str(caught.value)


@pytest.mark.parametrize("broken", REVIEWED, ids=lambda broken: ascii(broken.words)[1:60])
def test_a_review_finds_what_a_reading_cannot_know(broken: Broken) -> None:
    text, place = marked(broken)
    found = review_policy(text, "small.yaml")
    words = broken.words.removeprefix("? ")
    is_warning = words != broken.words
    told = [problem for problem in (found.warnings if is_warning else found.errors) if words in problem.message]
    assert told, [problem.message for problem in (*found.errors, *found.warnings)]
    assert broken.suggestion in told[0].suggestion
    assert told[0].place == place
    word = "warning" if is_warning else "error"
    assert str(told[0]).startswith(f"small.yaml:{place.line}:{place.column}: {word}: {told[0].message}")


@pytest.mark.parametrize("broken", EVERYTHING, ids=lambda broken: ascii(broken.words)[1:60])
def test_a_review_tells_every_mistake_that_reading_finds(broken: Broken) -> None:
    text, place = marked(broken)
    told: list[Problem] = [problem for problem in review_policy(text).errors if broken.words in problem.message]
    assert [problem.place for problem in told[:1]] == [place]


def test_sufficient_reasons_are_left_alone() -> None:
    for reason in (
        "Value or type of collateral not sufficient",
        "Credit history shown in the consumer report",
        "Income insufficient for amount of credit requested",
        "Unable to verify credit references",
        "Unpaid balance on trade-in vehicle exceeds limits",
        "Limited credit experience",
        "Length of maturity requested",
        "Age of automobile",
        "Too many recent inquiries on credit bureau report",
        "No insurance policy on the vehicle",
    ):
        assert review_policy(GOOD.replace("Too much on too little", reason)).errors == (), reason


def test_the_good_document_is_good() -> None:
    assert [rule.id for rule in Policy.from_text(GOOD).rules] == ["LTV", "LAYER"]
    assert review_policy(GOOD)[1:] == ((), (), 0)


def test_there_is_a_broken_document_for_more_than_sixty_kinds_of_mistake() -> None:
    assert len({broken.words for broken in (*EVERYTHING, *REVIEWED)}) > 60


def test_rules_that_rest_on_each_other_are_told_in_a_circle() -> None:
    circle = GOOD.replace("total_ltv <= max_ltv", 'violated("LAYER")')
    with pytest.raises(PolicyError, match="rules rest on each other in a circle: LTV -> LAYER -> LTV"):
        Policy.from_text(circle)
