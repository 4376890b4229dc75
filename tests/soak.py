"""Many submissions in one process, most of them clean deals: resident memory must stay flat and nothing may crash.

    python tests/soak.py --submissions 100000

Prints resident memory along the way and ends with exit code 1 when it grew by more than a tenth after the first tenth.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import psutil

from dealgate import Deal, Gate, Outcome
from dealgate.adapters.database import open_database, ready_database

CLEAN = {
    "submitted_on": "2026-11-20",
    "applicant": {"tier": "A", "credit_score": 760, "monthly_income": "9000.00", "monthly_debt": "900.00"},
    "vehicle": {
        "condition": "used",
        "model_year": 2024,
        "mileage": 20_000,
        "values": [{"basis": "jdpower_clean_trade", "amount": "30000.00"}],
    },
    "term_months": 60,
    "apr_percent": "7.90",
}


def deal(number: int) -> Deal:
    """Nine clean deals, then one with too much financed."""
    price = "45000.00" if number % 10 == 9 else f"{20_000 + number % 5_000}.00"
    return Deal.read(CLEAN | {"deal_id": f"S-{number % 20_000}", "cash_price": price})


def run(submissions: int, folder: Path) -> list[int]:
    """Submit, 100 deals a transaction; returns resident kilobytes at every tenth of the way."""
    engine = open_database(f"sqlite:///{folder / 'soak.db'}")
    ready_database(engine)
    gate = Gate(engine)
    process, sizes, clean = psutil.Process(), list[int](), 0
    for begun in range(0, submissions, 100):
        with engine.begin() as connection:
            for number in range(begun, begun + 100):
                clean += gate.submit(deal(number), session=connection).outcome == Outcome.PASS
        if (begun + 100) % (submissions // 10) == 0:
            sizes.append(process.memory_info().rss >> 10)
            print(f"{begun + 100:>9,} submissions, {sizes[-1]:>9,} KB resident", flush=True)
    engine.dispose()
    assert clean == submissions * 9 // 10, f"{clean} of {submissions} deals passed"
    return sizes


def main() -> int:
    arguments = argparse.ArgumentParser(description="Submit many deals in one process.")
    arguments.add_argument("--submissions", type=int, default=100_000)
    with tempfile.TemporaryDirectory() as folder:
        sizes = run(arguments.parse_args().submissions, Path(folder))
    return int(sizes[-1] > sizes[0] * 1.1)


if __name__ == "__main__":
    sys.exit(main())
