"""The columns that repeat what a decision's envelope says, for queries. Made from it alone, so that they can be made again.

Nothing personal is among them: they stay when personal values are erased.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from math import gcd
from typing import Any, cast

from sqlalchemy import Table

from dealgate.models import tables
from dealgate.rules.deal import Deal

LARGEST_INTEGER = 2**63

TOLD = {"violated", "mitigated", "not_evaluable"}
"""Results that stand in the finding table; the decision's document holds every rule."""

COUNTS = ("vehicle_age", "days_past_good_through", "book_value_age", "credit_report_age", "break_even_month")


def _measure_columns() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for column in cast("Table", tables.Decision.__table__).columns.keys():  # noqa: SIM118  it iterates over columns
        name, _, kind = column.rpartition("_")
        if kind == "numerator":
            found[name] = (column, f"{name}_denominator")
        elif kind == "cents":
            found[name] = (column,)
        elif column in COUNTS:
            found[column] = (column,)
    return found


MEASURE_COLUMNS = _measure_columns()
"""Of each shipped measure: two for a ratio, one for an amount or a count. A policy's own stand in the document only, and may be
called as another column is.
"""


def submission_columns(deal: Deal) -> dict[str, Any]:
    applicant, vehicle = deal.applicant, deal.vehicle
    return {
        "deal_id": deal.deal_id,
        "submitted_on": deal.submitted_on,
        "expected_funding_on": deal.expected_funding_on,
        "channel": deal.channel,
        "dealer_id": deal.dealer_id,
        "state": deal.state,
        "tier": applicant.tier,
        "first_time_buyer": applicant.first_time_buyer,
        "covered_borrower": applicant.covered_borrower,
        "credit_report_as_of": applicant.credit_report_as_of,
        "condition": vehicle.condition,
        "model_year": vehicle.model_year,
        "mileage": vehicle.mileage,
        "cash_price_cents": deal.cash_price,
        "sales_tax_cents": deal.sales_tax,
        "title_and_registration_cents": deal.title_and_registration,
        "doc_fee_cents": deal.doc_fee,
        "cash_down_cents": deal.cash_down,
        "rebate_cents": deal.rebate,
        "prepaid_finance_charge_cents": deal.prepaid_finance_charge,
        "term_months": deal.term_months,
        "apr_ten_thousandths": deal.apr_percent,
        "monthly_payment_cents": deal.monthly_payment,
    }


def part_columns(deal: Deal) -> dict[type[tables.Base], list[dict[str, Any]]]:
    """The lists of a deal, one row an item, in their order."""
    return {
        tables.TradeIn: _numbered(_trade_in_columns(trade) for trade in deal.trade_ins),
        tables.Product: _numbered({"kind": product.kind, "price_cents": product.price} for product in deal.products),
        tables.BookValue: _numbered(
            {"basis": value.basis, "amount_cents": value.amount, "as_of": value.as_of} for value in deal.vehicle.values
        ),
    }


def _numbered(rows: Any) -> list[dict[str, Any]]:
    return [{"position": position, **row} for position, row in enumerate(rows)]


def _trade_in_columns(trade: Any) -> dict[str, Any]:
    return {
        "kind": trade.kind,
        "allowance_cents": trade.allowance,
        "acv_cents": trade.acv,
        "payoff_cents": trade.payoff,
        "payoff_good_through": trade.payoff_good_through,
        "per_diem_cents": trade.per_diem,
    }


NO_INPUTS = {"deal_id", "submitted_on"}


def inputs_number(deal: Deal) -> int:
    """A number of 64 bits, from all columns that a rule can read but the day: of two deals that are alike in those it is the same."""
    return number_of(submission_columns(deal), part_columns(deal).values())


def number_of(columns: Mapping[str, Any], parts: Iterable[Sequence[Mapping[str, Any]]]) -> int:
    """From the columns themselves; the parts are trade-ins, products and values."""
    told = [(name, value) for name, value in sorted(columns.items()) if name not in NO_INPUTS]
    text = repr((told, [[sorted(row.items()) for row in rows] for rows in parts]))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


def decision_columns(decision: Mapping[str, Any]) -> dict[str, Any]:
    """Of a decision as it stands in the envelope."""
    columns: dict[str, Any] = {
        "decision_id": decision["decision_id"],
        "deal_id": decision["deal_id"],
        "submission": decision["submission"],
        "policy_sha256": decision["policy"]["sha256"],
        "outcome": decision["outcome"],
        "engine_agreed": decision["engine"]["agreed"],
    }
    for name, measure in decision["measures"].items():
        match MEASURE_COLUMNS.get(name):
            case (numerator, denominator):
                ratio = stored_ratio(_integer(measure.get("numerator")), _integer(measure.get("denominator")))
                columns[numerator], columns[denominator] = ratio
            case (column,):
                columns[column] = stored(measure.get("value"))
    return columns


def finding_columns(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Of a finding as it stands in the envelope: without its numbers where they are set apart."""
    return {
        "rule": finding["rule"],
        "result": finding["result"],
        "severity": finding["severity"],
        "reason": finding.get("reason"),
        "measure": finding.get("measure"),
        "unit": finding.get("unit"),
        "measured_value": stored(finding.get("value")),
        "limit_value": stored(finding.get("limit")),
        "margin_value": stored(finding.get("margin")),
        "used_consumer_report": finding["used_consumer_report"],
    }


def stored(value: object) -> int | None:
    """A shown number as an integer: cents, basis points or a count. None where it is unknown or does not fit 64 bits."""
    number = _integer(value)
    return number if number is not None and abs(number) < LARGEST_INTEGER else None


def _integer(value: object) -> int | None:
    """ "37769.69" is 3776969; a count is itself; a text that is no number is None."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    try:
        return int(value.replace(".", "", 1))
    except ValueError:
        return None


def stored_ratio(numerator: int | None, denominator: int | None) -> tuple[int | None, int | None]:
    """Both integers, in lowest terms if they would not fit otherwise; None where even that is too large for the column."""
    if numerator is None or denominator is None:
        return None, None
    if max(abs(numerator), denominator) >= LARGEST_INTEGER:
        common = gcd(numerator, denominator)
        numerator, denominator = numerator // common, denominator // common
    fits = max(abs(numerator), denominator) < LARGEST_INTEGER
    return (numerator, denominator) if fits else (None, None)
