"""durable_rules, used the one way that is exact and safe. No other module touches it.

What each habit here is for (all of it was measured on 2.0.28, see docs/explanation/engine.md):

- Every ruleset has a sentinel rule that always matches: `delete_state` after a deal that matched nothing crashes the
  process. The sentinel's firing also proves that a ruleset was alive; without it, silence would read as a pass.
- Each evaluation asserts one fact under a fresh session id and deletes that session: sessions are never freed otherwise.
- `assert_fact`, never `post`: an event is consumed by the first rule that matches.
- Only integers go in. Names are ours. No `$or` (an action runs once for each true branch), no `$nex` (endless loop), no
  comparison of two properties (with the right-hand one missing, its result is that of whatever was compared before).
- A ruleset is kept small enough that its true first conditions cannot fill the engine's stack of 64, nor its facts the
  engine's 255 properties: larger policies are spread over several rulesets.
- The C module is driven directly: no `Host`, so no timer threads and no closures that swallow errors.
- After any error the ruleset is thrown away whole, sessions included, and built anew for the next deal.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from operator import itemgetter
from typing import Any, NamedTuple, Protocol, cast
from weakref import finalize

from dealgate.rules.conjunctions import (
    LARGEST_MARGIN,
    Atoms,
    Conjunction,
    Literal,
    RuleConjunctions,
    compile_margins,
    policy_conjunctions,
    property_name,
)
from dealgate.rules.expressions import Violated
from dealgate.rules.fields import Facts
from dealgate.rules.policy import Policy
from dealgate.rules.reference import Reckoning, Result

STACK = 60
"""First conditions that may be true at once in one ruleset; the engine's stack holds 64 (MAX_STACK_SIZE in its events.c)."""

PROPERTIES = 200
"""Properties in one fact; the engine refuses more than 255."""

RULES = 250
"""Engine rules in one ruleset; the engine's table of first conditions has 512 places and no check."""

SENTINEL = "sentinel"

PASS, VIOLATED, MITIGATED, _, NOT_EVALUABLE = Result
"""By short names: to look a member up through its class takes as long as to judge a rule."""


class EngineError(RuntimeError):
    """The engine could not be used, or said something it must never say."""


class _Library(Protocol):
    """The functions of the C module that are used here."""

    def create_ruleset(self, name: str, definition: str) -> int: ...
    def delete_ruleset(self, handle: int) -> None: ...
    def assert_fact(self, handle: int, fact: str) -> tuple[int, int]: ...
    def start_action_for_state(self, handle: int, state: int) -> tuple[str, str] | None: ...
    def complete_and_start_action(self, handle: int, state: int) -> str | None: ...
    def delete_state(self, handle: int, sid: str) -> None: ...


def load_library() -> _Library:
    """The C module. Raises `EngineError` with the command that mends a missing or unloadable one."""
    try:
        import durable_rules_engine  # noqa: PLC0415  a broken build must not keep the package from being imported
    except ImportError as error:
        raise EngineError(
            f"durable_rules cannot be loaded ({error}). Build it for this Python with:\n"
            "  CC='cc -O2 -DPyEval_CallObject=PyObject_CallObject' pip install --force-reinstall --no-binary :all: durable-rules"
        ) from error
    library: _Library = durable_rules_engine
    return library


def installed_version() -> str:
    """The release of durable_rules; "missing" where there is none, so that the package still loads and can say so."""
    try:
        return version("durable-rules")
    except PackageNotFoundError:
        return "missing"


def fnv_1a(name: str) -> int:
    """The 32-bit hash by which the engine tells property names apart."""
    value = 0x811C9DC5
    for byte in name.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


@dataclass
class _Shard:
    """The definition of one ruleset and the properties its facts carry."""

    definition: dict[str, Any] = field(default_factory=lambda: {SENTINEL: {"all": [{"m": {"always": 1}}]}})
    meanings: dict[str, tuple[str, Result]] = field(default_factory=dict)
    atoms: dict[int, str] = field(default_factory=dict)
    unknowns: dict[str, str] = field(default_factory=dict)
    first_conditions: dict[Literal | str, int] = field(default_factory=dict)

    def stack(self) -> int:
        """At most so many first conditions can be true at once: an atom is true or false, never both."""
        most: dict[int | str, int] = {}
        for first, ways in self.first_conditions.items():
            key = first if isinstance(first, str) else first.atom
            most[key] = max(most.get(key, 0), ways)
        return 1 + sum(most.values())

    def add(self, rule: RuleConjunctions, result: Result, way: Conjunction, atoms: Atoms) -> None:
        literals = sorted(way)
        first: Literal | str = literals[0] if literals else "always"
        conditions = [atoms.condition(literal) for literal in literals] or [{"always": 1}]
        if result == Result.PASS:
            first = self.unknowns.setdefault(rule.rule, f"unknown_{len(self.unknowns)}")
            conditions.insert(0, {first: 1})
        self.first_conditions[first] = self.first_conditions.get(first, 0) + 1
        self.atoms.update((literal.atom, property_name(literal.atom)) for literal in literals)
        name = f"rule_{len(self.definition)}"
        self.definition[name] = {"all": [{"m": conditions[0] if len(conditions) == 1 else {"$and": conditions}}]}
        self.meanings[name] = (rule.rule, result)

    def is_full(self) -> bool:
        return (
            self.stack() >= STACK
            or len(self.atoms) + len(self.unknowns) >= PROPERTIES - 64
            or len(self.definition) >= RULES
        )


def _shards(rules: Iterable[RuleConjunctions], atoms: Atoms) -> Iterator[_Shard]:
    shard = _Shard()
    for rule in rules:
        for result, ways in rule.ways.items():
            for way in ways:
                if shard.is_full():
                    yield shard
                    shard = _Shard()
                shard.add(rule, result, way, atoms)
    yield shard


class _Ruleset:
    """One ruleset alive in the C module."""

    def __init__(self, library: _Library, shard: _Shard) -> None:
        names = ["always", "sid", "id", *shard.atoms.values(), *shard.unknowns.values()]
        if len({fnv_1a(name) for name in names}) < len(names):
            raise EngineError("two properties share the hash by which the engine tells them apart")
        self.library = library
        self.shard = shard
        self.labels = [f'"{name}":' for name in shard.atoms.values()]
        self.whole_fact = "".join(['{"sid":"%s","id":1,"always":1', *(f",{label}%s" for label in self.labels), "}"])
        self.picked: Callable[[Sequence[int | None]], tuple[int | None, ...]] = _picker(tuple(shard.atoms))
        self.handle = library.create_ruleset("dealgate", json.dumps(shard.definition))
        finalize(self, library.delete_ruleset, self.handle)

    def fire(self, sid: str, margins: Sequence[int | None], unknown: Collection[str]) -> list[tuple[str, Result]]:
        """Assert one fact, run every action, delete the session. Raises `EngineError` or the module's own error."""
        code, state = self.library.assert_fact(self.handle, self._fact(sid, margins, unknown))
        if code:
            raise EngineError(f"the engine answered {code} to a fact")
        names = self._actions(state)
        if SENTINEL not in names:
            # A session in which nothing matched must not be deleted either: that would crash the process.
            raise EngineError("the sentinel did not fire")
        self.library.delete_state(self.handle, sid)
        names.remove(SENTINEL)
        return [self.shard.meanings[name] for name in names]

    def _fact(self, sid: str, margins: Sequence[int | None], unknown: Collection[str]) -> str:
        """The fact as JSON. What is unknown is left out: an absent property matches nothing."""
        values = self.picked(margins)
        if not unknown and None not in values:
            return self.whole_fact % (sid, *values)
        parts = [f'{{"sid":"{sid}","id":1,"always":1']
        parts += [f"{label}{value}" for label, value in zip(self.labels, values, strict=True) if value is not None]
        parts += [f'"{self.shard.unknowns[rule]}":1' for rule in unknown if rule in self.shard.unknowns]
        return ",".join(parts) + "}"

    def _actions(self, state: int) -> list[str]:
        names: list[str] = []
        definition, handle, following = self.shard.definition, self.handle, self.library.complete_and_start_action
        started = self.library.start_action_for_state(handle, state)
        message = started[1] if started else None
        for _ in definition:
            if not message:
                return names
            name = message.split('"', 2)[1]
            if name not in definition:
                raise EngineError("the engine fired a rule that it was not given")
            names.append(name)
            message = following(handle, state)
        if message:
            raise EngineError("the engine fired more often than it has rules")
        return names


def _picker(places: tuple[int, ...]) -> Callable[[Sequence[int | None]], tuple[int | None, ...]]:
    """Takes the margins of one ruleset from those of the policy."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda margins: tuple([margins[place] for place in places])


class _Layer(NamedTuple):
    """Rules that read no rule of their own layer or of a later one, their names, and the rulesets they are spread over."""

    rules: tuple[RuleConjunctions, ...]
    names: tuple[str, ...]
    shards: tuple[_Shard, ...]


class Engine:
    """One policy version in durable_rules.

    Threads may share it without a lock: every call into the C module holds the interpreter's lock from start to end, and
    each evaluation has a session of its own. For the same reason a process may fork while others evaluate.
    """

    def __init__(self, policy: Policy) -> None:
        self.library = load_library()
        atoms, self.rules = policy_conjunctions(policy)
        self.margins = compile_margins(policy, atoms)
        self.reads_rules = {number: atom.rule for atom, number in atoms.numbers.items() if isinstance(atom, Violated)}
        by_layer = [[rule for rule in self.rules if rule.layer == layer] for layer in range(len(policy.layers))]
        self.layers = [
            _Layer(tuple(rules), tuple(rule.rule for rule in rules), tuple(_shards(rules, atoms))) for rules in by_layer
        ]
        self.rulesets = self._build()
        self.sids = count(1)

    def _build(self) -> list[list[_Ruleset]]:
        return [[_Ruleset(self.library, shard) for shard in shards] for _, _, shards in self.layers]

    def evaluate(self, facts: Facts, reckoning: Reckoning) -> dict[str, Result]:
        """Every rule's result as the engine sees it. Any exception means that nothing can be concluded from the engine."""
        try:
            return self._run(facts, reckoning, self.rulesets)
        except BaseException:
            self.rulesets = self._built_anew()
            raise

    def _built_anew(self) -> list[list[_Ruleset]]:
        """Fresh rulesets, or none at all: those that failed hold a session and are not touched again."""
        try:
            return self._build()
        except Exception:
            return []

    def _run(self, facts: Facts, reckoning: Reckoning, rulesets: list[list[_Ruleset]]) -> dict[str, Result]:
        if not rulesets:
            raise EngineError("the rulesets could not be built anew after an error")
        margins = within_engine(self.margins(facts, reckoning))
        results: dict[str, Result] = {}
        sid = str(next(self.sids))
        for (rules, names, _), layer in zip(self.layers, rulesets, strict=True):
            for atom, name in self.reads_rules.items():
                if name in results:
                    margins[atom] = _truth_of(results[name])
            unknown = _unknown(rules, margins)
            fired = [firing for ruleset in layer for firing in ruleset.fire(sid, margins, unknown)]
            results.update(_results(names, fired, unknown))
        return results


def _unknown(rules: Iterable[RuleConjunctions], margins: Sequence[int | None]) -> set[str]:
    """The rules that read something unknown."""
    if None not in margins:
        return set()
    absent = {atom for atom, margin in enumerate(margins) if margin is None}
    return {rule.rule for rule in rules if not absent.isdisjoint(rule.read)}


def within_engine(margins: Collection[int | None]) -> list[int | None]:
    """A margin beyond what the engine is exact to keeps its sign, and only its sign is compared."""
    if None not in margins and sum(map(abs, cast("Collection[int]", margins))) < LARGEST_MARGIN:
        return list(margins)  # nearly always: their sum is within, so each of them is
    return [
        margin
        if margin is None or -LARGEST_MARGIN < margin < LARGEST_MARGIN
        else max(-LARGEST_MARGIN, min(margin, LARGEST_MARGIN))
        for margin in margins
    ]


def _truth_of(result: Result) -> int | None:
    """What a later layer sees of a rule: a fact, or nothing where the rule could not be evaluated."""
    if result is NOT_EVALUABLE:
        return None
    return 1 if result is VIOLATED or result is MITIGATED else 0


def _results(rules: Iterable[str], fired: Iterable[tuple[str, Result]], unknown: Iterable[str]) -> dict[str, Result]:
    """A rule that fired nothing has passed, or could not be evaluated."""
    results = dict.fromkeys(rules, PASS)
    results.update(dict.fromkeys(unknown, NOT_EVALUABLE))
    seen: dict[str, Result] = {}
    for rule, result in fired:
        before = seen.setdefault(rule, result)
        if before is not result:
            seen[rule] = _together(rule, before, result)
    results.update(seen)
    return results


def _together(rule: str, before: Result, result: Result) -> Result:
    """A violation fires beside its mitigation; nothing else may fire beside another result."""
    if {before, result} <= {VIOLATED, MITIGATED}:
        return MITIGATED
    raise EngineError(f"the engine fired contradicting results for rule {rule}")
