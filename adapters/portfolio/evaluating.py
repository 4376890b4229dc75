"""`portfolio evaluate`: a book against one policy."""

from collections.abc import Iterable, Mapping
from math import gcd
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from dealgate.adapters.portfolio.engines import Engine, Work
from dealgate.adapters.portfolio.judging import output_columns
from dealgate.adapters.portfolio.rows import facts_of_row
from dealgate.adapters.portfolio.running import Run, Tell, files_of, fingerprint, judged_parts, read_book
from dealgate.adapters.portfolio.sources import Source
from dealgate.adapters.portfolio.work import Evaluation, Unproved
from dealgate.rules.column_layout import Layout
from dealgate.rules.column_plan import RESULTS, ColumnPlan
from dealgate.rules.columns import ColumnsError
from dealgate.rules.fields import Unit
from dealgate.rules.finding import MOST_REASONS
from dealgate.rules.policy import Outcome, Policy
from dealgate.rules.reference import Reckoning, Value, compile_reference

LARGEST_INTEGER = 2**63


class Evaluated(NamedTuple):
    deals: int
    rejected: int
    outcomes: Mapping[str, int]
    violated: Mapping[str, int]
    """By rule, how many deals violate it, mitigated or not."""
    rejects_file: Path


class EvaluatingDeals:
    """The judging of `evaluate`: by columns, and by the reference where these prove nothing."""

    def __init__(self, policy: Policy, layout: Layout, *, clean: bool) -> None:
        self.work = Evaluation(policy, layout, clean)
        self.plan: ColumnPlan = self.work.plan
        self.unproved: Work | None = None if self.plan.unproved is None else Unproved(self.plan, clean)

    def settle(self, rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
        """The output rows of deals judged one by one."""
        reference = compile_reference(self.plan.policy)
        found = [self._settled(row, reference(facts_of_row(row, self.plan.layout))) for row in rows]
        schema: dict[str, Any] = {
            column.name: pl.String if column.words or column.name == "deal_id" else pl.Int64
            for column in output_columns(self.plan)
        }
        return pl.DataFrame(found, schema=schema | {"reasons": pl.List(pl.String)}, orient="row")

    def _settled(self, row: Mapping[str, Any], reckoning: Reckoning) -> dict[str, Any]:
        policy, results = self.plan.policy, reckoning.results
        settled: dict[str, Any] = {"deal_id": row["deal_id"], "outcome": str(policy.outcome(results))}
        held = (
            ground.reason
            for ground in self.plan.reasons
            if RESULTS.index(results[self._rule(ground.rule)]) == ground.result
        )
        settled["reasons"] = list(dict.fromkeys(held))[:MOST_REASONS]
        for name, value in reckoning.measures.items():
            top, bottom = _that_fit(value, f"deal {row['deal_id']}: {name}")
            if policy.measures[name].unit != Unit.PERCENT:
                settled[name] = top
                continue
            settled |= {f"{name}_numerator": top, f"{name}_denominator": bottom}
        return settled | {rule: str(result) for rule, result in results.items()}

    def _rule(self, column: str) -> str:
        return next(rule for rule, name in self.plan.rules.items() if name == column)


def _that_fit(value: Value, what: str) -> tuple[int | None, int | None]:
    """Numerator and denominator as a 64-bit column holds them. Raises `ColumnsError` where not even the reduced ratio fits."""
    if value.numerator is None:
        return None, None
    top, bottom = value.numerator, value.denominator
    if max(abs(top), bottom) >= LARGEST_INTEGER:
        common = gcd(top, bottom)
        top, bottom = top // common, bottom // common
    if max(abs(top), bottom) >= LARGEST_INTEGER:
        raise ColumnsError(f"{what} is beyond what a column of 64-bit integers holds")
    return top, bottom


def evaluate_book(source: Source, policy: Policy, engine: Engine, name: str, out: Path, tell: Tell) -> Evaluated:
    """Judge every deal of a source and write the result. Raises `SourceError`, `ColumnsError`."""
    run = Run(out)
    with run.begun(fingerprint(source, [policy], name)):
        reading = read_book(run, source, tell)
        judging = EvaluatingDeals(policy, reading.book.layout, clean=reading.clean)
        run.finish(judged_parts(run, reading, judging, engine, tell))
    outcomes, violated = _counted(out, policy)
    return Evaluated(sum(outcomes.values()), reading.rejected, outcomes, violated, run.rejects_file)


def _counted(out: Path, policy: Policy) -> tuple[dict[str, int], dict[str, int]]:
    files = list(files_of([out]))
    rules = [rule.id for rule in policy.rules]
    result = pl.scan_parquet(files, glob=False).select(pl.col("outcome", *rules).cast(pl.String))
    counts = [pl.col("outcome").eq(str(outcome)).sum().alias(f"outcome {outcome}") for outcome in Outcome]
    broken = [pl.col(rule).is_in(["violated", "mitigated"]).sum() for rule in rules]
    found = result.select(*counts, *broken).collect(engine="streaming").row(0, named=True)
    return {str(outcome): found[f"outcome {outcome}"] for outcome in Outcome}, {rule: found[rule] for rule in rules}
