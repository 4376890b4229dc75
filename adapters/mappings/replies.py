"""The decision in the host's own fields: JSON, XML or CSV, as the host reads it."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from typing import Any
from xml.etree import ElementTree as Xml

UNWRITABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot carry, escaped or not."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One field of the host: a constant, or what JMESPath finds in the decision, in the host's words."""

    expression: Any = None
    constant: Any = None
    words: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Each:
    """A field that the host repeats: one value for each thing that JMESPath finds."""

    expression: Any
    part: "Part"


Part = Wanted | Each | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """How a decision is told to the host."""

    format: str
    root: str
    parts: Mapping[str, Any]
    delimiter: str = ","

    def write(self, decision: Mapping[str, Any]) -> dict[str, Any] | str:
        """A dictionary, or the text of an XML or CSV document. What the decision does not have is left out."""
        found = _filled(self.parts, decision)
        if self.format == "xml":
            return _xml(self.root, found)
        if self.format == "csv":
            return _csv(self.parts, found, self.delimiter)
        return found


def _filled(parts: Mapping[str, Any], node: Any) -> dict[str, Any]:
    filled = {name: _value(part, node) for name, part in parts.items()}
    return {name: value for name, value in filled.items() if value is not None}


def _value(part: Any, node: Any) -> Any:
    if isinstance(part, Wanted):
        if part.expression is None:
            return part.constant
        found = part.expression.search(node)
        if part.words is None or found is None:
            return found
        if str(found) not in part.words:
            raise ValueError(f"the mapping has no word for {found!r} of the decision: add it to `values:` of the reply")
        return part.words[str(found)]
    if isinstance(part, Each):
        return [_value(part.part, one) for one in part.expression.search(node) or []]
    return _filled(part, node)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return UNWRITABLE.sub("\ufffd", str(value))


def _xml(root: str, parts: Mapping[str, Any]) -> str:
    element = Xml.Element(root)
    _fill(element, parts)
    Xml.indent(element)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(element, encoding="unicode") + "\n"


def _fill(element: Xml.Element, parts: Mapping[str, Any]) -> None:
    for name, value in parts.items():
        if name.startswith("@"):
            element.set(name[1:], _text(value))
            continue
        for one in value if isinstance(value, list) else [value]:
            below = Xml.SubElement(element, name)
            if isinstance(one, dict):
                _fill(below, one)
            else:
                below.text = _text(one)


def _csv(parts: Mapping[str, Any], found: Mapping[str, Any], delimiter: str) -> str:
    """A header and one row; several values of a cell with a semicolon and a space between them."""
    cells = (found.get(name, "") for name in parts)
    texts = ["; ".join(map(_text, cell)) if isinstance(cell, list) else _text(cell) for cell in cells]
    written = StringIO()
    csv.writer(written, delimiter=delimiter, lineterminator="\n").writerows([list(parts), texts])
    return written.getvalue()
