"""Rows of reports as texts: money as decimals, shares as percents, moments in UTC; never through a binary float."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, TextIO

from dealgate.adapters.compliance.formats import harmless
from dealgate.adapters.compliance.reporting import Column, Share
from dealgate.rules.amounts import hundredths
from dealgate.rules.decision import moment


def cell(column: Column, value: Any) -> str:
    """A value for people and spreadsheets; empty where it is unknown."""
    match value:
        case None:
            return ""
        case Share():
            return value.text
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return _hundredths_of(value)
        case datetime():
            return moment(value)
        case date():
            return value.isoformat()
        case list():
            return "; ".join(value)
        case int() if column.unit == "money":
            return hundredths(value)
        case _:
            return str(value)


def plain(column: Column, value: Any) -> Any:
    """A value as plain JSON."""
    if isinstance(value, Share):
        return value.document()
    if value is None or isinstance(value, bool | list) or (isinstance(value, int) and column.unit != "money"):
        return value
    return cell(column, value)


def _hundredths_of(share: Decimal) -> str:
    """A share in percent, to two places, halves away from zero."""
    return str((share * 100).quantize(Decimal("0.01"), ROUND_HALF_UP))


def write_jsonl(out: TextIO, columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        told = {column.name: plain(column, row[column.name]) for column in columns}
        out.write(json.dumps(told, ensure_ascii=False) + "\n")


def write_csv(out: TextIO, columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    for row in rows:
        writer.writerow([_csv_cell(column, row[column.name]) for column in columns])


def _csv_cell(column: Column, value: Any) -> str:
    text = cell(column, value)
    return harmless(text) if isinstance(value, str | list) else text
