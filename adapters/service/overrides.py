"""Overrides: asked for, granted in a role that the caller holds, denied; and what they clear."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Query, Security
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy import Connection

from dealgate.adapters.service.documents import Documents, answer, found, problems_of
from dealgate.adapters.service.endpoints import (
    Form,
    Key,
    Moment,
    Text,
    TheService,
    check_key,
    committed,
    json_response,
    named,
    receipt_document,
    text_of,
)
from dealgate.adapters.service.principals import Principal, Role, in_role
from dealgate.adapters.service.problems import ProblemError, not_found
from dealgate.adapters.service.routes import AskedRoute
from dealgate.adapters.service.service import Service
from dealgate.models import (
    OverrideError,
    Taken,
    clearance,
    deny_override,
    find_override,
    grant_override,
    latest_overrides,
    overrides_of,
    request_override,
)
from dealgate.models.overrides import LONGEST_NOTE, UnknownIdError
from dealgate.models.standing import steps_told

router = APIRouter(prefix="/v1", tags=["overrides"], route_class=AskedRoute)

Underwriter = Annotated[Principal, Security(in_role, scopes=[Role.UNDERWRITER])]
Reads = Annotated[Principal, Security(in_role, scopes=[Role.UNDERWRITER, Role.COMPLIANCE, Role.SUBMITTER])]
OverrideId = Annotated[str, text_of(36)]
DealId = Annotated[str, text_of(100)]
Note = Annotated[str, text_of(LONGEST_NOTE)]
State = Literal["requested", "in force", "denied", "ended", "superseded"]

TAKEN: Documents = {
    201: answer("Asked for, and recorded.", "OverrideTaken"),
    200: answer("The same step was taken before, under the same Idempotency-Key.", "OverrideTaken"),
}
STEPPED = found("The step is recorded; where the override stands now.", "OverrideTaken")


class OverrideRequest(Form):
    """What is asked of the deal's last decision. Reason and factors are codes of its policy."""

    decision_id: Annotated[str, text_of(36)]
    rules: Annotated[list[Text], Field(default_factory=list, max_length=200)]
    side: Literal["low", "high"] = "low"
    reason: Text
    note: Note
    compensating_factors: Annotated[list[Text], Field(default_factory=list, max_length=50)]


class OverrideGrant(Form):
    """`role` is one of the caller's authorities; `until` an earlier end than the policy's."""

    role: Text
    until: Moment | None = None
    note: Annotated[str, text_of(LONGEST_NOTE, 0)] = ""


class OverrideDenial(Form):
    note: Note


@router.post("/overrides", status_code=201, responses=TAKEN | problems_of(404, 409, 413, 422, 503))
def ask_for(
    principal: Underwriter, service: TheService, form: OverrideRequest, idempotency_key: Key = None
) -> Response:
    """Ask that a deal be let through against findings of its last decision, or on the high side that it be turned down."""
    return _taken(
        service,
        idempotency_key,
        lambda connection, now, key: request_override(
            connection, now=now, actor=principal.name, idempotency_key=key, **form.model_dump()
        ),
        form,
        new=201,
    )


@router.post("/overrides/{override_id}/grant", responses=STEPPED | problems_of(404, 409, 413, 422, 503))
def grant(
    principal: Underwriter,
    service: TheService,
    override_id: OverrideId,
    form: OverrideGrant,
    idempotency_key: Key = None,
) -> Response:
    """Grant an override in a role of the policy that the caller holds."""
    if form.role not in principal.authorities:
        held = ", ".join(sorted(principal.authorities)) or "none"
        detail = f"{principal.name} does not hold the authority {form.role!r}, but: {held}."
        raise ProblemError(403, "authority", "Not with this authority", detail)
    return _taken(
        service,
        idempotency_key,
        lambda connection, now, key: grant_override(
            connection, override_id, now, actor=principal.name, idempotency_key=key, **form.model_dump()
        ),
        form,
    )


@router.post("/overrides/{override_id}/deny", responses=STEPPED | problems_of(404, 409, 413, 422, 503))
def deny(
    principal: Underwriter,
    service: TheService,
    override_id: OverrideId,
    form: OverrideDenial,
    idempotency_key: Key = None,
) -> Response:
    """Deny an override that is not granted yet."""
    return _taken(
        service,
        idempotency_key,
        lambda connection, now, key: deny_override(
            connection, override_id, now, actor=principal.name, note=form.note, idempotency_key=key
        ),
        form,
    )


@router.get("/overrides/{override_id}", responses=found("The override.", "Override") | problems_of(404, 422, 503))
def read_override(principal: Reads, service: TheService, override_id: OverrideId) -> Response:
    """Where an override stands now; to underwriters and compliance also what each step says, its note included."""
    with service.reading() as connection:
        override = find_override(connection, override_id)
        if override is None:
            raise not_found(f"no override has the id {override_id!r}, or it was purged")
        document = override.document(datetime.now(UTC))
        if principal.roles & {Role.UNDERWRITER, Role.COMPLIANCE}:
            document["steps"] = steps_told(connection, override)
    return json_response(document)


@router.get("/overrides", responses=found("Overrides, the latest first.", "Overrides") | problems_of(422, 503))
def list_overrides(
    _: Reads,
    service: TheService,
    deal: Annotated[DealId | None, Query(description="Only this deal's.")] = None,
    state: Annotated[State | None, Query(description="Of those that are looked at, the ones that stand so.")] = None,
    most: Annotated[int, Query(ge=1, le=1_000, description="So many are looked at.")] = 50,
) -> Response:
    """Overrides, those that were asked for last first."""
    now = datetime.now(UTC)
    with service.reading() as connection:
        asked = latest_overrides(connection, most) if deal is None else overrides_of(connection, deal)[: -most - 1 : -1]
    return json_response({"overrides": [one.document(now) for one in asked if state in {None, one.state(now)}]})


@router.get(
    "/deals/{deal_id:path}/clearance",
    responses=found("Whether it may be booked.", "Clearance") | problems_of(404, 422, 503),
)
def read_clearance(
    _: Reads,
    service: TheService,
    deal_id: DealId,
    at: Annotated[Moment | None, Query(description="As it stands at this moment; without it, now.")] = None,
) -> Response:
    """Whether a deal's last submission may be booked."""
    with service.reading() as connection:
        standing = clearance(connection, deal_id, at or datetime.now(UTC), in_hindsight=at is not None)
    return json_response(standing.document())


def _taken(
    service: Service,
    given_key: str | None,
    step: Callable[[Connection, datetime, str], Taken],
    form: Form,
    new: int = 200,
) -> Response:
    """A step without a key gets one of its own, so that a transaction that is run again takes it once."""
    check_key(given_key)
    key = given_key or str(uuid4())
    try:
        taken = committed(service, lambda connection, now: step(connection, now, key))
    except UnknownIdError:
        raise
    except OverrideError as error:
        title = "The step cannot be taken"
        raise ProblemError(409, "override", title, str(error), named(error, form)) from None
    replayed = taken.replayed and given_key is not None
    document: dict[str, Any] = taken.override.document(datetime.now(UTC))
    document |= {"replayed": replayed, "receipt": receipt_document(taken.receipt)}
    location = {"Location": f"/v1/overrides/{taken.override.override_id}"}
    return json_response(document, 200 if replayed else new, location)
