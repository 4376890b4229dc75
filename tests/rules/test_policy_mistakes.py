"""One broken policy document for each kind of mistake: its exact place and the words that tell it.

Each row bends the small document below. The place expected is marked in the new text: «here» marks a word, « alone a point.
"""

import re
from typing import NamedTuple

import pytest

from dealgate import Policy, PolicyError

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


def second_row(row: str) -> tuple[str, str]:
    return "      - limit: 110%", f"      - limit: 110%\n{row}"


YAML = [
    Broken('version: "1"', 'version: "1', "not YAML: "),
    Broken("title: A small policy", "title: [A, small", "not YAML: "),
    Broken("version:", "\tversion:", "not YAML: found a tab character"),
    Broken("title: A small", "«title: \0 A small", "not YAML: a character that YAML does not allow"),
    Broken("title: A small", "«title: \ud800 A small", "not YAML: half of a surrogate pair"),
    Broken("title: A small policy", 'title: «"A\\x07"', "a character in this text does not show"),
    Broken("title: A small policy", 'title: «"A\\u2028"', "a character in this text does not show"),
    Broken("title: A small", "title: «&small A small", "anchors and aliases are not read", "Write the value out"),
    Broken("title: A small policy", "title: «*small", "anchors and aliases are not read", "Write the value out"),
    Broken("title: A small", "title: «!!str A small", "tags are not read", "Write the value without it."),
    Broken('version: "1"', 'version: "1"\n«policy»: twice', "'policy' stands here a second time (first on line 1)"),
    Broken("    otherwise: refer\n    reason: Too much on", "    otherwise: refer\n    «otherwise»: flag\n    reason: Too much on", "'otherwise' stands here a second time"),
    Broken("  new: [invoice, msrp]", "  ? «[new]\n  : [msrp]", "a key must be a plain word"),
    Broken("title: A small policy", "<<: {title: x}\ntitle: A small policy", "a policy has no entry '<<'"),
    Broken("examples:", "«---\nexamples:", "a second document begins here"),
    Broken("title: A small policy", "title: " + "[" * 31 + "«" + "[" * 40, "nested deeper than 32 levels"),
]  # fmt: skip

HEAD = [
    Broken("version:", "«verion»:", "a policy has no entry 'verion'", "Did you mean 'version'?"),
    Broken("policy: small\n", "«", "a policy lacks the entry 'policy'"),
    Broken('version: "1"\n', "", "a policy lacks the entry 'version'"),
    Broken("policy: small", 'policy: «""', "policy must be a text that is not empty"),
    Broken('version: "1"', "version: «[1]", "version must be a text that is not empty"),
    Broken('version: "1"', "version:« ", "version must be a text that is not empty"),
    Broken("title: A small policy", 'title: «"two\\nlines"', "title is one line of at most 200 characters"),
    Broken("title: A small policy", "title: «" + "x" * 201, "title is one line of at most 200 characters"),
    Broken("effective_from: 2026-01-01", "effective_from: «2026-02-30", "effective_from must be a day", ""),
    Broken("effective_from: 2026-01-01", "effective_from: «1 January 2026", "effective_from must be a day", ""),
    Broken("effective_from: 2026-01-01", "effective_from: 2026-01-01\neffective_to: «2026-01-01", "effective_to must be later"),
    Broken("effective_from: 2026-01-01", "effective_from: 2026-01-01\non_unknown: «flag", "on_unknown cannot be 'flag'"),
    Broken("effective_from: 2026-01-01", 'effective_from: 2026-01-01\non_unknown: «""', "on_unknown must be a text"),
    Broken("  used: [kbb_trade_in]", "  «usde»: [kbb_trade_in]", "collateral_value has no entry 'usde'", "Did you mean 'used'?"),
    Broken("  used: [kbb_trade_in]", "  used: «kbb_trade_in", "used must be a list"),
    Broken("  used: [kbb_trade_in]", '  used: [«""]', "a basis must be a text that is not empty"),
    Broken("[invoice, msrp]", "«[msrp, msrp]", "the list for new vehicles names a basis twice"),
]  # fmt: skip

MEASURES = [
    Broken("  own_money:\n    unit: money\n    formula: cash_down + rebate\n", "  «[own_money]\n", "measures must be a mapping of names to values"),
    Broken("  own_money:\n", "  cash_down:\n", "'cash_down' already has a meaning in the language", "Choose another name."),
    Broken("  own_money:\n", "  max:\n", "'max' already has a meaning in the language"),
    Broken("  own_money:\n", "  trade_ins:\n", "'trade_ins' already has a meaning in the language"),
    Broken("  own_money:\n", "  OwnMoney:\n", "'OwnMoney' is not a name", "Use lower-case letters"),
    Broken("    unit: money\n", "    unit: «dollars\n", "the unit of a measure cannot be 'dollars'"),
    Broken("    unit: money\n", "    unit: «text\n", "the unit of a measure cannot be 'text'"),
    Broken("    unit: money\n", '    unit: «""\n', "the unit of a measure must be a text that is not empty"),
    Broken("    unit: money\n", "", "measure own_money lacks the entry 'unit'"),
    Broken("    formula: cash_down + rebate", "    formula: «cash_down > rebate»", "this is a boolean, where a money is needed"),
    Broken("    formula: cash_down + rebate", "    formula: «500»", "this is a count, where a money is needed", "Write $500."),
    Broken("    formula: cash_down + rebate", "    formula: cash_down + «rebat»", "unknown name 'rebat'", "Did you mean 'rebate'?"),
    Broken("    formula: cash_down + rebate", "    formula: «[cash_down]", "an expression is needed here", "Put quotes around it"),
    Broken("    formula: cash_down + rebate", '    formula: sum(trade_ins, payoff, «violated("LTV")») ', "violated() reads the result of a rule"),
    Broken("    formula: cash_down + rebate", "    «formla»: cash_down", "measure own_money has no entry 'formla'", "Did you mean 'formula'?"),
    Broken("  own_money:\n    unit: money\n    formula: cash_down + rebate", "  total_ltv:\n    unit: «money\n    formula: cash_down + rebate", "total_ltv is a shipped measure in percent"),
    Broken("  own_money:\n    unit: money\n    formula: cash_down + rebate", "  «own_money:\n    unit: money\n    formula: own_money + rebate", "definitions rest on each other in a circle: own_money -> own_money"),
    Broken("  own_money:\n    unit: money\n    formula: cash_down + rebate", "  «trade_acv:\n    unit: money\n    formula: amount_financed - hidden_negative_equity", "in a circle: economic_negative_equity -> trade_acv"),
]  # fmt: skip

LIMITS = [
    Broken("limits:\n  max_ltv:\n", "limits:\n  total_ltv:\n", "'total_ltv' is both a limit and a measure", "Give the limit a name of its own."),
    Broken("  max_ltv:\n    unit: percent", "  max_ltv:\n    unit: «boolean", "the unit of a limit cannot be 'boolean'"),
    Broken("    hit_policy: first", "    hit_policy: «fist", "hit_policy cannot be 'fist'", "Did you mean 'first'?"),
    Broken("    hit_policy: first", '    hit_policy: «""', "hit_policy must be a text that is not empty"),
    Broken('      - when: tier == "A"\n        limit: 125%\n      - limit: 110%\n', "      «[]\n", "limit max_ltv has no row"),
    Broken('      - when: tier == "A"\n        limit: 125%\n      - limit: 110%\n', "      «110%\n", "rows must be a list"),
    Broken("      - limit: 110%\n", "", "limit max_ltv has a gap", "End with a row without 'when'."),
    Broken(*second_row('      - «when: tier == "B"\n        limit: 1%\n      - limit: 2%'), "this row can never match: the row above it matches every deal"),
    Broken('when: tier == "A"', "when: «tier»", "this is a text, where a boolean is needed"),
    Broken('when: tier == "A"', 'when: tier == "A" and «violated("LTV")»', "violated() reads the result of a rule"),
    Broken("limit: 125%", "limit: «$125»", "this is a money, where a percent is needed"),
    Broken("limit: 125%", "limit: «125»", "this is a count, where a percent is needed", "Write 125%."),
    Broken("limit: 125%", "limt: 125%", "a row of max_ltv has no entry 'limt'", "Did you mean 'limit'?"),
    Broken("limit: 125%", "limit: «max_ltv»", "definitions rest on each other in a circle: max_ltv -> max_ltv"),
]  # fmt: skip

RULES = [
    Broken("rules:\n", "rules: «[]\nuled:\n", "a policy has at least one rule"),
    Broken("  - id: LTV\n", "  - «LTV\n  - id: LTV\n", "a rule must be a mapping of names to values"),
    Broken("    title: LTV within the limit\n", "", "a rule lacks the entry 'title'"),
    Broken("    title: LTV within the limit\n", '    title: «""\n', "title must be a text that is not empty"),
    Broken("    reason: Too much on too little\n", '    reason: «"  "\n', "reason must be a text that is not empty"),
    Broken("    otherwise: refer\n    reason: Too much on", '    otherwise: «""\n    reason: Too much on', "otherwise must be a text that is not empty"),
    Broken("    otherwise: refer\n    reason: Too much on", "    otherwise: «deny\n    reason: Too much on", "otherwise cannot be 'deny'", "Known here: flag, refer, decline."),
    Broken("    otherwise: refer\n    reason: Too much on", "    otherwise: «pass\n    reason: Too much on", "otherwise cannot be 'pass'"),
    Broken("  - id: LTV\n", "  - id: «L T V\n", "'L T V' cannot be a rule id", "Use letters, digits"),
    Broken("  - id: LTV\n", "  - id: «ENGINE-FAILURE\n", "'ENGINE-FAILURE' cannot be a rule id"),
    Broken("  - id: LAYER\n", "  - «id: LTV\n", "the id 'LTV' is taken by an earlier rule", "choose another"),
    Broken("    require: total_ltv <= max_ltv", "    requires: total_ltv <= max_ltv", "a rule has no entry 'requires'", "Did you mean 'require'?"),
    Broken("    require: total_ltv <= max_ltv", "    require: «total_ltv»", "this is a percent, where a boolean is needed"),
    Broken("    require: total_ltv <= max_ltv", "    require: «true", "this requirement does not depend on the deal"),
    Broken("    require: total_ltv <= max_ltv", "    require: «total_ltv <= $5»", "a percent cannot be compared with a money"),
    Broken("    require: total_ltv <= max_ltv", "    require: total_ltv <= «max_lvt»", "unknown name 'max_lvt'", "Did you mean 'max_ltv'?"),
    Broken("    require: total_ltv <= max_ltv", "    require: «{total_ltv: max_ltv}", "an expression is needed here", "Put quotes around it"),
    Broken("    require: total_ltv <= max_ltv", "    require:« ", "an expression is missing here"),
    Broken("    applies: cash_price > $0", "    applies: «cash_price»", "this is a money, where a boolean is needed"),
    Broken('not violated("LTV")', 'not violated(«"LTC"»)', "no rule has the id 'LTC'", "Did you mean 'LTV'?"),
    Broken("rules:\n  - id: LTV\n    title: LTV within the limit\n    require: total_ltv <= max_ltv", 'rules:\n  «- id: LTV\n    title: LTV within the limit\n    require: violated("LAYER")', "rules rest on each other in a circle: LTV -> LAYER -> LTV"),
    Broken("to: flag}", "to: «refer}", "a mitigation to 'refer' does not soften 'refer'"),
    Broken("to: flag}", "to: «decline}", "a mitigation to 'decline' does not soften 'refer'"),
    Broken("to: flag}", "to: «flg}", "to cannot be 'flg'", "Did you mean 'flag'?"),
    Broken("to: flag}", "too: flag}", "mitigated_by has no entry 'too'", "Did you mean 'to'?"),
    Broken("{when: credit_score >= 760, to: flag}", "«flag", "mitigated_by must be a mapping of names to values"),
    Broken("credit_score >= 760", "«credit_score >= $760»", "a count cannot be compared with a money"),
]  # fmt: skip

EXAMPLES = [
    Broken("  - name: nothing known\n", '  - name: «""\n', "name must be a text that is not empty"),
    Broken("  - name: nothing known\n    deal:", "  - «deal:", "an example lacks the entry 'name'"),
    Broken('{cash_price: "1.00",', "{«cash_price: 1.005,", "cash_price: more than 2 decimal places", "Round it"),
    Broken('{cash_price: "1.00",', "{«cash_prise: 1.00,", "cash_prise: unknown field", "Did you mean 'cash_price'?"),
    Broken("[{kind: loan}]", "[{«kind: laon}]", "trade_ins[0].kind: input should be 'loan', 'lease' or 'none'"),
    Broken("outcome: refer", "outcome: «reffer", "outcome cannot be 'reffer'", "Did you mean 'refer'?"),
    Broken("[LTV, LAYER]", "[LTV, «LAYERS]", "a rule in expect cannot be 'LAYERS'", "Did you mean 'LAYER'?"),
    Broken("[LTV, LAYER]", "«LTV", "not_evaluable must be a list"),
    Broken("not_evaluable:", "«not_evaluabel»:", "expect has no entry 'not_evaluabel'", "Did you mean 'not_evaluable'?"),
    Broken('{own_money: "0.00"}', '{«own_moni: "0.00"}', "no measure is called 'own_moni'", "Did you mean 'own_money'?"),
    Broken('{own_money: "0.00"}', "«[own_money]", "measures must be a mapping of names to values"),
    Broken("    expect: {", "    expect: «[] #", "expect must be a mapping of names to values"),
]  # fmt: skip

EVERYTHING = [*YAML, *HEAD, *MEASURES, *LIMITS, *RULES, *EXAMPLES]


def marked(broken: Broken) -> tuple[str, int | None, int | None, int]:
    """The broken text without its marks; line and column (from 1) of the mark, where there is one, and the marked width."""
    assert GOOD.count(broken.old) >= 1, broken.old
    text = GOOD.replace(broken.old, broken.new, 1)
    start = text.find("«")
    if start < 0:
        return text, None, None, 0
    width = text.find("»") - start - 1
    before = text[:start]
    return re.sub("[«»]", "", text), before.count("\n") + 1, start - before.rfind("\n"), width


@pytest.mark.parametrize("broken", EVERYTHING, ids=lambda broken: ascii(broken.words)[1:60])
def test_a_mistake_is_told_with_its_place_and_its_remedy(broken: Broken) -> None:
    text, line, column, width = marked(broken)
    with pytest.raises(PolicyError) as caught:
        Policy.from_text(text, "small.yaml")
    found = [problem for problem in caught.value.problems if broken.words in problem.message]
    assert found, str(caught.value)
    problem = found[0]
    assert broken.suggestion in problem.suggestion
    if line is not None:
        assert (problem.place.line, problem.place.column) == (line, column)
    if width > 0:
        assert problem.place.width == width
    assert f"small.yaml:{problem.place.line}:{problem.place.column}: error: {problem.message}" in str(caught.value)


def test_the_good_document_is_good() -> None:
    assert [rule.id for rule in Policy.from_text(GOOD).rules] == ["LTV", "LAYER"]


def test_the_table_has_a_row_for_every_kind_of_mistake() -> None:
    assert len({broken.words for broken in EVERYTHING}) > 80
