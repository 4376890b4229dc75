"""Overrides over HTTP: asked for, granted by who holds the authority, denied, read, and what they clear."""

from collections.abc import Iterator
from typing import Any

import pytest

from dealgate.adapters.database import open_database
from tests.adapters.service.hosting import Hosted, answered, fields_of, refused
from tests.databases import count_rows
from tests.models.overriding import LARGE, SMALL
from tests.models.samples import OVERRIDABLE, a_deal, compiled, submit

ASKED = {"rules": ["LTV-TOTAL"], "reason": "STRONG-INCOME", "note": "Ten years with the county."}


class Desk(Hosted):
    """A service with the sample deal in its database, referred by LTV-TOTAL."""

    def submitted(self, **changes: Any) -> str:
        with self.service.engine.begin() as connection:
            return submit(connection, a_deal(**(SMALL | changes)), policy=compiled(OVERRIDABLE)).decision_id

    def ask(self, decision_id: str, who: str = "ann", key: str | None = None, **given: Any) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        return self.post(who, "/v1/overrides", {"decision_id": decision_id, **ASKED, **given}, headers=headers)

    def asked(self, **changes: Any) -> str:
        override_id: str = answered(self.ask(self.submitted(**changes)), 201)["override_id"]
        return override_id


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    hosted = Desk(database_url)
    yield hosted
    hosted.close()


@pytest.fixture(scope="module")
def without_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """With a database in which nothing could be looked up."""
    hosted = Desk(f"sqlite:///{tmp_path_factory.mktemp('service') / 'empty.db'}")
    yield hosted
    hosted.close()


def test_from_the_request_to_the_cleared_deal(desk: Desk) -> None:
    decision = desk.submitted()
    assert answered(desk.get("sam", "/v1/deals/D/clearance"))["cleared"] is False
    asked = desk.ask(decision, compensating_factors=["RESERVES"])
    override = answered(asked, 201)
    assert asked.headers["location"] == f"/v1/overrides/{override['override_id']}"
    assert (override["state"], override["requested_by"], override["replayed"]) == ("requested", "ann", False)
    assert override["receipt"]["entry_id"] == override["override_id"]
    granted = answered(desk.post("cyd", f"{asked.headers['location']}/grant", {"role": "credit-manager"}))
    assert [(one["actor"], one["role"]) for one in granted["grants"]] == [("cyd", "credit-manager")]
    standing = answered(desk.get("sam", "/v1/deals/D/clearance"))
    assert (standing["cleared"], standing["overrides"]) == (True, [override["override_id"]])
    later = answered(desk.get("sam", "/v1/deals/D/clearance?at=2999-01-01T00:00:00Z"))
    assert later["cleared"] is False


def test_only_who_holds_the_authority_grants_in_it(desk: Desk) -> None:
    path = f"/v1/overrides/{desk.asked()}/grant"
    problem = refused(desk.post("ben", path, {"role": "credit-manager"}), 403, "authority")
    assert problem["detail"] == "ben does not hold the authority 'credit-manager', but: underwriter."
    assert "but: none" in refused(desk.post("ann", path, {"role": "underwriter"}), 403, "authority")["detail"]
    path = f"/v1/overrides/{desk.asked(**LARGE)}/grant"
    beyond = refused(desk.post("dee", path, {"role": "underwriter"}), 409, "override")
    assert "underwriter may not grant this" in beyond["detail"]


def test_where_two_persons_are_needed_two_others_grant(desk: Desk) -> None:
    path = f"/v1/overrides/{desk.asked(**LARGE)}"
    once = answered(desk.post("cyd", f"{path}/grant", {"role": "credit-manager"}))
    assert (once["state"], once["persons"]) == ("requested", 2)
    assert (
        "another person"
        in refused(desk.post("cyd", f"{path}/grant", {"role": "credit-manager"}), 409, "override")["detail"]
    )
    assert answered(desk.post("dee", f"{path}/grant", {"role": "credit-manager"}))["state"] == "in force"


def test_who_asked_is_none_of_the_two(desk: Desk) -> None:
    override = answered(desk.ask(desk.submitted(**LARGE), who="dee"), 201)["override_id"]
    problem = refused(desk.post("dee", f"/v1/overrides/{override}/grant", {"role": "credit-manager"}), 409, "override")
    assert "two other persons grant it" in problem["detail"]


def test_a_step_under_one_key_is_taken_once(desk: Desk) -> None:
    decision = desk.submitted()
    first, again = desk.ask(decision, key="K-1"), desk.ask(decision, key="K-1")
    assert answered(again, 200) == answered(first, 201) | {"replayed": True}
    refused(desk.ask(decision, key="K-1", note="Something else."), 422, "idempotency-key")
    refused(desk.ask(decision, who="ben", key="K-1"), 422, "idempotency-key")
    path = f"{first.headers['location']}/grant"
    grants = [desk.post("cyd", path, {"role": "credit-manager"}, headers={"Idempotency-Key": "K-2"}) for _ in range(2)]
    assert [answered(one)["replayed"] for one in grants] == [False, True]
    assert count_rows(desk.service.engine)["dealgate_override_step"] == 2
    assert fields_of(desk.ask(decision, key="Refused:1")) == {"Idempotency-Key"}


def test_a_denied_override_lets_nothing_through(desk: Desk) -> None:
    path = f"/v1/overrides/{desk.asked()}"
    denied = answered(desk.post("ben", f"{path}/deny", {"note": "Not this one."}))
    assert (denied["state"], denied["denied_by"]) == ("denied", "ben")
    assert (
        "ben denied the override"
        in refused(desk.post("cyd", f"{path}/grant", {"role": "credit-manager"}), 409, "override")["detail"]
    )


def test_a_submitter_reads_no_note(desk: Desk) -> None:
    path = f"/v1/overrides/{desk.asked()}"
    assert "steps" not in answered(desk.get("sam", path))
    for who in ("ann", "cole"):
        assert answered(desk.get(who, path))["steps"][0]["note"] == ASKED["note"]


def test_overrides_are_listed_the_latest_first(desk: Desk) -> None:
    first, second = desk.asked(), desk.asked(deal_id="E")
    listed = answered(desk.get("cole", "/v1/overrides"))["overrides"]
    assert [one["override_id"] for one in listed] == [second, first]
    of_deal = answered(desk.get("cole", "/v1/overrides?deal=D&state=requested"))["overrides"]
    assert [one["override_id"] for one in of_deal] == [first]
    assert answered(desk.get("cole", "/v1/overrides?state=denied")) == {"overrides": []}
    assert len(answered(desk.get("cole", "/v1/overrides?most=1"))["overrides"]) == 1


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"rules": "LTV-TOTAL"}, "body.rules"),
        ({"rules": ["\0"]}, "body.rules.0"),
        ({"rules": ["\ud800"]}, "body.rules.0"),
        ({"rules": ["R"] * 201}, "body.rules"),
        ({"side": "left"}, "body.side"),
        ({"reason": ""}, "body.reason"),
        ({"note": "n" * 4_001}, "body.note"),
        ({"decision_id": "d" * 37}, "body.decision_id"),
        ({"compensating_factors": [1]}, "body.compensating_factors.0"),
        ({"actor": "somebody else"}, "body.actor"),
    ],
)
def test_a_bad_field_is_named(without_tables: Desk, given: dict[str, Any], field: str) -> None:
    assert fields_of(without_tables.ask(**({"decision_id": "x"} | given))) == {field}


def test_an_end_is_a_moment_with_its_zone(desk: Desk) -> None:
    path = f"/v1/overrides/{desk.asked()}/grant"
    for end in ("2026-12-01", "2026-12-01T10:00:00", "soon", 1_800_000_000, "0001-01-01T00:00:00+23:59"):
        assert fields_of(desk.post("cyd", path, {"role": "credit-manager", "until": end})) == {"body.until"}
    late = desk.post("cyd", path, {"role": "credit-manager", "until": "2998-12-01T10:00:00Z"})
    assert "is not after now and at most" in refused(late, 409, "override")["detail"]


def test_what_is_not_there_is_not_found(desk: Desk) -> None:
    desk.submitted()
    assert "no decision has the id 'none'" in refused(desk.ask("none"), 404, "not-found")["detail"]
    for response in (
        desk.get("ann", "/v1/overrides/none"),
        desk.post("cyd", "/v1/overrides/none/grant", {"role": "credit-manager"}),
        desk.post("cyd", "/v1/overrides/none/deny", {"note": "No."}),
        desk.get("sam", "/v1/deals/none/clearance"),
    ):
        refused(response, 404, "not-found")
    unknown = refused(desk.ask(desk.submitted(), reason="WHIM"), 409, "override")
    assert "the policy has no reason 'WHIM'" in unknown["detail"]
    assert [(one["field"], one["value"]) for one in unknown["problems"]] == [("body.reason", "WHIM")]


def test_a_parameter_that_nobody_knows_is_refused(without_tables: Desk) -> None:
    assert fields_of(without_tables.get("cole", "/v1/overrides?sate=denied")) == {"query.sate"}
    assert fields_of(without_tables.get("cole", "/v1/overrides?state=open&most=0&deal=%00")) == {
        "query.state",
        "query.most",
        "query.deal",
    }


def test_a_deal_with_a_stroke_in_its_id_has_a_clearance(desk: Desk) -> None:
    desk.submitted(deal_id="A/1")
    assert answered(desk.get("sam", "/v1/deals/A%2F1/clearance"))["deal_id"] == "A/1"


def test_a_submission_in_between_makes_the_old_decision_no_longer_overridable(desk: Desk) -> None:
    first = desk.submitted()
    second = desk.submitted()
    assert second in refused(desk.ask(first), 409, "override")["detail"]


def test_reading_waits_for_no_writer(database_url: str, desk: Desk) -> None:
    desk.submitted()
    writer = open_database(database_url)
    with writer.begin() as connection:
        submit(connection, a_deal(deal_id="E"), policy=compiled(OVERRIDABLE))
        assert answered(desk.get("sam", "/v1/deals/D/clearance"))["deal_id"] == "D"
        assert answered(desk.get("cole", "/v1/overrides")) == {"overrides": []}
    writer.dispose()
