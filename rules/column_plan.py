"""A policy compiled to columns: the stages in which they are made, and what follows from the results of the rules.

The columns of a stage read those of the stages before it. Null is unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import NamedTuple

import narwhals as nw

from dealgate.rules.amounts import MAX_CENTS
from dealgate.rules.column_kernels import Function
from dealgate.rules.column_layout import Layout
from dealgate.rules.column_numbers import ColumnNumber, whole
from dealgate.rules.fields import Unit
from dealgate.rules.finding import INCOMPLETE
from dealgate.rules.policy import Outcome, Policy
from dealgate.rules.reference import Result

RESULTS = tuple(Result)
PASS, VIOLATED, MITIGATED, NOT_APPLICABLE, NOT_EVALUABLE = range(5)
"""How a rule's result stands in its column until it is spelled out: its place in `Result`."""


@dataclass(frozen=True)
class Kernel:
    """Columns that a function makes of columns: `inputs` are integers of earlier stages, `outputs` integers."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: Function


@dataclass
class Stage:
    columns: dict[str, nw.Expr] = field(default_factory=dict)
    kernels: list[Kernel] = field(default_factory=list)


class Ground(NamedTuple):
    """A result of a rule that gives a reason; `rule` is the rule's column, `result` what stands in it."""

    rule: str
    result: int
    reason: str


@dataclass(frozen=True)
class ColumnPlan:
    """How to judge a book of one layout under one policy.

    `reads` are the columns of the book that are needed. `measures`, `limits` hold the numbers of what was compiled, `rules` the
    column of each rule's result. Rows with an amount above `largest_amount` are outside what is proved.
    """

    policy: Policy
    layout: Layout
    reads: tuple[str, ...]
    stages: tuple[Stage, ...]
    measures: Mapping[str, ColumnNumber]
    limits: Mapping[str, ColumnNumber]
    rules: Mapping[str, str]
    outcome_column: str
    largest_amount: int

    @property
    def outcome(self) -> nw.Expr:
        """The severity of the most severe finding, as `Outcome` counts it from 0."""
        found = nw.lit(0, dtype=nw.Int8)
        for outcome in Outcome:
            raised = self._raised(outcome)
            if raised and outcome.severity:
                met = reduce(lambda one, other: one | other, raised)
                found = nw.when(met).then(nw.lit(outcome.severity, dtype=nw.Int8)).otherwise(found)
        return found

    def _raised(self, outcome: Outcome) -> list[nw.Expr]:
        """For each result of a rule that has this outcome, where it stands."""
        return [
            nw.col(self.rules[rule.id]) == RESULTS.index(result)
            for rule in self.policy.rules
            for result, severity in self.policy.severities(rule).items()
            if severity is outcome
        ]

    @property
    def reasons(self) -> tuple["Ground", ...]:
        """Every ground for an adverse outcome, in the order in which the principal reasons are picked from those that hold."""
        grounds = [
            (
                severity,
                result == Result.NOT_EVALUABLE,
                Ground(self.rules[rule.id], RESULTS.index(Result(result)), reason),
            )
            for rule in self.policy.rules
            for result, severity in self.policy.severities(rule).items()
            for reason in (INCOMPLETE if result == Result.NOT_EVALUABLE else rule.reason,)
            if severity is not Outcome.PASS and reason and (result != Result.MITIGATED or rule.mitigated_by)
        ]
        grounds.sort(key=lambda ground: (-ground[0].severity, ground[1]))
        return tuple(ground for _, _, ground in grounds)

    @property
    def unproved(self) -> nw.Expr | None:
        """True of the rows outside what is proved, null of none; None where every row of the layout is inside."""
        if self.largest_amount >= MAX_CENTS:
            return None
        large = [
            nw.coalesce(nw.col(column.name) > whole(self.largest_amount), nw.lit(False))
            for column in self.layout.columns
            if column.unit == Unit.MONEY and column.name in self.reads
        ]
        return reduce(lambda one, other: one | other, large)
