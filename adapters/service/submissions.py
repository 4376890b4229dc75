"""Deals: submitted, or only evaluated."""

import json
import logging
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Security
from fastapi.responses import Response

from dealgate.adapters.gate import Verdict
from dealgate.adapters.mappings import HostMapping, MappedDeal
from dealgate.adapters.service.documents import EVALUATED, PAYLOAD, SUBMITTED, problems_of
from dealgate.adapters.service.endpoints import Body, Key, TheService, check_key, json_response, receipt_document
from dealgate.adapters.service.observation import part
from dealgate.adapters.service.principals import Principal, Role, in_role
from dealgate.adapters.service.problems import ProblemError, refused_field
from dealgate.adapters.service.routes import AskedRoute
from dealgate.adapters.service.service import Service
from dealgate.rules.deal import Deal

log = logging.getLogger("dealgate.service")

router = APIRouter(prefix="/v1", tags=["deals"], route_class=AskedRoute)

Submitter = Annotated[Principal, Security(in_role, scopes=[Role.SUBMITTER])]
Asks = Annotated[
    Principal,
    Security(in_role, scopes=[Role.SUBMITTER, Role.UNDERWRITER, Role.POLICY_AUTHOR, Role.POLICY_APPROVER]),
]
MappingName = Annotated[
    str | None,
    Query(description="The body is a host's payload, read through this mapping; without it, a deal document."),
]


@router.post("/submissions", openapi_extra=PAYLOAD, responses=SUBMITTED | problems_of(413, 422, 503))
def submit(
    principal: Submitter,
    service: TheService,
    body: Body,
    idempotency_key: Key = None,
    mapping: MappingName = None,
    reply: Annotated[
        Literal["decision", "mapping"], Query(description="The decision document, or the host's own reply.")
    ] = "decision",
) -> Response:
    """Hold a deal against the policy and record the decision. What is answered is committed.

    Where the host's own reply cannot be written, it is the decision document, with `reply_problem`.
    After 503, and where no answer comes, send it again under the same Idempotency-Key.
    """
    read, mapped = _read(service, body, mapping)
    if reply == "mapping" and (mapped is None or mapped.plan.reply is None):
        raise _no_reply(mapping)
    check_key(idempotency_key)
    deal = read if isinstance(read, Deal) else read.deal
    verdict = service.gate.submit(deal, actor=principal.name, idempotency_key=idempotency_key)
    headers = {"Location": f"/v1/decisions/{verdict.decision_id}"}
    status = 200 if verdict.replayed else 201
    told = _told(read)
    if reply == "mapping" and mapped is not None:
        try:
            return _in_their_words(mapped, verdict, status, headers)
        except Exception as error:  # whatever the mapping lacks: what is committed is not answered as a failure
            log.error("a reply cannot be written by the mapping %s: %s", mapping, type(error).__name__)
            told["reply_problem"] = f"Recorded, and not to be told in the words of the mapping {mapping}: {error}"[:600]
    answer = {
        **verdict.decision,
        "replayed": verdict.replayed,
        "receipt": receipt_document(verdict.receipt),
        **told,
    }
    return json_response(answer, status, headers)


@router.post("/evaluations", openapi_extra=PAYLOAD, responses=EVALUATED | problems_of(413, 422, 503))
def evaluate(principal: Asks, service: TheService, body: Body, mapping: MappingName = None) -> Response:
    """What the policy would say of a deal. Nothing is stored, and nothing may be booked on it."""
    read, _ = _read(service, body, mapping)
    deal = read if isinstance(read, Deal) else read.deal
    answer = {"deal_id": deal.deal_id, **service.gate.evaluate(deal).document(), **_told(read)}
    return json_response(answer)


def _read(service: Service, body: bytes, mapping: str | None) -> tuple[Deal | MappedDeal, HostMapping | None]:
    with part("read"):
        if mapping is None:
            return Deal.from_json(body), None
        found = service.mapping(mapping)
        return found.deal(body), found


def _told(read: Deal | MappedDeal) -> dict[str, Any]:
    """What a mapping remarked on, and what it did not read."""
    return {} if isinstance(read, Deal) else {"remarks": list(read.remarks), "unread": list(read.unread)}


def _in_their_words(mapping: HostMapping, verdict: Verdict, status: int, headers: dict[str, str]) -> Response:
    reply = mapping.reply(verdict.decision)
    assert mapping.plan.reply is not None
    kind = {"xml": "application/xml", "csv": "text/csv"}.get(mapping.plan.reply.format, "application/json")
    text = reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False)
    return Response(text, status, headers, kind)


def _no_reply(mapping: str | None) -> ProblemError:
    remedy = "Leave out reply, or send the payload through a mapping that has one."
    title = f"The mapping {mapping} has no reply" if mapping else "Without a mapping there is no reply to give"
    return refused_field("reply", "'mapping'", "the mapping has no reply", remedy, kind="mapping", title=title)
