"""Compliance over HTTP: decisions found and taken along, made again, reports, case files, notices and their clocks."""

import json
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from zipfile import ZipFile

import pytest
from sqlalchemy import Connection, text

from dealgate.adapters.compliance.check import CaseFile
from dealgate.adapters.compliance.exports import check_against_ledger, check_file
from dealgate.adapters.compliance.reports import REPORTS
from dealgate.adapters.service import audited_deals
from dealgate.adapters.service.timed_reading import TooLongError, reading_within
from dealgate.models.overrides import HOLD_DEAL
from tests.adapters.service.hosting import Hosted, answered, fields_of, refused
from tests.databases import count_rows
from tests.models.ledgers import a_signer, seal_all, submit_deals
from tests.models.samples import a_deal, submit

SENT = {"kind": "adverse_action", "sent_at": "2026-11-21T10:00:00-06:00", "channel": "mail", "note": "First."}


class Records(Hosted):
    def search(self, query: Any, **parameters: Any) -> Any:
        return self.post("cole", "/v1/audit/search", query, params=parameters)

    def notice(self, deal: str = "D-0", **given: Any) -> Any:
        return self.post("cole", f"/v1/audit/deals/{deal}/notices", SENT | given)


@pytest.fixture
def records(database_url: str) -> Iterator[Records]:
    hosted = Records(database_url, request_seconds=60, query_seconds=60)
    yield hosted
    hosted.close()


@pytest.fixture(scope="module")
def without_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Records]:
    """With a database in which nothing could be looked up."""
    hosted = Records(f"sqlite:///{tmp_path_factory.mktemp('service') / 'empty.db'}")
    yield hosted
    hosted.close()


@pytest.fixture
def decisions(records: Records) -> list[str]:
    """Six, in turn about D-0 and D-1."""
    return submit_deals(records.service.engine, 6, deals=2)


def test_decisions_are_found_page_by_page(records: Records, decisions: list[str]) -> None:
    first = answered(records.search({"deals": "D-0"}, most=2))
    rest = answered(records.search({"deals": "D-0"}, most=2, cursor=first["next"]))
    assert [row["decision_id"] for row in first["rows"] + rest["rows"]] == decisions[-2::-2]
    assert (rest["next"], rest["query"]) == (None, {"deals": ["D-0"]})


def test_what_a_reader_may_not_see_is_masked(records: Records, decisions: list[str]) -> None:
    def row(reader: str) -> Any:
        return answered(records.search({}, most=1, reader=reader))["rows"][0]

    assert row("compliance")["vin"] == a_deal()["vehicle"]["vin"]
    assert row("analyst")["vin"] == row("outside")["vin"] == row("outside")["credit_score"]
    assert row("analyst")["credit_score"] == "684"
    assert fields_of(records.search({"actors": "sam"}, reader="outside"), "query") == {"actors"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"outcomes": ["maybe"]}, "outcomes"),
        ({"states": "Texas"}, "states"),
        ({"measures": "total_ltv > much"}, "measures"),
        ({"measures": "total_ltv > " + "9" * 150}, "measures"),
        ({"as_of": "yesterday"}, "as_of"),
        ({"as_of": "2026-11-20T10:00:00"}, "as_of"),
        ({"as_of": "0001-01-01T00:00:00+23:59"}, "as_of"),
        ({"decided_from": "2026-11-21T00:00:00Z", "decided_before": "2026-11-20T00:00:00Z"}, "decided_before"),
        ({"override": "none", "grantors": "ben"}, "override"),
        ({"notices": ["none", "approval"]}, "notices"),
    ],
)
def test_a_query_that_cannot_be_asked_names_its_part(without_tables: Records, query: Any, field: str) -> None:
    problem = refused(without_tables.search(query), 422, "query")["problems"][0]
    assert problem["field"] == field
    assert problem["remedy"]


def test_a_query_is_bounded_and_known(without_tables: Records) -> None:
    assert fields_of(without_tables.search({"deal": "D-0"})) == {"body.deal"}
    assert "body.as_of" in fields_of(without_tables.search({"as_of": None}))
    assert all(one.startswith("body.deals") for one in fields_of(without_tables.search({"deals": ["D"] * 1_001})))
    assert all(one.startswith("body.deals") for one in fields_of(without_tables.search({"deals": ["\0"]})))
    assert all(one.startswith("body.tiers") for one in fields_of(without_tables.search({"tiers": ["\ud800"]})))
    assert fields_of(without_tables.search({}, cursor="x"), "query") == {"cursor"}
    assert fields_of(without_tables.search({}, most=0, reader="auditor")) == {"query.most", "query.reader"}
    assert fields_of(without_tables.search([])) == {"body"}


@pytest.mark.parametrize("file_format", ["jsonl", "xlsx"])
def test_an_export_is_the_file_with_its_manifest(
    records: Records, decisions: list[str], file_format: str, tmp_path: Path
) -> None:
    response = records.post("cole", f"/v1/audit/exports?format={file_format}&reader=analyst", {"outcomes": "refer"})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/zip")
    with ZipFile(BytesIO(response.content)) as zipped:
        zipped.extractall(tmp_path)
    path = tmp_path / f"decisions.{file_format}"
    manifest = json.loads((tmp_path / f"{path.name}.manifest.json").read_text())
    assert (manifest["rows"], manifest["actor"], manifest["role"]) == (6, "cole", "analyst")
    assert check_file(path, manifest) == []
    with records.service.reading() as connection:
        assert check_against_ledger(connection, path, manifest) == []


def test_a_part_is_never_taken_for_the_whole(database_url: str) -> None:
    records = Records(database_url, most_export_rows=3)
    submit_deals(records.service.engine, 3)
    assert records.post("cole", "/v1/audit/exports", {}).status_code == 200
    submit_deals(records.service.engine, 1, first=3)
    problem = refused(records.post("cole", "/v1/audit/exports", {}), 422, "request")["problems"][0]
    assert (problem["field"], problem["message"]) == ("query.most", "there are more than 3 decisions")
    assert records.post("cole", "/v1/audit/exports?most=2", {}).status_code == 200
    assert fields_of(records.post("cole", "/v1/audit/exports?most=4", {})) == {"query.most"}
    records.close()


def test_decisions_are_made_again(records: Records, decisions: list[str]) -> None:
    by_ids = answered(records.post("cole", "/v1/audit/replays", {"ids": decisions[:2]}))
    assert (by_ids["verdicts"]["match"], by_ids["drifted"], by_ids["next"]) == (2, [], None)
    first = answered(records.post("cole", "/v1/audit/replays", {"query": {"deals": "D-1"}, "most": 2}))
    rest = {"query": {"deals": "D-1"}, "most": 2, "cursor": first["next"]}
    assert [first["decisions"], answered(records.post("cole", "/v1/audit/replays", rest))["decisions"]] == [2, 1]
    none = {"query": {"deals": "D-9"}}
    assert answered(records.post("cole", "/v1/audit/replays", none))["decisions"] == 0
    unknown = refused(records.post("cole", "/v1/audit/replays", {"ids": ["none"]}), 404, "not-found")
    assert unknown["detail"] == "no decision has the id 'none'"
    for form in ({}, {"ids": ["a"], "query": {}}, {"ids": ["a"], "cursor": "x"}):
        assert fields_of(records.post("cole", "/v1/audit/replays", form)) == {"body"}
    assert fields_of(records.post("cole", "/v1/audit/replays", {"query": {}, "most": 101})) == {"body.most"}


def test_every_report_is_told_with_its_question(records: Records, decisions: list[str]) -> None:
    listed = answered(records.get("cole", "/v1/audit/reports"))["reports"]
    assert [(one["name"], one["question"]) for one in listed] == [(r.name, r.question) for r in REPORTS.values()]
    for one in listed:
        page = answered(records.get("cole", f"/v1/audit/reports/{one['name']}?since=2026-11-01"))
        assert page["report"] == one["name"]
        names = [column["name"] for column in page["columns"]]
        assert all(list(row) == sorted(names) for row in page["rows"])


def test_a_report_is_read_page_by_page_as_of_one_moment(records: Records, decisions: list[str]) -> None:
    path = "/v1/audit/reports/findings"
    whole = answered(records.get("cole", path))["rows"]
    first = answered(records.get("cole", f"{path}?limit=2"))
    with records.service.engine.begin() as connection:
        submit(connection, a_deal(deal_id="E"), now=datetime.now(UTC))
    found = first["rows"]
    while first["next"]:
        first = answered(records.get("cole", path, params={"limit": 2, "cursor": first["next"]}))
        found += first["rows"]
    assert found == whole


@pytest.mark.parametrize(
    ("given", "field", "kind"),
    [
        ("until=2026-11-01&since=2026-11-02", "query.until", "report"),
        ("by=colour", "query.by", "report"),
        ("cursor=x", "query.cursor", "report"),
        ("set.colour=red", "query.set", "report"),
        ("set.severity=1&set.severity=2", "query.set", "request"),
        ("since=then", "query.since", "request"),
        ("limit=0", "query.limit", "request"),
        ("as-of=2026-11-01", "query.as-of", "request"),
    ],
)
def test_a_report_that_cannot_be_given_names_the_parameter(
    without_tables: Records, given: str, field: str, kind: str
) -> None:
    assert fields_of(without_tables.get("cole", f"/v1/audit/reports/exceptions?{given}"), kind) == {field}


@pytest.mark.parametrize("path", ["reports", "deals/D/clocks"])
def test_only_a_report_has_parameters_of_its_own(without_tables: Records, path: str) -> None:
    assert fields_of(without_tables.get("cole", f"/v1/audit/{path}?set.colour=red")) == {"query.set.colour"}


@pytest.mark.parametrize(("name", "parameter"), [("near-limits", "width"), ("retention", "months")])
@pytest.mark.parametrize("value", ["wide", "-1", "0", "9" * 40, "2.5"])
def test_a_parameter_of_a_report_that_makes_no_sense_is_refused(
    records: Records, name: str, parameter: str, value: str
) -> None:
    response = records.get("cole", f"/v1/audit/reports/{name}", params={f"set.{parameter}": value})
    assert response.status_code == 200 or fields_of(response, "report") == {"query.set"}, response.text


def test_a_report_that_is_none_is_not_found(without_tables: Records) -> None:
    assert "worklist" in refused(without_tables.get("cole", "/v1/audit/reports/none"), 404, "not-found")["detail"]


def test_a_case_file_passes_its_own_check(records: Records, decisions: list[str]) -> None:
    path = "/v1/audit/deals/D-0/file"
    refused(records.get("cole", path), 409, "not-sealed")
    seal_all(records.service.engine, a_signer())
    refused(records.get("cole", "/v1/audit/deals/none/file"), 404, "not-found")
    response = records.get("cole", f"{path}?reader=outside")
    assert response.status_code == 200
    with ZipFile(BytesIO(response.content)) as zipped:
        files = {name: zipped.read(name) for name in zipped.namelist()}
    CaseFile(files).check()
    assert a_deal()["vehicle"]["vin"].encode() not in b"".join(files.values())
    assert a_deal()["vehicle"]["vin"].encode() in b"".join(
        ZipFile(BytesIO(records.get("cole", path).content)).read(name) for name in files
    )


def test_without_room_for_a_file_the_answer_says_so(
    records: Records, decisions: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a container whose file system cannot be written."""
    seal_all(records.service.engine, a_signer())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    for answer in (records.post("cole", "/v1/audit/exports", {}), records.get("cole", "/v1/audit/deals/D-0/file")):
        assert "temporary folder" in refused(answer, 503, "unavailable")["detail"]


def test_a_case_file_of_very_many_entries_is_for_the_command_line(
    records: Records, decisions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audited_deals, "MOST_ENTRIES", 2)
    assert fields_of(records.get("cole", "/v1/audit/deals/D-0/file")) == {"path.deal_id"}


def test_a_notice_is_recorded_once(records: Records, decisions: list[str]) -> None:
    first, again = records.notice(), records.notice()
    assert answered(again, 200) == answered(first, 201) | {"replayed": True}
    for other in ({"note": "Second."}, {"channel": "email"}, {"decision_id": decisions[0]}, {"reasons": ["Other"]}):
        name = next(iter(other))
        assert f"with another {name}" in refused(records.notice(**other), 409, "notice")["detail"]
    answered(records.notice(kind="counteroffer"), 201)
    assert count_rows(records.service.engine)["dealgate_notice"] == 2


def test_two_who_record_the_same_notice_at_once_record_one(records: Records, decisions: list[str]) -> None:
    """Both have begun before either can record: whoever looks before its turn finds nothing."""
    with ThreadPoolExecutor(2) as callers:
        with records.service.engine.begin() as connection:
            connection.execute(HOLD_DEAL, {"deal": "D-0"})
            begun = [callers.submit(records.notice) for _ in range(2)]
            wait_for_queue(connection, 2)
        answers = [one.result() for one in begun]
    assert sorted(one.status_code for one in answers) == [200, 201]
    assert count_rows(records.service.engine)["dealgate_notice"] == 1


def wait_for_queue(connection: Connection, length: int) -> None:
    """Until so many wait for what others hold; SQLite does not tell, and lets nobody begin."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    until = monotonic() + 30
    while connection.dialect.name == "postgresql" and monotonic() < until:
        if connection.execute(waiting).scalar_one() >= length:
            return
        sleep(0.02)
    sleep(0.2)


def test_a_notice_that_cannot_be_names_the_field(records: Records, decisions: list[str]) -> None:
    assert fields_of(records.notice(kind="letter", sent_at="2026-11-21", channel="pigeon", to="x")) == {
        "body.kind",
        "body.sent_at",
        "body.channel",
        "body.to",
    }
    assert fields_of(records.notice(sent_at="2998-11-21T10:00:00Z")) == {"body.sent_at"}
    assert fields_of(records.notice(reasons=["Whim"]), "notice") == {"body.reasons"}
    assert fields_of(records.notice(decision_id="none"), "notice") == {"body.decision_id"}
    assert fields_of(records.notice(kind="approval", reasons=["Whim"]), "notice") == {"body.kind"}
    refused(records.notice(deal="none"), 404, "not-found")
    assert count_rows(records.service.engine)["dealgate_notice"] == 0


def test_clocks_run_until_a_notice_stops_them(records: Records, decisions: list[str]) -> None:
    path = "/v1/audit/deals/D-0/clocks"
    running = answered(records.get("cole", f"{path}?time_zone=America/Chicago"))["clocks"]
    assert {one["met_on"] for one in running} == {None}
    answered(records.notice(), 201)
    assert answered(records.get("cole", path))["clocks"][0]["met_on"] == "2026-11-21"
    assert fields_of(records.get("cole", f"{path}?time_zone=Mars")) == {"query.time_zone"}
    refused(records.get("cole", "/v1/audit/deals/none/clocks"), 404, "not-found")


def test_nobody_else_asks(without_tables: Records) -> None:
    asked = [
        ("POST", "/v1/audit/search"),
        ("POST", "/v1/audit/exports"),
        ("POST", "/v1/audit/replays"),
        ("GET", "/v1/audit/reports"),
        ("GET", "/v1/audit/reports/findings"),
        ("GET", "/v1/audit/deals/D/file"),
        ("GET", "/v1/audit/deals/D/clocks"),
        ("POST", "/v1/audit/deals/D/notices"),
    ]
    for method, path in asked:
        for who in ("sam", "ann", "ada", "pia"):
            refused(without_tables.call(who, method, path), 403, "role")
        refused(without_tables.call("nobody", method, path), 401, "credential")


def many_times(connection: Connection) -> None:
    while True:
        connection.execute(text("SELECT 1"))


def test_a_question_that_takes_too_long_is_given_up(database_url: str) -> None:
    records = Records(database_url, query_seconds=0.2)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(TooLongError), reading_within(records.service) as connection:
        connection.execute(text(endless))
    with pytest.raises(TooLongError), reading_within(records.service) as connection:
        many_times(connection)
    with records.service.reading() as connection:  # the limit does not stay behind
        assert connection.execute(text("SELECT sum(x.entries) FROM dealgate_deal AS x")).scalar() is None
    assert answered(records.search({}))["rows"] == []
    records.close()


def test_asking_waits_for_no_writer(records: Records, decisions: list[str]) -> None:
    with records.service.engine.begin() as connection:
        submit(connection, a_deal(deal_id="E"))
        assert len(answered(records.search({}))["rows"]) == 6
