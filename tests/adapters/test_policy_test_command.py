"""`dealgate policy test`: the diff, the coverage, and boundary deals that can be pasted into the document."""

import json
from pathlib import Path

import pytest

from dealgate.adapters.policies import SHIPPED, check_policy, load_policy
from dealgate.rules.coverage import coverage_of, try_examples
from tests.adapters.commands import invoke

POLICIES = Path(__file__).parents[2] / "rules" / "policies"


def broken(tmp_path: Path) -> Path:
    """The starter with a limit changed and its examples left as they were."""
    file = tmp_path / "changed.yaml"
    assert invoke("policy", "new", "changed", "-o", file).exit_code == 0
    file.write_text(file.read_text(encoding="utf-8").replace("limit: 120%", "limit: 125%"), encoding="utf-8")
    return file


def test_a_policy_whose_examples_hold_ends_well() -> None:
    ended = invoke("policy", "test", "recreational")
    assert ended.exit_code == 0
    assert "examples hold" in ended.stdout
    assert "FAILS" not in ended.stdout


def test_a_policy_whose_examples_fail_is_tested_all_the_same(tmp_path: Path) -> None:
    ended = invoke("policy", "test", broken(tmp_path))
    assert ended.exit_code == 1
    assert "FAILS  One cent over the LTV limit of tier B breaks it" in ended.stdout
    assert "outcome    refer     pass" in ended.stdout
    assert "4 of 5 examples hold" in ended.stdout


def test_json_has_differences_coverage_and_nothing_else_on_standard_output(tmp_path: Path) -> None:
    ended = invoke("policy", "test", broken(tmp_path), "--json")
    assert ended.exit_code == 1
    document = json.loads(ended.stdout)
    assert document["holds"] is False
    (failed,) = (entry for entry in document["examples"] if not entry["holds"])
    assert [(part["what"], part["expected"], part["found"]) for part in failed["differences"]] == [
        ("outcome", "refer", "pass"),
        ("LTV-TOTAL", "violated", "pass"),
    ]
    assert document["coverage"]["rules"]["LTV-TOTAL"]["pass"] == 3
    assert document["coverage"]["limits"]["max_total_ltv"][0] == {
        "row": "row 1",
        "origin": f"{tmp_path}/changed.yaml:38",
        "hits": 1,
    }
    assert "boundaries" not in document


def test_a_document_that_cannot_be_read_is_bad_input(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("policy: p\n", encoding="utf-8")
    assert invoke("policy", "test", file).exit_code == 2
    assert invoke("policy", "test", tmp_path / "absent.yaml").exit_code == 2


@pytest.mark.parametrize("name", SHIPPED)
def test_the_examples_of_a_shipped_policy_keep_and_break_every_rule_and_hit_every_row(name: str) -> None:
    compiled = check_policy(load_policy(name))
    coverage = coverage_of(compiled.policy, try_examples(compiled))
    assert coverage.rules_both_ways == len(compiled.policy.rules)
    assert coverage.never_hit == []


@pytest.mark.parametrize("name", SHIPPED)
def test_the_written_examples_can_be_pasted_into_the_policy(name: str, tmp_path: Path) -> None:
    written, pasted = tmp_path / "boundaries.yaml", tmp_path / "policy.yaml"
    ended = invoke("policy", "test", name, "--boundaries", "--write", written)
    assert ended.exit_code == 0, ended.output
    entries = written.read_text(encoding="utf-8").partition("examples:\n")[2]
    shipped = (POLICIES / f"{name.replace('-', '_')}.yaml").read_text(encoding="utf-8")
    pasted.write_text(shipped.rstrip("\n") + "\n\n" + entries, encoding="utf-8")
    document = load_policy(str(pasted))
    assert len(document.policy.examples) >= 50
    compiled = check_policy(document)
    assert coverage_of(document.policy, try_examples(compiled)).never_hit == []


def test_boundaries_in_json_have_the_deals() -> None:
    document = json.loads(invoke("policy", "test", "recreational", "--boundaries", "--json").stdout)
    found = {(part["rule"], part.get("row")): part for part in document["boundaries"]}
    assert found["TERM", 2]["cases"]["at"]["deal"]["term_months"] == 180
    assert found["LAYERED", None]["note"] == "rests on LTV-TOTAL, NE-ROLLED: their boundaries are its own"


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "kept.yaml"
    file.write_text("kept", encoding="utf-8")
    ended = invoke("policy", "test", "recreational", "--boundaries", "--write", file)
    assert ended.exit_code == 2
    assert "not overwritten" in ended.stderr
    assert file.read_text(encoding="utf-8") == "kept"


def test_writing_needs_boundaries(tmp_path: Path) -> None:
    ended = invoke("policy", "test", "recreational", "--write", tmp_path / "new.yaml")
    assert ended.exit_code == 2
    assert "Give both" in ended.stderr
