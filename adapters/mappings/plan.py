"""What a mapping document says, as it is carried out: fields, lists of items, checks."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dealgate.adapters.mappings.paths import Path
from dealgate.adapters.mappings.readers import Source
from dealgate.adapters.mappings.replies import Reply
from dealgate.adapters.mappings.values import Kind

UNKNOWN, ERROR, ZERO, NONE = "unknown", "error", "zero", "none"
"""What it means that the payload does not state something."""


@dataclass(frozen=True, slots=True)
class UnitBy:
    """A unit that the payload states itself, in words of its own."""

    path: Path
    words: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Over:
    """What a value is divided by, and its unit."""

    path: Path
    scale: int


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the deal document: where it is found, in which unit, and what follows where it is not."""

    target: str
    kind: Kind
    paths: tuple[Path, ...] = ()
    constant: Any = None
    absent: str = UNKNOWN
    default: Any = None
    unit: str | UnitBy = ""
    negated: bool = False
    rounded: bool = False
    total: bool = False
    zero_is_unknown: bool = False
    numbered: bool = False
    synthetic: bool = False
    words: Mapping[str, Any] | None = None
    date_form: re.Pattern[str] | None = None
    date_written: str = ""
    over: Over | None = None

    @property
    def may_be_empty(self) -> bool:
        """Whether the host's empty value says no more than that it is not known."""
        return self.absent == UNKNOWN and self.default is None


@dataclass(frozen=True, slots=True)
class Items:
    """Items of a list: one for each thing that a path finds, or one that is there when any part of it is."""

    target: str
    fields: tuple[Field, ...]
    absent: str
    each: Path | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A figure of the payload that must be the sum of others, or the amount financed that follows from the deal."""

    value: Path
    scale: int
    because: str
    each: Path | None = None
    plus: tuple[Path, ...] = ()
    minus: tuple[Path, ...] = ()
    amount_financed: bool = False
    refuses: bool = True


@dataclass(frozen=True)
class Plan:
    """A mapping document that has been checked."""

    name: str
    version: str
    title: str
    source: Source
    fields: tuple[Field, ...]
    items: tuple[Items, ...]
    checks: tuple[Check, ...] = ()
    metadata: Mapping[str, Path] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    refuses_unread: bool = True
    reply: Reply | None = None

    @property
    def paths(self) -> Iterator[Path]:
        """Those that begin at the top of the payload."""
        for one in self.fields:
            yield from paths_of(one)
        for items in self.items:
            if items.each:
                yield items.each
            else:
                for one in items.fields:
                    yield from paths_of(one)
        for check in self.checks:
            yield from (check.each,) if check.each else (check.value, *check.plus, *check.minus)
        yield from self.metadata.values()

    @property
    def all_paths(self) -> Iterator[Path]:
        yield from self.paths
        for items in self.items:
            for one in items.fields:
                yield from paths_of(one)
        for check in self.checks:
            yield from (check.value, *check.plus, *check.minus)

    @cached_property
    def conditions(self) -> frozenset[str]:
        """Names that conditions compare."""
        return frozenset(name for path in self.all_paths for name in path.conditions)


def paths_of(one: Field) -> Iterator[Path]:
    yield from one.paths
    if isinstance(one.unit, UnitBy):
        yield one.unit.path
    if one.over:
        yield one.over.path
