"""A host's mapping: from its payload to the deal document, and from the decision to its reply."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from dealgate.adapters.mappings.checking import disagreements
from dealgate.adapters.mappings.documents import read_plan
from dealgate.adapters.mappings.finding import NOTHING, Finder
from dealgate.adapters.mappings.paths import PathError
from dealgate.adapters.mappings.payloads import Leaf, Number, Payload, is_money_like, of_objects, without_numbers
from dealgate.adapters.mappings.plan import Plan
from dealgate.adapters.mappings.problems import (
    MappingDocumentError,
    MappingError,
    MappingProblem,
    UnreadableError,
    shown,
)
from dealgate.adapters.mappings.readers import Given, read_payloads
from dealgate.adapters.mappings.selecting import unselected
from dealgate.rules.deal import Deal, DealError
from dealgate.rules.document import MAX_CHARACTERS, Place, Problem
from dealgate.rules.stated_values import GREATEST_INTEGER

SHIPPED = ("routeone", "meridianlink", "dealertrack", "csv", "absee")


class MappedDeal(NamedTuple):
    """One deal of a payload. `unread` lists the fields that no path and no condition read; `remarks` says in words what did not
    agree or was not checked.

    `document` is what the payload states, as a deal document; `deal` the same, read.
    """

    document: dict[str, Any]
    deal: Deal
    unread: tuple[str, ...]
    remarks: tuple[str, ...]
    place: str


class HostMapping:
    """A mapping document, ready to use. It keeps nothing from one payload to the next and may be used by many threads."""

    def __init__(self, plan: Plan, text: str) -> None:
        self.plan = plan
        self.text = text

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def reads(self) -> frozenset[str]:
        """The names at the top of a payload that the mapping reads: of an object, its attributes."""
        return frozenset(path.root for path in self.plan.paths)

    def deal(self, payload: Given) -> MappedDeal:
        """The one deal of a payload. Raises `MappingError` with every problem."""
        found = list(islice(self.read(payload), 2))
        if len(found) != 1:
            problem = UnreadableError(
                "not exactly one deal", "Read many with `deals`.", "more than one" if found else "nothing"
            ).problem
            raise MappingError([problem], self.name)
        return _raised(found[0])

    def deals(self, payload: Given) -> Iterator[MappedDeal]:
        """Every deal of a payload that has many, as it is read. Raises `MappingError` at the first that cannot be mapped."""
        yield from map(_raised, self.read(payload))

    def read(self, payload: Given) -> Iterator[MappedDeal | MappingError]:
        """Every deal, or what is wrong with it. Raises `MappingError` where the payload cannot be read on."""
        try:
            for one in read_payloads(self.plan.source, payload):
                yield self._mapped_or_not(one)
        except UnreadableError as error:
            raise MappingError([error.problem], self.name) from None

    def read_rows(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[MappedDeal | MappingError]:
        """The same of records that are read already, each by the names of its parts."""
        for number, row in enumerate(rows, start=1):
            try:
                payload = of_objects(row)
            except UnreadableError as error:
                error.problem.source = f"row {number}: {error.problem.source}"
                yield MappingError([error.problem], self.name)
                continue
            payload.number, payload.place = number, f"row {number}"
            yield self._mapped_or_not(payload)

    def _mapped_or_not(self, payload: Payload) -> MappedDeal | MappingError:
        try:
            return self._mapped(payload)
        except MappingError as error:
            return error

    def reply(self, decision: Mapping[str, Any]) -> dict[str, Any] | str:
        """A decision in the host's fields: a dictionary, or the text of an XML or CSV document.

        Raises `ValueError` where the mapping has no reply, or no word for what the decision says.
        """
        if self.plan.reply is None:
            raise ValueError(f"the mapping {self.name} has no reply")
        return self.plan.reply.write(decision)

    def _mapped(self, payload: Payload) -> MappedDeal:
        finder = Finder(self.plan.source, payload)
        document = self._document(finder)
        lost = (problem for problem in unselected(self.plan, finder) if not self._is_ignored(problem.source))
        problems, remarks = [*finder.problems, *lost], list[str]()
        deal = None if problems else _read(document, finder, problems)
        for check in self.plan.checks:
            for found in disagreements(check, finder, deal):
                remarks.append(found) if isinstance(found, str) else problems.append(found)
        unread = [leaf for leaf in payload.untaken if not self._is_ignored(leaf.where)]
        if self.plan.refuses_unread:
            problems += [_unread(leaf) for leaf in unread if is_money_like(leaf)]
        places = (leaf.where for leaf in unread if leaf.where.rpartition(".")[2] not in self.plan.conditions)
        if problems or deal is None:
            for problem in problems:
                problem.source = f"{payload.place}: {problem.source}" if payload.place else problem.source
            raise MappingError(problems, self.name, str(document.get("deal_id", "")))
        return MappedDeal(document, deal, tuple(places), tuple(remarks), payload.place)

    def _document(self, finder: Finder) -> dict[str, Any]:
        document: dict[str, Any] = {}
        for field in self.plan.fields:
            value = finder.fill(field, finder.payload.root, field.target)
            if value is not NOTHING:
                _put(document, field.target, value)
        listed: dict[str, list[dict[str, Any]]] = {}
        for items in self.plan.items:
            found = listed.setdefault(items.target, [])
            found += finder.items(items, finder.payload.root, len(found))
        for target, found in listed.items():
            if found:
                _put(document, target, found)
        metadata = dict(self._carried(finder))
        if finder.synthetic:
            metadata["synthetic"] = finder.synthetic
        return document | ({"metadata": metadata} if metadata else {})

    def _carried(self, finder: Finder) -> Iterator[tuple[str, Any]]:
        for name, path in self.plan.metadata.items():
            try:
                found = path.find(finder.payload.root)
            except PathError as error:
                finder.problems.append(
                    MappingProblem(f"metadata.{name}", "the condition", str(error), error.remedy, path.text)
                )
                continue
            if found is not None and found != "":
                list(finder.texts(found))
                yield name, _plain(found)

    def _is_ignored(self, where: str) -> bool:
        where = without_numbers(where)
        return any(where == path or where.startswith(f"{path}.") for path in self.plan.ignore)


def _raised(found: MappedDeal | MappingError) -> MappedDeal:
    if isinstance(found, MappingError):
        raise found
    return found


def _put(document: dict[str, Any], target: str, value: Any) -> None:
    group, dot, name = target.rpartition(".")
    place = document.setdefault(group, {}) if dot else document
    place[name] = value


def _plain(value: Any) -> Any:
    """As metadata carries it; a number keeps its digits as a text where JSON could change them."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, Number) and value.is_finite():
        whole = value == value.to_integral_value() and abs(value) <= GREATEST_INTEGER and value.as_tuple().exponent == 0
        return int(value) if whole else str(Decimal(value))
    return value if isinstance(value, bool) else str(value)


def _read(document: dict[str, Any], finder: Finder, problems: list[MappingProblem]) -> Deal | None:
    """The deal; what its reader refuses is told at the place in the payload."""
    try:
        return Deal.read(document)
    except DealError as error:
        for field, value, message, remedy in error.problems:
            problems.append(MappingProblem(field, value, message, remedy, finder.sources.get(field, "")))
        return None


def _unread(leaf: Leaf) -> MappingProblem:
    remedy = "Map it, carry it under `metadata:`, or list it under `ignore:`."
    return MappingProblem("", shown(leaf), "looks like money and nothing reads it", remedy, leaf.where)


def load_mapping(name: str) -> HostMapping:
    """A mapping document from a file, or a shipped one by name. Raises `MappingDocumentError` with every mistake."""
    data, file = _bytes(name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MappingDocumentError([Problem(file, Place(1, 1), f"not UTF-8 text (byte {error.start})")]) from None
    return HostMapping(read_plan(text, file), text)


def _bytes(name: str) -> tuple[bytes, str]:
    if name in SHIPPED:
        return (files("dealgate.adapters.mappings") / f"{name}.yaml").read_bytes(), f"{name}.yaml"
    try:
        with Path(name).open("rb") as file:
            return file.read(MAX_CHARACTERS), name
    except (OSError, ValueError) as error:
        message = f"the mapping cannot be read: {getattr(error, 'strerror', None) or error}"
        remedy = f"Give a file, or one of the shipped mappings: {', '.join(SHIPPED)}."
        raise MappingDocumentError([Problem(name, Place(1, 1), message, remedy)]) from None
