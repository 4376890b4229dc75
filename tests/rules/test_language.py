"""The policy language: what its texts mean, which units meet, and where a mistake is said to stand."""

from itertools import product

import pytest

from dealgate.rules.checking import Scope, read_expression
from dealgate.rules.expressions import (
    Arithmetic,
    Comparison,
    Expression,
    FieldName,
    LimitName,
    MeasureName,
    Membership,
    Number,
    Text,
    Truth,
)
from dealgate.rules.fields import Unit
from dealgate.rules.parsing import ExpressionError
from dealgate.rules.reading import shipped_measures

MONEY, PERCENT, COUNT, TEXT, BOOLEAN, DATE = Unit
SCOPE = Scope(
    {name: measure.unit for name, measure in shipped_measures().items()},
    {"max_money": MONEY, "max_percent": PERCENT, "max_count": COUNT},
    frozenset({"LTV-TOTAL", "NE"}),
)
NAME_OF = {
    MONEY: "cash_price",
    PERCENT: "apr_percent",
    COUNT: "term_months",
    TEXT: "state",
    BOOLEAN: "first_time_buyer",
    DATE: "submitted_on",
}
FIELD_OF = {unit: FieldName(name, unit) for unit, name in NAME_OF.items()}


def read(text: str) -> Expression:
    return read_expression(text, SCOPE)


def mistake(text: str, wanted: Unit | None = None) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        read_expression(text, SCOPE, wanted)
    return caught.value


def pointed_at(text: str) -> tuple[str, str]:
    """The words a mistake points at, and what it says."""
    error = mistake(text)
    return text[error.start : error.end], f"{error.message} | {error.suggestion}"


# Literals and names


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("$5,000", Number(MONEY, 5000_00)),
        ("$5000", Number(MONEY, 5000_00)),
        ("$12.34", Number(MONEY, 12_34)),
        ("$0.5", Number(MONEY, 50)),
        ("$1,234,567.80", Number(MONEY, 1_234_567_80)),
        ("-$3", Number(MONEY, -3_00)),
        ("125%", Number(PERCENT, 5, 4)),
        ("125 %", Number(PERCENT, 5, 4)),
        ("7.5%", Number(PERCENT, 3, 40)),
        ("0.0001%", Number(PERCENT, 1, 1_000_000)),
        ("0%", Number(PERCENT, 0)),
        ("72", Number(COUNT, 72)),
        ("-1", Number(COUNT, -1)),
        ("007", Number(COUNT, 7)),
        ('"B"', Text("B")),
        ("'B'", Text("B")),
        ('"it\'s"', Text("it's")),
        ("'the \"best\"'", Text('the "best"')),
        ('""', Text("")),
        ("true", Truth(True)),
        ("false", Truth(False)),
        ("tier", FieldName("tier", TEXT)),
        ("total_ltv", MeasureName("total_ltv", PERCENT)),
        ("max_money", LimitName("max_money", MONEY)),
        ("  \n tier\t", FieldName("tier", TEXT)),
        ("((tier))", FieldName("tier", TEXT)),
    ],
)
def test_a_literal_or_a_name_stands_for_itself(text: str, tree: Expression) -> None:
    assert read(text) == tree


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$12.345", "at most two decimal places"),
        ("0.00001%", "at most four decimal places"),
        ("1.25", "As a percent, write 125%."),
        ("0.075", "As a percent, write 7.5%."),
        ("72.0", "has no decimal places"),
        ("$1000000000000000.01", "too large for a vehicle loan"),
        ("1" * 5000, "too large for a vehicle loan"),
        ("$1,00", "did not expect ',' here"),
        ("1,000", "did not expect ',' here"),
        ("$ 5", "Money is written as $5,000 or $12.34."),
        ("12 $", "Money is written as $5,000 or $12.34."),
        ("a %", "A percent is written as 125% or 7.5%."),
        ('"open', "A text needs a closing quote on the same line."),
        ("'open\n'", "A text needs a closing quote on the same line."),
        ("applicant.tier", "Deal fields are plain names, without dots."),
        ("cash_price = $5", "Equality is written '=='."),
        ("first_time_buyer & first_time_buyer", "Write 'and'."),
        ("first_time_buyer | first_time_buyer", "Write 'or'."),
        ("!first_time_buyer", "Write 'not' or '!='."),
        ("ünlaut", "did not expect 'ü' here"),
    ],
)
def test_a_literal_that_could_be_misread_is_refused_with_the_way_to_write_it(text: str, words: str) -> None:
    error = mistake(text)
    assert words in f"{error.message} | {error.suggestion}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("teir", "unknown name 'teir' | Did you mean 'tier'?"),
        ("max_mony", "Did you mean 'max_money'?"),
        ("Tier", "Did you mean 'tier'?"),
        ("metadata", "unknown name 'metadata'"),
        ("monthly_incme", "Did you mean 'monthly_income'?"),
        ("allowance", "unknown name 'allowance'"),
        ("products", "'products' is a list | Add it up, for example sum(products, price)."),
        ("violatd('NE')", "unknown function 'violatd' | Did you mean 'violated'?"),
        ("__import__('os')", "unknown function '__import__'"),
    ],
)
def test_an_unknown_name_is_told_with_the_one_that_was_meant(text: str, words: str) -> None:
    assert words in pointed_at(text)[1]


# Precedence

A, B, C = "first_time_buyer", "covered_borrower", "tier == 'A'"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (f"{A} or {B} and {C}", f"{A} or ({B} and {C})"),
        (f"{A} and {B} or {C}", f"({A} and {B}) or {C}"),
        (f"not {A} and {B}", f"(not {A}) and {B}"),
        (f"not {A} or {B}", f"(not {A}) or {B}"),
        ("not tier == 'A'", "not (tier == 'A')"),
        ("not tier in ['A']", "not (tier in ['A'])"),
        ("tier not in ['A']", "not tier in ['A']"),
        ("tier in ['A',]", "tier in ['A']"),
        (f"not not {A}", f"not (not {A})"),
        ("1 + 2 * 3 < 4", "(1 + (2 * 3)) < 4"),
        ("1 - 2 - 3 < 4", "((1 - 2) - 3) < 4"),
        ("cash_price / 2 / 3 < $4", "((cash_price / 2) / 3) < $4"),
        ("cash_price / 2 * 3 < $4", "((cash_price / 2) * 3) < $4"),
        ("- cash_price + $1 < $4", "((- cash_price) + $1) < $4"),
        ("- cash_price * 2 < $4", "((- cash_price) * 2) < $4"),
        ("$1 - -$2 < $4", "$1 - (-$2) < $4"),
        ("-cash_price < $4", "$0 - cash_price < $4"),
        (f"{A} and {B} and {C}", f"{A} and\n  {B} and\n  {C}"),
    ],
)
def test_operators_bind_as_they_do_on_paper(text: str, same: str) -> None:
    assert read(text) == read(same)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (f"{A} or {B} and {C}", f"({A} or {B}) and {C}"),
        (f"not {A} and {B}", f"not ({A} and {B})"),
        ("1 - 2 - 3 < 4", "1 - (2 - 3) < 4"),
        ("2 * (1 + 3) < 4", "2 * 1 + 3 < 4"),
    ],
)
def test_brackets_change_the_meaning(text: str, other: str) -> None:
    assert read(text) != read(other)


@pytest.mark.parametrize("name", ["order", "notice", "android", "inside", "trueness", "falsely"])
def test_a_name_may_begin_like_a_word_of_the_language(name: str) -> None:
    scope = Scope({name: COUNT})
    assert read_expression(f"{name} in [1]", scope) == Membership(MeasureName(name, COUNT), (Number(COUNT, 1),))


# Units

ALLOWED = {
    "+": {(unit, unit): unit for unit in (MONEY, PERCENT, COUNT)},
    "-": {(unit, unit): unit for unit in (MONEY, PERCENT, COUNT)},
    "*": {
        (MONEY, COUNT): MONEY,
        (COUNT, MONEY): MONEY,
        (MONEY, PERCENT): MONEY,
        (PERCENT, MONEY): MONEY,
        (PERCENT, PERCENT): PERCENT,
        (PERCENT, COUNT): PERCENT,
        (COUNT, PERCENT): PERCENT,
        (COUNT, COUNT): COUNT,
    },
    "/": {
        (MONEY, MONEY): PERCENT,
        (MONEY, COUNT): MONEY,
        (MONEY, PERCENT): MONEY,
        (PERCENT, PERCENT): PERCENT,
        (PERCENT, COUNT): PERCENT,
        (COUNT, COUNT): PERCENT,
    },
}


@pytest.mark.parametrize("operator", list(ALLOWED))
@pytest.mark.parametrize(("left", "right"), list(product(Unit, Unit)))
def test_units_meet_in_arithmetic_as_the_table_says_and_no_other_way(operator: str, left: Unit, right: Unit) -> None:
    text, unit = f"{NAME_OF[left]} {operator} {NAME_OF[right]}", ALLOWED[operator].get((left, right))
    if unit:
        assert read(text) == Arithmetic(operator, FIELD_OF[left], FIELD_OF[right], unit)
        return
    where, words = pointed_at(text)
    assert where == text
    assert f"a {left} cannot be" in words or f"a {right} cannot be" in words


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "==", "!="])
@pytest.mark.parametrize(("left", "right"), list(product(Unit, Unit)))
def test_only_like_is_compared_with_like_and_texts_have_no_order(operator: str, left: Unit, right: Unit) -> None:
    text = f"{NAME_OF[left]} {operator} {NAME_OF[right]}"
    ordered = operator not in {"==", "!="}
    if left == right and left != BOOLEAN and not (left == TEXT and ordered):
        assert read(text) == Comparison(operator, FIELD_OF[left], FIELD_OF[right])
        return
    where, words = pointed_at(text)
    assert where == text
    if left != right:
        assert f"a {left} cannot be compared with a {right}" in words
    else:
        assert ("has no order" if ordered else "a truth needs no comparison") in words


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("cash_price > 5000", "Write $5,000."),
        ("total_ltv <= 125", "Write 125%."),
        ("5000 < cash_price", "Write $5,000."),
        ("cash_price in [5000]", "Write $5,000."),
        ("cash_price + 5", "Write $5."),
    ],
)
def test_a_bare_number_in_the_place_of_money_or_percent_is_told_how_to_be_written(text: str, hint: str) -> None:
    assert mistake(text).suggestion == hint


@pytest.mark.parametrize("unit", [MONEY, PERCENT, COUNT, TEXT, DATE])
@pytest.mark.parametrize("text", ["not {}", "{} and first_time_buyer", "first_time_buyer or {}"])
def test_logic_takes_what_is_true_or_false_only(unit: Unit, text: str) -> None:
    assert pointed_at(text.format(NAME_OF[unit])) == (
        NAME_OF[unit],
        f"this is a {unit}, where something true or false is needed | ",
    )


@pytest.mark.parametrize(("wanted", "unit"), [pair for pair in product(Unit, Unit) if pair[0] != pair[1]])
def test_an_expression_has_the_unit_its_place_asks_for(wanted: Unit, unit: Unit) -> None:
    error = mistake(NAME_OF[unit], wanted)
    assert (error.start, error.end) == (0, len(NAME_OF[unit]))
    assert error.message == f"this is a {unit}, where a {wanted} is needed"


# Lists of values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tier in []", "this list is empty"),
        ("tier not in []", "this list is empty"),
        ("tier in [state]", "plain values only"),
        ("tier in ['A', 5]", "a count in a list for a text"),
        ("first_time_buyer in [true]", "a truth is not looked up"),
        ("tier in 'A'", "did not expect"),
        ("tier in ['A', ['B']]", "did not expect '[' here"),
    ],
)
def test_a_list_holds_plain_values_of_the_unit_that_is_looked_up(text: str, words: str) -> None:
    assert words in pointed_at(text)[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("condition == 'usde'", "condition is never 'usde' | Did you mean 'used'?"),
        ("'New' == condition", "condition is never 'New' | Did you mean 'new'?"),
        ("condition != 'demo'", "condition is never 'demo'"),
        ("channel in ['indirect', 'online']", "channel is never 'online'"),
        ("channel not in ['Direct']", "channel is never 'Direct' | Did you mean 'direct'?"),
        ("count(trade_ins, kind == 'lean') > 0", "kind is never 'lean' | Did you mean 'loan'?"),
    ],
)
def test_a_word_that_a_field_can_never_hold_is_a_typo_that_would_silence_the_rule(text: str, words: str) -> None:
    where, said = pointed_at(text)
    assert words in said
    assert where.strip("'") in text
    assert where[0] == "'"


@pytest.mark.parametrize("text", ["tier == 'anything'", "count(products, kind == 'anything') > 0", "state in ['ZZ']"])
def test_a_field_without_fixed_words_may_be_held_against_any(text: str) -> None:
    assert read(text).unit == BOOLEAN
