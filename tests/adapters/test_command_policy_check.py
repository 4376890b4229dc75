"""`dealgate policy check`: errors and warnings apart, deals that show them, and a JSON document for editors and pipelines."""

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.commands import invoke, read_lines

POLICY = """\
policy: checked
version: "1"
title: Checked
effective_from: 2026-11-01
collateral_value: {new: [msrp], used: [msrp]}
limits:
  max_ltv:
    unit: percent
    rows:
      - when: tier in ["A", "B"]
        limit: 125%
      - when: tier == "B" and credit_score >= 700
        limit: 130%
      - limit: 110%
rules:
  - id: LTV
    title: LTV within the limit
    require: total_ltv <= max_ltv
    otherwise: refer
    reason: Value or type of collateral not sufficient
guarantees:
  - never: outcome == "pass" and total_ltv > 130%
"""
SOUND = POLICY.replace('tier == "B" and credit_score >= 700', 'tier == "C"').replace(
    "130%\n      - limit", "120%\n      - limit"
)
DOUBTFUL = SOUND.replace("limit: 120%", "limit: 129%")
FALSE = SOUND.replace("total_ltv > 130%", "total_ltv > 120%")


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        file = tmp_path / "policy.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def test_an_error_by_proof_is_told_with_its_place_and_a_deal(policy: Any) -> None:
    file = policy(POLICY)
    done = invoke("policy", "check", file)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[:4] == [
        f"{file}:12:15: error: this row can never match: row 1 (line 10) takes every deal that it is for",
        '          - when: tier == "B" and credit_score >= 700',
        "                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "    Put the narrower row first, or drop this one.",
    ]
    assert done.stderr.splitlines()[4].startswith("    for example: submitted_on 2026-07-01, cash_price ")
    assert "applicant.tier B" in done.stderr


def test_a_sound_policy_says_how_much_was_proved(policy: Any) -> None:
    done = invoke("policy", "check", policy(SOUND))
    assert done.exit_code == 0
    assert "checked 1: 1 rule, 1 limit, 0 examples hold\n" in done.stdout
    assert done.stdout.endswith("1 of 1 guarantee proved for every possible deal\n")


def test_a_warning_is_told_and_does_not_refuse(policy: Any) -> None:
    done = invoke("policy", "check", policy(DOUBTFUL))
    assert done.exit_code == 0
    assert ":7:3: warning: limit max_ltv is looser for tier C than for tier B" in done.stderr
    assert "checked 1: 1 rule" in done.stdout


def test_as_json_everything_is_one_document(policy: Any) -> None:
    file = policy(POLICY)
    done = invoke("policy", "check", file, "--json")
    assert done.exit_code == 2
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["policy"]["name"] == "checked"
    assert found["guarantees"] == {"stated": 1, "proved": 1}
    assert found["warnings"] == []
    (error,) = found["errors"]
    assert (error["file"], error["line"], error["column"], error["end_column"]) == (str(file), 12, 15, 50)
    assert error["severity"] == "error"
    assert error["suggestion"] == "Put the narrower row first, or drop this one."
    assert error["witness"]["applicant"]["tier"] == "B"


@pytest.mark.parametrize("text", ["policy: [", "", POLICY.replace("tier in", "teir in")])
def test_as_json_a_document_that_cannot_be_read_has_errors_and_no_policy(policy: Any, text: str) -> None:
    done = invoke("policy", "check", policy(text), "--json")
    assert done.exit_code == 2
    found = json.loads(done.stdout)
    assert found["policy"] is None
    assert found["errors"]


def test_as_json_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    done = invoke("policy", "check", tmp_path / "nowhere.yaml", "--json")
    assert done.exit_code == 2
    assert "cannot be read" in json.loads(done.stdout)["errors"][0]["message"]


def test_the_deals_that_show_it_can_be_written_and_evaluated(policy: Any, tmp_path: Path) -> None:
    file = policy(FALSE)
    done = invoke("policy", "check", file, "--witnesses", tmp_path / "deals")
    assert done.exit_code == 2
    assert "this guarantee does not hold" in done.stderr
    (deal,) = (tmp_path / "deals").iterdir()
    assert deal.name == "LINE-22.json"
    (decision,) = read_lines(invoke("evaluate", deal, "--policy", file, "--json").stdout)
    assert decision["outcome"] == "pass"
    ltv = decision["measures"]["total_ltv"]
    assert Decimal(ltv["numerator"]) > Decimal(ltv["denominator"]) * 120 / 100


def test_errors_by_proof_and_examples_that_do_not_hold_are_told_together(policy: Any) -> None:
    example = 'examples:\n  - {name: it passes, deal: {cash_price: "1.00"}, expect: {outcome: pass}}\n'
    done = invoke("policy", "check", policy(POLICY + example))
    assert done.exit_code == 2
    assert "this row can never match" in done.stderr
    assert "the example 'it passes' does not hold" in done.stderr


def test_a_policy_with_an_error_by_proof_still_decides_deals(policy: Any, tmp_path: Path) -> None:
    """A stored version must decide tomorrow as it did today; it is whoever publishes that must not let it pass."""
    invoke("policy", "check", policy(FALSE), "--witnesses", tmp_path)
    done = invoke("evaluate", tmp_path / "LINE-22.json", "--policy", policy(POLICY), "--json")
    assert done.exit_code == 0


def test_without_the_solver_the_check_says_so_and_goes_on(policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "z3", None)
    done = invoke("policy", "check", policy(POLICY))
    assert done.exit_code == 0
    assert "1:1: warning: nothing was proved about rows, rules and guarantees: z3 is not installed" in done.stderr
    assert "0 of 1 guarantee proved for every possible deal" in done.stdout
