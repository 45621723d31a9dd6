"""Where the jobs of an ingest are worked on, one after the other, whatever their kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from ragkit.batches.beside import JournalThread, opened
from ragkit.batches.job import Job
from ragkit.batches.journal import JobBusy, Journal
from ragkit.batches.kind import Kind
from ragkit.batches.lane import Lane
from ragkit.batches.registry import BatchApis
from ragkit.batches.report import Report
from ragkit.batches.sending import Env
from ragkit.errors import BudgetExceeded, ProviderError, RagkitError
from ragkit.parts import Parts

Step = Callable[[Lane, Job], Awaitable[Job]]


@dataclass(frozen=True, slots=True)
class Bench:
    """A journal and the lane for jobs of one kind."""

    journal: JournalThread
    lane: Lane

    async def work(self, jobs: Sequence[Job], step: Step) -> tuple[tuple[Report, ...], RagkitError | None]:
        """A step for each job, and what stopped the first one that could not take it.

        One that cannot go on now, or that somebody else works on, holds up no other.
        """
        error: RagkitError | None = None
        reports = []
        for known in jobs:
            try:
                async with self.journal.working_on(known.id):
                    await step(self.lane, (await self.journal.run(partial(_report, known=known))).job)
            except (BudgetExceeded, ProviderError, JobBusy) as failed:
                error = error or failed
            reports.append(await self.journal.run(partial(_report, known=known)))
        return tuple(reports), error


@asynccontextmanager
async def at_bench(parts: Parts, kind: Kind, env: Env) -> AsyncIterator[Bench]:
    """A place to work at; what a crash left held of refused jobs is given back first."""
    apis = BatchApis(parts.settings.providers)
    try:
        async with opened(parts.settings.store.path) as journal:
            lane = Lane(parts, kind, journal, apis, env)
            await lane.heal()
            yield Bench(journal, lane)
    finally:
        await apis.aclose()


def _report(journal: Journal, known: Job) -> Report:
    return Report(journal.job(known.id) or known, journal.parts(known.id), journal.all_items(known.id))
