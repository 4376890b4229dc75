"""The ledger for whoever holds a receipt: its newest checkpoint, and the proof that an entry lies under it."""

from typing import Annotated

from fastapi import APIRouter, Security
from fastapi.responses import PlainTextResponse

from dealgate.adapters.sealed_entries import newest_note, prove_entry
from dealgate.adapters.service.documents import plain_text, problems_of
from dealgate.adapters.service.endpoints import TheService, text_of
from dealgate.adapters.service.principals import Principal, Role, in_role
from dealgate.adapters.service.routes import AskedRoute
from dealgate.adapters.service.timed_reading import reading_within

router = APIRouter(prefix="/v1/ledger", tags=["ledger"], route_class=AskedRoute)

Holds = Annotated[Principal, Security(in_role, scopes=[Role.COMPLIANCE, Role.SUBMITTER])]


@router.get(
    "/checkpoint",
    response_class=PlainTextResponse,
    responses=plain_text("A signed note (c2sp.org/tlog-checkpoint).") | problems_of(409, 422, 503),
)
def read_checkpoint(_: Holds, service: TheService) -> PlainTextResponse:
    """The newest checkpoint: keep it, and hold later ones against it."""
    with reading_within(service) as connection:
        return PlainTextResponse(newest_note(connection))


@router.get(
    "/entries/{entry_id}/proof",
    response_class=PlainTextResponse,
    responses=plain_text("An inclusion proof (c2sp.org/tlog-proof).") | problems_of(404, 409, 422, 503),
)
def read_proof(_: Holds, service: TheService, entry_id: Annotated[str, text_of(36)]) -> PlainTextResponse:
    """The proof that an entry lies under the newest checkpoint, as `dealgate ledger prove` writes it."""
    with reading_within(service) as connection:
        return PlainTextResponse(prove_entry(connection, entry_id).proof.encode())
