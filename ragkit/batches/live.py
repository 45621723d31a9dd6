"""The live lane of a job: for what no batch can answer in time, or is wanted at once, at the live price.

A few are asked side by side. Those that share a prefix wait for the first of them, which writes it to the provider's
cache for all of them. An item is written down as `asking`, under a name of its own, before it is asked: after a crash
it is asked again only if nothing was sent for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from ragkit.batches.beside import JournalThread
from ragkit.batches.collecting import Collector
from ragkit.batches.job import Asked, Item, Job
from ragkit.batches.kind import Kind
from ragkit.batches.sending import Env
from ragkit.errors import BudgetExceeded, InvalidAnswer, ProviderError
from ragkit.ledger import Ledger
from ragkit.nouns import Receipt
from ragkit.receipt import receipt_to_json

AT_ONCE = 8
"""Items that are asked side by side: also the most whose answers a crash can lose."""
INTERRUPTED = (
    "the process ended while this was asked live, and it may have been paid for: it is not asked a second time,"
    " submit it again if the answer is still wanted"
)


class LiveLane:
    """Asks the items of jobs of one kind at once."""

    def __init__(self, ledger: Ledger, kind: Kind, journal: JournalThread, collector: Collector, env: Env) -> None:
        self._ledger = ledger
        self._kind = kind
        self._journal = journal
        self._collector = collector
        self._env = env

    async def ask(self, job: Job) -> None:
        """All that waits for it, if the budgets allow; of each one there is an answer or a reason afterwards."""
        await self.recover(job)
        gate, written = asyncio.Semaphore(AT_ONCE), dict[str, asyncio.Event]()
        try:
            async with asyncio.TaskGroup() as group:
                for item in await self._journal.items(job.id, "live"):
                    await gate.acquire()
                    asked = await self._asked(item)
                    prefix, done = asked.request.prompt.prefix.digest, asyncio.Event()
                    before = written.setdefault(prefix, done) if prefix else done
                    turn = group.create_task(self._in_turn(item, asked, job, None if before is done else before, done))
                    turn.add_done_callback(lambda _: gate.release())
        except BaseExceptionGroup as broken:
            raise broken.exceptions[0] from None

    async def recover(self, job: Job) -> None:
        """What a process was asking when it died is asked again only if nothing was sent for it."""
        for item in await self._journal.items(job.id, "asking"):
            if await self._ledger.fate(item.live) == "nothing":
                found = replace(item, state="live", attempt=item.attempt + 1)
            else:
                found = failed(item, INTERRUPTED, await self._ledger.receipt(job.account.tenant, item.live))
            await self._journal.put_items(found)

    async def _in_turn(
        self, item: Item, asked: Asked, job: Job, before: asyncio.Event | None, done: asyncio.Event
    ) -> None:
        """Once the first one with its prefix is done, if it is not the first itself."""
        try:
            if before is not None:
                await before.wait()
            await self._ask(item, asked, job)
        finally:
            done.set()

    async def _ask(self, item: Item, asked: Asked, job: Job) -> None:
        self._env.at("live")
        await self._collector.release([item], job)
        await self._journal.put_items(replace(item, state="asking"))
        self._env.at("asking")
        try:
            answer = await self._kind.ask(item, asked, job)
            done = replace(item, state="answered", reason="", answer=answer)
        except (BudgetExceeded, ProviderError, InvalidAnswer) as error:
            done = failed(item, f"live, for the deadline: {error}" if job.deadline else str(error), error.receipt)
        self._env.at("asked live")
        # What was paid for is written down also where everything is being cancelled.
        await asyncio.shield(self._journal.put_items(done))

    async def _asked(self, item: Item) -> Asked:
        (asked,) = await self._journal.run(lambda journal: tuple(journal.asked([item])))
        return asked


def failed(item: Item, reason: str, receipt: Receipt | None) -> Item:
    """An item without an answer, with the bill for it if there is one."""
    bill = None if receipt is None else {"receipt": receipt_to_json(receipt)}
    return replace(item, state="failed", reason=reason, answer=bill)
