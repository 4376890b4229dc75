"""Payments and projections of many deals at once are to the cent those of one."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dealgate.adapters.policies import load_policy
from dealgate.rules.column_kernels import DeficienciesAfter, Known, Projections, level_payments
from dealgate.rules.equity import projected
from dealgate.rules.payment import level_payment

EQUITY = load_policy("prime-auto").policy.equity
READINGS = (
    ("break_even", 0),
    ("deepest_shortfall", 0),
    ("deficiency_after", 0),
    ("deficiency_after", 12),
    ("deficiency_after", 24),
)
PER = 1_000_000
LARGEST = 2 * 10**11

amounts = st.one_of(st.integers(-5, 200), st.integers(1, 6_000_000), st.integers(1, LARGEST))
rates = st.one_of(st.sampled_from([0, 1, 2, 79_000, 9_999_999]), st.integers(0, 300_000), st.integers(0, 9_999_999))
months = st.one_of(st.sampled_from([0, 1, 72, 600, 1200, 1201]), st.integers(1, 600))
values = st.one_of(st.integers(-1, 100), st.integers(1, 5_000_000), st.integers(1, LARGEST))


def column(numbers: Sequence[int | None]) -> Known:
    known = np.array([number is not None for number in numbers])
    return Known(np.array([number or 0 for number in numbers], np.int64), known)


def plain(found: Known) -> list[int | None]:
    return [int(value) if known else None for value, known in zip(found.values, found.known, strict=True)]


@settings(max_examples=60)
@given(st.lists(st.tuples(amounts, st.sampled_from([1, 3, 100, 2**40]), rates, months), min_size=1, max_size=60))
def test_level_payments_are_those_of_the_single_deal(loans: list[tuple[int, int, int, int]]) -> None:
    columns = [column([loan[part] for loan in loans]) for part in (0, 1, 2)]
    found = level_payments([*columns, column([PER] * len(loans)), column([loan[3] for loan in loans])])
    assert plain(found[0]) == [level_payment(amount, per, rate, PER, term) for amount, per, rate, term in loans]


def test_a_payment_at_exactly_half_a_cent_is_rounded_up() -> None:
    """Without interest 5 cents in 2 months are 2.5 a month; an estimate in doubles alone could fall either way."""
    parts: list[list[int]] = [[1, 3, 5, 999_999_999], [1] * 4, [0] * 4, [PER] * 4, [2] * 4]
    found = level_payments([column(part) for part in parts])
    assert plain(found[0]) == [1, 2, 3, 500_000_000]


def test_a_tie_at_a_rate_is_rounded_up_although_the_estimate_may_fall_short() -> None:
    """One month at a rate: amounts for which the exact payment is half a cent above a whole number of cents."""
    halves = [2 * cents + 1 for cents in range(1, 40_000, 7)]
    rate = 99_500  # at this rate the doubles of half of these payments fall short of the tie
    amount, per = [half * 12 * PER for half in halves], [2 * (12 * PER + rate)] * len(halves)
    parts = [amount, per, [rate] * len(halves), [PER] * len(halves), [1] * len(halves)]
    found = plain(level_payments([column(part) for part in parts])[0])
    assert found == [half // 2 + 1 for half in halves]


def test_what_is_unknown_stays_unknown() -> None:
    parts: list[list[int | None]] = [
        [None, 100, 100, 100],
        [1] * 4,
        [79_000, None, 79_000, 79_000],
        [PER] * 4,
        [12, 12, None, 12],
    ]
    assert plain(level_payments([column(part) for part in parts])[0])[:3] == [None, None, None]


@settings(max_examples=60)
@given(st.lists(st.tuples(amounts, rates, months, values), min_size=1, max_size=40))
def test_projections_are_those_of_the_single_deal(loans: list[tuple[int, int, int, int]]) -> None:
    amount, rate, term, value = (column([loan[part] for loan in loans]) for part in range(4))
    found = Projections(EQUITY, READINGS)([amount, rate, column([PER] * len(loans)), term, value])
    for (reading, after), of_all in zip(READINGS, found, strict=True):
        single = [
            projected(EQUITY, reading, owed, 1, yearly, PER, left, worth, 1, after)
            for owed, yearly, left, worth in loans
        ]
        assert plain(of_all) == single, reading


@pytest.mark.parametrize("after", [-1, 0, 11, 60, 72, 900])
def test_a_deficiency_after_a_month_of_each_deals_own(after: int) -> None:
    parts = [[3_776_969], [79_000], [PER], [72], [2_700_000], [after]]
    single = projected(EQUITY, "deficiency_after", 3_776_969, 1, 79_000, PER, 72, 2_700_000, 1, after)
    assert plain(DeficienciesAfter(EQUITY)([column(part) for part in parts])[0]) == [single]


def test_no_deals_make_no_payments() -> None:
    nothing = column([])
    assert plain(level_payments([nothing] * 5)[0]) == []
    assert [plain(found) for found in Projections(EQUITY, READINGS)([nothing] * 5)] == [[]] * len(READINGS)
