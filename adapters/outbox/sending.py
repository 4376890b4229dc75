"""One webhook: signed, sent once to an address that was checked, within a time. Nothing but the status of the answer is read."""

import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any, NamedTuple

import httpcore
from standardwebhooks import Webhook

from dealgate.adapters.outbox.addresses import ForbiddenAddressError, Resolve, checked, look_up
from dealgate.adapters.outbox.subscribers import Subscriber

CONTENT_TYPE = "application/cloudevents+json"


class Answer(NamedTuple):
    """What came of an attempt: the status, or in `error` why there is none. `retry_after` is in seconds, as the receiver asks."""

    status: int | None
    error: str = ""
    retry_after: float = 0.0

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        return self.status == 410


class Sender:
    """Sends from any thread. `context` says which authorities vouch for receivers; by default, those of the system."""

    def __init__(self, resolve: Resolve = look_up, context: ssl.SSLContext | None = None) -> None:
        self._resolve = resolve
        self._context = context or ssl.create_default_context()

    def send(self, subscriber: Subscriber, event_id: str, body: bytes, until: float) -> Answer:
        """Send, and give up when `monotonic()` reaches `until`. Raises nothing that a receiver or the network can cause."""
        network = _CheckedNetwork(self._resolve, until, allow_private=subscriber.allow_private)
        headers = signed(subscriber, event_id, body, datetime.now(UTC))
        try:
            with (
                httpcore.ConnectionPool(ssl_context=self._context, network_backend=network) as connections,
                connections.stream("POST", subscriber.url, headers=headers, content=body) as response,
            ):
                return _answer(response)
        except ForbiddenAddressError as error:
            return Answer(None, f"not sent: {error}")
        except (httpcore.TimeoutException, TimeoutError):
            return Answer(None, "no answer in time")
        except ssl.SSLCertVerificationError as error:
            return Answer(None, f"the certificate does not hold: {error.verify_message}")
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError, UnicodeError) as error:
            return Answer(None, f"no answer: {_cause(error)}")


def signed(subscriber: Subscriber, event_id: str, body: bytes, now: datetime) -> dict[bytes | str, bytes | str]:
    """The headers of a webhook, as https://www.standardwebhooks.com has them, signed with each secret of the subscriber."""
    signatures = [Webhook(key).sign(event_id, now, body.decode()) for key in subscriber.keys]
    return {
        "Content-Type": CONTENT_TYPE,
        "User-Agent": "dealgate",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _answer(response: httpcore.Response) -> Answer:
    error = "" if 200 <= response.status < 300 else f"answered {response.status}"
    if 300 <= response.status < 400:
        error += ": redirects are not followed, give the address that it leads to"
    headers = {name.lower(): value for name, value in response.headers}
    wait = _seconds(headers.get(b"retry-after", b"").decode("latin-1")) if error else 0.0
    return Answer(response.status, error, wait)


def _seconds(text: str) -> float:
    """What Retry-After says; nothing where it makes no sense."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
        return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return 0.0


def _cause(error: BaseException) -> str:
    """In the words of the operating system or of its kind, never in the receiver's."""
    inner = error.__cause__ or error.__context__ or error
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"the certificate does not hold, {inner.verify_message}"
    return (inner.strerror if isinstance(inner, OSError) else None) or type(error).__name__


class _CheckedNetwork(httpcore.NetworkBackend):
    """Looks a name up, checks what was found and connects to that: nothing lies between the check and the use."""

    def __init__(self, resolve: Resolve, until: float, *, allow_private: bool) -> None:
        self._resolve = resolve
        self._until = until
        self._allow_private = allow_private
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = checked(self._resolve(host, port), allow_private=self._allow_private)
        failure: Exception | None = None
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                stream = self._sockets.connect_tcp(address, port, time_left(self._until) / left)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _TimedStream(stream, self._until)
        raise failure or httpcore.ConnectError


class _TimedStream(httpcore.NetworkStream):
    """A stream on which all that happens has one time together: a receiver that drips byte by byte gets no more."""

    def __init__(self, stream: httpcore.NetworkStream, until: float) -> None:
        self._stream = stream
        self._until = until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, time_left(self._until))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, time_left(self._until))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, time_left(self._until))
        return _TimedStream(stream, self._until)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def time_left(until: float) -> float:
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError
    return left
