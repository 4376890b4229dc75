"""Policy documents as a whole: carets, bounds, all mistakes at once, and the hash that identifies a version."""

import json
import re
from collections.abc import Callable
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dealgate import CompiledPolicy, Deal, Policy, PolicyError
from dealgate.rules.document import MAX_CHARACTERS, Problem
from dealgate.rules.expressions import Expression
from dealgate.rules.writing import expression_text
from tests.rules.random_expressions import truths
from tests.rules.test_policy_mistakes import GOOD

DEMAND = "    require: total_ltv <= max_ltv\n"


def refused(text: str) -> tuple[Problem, ...]:
    with pytest.raises(PolicyError) as caught:
        Policy.from_text(text, "small.yaml")
    return caught.value.problems


def under_the_caret(problem: Problem) -> str:
    """The words of the source line that stand above the carets of a printed message."""
    _, source, carets, *_ = str(problem).split("\n")
    assert set(carets.strip()) == {"^"}
    return "".join(letter for letter, caret in zip(source, carets.ljust(len(source)), strict=True) if caret == "^")


# Carets

SCALARS = {
    "plain": "    require: total_ltv <= «max_lvt»",
    "plain with a comment": "    require: total_ltv <= «max_lvt» # a limit",
    "plain over two lines": "    require: total_ltv\n      <=   «max_lvt»",
    "double quotes": '    require: "total_ltv <= «max_lvt»"',
    "single quotes": "    require: 'total_ltv <= «max_lvt»'",
    "double quotes with escapes": '    require: "state == \\"TX\\" and total_ltv <= «max_lvt»"',
    "double quotes with an escaped letter": '    require: "state == \\"\\u0041\\x42\\" and total_ltv <= «max_lvt»"',
    "double quotes with escaped white space": '    require: "total_ltv\\t\\n\\  <=\\n«max_lvt»"',
    "double quotes over two lines": '    require: "total_ltv\n       <= «max_lvt»"',
    "double quotes over an escaped line break": '    require: "total_ltv \\\n       <= «max_lvt»"',
    "single quotes with quotes": "    require: 'state == ''TX'' and total_ltv <= «max_lvt»'",
    "folded": "    require: >-\n      total_ltv\n      <= «max_lvt»",
    "folded with a comment": "    require: >-  # demand\n      total_ltv\n      <= «max_lvt»",
    "folded and indented": "    require: >-\n        total_ltv <= $0 + $0\n        or total_ltv <= «max_lvt»".replace(
        "$0 + $0", "5%"
    ),
    "folded over an empty line": "    require: >-\n      total_ltv\n\n      <= «max_lvt»",
    "literal": "    require: |\n      total_ltv\n        <= «max_lvt»",
    "literal on its first line": "    require: |\n      total_ltv <= «max_lvt»",
    "beyond other letters": "    require: state == 'Ü😀' and total_ltv <= «max_lvt»",
    "a tab before it": "    require: total_ltv <=\t«max_lvt»",
}


@pytest.mark.parametrize("style", list(SCALARS))
def test_the_caret_stands_under_the_word_however_the_text_is_written(style: str) -> None:
    marked = GOOD.replace(DEMAND, SCALARS[style] + "\n")
    start = marked.index("«")
    line, column = marked.count("\n", 0, start) + 1, start - marked.rindex("\n", 0, start)
    [problem] = refused(re.sub("[«»]", "", marked))
    assert (problem.message, problem.place) == ("unknown name 'max_lvt'", (line, column, len("max_lvt")))
    assert under_the_caret(problem) == "max_lvt"


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("{when: credit_score >= 760,", "{when: credit_scor >= 760,", "credit_scor"),
        ("{when: credit_score >= 760,", '{"when": "credit_scor >= 760",', "credit_scor"),
        ("{when: credit_score >= 760,", "{to: flag, when:\n      credit_scor >= 760} #", "credit_scor"),
        ("  new: [invoice, msrp]", "  new: [invoice, msrp]\n  usedd: []", "usedd"),
        ("  new: [invoice, msrp]", '  new: [invoice, msrp]\n  "usedd": []', "usedd"),
    ],
)
def test_the_caret_stands_under_the_word_in_flow_mappings_and_keys(old: str, new: str, word: str) -> None:
    assert under_the_caret(refused(GOOD.replace(old, new))[0]) == word


@pytest.mark.parametrize("line_end", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_move_no_caret(line_end: str, mark: str) -> None:
    text = GOOD.replace("max_ltv\n    otherwise", "max_lvt\n    otherwise").replace("\n", line_end)
    [problem] = refused(mark + text)
    assert problem.place == (23, 27, 7)
    assert under_the_caret(problem) == "max_lvt"


def test_a_caret_never_runs_past_its_line() -> None:
    [problem] = refused(
        GOOD.replace(DEMAND, "    require: >-\n      total_ltv + total_ltv\n      + total_ltv + total_ltv\n")
    )
    assert under_the_caret(problem) == "total_ltv + total_ltv"


def test_a_generated_document_on_one_line_does_not_bury_its_message() -> None:
    content = Policy.from_text(GOOD).canonical
    [problem] = refused(content.replace("total_ltv <= max_ltv", "total_ltv <= max_lvt"))
    assert content[problem.place.column - 1 :].startswith("max_ltv")
    assert str(problem).count("\n") == 1  # the message and the suggestion


# All at once


def test_all_mistakes_of_a_document_are_told_at_once_in_the_order_of_the_lines() -> None:
    text = GOOD
    for old, new in [
        ("policy: small", "policy: ''"),
        ("[invoice, msrp]", "[invoice, invoice]"),
        ("cash_down + rebate", "cash_down + 5"),
        ("limit: 125%", "limit: 125"),
        ("total_ltv <= max_ltv", "total_ltv < max"),
        ("otherwise: refer", "otherwise: never"),
        ('violated("LTV")', 'violated("XYZ")'),
        ("to: flag", "to: decline"),
        ("cash_price: ", "cash_pric: "),
        ("[LTV, LAYER]", "[LTW]"),
    ]:
        text = text.replace(old, new, 1)
    places = [problem.place for problem in refused(text)]
    assert [place.line for place in places] == [1, 6, 11, 18, 23, 24, 29, 32, 35, 36]
    assert places == sorted(places)


def test_a_mistake_is_told_once() -> None:
    for problems in (refused(GOOD.replace("  own_money:", "  - own_money:")), refused("rules: []")):
        assert len(set(problems)) == len(problems)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "just a text", "[a, list]", "---\n...\n", "null"])
def test_what_is_no_policy_at_all_is_refused(text: str) -> None:
    [problem] = refused(text)
    assert problem.message == "a policy must be a mapping of names to values"


# Bounds


@pytest.mark.parametrize(
    "text",
    [
        "x: " + "[" * 300_000,
        "x:\n" + " - " * 20_000,
        "x: " + "{a: " * 100_000,
        "? " * 50_000,
        "#" * (MAX_CHARACTERS + 1),
        GOOD + "examples" * 100_000,
        GOOD.replace(DEMAND, "    require: " + "(" * 30_000 + "\n"),
        GOOD.replace(DEMAND, "    require: " + "not " * 4_000 + "first_time_buyer\n"),
        GOOD.replace("$0", "$" + "9" * 6_000),
        GOOD.replace('"1.00"', "9" * 6_000),
        GOOD.replace('"1.00", trade_ins', '"1.00", metadata: {a: ' + "[" * 20 + "]" * 20 + "}, trade_in"),
        "policy: " + "a" * 200_000,
    ],
    ids=range(12),
)
def test_what_is_too_large_or_too_deep_is_refused_quickly(text: str) -> None:
    assert len(refused(text)) >= 1


def test_a_table_of_thousands_of_rows_is_read_and_evaluated(
    write_policy: Callable[..., str], small_deal: Callable[..., Deal]
) -> None:
    rows = [{"when": f"credit_score > {900 - row}", "limit": f"${row}"} for row in range(2_000)]
    limits = {"max_down": {"unit": "money", "rows": [*rows, {"limit": "$1"}]}}
    policy = Policy.from_text(write_policy("cash_down <= max_down", limits=limits))
    assert CompiledPolicy(policy).evaluate(small_deal(applicant={"credit_score": 700})).outcome == "pass"


@given(data=st.data())
@settings(max_examples=150)
def test_a_damaged_document_is_read_or_refused_and_nothing_else_happens(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(GOOD)))
    end = start + data.draw(st.integers(0, 30))
    junk = data.draw(
        st.text(max_size=6) | st.sampled_from([*"[]{}:,-#&*!|>'\"%@`\t\n\0", "\n  ", "null", "---\n", "? "])
    )
    try:
        Policy.from_text(GOOD[:start] + junk + GOOD[end:])
    except PolicyError as error:
        assert error.problems  # noqa: PT017  any other exception fails the test


@given(text=st.text(max_size=120) | st.text("abc:-[]{}\n '\"#&*!|>?,%", max_size=120))
@settings(max_examples=200)
def test_whatever_text_comes_in_is_refused_as_a_policy_error(text: str) -> None:
    refused(text)


# The content and its hash


def sha256(text: str) -> str:
    return Policy.from_text(text).sha256


@pytest.mark.parametrize(
    "text", [GOOD, *(path.read_text("utf-8") for path in (files("dealgate.rules") / "policies").iterdir())]
)
def test_the_canonical_content_is_a_document_with_the_same_hash(text: str) -> None:
    policy = Policy.from_text(text)
    again = Policy.from_text(policy.canonical)
    assert again.sha256 == policy.sha256
    assert again.canonical == policy.canonical
    assert Policy.from_text(json.dumps(policy.content, indent=2, ensure_ascii=True)).sha256 == policy.sha256


@pytest.mark.parametrize(
    "odd", ["Ü 😀", "tab\there", '"quoted"', "it's", "a: b # c", "\ufeffmark", "- x", "null", "1e5", "\\", "%"]
)
def test_odd_letters_in_a_text_survive_the_canonical_content(odd: str, write_policy: Callable[..., str]) -> None:
    policy = Policy.from_text(write_policy({"require": "cash_price > $0", "reason": odd.replace("\t", " ")}, title="T"))
    assert Policy.from_text(policy.canonical).rules[0].reason == odd.replace("\t", " ")
    assert Policy.from_text(policy.canonical).sha256 == policy.sha256


@given(require=truths(2))
@settings(max_examples=40)
def test_any_rule_keeps_its_hash_through_the_canonical_content(require: Expression) -> None:
    names = {"max_money": ("money", "$5"), "max_percent": ("percent", "5%"), "max_count": ("count", "5")}
    limits = {name: {"unit": unit, "rows": [{"limit": limit}]} for name, (unit, limit) in names.items()}
    document = json.loads(Policy.from_text(GOOD).canonical)
    document["limits"] |= limits
    document["rules"][0]["require"] = expression_text(require)
    policy = Policy.from_text(json.dumps(document))
    assert Policy.from_text(policy.canonical).sha256 == policy.sha256


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("policy: small\n", "# a comment\n\npolicy:   small   # and one more\n"),
        ('version: "1"', "version: '1'"),
        ("  new: [invoice, msrp]", "  new:\n  - invoice\n  - msrp"),
        ("total_ltv <= max_ltv", "( total_ltv   <=max_ltv )"),
        ("limit: 125%", 'limit: "125.00 %"'),
        ('tier == "A"', "tier  ==  'A'"),
        ("cash_price > $0", "cash_price > $0.00"),
        ("    hit_policy: first\n", ""),
        ("effective_from: 2026-01-01", "effective_from: 2026-01-01\non_unknown: refer"),
        (f"    title: LTV within the limit\n{DEMAND}", f"{DEMAND}    title: LTV within the limit\n"),
        ("\n", "\r\n"),
    ],
)  # fmt: skip
def test_comments_spelling_and_order_of_entries_do_not_change_the_hash(old: str, new: str) -> None:
    assert old in GOOD
    assert sha256(GOOD.replace(old, new)) == sha256(GOOD)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("limit: 125%", "limit: 125.0001%"),
        ("limit: 110%", "limit: 111%"),
        ('tier == "A"', 'tier == "B"'),
        ('tier == "A"', 'tier in ["A"]'),
        ("max_ltv\n    otherwise", "max_ltv + 0%\n    otherwise"),
        ("<=", "<"),
        ("otherwise: refer", "otherwise: decline"),
        ("reason: Too much on too little", "reason: Too much"),
        ("title: LTV within the limit", "title: LTV"),
        ("cash_price > $0", "cash_price > $0.01"),
        ("credit_score >= 760", "credit_score >= 759"),
        ("to: flag", "to: pass"),
        ("cash_down + rebate", "cash_down"),
        ("[invoice, msrp]", "[msrp, invoice]"),
        ("effective_from: 2026-01-01", "effective_from: 2026-01-02"),
        ("effective_from: 2026-01-01", "effective_from: 2026-01-01\neffective_to: 2027-01-01"),
        ("effective_from: 2026-01-01", "effective_from: 2026-01-01\non_unknown: decline"),
        ("own_money:\n    unit: money", "own_money:\n    meaning: Own\n    unit: money"),
        ('version: "1"', 'version: "2"'),
        ("policy: small", "policy: smaller"),
        ("outcome: refer, ", ""),
    ],
)
def test_any_change_of_what_bears_on_a_decision_changes_the_hash(old: str, new: str) -> None:
    assert old in GOOD
    assert sha256(GOOD.replace(old, new, 1)) != sha256(GOOD)


@given(cents=st.integers(0, 10**12), other=st.integers(0, 10**12))
@settings(max_examples=40)
def test_two_limits_have_one_hash_only_when_they_are_one_amount(cents: int, other: int) -> None:
    first, second = (
        sha256(GOOD.replace("cash_price > $0", f"cash_price > ${n // 100}.{n % 100:02d}")) for n in (cents, other)
    )
    assert (first == second) == (cents == other)


def test_the_order_of_rules_is_part_of_the_content() -> None:
    content = Policy.from_text(GOOD).content
    swapped = {**content, "rules": content["rules"][::-1]}
    assert sha256(json.dumps(swapped)) != sha256(json.dumps(content))
