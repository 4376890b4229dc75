"""The JSON Schema of the policy document: what an editor completes and marks while somebody writes.

It knows the shape and not the meaning. `dealgate policy check` decides: it reads the expressions, names and units too.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from dealgate.rules.authority import BOTH_SIDES
from dealgate.rules.authority_reading import CODE, MOST_CODES, MOST_DAYS, MOST_ROLES
from dealgate.rules.deal import MAX_ITEMS, PartialDeal
from dealgate.rules.limit_reading import AGGREGATES, HIT_POLICIES
from dealgate.rules.policy import UTC, Outcome
from dealgate.rules.reading import NAME, RULE_ID, shipped_curves, shipped_measures
from dealgate.rules.reference import Result
from dealgate.rules.stated_values import KIND_PATTERN
from dealgate.rules.table_files import MOST_ROWS

Schema = dict[str, Any]

ADDRESS = "https://json-schema.org/draft/2020-12/schema"
NUMERIC_UNITS = ("money", "percent", "count")
OUTCOMES = tuple(outcome.value for outcome in Outcome)


def policy_schema() -> Schema:
    """The schema as plain data."""
    return {
        "$schema": ADDRESS,
        "title": "dealgate policy",
        "description": "One policy version for vehicle loans: limits and rules. `dealgate policy check` has the last word.",
        **_table(
            {
                "policy": _line("The policy's name."),
                "version": _line("The version, in quotes. A changed document needs a new one."),
                "title": _line("The title that people read."),
                "effective_from": _day("The day from which the policy is effective, inclusive."),
                "effective_to": _day("The day until which the policy is effective, exclusive."),
                "time_zone": _line("The time zone of these days, such as America/Chicago.") | {"default": UTC},
                "applies_to": _expression("The deals that the policy answers for, by their own fields."),
                "on_unknown": _word(["refer", "decline"], "What a rule that cannot be judged leads to.", "refer"),
                "collateral_value": _collateral_value(),
                "equity": _equity(),
                "measures": _named(_measure(), "Measures that are added or redefined.", list(shipped_measures())),
                "limits": _named(_limit(), "Decision tables."),
                "rules": _list(_rule(), "What a deal must keep.", least=1),
                "guarantees": _list(
                    _table({"never": _expression("A condition that no deal may meet.")}, ["never"]),
                    "What is never to happen, whatever the deal.",
                ),
                "overrides": _overrides(),
                "examples": _list(_example(), "Deals with what must come of them; run whenever the policy is checked."),
            },
            ["policy", "version", "title", "effective_from", "rules"],
        ),
        "$defs": {"deal": _deal()},
    }


def schema_text() -> str:
    return json.dumps(policy_schema(), indent=2, ensure_ascii=False) + "\n"


# Kinds of entries


def _table(entries: Mapping[str, Schema], required: Iterable[str] = (), description: str = "") -> Schema:
    schema: Schema = {"type": "object", "properties": dict(entries), "additionalProperties": False}
    if required := list(required):
        schema["required"] = required
    return schema | ({"description": description} if description else {})


def _named(entry: Schema, description: str, known: Iterable[str] = ()) -> Schema:
    """A mapping of names to entries; known names are offered."""
    schema: Schema = {"type": "object", "description": description}
    if names := dict.fromkeys(known, entry):
        schema["properties"] = names
    return schema | {"propertyNames": {"pattern": _whole(NAME.pattern)}, "additionalProperties": entry}


def _whole(pattern: str) -> str:
    return f"^{pattern}$"


def _list(items: Schema, description: str, least: int = 0, most: int = 0) -> Schema:
    bounds = ({"minItems": least} if least else {}) | ({"maxItems": most} if most else {})
    return {"type": "array", "items": items, "description": description, **bounds}


def _line(description: str) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": 200, "description": description}


def _text(description: str) -> Schema:
    return {"type": "string", "minLength": 1, "description": description}


def _day(description: str) -> Schema:
    return {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$", "description": description}


def _word(words: Iterable[str], description: str, default: str = "") -> Schema:
    return {"enum": list(words), "description": description, **({"default": default} if default else {})}


def _expression(description: str) -> Schema:
    """YAML reads `84` as a number and `true` as a truth; both are expressions."""
    return {"type": ["string", "integer", "boolean"], "description": description}


def _number(description: str) -> Schema:
    return {"type": ["string", "integer"], "description": description}


# The document


def _collateral_value() -> Schema:
    bases = {
        condition: _list(_text("A basis, as deals name it."), f"For {condition} vehicles, the preferred basis first.")
        for condition in ("new", "used")
    }
    return _table(bases, description="What an LTV is measured against: the first basis that the deal carries.")


def _equity() -> Schema:
    own = _table(
        {
            "name": _line("A name for the curve."),
            "title": _line("How decisions and pictures name the curve."),
            "source": _line("Where the shares come from."),
            "retained": _list(
                _number("A share of the first value, such as 84%."), "A share for the end of each year.", 1, 30
            ),
        },
        ["title", "source", "retained"],
    )
    return _table(
        {
            "curve": {"anyOf": [_word(shipped_curves(), "A shipped curve."), own]},
            "wholesale_factor": _number("What a lender's sale brings, of the value on the curve."),
            "disposal_cost": _number("Repossession, storage, auction and the like."),
        },
        description="What the projection of equity assumes.",
    )


def _measure() -> Schema:
    return _table(
        {
            "unit": _word(NUMERIC_UNITS, "The unit of the formula."),
            "formula": _expression("An expression of the unit."),
            "title": _text("How explanations name the measure."),
            "meaning": _text("What the measure says, in a sentence."),
            "source": _text("Where the definition comes from."),
            "reading": _text("How an explanation spells out a ratio: {numerator}, {denominator}, {collateral}."),
        },
        ["unit", "formula"],
    )


def _limit() -> Schema:
    row = _table(
        {
            "when": _expression("The condition; a row without it always holds."),
            "limit": _expression("The limit, an expression of the unit."),
            "origin": _text("Where the row came from, where that is not this document."),
        },
        ["limit"],
    )
    return {
        **_table(
            {
                "unit": _word(NUMERIC_UNITS, "The unit of the limit."),
                "hit_policy": _word(HIT_POLICIES, "Which of the rows that hold gives the limit.", "first"),
                "aggregate": _word(AGGREGATES, "With hit_policy collect."),
                "output_values": _list(_expression("A limit."), "With hit_policy priority: the preferred limit first."),
                "default": _expression("The limit where no row holds."),
                "on_no_hit": _word(["unknown", "default"], "What comes of a deal for which no row holds."),
                "rows": _list(row, "The rows of the table.", 1, MOST_ROWS),
                "table": _text("A file beside the document that the rows are kept in: .csv, .xlsx or .dmn."),
                "sheet": _text("The sheet of an Excel file."),
                "decision": _text("The decision of a DMN file."),
            },
            ["unit"],
        ),
        "oneOf": [{"required": ["rows"]}, {"required": ["table"]}],
    }


def _rule() -> Schema:
    mitigation = _table(
        {
            "when": _expression("The condition under which a breach weighs less."),
            "to": _word(OUTCOMES, "The milder outcome."),
        },
        ["when", "to"],
        "What softens a breach.",
    )
    return _table(
        {
            "id": {"type": "string", "pattern": _whole(RULE_ID.pattern), "description": "What findings are known by."},
            "title": _line("What the rule promises, in a line."),
            "applies": _expression("The condition under which the rule applies; without it, always."),
            "require": _expression("The promise. Its breach is the finding."),
            "otherwise": _word(OUTCOMES[1:], "What a breach leads to."),
            "reason": _line("What an applicant may be told. Specific: 12 CFR 1002.9(b)(2)."),
            "mitigated_by": mitigation,
        },
        ["id", "title", "require", "otherwise", "reason"],
    )


def _overrides() -> Schema:
    role = _table(
        {
            "role": _line("The role, as the host names it."),
            "rules": _list(_text("A rule's id."), "The findings that the role overrides; without it, every one.", 1),
            "max_amount": _number("The amount financed, at most, such as $40,000."),
            "max_excess": _number("Each finding's excess, at most."),
            "sides": _list(_word(BOTH_SIDES, "A side."), "low: lets deals through; high: turns them down.", 1),
            "unmeasured": {"type": "boolean", "description": "Whether what is not measured in money is covered, too."},
        },
        ["role", "max_amount", "max_excess"],
    )
    second = _table(
        {
            "above_amount": _number("The amount financed above which two persons grant."),
            "above_excess": _number("The excess above which two persons grant."),
        },
        description="Where one person is not enough. What is not measured is above.",
    )
    return _table(
        {
            "reasons": _codes("The reasons that a request may give: codes with their words."),
            "compensating_factors": _codes("What may speak for a deal: codes with their words."),
            "authority": _list(role, "How far each role may go.", 1, MOST_ROLES),
            "second_person": second | {"minProperties": 1},
            "expires_after_days": {
                "type": ["string", "integer"],
                "minimum": 1,
                "maximum": MOST_DAYS,
                "description": "Days from its grant after which an override ends.",
            },
        },
        ["reasons", "authority", "expires_after_days"],
        "Who may override findings. Without it, nobody.",
    )


def _codes(description: str) -> Schema:
    return {
        "type": "object",
        "description": description,
        "propertyNames": {"pattern": _whole(CODE.pattern)},
        "additionalProperties": _line("In words."),
        "minProperties": 1,
        "maxProperties": MOST_CODES,
    }


def _example() -> Schema:
    rules = {
        result.value: _list(_text("A rule's id."), f"Every rule that is {result.value.replace('_', ' ')}.")
        for result in Result
    }
    shown = {"type": ["string", "integer", "null"], "description": 'As a decision shows it: "3500.00", 3, or null.'}
    measures = {"type": "object", "additionalProperties": shown, "description": "Measures with the values expected."}
    expect = _table(
        {"outcome": _word(OUTCOMES, "The outcome of the deal."), **rules, "measures": measures},
        description="What must come of the deal.",
    )
    return _table(
        {"name": _text("What the example shows."), "deal": {"$ref": "#/$defs/deal"}, "expect": expect},
        ["name", "deal", "expect"],
    )


# The deal of an example: field by field as it is read


def _deal() -> Schema:
    nested = {
        "applicant": _part(
            {
                "tier": _text("The lender's credit tier."), "credit_score": _whole_number(250, 900),
                "monthly_income": _money(), "monthly_debt": _money(),
                "first_time_buyer": {"type": "boolean"}, "covered_borrower": {"type": "boolean"}, "credit_report_as_of": _date(),
            }
        ),
        "vehicle": _part(
            {
                "vin": _text("The vehicle identification number."), "condition": {"enum": ["new", "used"]},
                "model_year": _whole_number(1900, 2100), "mileage": _whole_number(0, 10_000_000),
                "values": _items({"basis": _text("The lender's word."), "amount": _money(), "as_of": _date()}, "basis", "amount"),
            }
        ),
        "products": _items({"kind": _kind(), "price": _money()}, "kind", "price"),
        "trade_ins": _items(
            {
                "kind": {"enum": ["loan", "lease", "none"]}, "allowance": _money(), "acv": _money(), "payoff": _money(),
                "lienholder": _text("Who holds the lien."), "payoff_good_through": _date(), "per_diem": _money(),
            },
            "kind",
        ),
        "submitted_on": _date(),
        "expected_funding_on": _date(),
        "channel": {"enum": ["indirect", "direct"]},
        "state": {"type": "string", "pattern": "^[A-Z]{2}$"},
        "term_months": _whole_number(1, 600), "monthly_payment": _payment(),
        "apr_percent": {"type": ["string", "integer"], "pattern": r"^\d{1,3}(\.\d{1,4})?$"},
        "deal_id": _text("The deal's id."),
        "dealer_id": _text("The dealer's id."),
        "metadata": {"type": "object"},
    }  # fmt: skip
    entries = {name: nested.get(name) or _money() for name in PartialDeal.model_fields}
    return _part(entries) | {
        "description": "A deal. What is left out is unknown; money parts of the structure are zero."
    }


def _part(entries: Mapping[str, Schema]) -> Schema:
    return _table(entries)


def _items(entries: Mapping[str, Schema], *required: str) -> Schema:
    return {"type": "array", "items": _table(entries, required), "maxItems": MAX_ITEMS}


def _whole_number(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def _money() -> Schema:
    return {"type": ["string", "integer"], "pattern": r"^\d{1,8}(\.\d{1,2})?$", "minimum": 0}


def _payment() -> Schema:
    return {"type": ["string", "integer"], "pattern": r"^(?=.*[1-9])\d{1,8}(\.\d{1,2})?$", "exclusiveMinimum": 0}


def _kind() -> Schema:
    return {
        "type": "string",
        "pattern": _whole(KIND_PATTERN.pattern),
        "description": "Such as gap or service_contract.",
    }


def _date() -> Schema:
    return {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
