"""Decisions near a limit: numbers as large as can be stored are counted exactly, and no rule by what it does not go by."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from random import Random

import pytest
from sqlalchemy import Connection, Engine, select, update

from dealgate.adapters.compliance.near_limits import COUNTS
from dealgate.adapters.compliance.reporting import read_page
from dealgate.adapters.compliance.reports import REPORTS
from dealgate.models.recording import DECISION
from tests.models.ledgers import unguarded
from tests.models.samples import NOW, a_deal, compiled, submit

POLICY = """
policy: extreme
version: "1"
title: Limits and conditions at the ends of what can be multiplied
effective_from: 2026-11-01
collateral_value: {new: [invoice], used: [jdpower_clean_trade]}
limits:
  max_total_ltv:
    unit: percent
    rows:
      - when: front_end_ltv <= 99.99%
        limit: 99.99%
      - when: negative_equity_to_value > front_end_ltv
        limit: 90000000%
      - limit: 130%
rules:
  - {id: LTV, title: Total LTV within its limit, require: total_ltv <= max_total_ltv, otherwise: refer, reason: Age of automobile}
  - {id: FRONT, title: Front-end LTV, applies: total_ltv >= 0.01%, require: front_end_ltv >= 100.01%, otherwise: flag,
     reason: Age of automobile}
  - {id: AMOUNT, title: The amount, require: "amount_financed < $10,000,000", otherwise: flag, reason: Age of automobile}
"""
LARGEST = 2**63 - 1
NUMBERS = (0, 1, 99_98, 99_99, 100_00, 10**9, 10**9 + 1, 4_611_686_018_427_387, 9 * 10**17, LARGEST - 1, LARGEST)
UNDER = (1, 99_99, 100_00, 10**9, 10**9 + 1, LARGEST - 1, LARGEST)
RATIOS = ("total_ltv", "front_end_ltv", "negative_equity_to_value")
WIDTH = Fraction(2, 100)
CASES = 80


def measures(seed: int) -> Iterator[dict[str, int | None]]:
    """Columns of decisions: near each other as often as not, and at times unknown."""
    pick = Random(seed)
    ratios = [*product((*NUMBERS, *(-number for number in NUMBERS)), UNDER), (None, None)]
    for _ in range(CASES):
        row: dict[str, int | None] = {"amount_financed_cents": pick.choice((*NUMBERS, -LARGEST, None))}
        for name in RATIOS:
            row[f"{name}_numerator"], row[f"{name}_denominator"] = pick.choice(ratios)
        if pick.random() < 0.5:  # just about a limit
            under = pick.choice(UNDER[1:5])
            row |= {"total_ltv_numerator": under * 13 // 10 + pick.randrange(-2, 3), "total_ltv_denominator": under}
        if pick.random() < 0.5:  # so close to a condition's bound that a float could not tell
            row |= {"front_end_ltv_numerator": 99_99 * 9 * 10**14 + pick.randrange(-1, 2)}
            row |= {"front_end_ltv_denominator": 100_00 * 9 * 10**14}
        yield row


def ratio(row: dict[str, int | None], name: str) -> Fraction | None:
    above, below = row[f"{name}_numerator"], row[f"{name}_denominator"]
    return None if above is None or below is None else Fraction(above, below)


def max_total_ltv(row: dict[str, int | None]) -> Fraction | None:
    """The first row that holds; unknown where whether one does is."""
    front, equity = ratio(row, "front_end_ltv"), ratio(row, "negative_equity_to_value")
    if front is None:
        return None
    if front <= Fraction(9_999, 10_000):
        return Fraction(9_999, 10_000)
    if equity is None:
        return None
    return Fraction(900_000) if equity > front else Fraction(130, 100)


def band(value: Fraction, limit: Fraction, keeps: bool) -> str:
    side, away = "within" if keeps else "beyond", abs(value - limit)
    return f"just_{side}" if away < WIDTH * limit else f"next_{side}" if away < 2 * WIDTH * limit else "far"


def expected(rows: list[dict[str, int | None]]) -> dict[str, dict[str, int]]:
    found = {rule: dict.fromkeys((*COUNTS, "far"), 0) for rule in ("LTV", "FRONT", "AMOUNT")}
    for row in rows:
        total, front, cents = ratio(row, "total_ltv"), ratio(row, "front_end_ltv"), row["amount_financed_cents"]
        most, least, amount = max_total_ltv(row), Fraction(10_001, 10_000), Fraction(10**9)
        told = {
            "LTV": None if total is None or most is None else band(total, most, total <= most),
            "FRONT": band(front, least, front >= least)
            if front is not None and total and total >= Fraction(1, 10_000)
            else None,
            "AMOUNT": None if cents is None else band(Fraction(cents), amount, cents < amount),
        }
        for rule, place in told.items():
            if place:
                found[rule]["judged"] += 1
                found[rule][place] += 1
    return found


@pytest.fixture
def connection(database: Engine) -> Iterator[Connection]:
    with database.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def test_numbers_of_any_size_are_counted_exactly(connection: Connection) -> None:
    for _ in range(CASES):
        submit(connection, a_deal(), policy=compiled(POLICY))
    ids = connection.execute(select(DECISION.c.id)).scalars().all()
    unguarded(connection, "dealgate_decision")
    for seed in range(8):
        rows = list(measures(seed))
        for number, row in zip(ids, rows, strict=True):
            connection.execute(update(DECISION).where(DECISION.c.id == number).values(row))
        page = read_page(connection, REPORTS["near-limits"], as_of=NOW, given={"width": "2"})
        told = {row["rule"]: {name: row[name] for name in COUNTS} for row in page.rows}
        wanted = expected(rows)
        assert told == {rule: {name: found[name] for name in COUNTS} for rule, found in wanted.items()}, seed
        assert wanted["LTV"]["just_within"]
        assert wanted["LTV"]["just_beyond"]


OWN_NAMES = """
policy: named
version: "1"
title: Measures that are called as columns are, or rest on an income, and tables in which two rows hold
effective_from: 2026-11-01
collateral_value: {new: [invoice], used: [jdpower_clean_trade]}
measures:
  submission: {unit: count, formula: 10 * term_months}
  outcome: {unit: money, formula: cash_price}
  peak_shortfall: {unit: money, formula: "max($0, amount_financed - 12 * monthly_income)"}
limits:
  one:
    unit: money
    hit_policy: unique
    on_no_hit: unknown
    rows: [{when: 'tier == "B"', limit: "$40,000"}, {when: 'state == "TX"', limit: "$40,000"}]
  alike: {unit: money, hit_policy: any, on_no_hit: unknown,
          rows: [{when: 'tier == "B"', limit: "$40,000"}, {when: 'state == "TX"', limit: "$40,000"}]}
  apart: {unit: money, hit_policy: any, on_no_hit: unknown,
          rows: [{when: 'tier == "B"', limit: "$40,000"}, {when: 'state == "TX"', limit: "$39,000"}]}
rules:
  - {id: SUBMISSION, title: An own measure, require: submission <= 100, otherwise: flag, reason: Age of automobile}
  - {id: OUTCOME, title: Another, require: "outcome <= $9,000", otherwise: flag, reason: Age of automobile}
  - {id: INCOME, title: A shipped measure made personal, require: "peak_shortfall <= $0", otherwise: flag, reason: Age of automobile}
  - {id: ONE, title: Two rows of unique hold, require: amount_financed <= one, otherwise: flag, reason: Age of automobile}
  - {id: ALIKE, title: Two rows of any hold, require: amount_financed <= alike, otherwise: flag, reason: Age of automobile}
  - {id: APART, title: Two that differ hold, require: amount_financed <= apart, otherwise: flag, reason: Age of automobile}
"""


def test_no_rule_is_counted_by_a_column_or_a_row_that_it_does_not_go_by(connection: Connection) -> None:
    submit(connection, a_deal(), policy=compiled(OWN_NAMES))
    page = read_page(connection, REPORTS["near-limits"], as_of=NOW, given={"width": "2"})
    told = {row["rule"]: (row["judged"], row["not_counted"]) for row in page.rows}
    assert told == {
        "SUBMISSION": (None, "submission has no column: it is the policy's own, or personal"),
        "OUTCOME": (None, "outcome has no column: it is the policy's own, or personal"),
        "INCOME": (None, "it reads monthly_income, which has no column: it is personal"),
        "ONE": (0, None),
        "ALIKE": (1, None),
        "APART": (0, None),
    }
