"""The OpenAPI document: schemas of what is not made by FastAPI, and examples that the gate itself has made."""

import json
from collections.abc import Mapping, Set
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response

from dealgate.adapters.mappings import SHIPPED
from dealgate.adapters.policies import load_policy
from dealgate.adapters.service.problems import MEDIA_TYPE
from dealgate.models.recording import plain_json
from dealgate.rules.deal import Deal, parse_json
from dealgate.rules.decision import Decision
from dealgate.rules.evaluation import evaluate

Documents = dict[int | str, dict[str, Any]]

TITLES = {
    401: "Nobody is known by this credential.",
    403: "Not in this role.",
    404: "There is no such thing.",
    409: "The step cannot be taken.",
    413: "The body is too large.",
    422: "The request is refused; every bad field is named.",
    429: "Too many requests: come again after the seconds in Retry-After.",
    503: "Not now: come again after the seconds in Retry-After.",
}


def answer(description: str, schema: str | None = None, media_type: str = "application/json") -> dict[str, Any]:
    """A response of the OpenAPI document, by the name of its schema."""
    content = {} if schema is None else {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def problems_of(*statuses: int) -> Documents:
    """What an endpoint may be refused with; who calls, in which role and how often always."""
    return _problems({401, 403, 429, 503, *statuses})


def not_now() -> Documents:
    """What an endpoint that asks nobody who they are may be refused with."""
    return _problems({503})


def found(description: str, schema: str) -> Documents:
    return {200: answer(description, schema)}


def archive(description: str) -> Documents:
    content = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
    return {200: {"description": description, "content": content}}


def plain_text(description: str) -> Documents:
    return {200: {"description": description, "content": {"text/plain": TEXT}}}


def _problems(statuses: Set[int]) -> Documents:
    return {status: answer(TITLES[status], "Problem", MEDIA_TYPE) for status in sorted(statuses)}


TEXT = {"schema": {"type": "string"}}
PAYLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": f"A deal document, or with `mapping` what a host sends: {', '.join(SHIPPED)}, or a mapping of the lender's.",
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Deal"}},
            "application/xml": TEXT,
            "text/csv": TEXT,
        },
    }
}
POLICY_TEXT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A policy document, as its author writes it. Tables stand in it, not in files beside it.",
        "content": {"application/yaml": {"schema": {}}},
    }
}
SUBMITTED: Documents = {
    201: answer("Decided and recorded.", "Submission"),
    200: answer("Decided and recorded before, under the same Idempotency-Key.", "Submission"),
}
EVALUATED = found("What the policy says. Nothing is stored.", "Evaluation")


def add_description(app: FastAPI) -> None:
    """`/openapi.json`, made once and kept as bytes: whoever reaches the port may ask for it, as often as they like."""
    described = cache(lambda: describe(app))
    written = cache(lambda: bytes(JSONResponse(described()).body))

    async def answer_bytes(_: Request) -> Response:
        return Response(written(), media_type="application/json")

    app.openapi = described  # type: ignore[method-assign]
    app.add_route("/openapi.json", answer_bytes, include_in_schema=False)


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the application."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schemas.update(own_schemas())
    for path in document["paths"].values():
        for operation in path.values():
            _exemplify(operation)
    return document


def own_schemas() -> dict[str, Any]:
    deal = Deal.model_json_schema(ref_template="#/components/schemas/{model}")
    stored: dict[str, Any] = yaml.safe_load(_text("schemas.yaml"))
    return {**stored, **deal.pop("$defs"), "Deal": deal}


def _exemplify(operation: dict[str, Any]) -> None:
    bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
    for content in (body.get("content", {}) for body in bodies):
        for media in content.values():
            name = media.get("schema", {}).get("$ref", "").rpartition("/")[2]
            if name in examples():
                media["example"] = examples()[name]


@cache
def examples() -> Mapping[str, Any]:
    """The deal of the documentation, and what the shipped policy makes of it."""
    deal = Deal.from_json(_text("example_deal.json"))
    evaluation = evaluate(deal, load_policy(None).policy)
    at = datetime(2026, 11, 20, 15, 4, 5, 123456, tzinfo=UTC)
    decision_id = "0b6a3c52-7c0c-4d0e-9a53-0a4bb6cf3f0e"
    decision = plain(Decision(decision_id, deal.deal_id, 1, at, evaluation).document())
    receipt = {"entry_id": decision_id, "leaf_hash": "5f" * 32}
    return {
        **json.loads(_text("examples.json")),
        "Deal": deal.document(),
        "Evaluation": plain({"deal_id": deal.deal_id, **evaluation.document()}),
        "Decision": decision,
        "Submission": decision | {"replayed": False, "receipt": receipt},
        "Problem": {
            "type": "urn:dealgate:problem:deal",
            "title": "The deal cannot be taken",
            "status": 422,
            "detail": "One problem.",
            "problems": [
                {
                    "field": "cash_price",
                    "value": "'29,995.00'",
                    "message": "not an amount of money",
                    "remedy": 'Write it with digits and at most 2 places, for example "1500.00".',
                }
            ],
        },
    }


def plain(document: Mapping[str, Any]) -> Any:
    return parse_json(plain_json(document))


def _text(name: str) -> str:
    return (files("dealgate.adapters.service") / name).read_text(encoding="utf-8")
