"""`dealgate override request|grant|deny|list|show|clearance`, and the same question asked of a gate."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from dealgate import Gate
from dealgate.adapters.database import open_database
from dealgate.adapters.policies import load_policy
from dealgate.models import UnknownDealError
from tests.adapters.commands import invoke, json_lines
from tests.models.samples import OVERRIDABLE, a_deal


class Desk:
    """A database with the sample deal in it, referred by LTV-TOTAL."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        (folder / "policy.yaml").write_text(OVERRIDABLE)
        self.submit()

    def run(self, *arguments: str, exit_code: int = 0) -> Result:
        result = invoke(*arguments, "--db", self.url)
        assert result.exit_code == exit_code, result.output
        return result

    def submit(self, **changes: Any) -> str:
        (self.folder / "deals.jsonl").write_text(json_lines([a_deal(deal_id="D", **changes)]))
        policy = ("--policy", str(self.folder / "policy.yaml"))
        self.decision = json.loads(self.run("submit", str(self.folder / "deals.jsonl"), *policy, "--json").stdout)
        return str(self.decision["decision_id"])

    def override(self, *arguments: str, exit_code: int = 0) -> Result:
        return self.run("override", *arguments, exit_code=exit_code)

    def request(self, *arguments: str, exit_code: int = 0) -> Result:
        given = ["--reason", "STRONG-INCOME", "--note", "Ten years.", "--actor", "ann", *arguments]
        return self.override("request", self.decision["decision_id"], *given, exit_code=exit_code)

    def requested(self, *arguments: str) -> str:
        return self.request("--finding", "LTV-TOTAL", *arguments).stdout.splitlines()[-1]


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Desk:
    return Desk(database_url, tmp_path)


def test_from_the_request_to_the_cleared_deal(desk: Desk) -> None:
    assert desk.override("clearance", "D", exit_code=1).stdout == (
        "D submission 1, refer: not cleared\n  LTV-TOTAL refers the deal: no override was asked for\n"
    )
    asked = desk.request("--finding", "LTV-TOTAL", "--factor", "RESERVES").stdout.splitlines()
    assert asked[0] == "lets through D submission 1 against LTV-TOTAL: requested, 0 of 1 granted"
    refused = desk.override("grant", asked[1], "--role", "clerk", "--actor", "ben", exit_code=2)
    assert refused.stderr == (
        "the policy gives the role 'clerk' no authority; it gives some to: underwriter, credit-manager\n"
    )
    granted = json.loads(desk.override("grant", asked[1], "--role", "underwriter", "--actor", "ben", "--json").stdout)
    assert (granted["state"], granted["grants"][0]["actor"]) == ("in force", "ben")
    cleared = json.loads(desk.override("clearance", "D", "--json").stdout)
    assert (cleared["cleared"], cleared["overrides"], cleared["until"]) == (True, [asked[1]], granted["ends_at"])
    assert desk.override("clearance", "D").stdout == f"D submission 1, refer: cleared until {granted['ends_at']}\n"
    assert not json.loads(
        desk.override("clearance", "D", "--at", "2040-01-01T00:00:00Z", "--json", exit_code=1).stdout
    )["cleared"]
    desk.submit()
    desk.override("clearance", "D", exit_code=1)
    assert [one["state"] for one in json.loads(desk.override("list", "--json").stdout)] == ["superseded"]


def test_lists_and_shows_what_was_asked_and_said(desk: Desk) -> None:
    first, second = desk.requested(), desk.requested()
    desk.override("deny", first, "--note", "One is enough.", "--actor", "cyd")
    assert [one["override_id"] for one in json.loads(desk.override("list", "--json").stdout)] == [second, first]
    assert [one["state"] for one in json.loads(desk.override("list", "--deal", "D", "--json").stdout)] == [
        "requested",
        "denied",
    ]
    (denied,) = json.loads(desk.override("list", "--state", "denied", "--json").stdout)
    assert (denied["override_id"], denied["denied_by"]) == (first, "cyd")
    assert json.loads(desk.override("list", "--deal", "E", "--json").stdout) == []
    assert "STRONG-INCOME" in desk.override("list").stdout
    shown = desk.override("show", first).stdout.replace("\n", " ")
    for words in ("denied, 0 of 1 granted", "amount financed: 37769.67", "LTV-TOTAL 4019.67", "note: One is enough."):
        assert words in shown
    steps = json.loads(desk.override("show", first, "--json").stdout)["steps"]
    assert [(step["kind"], step["actor"]) for step in steps] == [
        ("override_request", "ann"),
        ("override_denial", "cyd"),
    ]


def test_a_deal_that_passes_is_turned_down(desk: Desk) -> None:
    desk.submit(cash_price="20000.00", products=[], vehicle__model_year=2025, applicant__monthly_income="9000.00")
    assert desk.override("clearance", "D").stdout == "D submission 2, pass: cleared\n"
    override = desk.request("--side", "high").stdout.splitlines()[-1]
    desk.override("grant", override, "--role", "credit-manager", "--actor", "ben")
    assert desk.override("clearance", "D", exit_code=1).stdout == (
        "D submission 2, pass: turned down\n  turned down by ben (credit-manager): STRONG-INCOME\n"
    )


def test_a_step_that_is_sent_again_under_its_key_is_taken_once(desk: Desk) -> None:
    override = desk.requested("--idempotency-key", "K-1")
    assert desk.requested("--idempotency-key", "K-1") == override
    for _ in range(2):
        desk.override("grant", override, "--role", "underwriter", "--actor", "ben", "--idempotency-key", "K-2")
    refused = desk.request("--finding", "PTI", "--idempotency-key", "K-1", exit_code=2)
    assert "'K-1' was used for something else" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["grant", "x", "--role", "r", "--actor", "ben"], "no override has the id 'x'"),
        (["grant", "x", "--role", "r", "--actor", "ben", "--until", "soon"], "is no moment with a time zone"),
        (["deny", "x", "--note", "n", "--actor", "ben"], "no override has the id 'x'"),
        (["show", "x"], "no override has the id 'x'; dealgate override list has them"),
        (["list", "--state", "open"], "no state is called 'open': use requested, in force, denied, ended, superseded"),
        (["clearance", "X"], "no deal 'X' was submitted"),
        (["clearance", "D", "--at", "now"], "is no moment with a time zone"),
    ],
)
def test_bad_input_is_refused_by_name(desk: Desk, arguments: list[str], words: str) -> None:
    assert words in desk.override(*arguments, exit_code=2).stderr


def test_a_gate_says_what_the_host_may_do(desk: Desk) -> None:
    gate = Gate(engine := open_database(desk.url), load_policy(str(desk.folder / "policy.yaml")))
    assert not gate.clearance("D").cleared
    desk.override("grant", desk.requested(), "--role", "underwriter", "--actor", "ben")
    assert gate.clearance("D").cleared
    with engine.begin() as connection:
        assert gate.clearance("D", session=connection).cleared
        gate.submit(a_deal(deal_id="D"), session=connection)
        found = gate.clearance("D", session=connection)
    assert (found.submission, found.cleared) == (2, False)
    with pytest.raises(UnknownDealError):
        gate.clearance("E")
    with pytest.raises(ValueError, match="a gate without a database knows no deals"):
        Gate(None, load_policy(str(desk.folder / "policy.yaml"))).clearance("D")
    engine.dispose()
