"""The way of a request to its endpoint: who calls, then the body, then a turn, so that whoever decides deals always finds a thread."""

from collections.abc import Callable, Coroutine
from typing import Any, get_type_hints

from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from fastapi import Request, params
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from dealgate.adapters.service.principals import admit, in_role
from dealgate.adapters.service.problems import CANNOT_BE_READ, ProblemError

DECIDES = {
    "POST /v1/submissions",
    "POST /v1/evaluations",
    "POST /v1/overrides",
    "POST /v1/overrides/{override_id}/grant",
    "POST /v1/overrides/{override_id}/deny",
    "GET /v1/deals/{deal_id:path}/clearance",
}
"""What waits for nothing else. All other endpoints together have half of the threads."""

_turns: RunVar[CapacityLimiter] = RunVar("dealgate_turns")


class AskedRoute(APIRoute):
    """An endpoint's route. FastAPI by itself reads the body of whoever sends one, and makes 400 of everything that fails in it.

    One that names no role lets nobody in.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        roles = roles_of(self)
        decides = any(f"{method} {self.path}" in DECIDES for method in self.methods)

        async def handle(request: Request) -> Response:
            await admit(request, roles)
            await _read(request)
            if decides:
                return await answer(request)
            async with _turns_of(request.app.state.service.settings.threads):
                return await answer(request)

        return handle


def roles_of(route: APIRoute) -> list[str]:
    """The roles that an endpoint names; none where it asks nobody who they are."""
    hints = get_type_hints(route.endpoint, include_extras=True).values()
    marks = [mark for hint in hints for mark in getattr(hint, "__metadata__", ())]
    return [
        role
        for mark in marks
        if isinstance(mark, params.Security) and mark.dependency is in_role
        for role in mark.scopes
    ]


async def _read(request: Request) -> None:
    """The request keeps its body for whoever asks for it next."""
    try:
        await request.body()
    except ClientDisconnect:
        raise ProblemError(400, "request", CANNOT_BE_READ, "The body did not come whole.") from None


def _turns_of(threads: int) -> CapacityLimiter:
    """Of this event loop, as its threads are."""
    limiter = _turns.get(None)
    if limiter is None:
        limiter = CapacityLimiter(max(1, threads // 2))
        _turns.set(limiter)
    return limiter
