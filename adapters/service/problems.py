"""What is refused, as problem documents (RFC 9457) that name every bad field, its value and the remedy."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from dealgate.adapters.compliance.query import QueryError
from dealgate.adapters.database import DatabaseError
from dealgate.adapters.mappings import MappingProblem
from dealgate.adapters.sealed_entries import NotSealedError, UnknownEntryError
from dealgate.adapters.sealer import UnsealedError
from dealgate.models import IdempotencyConflictError, OverrideError, PolicyConflictError, UnknownDealError
from dealgate.models.merkle import ProofError
from dealgate.models.overrides import UnknownIdError
from dealgate.models.versions import VersionError
from dealgate.rules.deal import DealError
from dealgate.rules.document import PolicyError

log = logging.getLogger("dealgate.service")

MEDIA_TYPE = "application/problem+json"
CANNOT_BE_READ = "The request cannot be read"
COME_AGAIN = "5"
"""In seconds: so long a database that is being restarted usually takes."""


class ProblemError(Exception):
    """A request that is refused, and why; `kind` names it for programs."""

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        problems: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self.document: dict[str, Any] = {
            "type": f"urn:dealgate:problem:{kind}",
            "title": title,
            "status": status,
            "detail": detail,
        }
        if problems:
            self.document["problems"] = list(problems)

    def response(self) -> JSONResponse:
        return JSONResponse(self.document, self.status, self.headers, MEDIA_TYPE)


def refused_field(
    field: str, value: object, message: str, remedy: str, *, kind: str = "request", title: str = CANNOT_BE_READ
) -> ProblemError:
    """422 for one field."""
    problem = {"field": field, "value": str(value)[:200], "message": message[:600], "remedy": remedy}
    return ProblemError(422, kind, title, "One problem.", [problem])


def not_found(what: str) -> ProblemError:
    return ProblemError(404, "not-found", "There is no such thing", what)


def unavailable(detail: str, seconds: str = COME_AGAIN) -> ProblemError:
    """Nothing is known of the request: it may be sent again under the same idempotency key."""
    return ProblemError(503, "unavailable", "Not now", detail, headers={"Retry-After": seconds})


def of_deal(error: DealError) -> ProblemError:
    problems = [
        one._asdict() | ({"source": one.source} if isinstance(one, MappingProblem) else {}) for one in error.problems
    ]
    return ProblemError(422, "deal", "The deal cannot be taken", _counted(len(problems)), problems)


def of_policy(error: PolicyError) -> ProblemError:
    """Every mistake of a policy document, with line and column."""
    return policy_problem([one.document() | {"source_line": one.source_line} for one in error.problems])


def policy_problem(found: Sequence[Mapping[str, Any]]) -> ProblemError:
    problems = [
        {
            "field": "policy",
            "value": one["source_line"].strip()[:200],
            "message": one["message"],
            "remedy": one["suggestion"] or "Change the document here.",
            **{name: one[name] for name in ("file", "line", "column")},
        }
        for one in found
    ]
    return ProblemError(422, "policy", "The policy cannot be taken", _counted(len(problems)), problems)


def of_query(error: QueryError) -> ProblemError:
    problem = {
        "field": error.field,
        "value": repr(error.value)[:200],
        "message": "cannot be asked so",
        "remedy": error.remedy,
    }
    return ProblemError(422, "query", "The query cannot be asked", "One problem.", [problem])


def of_request(error: RequestValidationError) -> ProblemError:
    """What FastAPI finds wrong with a path, a query, a header or a form."""
    problems = [
        {
            "field": ".".join(map(str, one["loc"])),
            "value": repr(one.get("input"))[:60],
            "message": one["msg"],
            "remedy": "Send it as the OpenAPI document says.",
        }
        for one in error.errors()
    ]
    return ProblemError(422, "request", "The request cannot be read", _counted(len(problems)), problems)


def of_database(error: Exception) -> ProblemError:
    """A database that is not there, or not as it should be, is told from a failure of ours: coming again would not mend that."""
    if isinstance(error, DataError | IntegrityError | NotSupportedError):
        return of_incident(error)
    log.error("the database fails: %s", type(getattr(error, "orig", None) or error).__name__)
    return unavailable(
        "The database does not answer; whether anything is stored is not known. Send the request again under the same "
        "Idempotency-Key: it is stored once."
    )


def of_unsealed(error: Exception) -> ProblemError:
    log.critical("a submission is recorded and not sealed: %s", error.__cause__ or error)
    return unavailable(
        "The submission is recorded and its entry is not sealed yet. Take nothing for passed. Send the request again under the "
        "same Idempotency-Key: it is stored once."
    )


def of_incident(error: BaseException) -> ProblemError:
    incident = str(uuid4())
    log.critical("incident %s: %s", incident, type(error).__name__, exc_info=error)
    detail = (
        f"It is in the log as incident {incident}. Take nothing for passed; whether anything is stored is not known. Send "
        "the request again under the same Idempotency-Key: it is stored once."
    )
    problem = ProblemError(500, "incident", "A failure inside", detail)
    problem.document["incident"] = incident
    return problem


def _counted(count: int) -> str:
    return "One problem." if count == 1 else f"{count} problems."


def _of_http(error: HTTPException, methods: Sequence[str]) -> ProblemError:
    """What the framework refuses by itself: a path, a method, a form that it cannot parse."""
    title, detail = "Not possible here", str(error.detail)
    match error.status_code:
        case 404:
            return ProblemError(404, "not-found", title, detail)
        case 405:
            return ProblemError(405, "method", title, detail, headers={"Allow": ", ".join(methods)})
        case 400:
            return refused_field("body", "", detail, "Send JSON in UTF-8, as the OpenAPI document says.")
    return ProblemError(error.status_code, "request", title, detail, headers=error.headers)


def allowed(request: Request) -> list[str]:
    """The methods of all endpoints at a path; the framework knows those of the first."""
    routes: Sequence[Route] = request.app.state.routes
    matching = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in matching for method in route.methods or ()})


def add_handlers(app: FastAPI) -> None:
    def answer(of: Any) -> Any:
        async def handler(_: Request, error: Exception) -> JSONResponse:  # not async, it would wait for a thread
            response: JSONResponse = of(error).response()
            return response

        return handler

    async def of_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return _of_http(error, allowed(request)).response()

    handlers = {
        ProblemError: lambda error: error,
        DealError: of_deal,
        RequestValidationError: of_request,
        IdempotencyConflictError: lambda error: ProblemError(
            422, "idempotency-key", "The key was used with something else", str(error)
        ),
        OverrideError: lambda error: ProblemError(409, "override", "The step cannot be taken", str(error)),
        UnknownIdError: lambda error: not_found(str(error)),
        UnknownDealError: lambda error: not_found(str(error)),
        UnknownEntryError: lambda error: not_found(str(error)),
        UnsealedError: of_unsealed,
        NotSealedError: lambda _: ProblemError(
            409, "not-sealed", "Not sealed yet", "The ledger is sealed time and again: ask again a little later."
        ),
        ProofError: lambda error: ProblemError(409, "proof", "The record does not hold", str(error)),
        PolicyError: of_policy,
        PolicyConflictError: lambda error: ProblemError(409, "policy-version", "The version is taken", str(error)),
        VersionError: lambda error: ProblemError(409, "policy-version", "The step cannot be taken", str(error)),
        QueryError: of_query,
        DBAPIError: of_database,
        NoConnectionError: of_database,
        DatabaseError: lambda error: unavailable(str(error)),
        Exception: of_incident,
    }
    app.add_exception_handler(HTTPException, of_http)
    for kind, of in handlers.items():
        app.add_exception_handler(kind, answer(of))
