"""`dealgate policy diff`: the changes in a terminal, as a page, as JSON, and the exit code by what was proved."""

import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dealgate.rules import near_misses, proof
from tests.adapters.commands import dealgate, invoke, read_lines

POLICY = """\
policy: compared
version: "1"
title: Compared
effective_from: 2026-11-01
collateral_value: {new: [msrp], used: [msrp]}
limits:
  max_ltv:
    unit: percent
    rows:
      - when: tier == "A"
        limit: 130%
      - when: tier == "B" and condition == "used"
        limit: 125%
      - limit: 110%
rules:
  - id: LTV
    title: LTV within the limit
    require: total_ltv <= max_ltv
    otherwise: refer
    reason: Value or type of collateral not sufficient
"""
NEXT = POLICY.replace('"1"', '"2"')
TIGHTER = NEXT.replace("125%", "120%").replace("reason: Value or type", "reason: Type")
REFACTORED = NEXT.replace("total_ltv <= max_ltv", "not (max_ltv < total_ltv)")


@pytest.fixture
def files(tmp_path: Path) -> Any:
    def files(first: str, second: str) -> tuple[Path, Path]:
        before, after = tmp_path / "before.yaml", tmp_path / "after.yaml"
        before.write_text(first, encoding="utf-8")
        after.write_text(second, encoding="utf-8")
        return before, after

    return files


def test_a_change_is_told_in_credit_language_with_its_mark_and_a_deal(files: Any) -> None:
    done = invoke("policy", "diff", *files(POLICY, TIGHTER))
    assert done.exit_code == 1
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert lines[0].startswith("- compared 1  ")
    assert lines[1].startswith("+ compared 2  ")
    assert lines[3:6] == [
        "tighter     Limit Max LTV where tier is B and condition is used",
        "            - 125 %",
        "            + 120 %",
    ]
    assert lines[6].startswith("            pass → refer (LTV pass → violated): submitted_on 2026-07-01, ")
    assert "neutral     Reason of rule LTV" in lines
    assert "Tighter: some deals come to a more severe outcome, and none to a milder one." in lines


def test_a_document_in_another_form_is_equivalent(files: Any) -> None:
    done = invoke("policy", "diff", *files(POLICY, REFACTORED))
    assert done.exit_code == 0
    assert "neutral     What rule LTV requires" in done.stdout
    assert "Equivalent: no deal that can be submitted comes to another outcome, by proof.\n" in done.stdout


def test_a_shipped_policy_is_found_by_name_and_equals_itself() -> None:
    done = dealgate("policy", "diff", "subprime-auto", "subprime-auto")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("Equivalent: ")


def test_as_json_everything_is_one_document(files: Any) -> None:
    done = invoke("policy", "diff", *files(POLICY, TIGHTER), "--json")
    assert done.exit_code == 1
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert (found["before"]["version"], found["after"]["version"], found["verdict"]) == ("1", "2", "tighter")
    assert found["looser"] == {"verdict": "impossible", "why": None, "witness": None}
    assert found["tighter"]["witness"]["before"] == "pass"
    assert found["tighter"]["witness"]["after"] == "refer"
    assert found["answers_for"]["apart"] is False
    limit, reason = found["changes"]
    assert (limit["part"], limit["name"], limit["what"], limit["mark"]) == ("limit", "max_ltv", "row_limit", "tighter")
    assert (limit["before"], limit["after"]) == (
        {"text": "125 %", "expression": "125%"},
        {"text": "120 %", "expression": "120%"},
    )
    assert limit["tighter"]["witness"]["deal"]["applicant"]["tier"] == "B"
    assert (reason["what"], reason["mark"], reason["together_with"]) == ("reason", "neutral", [])


def test_the_deals_that_show_it_are_decided_as_it_says(files: Any, tmp_path: Path) -> None:
    before, after = files(POLICY, TIGHTER)
    done = invoke("policy", "diff", before, after, "--witnesses", tmp_path / "deals")
    assert done.exit_code == 1
    deals = sorted((tmp_path / "deals").iterdir())
    assert [deal.name for deal in deals] == ["1-tighter.json", "tighter.json"]
    for deal in deals:
        outcomes = [
            read_lines(invoke("evaluate", deal, "--policy", policy, "--json").stdout)[0]["outcome"]
            for policy in (before, after)
        ]
        assert outcomes == ["pass", "refer"]


def test_a_narrower_policy_is_told_so(files: Any) -> None:
    narrower = NEXT.replace("collateral_value", 'applies_to: tier == "A"\ncollateral_value')
    done = invoke("policy", "diff", *files(POLICY, narrower))
    assert done.exit_code == 1
    assert "narrower    Deals that the policy answers for" in done.stdout
    assert "The same outcomes: no deal that both answer for comes to another one, by proof." in done.stdout
    assert "There are deals that it no longer answers for, for example: " in done.stdout
    found = json.loads(invoke("policy", "diff", *files(POLICY, narrower), "--json").stdout)
    assert found["verdict"] == "neutral"
    assert found["answers_for"]["fewer"]["verdict"] == "shown"
    assert found["answers_for"]["more"]["verdict"] == "impossible"


def test_what_is_not_proved_has_an_exit_code_of_its_own(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "EFFORT", 1)
    monkeypatch.setattr(near_misses, "MOST_STARTS", 0)
    done = invoke("policy", "diff", *files(POLICY, TIGHTER))
    assert done.exit_code == 4
    assert "not proved  Limit Max LTV where tier is B and condition is used" in done.stdout
    assert "Whether any deal comes to a more severe outcome is undecided: the solver gave up" in done.stdout


def test_a_policy_that_cannot_be_read_is_told_as_everywhere(files: Any) -> None:
    done = invoke("policy", "diff", *files(POLICY, NEXT.replace("teir", "tier").replace("tier ==", "teir ==", 1)))
    assert done.exit_code == 2
    assert "unknown name 'teir'" in done.stderr


def test_without_the_solver_it_says_what_to_install(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "z3", None)
    done = invoke("policy", "diff", *files(POLICY, TIGHTER))
    assert done.exit_code == 2
    assert done.stderr == "a comparison rests on proofs: z3 is not installed; install dealgate[proof]\n"


# Pages


class Cells(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


@pytest.mark.parametrize("suffix", [".md", ".html"])
def test_a_page_has_every_change_with_its_mark(suffix: str, files: Any, tmp_path: Path) -> None:
    page = tmp_path / f"diff{suffix}"
    done = invoke("policy", "diff", *files(POLICY, TIGHTER), "-o", page)
    assert done.exit_code == 1
    assert done.stdout == ""
    text = page.read_text(encoding="utf-8")
    if suffix == ".md":
        assert "| 1 | Limit Max LTV where tier is B and condition is used | 125 % | 120 % | tighter |" in text
    else:
        cells = [cell.strip() for cell in Cells(text).cells]
        at = cells.index("Limit Max LTV where tier is B and condition is used")
        assert cells[at - 1 : at + 4] == ["1", cells[at], "125 %", "120 %", "tighter"]
        assert "<title>Compared (compared 1) compared with Compared (compared 2)</title>" in text


def test_what_a_policy_says_is_no_markup_in_a_page(files: Any, tmp_path: Path) -> None:
    page = tmp_path / "diff.html"
    invoke(
        "policy", "diff", *files(POLICY, NEXT.replace("reason: Value", "reason: <script>alert(1)</script>")), "-o", page
    )
    text = page.read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_a_page_of_another_kind_is_refused_before_any_work(files: Any, tmp_path: Path) -> None:
    done = invoke("policy", "diff", *files(POLICY, TIGHTER), "-o", tmp_path / "diff.pdf")
    assert done.exit_code == 2
    assert "a comparison ends in .md or .html" in done.stderr
