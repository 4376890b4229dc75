"""One HTTP request to an anchor, bounded in time and size."""

from http.client import HTTPException, HTTPResponse
from time import monotonic
from typing import IO, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from dealgate.adapters.anchors.anchor import AnchorError

SECONDS = 10.0
"""How long a server may let itself be waited for."""

MOST_BYTES = 200_000


class Answer(NamedTuple):
    status: int
    body: bytes


class _NoRedirects(HTTPRedirectHandler):
    """A note goes where the anchor says, nowhere else."""

    def redirect_request(self, *_: object) -> None:
        return None


_opener = build_opener(_NoRedirects)


def check_address(url: str) -> str:
    """An http or https address with a host. Raises `AnchorError`."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise AnchorError(f"{url!r} is no address of an anchor: expected https://host/...")
    return url


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
        reason = getattr(error, "reason", error)
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
