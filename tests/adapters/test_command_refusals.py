"""Bad input is exit code 2 with every problem named; a failure inside is exit code 3; nothing of such a call is stored."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text
from typer.testing import Result

from dealgate import Deal
from dealgate.adapters.command_line import deals as command
from dealgate.adapters.programs import Answer, OnePolicy
from dealgate.migrations.revisions import VERSION_TABLE
from tests.adapters.commands import dealgate, invoke, json_lines
from tests.databases import NOTHING, count_rows
from tests.models.samples import CLEAN, POLICY, a_deal

MIXED = """
policy: mixed
version: "1"
title: Money against percent
effective_from: 2026-11-01
rules:
  - {id: LTV, title: LTV, require: total_ltv <= $125, otherwise: refer, reason: Value or type of collateral not sufficient}
"""

FALSE_EXAMPLE = POLICY + 'examples:\n  - {name: it passes, deal: {cash_price: "1.00"}, expect: {outcome: pass}}\n'

BAD_DEALS: dict[str, tuple[str, list[str]]] = {
    "a typo in a field name": (
        json.dumps(a_deal(cash_dwon="1500.00")),
        ["deals.json: cash_dwon: unknown field (got '1500.00'). Did you mean 'cash_down'?"],
    ),
    "a float of money with three places": (
        json.dumps(a_deal(cash_price=29995.001)),
        ["deals.json: cash_price: more than 2 decimal places (got '29995.001')."],
    ),
    "a negative price": (
        json.dumps(a_deal(cash_price="-29995.00")),
        ["deals.json: cash_price: must not be negative (got '-29995.00')."],
    ),
    "a missing field": (json.dumps(a_deal(term_months=None)), ["deals.json: term_months: required field is missing"]),
    "metadata that JSON cannot carry": (
        json.dumps(a_deal()).replace("2.5", "1e999"),
        ["deals.json: metadata: holds something that JSON cannot carry"],
    ),
    "several mistakes in one deal": (
        json.dumps(a_deal(cash_price="1,000", applicant__credit_score=1684, state="Texas"), indent=2),
        ["state: ", "applicant.credit_score: ", "cash_price: "],
    ),
    "an empty file": ("", ["deals.json: (document): there is no deal in it"]),
    "a file of blank lines": ("\n \n\n", ["deals.json: (document): there is no deal in it"]),
    "a broken document of several lines": ('{\n  "deal_id": "D-1",\n', ["deals.json: (document): not JSON"]),
    "a list of deals": (json.dumps([CLEAN, CLEAN], indent=2), ["deals.json: (document): "]),
    "a broken first line": (
        '{"deal_id": "D-1", \n' + json_lines([CLEAN, a_deal(cash_price="x")]),
        ["deals.json:1: (document): not JSON", "deals.json:3: cash_price: "],
    ),
    "a broken line in the middle, and mistakes around it": (
        json_lines([a_deal(cash_price="-1.00"), CLEAN])
        + '\n{"deal_id": }\n'
        + json_lines([CLEAN, a_deal(cash_dwon="1")]),
        ["deals.json:1: cash_price: ", "deals.json:4: (document): not JSON", "deals.json:6: cash_dwon: unknown field"],
    ),
    "a line that is no object": (
        json_lines([CLEAN]) + "17\n" + json_lines([CLEAN]),
        ["deals.json:2: (document): "],
    ),
    "text that is not UTF-8": (json.dumps(CLEAN).replace("D-CLEAN", "D-\udcff"), ["deals.json: (document): "]),
}

BAD_POLICIES: dict[str, tuple[str, list[str]]] = {
    "money against percent": (MIXED, ["policy.yaml:7:"]),
    "an example that does not hold": (FALSE_EXAMPLE, ["the example 'it passes' does not hold: the outcome is refer"]),
    "not YAML": ("policy: [", ["policy.yaml:", "not YAML"]),
    "nothing": ("", ["policy.yaml:1:1: error: "]),
}

Refused = Callable[..., Result]


@pytest.fixture(params=["evaluate", "submit", "submit --json"])
def refused(request: pytest.FixtureRequest, tmp_path: Path, database: Engine, database_url: str) -> Refused:
    """Run a command that must be refused with exit code 2, print nothing and store nothing."""
    (tmp_path / "sample.yaml").write_text(POLICY)
    name, *options = request.param.split()
    storage = ["--db", database_url] if name == "submit" else []

    def run(*files: str | Path, policy: str | Path = tmp_path / "sample.yaml") -> Result:
        done = invoke(name, *files, "--policy", policy, *storage, *options)
        assert (done.exit_code, done.stdout) == (2, ""), done.output
        assert count_rows(database) == NOTHING
        return done

    return run


@pytest.mark.parametrize("mistake", BAD_DEALS)
def test_bad_deals_are_refused_with_every_problem_named(refused: Refused, tmp_path: Path, mistake: str) -> None:
    content, problems = BAD_DEALS[mistake]
    file = tmp_path / "deals.json"
    file.write_bytes(content.encode(errors="surrogateescape"))

    lines = refused(file).stderr.splitlines()
    assert len(lines) == len(problems)
    for line, problem in zip(lines, problems, strict=True):
        assert problem in line


@pytest.mark.parametrize("mistake", BAD_POLICIES)
def test_a_bad_policy_is_refused_with_every_problem_named(refused: Refused, tmp_path: Path, mistake: str) -> None:
    content, problems = BAD_POLICIES[mistake]
    (tmp_path / "policy.yaml").write_text(content)
    (tmp_path / "deal.json").write_text(json.dumps(CLEAN))
    told = refused(tmp_path / "deal.json", policy=tmp_path / "policy.yaml").stderr
    for problem in problems:
        assert problem in told


def test_an_unknown_policy_name_is_refused_with_the_names_there_are(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "deal.json").write_text(json.dumps(CLEAN))
    told = refused(tmp_path / "deal.json", policy="prime-auto-2027").stderr
    assert "prime-auto-2027" in told
    assert "prime-auto, subprime-auto, recreational" in told


def test_missing_files_are_refused_each_by_name(refused: Refused, tmp_path: Path) -> None:
    told = refused(tmp_path / "none.json", tmp_path, tmp_path / "nothing.jsonl").stderr.splitlines()
    assert ["No such file" in line for line in told] == [True, False, True]
    assert "Is a directory" in told[1]


def test_a_mistake_in_one_file_refuses_the_whole_call_and_mistakes_of_all_files_are_named(
    refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "good.json").write_text(json.dumps(CLEAN))
    (tmp_path / "first.json").write_text(json.dumps(a_deal(cash_price="x")))
    (tmp_path / "last.jsonl").write_text(json_lines([CLEAN, a_deal(term_months=0)]))
    names = [tmp_path / name for name in ("good.json", "first.json", "none.json", "last.jsonl")]
    told = refused(*names).stderr.splitlines()
    assert [line.split(": ")[0] for line in told] == [str(names[1]), str(names[2]), f"{names[3]}:2"]


def test_a_refused_submission_does_not_create_a_database(tmp_path: Path) -> None:
    (tmp_path / "deal.json").write_text(json.dumps(a_deal(cash_price="-1.00")))
    done = dealgate("submit", "deal.json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("deal.json: cash_price: must not be negative")
    assert [path.name for path in tmp_path.iterdir()] == ["deal.json"]


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_failure_at_the_last_deal_of_a_call_stores_none_of_it(
    database: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch, as_json: tuple[str, ...]
) -> None:
    answer = OnePolicy.answer

    def fail_at_last(self: OnePolicy, session: Connection, deal: Deal, now: datetime) -> Answer:
        if deal.deal_id == "D-LAST":
            raise RuntimeError("the line was cut")
        return answer(self, session, deal, now)

    monkeypatch.setattr(OnePolicy, "answer", fail_at_last)
    deals = json_lines([CLEAN, a_deal(), CLEAN | {"deal_id": "D-LAST"}])
    done = invoke("submit", "-", "--db", database_url, *as_json, stdin=deals)
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr == "dealgate: RuntimeError: the line was cut\n"
    assert count_rows(database) == NOTHING


UNREACHABLE = {
    "a folder that is gone": "sqlite:////nowhere/at/all/deals.db",
    "a server that is not there": "postgresql+psycopg://nobody@/nothing?host=/nowhere",
}


@pytest.mark.parametrize("kind", UNREACHABLE)
@pytest.mark.parametrize(
    "arguments", [("submit", "-"), ("decision", "list"), ("decision", "show", "x"), ("db", "upgrade")]
)
def test_a_database_out_of_reach_is_an_internal_failure(kind: str, arguments: tuple[str, ...]) -> None:
    done = invoke(*arguments, "--db", UNREACHABLE[kind], stdin=json.dumps(CLEAN))
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.startswith("dealgate: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [("submit", "-"), ("decision", "list"), ("decision", "show", "x")])
def test_a_database_at_another_revision_is_an_internal_failure_with_the_command_that_mends_it(
    database: Engine, database_url: str, arguments: tuple[str, ...]
) -> None:
    with database.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0000'"))
    done = invoke(*arguments, "--db", database_url, stdin=json.dumps(CLEAN))
    assert (done.exit_code, done.stdout) == (3, "")
    assert "is at revision 0000" in done.stderr
    assert "Run: dealgate db upgrade --db" in done.stderr
    assert count_rows(database) == NOTHING


def test_a_failure_inside_shows_its_traceback_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(command, "_checked", fail)
    done = invoke("evaluate", "-", stdin=json.dumps(CLEAN))
    assert (done.exit_code, done.stderr) == (3, "dealgate: RuntimeError: a defect\n")

    monkeypatch.setenv("DEALGATE_TRACEBACK", "1")
    assert isinstance(invoke("evaluate", "-", stdin=json.dumps(CLEAN)).exception, RuntimeError)


@pytest.mark.parametrize(
    "arguments", [("evaluate",), ("submit", "--dbb", "x", "-"), ("decision", "list", "--most", "0"), ("nothing",)]
)
def test_a_wrong_call_is_bad_input(arguments: tuple[str, ...]) -> None:
    assert invoke(*arguments).exit_code == 2
