"""The functions of the policy language, where a mistake is said to stand, how deep a text may go, and writing it back."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dealgate.rules.checking import FUNCTIONS, Scope, read_expression
from dealgate.rules.expressions import (
    Arithmetic,
    BookValueAsOf,
    BookValueOn,
    Comparison,
    DaysBetween,
    Expression,
    Extreme,
    FieldName,
    FirstKnown,
    Greatest,
    ItemName,
    LevelPayment,
    ListedValue,
    ListedValueAsOf,
    ListSum,
    MeasureName,
    Missing,
    Number,
    Text,
    Violated,
    Year,
)
from dealgate.rules.fields import Unit
from dealgate.rules.parsing import MAX_CHARACTERS, MAX_DEPTH, ExpressionError
from dealgate.rules.reading import shipped_measures
from dealgate.rules.writing import expression_text
from tests.rules.random_expressions import numbers, truths

MONEY, PERCENT, COUNT, TEXT, BOOLEAN, DATE = Unit
SCOPE = Scope(
    {name: measure.unit for name, measure in shipped_measures().items()},
    {"max_money": MONEY, "max_percent": PERCENT, "max_count": COUNT},
    frozenset({"LTV-TOTAL", "NE"}),
)


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


# Functions

RATE = FieldName("apr_percent", PERCENT)
PRICE, ACV, PAYOFF = ItemName("price", MONEY), ItemName("acv", MONEY), ItemName("payoff", MONEY)
CASH, DOWN = FieldName("cash_price", MONEY), FieldName("cash_down", MONEY)
SUBMITTED, FUNDING = FieldName("submitted_on", DATE), FieldName("expected_funding_on", DATE)
LOAN = Comparison("==", ItemName("kind", TEXT), Text("loan"))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("min(cash_price, cash_down)", Extreme("min", (CASH, DOWN), MONEY)),
        ("max($0, cash_down, cash_price)", Extreme("max", (Number(MONEY, 0), DOWN, CASH), MONEY)),
        ("first_known(cash_price, cash_down)", FirstKnown((CASH, DOWN), MONEY)),
        ("sum(products, price)", ListSum("products", PRICE, None, MONEY)),
        (
            "sum(trade_ins, payoff - acv, kind == 'loan')",
            ListSum("trade_ins", Arithmetic("-", PAYOFF, ACV, MONEY), LOAN, MONEY),
        ),
        ("count(trade_ins)", ListSum("trade_ins", Number(COUNT, 1), None, COUNT)),
        ("count(trade_ins, kind == 'loan')", ListSum("trade_ins", Number(COUNT, 1), LOAN, COUNT)),
        ("sum(trade_ins, 1)", ListSum("trade_ins", Number(COUNT, 1), None, COUNT)),
        ("greatest(trade_ins, payoff)", Greatest("trade_ins", PAYOFF, None, MONEY)),
        ("greatest(trade_ins, payoff, kind == 'loan')", Greatest("trade_ins", PAYOFF, LOAN, MONEY)),
        (
            "greatest(trade_ins, payoff / acv)",
            Greatest("trade_ins", Arithmetic("/", PAYOFF, ACV, PERCENT), None, PERCENT),
        ),
        ("year(submitted_on)", Year(SUBMITTED)),
        ("days(submitted_on, expected_funding_on)", DaysBetween(SUBMITTED, FUNDING)),
        (
            "sum(trade_ins, days(payoff_good_through, expected_funding_on))",
            ListSum("trade_ins", DaysBetween(ItemName("payoff_good_through", DATE), FUNDING), None, COUNT),
        ),
        ("days(listed_value_as_of(), submitted_on)", DaysBetween(ListedValueAsOf(), SUBMITTED)),
        ('days(book_value_as_of("msrp"), submitted_on)', DaysBetween(BookValueAsOf("msrp"), SUBMITTED)),
        ("level_payment(cash_price, apr_percent, 72)", LevelPayment(CASH, RATE, Number(COUNT, 72))),
        ('book_value("kbb_trade_in")', BookValueOn("kbb_trade_in")),
        ("listed_value()", ListedValue()),
        ("missing(cash_price)", Missing(CASH)),
        ("missing(total_ltv)", Missing(MeasureName("total_ltv", PERCENT))),
        ('violated("NE")', Violated("NE")),
        ("count(trade_ins, missing(acv))", ListSum("trade_ins", Number(COUNT, 1), Missing(ACV), COUNT)),
    ],
)
def test_a_function_means_this(text: str, tree: Expression) -> None:
    assert read(text) == tree


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("min($1)", "min($1)", "min takes two operands or more"),
        ("max()", "max()", "max takes two operands or more"),
        ("max($1, 5)", "max($1, 5)", "its operands have different units: count, money"),
        ("min(tier, state)", "tier", "this is a text, where a number is needed"),
        ("first_known(submitted_on, submitted_on)", "submitted_on", "this is a date, where a number is needed"),
        ("sum(products)", "sum(products)", "sum takes a list, a value and perhaps a condition"),
        ("sum(price, products)", "price", "the first operand must be a list"),
        ("sum(products, kind)", "kind", "this is a text, where a number is needed"),
        ("sum(products, price, price)", "price", "this is a money, where something true or false is needed"),
        ("sum(products, payoff)", "payoff", "unknown name 'payoff'"),
        ("sum(trade_ins, allowance / acv)", "allowance / acv", "percents of single items cannot be added up"),
        ("sum(trade_ins, sum(products, price))", "products", "a list cannot be added up inside another"),
        ("count(trade_ins, violated('NE'))", "violated('NE')", "cannot stand inside sum(), count() or greatest()"),
        ("sum(trade_ins, level_payment(payoff, apr_percent, 72))", "payoff", "cannot be computed for single items"),
        ("violated(NE)", "NE", "unknown name 'NE'"),
        ("violated(tier)", "tier", "the id of a rule is written in quotes"),
        ("violated('NE-')", "'NE-'", "no rule has the id 'NE-' | Did you mean 'NE'?"),
        ("missing($5)", "$5", "missing() takes the name of a field or a measure"),
        ("missing(max_money)", "max_money", "missing() takes the name of a field or a measure"),
        ("missing(cash_price + cash_down)", "cash_price + cash_down", "missing() takes the name"),
        ("greatest(products)", "greatest(products)", "greatest takes a list, a value and perhaps a condition"),
        ("greatest(products, kind)", "kind", "this is a text, where a number is needed"),
        ("greatest(trade_ins, greatest(products, price))", "products", "a list cannot be added up inside another"),
        ("year(term_months)", "term_months", "this is a count, where a date is needed"),
        ("days(cash_price, submitted_on)", "cash_price", "this is a money, where a date is needed"),
        ("days(submitted_on, $5)", "$5", "this is a money, where a date is needed"),
        ("days(submitted_on)", "days(submitted_on)", "days takes two dates, from and to"),
        ("days(submitted_on, payoff_good_through)", "payoff_good_through", "unknown name 'payoff_good_through'"),
        (
            "days(submitted_on, expected_funding_on) <= $5",
            "days(submitted_on, expected_funding_on) <= $5",
            "a count cannot be compared with a money",
        ),
        (
            "days(submitted_on, expected_funding_on) + cash_down",
            "days(submitted_on, expected_funding_on) + cash_down",
            "a money cannot be added to a count",
        ),
        (
            "expected_funding_on - submitted_on",
            "expected_funding_on - submitted_on",
            "Write days(submitted_on, expected_funding_on).",
        ),
        ("book_value_as_of(msrp)", "msrp", "unknown name 'msrp'"),
        ("listed_value_as_of(5)", "listed_value_as_of(5)", "listed_value_as_of takes no operand"),
        ("level_payment(cash_price, 7, 72)", "7", "this is a count, where a percent is needed | Write 7%."),
        ("level_payment(cash_price, 7%)", "level_payment(cash_price, 7%)", "takes an amount, a yearly rate and months"),
        ("book_value(msrp)", "msrp", "unknown name 'msrp'"),
        ("book_value(tier)", "tier", "the basis of a book value is written in quotes"),
        ("listed_value(5)", "listed_value(5)", "listed_value takes no operand"),
        ("tier('A')", "tier", "unknown function 'tier'"),
    ],
)
def test_a_function_is_told_what_it_takes(text: str, where: str, words: str) -> None:
    found, said = pointed_at(text)
    assert words in said
    assert text.rindex(found) == text.rindex(where)
    assert found == where


def test_violated_has_its_place_in_rules_only() -> None:
    with pytest.raises(ExpressionError, match="in rules only"):
        read_expression("violated('NE')", Scope())


def test_a_count_of_items_does_not_forget_where_it_stands_after_a_mistake() -> None:
    mistake("sum(products, nonsense)")
    assert read("sum(products, price)") == ListSum("products", PRICE, None, MONEY)


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_the_example_in_every_function_s_message_is_itself_right(name: str) -> None:
    example = FUNCTIONS[name].example
    assert example.startswith(f"{name}(")
    assert expression_text(read(example)).startswith(f"{name}(")


# Where a mistake stands


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("tier == 'A' and teir == 'B'", (16, 20), "unknown name 'teir'"),
        ("1 < 2 < 3", (6, 7), "did not expect '<' here | Write two comparisons joined with 'and'."),
        ("$0 <= cash_down <= $5", (16, 18), "Write two comparisons joined with 'and'."),
        ("tier == 'A' state == 'B'", (12, 17), "An operator such as 'and', '<=' or ',' is missing before it."),
        ("cash_price >", (11, 12), "the expression ends too early"),
        ("(cash_price > $5", (15, 16), "the expression ends too early"),
        ("cash_price >  \n ", (11, 12), "the expression ends too early"),
        ("cash_price > $5)", (15, 16), "did not expect ')' here"),
        ("", (0, 1), "an expression is missing here"),
        (" \n ", (0, 1), "an expression is missing here"),
        ("cash_price # note", (11, 12), "did not expect '#' here"),
        ("tier ==\n  teir", (10, 14), "unknown name 'teir'"),
        ("not (tier == 'A' and cash_price)", (21, 31), "this is a money, where something true or false is needed"),
        ("(cash_price) and true", (1, 11), "this is a money, where something true or false is needed"),
        ("cash_price + (1 + term_months) > $5", (0, 30), "a count cannot be added to a money"),
    ],
)
def test_a_mistake_points_at_its_own_words(text: str, where: tuple[int, int], words: str) -> None:
    error = mistake(text)
    assert (error.start, error.end) == where
    assert words in f"{error.message} | {error.suggestion}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("teir == 'A' and (cash_prise > $5 or not zzz) and tier == 'B'", ["teir", "cash_prise", "zzz"]),
        ("aa + bb * cc > dd", ["aa", "bb", "cc", "dd"]),
        ("max(aa, $5, bb) > 5% and cash_price > 5", ["aa", "bb", "cash_price > 5"]),
        ("tier in ['A'] and state in [5]", ["5"]),
    ],
)
def test_every_mistake_of_an_expression_is_told_at_once(text: str, words: list[str]) -> None:
    assert [text[error.start : error.end] for error in mistake(text)] == words


@pytest.mark.parametrize(
    "text",
    [
        "not " * MAX_DEPTH + "first_time_buyer",
        " + ".join(["1"] * (MAX_DEPTH + 1)),
        "min(1, " * MAX_DEPTH + "1" + ")" * MAX_DEPTH,
    ],
)
def test_what_is_nested_too_deeply_is_refused_before_anything_recurses(text: str) -> None:
    assert mistake(text).message == f"nested more than {MAX_DEPTH} levels deep"


def test_brackets_alone_do_not_nest() -> None:
    assert read("(" * 5000 + "tier" + ")" * 5000) == FieldName("tier", TEXT)


def test_an_expression_is_at_most_so_long() -> None:
    longest = "tier".ljust(MAX_CHARACTERS)
    assert read(longest) == FieldName("tier", TEXT)
    assert mistake(longest + " ").message == "an expression of 20,001 characters; at most 20,000 are read"


PIECES = st.sampled_from(["(", ")", "not", "and", "tier", "==", "'A'", "sum", ",", "[", "$5", "%", "in", "-"])


@given(text=st.text(max_size=80) | st.lists(PIECES, max_size=12).map(" ".join))
@settings(max_examples=300)
def test_whatever_is_written_is_an_expression_or_an_expression_error_within_the_text(text: str) -> None:
    try:
        read(text)
    except ExpressionError as error:
        assert 0 <= error.start < max(error.end, 1) <= max(len(text), 1)  # noqa: PT017  no other exception may come


# Writing


@given(data=st.data(), unit=st.sampled_from([MONEY, PERCENT, COUNT, BOOLEAN]))
@settings(max_examples=400)
def test_a_tree_that_is_written_out_reads_back_as_the_same_tree(data: st.DataObject, unit: Unit) -> None:
    tree = data.draw(truths(2) if unit == BOOLEAN else numbers(unit, 2))
    text = expression_text(tree)
    assert read_expression(text, SCOPE, unit) == tree, text
    assert expression_text(read(text)) == text


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        ("cash_price>$5000.00", "cash_price > $5,000"),
        ("tier in [ 'A','B', ]", 'tier in ["A", "B"]'),
        ("tier not in ['A']", 'not tier in ["A"]'),
        ("total_ltv<=125.0 %", "total_ltv <= 125%"),
        ("((tier=='A'))", 'tier == "A"'),
        ("-cash_price < $1.50", "$0 - cash_price < $1.50"),
        ("count( trade_ins )", "count(trade_ins)"),
        ("apr_percent < 7.5000%", "apr_percent < 7.5%"),
        ("apr_percent > -0.0001%", "apr_percent > -0.0001%"),
        ("apr_percent > 100%", "apr_percent > 100%"),
        ("first_time_buyer and (covered_borrower and true)", "first_time_buyer and (covered_borrower and true)"),
    ],
)
def test_there_is_one_spelling_for_each_meaning(written: str, spelled: str) -> None:
    assert expression_text(read(written)) == spelled


@pytest.mark.parametrize("percent", [Fraction(1, 1_000_000), Fraction(1, 3_200), Fraction(10), Fraction(0)])
def test_a_percent_keeps_its_four_places_when_it_is_written(percent: Fraction) -> None:
    number = Number(PERCENT, percent.numerator, percent.denominator)
    tree = Comparison(">", RATE, number)
    again = read(expression_text(tree))
    assert isinstance(again, Comparison)
    if (percent * 1_000_000).denominator == 1:
        assert again.right == number
