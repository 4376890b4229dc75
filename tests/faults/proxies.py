"""A wire that is cut: a TCP proxy before PostgreSQL's socket that passes so many bytes one way and then drops the connection."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Way = Literal["up", "down"]


class Wire:
    """Counts what passes; `cut(way, after)` arms it once."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.passed = {"up": 0, "down": 0}
        self.was_cut = False
        self._armed: tuple[Way, int] | None = None
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def cut(self, way: Way, after: int) -> None:
        with self._lock:
            self.passed = {"up": 0, "down": 0}
            self._armed, self.was_cut = (way, after), False

    def count(self) -> None:
        with self._lock:
            self.passed, self._armed = {"up": 0, "down": 0}, None

    def serve(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _connect(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.server)
        ways: tuple[tuple[Way, socket.socket, socket.socket], ...] = (("up", client, server), ("down", server, client))
        pumps = [threading.Thread(target=self._pump, args=way, daemon=True) for way in ways]
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        client.close()
        server.close()

    def _pump(self, way: Way, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                allowed = self._allowed(way, len(data))
                target.sendall(data[:allowed])
                if allowed < len(data):
                    break
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _allowed(self, way: Way, count: int) -> int:
        """How many bytes still pass; the rest of the connection goes with the first that does not."""
        with self._lock:
            if self._armed and self._armed[0] == way and self.passed[way] + count > self._armed[1]:
                allowed = self._armed[1] - self.passed[way]
                self._armed, self.was_cut = None, True
                return allowed
            self.passed[way] += count
            return count


@contextmanager
def wire(server: str) -> Iterator[Wire]:
    """Before a server's socket, on 127.0.0.1."""
    made = Wire(server)
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join(10)
