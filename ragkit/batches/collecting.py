"""From an ended batch to settled items: what was answered, what goes again, and what is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from ragkit.batch import Progressing, Result
from ragkit.batches.beside import JournalThread
from ragkit.batches.job import Item, ItemState, Job, Part
from ragkit.batches.journal import Journal
from ragkit.batches.sending import Env, Sender
from ragkit.batches.settling import Desk, hold_of, settle
from ragkit.ledger import Hold, Ledger

MOST_ATTEMPTS = 3
USUAL = timedelta(hours=1)
"""Most batches end within this time; who needs the answers sooner is answered live."""
SPILL = timedelta(minutes=10)
"""How long before the deadline the questions that are still open go to the live lane."""


class Collector:
    """Takes results; each step may be done again."""

    def __init__(self, ledger: Ledger, journal: JournalThread, sender: Sender, env: Env) -> None:
        self._ledger = ledger
        self._journal = journal
        self._sender = sender
        self._env = env

    async def take(self, part: Part, progress: Progressing, job: Job, desk: Desk) -> None:
        """Every result of an ended batch; those that other batches left there by a mix-up are not ours."""
        if progress.progress == "failed":
            await self._journal.put_part(replace(part, state="dropped", reason=progress.reason))
            await self.fail(
                await self._journal.items_of(part.id), job, f"the provider refused the batch: {progress.reason}"
            )
            return
        if part.ended is None:
            part = replace(part, ended=progress.ended or self._env.now())
            await self._journal.put_part(part)
        self._env.at("ended")
        left = {item.name: item for item in await self._journal.items_of(part.id)}
        foreign = nameless = 0
        async for result in self._sender.api(part.provider).results(part.remote):
            if (item := left.pop(result.name, None)) is not None:
                await self._take_one(result, item, part, job, desk)
            elif not result.name:
                nameless += result.completion is not None or result.unreadable
            elif not result.name.startswith(f"{part.id}-"):
                foreign += 1
        if foreign:
            rejected = (*part.rejected, part.remote)
            await self._journal.put_part(replace(part, state="submitting", remote="", ended=None, rejected=rejected))
            return
        await self._take_left(tuple(left.values()), nameless, part, job, desk)
        await self._journal.put_part(replace(part, state="collected"))
        self._env.at("collected")

    async def _take_left(self, left: Sequence[Item], nameless: int, part: Part, job: Job, desk: Desk) -> None:
        """What has no result. As many as there are nameless answers were paid for, whichever these are: not again.

        What goes again does so first: if this breaks off, the same number is left for the nameless ones.
        """
        unpaid = max(0, len(left) - nameless)
        for item in left[:unpaid]:
            await self._again(item, job, Result(item.name, reason="the batch ended before this question", again=True))
        for item in left[unpaid:]:
            lost = Result(
                item.name, reason="the batch has an answer that does not say to which question", unreadable=True
            )
            await self._take_one(lost, item, part, job, desk)

    async def _take_one(self, result: Result, item: Item, part: Part, job: Job, desk: Desk) -> None:
        if result.completion is None and not result.unreadable:
            await self._again(item, job, result)
            return
        (asked,) = await self._journal.run(lambda journal: tuple(journal.asked([item])))
        done = await settle(result, item, asked, part, job, desk)
        self._env.at("settled")
        await self._journal.put_items(done)
        self._env.at("collected one")

    async def _again(self, item: Item, job: Job, result: Result) -> None:
        """What failed at no cost: once more, live if the deadline is near, or for good."""
        if not result.again or item.attempt >= MOST_ATTEMPTS or job.state != "open":
            await self.fail([item], job, result.reason)
            return
        state: ItemState = "live" if self.misses(job, USUAL) else "ready"
        item = replace(item, state=state, part="", attempt=item.attempt + 1, reason=result.reason)
        await self._journal.put_items(item)

    async def cancel(self, part: Part) -> None:
        await self._sender.api(part.provider).cancel(part.remote)
        await self._journal.put_part(replace(part, cancelled=True))

    async def fail(self, items: Sequence[Item], job: Job, reason: str) -> None:
        await self.release(items, job)
        await self._journal.put_items(*(replace(item, state="failed", reason=reason) for item in items))

    async def release(self, items: Sequence[Item], job: Job) -> None:
        held = [item for item in items if item.hold_pico]

        def of(journal: Journal) -> list[Hold]:
            return [hold_of(item, asked, job) for item, asked in zip(held, journal.asked(held), strict=True)]

        holds = await self._journal.run(of)
        await asyncio.gather(*(self._ledger.release(hold) for hold in holds))

    def misses(self, job: Job, margin: timedelta) -> bool:
        return job.deadline is not None and self._env.now() + margin >= job.deadline
