"""From the typed tree to SMT: the fourth reader of a policy. What it says of every deal, the reference says of each.

A number is a set of cases, of which exactly one holds where the number is known: a table of constant limits stays a choice
between constants, and a share compared with it stays linear. Logic is Kleene's: a truth says when it is known to hold and
when it is known not to.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from math import lcm, prod

from dealgate.rules.any_deal import AnyDeal, Item, Variable
from dealgate.rules.compiling import RATE_DENOMINATOR
from dealgate.rules.expressions import (
    All,
    Arithmetic,
    BookValueAsOf,
    BookValueOn,
    Comparison,
    DaysBetween,
    DealOutcome,
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
from dealgate.rules.fields import Unit
from dealgate.rules.limit_encoding import Table, TableEncoder
from dealgate.rules.list_encoding import ListEncoder, OfItem
from dealgate.rules.payment import LONGEST_TERM
from dealgate.rules.policy import Limit, Measure, Outcome, Policy, Rule, definition_reads
from dealgate.rules.quantities import FREE, Case, Logic, Quantity, better, merged, one_case, single
from dealgate.rules.reference import Result
from dealgate.rules.sameness import Sameness
from dealgate.rules.smt import Loan, Term, Terms, Whole, constant, same

MOST_CASES = 400
"""Cases of one number that are kept apart; beyond it the number is left free."""

MOST_PROJECTIONS = 16
"""Combinations of cases of which each is projected by itself; beyond it the projection is left free."""


class Encoder:
    """Writes one policy over one `AnyDeal`. `fixed` gives texts a word of their own, by its number.

    What means the same in the policy of the encoder `beside` it is taken from there: both then speak of the same term.
    """

    def __init__(
        self,
        policy: Policy,
        terms: Terms,
        deal: AnyDeal,
        fixed: Mapping[str, int] | None = None,
        beside: "Encoder | None" = None,
    ) -> None:
        self.policy = policy
        self.terms = terms
        self.deal = deal
        self.fixed = fixed or {}
        self.beside = beside
        self.same = Sameness(beside.policy, policy) if beside else None
        self.results: dict[str, dict[Result, Term]] = {}
        self._numbers: dict[Expression, Quantity] = {}
        self._truths: dict[Expression, Logic] = {}
        self._tables: dict[str, Table] = {}
        self._definitions: dict[str, Quantity] = {}
        self._item: Item | None = None

    # Rules and limits

    def rule(self, name: str) -> dict[Result, Term]:
        """When each result comes of a rule."""
        if not self.results:
            for layer in self.policy.layers:
                for rule in layer:
                    self.results[rule.id] = self._rule(rule)
        return self.results[name]

    def _rule(self, rule: Rule) -> dict[Result, Term]:
        terms = self.terms
        applies = self.truth(rule.applies) if rule.applies else Logic(yes=True, no=False)
        require = self.truth(rule.require)
        helps = self.truth(rule.mitigated_by.when).yes if rule.mitigated_by else False
        broken = terms.every((applies.yes, require.no))
        unknown = [terms.negated(terms.some(applies))]
        unknown.append(terms.every((applies.yes, terms.negated(terms.some(require)))))
        return {
            Result.PASS: terms.every((applies.yes, require.yes)),
            Result.VIOLATED: terms.every((broken, terms.negated(helps))),
            Result.MITIGATED: terms.every((broken, helps)),
            Result.NOT_APPLICABLE: applies.no,
            Result.NOT_EVALUABLE: terms.some(unknown),
        }

    def rows(self, name: str) -> tuple[Term, ...]:
        """When each row of a limit's table, and after them its default, is the one that gave the limit."""
        return self._table(self.policy.limits[name]).taken

    def clashes(self, name: str) -> Mapping[int, Term]:
        """When each row holds beside the first that does, and by the hit policy must not."""
        return self._table(self.policy.limits[name]).clashes

    def _table(self, limit: Limit) -> Table:
        if limit.name not in self._tables:
            self._tables[limit.name] = TableEncoder(self, limit).table()
        return self._tables[limit.name]

    def outcome(self, word: str) -> Term:
        """When the outcome of the submission is this one."""
        wanted = Outcome(word)
        worse = [other for other in Outcome if other.severity > wanted.severity]
        beyond = self.reaches(worse[0]) if worse else False
        return self.terms.every((self.reaches(wanted), self.terms.negated(beyond)))

    def reaches(self, outcome: Outcome) -> Term:
        """When the outcome of the submission is at least as severe as this one."""
        if outcome is Outcome.PASS:
            return True
        return self.terms.some(self.finding(rule, outcome) for rule in self.policy.rules)

    def finding(self, rule: Rule, outcome: Outcome) -> Term:
        """When a rule of the policy leads to an outcome at least as severe as this one."""
        results = self.rule(rule.id)
        leads_to = {Result.VIOLATED: rule.otherwise, Result.NOT_EVALUABLE: self.policy.on_unknown}
        if rule.mitigated_by:
            leads_to[Result.MITIGATED] = rule.mitigated_by.to
        return self.terms.some(
            results[result] for result, found in leads_to.items() if found.severity >= outcome.severity
        )

    # Truths

    def truth(self, expression: Expression) -> Logic:
        if self._item is not None:
            return self._truth(expression)
        if expression not in self._truths:
            twin = self._twin(expression)
            self._truths[expression] = twin.truth(expression) if twin else self._truth(expression)
        return self._truths[expression]

    def _twin(self, expression: Expression) -> "Encoder | None":
        """The encoder beside this one, where the expression means the same to both."""
        return self.beside if self.same and self.same.expression(expression) else None

    def _truth(self, expression: Expression) -> Logic:
        terms = self.terms
        match expression:
            case Truth(value):
                return Logic(value, not value)
            case FieldName() | ItemName():
                known, number = self._variable(expression)
                yes = terms.compare("==", number, constant(1))
                return Logic(terms.every((known, yes)), terms.every((known, terms.negated(yes))))
            case Not(operand):
                yes, no = self.truth(operand)
                return Logic(no, yes)
            case All(operands):
                found = [self.truth(operand) for operand in operands]
                return Logic(terms.every(part.yes for part in found), terms.some(part.no for part in found))
            case AnyOf(operands):
                found = [self.truth(operand) for operand in operands]
                return Logic(terms.some(part.yes for part in found), terms.every(part.no for part in found))
            case Missing(operand):
                known = self._known(operand)
                return Logic(terms.negated(known), known)
            case Violated(rule):
                results = self.results[rule] if rule in self.results else self.rule(rule)
                yes = terms.some((results[Result.VIOLATED], results[Result.MITIGATED]))
                return Logic(yes, terms.some((results[Result.PASS], results[Result.NOT_APPLICABLE])))
            case Comparison(operator, left, right):
                return self._comparison(operator, left, right)
            case Membership(operand, options):
                tests = [self._comparison("==", operand, option) for option in options]
                return Logic(terms.some(test.yes for test in tests), terms.every(test.no for test in tests))
        raise TypeError(f"{type(expression).__name__} is not a condition")

    def _known(self, expression: Expression) -> Term:
        if expression.unit in {Unit.TEXT, Unit.BOOLEAN, Unit.DATE}:
            return self._variable(expression).known
        return self.number(expression).known

    def _comparison(self, operator: str, left: Expression, right: Expression) -> Logic:
        if isinstance(left, DealOutcome) or isinstance(right, DealOutcome):
            return self._outcome_comparison(operator, left, right)
        if left.unit in {Unit.TEXT, Unit.DATE}:
            (known, value), (other_known, other) = self._variable(left), self._variable(right)
            holds = self.terms.compare(operator, value, other)
            return self._logic(self.terms.every((known, other_known)), holds)
        return self.compare(operator, self.number(left), self.number(right))

    def compare(self, operator: str, first: Quantity, second: Quantity) -> Logic:
        pairs = [
            (self.terms.every((one.guard, other.guard)), self._compare(operator, one, other))
            for one, other in product(first.cases, second.cases)
        ]
        known = self.terms.every((first.known, second.known))
        holds = [self.terms.every((guard, test)) for guard, test in pairs]
        fails = [self.terms.every((guard, self.terms.negated(test))) for guard, test in pairs]
        yes, no = self.terms.some(holds), self.terms.some(fails)
        return Logic(self.terms.every((known, yes)), self.terms.every((known, no)))

    def _compare(self, operator: str, one: Case, other: Case) -> Term:
        if same(one.bottom, other.bottom):
            return self.terms.compare(operator, one.top, other.top)
        left, right = self.terms.times(one.top, other.bottom), self.terms.times(other.top, one.bottom)
        return self.terms.compare(operator, left, right)

    def _outcome_comparison(self, operator: str, left: Expression, right: Expression) -> Logic:
        """Two outcomes are compared with words only; of `outcome` with itself there is nothing to decide."""
        words = [side.value for side in (left, right) if isinstance(side, Text)]
        holds = self.outcome(words[0]) if words else True
        return self._logic(True, holds if operator == "==" else self.terms.negated(holds))

    def _logic(self, known: Term, holds: Term) -> Logic:
        return Logic(self.terms.every((known, holds)), self.terms.every((known, self.terms.negated(holds))))

    def _variable(self, expression: Expression) -> Variable:
        match expression:
            case Text(value):
                return Variable(True, constant(self.deal.word_numbers[value]))
            case FieldName(name):
                if name in self.fixed:
                    return Variable(True, constant(self.fixed[name]))
                return self.deal.field(name)
            case ItemName(name):
                assert self._item is not None
                return self._item.parts[name]
            case BookValueAsOf(basis):
                return self.deal.book_value_as_of(basis)
            case ListedValueAsOf():
                return self._listed(self.deal.book_value_as_of)
        raise TypeError(f"{type(expression).__name__} is not a fact of a deal")

    # Numbers

    def number(self, expression: Expression) -> Quantity:
        if self._item is not None:
            return self._compact(self._number(expression))
        if expression not in self._numbers:
            twin = self._twin(expression)
            self._numbers[expression] = twin.number(expression) if twin else self._compact(self._number(expression))
        return self._numbers[expression]

    def _number(self, expression: Expression) -> Quantity:
        match expression:
            case Number(numerator=numerator, denominator=denominator):
                return single(True, constant(numerator), constant(denominator))
            case FieldName() | ItemName():
                known, value = self._variable(expression)
                return single(known, value, constant(RATE_DENOMINATOR if expression.unit == Unit.PERCENT else 1))
            case MeasureName() | LimitName():
                return self._definition(expression.name)
            case Arithmetic(operator, left, right):
                return self._arithmetic(operator, self.number(left), self.number(right))
            case Extreme(name, operands):
                found = self.number(operands[0])
                for operand in operands[1:]:
                    found = self._extreme("<=" if name == "min" else ">=", found, self.number(operand))
                return found
            case FirstKnown(operands):
                return self._first_known([self.number(operand) for operand in operands])
            case ListSum() | Greatest():
                return self._over_items(expression)
            case Year(date):
                day = self._variable(date)
                return single(day.known, self.deal.year_of(day), constant(1))
            case DaysBetween(start, end):
                first, last = self._variable(start), self._variable(end)
                return single(
                    self.terms.every((first.known, last.known)), self.terms.minus(last.value, first.value), constant(1)
                )
            case LevelPayment(amount, rate, months):
                return self._level_payment(self.number(amount), self.number(rate), self.number(months))
            case Projected():
                return self._projected(expression)
            case BookValueOn(basis):
                return single(*self.deal.book_value(basis), constant(1))
            case ListedValue():
                return single(*self._listed(self.deal.book_value), constant(1))
        raise TypeError(f"{type(expression).__name__} is not a number")

    def _definition(self, name: str) -> Quantity:
        """A measure or limit is the whole deal's, also where it is named inside a list."""
        if name not in self._definitions:
            item, self._item = self._item, None
            for definition in self._read_by(
                name
            ):  # first what it rests on: a long chain must not become a deep recursion
                self._definitions[definition.name] = self._value_of(definition)
            self._item = item
        return self._definitions[name]

    def _value_of(self, definition: Measure | Limit) -> Quantity:
        if self.beside and self.same and self.same.definition(definition.name):
            return self.beside._definition(definition.name)
        return self._measure(definition) if isinstance(definition, Measure) else self._table(definition).value

    def _read_by(self, name: str) -> list[Measure | Limit]:
        """A definition and all it rests on that are not written yet, each after what it reads."""
        definitions = {definition.name: definition for definition in self.policy.definitions}
        wanted, waiting = set[str](), [name]
        while waiting:
            if (read := waiting.pop()) not in wanted and read not in self._definitions:
                wanted.add(read)
                waiting += definition_reads(definitions[read])
        return [definition for definition in self.policy.definitions if definition.name in wanted]

    def _measure(self, measure: Measure) -> Quantity:
        found = self.number(measure.formula)
        return self.whole_cents(found) if measure.unit == Unit.MONEY else found

    def whole_cents(self, found: Quantity) -> Quantity:
        one = constant(1)
        cases = [
            case if same(case.bottom, one) else Case(case.guard, self.terms.half_up(case.top, case.bottom), one)
            for case in found.cases
        ]
        return self._compact(Quantity(found.known, tuple(cases)))

    def _compact(self, found: Quantity) -> Quantity:
        """One case where nothing is gained by several: constants alone are worth keeping apart."""
        cases = found.cases
        if not cases:
            return single(False, constant(0), constant(1))
        settled = all(case.top.constant is not None and case.bottom.constant is not None for case in cases)
        if len(cases) == 1 or (settled and len(cases) <= MOST_CASES):
            return found
        bottoms = [case.bottom.constant for case in cases]
        if None not in bottoms and (settled or len(set(bottoms)) == 1 or len(cases) > MOST_CASES):
            return Quantity(found.known, (merged(self.terms, cases, lcm(*(bottom or 1 for bottom in bottoms))),))
        if len(cases) > MOST_CASES:
            return single(found.known, self.terms.whole("free", -FREE, FREE), self.terms.whole("free", 1, FREE))
        return found

    def _pairs(self, left: Quantity, right: Quantity) -> Iterable[tuple[Term, Case, Case]]:
        for one, other in product(left.cases, right.cases):
            yield self.terms.every((one.guard, other.guard)), one, other

    def _arithmetic(self, operator: str, left: Quantity, right: Quantity) -> Quantity:
        terms = self.terms
        known = [left.known, right.known]
        if operator == "/":
            zero = constant(0)
            positive = (terms.every((case.guard, terms.compare(">", case.top, zero))) for case in right.cases)
            known.append(terms.some(positive))
        cases = []
        for guard, one, other in self._pairs(left, right):
            if operator == "/":
                if other.top.high <= 0:
                    continue  # never known, and no number can be made of it
                top, bottom = terms.times(one.top, other.bottom), terms.times(one.bottom, other.top)
            elif operator == "*":
                top, bottom = terms.times(one.top, other.top), terms.times(one.bottom, other.bottom)
            else:
                first, second, bottom = self._over_one_bottom(one, other)
                top = terms.plus(first, second) if operator == "+" else terms.minus(first, second)
            cases.append(Case(guard, top, bottom))
        return Quantity(terms.every(known), tuple(cases))

    def _over_one_bottom(self, one: Case, other: Case) -> tuple[Whole, Whole, Whole]:
        """Both tops over one bottom, the least where both are constants."""
        times = self.terms.times
        if same(one.bottom, other.bottom):
            return one.top, other.top, one.bottom
        first, second = one.bottom.constant, other.bottom.constant
        if first is not None and second is not None:
            bottom = lcm(first, second)
            return (
                times(one.top, constant(bottom // first)),
                times(other.top, constant(bottom // second)),
                constant(bottom),
            )
        return times(one.top, other.bottom), times(other.top, one.bottom), times(one.bottom, other.bottom)

    def _extreme(self, operator: str, left: Quantity, right: Quantity) -> Quantity:
        terms = self.terms
        cases = []
        for guard, one, other in self._pairs(left, right):
            first = self._compare(operator, one, other)
            if one.bottom.constant is not None and same(one.bottom, other.bottom):
                cases.append(Case(guard, better(terms, operator, first, one.top, other.top), one.bottom))
            else:
                cases.append(one._replace(guard=terms.every((guard, first))))
                cases.append(other._replace(guard=terms.every((guard, terms.negated(first)))))
        return Quantity(
            terms.every((left.known, right.known)), tuple(case for case in cases if case.guard is not False)
        )

    def _first_known(self, operands: Sequence[Quantity]) -> Quantity:
        terms, cases = self.terms, list[Case]()
        before: list[Term] = []
        for operand in operands:
            turn = terms.every((*(terms.negated(known) for known in before), operand.known))
            cases += [case._replace(guard=terms.every((turn, case.guard))) for case in operand.cases]
            before.append(operand.known)
        return Quantity(terms.some(before), tuple(case for case in cases if case.guard is not False))

    def _level_payment(self, amount: Quantity, rate: Quantity, months: Quantity) -> Quantity:
        terms, one = self.terms, constant(1)
        zero = constant(0)
        valid, cases = list[Term](), list[Case]()
        for due, price, term in product(amount.cases, rate.cases, months.cases):
            guard = terms.every((due.guard, price.guard, term.guard))
            tests = (
                (">", due.top, zero),
                (">=", price.top, zero),
                (">", term.top, zero),
                ("<=", term.top, constant(LONGEST_TERM)),
            )
            valid.append(terms.every((guard, *(terms.compare(*test) for test in tests))))
            cases.append(Case(guard, terms.payment(due.top, due.bottom, price.top, price.bottom, term.top), one))
        return Quantity(terms.every((amount.known, rate.known, months.known, terms.some(valid))), tuple(cases))

    def _projected(self, node: Projected) -> Quantity:
        """A reading of the equity projection; which it is, if any, depends on whole cents."""
        terms, zero = self.terms, constant(0)
        operands = [node.amount, node.rate, node.months, node.value, *([node.after] if node.after else [])]
        amount, rate, months, value, *after = [one_case(terms, self.number(operand)) for operand in operands]
        parts = [self.whole_cents(amount), rate, months, self.whole_cents(value)]
        parts.append(after[0] if after else single(True, zero, constant(1)))
        known = terms.every(part.known for part in parts)
        if prod(len(part.cases) for part in parts) > MOST_PROJECTIONS:
            known = terms.every((known, terms.flag("known projection")))
            return single(known, terms.whole("projection", 0, FREE), constant(1))
        valid, cases = list[Term](), list[Case]()
        for due, price, term, worth, month in product(*(part.cases for part in parts)):
            guard = terms.every(case.guard for case in (due, price, term, worth, month))
            loan = Loan(due.top, price.top, price.bottom, term.top, worth.top, month.top)
            found, is_valid = terms.projection(self.policy.equity, node.reading, loan)
            valid.append(terms.every((guard, is_valid)))
            cases.append(Case(guard, found, constant(1)))
        return Quantity(terms.every((known, terms.some(valid))), tuple(cases))

    def _listed(self, read: Callable[[str], Variable]) -> Variable:
        """What is read of the first basis that is listed for the condition and carried."""
        terms = self.terms
        condition = self._variable(FieldName("condition", Unit.TEXT)).value
        known, value = list[Term](), constant(0)
        for word, bases in self.policy.collateral_value.items():
            is_word = terms.compare("==", condition, constant(self.deal.word_numbers[word]))
            listed, earlier = constant(0), list[Term]()
            for basis in bases:
                carried, found = self.deal.book_value(basis).known, read(basis)
                first = terms.every((is_word, carried, *map(terms.negated, earlier)))
                known.append(terms.every((first, found.known)))
                earlier.append(carried)
            for basis in reversed(bases):
                listed = terms.either(self.deal.book_value(basis).known, read(basis).value, listed)
            value = terms.either(is_word, listed, value)
        return Variable(terms.some(known), value)

    # Lists

    def _over_items(self, node: ListSum | Greatest) -> Quantity:
        items, rest = self.deal.listed(node.list)
        return ListEncoder(self.terms, node, rest).over(self._of_item(node, item) for item in items)

    def _of_item(self, node: ListSum | Greatest, item: Item) -> OfItem:
        self._item = item
        try:
            where = self.truth(node.where) if node.where is not None else Logic(yes=True, no=False)
            return OfItem(item.present, where, self.number(node.value))
        finally:
            self._item = None
