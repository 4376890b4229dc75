"""Ids in paths that no database can look up."""

import pytest

from tests.adapters.service.hosting import Hosted, fields_of


@pytest.mark.parametrize(("path", "field"), [("decisions/%00", "path.decision_id"), ("deals/%00", "path.deal_id")])
def test_an_id_with_a_character_that_is_stored_nowhere_is_refused(database_url: str, path: str, field: str) -> None:
    hosted = Hosted(database_url)
    assert fields_of(hosted.get("sam", f"/v1/{path}")) == {field}
    hosted.close()
