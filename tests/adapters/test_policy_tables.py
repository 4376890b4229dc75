"""Policies whose limits stand in files beside them: read from the folder and from nowhere else, stored so that the files may go."""

import json
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from dealgate import Gate, Policy
from dealgate.adapters.database import upgrade_database
from dealgate.adapters.policies import load_policy
from dealgate.models.tables import PolicyVersion
from dealgate.rules.document import PolicyError
from tests.adapters.commands import SAMPLES, invoke

TEXT = """\
policy: tables
version: "1"
title: Limits in a spreadsheet
effective_from: 2026-11-01
collateral_value: {new: [invoice], used: [jdpower_clean_trade]}
limits:
  max_ltv: {unit: percent, table: TABLE}
rules:
  - {id: LTV, title: LTV, require: total_ltv <= max_ltv, otherwise: refer, reason: Too much on too little}
"""
ROWS = 'tier,limit\n"A, B",125 %\n-,110 %\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a policy in it, and a table outside."""
    home = tmp_path / "policies"
    (home / "tables").mkdir(parents=True)
    (home / "tables" / "limits.csv").write_text(ROWS, encoding="utf-8")
    (tmp_path / "secret.csv").write_text(ROWS, encoding="utf-8")
    write(home, "tables/limits.csv")
    return home


def write(folder: Path, table: str) -> None:
    (folder / "policy.yaml").write_text(TEXT.replace("TABLE", json.dumps(table)), encoding="utf-8")


def test_a_table_is_found_beside_the_policy_wherever_the_command_runs(folder: Path) -> None:
    document = load_policy(str(folder / "policy.yaml"))
    assert [row.origin for row in document.policy.limits["max_ltv"].rows] == [
        "tables/limits.csv, line 2",
        "tables/limits.csv, line 3",
    ]
    assert invoke("policy", "check", folder / "policy.yaml").exit_code == 0


@pytest.mark.parametrize(
    "name", ["../secret.csv", "tables/../../secret.csv", "/etc/hosts", "link.csv", "tables/link/secret.csv"]
)
def test_a_table_outside_the_folder_of_the_policy_is_not_read(folder: Path, name: str) -> None:
    (folder / "link.csv").symlink_to(folder.parent / "secret.csv")
    (folder / "tables" / "link").symlink_to(folder.parent)
    write(folder, name)
    with pytest.raises(PolicyError, match="lies outside the folder of the policy: keep the table beside it"):
        load_policy(str(folder / "policy.yaml"))


@pytest.mark.parametrize("name", ["no.csv", "tables", "tables/limits.csv/x.csv", "a\0b.csv", "x" * 5_000 + ".csv"])
def test_a_table_that_cannot_be_read_is_named(folder: Path, name: str) -> None:
    write(folder, name)
    ran = invoke("policy", "check", folder / "policy.yaml")
    assert ran.exit_code == 2
    assert "policy.yaml:7:35: error: " in ran.stderr


def test_a_stored_version_is_read_again_without_its_files(folder: Path, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'deals.db'}")
    upgrade_database(engine)
    gate = Gate(engine, str(folder / "policy.yaml"))
    deal = json.loads(SAMPLES.read_text(encoding="utf-8").splitlines()[0])
    decision = gate.submit(deal).decision
    for file in (folder / "tables" / "limits.csv", folder / "policy.yaml"):
        file.unlink()
    with Session(engine) as session:
        stored = session.scalars(select(PolicyVersion)).one()
    engine.dispose()
    again = Policy.from_text(stored.document)
    assert again.sha256 == stored.sha256 == gate.policy.sha256
    replayed = Gate(policy=again).evaluate(deal).document()
    assert replayed["outcome"] == decision["outcome"]
    assert next(finding["limit_origin"] for finding in decision["findings"]).startswith("tables/limits.csv, line ")


def test_evidence_names_the_row_also_when_the_stored_text_is_evaluated(folder: Path) -> None:
    document = load_policy(str(folder / "policy.yaml"))
    deal = json.loads(SAMPLES.read_text(encoding="utf-8").splitlines()[0])
    before = Gate(policy=document).evaluate(deal).document()
    after = Gate(policy=Policy.from_text(document.text)).evaluate(deal).document()
    assert before == after


def test_the_text_of_a_policy_without_files_is_stored_as_it_was_written(folder: Path) -> None:
    text = TEXT.replace("table: TABLE", "rows: [{limit: 110%}]")
    (folder / "plain.yaml").write_text(text, encoding="utf-8")
    assert load_policy(str(folder / "plain.yaml")).text == text


# Reviews


def test_a_review_proves_the_rows_of_a_file_and_says_where_in_it_they_stand(folder: Path) -> None:
    table = 'tier,state,limit\n"A, B",-,125 %\nA,-,130 %\nC,XX,120 %\n-,-,110 %\n'
    (folder / "tables" / "limits.csv").write_text(table, encoding="utf-8")
    ran = invoke("policy", "check", folder / "policy.yaml", "--json")
    found = json.loads(ran.stdout)
    error = next(problem for problem in found["errors"] if "never match" in problem["message"])
    assert error["message"] == (
        "tables/limits.csv, line 3: this row can never match: "
        "the row at tables/limits.csv, line 2 takes every deal that it is for"
    )
    assert (error["line"], error["witness"]["applicant"]["tier"]) == (7, "A")
    assert [problem["message"] for problem in found["warnings"]] == [
        "tables/limits.csv, line 4: 'XX' is no code of a state or territory"
    ]
    assert ran.exit_code == 2


def test_a_gap_in_a_file_is_shown_by_a_deal(folder: Path) -> None:
    (folder / "tables" / "limits.csv").write_text("term_months,limit\n<= 60,125 %\n>= 62,110 %\n", encoding="utf-8")
    problem = next(iter(json.loads(invoke("policy", "check", folder / "policy.yaml", "--json").stdout)["errors"]))
    assert problem["message"] == "limit max_ltv has a gap: a deal that matches no row has no limit"
    assert problem["witness"]["term_months"] == 61
