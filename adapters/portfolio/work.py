"""What can be made of a book under one policy: the judged deals, and those that only the single-deal path can judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import narwhals as nw

from dealgate.adapters.portfolio.engines import Frames
from dealgate.adapters.portfolio.judging import OUTCOME, Reasons, book_columns, output_columns
from dealgate.adapters.portfolio.validity import valid
from dealgate.rules.column_layout import Layout
from dealgate.rules.columns import ColumnPlan, compile_columns
from dealgate.rules.policy import Policy


@lru_cache(maxsize=64)
def plan_of(policy_sha256: str, policy: "Hashed", layout: Layout, only_what_rules_read: bool) -> ColumnPlan:
    return compile_columns(policy.policy, layout, only_what_rules_read=only_what_rules_read)


class Hashed:
    """A policy known by its content: equal content is compiled once in a process."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def __hash__(self) -> int:
        return hash(self.policy.sha256)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hashed) and other.policy.sha256 == self.policy.sha256


@dataclass(frozen=True)
class Evaluation:
    """Every deal with its outcome, reasons, measures and the result of every rule."""

    policy: Policy
    layout: Layout
    clean: bool = False
    """Whether every row is known to be valid; otherwise the others are left out."""

    @property
    def plan(self) -> ColumnPlan:
        return plan_of(self.policy.sha256, Hashed(self.policy), self.layout, False)

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
        return _read(book, self.plan, columns, clean=self.clean).filter(self.plan.unproved)


def judge(
    frames: Frames, book: nw.LazyFrame[Any], plan: ColumnPlan, carried: Sequence[str] = (), *, clean: bool = False
) -> nw.LazyFrame[Any]:
    """Add to the valid rows of a book the columns of a plan and the outcome; `carried` columns of the book stay with them."""
    found = _read(book, plan, carried, clean=clean)
    if plan.unproved is not None:
        found = found.filter(~plan.unproved)
    for stage in plan.stages:
        if stage.columns:
            found = found.with_columns(**stage.columns)
        for kernel in stage.kernels:
            found = frames.with_kernel(found, kernel)
    return found.with_columns(**{OUTCOME: plan.outcome})


def _read(book: nw.LazyFrame[Any], plan: ColumnPlan, carried: Sequence[str], *, clean: bool) -> nw.LazyFrame[Any]:
    names = book.collect_schema().names()
    rows = book if clean else book.filter(valid(plan.layout, names))
    return rows.select(*book_columns(plan.layout, names, (*plan.reads, *carried)))
