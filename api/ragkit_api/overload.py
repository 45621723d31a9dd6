"""How much is done at once: a gate with a fair, bounded queue, rates per key, deadlines that a shutdown shortens."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ragkit_api.problem import Problem

SWEEP = 60.0
"""Seconds between two looks for buckets that are full again."""
SMOOTHING = 0.1
"""Weight of the latest question in the mean time that one takes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`share` is the part of the queue that one tenant may fill while another one waits, too."""

    in_flight: int = 64
    queue: int = 128
    share: float = 0.25
    wait: float = 10.0


class Gate:
    """Lets so many in at once. Who waits is let in by turns of the tenants, so that none can keep the others out."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._queued = 0
        self._coming: Counter[str] = Counter()
        self._mean = 0.5
        self.running = 0
        self.closed = False

    @property
    def queued(self) -> int:
        return self._queued

    @property
    def coming(self) -> int:
        """Who has been announced and not been answered yet."""
        return self._coming.total()

    @property
    def full(self) -> bool:
        """Whether nobody can be let in or wait."""
        return self.running >= self._limits.in_flight and self._queued >= self._limits.queue

    def come(self, tenant: str) -> Callable[[], None]:
        """Announce a question before anything of it is read; `Problem` where there will be no place for it.

        To be called back once, when it is answered or begins to be. Without this a crowd that comes at once would be
        read, checked and parsed before the first of it is refused.
        """
        inside = self._limits.in_flight
        most, most_of_one = inside + self._limits.queue, inside + self._room(tenant, self._coming)
        if self.closed:
            raise shutting_down()
        if self.full or self.coming >= most or self._coming[tenant] >= most_of_one:
            raise self.refusal()
        self._coming[tenant] += 1
        return lambda: self._came(tenant)

    def _came(self, tenant: str) -> None:
        self._coming[tenant] -= 1
        if not self._coming[tenant]:
            del self._coming[tenant]

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncIterator[None]:
        """A place for one question; `Problem` where there is none and none is likely soon."""
        await self._enter(tenant)
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            yield
        finally:
            self._mean += SMOOTHING * (clock() - began - self._mean)
            self._leave()

    def refusal(self) -> Problem:
        """Says when there will be room, if all goes on as it did."""
        wait = self._mean * (self._queued + 1) / self._limits.in_flight
        return Problem(503, "overloaded", "too many questions at once: ask again in a moment", retry_after=wait)

    async def _enter(self, tenant: str) -> None:
        if self.closed:
            raise shutting_down()
        if self.running < self._limits.in_flight and not self._queued:
            self.running += 1
            return
        line = self._waiting.get(tenant, ())
        if self._queued >= self._limits.queue or len(line) >= self._room(tenant, self._waiting):
            raise self.refusal()
        await self._wait(tenant)

    def _room(self, tenant: str, present: Mapping[str, object]) -> int:
        """Alone a tenant may fill the queue; half of it for good, lest the second finds it full."""
        alone = all(other == tenant for other in present)
        share = max(0.5, self._limits.share) if alone else self._limits.share
        return max(1, round(self._limits.queue * share))

    async def _wait(self, tenant: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(turn)
        self._queued += 1
        try:
            async with asyncio.timeout(self._limits.wait):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._leave()
            else:
                self._forget(tenant, turn)
            if isinstance(error, TimeoutError):
                raise self.refusal() from error
            raise

    def _forget(self, tenant: str, turn: asyncio.Future[None]) -> None:
        line = self._waiting.get(tenant)
        if line is not None and turn in line:
            line.remove(turn)
            self._queued -= 1
            if not line:
                del self._waiting[tenant]

    def _leave(self) -> None:
        """Pass the place on to the tenant whose turn it is, who then goes to the end of the line."""
        while self._waiting:
            tenant = next(iter(self._waiting))
            line = self._waiting.pop(tenant)
            turn = line.popleft()
            self._queued -= 1
            if line:
                self._waiting[tenant] = line
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1


class Deadlines:
    """Every question has so many seconds; once the service is being stopped, all of them have the same few."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends: float | None = None
        self._open: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def one(self, seconds: float | None = None) -> AsyncIterator[None]:
        """The time that a question has, or so many seconds."""
        now = asyncio.get_running_loop().time()
        async with self._until(now + (self._seconds if seconds is None else seconds)):
            yield

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        """All the time that there is: nobody waits for it, and only a shutdown gives it an end."""
        async with self._until(None):
            yield

    @asynccontextmanager
    async def _until(self, end: float | None) -> AsyncIterator[None]:
        limit = asyncio.timeout_at(self._end(end))
        try:
            async with limit:
                self._open.add(limit)
                try:
                    yield
                finally:
                    self._open.discard(limit)
        except TimeoutError as error:
            if not limit.expired():
                raise
            if self._ends is not None:
                raise shutting_down() from error
            message = f"the question was not answered within {self._seconds:g} s: ask for less"
            raise Problem(504, "deadline_exceeded", message) from error

    def drain(self, seconds: float) -> None:
        self._ends = asyncio.get_running_loop().time() + seconds
        for limit in self._open:
            # One that has run out is about to end its question, and cannot be moved any more.
            if not limit.expired():
                limit.reschedule(self._end(limit.when()))

    def _end(self, planned: float | None) -> float | None:
        if planned is None or self._ends is None:
            return self._ends if planned is None else planned
        return min(planned, self._ends)


class Rates:
    """A bucket of tokens per key: so many requests a minute, a tenth of them at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float, float]] = {}
        self._swept = clock()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, per_minute: int) -> None:
        """`Problem` where a key has asked too often."""
        now, most = self._clock(), max(1.0, per_minute / 10)
        self._sweep(now)
        left, seen, _ = self._buckets.get(key, (most, now, 0.0))
        left = min(most, left + (now - seen) * per_minute / 60)
        taken = left - 1 if left >= 1 else left
        self._buckets[key] = (taken, now, now + (most - taken) * 60 / per_minute)
        if left < 1:
            wait = (1 - left) * 60 / per_minute
            raise Problem(429, "rate_limited", f"this key may ask {per_minute} times a minute", retry_after=wait)

    def _sweep(self, now: float) -> None:
        """Forget buckets that are full again, which say nothing."""
        if now - self._swept >= SWEEP:
            self._swept = now
            self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket[2] > now}


def shutting_down() -> Problem:
    return Problem(503, "shutting_down", "the service is being stopped: ask again in a moment", retry_after=5)
