"""Services in processes of their own, to be killed."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

SERVING = Path(__file__).parent / "serving.py"
PATIENCE = 60.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class ServiceProcess:
    """One at an address of its own, which it keeps when it is started again."""

    def __init__(self, url: str, **settings: str) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        named = {f"DEALGATE_{name.upper()}": value for name, value in settings.items()}
        self._environment = {**os.environ, "DEALGATE_DB": url, "DEALGATE_POLICY": "prime-auto", **named}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Again, and wait until it answers."""
        self.process = subprocess.Popen([sys.executable, SERVING, str(self.port)], env=self._environment)
        deadline = time.monotonic() + PATIENCE
        while not self.answers("/healthz"):
            assert time.monotonic() < deadline, "the service does not start"
            assert self.process.poll() is None, "the service ended by itself"
            time.sleep(0.02)

    def answers(self, path: str) -> bool:
        try:
            return httpx.get(self.address + path, timeout=5.0).status_code == 200
        except httpx.HTTPError:
            return False

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)

    def stop(self) -> int:
        """As an operator does, to its end."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE)


@contextmanager
def services(url: str, count: int = 1, **settings: str) -> Iterator[list[ServiceProcess]]:
    """Started, and killed in the end."""
    processes = [ServiceProcess(url, **settings) for _ in range(count)]
    try:
        for one in processes:
            one.start()
        yield processes
    finally:
        for one in processes:
            one.kill()
