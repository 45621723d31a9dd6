"""What all routes share: the index, the keys, the gate, the jobs and the books, opened and closed together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ragkit.compute import in_processes, in_thread
from ragkit.keeper import Keeper
from ragkit.ledgers.sql import SqlLedger
from ragkit.models import Catalogue
from ragkit.rag import Ragkit
from ragkit.settings import ApiSettings, Settings
from ragkit_api.attached import Detached
from ragkit_api.batching import Batching
from ragkit_api.jobs import Jobs
from ragkit_api.keys import Key, Ring
from ragkit_api.observe import Metrics
from ragkit_api.overload import Deadlines, Gate, Limits, Rates
from ragkit_api.records import Records
from ragkit_api.repeating import SHARE
from ragkit_api.secret import read_secret
from ragkit_api.spans import Spans, open_spans

FRESH = 1.0
"""Seconds after which keys are read again: how long a revoked one may still be used."""
STALE = 30.0
"""Seconds for which keys are remembered when they cannot be read."""


def bearer(shown: list[str]) -> str:
    """What is shown as a key in all headers of authorization; nothing where there are several."""
    kind, _, value = shown[0].partition(" ") if len(shown) == 1 else ("", "", "")
    return value.strip() if kind.lower() == "bearer" else ""


@dataclass(slots=True)
class KeyCheck:
    """Finds keys in a copy that is hardly older than a second, as long as the database answers."""

    records: Records
    secret: Callable[[], bytes]
    clock: Callable[[], float] = time.monotonic
    _ring: Ring = field(default_factory=Ring)
    _read: float = -STALE - FRESH
    _reading: asyncio.Task[None] | None = None
    _secret: bytes = b""

    async def find(self, shown: str) -> Key | None:
        """The key that was shown, if it may be used."""
        ring = await self.ring()
        self._secret = self._secret or self.secret()
        return ring.find(shown, self._secret, datetime.now(UTC))

    async def ring(self) -> Ring:
        """All keys. Who asks while they are read again takes the copy of a moment ago, lest everybody waits."""
        age = self.clock() - self._read
        if age >= FRESH and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._refresh())
        if age >= 2 * FRESH and self._reading is not None:
            await asyncio.shield(self._reading)
        return self._ring

    async def aclose(self) -> None:
        if self._reading is not None:
            await asyncio.wait({self._reading})

    async def _refresh(self) -> None:
        asked = self.clock()
        try:
            self._ring = await self.records.ring()
            self._read = asked
        except Exception:
            if asked - self._read > STALE:
                raise


@dataclass(slots=True)
class Service:
    settings: Settings
    rag: Ragkit
    records: Records
    keys: KeyCheck
    gate: Gate
    deadlines: Deadlines
    rates: Rates
    jobs: Jobs
    metrics: Metrics
    spans: Spans
    detached: Detached
    batching: Batching
    keeper: Keeper

    async def tenant(self, shown: list[str]) -> str | None:
        """Whose headers of authorization these are; None for nobody's."""
        if not (await self.keys.ring()).keys:
            return self.settings.tenant
        key = await self.keys.find(bearer(shown))
        return None if key is None else key.tenant

    @property
    def ledger(self) -> SqlLedger:
        return self.rag.parts.ledger

    @property
    def catalogue(self) -> Catalogue:
        return self.rag.parts.catalogue

    @property
    def api(self) -> ApiSettings:
        return self.settings.api

    @asynccontextmanager
    async def turn(self, tenant: str, *, patient: bool = False) -> AsyncIterator[None]:
        """A place among the questions that are answered at once, and so many seconds for it."""
        async with self.deadlines.one(self._patience if patient else None), self.gate.slot(tenant):
            yield

    @property
    def _patience(self) -> float:
        """Seconds for work that is waited for by nobody, as long as nobody else can begin it a second time."""
        return SHARE * self.settings.ledger.lease

    def drain(self) -> None:
        """Take nothing new, and let what goes on end soon."""
        self.gate.closed = True
        self.keeper.drain()
        self.deadlines.drain(self.api.drain)

    async def patiently(self, read: Callable[[], Awaitable[object]]) -> str:
        """`ok`, or what is wrong, for the check of readiness."""
        try:
            async with asyncio.timeout(2):
                await read()
        except Exception as error:
            return type(error).__name__
        return "ok"


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Everything is closed in the reverse order; what is not settled by then is settled first."""
    async with AsyncExitStack() as stack:
        processes = settings.api.compute_processes
        compute = await stack.enter_async_context(in_processes(processes) if processes else in_thread())
        rag = await stack.enter_async_context(Ragkit.open(settings, compute=compute))
        keeper = Keeper(rag.parts, rag.store)
        await stack.enter_async_context(keeper.running())
        records = Records(settings)
        stack.push_async_callback(records.aclose)
        api, metrics = settings.api, Metrics()
        gate = Gate(Limits(api.in_flight, api.queue, api.tenant_share, api.wait))
        jobs = await stack.enter_async_context(Jobs(rag, records).running())
        spans = open_spans(api.otlp)
        stack.callback(spans.close)
        keys = KeyCheck(records, lambda: read_secret(settings))
        stack.push_async_callback(keys.aclose)
        deadlines, detached = Deadlines(api.deadline), Detached()
        batching = Batching(rag, gate, deadlines, detached)
        stack.push_async_callback(batching.aclose)
        rates = Rates(time.monotonic)
        service = Service(
            settings, rag, records, keys, gate, deadlines, rates, jobs, metrics, spans, detached, batching, keeper
        )
        metrics.watch("ragkit_in_flight", "Questions that are answered now", lambda: gate.running)
        metrics.watch("ragkit_queue", "Questions that wait", lambda: gate.queued)
        metrics.watch("ragkit_jobs", "Ingests that wait or run", lambda: jobs.pending)
        stack.push_async_callback(service.detached.ended)
        yield service
