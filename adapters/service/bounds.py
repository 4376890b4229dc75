"""What a request may take of the service: bytes, time, and a place among those that are worked on."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dealgate.adapters.service.problems import ProblemError, of_incident, unavailable

OF_THE_PROBE = {"/healthz", "/readyz"}
"""Answered however busy the service is."""


class TooLargeError(ProblemError):
    def __init__(self, most: int) -> None:
        super().__init__(
            413, "body-size", "The body is too large", f"Send at most {most:,} bytes.", headers={"Connection": "close"}
        )


class Bounds:
    """ASGI middleware. Who is sent away for its time has been taken in all the same, and is worked on to its end.

    Whatever else goes wrong inside is answered here, with an incident in the log.
    """

    def __init__(self, app: ASGIApp, most_bytes: int, most_waiting: int, seconds: float) -> None:
        self.app = app
        self.most_bytes = most_bytes
        self.most_waiting = most_waiting
        self.seconds = seconds
        self.working: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OF_THE_PROBE:
            await self.app(scope, receive, send)
            return
        if len(self.working) >= self.most_waiting:
            await unavailable("The service has all the work that it can take.", "1").response()(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self.most_bytes)
        task = asyncio.create_task(exchange.run(self.app))
        self.working.add(task)
        task.add_done_callback(self.working.discard)
        try:
            await asyncio.wait({task}, timeout=self.seconds)
        except asyncio.CancelledError:  # the caller is gone, or the service stops: what was taken in is finished
            exchange.end()
            raise
        if not task.done():
            await exchange.give_up(task, self.seconds)
        elif not task.cancelled():
            task.result()

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
        self.told = False
        self.ended = False

    async def run(self, app: ASGIApp) -> None:
        try:
            self._check(int(dict(self.scope["headers"]).get(b"content-length", b"0") or 0))
            await app(self.scope, self.receive, self.send)
        except ProblemError as error:
            await self._answer(error)
        except Exception as error:
            if self.told:  # by the handler of incidents, after which the framework raises it again
                return
            problem = of_incident(error)
            if self.answered:
                raise
            await self._answer(problem)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            self._check(self.received)
            self.is_whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if self.ended:
            return
        self.answered = True
        await self._send(message)
        self.told = message["type"] == "http.response.body" and not message.get("more_body", False)

    def end(self) -> None:
        """Nobody listens any more."""
        self.ended = True

    async def give_up(self, task: asyncio.Task[None], seconds: float) -> None:
        """Tell the caller. Work on a whole request goes on; a body that does not come is waited for no longer."""
        if self.answered:
            await asyncio.wait({task})  # an answer on its way
            return
        if not self.is_whole:
            task.cancel()
        detail = (
            f"It was not done within {seconds:g} seconds; it may be still. Ask again under the same Idempotency-Key."
        )
        await self._answer(unavailable(detail))
        self.end()

    def _check(self, size: int) -> None:
        if size > self.most_bytes:
            raise TooLargeError(self.most_bytes)

    async def _answer(self, problem: ProblemError) -> None:
        if not self.answered:
            await problem.response()(self.scope, self._receive, self.send)
