"""`portfolio simulate`: what a candidate policy would do to a book that was judged under the current one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from dealgate.adapters.portfolio.engines import Engine
from dealgate.adapters.portfolio.outcomes import JudgingOutcomes, Outcomes, Shock, outcome_column, rule_column
from dealgate.adapters.portfolio.rows import read_row
from dealgate.adapters.portfolio.running import Run, Tell, files_of, fingerprint, judged_parts, read_book
from dealgate.adapters.portfolio.sources import Reading, Source
from dealgate.rules.column_plan import MITIGATED, VIOLATED
from dealgate.rules.evaluation import CompiledPolicy
from dealgate.rules.expressions import Comparison, MeasureName, Number
from dealgate.rules.policy import Outcome, Policy

MOST_AFFECTED = 20
MOST_GROUPS = 15
CURRENT, CANDIDATE = 0, 1
BREAKDOWNS = {"tier": "Tier", "dealer_id": "Dealer", "state": "State", "month": "Month"}
LET_THROUGH = Outcome.FLAG.severity
"""A deal that passes or is flagged goes on; one that is referred or declined stops at the gate."""

LTV_BIN, MONEY_BIN = 5, 1_000
"""Percentage points and dollars to a bar of a distribution."""


class Moved(NamedTuple):
    """Deals whose outcome changes, in one direction, and the money in them; cents."""

    deals: int
    amount_financed: int
    negative_equity: int


class RuleFlips(NamedTuple):
    rule: str
    current: int | None
    candidate: int | None
    newly: int
    no_longer: int


class Affected(NamedTuple):
    deal_id: str
    current: str
    candidate: str
    amount_financed: int | None
    explanations: tuple[str, ...]


class Through(NamedTuple):
    """Deals that are let through under one policy: how many, their amounts financed and projected deficiencies, cents."""

    deals: int
    amount_financed: int
    deficiency: int


@dataclass(frozen=True)
class Simulation:
    current: Policy
    candidate: Policy
    deals: int
    rejected: int
    matrix: Mapping[tuple[str, str], Moved]
    rules: Sequence[RuleFlips]
    groups: Mapping[str, Sequence[Mapping[str, Any]]]
    ltv: Sequence[Mapping[str, Any]]
    negative_equity: Sequence[Mapping[str, Any]]
    limits: Mapping[str, Mapping[str, Sequence[int]]]
    """By measure and policy, the fixed limits it is held against: hundredths of a percent, or cents."""
    affected: Sequence[Affected]
    through: tuple[Through, Through]
    assumptions: str

    @property
    def stricter(self) -> Moved:
        return self._moved(1)

    @property
    def looser(self) -> Moved:
        return self._moved(-1)

    def _moved(self, direction: int) -> Moved:
        moved = [
            cell
            for (current, candidate), cell in self.matrix.items()
            if direction * (Outcome(candidate).severity - Outcome(current).severity) > 0
        ]
        return Moved(*(sum(parts) for parts in zip(*moved, strict=True))) if moved else Moved(0, 0, 0)


def simulate(
    source: Source, current: Policy, candidate: Policy, engine: Engine, name: str, folder: Path, tell: Tell
) -> Simulation:
    """Judge every deal under both policies and add up what changes. Raises `SourceError`, `ColumnsError`.

    The judged parts lie in the folder until they have been added up: a run that was stopped goes on there.
    """
    run = Run(folder)
    with run.begun(fingerprint(source, [current, candidate], name)):
        reading = read_book(run, source, tell)
        work = Outcomes((current, candidate), reading.book.layout, Shock(), reading.clean)
        parts = judged_parts(run, reading, JudgingOutcomes(work), engine, tell)
        found = _added_up(pl.scan_parquet(list(files_of(parts)), glob=False), current, candidate, reading)
        run.discard()
    return found


def _added_up(table: pl.LazyFrame, current: Policy, candidate: Policy, reading: Reading) -> Simulation:
    table = table.with_columns(
        change=pl.col(outcome_column(CANDIDATE)) - pl.col(outcome_column(CURRENT)),
        month=pl.col("submitted_on").dt.strftime("%Y-%m"),
    )
    matrix = _matrix(table)
    return Simulation(
        current,
        candidate,
        sum(cell.deals for cell in matrix.values()),
        reading.rejected,
        matrix,
        list(_rule_flips(table, current, candidate)),
        {name: _group(table, name) for name in BREAKDOWNS},
        _distribution(table, "total_ltv", current, candidate),
        _distribution(table, "rolled_in_negative_equity", current, candidate),
        {measure: _fixed_limits(measure, current, candidate) for measure in ("total_ltv", "rolled_in_negative_equity")},
        _affected(table, current, candidate, reading),
        (_through(table, CURRENT), _through(table, CANDIDATE)),
        assumptions(current),
    )


def _sum(column: str) -> pl.Expr:
    return pl.col(column).sum().alias(column)


def _matrix(table: pl.LazyFrame) -> dict[tuple[str, str], Moved]:
    keys = outcome_column(CURRENT), outcome_column(CANDIDATE)
    amounts = _sum("amount_financed"), _sum("rolled_in_negative_equity")
    found = table.group_by(keys).agg(pl.len(), *amounts).sort(keys).collect(engine="streaming")
    words = list(map(str, Outcome))
    return {(words[one], words[other]): Moved(*cell) for one, other, *cell in found.iter_rows()}


def _rule_flips(table: pl.LazyFrame, current: Policy, candidate: Policy) -> Iterator[RuleFlips]:
    places = [{rule.id: at for at, rule in enumerate(policy.rules)} for policy in (current, candidate)]
    ids = dict.fromkeys([*places[CURRENT], *places[CANDIDATE]])
    counts = []
    for rule in ids:
        broken = [
            _broken(rule_column(number, place[rule])) if rule in place else pl.lit(False)
            for number, place in enumerate(places)
        ]
        parts = (*broken, ~broken[CURRENT] & broken[CANDIDATE], broken[CURRENT] & ~broken[CANDIDATE])
        counts += [part.sum().alias(f"{rule} {index}") for index, part in enumerate(parts)]
    found = table.select(counts).collect(engine="streaming").row(0, named=True)
    for rule in ids:
        now, then, newly, no_longer = (found[f"{rule} {index}"] for index in range(4))
        yield RuleFlips(
            rule,
            now if rule in places[CURRENT] else None,
            then if rule in places[CANDIDATE] else None,
            newly,
            no_longer,
        )


def _broken(column: str) -> pl.Expr:
    return pl.col(column).is_in([VIOLATED, MITIGATED])


def _group(table: pl.LazyFrame, name: str) -> list[dict[str, Any]]:
    """The groups with most deals that change, at most `MOST_GROUPS` of them; months in their order."""
    moved = [
        pl.when(test).then(pl.col(column)).sum().alias(f"{direction}_{column}")
        for direction, test in (("stricter", pl.col("change") > 0), ("looser", pl.col("change") < 0))
        for column in ("amount_financed", "rolled_in_negative_equity")
    ]
    counts = [
        pl.len().alias("deals"),
        (pl.col("change") > 0).sum().alias("stricter"),
        (pl.col("change") < 0).sum().alias("looser"),
    ]
    groups = table.group_by(pl.col(name).alias("group")).agg(*counts, *moved).collect(engine="streaming")
    ordered = groups.sort(
        [pl.col("stricter") + pl.col("looser"), pl.col("deals"), pl.col("group")], descending=[True, True, False]
    )
    kept = ordered.head(36 if name == "month" else MOST_GROUPS)
    return (kept.sort("group") if name in ("month", "tier") else kept).to_dicts()


def held_against(policy: Policy, measure: str) -> list[int]:
    """The places of the rules that hold a measure against a limit."""
    return [
        at
        for at, rule in enumerate(policy.rules)
        if isinstance(rule.require, Comparison)
        and any(
            isinstance(side, MeasureName) and side.name == measure for side in (rule.require.left, rule.require.right)
        )
    ]


def _distribution(table: pl.LazyFrame, measure: str, current: Policy, candidate: Policy) -> list[dict[str, Any]]:
    """Deals by the measure and by whose limits they keep. Bars are drawn, nothing is decided: doubles will do."""
    beyond = [
        pl.any_horizontal(pl.lit(False), *(_broken(rule_column(number, at)) for at in held_against(policy, measure)))
        for number, policy in enumerate((current, candidate))
    ]
    keeps = (
        pl.when(beyond[CURRENT] & beyond[CANDIDATE])
        .then(pl.lit("beyond both"))
        .when(beyond[CURRENT])
        .then(pl.lit("beyond the current only"))
        .when(beyond[CANDIDATE])
        .then(pl.lit("beyond the candidate only"))
        .otherwise(pl.lit("within both"))
    )
    if measure == "total_ltv":
        value, width, last = 100 * pl.col(measure) / pl.col(f"{measure}_per"), LTV_BIN, 200
    else:
        value, width, last = pl.col(measure) / 100, MONEY_BIN, 20_000
    bars = (value / width).floor().clip(0, last // width).cast(pl.Int64) * width
    known = table.filter(pl.col(measure).is_not_null())
    if measure != "total_ltv":
        known = known.filter(pl.col(measure) > 0)
    found = known.group_by(bars.alias("from"), keeps.alias("keeps")).agg(pl.len().alias("deals"))
    return found.sort("from", "keeps").collect(engine="streaming").to_dicts()


def _fixed_limits(measure: str, *policies: Policy) -> dict[str, list[int]]:
    found = {}
    for name, policy in zip(("current", "candidate"), policies, strict=True):
        limits = set()
        for at in held_against(policy, measure):
            require = policy.rules[at].require
            assert isinstance(require, Comparison)
            limits |= set(_numbers(policy, require.left)) | set(_numbers(policy, require.right))
        found[name] = sorted(limits)
    return found


def _numbers(policy: Policy, side: Any) -> Iterator[int]:
    parts = [side]
    if getattr(side, "name", None) in policy.limits:
        parts = [row.limit for row in policy.limits[side.name].all_rows]
    for part in parts:
        if isinstance(part, Number):
            yield part.numerator * 10_000 // part.denominator if part.unit == "percent" else part.numerator


def _affected(table: pl.LazyFrame, current: Policy, candidate: Policy, reading: Reading) -> list[Affected]:
    """The deals whose outcome moves furthest, the largest first, with every finding that differs."""
    columns = "deal_id", outcome_column(CURRENT), outcome_column(CANDIDATE), "amount_financed"
    changed = table.filter(pl.col("change") != 0).with_columns(far=pl.col("change").abs())
    order = ["far", "amount_financed", "deal_id"]
    found = changed.select("far", *columns).bottom_k(MOST_AFFECTED, by=order, reverse=[True, True, False])
    rows = found.sort(order, descending=[True, True, False], nulls_last=True).collect(engine="streaming")
    told = _explanations(rows["deal_id"].to_list(), current, candidate, reading)
    words = list(map(str, Outcome))
    return [
        Affected(deal, words[now], words[then], amount, told.get(deal, ()))
        for _, deal, now, then, amount in rows.iter_rows()
    ]


def _explanations(
    deals: Sequence[str], current: Policy, candidate: Policy, reading: Reading
) -> dict[str, tuple[str, ...]]:
    compiled = CompiledPolicy(current), CompiledPolicy(candidate)
    told = {}
    for file in reading.book.files:
        for row in (
            pl.scan_parquet(file, glob=False)
            .filter(pl.col("deal_id").is_in(deals))
            .collect(engine="streaming")
            .to_dicts()
        ):
            deal = read_row(row, reading.book.layout)
            before = {finding.rule: finding for finding in compiled[CURRENT].evaluate(deal).findings}
            after = compiled[CANDIDATE].evaluate(deal).findings
            told[deal.deal_id] = tuple(
                f"{finding.rule}: {finding.explanation}"
                for finding in after
                if finding.rule not in before or before[finding.rule].severity is not finding.severity
            )
    return told


def _through(table: pl.LazyFrame, policy: int) -> Through:
    amounts = _sum("amount_financed"), _sum("projected_deficiency")
    passed = table.filter(pl.col(outcome_column(policy)) <= LET_THROUGH)
    return Through(*passed.select(pl.len(), *amounts).collect(engine="streaming").row(0))


def assumptions(policy: Policy) -> str:
    """What a projected deficiency rests on, in words."""
    equity = policy.equity
    factor = 100 * equity.wholesale_factor.numerator / equity.wholesale_factor.denominator
    return (
        f"Projected deficiency as {policy.name} {policy.version} defines it: {equity.curve.title}; a lender's sale brings "
        f"{factor:g} % of the value, less ${equity.disposal_cost.numerator / 100:,.2f}. An assumption, no forecast: it says what "
        "would be owed if every deal failed, not how many will."
    )
