"""What endpoints are made of: the service behind them, the body as it came, and an answer as JSON."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import Response

from dealgate.adapters.service.service import Service
from dealgate.models.recording import plain_json


async def whole_body(request: Request) -> bytes:
    return await request.body()


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Body = Annotated[bytes, Depends(whole_body)]
TheService = Annotated[Service, Depends(service_of)]


def json_response(document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Numbers and characters as they are stored."""
    return Response(plain_json(document), status, headers, "application/json")
