"""Where the jobs of an ingest are written down and worked on, one after the other, whatever their kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from ragkit.batches.beside import JournalThread, opened
from ragkit.batches.job import Asked, Item, ItemState, Job, Question
from ragkit.batches.journal import JobBusy, Journal
from ragkit.batches.kind import Kind
from ragkit.batches.lane import Lane
from ragkit.batches.registry import BatchApis
from ragkit.batches.sending import Env
from ragkit.batches.tally import Tally
from ragkit.errors import BudgetExceeded, ProviderError, RagkitError
from ragkit.parts import Parts

MOST_CHUNKS = 8_192
"""Chunks of a job. They are in memory together, with all that is asked for them; and a provider that takes only so many
tokens at a time is given them in pieces of which it can take one."""

Step = Callable[[Lane, Job], Awaitable[Job]]
Found = tuple[tuple[Tally, ...], RagkitError | None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """An item to be, and the names that it brings, each with the document that waits for it."""

    question: Question
    asked: Asked
    documents: Mapping[str, str]
    state: ItemState = "ready"


class Wants(Protocol[T]):
    """What an index lacks; read a page at a time, since all of it has no place in memory."""

    def job(self) -> Job:
        """A new one for the next page."""
        ...

    def pages(self) -> AsyncIterator[Mapping[str, T]]:
        """What is lacking, by name, whether or not it is under way."""
        ...

    def entries(self, fresh: Sequence[T]) -> Iterable[Entry]:
        """How that which is not under way is asked for."""
        ...


@dataclass(frozen=True, slots=True)
class Bench:
    """A journal and the lane for jobs of one kind."""

    journal: JournalThread
    lane: Lane
    env: Env

    async def work(self, jobs: Sequence[Job], step: Step) -> Found:
        """A step for each job, and what stopped the first one that could not take it.

        One that cannot go on now, or that somebody else works on, holds up no other.
        """
        error: RagkitError | None = None
        tallies = []
        for known in jobs:
            try:
                async with self.journal.working_on(known.id):
                    await step(self.lane, await self.journal.run(partial(_as_it_stands, known=known)))
            except (BudgetExceeded, ProviderError, JobBusy) as failed:
                error = error or failed
            tallies.append(await self.journal.run(partial(_tally, known=known)))
        return tuple(tallies), error

    async def ask(self, wants: Wants[T]) -> Found:
        """Jobs for all that is lacking and not under way, each begun before the next one is written down.

        Ends with the first one that cannot be begun: what would be written down after it could not be either.
        """
        pages = wants.pages()
        tallies: tuple[Tally, ...] = ()
        error: RagkitError | None = None
        while error is None and (entered := await self._enter(wants, pages)) is not None:
            found, error = await self.work(entered, Lane.advance)
            tallies += found
        return tallies, error

    async def _enter(self, wants: Wants[T], pages: AsyncIterator[Mapping[str, T]]) -> tuple[Job, ...] | None:
        """A job for the next page, if anything on it is to be asked for; None after the last one."""
        job = wants.job()
        tenant = job.account.tenant
        # Who is at work is looked at before the page is read, and again after: what another run brings in between is
        # neither lacking nor under way any more.
        known = await self.journal.run(lambda it: [each.id for each in it.open_jobs(tenant, job.kind)])
        page = await anext(pages, None)
        if page is None:
            return None

        def enter(it: Journal) -> tuple[Job, ...]:
            with it.turn():  # two runs at once must not ask for the same
                settled = it.wanted(tenant, page, known) | it.contexts(tenant, page).keys()
                fresh = [wanted for name, wanted in page.items() if name not in settled]
                if not fresh:
                    return ()
                it.add_job(job, ())
                for number, entry in enumerate(wants.entries(fresh)):
                    item = Item(job.id, number, entry.question, entry.state)
                    it.put_asked(item, entry.asked)
                    it.want(tenant, item, entry.documents)
            return (job,)

        entered = await self.journal.run(enter)
        if entered:
            self.env.at("job written")
        return entered


@asynccontextmanager
async def at_bench(parts: Parts, kind: Kind, env: Env) -> AsyncIterator[Bench]:
    """A place to work at; what a crash left held of refused jobs is given back first."""
    apis = BatchApis(parts.settings.providers)
    try:
        async with opened(parts.settings.store.path) as journal:
            lane = Lane(parts, kind, journal, apis, env)
            await lane.heal()
            yield Bench(journal, lane, env)
    finally:
        await apis.aclose()


def _as_it_stands(journal: Journal, known: Job) -> Job:
    return journal.job(known.id) or known


def _tally(journal: Journal, known: Job) -> Tally:
    return Tally.of(_as_it_stands(journal, known), journal.each_item(known.id))
