"""What a request may take: bytes, time, a place. Nobody is told of a pass that is not kept, and what was taken in is finished."""

import asyncio
import json
import math
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import Engine
from starlette.types import Message

from dealgate import Gate
from dealgate.adapters.compliance.search import search
from dealgate.adapters.service import audit
from dealgate.adapters.service.application import ROUTERS
from dealgate.adapters.service.files import BLOCK
from dealgate.adapters.service.routes import DECIDES
from tests.adapters.service.hosting import Hosted, refused
from tests.databases import NOTHING, count_rows
from tests.models.samples import a_deal

SUBMISSIONS = "/v1/submissions"
HEADERS = {"Authorization": "Bearer sam"}


@pytest.fixture
def hosted(database_url: str) -> Iterator[Hosted]:
    host = Hosted(database_url, policy="prime-auto", most_body_bytes=10_000, request_seconds=20)
    yield host
    host.close()


@pytest.fixture
def impatient(database_url: str) -> Iterator[Hosted]:
    """Sends callers away early; no test may need an answer from it in time."""
    host = Hosted(database_url, policy="prime-auto", request_seconds=1.5)
    yield host
    host.close()


@pytest.fixture
def narrow(database_url: str) -> Iterator[Hosted]:
    """With two places."""
    host = Hosted(database_url, policy="prime-auto", most_waiting=2, request_seconds=60)
    yield host
    host.close()


def client_of(hosted: Hosted) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(hosted.application), base_url="http://dealgate", headers=HEADERS
    )


class Held:
    """A gate that decides when it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.let, self.begun, submit = threading.Event(), threading.Semaphore(0), Gate.submit

        def held(gate: Gate, *args: Any, **options: Any) -> Any:
            self.begun.release()
            assert self.let.wait(20)
            return submit(gate, *args, **options)

        monkeypatch.setattr(Gate, "submit", held)


@pytest.mark.parametrize(
    ("who", "path"), [("sam", SUBMISSIONS), ("cole", "/v1/audit/search"), ("ann", "/v1/overrides")]
)
def test_a_body_that_is_too_large_is_refused_by_its_length_or_as_it_comes(
    hosted: Hosted, database: Engine, who: str, path: str
) -> None:
    refused(hosted.post(who, path, content=b" " * 10_001), 413, "body-size")

    async def in_parts() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1_000

    async def send() -> httpx.Response:
        async with client_of(hosted) as client:
            return await client.post(path, content=in_parts(), headers={"Authorization": f"Bearer {who}"})

    refused(asyncio.run(send()), 413, "body-size")
    assert count_rows(database) == NOTHING


@pytest.mark.parametrize("path", ["/v1/overrides", "/v1/audit/search", "/v1/policies"])
def test_who_calls_is_looked_at_before_the_body(hosted: Hosted, path: str) -> None:
    """Whoever is not let in is not waited for, and counts as one who tried."""
    failed = list[str]()
    hosted.service.rates.failed = lambda address, credential: failed.append(credential)  # type: ignore[method-assign]

    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    async def send(who: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {who}", "Content-Type": "application/json"}
        async with client_of(hosted) as client:
            return await client.post(path, content=never(), headers=headers)

    refused(asyncio.run(send("nobody")), 401, "credential")
    refused(asyncio.run(send("sam")), 403, "role")
    refused(hosted.post("nobody", path, content=b"{"), 401, "credential")
    assert failed == ["nobody", "nobody"]


def test_who_waits_too_long_is_told_to_ask_again_and_the_decision_is_kept(
    hosted: Hosted, impatient: Hosted, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)

    async def work() -> httpx.Response:
        async with client_of(impatient) as client:
            answer = await client.post(SUBMISSIONS, json=a_deal(), headers={"Idempotency-Key": "k-1"})
            held.let.set()
            await impatient.bounds.finish()
            return answer

    late = asyncio.run(work())
    refused(late, 503, "unavailable")
    assert late.headers["retry-after"]
    again = hosted.post("sam", SUBMISSIONS, a_deal(), headers={"Idempotency-Key": "k-1"})
    assert (again.status_code, again.json()["replayed"]) == (200, True)
    assert count_rows(database)["dealgate_decision"] == 1


def test_a_body_that_does_not_come_is_waited_for_no_longer(impatient: Hosted, database: Engine) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    async def work() -> httpx.Response:
        async with client_of(impatient) as client:
            answer = await client.post(SUBMISSIONS, content=never())
        await impatient.bounds.finish()
        return answer

    refused(asyncio.run(work()), 503, "unavailable")
    assert count_rows(database) == NOTHING


def test_who_finds_no_place_is_sent_away_at_once_and_probes_are_not(
    narrow: Hosted, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)

    async def work() -> list[httpx.Response]:
        async with client_of(narrow) as client:
            await client.get("/v1/decisions/none")  # sam is known from here on
            two = [asyncio.create_task(client.post(SUBMISSIONS, json=a_deal(deal_id=f"D-{one}"))) for one in (1, 2)]
            for _ in two:
                await asyncio.to_thread(held.begun.acquire)
            away = await client.post(SUBMISSIONS, json=a_deal(deal_id="D-3"))
            probe = await client.get("/healthz")
            held.let.set()
            return [away, probe, *await asyncio.gather(*two)]

    away, probe, *two = asyncio.run(work())
    refused(away, 503, "unavailable")
    assert away.headers["retry-after"] == "1"
    assert probe.status_code == 200
    assert [one.status_code for one in two] == [201, 201]
    assert count_rows(database)["dealgate_decision"] == 2


class Reader:
    """Reads an answer as slowly as it likes, a block in so many seconds; it asks in ASGI, as a server does for it."""

    def __init__(self, hosted: Hosted, path: str, pause: float, who: str = "") -> None:
        self.hosted, self.pause, self.read = hosted, pause, b""
        authorization = [(b"authorization", f"Bearer {who}".encode())] if who else []
        self.scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": authorization,
            "client": ("192.0.2.1", 5000),
        }

    async def ask(self) -> None:
        await self.hosted.application(self.scope, self._receive, self._send)

    async def _receive(self) -> Message:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(self.pause * math.ceil(len(message["body"]) / BLOCK))
            self.read += message["body"]


def test_answers_that_nobody_reads_hold_no_place_for_ever_and_not_the_places_of_those_who_are_known(
    database_url: str, database: Engine
) -> None:
    """Anybody may ask for the OpenAPI document, which is long."""
    hosted = Hosted(database_url, policy="prime-auto", most_waiting=4, request_seconds=4)

    async def work() -> list[int]:
        async with client_of(hosted) as client:
            statuses = [(await client.post("/v1/evaluations", json=a_deal())).status_code]
            idle = [asyncio.create_task(Reader(hosted, "/openapi.json", 60).ask()) for _ in range(4)]
            await asyncio.sleep(0.1)
            statuses += [len(hosted.bounds.working), (await client.post("/v1/evaluations", json=a_deal())).status_code]
            strange = await client.get("/openapi.json", headers={"Authorization": ""})
            await asyncio.wait_for(hosted.bounds.finish(), 20)
            statuses += [strange.status_code, len(hosted.bounds.working)]
            for one in idle:
                one.cancel()
            return statuses

    assert asyncio.run(work()) == [200, 2, 200, 503, 0]
    hosted.close()


def test_an_answer_that_is_read_slowly_is_read_to_its_end(impatient: Hosted) -> None:
    """In more time than a request has, and less than that for each block."""
    reader = Reader(impatient, "/openapi.json", pause=0.6)
    asyncio.run(reader.ask())
    assert len(reader.read) / BLOCK * reader.pause > impatient.bounds.seconds
    assert json.loads(reader.read) == impatient.openapi()


def test_an_answer_to_nobody_is_no_reason_to_wait_at_the_end(database_url: str, database: Engine) -> None:
    hosted = Hosted(database_url, policy="prime-auto", request_seconds=60)

    async def work() -> None:
        asking = asyncio.create_task(Reader(hosted, "/openapi.json", 60).ask())
        await asyncio.sleep(0.1)
        asking.cancel()
        await asyncio.wait_for(hosted.bounds.finish(), 20)

    asyncio.run(work())
    hosted.close()


def test_a_failure_inside_is_an_incident_without_its_words(
    hosted: Hosted, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("SECRET-4711")

    monkeypatch.setattr(Gate, "submit", fails)
    answer = hosted.post("sam", SUBMISSIONS, a_deal())
    problem = refused(answer, 500, "incident")
    assert problem["incident"]
    assert "whether anything is stored is not known" in problem["detail"]
    assert "SECRET" not in answer.text
    assert count_rows(database) == NOTHING


def test_whoever_decides_deals_finds_a_thread_however_much_is_asked_for(
    database_url: str, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many searches as there are places, each of which takes until it is let: two are made, four wait, two are sent away."""
    hosted = Hosted(database_url, policy="prime-auto", threads=4, most_waiting=8, request_seconds=5)
    hosted.get("cole", "/v1/decisions/none")
    let, begun = threading.Event(), threading.Semaphore(0)

    def held(*args: Any, **options: Any) -> Any:
        begun.release()
        assert let.wait(20)
        return search(*args, **options)

    monkeypatch.setattr(audit, "search", held)

    async def work() -> list[httpx.Response]:
        async with hosted.running(), client_of(hosted) as client:
            asking = {"Authorization": "Bearer cole"}
            searches = [client.post("/v1/audit/search", json={}, headers=asking) for _ in range(8)]
            waiting = [asyncio.create_task(one) for one in searches]
            for _ in range(2):
                await asyncio.to_thread(begun.acquire)
            answers = [
                await client.post(SUBMISSIONS, json=a_deal()),
                await client.post("/v1/evaluations", json=a_deal()),
                await client.get(f"/v1/deals/{a_deal()['deal_id']}/clearance"),
                await client.get("/readyz"),
            ]
            let.set()
            return [*answers, *await asyncio.gather(*waiting)]

    statuses = [one.status_code for one in asyncio.run(work())]
    assert statuses[:4] == [201, 200, 200, 200]
    assert sorted(statuses[4:]) == [200] * 6 + [503] * 2


def test_what_decides_deals_is_among_the_endpoints() -> None:
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    assert {f"{method} {route.path}" for route in routes for method in route.methods or ()} >= DECIDES
