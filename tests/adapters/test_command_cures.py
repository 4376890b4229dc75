"""Cures on the command line: under the findings, one lever at a time, and as they were stored."""

import io
from typing import Any

import pytest
from rich.console import Console

from dealgate.adapters.command_line.terminal import cures_table, decision_in_full
from dealgate.rules.levers import LEVERS
from tests.adapters.commands import SAMPLES, Document, invoke, read_lines

LINES = SAMPLES.read_text().splitlines()
FIRST = LINES[0]
CASH = "$4,019.69 more cash down, $5,519.69 in all, clears LTV-TOTAL, LTV-FRONT, DEFICIENCY, UPSIDE-DOWN and UNDERWATER-LONG."


def decided(*arguments: str, deal: str = FIRST) -> dict[str, Any]:
    (decision,) = read_lines(invoke("evaluate", "-", "--json", *arguments, stdin=deal).stdout)
    return decision


def shown(decision: Document, width: int) -> str:
    output = io.StringIO()
    Console(file=output, width=width, force_terminal=False).print(decision_in_full(decision))
    return output.getvalue()


def levers(decision: Document, *keys: str) -> list[str]:
    return [found["lever"] for key in keys for found in decision[key]]


def test_each_lever_is_answered_for_in_the_fixed_order() -> None:
    decision = decided()
    assert levers(decision, "cures") == ["cash_down", "cash_price", "payoff", "collateral_value"]
    assert levers(decision, "unfixable") == ["products", "term_months"]
    assert sorted(levers(decision, "cures", "unfixable")) == sorted(LEVERS)


def test_one_deal_is_shown_with_its_cures() -> None:
    printed = invoke("evaluate", "-", stdin=FIRST).stdout
    assert "Each by itself, in no order of merit" in printed
    assert CASH in printed
    assert "LTV-TOTAL and LTV-FRONT do not turn on the term." in printed


@pytest.mark.parametrize("width", [80, 120])
def test_every_cure_is_told_in_full_at_any_width(width: int) -> None:
    for line in LINES:
        decision = decided(deal=line)
        printed = shown(decision, width)
        assert max(map(len, printed.splitlines())) <= width
        words = " ".join(printed.replace("│", " ").split())
        for lever in [*decision["cures"], *decision["unfixable"]]:
            assert lever["lever"] in words
        for cure in decision["cures"]:
            assert cure["explanation"] in words


def test_one_lever_is_shown_alone() -> None:
    printed = invoke("evaluate", "-", "--cure", "cash_down", stdin=FIRST).stdout
    assert CASH in printed
    assert "off the cash price" not in printed
    assert "do not turn on the term" not in printed
    decision = decided("--cure", "term_months")
    assert (levers(decision, "cures"), levers(decision, "unfixable")) == ([], ["term_months"])


def test_of_several_deals_the_cures_are_shown_where_a_lever_is_asked_for() -> None:
    two = "\n".join(LINES[:2])
    assert CASH not in invoke("evaluate", "-", stdin=two).stdout
    assert CASH in invoke("evaluate", "-", "--cure", "cash_down", stdin=two).stdout


def test_a_lever_that_nobody_knows_is_bad_input() -> None:
    done = invoke("evaluate", "-", "--cure", "cash", stdin=FIRST)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no lever is called 'cash': use cash_down, cash_price, products, payoff, term_months or" in done.stderr


def test_levers_with_one_reason_stand_together() -> None:
    stated = next(line for line in LINES if "D-2026-001904" in line)
    decision = decided(deal=stated)
    assert [found["reason"][-18:] for found in decision["unfixable"]].count("check the payment.") == 5
    assert shown(decision, 200).count("instead of the stated $603.18 no rule is broken: check the payment.") == 1


def test_a_deal_that_passes_shows_no_cures() -> None:
    decision = decided(deal=LINES[1])
    assert (decision["outcome"], decision["cures"], decision["unfixable"]) == ("pass", [], [])
    assert cures_table(decision) is None


def test_what_is_shown_of_a_stored_decision_has_the_cures_that_were_stored(database_url: str) -> None:
    (decision,) = read_lines(invoke("submit", "-", "--json", "--db", database_url, stdin=FIRST).stdout)
    assert decision["cures"] == decided()["cures"]
    assert CASH in invoke("decision", "show", decision["decision_id"], "--db", database_url).stdout


def test_a_decision_that_was_stored_before_there_were_cures_is_shown_without() -> None:
    old = {name: value for name, value in decided().items() if name not in {"cures", "unfixable"}}
    assert "Cures" not in shown(old, 100)
