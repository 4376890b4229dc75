"""Running the service: one process, one port, until it is told to stop."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from dealgate.adapters.service.application import create_application
from dealgate.adapters.service.metrics import listening_for_scrapes
from dealgate.adapters.service.service import Service


def serve(service: Service) -> None:
    """Serve until SIGTERM or SIGINT; then take in nothing more, and finish what was taken in.

    Prints where it listens, once it does. Raises `OSError` where metrics cannot be asked for.
    """
    settings = service.settings
    config = uvicorn.Config(
        create_application(service),
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=int(settings.shutdown_seconds),
        access_log=False,
        server_header=False,
        log_config=None,
    )
    metrics = listening_for_scrapes(service.metrics.registry, settings.metrics_host, settings.metrics_port)
    with metrics as address, _stopping_is_no_failure():
        if address is not None:
            print(f"metrics are at {address}", flush=True)
        _Server(config, settings.request_seconds).run()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, seconds: float) -> None:
        super().__init__(config)
        self.seconds = seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers if self.started else ():
            for listener in server.sockets:
                _drop_who_reads_nothing(listener, self.seconds)
                print(f"dealgate listens on {_address(listener)}", flush=True)


def _drop_who_reads_nothing(listener: socket.socket, seconds: float) -> None:
    """A connection that is closed otherwise stays until its caller has read what was written to it. Linux can be told."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(seconds * 1000)))


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _stopping_is_no_failure() -> Iterator[None]:
    """The server raises the signal again that stopped it; with everything finished, that is no reason to end by it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
