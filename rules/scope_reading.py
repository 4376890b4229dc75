"""When a policy is effective and which deals it answers for, from the entries of its document."""

import re
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from lark import Token, Tree

from dealgate.rules.document import Node, Report, Scalar, did_you_mean
from dealgate.rules.effective import time_zones
from dealgate.rules.expressions import (
    Expression,
    LimitName,
    ListedValue,
    ListedValueAsOf,
    MeasureName,
    Projected,
    Truth,
    walk,
)
from dealgate.rules.parsing import parse
from dealgate.rules.policy import UTC

ASK_THE_DEAL = "Ask for fields of the deal: applies_to must say the same, whichever policy asks."


class Days(NamedTuple):
    effective_from: date
    effective_to: date | None
    time_zone: str


def read_period(report: Report, entries: Mapping[str, Node]) -> Days:
    """The days and the time zone, with what is wrong with them reported."""
    start, end = (_day(report, entries.get(name), name) for name in ("effective_from", "effective_to"))
    if start and end and end <= start:
        report.add(entries["effective_to"].place, "effective_to must be later than effective_from (it is exclusive)")
    return Days(start or date.min, end, _time_zone(report, entries.get("time_zone")))


def _day(report: Report, node: Node | None, what: str) -> date | None:
    if node is None:
        return None
    text = report.text(node, what)
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        report.add(node.place, f"{what} must be a day, written as 2026-11-01")
        return None


def _time_zone(report: Report, node: Node | None) -> str:
    if node is None:
        return UTC
    name = report.text(node, "time_zone")
    if name and name not in time_zones():
        hint = did_you_mean(name, sorted(time_zones())) or "Zones have names such as America/Chicago."
        report.add(node.place, f"{name!r} is no time zone of the IANA database", hint)
    return name


def check_own_fields(report: Report, node: Scalar, condition: Expression) -> None:
    """Report what a policy defines itself in a condition that must mean the same to every policy."""
    if isinstance(condition, Truth):
        report.add(node.place, "applies_to does not depend on the deal", "For every deal, leave it out.")
    for name in dict.fromkeys(filter(None, map(_defined_by_policy, walk(condition)))):
        message = f"{name} is the policy's to define, and applies_to reads the deal's own fields only"
        for start, end in _occurrences(node.value, name):
            report.add(node.at(start, end), message, ASK_THE_DEAL)


def _defined_by_policy(part: Expression) -> str | None:
    match part:
        case MeasureName(name) | LimitName(name):
            return name
        case ListedValue():
            return "listed_value"
        case ListedValueAsOf():
            return "listed_value_as_of"
        case Projected(reading):
            return reading
    return None


def _occurrences(text: str, name: str) -> list[tuple[int, int]]:
    """Where a name stands in an expression that was read."""
    tree = parse(text)
    tokens = tree.scan_values(lambda token: isinstance(token, Token)) if isinstance(tree, Tree) else [tree]
    return [(token.start_pos or 0, token.end_pos or 0) for token in tokens if token.type == "NAME" and token == name]
