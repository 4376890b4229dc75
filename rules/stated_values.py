"""The kinds of values a deal document states: amounts, rates, days, words. Nothing is coerced, and money never passes a float."""

import json
import re
from datetime import date
from decimal import Decimal
from typing import Annotated, NoReturn

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from dealgate.rules.amounts import MAX_CENTS, dollars, hundredths

MAX_DEPTH = 50
"""Levels of lists and objects in metadata."""

GREATEST_INTEGER = 2**53 - 1
"""In metadata, either side of zero: a greater one that is no double is not the same to every reader of JSON."""

MONEY_PATTERN = re.compile(r"\d{1,8}(\.\d{1,2})?", re.ASCII)
RATE_PATTERN = re.compile(r"\d{1,3}(\.\d{1,4})?", re.ASCII)
KIND_PATTERN = re.compile(r"[a-z][a-z0-9_]*")
RATE_SCALE = 10_000
"""A rate of 1 percent is this many units: rates are exact to a ten-thousandth of a percent."""


def refuse(kind: str, message: str, remedy: str, **more: str) -> NoReturn:
    """`more` may name the `part` of the value that is wrong, and what stands there, its `value`."""
    raise PydanticCustomError(kind, "{message}", {"message": message, "remedy": remedy, **more})


def _decimal_text(value: object, pattern: re.Pattern[str], what: str, example: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        remedy = f'Write {what} as a decimal string such as "{example}".'
        if value is None:
            refuse(
                "null",
                "null is not an amount",
                "Give the amount, or leave out a part of the structure that the deal does not have.",
            )
        if isinstance(value, float):
            refuse("float", "a binary float is not exact", remedy)
        refuse("type", f"not {what}", remedy)
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(value.adjusted()) > 12:
            refuse("number", f"not {what} this document can hold", f'Write it as "{example}".')
        exponent = value.as_tuple().exponent
        value = format(value if not isinstance(exponent, int) or exponent <= 0 else value.quantize(Decimal(1)), "f")
    elif isinstance(value, int):
        value = str(value) if abs(value) < 10**12 else "9" * 13
    if value.startswith("-") and pattern.fullmatch(value[1:]):
        if not value.strip("-0."):
            return value[1:]
        refuse("negative", "must not be negative", "Give the amount itself; the formula knows its sign.")
    if not pattern.fullmatch(value):
        fraction = value.partition(".")[2]
        places = 2 if pattern is MONEY_PATTERN else 4
        if fraction.isascii() and fraction.isdigit() and len(fraction) > places and value.partition(".")[0].isdigit():
            refuse(
                "places",
                f"more than {places} decimal places",
                f'Round it as the contract does, for example "{example}".',
            )
        refuse("form", f"not {what}", f'Write it with digits and at most {places} places, for example "{example}".')
    return value


def _cents(value: object) -> int:
    whole, _, part = _decimal_text(value, MONEY_PATTERN, "an amount of money", "1500.00").partition(".")
    cents = int(whole) * 100 + int(part.ljust(2, "0"))
    if cents > MAX_CENTS:
        refuse(
            "size", f"above the largest amount, {dollars(MAX_CENTS)}", "Check the unit: amounts are dollars and cents."
        )
    return cents


def _rate(value: object) -> int:
    whole, _, part = _decimal_text(value, RATE_PATTERN, "a rate in percent", "7.90").partition(".")
    return int(whole) * RATE_SCALE + int(part.ljust(4, "0"))


def _date(value: object) -> object:
    written = isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII)
    if not written and type(value) is not date:
        refuse("date", "not a calendar date", 'Write it as "YYYY-MM-DD", for example "2026-11-20".')
    return value


def _rate_text(rate: int) -> str:
    whole, part = divmod(rate, RATE_SCALE)
    places = f"{part:04d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{places}"


def carried(value: object) -> object:
    """Metadata is carried, never judged; but it is stored, so it must be something that JSON can write and UTF-8 can hold."""
    try:
        plain = _plain_numbers(value, MAX_DEPTH)
        json.dumps(plain, ensure_ascii=False, allow_nan=False, skipkeys=True, default=repr).encode()
    except (ValueError, OverflowError):
        refuse("metadata", "holds something that JSON cannot carry", _METADATA_REMEDY)
    return plain


_METADATA_REMEDY = (
    f"Leave out NaN, endless numbers, broken characters and what is nested deeper than {MAX_DEPTH} levels; write integers "
    "beyond ±(2^53 - 1) as text."
)


def _as_double(value: int) -> float:
    """The double that is this integer, or is written with its digits. Raises `ValueError` and `OverflowError`."""
    double = float(value)
    if double != value and Decimal(repr(double)) != value:
        raise ValueError
    return double


def _plain_numbers(value: object, depth: int) -> object:
    """Fractions become the nearest double, as any JSON reader would have them."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict | list) and not depth:
        raise ValueError
    if isinstance(value, int) and abs(value) > GREATEST_INTEGER:
        return _as_double(value)
    if isinstance(value, dict):
        return {name: _plain_numbers(part, depth - 1) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain_numbers(part, depth - 1) for part in value]
    return value


def _schema(example: str, what: str, places: int, digits: int) -> WithJsonSchema:
    written = {"type": "string", "pattern": rf"^\d{{1,{digits}}}(\.\d{{1,{places}}})?$", "examples": [example]}
    return WithJsonSchema({"description": what, "anyOf": [written, {"type": "number", "minimum": 0}]})


def _paid(cents: int) -> int:
    """Hosts fill in zero for a payment that they do not know; taken at its word it would let every ratio of payment pass."""
    if not cents:
        refuse("payment", "no loan has a payment of zero", "Give the payment, or null to have it reckoned.")
    return cents


def _kind_of_product(value: str) -> str:
    """One spelling for each kind: a rule on `gap` must not be passed by under the name of `GAP`."""
    if not KIND_PATTERN.fullmatch(value):
        spelled = re.sub(r"[^a-z0-9]+", "_", value.casefold()).strip("_")
        example = repr(spelled) if KIND_PATTERN.fullmatch(spelled) else "'gap' or 'service_contract'"
        refuse(
            "kind",
            "not a kind of product: lower-case letters, digits and underscores, beginning with a letter",
            f"Write it as the policy does, such as {example}.",
        )
    return value


Money = Annotated[
    int,
    BeforeValidator(_cents),
    PlainSerializer(hundredths, return_type=str, when_used="json"),
    _schema("1500.00", "Dollars and cents; a number where it is exact in cents.", 2, 8),
]
"""Integer cents, read from "1500.00", 1500 or Decimal("1500.00")."""

Payment = Annotated[
    Money,
    AfterValidator(_paid),
    WithJsonSchema(
        {
            "description": "Dollars and cents above zero; a number where it is exact in cents.",
            "anyOf": [
                {"type": "string", "pattern": r"^(?=.*[1-9])\d{1,8}(\.\d{1,2})?$", "examples": ["660.38"]},
                {"type": "number", "exclusiveMinimum": 0},
            ],
        }
    ),
]
"""Money that is not zero."""

Rate = Annotated[
    int,
    BeforeValidator(_rate),
    PlainSerializer(_rate_text, return_type=str, when_used="json"),
    _schema("7.90", "Percent, with at most four places.", 4, 3),
]
"""Ten-thousandths of a percent, read from "7.90"."""

Day = Annotated[date, BeforeValidator(_date), Field(strict=False)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Kind = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100),
    AfterValidator(_kind_of_product),
    WithJsonSchema({"type": "string", "maxLength": 100, "pattern": f"^{KIND_PATTERN.pattern}$"}),
]
Vin = Annotated[str, StringConstraints(min_length=5, max_length=17, pattern=r"^[A-HJ-NPR-Z0-9]+$")]
State = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
