"""Which rows of a book a deal document could state: the same bounds, words and forms, as expressions."""

from collections.abc import Iterable, Iterator
from functools import reduce

import narwhals as nw

from dealgate.rules.column_layout import AS_OF, CENTS, BookColumn, Layout, as_of_column
from dealgate.rules.column_numbers import whole
from dealgate.rules.deal import MODEL_YEARS_AHEAD
from dealgate.rules.fields import Unit

WORD = r"^[^\x00-\x1f\x7f]{1,100}$"
KIND = r"^[a-z][a-z0-9_]{0,99}$"
STATE = r"^[A-Z]{2}$"


def valid(layout: Layout, names: Iterable[str]) -> nw.Expr:
    """True of the rows that can be judged; never null. Columns that are not there are left out: whether they must be is asked before."""
    there = set(names)
    tests = [test for column in layout.columns if column.name in there for test in _tests(column)]
    tests += [_of_a_trade(name, there) for name in there if name.startswith("trade_in_") and not name.endswith("_kind")]
    payoffs = (number for number in range(1, layout.trade_ins + 1) if f"trade_in_{number}_payoff{CENTS}" in there)
    tests += [_owes_nothing(number, there) for number in payoffs]
    tests += [_priced(number, there) for number in range(1, layout.products + 1)]
    tests += [_of_a_value(column, there) for basis in layout.bases if (column := as_of_column(basis)) in there]
    submitted = nw.col("submitted_on")
    if "expected_funding_on" in there:
        tests.append(_known(nw.col("expected_funding_on") >= submitted))
    if "model_year" in there:
        tests.append(_known(nw.col("model_year") <= submitted.dt.year().cast(nw.Int64) + whole(MODEL_YEARS_AHEAD)))
    if "credit_report_as_of" in there:
        tests.append(_known(nw.col("credit_report_as_of") <= submitted))
    return reduce(lambda one, other: one & other, tests)


def _tests(column: BookColumn) -> Iterator[nw.Expr]:
    value = nw.col(column.name)
    if column.required:
        yield ~value.is_null()
    if column.bounds:
        least, most = column.bounds
        yield _known(value >= whole(least)) & _known(value <= whole(most))
    if column.words:
        yield _known(value.is_in(list(column.words)))
    elif column.unit == Unit.TEXT:
        yield _known(value.str.contains(_pattern(column.name)))


def _pattern(column: str) -> str:
    if column == "state":
        return STATE
    return KIND if column.endswith("_kind") else WORD


def _known(test: nw.Expr) -> nw.Expr:
    return nw.coalesce(test, nw.lit(True))


def _kind(item: str, there: set[str]) -> nw.Expr:
    kind = f"{item}_kind"
    return nw.col(kind) if kind in there else nw.lit(None, dtype=nw.String)


def _priced(number: int, there: set[str]) -> nw.Expr:
    """A product has both its kind and its price, or is none."""
    item = f"product_{number}"
    price = nw.col(f"{item}_price{CENTS}") if f"{item}_price{CENTS}" in there else nw.lit(None, dtype=nw.Int64)
    return price.is_null() == _kind(item, there).is_null()


def _of_a_trade(column: str, there: set[str]) -> nw.Expr:
    """A trade without a kind is none, and has no amounts either."""
    return nw.col(column).is_null() | ~_kind("_".join(column.split("_")[:3]), there).is_null()


def _of_a_value(column: str, there: set[str]) -> nw.Expr:
    """A date without a value is of nothing."""
    amount = column.removesuffix(AS_OF) + CENTS
    return nw.col(column).is_null() | ~nw.col(amount).is_null() if amount in there else nw.col(column).is_null()


def _owes_nothing(number: int, there: set[str]) -> nw.Expr:
    kind, payoff = _kind(f"trade_in_{number}", there), nw.col(f"trade_in_{number}_payoff{CENTS}")
    return _known((kind != nw.lit("none")) | (payoff == whole(0)))
