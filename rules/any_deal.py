"""Every deal that can be submitted, as variables within the bounds of the deal document, and back from a model to one deal.

Lists hold up to three items each part of which is a variable. What more a list may hold is a remainder: how many items, and
what each of their amounts comes to. So what is proved holds for lists of any length.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from itertools import pairwise
from typing import Any, NamedTuple

from dealgate.rules.amounts import MAX_CENTS, hundredths
from dealgate.rules.deal import MAX_ITEMS, MODEL_YEARS_AHEAD
from dealgate.rules.fields import FIELDS, LISTS, FieldOfDeal, Unit
from dealgate.rules.smt import Term, Terms, Whole, constant
from dealgate.rules.stated_values import KIND_PATTERN, RATE_SCALE

ITEMS = 3
"""Items of a list that are spelled out."""

REST = MAX_ITEMS - ITEMS

REQUIRED = ("submitted_on", "cash_price", "condition", "term_months")
"""Always known: a deal without them cannot be submitted."""

ALWAYS_IN_ITEMS = {("products", "kind"), ("products", "price"), ("trade_ins", "kind")}

COUNTS: Mapping[str, tuple[int, int]] = {
    "credit_score": (250, 900),
    "model_year": (1900, 2100),
    "mileage": (0, 10_000_000),
    "term_months": (1, 600),
}
"""What the deal document allows; tests/rules/test_encoding.py holds it against these."""

CALENDAR = (date.min.toordinal(), date.max.toordinal())
"""A date as a number: the day counted from January 1 of year 1."""

PLAUSIBLE: Mapping[str, tuple[int, int]] = {
    "submitted_on": (date(2026, 7, 1).toordinal(), date(2026, 7, 1).toordinal()),
    "expected_funding_on": (date(2026, 7, 1).toordinal(), date(2026, 7, 31).toordinal()),
    "credit_report_as_of": (date(2026, 6, 1).toordinal(), date(2026, 7, 1).toordinal()),
    "term_months": (24, 84),
    "credit_score": (500, 850),
    "model_year": (2016, 2026),
    "mileage": (1_000, 150_000),
    "apr_percent": (1 * RATE_SCALE, 25 * RATE_SCALE),
    "cash_price": (8_000_00, 60_000_00),
    "monthly_income": (2_000_00, 15_000_00),
    "monthly_debt": (0, 4_000_00),
    "given_monthly_payment": (100_00, 2_000_00),
}
"""A witness is kept within these where it can be: people read it."""

PLAUSIBLE_PART = (0, 5_000_00)
PLAUSIBLE_ITEM = (0, 40_000_00)
PLAUSIBLE_VALUE = (5_000_00, 80_000_00)
PLAUSIBLE_DAY = (date(2026, 6, 1).toordinal(), date(2026, 7, 31).toordinal())

STATE = re.compile(r"[A-Z]{2}")
WORD = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
PATTERNS = {"state": STATE, "kind": KIND_PATTERN}


class Variable(NamedTuple):
    """A fact that may be unknown. Texts, truths and dates are numbers too: the place among the words; 0 or 1; the day of the calendar."""

    known: Term
    value: Whole


class Item(NamedTuple):
    present: Term
    parts: Mapping[str, Variable]


class Rest(NamedTuple):
    """The items beyond those spelled out: how many, and what each amount comes to over all of them."""

    more: Whole
    totals: Mapping[str, Variable]


class AnyDeal:
    """Variables come into being when they are asked for: a deal has no more parts than the policy reads."""

    def __init__(self, terms: Terms, words: Mapping[str, Iterable[str]]) -> None:
        """`words` are those the policy compares each text with, by the name of the field."""
        self.terms = terms
        self.own_words = words
        used = (word for name in words for word in words[name])
        self.words = tuple(dict.fromkeys([*_fixed_words(), *used]))
        self.word_numbers = {word: number for number, word in enumerate(self.words)}
        # So many other words as there are free texts: deals that differ in how their texts equal each other all have a model.
        self.others = 3 + 2 * ITEMS
        self.fields: dict[str, Variable] = {}
        self.book_values: dict[str, Variable] = {}
        self.book_days: dict[str, Variable] = {}
        self.lists: dict[str, tuple[list[Item], Rest]] = {}
        self._wishes: tuple[int, list[tuple[Term, Term]]] = 0, []
        for name in REQUIRED:
            self.field(name)

    def field(self, name: str) -> Variable:
        if name not in self.fields:
            spec = FIELDS[name]
            always = name in REQUIRED or spec.zero_when_absent
            self.fields[name] = self._variable(spec, always=always)
            self._in_its_time(name, self.fields[name])
        return self.fields[name]

    def _in_its_time(self, name: str, day: Variable) -> None:
        """What the deal document asks of dates: nothing is funded before, nor reported or built long after the deal is submitted."""
        if name == "model_year":
            begun = _before_year(day.value.term - MODEL_YEARS_AHEAD - 1) < self.field("submitted_on").value.term
            self.terms.hold(self.terms.implies(day.known, begun))
        if name in {"expected_funding_on", "credit_report_as_of"}:
            operator = ">=" if name == "expected_funding_on" else "<="
            in_time = self.terms.compare(operator, day.value, self.field("submitted_on").value)
            self.terms.hold(self.terms.implies(day.known, in_time))

    def book_value(self, basis: str) -> Variable:
        if basis not in self.book_values:
            self.book_values[basis] = Variable(
                self.terms.flag(f"known {basis}"), self.terms.whole(f"value {basis}", 0, MAX_CENTS)
            )
        return self.book_values[basis]

    def book_value_as_of(self, basis: str) -> Variable:
        """Known only of a value that is there, and not dated after the submission."""
        if basis not in self.book_days:
            terms, value = self.terms, self.book_value(basis)
            day = terms.whole(f"day of {basis}", *CALENDAR)
            terms.hold(terms.compare("<=", day, self.field("submitted_on").value))
            self.book_days[basis] = Variable(terms.every((value.known, terms.flag(f"known day of {basis}"))), day)
        return self.book_days[basis]

    def year_of(self, day: Variable) -> Whole:
        """The year of a day, where that is known."""
        year = self.terms.whole("year", date.min.year, date.max.year)
        begun, over = _before_year(year.term - 1) < day.value.term, day.value.term <= _before_year(year.term)
        self.terms.hold(self.terms.implies(day.known, self.terms.every((begun, over))))
        return year

    def listed(self, name: str) -> tuple[list[Item], Rest]:
        if name not in self.lists:
            self.lists[name] = self._items(name), self._rest(name)
            (items, rest), terms = self.lists[name], self.terms
            for before, after in pairwise(items):
                terms.hold(terms.implies(after.present, before.present))
            terms.hold(terms.implies(terms.compare(">", rest.more, constant(0)), items[-1].present))
        return self.lists[name]

    def _variable(self, spec: FieldOfDeal, *, always: bool) -> Variable:
        terms, name = self.terms, spec.name
        known = True if always else terms.flag(f"known {name}")
        match spec.unit:
            case Unit.MONEY:
                return Variable(known, terms.whole(name, spec.least, MAX_CENTS))
            case Unit.PERCENT:
                return Variable(known, terms.whole(name, 0, 1000 * RATE_SCALE - 1))
            case Unit.COUNT:
                return Variable(known, terms.whole(name, *COUNTS[name]))
            case Unit.DATE:
                return Variable(known, terms.whole(name, *CALENDAR))
            case Unit.BOOLEAN:
                return Variable(known, terms.whole(name, 0, 1))
        value = terms.whole(name, 0, len(self.words) + self.others - 1)
        for number, word in enumerate(self.words):
            if not _may_be(spec, word):
                terms.hold(terms.compare("!=", value, constant(number)))
        if spec.words:
            terms.hold(terms.compare("<", value, constant(len(self.words))))
        return Variable(known, value)

    def _items(self, name: str) -> list[Item]:
        items = []
        for _ in range(ITEMS):
            parts = {
                part: self._variable(spec, always=(name, part) in ALWAYS_IN_ITEMS)
                for part, spec in LISTS[name].items.items()
            }
            if name == "trade_ins":
                parts["payoff"] = self._payoff(parts["kind"], parts["payoff"])
            items.append(Item(self.terms.flag(f"present in {name}"), parts))
        return items

    def _payoff(self, kind: Variable, stated: Variable) -> Variable:
        """A trade of kind `none` owes nothing, stated or not."""
        terms = self.terms
        owes_nothing = terms.compare("==", kind.value, constant(self.word_numbers["none"]))
        terms.hold(terms.implies(owes_nothing, terms.compare("==", stated.value, constant(0))))
        return Variable(terms.some((stated.known, owes_nothing)), stated.value)

    def _rest(self, name: str) -> Rest:
        terms = self.terms
        count = terms.whole(f"more {name}", 0, REST)
        totals = {}
        for part, spec in LISTS[name].items.items():
            if spec.unit != Unit.MONEY:
                continue
            always = (name, part) in ALWAYS_IN_ITEMS
            none = terms.compare("==", count, constant(0))
            known = True if always else terms.some((none, terms.flag(f"known in all {part}")))
            total = terms.whole(f"all {part}", 0, REST * MAX_CENTS)
            terms.hold(terms.compare("<=", total, terms.times(count, constant(MAX_CENTS))))
            totals[part] = Variable(known, total)
        return Rest(count, totals)

    def short_lists(self) -> Term:
        """That no list has more items than are spelled out."""
        counts = [rest.more for _, rest in self.lists.values()]
        return self.terms.every(self.terms.compare("==", count, constant(0)) for count in counts)

    def wishes(self) -> list[Term]:
        """Names, each of which asks for one thing of an everyday deal; what comes later is given up first."""
        parts = len(self.fields) + len(self.book_values) + len(self.lists)
        if self._wishes[0] != parts:
            self._wishes = parts, [(self.terms.flag("wish"), wish) for wish in self._plausible()]
            for name, wish in self._wishes[1]:
                self.terms.hold(self.terms.implies(name, wish))
        return [name for name, _ in self._wishes[1]]

    def _plausible(self) -> list[Term]:
        wishes: list[Term] = []
        for name, variable in self.fields.items():
            if FIELDS[name].zero_when_absent:
                wishes += [*self._between(variable.value, PLAUSIBLE_PART), *self._between(variable.value, (0, 0))]
            elif name in PLAUSIBLE:
                wishes += self._between(variable.value, PLAUSIBLE[name])
            elif FIELDS[name].unit == Unit.TEXT:
                wishes.append(self._own_word(name, variable.value))
        for variable in self.book_values.values():
            wishes += self._between(variable.value, PLAUSIBLE_VALUE)
        for variable in self.book_days.values():
            wishes += self._between(variable.value, PLAUSIBLE_DAY)
        for list_name, (items, _) in self.lists.items():
            for item in reversed(items):
                for name, part in item.parts.items():
                    unit = LISTS[list_name].items[name].unit
                    if unit == Unit.TEXT:
                        wishes.append(self._own_word(name, part.value))
                    else:
                        span = PLAUSIBLE_DAY if unit == Unit.DATE else PLAUSIBLE_ITEM
                        wishes += self._between(part.value, span)
                wishes.append(self.terms.negated(item.present))
        return [wish for wish in wishes if not isinstance(wish, bool)]

    def _own_word(self, name: str, value: Whole) -> Term:
        """A word that the policy, too, has for this field, or one that it has for none."""
        terms = self.terms
        own = (constant(self.word_numbers[word]) for word in self.own_words.get(name, ()))
        other = terms.compare(">=", value, constant(len(self.words)))
        return terms.some((other, *(terms.compare("==", value, word) for word in own)))

    def _between(self, value: Whole, span: tuple[int, int]) -> list[Term]:
        least, most = map(constant, span)
        return [self.terms.compare(">=", value, least), self.terms.compare("<=", value, most)]

    # Back to a document

    def document(self, model: Any, name: str = "witness") -> dict[str, Any]:
        """The deal that a model describes, as a document that can be submitted."""
        found: dict[str, Any] = {"deal_id": name}
        for field, variable in self.fields.items():
            value = self._stated(model, FIELDS[field], variable)
            if value is not None and not (FIELDS[field].zero_when_absent and value == "0.00"):
                _put(found, FIELDS[field].path, value)
        values = [
            {
                "basis": basis,
                "amount": hundredths(self.terms.number(model, variable.value.term)),
                **self._dated(model, basis),
            }
            for basis, variable in self.book_values.items()
            if self.terms.truth(model, variable.known)
        ]
        if values:
            found["vehicle"]["values"] = values
        for part, (items, rest) in self.lists.items():
            listed = [self._item(model, part, item) for item in items if self.terms.truth(model, item.present)]
            listed += self._remainder(model, part, rest)
            if listed:
                found[part] = listed
        return found

    def _dated(self, model: Any, basis: str) -> dict[str, str]:
        day = self.book_days.get(basis)
        if day is None or not self.terms.truth(model, day.known):
            return {}
        return {"as_of": date.fromordinal(self.terms.number(model, day.value.term)).isoformat()}

    def _stated(self, model: Any, spec: FieldOfDeal, variable: Variable) -> Any:
        if not self.terms.truth(model, variable.known):
            return None
        number = self.terms.number(model, variable.value.term)
        match spec.unit:
            case Unit.MONEY:
                return hundredths(number)
            case Unit.PERCENT:
                return f"{number // RATE_SCALE}.{number % RATE_SCALE:04d}"
            case Unit.DATE:
                return date.fromordinal(number).isoformat()
            case Unit.BOOLEAN:
                return bool(number)
            case Unit.TEXT:
                return self._word(model, number)
        return number

    def _word(self, model: Any, number: int) -> str:
        if number < len(self.words):
            return self.words[number]
        other = number - len(self.words)
        state = self.fields.get("state")
        if state is not None and self.terms.number(model, state.value.term) == number:
            return next((code for code in _codes(other) if code not in self.word_numbers), "ZZ")
        return next(word for word in _spare_words(other) if word not in self.word_numbers)

    def _item(self, model: Any, part: str, item: Item) -> dict[str, Any]:
        stated = {name: self._stated(model, LISTS[part].items[name], variable) for name, variable in item.parts.items()}
        return {name: value for name, value in stated.items() if value is not None}

    def _remainder(self, model: Any, part: str, rest: Rest) -> list[dict[str, Any]]:
        count = self.terms.number(model, rest.more.term)
        found: list[dict[str, Any]] = [{"kind": "loan" if part == "trade_ins" else "other"} for _ in range(count)]
        for name, variable in rest.totals.items():
            if self.terms.truth(model, variable.known):
                each, more = divmod(self.terms.number(model, variable.value.term), max(1, count))
                for index, item in enumerate(found):
                    item[name] = hundredths(each + (index < more))
        return found


def _before_year(years: Any) -> Any:
    """The days of the calendar up to the end of so many years, from 1: as `date.toordinal` counts them."""
    return 365 * years + years / 4 - years / 100 + years / 400


def _fixed_words() -> list[str]:
    parts = [spec for part in LISTS.values() for spec in part.items.values()]
    return [word for spec in (*FIELDS.values(), *parts) for word in spec.words]


def _may_be(spec: FieldOfDeal, word: str) -> bool:
    """Whether a deal document can state this word in this field."""
    if spec.words:
        return word in spec.words
    return bool(PATTERNS.get(spec.name, WORD).fullmatch(word))


def _codes(start: int) -> Iterable[str]:
    """Pairs of letters from the far end of the alphabet, beginning at the one of this number."""
    for number in range(25 * 26 + 25 - start, -1, -26):
        yield chr(65 + number // 26) + chr(65 + number % 26)


def _spare_words(start: int) -> Iterable[str]:
    number = start
    while True:
        yield f"other_{number + 1}" if number else "other"
        number += 100


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    *outer, last = path.split(".")
    for step in outer:
        document = document.setdefault(step, {})
    document[last] = value
