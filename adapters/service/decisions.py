"""What is stored: a decision, a deal with all its decisions."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Security
from fastapi.responses import Response

from dealgate.adapters.service.documents import found, problems_of
from dealgate.adapters.service.endpoints import TheService, json_response, text_of
from dealgate.adapters.service.principals import Principal, Role, in_role
from dealgate.adapters.service.problems import not_found
from dealgate.adapters.service.routes import AskedRoute
from dealgate.models import clearance, find_decision, overrides_of
from dealgate.models.reading import list_decisions

router = APIRouter(prefix="/v1", tags=["deals"], route_class=AskedRoute)

Reads = Annotated[Principal, Security(in_role, scopes=[Role.SUBMITTER, Role.UNDERWRITER, Role.COMPLIANCE])]
DecisionId = Annotated[str, text_of(36)]
DealId = Annotated[str, text_of(100)]


@router.get(
    "/decisions/{decision_id}",
    responses=found("The decision, as it was made.", "Decision") | problems_of(404, 422, 503),
)
def read_decision(_: Reads, service: TheService, decision_id: DecisionId) -> Response:
    """One decision. What was erased of it since is marked `erased`."""
    with service.reading() as connection:
        stored = find_decision(connection, decision_id)
    if stored is None:
        raise not_found(f"no decision has the id {decision_id}")
    return json_response(stored)


@router.get(
    "/deals/{deal_id:path}",
    responses=found("The deal's decisions, and where it stands.", "Deals") | problems_of(404, 422, 503),
)
def read_deal(
    _: Reads,
    service: TheService,
    deal_id: DealId,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Where the page before ended.")] = None,
    most: Annotated[int, Query(ge=1, le=200)] = 20,
) -> Response:
    """A deal: its decisions, the latest first, its overrides, and whether it may be booked now."""
    now = datetime.now(UTC)
    with service.reading() as connection:
        standing = clearance(connection, deal_id, now)
        page = list_decisions(connection, deal_id=deal_id, before=before, most=most)
        overrides = overrides_of(connection, deal_id)
    return json_response(
        {
            "deal_id": deal_id,
            "decisions": page.decisions,
            "clearance": standing.document(),
            "overrides": [one.document(now) for one in overrides],
            "next": page.before,
        }
    )
