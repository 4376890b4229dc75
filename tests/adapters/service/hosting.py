"""A service on a database, and people who call it: each request goes through the ASGI application."""

import asyncio
from contextlib import AbstractAsyncContextManager
from json import dumps
from typing import Any

import httpx

from dealgate.adapters.service.application import create_application
from dealgate.adapters.service.bounds import Bounds
from dealgate.adapters.service.principals import Principal, Role
from dealgate.adapters.service.service import Service
from dealgate.adapters.service.settings import read_settings

PEOPLE: dict[str, Principal] = {
    "sam": Principal("sam", frozenset({Role.SUBMITTER})),
    "ann": Principal("ann", frozenset({Role.UNDERWRITER})),
    "ben": Principal("ben", frozenset({Role.UNDERWRITER}), frozenset({"underwriter"})),
    "cyd": Principal("cyd", frozenset({Role.UNDERWRITER}), frozenset({"credit-manager"})),
    "dee": Principal("dee", frozenset({Role.UNDERWRITER}), frozenset({"credit-manager", "underwriter"})),
    "ada": Principal("ada", frozenset({Role.POLICY_AUTHOR})),
    "pia": Principal("pia", frozenset({Role.POLICY_APPROVER})),
    "both": Principal("both", frozenset({Role.POLICY_AUTHOR, Role.POLICY_APPROVER})),
    "cole": Principal("cole", frozenset({Role.COMPLIANCE})),
}
"""By their credentials, which are their names."""


class KnownPeople:
    def principal(self, credential: str) -> Principal | None:
        return PEOPLE.get(credential)


class Hosted:
    def __init__(self, url: str, **settings: Any) -> None:
        self.service = Service(read_settings(db=url, **settings), KnownPeople())
        self.application = create_application(self.service)

    def get(self, who: str, path: str, **options: Any) -> httpx.Response:
        return self.call(who, "GET", path, **options)

    def post(self, who: str, path: str, json: Any = None, **options: Any) -> httpx.Response:
        if json is not None:
            options["content"] = dumps(json)
            options["headers"] = {"Content-Type": "application/json", **options.get("headers", {})}
        return self.call(who, "POST", path, **options)

    def call(self, who: str, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.application)
            async with httpx.AsyncClient(transport=transport, base_url="http://dealgate") as client:
                return await client.request(method, path, headers=headers, **options)

        headers = {"Authorization": f"Bearer {who}", **options.pop("headers", {})}
        return asyncio.run(ask())

    @property
    def bounds(self) -> Bounds:
        assert isinstance(self.application.app, Bounds)
        return self.application.app

    def running(self) -> AbstractAsyncContextManager[Any]:
        """As its server runs it: with its threads, and its end when it stops."""
        application: Any = self.bounds.app
        context: AbstractAsyncContextManager[Any] = application.router.lifespan_context(application)
        return context

    def openapi(self) -> dict[str, Any]:
        document: dict[str, Any] = self.bounds.app.openapi()  # type: ignore[attr-defined]
        return document

    def close(self) -> None:
        self.service.close()


def answered(response: httpx.Response, status: int = 200) -> Any:
    """The document of an answer that must have this status."""
    assert response.status_code == status, f"{response.status_code}: {response.text}"
    return response.json()


def refused(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem document of an answer that must be refused so."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem: dict[str, Any] = answered(response, status)
    assert (problem["type"], problem["status"]) == (f"urn:dealgate:problem:{kind}", status), problem
    return problem


def fields_of(response: httpx.Response, kind: str = "request") -> set[str]:
    """The fields that a request was refused for."""
    return {one["field"] for one in refused(response, 422, kind)["problems"]}
