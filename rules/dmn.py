"""From a `.dmn` file (DMN 1.1 to 1.5) to decisions, their tables and what they rest on.

Elements are known by their local names, because every version has a namespace of its own. Texts of expressions are kept as they are
written and read when they are needed: one cell that cannot be read does not stand in the way of the other decisions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias, TypeVar
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from dealgate.rules.document import did_you_mean

MOST_BYTES = 32_000_000
MOST_ELEMENTS = 500_000
MAX_DEPTH = 100
MOST_ROWS = 20_000
"""Rows of one decision table. No person keeps a larger one up to date."""


class DmnError(ValueError):
    """A decision model that cannot be read or evaluated."""


class HitPolicy(StrEnum):
    """Which of the rows that hold give the result."""

    UNIQUE = "UNIQUE"
    ANY = "ANY"
    FIRST = "FIRST"
    PRIORITY = "PRIORITY"
    RULE_ORDER = "RULE ORDER"
    OUTPUT_ORDER = "OUTPUT ORDER"
    COLLECT = "COLLECT"


class Aggregation(StrEnum):
    SUM = "SUM"
    MIN = "MIN"
    MAX = "MAX"
    COUNT = "COUNT"


@dataclass(frozen=True)
class ItemType:
    """A type that the model defines. `allowed` are unary tests, empty where anything is."""

    type: str
    allowed: str = ""
    collection: bool = False
    parts: Mapping[str, "ItemType"] = field(default_factory=dict)


@dataclass(frozen=True)
class InputColumn:
    label: str
    expression: str
    allowed: str = ""


@dataclass(frozen=True)
class OutputColumn:
    """`values` are the ordered output values."""

    name: str
    values: str = ""
    default: str | None = None
    type: str = ""


@dataclass(frozen=True)
class TableRow:
    """Rules are numbered from 1, as modelling tools show them."""

    number: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class DecisionTable:
    hit_policy: HitPolicy
    aggregation: Aggregation | None
    inputs: tuple[InputColumn, ...]
    outputs: tuple[OutputColumn, ...]
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class LiteralExpression:
    text: str


@dataclass(frozen=True)
class Invocation:
    function: str
    bindings: tuple[tuple[str, "Logic"], ...]


@dataclass(frozen=True)
class ContextEntries:
    """Values by name, each seeing those before it; an entry without a name is the result."""

    entries: tuple[tuple[str, "Logic"], ...]


@dataclass(frozen=True)
class Unread:
    """Logic of a kind that is not evaluated here."""

    element: str


Word = TypeVar("Word", bound=StrEnum)

Logic: TypeAlias = DecisionTable | LiteralExpression | Invocation | ContextEntries | Unread


@dataclass(frozen=True)
class Decision:
    name: str
    id: str
    type: str
    logic: Logic | None
    requires: tuple[str, ...]
    """The ids of the inputs, decisions and functions it rests on."""


@dataclass(frozen=True)
class InputData:
    name: str
    id: str
    type: str


@dataclass(frozen=True)
class Knowledge:
    """A business knowledge model: logic with parameters, called by name."""

    name: str
    parameters: tuple[str, ...]
    logic: Logic | None


@dataclass(frozen=True)
class Model:
    inputs: Mapping[str, InputData]
    decisions: Mapping[str, Decision]
    knowledge: Mapping[str, Knowledge]
    types: Mapping[str, ItemType]

    def decision(self, wanted: str) -> Decision:
        """By name, or by id. Raises `DmnError`, naming what there is."""
        if wanted in self.decisions:
            return self.decisions[wanted]
        for decision in self.decisions.values():
            if decision.id == wanted:
                return decision
        if not self.decisions:
            raise DmnError("there is no decision in this file")
        close = did_you_mean(wanted, self.decisions) if len(self.decisions) > 12 else ""
        names = ", ".join(map(repr, self.decisions))
        raise DmnError(f"no decision is called {wanted!r}. {close} Decisions here: {names}".replace("  ", " "))


class _BoundedBuilder(TreeBuilder):
    """Builds the tree while depth and size stay in bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0
        self.elements = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self.depth += 1
        self.elements += 1
        if self.depth > MAX_DEPTH:
            raise DmnError(f"elements nested deeper than {MAX_DEPTH} levels")
        if self.elements > MOST_ELEMENTS:
            raise DmnError(f"more than {MOST_ELEMENTS:,} elements")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self.depth -= 1
        return super().end(tag)


def read_dmn(data: bytes) -> Model:
    """Read a decision model. Raises `DmnError`."""
    root = _parse(data)
    if _local(root) != "definitions":
        raise DmnError(f"this is no DMN document: its root is <{_local(root)}>, not <definitions>")
    types = {name: _item_type(child) for child in _children(root, "itemDefinition") if (name := _name(child))}
    return Model(
        inputs={
            name: InputData(name, child.get("id", ""), _variable_type(child))
            for name, child in _named(root, "inputData")
        },
        decisions={name: _decision(name, child) for name, child in _named(root, "decision")},
        knowledge={name: _knowledge(name, child) for name, child in _named(root, "businessKnowledgeModel")},
        types=types,
    )


def _parse(data: bytes) -> Element:
    if len(data) > MOST_BYTES:
        raise DmnError(f"{len(data):,} bytes; at most {MOST_BYTES:,} are read")
    parser = DefusedXMLParser(target=_BoundedBuilder(), forbid_dtd=True)
    try:
        parser.feed(data)
        root = parser.close()
    except DefusedXmlException:
        raise DmnError("a document type or an entity is declared in it; neither has a place in a DMN file") from None
    except ParseError as error:
        line, column = error.position
        reason = str(error).partition(": line")[0]
        raise DmnError(f"not well-formed XML: {reason} at line {line}, column {column + 1}") from None
    except (ValueError, LookupError) as error:
        if isinstance(error, DmnError):
            raise
        raise DmnError(f"not XML that can be read: {error}") from None
    assert isinstance(root, Element)
    return root


# The pieces of a document


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _children(element: Element, *names: str) -> Iterator[Element]:
    return (child for child in element if _local(child) in names)


def _child(element: Element, *names: str) -> Element | None:
    return next(_children(element, *names), None)


def _text(element: Element | None) -> str:
    """The text of an expression: of its `text`, or its own."""
    if element is None:
        return ""
    inner = _child(element, "text")
    return "".join((inner if inner is not None else element).itertext()).strip()


def _name(element: Element) -> str:
    return " ".join((element.get("name") or "").split())


def _named(root: Element, kind: str) -> Iterator[tuple[str, Element]]:
    seen: set[str] = set()
    for child in _children(root, kind):
        name = _name(child) or child.get("id", "")
        if name in seen:
            raise DmnError(f"two elements <{kind}> are called {name!r}")
        seen.add(name)
        yield name, child


def _type(element: Element | None) -> str:
    """`feel:string` and `string` are the same; DMN 1.1 has both an attribute and an element for it."""
    if element is None:
        return ""
    return element.get("typeRef") or _text(_child(element, "typeRef"))


def _variable_type(element: Element) -> str:
    return _type(_child(element, "variable"))


def _item_type(element: Element) -> ItemType:
    parts = {_name(child): _item_type(child) for child in _children(element, "itemComponent")}
    collection = element.get("isCollection") in {"true", "1"}
    return ItemType(_type(element), _text(_child(element, "allowedValues")), collection, parts)


def _decision(name: str, element: Element) -> Decision:
    requires = tuple(
        required.get("href", "").rpartition("#")[2]
        for requirement in _children(element, "informationRequirement")
        for required in _children(requirement, "requiredInput", "requiredDecision")
    )
    return Decision(
        name, element.get("id", ""), _variable_type(element), _logic(element, f"decision {name!r}"), requires
    )


def _knowledge(name: str, element: Element) -> Knowledge:
    function = _child(element, "encapsulatedLogic")
    if function is None:
        return Knowledge(name, (), None)
    parameters = tuple(_name(parameter) for parameter in _children(function, "formalParameter"))
    if function.get("kind", "FEEL") != "FEEL":
        return Knowledge(name, parameters, Unread(f"functionDefinition of kind {function.get('kind')}"))
    return Knowledge(name, parameters, _logic(function, f"function {name!r}"))


NOT_LOGIC = {
    "description", "extensionElements", "question", "allowedAnswers", "variable", "informationRequirement",
    "knowledgeRequirement", "authorityRequirement", "supportedObjective", "impactedPerformanceIndicator",
    "decisionMaker", "decisionOwner", "usingProcess", "usingTask", "formalParameter", "parameter", "typeRef",
}  # fmt: skip


def _logic(element: Element, where: str) -> Logic | None:
    """The one child that says what the value is."""
    for child in element:
        match _local(child):
            case "decisionTable":
                return _table(child, where)
            case "literalExpression":
                return LiteralExpression(_text(child))
            case "invocation":
                return _invocation(child, where)
            case "context":
                return _context(child, where)
            case other if other not in NOT_LOGIC:
                return Unread(other)
    return None


def _invocation(element: Element, where: str) -> Logic:
    bindings = []
    for binding in _children(element, "binding"):
        parameter, logic = _child(binding, "parameter"), _logic(binding, where)
        if parameter is None or logic is None:
            raise DmnError(f"{where}: a binding without a parameter or without a value")
        bindings.append((_name(parameter), logic))
    return Invocation(_text(_child(element, "literalExpression")), tuple(bindings))


def _context(element: Element, where: str) -> Logic:
    entries = []
    for entry in _children(element, "contextEntry"):
        variable, logic = _child(entry, "variable"), _logic(entry, where)
        if logic is None:
            raise DmnError(f"{where}: an entry of a context without a value")
        entries.append((_name(variable) if variable is not None else "", logic))
    return ContextEntries(tuple(entries))


def _table(element: Element, where: str) -> DecisionTable:
    inputs = tuple(map(_input_column, _children(element, "input")))
    outputs = tuple(_output_column(child, place) for place, child in enumerate(_children(element, "output"), 1))
    if not outputs:
        raise DmnError(f"{where}: a decision table without an output")
    rules = list(_children(element, "rule"))
    if len(rules) > MOST_ROWS:
        raise DmnError(f"{where}: a decision table of {len(rules):,} rules; at most {MOST_ROWS:,} are read")
    rows = tuple(_row(rule, number, where, len(inputs), len(outputs)) for number, rule in enumerate(rules, 1))
    return DecisionTable(
        _one_of(HitPolicy, element.get("hitPolicy") or "UNIQUE", f"{where}: the hit policy"),
        _one_of(Aggregation, element.get("aggregation", ""), f"{where}: the aggregation")
        if element.get("aggregation")
        else None,
        inputs,
        outputs,
        rows,
    )


def _one_of(words: type[Word], word: str, what: str) -> Word:
    try:
        return words(word)
    except ValueError:
        raise DmnError(f"{what} cannot be {word!r}: known are {', '.join(words)}") from None


def _input_column(element: Element) -> InputColumn:
    expression = _text(_child(element, "inputExpression"))
    label = " ".join((element.get("label") or expression or element.get("id") or "").split())
    return InputColumn(label, expression, _text(_child(element, "inputValues")))


def _output_column(element: Element, place: int) -> OutputColumn:
    default = _child(element, "defaultOutputEntry")
    name = _name(element) or " ".join((element.get("label") or "").split()) or f"output {place}"
    values = _text(_child(element, "outputValues"))
    return OutputColumn(name, values, None if default is None else _text(default), _type(element))


def _row(element: Element, number: int, where: str, inputs: int, outputs: int) -> TableRow:
    tested = tuple(map(_text, _children(element, "inputEntry")))
    given = tuple(map(_text, _children(element, "outputEntry")))
    if (len(tested), len(given)) != (inputs, outputs):
        cells, wanted = f"{len(tested)} input and {len(given)} output cells", f"{inputs} and {outputs}"
        raise DmnError(f"{where}, rule {number}: {cells}, where the table has {wanted}")
    return TableRow(number, tested, given)
