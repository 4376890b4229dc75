"""Draw 300 deals from the World Omni Select 2020-A pool: row 1 and every 25th row after it, as JSON Lines.

    python draw.py world_omni_2020.csv > loans.jsonl

README.md beside this file says what each figure is and where the file comes from.
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from itertools import islice
from pathlib import Path

STEP = 25
DEALS = 300

HUNDREDTH = Decimal("0.01")
"""A cent; and the step of the rates in percent, seven of which carry traces of a binary float in the compiled file."""

CONDITIONS = {"1": "new", "2": "used"}
BASES = {"2": "msrp", "98": "reported_value"}
"""Schedule AL's vehicleValueSourceCode. The filing does not say which book code 98 stands for; the word is ours."""

Row = dict[str, str]


def hundredths(number: Decimal) -> str:
    return str(number.quantize(HUNDREDTH, rounding=ROUND_HALF_UP))


def monthly_income(row: Row) -> str | None:
    """What follows from the reported payment and its share of income; None where either is zero."""
    payment, share = Decimal(row["reportingPeriodScheduledPaymentAmount"]), Decimal(row["paymentToIncomePercentage"])
    return hundredths(payment / share) if payment and share else None


def first_of_month(month_and_year: str) -> str:
    month, year = month_and_year.split("/")
    return f"{year}-{month}-01"


def deal(number: int, row: Row) -> dict[str, object]:
    """One row of the pool as a deal document."""
    income = monthly_income(row)
    payment = Decimal(row["reportingPeriodScheduledPaymentAmount"])
    score = {"credit_score": int(row["obligorCreditScore"])}
    value = {"basis": BASES[row["vehicleValueSourceCode"]], "amount": hundredths(Decimal(row["vehicleValueAmount"]))}
    return {
        "deal_id": f"WOSAT-2020-A-{number:05d}",
        "submitted_on": first_of_month(row["originationDate"]),
        "state": row["obligorGeographicLocation"],
        "applicant": score | ({"monthly_income": income} if income else {}),
        "vehicle": {
            "condition": CONDITIONS[row["vehicleNewUsedCode"]],
            "model_year": int(row["vehicleModelYear"]),
            "values": [value],
        },
        "cash_price": hundredths(Decimal(row["originalLoanAmount"])),
        "term_months": int(row["originalLoanTerm"]),
        "apr_percent": hundredths(Decimal(row["originalInterestRatePercentage"]) * 100),
        **({"monthly_payment": hundredths(payment)} if payment else {}),
        "metadata": {
            "synthetic": ["submitted_on", "cash_price", *(["applicant.monthly_income"] if income else [])],
            "source_row": number,
        },
    }


def drawn(rows: Iterable[Row]) -> Iterator[dict[str, object]]:
    """Rows are numbered from 1, the header not counted."""
    numbered = enumerate(rows, start=1)
    return (deal(number, row) for number, row in islice(numbered, 0, STEP * DEALS, STEP))


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("Give the path of the pool's CSV: python draw.py world_omni_2020.csv > loans.jsonl")
    with Path(sys.argv[1]).open(encoding="utf-8", newline="") as file:
        for document in drawn(csv.DictReader(file)):
            print(json.dumps(document))


if __name__ == "__main__":
    main()
