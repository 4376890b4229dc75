"""Level payments and equity projections of many deals at once, each the same to the cent as `payment` and `equity` make it.

An estimate in doubles decides only where its error provably cannot reach a rounding boundary; integers below 2**62 decide the
rest, and what is out of their reach is settled deal by deal by the functions of the single deal.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dealgate.rules.equity import SHARE_SCALE, Equity, monthly_shares, projected
from dealgate.rules.payment import LONGEST_TERM, level_payment

Integers = NDArray[np.int64]
Truths = NDArray[np.bool_]

EPSILON = float(np.finfo(np.float64).eps)
BLOCK = 16_384
"""Deals that are projected together: their columns stay in the processor's cache."""

LARGEST_VALUE = 4_000_000_000
"""Cents; a value up to this times a share in billionths, twice, stays within 63 bits."""


class Known(NamedTuple):
    """Integers, and where they are known; an unknown one may hold anything."""

    values: Integers
    known: Truths


Function = Callable[[Sequence[Known]], Sequence[Known]]


def level_payments(columns: Sequence[Known]) -> list[Known]:
    """Of amount and its denominator, yearly rate and its denominator, months."""
    operands = [column.values for column in columns]
    known = np.logical_and.reduce([column.known for column in columns])
    amount, _, rate, _, months = operands
    known = known & (amount > 0) & (rate >= 0) & (months > 0) & (months <= LONGEST_TERM)
    blocks = [slice(start, start + BLOCK) for start in range(0, len(known), BLOCK)]
    found = [_payments([values[block] for values in operands], known[block]) for block in blocks]
    return [Known(np.concatenate(found) if found else np.zeros(0, np.int64), known)]


def _payments(operands: Sequence[Integers], known: Truths) -> Integers:
    if not known.all():
        operands = [np.where(known, values, 1) for values in operands]
    amount, per, rate, rate_per, months = operands
    free = known & (rate == 0)
    share, growth = _shares((rate + free) / (12.0 * rate_per), months)
    estimate = amount / per * share
    error = estimate * (EPSILON * (64 + 32 * growth)) + EPSILON
    rounded = np.floor(estimate + 0.5)
    doubtful = known & (np.abs(estimate - rounded) >= 0.5 - error)
    found = np.minimum(rounded, 2.0**62).astype(np.int64)
    if free.any():
        doubtful |= free & ((amount > 2**60) | (per > 2**30))
        plain = free & ~doubtful
        parts = per[plain] * months[plain]
        found[plain] = (2 * amount[plain] + parts) // (2 * parts)
    for row in np.flatnonzero(doubtful):
        found[row] = level_payment(*(int(values[row]) for values in operands)) or 0
    return found


def _shares(rate: NDArray[np.float64], months: Integers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Payment per unit of amount, r + r / ((1+r)^n - 1), and the logarithm of (1+r)^n, on which its relative error depends."""
    growth: NDArray[np.float64] = np.multiply(np.log1p(rate), months)
    with np.errstate(over="ignore"):
        return rate + rate / np.expm1(growth), growth


class Projections:
    """Readings of the equity projection: of amount in cents, yearly rate and its denominator, months, value in cents."""

    def __init__(self, equity: Equity, readings: Sequence[tuple[str, int]]) -> None:
        self.equity = equity
        self.readings = tuple(readings)
        self._last = max((after for reading, after in readings if reading == "deficiency_after"), default=0)
        if any(reading != "deficiency_after" for reading, _ in readings):
            self._last = LONGEST_TERM

    def __call__(self, columns: Sequence[Known]) -> list[Known]:
        amount, rate, per, months, value = (column.values for column in columns)
        known = np.logical_and.reduce([column.known for column in columns])
        known = known & (amount > 0) & (rate >= 0) & (months > 0) & (months <= LONGEST_TERM) & (value > 0)
        found = [np.zeros(len(amount), np.int64) for _ in self.readings]
        rows = np.flatnonzero(known)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            operands = [values[block] for values in (amount, rate, per, months, value)]
            for target, values in zip(found, self._block(operands), strict=True):
                target[block] = values
        return [Known(values, known) for values in found]

    def _block(self, operands: list[Integers]) -> list[Integers]:
        amount, rate, per, months, value = operands
        one = np.ones_like(amount)
        payment = _payments([amount, one, rate, per, months], np.ones(len(amount), np.bool_))
        wide = (amount > 2**61 // (2 * rate + 1)) | (per > 2**40) | (value > LARGEST_VALUE) | (payment > 2**61)
        wide |= self.equity.wholesale_factor.numerator > SHARE_SCALE // 8
        found = [np.zeros(len(amount), np.int64) for _ in self.readings]
        rows = np.flatnonzero(~wide)
        plain = _Loans(*(values[rows] for values in (amount, rate, per, months, payment, value)))
        for target, values in zip(found, self._amortized(plain), strict=True):
            target[rows] = values
        for row in np.flatnonzero(wide):
            for target, (reading, after) in zip(found, self.readings, strict=True):
                target[row] = self._single(reading, after, *(int(values[row]) for values in operands))
        return found

    def _single(self, reading: str, after: int, amount: int, rate: int, per: int, months: int, value: int) -> int:
        return projected(self.equity, reading, amount, 1, rate, per, months, value, 1, after) or 0

    def _amortized(self, loans: "_Loans") -> list[Integers]:
        """Month by month. The longest loans stand first, so that those still running are always the first so many."""
        order = np.argsort(-loans.months, kind="stable")
        amount, rate, per, months, payment, value = (part[order] for part in loans)
        found = [np.zeros(len(order), np.int64) for _ in self.readings]
        if not len(order):
            return found
        last = min(int(months[0]) - 1, self._last)
        shares = monthly_shares(self.equity.curve.retained, last // 12 + 1)
        balance, top, half, bottom = amount.copy(), 2 * rate, 12 * per, 24 * per
        under = np.ones(len(order), np.bool_)
        running = np.searchsorted(-months, -np.arange(last + 1), side="left")
        for month in range(last + 1):
            part = slice(0, running[month])
            owed = balance[part]
            if month:
                interest = owed * top[part]
                interest += half[part]
                interest //= _divisor(bottom[part])
                owed += interest
                owed -= payment[part]
                np.maximum(owed, 0, out=owed)
            worth = value[part] * (2 * shares[month])
            worth += SHARE_SCALE
            worth //= 2 * SHARE_SCALE
            self._read(month, owed, worth, under[part], [target[part] for target in found])
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return [target[back] for target in found]

    def _read(self, month: int, owed: Integers, worth: Integers, under: Truths, found: list[Integers]) -> None:
        """Take a month into the readings. The months under water from the start are as many as the first above water says."""
        for target, (reading, after) in zip(found, self.readings, strict=True):
            if reading == "break_even":
                under &= owed > worth
                np.add(target, under, out=target)
            elif reading == "deepest_shortfall":
                np.maximum(target, owed - worth, out=target)
            elif after == month:
                factor, cost = self.equity.wholesale_factor, self.equity.disposal_cost.numerator
                proceeds = (2 * worth * factor.numerator + factor.denominator) // (2 * factor.denominator)
                target[:] = np.where(owed > 0, np.maximum(owed + cost - proceeds, 0), 0)


class DeficienciesAfter:
    """`deficiency_after` a month that differs from deal to deal: one deal after the other."""

    def __init__(self, equity: Equity) -> None:
        self.equity = equity

    def __call__(self, columns: Sequence[Known]) -> list[Known]:
        known = np.logical_and.reduce([column.known for column in columns])
        found = np.zeros(len(known), np.int64)
        for row in np.flatnonzero(known):
            amount, rate, per, months, value, after = (int(column.values[row]) for column in columns)
            deficiency = projected(self.equity, "deficiency_after", amount, 1, rate, per, months, value, 1, after)
            known[row] = deficiency is not None
            found[row] = deficiency or 0
        return [Known(found, known)]


class _Loans(NamedTuple):
    amount: Integers
    rate: Integers
    per: Integers
    months: Integers
    payment: Integers
    value: Integers


def _divisor(values: Integers) -> Any:
    """One plain number where all are alike: dividing by it takes a fraction of the time."""
    first = int(values[0]) if len(values) else 1
    return first if (values == first).all() else values
