"""One HTTP request to an anchor, bounded in time and size."""

from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from io import BufferedReader, RawIOBase
from socket import socket
from time import monotonic
from typing import IO, Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from dealgate.adapters.anchors.anchor import AnchorError

SECONDS = 10.0
"""How long a server may let itself be waited for."""

MOST_BYTES = 200_000


class Answer(NamedTuple):
    status: int
    body: bytes


class _TimedReading(RawIOBase):
    """What comes over a socket, in one time together: a server that drips its head byte by byte gets no more."""

    def __init__(self, raw: Any, connected: socket) -> None:
        self._raw, self._socket, self._until = raw, connected, monotonic() + SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        left = self._until - monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        read: int | None = self._raw.readinto(buffer)
        return read

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(HTTPResponse):
    def __init__(self, sock: socket, *given: Any, **named: Any) -> None:
        super().__init__(sock, *given, **named)
        self.fp = BufferedReader(_TimedReading(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _TimedResponse


class _SecureConnection(HTTPSConnection):
    response_class = _TimedResponse


class _Plain(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_Connection, req)


class _Secure(HTTPSHandler):
    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_SecureConnection, req)


_opener = OpenerDirector()
for _handler in (ProxyHandler, _Plain, _Secure, HTTPErrorProcessor, HTTPDefaultErrorHandler):
    _opener.add_handler(_handler())
"""Without one that follows redirections: a note goes where the anchor says, nowhere else."""


def check_address(url: str) -> str:
    """An http or https address with a host. Raises `AnchorError`."""
    if not _is_address(url):
        raise AnchorError(f"{url!r} is no address of an anchor: expected https://host/...")
    return url


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        named = (parts.hostname or "").encode("idna")
        return parts.scheme in {"http", "https"} and bool(named) and parts.port != 0
    except ValueError:  # brackets, a port or a label that no host has
        return False


def post(url: str, body: bytes, content_type: str) -> Answer:
    """The answer, whatever its status. Raises `AnchorError` where none comes."""
    until = monotonic() + SECONDS
    request = Request(url, body, {"Content-Type": content_type, "User-Agent": "dealgate"}, method="POST")
    try:
        try:
            with _opener.open(request, timeout=SECONDS) as response:
                return Answer(response.status, _read(url, response, until))
        except HTTPError as error:
            with error:
                return Answer(error.code, _read(url, error, until))
    except (OSError, HTTPException) as error:
        # In the words of the operating system or of its kind, never in the server's, which a terminal would obey.
        reason = type(error).__name__ if isinstance(error, HTTPException) else getattr(error, "reason", error)
        raise AnchorError(f"{url} does not answer ({reason}): see that it runs, and anchor again") from None


def _read(url: str, response: HTTPResponse | IO[bytes], until: float) -> bytes:
    body = bytearray()
    while part := response.read1(MOST_BYTES):  # type: ignore[union-attr]
        body += part
        if len(body) > MOST_BYTES or monotonic() > until:
            raise AnchorError(
                f"{url} answers with more than {MOST_BYTES} bytes or for longer than {SECONDS:.0f} seconds"
            )
    return bytes(body)
