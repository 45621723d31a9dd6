"""Clients that cost next to nothing: requests encoded beforehand, kept connections, replies read to their length.

The load generator shares its cores with what it measures, so each of its own milliseconds would be counted as latency.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Run:
    """What came of a number of clients asking for some seconds: seconds of answers and of refusals."""

    seconds: float = 0.0
    answered: list[float] = field(default_factory=list)
    shed: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def goodput(self) -> float:
        return len(self.answered) / self.seconds


def encode(url: str, path: str, body: bytes, headers: tuple[str, ...] = ()) -> bytes:
    """A whole POST request."""
    head = (f"POST {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}", "Content-Type: application/json", *headers)
    return "\r\n".join((*head, f"Content-Length: {len(body)}", "", "")).encode() + body


class Connection(asyncio.Protocol):
    """One kept connection that asks one thing at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = -1
        self._reply: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, request: bytes) -> int:
        """The status of the reply, once all of it is here."""
        assert self._transport is not None
        self._reply = asyncio.get_running_loop().create_future()
        self._buffer.clear()
        self._needed = -1
        self._transport.write(request)
        return await self._reply

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._needed < 0 and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = self._buffer[:end].lower().partition(b"content-length:")[2].split(b"\r\n")[0]
            self._needed = end + 4 + int(length)
        if 0 <= self._needed <= len(self._buffer) and self._reply is not None and not self._reply.done():
            self._reply.set_result(int(self._buffer[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(exc or ConnectionError("the server closed the connection"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def load(url: str, requests: list[bytes], clients: int, seconds: float, *, pause: float = 0.0) -> Run:
    """Each client asks again as soon as it is answered; after a refusal it waits for a moment, each for its own.

    They come within the first second, as a crowd does, not all in the same millisecond.
    """
    run, began, dice = Run(), time.perf_counter(), random.Random(7)
    at, loop = urlsplit(url), asyncio.get_running_loop()

    async def one(number: int) -> None:
        await asyncio.sleep(dice.random())
        _, connection = await loop.create_connection(Connection, at.hostname, at.port)
        while (asked := time.perf_counter()) - began < seconds:
            status = await connection.ask(requests[number % len(requests)])
            run.statuses[status] += 1
            (run.answered if status == 200 else run.shed).append(time.perf_counter() - asked)
            number += clients
            if status != 200:
                await asyncio.sleep(pause * (0.5 + dice.random()))
        connection.close()

    await asyncio.gather(*(one(number) for number in range(clients)))
    run.seconds = time.perf_counter() - began
    return run


def percentile(values: list[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else float("nan")
