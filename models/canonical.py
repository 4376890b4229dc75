"""RFC 8785: the one sequence of bytes that a JSON document has, whoever writes it.

orjson gives the same bytes where names are ASCII and numbers are integers, in a tenth of the time. What lies beyond (only a
host's `metadata` can) goes to the `rfc8785` package.
"""

import math
from reprlib import repr
from types import NoneType
from typing import Any

import orjson
import rfc8785

GREATEST = 2**53 - 1
"""Integers up to here, either side of zero, mean the same to every reader of JSON."""

OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
CONTAINERS = frozenset((dict, list, tuple))
PLAIN = frozenset((int, bool, NoneType))


class CanonicalError(ValueError):
    """A value that no canonical JSON can hold. `pointer` is its place, a JSON pointer (RFC 6901)."""

    def __init__(self, pointer: str, what: str, remedy: str) -> None:
        super().__init__(f"{pointer or 'the document'}: {what}; {remedy}")
        self.pointer = pointer


def canonical(document: object) -> bytes:
    """The bytes to hash, sign and store. Raises `CanonicalError`."""
    try:
        return _plainly(document) or _exactly(document)
    except RecursionError:
        raise CanonicalError(
            "", "its levels are too many to read, or it holds itself", "give it fewer levels"
        ) from None


def _plainly(document: object) -> bytes | None:
    """As orjson writes it; None where that may differ from the canonical bytes."""
    try:
        data = orjson.dumps(document, option=OPTIONS)
    except TypeError:  # `_check` says where
        return None
    return data if _is_plain(document) else None


def _exactly(document: object) -> bytes:
    _check(document, "")
    return rfc8785.dumps(document)  # type: ignore[arg-type]


def _is_plain(document: object) -> bool:
    """Whether what orjson wrote is canonical: it orders names by UTF-8, writes floats its own way, and dates and more as text.

    That it was written at all says that names are text, integers within `GREATEST`, and that the document ends somewhere.
    """
    waiting: list[Any] = [(document,)]
    for container in waiting:
        if type(container) is dict and not all(map(str.isascii, container)):
            return False
        for value in container.values() if type(container) is dict else container:
            kind = type(value)
            if kind is str:  # most are
                continue
            if kind in CONTAINERS:
                waiting.append(value)
            elif kind not in PLAIN:
                return False
    return True


def _check(value: object, pointer: str) -> None:
    match value:
        case None | bool():
            pass
        case str():
            _check_text(value, pointer)
        case int() if not -GREATEST <= value <= GREATEST:
            raise CanonicalError(pointer, f"{_short(value)} is beyond ±(2^53 - 1)", "write it as text")
        case int():
            pass
        case float() if not math.isfinite(value):
            raise CanonicalError(pointer, f"{value} is not a number that JSON has", "leave it out or write it as text")
        case float():
            pass
        case dict():
            _check_names(value, pointer)
        case list() | tuple():
            for index, item in enumerate(value):
                _check(item, f"{pointer}/{index}")
        case _:
            raise CanonicalError(pointer, f"{_kind(value)}, which JSON lacks", "write it as text, a list or an object")


def _check_names(members: dict[object, object], pointer: str) -> None:
    for name, member in members.items():
        if not isinstance(name, str):
            raise CanonicalError(pointer, f"the name {_kind(name)}", "give every name as text")
        _check_text(name, pointer)
        _check(member, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")


def _check_text(text: str, pointer: str) -> None:
    surrogate = next((character for character in text if "\ud800" <= character <= "\udfff"), None)
    if surrogate is not None:
        raise CanonicalError(pointer, f"{repr(text)} holds half a character, {surrogate!r}", "send whole characters")


def _kind(value: object) -> str:
    return f"{repr(value)} is of type {type(value).__name__}"


def _short(number: int) -> str:
    return str(number) if number.bit_length() < 256 else f"an integer of {number.bit_length()} bits"
