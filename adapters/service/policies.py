"""Policy versions: checked, added by an author, approved by another person, retired; and what is on record."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Security
from fastapi.responses import Response
from sqlalchemy import Connection, select

from dealgate.adapters.policies import PolicyDocument
from dealgate.adapters.policy_records import step_document, stored_document, versions_on_record
from dealgate.adapters.service.documents import POLICY_TEXT, Documents, answer, found, problems_of
from dealgate.adapters.service.endpoints import Body, Form, Moment, TheService, committed, json_response
from dealgate.adapters.service.principals import Principal, Role, in_role
from dealgate.adapters.service.problems import not_found, policy_problem
from dealgate.adapters.service.reviewing import FILE, reviewed
from dealgate.adapters.service.routes import AskedRoute
from dealgate.adapters.service.service import Service
from dealgate.models.recording import VERSION
from dealgate.models.versions import (
    STEP,
    Step,
    add_version,
    all_steps,
    approve_version,
    in_turn,
    retire_version,
    state,
    steps_of,
)
from dealgate.rules.document import Place, PolicyError, Problem
from dealgate.rules.policy import Policy

router = APIRouter(prefix="/v1", tags=["policies"], route_class=AskedRoute)

Author = Annotated[Principal, Security(in_role, scopes=[Role.POLICY_AUTHOR])]
Approver = Annotated[Principal, Security(in_role, scopes=[Role.POLICY_APPROVER])]
Reads = Annotated[Principal, Security(in_role, scopes=list(Role))]
Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="The hash of the content, whole.")]

SHARE_OF_REVIEW = 0.8
"""Of `request_seconds`."""

ADDED: Documents = {
    201: answer("On record as its author's draft.", "PolicyAdded"),
    200: answer("The same author had added the same content before.", "PolicyAdded"),
}
STEPPED = found("The step is recorded. Taken again by the same person, it is answered as before.", "PolicyStepTaken")


class Retirement(Form):
    """`at` is the end of the version's time, exclusive; without it, now."""

    at: Moment | None = None


@router.post("/policies", status_code=201, openapi_extra=POLICY_TEXT, responses=ADDED | problems_of(409, 413, 422, 503))
def add(principal: Author, service: TheService, body: Body) -> Response:
    """Put a policy document on record as its author's draft. One whose checks or examples fail is refused, with every mistake."""
    text = _text(body)
    told = {} if _is_on_record(service, text) else _reviewed(service, text)
    if told.get("errors"):
        raise policy_problem(told["errors"])
    policy = Policy.from_text(text, FILE)
    step, replayed = _step(
        service,
        policy.sha256,
        "add",
        principal,
        lambda connection, now: add_version(connection, policy, text, now, actor=principal.name),
    )
    document = step_document(step) | {"replayed": replayed}
    document |= {name: told[name] for name in ("warnings", "guarantees") if name in told}
    return json_response(document, 200 if replayed else 201, {"Location": f"/v1/policies/{policy.sha256}"})


@router.post(
    "/policy-checks",
    openapi_extra=POLICY_TEXT,
    responses=found("What is wrong or doubtful.", "PolicyReview") | problems_of(413, 422, 503),
)
def check(_: Author, service: TheService, body: Body) -> Response:
    """Check a policy document as it would be checked when it is added: mistakes, proofs, examples. Nothing is stored."""
    told = _reviewed(service, _text(body))
    errors = [{name: value for name, value in one.items() if name != "source_line"} for one in told["errors"]]
    return json_response(told | {"errors": errors})


@router.get("/policies", responses=found("Versions on record, the latest first.", "Policies") | problems_of(422, 503))
def list_versions(
    _: Reads,
    service: TheService,
    at: Annotated[Moment | None, Query(description="Where they stood then; without it, now.")] = None,
    standing: Annotated[
        Literal["draft", "approved", "in force", "retired"] | None, Query(alias="state", description="Only those.")
    ] = None,
    most: Annotated[int, Query(ge=1, le=1_000)] = 200,
) -> Response:
    """The versions on record, each with where it stands at a moment and from when to when it is in force."""
    when = at or datetime.now(UTC)
    with service.reading() as connection:
        steps = all_steps(connection)
    known = {step.sha256 for step in steps if step.step == "add" and step.recorded_at <= when}
    rows = [row for row in versions_on_record(steps, when) if row["sha256"] in known]
    chosen = [row for row in reversed(rows) if standing in {None, row["state"]}]
    return json_response({"policies": chosen[:most]})


@router.get("/policies/{sha256}", responses=found("The version.", "PolicyVersion") | problems_of(404, 422, 503))
def read_version(_: Reads, service: TheService, sha256: Sha256) -> Response:
    """A version: its text, and every step of its life."""
    with service.reading() as connection:
        stored = _stored(connection, sha256)
        steps = steps_of(connection, sha256)
        every = all_steps(connection)
    head = {"sha256": sha256, "name": stored.policy.name, "version": stored.policy.version, "document": stored.text}
    standing = state(every, sha256, datetime.now(UTC)) if steps else None
    return json_response(head | {"state": standing, "steps": [step_document(step) for step in steps]})


@router.post("/policies/{sha256}/approve", responses=STEPPED | problems_of(404, 409, 422, 503))
def approve(principal: Approver, service: TheService, sha256: Sha256) -> Response:
    """Approve the content that has this hash, as another person than its author."""
    with service.reading() as connection:
        policy = _stored(connection, sha256).policy
    step, replayed = _step(
        service,
        sha256,
        "approve",
        principal,
        lambda connection, now: approve_version(connection, policy, now, actor=principal.name),
    )
    return json_response(step_document(step) | {"replayed": replayed})


@router.post("/policies/{sha256}/retire", responses=STEPPED | problems_of(404, 409, 413, 422, 503))
def retire(principal: Approver, service: TheService, sha256: Sha256, form: Retirement) -> Response:
    """End a version's time, at once or at a later moment."""
    with service.reading() as connection:
        _stored(connection, sha256)
    step, replayed = _step(
        service,
        sha256,
        "retire",
        principal,
        lambda connection, now: retire_version(connection, sha256, now, actor=principal.name, at=form.at),
        lambda taken: form.at in {None, taken.ends_at},
    )
    return json_response(step_document(step) | {"replayed": replayed})


def _step(
    service: Service,
    sha256: str,
    kind: str,
    principal: Principal,
    take: Callable[[Connection, datetime], Step],
    is_same: Callable[[Step], bool] = lambda _: True,
) -> tuple[Step, bool]:
    """A step, and whether this very person had taken it before: then it is answered as it stands. A version has each once."""

    def work(connection: Connection, now: datetime) -> tuple[Step, bool]:
        in_turn(connection, sha256)
        for taken in steps_of(connection, sha256):
            if taken.step == kind and taken.actor == principal.name and is_same(taken):
                return taken, True
        return take(connection, now), False

    return committed(service, work)


def _reviewed(service: Service, text: str) -> dict[str, Any]:
    """Given up before its caller is told to come again: then it would only take as long once more."""
    return reviewed(text, SHARE_OF_REVIEW * service.settings.request_seconds)


def _text(body: bytes) -> str:
    """Raises `PolicyError` for what is no text."""
    if not body.strip():
        raise PolicyError([Problem(FILE, Place(1, 1), "the body is empty", "Send the text of a policy document.")])
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolicyError([Problem(FILE, Place(1, 1), f"not UTF-8 text (byte {error.start})")]) from None


def _is_on_record(service: Service, text: str) -> bool:
    """Whether this very text was added: then it was reviewed, too."""
    with service.reading() as connection:
        added = select(STEP.c.entry).join(VERSION, VERSION.c.sha256 == STEP.c.sha256)
        chosen = added.where(STEP.c.step == "add", VERSION.c.document == text)
        return connection.execute(chosen.limit(1)).first() is not None


def _stored(connection: Connection, sha256: str) -> PolicyDocument:
    row = connection.execute(select(VERSION).where(VERSION.c.sha256 == sha256)).first()
    if row is None:
        raise not_found(f"no policy version on record has the hash {sha256}")
    return stored_document(row)
