"""The JSON Schema of the policy document: current, complete, and right about every document that is at hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from dealgate import Policy
from dealgate.adapters.command_line.policy_texts import starter
from dealgate.rules.deal import Applicant, BookValue, PartialDeal, PartialVehicle, Product, TradeIn
from dealgate.rules.document import parse_yaml, plain
from dealgate.rules.reading import BODY, HEAD
from dealgate.rules.schema import policy_schema, schema_text

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "docs" / "reference" / "policy.schema.json"
SHIPPED = sorted((ROOT / "rules" / "policies").rglob("*.yaml"))

Document = dict[str, Any]


def problems(document: object) -> list[str]:
    """Where a document does not fit the schema."""
    found = Draft202012Validator(policy_schema()).iter_errors(document)
    return sorted("/".join(map(str, error.absolute_path)) for error in found)


def small(**entries: object) -> Document:
    head = {"policy": "p", "version": "1", "title": "t", "effective_from": "2026-11-01"}
    rule = {"id": "R", "title": "t", "require": "term_months <= 72", "otherwise": "flag", "reason": "r"}
    return {**head, "rules": [rule], **entries}


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(policy_schema())


def test_the_published_file_is_the_schema() -> None:
    """Written by: dealgate policy schema -o docs/reference/policy.schema.json"""
    assert PUBLISHED.read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_a_shipped_policy_fits(file: Path) -> None:
    assert problems(plain(parse_yaml(file.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_the_content_of_a_policy_fits(file: Path) -> None:
    """As it is stored and read back."""
    policy = Policy.from_text(file.read_text(encoding="utf-8"), file.name)
    assert problems(policy.content) == []
    assert problems(json.loads(policy.self_contained)) == []


def test_the_starter_fits() -> None:
    assert problems(plain(parse_yaml(starter("my-auto")))) == []


def test_it_knows_every_entry_of_the_document_and_of_a_deal() -> None:
    schema = policy_schema()
    assert {*HEAD, *BODY} <= set(schema["properties"])
    assert schema["required"] == ["policy", "version", "title", "effective_from", "rules"]
    deal = schema["$defs"]["deal"]["properties"]
    assert set(deal) == set(PartialDeal.model_fields)
    assert set(deal["applicant"]["properties"]) == set(Applicant.model_fields)
    assert set(deal["vehicle"]["properties"]) == set(PartialVehicle.model_fields)
    assert set(deal["vehicle"]["properties"]["values"]["items"]["properties"]) == set(BookValue.model_fields)
    assert set(deal["products"]["items"]["properties"]) == set(Product.model_fields)
    assert set(deal["trade_ins"]["items"]["properties"]) == set(TradeIn.model_fields)


@pytest.mark.parametrize(
    ("entries", "where"),
    [
        ({"limit": {}}, ""),
        ({"on_unknown": "flag"}, "on_unknown"),
        ({"effective_from": "1 November"}, "effective_from"),
        ({"rules": []}, "rules"),
        ({"limits": {"most": {"unit": "cents", "rows": [{"limit": 72}]}}}, "limits/most/unit"),
        ({"limits": {"most": {"unit": "count", "rows": [{"limt": 72}]}}}, "limits/most/rows/0"),
        ({"limits": {"most": {"unit": "count", "hit_policy": "frist", "rows": [{"limit": 72}]}}}, "limits/most/hit_policy"),
        ({"limits": {"most": {"unit": "count"}}}, "limits/most"),
        ({"measures": {"Own": {"unit": "money", "formula": "$1"}}}, "measures"),
        ({"measures": {"own": {"unit": "money"}}}, "measures/own"),
        ({"equity": {"curve": "kbb"}}, "equity/curve"),
        ({"examples": [{"name": "n", "deal": {"cash_prize": "1.00"}, "expect": {}}]}, "examples/0/deal"),
        ({"examples": [{"name": "n", "deal": {"cash_price": "1,000"}, "expect": {}}]}, "examples/0/deal/cash_price"),
        ({"examples": [{"name": "n", "deal": {}, "expect": {"outcome": "maybe"}}]}, "examples/0/expect/outcome"),
        ({"guarantees": [{"always": "true"}]}, "guarantees/0"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_shape_is_marked(entries: Document, where: str) -> None:
    assert where in problems(small(**entries))


@pytest.mark.parametrize(
    "entries",
    [
        {"limits": {"most": {"unit": "count", "rows": [{"when": True, "limit": 72}], "on_no_hit": "unknown"}}},
        {"limits": {"most": {"unit": "count", "table": "limits.xlsx", "sheet": "Terms"}}},
        {"guarantees": [{"never": 'outcome == "pass" and total_ltv > 150%'}]},
        {"examples": [{"name": "n", "deal": {"cash_price": 1000}, "expect": {"measures": {"total_ltv": None}}}]},
        {"equity": {"curve": {"title": "t", "source": "s", "retained": ["80%", "70%"]}, "disposal_cost": "$500"}},
    ],
)
def test_what_the_document_admits_is_not_marked(entries: Document) -> None:
    assert problems(small(**entries)) == []
