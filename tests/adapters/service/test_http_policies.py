"""Policy versions over HTTP: checked, added, approved by another person, in force, retired, read."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from dealgate.adapters.service.problems import ProblemError
from dealgate.adapters.service.reviewing import MOST_AT_ONCE, _turns, reviewed
from dealgate.models.versions import add_version
from tests.adapters.service.hosting import PEOPLE, Hosted, answered, fields_of, refused
from tests.databases import count_rows
from tests.models.samples import POLICY, a_policy

WRONG = POLICY.replace("vehicle_age <= 2", "vehicle_agee <= 2").replace("<= 45%", "<= $45")
DOUBTFUL = POLICY + 'examples: [{name: none, deal: {cash_price: "1.00"}, expect: {outcome: pass}}]\n'


class Committee(Hosted):
    def add(self, who: str = "ada", text: str | bytes = POLICY) -> httpx.Response:
        return self.call(who, "POST", "/v1/policies", content=text)

    def added(self, actor: str = "ada") -> str:
        """Without the review, which takes seconds."""
        with self.service.engine.begin() as connection:
            return add_version(connection, a_policy(), POLICY, datetime.now(UTC), actor=actor).sha256

    def check(self, text: str | bytes) -> httpx.Response:
        return self.call("ada", "POST", "/v1/policy-checks", content=text)

    def step(self, who: str, sha256: str, step: str, **form: Any) -> httpx.Response:
        return self.post(who, f"/v1/policies/{sha256}/{step}", form if step == "retire" else None)


@pytest.fixture
def committee(database_url: str) -> Iterator[Committee]:
    hosted = Committee(database_url, request_seconds=60)
    yield hosted
    hosted.close()


@pytest.fixture
def checker(tmp_path: Path) -> Iterator[Committee]:
    """With a database that nothing is asked of: whatever a check did with it would fail."""
    hosted = Committee(f"sqlite:///{tmp_path / 'empty.db'}", request_seconds=60)
    yield hosted
    hosted.close()


def test_a_version_from_its_author_into_force_and_out_of_it(committee: Committee) -> None:
    response = committee.add()
    added = answered(response, 201)
    sha256 = added["sha256"]
    assert (added["step"], added["actor"], added["replayed"]) == ("add", "ada", False)
    assert response.headers["location"] == f"/v1/policies/{sha256}"
    assert added["guarantees"] == {"stated": 0, "proved": 0}
    approved = answered(committee.step("pia", sha256, "approve"))
    assert (approved["step"], approved["actor"]) == ("approve", "pia")
    later = approved["starts_at"]
    row = answered(committee.get("sam", "/v1/policies", params={"at": later}))["policies"][0]
    assert (row["state"], row["from"], row["author"], row["sha256"]) == ("in force", later, "ada", sha256)
    retired = answered(committee.step("pia", sha256, "retire", at="2027-01-01T00:00:00-06:00"))
    assert retired["ends_at"] == "2027-01-01T06:00:00.000000Z"
    version = answered(committee.get("cole", f"/v1/policies/{sha256}"))
    assert version["document"] == POLICY
    assert [step["step"] for step in version["steps"]] == ["add", "approve", "retire"]
    rows = answered(committee.get("sam", "/v1/policies?state=retired&at=2027-02-01T00:00:00Z"))["policies"]
    assert [one["sha256"] for one in rows] == [sha256]
    assert answered(committee.get("sam", "/v1/policies?at=2020-01-01T00:00:00Z")) == {"policies": []}


def test_an_author_approves_nothing_of_their_own(committee: Committee) -> None:
    sha256 = committee.added("both")
    problem = refused(committee.step("both", sha256, "approve"), 409, "policy-version")
    assert "another person approves it" in problem["detail"]
    refused(committee.step("ada", sha256, "approve"), 403, "role")
    refused(committee.add("pia"), 403, "role")
    assert answered(committee.step("pia", sha256, "approve"))["actor"] == "pia"


def test_a_step_that_comes_again_is_taken_once(committee: Committee) -> None:
    sha256 = committee.added()
    assert answered(committee.add())["replayed"] is True
    assert "was added by ada" in refused(committee.add("both"), 409, "policy-version")["detail"]
    for step, form in (("approve", {}), ("retire", {"at": "2030-01-01T00:00:00Z"})):
        taken = [answered(committee.step("pia", sha256, step, **form)) for _ in range(2)]
        assert taken[1] == taken[0] | {"replayed": True}
    other = committee.step("pia", sha256, "retire", at="2031-01-01T00:00:00Z")
    assert "is retired already" in refused(other, 409, "policy-version")["detail"]
    assert count_rows(committee.service.engine)["dealgate_policy_step"] == 3


def test_two_who_approve_at_once_do_not_both(committee: Committee, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each looks whether it was approved before it approves."""
    monkeypatch.setitem(PEOPLE, "pit", replace(PEOPLE["pia"], name="pit"))
    sha256 = committee.added()
    with ThreadPoolExecutor(4) as callers:
        answers = list(callers.map(lambda who: committee.step(who, sha256, "approve"), ["pia", "pit", "pia", "pit"]))
    assert sorted(one.status_code for one in answers) == [200, 200, 409, 409]
    assert count_rows(committee.service.engine)["dealgate_policy_step"] == 2


def test_every_mistake_is_told_with_its_place(committee: Committee) -> None:
    problem = refused(committee.add(text=WRONG), 422, "policy")
    places = [(one["line"], one["field"], one["file"]) for one in problem["problems"]]
    lines = [number for number, line in enumerate(WRONG.splitlines(), 1) if "agee" in line or "$45" in line]
    assert places == [(line, "policy", "policy") for line in lines]
    first = problem["problems"][0]
    assert "vehicle_agee" in first["value"]
    assert first["column"] == WRONG.splitlines()[lines[0] - 1].index("vehicle_agee") + 1
    assert "vehicle_age" in first["remedy"]
    assert count_rows(committee.service.engine)["dealgate_policy_version"] == 0


def test_a_document_whose_example_fails_is_refused(committee: Committee) -> None:
    problem = refused(committee.add(text=DOUBTFUL), 422, "policy")
    assert "the example 'none' does not hold" in problem["problems"][0]["message"]
    assert count_rows(committee.service.engine)["dealgate_policy_version"] == 0


def test_what_is_no_policy_is_told_so(checker: Committee) -> None:
    for text in (b"\xff", b"", b" \n"):
        assert refused(checker.check(text), 422, "policy")["problems"][0]["line"] == 1
    for text in (b"[" * 5_000, b"a: &a [*a]"):
        assert answered(checker.check(text))["errors"][0]["line"] == 1


def test_a_check_stores_nothing(checker: Committee) -> None:
    checked = answered(checker.check(WRONG))
    assert (checked["policy"], len(checked["errors"])) == (None, 2)
    assert all(one["severity"] == "error" for one in checked["errors"])
    assert answered(checker.check(POLICY))["policy"]["name"] == "sample"


def test_a_check_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(ProblemError) as given_up:
        reviewed(POLICY, 0.1)
    assert given_up.value.document["type"] == "urn:dealgate:problem:too-long"


def test_a_check_that_takes_too_long_is_told_before_its_caller_is_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a worker that never comes to an end."""
    endless = tmp_path / "python"
    endless.write_text("#!/bin/sh\nexec sleep 60\n")
    endless.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(endless))
    hosted = Committee(f"sqlite:///{tmp_path / 'empty.db'}", request_seconds=2)
    refused(hosted.check(POLICY), 422, "too-long")
    hosted.close()


def test_a_check_waits_for_no_others(tmp_path: Path) -> None:
    """It would take a thread from those who decide deals, until its caller is sent away in other words."""
    hosted = Committee(f"sqlite:///{tmp_path / 'empty.db'}", request_seconds=1)
    with ExitStack() as checks:
        for _ in range(MOST_AT_ONCE):
            checks.enter_context(_turns)
        away = hosted.check(POLICY)
    assert "are being checked already" in refused(away, 503, "unavailable")["detail"]
    assert away.headers["retry-after"]
    hosted.close()


def test_another_content_under_a_version_that_is_taken(committee: Committee) -> None:
    committee.added()
    other = committee.add(text=POLICY.replace("<= 45%", "<= 46%"))
    assert "sample 1" in refused(other, 409, "policy-version")["detail"]


def test_what_is_not_there_is_not_found(committee: Committee) -> None:
    unknown = "0" * 64
    refused(committee.get("sam", f"/v1/policies/{unknown}"), 404, "not-found")
    refused(committee.step("pia", unknown, "approve"), 404, "not-found")
    refused(committee.step("pia", unknown, "retire"), 404, "not-found")
    assert fields_of(committee.get("sam", "/v1/policies/abc")) == {"path.sha256"}
    assert fields_of(committee.get("sam", "/v1/policies?at=now&state=old&most=x&name=a")) >= {"query.name"}
    assert fields_of(committee.step("pia", unknown, "retire", at="tomorrow", note="x")) == {"body.at", "body.note"}
