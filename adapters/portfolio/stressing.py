"""`portfolio stress`: the same book on lower values and higher payoffs: who is underwater, and what would be owed."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from dealgate.adapters.portfolio import charts
from dealgate.adapters.portfolio.engines import Engine
from dealgate.adapters.portfolio.outcomes import JudgingOutcomes, Outcomes, Shock, outcome_column
from dealgate.adapters.portfolio.pages import Page
from dealgate.adapters.portfolio.running import Run, Tell, files_of, fingerprint, judged_parts, read_book
from dealgate.adapters.portfolio.simulating import assumptions
from dealgate.adapters.portfolio.simulation_page import dollars, share, tell_rejected
from dealgate.adapters.portfolio.sources import Source
from dealgate.rules.policy import Outcome, Policy

USUAL = (Shock(), Shock(-5), Shock(-10), Shock(-20))


class Scenario(NamedTuple):
    """One shock and what follows. `known` deals have an amount financed and a collateral value; amounts in cents.

    `rejected` are the rows that none of it counts.
    """

    words: str
    deals: int
    known: int
    underwater: int
    shortfall: int
    deficiency: int
    outcomes: dict[str, int]
    rejected: int


def words_of(shock: Shock) -> str:
    parts = [f"values {shock.value_percent:+d} %"] if shock.value_percent else []
    parts += [f"payoffs {shock.payoff_percent:+d} %"] if shock.payoff_percent else []
    return ", ".join(parts) or "as it is"


def stress(
    source: Source, policy: Policy, shocks: Sequence[Shock], engine: Engine, name: str, folder: Path, tell: Tell
) -> list[Scenario]:
    """Judge the book under every shock. Raises `SourceError`, `ColumnsError`."""
    run, found = Run(folder), list[Scenario]()
    with run.begun(fingerprint(source, [policy], name)):
        reading = read_book(run, source, tell)
        for number, shock in enumerate(shocks):
            work = Outcomes((policy,), reading.book.layout, shock, reading.clean)
            scenario = f"stress-{shock.value_percent}-{shock.payoff_percent}"
            parts = judged_parts(run, reading, JudgingOutcomes(work), engine, tell, f"{scenario}-{number}")
            found.append(_scenario(pl.scan_parquet(list(files_of(parts)), glob=False), shock, reading.rejected))
        run.discard()
    return found


def _scenario(table: pl.LazyFrame, shock: Shock, rejected: int) -> Scenario:
    above = pl.col("amount_financed") - pl.col("collateral_value")
    outcomes = [(pl.col(outcome_column(0)) == at).sum().alias(str(outcome)) for at, outcome in enumerate(Outcome)]
    row = table.select(
        pl.len().alias("deals"),
        above.is_not_null().sum().alias("known"),
        (above > 0).sum().alias("underwater"),
        above.clip(0).sum().alias("shortfall"),
        pl.col("projected_deficiency").sum().alias("deficiency"),
        *outcomes,
    )
    found = row.collect(engine="streaming").row(0, named=True)
    counts = {str(outcome): found.pop(str(outcome)) for outcome in Outcome}
    return Scenario(words_of(shock), **found, outcomes=counts, rejected=rejected)


def stress_page(scenarios: Sequence[Scenario], policy: Policy, source: str) -> str:
    page = Page(f"{policy.name} {policy.version} under stress")
    page.paragraph(
        f"{scenarios[0].deals:,} deals of {source}. Every book value, and every payoff of a trade-in, moves by the stated percent."
    )
    tell_rejected(page, scenarios[0].rejected)
    page.heading("Underwater at the deal")
    page.paragraph("Deals that finance more than the collateral is worth, of those where both are known.")
    rows = [
        {"scenario": one.words, "underwater": one.underwater / max(1, one.known), "deficiency": one.deficiency / 100}
        for one in scenarios
    ]
    page.chart(charts.scenarios(rows, "underwater", "Share of deals underwater", ".0%"))
    page.heading("Projected deficiency")
    page.chart(charts.scenarios(rows, "deficiency", "Projected deficiency of the book, dollars", "$.3s"))
    page.heading("In numbers")
    words = list(map(str, Outcome))
    page.table(
        ["Scenario", "Underwater", "Share", "Owed above value", "Projected deficiency", *words],
        [
            [
                one.words,
                f"{one.underwater:,}",
                share(one.underwater, one.known),
                dollars(one.shortfall),
                dollars(one.deficiency),
                *(f"{one.outcomes[word]:,}" for word in words),
            ]
            for one in scenarios
        ],
    )
    page.paragraph(assumptions(policy), note=True)
    page.paragraph(f"Policy sha256 {policy.sha256}.", note=True)
    return page.html()
