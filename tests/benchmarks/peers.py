"""What a user would pick instead, given the same rules and, unlike dealgate, finished measures and looked-up limits."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import durable_rules_engine
import rule_engine
import zen
from durable import engine

from tests.benchmarks.contenders import Contender, rotation
from tests.benchmarks.deals import Deals, PlainFacts
from tests.benchmarks.workload import Breach, PlainRule, Workload

DURABLE_HOST = "durable_rules, Host"
DURABLE_MODULE = "durable_rules, C module"
ZEN = "Zen, decision table"
ZEN_TRACED = "Zen, decision table, traced"
ZEN_CELLS = "Zen, table of one column"
ZEN_CELLS_TRACED = "Zen, table of one column, traced"
ZEN_EXPRESSIONS = "Zen, expressions"
ZEN_EXPRESSIONS_TRACED = "Zen, expressions, traced"
RULE_ENGINE = "rule-engine"

WHAT = {
    DURABLE_HOST: "`assert_fact`, an action for every violated rule, `delete_state`, through the package's own `Host`",
    DURABLE_MODULE: "the same rulesets, driven through the C functions under `Host`",
    ZEN: "a decision table, hit policy collect, a column for each measure, a row for each rule; precompiled `ZenDecisionContent`",
    ZEN_TRACED: "the same with `trace`: the rows that matched, with the values they read",
    ZEN_CELLS: "a table with every rule's whole condition in one cell; precompiled",
    ZEN_CELLS_TRACED: "the same with `trace`: the numbers of the rows that matched, no values",
    ZEN_EXPRESSIONS: "one expression node, true or false for every rule; precompiled",
    ZEN_EXPRESSIONS_TRACED: "the same with `trace`: true or false for every rule, no values",
    RULE_ENGINE: "one `Rule` a rule, `matches` on the dictionary of facts",
}

RULES_IN_RULESET = 200
"""durable_rules has room for 512 first conditions and 255 properties: a larger policy is spread over several rulesets."""

SENTINEL = "sentinel"

QuietHost = type("QuietHost", (engine.Host,), {"_run": lambda host: None})
"""The package's own host without its two timer threads, which would run beside every other contender."""


def peers(deals: Deals, workload: Workload) -> list[Contender]:
    facts = rotation(deals, workload)
    return [
        *_durable_rules(workload.rules, facts),
        *_zen(workload.rules, facts),
        _rule_engine(workload.rules, facts),
    ]


def _durable_rules(rules: Sequence[PlainRule], facts: Sequence[PlainFacts]) -> Iterator[Contender]:
    parts = [rules[start : start + RULES_IN_RULESET] for start in range(0, len(rules), RULES_IN_RULESET)]
    inputs = [[durable_fact(part, one) for part in parts] for one in facts]
    definitions = [durable_ruleset(part) for part in parts]
    yield Contender(DURABLE_HOST, _through_host(definitions), inputs, _without_sentinel)
    yield Contender(DURABLE_MODULE, _through_module(definitions), inputs, _without_sentinel)


_SENTINEL_RULE: dict[str, Any] = {"all": [{"m": {"always": 1}}]}
"""Without a rule that always matches, `delete_state` after a clean deal crashes the process."""


def durable_ruleset(rules: Sequence[PlainRule]) -> dict[str, Any]:
    return {rule.rule: _durable_rule(rule) for rule in rules} | {SENTINEL: _SENTINEL_RULE}


def _durable_rule(rule: PlainRule) -> dict[str, Any]:
    tests: list[dict[str, Any]] = [_durable_test(breach) for breach in rule.breaches]
    if rule.condition:
        tests.append({"condition": rule.condition})
    return {"all": [{"m": tests[0] if len(tests) == 1 else {"$and": tests}}]}


def _durable_test(breach: Breach) -> dict[str, Any]:
    limit = {"$m": breach.limit} if isinstance(breach.limit, str) else breach.limit
    return {{">": "$gt", "<": "$lt"}[breach.operator]: {breach.measure: limit}}


def durable_fact(rules: Sequence[PlainRule], facts: PlainFacts) -> dict[str, int | str]:
    """Only the facts these rules read: a durable_rules fact holds 255 properties."""
    names = {"condition"}
    for rule in rules:
        for breach in rule.breaches:
            names |= {breach.measure} | ({breach.limit} if isinstance(breach.limit, str) else set())
    return {"always": 1} | {name: value for name, value in facts.items() if name in names}


def _through_host(definitions: Sequence[Mapping[str, Any]]) -> Callable[[Sequence[PlainFacts]], list[str]]:
    host = QuietHost()
    found: list[str] = []

    def action(rule: str) -> Callable[[Any], None]:
        def run(_: Any) -> None:
            found.append(rule)

        return run

    for number, definition in enumerate(definitions):
        rules = {rule: {**parts, "run": action(rule)} for rule, parts in definition.items()}
        host.register_rulesets({f"policy_{number}": rules})
    names = [f"policy_{number}" for number in range(len(definitions))]
    sids = count(1)

    def evaluate(parts: Sequence[PlainFacts]) -> list[str]:
        found.clear()
        sid = str(next(sids))
        for name, facts in zip(names, parts, strict=True):
            host.assert_fact(name, {"sid": sid, **facts})
            host.delete_state(name, sid)
        return list(found)

    return evaluate


def _through_module(definitions: Sequence[Mapping[str, Any]]) -> Callable[[Sequence[PlainFacts]], list[str]]:
    handles = [
        durable_rules_engine.create_ruleset(f"module_{number}", json.dumps(definition))
        for number, definition in enumerate(definitions)
    ]
    sids = count(1)

    def evaluate(parts: Sequence[PlainFacts]) -> list[str]:
        found = []
        sid = str(next(sids))
        for handle, facts in zip(handles, parts, strict=True):
            _, state = durable_rules_engine.assert_fact(handle, json.dumps({"sid": sid, **facts}))
            _, message = durable_rules_engine.start_action_for_state(handle, state)
            while message:
                found.append(message[2 : message.index('"', 2)])
                message = durable_rules_engine.complete_and_start_action(handle, state)
            durable_rules_engine.delete_state(handle, sid)
        return found

    return evaluate


def _without_sentinel(found: Sequence[str]) -> frozenset[str]:
    assert SENTINEL in found, "the ruleset did not run"
    return frozenset(found) - {SENTINEL}


def _expression(rule: PlainRule) -> str:
    tests = [f"{breach.measure} {breach.operator} {breach.limit}" for breach in rule.breaches]
    if rule.condition:
        tests.append(f'condition == "{rule.condition}"')
    return " and ".join(tests)


def _zen(rules: Sequence[PlainRule], facts: Sequence[PlainFacts]) -> Iterator[Contender]:
    expressions = [{"id": rule.rule, "key": rule.rule, "value": _expression(rule)} for rule in rules]
    graphs = {
        "table": zen_table(rules),
        "cells": _table(["violated when"], [(rule.rule, [_expression(rule)]) for rule in rules], fields=False),
        "expressions": _graph("expressionNode", {"expressions": expressions}),
    }
    loaded = {name: zen.ZenDecisionContent(json.dumps(graph)) for name, graph in graphs.items()}
    decisions = zen.ZenEngine({"loader": loaded.__getitem__})

    def untraced(name: str) -> Callable[[PlainFacts], Any]:
        return lambda given: decisions.evaluate(name, given)

    def traced(name: str) -> Callable[[PlainFacts], Any]:
        return lambda given: decisions.evaluate(name, given, {"trace": True})

    yield Contender(ZEN, untraced("table"), facts, _rows_found)
    yield Contender(ZEN_TRACED, traced("table"), facts, _rows_found)
    yield Contender(ZEN_CELLS, untraced("cells"), facts, _rows_found)
    yield Contender(ZEN_CELLS_TRACED, traced("cells"), facts, _rows_found)
    yield Contender(ZEN_EXPRESSIONS, untraced("expressions"), facts, _expressions_found)
    yield Contender(ZEN_EXPRESSIONS_TRACED, traced("expressions"), facts, _expressions_found)


def zen_table(rules: Sequence[PlainRule]) -> dict[str, Any]:
    """The policy as an analyst would draw it: a column for each measure, the limit in the cell."""
    columns = [*dict.fromkeys(breach.measure for rule in rules for breach in rule.breaches), "condition"]
    rows = []
    for rule in rules:
        cells = {breach.measure: f"{breach.operator} {breach.limit}" for breach in rule.breaches}
        if rule.condition:
            cells["condition"] = json.dumps(rule.condition)
        rows.append((rule.rule, [cells.get(column, "") for column in columns]))
    return _table(columns, rows, fields=True)


def _table(columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], *, fields: bool) -> dict[str, Any]:
    """A JDM graph with one decision table. A column without a field holds whole conditions."""
    table = {
        "hitPolicy": "collect",
        "inputs": [{"id": name, "name": name} | ({"field": name} if fields else {}) for name in columns],
        "outputs": [{"id": "rule", "name": "rule", "field": "rule"}],
        "rules": [
            {"_id": rule, "rule": json.dumps(rule)} | dict(zip(columns, cells, strict=True)) for rule, cells in rows
        ],
    }
    return _graph("decisionTableNode", table)


def _graph(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Input, one node, output."""
    nodes = [
        {"id": "deal", "type": "inputNode", "name": "deal"},
        {"id": "policy", "type": kind, "name": "policy", "content": content},
        {"id": "findings", "type": "outputNode", "name": "findings"},
    ]
    edges = [
        {"id": f"{source}-{target}", "sourceId": source, "targetId": target, "type": "edge"}
        for source, target in (("deal", "policy"), ("policy", "findings"))
    ]
    return {"nodes": nodes, "edges": edges}


def _rows_found(answer: Any) -> frozenset[str]:
    return frozenset(row["rule"] for row in answer["result"])


def _expressions_found(answer: Any) -> frozenset[str]:
    return frozenset(rule for rule, violated in answer["result"].items() if violated)


def _rule_engine(rules: Sequence[PlainRule], facts: Sequence[PlainFacts]) -> Contender:
    compiled = [(rule.rule, rule_engine.Rule(_expression(rule))) for rule in rules]

    def evaluate(given: PlainFacts) -> list[str]:
        return [name for name, rule in compiled if rule.matches(given)]

    return Contender(RULE_ENGINE, evaluate, facts, frozenset)
