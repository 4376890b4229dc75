"""The submissions of a deal side by side: every field and the main figures of the decision, and which of them changed."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import pairwise
from typing import Any, NamedTuple

from dealgate.adapters.compliance.formats import harmless

FIGURES = (
    "amount_financed",
    "collateral_value",
    "total_ltv",
    "contract_negative_equity",
    "hidden_negative_equity",
    "rolled_in_negative_equity",
)
"""Measures that stand below the fields."""

NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


class Disclosed(NamedTuple):
    """An envelope as a reader is shown it, and where only a commitment is left in it: what was withheld or erased, as JSON pointers."""

    envelope: Mapping[str, Any]
    closed: Set[str]


class Line(NamedTuple):
    """One field over all submissions; `changed` tells for each whether it differs from the one before."""

    field: str
    values: tuple[str, ...]
    changed: tuple[bool, ...]


def side_by_side(decided: Sequence[Disclosed], hidden: str) -> list[Line]:
    """Of decisions. What only a commitment stands for is told as `hidden`, and never as changed: the
    commitments of one value differ.
    """
    deals = [dict(_fields(one.envelope["deal"], "", "/deal", one.closed, hidden)) for one in decided]
    figures = [dict(_figures(one, hidden)) for one in decided]
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
        writer.writerow([line.field, "changed" if any(line.changed) else "", *map(_cell, line.values)])
    return out.getvalue().encode()


def _cell(text: str) -> str:
    return text if NUMBER.fullmatch(text) else harmless(text)


def _line(field: str, values: Sequence[str], hidden: str) -> Line:
    pairs = pairwise(values)
    return Line(field, tuple(values), (False, *(hidden not in pair and pair[0] != pair[1] for pair in pairs)))


def _figures(one: Disclosed, hidden: str) -> Iterator[tuple[str, str]]:
    decision = one.envelope["decision"]
    yield "outcome", decision["outcome"]
    yield "policy", f"{decision['policy']['name']} {decision['policy']['version']}"
    for name in FIGURES:
        measure = decision["measures"].get(name, {})
        told = measure | measure.get("evidence", {})
        closed = f"/decision/measures/{name}/evidence" in one.closed
        shown = hidden if closed else "unknown" if told.get("value") is None else str(told["value"])
        yield f"{name} (%)" if told.get("unit") == "percent" else name, shown


def _fields(part: Any, field: str, path: str, closed: Set[str], hidden: str) -> Iterator[tuple[str, str]]:
    """A commitment is told by where it stands: what a host carries along may look like one."""
    if path in closed:
        yield field, hidden
    elif isinstance(part, dict):
        for name, value in part.items():
            yield from _fields(value, f"{field}.{name}" if field else name, f"{path}/{name}", closed, hidden)
    elif isinstance(part, list):
        for index, value in enumerate(part):
            yield from _fields(value, f"{field}[{index}]", f"{path}/{index}", closed, hidden)
    elif part is not None:
        yield field, part if isinstance(part, str) else json.dumps(part)
