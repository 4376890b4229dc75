"""From the host's payload through the gate and back: the reply in the host's fields."""

import csv
import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring
from sqlalchemy import Engine

from dealgate import Gate, Outcome
from dealgate.adapters.mapped_files import MappedFile
from dealgate.adapters.mappings import SHIPPED, load_mapping
from dealgate.adapters.mappings.reply_documents import KEYS
from tests.adapters.commands import dealgate, invoke, read_lines
from tests.adapters.mappings import hosts
from tests.adapters.mappings.test_shipped_mappings import BARE, DEAL, LOAN, WRITERS

WORDS: Mapping[str, Mapping[str, str]] = {
    "routeone": {"pass": "Approved", "flag": "Approved", "refer": "Pending", "decline": "Declined"},
    "meridianlink": {"pass": "APP", "flag": "APP", "refer": "REF", "decline": "DEC"},
    "dealertrack": {"pass": "Approved", "flag": "Approved", "refer": "Pending", "decline": "Declined"},
    "csv": {"pass": "pass", "flag": "flag", "refer": "refer", "decline": "decline"},
}


def said(name: str, reply: Any) -> tuple[Any, Any, list[Any]]:
    """Deal, status and reasons as the host reads them."""
    match name:
        case "routeone":
            root = fromstring(reply)
            return (
                root.findtext(".//ApplicationNumber"),
                root.findtext(".//ApplicationStatus"),
                [one.text for one in root.iter("Reason")],
            )
        case "meridianlink":
            root = fromstring(reply)
            status = next(one.get("loan_status") for one in root.iter("LOAN_STATUS"))
            return root.get("loan_number"), status, [one.text for one in root.iter("APPROVAL_DENIAL_REASON")]
        case "csv":
            (row,) = csv.DictReader(StringIO(reply))
            return row["deal_id"], row["outcome"], row["reasons"].split("; ") if row["reasons"] else []
    return reply["LeadReferenceNumber"], reply["Decision"], reply["Reasons"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_payload_is_submitted_and_answered(name: str, database: Engine) -> None:
    mapping, gate = load_mapping(name), Gate(database, "prime-auto")
    verdict = gate.submit(mapping.deal(WRITERS[name](DEAL)).document, actor=name)
    reply = mapping.reply(verdict.decision)
    assert said(name, reply) == ("D-1", WORDS[name][verdict.outcome], list(verdict.decision["reasons"]))
    assert said(name, mapping.reply(json.loads(verdict.text))) == said(name, reply)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_the_host_s_word(name: str, outcome: Outcome) -> None:
    decision = {"deal_id": "D <1> & \x01co", "outcome": str(outcome), "reasons": [], "measures": {}, "findings": []}
    deal_id, status, reasons = said(name, load_mapping(name).reply(decision))
    assert (status, reasons) == (WORDS[name][outcome], [])
    assert deal_id.startswith("D <1> & ")


def test_a_decision_has_every_key_that_a_reply_may_name() -> None:
    done = invoke("evaluate", Path(__file__).parents[3] / "examples" / "deals.jsonl", "--json")
    assert set(read_lines(done.stdout)[0]) == set(KEYS)


def test_what_no_reply_can_say_is_an_error() -> None:
    with pytest.raises(ValueError, match="absee has no reply"):
        load_mapping("absee").reply({})
    with pytest.raises(ValueError, match="no word for 'maybe'"):
        load_mapping("csv").reply({"outcome": "maybe"})


# The command line


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / "application.xml"
    path.write_bytes(hosts.routeone(DEAL, SalesPerson="A. Bell"))
    return path


def test_the_installed_command_submits_a_payload_and_answers_it(payload: Path, database_url: str) -> None:
    submitted = dealgate("submit", payload, "--mapping", "routeone", "--json", "--db", database_url)
    assert (submitted.returncode, submitted.stderr) == (0, "")
    (decision,) = read_lines(submitted.stdout)
    answered = dealgate("mapping", "reply", "routeone", "-", stdin=submitted.stdout)
    assert (answered.returncode, answered.stderr) == (0, "")
    assert said("routeone", answered.stdout.encode()) == (
        "D-1",
        WORDS["routeone"][decision["outcome"]],
        decision["reasons"],
    )


def test_a_payload_is_shown_as_a_deal(payload: Path, tmp_path: Path) -> None:
    done = invoke("mapping", "run", "routeone", payload)
    assert done.exit_code == 0
    (document,) = read_lines(done.stdout)
    assert document == load_mapping("routeone").deal(payload.read_bytes()).document
    assert done.stderr == "note: routeone: nothing reads DataArea.CreditApplication.Detail.Financing.SalesPerson\n"

    rows = tmp_path / "deals.csv"
    rows.write_bytes(hosts.csv_text([hosts.csv_cells(DEAL), hosts.csv_cells(BARE)]))
    for command in ("run", "csv"), ("run", "csv", "-"):
        done = invoke("mapping", *command[:2], command[2] if len(command) > 2 else rows, stdin=rows.read_bytes())
        assert [document["deal_id"] for document in read_lines(done.stdout)] == ["D-1", "D-2"]
    evaluated = invoke("evaluate", rows, "--mapping", "csv", "--json")
    assert [decision["deal_id"] for decision in read_lines(evaluated.stdout)] == ["D-1", "D-2"]


def test_remarks_are_told_beside_the_decision(tmp_path: Path) -> None:
    asked = tmp_path / "deal.json"
    asked.write_bytes(hosts.dealertrack(DEAL, AmountRequesting="30000.00"))
    done = invoke("evaluate", asked, "--mapping", "dealertrack", "--json")
    assert done.exit_code == 0
    assert done.stderr.startswith(f"note: {asked}: AmountRequesting 30000.00 does not agree with 34644.69")


def test_nothing_is_stored_where_one_of_many_cannot_be_read(tmp_path: Path, database_url: str) -> None:
    rows = tmp_path / "deals.csv"
    rows.write_bytes(hosts.csv_text([hosts.csv_cells(DEAL), hosts.csv_cells(BARE) | {"cash_down": "1e3"}]))
    done = invoke("submit", rows, "--mapping", "csv", "--db", database_url)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{rows}: csv: line 3: cash_down -> cash_down: not a plain number (got '1e3').")
    assert invoke("decision", "list", "--json", "--db", database_url).stdout == ""


def test_payloads_that_are_cut_off_between_two_readings_do_not_pass_for_submitted(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, check = tmp_path / "deals.csv", MappedFile.check
    rows.write_bytes(hosts.csv_text([hosts.csv_cells(DEAL), hosts.csv_cells(BARE)]))

    def and_then_cut(checked: MappedFile) -> object:
        found = check(checked)
        rows.write_bytes(hosts.csv_text([hosts.csv_cells(DEAL)]))
        return found

    monkeypatch.setattr(MappedFile, "check", and_then_cut)
    done = invoke("submit", rows, "--mapping", "csv", "--db", database_url)
    assert done.exit_code == 2
    assert f"{rows}: the file changed while it was read: at first it held 2 deals (got 1)." in done.stderr


def test_bad_input_has_exit_code_2_and_says_what_is_wrong(payload: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.xml"
    damaged.write_bytes(payload.read_bytes().replace(b"1500.00", b"1500.005"))
    empty = tmp_path / "empty.csv"
    empty.write_text("deal_id\n")
    own = tmp_path / "own.yaml"
    own.write_text("mapping: own\n")
    for command, message in (
        (("run", "routeone", damaged), "DownPaymentAmount -> cash_down: a fraction of a cent (got '1500.005')"),
        (("run", "routeone", tmp_path / "nowhere.xml"), "cannot be read: No such file"),
        (("run", "csv", empty), "csv: there is no deal in"),
        (("run", "nonsense", payload), "the mapping cannot be read"),
        (("check", own), "own.yaml:1:1: error: a mapping lacks the entry 'deal'"),
        (("reply", "absee", damaged), "the mapping absee has no reply"),
        (("reply", "routeone", tmp_path / "nowhere.json"), "cannot be read: No such file"),
        (("reply", "routeone", damaged), "not JSON"),
        (("reply", "routeone", own), "not JSON"),
    ):
        done = invoke("mapping", *command)
        assert (done.exit_code, done.stdout) == (2, "")
        assert message in done.stderr


def test_shipped_mappings_are_listed_checked_and_shown() -> None:
    listed = invoke("mapping", "list").stdout
    assert [line.split()[0] for line in listed.splitlines()] == list(SHIPPED)
    for name in SHIPPED:
        assert invoke("mapping", "check", name).stdout.startswith(f"{name} 1: ")
        assert invoke("mapping", "show", name).stdout == load_mapping(name).text


def test_an_exhibit_is_evaluated_loan_by_loan(tmp_path: Path) -> None:
    exhibit = tmp_path / "exhibit.xml"
    exhibit.write_bytes(hosts.xml("assetData", {"assets": [hosts.absee_parts(LOAN)] * 3}))
    done = invoke("evaluate", exhibit, "--mapping", "absee", "--json")
    assert [decision["deal_id"] for decision in read_lines(done.stdout)] == [
        f"0001083199-01/{number}" for number in (1, 2, 3)
    ]
