"""A gate in the transaction of an asynchronous host: aiosqlite, psycopg and asyncpg."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from dealgate import Gate
from dealgate.adapters.database import open_database
from tests.databases import count_rows
from tests.models.samples import a_deal, a_policy

DRIVERS = {"sqlite": ["aiosqlite"], "postgresql": ["psycopg", "asyncpg"]}


def engine_for(url: str, driver: str) -> AsyncEngine:
    """The same database by an asynchronous driver; asyncpg has its own way to name a socket and a schema."""
    parsed = make_url(url).set(drivername=f"{make_url(url).get_backend_name()}+{driver}")
    if driver != "asyncpg":
        return create_async_engine(parsed)
    options = str(parsed.query["options"])
    schema = {"server_settings": {"search_path": options.partition("=")[2]}}
    return create_async_engine(parsed.difference_update_query(["options"]), connect_args=schema)


def run(url: str, work: Callable[[AsyncSession, Gate], Awaitable[None]]) -> None:
    gate = Gate(policy=a_policy())

    async def with_driver(driver: str) -> None:
        engine = engine_for(url, driver)
        async with AsyncSession(engine) as session:
            await work(session, gate)
        await engine.dispose()

    for driver in DRIVERS[make_url(url).get_backend_name()]:
        asyncio.run(with_driver(driver))


def test_a_submission_is_committed_with_the_hosts_transaction(database_url: str) -> None:
    async def submit(session: AsyncSession, gate: Gate) -> None:
        verdict = await gate.submit_async(a_deal(), session=session, actor="los", idempotency_key="K-1")
        assert verdict.outcome == "refer"
        await session.commit()

    run(database_url, submit)
    engine = open_database(database_url)
    assert count_rows(engine)["dealgate_decision"] == 1  # the second driver's came back by its key
    engine.dispose()


@pytest.mark.parametrize("key", [None, "K-1"])
def test_and_rolled_back_with_it(database_url: str, key: str | None) -> None:
    async def submit(session: AsyncSession, gate: Gate) -> None:
        await gate.submit_async(a_deal(), session=session, idempotency_key=key)
        await session.rollback()

    run(database_url, submit)
    engine = open_database(database_url)
    assert not any(count_rows(engine).values())
    engine.dispose()
