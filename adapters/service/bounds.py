"""What a request may take of the service: bytes, time, and a place among those that are worked on."""

import asyncio
from collections.abc import Iterator

from fastapi.security.utils import get_authorization_scheme_param
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dealgate.adapters.service.files import BLOCK
from dealgate.adapters.service.problems import ProblemError, of_incident, unavailable
from dealgate.adapters.service.rates import Rates, digest

OF_THE_PROBE = {"/healthz", "/readyz"}
"""Answered however busy the service is."""


class TooLargeError(ProblemError):
    def __init__(self, most: int) -> None:
        super().__init__(
            413, "body-size", "The body is too large", f"Send at most {most:,} bytes.", headers={"Connection": "close"}
        )


class Bounds:
    """ASGI middleware. Who is sent away for its time has been taken in all the same, and is worked on to its end.

    Those whose credential never opened have half of the places at the most: not everybody who reaches the port can take them all.
    An answer of which nothing is read for `seconds` is given up. Whatever else goes wrong inside is answered here, with an
    incident in the log.
    """

    def __init__(self, app: ASGIApp, most_bytes: int, most_waiting: int, seconds: float, rates: Rates) -> None:
        self.app = app
        self.most_bytes = most_bytes
        self.most_waiting = most_waiting
        self.seconds = seconds
        self.rates = rates
        self.working: dict[asyncio.Task[None], bytes] = {}
        """What is worked on, with the hashes of the credentials."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OF_THE_PROBE:
            await self.app(scope, receive, send)
            return
        hashed = digest(get_authorization_scheme_param(Headers(scope=scope).get("Authorization"))[1])
        if not self._has_place(hashed):
            await unavailable("The service has all the work that it can take.", "1").response()(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self.most_bytes)
        task = asyncio.create_task(exchange.run(self.app))
        self.working[task] = hashed
        task.add_done_callback(self.working.pop)
        try:
            await asyncio.wait({task}, timeout=self.seconds)
            if not task.done():
                await exchange.give_up(task, self.seconds)
        except asyncio.CancelledError:  # the caller is gone, or the service stops: what was taken in is finished
            exchange.end(task)
            raise
        if task.done() and not task.cancelled():
            task.result()

    def _has_place(self, hashed: bytes) -> bool:
        if len(self.working) >= self.most_waiting:
            return False
        if self.rates.has_opened(hashed):
            return True
        strangers = sum(not self.rates.has_opened(one) for one in self.working.values())
        return strangers < max(1, self.most_waiting // 2)

    async def finish(self) -> None:
        """Wait for everything that was taken in."""
        if self.working:
            await asyncio.wait(set(self.working))


class _Exchange:
    """One request and its answer, of which only the first is sent."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, most_bytes: int) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self.most_bytes = most_bytes
        self.received = 0
        self.is_whole = False
        self.answered = False
        self.sent = 0
        self.is_answered_whole = False
        self.ended = False

    async def run(self, app: ASGIApp) -> None:
        try:
            self._check(int(dict(self.scope["headers"]).get(b"content-length", b"0") or 0))
            await app(self.scope, self.receive, self.send)
        except ProblemError as error:
            await self._answer(error)
        except Exception as error:
            if not self.answered:
                await self._answer(of_incident(error))
            elif not self.is_answered_whole:
                raise  # half an answer: the connection is cut

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            self._check(self.received)
            self.is_whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        for part in _in_blocks(message):
            if self.ended:
                return
            self.answered = True
            await self._send(part)
            self.sent += 1
        self.is_answered_whole = message["type"] == "http.response.body" and not message.get("more_body", False)

    def end(self, task: asyncio.Task[None]) -> None:
        """Nobody listens any more: the work goes on, the rest of an answer does not."""
        self.ended = True
        if self.answered:
            task.cancel()

    async def give_up(self, task: asyncio.Task[None], seconds: float) -> None:
        """Tell the caller. Work on a whole request goes on; a body that does not come is waited for no longer."""
        if self.answered:
            await self._while_it_is_read(task, seconds)
            return
        if not self.is_whole:
            task.cancel()
        detail = (
            f"It was not done within {seconds:g} seconds; it may be still. Ask again under the same Idempotency-Key."
        )
        await self._answer(unavailable(detail))
        self.ended = True

    async def _while_it_is_read(self, task: asyncio.Task[None], seconds: float) -> None:
        """An answer on its way. Where its caller takes nothing of it for so long, it stays half an answer: the connection is cut."""
        before = -1
        while before < self.sent and not task.done():
            before = self.sent
            await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            self.end(task)

    def _check(self, size: int) -> None:
        if size > self.most_bytes:
            raise TooLargeError(self.most_bytes)

    async def _answer(self, problem: ProblemError) -> None:
        if not self.answered:
            await problem.response()(self.scope, self._receive, self.send)


def _in_blocks(message: Message) -> Iterator[Message]:
    """A body in parts, so that one can tell whether it is being read."""
    body: bytes = message.get("body", b"")
    if len(body) <= BLOCK:
        yield message
        return
    for start in range(0, len(body), BLOCK):
        more = message.get("more_body", False) or start + BLOCK < len(body)
        yield {**message, "body": body[start : start + BLOCK], "more_body": more}
