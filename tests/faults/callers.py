"""Callers of a service over HTTP, who write down what they asked for and what they were answered."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Any

import httpx

from tests.models.samples import a_deal

SECONDS = 20.0


class Callers:
    """Submissions by several callers at once, each under a key of its own, sent again under it until it is answered or given up."""

    def __init__(self, addresses: list[str], credential: str, *, callers: int = 6, gives_up: bool = True) -> None:
        self.addresses = addresses
        self.headers = {"Authorization": f"Bearer {credential}"}
        self.callers = callers
        self.gives_up = gives_up
        self.asked: set[str] = set()
        self.acknowledged: dict[str, Mapping[str, Any]] = {}
        self.refused: Counter[str] = Counter()
        self.odd: list[str] = []
        self._stop = threading.Event()

    @contextmanager
    def calling(self) -> Iterator["Callers"]:
        thread = threading.Thread(target=lambda: asyncio.run(self._all()))
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def wait_for(self, acknowledged: int, alive: Callable[[], bool] = lambda: True) -> None:
        for _ in range(int(60 / 0.01)):
            if len(self.acknowledged) >= acknowledged:
                return
            assert alive(), "the service ended by itself"
            self._stop.wait(0.01)
        raise AssertionError(f"{len(self.acknowledged)} of {acknowledged} acknowledged; {self.refused}; {self.odd[:3]}")

    async def _all(self) -> None:
        async with httpx.AsyncClient(timeout=SECONDS, headers=self.headers) as client:
            await asyncio.gather(*(self._call(client, number) for number in range(self.callers)))

    async def _call(self, client: httpx.AsyncClient, caller: int) -> None:
        chance, number = Random(caller), 0
        while not self._stop.is_set():
            number += 1
            key = f"{caller}-{number}"
            self.asked.add(key)
            deal = json.dumps(a_deal(deal_id=f"D-{chance.randrange(20)}"))
            while not self._stop.is_set() and not await self._send(client, chance, key, deal):
                if self.gives_up and chance.random() < 0.3:
                    break
                await asyncio.sleep(0.02)

    async def _send(self, client: httpx.AsyncClient, chance: Random, key: str, deal: str) -> bool:
        """Whether it was answered with a decision."""
        address = f"{chance.choice(self.addresses)}/v1/submissions"
        try:
            answer = await client.post(address, content=deal, headers={"Idempotency-Key": key})
        except httpx.HTTPError as error:
            self.refused[type(error).__name__] += 1
            return False
        if answer.status_code in {200, 201}:
            self.acknowledged[key] = answer.json()
            return True
        self.refused[str(answer.status_code)] += 1
        if answer.status_code != 503 or "Retry-After" not in answer.headers:
            self.odd.append(f"{answer.status_code} {answer.text}")
        return False
