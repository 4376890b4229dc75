"""A request to an anchor's server, which may be slow, lie or send it elsewhere: it is bounded, and what comes of it is told."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socket import create_server, socket
from threading import Thread

import pytest

from dealgate.adapters.anchors import posting
from dealgate.adapters.anchors.anchor import AnchorError
from dealgate.adapters.anchors.posting import Answer, check_address, post
from tests.servers import Reply, serving


@contextmanager
def answering(answer: Callable[[socket], None]) -> Iterator[str]:
    """A server that says to its one caller whatever it likes."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.recv(9_999)
            answer(connection)

    with create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join()


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"])
def test_a_server_that_drips_gets_no_more_time_than_one_that_says_nothing(
    head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte after byte, each within the time that one read may take."""
    monkeypatch.setattr(posting, "SECONDS", 0.3)
    dripped = list[int]()

    def drip(connection: socket) -> None:
        connection.sendall(head)
        for number in range(60):
            connection.sendall(b"x")
            dripped.append(number)
            time.sleep(0.1)

    with answering(drip) as url, pytest.raises(AnchorError, match=r"does not answer|for longer than"):
        post(url, b"note", "text/plain")
    assert len(dripped) < 60, "it was listened to until it had nothing left to say"


def test_what_is_no_answer_is_not_told_in_the_server_s_words() -> None:
    with (
        answering(lambda connection: connection.sendall(b"\x1b[2J all is well\r\n\r\n")) as url,
        pytest.raises(AnchorError, match=r"does not answer \(BadStatusLine\): see that it runs"),
    ):
        post(url, b"note", "text/plain")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["http://[", "http://127.0.0.1:9/", "file:///etc/passwd"])
def test_a_redirection_is_an_answer_wherever_it_leads(status: int, location: str) -> None:
    with serving(lambda path, body: Reply(status, b"moved", (("Location", location),))) as url:
        assert post(url, b"note", "text/plain") == Answer(status, b"moved")


@pytest.mark.parametrize(
    "url", ["https://[::1", f"https://{'a' * 64}.example/x", "https://host:99999/", "https:///x", "x"]
)
def test_what_no_host_has_for_an_address_is_refused_by_name(url: str) -> None:
    with pytest.raises(AnchorError) as refused:
        check_address(url)
    assert str(refused.value) == f"{url!r} is no address of an anchor: expected https://host/..."
