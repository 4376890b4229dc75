"""Databases on a real disk that syncs, for the ledger's measurements: a SQLite file and a PostgreSQL server of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine

from dealgate.adapters.database import open_database, upgrade_database
from tests.faults.clusters import Cluster

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"


@contextmanager
def places() -> Iterator[dict[str, Engine]]:
    with TemporaryDirectory(prefix="dealgate-bench-") as folder, Cluster.started() as cluster:
        urls = {SQLITE: f"sqlite:///{Path(folder) / 'ledger.db'}", POSTGRESQL: cluster.new_database()}
        engines = {name: open_database(url) for name, url in urls.items()}
        for engine in engines.values():
            upgrade_database(engine)
        yield engines
        for engine in engines.values():
            engine.dispose()
