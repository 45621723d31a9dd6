"""Worker processes that turn jobs into outcomes. A file that kills its worker, or takes too long, fails alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from ragkit.child import Child
from ragkit.errors import RagkitError
from ragkit_ingest.parse import PLAIN
from ragkit_ingest.process import start
from ragkit_ingest.wire import pack_job, unpack_outcome
from ragkit_ingest.work import Job, Outcome, Recipe, work

K = TypeVar("K")

LEAST_AHEAD, MOST_AHEAD = 2, 32
"""Jobs in a worker's hands: while one is answered the next is there already, and a write costs more than it says."""
INLINE_BYTES = 1_500_000
"""Up to here the start of processes costs more than they win, unless a format asks for one."""


async def outcomes(
    jobs: Sequence[tuple[K, Job]], recipe: Recipe, *, workers: int, size: int
) -> AsyncGenerator[tuple[K, Outcome], None]:
    """Every job's outcome, as they come; `size` is what the files weigh together."""
    left = list(jobs)
    if size <= INLINE_BYTES:
        left = []
        for key, job in jobs:
            outcome = await asyncio.to_thread(work, job, recipe, PLAIN)
            if outcome is None:
                left.append((key, job))
            else:
                yield key, outcome
    if left:
        async with contextlib.aclosing(_in_processes(left, recipe, min(workers, len(left)))) as answers:
            async for answer in answers:
                yield answer


async def _in_processes(
    jobs: Sequence[tuple[K, Job]], recipe: Recipe, workers: int
) -> AsyncGenerator[tuple[K, Outcome], None]:
    """Workers take from one list; the short queue keeps them from running ahead of the store."""
    queue: asyncio.Queue[list[tuple[K, Outcome]] | None] = asyncio.Queue(workers)
    shared = iter(jobs)
    ahead = min(MOST_AHEAD, max(LEAST_AHEAD, len(jobs) // (8 * workers)))

    async def run() -> None:
        worker = Worker(recipe, ahead)
        try:
            async for some in worker.answers(shared):
                await queue.put(some)
        finally:
            await worker.close()

    async def feed() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(run())
        except asyncio.CancelledError:
            raise  # nobody takes from the queue any more
        except BaseException:
            await queue.put(None)
            raise
        await queue.put(None)

    feeding = asyncio.create_task(feed())
    try:
        while (some := await queue.get()) is not None:
            for answer in some:
                yield answer
        await feeding
    except* RagkitError as errors:
        raise errors.exceptions[0] from None
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


class Worker:
    """One process at a time, started when there is work; used by one task."""

    def __init__(self, recipe: Recipe, ahead: int) -> None:
        self._recipe = recipe
        self._ahead = ahead
        self._process: Child | None = None

    async def answers(self, jobs: Iterator[tuple[K, Job]]) -> AsyncIterator[list[tuple[K, Outcome]]]:
        """Outcomes in the order of the jobs, all that are there; the process is replaced when a job breaks it."""
        asked: deque[tuple[K, Job]] = deque()
        await self._fill(asked, jobs)
        while asked:
            some = [(asked.popleft()[0], await self._answer())]
            while asked and self._process is not None and self._process.ready:
                some.append((asked.popleft()[0], await self._answer()))
            if self._process is None:
                await self._ask([job for _, job in asked])
            await self._fill(asked, jobs)
            yield some

    async def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.close()

    async def _fill(self, asked: deque[tuple[K, Job]], jobs: Iterator[tuple[K, Job]]) -> None:
        """See that the process has work while its answers are dealt with."""
        if len(asked) <= self._ahead // 2:
            more = list(islice(jobs, self._ahead - len(asked)))
            await self._ask([job for _, job in more])
            asked.extend(more)

    async def _ask(self, jobs: Sequence[Job]) -> None:
        if jobs:
            self._process = self._process or await start(self._recipe)
            self._process.say(*map(pack_job, jobs))

    async def _answer(self) -> Outcome:
        seconds = self._recipe.limits.seconds
        try:
            return unpack_outcome(await self._process.answer(seconds)) if self._process else Outcome(reason="was lost")
        except TimeoutError:
            await self.close()
            return Outcome(reason=f"took longer than {seconds:.0f} seconds to parse")
        except (EOFError, ValueError):
            await self.close()
            return Outcome(reason="broke its parser: the file is damaged, or needs more memory than a file may take")
