"""The way of a request to its endpoint: who calls, then the body, then a turn, so that whoever decides deals always finds a thread."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, get_type_hints

from anyio import CapacityLimiter, fail_after
from anyio.lowlevel import RunVar
from fastapi import Request, params
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from dealgate.adapters.service.principals import admit, in_role
from dealgate.adapters.service.problems import CANNOT_BE_READ, ProblemError, unavailable
from dealgate.adapters.service.settings import Settings

DECIDES = {
    "POST /v1/submissions",
    "POST /v1/evaluations",
    "POST /v1/overrides",
    "POST /v1/overrides/{override_id}/grant",
    "POST /v1/overrides/{override_id}/deny",
    "GET /v1/deals/{deal_id:path}/clearance",
}
"""What waits for nothing else. All other endpoints together have half of the threads, and half of the places to wait for them."""

_turns: RunVar[CapacityLimiter] = RunVar("dealgate_turns")


class AskedRoute(APIRoute):
    """An endpoint's route. FastAPI by itself reads the body of whoever sends one, and makes 400 of everything that fails in it.

    One that names no role lets nobody in.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        roles = roles_of(self)
        decides = any(f"{method} {self.path}" in DECIDES for method in self.methods or ())

        async def handle(request: Request) -> Response:
            await admit(request, roles)
            if request.method != "GET":
                await _read(request)
            if decides:
                return await answer(request)
            async with _turn(request.app.state.service.settings):
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
        for role in mark.scopes or ()
    ]


async def _read(request: Request) -> None:
    """The request keeps its body for whoever asks for it next."""
    try:
        await request.body()
    except ClientDisconnect:
        raise ProblemError(400, "request", CANNOT_BE_READ, "The body did not come whole.") from None


@asynccontextmanager
async def _turn(settings: Settings) -> AsyncIterator[None]:
    """Raises `ProblemError` where too many wait for one, and where none comes before the caller is told to come again."""
    limiter = _turns_of(settings.threads)
    away = unavailable("As much is asked for as may be while deals are decided.", "1")
    if limiter.statistics().tasks_waiting >= max(1, settings.most_waiting // 2):
        raise away
    try:
        with fail_after(settings.request_seconds):
            await limiter.acquire()
    except TimeoutError:
        raise away from None
    try:
        yield
    finally:
        limiter.release()


def _turns_of(threads: int) -> CapacityLimiter:
    """Of this event loop, as its threads are."""
    limiter = _turns.get(None)
    if limiter is None:
        limiter = CapacityLimiter(max(1, threads // 2))
        _turns.set(limiter)
    return limiter
