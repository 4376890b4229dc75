"""Fields of the deal document, found in a payload: in its units, in its words, or with what is wrong about them."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from dealgate.adapters.mappings.paths import Path, PathError
from dealgate.adapters.mappings.payloads import Branch, Number, Payload, Text
from dealgate.adapters.mappings.plan import ERROR, Field, Items, UnitBy
from dealgate.adapters.mappings.problems import MappingProblem, shown
from dealgate.adapters.mappings.readers import Source
from dealgate.adapters.mappings.values import (
    UNITS,
    Kind,
    ValueRefusedError,
    count,
    day,
    exact,
    money_text,
    rate_text,
    refuse_ambiguous,
    text,
    truth,
)
from dealgate.rules.deal import MAX_ITEMS

NOTHING = object()
"""Where the deal document states nothing."""


class FieldRefusedError(ValueError):
    """A field that cannot be filled."""

    def __init__(self, problem: MappingProblem) -> None:
        super().__init__(str(problem.message))
        self.problem = problem


def _refusal(target: str, got: str, message: str, remedy: str, where: str) -> FieldRefusedError:
    return FieldRefusedError(MappingProblem(target, got, message, remedy, where))


def place_of(node: object, path: Path) -> str:
    return getattr(node, "where", "") or path.text


class Finder:
    """Finds fields in one payload. `sources` remembers where each field of the deal came from."""

    def __init__(self, source: Source, payload: Payload) -> None:
        self.source = source
        self.payload = payload
        self.problems: list[MappingProblem] = []
        self.sources: dict[str, str] = {}
        self.synthetic: list[str] = []

    def stands(self, path: Path, node: object, *, take: bool = True) -> list[Any]:
        """What a path finds, one by one, taken for the deal. Empty values are left out where the format writes absence so."""
        return [value for value in self._found(path, node, take=take) if not self._says_nothing(value)]

    def things(self, path: Path, node: object) -> list[Any]:
        """What an `each:` goes through, one by one: an empty element that has attributes is a thing in every format."""
        return [value for value in self._found(path, node, take=True) if not self.is_nothing(value)]

    def is_nothing(self, value: object) -> bool:
        return self._says_nothing(value) and not getattr(value, "attributes", None)

    def _found(self, path: Path, node: object, *, take: bool) -> list[Any]:
        try:
            found = path.find(node)
        except PathError as error:
            raise _refusal("", "the condition", str(error), error.remedy, path.text) from None
        values = found if isinstance(found, list) else [] if found is None else [found]
        for value in values:
            if take and isinstance(value, Text | Number):
                value.taken = True
        return values

    def _says_nothing(self, value: object) -> bool:
        return value is None or (self.source.empty_is_absent and value == "")

    def lacking(self, path: Path, node: object) -> tuple[int, int]:
        """How many elements of a path's list lack what it goes on to, and how many there are."""
        try:
            parts = path.parts(node)
        except PathError as error:
            raise _refusal("", "the condition", str(error), error.remedy, path.text) from None
        return sum(map(self._says_nothing, parts)), len(parts)

    def fill(self, field: Field, node: object, target: str) -> Any:
        """The value as the deal document states it, or `NOTHING`; what is wrong goes to the problems."""
        try:
            value = self._value(field, node)
        except FieldRefusedError as error:
            _, got, message, remedy = error.problem
            self._tell(target, got, message, remedy, error.problem.source)
            return NOTHING
        if value is not NOTHING and field.numbered:
            value = f"{value}/{self.payload.number}"
        if value is not NOTHING and field.synthetic:
            self.synthetic.append(target)
        return value

    def _value(self, field: Field, node: object) -> Any:
        if field.constant is not None:
            return field.constant
        stated: list[tuple[str, Any]] = []
        for path in field.paths:
            values = self.stands(path, node)
            if field.total:
                self._check_total(field, path, node)
            if values:
                stated.append((place_of(values[0], path), self._of_path(field, path, values, node)))
        known = [value for _, value in stated if value is not NOTHING]
        if known and any(value != known[0] for value in known):
            told = " and ".join(f"{where} {value}" for where, value in stated)
            message = "two places that should state one value differ"
            raise _refusal(field.target, told, message, "Send one, or both alike.", stated[0][0])
        if known:
            self.sources[field.target] = stated[0][0]
            return known[0]
        return self._absent(field, stated)

    def _check_total(self, field: Field, path: Path, node: object) -> None:
        """Of each element, for a sum of some of them is not the total."""
        lacking, number = self.lacking(path, node)
        if lacking:
            message = f"is missing in {lacking} of {number} elements that should have it"
            raise _refusal(field.target, "nothing", message, "Send it in each, or leave the element out.", path.text)

    def _absent(self, field: Field, stated: list[tuple[str, Any]]) -> Any:
        if field.default is not None:
            return field.default
        if field.absent == ERROR:
            where = stated[0][0] if stated else " or ".join(path.text for path in field.paths)
            remedy = "Send it, or say in the mapping what its absence means."
            raise _refusal(field.target, "nothing", "the payload states nothing", remedy, where)
        return NOTHING

    def _of_path(self, field: Field, path: Path, values: list[Any], node: object) -> Any:
        """One value of what a path found; `NOTHING` for one that says that it is not known."""
        where = place_of(values[0], path)
        if field.total:
            stated = [self._single(field, path, value, node) for value in values]
            return (
                NOTHING if NOTHING in stated else money_text(Fraction(sum(map(Fraction, stated))) * 100, rounded=False)
            )
        if len(values) > 1:
            remedy = "Send one, or let the mapping say `total: true` or which one is meant."
            raise _refusal(
                field.target, shown(values), f"stands {len(values)} times where one value is read", remedy, where
            )
        return self._single(field, path, values[0], node)

    def _single(self, field: Field, path: Path, raw: Any, node: object) -> Any:
        where = place_of(raw, path)
        if isinstance(raw, str) and not raw:
            if field.may_be_empty:
                return NOTHING
            raise _refusal(
                field.target, shown(""), "stands there empty", "Send the value, or leave the field out.", where
            )
        try:
            return self._converted(field, raw, node)
        except ValueRefusedError as error:
            raise _refusal(field.target, shown(raw), str(error), error.remedy, where) from None

    def _converted(self, field: Field, raw: Any, node: object) -> Any:
        if isinstance(raw, dict | list):
            raise ValueRefusedError("holds parts where one value is read", "Name the part in the mapping.")
        if field.words is not None:
            word = ("true" if raw else "false") if isinstance(raw, bool) else text(raw)
            if word not in field.words:
                known = ", ".join(field.words)
                raise ValueRefusedError(
                    "a word that the mapping does not know", f"Known: {known}. Add it to `values:`."
                )
            return field.words[word]
        match field.kind:
            case Kind.TEXT:
                return text(raw)
            case Kind.BOOLEAN:
                return truth(raw)
            case Kind.DATE:
                assert field.date_form
                return day(raw, field.date_form, field.date_written)
            case Kind.COUNT:
                number = count(raw, self.source.thousands)
                return NOTHING if field.zero_is_unknown and not number else number
        if field.kind == Kind.MONEY and not field.rounded:
            refuse_ambiguous(raw)
        return self._scaled(field, exact(raw, self.source.thousands), node)

    def _scaled(self, field: Field, amount: Fraction, node: object) -> Any:
        if field.zero_is_unknown and not amount:
            return NOTHING
        if field.negated:
            amount = -amount
        scaled = amount * UNITS[field.kind][self._unit(field, node)]
        if field.over:
            divisor = self._divisor(field, node)
            if divisor is None:
                return NOTHING
            scaled /= divisor
        match field.kind:
            case Kind.MONEY:
                return money_text(scaled, rounded=field.rounded)
            case Kind.RATE:
                return rate_text(scaled, rounded=field.rounded)
        if scaled.denominator != 1 or not 0 <= scaled < 10_000:
            raise ValueRefusedError("not a whole number of months", "Send the term in whole months.")
        return int(scaled)

    def _unit(self, field: Field, node: object) -> str:
        if not isinstance(field.unit, UnitBy):
            return field.unit
        words = self.stands(field.unit.path, node)
        if len(words) != 1 or str(words[0]) not in field.unit.words:
            got = ", ".join(map(shown, words)) or "none"
            known = ", ".join(field.unit.words)
            raise ValueRefusedError(
                f"its unit {field.unit.path.text} is {got}", f"Known: {known}. Add it to the `values:` of `unit:`."
            )
        return field.unit.words[str(words[0])]

    def _divisor(self, field: Field, node: object) -> Fraction | None:
        """What the value is divided by; None where it is absent or zero, so that the quotient is not known."""
        assert field.over
        path = field.over.path
        found = self.stands(path, node)
        where, remedy = place_of(found[0], path) if found else path.text, "Send one, not below zero."
        if len(found) > 1:
            message = f"stands {len(found)} times where one divisor is read"
            raise _refusal(field.target, shown(found), message, remedy, where)
        if not found or found[0] == "":
            return None
        try:
            divisor = exact(found[0], self.source.thousands) / field.over.scale
        except ValueRefusedError as error:
            raise _refusal(field.target, shown(found[0]), str(error), error.remedy, where) from None
        if divisor < 0:
            raise _refusal(field.target, shown(found[0]), "a divisor below zero", remedy, where)
        return divisor or None

    # Lists

    def items(self, items: Items, node: object, before: int) -> list[dict[str, Any]]:
        """The items that follow `before` others of the same list."""
        if not items.fields:
            return []
        if items.each:
            found, where = self._each(items.each, node, items.target), items.each.text
        else:
            found = [node] if self._is_there(items, node) else []
            where = ", ".join(path.text for one in items.fields for path in one.paths)
        if not found and items.absent == ERROR:
            self._tell(items.target, "nothing", "the payload has none", "Send at least one.", where)
        if len(found) > MAX_ITEMS:
            self._tell(items.target, shown(found), "too many", f"A deal has at most {MAX_ITEMS}.", where)
            return []
        return [self._item(items, one, f"{items.target}[{number}]") for number, one in enumerate(found, start=before)]

    def _each(self, path: Path, node: object, target: str) -> list[Any]:
        """An empty element is one too: nothing of it is known."""
        try:
            found = self.things(path, node)
        except FieldRefusedError as error:
            self.problems.append(error.problem)
            return []
        for value in found:
            if not isinstance(value, Branch) and not (isinstance(value, Text) and not value):
                remedy = "Let `each:` name the thing that has the parts."
                self._tell(target, shown(value), "has no parts", remedy, place_of(value, path))
        return found

    def _tell(self, target: str, got: str, message: str, remedy: str, where: str) -> None:
        self.problems.append(MappingProblem(target, got, message, remedy, where))

    def _is_there(self, items: Items, node: object) -> bool:
        return any(self._anything(path, node) for one in items.fields for path in one.paths)

    def _anything(self, path: Path, node: object) -> bool:
        try:
            return bool(self.stands(path, node))
        except FieldRefusedError:
            return True  # the field itself will tell

    def _item(self, items: Items, node: object, target: str) -> dict[str, Any]:
        named = ((one.target.rpartition(".")[2], one) for one in items.fields)
        values = {}
        for name, one in named:
            value = self.fill(one, node, f"{target}.{name}")
            self.sources[f"{target}.{name}"] = self.sources.pop(one.target, target)
            if value is not NOTHING:
                values[name] = value
        return values

    def texts(self, value: Any) -> Iterator[Any]:
        """Everything below a value, taken."""
        if isinstance(value, Text | Number):
            value.taken = True
            yield value
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from self.texts(part)
