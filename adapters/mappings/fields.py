"""One field of a mapping document, checked against the field of the deal document that it fills."""

import re
from collections.abc import Mapping
from typing import Any

from dealgate.adapters.mappings.paths import Path, PathError, read_path
from dealgate.adapters.mappings.plan import ERROR, UNKNOWN, ZERO, Field, Over, UnitBy
from dealgate.adapters.mappings.targets import Target
from dealgate.adapters.mappings.values import (
    UNITS,
    Kind,
    ValueRefusedError,
    count,
    date_form,
    exact,
    money_text,
    rate_text,
    truth,
)
from dealgate.rules.document import List, Node, Report, Scalar, Table, plain

ISO = "YYYY-MM-DD"

ENTRIES = (
    *(
        "from",
        "is",
        "absent",
        "default",
        "because",
        "unit",
        "sign",
        "rounding",
        "total",
        "zero",
        "numbered",
        "synthetic",
    ),
    *("values", "format", "over", "over_unit"),
)

ONLY_FOR: Mapping[str, tuple[Kind, ...]] = {
    "unit": (Kind.MONEY, Kind.RATE, Kind.MONTHS),
    "sign": (Kind.MONEY,),
    "rounding": (Kind.MONEY, Kind.RATE),
    "total": (Kind.MONEY,),
    "zero": (Kind.MONEY, Kind.RATE, Kind.COUNT, Kind.MONTHS),
    "numbered": (Kind.TEXT,),
    "values": (Kind.TEXT, Kind.BOOLEAN),
    "format": (Kind.DATE,),
    "over": (Kind.MONEY,),
    "over_unit": (Kind.MONEY,),
}

QUOTIENTS: Mapping[str, int] = {"percent": 100, "fraction": 1}


def read_path_at(report: Report, node: Node) -> Path | None:
    """A path of the document, or None with the problem reported."""
    text = report.text(node, "a path")
    if not text:
        return None
    try:
        return read_path(text)
    except PathError as error:
        place = node.at(error.column, len(text)) if isinstance(node, Scalar) else node.place
        report.add(place, str(error), error.remedy)
        return None


def read_each(report: Report, node: Node) -> tuple[Path, ...]:
    """One path or a list of them."""
    nodes = node.items if isinstance(node, List) else (node,)
    return tuple(path for path in (read_path_at(report, one) for one in nodes) if path)


def read_field(report: Report, node: Node, target: str, known: Target) -> Field | None:
    """A field as `{from: PATH, unit: ...}`, or as a path alone. None with the problems reported."""
    entries: dict[str, Node] = {"from": node} if isinstance(node, Scalar) else report.table(node, target, (), ENTRIES)
    return _FieldReader(report, node, entries, target, known).field() if entries else None


class _FieldReader:
    def __init__(self, report: Report, node: Node, entries: dict[str, Node], target: str, known: Target) -> None:
        self.report = report
        self.node = node
        self.entries = entries
        self.target = target
        self.known = known

    def field(self) -> Field:
        for name, kinds in ONLY_FOR.items():
            if name in self.entries and self.known.kind not in kinds:
                self._mistake(name, f"{self.target} is a {self.known.kind} and has no {name}")
        self._check_sources()
        written = self.report.text(self.entries["format"], "format") if "format" in self.entries else ISO
        return Field(
            self.target,
            self.known.kind,
            read_each(self.report, self.entries["from"]) if "from" in self.entries else (),
            self._stated("is"),
            self._absent(),
            self._stated("default"),
            self._unit(),
            self._word("sign", "negated", "as_written") == "negated",
            bool(self._word("rounding", "half_up")),
            self._word("total", "true", "false") == "true",
            self._zero_is_unknown(),
            self._word("numbered", "true", "false") == "true",
            self._word("synthetic", "true", "false") == "true",
            self._words(),
            self._date_form(written),
            written,
            self._over(),
        )

    def _mistake(self, name: str, message: str, remedy: str = "") -> None:
        self.report.add(self.entries[name].place if name in self.entries else self.node.place, message, remedy)

    def _word(self, name: str, *words: str) -> str:
        return self.report.word(self.entries[name], name, words) if name in self.entries else ""

    def _check_sources(self) -> None:
        given = {"from", "is"} & self.entries.keys()
        if len(given) == 2:
            self._mistake("is", f"{self.target} has both `from:` and `is:`", "Keep one of the two.")
        if not given and not (self.known.structure and "absent" in self.entries):
            self._mistake("", f"{self.target} says neither `from:` nor `is:`", "Say where the payload states it.")
        reasons = [
            name
            for name in ("is", "default", "absent")
            if name in self.entries and (name != "absent" or self._is(ZERO))
        ]
        if reasons and "because" not in self.entries:
            self._mistake(reasons[0], f"{self.target} needs `because:`", "Say what in the host's format this rests on.")
        if "because" in self.entries:
            self.report.text(self.entries["because"], "because")

    def _is(self, absent: str) -> bool:
        node = self.entries.get("absent")
        return isinstance(node, Scalar) and node.value == absent

    def _absent(self) -> str:
        if "absent" in self.entries:
            return self._word(
                "absent",
                *((ERROR, ZERO) if self.known.structure else (ERROR,) if self.known.required else (UNKNOWN, ERROR)),
            )
        if self.known.structure and "is" not in self.entries:
            remedy = "Write `absent: error`, or `absent: zero` and `because:` what in the host's format says so."
            self._mistake("", f"{self.target} must say what it means that the payload has none", remedy)
        return ERROR if self.known.required or self.known.structure else UNKNOWN

    def _zero_is_unknown(self) -> bool:
        if "zero" in self.entries and (self.known.structure or self.known.required):
            self._mistake("zero", f"{self.target} cannot be unknown", "Leave `zero:` out.")
        return self._word("zero", "unknown") == "unknown"

    def _stated(self, name: str) -> Any:
        """A constant of the document in the form of the deal document."""
        node = self.entries.get(name)
        if node is None:
            return None
        value = plain(node)
        try:
            return self._as_target(value)
        except ValueRefusedError as error:
            self._mistake(name, f"{self.target} cannot be {value!r}: {error}", error.remedy)
            return None

    def _as_target(self, value: Any) -> Any:
        written = value if isinstance(value, bool) else str(value)
        match self.known.kind:
            case Kind.MONEY:
                return money_text(exact(written, False) * 100, rounded=False)
            case Kind.RATE:
                return rate_text(exact(written, False) * 10_000, rounded=False)
            case Kind.COUNT | Kind.MONTHS:
                return count(written, False)
            case Kind.BOOLEAN:
                return truth(written)
        if not isinstance(value, str | int) or (self.known.words and value not in self.known.words):
            words = ", ".join(self.known.words) or "a text"
            raise ValueRefusedError("no such word", f"Known here: {words}.")
        return str(value)

    def _unit(self) -> str | UnitBy:
        units = UNITS.get(self.known.kind, {})
        node = self.entries.get("unit")
        if node is None:
            if units and "from" in self.entries:
                self._mistake("", f"{self.target} lacks `unit:`", f"Write one of {', '.join(units)}.")
            return ""
        if not isinstance(node, Table):
            return self.report.word(node, "unit", units)
        entries = self.report.table(node, "a unit", ("from", "values"))
        path = read_path_at(self.report, entries["from"]) if "from" in entries else None
        words = entries.get("values")
        if not path or not isinstance(words, Table):
            self._mistake("unit", "a unit that the payload states needs `from:` and `values:`")
            return ""
        return UnitBy(path, {word: self.report.word(below, "unit", units) for word, below in words.entries.items()})

    def _words(self) -> Mapping[str, Any] | None:
        node = self.entries.get("values")
        if node is None:
            if self.known.words and "from" in self.entries:
                words = ", ".join(self.known.words)
                self._mistake("", f"{self.target} lacks `values:`", f"Say which of the host's words are {words}.")
            return None
        if not isinstance(node, Table):
            self._mistake("values", "values must be a mapping of the host's words to ours")
            return None
        found = {}
        for word, below in node.entries.items():
            try:
                found[word] = self._as_target(plain(below))
            except ValueRefusedError as error:
                self.report.add(below.place, f"{self.target} cannot be {plain(below)!r}: {error}", error.remedy)
        return found

    def _date_form(self, written: str) -> re.Pattern[str] | None:
        form = date_form(written) if self.known.kind == Kind.DATE else None
        if form is None and "format" in self.entries and self.known.kind == Kind.DATE:
            self._mistake(
                "format",
                f"{written!r} is no form of a date",
                "Write YYYY, MM and DD with signs between them, or `timestamp`.",
            )
        return form

    def _over(self) -> Over | None:
        if "over" not in self.entries:
            return None
        if "over_unit" not in self.entries or not self._word("rounding", "half_up"):
            self._mistake("over", "a quotient needs `over_unit:` (percent or fraction) and `rounding: half_up`")
            return None
        path = read_path_at(self.report, self.entries["over"])
        unit = self._word("over_unit", *QUOTIENTS)
        return Over(path, QUOTIENTS[unit]) if path and unit else None
