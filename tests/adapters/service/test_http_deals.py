"""Deals and decisions by their ids, whatever is in those."""

from collections.abc import Iterator

import pytest

from tests.adapters.service.hosting import Hosted, answered, fields_of
from tests.models.samples import a_deal


@pytest.fixture
def hosted(database_url: str) -> Iterator[Hosted]:
    host = Hosted(database_url, policy="prime-auto")
    yield host
    host.close()


@pytest.mark.parametrize(("path", "field"), [("decisions/%00", "path.decision_id"), ("deals/%00", "path.deal_id")])
def test_an_id_with_a_character_that_is_stored_nowhere_is_refused(hosted: Hosted, path: str, field: str) -> None:
    assert fields_of(hosted.get("sam", f"/v1/{path}")) == {field}


def test_a_deal_whose_id_has_slashes_is_found(hosted: Hosted) -> None:
    deal_id = "DLR-42/2026/17"
    decision = answered(hosted.post("sam", "/v1/submissions", a_deal(deal_id=deal_id)), 201)
    assert decision["deal_id"] == deal_id
    for path in (deal_id, deal_id.replace("/", "%2F")):
        assert answered(hosted.get("sam", f"/v1/deals/{path}"))["deal_id"] == deal_id
        assert answered(hosted.get("sam", f"/v1/deals/{path}/clearance"))["deal_id"] == deal_id


def test_a_parameter_that_nobody_knows_is_refused(hosted: Hosted) -> None:
    assert fields_of(hosted.post("sam", "/v1/submissions?maping=routeone", a_deal())) == {"query.maping"}
    assert fields_of(hosted.get("sam", "/v1/deals/D-1?mst=2")) == {"query.mst"}
