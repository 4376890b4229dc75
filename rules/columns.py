"""The policy as columns: the typed tree compiled to Narwhals expressions, so that one evaluation judges a whole book.

Every number is an integer whose size the compiler has proved from the bounds of the book's columns.
"""

from collections.abc import Collection, Sequence
from functools import reduce

import narwhals as nw

from dealgate.rules.amounts import MAX_CENTS
from dealgate.rules.column_expressions import ColumnExpressions, Placed, readings_of
from dealgate.rules.column_layout import Layout
from dealgate.rules.column_limits import TableRow, Truth, limit_column
from dealgate.rules.column_numbers import (
    ColumnNumber,
    UnboundedError,
    half_up,
    narrow,
)
from dealgate.rules.column_plan import (
    MITIGATED,
    NOT_APPLICABLE,
    NOT_EVALUABLE,
    PASS,
    VIOLATED,
    ColumnPlan,
)
from dealgate.rules.fields import Unit
from dealgate.rules.policy import Limit, Measure, Policy, Rule

LEAST_PROVABLE = 250_000_00
"""Cents. A policy whose arithmetic is not proved for amounts up to this is refused."""


class ColumnsError(ValueError):
    """A policy that cannot be evaluated as columns; the message names the measure, limit or rule."""


def compile_columns(
    policy: Policy, layout: Layout, *, measures: Collection[str] | None = None, prefix: str = ""
) -> ColumnPlan:
    """Compile a policy for books of a layout. Raises `ColumnsError` where the size of a number cannot be proved.

    `measures` are those wanted beside what the rules read; all of them if it is None. The names of all columns that are made begin
    with `prefix`, so that a frame can carry the plans of several policies.
    """
    largest = MAX_CENTS
    while True:
        compiler = Compiler(policy, layout, largest, prefix)
        try:
            return compiler.plan(policy.definitions if measures is None else policy.read_for(measures))
        except UnboundedError:
            if largest // 2 < LEAST_PROVABLE:
                raise ColumnsError(
                    f"{compiler.at}: a number in it may outgrow what a column holds even where no amount exceeds "
                    f"${LEAST_PROVABLE // 100:,}: divide or multiply fewer amounts in one formula"
                ) from None
            largest //= 2


class Compiler(ColumnExpressions):
    """Places every definition and rule of one policy."""

    def plan(self, definitions: Sequence[Measure | Limit]) -> ColumnPlan:
        policy = self.policy
        self.readings = readings_of(definitions, policy.rules)
        for definition in definitions:
            self.at = definition.name
            self._define(definition)
        rules = {rule.id: f"{self.prefix}r_{index}" for index, rule in enumerate(policy.rules)}
        for layer in policy.layers:
            for rule in layer:
                self.at = rule.id
                self._rule(rule, rules[rule.id])
        found = {definition.name: self._number_named(definition.name) for definition in definitions}
        return ColumnPlan(
            policy,
            self.layout,
            tuple(self.reads),
            tuple(self.stages),
            {name: found[name] for name in policy.measures if name in found},
            {name: found[name] for name in policy.limits if name in found},
            rules,
            f"{self.prefix}outcome",
            self.largest_amount,
        )

    def _number_named(self, name: str) -> ColumnNumber:
        number = self.names[name].value
        assert isinstance(number, ColumnNumber)
        return number

    def _keep(self, kind: str, name: str, value: ColumnNumber, stage: int) -> Placed:
        """Make a column of a number that is not a plain one, and one of what it is divided by, of a kind that no other name has."""
        if isinstance(value.top, int) and isinstance(value.bottom, int):
            return Placed(value, stage)
        column, per = f"{self.prefix}{kind}_{name}", f"{self.prefix}{kind}per_{name}"
        self.stage(stage).columns[column] = value.expression
        bottom = value.bottom
        if not isinstance(bottom, int):
            self.stage(stage).columns[per] = bottom
            bottom = nw.col(per)
        return Placed(value._replace(top=nw.col(column), bottom=bottom), stage + 1)

    def _define(self, definition: Measure | Limit) -> None:
        self.depth = 0
        if isinstance(definition, Measure):
            value, kind = narrow(self._whole_cents(self.number(definition.formula), definition.unit)), "m"
        else:
            value, kind = self._limit(definition), "l"
        self.names[definition.name] = self._keep(kind, definition.name, value, self.depth)

    def _whole_cents(self, number: ColumnNumber, unit: Unit) -> ColumnNumber:
        return half_up(number) if unit == Unit.MONEY else number

    def _limit(self, limit: Limit) -> ColumnNumber:
        rows = [
            TableRow(self.truth(row.when) if row.when else None, self._whole_cents(self.number(row.limit), limit.unit))
            for row in limit.rows
        ]
        default = self._whole_cents(self.number(limit.default.limit), limit.unit) if limit.default else None
        return limit_column(limit, rows, default)

    def _rule(self, rule: Rule, name: str) -> None:
        self.depth = 0
        applies = self.truth(rule.applies) if rule.applies else None
        require = self.truth(rule.require)
        when = self.truth(rule.mitigated_by.when) if rule.mitigated_by else None
        found = nw.lit(VIOLATED, dtype=nw.Int8)
        if when:
            found = nw.when(when.expression).then(nw.lit(MITIGATED, dtype=nw.Int8)).otherwise(found)
        found = nw.when(require.expression).then(nw.lit(PASS, dtype=nw.Int8)).otherwise(found)
        unknown = [part.expression.is_null() for part in (applies, require) if part and part.nullable]
        if unknown:
            doubtful = reduce(lambda one, other: one | other, unknown)
            found = nw.when(doubtful).then(nw.lit(NOT_EVALUABLE, dtype=nw.Int8)).otherwise(found)
        if applies:
            found = nw.when(~applies.expression).then(nw.lit(NOT_APPLICABLE, dtype=nw.Int8)).otherwise(found)
        self.stage(self.depth).columns[name] = found
        result = nw.col(name)
        broken = (result == VIOLATED) | (result == MITIGATED)
        if unknown:
            broken = nw.when(result != NOT_EVALUABLE).then(broken).otherwise(nw.lit(None, dtype=nw.Boolean))
        self.names[f"rule {rule.id}"] = Placed(Truth(broken, bool(unknown)), self.depth + 1)
