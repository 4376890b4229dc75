"""A limit's decision table, from the document itself or from a file that it names: every mistake with its place."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

from dealgate.rules.cells import CellError, cell_condition, limit_text
from dealgate.rules.checking import NUMERIC, Scope, read_expression
from dealgate.rules.document import Node, Place, Report, Scalar
from dealgate.rules.expressions import All, Expression
from dealgate.rules.fields import FIELDS, Unit
from dealgate.rules.parsing import ExpressionError
from dealgate.rules.policy import Limit, Row
from dealgate.rules.table_files import MOST_ROWS, FileTable, FindTable, TableCell, TableError, read_table

HIT_POLICIES = ("first", "unique", "any", "priority", "collect")
LISTS = ("rule_order", "output_order")
AGGREGATES = ("sum", "min", "max", "count")

MOST_PROBLEMS = 50
"""Of one table from a file; a wrong column would be told once for each of its rows."""

ENTRIES = ("rows", "table", "sheet", "decision", "hit_policy", "aggregate", "output_values", "default", "on_no_hit")

Found = TypeVar("Found")

ONE_NUMBER = "A limit is one number: use first, unique, any or priority, or collect with an aggregate."

CLOSE_THE_GAP = "End with a row without 'when', give a 'default', or say on_no_hit: unknown."


def gap_message(limit: str) -> str:
    return f"limit {limit} has a gap: a deal that matches no row has no limit"


class ReadsExpressions(Protocol):
    def __call__(self, node: Node | None, scope: Scope, wanted: Unit | None) -> Expression | None: ...


class LimitReader:
    """Reads the limits of one document."""

    def __init__(
        self, report: Report, scope: Scope, expression: ReadsExpressions, find_table: FindTable | None
    ) -> None:
        self.report = report
        self.scope = scope
        self.expression = expression
        self.find_table = find_table
        self.allow_gaps = False

    def limit(self, name: str, node: Node) -> Limit | None:
        before = len(self.report.problems)
        parts = self.report.table(node, f"limit {name}", ("unit",), ENTRIES)
        unit = self._word(parts.get("unit"), "the unit of a limit", [u.value for u in Unit if u in NUMERIC])
        if "rows" not in parts and "table" not in parts and parts:
            self.report.add(node.place, f"limit {name} lacks the entry 'rows'", "Or name a file with 'table'.")
        table = self._Table(name, node, Unit(unit) if unit else None)
        table.hit_policy = self._hit_policy(parts.get("hit_policy"))
        table.aggregate = self._word(parts.get("aggregate"), "aggregate", AGGREGATES)
        if "default" in parts:
            table.default = self._default(parts["default"], table.unit)
        table.output_values = self._output_values(parts.get("output_values"), table.unit)
        table.words_are_known = len(self.report.problems) == before
        if "table" in parts:
            self._read_file(table, parts)
        elif "rows" in parts:
            self._read_rows(table, parts["rows"])
        on_no_hit = self._word(parts.get("on_no_hit"), "on_no_hit", ("unknown", "default"))
        if table.rows and table.words_are_known:
            self._check(table, parts, on_no_hit)
        if len(self.report.problems) > before or not table.unit:
            return None
        return table.limit()

    class _Table:
        """What has been read of one limit."""

        def __init__(self, name: str, node: Node, unit: Unit | None) -> None:
            self.name = name
            self.node = node
            self.unit = unit
            self.hit_policy = ""
            self.aggregate = ""
            self.words_are_known = False
            self.default: Row | None = None
            self.output_values: list[Expression] = []
            self.rows: list[Row | None] = []
            """None where a row could not be read."""
            self.places: list[Place] = []

        def limit(self) -> Limit:
            """Priority is `first` in the order of the output values, and the default of `first` its last row."""
            assert self.unit
            rows, hit_policy, default = tuple(filter(None, self.rows)), self.hit_policy or "first", self.default
            if hit_policy in {"first", "priority"}:
                rows += (default,) if default else ()
                hit_policy, default = "first", None
            return Limit(self.name, self.unit, hit_policy, rows, self.aggregate, default)

        def by_priority(self) -> None:
            ranked = [self.output_values.index(row.limit) for row in self.rows if row]
            order = sorted(range(len(self.rows)), key=ranked.__getitem__)
            self.rows = [self.rows[place] for place in order]
            self.places = [self.places[place] for place in order]

    # Entries

    def _word(self, node: Node | None, what: str, words: Sequence[str]) -> str:
        return self.report.word(node, what, words) if node is not None else ""

    def _hit_policy(self, node: Node | None) -> str:
        if isinstance(node, Scalar) and node.value in LISTS:
            self.report.add(node.place, f"hit_policy {node.value} gives a list", ONE_NUMBER)
            return ""
        return self._word(node, "hit_policy", HIT_POLICIES)

    def _default(self, node: Node, unit: Unit | None) -> Row | None:
        value = self.expression(node, self.scope, unit)
        return Row(None, value, f"{self.report.file}:{node.place.line}", ("default",)) if value is not None else None

    def _output_values(self, node: Node | None, unit: Unit | None) -> list[Expression]:
        if node is None:
            return []
        values = [self.expression(item, Scope(), unit) for item in self.report.list(node, "output_values")]
        return [value for value in values if value is not None]

    # Rows of the document

    def _read_rows(self, table: _Table, node: Node) -> None:
        items = self.report.list(node, "rows")
        if not items:
            self.report.add(node.place, f"limit {table.name} has no row")
        if len(items) > MOST_ROWS:
            self.report.add(node.place, f"limit {table.name} has {len(items):,} rows; at most {MOST_ROWS:,} are read")
            return
        for index, item in enumerate(items):
            table.rows.append(self._row(table, item, index))
            table.places.append(item.place)

    def _row(self, table: _Table, node: Node, index: int) -> Row | None:
        parts = self.report.table(node, f"a row of {table.name}", ("limit",), ("when", "origin"))
        when = self.expression(parts["when"], self.scope, Unit.BOOLEAN) if "when" in parts else None
        limit = self.expression(parts.get("limit"), self.scope, table.unit)
        origin = self.report.text(parts["origin"], "origin") if "origin" in parts else ""
        if limit is None or ("when" in parts and when is None):
            return None
        return Row(when, limit, origin or f"{self.report.file}:{node.place.line}", ("rows", index))

    # Rows of a file

    def _read_file(self, table: _Table, parts: dict[str, Node]) -> None:
        node = parts["table"]
        if "rows" in parts:
            self.report.add(
                parts["rows"].place, f"limit {table.name} has both rows and a table", "Keep one of the two."
            )
            return
        names = {key: self.report.text(parts[key], key) for key in ("table", "sheet", "decision") if key in parts}
        if not all(names.values()) or table.unit is None:
            return
        if self.find_table is None:
            hint = "Read the policy from its file, or write the rows out."
            self.report.add(
                node.place, f"{names['table']} cannot be read here: this policy does not come from a file", hint
            )
            return
        try:
            found = read_table(
                self.find_table(names["table"]), names["table"], names.get("sheet", ""), names.get("decision", "")
            )
        except TableError as error:
            self.report.add(node.place, str(error))
            return
        self._take_over(table, found, node.place, parts)
        _FileRows(self.report, self.scope, table.unit, node.place).read(found, table.rows)
        table.places = [node.place] * len(table.rows)
        if not found.lines:
            self.report.add(node.place, f"{names['table']} has no row below its header")

    def _take_over(self, table: _Table, found: FileTable, place: Place, parts: dict[str, Node]) -> None:
        """A DMN file states its own hit policy; the document may repeat it, not contradict it."""
        if found.hit_policy in LISTS or (found.hit_policy == "collect" and not found.aggregate):
            self.report.add(place, f"the hit policy {found.hit_policy} of the file gives a list", ONE_NUMBER)
        for what in ("hit_policy", "aggregate"):
            stated, own = getattr(found, what), getattr(table, what)
            if found.hit_policy and own and stated != own:
                self.report.add(parts[what].place, f"{what} is {own!r} here and {stated or 'not stated'!r} in the file")
            setattr(table, what, own or stated)
        assert table.unit
        reader = _FileRows(self.report, self.scope, table.unit, place)
        if found.default is not None and table.default is None:
            value = reader.limit(found.default)
            table.default = Row(None, value, found.default.place, ("table",)) if value is not None else None
        if found.output_values and not table.output_values:
            table.output_values = reader.output_values(found.output_values)

    # What the rows of a table owe each other

    def _check(self, table: _Table, parts: dict[str, Node], on_no_hit: str) -> None:
        hit_policy, place = table.hit_policy or "first", table.node.place
        if (hit_policy == "collect") != bool(table.aggregate):
            where = parts["aggregate"].place if "aggregate" in parts else parts.get("hit_policy", table.node).place
            words = "goes with hit_policy collect" if table.aggregate else "is missing: collect without it gives a list"
            self.report.add(where, f"aggregate {words}", f"An aggregate is one of {', '.join(AGGREGATES)}.")
            return
        if table.aggregate == "count" and table.unit != Unit.COUNT:
            self.report.add(place, f"limit {table.name} counts its rows, so its unit is count")
        if (hit_policy == "priority") != bool(table.output_values):
            where = (
                parts["output_values"].place if "output_values" in parts else parts.get("hit_policy", table.node).place
            )
            words = (
                "go with hit_policy priority" if table.output_values else "are missing: they are the order of priority"
            )
            self.report.add(where, f"output_values {words}", "List the limits, the first to be preferred.")
            return
        if hit_policy == "priority" and (None in table.rows or not self._ranked(table)):
            return
        if hit_policy == "priority":
            table.by_priority()
        self._check_matches(table, hit_policy, parts)
        self._check_gap(table, hit_policy, parts, on_no_hit)

    def _ranked(self, table: _Table) -> bool:
        missing = [
            (row, place)
            for row, place in zip(table.rows, table.places, strict=True)
            if row and row.limit not in table.output_values
        ]
        for row, place in missing:
            self.report.add(place, f"the limit of this row ({row.origin}) is not among output_values")
        return not missing

    def _check_matches(self, table: _Table, hit_policy: str, parts: dict[str, Node]) -> None:
        rows = list(zip(table.rows, table.places, strict=True))
        for (row, _), (following, place) in pairwise(rows):
            if row and row.when is None and hit_policy in {"first", "priority"}:
                which = f" ({following.origin})" if following and "table" in parts else ""
                above = "above it" if hit_policy == "first" else "before it in the order of priority"
                self.report.add(place, f"this row can never match: the row {above} matches every deal{which}")
        always = [place for row, place in rows if row and row.when is None]
        if hit_policy == "unique" and always and len(rows) > 1:
            self.report.add(
                always[0],
                "this row matches every deal, so with hit_policy unique no other row may",
                "Use first or priority.",
            )

    def _check_gap(self, table: _Table, hit_policy: str, parts: dict[str, Node], on_no_hit: str) -> None:
        closed = any(row and row.when is None for row in table.rows) or table.aggregate == "count"
        if table.rows[-1] is None:
            return
        if table.default is not None and closed and table.aggregate != "count":
            where = parts["default"].place if "default" in parts else table.node.place
            self.report.add(where, "this default can never be used: a row matches every deal")
        if on_no_hit == "unknown" and (closed or table.default is not None):
            self.report.add(parts["on_no_hit"].place, "on_no_hit: unknown can never come about here")
        if on_no_hit == "default" and table.default is None:
            self.report.add(parts["on_no_hit"].place, "on_no_hit: default needs the entry 'default'")
        if not closed and table.default is None and not on_no_hit and not self.allow_gaps:
            self.report.add(
                table.node.place,
                gap_message(table.name),
                CLOSE_THE_GAP,
            )


class _FileRows:
    """Turns the cells of a file into rows; problems stand at the place that names the file and say where in it they are."""

    def __init__(self, report: Report, scope: Scope, unit: Unit, place: Place) -> None:
        self.report = report
        self.scope = scope
        self.unit = unit
        self.place = place
        self.problems = 0
        self._conditions: dict[tuple[str, str], tuple[Expression, ...]] = {}
        self._limits: dict[str, Expression] = {}

    def read(self, found: FileTable, rows: list[Row | None]) -> None:
        for cell in found.notes:
            if cell.text in {*self.scope.measures, *self.scope.limits}:
                message = f"{cell.place}: a column {cell.text!r} is for people and tests nothing, and the policy defines that name"
                self._problem(message, "Define it by another name.")
        units = [self._unit(cell) for cell in found.names]
        if None in units:
            return
        for line in found.lines:
            before, parts = self.problems, list[Expression]()
            for name, unit, cell in zip(found.names, units, line.tested, strict=True):
                assert unit
                parts += self.condition(name.text, unit, cell)
            limit = self.limit(line.limit)
            rows.append(
                Row(_all_of(parts), limit, line.origin, ("table", len(rows)))
                if limit is not None and self.problems == before
                else None
            )
        if self.problems > MOST_PROBLEMS:
            self.report.add(self.place, f"{self.problems - MOST_PROBLEMS:,} more problems in this table")

    def _unit(self, cell: TableCell) -> Unit | None:
        """The unit of the field or measure that heads a column."""
        if cell.problem:
            self._problem(f"{cell.place}: {cell.problem}", "")
            return None
        try:
            found = read_expression(cell.text, self.scope)
        except ExpressionError as error:
            self._problem(f"{cell.place}: {error.message}", error.suggestion)
            return None
        if cell.text not in {*FIELDS, *self.scope.measures, *self.scope.limits}:
            self._problem(
                f"{cell.place}: {cell.text!r} is no name of a field or a measure",
                "Head each column with what it tests.",
            )
            return None
        return found.unit

    def condition(self, name: str, unit: Unit, cell: TableCell) -> tuple[Expression, ...]:
        """The operands of `and` that a cell contributes, none where it asks nothing."""
        key = (name, cell.text)
        if cell.problem or key not in self._conditions:
            found = self._told(cell, lambda: self._read_condition(name, unit, cell.text))
            if found is None:
                return ()
            self._conditions[key] = found
        return self._conditions[key]

    def _read_condition(self, name: str, unit: Unit, text: str) -> tuple[Expression, ...]:
        written = cell_condition(name, unit, text)
        if written is None:
            return ()
        self.report.count_expression(self.place, written)
        expression = read_expression(written, self.scope, Unit.BOOLEAN)
        return expression.operands if isinstance(expression, All) else (expression,)

    def limit(self, cell: TableCell) -> Expression | None:
        if cell.problem or cell.text not in self._limits:
            found = self._told(cell, lambda: self._read_limit(cell.text))
            if found is None:
                return None
            self._limits[cell.text] = found
        return self._limits[cell.text]

    def _read_limit(self, text: str) -> Expression:
        if not text.strip():
            raise CellError("there is no limit in this row")
        self.report.count_expression(self.place, text)
        return read_expression(limit_text(self.unit, text), self.scope, self.unit)

    def output_values(self, text: str) -> list[Expression]:
        values = [self.limit(TableCell(part, "the output values of the file")) for part in text.split(",")]
        return [value for value in values if value is not None]

    def _told(self, cell: TableCell, read: Callable[[], Found]) -> Found | None:
        try:
            if cell.problem:
                raise CellError(cell.problem)
            return read()
        except (CellError, ExpressionError) as error:
            self._problem(f"{cell.place}: {error.message}", error.suggestion)
            return None

    def _problem(self, message: str, suggestion: str) -> None:
        self.problems += 1
        if self.problems <= MOST_PROBLEMS:
            self.report.add(self.place, message, suggestion)


def _all_of(parts: Sequence[Expression]) -> Expression | None:
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else All(tuple(parts))
