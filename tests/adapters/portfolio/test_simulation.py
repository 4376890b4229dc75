"""What a simulation, a sweep and a stress count is what judging the same deals one by one counts."""

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dealgate import CompiledPolicy, Deal, Policy
from dealgate.adapters.policies import load_policy
from dealgate.adapters.portfolio.engines import Engine
from dealgate.adapters.portfolio.flat import checked_layout
from dealgate.adapters.portfolio.outcomes import Shock
from dealgate.adapters.portfolio.rows import read_row, row_of
from dealgate.adapters.portfolio.simulating import Simulation, simulate
from dealgate.adapters.portfolio.simulation_page import simulation_page
from dealgate.adapters.portfolio.sources import Source
from dealgate.adapters.portfolio.stressing import stress, stress_page
from dealgate.adapters.portfolio.sweeping import Range, sweep, sweep_page, with_limit
from dealgate.rules.amounts import MAX_CENTS
from dealgate.rules.expressions import Number
from dealgate.rules.fields import Unit, facts_of
from dealgate.rules.policy import Outcome
from dealgate.rules.reference import Reckoning, compile_reference
from tests.booked import quiet, random_deals, write_book
from tests.browser import rendered
from tests.fuzzing.random_policies import Author

CURRENT = load_policy("prime-auto").policy
TIGHTER = (
    ("limit: 125%", "limit: 118%"),
    ("limit: $5,000", "limit: $3,500"),
    ('version: "2026.11"', 'version: "2026.12"'),
)


def tighter() -> Policy:
    text = load_policy("prime-auto").text
    for old, new in TIGHTER:
        assert old in text
        text = text.replace(old, new)
    return Policy.from_text(text)


@pytest.fixture(scope="module")
def small_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dealgate.adapters.portfolio.generating import generate  # noqa: PLC0415

    path = tmp_path_factory.mktemp("book") / "book.parquet"
    generate(1_500, 3, path, lambda _: None)
    return path


@pytest.fixture(scope="module")
def deals(small_book: Path) -> list[Deal]:
    table = pl.read_parquet(small_book)
    layout = checked_layout(table.schema)
    return [read_row(row, layout) for row in table.to_dicts()]


@pytest.fixture(scope="module")
def simulation(small_book: Path, tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    from dealgate.adapters.portfolio.engines import open_engine  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("simulation") / "report"
    return simulate(Source(str(small_book)), CURRENT, tighter(), open_engine("polars"), "polars", folder, quiet)


def reckoned(policy: Policy, deals: list[Deal]) -> list[Reckoning]:
    reference = compile_reference(policy)
    return [reference(facts_of(deal)) for deal in deals]


def test_the_matrix_the_rules_and_the_money_are_those_of_the_deals(simulation: Simulation, deals: list[Deal]) -> None:
    candidate = tighter()
    before, after = reckoned(CURRENT, deals), reckoned(candidate, deals)
    pairs = [
        (str(CURRENT.outcome(one.results)), str(candidate.outcome(other.results)))
        for one, other in zip(before, after, strict=True)
    ]
    assert {cell: moved.deals for cell, moved in simulation.matrix.items()} == Counter(pairs)
    stricter = [
        one for one, (now, then) in zip(before, pairs, strict=True) if Outcome(then).severity > Outcome(now).severity
    ]
    assert stricter
    financed = sum(one.measures["amount_financed"].numerator or 0 for one in stricter)
    rolled = sum(one.measures["rolled_in_negative_equity"].numerator or 0 for one in stricter)
    assert simulation.stricter == (len(stricter), financed, rolled)
    broken = ("violated", "mitigated")
    for flip in simulation.rules:
        now = [one.results[flip.rule] in broken for one in before]
        then = [one.results[flip.rule] in broken for one in after]
        assert (flip.current, flip.candidate) == (sum(now), sum(then)), flip.rule
        assert flip.newly == sum(not was and becomes for was, becomes in zip(now, then, strict=True)), flip.rule


def test_the_groups_and_the_bars_count_every_deal_once(simulation: Simulation, deals: list[Deal]) -> None:
    tiers = Counter(deal.applicant.tier for deal in deals)
    assert {row["group"]: row["deals"] for row in simulation.groups["tier"]} == tiers
    assert sum(row["deals"] for row in simulation.groups["month"]) == len(deals)
    known = sum(one.measures["total_ltv"].numerator is not None for one in reckoned(CURRENT, deals))
    assert sum(bar["deals"] for bar in simulation.ltv) == known
    assert any(bar["keeps"] == "beyond the candidate only" for bar in simulation.ltv)


def test_the_most_affected_deals_are_explained_as_their_decisions_are(
    simulation: Simulation, deals: list[Deal]
) -> None:
    assert len(simulation.affected) == 20
    by_id, compiled = {deal.deal_id: deal for deal in deals}, CompiledPolicy(tighter())
    for affected in simulation.affected[:5]:
        evaluation = compiled.evaluate(by_id[affected.deal_id])
        told = {f"{finding.rule}: {finding.explanation}" for finding in evaluation.findings}
        assert affected.explanations
        assert set(affected.explanations) <= told
        assert affected.candidate == str(evaluation.outcome)


def test_what_is_let_through_is_summed_exactly(simulation: Simulation, deals: list[Deal]) -> None:
    kept = [one for one in reckoned(CURRENT, deals) if CURRENT.outcome(one.results) in (Outcome.PASS, Outcome.FLAG)]
    assert simulation.through[0].deals == len(kept)
    assert simulation.through[0].deficiency == sum(one.measures["projected_deficiency"].numerator or 0 for one in kept)


def test_the_page_opens_offline_and_draws_every_chart(simulation: Simulation, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(simulation_page(simulation, "<book> & co"), encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    assert "&lt;book&gt; &amp; co" in text
    assert not [word for word in ('src="http', "@import", 'href="http') if word in text]
    drawn = rendered(page, tmp_path / "profile")
    assert drawn.count("<svg") >= 7, "a chart is missing"
    assert "@media print" in text


def test_a_sweep_counts_what_each_value_stops(
    polars: Engine, small_book: Path, deals: list[Deal], tmp_path: Path
) -> None:
    first, last, by = (Number(Unit.PERCENT, value, 100) for value in (100, 140, 20))
    steps = sweep(
        Source(str(small_book)),
        CURRENT,
        "max_total_ltv",
        Range(first, last, by),
        polars,
        "polars",
        tmp_path / "s",
        quiet,
    )
    assert [step.value for step in steps] == ["100%", "120%", "140%"]
    for step, value in zip(steps, (100, 120, 140), strict=True):
        policy = with_limit(CURRENT, "max_total_ltv", Number(Unit.PERCENT, value, 100), shift=False)
        stopped = [one for one in reckoned(policy, deals) if policy.outcome(one.results) != Outcome.PASS]
        assert step.stopped == len(stopped)
        assert step.amount == sum(one.measures["amount_financed"].numerator or 0 for one in stopped)
    assert "The trade-off" in sweep_page(steps, CURRENT, "max_total_ltv", "book", shift=False)


def test_a_shift_moves_every_row(polars: Engine, small_book: Path, tmp_path: Path) -> None:
    none, one = Number(Unit.PERCENT, 0, 100), Number(Unit.PERCENT, 1, 100)
    (step,) = sweep(
        Source(str(small_book)),
        CURRENT,
        "max_total_ltv",
        Range(none, none, one, shift=True),
        polars,
        "polars",
        tmp_path / "s",
        quiet,
    )
    (as_it_is, *_) = stress(Source(str(small_book)), CURRENT, [Shock()], polars, "polars", tmp_path / "t", quiet)
    assert step.outcomes == as_it_is.outcomes


def test_a_stress_is_the_deals_on_lower_values(
    polars: Engine, small_book: Path, deals: list[Deal], tmp_path: Path
) -> None:
    shocks = [Shock(), Shock(-20, 10)]
    found = stress(Source(str(small_book)), CURRENT, shocks, polars, "polars", tmp_path / "s", quiet)
    for scenario, shock in zip(found, shocks, strict=True):
        shocked = [shocked_deal(deal, shock) for deal in deals]
        reckonings = reckoned(CURRENT, shocked)
        measures = [one.measures for one in reckonings]
        under = [one for one in measures if (one["total_ltv"].numerator or 0) > one["total_ltv"].denominator]
        assert scenario.underwater == len(under)
        assert scenario.deficiency == sum(one["projected_deficiency"].numerator or 0 for one in measures)
        assert scenario.outcomes == {
            str(outcome): sum(CURRENT.outcome(one.results) == outcome for one in reckonings) for outcome in Outcome
        }
    assert found[1].underwater > found[0].underwater
    assert "Underwater at the deal" in stress_page(found, CURRENT, "book")


def test_amounts_beyond_what_is_proved_are_shocked_and_judged_once(polars: Engine, tmp_path: Path) -> None:
    """The shock lifts payoffs over the largest amount that the columns of this policy are proved for, and lowers values under it."""
    policy = Policy.from_text(Author(16).policy(12))
    deals = list(random_deals(16, 300))
    book, shock = write_book(deals, tmp_path / "book.parquet"), Shock(-20, 10)
    (found,) = stress(Source(str(book)), policy, [shock], polars, "polars", tmp_path / "s", quiet)
    reckonings = reckoned(policy, [shocked_deal(deal, shock) for deal in deals])
    assert found.outcomes == {
        str(outcome): sum(policy.outcome(one.results) == outcome for one in reckonings) for outcome in Outcome
    }


def shocked_deal(deal: Deal, shock: Shock) -> Deal:
    from dealgate.adapters.portfolio.rows import document_of  # noqa: PLC0415
    from dealgate.rules.column_layout import layout_of  # noqa: PLC0415

    row: dict[str, Any] = row_of(deal)
    for name, value in row.items():
        if isinstance(value, int) and shock.percent(name):
            row[name] = min((value * (100 + shock.percent(name)) * 2 + 100) // 200, MAX_CENTS)
    return Deal.read(document_of(row, layout_of(row)))
