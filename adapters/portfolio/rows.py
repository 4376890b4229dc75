"""Deals as rows of a book, and rows as deal documents: what joins the single deal and the portfolio."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from dealgate.rules.amounts import hundredths
from dealgate.rules.column_layout import (
    CENTS,
    RATE,
    Layout,
    as_of_column,
    column_of,
    item_column,
    item_columns,
    stated_name,
    value_column,
)
from dealgate.rules.deal import Deal, PartialDeal
from dealgate.rules.fields import FIELDS, LISTS, Facts, Unit, facts_of, looked_up_on

Row = Mapping[str, Any]


def row_of(deal: PartialDeal) -> dict[str, Any]:
    """A deal as a row: what is unknown has no entry."""
    facts = facts_of(deal)
    row = {"deal_id": deal.deal_id} | {column_of(field): facts[field.name] for field in FIELDS.values()}
    row |= {value_column(basis): amount for basis, amount in facts["values"].items()}
    row |= {as_of_column(basis): day for basis, day in facts["values_as_of"].items()}
    for part, listed in LISTS.items():
        for number, item in enumerate(facts[part], start=1):
            row |= {item_column(part, number, name): item[name] for name in listed.items}
    return {name: value for name, value in row.items() if value is not None}


def facts_of_row(row: Row, layout: Layout) -> Facts:
    """What the single-deal evaluators read, from a valid row."""
    facts: dict[str, Any] = {}
    for field in FIELDS.values():
        value = row.get(column_of(field))
        facts[field.name] = 0 if value is None and field.zero_when_absent else value
    for part in LISTS:
        items = (_item(row, part, number) for number in range(1, layout.items(part) + 1))
        facts[part] = tuple(item for item in items if item["kind"] is not None)
    for trade in facts["trade_ins"]:
        if trade["kind"] == "none":
            trade["payoff"] = 0
    amounts = {basis: row.get(value_column(basis)) for basis in layout.bases}
    facts["values"] = {basis: amount for basis, amount in amounts.items() if amount is not None}
    facts["values_as_of"] = {
        basis: looked_up_on(row.get(as_of_column(basis)), facts["submitted_on"]) for basis in facts["values"]
    }
    return facts


def _item(row: Row, part: str, number: int) -> dict[str, Any]:
    return {name: row.get(item_column(part, number, name)) for name in LISTS[part].items}


def read_row(row: Row, layout: Layout) -> Deal:
    """Read a row by the rules of the deal document, whatever its columns hold. Raises `DealError` with every problem."""
    return Deal.read(document_of(row, layout))


def document_of(row: Row, layout: Layout) -> dict[str, Any]:
    """A row as a deal document; amounts as they are stated, in dollars or in cents."""
    document: dict[str, Any] = {"deal_id": row.get("deal_id"), "applicant": {}, "vehicle": {}}
    for field in FIELDS.values():
        value = _stated(row, column_of(field), stated_name(field), field.unit)
        if value is not None:
            *outer, name = field.path.split(".")
            (document[outer[0]] if outer else document)[name] = value
    if document["deal_id"] is None:
        del document["deal_id"]
    values = (_stated_value(row, basis) for basis in layout.bases)
    document["vehicle"]["values"] = [value for value in values if len(value) > 1]
    for part in LISTS:
        items = (_stated_item(row, part, number) for number in range(1, layout.items(part) + 1))
        document[part] = [item for item in items if item]
    return document


def _stated_value(row: Row, basis: str) -> dict[str, Any]:
    stated = {
        "basis": basis,
        "amount": _stated(row, value_column(basis), f"value_{basis}", Unit.MONEY),
        "as_of": _stated(row, as_of_column(basis), as_of_column(basis), Unit.DATE),
    }
    return {name: value for name, value in stated.items() if value is not None}


def _stated_item(row: Row, part: str, number: int) -> dict[str, Any]:
    columns = zip(LISTS[part].items.values(), item_columns(part, number), strict=True)
    stated = {field.name: _stated(row, column.name, column.stated, column.unit) for field, column in columns}
    return {name: value for name, value in stated.items() if value is not None}


def _stated(row: Row, column: str, stated: str, unit: Unit) -> Any:
    value = row.get(column)
    if column != stated and value is not None:
        return _in_full(column, value)
    value = row.get(stated) if value is None else value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str) and unit in (Unit.COUNT, Unit.BOOLEAN):
        return _plain(value)
    return value


def _in_full(column: str, value: int | str) -> str:
    """Cents as dollars, ten-thousandths as percent; what is no whole number stays apart from both, to be refused as it is."""
    if isinstance(value, str) and not re.fullmatch(r"-?\d{1,18}", value, re.ASCII):
        return f"{value} in whole {'cents' if column.endswith(CENTS) else 'ten-thousandths'}"
    return hundredths(int(value)) if column.endswith(CENTS) else _rate_text(int(value))


def _rate_text(ten_thousandths: int) -> str:
    return format(Decimal(ten_thousandths) / 10_000, "f")


def _plain(text: str) -> Any:
    """A count or a truth that stands in a text."""
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else text


def column_of_path(path: str, document: Mapping[str, Any]) -> str:
    """The stated column behind a field that a problem of the document names: `trade_ins[0].payoff` is `trade_in_1_payoff`."""
    head, bracket, rest = path.partition("[")
    if not bracket:
        return path.rpartition(".")[2]
    number, _, field = rest.partition("]")
    if head == "vehicle.values":
        basis = document["vehicle"]["values"][int(number)]["basis"]
        return as_of_column(basis) if field == ".as_of" else value_column(basis).removesuffix(CENTS)
    return f"{head.removesuffix('s')}_{int(number) + 1}_{field.strip('.') or 'kind'}"


__all__ = ["RATE", "Row", "column_of_path", "document_of", "facts_of_row", "read_row", "row_of"]
