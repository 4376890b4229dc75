"""The submissions of a deal side by side: every field and the main figures of the decision, and which of them changed."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

FIGURES = (
    "amount_financed",
    "collateral_value",
    "total_ltv",
    "contract_negative_equity",
    "hidden_negative_equity",
    "rolled_in_negative_equity",
)
"""Measures that stand below the fields."""

COMMIT = "commit"


class Line(NamedTuple):
    """One field over all submissions; `changed` tells for each whether it differs from the one before."""

    field: str
    values: tuple[str, ...]
    changed: tuple[bool, ...]


def side_by_side(decided: Sequence[Mapping[str, Any]], hidden: str) -> list[Line]:
    """From disclosed envelopes of decisions. What only a commitment stands for is told as `hidden`, and never as changed: the
    commitments of one value differ.
    """
    deals = [dict(_fields(one["deal"], "", hidden)) for one in decided]
    figures = [dict(_figures(one["decision"], hidden)) for one in decided]
    fields = sorted({field for deal in deals for field in deal}), dict.fromkeys(name for one in figures for name in one)
    return [
        _line(field, [column.get(field, "") for column in columns], hidden)
        for names, columns in zip(fields, (deals, figures), strict=True)
        for field in names
    ]


def as_csv(lines: Sequence[Line], heads: Sequence[str]) -> bytes:
    """With a column that says whether anything changed. What a spreadsheet would take for a formula is quoted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["field", "changed", *heads])
    for line in lines:
        writer.writerow([line.field, "changed" if any(line.changed) else "", *map(_harmless, line.values)])
    return out.getvalue().encode()


def _harmless(text: str) -> str:
    number = text.lstrip("-").replace(".", "", 1).isdigit()
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} and not number else text


def _line(field: str, values: Sequence[str], hidden: str) -> Line:
    pairs = pairwise(values)
    return Line(field, tuple(values), (False, *(hidden not in pair and pair[0] != pair[1] for pair in pairs)))


def _figures(decision: Mapping[str, Any], hidden: str) -> Iterator[tuple[str, str]]:
    yield "outcome", decision["outcome"]
    yield "policy", f"{decision['policy']['name']} {decision['policy']['version']}"
    for name in FIGURES:
        measure = decision["measures"].get(name, {})
        told = measure | measure.get("evidence", {})
        shown = hidden if COMMIT in told else "unknown" if told.get("value") is None else str(told["value"])
        yield f"{name} (%)" if told.get("unit") == "percent" else name, shown


def _fields(part: Any, path: str, hidden: str) -> Iterator[tuple[str, str]]:
    if isinstance(part, dict) and part.keys() == {COMMIT}:
        yield path, hidden
    elif isinstance(part, dict):
        for name, value in part.items():
            yield from _fields(value, f"{path}.{name}" if path else name, hidden)
    elif isinstance(part, list):
        for index, value in enumerate(part):
            yield from _fields(value, f"{path}[{index}]", hidden)
    elif part is not None:
        yield path, part if isinstance(part, str) else json.dumps(part)
