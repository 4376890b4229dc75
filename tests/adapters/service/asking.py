"""A service to ask, without a port."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine

from dealgate.adapters.service.application import create_application
from dealgate.adapters.service.service import Service
from dealgate.adapters.service.settings import read_settings
from dealgate.models.api_keys import issue_key

EXAMPLE = Path(__file__).parents[3] / "adapters" / "service" / "example_deal.json"
DEAL = "/v1/deals/D-1"
"""Read by submitters, underwriters and compliance; there is none of this name."""


@contextmanager
def hosted(url: str, **settings: Any) -> Iterator[Service]:
    service = Service(read_settings(db=url, policy="prime-auto", **settings))
    try:
        yield service
    finally:
        service.close()


def ask(
    service: Service,
    credential: str | None,
    path: str = DEAL,
    method: str = "GET",
    *,
    address: str = "192.0.2.1",
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """One request of somebody who shows this credential."""
    return ask_often(service, [credential], path, method, address=address, content=content, headers=headers)[0]


def ask_often(
    service: Service,
    credentials: list[str | None],
    path: str = DEAL,
    method: str = "GET",
    *,
    address: str = "192.0.2.1",
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> list[httpx.Response]:
    """One request after the other."""

    async def send() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_application(service), client=(address, 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            answers = []
            for credential in credentials:
                shown = {"Authorization": f"Bearer {credential}"} if credential is not None else {}
                answers.append(await client.request(method, path, content=content, headers=shown | dict(headers or {})))
            return answers

    return asyncio.run(send())


def a_key(database: Engine, *roles: str, name: str = "los", days: int = 365, issued: datetime | None = None) -> str:
    """A key that is on record, as its holder has it."""
    with database.begin() as connection:
        _, shown = issue_key(
            connection, name, issued or datetime.now(UTC), roles=roles or ["submitter"], actor="ann", days=days
        )
    return shown


def an_expired_key(database: Engine, *roles: str) -> str:
    return a_key(database, *roles, days=1, issued=datetime.now(UTC) - timedelta(days=1))
