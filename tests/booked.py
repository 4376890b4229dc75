"""Books made of deals, and the single-deal path held against what an engine makes of them, row for row."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

from dealgate import Deal, Policy
from dealgate.adapters.portfolio.book import row_schema
from dealgate.adapters.portfolio.engines import Engine
from dealgate.adapters.portfolio.evaluating import evaluate_book
from dealgate.adapters.portfolio.rows import row_of
from dealgate.adapters.portfolio.running import files_of
from dealgate.adapters.portfolio.sources import Source
from dealgate.rules.deal import MODEL_YEARS_AHEAD
from dealgate.rules.fields import Unit, facts_of
from dealgate.rules.policy import Outcome
from dealgate.rules.reference import Value, compile_reference
from tests.fuzzing.random_policies import Author

Row = Mapping[str, Any]


def quiet(what: str, done: int, rows: int | None) -> None:
    """Tell nobody."""


def write_book(deals: Iterable[Deal], path: Path) -> Path:
    rows = [row_of(deal) for deal in deals]
    pl.DataFrame(rows, schema=row_schema(rows), orient="row").write_parquet(path)
    return path


def judged(engine: Engine, policy: Policy, source: Path, out: Path) -> dict[str, Row]:
    """The rows of the result by deal."""
    evaluate_book(Source(str(source)), policy, engine, "engine", out, quiet)
    rows = pl.concat([pl.read_parquet(file) for file in files_of([out])], how="vertical_relaxed").to_dicts()
    found: dict[str, Row] = {row["deal_id"]: row for row in rows}
    assert len(found) == len(rows), "a deal stands in the result twice"
    return found


def random_deals(seed: int, count: int) -> Iterator[Deal]:
    """Unknowns of every kind, amounts at and beside limits and up to the largest; always the same ones for a seed."""
    author, pick = Author(seed), Random(seed)
    for number in range(count):
        document = author.deal() | {"deal_id": f"D-{seed}-{number}"}
        if pick.random() < 0.5:  # of another year, without the dates that would have to follow
            year = 2000 + pick.randrange(10, 40)
            document["submitted_on"] = f"{year}-02-28"
            if document["vehicle"].get("model_year"):
                document["vehicle"]["model_year"] = min(document["vehicle"]["model_year"], year + MODEL_YEARS_AHEAD)
            document.pop("expected_funding_on", None)
            document["applicant"].pop("credit_report_as_of", None)
        if pick.random() < 0.2:
            document["trade_ins"].append({"kind": "none", "allowance": f"{pick.randrange(9_000)}.50"})
        if pick.random() < 0.1:
            document["term_months"] = pick.randrange(1, 601)
            document["apr_percent"] = f"{pick.randrange(1000)}.{pick.randrange(10_000):04d}"
        if pick.random() < 0.1:
            document["monthly_payment"] = f"{pick.randrange(1, 2_000)}.{pick.randrange(100):02d}"
        yield Deal.read(document)


class SinglePath:
    """What submitting a deal finds: the rules by the exact reference, which the engine of each submission confirms."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._reference = compile_reference(policy)

    def differences(self, deal: Deal, row: Row) -> list[str]:
        """Every column of a row that is not what the deal alone gives."""
        reckoning = self._reference(facts_of(deal))
        wanted: dict[str, Any] = {rule: str(result) for rule, result in reckoning.results.items()}
        wanted["outcome"] = str(self.policy.outcome(reckoning.results))
        wanted["reasons"] = self.reasons(wanted)
        wrong = [name for name, value in wanted.items() if row[name] != value]
        for name, value in reckoning.measures.items():
            shown = self._shown(name, row)
            if not same_number(shown, value):
                wrong.append(f"{name} is {shown}, not {value}")
        return wrong

    def _shown(self, name: str, row: Row) -> Value:
        if self.policy.measures[name].unit != Unit.PERCENT:
            return Value(row[name])
        return Value(row[f"{name}_numerator"], row[f"{name}_denominator"] or 1)

    def reasons(self, results: Row) -> list[str]:
        """By the words of the rule: most severe first, what could not be judged behind, no repeats, at most four."""
        found = []
        for place, rule in enumerate(self.policy.rules):
            severity = {
                "violated": rule.otherwise,
                "mitigated": rule.mitigated_by.to if rule.mitigated_by else Outcome.PASS,
                "not_evaluable": self.policy.on_unknown,
            }.get(results[rule.id], Outcome.PASS)
            unjudged = results[rule.id] == "not_evaluable"
            if severity != Outcome.PASS:
                reason = "Credit application incomplete" if unjudged else rule.reason
                found.append((-severity.severity, unjudged, place, reason))
        return list(dict.fromkeys(reason for *_, reason in sorted(found)))[:4]


def same_number(shown: Value, value: Value) -> bool:
    if shown.numerator is None or value.numerator is None:
        return shown.numerator is value.numerator
    return shown.numerator * value.denominator == value.numerator * shown.denominator


def assert_same(engine: Engine, policy: Policy, deals: Sequence[Deal], folder: Path) -> None:
    """Every deal once in the result, every column as the deal alone gives it."""
    rows = judged(engine, policy, write_book(deals, folder / "book.parquet"), folder / "out.parquet")
    assert rows.keys() == {deal.deal_id for deal in deals}
    single = SinglePath(policy)
    for deal in deals:
        assert single.differences(deal, rows[deal.deal_id]) == [], deal.document()
