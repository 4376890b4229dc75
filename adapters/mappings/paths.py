"""Paths into a payload: the part of JMESPath that finds what the host wrote, and cannot make up a value.

Functions, literals outside of conditions and `||` are refused: each could put a number where the host stated none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

Ast = Mapping[str, Any]

STEPS = {
    "field",
    "subexpression",
    "index_expression",
    "index",
    "projection",
    "flatten",
    "filter_projection",
    "identity",
}
IDENTITY: Ast = {"type": "identity", "children": []}
LISTS = {"projection", "filter_projection"}
CONDITIONS = {"comparator", "and_expression", "or_expression", "not_expression", "field", "subexpression", "literal"}

INSTEAD: Mapping[str, str] = {
    "or_expression": "List the alternatives: `from: [one, other]`; where both are there they must agree.",
    "literal": "State a constant with `is:` and say why with `because:`.",
    "function_expression": "A path finds what the host wrote; units, signs and words are stated beside it.",
    "current": "Name the field.",
}


class PathError(ValueError):
    """A path that is not JMESPath, or could make up a value. `column` counts from 0 within the path."""

    def __init__(self, message: str, remedy: str, column: int = 0) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.column = column


class Level(NamedTuple):
    """What stands before a bracket, the elements of it that the bracket selects, and whether it does so by a condition."""

    whole: Any
    selected: list[Any]
    by_condition: bool


@dataclass(frozen=True, slots=True)
class Path:
    """A path that has been checked. `root` is the name it begins with, `lists` the names it takes for lists.

    `elements` finds what its last list holds, as far as the path goes on from there, and `part` what it finds in one of them.
    """

    text: str
    root: str
    lists: frozenset[str]
    conditions: frozenset[str]
    _compiled: Any
    _elements: Any = None
    _part: Any = None

    def find(self, node: object) -> Any:
        """What stands there; None where nothing does. Raises `PathError` where a condition compares what cannot be compared."""
        return self._search(self._compiled, node)

    def parts(self, node: object) -> list[Any]:
        """What the path finds in each element of its last list, None where it finds nothing: `find` leaves such elements out."""
        if self._part is None:
            return list(flat(self.find(node)))
        return [self._search(self._part, one) for one in flat(self._search(self._elements, node))]

    def levels(self, node: object) -> Iterator[Level]:
        """Each list that the path goes through by a bracket, from the left."""
        return self._levels(self._compiled.parsed, node)

    def _levels(self, ast: Ast, node: object) -> Iterator[Level]:
        if ast["type"] not in LISTS:
            for before in ast["children"][:1]:
                yield from self._levels(before, node)
            return
        before, _, *condition = ast["children"]
        whole = before["children"][0] if before["type"] == "flatten" else before
        yield from self._levels(whole, node)
        selecting = {**ast, "children": [before, IDENTITY, *condition]}
        selected = list(flat(self._search(_compiled(self.text, selecting), node)))
        yield Level(self._search(_compiled(self.text, whole), node), selected, bool(condition))

    def _search(self, compiled: Any, node: object) -> Any:
        try:
            return compiled.search(node)
        except (JMESPathError, TypeError) as error:
            raise PathError(f"a condition of {self.text} cannot be answered here: {error}", "Compare texts.") from None


def read_path(text: str) -> Path:
    """Raises `PathError`."""
    compiled = parse(text)
    _check(compiled.parsed)
    root = next(_fields(compiled.parsed), "")
    if not root:
        raise PathError("the path names no field", "Begin with the name of a field.")
    lists = frozenset(_listed(compiled.parsed))
    elements, part = (_compiled(text, one) if one else None for one in _at_last_list(compiled.parsed))
    return Path(text, root, lists, frozenset(_compared(compiled.parsed)), compiled, elements, part)


def parse(text: str) -> Any:
    """Any JMESPath expression. Raises `PathError`."""
    try:
        return jmespath.compile(text)
    except JMESPathError as error:
        column = getattr(error, "lex_position", None) or getattr(error, "lexer_position", None) or 0
        message = getattr(error, "msg", None) or getattr(error, "message", None) or str(error)
        raise PathError(f"not a JMESPath: {message}", "See jmespath.org.", min(column, len(text) - 1)) from None
    except RecursionError:
        raise PathError("not a JMESPath: nested too deeply", "Shorten it.") from None


def _compiled(text: str, ast: Any) -> Any:
    return ParsedResult(text, ast)


def _at_last_list(node: Ast) -> tuple[Ast | None, Ast | None]:
    """The path up to the elements of its last list, and how it goes on from one of them: `a[?b].c` is `a[?b]` and `c`."""
    if node["type"] not in LISTS:
        return None, None
    before, after, *condition = node["children"]
    if after["type"] == "identity":
        return _at_last_list(before["children"][0]) if before["type"] == "flatten" else (None, None)
    elements, part = _at_last_list(after)
    if after["type"] not in LISTS:
        elements, part = IDENTITY, after
    return ({**node, "children": [before, elements, *condition]}, part) if elements else (None, None)


def flat(found: Any) -> Iterator[Any]:
    """What lists within lists hold; nothing where it is no list."""
    for one in found if isinstance(found, list) else ():
        if isinstance(one, list):
            yield from flat(one)
        else:
            yield one


def _check(node: Ast) -> None:
    kind = node["type"]
    if kind not in STEPS:
        what = {"or_expression": "`||`", "function_expression": "a function", "literal": "a literal"}.get(kind, kind)
        raise PathError(f"a path cannot use {what}", INSTEAD.get(kind, "Use names, [index], [] and [?condition]."))
    steps = node["children"]
    if kind == "filter_projection":
        *steps, condition = steps
        _check_condition(condition)
    for step in steps:
        _check(step)


def _check_condition(node: Ast) -> None:
    if node["type"] not in CONDITIONS:
        raise PathError(f"a condition cannot use {node['type']}", "Compare a field with a text: [?kind == 'gap'].")
    for part in node["children"]:
        _check_condition(part)


def _fields(node: Ast) -> Iterator[str]:
    """The names of a path from left to right, those of conditions left out."""
    if node["type"] == "field":
        yield node["value"]
    for part in node["children"][:2] if node["type"] == "filter_projection" else node["children"]:
        yield from _fields(part)


def last_name(path: Path) -> str:
    return list(_fields(path._compiled.parsed))[-1]


def _listed(node: Ast) -> Iterator[str]:
    """The names in front of a bracket."""
    if node["type"] in {"index_expression", "projection", "filter_projection", "flatten"}:
        yield from list(_fields(node["children"][0]))[-1:]
    for part in node["children"]:
        yield from _listed(part)


def _compared(node: Ast) -> Iterator[str]:
    if node["type"] == "filter_projection":
        yield from _fields(node["children"][2])
    for part in node["children"]:
        yield from _compared(part)
