"""Services in processes of their own, to be killed."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx

from dealgate.adapters.database import open_database
from dealgate.models.api_keys import Role, issue_key

DEALGATE = Path(sys.executable).with_name("dealgate")
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
        known = {"DEALGATE_DB": url, "DEALGATE_POLICY": "prime-auto", "DEALGATE_RATE_LIMIT": "1000000/minute"}
        self._environment = {**os.environ, **known, "DEALGATE_LOG_LEVEL": "error", **named}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Again, and wait until it answers."""
        command: list[str | Path] = [DEALGATE, "serve", "--port", str(self.port)]
        self.process = subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not self.answers("/healthz"):
            assert time.monotonic() < deadline, "the service does not start"
            assert self.process.poll() is None, "the service ended by itself"
            time.sleep(0.02)

    def answers(self, path: str) -> bool:
        try:
            # It is asked many times a second, and to read the certificates of the machine takes longer than to ask.
            return httpx.get(self.address + path, timeout=5.0, verify=False).status_code == 200
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


def a_credential(url: str) -> str:
    """An API key that opens everything."""
    engine = open_database(url)
    with engine.begin() as connection:
        _, credential = issue_key(connection, "los", datetime.now(UTC), roles=[*Role], actor="tests")
    engine.dispose()
    return credential


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
