"""What may be asked of stored decisions: a query, checked when it is made, written as a document, and known by its hash."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from dealgate.models.erasure import NOTICES
from dealgate.models.projections import COUNTS, MEASURE_COLUMNS, TOLD
from dealgate.rules.authority import Side
from dealgate.rules.decision import moment

NONE = "none"
LONGEST = 200
LARGEST = 2**63 - 1
MONEY, PERCENT, COUNT = "money", "percent", "count"
PLACES = {MONEY: 2, PERCENT: 6, COUNT: 0}
"""Decimal places that a bound may have. A money bound is a number of cents; a percent is held exactly against the ratio."""

WORDS: Mapping[str, Sequence[str]] = {
    "channels": ("indirect", "direct"),
    "outcomes": ("pass", "flag", "refer", "decline"),
    "results": tuple(sorted(TOLD)),
    "override": (NONE, "asked", "granted", "denied"),
    "override_side": tuple(side.value for side in Side),
    "notices": (NONE, *NOTICES),
}
STATE = re.compile(r"[A-Z]{2}")
NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)", re.ASCII)
CONDITION = re.compile(r"\s*(\w+)\s*(<=|>=|<|>|=)\s*(-?[\d.]+)\s*%?\s*")


class QueryError(ValueError):
    """A query that cannot be asked: `field`, the value that came, and what to do."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field}: {value!r}: {remedy}")
        self.field, self.value, self.remedy = field, value, remedy


def _measures() -> dict[str, str]:
    """The measures that stand in columns, each with its unit."""
    units = {
        name: PERCENT if len(columns) > 1 else MONEY for name, columns in MEASURE_COLUMNS.items() if name not in COUNTS
    }
    return units | dict.fromkeys(("vehicle_age", "break_even_month"), COUNT)


MEASURES = _measures()


@dataclass(frozen=True, slots=True)
class Condition:
    """A measure against a bound: `Condition("total_ltv", ">", "125")` is in percent, of money in dollars. Exact."""

    measure: str
    operator: str
    bound: str

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            remedy = f"use one of {', '.join(MEASURES)}; others stand in the decision's document only"
            raise QueryError("measures", self.measure, remedy)
        if self.operator not in {"<", "<=", "=", ">=", ">"}:
            raise QueryError("measures", self.operator, "compare with <, <=, =, >= or >")
        numerator, denominator = self.ratio
        if max(abs(numerator), denominator) > LARGEST:
            raise QueryError("measures", self.bound, "no measure is as large: give a smaller bound")

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """ "total_ltv > 125". Raises `QueryError`."""
        match = CONDITION.fullmatch(text)
        if match is None:
            raise QueryError("measures", text, "write a measure, an operator and a number, such as 'total_ltv > 125'")
        return cls(*match.groups())

    @property
    def unit(self) -> str:
        return MEASURES[self.measure]

    @property
    def ratio(self) -> tuple[int, int]:
        """The bound as it is held against the columns: cents or a count over one, a percent as a ratio of two integers."""
        if not isinstance(self.bound, str) or len(self.bound) > LONGEST or not NUMBER.fullmatch(self.bound):
            raise QueryError("measures", self.bound, f"give {self.measure} a plain number, such as 125 or 99.5")
        whole, _, decimals = self.bound.removeprefix("-").partition(".")
        decimals, places = decimals.rstrip("0"), PLACES[self.unit]
        if len(decimals) > places:
            raise QueryError("measures", self.bound, f"{self.measure} takes at most {places} decimal places")
        scaled = int(f"0{whole}{decimals.ljust(places, '0')}") * (-1 if self.bound.startswith("-") else 1)
        return (scaled, 100 * 10**places) if self.unit == PERCENT else (scaled, 1)

    def __str__(self) -> str:
        return f"{self.measure} {self.operator} {self.bound}"


@dataclass(frozen=True, slots=True)
class Query:
    """Which decisions are meant; every part may be left out, and all parts given must hold.

    Of several values in one part any will do. `decided_from` is inclusive, `decided_before` exclusive. `rules`, `results` and
    `reasons` are those of one finding: `violated`, `mitigated` or `not_evaluable`. `override_side`, `grantors` and
    `override_reasons` are of one override of the decision; `asked` has all that were asked for, `granted` those that have every
    grant they need. `notices` are about the deal, sent at or after the decision. `as_of` leaves out whatever was recorded later.
    Raises `QueryError`.
    """

    decided_from: datetime | None = None
    decided_before: datetime | None = None
    deals: tuple[str, ...] = ()
    dealers: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    measures: tuple[Condition, ...] = ()
    override: str | None = None
    override_side: str | None = None
    grantors: tuple[str, ...] = ()
    override_reasons: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    as_of: datetime | None = None

    def __post_init__(self) -> None:
        for name in MOMENTS:
            _check_moment(name, getattr(self, name))
        for name in LISTS:
            for value in getattr(self, name):
                _check_word(name, value)
        for name in ("override", "override_side"):
            if (value := getattr(self, name)) is not None:
                _check_word(name, value)
        for value in self.states:
            if not STATE.fullmatch(value):
                raise QueryError("states", value, "write two capital letters, such as TX")
        self._check_together()

    def _check_together(self) -> None:
        if self.decided_from and self.decided_before and self.decided_from >= self.decided_before:
            raise QueryError("decided_before", moment(self.decided_before), "give a moment after decided_from")
        named = self.override_side or self.grantors or self.override_reasons
        if self.override == NONE and named:
            raise QueryError(
                "override", NONE, "leave out side, grantor and reason: there is no override they could be of"
            )
        if NONE in self.notices and len(self.notices) > 1:
            raise QueryError("notices", NONE, "ask for kinds of notices or for none, not for both")

    @property
    def asks_for_override(self) -> bool:
        """Of some override, whatever it is."""
        return bool(self.override or self.override_side or self.grantors or self.override_reasons)

    def document(self) -> dict[str, Any]:
        """As plain JSON values, without the parts that were left out."""
        told = {one.name: _plain(getattr(self, one.name)) for one in fields(self)}
        return {name: value for name, value in told.items() if value not in (None, [])}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Query":
        """From the document of one; a list of one value may be the value alone. Raises `QueryError`."""
        known = {one.name for one in fields(cls)}
        if unknown := [name for name in document if name not in known]:
            raise QueryError(unknown[0], document[unknown[0]], f"there is no such part; use {', '.join(sorted(known))}")
        return cls(**{name: _read(name, value) for name, value in document.items()})

    @property
    def sha256(self) -> str:
        """Of the document: the same for the same query, whoever asks."""
        text = json.dumps(self.document(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


MOMENTS = ("decided_from", "decided_before", "as_of")
LISTS = tuple(one.name for one in fields(Query) if one.type == "tuple[str, ...]" or one.type == tuple[str, ...])


def _check_moment(name: str, value: object) -> None:
    if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
        raise QueryError(name, value, "give a moment with its time zone, such as 2026-11-20T15:04:05-06:00")


def _check_word(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST or "\0" in value:
        raise QueryError(name, value, f"give a text of at most {LONGEST} characters")
    if name in WORDS and value not in WORDS[name]:
        kept = "; passes and rules that do not apply stand in the decision's document only" if name == "results" else ""
        raise QueryError(name, value, f"use {', '.join(WORDS[name])}{kept}")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    return [str(one) for one in value] if isinstance(value, tuple) else value


def _read(name: str, value: Any) -> Any:
    if name in MOMENTS:
        return read_moment(name, value)
    if name in {"override", "override_side"}:
        return value
    values = (value,) if isinstance(value, str) else value
    if not isinstance(values, list | tuple):
        raise QueryError(name, value, "give a text or a list of texts")
    return tuple(Condition.parse(str(one)) for one in values) if name == "measures" else tuple(values)


def read_moment(name: str, value: object) -> datetime:
    """A moment as it is written in a query. Raises `QueryError`."""
    try:
        found: object = datetime.fromisoformat(str(value))
    except ValueError:
        found = str(value)
    _check_moment(name, found)
    assert isinstance(found, datetime)
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise QueryError(name, value, "give a moment of this age") from None
