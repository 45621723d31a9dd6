"""Keeps hot prefixes warm while nobody asks: one task that sleeps until the next entry is due, and pays for refreshes.

A refresh is a purchase of the tenant whose prefix it reads. It is held against the tenant's budgets before it is sent,
and has a receipt of its own with one event `warm`. Nothing is bought while a budget asks for less, nor while the
service is being stopped. For a process that answers for hours:

    async with Ragkit.open("kb") as rag, Keeper(rag.parts, rag.store).running():
        ...
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from ragkit.bill import is_simulated
from ragkit.caching.refresh_due import Due, Entry
from ragkit.calls.attempt import Attempt, Call, Meter
from ragkit.checkout import Order, checkout
from ragkit.errors import RagkitError, Unavailable
from ragkit.nouns import Account, Completion, Usage
from ragkit.parts import Parts
from ragkit.savings import Counterfactual
from ragkit.store import Store

LOG = logging.getLogger("ragkit.keeper")
AT_ONCE = 8
"""Refreshes that are on their way at the same time."""
NAP = 30.0
"""The longest sleep in seconds, since a clock may be set, and a machine may sleep itself."""
GRACE = 5.0
"""Seconds that refreshes on their way may take to their end when the process stops."""
EASY = ("none", "warn")
"""The pressures of budgets under which something may be bought that nobody has asked for."""


class Keeper:
    """The refreshes of one process; `store` is where it is looked whether the documents of a prefix are still there."""

    def __init__(self, parts: Parts, store: Callable[[], Awaitable[Store]]) -> None:
        self._parts = parts
        self._store = store
        self._keeping = parts.caches.keeping

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Prefixes are kept warm within this, where `[cache] keep_alive` is on.

        What is under way when it is left is settled, and nothing more is sent.
        """
        if not self._parts.settings.cache.keep_alive:
            yield
            return
        self._parts.caches.prefixes.kept_warm = True
        task = asyncio.create_task(self._run())
        task.add_done_callback(self._ended)
        try:
            yield
        finally:
            self.drain()
            try:
                await asyncio.wait({task}, timeout=GRACE)
            finally:
                task.cancel()
                await asyncio.wait({task})

    def drain(self) -> None:
        """Send nothing more, and write no prefix in the hope of refreshes."""
        self._parts.caches.prefixes.kept_warm = False
        self._keeping.changed.set()

    async def turn(self) -> float | None:
        """Refresh what is due; seconds until something is due again, None while nothing is."""
        if not self._parts.caches.prefixes.kept_warm:
            return None
        due = self._keeping.due()
        for start in range(0, len(due), AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for one in due[start : start + AT_ONCE]:
                    group.create_task(self._refresh(one))
        until = self._keeping.next_due()
        return None if until is None else until - self._parts.clock().timestamp()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Whatever has ended the task, nothing is written any more in the hope of refreshes."""
        self.drain()
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("prefixes are not kept warm any more: %s", type(error).__name__, exc_info=error)

    async def _run(self) -> None:
        while self._parts.caches.prefixes.kept_warm:
            self._keeping.changed.clear()
            left = await self.turn()
            nap = NAP if left is None else min(NAP, max(0.1, left))
            with suppress(TimeoutError):
                async with asyncio.timeout(nap):
                    await self._keeping.changed.wait()

    async def _refresh(self, due: Due) -> None:
        """Read one prefix; whatever is in the way of that, it is not tried again before the next question."""
        try:
            if await self._in_force(due.entry) and self._keeping.still(due):
                await self._buy(due)
        except RagkitError as error:
            due.line.keeping = f"not refreshed: {error}"
        except Exception as error:  # of one entry, which must not end the others
            LOG.error("a prefix was not refreshed: %s", type(error).__name__, exc_info=error)
            due.line.keeping = f"not refreshed: {type(error).__name__}"
        finally:
            if due.entry.busy:
                self._keeping.give_up(due.entry)

    async def _in_force(self, entry: Entry) -> bool:
        """Whether a prefix still holds what the tenant's documents say, which another process may have changed."""
        caches, store = self._parts.caches, await self._store()
        corpus = await caches.corpus.version(store, entry.tenant)
        if corpus is None:
            return False
        if any(line.version is None or line.version.corpus != corpus for line in self._keeping.lines(entry)):
            await caches.prefixes.revalidate(entry.tenant, store)
        return bool(self._keeping.lines(entry))

    async def _buy(self, due: Due) -> None:
        parts, order = self._parts, self._order(due.entry.tenant)
        if (pressure := await order.pressure()) not in EASY:
            due.line.keeping = f"not refreshed: a budget is nearly used up ({pressure})"
            return
        begun, tries = parts.clock().timestamp(), list[Attempt]()
        try:
            async with checkout(order):
                completion = await self._read(due, order, tries)
        except BaseException:
            if order.committed_pico:
                due.line.balance.unanswered(order.committed_pico, simulated=_simulated(tries))
            raise
        self._keeping.done(due, completion.usage, order.committed_pico, begun, simulated=_simulated(tries))

    async def _read(self, due: Due, order: Order, tries: list[Attempt]) -> Completion:
        """One refresh; `tries` is told of each attempt that was made for it."""
        request, retrying = due.entry.request, self._parts.retrying
        model = request.model
        provider = (await self._parts.providers([model]))[model.provider]

        async def admit() -> None:
            await order.admit(request)
            if not self._keeping.still(due):
                raise Unavailable("the prefix would be written, not read: it is too late", usage=Usage(), sent=False)

        async def run(meter: Meter, left: float) -> Completion:
            completion = await provider.complete(replace(request, timeout=left))
            meter.answered(completion)
            return completion

        def record(attempt: Attempt) -> None:
            order.record(attempt, model, request.prompt)
            tries.append(attempt)

        call = Call(model.provider, model.id, run, "warm", request.lane, admit)
        return await retrying.run([call], record, reason=due.reason)

    def _order(self, tenant: str) -> Order:
        """Compared with a system that keeps nothing warm: its cost is a negative saving."""
        parts = self._parts
        price_id = parts.catalogue.resolve(parts.settings.baseline.model)
        return Order(parts.payer(Account(tenant), parts.clock()), uuid.uuid4().hex, Counterfactual.empty(price_id))


def _simulated(tries: list[Attempt]) -> bool:
    return any(is_simulated(attempt.request_id) for attempt in tries)
