"""Deals over HTTP: submitted, evaluated, read back; as deal documents and as hosts' payloads."""

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from sqlalchemy import Engine

from dealgate.adapters.mappings import load_mapping
from dealgate.models import find_decision
from tests.adapters.mappings.test_hostile_payloads import GOOD
from tests.adapters.service.hosting import Hosted, answered, fields_of, refused
from tests.databases import NOTHING, count_rows
from tests.models.samples import a_deal

DEALS = "/v1/submissions"


@pytest.fixture
def hosted(database_url: str) -> Iterator[Hosted]:
    host = Hosted(database_url, policy="prime-auto")
    yield host
    host.close()


def test_a_deal_is_decided_and_recorded_and_the_same_key_gets_the_same_answer(hosted: Hosted, database: Engine) -> None:
    key = {"Idempotency-Key": "los-17"}
    first = hosted.post("sam", DEALS, a_deal(), headers=key)
    decision = answered(first, 201)
    again = answered(hosted.post("sam", DEALS, a_deal(), headers=key), 200)
    assert (decision["replayed"], again["replayed"]) == (False, True)
    assert {**again, "replayed": False} == decision
    assert first.headers["location"] == f"/v1/decisions/{decision['decision_id']}"
    stored = answered(hosted.get("sam", first.headers["location"]))
    assert stored == {name: part for name, part in decision.items() if name not in {"replayed", "receipt"}}
    with database.connect() as connection:
        assert find_decision(connection, decision["decision_id"]) == stored
        actor = connection.exec_driver_sql("SELECT actor, entry_id, leaf_hash FROM dealgate_ledger_entry").all()[-1]
    assert (actor.actor, actor.entry_id) == ("sam", decision["receipt"]["entry_id"])
    assert bytes(actor.leaf_hash).hex() == decision["receipt"]["leaf_hash"]


def test_a_key_that_came_with_another_deal_is_refused(hosted: Hosted) -> None:
    key = {"Idempotency-Key": "los-17"}
    answered(hosted.post("sam", DEALS, a_deal(), headers=key), 201)
    refused(hosted.post("sam", DEALS, a_deal(cash_price="1.00"), headers=key), 422, "idempotency-key")


@pytest.mark.parametrize("key", ["refused:1", "REFUSED:1", "", "with space", "x" * 201])
def test_a_key_that_cannot_be_one_is_refused_by_name(hosted: Hosted, database: Engine, key: str) -> None:
    answer = hosted.post("sam", DEALS, a_deal(), headers={"Idempotency-Key": key})
    assert {field.casefold().rpartition(".")[2] for field in fields_of(answer)} == {"idempotency-key"}
    assert count_rows(database) == NOTHING


def test_every_bad_field_is_named_and_nothing_is_stored(hosted: Hosted, database: Engine) -> None:
    deal = a_deal(cash_price="29,995.00", applicant__credit_score=12) | {"cash_dwon": "1.00"}
    found = refused(hosted.post("sam", DEALS, deal), 422, "deal")["problems"]
    assert {one["field"] for one in found} == {"cash_price", "applicant.credit_score", "cash_dwon"}
    assert all(one["value"] and one["message"] and one["remedy"] for one in found)
    assert count_rows(database) == NOTHING


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b'"deal"', b"\xff\xfe", b'{"a": 1, "a": 2}', b'{"x": NaN}', b"[" * 50_000]
)
def test_what_is_no_deal_is_refused(hosted: Hosted, database: Engine, body: bytes) -> None:
    assert refused(hosted.post("sam", DEALS, content=body), 422, "deal")["problems"]
    assert count_rows(database) == NOTHING


def test_an_evaluation_says_the_same_and_stores_nothing(hosted: Hosted, database: Engine) -> None:
    said = answered(hosted.post("ann", "/v1/evaluations", a_deal()))
    assert count_rows(database) == NOTHING
    decided = answered(hosted.post("sam", DEALS, a_deal()), 201)
    assert said == {name: part for name, part in decided.items() if name in said}
    assert decided.keys() - said.keys() == {"decision_id", "submission", "decided_at", "replayed", "receipt"}


@pytest.mark.parametrize("mapping", sorted(GOOD))
def test_a_host_s_payload_is_read_through_its_mapping(hosted: Hosted, mapping: str) -> None:
    decision = answered(hosted.post("sam", f"{DEALS}?mapping={mapping}", content=GOOD[mapping]), 201)
    assert isinstance(decision["remarks"], list)
    assert isinstance(decision["unread"], list)
    assert answered(hosted.get("sam", f"/v1/decisions/{decision['decision_id']}"))["outcome"] == decision["outcome"]


def test_a_host_is_answered_in_its_own_words_where_it_asks_for_them(hosted: Hosted, database: Engine) -> None:
    asked = f"{DEALS}?mapping=routeone&reply=mapping"
    answer = hosted.post("sam", asked, content=GOOD["routeone"])
    assert answer.status_code == 201
    assert answer.headers["content-type"].startswith("application/xml")
    assert answer.text.startswith("<?xml")
    before = count_rows(database)
    assert fields_of(hosted.post("sam", f"{DEALS}?reply=mapping", a_deal()), "mapping") == {"reply"}
    assert fields_of(hosted.post("sam", f"{DEALS}?mapping=nobodys", content=b"x"), "mapping") == {"mapping"}
    assert fields_of(hosted.post("sam", f"{DEALS}?mapping=/etc/passwd", content=b"x"), "mapping") == {"mapping"}
    assert count_rows(database) == before


@pytest.mark.parametrize(
    "program", ["{from: policy.name, values: {subprime-auto: SUB}}", "{each: submission, item: decision_id}"]
)
def test_a_reply_that_cannot_be_written_leaves_no_doubt_of_what_is_recorded(
    database: Engine, database_url: str, tmp_path: Path, program: str
) -> None:
    """The host's document has no word for this policy, or repeats what there is once."""
    document = load_mapping("csv").text.replace("mapping: csv", "mapping: own").partition("\nreply:")[0]
    (tmp_path / "own.yaml").write_text(f"{document}\nreply: {{fields: {{Decision: outcome, Program: {program}}}}}\n")
    hosted = Hosted(database_url, policy="prime-auto", mappings={"own": tmp_path / "own.yaml"})
    asked = {"params": {"mapping": "own", "reply": "mapping"}, "headers": {"Idempotency-Key": "k-1"}}
    answers = [hosted.post("sam", DEALS, content=GOOD["csv"], **asked) for _ in range(2)]
    first, again = answered(answers[0], 201), answered(answers[1], 200)
    stored = answered(hosted.get("sam", f"/v1/decisions/{first['decision_id']}"))
    assert stored.items() <= first.items()
    assert "Decision" not in first
    assert first["reply_problem"]
    assert again == first | {"replayed": True}
    assert count_rows(database)["dealgate_decision"] == 1
    hosted.close()


def test_a_payload_that_cannot_be_read_is_refused_with_its_places(hosted: Hosted) -> None:
    broken = GOOD["routeone"].replace(b"<", b"<!", 1)
    assert refused(hosted.post("sam", f"{DEALS}?mapping=routeone", content=broken), 422, "deal")["problems"]
    row = b"deal_id,cash_price\nD-1,abc\n"
    found = refused(hosted.post("sam", f"{DEALS}?mapping=csv", content=row), 422, "deal")["problems"]
    assert any(one["source"] for one in found)


def test_a_deal_is_read_page_by_page_with_its_standing(hosted: Hosted) -> None:
    for price in ("20000.00", "21000.00", "22000.00"):
        answered(hosted.post("sam", DEALS, a_deal(cash_price=price)), 201)
    deal_id = a_deal()["deal_id"]
    first = answered(hosted.get("ann", f"/v1/deals/{deal_id}?most=2"))
    assert [one["submission"] for one in first["decisions"]] == [3, 2]
    assert first["clearance"]["submission"] == 3
    rest = answered(hosted.get("ann", f"/v1/deals/{deal_id}?most=2&before={first['next']}"))
    assert ([one["submission"] for one in rest["decisions"]], rest["next"]) == ([1], None)


def test_what_is_not_there_is_told(hosted: Hosted) -> None:
    for path in ("/v1/decisions/none", "/v1/deals/none", "/v1/nothing"):
        refused(hosted.get("ann", path), 404, "not-found")
    refused(hosted.call("sam", "DELETE", "/v1/deals/none"), 405, "method")


def test_the_examples_of_the_openapi_document_are_what_its_schemas_say(hosted: Hosted) -> None:
    document = hosted.openapi()
    seen = 0
    for path in document["paths"].values():
        for operation in path.values():
            for content in (operation.get("requestBody", {}), *operation["responses"].values()):
                for media in content.get("content", {}).values():
                    if "example" in media:
                        seen += 1
                        schema = {**media["schema"], "components": document["components"]}
                        jsonschema.Draft202012Validator(schema).validate(media["example"])
    assert seen >= 8
    deal = document["paths"][DEALS]["post"]["requestBody"]["content"]["application/json"]["example"]
    decided = document["paths"][DEALS]["post"]["responses"]["201"]["content"]["application/json"]["example"]
    answer = answered(hosted.post("sam", DEALS, deal), 201)
    assert answer["findings"] == decided["findings"]
    assert json.dumps(answer["cures"]) == json.dumps(decided["cures"])
