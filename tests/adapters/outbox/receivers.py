"""Receivers of webhooks on 127.0.0.1: they verify, note what they were told, and answer as a test wants."""

import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any, NamedTuple

from standardwebhooks import Webhook

from dealgate.adapters.outbox.dispatcher import Outbox
from dealgate.adapters.outbox.subscribers import OutboxSettings, Subscriber

SECRET = "whsec_q8Xb0v5rW2t3yZ7nK1mC4dF6gH9jL0pQsTuVwXyZ012="
OTHER_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

QUICK = OutboxSettings(seconds=2, attempts=50, first_pause=0.02, longest_pause=0.1)
"""Nobody waits for long."""

Answer = int | tuple[int, Mapping[str, str]] | str


class Told(NamedTuple):
    """A webhook as it arrived; `event` is what was verified."""

    id: str
    event: Mapping[str, Any]
    headers: Mapping[str, str]
    body: bytes

    @property
    def subject(self) -> str:
        return str(self.event["subject"])


class Receiver:
    """`answer` says what comes of each webhook: a status, one with headers, "reset" for a broken connection, "silence" for none."""

    def __init__(self, answer: Callable[[Told], Answer], secret: str) -> None:
        self.answer = answer
        self.secret = secret
        self.told: list[Told] = []
        self.accepted: list[str] = []
        self.port = 0
        self.at_once = self.most_at_once = 0
        self.silence = 3.0
        self._lock = Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?tenant=1"

    def subscriber(self, **given: Any) -> Subscriber:
        return Subscriber.model_validate({"url": self.url, "secret": SECRET, "allow_private": True} | given)

    def ids(self) -> list[str]:
        return [one.id for one in self.told]

    def take(self, headers: Mapping[str, str], body: bytes) -> Answer:
        event = Webhook(self.secret).verify(body, dict(headers))
        told = Told(headers["webhook-id"], event, headers, body)
        with self._lock:
            self.told.append(told)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            answer = self.answer(told)
        finally:
            with self._lock:
                self.at_once -= 1
        status = answer if isinstance(answer, int) else 0
        if 200 <= status < 300:
            with self._lock:
                self.accepted.append(told.id)
        return answer


@contextmanager
def receiving(
    answer: Callable[[Told], Answer] = lambda _: 204, *, secret: str = SECRET, context: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """A receiver that listens until the block ends. A webhook that does not verify is answered 401 and not noted."""
    receiver = Receiver(answer, secret)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                answer = receiver.take({name.lower(): value for name, value in self.headers.items()}, body)
            except Exception:
                answer = 401
            if answer == "silence":
                sleep(receiver.silence)
            if isinstance(answer, str):
                # Closed with a reset: nothing was sent, and the other end is told so at once.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                return
            status, headers = answer if isinstance(answer, tuple) else (answer, {})
            self.send_response(status)
            for name, value in ({"Content-Length": "0"} | dict(headers)).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A sender that hung up."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        receiver.port = server.server_address[1]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something holds."""
    end = monotonic() + seconds
    while not holds():
        assert monotonic() < end, "it does not come to hold"
        sleep(0.01)


def deliver(outbox: Outbox, settled: Callable[[], object]) -> None:
    """Deliver again and again until it is settled."""

    def again() -> object:
        outbox.deliver()
        return settled()

    until(again)
