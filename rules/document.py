"""A YAML document as nodes that know their place, and the problems found in it.

Only what a policy needs: no anchors (a document must read the way it looks), no repeated keys, bounded size and depth.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeAlias

import yaml

MAX_CHARACTERS = 8_000_000
MAX_DEPTH = 32
MOST_NODES = 300_000
"""Values and keys. Each is an object in memory, many times as large as the character that may have written it."""
MOST_PROBLEMS = 200
"""Nobody reads on after so many, and a generated document could hold a million."""
MOST_EXPRESSIONS, MOST_EXPRESSION_CHARACTERS = 50_000, 1_000_000
"""Of one policy, its tables' files among them: reading them takes about ten seconds, and all of it is checked and compiled."""
LONGEST_MESSAGE = 600
LONGEST_WORD, MOST_KNOWN = 100, 1_000
"""A longer word is no misspelling of a name, and among more names looking for one takes too long."""

UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
"""An escape can smuggle these in; written out plainly, YAML would refuse or fold them, and the content would not read back."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Place(NamedTuple):
    """Line and column, both from 1."""

    line: int
    column: int
    width: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a policy document, or one doubt about it. `witness` is a deal that shows it."""

    file: str
    place: Place
    message: str
    suggestion: str = ""
    source_line: str = ""
    is_warning: bool = False
    witness: Mapping[str, Any] | None = field(default=None, compare=False)

    def __str__(self) -> str:
        word = "warning" if self.is_warning else "error"
        text = f"{self.file}:{self.place.line}:{self.place.column}: {word}: {self.message}"
        if self.source_line.strip():
            shown = self.source_line.replace("\t", " ")
            width = max(1, min(self.place.width, len(shown) - self.place.column + 1))
            text += f"\n    {shown}\n    {' ' * (self.place.column - 1)}{'^' * width}"
        if self.suggestion:
            text += f"\n    {self.suggestion}"
        if self.witness:
            text += f"\n    for example: {', '.join(deal_in_words(self.witness))}"
        return text

    def document(self) -> dict[str, Any]:
        """As an editor or a pipeline reads it."""
        return {
            "file": self.file,
            "line": self.place.line,
            "column": self.place.column,
            "end_column": self.place.column + self.place.width,
            "severity": "warning" if self.is_warning else "error",
            "message": self.message,
            "suggestion": self.suggestion or None,
            "witness": dict(self.witness) if self.witness else None,
        }


def deal_in_words(value: Any, path: str = "") -> Iterator[str]:
    """What a deal states, on one line for people; its id tells nothing."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name != "deal_id":
                yield from deal_in_words(part, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from deal_in_words(part, f"{path}[{index}]")
    else:
        yield f"{path} {str(value).lower() if isinstance(value, bool) else value}"


class PolicyError(ValueError):
    """A policy document that makes no sense, with every problem found in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda problem: (problem.place, problem.message)))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Scalar:
    value: str
    place: Place
    raw: str
    quoted: bool

    def at(self, start: int, end: int) -> Place:
        """Where characters `start` to `end` of the value stand in the file, through quotes, escapes and folding."""
        position = _raw_offset(self.raw, self.value, start)
        before = self.raw[:position]
        line_start = before.rfind("\n") + 1
        line = self.place.line + before.count("\n")
        column = position - line_start + (1 if line_start else self.place.column)
        return Place(line, column, max(1, end - start))


@dataclass(frozen=True, slots=True)
class List:
    items: tuple["Node", ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Table:
    entries: Mapping[str, "Node"]
    keys: Mapping[str, Scalar]
    place: Place


WRITTEN: Mapping[str, Any] = {
    "": (re.compile(r"\s*"), re.compile(r".?", re.DOTALL)),
    "'": (re.compile(r"\s*"), re.compile(r"''|.?", re.DOTALL)),
    '"': (re.compile(r"(\s|\\\r?\n)*"), re.compile(r"\\(x..|u.{4}|U.{8}|.)|.?", re.DOTALL)),
}
"""How white space and one character are written, by the quote around them."""


Node: TypeAlias = Scalar | List | Table


def _raw_offset(raw: str, value: str, offset: int) -> int:
    """Walk a scalar as written beside its value: white space matches white space, an escape its character."""
    quote = raw[:1] if raw[:1] in {'"', "'"} else ""
    between, letter = WRITTEN[quote]
    position = 1 if quote else _block_start(raw)
    for character in value[:offset]:
        begun, position = position, between.match(raw, position).end()
        if not character.isspace() or (position == begun and quote == '"' and raw[position : position + 1] == "\\"):
            position = letter.match(raw, position).end()
    if offset < len(value) and not value[offset].isspace():
        position = between.match(raw, position).end()
    return min(position, max(0, len(raw) - 1))


def _block_start(raw: str) -> int:
    return raw.find("\n") + 1 if raw[:1] in {"|", ">"} else 0


def _failure(message: str, place: Place, suggestion: str = "") -> PolicyError:
    return PolicyError([Problem("", place, message, suggestion)])


def parse_yaml(text: str) -> Node:
    """Turn YAML text into nodes. Raises `PolicyError` for what cannot be read at all."""
    if len(text) > MAX_CHARACTERS:
        raise _failure(f"the document has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read", Place(1, 1))
    try:
        return _compose(text, yaml.parse(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        raise _failure(f"not YAML: {error.problem or error.context}", place) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _failure(f"not YAML: a character that YAML does not allow ({error.reason})", Place(line, 1)) from None
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise _failure("not YAML: half of a surrogate pair, which is no character", Place(line, 1)) from None


def _compose(text: str, events: Iterator[Any]) -> Node:
    """Build nodes from parser events with a stack of our own: no recursion, so no depth can harm."""
    root: Node | None = None
    nodes = 0
    stack: list[tuple[Place, bool, list[Node]]] = []
    for event in events:
        place = Place(event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent) and root is not None:
            raise _failure("a second document begins here; one file is one policy version", place)
        if getattr(event, "anchor", None):
            raise _failure(
                "anchors and aliases are not read in a policy", place, "Write the value out where it is used."
            )
        if getattr(event, "tag", None):
            raise _failure("tags are not read in a policy", place, "Write the value without it.")
        nodes += isinstance(event, yaml.NodeEvent)
        if nodes > MOST_NODES:
            raise _failure(
                f"more than {MOST_NODES:,} keys and values",
                place,
                "Leave out what is repeated, or make two policies of it.",
            )
        node: Node
        if isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            if len(stack) == MAX_DEPTH:
                raise _failure(f"nested deeper than {MAX_DEPTH} levels", place)
            stack.append((place, isinstance(event, yaml.MappingStartEvent), []))
            continue
        if isinstance(event, yaml.ScalarEvent):
            assert event.start_mark
            assert event.end_mark
            raw = text[event.start_mark.index : event.end_mark.index]
            if UNSEEN.search(event.value):
                raise _failure("a character in this text does not show", place, "Leave control characters out.")
            node = Scalar(event.value, place, raw, quoted=bool(event.style))
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            begun, is_table, children = stack.pop()
            node = _table(begun, children) if is_table else List(tuple(children), begun)
        else:
            continue
        if stack:
            stack[-1][2].append(node)
        else:
            root = node
    return root if root is not None else Scalar("", Place(1, 1), "", quoted=False)


def _table(place: Place, children: Sequence[Node]) -> Table:
    entries: dict[str, Node] = {}
    keys: dict[str, Scalar] = {}
    for key, value in zip(children[::2], children[1::2], strict=True):
        if not isinstance(key, Scalar):
            raise _failure("a key must be a plain word", key.place)
        if key.value in entries:
            message = f"{key.value!r} stands here a second time (first on line {keys[key.value].place.line})"
            raise _failure(message, key.at(0, len(key.value)), "Keep one of the two.")
        entries[key.value], keys[key.value] = value, key
    return Table(entries, keys, place)


def plain(node: Node) -> Any:
    """The node as plain data; only whole numbers, true, false and null are more than the text that was written."""
    if isinstance(node, Table):
        return {key: plain(value) for key, value in node.entries.items()}
    if isinstance(node, List):
        return [plain(item) for item in node.items]
    if not node.quoted:
        if len(node.value) <= 18 and node.value.removeprefix("-").isdecimal() and node.value.isascii():
            return int(node.value)
        return {"true": True, "false": False, "null": None, "~": None, "": None}.get(node.value, node.value)
    return node.value


def locate(node: Node, path: str) -> Place:
    """The place of `trade_ins[0].payoff` below a node, or of the nearest thing above it that exists."""
    place = node.place
    for step in path.replace("[", ".[").split("."):
        if isinstance(node, Table) and step in node.entries:
            place, node = node.keys[step].place, node.entries[step]
        elif isinstance(node, List) and step.startswith("[") and int(step[1:-1]) < len(node.items):
            node = node.items[int(step[1:-1])]
            place = node.place
        else:
            break
    return place


class Report:
    """Collects problems while a document is read, so that all of them are told at once."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._expressions = self._expression_characters = 0
        self._lines = text.splitlines()

    def add(self, place: Place, message: str, suggestion: str = "") -> None:
        """Raises `PolicyError` once there are too many to go on."""
        if len(self.problems) >= MOST_PROBLEMS:
            stopped = Problem(
                self.file, place, f"reading ends here, after {MOST_PROBLEMS} problems", "Mend those first."
            )
            raise PolicyError([*self.problems, stopped])
        message, suggestion = _shortened(message), _shortened(suggestion)
        source = self._lines[place.line - 1] if place.line <= len(self._lines) else ""
        if len(source) <= 400:  # a generated one-line document would bury its own message
            self.problems.append(Problem(self.file, place, message, suggestion, source))
        else:
            self.problems.append(Problem(self.file, place, message, suggestion))

    def count_expression(self, place: Place, text: str) -> None:
        """Raises `PolicyError` for one more than a policy may have."""
        self._expressions += 1
        self._expression_characters += len(text)
        if self._expressions > MOST_EXPRESSIONS or self._expression_characters > MOST_EXPRESSION_CHARACTERS:
            most = f"{MOST_EXPRESSIONS:,} expressions or {MOST_EXPRESSION_CHARACTERS:,} characters of them"
            self.add(place, f"a policy has at most {most}", "Make two policies of it, or shorten its tables.")
            raise PolicyError(self.problems)

    def adopt(self, error: PolicyError) -> None:
        for problem in error.problems:
            self.add(problem.place, problem.message, problem.suggestion)

    def table(
        self, node: Node, what: str, required: Iterable[str] = (), optional: Iterable[str] = ()
    ) -> dict[str, Node]:
        """The entries of a mapping, with missing and unknown keys reported."""
        if not isinstance(node, Table):
            self.add(node.place, f"{what} must be a mapping of names to values")
            return {}
        known = [*required, *optional]
        for key, scalar in node.keys.items():
            if key not in known:
                self.add(scalar.at(0, len(key)), f"{what} has no entry {key!r}", did_you_mean(key, known))
        for key in required:
            if key not in node.entries:
                self.add(node.place, f"{what} lacks the entry {key!r}")
        return {key: value for key, value in node.entries.items() if key in known}

    def list(self, node: Node, what: str) -> tuple[Node, ...]:
        if isinstance(node, List):
            return node.items
        self.add(node.place, f"{what} must be a list")
        return ()

    def text(self, node: Node, what: str) -> str:
        if isinstance(node, Scalar) and node.value.strip():
            return node.value
        self.add(node.place, f"{what} must be a text that is not empty")
        return ""

    def word(self, node: Node, what: str, words: Iterable[str]) -> str:
        """One of a fixed set of words, or the empty string with the problem reported."""
        value = self.text(node, what)
        words = list(words)
        if value and value not in words:
            self.add(node.place, f"{what} cannot be {value!r}", did_you_mean(value, words))
            return ""
        return value


def _shortened(text: str) -> str:
    """What came is repeated in a message, and may be as long as the document."""
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]} ..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    known = list(known)
    close = get_close_matches(word, known, n=1) if len(word) <= LONGEST_WORD and len(known) <= MOST_KNOWN else []
    if close:
        return f"Did you mean {close[0]!r}?"
    return "Known here: " + ", ".join(known) + "." if len(known) <= 12 else ""
