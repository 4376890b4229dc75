"""A synthetic book, calibrated to published figures: every row is invented, and no row describes a real loan or person.

Seeded: the same number of deals and the same seed give the same book. docs/reference/portfolio.md says what each figure is
calibrated to and what is an assumption of ours.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

Column = NDArray[Any]
Draw = np.random.Generator

BLOCK = 250_000
"""Deals drawn at once, each block from a stream of its own: the first deals of a long book are those of a short one."""

FILE_ROWS = 2_000_000
NOTE = {"dealgate.synthetic": "Every deal of this book is invented. Drawn by `dealgate portfolio generate`."}

# CFPB, Negative Equity in Auto Lending (2024): negative equity financed, positive trade, no trade.
TRADES = (0.116, 0.321, 0.563)
# Edmunds, third quarter of 2025, new vehicles: shares owing under $5k, $5-10k, $10-15k and more; the mean comes to $6,905.
NEGATIVE_EQUITY = ((0.424, 0, 5_000), (0.329, 5_000, 10_000), (0.164, 10_000, 15_000), (0.083, 15_000, 17_000))
# World Omni Select 2020-A: total LTV and payment to income by quantile; the ends are ours.
LTV = ((0, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 1), (0.50, 0.846, 0.978, 1.111, 1.220, 1.361, 1.428, 1.595, 1.90))
PTI = ((0, 0.10, 0.50, 0.90, 0.99, 1), (0.015, 0.049, 0.110, 0.174, 0.206, 0.260))
# New York Fed, first quarter of 2026: scores at origination; the ends are ours.
SCORES = ((0, 0.10, 0.25, 0.50, 0.75, 1), (480, 577, 640, 723, 790, 860))
# Experian, first quarter of 2025: mean amounts financed, new and used. The spread is ours.
AMOUNTS = {True: 41_720, False: 26_144}
SPREAD = 0.42
TERMS = (36, 48, 60, 66, 72, 75, 84)
TERM_SHARES = (0.03, 0.06, 0.18, 0.06, 0.38, 0.11, 0.18)
# Edmunds, fourth quarter of 2025: 40.7 % of purchases with negative equity run 84 months.
TERM_SHARES_UNDERWATER = (0.01, 0.02, 0.09, 0.05, 0.34, 0.083, 0.407)
NEW_SHARE = 0.42
DEALERS = 400
STATES = ("TX", "CA", "OH", "NC", "PA", "IL", "NY", "AZ", "TN", "MO", "AL", "SC")
STATE_SHARES = (0.16, 0.15, 0.09, 0.09, 0.09, 0.08, 0.08, 0.07, 0.06, 0.05, 0.04, 0.04)
OVER_ALLOWED = 0.20
UNKNOWN = {"monthly_income_cents": 0.010, "credit_score": 0.005, "mileage": 0.005, "trade_in_1_acv_cents": 0.04}


def generate(deals: int, seed: int, out: Path, tell: Callable[[int], None]) -> None:
    """Write a book of so many deals: a file, or a folder of files where there are more than `FILE_ROWS`.

    `tell` is told how many deals have been written.
    """
    if deals > FILE_ROWS:
        out.mkdir()
    for number, first in enumerate(range(0, deals, FILE_ROWS)):
        size = min(FILE_ROWS, deals - first)
        blocks = range(first // BLOCK, -(-(first + size) // BLOCK))
        book = pl.concat([block(index, min(BLOCK, deals - index * BLOCK), seed) for index in blocks])
        path = out / f"part-{number:05d}.parquet" if deals > FILE_ROWS else out
        book.write_parquet(path, compression="zstd", compression_level=1, row_group_size=BLOCK, metadata=NOTE)
        tell(first + size)


def block(index: int, size: int, seed: int) -> pl.DataFrame:
    """The deals of one block, in the columns of a book."""
    draw = np.random.default_rng([seed, index])
    underwater, traded, trades = _trades(draw, BLOCK)
    deal = _terms(draw, underwater) | trades
    deal |= _structure(draw, deal, traded)
    deal |= _people(draw, deal, underwater)
    stated = _stated(draw, deal, traded)
    frame = pl.DataFrame({name: _column(values, stated.get(name)) for name, values in deal.items()})
    dated = frame.with_columns(*_named(draw, index)).with_columns(*_dates(draw))
    return dated.drop("financed", "gap", "contract").head(size)


def _column(values: Column, stated: Column | None) -> pl.Series:
    """A column, null where a deal does not state it."""
    return pl.Series(pa.array(values, mask=None if stated is None else ~stated))


def _stated(draw: Draw, deal: dict[str, Column], traded: Column) -> dict[str, Column]:
    new = deal["condition"] == "new"
    stated = {name: traded for name in deal if name.startswith("trade_in_1_")}
    stated |= {f"product_1_{part}": deal["gap"] for part in ("kind", "price_cents")}
    stated |= {f"product_2_{part}": deal["contract"] for part in ("kind", "price_cents")}
    stated |= {f"value_{basis}_cents": new for basis in ("invoice", "msrp")}
    stated |= {f"value_jdpower_clean_{basis}_cents": ~new for basis in ("trade", "retail")}
    for name, share in UNKNOWN.items():
        stated[name] = stated.get(name, True) & (draw.random(BLOCK) >= share)
    return stated


def _quantile(draw: Draw, table: tuple[Sequence[float], Sequence[float]], size: int) -> Column:
    found: Column = np.interp(draw.random(size), *table)
    return found


def _cents(dollars: Column) -> Column:
    cents: Column = np.rint(dollars * 100).astype(np.int64)
    return cents


def _trades(draw: Draw, size: int) -> tuple[Column, Column, dict[str, Column]]:
    """Whether negative equity is financed, whether a vehicle is traded in, and that vehicle."""
    kind = draw.choice(3, size, p=TRADES)
    underwater, above = kind == 0, kind == 1
    band = draw.choice(len(NEGATIVE_EQUITY), size, p=[share for share, _, _ in NEGATIVE_EQUITY])
    low, high = (np.array([edges[at] for edges in NEGATIVE_EQUITY])[band] for at in (1, 2))
    owed_above = _cents(draw.uniform(np.maximum(low, 100), high))
    allowance = _cents(draw.triangular(2_000, 12_000, 32_000, size))
    owned = above & (draw.random(size) < 0.45)
    payoff = np.where(
        underwater, allowance + owed_above, np.where(owned, 0, allowance * draw.uniform(0.05, 0.95, size))
    )
    over = np.where(draw.random(size) < OVER_ALLOWED, draw.uniform(200, 2_500, size), 0)
    return (
        underwater,
        underwater | above,
        {
            "trade_in_1_kind": np.where(owned, "none", "loan"),
            "trade_in_1_allowance_cents": allowance,
            "trade_in_1_acv_cents": np.maximum(allowance - _cents(over), 50_000),
            "trade_in_1_payoff_cents": payoff.astype(np.int64),
        },
    )


def _terms(draw: Draw, underwater: Column) -> dict[str, Column]:
    size = len(underwater)
    new = draw.random(size) < NEW_SHARE
    term = np.where(
        underwater, draw.choice(TERMS, size, p=TERM_SHARES_UNDERWATER), draw.choice(TERMS, size, p=TERM_SHARES)
    )
    score = np.rint(_quantile(draw, SCORES, size)) - np.where(underwater, 20, 0)
    rate = np.clip(3.2 + np.where(new, 0, 2.6) + (800 - score) * 0.028 + draw.normal(0, 0.8, size), 0.9, 24)
    rate = np.where(new & (draw.random(size) < 0.04), 0, rate)
    return {
        "condition": np.where(new, "new", "used"),
        "term_months": term.astype(np.int64),
        "credit_score": score.astype(np.int64),
        "apr_ten_thousandths": np.rint(rate * 100).astype(np.int64) * 100,
    }


def _structure(draw: Draw, deal: dict[str, Column], traded: Column) -> dict[str, Column]:
    """The amount financed is drawn first; the cash price takes what the other parts leave, so that the parts sum to it exactly."""
    new, size = deal["condition"] == "new", len(deal["condition"])
    mean = np.where(new, AMOUNTS[True], AMOUNTS[False])
    financed = _cents(mean * np.exp(draw.normal(-SPREAD * SPREAD / 2, SPREAD, size)))
    owed = np.where(traded, deal["trade_in_1_payoff_cents"] - deal["trade_in_1_allowance_cents"], 0)
    gap, contract = draw.random(size) < 0.42, draw.random(size) < 0.46
    products = {
        "gap": _cents(draw.uniform(400, 1_100, size)),
        "service_contract": _cents(draw.uniform(1_200, 3_600, size)),
    }
    cash = np.where(draw.random(size) < 0.62, _cents(draw.exponential(2_200, size)) // 10_000 * 10_000, 0)
    rebate = np.where(new & (draw.random(size) < 0.25), draw.choice([500_00, 1_000_00, 1_500_00], size), 0)
    title, doc = np.full(size, 380_00), np.full(size, 225_00)
    sold = np.where(gap, products["gap"], 0) + np.where(contract, products["service_contract"], 0)
    taxed = np.maximum(financed - owed - sold - title - doc + cash + rebate, 3_000_00)
    price = (taxed / 1.0625).astype(np.int64)
    value = (financed / _quantile(draw, LTV, size)).astype(np.int64)
    return {
        "financed": financed,
        "cash_price_cents": price,
        "sales_tax_cents": taxed - price,
        "title_and_registration_cents": title,
        "doc_fee_cents": doc,
        "cash_down_cents": cash,
        "rebate_cents": rebate,
        "gap": gap,
        "contract": contract,
        "product_1_kind": np.full(size, "gap"),
        "product_1_price_cents": products["gap"],
        "product_2_kind": np.full(size, "service_contract"),
        "product_2_price_cents": products["service_contract"],
        "value_invoice_cents": value,
        "value_msrp_cents": value * 107 // 100,
        "value_jdpower_clean_trade_cents": value,
        "value_jdpower_clean_retail_cents": value * 112 // 100,
    }


def _people(draw: Draw, deal: dict[str, Column], underwater: Column) -> dict[str, Column]:
    size, score = len(underwater), deal["credit_score"]
    monthly = np.maximum(deal["apr_ten_thousandths"], 1) / 12_000_000
    payment = deal["financed"] * monthly / -np.expm1(-deal["term_months"] * np.log1p(monthly))
    income = (payment / _quantile(draw, PTI, size)).astype(np.int64)
    age = np.where(deal["condition"] == "new", draw.integers(-1, 1, size), draw.integers(1, 11, size))
    return {
        "tier": np.select([score >= 720, score >= 660, score >= 620], ["A", "B", "C"], "D"),
        "monthly_income_cents": income,
        "monthly_debt_cents": (income * draw.uniform(0.04, 0.38, size)).astype(np.int64),
        "first_time_buyer": draw.random(size) < 0.12,
        "covered_borrower": draw.random(size) < 0.01,
        "model_year": 2025 - age,
        "mileage": np.where(
            age <= 0, draw.integers(5, 200, size), np.maximum(age, 1) * draw.integers(6_000, 17_000, size)
        ),
    }


def _dates(draw: Draw) -> list[pl.Expr]:
    """What is dated, by the day of submission: assumptions of ours all. One quote in about eight is stale at funding."""

    def day(low: int, high: int) -> pl.Expr:
        return pl.col("submitted_on") + pl.duration(days=pl.lit(pl.Series(draw.integers(low, high + 1, BLOCK))))

    traded = pl.col("trade_in_1_payoff_cents").is_not_null() & (pl.col("trade_in_1_kind") != "none")
    yearly = pl.lit(pl.Series(draw.uniform(0.03, 0.14, BLOCK)))
    per_diem = (pl.col("trade_in_1_payoff_cents") * yearly / 365).cast(pl.Int64)
    looked_up, funding, report = day(-20, 0), day(1, 10), day(-45, 0)
    values = [f"value_{basis}" for basis in ("invoice", "msrp", "jdpower_clean_trade", "jdpower_clean_retail")]
    return [
        funding.alias("expected_funding_on"),
        report.alias("credit_report_as_of"),
        pl.when(traded).then(day(3, 20)).alias("trade_in_1_payoff_good_through"),
        pl.when(traded).then(per_diem).alias("trade_in_1_per_diem_cents"),
        *(pl.when(pl.col(f"{name}_cents").is_not_null()).then(looked_up).alias(f"{name}_as_of") for name in values),
    ]


def _named(draw: Draw, index: int) -> list[pl.Expr]:
    first = index * BLOCK + 1
    weights = 1 / np.arange(4, DEALERS + 4)  # a few dealers sell much, many sell little
    dealers = draw.choice(DEALERS, BLOCK, p=weights / weights.sum()) + 1
    days = draw.integers(0, 365, BLOCK)
    return [
        pl.format("SYN-{}", pl.int_range(first, first + BLOCK).cast(pl.String).str.zfill(9)).alias("deal_id"),
        (pl.lit(np.datetime64("2025-01-01")).cast(pl.Date) + pl.duration(days=pl.lit(pl.Series(days))))
        .cast(pl.Date)
        .alias("submitted_on"),
        pl.format("DLR-{}", pl.Series(dealers).cast(pl.String).str.zfill(4)).alias("dealer_id"),
        pl.lit(pl.Series(draw.choice(STATES, BLOCK, p=STATE_SHARES))).alias("state"),
        pl.lit("indirect").alias("channel"),
    ]
