"""From the typed tree to straight-line Python: every node one assignment, exact integers, None for unknown.

A number is a pair of variables, numerator and positive denominator, of which the numerator is None when the value is
unknown. Logic is Kleene's: True, False or None.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dealgate.rules.amounts import half_up
from dealgate.rules.equity import Equity, projected
from dealgate.rules.expressions import (
    All,
    Arithmetic,
    BookValueAsOf,
    BookValueOn,
    Comparison,
    DaysBetween,
    Expression,
    Extreme,
    FieldName,
    FirstKnown,
    Greatest,
    ItemName,
    LevelPayment,
    LimitName,
    ListedValue,
    ListedValueAsOf,
    ListSum,
    MeasureName,
    Membership,
    Missing,
    Not,
    Number,
    Projected,
    Text,
    Truth,
    Violated,
    Year,
)
from dealgate.rules.expressions import Any as AnyOf
from dealgate.rules.fields import FIELDS, Unit
from dealgate.rules.payment import level_payment
from dealgate.rules.stated_values import RATE_SCALE

RATE_DENOMINATOR = 100 * RATE_SCALE


class Slot(NamedTuple):
    """Where a value lives: source text of numerator and denominator, and whether it can be unknown."""

    numerator: str
    denominator: str = "1"
    nullable: bool = True


def times(left: str, right: str) -> str:
    if left == "1":
        return right
    if right == "1":
        return left
    return f"{left} * {right}"


def any_unknown(*slots: Slot) -> str:
    """A test that some of the slots are unknown, or the empty string when none can be."""
    names = dict.fromkeys(slot.numerator for slot in slots if slot.nullable)
    return " or ".join(f"{name} is None" for name in names)


class Source:
    """A Python function under construction."""

    def __init__(self, parameters: str) -> None:
        self.parameters = parameters
        self.lines: list[str] = []
        self.depth = 1
        self.constants: dict[str, Any] = {}
        self._names = 0

    def add(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def name(self) -> str:
        self._names += 1
        return f"v{self._names}"

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def assign(self, value: str, *slots: Slot) -> Slot:
        """Assign an integer or truth that is unknown when any of the slots is."""
        name, unknown = self.name(), any_unknown(*slots)
        self.add(f"{name} = None if {unknown} else {value}" if unknown else f"{name} = {value}")
        return Slot(name, "1", bool(unknown))

    def build(self, name: str, result: str) -> Callable[..., Any]:
        body = "\n".join([f"def {name}({self.parameters}):", *self.lines, f"    return {result}"])
        namespace: dict[str, Any] = {
            "half_up": half_up,
            "level_payment": level_payment,
            "projected": projected,
            **self.constants,
        }
        # The text is generated from the checked tree: its only literals are integers, its only names are ours.
        exec(compile(body, f"<{name}>", "exec"), namespace)
        function: Callable[..., Any] = namespace[name]
        return function


def whole_cents(source: Source, slot: Slot, unit: Unit) -> Slot:
    """An amount of money is whole cents: what is shown is what is compared."""
    if unit != Unit.MONEY or slot.denominator == "1":
        return slot
    return source.assign(f"half_up({slot.numerator}, {slot.denominator})", slot)


class Compiler:
    """Writes expressions into a `Source`. `names` tells where measures, limits and rules already live.

    What reads the deal's own fields only needs neither the bases nor the assumptions of a policy.
    """

    def __init__(
        self,
        source: Source,
        collateral_value: Mapping[str, tuple[str, ...]] | None = None,
        equity: Equity | None = None,
    ) -> None:
        self.source = source
        self.collateral_value = collateral_value or {}
        self.equity = equity
        self.names: dict[str, Slot] = {}
        self._known: dict[Expression, Slot] = {}
        self._item = ""

    def take_as_written(self, slots: Mapping[Expression, Slot]) -> None:
        """Where nodes already live: the parameters of a function."""
        self._known.update(slots)

    def write(self, expression: Expression) -> Slot:
        """Emit a node, once however often it occurs."""
        if not self._item and expression in self._known:
            return self._known[expression]
        slot = self._node(expression)
        if not self._item:
            self._known[expression] = slot
        return slot

    def _node(self, expression: Expression) -> Slot:
        match expression:
            case Number():
                return Slot(str(expression.numerator), str(expression.denominator), nullable=False)
            case Text(value):
                return Slot(self.source.constant(value), nullable=False)
            case Truth(value):
                return Slot(str(value), nullable=False)
            case FieldName(name):
                spec = FIELDS[name]
                variable = self.source.name()
                self.source.add(f"{variable} = facts[{name!r}]")
                return Slot(variable, self._scale(spec.unit), nullable=not spec.zero_when_absent)
            case ItemName(name, unit):
                variable = self.source.name()
                self.source.add(f"{variable} = {self._item}[{name!r}]")
                return Slot(variable, self._scale(unit))
            case Arithmetic():
                return self._arithmetic(expression)
            case Extreme():
                return self._extreme(expression)
            case FirstKnown(operands):
                return self._first_known(operands)
            case ListSum() | Greatest():
                return self._over_items(expression)
            case Year(date):
                slot = self.write(date)
                return self.source.assign(f"{slot.numerator}.year", slot)
            case DaysBetween(start, end):
                first, last = self.write(start), self.write(end)
                return self.source.assign(f"({last.numerator} - {first.numerator}).days", first, last)
            case LevelPayment(amount, rate, months):
                return self._level_payment(self.write(amount), self.write(rate), self.write(months))
            case Projected():
                return self._projected(expression)
            case BookValueOn(basis):
                return self._of_basis("values", basis)
            case ListedValue():
                return self._of_listed_basis("values")
            case BookValueAsOf(basis):
                return self._of_basis("values_as_of", basis)
            case ListedValueAsOf():
                return self._of_listed_basis("values_as_of")
            case _:
                return self._logic(expression)

    def _scale(self, unit: Unit) -> str:
        return str(RATE_DENOMINATOR) if unit == Unit.PERCENT else "1"

    # Numbers

    def _arithmetic(self, node: Arithmetic) -> Slot:
        left, right = self.write(node.left), self.write(node.right)
        if node.operator == "/":
            return self._quotient(left, right)
        if node.operator == "*":
            top, bottom = times(left.numerator, right.numerator), times(left.denominator, right.denominator)
        elif left.denominator == right.denominator:
            top, bottom = f"{left.numerator} {node.operator} {right.numerator}", left.denominator
        else:
            first, second = times(left.numerator, right.denominator), times(right.numerator, left.denominator)
            top, bottom = f"{first} {node.operator} {second}", times(left.denominator, right.denominator)
        slot = self.source.assign(top, left, right)
        return slot._replace(denominator=self._denominator(bottom))

    def _denominator(self, text: str) -> str:
        if text.isalnum():
            return text
        variable = self.source.name()
        self.source.add(f"{variable} = {text}")
        return variable

    def _quotient(self, left: Slot, right: Slot) -> Slot:
        top, bottom = self.source.name(), self.source.name()
        unknown = " or ".join(filter(None, [any_unknown(left, right), f"{right.numerator} <= 0"]))
        self.source.add(f"if {unknown}: {top} = None; {bottom} = 1")
        self.source.add(
            f"else: {top} = {times(left.numerator, right.denominator)}; {bottom} = {times(left.denominator, right.numerator)}"
        )
        return Slot(top, bottom)

    def _extreme(self, node: Extreme) -> Slot:
        slots = [self.write(operand) for operand in node.operands]
        if len({slot.denominator for slot in slots}) == 1:
            slot = self.source.assign(f"{node.name}({', '.join(slot.numerator for slot in slots)})", *slots)
            return slot._replace(denominator=slots[0].denominator)
        best = slots[0]
        for slot in slots[1:]:
            top, bottom, unknown = self.source.name(), self.source.name(), any_unknown(best, slot)
            comparison = "<=" if node.name == "min" else ">="
            if unknown:
                self.source.add(f"if {unknown}: {top} = None; {bottom} = 1")
            first, second = times(best.numerator, slot.denominator), times(slot.numerator, best.denominator)
            self.source.add(
                f"{'elif' if unknown else 'if'} {first} {comparison} {second}: {top} = {best.numerator}; {bottom} = {best.denominator}"
            )
            self.source.add(f"else: {top} = {slot.numerator}; {bottom} = {slot.denominator}")
            best = Slot(top, bottom, bool(unknown))
        return best

    def _first_known(self, operands: tuple[Expression, ...]) -> Slot:
        slots = [self.write(operand) for operand in operands]
        top, bottom = self.source.name(), self.source.name()
        self.source.add(f"{top} = {slots[-1].numerator}; {bottom} = {slots[-1].denominator}")
        for slot in reversed(slots[:-1]):
            condition = f"if {slot.numerator} is not None: " if slot.nullable else ""
            self.source.add(f"{condition}{top} = {slot.numerator}; {bottom} = {slot.denominator}")
        nullable = all(slot.nullable for slot in slots)
        return Slot(top, "1" if {slot.denominator for slot in slots} == {"1"} else bottom, nullable)

    def _over_items(self, node: ListSum | Greatest) -> Slot:
        """A loop; leaves it with None as soon as one needed part is unknown."""
        source, total = self.source, self.source.name()
        bottom = source.name()
        source.add(f"{total} = 0; {bottom} = 1")
        item = source.name()
        source.add(f"for {item} in facts[{node.list!r}]:")
        source.depth += 1
        self._item = item
        if node.where is not None:
            where = self.write(node.where)
            if where.nullable:
                source.add(f"if {where.numerator} is None: {total} = None; break")
            source.add(f"if not {where.numerator}: continue")
        value = self.write(node.value)
        if value.nullable:
            source.add(f"if {value.numerator} is None: {total} = None; break")
        if isinstance(node, Greatest):
            first, second = times(value.numerator, bottom), times(total, value.denominator)
            source.add(f"if {first} > {second}: {total} = {value.numerator}; {bottom} = {value.denominator}")
        elif value.denominator == "1":
            source.add(f"{total} += {value.numerator}")
        else:
            source.add(f"{total} = {total} * {value.denominator} + {times(value.numerator, bottom)}")
            source.add(f"{bottom} *= {value.denominator}")
        self._item = ""
        source.depth -= 1
        return Slot(total, "1" if value.denominator == "1" else bottom)

    def _level_payment(self, amount: Slot, rate: Slot, months: Slot) -> Slot:
        arguments = ", ".join(
            [amount.numerator, amount.denominator, rate.numerator, rate.denominator, months.numerator]
        )
        return self.source.assign(f"level_payment({arguments})", amount, rate, months)._replace(nullable=True)

    def _projected(self, node: Projected) -> Slot:
        after = self.write(node.after) if node.after else Slot("0", nullable=False)
        amount, rate, months, value = map(self.write, (node.amount, node.rate, node.months, node.value))
        equity, reading = self.source.constant(self.equity), self.source.constant(node.reading)
        operands = [part for slot in (amount, rate) for part in (slot.numerator, slot.denominator)]
        operands += [months.numerator, value.numerator, value.denominator, after.numerator]
        call = f"projected({equity}, {reading}, {', '.join(operands)})"
        return self.source.assign(call, amount, rate, months, value, after)._replace(nullable=True)

    def _of_basis(self, values: str, basis: str) -> Slot:
        variable = self.source.name()
        self.source.add(f"{variable} = facts[{values!r}].get({self.source.constant(basis)})")
        return Slot(variable)

    def _of_listed_basis(self, values: str) -> Slot:
        variable, basis = self.source.name(), self.source.name()
        lists = self.source.constant(dict(self.collateral_value))
        self.source.add(f"{variable} = None")
        self.source.add(f"for {basis} in {lists}.get(facts['condition'], ()):")
        self.source.add(f"    if {basis} in facts['values']: {variable} = facts[{values!r}][{basis}]; break")
        return Slot(variable)

    # Logic

    def _logic(self, node: Expression) -> Slot:
        match node:
            case Comparison(operator, left, right):
                return self._comparison(operator, self.write(left), self.write(right))
            case Membership(operand, options):
                slot = self.write(operand)
                values = [option for option in options if isinstance(option, Number | Text)]
                tests = [self._comparison("==", slot, self.write(value)).numerator for value in values]
                return self.source.assign(f"({' or '.join(tests)})", slot)
            case Missing(operand):
                slot = self.write(operand)
                name = self.source.name()
                self.source.add(f"{name} = {slot.numerator} is None" if slot.nullable else f"{name} = False")
                return Slot(name, nullable=False)
            case Not(operand):
                slot = self.write(operand)
                return self.source.assign(f"not {slot.numerator}", slot)
            case All(operands):
                return self._junction([self.write(operand) for operand in operands], decisive=False)
            case AnyOf(operands):
                return self._junction([self.write(operand) for operand in operands], decisive=True)
            case _:
                return self.names[node_name(node)]

    def _comparison(self, operator: str, left: Slot, right: Slot) -> Slot:
        return self.source.assign(_compared(operator, left, right), left, right)

    def condition(self, expression: Expression) -> tuple[str, str]:
        """A condition that is read once: its test and, if it can be unknown, the test for that; a comparison in place."""
        if isinstance(expression, Comparison) and expression not in self._known:
            left, right = self.write(expression.left), self.write(expression.right)
            return _compared(expression.operator, left, right), any_unknown(left, right)
        slot = self.write(expression)
        return slot.numerator, any_unknown(slot)

    def _junction(self, slots: list[Slot], *, decisive: bool) -> Slot:
        """Kleene's `and` (decided by a False) or `or` (decided by a True)."""
        name, unknown = self.source.name(), any_unknown(*slots)
        decided = " or ".join(f"{slot.numerator} is {decisive}" for slot in slots)
        self.source.add(
            f"{name} = {decisive} if {decided} else {f'None if {unknown} else ' if unknown else ''}{not decisive}"
        )
        return Slot(name, nullable=bool(unknown))


def _compared(operator: str, left: Slot, right: Slot) -> str:
    if left.denominator == right.denominator:
        return f"{left.numerator} {operator} {right.numerator}"
    first, second = times(left.numerator, right.denominator), times(right.numerator, left.denominator)
    return f"{first} {operator} {second}"


def node_name(node: Expression) -> str:
    """The key of a measure, limit or rule in `Compiler.names`."""
    if isinstance(node, Violated):
        return f"rule {node.rule}"
    assert isinstance(node, MeasureName | LimitName)
    return node.name
