"""What can be made of a book under one policy: the judged deals, and those that only the single-deal path can judge."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw

from dealgate.adapters.portfolio.engines import Frames
from dealgate.adapters.portfolio.judging import Reasons, book_columns, output_columns
from dealgate.adapters.portfolio.validity import valid
from dealgate.rules.column_layout import Layout
from dealgate.rules.column_plan import ColumnPlan
from dealgate.rules.columns import compile_columns
from dealgate.rules.policy import Policy


@dataclass(frozen=True)
class Compiled:
    """What is compiled of a policy, known by the hash of the policy's content."""

    policy: Policy
    layout: Layout
    measures: frozenset[str] | None = None
    prefix: str = ""

    @property
    def plan(self) -> ColumnPlan:
        """Compiled once in a process."""
        key = self.policy.sha256, self.layout, self.measures, self.prefix
        if key not in _plans:
            _plans[key] = compile_columns(self.policy, self.layout, measures=self.measures, prefix=self.prefix)
        return _plans[key]


_plans: dict[tuple[object, ...], ColumnPlan] = {}


@dataclass(frozen=True)
class Evaluation:
    """Every deal with its outcome, reasons, measures and the result of every rule."""

    policy: Policy
    layout: Layout
    clean: bool = False
    """Whether every row is known to be valid; otherwise the others are left out."""

    @property
    def plan(self) -> ColumnPlan:
        return Compiled(self.policy, self.layout).plan

    def result(self, frames: Frames, book: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        plan = self.plan
        judged = frames.with_reasons(judge(frames, book, plan, clean=self.clean), Reasons(plan.reasons))
        return frames.spell(judged, output_columns(plan))


@dataclass(frozen=True)
class Unproved:
    """The valid rows that are outside what a plan proves, with all columns of the book."""

    plan: ColumnPlan
    clean: bool = False

    def result(self, frames: Frames, book: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        assert self.plan.unproved is not None
        columns = [column.name for column in self.plan.layout.columns]
        return read_rows(book, self.plan.layout, columns, clean=self.clean).filter(self.plan.unproved)


def judge(
    frames: Frames, book: nw.LazyFrame[Any], plan: ColumnPlan, carried: Sequence[str] = (), *, clean: bool = False
) -> nw.LazyFrame[Any]:
    """Add to the valid rows of a book the columns of a plan and the outcome; `carried` columns of the book stay with them."""
    found = read_rows(book, plan.layout, (*plan.reads, *carried), clean=clean)
    return with_plan(frames, found if plan.unproved is None else found.filter(~plan.unproved), plan)


def with_plan(frames: Frames, found: nw.LazyFrame[Any], plan: ColumnPlan) -> nw.LazyFrame[Any]:
    """Add the columns of a plan to a frame that has what it reads."""
    for stage in plan.stages:
        if stage.columns:
            found = found.with_columns(**stage.columns)
        for kernel in stage.kernels:
            found = frames.with_kernel(found, kernel)
    return found.with_columns(**{plan.outcome_column: plan.outcome})


def read_rows(book: nw.LazyFrame[Any], layout: Layout, columns: Iterable[str], *, clean: bool) -> nw.LazyFrame[Any]:
    """The valid rows of a book, with the id and these columns as a plan reads them."""
    names = book.collect_schema().names()
    rows = book if clean else book.filter(valid(layout, names))
    return rows.select(*book_columns(layout, names, columns))
