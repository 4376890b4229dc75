"""Teams of writers and sealers in processes of their own, and what they had been told when they were killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WORKERS = Path(__file__).parent / "workers.py"
PATIENCE = 60.0


class Team:
    """One file a process; lines are what it was told, errors among them."""

    def __init__(self, folder: Path, leader: "subprocess.Popen[bytes]") -> None:
        self.folder = folder
        self.leader = leader

    def processes(self, role: str) -> list[int]:
        return sorted(int(path.name.rpartition("-")[2]) for path in self.folder.glob(f"{role}-*"))

    def lines(self, role: str) -> list[str]:
        """Whole lines only: what was cut off was not told."""
        texts = [path.read_text() for path in self.folder.glob(f"{role}-*")]
        return [line for text in texts for line in text.split("\n")[:-1]]

    def acknowledged(self) -> list[str]:
        return [line for line in self.lines("writer") if not line.startswith("error")]

    def errors(self) -> list[str]:
        return [line for role in ("writer", "sealer") for line in self.lines(role) if line.startswith("error")]

    def wait_for(self, acknowledged: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while len(self.acknowledged()) < acknowledged:
            assert time.monotonic() < deadline, (
                f"{len(self.acknowledged())} of {acknowledged} after {PATIENCE} s: {self.errors()}"
            )
            assert self.leader.poll() is None, "the workers ended by themselves"
            time.sleep(0.01)

    def kill(self, process: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)

    def kill_all(self) -> None:
        for role in ("writer", "sealer"):
            for process in self.processes(role):
                self.kill(process)
        self.leader.wait(PATIENCE)


@contextmanager
def team(url: str, folder: Path, key: Path, *roles: str) -> Iterator[Team]:
    """Started, and killed in the end."""
    folder.mkdir()
    leader = subprocess.Popen([sys.executable, WORKERS, url, folder, key, *roles])
    at_work = Team(folder, leader)
    try:
        yield at_work
    finally:
        at_work.kill_all()
