"""`portfolio sweep`: one limit moved over a range, and what each step would stop."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import lcm
from pathlib import Path
from typing import NamedTuple

import polars as pl

from dealgate.adapters.portfolio import charts
from dealgate.adapters.portfolio.book import SourceError
from dealgate.adapters.portfolio.engines import Engine
from dealgate.adapters.portfolio.outcomes import JudgingOutcomes, Outcomes, Shock, outcome_column
from dealgate.adapters.portfolio.pages import Page
from dealgate.adapters.portfolio.running import Run, Tell, files_of, fingerprint, judged_parts, read_book
from dealgate.adapters.portfolio.simulation_page import dollars, share, tell_rejected
from dealgate.adapters.portfolio.sources import Source
from dealgate.rules.expressions import Number
from dealgate.rules.fields import Unit
from dealgate.rules.policy import Limit, Outcome, Policy, Row
from dealgate.rules.writing import number_text

MOST_STEPS = 200
AT_ONCE = 10
"""Policies that are judged in one pass over the book."""


class Step(NamedTuple):
    """One value of the limit and what follows: deals by outcome, and the amount financed in those that do not pass; cents.

    `rejected` are the rows that none of it counts."""

    value: str
    limit: float
    outcomes: dict[str, int]
    stopped: int
    amount: int
    rejected: int

    @property
    def deals(self) -> int:
        return sum(self.outcomes.values())


class Range(NamedTuple):
    """Values from `first` to `last`, both included, in the unit of the limit. With `shift` they are added to every row."""

    first: Number
    last: Number
    step: Number
    shift: bool = False

    def values(self) -> Iterator[Number]:
        """Raises `SourceError` for a range that leads nowhere."""
        numbers = self.first, self.last, self.step
        scale = lcm(*(number.denominator for number in numbers))
        first, last, step = (number.numerator * scale // number.denominator for number in numbers)
        if step <= 0 or last < first or (last - first) // step >= MOST_STEPS:
            raise SourceError(
                f"--from, --to, --step: give a range of 1 to {MOST_STEPS} values, from the least to the greatest"
            )
        for value in range(first, last + 1, step):
            yield Number(self.first.unit, value, scale)


def sweep(
    source: Source, policy: Policy, limit: str, over: Range, engine: Engine, name: str, folder: Path, tell: Tell
) -> list[Step]:
    """Judge the book at every value of the limit. Raises `SourceError`, `ColumnsError`."""
    values = list(over.values())
    policies = [with_limit(policy, limit, value, shift=over.shift) for value in values]
    run = Run(folder)
    steps: list[Step] = []
    with run.begun(fingerprint(source, policies, name)):
        reading = read_book(run, source, tell)
        for first in range(0, len(policies), AT_ONCE):
            some = tuple(policies[first : first + AT_ONCE])
            work = Outcomes(some, reading.book.layout, Shock(), reading.clean)
            parts = judged_parts(run, reading, JudgingOutcomes(work), engine, tell, f"sweep-{first:03d}")
            steps += _steps(
                pl.scan_parquet(list(files_of(parts)), glob=False), values[first : first + AT_ONCE], reading.rejected
            )
        run.discard()
    return steps


def with_limit(policy: Policy, name: str, value: Number, *, shift: bool) -> Policy:
    """The policy with a limit of this value in every row, or with the value added to every row."""
    limit = policy.limits[name]

    def moved(row: Row) -> Row:
        return replace(row, limit=_sum(row.limit, value) if shift else value)

    default = moved(limit.default) if limit.default else None
    changed: Limit = replace(limit, rows=tuple(map(moved, limit.rows)), default=default)
    return replace(policy, limits={**policy.limits, name: changed})


def _sum(stated: object, value: Number) -> Number:
    if not isinstance(stated, Number):
        raise SourceError("--shift: a row of this limit is a formula, not a number; sweep it without --shift")
    top = stated.numerator * value.denominator + value.numerator * stated.denominator
    return Number(stated.unit, top, stated.denominator * value.denominator)


def _steps(table: pl.LazyFrame, values: Sequence[Number], rejected: int) -> Iterator[Step]:
    words = list(map(str, Outcome))
    counts = []
    for number in range(len(values)):
        outcome = pl.col(outcome_column(number))
        counts += [(outcome == at).sum().alias(f"{number} {word}") for at, word in enumerate(words)]
        counts.append(pl.when(outcome > 0).then(pl.col("amount_financed")).sum().alias(f"{number} amount"))
    found = table.select(counts).collect(engine="streaming").row(0, named=True)
    for number, value in enumerate(values):
        outcomes = {word: found[f"{number} {word}"] for word in words}
        stopped = sum(deals for word, deals in outcomes.items() if word != "pass")
        scale = {Unit.PERCENT: 100, Unit.MONEY: 0.01}.get(value.unit, 1)
        yield Step(
            number_text(value),
            value.numerator * scale / value.denominator,
            outcomes,
            stopped,
            found[f"{number} amount"],
            rejected,
        )


def sweep_page(steps: Sequence[Step], policy: Policy, limit: str, source: str, *, shift: bool) -> str:
    title = limit.replace("_", " ")
    page = Page(
        f"{policy.name} {policy.version}: {title} {'shifted' if shift else 'moved'} from {steps[0].value} to {steps[-1].value}"
    )
    page.paragraph(
        f"{steps[0].deals:,} deals of {source}, judged at each of {len(steps)} values. All else in the policy stays as it is."
    )
    tell_rejected(page, steps[0].rejected)
    axis = {Unit.PERCENT: f"{title}, percent", Unit.MONEY: f"{title}, dollars"}.get(policy.limits[limit].unit, title)
    rows = [
        {"limit": step.limit, "share": step.stopped / max(1, step.deals), "dollars": step.amount / 100}
        for step in steps
    ]
    page.heading("The trade-off")
    page.chart(charts.trade_off(rows, axis))
    words = list(map(str, Outcome))
    page.table(
        [title, *words, "Do not pass", "Financed in them"],
        [
            [
                step.value,
                *(f"{step.outcomes[word]:,}" for word in words),
                share(step.stopped, step.deals),
                dollars(step.amount),
            ]
            for step in steps
        ],
    )
    page.paragraph(f"Policy sha256 {policy.sha256}.", note=True)
    return page.html()
