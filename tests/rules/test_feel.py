"""Cells and expressions of DMN: what they accept, what they come to, and what is not read."""

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dealgate.rules.feel import Scope, cell_holds, evaluate
from dealgate.rules.feel_syntax import LONGEST_EXPRESSION, FeelError, parse_expression, parse_tests
from dealgate.rules.feel_values import read_duration, value_text

SCOPE = Scope(
    {
        "Age": Decimal(18),
        "Years of Service": Decimal(30),
        "Pre-bureau risk": "LOW",
        "nothing": None,
        "low": Decimal(2),
        "high": Decimal(9),
        "Flu symptoms": ["fever", "cough"],
        "Person": {"Name": "Paul", "Home town": "Bath", "Age": Decimal(40)},
        "Person.Gender": "Male",
    },
    parts=frozenset({"Home town"}),
)


def number(text: str) -> Decimal:
    return Decimal(text)


@pytest.mark.parametrize(
    ("cell", "inside", "outside"),
    [
        (">= 60", ["60", "61"], ["59.99"]),
        ("<18,>=60", ["17", "60"], ["18", "59"]),
        ("[24..60]", ["24", "60"], ["23.9", "60.1"]),
        ("(24..60)", ["24.1", "59"], ["24", "60"]),
        ("]24..60[", ["24.1", "59"], ["24", "60"]),
        ("[15..30)", ["15", "29.99"], ["30"]),
        ("[low..high]", ["2", "9"], ["1", "10"]),
        ("5", ["5", "5.0"], ["4"]),
        ("1, 3, [7..8]", ["1", "3", "7.5"], ["2", "9"]),
        ("not(5)", ["4"], ["5"]),
        ("not(<10, >20)", ["10", "20"], ["9", "21"]),
        ("-5", ["-5"], ["5"]),
        ("< -5", ["-6"], ["-5"]),
        ("[-5..-1]", ["-5", "-1"], ["0"]),
        ("!= 5", ["4"], ["5"]),
        ("= 5", ["5"], ["4"]),
        ("> Age + 2", ["21"], ["20"]),
        ("[1, 2]", ["1", "2"], ["3"]),
        ("? > 5 and ? < 8", ["6"], ["5", "8"]),
        ("modulo(?, 2) = 0", ["4"], ["5"]),
        ("1e3", ["1000"], ["1"]),
        (".5", ["0.5"], ["5"]),
    ],
)
def test_a_cell_accepts_the_numbers_it_says(cell: str, inside: list[str], outside: list[str]) -> None:
    assert [value for value in inside if not cell_holds(cell, number(value), SCOPE)] == []
    assert [value for value in outside if cell_holds(cell, number(value), SCOPE)] == []


@pytest.mark.parametrize("value", [None, True, Decimal(1), "A", ["A"]])
@pytest.mark.parametrize("cell", ["-", "", "  -  "])
def test_a_dash_and_an_empty_cell_accept_anything(cell: str, value: Any) -> None:
    assert cell_holds(cell, value, SCOPE)


@pytest.mark.parametrize(
    ("cell", "value", "held"),
    [
        ('"A"', "A", True),
        ('"A"', "a", False),
        ('"A", "B"', "B", True),
        ('not("A", "B")', "C", True),
        ('not("A", "B")', "B", False),
        ("true", True, True),
        ("true", False, False),
        ("not(true)", False, True),
        ("null", None, True),
        ("null", "A", False),
        ("not(null)", "A", True),
        ('not("A")', None, True),  # null is not "A"
        ("< 5", None, False),
        ("not(< 5)", None, False),  # whether null is below 5 is not known
        ("[1..5]", None, False),
        ("[nothing..5]", Decimal(1), False),
        ("< 5", "A", False),
        ("5", "5", False),
        ("Flu symptoms", "cough", True),
        ("Flu   symptoms", "gout", False),
        ('date("2026-11-20")', evaluate('@"2026-11-20"', SCOPE), True),
        ('> date("2026-11-20")', evaluate('@"2026-11-21"', SCOPE), True),
        ('"it is \\"so\\""', 'it is "so"', True),
        ('"\\u00e9"', "é", True),
        ("Person.Home town", "Bath", True),
        ("Person.Gender", "Male", True),
        ("Pre-bureau risk", "LOW", True),
    ],
)
def test_a_cell_decides_on_texts_truths_nulls_and_days(cell: str, value: Any, held: bool) -> None:
    assert cell_holds(cell, value, SCOPE) is held


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("2 ** 3 ** 2", "64"),
        ("-2 ** 2", "4"),
        ("7 - 2 - 1", "4"),
        ("1 / 3", "0.3333333333333333333333333333333333"),
        ("1 / 0", "null"),
        ("0.1 + 0.2", "0.3"),
        ('"a" + "b"', "ab"),
        ('"a" + 1', "null"),
        ("Years of Service + Age", "48"),
        ('if Age > 17 then "adult" else "child"', "adult"),
        ("if nothing then 1 else 2", "2"),
        ("nothing = null", "true"),
        ("nothing > 1", "null"),
        ("nothing > 1 or true", "true"),
        ("nothing > 1 and false", "false"),
        ("nothing > 1 and true", "null"),
        ("not(nothing)", "null"),
        ("Age between 17 and 18", "true"),
        ("Age in [1..17]", "false"),
        ("Age in (17, 18)", "true"),
        ("max(1, 3, 2)", "3"),
        ("min([4, 2])", "2"),
        ("sum([1, 2.5])", "3.5"),
        ("count([1, 2])", "2"),
        ("mean(1, 2)", "1.5"),
        ("decimal(2.345, 2)", "2.34"),
        ("round half up(2.345, 2)", "2.35"),
        ("floor(-1.5)", "-2"),
        ("modulo(-12, 5)", "3"),
        ('number("1,000.5", ",", ".")', "1000.5"),
        ("string(2)", "2"),
        ('substring("foobar", 3)', "obar"),
        ('substring("foobar", -2, 1)', "a"),
        ('upper case("a")', "A"),
        ('string length("abc")', "3"),
        ('starts with("abc", "ab")', "true"),
        ("list contains([1, null], null)", "true"),
        ("{a: 1, b: a + 1}.b", "2"),
        ("Person.Name", "Paul"),
        ("Person.nothing", "null"),
        ('date("2026-11-20").year', "2026"),
        ('date("2026-11-20") - date("2026-11-18")', "P2D"),
        ('date("2026-01-31") + duration("P1M")', "2026-02-28"),
        ('date("2026-13-01")', "null"),
        ('date and time("2026-11-20T10:00:00Z")', "2026-11-20T10:00:00Z"),
        ('duration("P1DT2H") > duration("PT25H")', "true"),
        ('years and months duration(date("2024-01-01"), date("2026-03-01"))', "P2Y2M"),
        ("1 // a remark\n + 1", "2"),
        ("9 ** (9 ** 9)", "null"),
        ("1e6144 * 10", "null"),
    ],
)
def test_an_expression_comes_to(text: str, value: str) -> None:
    assert value_text(evaluate(text, SCOPE)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Agee", "unknown name 'Agee'. Did you mean 'Age'?"),
        ("maxx(1)", "unknown function 'maxx'. Did you mean 'max'?"),
        ("1 +", "the expression ends too early"),
        ("1 2", "did not expect '2'"),
        ('"open', "closing quote"),
        ("[1..", "the expression ends too early"),
        ("for x in [1] return x", "'for' is not read here"),
        ("Flu symptoms[1]", "a filter on a list is not read here"),
        ("(" * 500 + "1" + ")" * 500, "levels deep"),
        ("+".join("1" * 1_000), "operators hang on each other"),
        ("-" * LONGEST_EXPRESSION + "1", "characters"),
        ("1" * 100, "a number of more than"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, message: str) -> None:
    with pytest.raises(FeelError, match=message.replace("[", r"\[").replace("?", r"\?").replace("+", r"\+")):
        evaluate(text, SCOPE)


@given(st.text(max_size=40) | st.text("()[]<>=.,-\"'12 aeAnot?{}:+*/", max_size=40))
def test_any_text_is_a_cell_or_an_error_of_ours(text: str) -> None:
    for read in (parse_tests, parse_expression):
        with suppress(FeelError):
            read(text, SCOPE.names)


NUMBERS = st.decimals(-1_000, 1_000, places=2, allow_nan=False)


@given(NUMBERS, NUMBERS, NUMBERS, st.booleans(), st.booleans())
def test_an_interval_holds_what_lies_between_its_ends(
    low: Decimal, high: Decimal, value: Decimal, with_low: bool, with_high: bool
) -> None:
    cell = f"{'[' if with_low else '('}{low}..{high}{']' if with_high else ')'}"
    held = (low <= value if with_low else low < value) and (value <= high if with_high else value < high)
    assert cell_holds(cell, value, SCOPE) is held
    assert cell_holds(f"not({cell})", value, SCOPE) is not held


@given(st.lists(st.text(max_size=5), min_size=1, max_size=4), st.text(max_size=5))
def test_a_list_of_words_holds_its_members(words: list[str], value: str) -> None:
    written = ", ".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in words)
    assert cell_holds(written, value, SCOPE) is (value in words)
    assert cell_holds(f"not({written})", value, SCOPE) is (value not in words)


@pytest.mark.parametrize("text", ["P1Y2M", "-P3M", "P4DT2H", "PT0.5S", "-PT1M", "P0M", "PT0S"])
def test_a_duration_is_written_as_it_was_read(text: str) -> None:
    assert value_text(read_duration(text)) == text
