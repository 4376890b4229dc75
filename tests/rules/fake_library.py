"""A small honest stand-in for the C module durable_rules_engine: it matches, fires and keeps sessions, with the module's traps."""

import json
from collections.abc import Iterator
from operator import ge, gt, le, lt, ne
from typing import Any

import pytest

Condition = dict[str, Any]

OPERATORS = {"$lt": lt, "$lte": le, "$gt": gt, "$gte": ge, "$neq": ne}


class SegmentationFault(BaseException):
    """Where the real module would take the process down."""


def holds(condition: Condition, fact: dict[str, int]) -> bool:
    [(name, operand)] = condition.items()
    if name == "$and":
        return all(holds(part, fact) for part in operand)
    if name in OPERATORS:
        [(field, number)] = operand.items()
        return field in fact and bool(OPERATORS[name](fact[field], number))
    assert not name.startswith("$"), f"{name} is one of the module's traps"
    return name in fact and fact[name] == operand


def conditions_of(definition: dict[str, Any]) -> Iterator[tuple[str, list[Condition]]]:
    """Each rule of a ruleset with its conditions, first things first."""
    for rule, body in definition.items():
        [match] = body["all"]
        condition = match["m"]
        yield rule, condition.get("$and", [condition])


class FakeLibrary:
    """Rulesets by handle, sessions by handle and sid, everything that was asserted or defined kept for the test to see."""

    def __init__(self) -> None:
        self.rulesets: dict[int, dict[str, Any]] = {}
        self.sessions: dict[tuple[int, str], list[str]] = {}
        self.definitions: list[dict[str, Any]] = []
        self.facts: list[dict[str, Any]] = []
        self.states: dict[int, list[str]] = {}

    def create_ruleset(self, name: str, definition: str) -> int:
        handle = len(self.definitions) + 1
        self.rulesets[handle] = json.loads(definition)
        self.definitions.append(self.rulesets[handle])
        return handle

    def delete_ruleset(self, handle: int) -> None:
        del self.rulesets[handle]
        for key in [key for key in self.sessions if key[0] == handle]:
            del self.sessions[key]

    def assert_fact(self, handle: int, fact: str) -> tuple[int, int]:
        properties = json.loads(fact)
        if len(self.sessions) >= 1024:
            raise MemoryError
        if len(properties) > 255:
            raise RuntimeError("Could not assert fact, error code: 302")
        self.facts.append(properties)
        rules = dict(conditions_of(self.rulesets[handle]))
        if sum(holds(conditions[0], properties) for conditions in rules.values()) > 64:
            raise RuntimeError("Could not assert fact, error code: 303")
        fired = [rule for rule, conditions in rules.items() if all(holds(part, properties) for part in conditions)]
        key = handle, properties["sid"]
        assert key not in self.sessions, "a session is used once"
        self.sessions[key] = fired
        self.states[len(self.facts)] = [*fired]
        return (0 if fired else 1), len(self.facts)

    def start_action_for_state(self, handle: int, state: int) -> tuple[str, str] | None:
        message = self._next(state)
        return None if message is None else ("{}", message)

    def complete_and_start_action(self, handle: int, state: int) -> str | None:
        return self._next(state)

    def _next(self, state: int) -> str | None:
        return json.dumps({self.states[state].pop(): {"m": {"id": 1}}}) if self.states[state] else None

    def delete_state(self, handle: int, sid: str) -> None:
        if not self.sessions.pop((handle, sid)):
            raise SegmentationFault


@pytest.fixture
def fake_library(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    """The stand-in, in the place of the C module."""
    library = FakeLibrary()
    monkeypatch.setattr("dealgate.rules.engine.load_library", lambda: library)
    return library
