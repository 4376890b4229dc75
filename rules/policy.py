"""One policy version: the lender's limits and rules, checked, ordered and identified by the hash of its content."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

from dealgate.rules.authority import Overrides
from dealgate.rules.equity import Equity
from dealgate.rules.expressions import Expression, LimitName, MeasureName, Violated, walk
from dealgate.rules.fields import Unit
from dealgate.rules.table_files import FindTable
from dealgate.rules.writing import expression_text, number_text

UTC = "UTC"


class Outcome(StrEnum):
    """What follows for the whole submission, least severe first."""

    PASS = "pass"
    FLAG = "flag"
    REFER = "refer"
    DECLINE = "decline"

    severity: int

    def __new__(cls, word: str) -> "Outcome":
        member = str.__new__(cls, word)
        member._value_ = word
        member.severity = len(cls.__members__)
        return member

    @classmethod
    def most_severe(cls, outcomes: Iterable["Outcome"]) -> "Outcome":
        return max(outcomes, key=lambda outcome: outcome.severity, default=cls.PASS)


@dataclass(frozen=True)
class Measure:
    """A number computed from a deal."""

    name: str
    unit: Unit
    formula: Expression
    title: str
    meaning: str = ""
    source: str = ""
    reading: str = ""
    only_where_read: bool = False
    """Of a shipped measure that came after policies had been recorded: the content of one that does not read it is as it was."""


@dataclass(frozen=True)
class Row:
    """One row of a limit's table. `origin` says where it stands, for evidence.

    `path` leads to it from the limit's entry in the document: ("rows", 2), ("default",), or ("table", 2) for a row of a file.
    """

    when: Expression | None
    limit: Expression
    origin: str
    path: tuple[str | int, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Limit:
    """A number the policy sets, often by tier: a decision table.

    `hit_policy` is `first`, `unique`, `any` or `collect` with an `aggregate`. A table by priority is one by `first`, its rows in
    the order of priority; the default of such a table is its last row. The others keep theirs in `default`.
    """

    name: str
    unit: Unit
    hit_policy: str
    rows: tuple[Row, ...]
    aggregate: str = ""
    default: Row | None = None

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """The rows, and after them the default."""
        return (*self.rows, self.default) if self.default else self.rows


@dataclass(frozen=True)
class Mitigation:
    when: Expression
    to: Outcome


@dataclass(frozen=True)
class Rule:
    """`require` is the promise; its breach, where the rule applies, is the finding."""

    id: str
    title: str
    applies: Expression | None
    require: Expression
    otherwise: Outcome
    reason: str
    mitigated_by: Mitigation | None

    def expressions(self) -> tuple[Expression, ...]:
        mitigation = (self.mitigated_by.when,) if self.mitigated_by else ()
        return (*((self.applies,) if self.applies else ()), self.require, *mitigation)

    def rests_on(self) -> tuple[str, ...]:
        """The rules whose results this rule reads, in the order it names them."""
        names = [
            node.rule for expression in self.expressions() for node in walk(expression) if isinstance(node, Violated)
        ]
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class Example:
    """A deal the document states together with what must come of it."""

    name: str
    deal: Mapping[str, Any]
    expect: Mapping[str, Any]
    line: int = 0
    column: int = 0


@dataclass(frozen=True)
class Guarantee:
    """What the document promises of every possible deal: `never` is true of none."""

    never: Expression


@dataclass(frozen=True)
class Policy:
    """A checked policy version. Read one with `read_policy` or `Policy.from_text`."""

    name: str
    version: str
    title: str
    effective_from: date
    effective_to: date | None
    on_unknown: Outcome
    collateral_value: Mapping[str, tuple[str, ...]]
    measures: Mapping[str, Measure]
    limits: Mapping[str, Limit]
    rules: tuple[Rule, ...]
    equity: Equity
    examples: tuple[Example, ...]
    file: str = ""
    guarantees: tuple[Guarantee, ...] = ()
    applies_to: Expression | None = None
    """Which deals the policy answers for; None for every deal."""
    time_zone: str = UTC
    """Whose days `effective_from` and `effective_to` are."""
    overrides: Overrides | None = None
    """Who may override its findings; None lets nobody."""

    @classmethod
    def from_text(cls, text: str, file: str = "policy", find_table: FindTable | None = None) -> Self:
        """Read a policy document; `find_table` gives the content of a table's file. Raises `PolicyError` with every problem found."""
        from dealgate.rules.reading import read_policy  # noqa: PLC0415  the reader builds this class

        policy = read_policy(text, file, find_table)
        assert isinstance(policy, cls)
        return policy

    @cached_property
    def definitions(self) -> tuple[Measure | Limit, ...]:
        """Measures and limits, each after everything it reads."""
        return tuple(in_order({**self.measures, **self.limits}, definition_reads))

    @cached_property
    def read_by_rules(self) -> frozenset[str]:
        """The measures and limits that rules rest on, directly or through others."""
        return self._closure(name for rule in self.rules for part in rule.expressions() for name in _names(part))

    def read_for(self, names: Iterable[str]) -> tuple[Measure | Limit, ...]:
        """The definitions that rules rest on, and those of the named measures with all that they read."""
        wanted = self.read_by_rules | self._closure(names)
        return tuple(definition for definition in self.definitions if definition.name in wanted)

    def everything_read(self, *expressions: Expression | None) -> Iterator[Expression]:
        """Every node of expressions and of what they rest on, through measures and limits."""
        seen: set[str] = set()
        waiting = list(expressions)
        while waiting:
            for node in walk(waiting.pop()):
                yield node
                if isinstance(node, MeasureName | LimitName) and node.name not in seen:
                    seen.add(node.name)
                    defined = self.measures if isinstance(node, MeasureName) else self.limits
                    waiting += definition_expressions(defined[node.name])

    def _closure(self, names: Iterable[str]) -> frozenset[str]:
        defined: dict[str, Measure | Limit] = {**self.measures, **self.limits}
        waiting = list(names)
        found: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += definition_reads(defined[name])
        return frozenset(found)

    @cached_property
    def layers(self) -> tuple[tuple[Rule, ...], ...]:
        """Rules by depth: a rule stands in the first layer after all rules it reads with `violated()`."""
        depth: dict[str, int] = {}
        for rule in in_order({rule.id: rule for rule in self.rules}, Rule.rests_on):
            depth[rule.id] = 1 + max((depth[name] for name in rule.rests_on()), default=-1)
        layers: list[list[Rule]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
        for rule in self.rules:
            layers[depth[rule.id]].append(rule)
        return tuple(map(tuple, layers))

    def severities(self, rule: Rule) -> Mapping[str, Outcome]:
        """What each result of a rule means for the submission."""
        mitigated = rule.mitigated_by.to if rule.mitigated_by else Outcome.PASS
        return {
            "pass": Outcome.PASS,
            "violated": rule.otherwise,
            "mitigated": mitigated,
            "not_applicable": Outcome.PASS,
            "not_evaluable": self.on_unknown,
        }

    def outcome(self, results: Mapping[str, str]) -> Outcome:
        """What follows for the submission from the results of its rules."""
        return Outcome.most_severe(self.severities(rule)[results[rule.id]] for rule in self.rules)

    @cached_property
    def content(self) -> dict[str, Any]:
        """Everything that can bear on a decision, shipped measures included, in one spelling. It is itself a policy document."""
        content: dict[str, Any] = {
            "policy": self.name,
            "version": self.version,
            "title": self.title,
            "effective_from": self.effective_from.isoformat(),
            "on_unknown": self.on_unknown.value,
            "collateral_value": {condition: list(bases) for condition, bases in self.collateral_value.items()},
            "equity": _equity_content(self.equity),
            "measures": {name: _measure_content(self.measures[name]) for name in self._recorded},
            "limits": {name: _limit_content(limit) for name, limit in self.limits.items()},
            "rules": [_rule_content(rule) for rule in self.rules],
            "examples": [
                {"name": example.name, "deal": example.deal, "expect": example.expect} for example in self.examples
            ],
        }
        if self.effective_to:
            content["effective_to"] = self.effective_to.isoformat()
        if self.time_zone != UTC:
            content["time_zone"] = self.time_zone
        if self.applies_to is not None:
            content["applies_to"] = expression_text(self.applies_to)
        if self.guarantees:
            content["guarantees"] = [{"never": expression_text(guarantee.never)} for guarantee in self.guarantees]
        if self.overrides:
            content["overrides"] = self.overrides.document()
        return content

    @cached_property
    def _recorded(self) -> list[str]:
        """The measures of the content."""
        always = [name for name, measure in self.measures.items() if not measure.only_where_read]
        promised = [name for guarantee in self.guarantees for name in _names(guarantee.never)]
        read = self.read_by_rules | self._closure([*always, *self.limits, *promised])
        return [name for name in self.measures if name in read]

    @cached_property
    def canonical(self) -> str:
        """The content as JSON with sorted names and no spare characters: what the hash is over."""
        return json.dumps(self.content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @cached_property
    def self_contained(self) -> str:
        """The content with the origin of every row, as a document: it needs no file, and its evidence is the same."""
        limits = {name: dict(content) for name, content in self.content["limits"].items()}
        for name, content in limits.items():
            rows = zip(content["rows"], self.limits[name].rows, strict=True)
            content["rows"] = [{**written, "origin": row.origin} for written, row in rows]
        return json.dumps({**self.content, "limits": limits}, sort_keys=True, indent=1, ensure_ascii=False)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.canonical.encode()).hexdigest()


def definition_reads(definition: Measure | Limit) -> list[str]:
    """The measures and limits a definition names."""
    return [name for expression in definition_expressions(definition) for name in _names(expression)]


def definition_expressions(definition: Measure | Limit) -> list[Expression | None]:
    """The expressions of a definition; a row that always matches has None for its condition."""
    if isinstance(definition, Measure):
        return [definition.formula]
    return [part for row in definition.all_rows for part in (row.when, row.limit)]


def _names(expression: Expression | None) -> list[str]:
    return [node.name for node in walk(expression) if isinstance(node, MeasureName | LimitName)]


class CycleError(ValueError):
    """Definitions that rest on themselves; `names` runs once around."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        super().__init__(" -> ".join(names))


def in_order(things: Mapping[str, Any], reads: Any) -> list[Any]:
    """Sort named things so that each comes after what it reads. Raises `CycleError`."""
    ordered: dict[str, Any] = {}
    for start in things:
        path: dict[str, list[str]] = {start: list(reads(things[start]))} if start not in ordered else {}
        while path:
            name = next(reversed(path))
            needed = next((other for other in path[name] if other not in ordered and other in things), None)
            if needed is None:
                ordered[name] = things[name]
                path.popitem()
                continue
            if needed in path:
                names = list(path)
                raise CycleError([*names[names.index(needed) :], needed])
            path[needed] = list(reads(things[needed]))
    return list(ordered.values())


def _equity_content(equity: Equity) -> dict[str, Any]:
    curve = equity.curve
    return {
        "curve": {
            "name": curve.name,
            "title": curve.title,
            "source": curve.source,
            "retained": [number_text(share) for share in curve.retained],
        },
        "wholesale_factor": number_text(equity.wholesale_factor),
        "disposal_cost": number_text(equity.disposal_cost),
    }


def _measure_content(measure: Measure) -> dict[str, str]:
    content = {
        "unit": measure.unit.value,
        "formula": expression_text(measure.formula),
        "title": measure.title,
        "meaning": measure.meaning,
        "source": measure.source,
        "reading": measure.reading,
    }
    return {key: value for key, value in content.items() if value}


def _limit_content(limit: Limit) -> dict[str, Any]:
    content: dict[str, Any] = {
        "unit": limit.unit.value,
        "hit_policy": limit.hit_policy,
        "rows": [
            {"limit": expression_text(row.limit)} | ({"when": expression_text(row.when)} if row.when else {})
            for row in limit.rows
        ],
    }
    if limit.aggregate:
        content["aggregate"] = limit.aggregate
    if limit.default:
        content["default"] = expression_text(limit.default.limit)
    elif limit.aggregate != "count" and all(row.when for row in limit.rows):
        content["on_no_hit"] = "unknown"
    return content


def _rule_content(rule: Rule) -> dict[str, Any]:
    content: dict[str, Any] = {
        "id": rule.id,
        "title": rule.title,
        "require": expression_text(rule.require),
        "otherwise": rule.otherwise.value,
        "reason": rule.reason,
    }
    if rule.applies:
        content["applies"] = expression_text(rule.applies)
    if rule.mitigated_by:
        content["mitigated_by"] = {"when": expression_text(rule.mitigated_by.when), "to": rule.mitigated_by.to.value}
    return content
