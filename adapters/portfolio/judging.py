"""A plan run over a book: what every engine does alike, written once in Narwhals."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dealgate.rules.column_kernels import Known
from dealgate.rules.column_layout import BookColumn, Layout, item_column
from dealgate.rules.column_numbers import whole
from dealgate.rules.column_plan import RESULTS, ColumnPlan, Ground, Kernel
from dealgate.rules.columns import ColumnsError
from dealgate.rules.fields import Unit
from dealgate.rules.finding import MOST_REASONS
from dealgate.rules.policy import Outcome

TYPES: Mapping[Unit, nw.dtypes.DType] = {Unit.TEXT: nw.String(), Unit.BOOLEAN: nw.Boolean(), Unit.DATE: nw.Date()}
REASONS = "o_reasons"


def dtype_of(column: BookColumn) -> nw.dtypes.DType:
    return TYPES.get(column.unit, nw.Int64())


def book_columns(layout: Layout, names: Iterable[str], wanted: Iterable[str]) -> list[nw.Expr]:
    """The wanted columns as the plan reads them: a column that is not there is unknown, or zero where a deal without it has none."""
    there, by_name = set(names), {column.name: column for column in layout.columns}
    return [_book_column(by_name[name], there) for name in dict.fromkeys(("deal_id", *wanted))]


def _book_column(column: BookColumn, there: set[str]) -> nw.Expr:
    is_there = column.name in there
    found = nw.col(column.name).cast(dtype_of(column)) if is_there else nw.lit(None, dtype=dtype_of(column))
    if column.zero_when_absent:
        found = nw.coalesce(found, whole(0)) if is_there else whole(0)
    if column.name.startswith("trade_in_") and column.name.endswith("_payoff_cents"):
        kind = item_column("trade_ins", int(column.name.split("_")[2]), "kind")
        if kind in there:  # not in a file of a book of which only other files have so many trades
            found = nw.when(nw.col(kind) == nw.lit("none")).then(whole(0)).otherwise(found)
    return found.alias(column.name)


class OutputColumn(NamedTuple):
    """A column of the result: where it comes from, and the words that its small integers stand for, if any."""

    name: str
    source: nw.Expr
    words: tuple[str, ...] = ()


def output_columns(plan: ColumnPlan) -> list[OutputColumn]:
    """Deal, outcome, reasons, measures, rules. Raises `ColumnsError` where two columns would have one name."""
    found = [
        OutputColumn("deal_id", nw.col("deal_id")),
        OutputColumn("outcome", nw.col(plan.outcome_column), tuple(map(str, Outcome))),
        OutputColumn("reasons", nw.col(REASONS)),
        *_measure_columns(plan),
        *(OutputColumn(rule, nw.col(column), tuple(map(str, RESULTS))) for rule, column in plan.rules.items()),
    ]
    seen: dict[str, str] = {}
    for column in found:
        folded = column.name.casefold()
        if folded in seen:
            raise ColumnsError(
                f"{column.name}: the result would have two columns of this name (and {seen[folded]}); rename the rule or the measure"
            )
        seen[folded] = column.name
    return found


def _measure_columns(plan: ColumnPlan) -> Iterator[OutputColumn]:
    for name, number in plan.measures.items():
        if plan.policy.measures[name].unit != Unit.PERCENT:
            yield OutputColumn(name, number.expression)
            continue
        known = ~number.expression.is_null()
        yield OutputColumn(f"{name}_numerator", number.expression)
        yield OutputColumn(f"{name}_denominator", nw.when(known).then(number.denominator))


# Kernels on Arrow arrays, which every engine can hand over


def run_kernel(kernel: Kernel, columns: Sequence[pa.Array]) -> list[pa.Array]:
    found = kernel.function([_known(column) for column in columns])
    return [pa.array(one.values, mask=None if one.known.all() else ~one.known) for one in found]


def _known(column: pa.Array) -> Known:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not column.null_count:
        return Known(column.to_numpy(zero_copy_only=False), np.ones(len(column), np.bool_))
    known = column.is_valid().to_numpy(zero_copy_only=False)
    return Known(pc.fill_null(column, 0).to_numpy(zero_copy_only=False), known)


class Reasons:
    """The principal reasons of each deal, from the columns of its rules: `principal_reasons` for a whole book."""

    TYPE = pa.list_(pa.string())

    def __init__(self, grounds: Sequence[Ground]) -> None:
        self.rules = tuple(dict.fromkeys(ground.rule for ground in grounds))
        self.grounds = tuple(grounds)
        self._told: dict[bytes, list[str]] = {}

    def __call__(self, columns: Sequence[pa.Array]) -> pa.Array:
        if not columns or not len(columns[0]):
            return pa.array([[]] * (len(columns[0]) if columns else 0), self.TYPE)
        results = {rule: np.asarray(column) for rule, column in zip(self.rules, columns, strict=True)}
        held = np.stack([results[ground.rule] == ground.result for ground in self.grounds])
        packed = np.ascontiguousarray(np.packbits(held, axis=0).T)
        width = packed.shape[1]
        keys = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(packed), [None, pa.py_buffer(packed)])
        coded = pc.dictionary_encode(keys)
        told = pa.array([self._reasons(key) for key in coded.dictionary.to_pylist()], self.TYPE)
        return told.take(coded.indices)

    def _reasons(self, key: bytes) -> list[str]:
        if key not in self._told:
            bits = np.unpackbits(np.frombuffer(key, np.uint8))
            held = (ground.reason for ground, bit in zip(self.grounds, bits, strict=False) if bit)
            self._told[key] = list(dict.fromkeys(held))[:MOST_REASONS]
        return self._told[key]


def spelled(column: OutputColumn) -> nw.Expr:
    """Words for small integers, in any engine."""
    if not column.words:
        return column.source.alias(column.name)
    found: Any = nw.lit(None, dtype=nw.String)
    for code, word in reversed(list(enumerate(column.words))):
        found = nw.when(column.source == code).then(nw.lit(word)).otherwise(found)
    expression: nw.Expr = found.alias(column.name)
    return expression
