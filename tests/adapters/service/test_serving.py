"""The service as a process: it says where it listens, and finishes what it accepted when it is told to stop."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import httpx
import psutil
import pytest
from sqlalchemy import create_engine

from dealgate.adapters.database import open_database, upgrade_database
from tests.adapters.commands import SCRIPT
from tests.adapters.service.observed_services import DEAL
from tests.databases import Databases

ROOT = Path(__file__).parents[3]
PROGRAM = """
from dealgate.adapters.command_line.serving import run
from dealgate.adapters.service.settings import read_settings
from tests.adapters.service.observed_services import Everybody
run(read_settings(policy="prime-auto", port=0), Everybody())
"""


@contextmanager
def a_process(command: list[str], log: Path, **variables: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A service and its address."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("dealgate listens on http://"), log.read_text()
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.communicate()


def refuses(address: str) -> bool:
    host, _, port = address.removeprefix("http://").rpartition(":")
    with socket.socket() as asking:
        return asking.connect_ex((host, int(port))) != 0


def wait_for(what: Callable[[], bool]) -> None:
    until = monotonic() + 20
    while not what():
        assert monotonic() < until
        sleep(0.02)


def test_a_request_that_was_accepted_is_answered_after_sigterm_and_no_other_is_taken_in(
    databases: Databases, tmp_path: Path
) -> None:
    url, log = databases.ready(), tmp_path / "log"
    answers = list[httpx.Response]()
    engine = create_engine(url)
    with a_process([sys.executable, "-c", PROGRAM], log, DEALGATE_DB=url) as (process, address):

        def submit() -> None:
            headers = {"Authorization": "Bearer tester"}
            answers.append(httpx.post(f"{address}/v1/submissions", json=DEAL, headers=headers, timeout=60))

        with engine.connect() as holding:
            # Nobody can store anything before this transaction ends.
            lock = (
                "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else "LOCK TABLE dealgate_deal IN EXCLUSIVE MODE"
            )
            holding.exec_driver_sql(lock)
            asking = threading.Thread(target=submit)
            asking.start()
            sleep(1)
            process.send_signal(signal.SIGTERM)
            wait_for(lambda: refuses(address))
            assert answers == []
            assert process.poll() is None
            holding.rollback()
        asking.join(30)
        assert process.wait(30) == 0
    engine.dispose()
    databases.give_back(url)
    assert [answer.status_code for answer in answers] == [201]
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert [one["decision_id"] for one in told if "decision_id" in one] == [answers[0].json()["decision_id"]]


def test_the_command_serves_until_it_is_interrupted_and_names_a_port_that_is_taken(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    engine = open_database(url)
    upgrade_database(engine)
    engine.dispose()
    command = [SCRIPT, "serve", "--db", url, "--policy", "prime-auto", "--port"]
    variables = {"DEALGATE_PORT": "1", "DEALGATE_LOG_FORMAT": "text"}
    with a_process([*command, "0"], tmp_path / "log", **variables) as (process, address):
        with urllib.request.urlopen(f"{address}/readyz", timeout=30) as answer:
            assert answer.status == 200
        assert httpx.post(f"{address}/v1/submissions", json=DEAL).status_code == 401
        port = address.rpartition(":")[2]
        second = subprocess.run([*command, port], capture_output=True, text=True, check=False, timeout=60)
        assert second.returncode == 3
        assert f"('127.0.0.1', {port})" in second.stderr
        assert "address already in use" in second.stderr.lower()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert 'route="/v1/submissions" status=401' in (tmp_path / "log").read_text()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no TCP_USER_TIMEOUT")
def test_the_connection_of_who_reads_nothing_is_dropped(tmp_path: Path) -> None:
    """It asks for more than fits between the two, and waits."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    engine = open_database(url)
    upgrade_database(engine)
    engine.dispose()
    variables = {"DEALGATE_DB": url, "DEALGATE_REQUEST_SECONDS": "1"}
    with a_process([sys.executable, "-c", PROGRAM], tmp_path / "log", **variables) as (process, address):
        host, _, port = address.removeprefix("http://").rpartition(":")

        def is_open() -> bool:
            connections = psutil.Process(process.pid).net_connections("tcp")
            return any(one.raddr and one.laddr.port == int(port) for one in connections)

        with socket.socket() as idle:
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            idle.connect((host, int(port)))
            idle.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: dealgate\r\n\r\n" * 16)
            wait_for(is_open)
            wait_for(lambda: not is_open())
