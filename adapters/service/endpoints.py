"""What endpoints are made of: the service behind them, the parts of a request, and an answer as JSON."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, WithJsonSchema
from sqlalchemy import Connection

from dealgate.adapters.compliance.asking import FIRST_YEAR, LAST_YEAR
from dealgate.adapters.service.problems import ProblemError, refused_field
from dealgate.adapters.service.service import Service
from dealgate.adapters.transactions import in_transaction
from dealgate.models import Receipt
from dealgate.models.last_decision import REFUSED
from dealgate.models.recording import plain_json
from dealgate.rules.decision import moment

T = TypeVar("T")

WITHOUT_NULL = r"^[^\x00]*$"
"""PostgreSQL stores no character 0."""


async def whole_body(request: Request) -> bytes:
    return await request.body()


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Body = Annotated[bytes, Depends(whole_body)]
TheService = Annotated[Service, Depends(service_of)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="A name of your own for this request: sent again under it, the same is done once and answered again.",
    ),
]


class Form(BaseModel):
    """The body of a request. What it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid")


def text_of(longest: int, least: int = 1) -> StringConstraints:
    return StringConstraints(min_length=least, max_length=longest, pattern=WITHOUT_NULL)


Text = Annotated[str, text_of(200)]


def _moment(value: object, *, of_day: bool = False) -> datetime:
    """A moment with its time zone, in UTC; where days may be given, the beginning of one."""
    form = "write it as 2026-11-20T15:04:05-06:00"
    text = str(value)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"no moment: {form}") from None
    if of_day and len(text) == len("2026-11-20"):
        found = found.replace(tzinfo=UTC)
    if found.tzinfo is None:
        raise ValueError(f"no time zone: {form}{', or give a day' if of_day else ''}")
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise ValueError(f"give a year from {FIRST_YEAR} to {LAST_YEAR}")
    return found.astimezone(UTC)


def _moment_or_day(value: object) -> datetime:
    return _moment(value, of_day=True)


Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
MomentOrDay = Annotated[
    datetime,
    BeforeValidator(_moment_or_day),
    WithJsonSchema({"type": "string", "examples": ["2026-11-20T15:04:05-06:00", "2026-11-20"]}),
]


def refused(field: str, value: object, message: str, remedy: str, *, kind: str = "request") -> ProblemError:
    """422 for one field of a question that can be read, and not be answered."""
    return refused_field(field, value, message, remedy, kind=kind, title="The request cannot be answered")


def named(error: Exception, given: Form) -> list[dict[str, str]]:
    """The problem of the field whose value the words of an error name; none where they name no value."""
    message = str(error)
    for field, value in given:
        for one in value if isinstance(value, list) else [value]:
            text = moment(one) if isinstance(one, datetime) else str(one or "")
            if text and text in message:
                remedy = re.split(": |; ", message, maxsplit=1)[-1]
                return [
                    {"field": f"body.{field}", "value": text[:200], "message": message[:600], "remedy": remedy[:600]}
                ]
    return []


def check_key(key: str | None) -> None:
    """Refuse a key under which a refused attempt of a guard might stand."""
    if key is not None and key.casefold().startswith(REFUSED):
        words = f"keys that begin with {REFUSED!r} are those of refused attempts"
        raise refused_field("Idempotency-Key", repr(key), words, "Use another.")


def committed(service: Service, work: Callable[[Connection, datetime], T]) -> T:
    """What work comes to in a transaction of its own, once that is committed. It may be run again and must find what it did."""
    return in_transaction(service.engine, lambda connection, again: work(connection, datetime.now(UTC)))


def receipt_document(receipt: Receipt) -> dict[str, Any]:
    """With this, its holder can show later that the ledger still has this very entry."""
    return {"entry_id": receipt.entry_id, "leaf_hash": receipt.leaf_hash.hex()}


def json_response(document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Numbers and characters as they are stored."""
    return Response(plain_json(document), status, headers, "application/json")
