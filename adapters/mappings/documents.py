"""Mapping documents: YAML, checked when loaded, every mistake at once with file, line and column."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from dealgate.adapters.mappings.fields import read_each, read_field, read_path_at
from dealgate.adapters.mappings.paths import Path, last_name
from dealgate.adapters.mappings.plan import ERROR, NONE, Check, Field, Items, Plan
from dealgate.adapters.mappings.problems import MappingDocumentError
from dealgate.adapters.mappings.readers import MOST_BYTES, Source
from dealgate.adapters.mappings.reply_documents import read_reply
from dealgate.adapters.mappings.targets import GROUPS, ITEMS, STRUCTURE_LISTS, TARGETS
from dealgate.adapters.mappings.values import UNITS, Kind
from dealgate.rules.document import List, Node, PolicyError, Report, Table, parse_yaml, plain

FORMATS = ("xml", "json", "csv", "object")
NAME = re.compile(r"[a-z][a-z0-9-]{0,99}")

LARGEST = 100_000_000


@lru_cache(8)
def read_plan(text: str, file: str) -> Plan:
    """What is asked for again, as the shipped ones are by each service, is read once. Raises `MappingDocumentError` with every mistake."""
    report = Report(file, text)
    try:
        root = parse_yaml(text)
        plan = _Reader(report, root).plan()
    except PolicyError as error:
        report.adopt(error) if not report.problems else None
        raise MappingDocumentError(report.problems or error.problems) from None
    if report.problems:
        raise MappingDocumentError(report.problems)
    return plan


class _Reader:
    def __init__(self, report: Report, root: Node) -> None:
        self.report = report
        self.root = root
        required = ("mapping", "version", "title", "source", "deal")
        optional = ("checks", "metadata", "ignore", "unread", "reply")
        self.entries = report.table(root, "a mapping", required, optional)
        self.fields: list[Field] = []
        self.items: list[Items] = []
        self.tried: set[str] = set()  # targets that the document speaks of, mistaken or not

    def plan(self) -> Plan:
        source = self._source()
        self._deal()
        checks = self._listed("checks", self._check)
        metadata = self._metadata()
        ignore = self._listed("ignore", lambda node: self.report.text(node, "a path to ignore"))
        unread = (
            self.report.word(self.entries["unread"], "unread", ("refuse", "tell")) if "unread" in self.entries else ""
        )
        reply = read_reply(self.report, self.entries["reply"], source) if "reply" in self.entries else None
        name = self._text("mapping")
        if name and not NAME.fullmatch(name):
            self.report.add(self.entries["mapping"].place, f"{name!r} is not a name", "Use a-z, 0-9 and hyphens.")
        made = (tuple(self.fields), tuple(self.items), tuple(filter(None, checks)))
        plan = Plan(
            name, self._text("version"), self._text("title"), source, *made, metadata, ignore, unread != "tell", reply
        )
        return self._with_lists(plan)

    def _with_lists(self, plan: Plan) -> Plan:
        """What a path takes for a list is one in the tree of an XML document, even where it stands there once."""
        lists = {name for path in plan.all_paths for name in path.lists}
        eaches = [one.each for one in plan.items] + [one.each for one in plan.checks]
        lists |= {last_name(each) for each in eaches if each}
        return replace(plan, source=replace(plan.source, lists=frozenset(lists)))

    def _text(self, name: str) -> str:
        return self.report.text(self.entries[name], name) if name in self.entries else ""

    def _listed(self, name: str, read: Callable[[Node], Any]) -> tuple[Any, ...]:
        if name not in self.entries:
            return ()
        return tuple(read(node) for node in self.report.list(self.entries[name], name))

    def _source(self) -> Source:
        node = self.entries.get("source")
        if node is None:
            return Source("json")
        optional = ("root", "record", "delimiter", "thousands", "empty", "most_bytes")
        entries = self.report.table(node, "source", ("format",), optional)
        form = self.report.word(entries["format"], "format", FORMATS) if "format" in entries else ""
        for name, formats in {"root": ("xml",), "record": ("xml",), "delimiter": ("csv",)}.items():
            if name in entries and form and form not in formats:
                self.report.add(entries[name].place, f"a source of {form} has no {name}")
        delimiter = self.report.text(entries["delimiter"], "delimiter") if "delimiter" in entries else ","
        if len(delimiter) != 1 or delimiter in '"\r\n':
            self.report.add(
                entries["delimiter"].place, "the delimiter is one character, and no quote", 'Write ",", ";" or "|".'
            )
        return Source(
            form,
            self.report.text(entries["root"], "root") if "root" in entries else None,
            self.report.text(entries["record"], "record") if "record" in entries else None,
            delimiter,
            self._flag(entries, "thousands"),
            "empty" in entries and self.report.word(entries["empty"], "empty", ("absent",)) == "absent",
            self._most_bytes(entries.get("most_bytes")),
        )

    def _flag(self, entries: Mapping[str, Node], name: str) -> bool:
        return name in entries and self.report.word(entries[name], name, ("true", "false")) == "true"

    def _most_bytes(self, node: Node | None) -> int:
        value = MOST_BYTES if node is None else plain(node)
        if not isinstance(value, int) or not 0 < value <= LARGEST:
            assert node
            self.report.add(node.place, f"most_bytes must be a whole number up to {LARGEST:,}")
            return MOST_BYTES
        return value

    # The deal: fields at their places in the deal document

    def _deal(self) -> None:
        node = self.entries.get("deal")
        if node is None:
            return
        self._group(node, "")
        for target, kind in TARGETS.items():
            if kind.required and target not in self.tried:
                self.report.add(
                    node.place, f"nothing gives {target}, which every deal has", "Say where the payload states it."
                )
            elif kind.structure and target not in self.tried:
                self._undecided(node, target, "zero")
        for target in STRUCTURE_LISTS:
            if target not in self.tried:
                self._undecided(node, target, "none")

    def _undecided(self, node: Node, target: str, word: str) -> None:
        message = f"nothing is said of {target}: a deal without it counts as zero, and no zero may come unsaid"
        self.report.add(node.place, message, f"Say where it is, or `{target}: {{absent: {word}, because: ...}}`.")

    def _group(self, node: Node, prefix: str) -> None:
        known = _names_at(prefix)
        for name, below in self.report.table(node, prefix.strip(".") or "deal", (), known).items():
            target = prefix + name
            if name in GROUPS and not prefix:
                self._group(below, f"{name}.")
            elif target in ITEMS:
                self.tried.add(target)
                self._list(below, target)
            else:
                self.tried.add(target)
                made = read_field(self.report, below, target, TARGETS[target])
                self.fields += [made] if made else []

    def _list(self, node: Node, target: str) -> None:
        for one in node.items if isinstance(node, List) else (node,):
            self._items(one, target)

    def _items(self, node: Node, target: str) -> None:
        report = self.report
        entries = report.table(node, target, (), ("each", "item", "absent", "because"))
        absent = report.word(entries["absent"], "absent", (NONE, ERROR)) if "absent" in entries else ""
        if not absent and isinstance(node, Table) and "absent" not in entries:
            report.add(
                node.place,
                f"{target} must say what it means that the payload has none",
                "Write `absent: error` or `absent: none`.",
            )
        if absent == NONE and target in STRUCTURE_LISTS and "because" not in entries:
            report.add(
                node.place, f"{target} needs `because:`", "Say why the format allows to read its absence as none."
            )
        if "because" in entries:
            report.text(entries["because"], "because")
        each = read_path_at(report, entries["each"]) if "each" in entries else None
        if "item" not in entries:
            if each or absent != NONE:
                report.add(node.place, f"{target} lacks `item:`, the fields of one")
            return
        known = ITEMS[target]
        fields = report.table(
            entries["item"], f"an item of {target}", [name for name in known if known[name].required], known
        )
        made = (read_field(report, below, f"{target}[].{name}", known[name]) for name, below in fields.items())
        self.items.append(Items(target, tuple(filter(None, made)), absent, each))

    # What is beside the deal

    def _check(self, node: Node) -> Check | None:
        report = self.report
        optional = ("each", "plus", "minus", "equals", "otherwise", "unit")
        entries = report.table(node, "a check", ("value", "because"), optional)
        if "value" not in entries or "because" not in entries:
            return None
        if ("equals" in entries) == bool({"plus", "minus"} & entries.keys()):
            report.add(node.place, "a check needs either `equals: amount_financed` or `plus:` and `minus:`")
        if "equals" in entries:
            report.word(entries["equals"], "equals", ("amount_financed",))
        unit = report.word(entries["unit"], "unit", UNITS[Kind.MONEY]) if "unit" in entries else "dollars"
        value = read_path_at(report, entries["value"])
        if value is None:
            return None
        parts = {name: read_each(report, entries[name]) for name in ("plus", "minus") if name in entries}
        return Check(
            value,
            int(UNITS[Kind.MONEY].get(unit, 1)),
            report.text(entries["because"], "because"),
            read_path_at(report, entries["each"]) if "each" in entries else None,
            parts.get("plus", ()),
            parts.get("minus", ()),
            "equals" in entries,
            "otherwise" not in entries or report.word(entries["otherwise"], "otherwise", (ERROR, "remark")) == ERROR,
        )

    def _metadata(self) -> Mapping[str, Path]:
        node = self.entries.get("metadata")
        if node is None:
            return {}
        if not isinstance(node, Table):
            self.report.add(node.place, "metadata must be a mapping of names to paths")
            return {}
        read = {name: read_path_at(self.report, below) for name, below in node.entries.items()}
        return {name: path for name, path in read.items() if path}


def _names_at(prefix: str) -> Iterable[str]:
    if prefix:
        return [name.removeprefix(prefix) for name in (*TARGETS, *ITEMS) if name.startswith(prefix)]
    return [*(name for name in (*TARGETS, *ITEMS) if "." not in name), *GROUPS]
