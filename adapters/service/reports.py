"""The named reports, page by page."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Security
from fastapi.responses import Response

from dealgate.adapters.compliance.asking import ReportError
from dealgate.adapters.compliance.reporting import Page, Report, read_page
from dealgate.adapters.compliance.reports import REPORTS
from dealgate.adapters.compliance.writing import plain
from dealgate.adapters.service.documents import found, problems_of
from dealgate.adapters.service.endpoints import MomentOrDay, TheService, json_response, refused, text_of
from dealgate.adapters.service.principals import Principal, Role, in_role
from dealgate.adapters.service.problems import ProblemError, not_found
from dealgate.adapters.service.routes import AskedRoute
from dealgate.adapters.service.timed_reading import reading_within

router = APIRouter(prefix="/v1/audit/reports", tags=["audit"], route_class=AskedRoute)

Compliance = Annotated[Principal, Security(in_role, scopes=[Role.COMPLIANCE])]

SET = "set."
OPTION = re.compile(r"--([a-z-]+)")
OWN_PARAMETERS = {
    "parameters": [
        {
            "name": f"{SET}{one.name}",
            "in": "query",
            "description": f"Of {report.name}: {one.meaning}; {one.default} where nothing is said.",
            "schema": {"type": "string"} | ({"enum": list(one.choices)} if one.choices else {}),
        }
        for report in REPORTS.values()
        for one in report.parameters
    ]
}


@router.get("", responses=found("Every report with its question.", "Reports") | problems_of(503))
def list_reports(_: Compliance) -> Response:
    """The reports that there are, and what each answers."""
    return json_response({"reports": [_described(one) for one in REPORTS.values()]})


@router.get(
    "/{name}", openapi_extra=OWN_PARAMETERS, responses=found("One page.", "ReportPage") | problems_of(404, 422, 503)
)
def read_report(
    _: Compliance,
    service: TheService,
    request: Request,
    name: Annotated[str, Path(max_length=100)],
    since: Annotated[MomentOrDay | None, Query(description="From this moment on, or from a day in UTC.")] = None,
    until: Annotated[MomentOrDay | None, Query(description="Up to this moment, which is no part of it.")] = None,
    as_of: Annotated[MomentOrDay | None, Query(description="As it was known then; without it, now.")] = None,
    by: Annotated[
        str | None, text_of(200, 0), Query(description="What a summary is counted by, commas between.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 50,
    cursor: Annotated[
        str | None, text_of(4_000), Query(description="The next page, as the page before told it.")
    ] = None,
) -> Response:
    """One page of a report. A report's own parameters are given as `set.NAME=VALUE`."""
    if name not in REPORTS:
        raise not_found(f"no report is called {name!r}; there are: {', '.join(REPORTS)}")
    try:
        with reading_within(service) as connection:
            page = read_page(
                connection,
                REPORTS[name],
                as_of=as_of,
                since=since,
                until=until,
                by=None if by is None else [part.strip() for part in by.split(",") if part.strip()],
                given=_own(request),
                limit=limit,
                cursor=cursor,
            )
    except ReportError as error:
        raise _of_report(error, request) from None
    return json_response(_told(page))


def _own(request: Request) -> dict[str, str]:
    given = [
        (name.removeprefix(SET), value) for name, value in request.query_params.multi_items() if name.startswith(SET)
    ]
    if len(dict(given)) < len(given):
        raise refused("query.set", "", "a parameter is given twice", "Give each once.")
    return dict(given)


def _of_report(error: ReportError, request: Request) -> ProblemError:
    """The options of the command line are this endpoint's parameters."""
    text = OPTION.sub(lambda match: match[1].replace("-", "_"), str(error))
    message, _, remedy = text.rpartition(": ")
    named = OPTION.search(str(error))
    field = named[1].replace("-", "_") if named else "set"
    value = request.query_params.get(field, "")
    return refused(f"query.{field}", value, message or text, remedy or text, kind="report")


def _described(report: Report) -> dict[str, Any]:
    return {
        "name": report.name,
        "title": report.title,
        "question": report.question,
        "asked_by": report.asked_by,
        "by": list(report.dimensions),
        "parameters": [one._asdict() | {"choices": list(one.choices)} for one in report.parameters],
        "columns": [{"name": one.name, "unit": one.unit, "meaning": one.meaning} for one in report.columns],
    }


def _told(page: Page) -> dict[str, Any]:
    return {
        "report": page.report.name,
        "title": page.report.title,
        "asked": page.asked.document(),
        "columns": [{"name": one.name, "unit": one.unit, "meaning": one.meaning} for one in page.columns],
        "rows": [{one.name: plain(one, row[one.name]) for one in page.columns} for row in page.rows],
        "next": page.cursor,
    }
