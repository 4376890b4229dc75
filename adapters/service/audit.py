"""What compliance asks of stored decisions: found, taken along as a file, made again."""

from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zipfile import ZIP_DEFLATED, ZipFile

from fastapi import APIRouter, Query, Security
from fastapi.responses import Response, StreamingResponse
from pydantic import Field, create_model, model_validator

from dealgate.adapters.compliance.exports import Export, manifest_path, write_export
from dealgate.adapters.compliance.query import LISTS, MOMENTS
from dealgate.adapters.compliance.query import Query as Decisions
from dealgate.adapters.compliance.readers import Reader
from dealgate.adapters.compliance.replaying import Summary, find_decisions, replay
from dealgate.adapters.compliance.rows import rows_of
from dealgate.adapters.compliance.search import search
from dealgate.adapters.replay import Replayer
from dealgate.adapters.service.documents import archive, found, problems_of
from dealgate.adapters.service.endpoints import Form, Text, TheService, json_response, refused, text_of
from dealgate.adapters.service.files import folder_for_files, sent_file
from dealgate.adapters.service.principals import Principal, Role, in_role
from dealgate.adapters.service.problems import not_found
from dealgate.adapters.service.routes import AskedRoute
from dealgate.adapters.service.service import Service
from dealgate.adapters.service.timed_reading import reading_within

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=AskedRoute)

Compliance = Annotated[Principal, Security(in_role, scopes=[Role.COMPLIANCE])]
ReaderName = Annotated[
    Literal["compliance", "analyst", "outside"],
    Query(description="For whom: compliance sees all, analyst no identity, outside no personal value and no name."),
]
Cursor = Annotated[str, text_of(2_000)]
CursorParameter = Annotated[Cursor | None, Query(description="The next page, as the page before told it.")]

MOST_VALUES = 1_000
"""Of one part of a query."""

MOST_REPLAYED = 100
PATTERN_OF_CONDITIONS = "A measure, an operator and a number, such as `total_ltv > 125`."


def _part(name: str) -> tuple[Any, Any]:
    if name in LISTS or name == "measures":
        values = Annotated[list[Text], Field(max_length=MOST_VALUES)]
        return (Text | values, Field(default=(), description=PATTERN_OF_CONDITIONS if name == "measures" else None))
    return (Text, Field(default=None, description="A moment with its time zone." if name in MOMENTS else None))


PARTS: dict[str, Any] = {one.name: _part(one.name) for one in fields(Decisions)}
DecisionQuery: Any = create_model("DecisionQuery", __base__=Form, **PARTS)
"""The document of a query; every part may be left out, and all parts given must hold."""


class ReplayRequest(Form):
    """Either ids of decisions, or a query, of which `most` are made again, from `cursor` on."""

    ids: Annotated[list[Annotated[str, text_of(36)]], Field(default_factory=list, max_length=MOST_REPLAYED)]
    query: DecisionQuery | None = None
    most: Annotated[int, Field(ge=1, le=MOST_REPLAYED)] = MOST_REPLAYED
    cursor: Cursor | None = None

    @model_validator(mode="after")
    def one_of_both(self) -> "ReplayRequest":
        if bool(self.ids) == (self.query is not None):
            raise ValueError("give either ids or a query")
        if self.cursor is not None and self.query is None:
            raise ValueError("a cursor goes with the query that it came with")
        return self


@router.post("/search", responses=found("Decisions, the latest first.", "DecisionRows") | problems_of(413, 422, 503))
def find(
    _: Compliance,
    service: TheService,
    form: DecisionQuery,
    most: Annotated[int, Query(ge=1, le=1_000)] = 50,
    cursor: CursorParameter = None,
    reader: ReaderName = "compliance",
) -> Response:
    """Find decisions: a page of rows, and the cursor of the next one."""
    query, person = _query(form), Reader(reader)
    person.check(query)
    with reading_within(service) as connection:
        page = search(connection, query, most=most, cursor=cursor)
        rows = rows_of(connection, page.rows, person, query.as_of)
    return json_response({"query": query.document(), "reader": reader, "rows": rows, "next": page.cursor})


@router.post(
    "/exports",
    response_class=StreamingResponse,
    responses=archive("A ZIP of the file and its manifest.") | problems_of(413, 422, 503),
)
def export(
    principal: Compliance,
    service: TheService,
    form: DecisionQuery,
    file_format: Annotated[Literal["jsonl", "csv", "parquet", "xlsx"], Query(alias="format")] = "jsonl",
    most: Annotated[int | None, Query(ge=1, description="So many at the most, the latest; without it, all.")] = None,
    reader: ReaderName = "compliance",
) -> Response:
    """Every decision that a query finds, as a file with the manifest that says what was asked, of whom, and of which ledger."""
    bound = service.settings.most_export_rows
    if most is not None and most > bound:
        raise refused("query.most", most, f"more than {bound:,}", "Give fewer, or use dealgate audit search.")
    now = datetime.now(UTC)
    asked = _query(form)
    query = asked if asked.as_of else replace(asked, as_of=now)
    with folder_for_files() as folder:
        path = folder / f"decisions.{file_format}"
        _write(service, Export(query, Reader(reader, principal.name), most), path, now)
        with ZipFile(folder / "export.zip", "w", ZIP_DEFLATED) as zipped:
            for one in (path, manifest_path(path)):
                zipped.write(one, one.name)
        return sent_file(folder / "export.zip", "decisions.zip")


@router.post("/replays", responses=found("What came out how.", "Replays") | problems_of(404, 413, 422, 503))
def replay_decisions(_: Compliance, service: TheService, form: ReplayRequest) -> Response:
    """Make stored decisions again from their stored inputs and policy versions, and tell which do not come out the same."""
    summary, following = Summary(), None
    with reading_within(service) as connection:
        ids = form.ids
        if form.query is not None:
            page = search(connection, _query(form.query), most=form.most, cursor=form.cursor)
            ids, following = [row.decision_id for row in page.rows], page.cursor
        try:
            numbers = find_decisions(connection, ids)
        except LookupError as error:
            raise not_found(str(error.args[0]).partition(";")[0]) from None
        for one in replay(Replayer(connection), numbers):
            summary.add(one)
    return json_response(summary.document() | {"next": following})


def _query(form: Any) -> Decisions:
    """Raises `QueryError`."""
    return Decisions.read(form.model_dump(exclude_defaults=True))


def _write(service: Service, chosen: Export, path: Path, now: datetime) -> None:
    """Without a number of rows it is all of them, or nothing: nobody shall take a part for the whole."""
    bound = service.settings.most_export_rows
    limited = replace(chosen, most=chosen.most or bound)
    with reading_within(service) as connection:
        manifest = write_export(connection, limited, path, path.suffix.removeprefix("."), now)
        whole = chosen.most or manifest["rows"] < bound or search(connection, chosen.query, most=bound).cursor is None
    if not whole:
        remedy = "Give most, ask for a shorter period, or use dealgate audit search --output."
        raise refused("query.most", "none", f"there are more than {bound:,} decisions", remedy)
