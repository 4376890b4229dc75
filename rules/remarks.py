"""What is said of a policy before the place of it in the text is looked up."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from dealgate.rules.policy import Limit, Row

Path = tuple[str | int, ...]
"""Where something stands in the document: keys and positions."""


class Remark(NamedTuple):
    """One thing a committee should know."""

    path: Path
    message: str
    suggestion: str = ""
    is_warning: bool = False
    witness: Mapping[str, Any] | None = None
    part: tuple[int, ...] = ()
    """Which operand of which operand, where it is about a part of an expression."""


def row_path(limit: Limit, row: Row, part: str = "") -> Path:
    """Where a row, or a part of it, stands in the document; a row of a file has no part there."""
    in_document = part and row.path[:1] == ("rows",)
    return ("limits", limit.name, *row.path, *([part] if in_document else []))


def at_row(remark: Remark, row: Row) -> Remark:
    """A remark about a row. The document has no place for one that stands in a file, so the message says which it is."""
    if row.path[:1] != ("table",):
        return remark
    return remark._replace(message=f"{row.origin}: {remark.message}", part=())


def of_row(limit: Limit, row: Row, message: str, suggestion: str = "", *, part: str = "", **more: Any) -> Remark:
    return at_row(Remark(row_path(limit, row, part), message, suggestion, **more), row)


def row_name(row: Row) -> str:
    """A row as other remarks call it: its number and line, or where in a file it stands."""
    if row.path[:1] != ("rows",):
        return f"the row at {row.origin}"
    line = row.origin.rpartition(":")[2]
    return f"row {int(row.path[1]) + 1} ({f'line {line}' if line.isdecimal() else row.origin})"
