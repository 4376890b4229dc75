"""`dealgate policy add|approve|retire|list|show|in-force|shadow` and `dealgate submit --in-force`."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import Result

from dealgate.models import versions
from tests.adapters.commands import SAMPLES, invoke, read_lines
from tests.models.samples import POLICY


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "LEAD", timedelta(0))


class Record:
    """A database by its URL, and policy files beside it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def run(self, *arguments: str | Path, exit_code: int = 0) -> Result:
        result = invoke(*arguments, "--db", self.url)
        assert result.exit_code == exit_code, result.output
        return result

    def file(self, version: str, text: str = POLICY) -> Path:
        path = self.folder / f"sample_{version}.yaml"
        path.write_text(text.replace('version: "1"', f'version: "{version}"').replace("2027-11-01", "2040-11-01"))
        return path

    def put_in_force(self, file: Path) -> str:
        sha256 = self.run("policy", "add", file, "--actor", "ann").stdout.splitlines()[-1]
        self.run("policy", "approve", sha256, "--actor", "bob")
        return sha256


@pytest.fixture
def record(database_url: str, tmp_path: Path) -> Record:
    return Record(database_url, tmp_path)


def test_from_the_authors_draft_to_the_version_in_force(record: Record) -> None:
    added = record.run("policy", "add", record.file("1"), "--actor", "ann").stdout
    assert added.startswith("sample 1 is a draft of ann's; another person approves it by its hash:\n")
    sha256 = added.splitlines()[-1]
    (row,) = json.loads(record.run("policy", "list", "--json").stdout)
    assert (row["name"], row["version"], row["state"], row["author"]) == ("sample", "1", "draft", "ann")

    refused = record.run("policy", "approve", sha256, "--actor", "Ann", exit_code=2)
    assert refused.stderr == "ann added sample 1: another person approves it\n"
    assert (
        "sample 1 is approved by bob; it is in force from"
        in record.run("policy", "approve", sha256, "--actor", "bob").stdout
    )
    (tenure,) = json.loads(record.run("policy", "in-force", "--json").stdout)
    assert tenure["sha256"] == sha256

    shown = json.loads(record.run("policy", "show", "sample@1", "--json").stdout)
    assert [step["step"] for step in shown["steps"]] == ["add", "approve"]
    assert shown["document"] == record.file("1").read_text()


def test_deals_are_held_against_what_is_in_force(record: Record) -> None:
    record.put_in_force(record.file("1"))
    decisions = read_lines(record.run("submit", SAMPLES, "--in-force", "--json").stdout)
    assert {decision["policy"]["name"] for decision in decisions} == {"sample"}
    record.run("policy", "retire", "sample@1", "--actor", "bob")
    decisions = read_lines(record.run("submit", SAMPLES, "--in-force", "--json").stdout)
    assert {decision["outcome"] for decision in decisions} == {"refer"}
    both = record.run("submit", SAMPLES, "--in-force", "--policy", "prime-auto", exit_code=2)
    assert "give either --policy or --in-force" in both.stderr


def test_the_two_axes_of_time(record: Record) -> None:
    record.put_in_force(record.file("1"))
    assert (
        "no policy is in force at 2026-11-01" in record.run("policy", "in-force", "--at", "2026-11-01T00:00:00Z").stdout
    )
    later = record.run("policy", "in-force", "--at", "2039-01-01T00:00:00-06:00").stdout
    assert later.startswith("sample 1")
    before = ["--at", "2039-01-01T00:00:00Z", "--known-at", "2026-11-01T00:00:00Z"]
    assert record.run("policy", "in-force", *before).stdout.startswith("no policy is in force")


def test_a_document_whose_checks_or_examples_fail_is_not_put_on_record(record: Record) -> None:
    example = "examples: [{name: a promise, deal: {cash_price: 1000}, expect: {outcome: pass}}]\n"
    refused = record.run("policy", "add", record.file("1", POLICY + example), "--actor", "ann", exit_code=2)
    assert "the example 'a promise' does not hold" in refused.stderr
    never = POLICY.replace("require: total_ltv <= max_total_ltv", "require: total_ltv <= max_total_ltvv")
    record.run("policy", "add", record.file("2", never), "--actor", "ann", exit_code=2)
    assert json.loads(record.run("policy", "list", "--json").stdout) == []


def test_a_version_does_not_change_under_its_number(record: Record) -> None:
    record.put_in_force(record.file("1"))
    changed = record.file("1", POLICY.replace("125%", "120%"))
    refused = record.run("policy", "add", changed, "--actor", "ann", exit_code=2)
    assert "already recorded with other content" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["approve", "abc", "--actor", "bob"], "too short to stand for a content"),
        (["approve", "abcdef012345", "--actor", "bob"], "names no version on record"),
        (["retire", "sample", "--actor", "bob"], "names no version: give NAME@VERSION"),
        (["retire", "sample@9", "--actor", "bob"], "names no version on record"),
        (["retire", "sample@1", "--actor", "bob", "--at", "2020-01-01T00:00:00Z"], "has passed"),
        (["in-force", "--at", "yesterday"], "is no moment with a time zone"),
        (["shadow", "stop", "sample@1", "--actor", "bob"], "is no shadow"),
    ],
)
def test_bad_input_is_refused_by_name(record: Record, arguments: list[str], words: str) -> None:
    record.put_in_force(record.file("1"))
    assert words in record.run("policy", *arguments, exit_code=2).stderr


def test_a_shadow_is_reported(record: Record) -> None:
    record.put_in_force(record.file("1"))
    looser = record.file("2", POLICY.replace("125%", "500%").replace("110%", "500%"))
    record.run("policy", "add", looser, "--actor", "ann")
    assert (
        record.run("policy", "shadow", "start", "sample@2", "--actor", "ann").stdout
        == "sample 2 looks at 100 % of the deals\n"
    )
    assert record.run("policy", "shadow", "report", "sample@2").stdout == "It has not looked at a deal yet.\n"
    record.run("submit", SAMPLES, "--in-force")
    report = json.loads(record.run("policy", "shadow", "report", "sample@2", "--json").stdout)
    assert report["looked_at"] == 28
    assert (
        report["agreed"] + sum(one["submissions"] for one in report["outcomes"] if one["live"] != one["shadow"]) == 28
    )
    assert {flip["rule"] for flip in report["flips"]} == {"LTV-TOTAL"}
    assert report["examples"]
    shown = record.run("policy", "shadow", "report", "sample@2").stdout
    assert "Looked at 28 submissions" in shown
    assert (
        record.run("policy", "shadow", "stop", "sample@2", "--actor", "ann").stdout == "sample 2 looks on no longer\n"
    )


def test_versions_on_record_are_compared(record: Record) -> None:
    record.put_in_force(record.file("1"))
    record.run("policy", "add", record.file("2", POLICY.replace("125%", "120%")), "--actor", "ann")
    found = record.run("policy", "diff", "sample@1", "sample@2", "--json", exit_code=1)
    assert json.loads(found.stdout)
    assert "names no version on record" in record.run("policy", "diff", "sample@1", "sample@3", exit_code=2).stderr
