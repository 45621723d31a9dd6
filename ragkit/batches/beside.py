"""The journal beside the event loop: each of its steps waits for the disk, which nobody else should have to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from ragkit.batches.job import Item, Part
from ragkit.batches.journal import Journal

T = TypeVar("T")


class JournalThread:
    """A journal and the one thread that uses it, so that steps are taken one after the other. Open with `opened`.

    Whoever is cancelled leaves the step that it waits for to end by itself, as a crash right after it would.
    """

    def __init__(self, thread: ThreadPoolExecutor, journal: Journal) -> None:
        self._thread = thread
        self._journal = journal

    async def run(self, work: Callable[[Journal], T]) -> T:
        """The outcome of work on the journal."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._journal)

    @asynccontextmanager
    async def working_on(self, job_id: str) -> AsyncIterator[None]:
        """As the journal's own."""
        lock = await self.run(lambda journal: journal.working_on(job_id))
        # Whoever stops waiting for the lock must not leave it behind.
        taking = asyncio.ensure_future(self.run(lambda _: lock.__enter__()))
        try:
            await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(lambda it: None if it.exception() else self._thread.submit(_leave, lock))
            raise
        try:
            yield
        finally:
            await asyncio.shield(self.run(lambda _: _leave(lock)))

    async def put_part(self, part: Part) -> None:
        await self.run(lambda journal: journal.put_part(part))

    async def put_items(self, *items: Item) -> None:
        await self.run(lambda journal: journal.put_items(items))

    async def parts(self, job_id: str) -> tuple[Part, ...]:
        return await self.run(lambda journal: journal.parts(job_id))

    async def put_arrived(self, items: Sequence[Item]) -> None:
        await self.run(lambda journal: journal.put_arrived(items))

    async def pages(self, job_id: str) -> AsyncIterator[tuple[Item, ...]]:
        """All items of a job, a few at a time."""
        after = -1
        while page := await self.run(partial(Journal.items_after, job_id=job_id, number=after)):
            yield page
            after = page[-1].number

    async def items(self, job_id: str, state: str) -> tuple[Item, ...]:
        return await self.run(lambda journal: journal.items(job_id, state))

    async def items_of(self, part_id: str) -> tuple[Item, ...]:
        return await self.run(lambda journal: journal.items_of(part_id))


def _leave(lock: AbstractContextManager[None]) -> None:
    lock.__exit__(None, None, None)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[JournalThread]:
    """The journal in a folder; closed once all that was begun on it has ended."""
    thread = ThreadPoolExecutor(1, "ragkit-batches")
    loop = asyncio.get_running_loop()
    try:
        journal = await loop.run_in_executor(thread, Journal, folder)
        try:
            yield JournalThread(thread, journal)
        finally:
            await asyncio.shield(loop.run_in_executor(thread, journal.close))
    finally:
        thread.shutdown(wait=False)
