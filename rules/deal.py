"""The deal document: what a host submits. Strict, every error at once, money never through a float."""

import json
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
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from dealgate.rules.stated_values import Day, Kind, Money, Payment, Rate, State, Vin, Word, carried, refuse

MAX_ITEMS = 100
"""More trades or products than this in one deal is a broken feed, and sums must stay within 64 bits."""

MODEL_YEARS_AHEAD = 2
"""A model year begins at most a year before its number; one further ahead is a slip, and would make a vehicle younger than new."""


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
            refuse("basis", f"two values on the basis {twice!r}", "Keep one value for each basis.")
        return self


class Vehicle(PartialVehicle):
    condition: Literal["new", "used"]


class Product(Part):
    kind: Kind
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
            refuse("payoff", "a trade of kind 'none' owes nothing, yet has a payoff", "Use the kind 'loan' or 'lease'.")
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
    monthly_payment: Payment | None = None
    metadata: Annotated[dict[str, JsonValue], BeforeValidator(carried)] = {}

    @field_validator("expected_funding_on")
    @classmethod
    def _funded_no_earlier(cls, funding: date | None, info: ValidationInfo) -> date | None:
        submitted = info.data.get("submitted_on")
        if funding and submitted and funding < submitted:
            refuse("funding", f"before the deal is submitted, on {submitted}", "Give the day the loan is to be funded.")
        return funding

    @field_validator("applicant")
    @classmethod
    def _report_no_later(cls, applicant: Applicant, info: ValidationInfo) -> Applicant:
        report, submitted = applicant.credit_report_as_of, info.data.get("submitted_on")
        if report and submitted and report > submitted:
            refuse(
                "report",
                f"after the deal is submitted, on {submitted}",
                "Give the day the report was drawn.",
                part="credit_report_as_of",
                value=str(report),
            )
        return applicant

    @field_validator("vehicle")
    @classmethod
    def _built_by_now(cls, vehicle: PartialVehicle, info: ValidationInfo) -> PartialVehicle:
        year, submitted = vehicle.model_year, info.data.get("submitted_on")
        if year and submitted and year > submitted.year + MODEL_YEARS_AHEAD:
            refuse(
                "year",
                f"more than {MODEL_YEARS_AHEAD} years after the deal is submitted, on {submitted}",
                "Give the model year of the vehicle.",
                part="model_year",
                value=str(year),
            )
        return vehicle

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
