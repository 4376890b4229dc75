"""What Spark needs of a machine, and a standalone cluster of it: a master and workers, each a process of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def java_home() -> None:
    """Skip, naming it, where there is no Java."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java 17 or newer, and there is none: apt-get install openjdk-17-jre-headless")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class Cluster:
    """A master on this machine and workers that have registered with it."""

    def __init__(self, folder: Path, workers: int) -> None:
        import pyspark  # noqa: PLC0415

        self.home = Path(pyspark.__file__).parent
        self.folder = folder
        self.port = free_port()
        self.url = f"spark://127.0.0.1:{self.port}"
        self._logs: list[Path] = []
        self.master = self._started(
            "master",
            "org.apache.spark.deploy.master.Master",
            "--host",
            "127.0.0.1",
            "--port",
            self.port,
            "--webui-port",
            free_port(),
        )
        self._wait("master", "I have been elected leader")
        self.workers = [self._worker(number) for number in range(workers)]
        for number in range(workers):
            self._wait(f"worker-{number}", "Successfully registered with master")

    def _worker(self, number: int) -> "subprocess.Popen[bytes]":
        arguments = ("--host", "127.0.0.1", "--webui-port", free_port(), "--cores", 1, "--memory", "1g")
        work = ("--work-dir", self.folder / f"work-{number}", self.url)
        return self._started(f"worker-{number}", "org.apache.spark.deploy.worker.Worker", *arguments, *work)

    def _started(self, name: str, main: str, *arguments: object) -> "subprocess.Popen[bytes]":
        environment = os.environ | {
            "SPARK_HOME": str(self.home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable,
        }
        environment["SPARK_DAEMON_MEMORY"] = "512m"
        command = [str(self.home / "bin" / "spark-class"), main, *map(str, arguments)]
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            return subprocess.Popen(
                command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _wait(self, name: str, words: str, seconds: float = 60) -> None:
        log, end = self.folder / f"{name}.log", time.monotonic() + seconds
        while words not in log.read_text(errors="replace"):
            assert time.monotonic() < end, f"{name} did not start:\n{log.read_text(errors='replace')[-3_000:]}"
            time.sleep(0.1)

    def kill(self, number: int) -> None:
        """End one worker and the executor under it, as a machine that is lost."""
        ended(self.workers[number], signal_number=9)

    def stop(self) -> None:
        for process in (*self.workers, self.master):
            ended(process, signal_number=15)


def ended(process: "subprocess.Popen[bytes]", signal_number: int) -> None:
    """End a process that was started here, with those it started itself: they are of its session."""
    try:
        os.killpg(process.pid, signal_number)
    except ProcessLookupError:
        return
    process.wait(timeout=30)


@contextmanager
def cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    started = Cluster(folder, workers)
    try:
        yield started
    finally:
        started.stop()
