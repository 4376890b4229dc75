"""From JSON to the values a decision model expects: read by the types it declares, null where they do not fit."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from dealgate.rules.dmn import ItemType
from dealgate.rules.feel import Scope, tests_hold
from dealgate.rules.feel_syntax import parse_tests
from dealgate.rules.feel_values import (
    ARITHMETIC,
    Months,
    Value,
    kind,
    read_date,
    read_date_and_time,
    read_duration,
    read_number,
    read_time,
    value_text,
)

MAX_DEPTH = 60


def _truth(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text)


def _months(text: str) -> Value:
    length = read_duration(text)
    return length if isinstance(length, Months) else None


def _days_and_time(text: str) -> Value:
    length = read_duration(text)
    return None if isinstance(length, Months) else length


READ: Mapping[str, tuple[str, Callable[[str], Value]]] = {
    "number": ("number", read_number),
    "integer": ("number", read_number),
    "long": ("number", read_number),
    "double": ("number", read_number),
    "boolean": ("boolean", _truth),
    "string": ("string", str),
    "date": ("date", read_date),
    "time": ("time", read_time),
    "datetime": ("date and time", read_date_and_time),
    "date and time": ("date and time", read_date_and_time),
    "daytimeduration": ("days and time duration", _days_and_time),
    "days and time duration": ("days and time duration", _days_and_time),
    "yearmonthduration": ("years and months duration", _months),
    "years and months duration": ("years and months duration", _months),
}
"""By type: the kind of its values, and how a text of JSON becomes one."""


class InputReader:
    """Reads values by declared types; `notes` say what did not fit and became null."""

    def __init__(self, types: Mapping[str, ItemType]) -> None:
        self.types = types
        self.notes: list[str] = []

    def read(self, value: Any, type_name: str, path: str) -> Value:
        return self._typed(plain(value), ItemType(type_name), path, 0)

    def _typed(self, value: Value, item: ItemType, path: str, depth: int) -> Value:
        item, allowed = self._resolved(item)
        if value is None or depth > MAX_DEPTH:
            return None
        if item.collection:
            items = value if isinstance(value, list) else [value]
            single = ItemType(item.type, parts=item.parts)
            read = [self._typed(one, single, f"{path}[{place}]", depth + 1) for place, one in enumerate(items)]
            return read if all(self._is_allowed(one, allowed, path) for one in read) else None
        found = self._parts(value, item, path, depth) if item.parts else self._simple(value, item.type, path)
        return found if self._is_allowed(found, allowed, path) else None

    def _resolved(self, item: ItemType) -> tuple[ItemType, list[str]]:
        """Follow names of types to what they stand for, with every restriction met on the way."""
        allowed = [item.allowed] if item.allowed else []
        collection = item.collection
        for _ in range(20):  # types that name each other in a circle are no types
            named = self.types.get(item.type) or self.types.get(item.type.rpartition(":")[2])
            if item.parts or named is None:
                break
            item = named
            collection = collection or item.collection
            allowed += [item.allowed] if item.allowed else []
        return ItemType(item.type, "", collection, item.parts), allowed

    def _parts(self, value: Value, item: ItemType, path: str, depth: int) -> Value:
        if not isinstance(value, Mapping):
            return self._misfit(value, "an object", path)
        parts = {
            name: self._typed(value.get(name), part, f"{path}.{name}", depth + 1) for name, part in item.parts.items()
        }
        return {**value, **parts}

    def _simple(self, value: Value, type_name: str, path: str) -> Value:
        known = READ.get(type_name.rpartition(":")[2].lower())
        if known is None or kind(value) == known[0]:
            return value
        wanted, read = known
        found = read(value) if isinstance(value, str) else None
        return found if found is not None else self._misfit(value, wanted, path)

    def _misfit(self, value: Value, wanted: str, path: str) -> None:
        self.notes.append(f"{path} is {value_text(value)!r}, where {wanted} is declared: it counts as null")

    def _is_allowed(self, value: Value, allowed: list[str], path: str) -> bool:
        for tests in allowed:
            if value is not None and tests_hold(parse_tests(tests), value, Scope()) is not True:
                self.notes.append(
                    f"{path} is {value_text(value)!r}, which is not among the allowed values {tests}: it counts as null"
                )
                return False
        return True


def plain(value: Any, depth: int = 0) -> Value:
    """JSON as values: every number a decimal. Raises `ValueError` where it is nested too deeply."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return {" ".join(str(key).split()): plain(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        try:
            return ARITHMETIC.create_decimal(value)
        except ArithmeticError:
            raise ValueError(f"{value} is beyond the numbers of DMN") from None
    return value
