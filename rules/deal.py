"""The deal document: what a host submits. Strict, every error at once, money never through a float."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from dealgate.rules.amounts import MAX_CENTS, dollars, hundredths

MAX_ITEMS = 100
"""More trades or products than this in one deal is a broken feed, and sums must stay within 64 bits."""

MAX_DEPTH = 50
"""Levels of lists and objects in metadata."""

GREATEST_INTEGER = 2**53 - 1
"""In metadata, either side of zero: a greater one that is no double is not the same to every reader of JSON."""

MONEY_PATTERN = re.compile(r"\d{1,8}(\.\d{1,2})?", re.ASCII)
RATE_PATTERN = re.compile(r"\d{1,3}(\.\d{1,4})?", re.ASCII)
RATE_SCALE = 10_000
"""A rate of 1 percent is this many units: rates are exact to a ten-thousandth of a percent."""


class Problem(NamedTuple):
    """One thing that is wrong with a deal document."""

    field: str
    value: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message} (got {self.value}). {self.remedy}"


class DealError(ValueError):
    """A deal document that cannot be taken, with every problem found in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def _refuse(kind: str, message: str, remedy: str, **more: str) -> NoReturn:
    """`more` may name the `part` of the value that is wrong, and what stands there, its `value`."""
    raise PydanticCustomError(kind, "{message}", {"message": message, "remedy": remedy, **more})


def _decimal_text(value: object, pattern: re.Pattern[str], what: str, example: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        remedy = f'Write {what} as a decimal string such as "{example}".'
        if value is None:
            _refuse(
                "null",
                "null is not an amount",
                "Give the amount, or leave out a part of the structure that the deal does not have.",
            )
        if isinstance(value, float):
            _refuse("float", "a binary float is not exact", remedy)
        _refuse("type", f"not {what}", remedy)
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(value.adjusted()) > 12:
            _refuse("number", f"not {what} this document can hold", f'Write it as "{example}".')
        exponent = value.as_tuple().exponent
        value = format(value if not isinstance(exponent, int) or exponent <= 0 else value.quantize(Decimal(1)), "f")
    elif isinstance(value, int):
        value = str(value) if abs(value) < 10**12 else "9" * 13
    if value.startswith("-") and pattern.fullmatch(value[1:]):
        if not value.strip("-0."):
            return value[1:]
        _refuse("negative", "must not be negative", "Give the amount itself; the formula knows its sign.")
    if not pattern.fullmatch(value):
        fraction = value.partition(".")[2]
        places = 2 if pattern is MONEY_PATTERN else 4
        if fraction.isascii() and fraction.isdigit() and len(fraction) > places and value.partition(".")[0].isdigit():
            _refuse(
                "places",
                f"more than {places} decimal places",
                f'Round it as the contract does, for example "{example}".',
            )
        _refuse("form", f"not {what}", f'Write it with digits and at most {places} places, for example "{example}".')
    return value


def _cents(value: object) -> int:
    whole, _, part = _decimal_text(value, MONEY_PATTERN, "an amount of money", "1500.00").partition(".")
    cents = int(whole) * 100 + int(part.ljust(2, "0"))
    if cents > MAX_CENTS:
        _refuse(
            "size", f"above the largest amount, {dollars(MAX_CENTS)}", "Check the unit: amounts are dollars and cents."
        )
    return cents


def _rate(value: object) -> int:
    whole, _, part = _decimal_text(value, RATE_PATTERN, "a rate in percent", "7.90").partition(".")
    return int(whole) * RATE_SCALE + int(part.ljust(4, "0"))


def _date(value: object) -> object:
    written = isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII)
    if not written and type(value) is not date:
        _refuse("date", "not a calendar date", 'Write it as "YYYY-MM-DD", for example "2026-11-20".')
    return value


def _rate_text(rate: int) -> str:
    whole, part = divmod(rate, RATE_SCALE)
    places = f"{part:04d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{places}"


def _carried(value: object) -> object:
    """Metadata is carried, never judged; but it is stored, so it must be something that JSON can write and UTF-8 can hold."""
    try:
        plain = _plain_numbers(value, MAX_DEPTH)
        json.dumps(plain, ensure_ascii=False, allow_nan=False, skipkeys=True, default=repr).encode()
    except (ValueError, OverflowError):
        _refuse("metadata", "holds something that JSON cannot carry", _METADATA_REMEDY)
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


Money = Annotated[
    int,
    BeforeValidator(_cents),
    PlainSerializer(hundredths, return_type=str, when_used="json"),
    _schema("1500.00", "Dollars and cents; a number where it is exact in cents.", 2, 8),
]
"""Integer cents, read from "1500.00", 1500 or Decimal("1500.00")."""

Rate = Annotated[
    int,
    BeforeValidator(_rate),
    PlainSerializer(_rate_text, return_type=str, when_used="json"),
    _schema("7.90", "Percent, with at most four places.", 4, 3),
]
"""Ten-thousandths of a percent, read from "7.90"."""

Day = Annotated[date, BeforeValidator(_date), Field(strict=False)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Vin = Annotated[str, StringConstraints(min_length=5, max_length=17, pattern=r"^[A-HJ-NPR-Z0-9]+$")]
State = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class Part(BaseModel):
    """Common strictness: unknown fields are errors, nothing is coerced, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Applicant(Part):
    tier: Word | None = None
    credit_score: Annotated[int, Field(ge=250, le=900)] | None = None
    monthly_income: Money | None = None
    monthly_debt: Money | None = None
    first_time_buyer: bool | None = None
    covered_borrower: bool | None = None
    credit_report_as_of: Day | None = None


class BookValue(Part):
    basis: Word
    amount: Money
    as_of: Day | None = None


class PartialVehicle(Part):
    vin: Vin | None = None
    condition: Literal["new", "used"] | None = None
    model_year: Annotated[int, Field(ge=1900, le=2100)] | None = None
    mileage: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    values: Annotated[list[BookValue], Field(max_length=MAX_ITEMS)] = []

    @model_validator(mode="after")
    def _one_value_a_basis(self) -> Self:
        bases = [value.basis for value in self.values]
        twice = next((basis for basis in bases if bases.count(basis) > 1), None)
        if twice:
            _refuse("basis", f"two values on the basis {twice!r}", "Keep one value for each basis.")
        return self


class Vehicle(PartialVehicle):
    condition: Literal["new", "used"]


class Product(Part):
    kind: Word
    price: Money


class TradeIn(Part):
    kind: Literal["loan", "lease", "none"]
    allowance: Money | None = None
    acv: Money | None = None
    payoff: Money | None = None
    lienholder: Word | None = None
    payoff_good_through: Day | None = None
    per_diem: Money | None = None

    @model_validator(mode="after")
    def _nothing_owed(self) -> Self:
        if self.kind == "none" and self.payoff:
            _refuse(
                "payoff", "a trade of kind 'none' owes nothing, yet has a payoff", "Use the kind 'loan' or 'lease'."
            )
        return self


class PartialDeal(Part):
    """A deal of which anything may be left out: what a policy's examples state. What is left out is unknown."""

    deal_id: Word = "example"
    submitted_on: Day | None = None
    expected_funding_on: Day | None = None
    channel: Literal["indirect", "direct"] | None = None
    dealer_id: Word | None = None
    state: State | None = None
    applicant: Applicant = Applicant()
    vehicle: PartialVehicle = PartialVehicle()
    cash_price: Money | None = None
    sales_tax: Money = 0
    title_and_registration: Money = 0
    doc_fee: Money = 0
    products: Annotated[list[Product], Field(max_length=MAX_ITEMS)] = []
    trade_ins: Annotated[list[TradeIn], Field(max_length=MAX_ITEMS)] = []
    cash_down: Money = 0
    rebate: Money = 0
    prepaid_finance_charge: Money = 0
    term_months: Annotated[int, Field(ge=1, le=600)] | None = None
    apr_percent: Rate | None = None
    monthly_payment: Money | None = None
    metadata: Annotated[dict[str, JsonValue], BeforeValidator(_carried)] = {}

    @field_validator("expected_funding_on")
    @classmethod
    def _funded_no_earlier(cls, funding: date | None, info: ValidationInfo) -> date | None:
        submitted = info.data.get("submitted_on")
        if funding and submitted and funding < submitted:
            _refuse(
                "funding", f"before the deal is submitted, on {submitted}", "Give the day the loan is to be funded."
            )
        return funding

    @field_validator("applicant")
    @classmethod
    def _report_no_later(cls, applicant: Applicant, info: ValidationInfo) -> Applicant:
        report, submitted = applicant.credit_report_as_of, info.data.get("submitted_on")
        if report and submitted and report > submitted:
            _refuse(
                "report",
                f"after the deal is submitted, on {submitted}",
                "Give the day the report was drawn.",
                part="credit_report_as_of",
                value=str(report),
            )
        return applicant

    @classmethod
    def read(cls, document: object) -> Self:
        """Read a document of plain values (as `json` gives them). Raises `DealError` with every problem."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise DealError(_problems(cls, error)) from None

    def document(self) -> dict[str, Any]:
        """The deal as plain JSON values: what was stated and nothing else, money as decimal strings."""
        return self.model_dump(mode="json", exclude_unset=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a JSON text; its numbers stay decimal. Raises `DealError`."""
        return cls.read(parse_json(text))


class Deal(PartialDeal):
    """One vehicle-loan deal as submitted: the money side (the structure), the vehicle, the applicant."""

    deal_id: Word
    submitted_on: Day
    vehicle: Vehicle
    cash_price: Money
    term_months: Annotated[int, Field(ge=1, le=600)]


def parse_json(text: str | bytes) -> object:
    """Parse JSON with exact decimals; a repeated name, NaN or broken text is a `DealError`."""
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_no_repeats)
    except DealError:
        raise
    except RecursionError:
        raise DealError(
            [Problem("(document)", "deeply nested JSON", "nested too deeply", "Send one deal, as documented.")]
        ) from None
    except ValueError as error:
        message = str(error).split(": line")[0]
        where = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "the text"
        raise DealError(
            [Problem("(document)", where, f"not JSON: {message}", "Send one JSON object in UTF-8.")]
        ) from None


def _no_constant(name: str) -> NoReturn:
    raise DealError([Problem("(document)", name, "not a JSON number", "Give a decimal string or leave the field out.")])


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = dict(pairs)
    if len(names) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise DealError([Problem(twice, "two values", "named twice in one object", "Keep one of the two.")])
    return names


def _problems(model: type[BaseModel], error: ValidationError) -> list[Problem]:
    return [_problem(model, item["loc"], item) for item in error.errors(include_url=False)]


def _problem(model: type[BaseModel], location: tuple[int | str, ...], item: Mapping[str, Any]) -> Problem:
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    context = item.get("ctx", {})
    message, remedy = item["msg"], context.get("remedy", "")
    value = _shown(context.get("value", item["input"]))
    path += f".{context['part']}" if "part" in context else ""
    if item["type"] == "extra_forbidden":
        message, remedy = "unknown field", _suggestion(model, location)
    elif item["type"] == "missing":
        message, value, remedy = "required field is missing", "nothing", "Add it."
    elif "message" in context:
        message = context["message"]
    elif not remedy:
        remedy = _REMEDIES.get(item["type"], "See the deal document in the reference.")
    return Problem(path or "(document)", value, message[:1].lower() + message[1:], remedy)


_REMEDIES = {
    "int_type": "Give a whole number without quotes.",
    "bool_type": "Give true or false.",
    "string_type": "Give a text in quotes.",
    "string_pattern_mismatch": "Check the spelling and the case.",
    "string_too_long": "Shorten it.",
    "string_too_short": "Give at least the stated number of characters, or leave the field out.",
    "literal_error": "Use one of the listed words.",
    "list_type": "Give a list, [] when there is none.",
    "model_type": "Give an object.",
    "date_from_datetime_parsing": 'Write it as "YYYY-MM-DD".',
    "date_parsing": 'Write an existing day as "YYYY-MM-DD".',
}


def _shown(value: object) -> str:
    if isinstance(value, int) and abs(value) >= 10**57:  # Python refuses to write out an endless one
        return "a number of more than 57 digits"
    text = (
        repr(str(value))
        if isinstance(value, str | Decimal)
        else type(value).__name__
        if isinstance(value, dict | list)
        else str(value)
    )
    return text if len(text) <= 60 else text[:57] + "..."


def _suggestion(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    fields = _fields_at(model, location[:-1])
    close = get_close_matches(str(location[-1]), fields, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return "Known here: " + ", ".join(fields) + ". What the gate should only carry along goes under 'metadata'."


def _fields_at(model: type[BaseModel], location: Iterable[int | str]) -> list[str]:
    parts: dict[str, type[BaseModel]] = {
        "applicant": Applicant,
        "vehicle": Vehicle,
        "values": BookValue,
        "products": Product,
        "trade_ins": TradeIn,
    }
    for step in location:
        model = parts.get(str(step), model)
    return list(model.model_fields)
