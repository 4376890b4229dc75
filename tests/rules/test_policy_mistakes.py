"""One broken policy document for each kind of mistake: its exact place and the words that tell it.

Each row bends the small document below. The place expected is marked in the new text: «here» marks a word, « alone a point.
"""

import re
from typing import NamedTuple

import pytest

from dealgate import Policy, PolicyError
from dealgate.rules.document import Place

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

EVERYTHING = [*YAML, *HEAD, *MEASURES, *LIMITS, *RULES, *EXAMPLES]


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


def test_the_good_document_is_good() -> None:
    assert [rule.id for rule in Policy.from_text(GOOD).rules] == ["LTV", "LAYER"]


def test_rules_that_rest_on_each_other_are_told_in_a_circle() -> None:
    circle = GOOD.replace("total_ltv <= max_ltv", 'violated("LAYER")')
    with pytest.raises(PolicyError, match="rules rest on each other in a circle: LTV -> LAYER -> LTV"):
        Policy.from_text(circle)
