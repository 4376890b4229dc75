"""The engines of the portfolio, each started once."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dealgate.adapters.portfolio.engines import Engine, open_engine


@pytest.fixture(scope="session")
def spark() -> Iterator[Engine]:
    """One session for all tests that need one: it takes long to start."""
    from tests.clusters import java_home  # noqa: PLC0415

    java_home()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    engine = open_engine("spark", master="local[2]")
    yield engine
    engine.close()


@pytest.fixture(scope="session", params=["polars", "duckdb", "spark"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "spark":
        yield request.getfixturevalue("spark")
        return
    started = open_engine(request.param)
    yield started
    started.close()


@pytest.fixture(scope="session")
def polars() -> Engine:
    return open_engine("polars")


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A small synthetic book."""
    from dealgate.adapters.portfolio.generating import generate  # noqa: PLC0415

    path = tmp_path / "synthetic.parquet"
    generate(3_000, 11, path, lambda _: None)
    return path
