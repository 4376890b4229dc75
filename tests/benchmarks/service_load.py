"""`python service_load.py CREDENTIAL CLIENTS SECONDS ADDRESS...`: so many clients, each with a connection of its own kept open, submit
one deal after the other. Prints JSON: how many a second were acknowledged, and how many milliseconds they took.

Plain HTTP/1.1 over streams: what a client library costs would be taken from the service's share of the machine.
"""

import asyncio
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.deals import ROTATION, deal_documents


class Load(NamedTuple):
    """`rate` is submissions a second; `waits` are the milliseconds of each; `others` are answers that were no decision."""

    rate: float
    waits: list[float]
    others: int


class Client:
    def __init__(self, address: str, credential: str, deals: list[str], first: int) -> None:
        parts = urlsplit(address)
        self._host, self._port = str(parts.hostname), parts.port
        self._head = f"POST /v1/submissions HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {credential}\r\n"
        self._deals, self._next = deals, first
        self.waits: list[float] = []
        self.others = 0

    async def submit(self, until: float) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        while (began := perf_counter()) < until:
            writer.write(self._request())
            status = await self._answer(reader)
            if status in {200, 201}:
                self.waits.append((perf_counter() - began) * 1000)
            else:
                self.others += 1
        writer.close()

    def _request(self) -> bytes:
        key, deal = str(uuid4()), self._deals[self._next % len(self._deals)]
        self._next += 1
        body = deal.replace("DEAL-ID", f"D-{key}").encode()
        kind = "Content-Type: application/json\r\n"
        return f"{self._head}{kind}Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    async def _answer(self, reader: asyncio.StreamReader) -> int:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(line for line in head.lower().split("\r\n") if line.startswith("content-length:"))
        await reader.readexactly(int(length.partition(":")[2]))
        return int(head.split(" ", 2)[1])


async def load(addresses: list[str], credential: str, clients: int, seconds: float) -> Load:
    deals = [json.dumps({**document, "deal_id": "DEAL-ID"}) for document in deal_documents(ROTATION)]
    all_of_them = [Client(addresses[number % len(addresses)], credential, deals, number) for number in range(clients)]
    began = perf_counter()
    await asyncio.gather(*(one.submit(began + seconds) for one in all_of_them))
    took = perf_counter() - began
    waits = sorted(wait for one in all_of_them for wait in one.waits)
    return Load(len(waits) / took, waits, sum(one.others for one in all_of_them))


if __name__ == "__main__":
    credential, clients, seconds, *addresses = sys.argv[1:]
    print(json.dumps(asyncio.run(load(addresses, credential, int(clients), float(seconds)))))
