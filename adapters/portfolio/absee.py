"""Loan files of SEC Form ABS-EE, Schedule AL (17 CFR 229.1125): rows of its elements, from CSV or EX-102 XML, as deal documents.

A filing states the amount financed and no structure: price, cash, trade and products are inside `originalLoanAmount`, which stands
as the cash price here. What is derived or assumed is listed under `synthetic` in each deal's metadata.
"""

from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import IO, Any

from defusedxml.ElementTree import iterparse

SIGNATURE = {"originalLoanAmount", "originalLoanTerm", "vehicleValueAmount"}
"""Elements by which a table is known as a loan file of this form."""

CONDITIONS = {"1": "new", "2": "used"}
BASES = {"1": "invoice", "2": "msrp", "3": "kbb"}
OTHER_BASIS = "reported_value"
"""The form does not say which book the code 98, other, stands for."""

CENT = Decimal("0.01")
RATE_STEP = Decimal("0.0001")

Row = Mapping[str, str]


def deal_document(number: int, row: Row) -> dict[str, Any]:
    """One loan as a deal document; a number that cannot be read stands as it is written, for the reader to name.

    The row's number, from 1, is part of the id: some compilations carry damaged asset numbers that repeat.
    """
    payment, share = (
        _decimal(row.get("reportingPeriodScheduledPaymentAmount")),
        _decimal(row.get("paymentToIncomePercentage")),
    )
    income = _cents(payment / share) if payment and share and payment > 0 and share > 0 else None
    applicant = {"credit_score": _whole(row.get("obligorCreditScore")), "monthly_income": income}
    basis = BASES.get(row.get("vehicleValueSourceCode", ""), OTHER_BASIS)
    value = _money(row.get("vehicleValueAmount"))
    vehicle = {
        "condition": CONDITIONS.get(row.get("vehicleNewUsedCode", ""), row.get("vehicleNewUsedCode")),
        "model_year": _whole(row.get("vehicleModelYear")),
        "values": [{"basis": basis, "amount": value}] if value else [],
    }
    document = {
        "deal_id": f"{row.get('assetNumber') or 'row'}/{number}",
        "submitted_on": _first_of_month(row.get("originationDate")),
        "state": row.get("obligorGeographicLocation") or None,
        "applicant": _stated(applicant),
        "vehicle": _stated(vehicle),
        "cash_price": _money(row.get("originalLoanAmount")),
        "term_months": _whole(row.get("originalLoanTerm")),
        "apr_percent": _percent(row.get("originalInterestRatePercentage")),
        "monthly_payment": _cents(payment) if payment and payment > 0 else None,
        "metadata": {"synthetic": ["submitted_on", "cash_price", *(["applicant.monthly_income"] if income else [])]},
    }
    return _stated(document)


def read_xml(stream: IO[bytes]) -> Iterator[Row]:
    """The loans of an EX-102 exhibit, one after the other, whatever namespace it declares."""
    for _, element in iterparse(stream, events=("end",)):
        found = {_local(part.tag): (part.text or "").strip() for part in element}
        if found.keys() >= SIGNATURE:
            yield found
            element.clear()


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _stated(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in parts.items() if part is not None}


def _decimal(text: str | None) -> Decimal | None:
    try:
        number = Decimal(text) if text else None
    except InvalidOperation:
        return None
    return number if number is not None and number.is_finite() else None


def _cents(number: Decimal) -> str:
    return format(number.quantize(CENT, rounding=ROUND_HALF_UP), "f")


def _money(text: str | None) -> str | None:
    number = _decimal(text)
    return text or None if number is None or abs(number) > 10**12 else _cents(number)


def _percent(text: str | None) -> str | None:
    """Filings state a rate as a decimal: 0.0687 is 6.87 percent. Some compilations carry traces of a binary float."""
    number = _decimal(text)
    return (
        text or None
        if number is None or abs(number) > 100
        else format((number * 100).quantize(RATE_STEP, rounding=ROUND_HALF_UP), "f")
    )


def _whole(text: str | None) -> int | str | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else text or None


def _first_of_month(text: str | None) -> str | None:
    month, slash, year = (text or "").partition("/")
    return f"{year}-{month}-01" if slash else text or None
