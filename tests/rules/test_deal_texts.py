"""Deals as texts: JSON is read with exact numbers, and a deal survives being written and read."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dealgate import Deal, DealError
from tests.rules.random_deals import DEALS

Document = dict[str, Any]

LEAST: Document = {
    "deal_id": "D-1",
    "submitted_on": "2026-11-20",
    "vehicle": {"condition": "used"},
    "cash_price": "10000.00",
    "term_months": 72,
}


def json_problem(text: str | bytes) -> str:
    with pytest.raises(DealError) as caught:
        Deal.from_json(text)
    return str(caught.value)


def shape(value: object) -> object:
    """The names of a document, level by level, without its values."""
    if isinstance(value, dict):
        return {name: shape(part) if name != "metadata" else ... for name, part in value.items()}
    return [shape(part) for part in value] if isinstance(value, list) else ...


def with_price(written: str) -> str:
    return json.dumps(LEAST).replace('"10000.00"', written)


@pytest.mark.parametrize(
    ("written", "stored"),
    [('"12.5"', "12.50"), ("12.5", "12.50"), ("15500", "15500.00"), ("1e2", "100.00"), ("1.25E1", "12.50")],
)
def test_a_json_number_counts_when_it_is_exact_in_cents(written: str, stored: str) -> None:
    assert Deal.from_json(with_price(written)).document()["cash_price"] == stored


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("1.005", "more than 2 decimal places"),
        ("-1.5", "must not be negative"),
        ("1e400", "not an amount"),
        ("1e-400", "not an amount"),
        ("0e-99999999", "not an amount"),
        ("1" * 4000, "not an amount"),
        ("1" * 5000, "not JSON"),
        ("NaN", "not a JSON number"),
        ("-Infinity", "not a JSON number"),
        ("true", "not an amount"),
        ('"\\ud800"', "not an amount"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 900 + "]" * 900, "not an amount"),
        ("", "line 1, column"),
        ("'1'", "not JSON"),
    ],
)
def test_a_json_text_that_is_no_deal_is_refused(written: str, words: str) -> None:
    assert words in json_problem(with_price(written))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (with_price('"1.00", "cash_price": "2.00"'), "cash_price"),
        (with_price('"1.00", "trade_ins": [{"kind": "loan", "payoff": "1", "payoff": "1"}]'), "payoff"),
        (with_price('"1.00", "metadata": {"x": 1, "x": 1}'), "x"),
    ],
)
def test_a_name_given_twice_is_refused_even_with_one_value(text: str, name: str) -> None:
    assert json_problem(text).startswith(f"{name}: named twice in one object")


@pytest.mark.parametrize("text", [b"\xff\xfe\xff", b"\x80", "", "{", "[]", "null", json.dumps(LEAST) + "x"])
def test_broken_texts_are_refused(text: str | bytes) -> None:
    assert json_problem(text).startswith("(document): ")


def test_bytes_are_read_like_text() -> None:
    assert Deal.from_json(json.dumps(LEAST).encode()) == Deal.read(LEAST)


def test_metadata_too_deep_for_a_crash_is_refused() -> None:
    assert json_problem(with_price('"1", "metadata": {"x":' + "[" * 900 + "]" * 900 + "}")).startswith("metadata: ")


# Round trips


@given(document=DEALS)
@settings(max_examples=150)
def test_a_deal_survives_being_written_and_read(document: Document) -> None:
    deal = Deal.read(document)
    assert Deal.read(deal.document()) == deal
    assert Deal.from_json(json.dumps(deal.document())) == deal


@given(document=DEALS)
@settings(max_examples=75)
def test_a_document_says_what_was_stated_and_nothing_else(document: Document) -> None:
    assert shape(Deal.read(document).document()) == shape(document)


NAMES = st.sampled_from([*LEAST, "trade_ins", "metadata", "kind"]) | st.text()
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=20,
)


@given(document=ANYTHING)
@settings(max_examples=200)
def test_whatever_comes_in_is_a_deal_or_a_deal_error(document: object) -> None:
    try:
        Deal.read(document)
    except DealError as error:
        assert error.problems  # noqa: PT017  either is right; what must not happen is any other exception


@given(text=st.text(max_size=200) | st.binary(max_size=200))
@settings(max_examples=200)
def test_whatever_text_comes_in_is_refused_as_a_deal_error(text: str | bytes) -> None:
    with pytest.raises(DealError):
        Deal.from_json(text)
