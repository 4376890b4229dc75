"""What compliance has and does about one deal: its case file, its notices, and by when they are due."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import Field
from sqlalchemy import Connection, func, select

from dealgate.adapters.compliance.case_file import case_file, manifest_hash, write_zip
from dealgate.adapters.compliance.notices import clocks_of
from dealgate.adapters.service.audit import Compliance, ReaderName
from dealgate.adapters.service.documents import Documents, answer, archive, found, problems_of
from dealgate.adapters.service.endpoints import (
    Form,
    Moment,
    Text,
    TheService,
    committed,
    json_response,
    named,
    receipt_document,
    refused,
    text_of,
)
from dealgate.adapters.service.files import folder_for_files, sent_file
from dealgate.adapters.service.problems import ProblemError
from dealgate.adapters.service.routes import AskedRoute
from dealgate.adapters.service.timed_reading import reading_within
from dealgate.models import Receipt
from dealgate.models.erasure import NOTICE, NoticeError, record_notice
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY
from dealgate.models.overrides import HOLD_DEAL
from dealgate.rules.decision import moment
from dealgate.rules.effective import zone_of
from dealgate.rules.finding import MOST_REASONS

router = APIRouter(prefix="/v1/audit/deals", tags=["audit"], route_class=AskedRoute)

DealId = Annotated[str, text_of(100)]
Zone = Annotated[str, text_of(60), Query(description="Whose days count, such as America/Chicago.")]

MOST_ENTRIES = 500
"""Of a deal whose case file is made while somebody waits."""

RECORDED: Documents = {
    201: answer("Recorded.", "NoticeRecorded"),
    200: answer("The same notice was recorded before.", "NoticeRecorded"),
}


class NoticeSent(Form):
    """A notice as it was sent. Without `decision_id` it is about the last decision that was made before."""

    kind: Literal["adverse_action", "counteroffer", "approval", "incomplete"]
    sent_at: Moment
    note: Annotated[str, text_of(4_000, 0)] = ""
    channel: Literal["mail", "email", "portal", "in_person", "telephone"] | None = None
    decision_id: Annotated[str, text_of(36)] | None = None
    reasons: Annotated[list[Text], Field(default_factory=list, max_length=MOST_REASONS)]


@router.get(
    "/{deal_id:path}/file",
    response_class=StreamingResponse,
    responses=archive("The case file, a ZIP.") | problems_of(404, 409, 422, 503),
)
def read_case_file(_: Compliance, service: TheService, deal_id: DealId, reader: ReaderName = "compliance") -> Response:
    """Everything about a deal, with proofs and a script that checks them offline."""
    with reading_within(service) as connection:
        entries = connection.execute(select(func.count()).where(ENTRY.c.deal_id == deal_id)).scalar_one()
        if entries > MOST_ENTRIES:
            remedy = "Use dealgate audit file."
            raise refused("path.deal_id", deal_id, f"{entries:,} entries are more than {MOST_ENTRIES}", remedy)
        made = case_file(connection, deal_id, reader)
    with folder_for_files() as folder:
        path = folder / "case.zip"
        write_zip(made, path)
        response = sent_file(path, "case.zip")
    response.headers["X-Manifest-SHA256"] = manifest_hash(made)
    return response


@router.post("/{deal_id:path}/notices", status_code=201, responses=RECORDED | problems_of(404, 409, 413, 422, 503))
def record(principal: Compliance, service: TheService, deal_id: DealId, form: NoticeSent) -> Response:
    """Record that the applicant was notified. The same notice of the same moment is recorded once."""
    if form.sent_at > datetime.now(UTC):
        raise refused("body.sent_at", moment(form.sent_at), "it lies in the future", "Record it once it is sent.")

    def work(connection: Connection, now: datetime) -> tuple[Receipt, bool]:
        connection.execute(HOLD_DEAL, {"deal": deal_id})
        if before := _recorded_before(connection, deal_id, form):
            return before, True
        return record_notice(connection, deal_id, now=now, actor=principal.name, **form.model_dump()), False

    try:
        receipt, replayed = committed(service, work)
    except NoticeError as error:
        raise ProblemError(422, "notice", "The notice cannot be recorded", str(error), named(error, form)) from None
    document = {"deal_id": deal_id, "kind": form.kind, "sent_at": moment(form.sent_at), "replayed": replayed}
    return json_response(document | {"receipt": receipt_document(receipt)}, 200 if replayed else 201)


@router.get("/{deal_id:path}/clocks", responses=found("What is due by when.", "Clocks") | problems_of(404, 422, 503))
def read_clocks(_: Compliance, service: TheService, deal_id: DealId, time_zone: Zone = "UTC") -> Response:
    """By which day the applicant must hear what: the times of 12 CFR 1002.9."""
    try:
        today = datetime.now(zone_of(time_zone)).date()
    except ValueError as error:
        raise refused("query.time_zone", time_zone, str(error), "Give a name such as America/Chicago.") from None
    with reading_within(service) as connection:
        clocks = clocks_of(connection, deal_id, time_zone)
    dated = [one._asdict() | {"state": one.state(today), "days_left": one.days_left(today)} for one in clocks]
    told = [
        {name: str(value) if name.endswith("_on") and value else value for name, value in one.items()} for one in dated
    ]
    return json_response({"deal_id": deal_id, "time_zone": time_zone, "clocks": told})


def _recorded_before(connection: Connection, deal_id: str, form: NoticeSent) -> Receipt | None:
    """The entry of the same notice. Raises `ProblemError` where another of that kind was recorded as sent at that very moment."""
    statement = (
        select(ENTRY.c.entry_id, ENTRY.c.leaf_hash, ENTRY.c.id, ENTRY.c.deal_seq, BODY.c.envelope)
        .join(NOTICE, NOTICE.c.entry == ENTRY.c.id)
        .join(BODY, BODY_OF_ENTRY)
        .where(NOTICE.c.deal_id == deal_id, NOTICE.c.kind == form.kind, NOTICE.c.sent_at == form.sent_at)
    )
    row = connection.execute(statement).first()
    if row is None:
        return None
    told: dict[str, Any] = json.loads(row.envelope)["notice"]
    given = form.model_dump(include={"note", "channel"}) | {"reasons": form.reasons or None}
    if form.decision_id is not None:
        given["decision_id"] = form.decision_id
    if different := [name for name, value in given.items() if told[name] != value]:
        detail = (
            f"Entry {row.entry_id} has a notice {form.kind} of {moment(form.sent_at)} with another {different[0]}: "
            "what is recorded stays. Send the same again, or give the moment at which the other one was sent."
        )
        raise ProblemError(409, "notice", "Another notice is recorded there", detail)
    return Receipt(row.entry_id, row.leaf_hash, row.id, row.deal_seq)
