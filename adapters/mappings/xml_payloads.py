"""XML payloads: no DTD, no entity, nothing external; bounded in bytes, depth and values before a tree grows.

Names are local names. An element with parts is an object, one without is a text; attributes stand under `@name`.
"""

from collections.abc import Iterator
from typing import IO, Any
from xml.etree.ElementTree import ParseError

from defusedxml import DTDForbidden, EntitiesForbidden, ExternalReferenceForbidden
from defusedxml.ElementTree import DefusedXMLParser

from dealgate.adapters.mappings.payloads import MOST_DEPTH, Branch, Payload, Text
from dealgate.adapters.mappings.problems import UnreadableError

BLOCK = 65_536
FORBIDDEN = (DTDForbidden, EntitiesForbidden, ExternalReferenceForbidden)


class _Element:
    """An element that is open."""

    __slots__ = ("attributes", "count", "name", "parts", "text", "where")

    def __init__(self, name: str, where: str, attributes: Branch) -> None:
        self.name = name
        self.where = where
        self.attributes = attributes
        self.parts: dict[str, Any] = {}
        self.text: list[str] = []
        self.count: dict[str, int] = {}


class _Trees:
    """What the parser tells its events to: builds the tree of each record, and keeps nothing outside of them."""

    def __init__(self, record: str | None, lists: frozenset[str]) -> None:
        self.record = record
        self.lists = lists
        self.finished: list[Payload] = []
        self.root_name = ""
        self._depth = self._records = 0
        self._open: list[_Element] = []
        self._payload = Payload()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = _local(tag)
        self.root_name = self.root_name or name
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise UnreadableError(
                f"nested deeper than {MOST_DEPTH} levels", "Send one deal, as documented.", "more", name
            )
        if self._open:
            self._begin(name, self._place_of(name), attributes)
        elif self.record is None or name == self.record:
            self._records += 1
            self._payload = Payload(number=self._records, place=f"{name} {self._records}" if self.record else "")
            self._begin(name, "", attributes)

    def _place_of(self, name: str) -> str:
        parent = self._open[-1]
        number = parent.count.get(name, 0)
        parent.count[name] = number + 1
        place = f"{parent.where}.{name}" if parent.where else name
        return f"{place}[{number}]" if number or name in self.lists else place

    def _begin(self, name: str, where: str, attributes: dict[str, str]) -> None:
        found = Branch()
        for tag, value in attributes.items():
            attribute = f"@{_local(tag)}"
            place = f"{where}.{attribute}" if where else attribute
            if attribute in found:
                raise UnreadableError(
                    "two attributes have one local name", "Keep one of the two.", repr(value[:57]), place
                )
            found[attribute] = self._payload.leaf(value, place)
        self._open.append(_Element(name, where, found))

    def data(self, text: str) -> None:
        if self._open:
            self._open[-1].text.append(text)

    def end(self, _: str) -> None:
        self._depth -= 1
        if not self._open:
            return
        element = self._open.pop()
        node = self._node(element)
        if not self._open:
            self._payload.root = node if isinstance(node, Branch) else element.attributes
            self.finished.append(self._payload)
            return
        parts = self._open[-1].parts
        before = parts.get(element.name)
        if isinstance(before, list):
            before.append(node)
        elif before is not None:
            parts[element.name] = [before, node]
        else:
            parts[element.name] = [node] if element.name in self.lists else node

    def _node(self, element: _Element) -> Branch | Text:
        text = "".join(element.text)
        if not element.parts:
            leaf = self._payload.leaf(text, element.where, element.attributes)
            assert isinstance(leaf, Text)
            return leaf
        if text.strip():
            remedy = "Send a text or elements."
            raise UnreadableError("text and elements side by side", remedy, repr(text.strip()[:57]), element.where)
        branch = Branch(element.attributes | element.parts)
        branch.where = element.where
        return branch

    def close(self) -> None:
        pass


def read_xml(
    stream: IO[bytes], most_bytes: int, lists: frozenset[str], root: str | None, record: str | None
) -> Iterator[Payload]:
    """Each record of a document, or the document itself. Raises `UnreadableError`.

    `most_bytes` bounds the document, or with a record what may stand from one record's end to the next one's.
    """
    trees = _Trees(record, lists)
    parser: Any = DefusedXMLParser(target=trees, forbid_dtd=True)
    unfinished = 0
    while block := stream.read(BLOCK if record else min(BLOCK, most_bytes + 1 - unfinished)):
        unfinished += len(block)
        if unfinished > most_bytes + (BLOCK if record else 0):
            what = "one deal" if record else "a deal"
            raise UnreadableError(f"more than {most_bytes:,} bytes", f"Send {what}, as documented.", "more")
        _feed(parser, block)
        if root and trees.root_name and trees.root_name != root:
            remedy = f"This mapping reads {root!r} documents."
            raise UnreadableError("another kind of document", remedy, repr(trees.root_name), trees.root_name)
        if record and trees.finished:
            yield from trees.finished
            trees.finished.clear()
            unfinished = 0
    _feed(parser, None)
    yield from trees.finished


def _feed(parser: Any, block: bytes | None) -> None:
    try:
        if block is None:
            parser.close()
        else:
            parser.feed(block)
    except FORBIDDEN as error:
        kind = "a DTD" if isinstance(error, DTDForbidden) else "an entity or external reference"
        raise UnreadableError(
            f"{kind} is not read: it can make a small document endless", "Send plain elements.", kind
        ) from None
    except ParseError as error:
        line, column = error.position
        remedy = "Send whole, well-formed XML in the encoding that it declares."
        raise UnreadableError(f"not XML: {error}", remedy, "the text", f"line {line}, column {column + 1}") from None
    except (LookupError, ValueError) as error:
        if isinstance(error, UnreadableError):
            raise
        raise UnreadableError(
            f"not XML: {error}", "Declare the encoding that it has, best UTF-8.", "the text"
        ) from None


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
