"""The OpenAPI document: every answer in JSON has a schema and an example, which is what the service answers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.openapi.utils import get_openapi
from jsonschema import Draft202012Validator
from sqlalchemy import Engine

from dealgate.adapters.service import documents
from tests.adapters.service.answers import EXAMPLES, answers
from tests.adapters.service.hosting import Hosted, answered

WITHOUT_EXAMPLE = {"Response Lives Healthz Get", "Response Is Ready Readyz Get"}


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Hosted]:
    service = Hosted(f"sqlite:///{tmp_path / 'none.db'}")
    yield service
    service.close()


def media_of(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every JSON body of every operation, with where it stands."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            bodies = {"body": operation.get("requestBody", {}), **operation["responses"]}
            for name, body in bodies.items():
                for kind, media in body.get("content", {}).items():
                    if "json" in kind:
                        yield f"{method} {path} {name}", media


def test_every_body_has_an_example_that_keeps_to_its_schema(hosted: Hosted) -> None:
    document = hosted.openapi()
    seen = 0
    for where, media in media_of(document):
        if media["schema"].get("title") in WITHOUT_EXAMPLE:
            continue
        assert "example" in media, where
        errors = [
            one.message
            for one in Draft202012Validator(media["schema"] | {"components": document["components"]}).iter_errors(
                media["example"]
            )
        ]
        assert errors == [], where
        seen += 1
    assert seen > 100


def test_it_is_made_once_however_often_anybody_asks_for_it(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Making it takes a tenth of a second of the processor, and nobody who asks says who they are."""
    made = list[str]()

    def counted(**given: Any) -> dict[str, Any]:
        made.append(given["title"])
        return get_openapi(**given)

    monkeypatch.setattr(documents, "get_openapi", counted)
    answers = [hosted.get("nobody", "/openapi.json") for _ in range(3)]
    assert made == ["dealgate"]
    assert {one.headers["content-type"] for one in answers} == {"application/json"}
    assert [answered(one) for one in answers] == [hosted.openapi()] * 3


def test_the_examples_are_what_the_service_answers(database: Engine) -> None:
    hosted = Hosted(database.url.render_as_string(hide_password=False), request_seconds=60)
    stored = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    assert shape(stored) == shape(answers(hosted)), "python -m tests.adapters.service.answers"
    hosted.close()


def shape(value: Any) -> Any:
    """Names and kinds without what differs from run to run."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items() if name != "made_again_by"}
    return [shape(one) for one in value] if isinstance(value, list) else type(value).__name__
