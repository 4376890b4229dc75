"""For every comparison that a rule requires, the deals just below its limit, exactly at it and just above it.

The deals are found by search: from a deal that reaches the row of the table, one number is moved until the sides of the comparison
change places. The exact reference says where that is; nothing is estimated, and every deal that is handed out was evaluated whole.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from dealgate.rules.coverage import row_name, rows_hit
from dealgate.rules.deal import DealError, PartialDeal
from dealgate.rules.deal_steps import Document, Step, numbers_read, replaced, starting_deals, steps_of
from dealgate.rules.evaluation import CompiledPolicy, Evaluation
from dealgate.rules.expressions import (
    All,
    Comparison,
    Expression,
    FieldName,
    LimitName,
    MeasureName,
    Membership,
    Number,
    Text,
    Violated,
    walk,
)
from dealgate.rules.fields import FIELDS, Unit, facts_of
from dealgate.rules.policy import Limit, Policy, Rule
from dealgate.rules.reference import Result
from dealgate.rules.tracing import Trace
from dealgate.rules.writing import expression_text

SIDES = ("below", "at", "above")
NUMERIC = frozenset({Unit.MONEY, Unit.PERCENT, Unit.COUNT})
JUDGED = frozenset({Result.PASS, Result.VIOLATED, Result.MITIGATED})
MOST_DEALS_REACHED = 24
MOST_LEADING_STEPS = 24
MOST_ROWS_ABOVE = 8
MOST_DEALS_TRIED = 300
"""How far the search for a deal that reaches a row goes; where it ends without one, the row is named."""

Sign = Callable[[int], int | None]


class Target(NamedTuple):
    """A comparison of a rule, and where its limit comes from a table, one row of it."""

    rule: Rule
    comparison: Comparison
    limit: Limit | None = None
    row: int = -1

    @property
    def row_name(self) -> str:
        return f"{self.limit.name} {row_name(self.limit, self.row)}" if self.limit else ""

    @property
    def measured(self) -> Expression:
        """The side that is held against the limit: the left one, unless only the right one is measured."""
        left, right = self.comparison.left, self.comparison.right
        return right if isinstance(left, Number | LimitName) and not isinstance(right, Number | LimitName) else left

    def sign(self, trace: Trace) -> int | None:
        """-1, 0 or 1: the measured side below, at or above the other."""
        left, right = trace.value(self.comparison.left), trace.value(self.comparison.right)
        if left is None or right is None:
            return None
        found: int = (left > right) - (left < right)
        return found if self.measured is self.comparison.left else -found


class Case(NamedTuple):
    """One deal beside a limit, and what came of it."""

    side: str
    deal: Document
    evaluation: Evaluation
    result: Result


class Boundary(NamedTuple):
    """The deals around one limit. `moved` is the number of the deal in which they differ."""

    target: Target
    moved: Step | None
    cases: tuple[Case, ...]
    note: str

    def case(self, side: str) -> Case | None:
        return next((case for case in self.cases if case.side == side), None)


class NoBoundary(NamedTuple):
    """A rule that compares no numbers, so that there is nothing to come near to."""

    rule: Rule
    reason: str


def find_boundaries(compiled: CompiledPolicy) -> Iterator[Boundary | NoBoundary]:
    """Rule by rule and row by row, in the policy's order."""
    search = _Search(compiled)
    for rule in compiled.policy.rules:
        targets = list(targets_of(compiled.policy, rule))
        if not targets:
            yield NoBoundary(rule, _why_none(rule))
        for target in targets:
            yield search.boundary(target)


def targets_of(policy: Policy, rule: Rule) -> Iterator[Target]:
    for node in walk(rule.require):
        if not isinstance(node, Comparison) or node.left.unit not in NUMERIC:
            continue
        limits = dict.fromkeys(part.name for part in walk(node) if isinstance(part, LimitName))
        if not limits:
            yield Target(rule, node)
        for name in limits:
            limit = policy.limits[name]
            for row in range(len(limit.all_rows)):
                yield Target(rule, node, limit, row)


def _why_none(rule: Rule) -> str:
    if rule.rests_on() and any(isinstance(node, Violated) for node in walk(rule.require)):
        return f"rests on {', '.join(rule.rests_on())}: their boundaries are its own"
    return f"compares no numbers: {expression_text(rule.require)}"


def as_example(boundary: Boundary, case: Case) -> dict[str, Any]:
    """A case as an entry of `examples`: together the lists say what every rule comes to."""
    target, evaluation = boundary.target, case.evaluation
    where = f"{target.rule.id}, {target.row_name or expression_text(target.comparison)}"
    lists: dict[str, list[str]] = {"violated": []}
    for finding in evaluation.findings:
        if finding.result != Result.PASS:
            lists.setdefault(finding.result.value, []).append(finding.rule)
    expect: dict[str, Any] = {"outcome": evaluation.outcome.value, **lists}
    if isinstance(target.measured, MeasureName):
        name = target.measured.name
        expect["measures"] = {name: evaluation.measures[name]["value"]}
    step = f", by {boundary.moved}" if boundary.moved and case.side != "at" else ""
    return {"name": f"{where}: {case.side} the limit{step}", "deal": case.deal, "expect": expect}


class _Search:
    def __init__(self, compiled: CompiledPolicy) -> None:
        self.compiled = compiled
        self.policy = compiled.policy
        self.rules = {rule.id: rule for rule in self.policy.rules}
        self.start = self._by_severity(starting_deals(self.policy))
        """Deals to begin with, each with its trace."""

    def trace(self, deal: Document) -> Trace | None:
        """The exact reference on a deal; None where the document does not admit it."""
        try:
            facts = facts_of(PartialDeal.read(deal))
        except DealError:
            return None
        return Trace(self.policy, facts, self.compiled.reference(facts))

    def _by_severity(self, deals: list[Document]) -> list[tuple[Document, Trace]]:
        """The deals that break the least first: around their limits, a change shows best."""

        def troubles(start: tuple[Document, Trace]) -> int:
            good = (Result.PASS, Result.NOT_APPLICABLE)
            return sum(result not in good for result in start[1].reckoning.results.values())

        return sorted(((deal, trace) for deal in deals if (trace := self.trace(deal))), key=troubles)

    # Around one limit

    def boundary(self, target: Target) -> Boundary:
        best, reached = Boundary(target, None, (), ""), False
        names = numbers_read(self.policy, target.comparison)
        for deal in self.reaching(target):
            reached = True
            for step in steps_of(deal, names):
                found = self._around(target, deal, step)
                if len(found.cases) > len(best.cases):
                    best = found
                if len(best.cases) == len(SIDES):
                    return best
        return best._replace(note=self._note(best, reached=reached))

    def _note(self, best: Boundary, *, reached: bool) -> str:
        if not reached:
            return f"no deal was found for which the rule is judged by {best.target.row_name or 'this comparison'}"
        if not best.cases:
            return "no number of a deal was found that takes it across the limit"
        missing = [side for side in SIDES if best.case(side) is None]
        return f"no deal was found {' and none '.join(missing)} the limit"

    def _around(self, target: Target, deal: Document, step: Step) -> Boundary:
        def sign(number: int) -> int | None:
            trace = self.trace(step.moved(deal, number))
            return target.sign(trace) if trace and self._judges(target, trace) else None

        cases = []
        for side, number in zip(SIDES, crossing(sign, step, step.number(deal)), strict=True):
            case = None if number is None else self._case(target, side, step.moved(deal, number))
            cases += [case] if case else []
        return Boundary(target, step, tuple(cases), "")

    def _case(self, target: Target, side: str, deal: Document) -> Case | None:
        """The deal evaluated whole, engine and reference; dropped unless it comes out on its side of the limit."""
        evaluation = self.compiled.evaluate(PartialDeal.read(deal))
        trace = self.trace(deal)
        if trace is None or not evaluation.engine["agreed"] or not self._judges(target, trace):
            return None
        if target.sign(trace) != SIDES.index(side) - 1:
            return None
        return Case(side, deal, evaluation, trace.reckoning.results[target.rule.id])

    def _judges(self, target: Target, trace: Trace) -> bool:
        """Whether the rule is judged, and by the row that is meant."""
        if trace.reckoning.results[target.rule.id] not in JUDGED:
            return False
        return target.limit is None or target.row in rows_hit(target.limit, trace)

    # Deals that reach a row

    def reaching(self, target: Target) -> Iterator[Document]:
        """Deals that the rule judges by the row: those at hand, those led there test by test, those that any few changes lead to."""
        found = [deal for deal, trace in self.start if self._judges(target, trace)]
        yield from found
        for start, _ in self.start:
            if start not in found and (led := self._led(start, target)):
                yield led
        yield from self._wandering(target)

    def _led(self, deal: Document, target: Target) -> Document | None:
        """What the rule and the row ask is met one condition after the other; then the rows above are got out of the way."""
        wanted = _conjuncts(target.rule.applies)
        if target.limit:
            wanted += _conjuncts(target.limit.all_rows[target.row].when)
        for _ in range(MOST_LEADING_STEPS):
            trace = self.trace(deal)
            if trace is None or self._judges(target, trace):
                return deal if trace else None
            met = [condition for condition in wanted if trace.value(condition) is True]
            ahead = [condition for condition in wanted if condition not in met]
            step = self._step(deal, ahead[0], True, met) if ahead else self._out_of_the_way(deal, target, trace, met)
            if step is None:
                return None
            deal = step
        return None

    def _out_of_the_way(self, deal: Document, target: Target, trace: Trace, met: list[Expression]) -> Document | None:
        """The deal changed so that a row that stands above the one that is meant no longer holds."""
        rows = target.limit.rows[: target.row] if target.limit else ()
        above = next((row.when for row in rows if row.when is not None and trace.value(row.when) is not False), None)
        return None if above is None else self._step(deal, above, False, met)

    def _step(self, deal: Document, condition: Expression, truth: bool, met: list[Expression]) -> Document | None:
        """The first change that makes a condition true, or false, and leaves true what was."""
        for changed in self._changed(deal, self._atoms([condition])):
            trace = self.trace(changed)
            if trace and trace.value(condition) is truth and all(trace.value(other) is True for other in met):
                return changed
        return None

    def _wandering(self, target: Target) -> Iterator[Document]:
        waiting = deque((deal, 0) for deal, _ in self.start)
        tests = self._tests(target)
        seen, tried, found = set[str](), 0, 0
        while waiting and tried < MOST_DEALS_TRIED and found < MOST_DEALS_REACHED:
            deal, depth = waiting.popleft()
            for changed in self._changed(deal, tests):
                tried += 1
                key = json.dumps(changed, sort_keys=True)
                trace = None if key in seen else self.trace(changed)
                if trace is None:
                    continue
                seen.add(key)
                if self._judges(target, trace):
                    found += 1
                    yield changed
                elif depth < 2:
                    waiting.append((changed, depth + 1))
                if tried >= MOST_DEALS_TRIED:
                    return

    def _tests(self, target: Target) -> list[Expression]:
        """What decides whether the rule applies and which row is hit, the row's own tests first."""
        conditions: list[Expression] = [target.rule.applies] if target.rule.applies is not None else []
        if target.limit:
            rows = target.limit.all_rows[max(0, target.row - MOST_ROWS_ABOVE) : target.row + 1]
            conditions += [row.when for row in reversed(rows) if row.when is not None]
        return self._atoms(conditions)

    def _atoms(self, conditions: list[Expression]) -> list[Expression]:
        """The single tests within conditions; for a rule that they rest on, what that one asks."""
        waiting = list(conditions)
        tests, seen = list[Expression](), set[str]()
        while waiting:
            for node in walk(waiting.pop(0)):
                if isinstance(node, Violated) and node.rule not in seen:
                    seen.add(node.rule)
                    waiting += self.rules[node.rule].expressions()
                elif isinstance(node, Comparison | Membership) or _is_condition(node):
                    tests.append(node)
        return list(dict.fromkeys(tests))

    def _changed(self, deal: Document, tests: list[Expression]) -> Iterator[Document]:
        for test in tests:
            match test:
                case FieldName(name):
                    yield from (replaced(deal, _path(name), truth) for truth in (True, False))
                case Comparison(left=FieldName(name, Unit.TEXT), right=Text(word)):
                    yield from (replaced(deal, _path(name), other) for other in (word, *_other_words(name)))
                case Membership(FieldName(name, Unit.TEXT), options):
                    words = [option.value for option in options if isinstance(option, Text)]
                    yield from (replaced(deal, _path(name), other) for other in (*words, *_other_words(name)))
                case Membership(operand, options) if operand.unit in NUMERIC:
                    for option in options:
                        yield from self._crossed(deal, Comparison("==", operand, option))
                case Comparison() if test.left.unit in NUMERIC:
                    yield from self._crossed(deal, test)

    def _crossed(self, deal: Document, test: Comparison) -> Iterator[Document]:
        """The deal just below, at and just above a test of the table or of `applies`."""

        def sign(number: int) -> int | None:
            trace = self.trace(step.moved(deal, number))
            if trace is None:
                return None
            left, right = trace.value(test.left), trace.value(test.right)
            return None if left is None or right is None else (left > right) - (left < right)

        crossings = 0
        for step in steps_of(deal, numbers_read(self.policy, test)):
            numbers = [number for number in crossing(sign, step, step.number(deal)) if number is not None]
            yield from (step.moved(deal, number) for number in numbers)
            crossings += bool(numbers)
            if crossings == 2:
                return


def _conjuncts(condition: Expression | None) -> list[Expression]:
    if condition is None:
        return []
    return list(condition.operands) if isinstance(condition, All) else [condition]


def _is_condition(node: Expression) -> bool:
    return isinstance(node, FieldName) and node.unit == Unit.BOOLEAN


def _path(name: str) -> tuple[str, ...]:
    return tuple(FIELDS[name].path.split("."))


def _other_words(name: str) -> tuple[str, ...]:
    """Words that a table may leave to its last row; "ZZ" is fit for a state too."""
    return FIELDS[name].words or ("ZZ",)


def crossing(sign: Sign, step: Step, start: int | None) -> tuple[int | None, int | None, int | None]:
    """Where a number goes from one side of a comparison to the other: the last number below, one at it, the first above.

    Between two samples of different sign the comparison is taken to change its sign once; whoever uses what is found looks again.
    """
    known = [(number, found) for number in _samples(step, start) if (found := sign(number)) is not None]
    decided = [sample for sample in known if sample[1]]
    for samples in (decided, known):
        for one, other in pairwise(samples):
            if one[1] != other[1]:
                return _narrowed(sign, one, other)
    return None, None, None


def _samples(step: Step, start: int | None) -> list[int]:
    middle = (step.least + step.most) // 2 if start is None else start
    around = [middle * part // 8 for part in (4, 6, 7, 8, 9, 10, 12, 16, 32)]
    samples = {step.least, step.least + 1, step.most, middle - 1, middle + 1, *around}
    return sorted(number for number in samples if step.least <= number <= step.most)


def _narrowed(sign: Sign, one: tuple[int, int], other: tuple[int, int]) -> tuple[int | None, int | None, int | None]:
    low, high = (one, other) if one[1] < other[1] else (other, one)
    below = at = above = None
    if low[1] < 0:
        edge = _edge(sign, low[0], high[0], 0)
        below, at = edge if edge else (None, None)
    if high[1] > 0:
        edge = _edge(sign, low[0], high[0], 1)
        last, above = edge if edge else (None, None)
        at = last if at is None else at
    return below, at if at is not None and sign(at) == 0 else None, above


def _edge(sign: Sign, low: int, high: int, least: int) -> tuple[int, int] | None:
    """Neighbours, the first with a sign below `least` and the second with one that is not; `low` may be the greater number."""
    while abs(high - low) > 1:
        middle = (low + high) // 2
        found = sign(middle)
        if found is None:
            return None
        low, high = (low, middle) if found >= least else (middle, high)
    return low, high
