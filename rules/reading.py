"""From the text of a policy document to a `Policy`, or to every problem in it."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any

from dealgate.rules.authority_reading import read_overrides
from dealgate.rules.checking import FUNCTIONS, NUMERIC, Scope, read_expression
from dealgate.rules.deal import DealError, PartialDeal
from dealgate.rules.document import (
    List,
    Node,
    Place,
    PolicyError,
    Report,
    Scalar,
    Table,
    did_you_mean,
    locate,
    parse_yaml,
    plain,
)
from dealgate.rules.equity import Curve, Equity
from dealgate.rules.expressions import Expression, Number, Truth
from dealgate.rules.fields import FIELDS, LISTS, Unit
from dealgate.rules.limit_reading import LimitReader
from dealgate.rules.magnitude import MOST_FACTORS, too_large
from dealgate.rules.parsing import ExpressionError
from dealgate.rules.policy import (
    CycleError,
    Example,
    Guarantee,
    Limit,
    Measure,
    Mitigation,
    Outcome,
    Policy,
    Rule,
    definition_reads,
    in_order,
)
from dealgate.rules.scope_reading import check_own_fields, read_period
from dealgate.rules.table_files import FindTable

ENGINE_FAILURE = "ENGINE-FAILURE"
ENGINE_DISAGREEMENT = "ENGINE-DISAGREEMENT"
POLICY_IN_FORCE = "POLICY-IN-FORCE"
OF_THE_ENGINE = (ENGINE_FAILURE, ENGINE_DISAGREEMENT)
RESERVED_RULES = {*OF_THE_ENGINE, POLICY_IN_FORCE}
"""What the gate itself finds: no rule of a policy is called so, and nobody overrides it."""

RULE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", re.ASCII)
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII)

MOST_RULES, MOST_EXAMPLES = 5_000, 500
"""Each rule is compiled and proved on every deal, and each example is such a deal."""

HEAD = ("policy", "version", "title", "effective_from", "rules")
BODY = (
    "effective_to", "time_zone", "applies_to", "on_unknown", "collateral_value", "equity", "measures", "limits", "guarantees",
    "overrides", "examples",
)  # fmt: skip


def read_policy(
    text: str, file: str = "policy", find_table: FindTable | None = None, *, allow_gaps: bool = False
) -> Policy:
    """Read and check one policy document; `find_table` gives the content of a table's file.

    Raises `PolicyError` with every problem found. With `allow_gaps` tables may lack their last row: only a review, which
    looks for a deal in the gap, reads that way.
    """
    text = text.removeprefix("\ufeff")
    report = Report(file, text)
    try:
        root = parse_yaml(text)
    except PolicyError as error:
        report.adopt(error)
        raise PolicyError(report.problems) from None
    reader = _Reader(report, shipped_measures(), find_table)
    reader.allow_gaps = allow_gaps
    policy = reader.policy(root)
    if policy is None:
        raise PolicyError(report.problems)
    return policy


@cache
def shipped_measures() -> Mapping[str, Measure]:
    """The catalogue in measures.yaml."""
    text = (files("dealgate.rules") / "measures.yaml").read_text(encoding="utf-8")
    report = Report("measures.yaml", text)
    measures = _Reader(report, {}).measures(parse_yaml(text))
    if report.problems:
        raise PolicyError(report.problems)
    return measures


@cache
def shipped_curves() -> Mapping[str, Curve]:
    """The depreciation tables in curves.yaml."""
    text = (files("dealgate.rules") / "curves.yaml").read_text(encoding="utf-8")
    report = Report("curves.yaml", text)
    root = parse_yaml(text)
    assert isinstance(root, Table)
    curves = {name: _Reader(report, {}).curve(node, name) for name, node in root.entries.items()}
    if report.problems:
        raise PolicyError(report.problems)
    return {name: curve for name, curve in curves.items() if curve}


def read_equity(content: Mapping[str, Any]) -> Equity:
    """The assumptions as a policy's content and a decision carry them. Raises `PolicyError`."""
    text = json.dumps(content)
    report = Report("equity", text)
    equity = _Reader(report, {}).equity(parse_yaml(text))
    if report.problems:
        raise PolicyError(report.problems)
    return equity


DEFAULT_CURVE = "kbb_calculator"


class _Reader:
    def __init__(self, report: Report, shipped: Mapping[str, Measure], find_table: FindTable | None = None) -> None:
        self.report = report
        self.find_table = find_table
        self.shipped = shipped
        self.allow_gaps = False
        self.scope = Scope({name: measure.unit for name, measure in shipped.items()})

    def policy(self, root: Node) -> Policy | None:
        entries = self.report.table(root, "a policy", HEAD, BODY)
        limit_nodes = self._tables(entries.get("limits"), "limits")
        self._declare(entries.get("measures"), entries.get("limits"), entries.get("rules"))
        measures = {**self.shipped, **self.measures(entries.get("measures"))}
        reader = LimitReader(self.report, self.scope, self._expression, self.find_table)
        reader.allow_gaps = self.allow_gaps
        limits = {name: limit for name, node in limit_nodes.items() if (limit := reader.limit(name, node))}
        self._refuse_cycles(entries, {**measures, **limits})
        rules = self._rules(entries.get("rules"))
        period = read_period(self.report, entries)
        head = {key: self._head(entries.get(key), key) for key in ("policy", "version", "title")}
        policy = Policy(
            name=head["policy"],
            version=head["version"],
            title=head["title"],
            effective_from=period.effective_from,
            effective_to=period.effective_to,
            on_unknown=self._on_unknown(entries.get("on_unknown")),
            collateral_value=self._collateral_value(entries.get("collateral_value")),
            measures=measures,
            limits=limits,
            rules=rules,
            equity=self.equity(entries.get("equity")),
            examples=self._examples(entries.get("examples"), self.scope.measures),
            file=self.report.file,
            guarantees=self._guarantees(entries.get("guarantees")),
            applies_to=self._applies_to(entries.get("applies_to")),
            time_zone=period.time_zone,
            overrides=read_overrides(
                self.report, entries.get("overrides"), sorted(self.rule_scope.rules or ()), self._constant
            ),
        )
        return None if self.report.problems else policy

    # Names come first, so that every expression can be checked against all of them.

    def _tables(self, node: Node | None, what: str) -> dict[str, Node]:
        if node is None:
            return {}
        if not isinstance(node, Table):
            self.report.add(node.place, f"{what} must be a mapping of names to values")
            return {}
        return dict(node.entries)

    def _declare(self, measures: Node | None, limits: Node | None, rules: Node | None) -> None:
        units = {name: measure.unit for name, measure in self.shipped.items()}
        limit_units: dict[str, Unit] = {}
        for name, node in self._tables(measures, "measures").items():
            units[name] = self._unit(node)
        for name, node in self._tables(limits, "limits").items():
            limit_units[name] = self._unit(node)
        keys = [key for section in (measures, limits) if isinstance(section, Table) for key in section.keys.items()]
        for name, key in keys:
            place = key.at(0, len(name))
            if name in units and name in limit_units:
                self.report.add(place, f"{name!r} is both a limit and a measure", "Give the limit a name of its own.")
            if (
                name in FIELDS
                or name in LISTS
                or name in FUNCTIONS
                or name in {"and", "or", "not", "in", "true", "false"}
            ):
                self.report.add(place, f"{name!r} already has a meaning in the language", "Choose another name.")
            elif not NAME.fullmatch(name):
                self.report.add(place, f"{name!r} is not a name", "Use lower-case letters, digits and underscores.")
        ids = [
            entry.value
            for rule in (rules.items if isinstance(rules, List) else ())
            if isinstance(rule, Table) and isinstance(entry := rule.entries.get("id"), Scalar)
        ]
        self.scope = Scope(units, limit_units)
        self.rule_scope = Scope(units, limit_units, frozenset(ids))

    def _unit(self, node: Node) -> Unit:
        """The declared unit, for name resolution; mistakes are reported where the entry itself is read."""
        unit = node.entries.get("unit") if isinstance(node, Table) else None
        value = unit.value if isinstance(unit, Scalar) else ""
        return Unit(value) if value in {unit.value for unit in NUMERIC} else Unit.MONEY

    # Parts of the document

    def _head(self, node: Node | None, what: str) -> str:
        if node is None:
            return ""
        text = self.report.text(node, what)
        if len(text) > 200 or any(ord(character) < 32 for character in text):
            self.report.add(node.place, f"{what} is one line of at most 200 characters")
        return text

    def _applies_to(self, node: Node | None) -> Expression | None:
        condition = self._expression(node, self.scope, Unit.BOOLEAN)
        if isinstance(node, Scalar) and condition is not None:
            check_own_fields(self.report, node, condition)
        return condition

    def _on_unknown(self, node: Node | None) -> Outcome:
        if node is None:
            return Outcome.REFER
        word = self.report.word(node, "on_unknown", [Outcome.REFER.value, Outcome.DECLINE.value])
        return Outcome(word) if word else Outcome.REFER

    def _collateral_value(self, node: Node | None) -> dict[str, tuple[str, ...]]:
        if node is None:
            return {"new": (), "used": ()}
        entries = self.report.table(node, "collateral_value", (), ("new", "used"))
        lists = {
            key: tuple(self.report.text(item, "a basis") for item in self.report.list(value, key))
            for key, value in entries.items()
        }
        for key, bases in lists.items():
            if len(set(bases)) < len(bases):
                self.report.add(entries[key].place, f"the list for {key} vehicles names a basis twice")
        return {"new": lists.get("new", ()), "used": lists.get("used", ())}

    def equity(self, node: Node | None) -> Equity:
        """Without a word in the policy: Kelley Blue Book's table, the whole value, no cost of disposal."""
        curves = shipped_curves()
        entries = self.report.table(node, "equity", (), ("curve", "wholesale_factor", "disposal_cost")) if node else {}
        curve: Curve | None = curves[DEFAULT_CURVE]
        chosen = entries.get("curve")
        if isinstance(chosen, Scalar):
            name = self.report.word(chosen, "a shipped curve", list(curves))
            curve = curves.get(name)
        elif chosen:
            curve = self.curve(chosen)
        whole, nothing = Number(Unit.PERCENT, 1), Number(Unit.MONEY, 0)
        factor = self._constant(entries.get("wholesale_factor"), Unit.PERCENT) or whole
        cost = self._constant(entries.get("disposal_cost"), Unit.MONEY) or nothing
        if not 0 < factor.numerator <= factor.denominator:
            self.report.add(entries["wholesale_factor"].place, "wholesale_factor is above 0% and at most 100%")
        if cost.numerator < 0:
            self.report.add(entries["disposal_cost"].place, "disposal_cost is not below $0")
        return Equity(curve or curves[DEFAULT_CURVE], factor, cost)

    def curve(self, node: Node, name: str = "") -> Curve | None:
        """A depreciation table: shares of the first value, none above the one before it."""
        entries = self.report.table(node, "a curve", ("title", "source", "retained"), ("name",))
        texts = {key: self._head(entries.get(key), key) for key in ("name", "title", "source")}
        items = self.report.list(entries["retained"], "retained") if "retained" in entries else []
        shares = [self._constant(item, Unit.PERCENT) for item in items]
        if "retained" in entries and not 0 < len(shares) <= 30:
            self.report.add(entries["retained"].place, "retained lists a share for each of 1 to 30 years")
        before = Fraction(1)
        for item, share in zip(items, shares, strict=True):
            retained = Fraction(share.numerator, share.denominator) if share else before
            if not 0 < retained <= before:
                self.report.add(
                    item.place, "a retained share is above 0% and not above the year before it, at first 100%"
                )
            before = max(retained, Fraction(0))
        if not shares or None in shares:
            return None
        return Curve(
            name or texts["name"] or "own", texts["title"], texts["source"], tuple(share for share in shares if share)
        )

    def _constant(self, node: Node | None, unit: Unit) -> Number | None:
        """A plain number of a unit."""
        expression = self._expression(node, Scope(), unit)
        if expression is None or isinstance(expression, Number):
            return expression
        assert node is not None
        self.report.add(node.place, "a plain number is needed here")
        return None

    def measures(self, node: Node | None) -> dict[str, Measure]:
        if not self.shipped and node is not None:
            self._declare(node, None, None)
        found = {}
        for name, entry in self._tables(node, "measures").items():
            words_allowed = ("title", "meaning", "source", "reading", *(() if self.shipped else ("recorded",)))
            parts = self.report.table(entry, f"measure {name}", ("unit", "formula"), words_allowed)
            unit = (
                self.report.word(parts["unit"], "the unit of a measure", [u.value for u in Unit if u in NUMERIC])
                if "unit" in parts
                else ""
            )
            formula = self._expression(parts.get("formula"), self.scope, Unit(unit) if unit else None)
            shipped = self.shipped.get(name)
            if shipped and unit and shipped.unit != unit:
                self.report.add(
                    parts["unit"].place,
                    f"{name} is a shipped measure in {shipped.unit}; a policy may change its formula, not its unit",
                )
            if formula is None or not unit:
                continue
            words: dict[str, str] = {
                key: self.report.text(parts[key], key)
                for key in ("title", "meaning", "source", "reading")
                if key in parts
            }
            if shipped:
                words = {"title": shipped.title, "meaning": shipped.meaning, "reading": shipped.reading} | words
            words = {"title": name.replace("_", " ").capitalize()} | words
            found[name] = Measure(name, Unit(unit), formula, only_where_read="recorded" in parts, **words)
        return found

    def _rules(self, node: Node | None) -> tuple[Rule, ...]:
        if node is None:
            return ()
        items = self.report.list(node, "rules")
        if not items:
            self.report.add(node.place, "a policy has at least one rule")
        self._bound(node, "rules", len(items), MOST_RULES)
        found: dict[str, Rule] = {}
        for item in items:
            rule = self._rule(item)
            if rule and rule.id in found:
                place = locate(item, "id")
                self.report.add(
                    place,
                    f"the id {rule.id!r} is taken by an earlier rule",
                    "Ids are what findings are known by: choose another.",
                )
            elif rule:
                found[rule.id] = rule
        try:
            in_order(found, Rule.rests_on)
        except CycleError as error:
            self.report.add(node.place, f"rules rest on each other in a circle: {error}")
        return tuple(found.values())

    def _rule(self, node: Node) -> Rule | None:
        parts = self.report.table(
            node, "a rule", ("id", "title", "require", "otherwise", "reason"), ("applies", "mitigated_by")
        )
        before = len(self.report.problems)
        texts = {key: self._head(parts.get(key), key) for key in ("id", "title", "reason")}
        if texts["id"] and (not RULE_ID.fullmatch(texts["id"]) or texts["id"] in RESERVED_RULES):
            self.report.add(
                parts["id"].place,
                f"{texts['id']!r} cannot be a rule id",
                "Use letters, digits, '-', '_' and '.', for example LTV-TOTAL.",
            )
        applies = self._expression(parts["applies"], self.rule_scope, Unit.BOOLEAN) if "applies" in parts else None
        require = self._expression(parts.get("require"), self.rule_scope, Unit.BOOLEAN)
        outcomes = [outcome.value for outcome in Outcome if outcome != Outcome.PASS]
        otherwise = self.report.word(parts["otherwise"], "otherwise", outcomes) if "otherwise" in parts else ""
        mitigation = self._mitigation(parts["mitigated_by"], otherwise) if "mitigated_by" in parts else None
        if require is None or not otherwise or not all(texts.values()) or len(self.report.problems) > before:
            return None
        if isinstance(require, Truth):
            self.report.add(parts["require"].place, "this requirement does not depend on the deal")
        return Rule(texts["id"], texts["title"], applies, require, Outcome(otherwise), texts["reason"], mitigation)

    def _mitigation(self, node: Node, otherwise: str) -> Mitigation | None:
        parts = self.report.table(node, "mitigated_by", ("when", "to"))
        when = self._expression(parts.get("when"), self.rule_scope, Unit.BOOLEAN)
        to = self.report.word(parts["to"], "to", [outcome.value for outcome in Outcome]) if "to" in parts else ""
        if to and otherwise and Outcome(to).severity >= Outcome(otherwise).severity:
            self.report.add(parts["to"].place, f"a mitigation to {to!r} does not soften {otherwise!r}")
        return Mitigation(when, Outcome(to)) if when is not None and to else None

    def _guarantees(self, node: Node | None) -> tuple[Guarantee, ...]:
        if node is None:
            return ()
        scope = replace(self.rule_scope, outcomes=tuple(outcome.value for outcome in Outcome))
        found = []
        for item in self.report.list(node, "guarantees"):
            parts = self.report.table(item, "a guarantee", ("never",))
            never = self._expression(parts.get("never"), scope, Unit.BOOLEAN)
            if isinstance(never, Truth):
                self.report.add(parts["never"].place, "this guarantee does not depend on the deal")
            elif never is not None:
                found.append(Guarantee(never))
        return tuple(found)

    def _refuse_cycles(self, entries: Mapping[str, Node], definitions: Mapping[str, Measure | Limit]) -> None:
        try:
            name = too_large(in_order(definitions, definition_reads))
        except CycleError as error:
            sections = [entries[key] for key in ("measures", "limits") if key in entries]
            place = next(
                (
                    node.keys[name].place
                    for node in sections
                    if isinstance(node, Table)
                    for name in error.names
                    if name in node.keys
                ),
                Place(1, 1),
            )
            self.report.add(place, f"definitions rest on each other in a circle: {error}")
        else:
            if name:
                self.report.add(
                    next(
                        (locate(node, name) for node in entries.values() if name in getattr(node, "entries", ())),
                        Place(1, 1),
                    ),
                    f"{name} multiplies or divides more than {MOST_FACTORS} numbers, through the measures it reads",
                    "Let measures that read each other multiply less.",
                )

    def _examples(self, node: Node | None, measures: Mapping[str, Unit]) -> tuple[Example, ...]:
        if node is None:
            return ()
        ids = sorted(self.rule_scope.rules or ())
        items = self.report.list(node, "examples")
        self._bound(node, "examples", len(items), MOST_EXAMPLES)
        return tuple(self._example(item, ids, measures) for item in items)

    def _bound(self, node: Node, what: str, count: int, most: int) -> None:
        """Reading ends at once where there are more: it would take too long."""
        if count > most:
            self.report.add(node.place, f"{count:,} {what}; at most {most:,} are read", "Make two policies of it.")
            raise PolicyError(self.report.problems)

    def _example(self, node: Node, ids: list[str], measures: Mapping[str, Unit]) -> Example:
        parts = self.report.table(node, "an example", ("name", "deal", "expect"))
        name = self.report.text(parts["name"], "name") if "name" in parts else ""
        deal = plain(parts["deal"]) if "deal" in parts else {}
        try:
            PartialDeal.read(deal)
        except DealError as error:
            for problem in error.problems:
                self.report.add(
                    locate(parts["deal"], problem.field), f"{problem.field}: {problem.message}", problem.remedy
                )
        expect_node = parts.get("expect")
        if expect_node:
            self._check_expectations(expect_node, ids, measures)
        expect = plain(expect_node) if isinstance(expect_node, Table) else {}
        return Example(name, deal, expect, node.place.line, node.place.column)

    def _check_expectations(self, node: Node, ids: list[str], measures: Mapping[str, Unit]) -> None:
        results = ("pass", "violated", "mitigated", "not_applicable", "not_evaluable")
        expect = self.report.table(node, "expect", (), ("outcome", "measures", *results))
        if "outcome" in expect:
            self.report.word(expect["outcome"], "outcome", [outcome.value for outcome in Outcome])
        for result in results:
            for item in self.report.list(expect[result], result) if result in expect else ():
                self.report.word(item, "a rule in expect", ids)
        named = expect.get("measures")
        if named is not None and not isinstance(named, Table):
            self.report.add(named.place, "measures must be a mapping of names to values")
        for name, scalar in named.keys.items() if isinstance(named, Table) else ():
            if name not in measures:
                self.report.add(scalar.place, f"no measure is called {name!r}", did_you_mean(name, measures))

    def _expression(self, node: Node | None, scope: Scope, wanted: Unit | None) -> Expression | None:
        if node is None:
            return None
        if not isinstance(node, Scalar):
            self.report.add(
                node.place,
                "an expression is needed here",
                "Put quotes around it if it holds brackets, braces or a colon.",
            )
            return None
        self.report.count_expression(node.place, node.value)
        try:
            return read_expression(node.value, scope, wanted)
        except ExpressionError as errors:
            for error in errors:
                self.report.add(node.at(error.start, error.end), error.message, error.suggestion)
            return None
