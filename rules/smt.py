"""Exact whole numbers, truths and what lies beyond linear arithmetic, as terms of the SMT solver z3.

Linear arithmetic over whole numbers is decided exactly. A product of two unknowns or a level payment is left free within
bounds that it can never leave, so that what holds for the free value holds for the true one. Such a value knows how to
mend itself: where a model gives it another value than arithmetic does, it states what is true at that point.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from dealgate.rules.amounts import half_up
from dealgate.rules.equity import Equity, projected
from dealgate.rules.payment import LONGEST_TERM, level_payment, payment_share

Term = Any
"""A z3 term, or a plain `int` or `bool` where the value is already settled. z3 carries no type information."""

PRECISION = 1 << 40
"""A payment per unit of amount is bracketed between two fractions with this denominator: coefficients stay short."""

RATES = (0, 20, 40, 50, 60, 75, 100, 125, 150, 200, 250, 300, 1_000)
MONTHS = (12, 24, 36, 48, 60, 72, 84, 120, 180, 240)
"""Rates in thousandths a year and terms at which a level payment is pinned down once its value matters."""


class ProofUnavailableError(RuntimeError):
    """The solver is not installed."""


def solver_library() -> Any:
    """z3, which only proofs need."""
    try:
        import z3  # noqa: PLC0415
    except ImportError:
        raise ProofUnavailableError("z3 is not installed; install dealgate[proof]") from None
    return z3


class Whole(NamedTuple):
    """A whole number and the bounds it never leaves."""

    term: Term
    low: int
    high: int

    @property
    def constant(self) -> int | None:
        return self.low if self.low == self.high else None


def constant(number: int) -> Whole:
    return Whole(number, number, number)


def same(left: Whole, right: Whole) -> bool:
    """Whether two numbers are written the same, so that there is no need to ask whether they are equal."""
    if left.constant is not None or right.constant is not None:
        return left.constant == right.constant
    return left.term is right.term or bool(left.term.eq(right.term))


class Mend(NamedTuple):
    """What is true of a free value (`lemma`), and where to look next: under any of `pins` arithmetic is linear."""

    pins: tuple[Term, ...]
    lemma: Term


class Free(Protocol):
    """A value that linear arithmetic leaves free."""

    def mend(self, terms: "Terms", model: Any) -> Mend | None:
        """What puts a model right that gives the value another number than arithmetic does; None if it does not."""
        ...


class Anything(NamedTuple):
    """A value of which no arithmetic is kept: a model is never put right, only held against the reference."""

    value: Term

    def mend(self, terms: "Terms", model: Any) -> Mend | None:
        return None


class Product(NamedTuple):
    left: Whole
    right: Whole
    value: Term

    def mend(self, terms: "Terms", model: Any) -> Mend | None:
        left, right = terms.number(model, self.left.term), terms.number(model, self.right.term)
        if terms.number(model, self.value) == left * right:
            return None
        if self.left.high - self.left.low < self.right.high - self.right.low:
            pin, product = self.left.term == left, left * self.right.term
        else:
            pin, product = self.right.term == right, right * self.left.term
        return Mend((pin,), terms.z3.Implies(pin, self.value == product))


class Payment(NamedTuple):
    """A level payment: it grows with the amount and the rate, and falls with the months."""

    amount: Whole
    amount_denominator: Whole
    rate: Whole
    rate_denominator: Whole
    months: Whole
    value: Term

    def mend(self, terms: "Terms", model: Any) -> Mend | None:
        amount, *rest = (terms.number(model, part.term) for part in self[:5])
        if min(amount, rest[0], rest[2]) <= 0:
            return None
        exact = level_payment(amount, *rest)
        if exact is None or exact == terms.number(model, self.value):
            return None
        here = [part.term == found for part, found in zip(self[1:5], rest, strict=True)]
        at_amount = terms.implies(self.amount.term == amount, self.value == exact)
        lemmas = [terms.implies(terms.every(here), terms.every((at_amount, *self._bracket(terms, *rest))))]
        pins = [terms.every(here)]
        if self.amount_denominator.constant is not None and (denominator := self.rate_denominator.constant) is not None:
            rates = [share * denominator // 1_000 for share in RATES]
            near = _around(rates, rest[1])
            pins += [terms.every([*here[:1], self.rate.term == rate, *here[2:]]) for rate in near if rate != rest[1]]
            is_high = terms.number(model, self.value) > exact
            points = [
                (rate, months)
                for rate in sorted({*rates, rest[1]})
                for months in _around(MONTHS, rest[3])
                if (rate >= rest[1] and months <= rest[3] if is_high else rate <= rest[1] and months >= rest[3])
            ]
            lemmas += [self._bounds(terms, rest[0], rate, denominator, months)[is_high] for rate, months in points]
        return Mend(tuple(pins), terms.every(lemmas))

    def _bracket(self, terms: "Terms", bottom: int, rate: int, rate_denominator: int, months: int) -> tuple[Term, Term]:
        """That the value is at least, and at most, what is due at this rate over these months."""
        numerator, denominator = payment_share(rate, rate_denominator, months)
        share = numerator * PRECISION // (denominator * bottom)
        doubled, due = 2 * PRECISION * self.value, 2 * self.amount.term
        positive = terms.compare(">", self.amount, constant(0))
        least, most = due * share <= doubled + PRECISION, doubled <= due * (share + 1) + PRECISION
        return terms.implies(positive, least), terms.implies(positive, most)

    def _bounds(self, terms: "Terms", bottom: int, rate: int, rate_denominator: int, months: int) -> tuple[Term, Term]:
        """At least this at a higher rate over fewer months, at most this at a lower rate over more."""
        least, most = self._bracket(terms, bottom, rate, rate_denominator, months)
        price, term = constant(rate), constant(months)
        valid = (
            terms.compare(">=", self.rate, constant(0)),
            terms.compare(">", self.months, constant(0)),
            terms.compare("<=", self.months, constant(LONGEST_TERM)),
        )
        above = (terms.compare(">=", self.rate, price), terms.compare("<=", self.months, term))
        below = (terms.compare("<=", self.rate, price), terms.compare(">=", self.months, term))
        return (
            terms.implies(terms.every((*valid, *above)), least),
            terms.implies(terms.every((*valid, *below)), most),
        )


class Loan(NamedTuple):
    """What a projection starts from: cents, a yearly rate, months, the vehicle's cents, and the month that is asked about."""

    amount: Whole
    rate: Whole
    rate_denominator: Whole
    months: Whole
    value: Whole
    after: Whole


class Projection(NamedTuple):
    """A reading of the equity projection: each of them falls, or stays, as the vehicle's value grows."""

    equity: Equity
    reading: str
    loan: Loan
    result: Term

    def mend(self, terms: "Terms", model: Any) -> Mend | None:
        amount, rate, bottom, months, value, after = (terms.number(model, part.term) for part in self.loan)
        if bottom <= 0:
            return None
        exact = projected(self.equity, self.reading, amount, 1, rate, bottom, months, value, 1, after)
        if exact is None or exact == terms.number(model, self.result):
            return None
        stated = zip(self.loan, (amount, rate, bottom, months, value, after), strict=True)
        here = [terms.compare("==", part, constant(found)) for part, found in stated]
        same_loan = terms.every((*here[:4], here[5]))
        worth, at = self.loan.value, constant(value)
        falls = (
            terms.implies(terms.compare(">=", worth, at), self.result <= exact),
            terms.implies(
                terms.every((terms.compare("<=", worth, at), terms.compare(">", worth, constant(0)))),
                self.result >= exact,
            ),
        )
        above_water = terms.compare("<=", self.loan.amount, worth)
        return Mend((terms.every(here), same_loan, above_water), terms.implies(same_loan, terms.every(falls)))


def _around(steps: Sequence[int], value: int) -> list[int]:
    """The value, the step above it and the step below."""
    above = min((step for step in steps if step > value), default=value)
    below = max((step for step in steps if step < value), default=value)
    return list(dict.fromkeys((above, below, value)))


class Terms:
    """Makes terms, and collects what always holds of them (`facts`)."""

    def __init__(self) -> None:
        self.z3 = solver_library()
        self.context = self.z3.Context()
        self.facts: list[Term] = []
        self._sources: dict[int, tuple[Free | None, tuple[Term, ...]]] = {}
        self._products: dict[tuple[int, int], Product] = {}
        self._named: dict[int, Term] = {}
        self._names = 0

    # Truths

    def every(self, truths: Iterable[Term]) -> Term:
        return self._join(truths, decisive=False)

    def some(self, truths: Iterable[Term]) -> Term:
        return self._join(truths, decisive=True)

    def _join(self, truths: Iterable[Term], *, decisive: bool) -> Term:
        kept = []
        for truth in truths:
            if not isinstance(truth, bool):
                kept.append(truth)
            elif truth is decisive:
                return decisive
        if len(kept) < 2:
            return kept[0] if kept else not decisive
        return self.z3.Or(kept) if decisive else self.z3.And(kept)

    def negated(self, truth: Term) -> Term:
        return not truth if isinstance(truth, bool) else self.z3.Not(truth)

    def implies(self, premise: Term, conclusion: Term) -> Term:
        return self.some((self.negated(premise), conclusion))

    def alike(self, left: Term, right: Term) -> bool:
        """Whether two truths are written the same."""
        if isinstance(left, bool) or isinstance(right, bool):
            return left is right
        return bool(left.eq(right))

    def hold(self, fact: Term) -> None:
        if fact is not True:
            self.facts.append(fact)

    def flag(self, name: str) -> Term:
        self._names += 1
        return self.z3.Bool(f"{name}!{self._names}", self.context)

    def named(self, truth: Term) -> Term:
        """A name for a truth that many others rest on: each of them stays short. One truth has one name."""
        if isinstance(truth, bool):
            return truth
        if truth.get_id() not in self._named:
            name = self._named[truth.get_id()] = self.flag("named")
            self.facts.append(name == truth)
            self._sources[name.get_id()] = None, (name, truth)
        return self._named[truth.get_id()]

    # Whole numbers

    def whole(self, name: str, low: int, high: int) -> Whole:
        """A number that may be anything from `low` to `high`."""
        if low == high:
            return constant(low)
        self._names += 1
        term = self.z3.Int(f"{name}!{self._names}", self.context)
        self.facts += [term >= low, term <= high]
        return Whole(term, low, high)

    def anything(self, name: str, low: int, high: int) -> Whole:
        """The same where more could be said, and is not."""
        value = self.whole(name, low, high)
        self._leave_free(Anything(value.term), value.term, ())
        return value

    def number(self, model: Any, term: Term) -> int:
        found: int = term if isinstance(term, int) else model.eval(term, model_completion=True).as_long()
        return found

    def truth(self, model: Any, term: Term) -> bool:
        return term if isinstance(term, bool) else self.z3.is_true(model.eval(term, model_completion=True))

    def plus(self, left: Whole, right: Whole) -> Whole:
        return Whole(left.term + right.term, left.low + right.low, left.high + right.high)

    def minus(self, left: Whole, right: Whole) -> Whole:
        return Whole(left.term - right.term, left.low - right.high, left.high - right.low)

    def times(self, left: Whole, right: Whole) -> Whole:
        if right.constant is None:
            left, right = right, left
        factor = right.constant
        if factor is None:
            return self._product(left, right)
        if factor == 1:
            return left
        low, high = sorted((left.low * factor, left.high * factor))
        return constant(low) if low == high else Whole(left.term * factor, low, high)

    def _product(self, left: Whole, right: Whole) -> Whole:
        """A product of two unknowns, free within the four planes that enclose it."""
        corners = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
        first, second = sorted((left.term.get_id(), right.term.get_id()))
        key = first, second
        known = self._products.get(key)
        if known is None:
            value = self.whole("product", min(corners), max(corners)).term
            known = self._products[key] = Product(left, right, value)
            self._leave_free(known, value, (left, right))
            for a, b, above in (
                (left.low, right.low, True),
                (left.high, right.high, True),
                (left.low, right.high, False),
                (left.high, right.low, False),
            ):
                plane = a * right.term + b * left.term - a * b
                self.hold(value >= plane if above else value <= plane)
        return Whole(known.value, min(corners), max(corners))

    def _leave_free(self, free: Free | None, value: Term, operands: Iterable[Whole]) -> None:
        if not isinstance(value, int):
            terms = tuple(operand.term for operand in operands if not isinstance(operand.term, int))
            self._sources[value.get_id()] = free, (value, *terms)

    def free_values(self) -> list[Free]:
        """All that are left free, in the order in which they came into being."""
        return [free for free, _ in self._sources.values() if free is not None]

    def free_in(self, formula: Term) -> list[Free]:
        """The free values that a formula rests on."""
        found: dict[int, Free] = {}
        seen, waiting = set[int](), [] if isinstance(formula, bool) else [formula]
        while waiting:
            term = waiting.pop()
            if (number := term.get_id()) in seen:
                continue
            seen.add(number)
            free, operands = self._sources.get(number, (None, ()))
            if free is not None:
                found[number] = free
            waiting += [*term.children(), *operands]
        return [found[number] for number in sorted(found)]

    def either(self, guard: Term, yes: Whole, no: Whole) -> Whole:
        if isinstance(guard, bool):
            return yes if guard else no
        if yes.constant is not None and yes.constant == no.constant:
            return yes
        first, second = (
            self.z3.IntVal(part.term, self.context) if isinstance(part.term, int) else part.term for part in (yes, no)
        )
        return Whole(self.z3.If(guard, first, second), min(yes.low, no.low), max(yes.high, no.high))

    def compare(self, operator: str, left: Whole, right: Whole) -> Term:
        """A comparison, settled at once where the bounds settle it."""
        match operator:
            case "<=":
                if left.high <= right.low or left.low > right.high:
                    return left.high <= right.low
                return left.term <= right.term
            case "<":
                return self.negated(self.compare("<=", right, left))
            case ">=":
                return self.compare("<=", right, left)
            case ">":
                return self.negated(self.compare("<=", left, right))
            case "==":
                if left.high < right.low or left.low > right.high:
                    return False
                if left.constant is not None and left.constant == right.constant:
                    return True
                return left.term == right.term
        return self.negated(self.compare("==", left, right))

    def half_up(self, top: Whole, bottom: Whole) -> Whole:
        """A ratio rounded to the nearest whole number, halves up; of no meaning where the bottom is not above zero."""
        if bottom.constant is not None:
            divisor = bottom.constant
            value = self.whole("rounded", half_up(top.low, divisor), half_up(top.high, divisor))
            self._round(2 * divisor * value.term, top, bottom)
            self._leave_free(None, value.term, (top,))
            return value
        most = max(abs(top.low), abs(top.high)) + 1
        value = self.whole("rounded", -most, most)
        self._round(2 * self.times(value, bottom).term, top, bottom)
        self._leave_free(None, value.term, (top, bottom, self.times(value, bottom)))
        return value

    def _round(self, doubled: Term, top: Whole, bottom: Whole) -> None:
        exact = 2 * top.term + bottom.term
        within = self.every((doubled <= exact, exact < doubled + 2 * bottom.term))
        self.hold(self.implies(self.compare(">", bottom, constant(0)), within))

    def payment(
        self, amount: Whole, amount_denominator: Whole, rate: Whole, rate_denominator: Whole, months: Whole
    ) -> Whole:
        """A level payment, free between the amount spread over the months and the amount with a month's interest."""
        rate_high = max(0, rate.high)
        parts = 12 * (rate_denominator.constant or 1)
        value = self.whole("payment", 0, 1 + max(0, amount.high) * (parts + rate_high) // parts)
        payment = Payment(amount, amount_denominator, rate, rate_denominator, months, value.term)
        self._leave_free(payment, value.term, payment[:5])
        if amount_denominator.constant is not None:
            doubled, due = 2 * amount_denominator.constant * value.term, 2 * amount.term
            most = min(LONGEST_TERM, max(1, months.high))
            floor = due <= most * (doubled + amount_denominator.constant)
            ceiling = parts * doubled <= due * (parts + rate_high) + parts * amount_denominator.constant
            valid = self.every(
                self.compare(*test) for test in (("<=", months, constant(most)), (">", amount, constant(0)))
            )
            self.hold(self.implies(valid, self.every((floor, ceiling))))
        return value

    def projection(self, equity: Equity, reading: str, loan: Loan) -> tuple[Whole, Term]:
        """A reading of the equity projection, free within what every projection keeps, and when there is one."""
        most, months = max(0, loan.amount.high), min(LONGEST_TERM, max(0, loan.months.high))
        high = {"break_even": months, "deepest_shortfall": most}.get(reading, most + equity.disposal_cost.numerator)
        found = self.whole(reading, 0, high)
        valid = self.projects(loan)
        if found.constant is None:
            self._leave_free(Projection(equity, reading, loan, found.term), found.term, loan)
            for fact in self._projection_facts(equity, reading, loan, found):
                self.hold(self.implies(valid, fact))
        return found, valid

    def projects(self, loan: Loan) -> Term:
        """That there is a projection of a loan."""
        zero = constant(0)
        tests = (
            (">", loan.amount, zero),
            (">", loan.value, zero),
            (">=", loan.rate, zero),
            (">", loan.months, zero),
            ("<=", loan.months, constant(LONGEST_TERM)),
            (">=", loan.after, zero),
        )
        return self.every(self.compare(*test) for test in tests)

    def _projection_facts(self, equity: Equity, reading: str, loan: Loan, found: Whole) -> list[Term]:
        """The balance never grows: a level payment is at least the interest of the first month, also in rounded cents."""
        zero, short = constant(0), self.minus(loan.amount, loan.value)
        match reading:
            case "break_even":
                at_once = self.compare("==", found, zero)
                above_water = self.compare("<=", loan.amount, loan.value)
                return [
                    self.compare("<=", found, loan.months),
                    self.implies(at_once, above_water),
                    self.implies(above_water, at_once),
                ]
            case "deepest_shortfall":
                return [self.compare(">=", found, short), self.compare("<=", found, loan.amount)]
        paid_off = self.compare(">=", loan.after, loan.months)
        cost = constant(equity.disposal_cost.numerator)
        return [
            self.compare("<=", found, self.plus(loan.amount, cost)),
            self.implies(paid_off, self.compare("==", found, zero)),
        ]
