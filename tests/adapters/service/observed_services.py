"""Services as the tests of operations want them: everybody is known, and what is logged is kept."""

import asyncio
import io
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from dealgate.adapters.service.application import create_application
from dealgate.adapters.service.logs import JsonLines
from dealgate.adapters.service.principals import Principal, Role
from dealgate.adapters.service.service import Service
from dealgate.adapters.service.settings import Settings

T = TypeVar("T")

DEAL = {
    "deal_id": "D-1",
    "submitted_on": "2026-11-20",
    "applicant": {"tier": "B", "credit_score": 684, "monthly_income": "5200.00", "monthly_debt": "1150.00"},
    "vehicle": {
        "vin": "1HGCV1F30NA000001",
        "condition": "used",
        "model_year": 2023,
        "mileage": 31200,
        "values": [{"basis": "jdpower_clean_trade", "amount": "27000.00", "as_of": "2026-11-18"}],
    },
    "cash_price": "24995.00",
    "term_months": 60,
    "apr_percent": "7.90",
}


class Everybody:
    """Knows each credential as the name of somebody in every role."""

    def principal(self, credential: str) -> Principal:
        return Principal(credential, frozenset(Role))


@contextmanager
def a_service(url: str, authenticator: Any = None, **settings: object) -> Iterator[Service]:
    given = {"policy": "prime-auto", **settings}
    service = Service(Settings(db=url, **given), authenticator or Everybody())  # type: ignore[arg-type]
    try:
        yield service
    finally:
        service.close()


def ask(service: Service, asking: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
    """Let a client ask an application of the service."""

    async def run() -> T:
        transport = httpx.ASGITransport(create_application(service))
        headers = {"Authorization": "Bearer tester"}
        async with httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers) as client:
            return await asking(client)

    return asyncio.run(run())


def submit(service: Service, deal: object = DEAL, **headers: str) -> httpx.Response:
    return ask(service, lambda client: client.post("/v1/submissions", json=deal, headers=headers))


@contextmanager
def logged(formatter: logging.Formatter | None = None) -> Iterator[io.StringIO]:
    """Everything that any logger says meanwhile, down to the smallest, as the service's log has it."""
    kept = io.StringIO()
    handler = logging.StreamHandler(kept)
    handler.setFormatter(formatter or JsonLines())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield kept
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def lines(log: io.StringIO, logger: str = "") -> list[dict[str, Any]]:
    documents = map(json.loads, log.getvalue().splitlines())
    return [one for one in documents if one["logger"].startswith(logger)]


def of_requests(log: io.StringIO) -> list[dict[str, Any]]:
    return lines(log, "dealgate.service.requests")
