"""Deals written the way each host writes them: small payloads of our own making, for illustration, with the hosts' field names."""

import csv
import json
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any
from xml.etree import ElementTree as Xml

from dealgate.rules.deal import Deal

Document = Mapping[str, Any]
Parts = Mapping[str, Any]

STRUCTURE = ("sales_tax", "title_and_registration", "doc_fee", "rebate")


def _element(parent: Xml.Element | None, name: str, parts: Any) -> Xml.Element:
    """`@name` is an attribute, a list repeats its element, None is left out."""
    element = Xml.Element(name) if parent is None else Xml.SubElement(parent, name)
    if not isinstance(parts, Mapping):
        element.text = None if parts is None else str(parts)
        return element
    for below, part in parts.items():
        if below == "#":
            element.text = str(part)
        elif below.startswith("@") and part is not None:
            element.set(below[1:], str(part))
        elif isinstance(part, list):
            for one in part:
                _element(element, below, one)
        elif part is not None and not below.startswith("@"):
            _element(element, below, part)
    return element


def xml(root: str, parts: Parts, namespace: str = "") -> bytes:
    element = _element(None, root, parts)
    if namespace:
        element.set("xmlns", namespace)
    return bytes(Xml.tostring(element, encoding="utf-8", xml_declaration=True))


def _price_of(deal: Document, kind: str) -> str | None:
    return next((product["price"] for product in deal.get("products", []) if product["kind"] == kind), None)


def _named(words: Mapping[str, str], word: str) -> str:
    return next(host for host, ours in words.items() if ours == word)


def stated(parts: Parts) -> dict[str, Any]:
    return {name: part for name, part in parts.items() if part is not None}


PRICING = {
    "Invoice": "invoice",
    "MSRP": "msrp",
    "NADA Trade": "jdpower_clean_trade",
    "NADA Retail": "jdpower_clean_retail",
    "KBB Trade": "kbb_trade_in",
    "Black Book": "blackbook_average",
}


def routeone(deal: Document, **financing: Any) -> bytes:
    applicant, vehicle = deal.get("applicant", {}), deal["vehicle"]
    income = applicant.get("monthly_income")
    taxes = {"Sales": "sales_tax", "TitleAndRegistration": "title_and_registration", "Documentation": "doc_fee"}
    money: dict[str, Any] = {
        "PurchasePrice": deal["cash_price"],
        "Tax": [{"TaxType": kind, "TaxAmount": deal[name]} for kind, name in taxes.items() if name in deal],
        "InsuranceTotalExtendedWarrantyAmount": _price_of(deal, "service_contract"),
        "CreditLifePremiumAmount": _price_of(deal, "credit_life"),
        "DisabilityPremiumAmount": _price_of(deal, "credit_disability"),
        "TradeInFinancing": [
            {
                "GrossTradeIn": one.get("allowance"),
                "BalanceAmount": one.get("payoff"),
                "LienHolder": one.get("lienholder"),
            }
            for one in deal.get("trade_ins", [])
        ],
        "DownPaymentAmount": deal["cash_down"],
        "ManufacturerRebateAmount": deal.get("rebate"),
        "Term": {"@length": "Months", "#": deal["term_months"]},
        "AnnualPercentageRate": deal.get("apr_percent"),
        "PaymentAmount": deal.get("monthly_payment"),
    }
    pricing = [
        {"VehiclePricingType": _named(PRICING, value["basis"]), "VehiclePrice": value["amount"]}
        for value in vehicle.get("values", [])
    ]
    detail = {
        "Applicant": {
            "Address": {"StateOrProvince": deal.get("state")},
            "CreditScore": applicant.get("credit_score"),
            "Employer": {"Income": {"@period": "MO", "#": income}} if income is not None else None,
        },
        "CreditVehicle": {
            "VIN": vehicle.get("vin"),
            "SaleClass": vehicle["condition"].title(),
            "ModelYear": vehicle.get("model_year"),
            "DeliveryMileage": vehicle.get("mileage"),
            "Pricing": pricing,
        },
        "Financing": money | financing,
    }
    header = {
        "ApplicationNumber": deal["deal_id"],
        "SubmittedDateTime": f"{deal['submitted_on']}T23:59:59-08:00",
        "Dealer": {"PartyId": deal.get("dealer_id")},
    }
    parts = {"DataArea": {"CreditApplication": {"Header": header, "Detail": detail}}}
    return xml("ProcessCreditApplication", parts, "urn:illustrative")


VALUE_TYPES = {
    "NADAR": "jdpower_clean_retail",
    "NADAT": "jdpower_clean_trade",
    "KLYT": "kbb_trade_in",
    "MSRP": "msrp",
    "INV": "invoice",
}


def meridianlink(deal: Document, **info: Any) -> bytes:
    applicant, vehicle = deal.get("applicant", {}), deal["vehicle"]
    value = next(iter(vehicle.get("values", [])), None)
    channel = {"indirect": "Y", "direct": "N"}.get(deal.get("channel") or "")
    loan = {
        "is_indirect_loan": channel,
        "dealer_number": deal.get("dealer_id"),
        "tier": applicant.get("tier"),
        "tax": deal.get("sales_tax"),
        "license": deal.get("title_and_registration"),
        "debt_cancellation": _price_of(deal, "gap"),
        "credit_life": _price_of(deal, "credit_life"),
        "credit_disability": _price_of(deal, "credit_disability"),
        "additional_items_back_end": _price_of(deal, "back_end_items"),
        "down_payment": deal["cash_down"],
        "rebate": deal.get("rebate"),
        "loan_term": deal["term_months"],
        "contract_rate": deal.get("apr_percent"),
        "estimated_vehicle_payment": deal.get("monthly_payment"),
        **info,
    }
    car = {
        "vin": vehicle.get("vin"),
        "is_new_vehicle": "Y" if vehicle["condition"] == "new" else "N",
        "year": vehicle.get("model_year"),
        "mileage": vehicle.get("mileage"),
        "vehicle_sales_price": deal["cash_price"],
        "value_type": _named(VALUE_TYPES, value["basis"]) if value else None,
        "vehicle_value": value["amount"] if value else None,
    }
    trades = [
        {
            "trade_allowance": one.get("allowance"),
            "lienholder_payoff": one.get("payoff"),
            "lienholder": one.get("lienholder"),
            "lienholder_payoff_date": one.get("payoff_good_through"),
            "lienholder_payoff_per_diem": one.get("per_diem"),
        }
        for one in deal.get("trade_ins", [])
    ]
    income = {"@monthly_income": applicant.get("monthly_income"), "@monthly_debt": applicant.get("monthly_debt")}
    return xml(
        "VEHICLE_LOAN",
        {
            "@loan_number": deal["deal_id"],
            "APPLICANT": {
                "@credit_score": applicant.get("credit_score"),
                "CURRENT_ADDRESS": {"@state": deal.get("state")},
                "FINANCIAL_INFO": income,
            },
            "LOAN_INFO": _attributes(loan),
            "VEHICLE": _attributes(car),
            "TRADE_IN": [_attributes(one) for one in trades],
            "LOAN_STATUS": {"@submit_date": f"{deal['submitted_on']}T00:00:01"},
        },
        "http://www.meridianlink.com/CLF",
    )


def _attributes(parts: Parts) -> Parts:
    return {f"@{name}": part for name, part in parts.items()}


BOOKS = {"NADA": "jdpower_clean_trade", "KBB": "kbb_trade_in", "Black Book": "blackbook_average"}


def dealertrack_parts(deal: Document) -> dict[str, Any]:
    applicant, vehicle = deal.get("applicant", {}), deal["vehicle"]
    values = {value["basis"]: value["amount"] for value in vehicle.get("values", [])}
    book = next((basis for basis in BOOKS.values() if basis in values), None)
    trades = [
        {
            "AppraisalSource": "Allowance",
            "AppraisalValue": one.get("allowance"),
            "ActualCashValue": one.get("acv"),
            "AmountOwed": one.get("payoff"),
            "LienHolder": one.get("lienholder"),
            "PayoffGoodThrough": one.get("payoff_good_through"),
            "PerDiem": one.get("per_diem"),
        }
        for one in deal.get("trade_ins", [])
    ]
    return stated(
        {
            "LeadReferenceNumber": deal["deal_id"],
            "SubmittedDate": deal["submitted_on"],
            "PartnerDealerId": deal.get("dealer_id"),
            "Applicant": {
                "State": deal.get("state"),
                "CreditScore": applicant.get("credit_score"),
                "MonthlyIncome": applicant.get("monthly_income"),
                "MonthlyDebt": applicant.get("monthly_debt"),
            },
            "Vehicle": stated(
                {
                    "VIN": vehicle.get("vin"),
                    "Condition": vehicle["condition"].title(),
                    "Year": vehicle.get("model_year"),
                    "Mileage": vehicle.get("mileage"),
                    "WholesaleBookSource": _named(BOOKS, book) if book else None,
                    "WholesaleValue": values[book] if book else None,
                    "InvoiceAmount": values.get("invoice"),
                    "MSRP": values.get("msrp"),
                }
            ),
            "CashSellingPrice": deal["cash_price"],
            "SalesTax": deal.get("sales_tax", "0.00"),
            "Title": deal.get("title_and_registration", "0.00"),
            "DocFee": deal.get("doc_fee"),
            "Gap": _price_of(deal, "gap"),
            "Warranty": _price_of(deal, "service_contract"),
            "CreditLifeIns": _price_of(deal, "credit_life"),
            "AccHealthInsurance": _price_of(deal, "credit_disability"),
            "TradeIns": [stated(one) for one in trades],
            "CashDown": deal["cash_down"],
            "Rebate": deal.get("rebate"),
            "Term": deal["term_months"],
            "RequestedAPR": deal.get("apr_percent"),
            "EstimatedPayment": deal.get("monthly_payment"),
        }
    )


def dealertrack(deal: Document, **more: Any) -> bytes:
    return json.dumps(dealertrack_parts(deal) | more, ensure_ascii=False).encode()


def csv_cells(deal: Document) -> dict[str, Any]:
    cells = {
        name: deal.get(name)
        for name in (
            "deal_id",
            "submitted_on",
            "channel",
            "dealer_id",
            "state",
            "cash_price",
            *STRUCTURE,
        )
    }
    cells |= {
        name: deal.get(name)
        for name in ("cash_down", "prepaid_finance_charge", "term_months", "apr_percent", "monthly_payment")
    }
    cells |= {name: deal[name] for name in ("expected_funding_on",) if name in deal}
    cells |= deal.get("applicant", {}) | {name: part for name, part in deal["vehicle"].items() if name != "values"}
    for value in deal["vehicle"].get("values", []):
        cells |= {f"value_{value['basis']}": value["amount"], f"value_{value['basis']}_as_of": value.get("as_of")}
    for part in ("product", "trade_in"):
        for number, item in enumerate(deal.get(f"{part}s", []), start=1):
            cells |= {f"{part}_{number}_{name}": value for name, value in item.items()}
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in cells.items()}


def csv_text(rows: Iterable[Parts]) -> bytes:
    rows = list(rows)
    written = StringIO()
    writer = csv.DictWriter(written, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue().encode("utf-8-sig")


def flat(deal: Document, **more: Any) -> bytes:
    return csv_text([csv_cells(deal) | more])


CONDITIONS = {"new": "1", "used": "2"}
SOURCES = {"invoice": "1", "msrp": "2", "kbb": "3", "reported_value": "98"}


def absee_parts(deal: Document) -> dict[str, Any]:
    year, month, _ = deal["submitted_on"].split("-")
    value = next(iter(deal["vehicle"].get("values", [])), None)
    rate = deal.get("apr_percent")
    return stated(
        {
            "assetNumber": deal["deal_id"].removesuffix("/1"),
            "originationDate": f"{month}/{year}",
            "originalLoanAmount": deal["cash_price"],
            "originalLoanTerm": deal["term_months"],
            "originalInterestRatePercentage": f"{float(rate) / 100:.8f}" if rate is not None else None,
            "vehicleNewUsedCode": CONDITIONS[deal["vehicle"]["condition"]],
            "vehicleModelYear": deal["vehicle"].get("model_year"),
            "vehicleValueAmount": value["amount"] if value else None,
            "vehicleValueSourceCode": SOURCES[value["basis"]] if value else None,
            "obligorCreditScore": deal.get("applicant", {}).get("credit_score"),
            "obligorGeographicLocation": deal.get("state"),
            "reportingPeriodScheduledPaymentAmount": deal.get("monthly_payment"),
        }
    )


def absee(deal: Document, **more: Any) -> bytes:
    namespace = "http://www.sec.gov/edgar/document/absee/autoloan/assetdata"
    return xml("assetData", {"assets": absee_parts(deal) | more}, namespace)


def as_read(document: Document) -> dict[str, Any]:
    """A deal document with what is left out filled in, for comparison; what is only carried along is left out."""
    found = Deal.read(document).model_dump(mode="json")
    del found["metadata"]
    return found
