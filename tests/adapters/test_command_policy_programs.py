"""`dealgate policy programs`: overlaps and gaps, with deals that show them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.commands import dealgate, invoke

POLICY = """\
policy: NAME
version: "1"
title: A program
effective_from: 2026-11-01
time_zone: America/Chicago
applies_to: SCOPE
rules:
  - {id: TERM, title: Term, require: term_months <= 72, otherwise: refer, reason: Length of maturity requested}
"""


@pytest.fixture
def programs(tmp_path: Path) -> Any:
    def programs(**scopes: str) -> list[Path]:
        for name, scope in scopes.items():
            text = POLICY.replace("NAME", name).replace("SCOPE", scope)
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        return [tmp_path / f"{name}.yaml" for name in scopes]

    return programs


def test_programs_that_divide_the_deals_are_proved_to(programs: Any) -> None:
    done = dealgate("policy", "programs", *programs(prime='tier in ["A", "B"]', subprime='tier not in ["A", "B"]'))
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "prime 1 and subprime 1: no deal falls to both, by proof",
        "from 2026-11-01 05:00 UTC, prime 1, subprime 1: no deal falls to none, by proof",
    ]


def test_a_deal_for_both_and_a_deal_for_none_are_shown_and_written(programs: Any, tmp_path: Path) -> None:
    given = programs(prime='tier in ["A", "B"]', subprime='tier in ["B", "C"]')
    done = invoke("policy", "programs", *given, "--witnesses", tmp_path / "deals")
    assert done.exit_code == 1
    both, none = done.stdout.splitlines()
    assert both.startswith("prime 1 and subprime 1: a deal falls to both, for example: ")
    assert "applicant.tier B" in both
    assert none.startswith("from 2026-11-01 05:00 UTC, prime 1, subprime 1: a deal falls to none, for example: ")
    assert sorted(file.name for file in (tmp_path / "deals").iterdir()) == ["gap.json", "overlap.json"]


def test_as_json_everything_is_one_document(programs: Any) -> None:
    done = invoke("policy", "programs", *programs(a='tier == "A"', b='tier != "A"', c="mileage < 9"), "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert [(part["policies"], part["verdict"]) for part in found["overlaps"]] == [
        (["a 1", "b 1"], "impossible"),
        (["a 1", "c 1"], "shown"),
        (["b 1", "c 1"], "shown"),
    ]
    (gap,) = found["gaps"]
    assert gap["from"] == "2026-11-01T05:00:00+00:00"
    assert gap["until"] is None
    assert gap["verdict"] == "impossible"
    assert gap["deal"] is None


def test_one_policy_is_not_side_by_side(programs: Any) -> None:
    done = invoke("policy", "programs", *programs(a='tier == "A"'))
    assert done.exit_code == 2
    assert done.stderr == "1 given: name 2 to 20 policies that are to stand side by side\n"


def test_without_the_solver_it_says_what_to_install(programs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "z3", None)
    done = invoke("policy", "programs", *programs(a='tier == "A"', b='tier == "B"'))
    assert done.exit_code == 2
    assert "z3 is not installed; install dealgate[proof]" in done.stderr


def test_the_scope_and_the_zone_stand_in_the_explanation(programs: Any) -> None:
    (file,) = programs(prime='tier in ["A", "B"]')
    text = invoke("policy", "explain", file).stdout
    assert "| Effective | from 2026-11-01, days of the time zone America/Chicago |" in text
    assert "| Answers for | deals where tier is one of A, B |" in text
    assert "| Answers for | every deal |" in invoke("policy", "explain", "prime-auto").stdout
