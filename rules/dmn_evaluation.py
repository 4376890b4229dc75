"""What a decision of a `.dmn` file comes to for given inputs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from dealgate.rules.dmn import (
    Aggregation,
    ContextEntries,
    Decision,
    DecisionTable,
    DmnError,
    HitPolicy,
    Invocation,
    ItemType,
    Knowledge,
    LiteralExpression,
    Logic,
    Model,
    OutputColumn,
    TableRow,
    Unread,
)
from dealgate.rules.dmn_inputs import InputReader
from dealgate.rules.document import did_you_mean
from dealgate.rules.feel import Scope, cell_holds, evaluate, tests_hold, values_of
from dealgate.rules.feel_functions import total
from dealgate.rules.feel_syntax import FeelError, parse_tests
from dealgate.rules.feel_values import Interval, Value, equal, is_vast, kind, value_text
from dealgate.rules.feel_values import in_order as sorted_values
from dealgate.rules.policy import CycleError, in_order

MOST_CALLS_DEEP = 20
MOST_CALLS = 20_000
MOST_VALUES = 500_000


class Outcome(NamedTuple):
    """A decision's value, the rules of its table that gave it, and what is worth knowing about how it came about."""

    value: Value
    rules: tuple[int, ...]
    notes: tuple[str, ...]


def run_decision(model: Model, wanted: str, inputs: Mapping[str, Any]) -> Outcome:
    """Evaluate a decision and all that it rests on. Raises `DmnError`."""
    decision = model.decision(wanted)
    _refuse_unknown_inputs(model, inputs)
    run = _Run(model, inputs)
    for needed in _in_order(model, decision):
        run.decide(needed)
    return Outcome(run.values[decision.name], tuple(run.hits.get(decision.name, ())), tuple(run.notes))


def _in_order(model: Model, decision: Decision) -> list[Decision]:
    """The decision and those it rests on, each after all that it needs."""
    by_id = {found.id: found for found in model.decisions.values()}
    needed: dict[str, Decision] = {}
    waiting = [decision]
    while waiting:
        found = waiting.pop()
        if found.name not in needed:
            needed[found.name] = found
            waiting += [by_id[name] for name in found.requires if name in by_id]
    try:
        ordered: list[Decision] = in_order(
            needed, lambda one: [by_id[name].name for name in one.requires if name in by_id]
        )
    except CycleError as error:
        raise DmnError(f"decisions require each other in a circle: {error}") from None
    return ordered


def _refuse_unknown_inputs(model: Model, inputs: Mapping[str, Any]) -> None:
    """A misspelt input would count as null, and a table may well have an answer for null."""
    tables = [decision.logic for decision in model.decisions.values() if isinstance(decision.logic, DecisionTable)]
    undeclared = [name for table in tables for column in table.inputs for name in (column.expression, column.label)]
    known = [*model.inputs, *model.decisions, *undeclared]
    for name in inputs:
        if " ".join(name.split()) not in known:
            hint = did_you_mean(name, known)
            raise DmnError(f"the model has no input {name!r}. {hint}".strip())


class _Run:
    """One evaluation: the values found so far, by name."""

    def __init__(self, model: Model, inputs: Mapping[str, Any]) -> None:
        self.model = model
        self.notes: list[str] = []
        self.hits: dict[str, list[int]] = {}
        self.given = {" ".join(name.split()): value for name, value in inputs.items()}
        self.values: dict[str, Value] = {}
        self.depth = 0
        self.calls = 0
        self.parts = frozenset(_part_names(model.types.values()))
        self.values.update(dict.fromkeys(model.inputs))
        self.names = {data.id: data.name for data in model.inputs.values()}
        self.names |= {decision.id: decision.name for decision in model.decisions.values()}
        reader = InputReader(model.types)
        try:
            for name, value in self.given.items():
                self.values[name] = reader.read(value, self._declared(name), name)
        except ValueError as error:
            raise DmnError(f"the input cannot be read: {error}") from None
        self.notes += reader.notes

    def _declared(self, name: str) -> str:
        declared = self.model.inputs.get(name) or self.model.decisions.get(name)
        return declared.type if declared else ""

    def decide(self, decision: Decision) -> None:
        if decision.name in self.given:  # an input stands in for the decision
            return
        for name in (self.names[required] for required in decision.requires if required in self.names):
            if name in self.model.inputs and name not in self.given:
                self.notes.append(f"the input {name!r} is not given: it counts as null")
        where = f"decision {decision.name!r}"
        if decision.logic is None:
            self.notes.append(f"{where} has no logic: it is null")
            self.values[decision.name] = None
            return
        self.values[decision.name] = self.logic(
            decision.logic, self._scope(self._values_for(decision)), where, decision.name, decision.type
        )

    def _values_for(self, decision: Decision) -> dict[str, Value]:
        """The inputs, and of the decisions those that it requires."""
        named = [*self.model.inputs, *self.given, *(self.names.get(required, "") for required in decision.requires)]
        return {name: self.values[name] for name in named if name in self.values}

    def _scope(self, values: Mapping[str, Value]) -> Scope:
        functions = {name: self._function(knowledge) for name, knowledge in self.model.knowledge.items()}
        return Scope(values, functions, self.parts)

    def logic(self, logic: Logic, scope: Scope, where: str, name: str = "", type_name: str = "") -> Value:
        value = self._value(logic, scope, where, name, type_name)
        if isinstance(value, list | Mapping) and is_vast(value, MOST_VALUES):
            raise DmnError(f"{where}: a list or context of more than {MOST_VALUES:,} values, or nested too deeply")
        return value

    def _value(self, logic: Logic, scope: Scope, where: str, name: str, type_name: str) -> Value:
        match logic:
            case DecisionTable():
                return self.table(logic, scope, where, name, type_name)
            case LiteralExpression(text):
                return _told(where, lambda: evaluate(text, scope))
            case Invocation():
                return self.invocation(logic, scope, where)
            case ContextEntries(entries):
                return self.context(entries, scope, where)
            case Unread(element):
                raise DmnError(f"{where}: its logic is a <{element}>, which is not evaluated here")

    def context(self, entries: Iterable[tuple[str, Logic]], scope: Scope, where: str) -> Value:
        found: dict[str, Value] = {}
        for name, logic in entries:
            value = self.logic(logic, scope.with_values(found), f"{where}, entry {name!r}" if name else where)
            if not name:
                return value
            found[name] = value
        return found

    def invocation(self, logic: Invocation, scope: Scope, where: str) -> Value:
        name = " ".join(logic.function.split())
        if name not in scope.functions:
            raise DmnError(f"{where}: no function is called {name!r}. {did_you_mean(name, scope.functions)}".strip())
        operands = [self.logic(value, scope, f"{where}, parameter {name!r}") for name, value in logic.bindings]
        return scope.functions[name](operands, tuple(name for name, _ in logic.bindings))

    def _function(self, knowledge: Knowledge) -> Callable[[list[Value], tuple[str, ...]], Value]:
        where = f"function {knowledge.name!r}"

        def function(operands: list[Value], names: tuple[str, ...]) -> Value:
            given = dict(zip(names or knowledge.parameters, operands, strict=False))
            if set(given) != set(knowledge.parameters) or len(operands) != len(knowledge.parameters):
                raise DmnError(f"{where} takes {', '.join(knowledge.parameters) or 'no operand'}")
            if knowledge.logic is None:
                return None
            if self.depth == MOST_CALLS_DEEP:
                raise DmnError(f"{where}: functions call each other more than {MOST_CALLS_DEEP} levels deep")
            self.calls += 1
            if self.calls > MOST_CALLS:
                raise DmnError(f"{where}: more than {MOST_CALLS:,} calls of functions")
            self.depth += 1
            try:
                return self.logic(knowledge.logic, self._scope(given), where, where)
            finally:
                self.depth -= 1

        return function

    # Tables

    def table(self, table: DecisionTable, scope: Scope, where: str, name: str, type_name: str) -> Value:
        tested: list[Value] = []
        for column in table.inputs:
            value = self._input(column.expression, column.label, scope, f"{where}, input {column.label!r}")
            if not self._is_allowed(value, column.allowed, scope, f"{where}, input {column.label!r}"):
                return None
            tested.append(value)
        hits = self._hits(table, tested, scope, where)
        self.hits[name] = [row.number for row in hits]
        if not hits:
            return self._default(table, scope, where)
        results = [self._outputs(table, row, scope, where) for row in hits]
        return self._result(table, hits, results, scope, where, type_name)

    def _input(self, text: str, label: str, scope: Scope, where: str) -> Value:
        """Some tools leave the expression out and mean the input of that label."""
        return _told(where, lambda: evaluate(text, scope)) if text else scope.values.get(label)

    def _is_allowed(self, value: Value, allowed: str, scope: Scope, where: str) -> bool:
        if not allowed or value is None or isinstance(value, list):
            return True
        if _told(where, lambda: tests_hold(parse_tests(allowed, scope.names), value, scope)) is True:
            return True
        if isinstance(value, str) and value in _told(where, lambda: _texts(allowed, scope)):
            return True
        self.notes.append(
            f"{where} is {value_text(value)!r}, which is not among its values {allowed}: the result is null"
        )
        return False

    def _hits(self, table: DecisionTable, tested: Sequence[Value], scope: Scope, where: str) -> list[TableRow]:
        found = []
        for row in table.rows:
            if self._row_holds(table, row, tested, scope, where):
                found.append(row)
                if table.hit_policy is HitPolicy.FIRST:
                    break
        return found

    def _row_holds(
        self, table: DecisionTable, row: TableRow, tested: Sequence[Value], scope: Scope, where: str
    ) -> bool:
        for column, cell, value in zip(table.inputs, row.inputs, tested, strict=True):
            try:
                if not cell_holds(cell, value, scope):
                    return False
            except FeelError as error:
                raise _cell_error(f"{where}, rule {row.number}, input {column.label!r}", cell, error) from None
        return True

    def _outputs(self, table: DecisionTable, row: TableRow, scope: Scope, where: str) -> list[Value]:
        found = []
        for column, cell in zip(table.outputs, row.outputs, strict=True):
            place = f"{where}, rule {row.number}, output {column.name!r}"
            found.append(_cell(cell, scope, place))
        return found

    def _default(self, table: DecisionTable, scope: Scope, where: str) -> Value:
        if all(column.default is None for column in table.outputs):
            return self._nothing(table, where)
        values = [
            _cell(column.default or "", scope, f"{where}, default of {column.name!r}") for column in table.outputs
        ]
        result = _shaped(table.outputs, values)
        return [result] if _gives_a_list(table) else result

    def _nothing(self, table: DecisionTable, where: str) -> Value:
        """Nothing collected is an empty list, and the count of it zero; any other table has no result."""
        if table.hit_policy is HitPolicy.COLLECT and table.aggregation in {None, Aggregation.COUNT}:
            return [] if table.aggregation is None else Decimal(0)
        self.notes.append(f"{where}: no rule holds, and the table has no default: the result is null")
        return None

    def _result(
        self,
        table: DecisionTable,
        hits: Sequence[TableRow],
        results: list[list[Value]],
        scope: Scope,
        where: str,
        type_name: str,
    ) -> Value:
        match table.hit_policy:
            case HitPolicy.UNIQUE if len(hits) > 1:
                return self._violated(table, hits, where, "allows one rule to hold")
            case HitPolicy.ANY if any(equal(results[0], other) is not True for other in results):
                return self._violated(table, hits, where, "wants all rules that hold to give the same")
            case HitPolicy.COLLECT if table.aggregation is not None:
                columns = list(zip(*results, strict=True))
                return _shaped(
                    table.outputs, [self._aggregated(table.aggregation, column, where) for column in columns]
                )
            case HitPolicy.PRIORITY | HitPolicy.OUTPUT_ORDER:
                results = self._by_priority(table, results, scope, where, type_name)
        shaped = [_shaped(table.outputs, result) for result in results]
        return shaped if _gives_a_list(table) else shaped[0]

    def _violated(self, table: DecisionTable, hits: Sequence[TableRow], where: str, wants: str) -> None:
        numbers = ", ".join(str(row.number) for row in hits)
        self.notes.append(
            f"{where}: the hit policy {table.hit_policy} {wants}, and rules {numbers} do: the result is null"
        )

    def _aggregated(self, aggregation: Aggregation, column: Sequence[Value], where: str) -> Value:
        if aggregation is Aggregation.COUNT:
            return Decimal(len(column))
        if aggregation is Aggregation.SUM:
            found = total(column) if all(kind(value) == "number" for value in column) else None
        else:
            ordered = sorted_values(column)
            found = None if ordered is None else ordered[0 if aggregation is Aggregation.MIN else -1]
        if found is None:
            self.notes.append(
                f"{where}: the values {value_text(list(column))} have no {aggregation.lower()}: the result is null"
            )
        return found

    def _by_priority(
        self, table: DecisionTable, results: list[list[Value]], scope: Scope, where: str, type_name: str
    ) -> list[list[Value]]:
        """The order of the output values is that of priority, the first output deciding before the second."""
        ordered = [
            self._output_values(column, scope, where, type_name if len(table.outputs) == 1 else "")
            for column in table.outputs
        ]
        if not any(ordered):
            raise DmnError(
                f"{where}: the hit policy {table.hit_policy} needs ordered output values, and the table states none"
            )
        return sorted(results, key=lambda result: [_rank(*pair) for pair in zip(ordered, result, strict=True)])

    def _output_values(self, column: OutputColumn, scope: Scope, where: str, type_name: str) -> list[Value]:
        text = column.values
        for name in (column.type, type_name):
            item: ItemType | None = self.model.types.get(name) or self.model.types.get(name.rpartition(":")[2])
            text = text or (item.allowed if item else "")
        return _told(f"{where}, output values of {column.name!r}", lambda: values_of(text, scope)) if text else []


def _texts(allowed: str, scope: Scope) -> list[str]:
    """White space at the ends of an allowed text is an accident of the tool that listed it."""
    return [text.strip() for text in values_of(allowed, scope) if isinstance(text, str)]


def _rank(ordered: Sequence[Value], value: Value) -> int:
    """A value that is not listed comes after all that are; a column without ordered values decides nothing."""
    for place, listed in enumerate(ordered):
        if (listed.holds(value) if isinstance(listed, Interval) else equal(listed, value)) is True:
            return place
    return len(ordered)


def _gives_a_list(table: DecisionTable) -> bool:
    several = {HitPolicy.RULE_ORDER, HitPolicy.OUTPUT_ORDER, HitPolicy.COLLECT}
    return table.hit_policy in several and table.aggregation is None


def _shaped(outputs: Sequence[OutputColumn], values: Sequence[Value]) -> Value:
    """One output is its value, several are an object."""
    return (
        values[0] if len(outputs) == 1 else {column.name: value for column, value in zip(outputs, values, strict=True)}
    )


def _cell(text: str, scope: Scope, where: str) -> Value:
    if text in {"", "-"}:
        return None
    try:
        return evaluate(text, scope)
    except FeelError as error:
        raise _cell_error(where, text, error) from None


def _told(where: str, compute: Callable[[], Any]) -> Any:
    """Compute, and say where it was if that fails."""
    try:
        return compute()
    except FeelError as error:
        raise DmnError(f"{where}: {error}") from None


def _cell_error(where: str, cell: str, error: FeelError) -> DmnError:
    shown = cell if len(cell) <= 80 else cell[:77] + "..."
    return DmnError(f"{where}: {shown!r} cannot be read: {error}")


def _part_names(types: Iterable[ItemType]) -> Iterable[str]:
    for item in types:
        yield from item.parts
        yield from _part_names(item.parts.values())
