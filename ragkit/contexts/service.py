"""Contexts for an index: asked for after an ingest, taken when they are there; each step continues where one broke."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from ragkit.batches.bench import at_bench
from ragkit.batches.beside import JournalThread, opened
from ragkit.batches.job import Item, Job, Question
from ragkit.batches.journal import FILE_NAME, Journal
from ragkit.batches.lane import Lane
from ragkit.batches.plan import worst
from ragkit.batches.quote import expected
from ragkit.batches.sending import Env
from ragkit.contexts.fill import fill, lacking, unknown
from ragkit.contexts.kind import Contexts, waiting
from ragkit.contexts.model import context_model
from ragkit.contexts.report import Foreseen, Placed
from ragkit.contexts.wish import Maker, Wish
from ragkit.nouns import Account, Chunk
from ragkit.parts import Parts
from ragkit.store import Store

USUAL_OUTPUT = 90
"""Tokens of a context with its frame of JSON, to reckon with."""


class ContextRun:
    """One run over an index, for the account that pays. `foreseen` and `placed` tell what it did."""

    def __init__(self, parts: Parts, account: Account, env: Env | None = None) -> None:
        self.foreseen = Foreseen(batch=parts.settings.ingest.context == "batch")
        self.placed = Placed()
        self._parts = parts
        self._account = account
        self._env = env or Env(now=parts.clock)
        self._watched: set[str] = set()
        self._under_way: frozenset[str] | None = None

    def check(self) -> None:
        """Raises `ConfigError` or `UnpricedModel`, before a file is read, where nobody could write contexts."""
        self._maker()

    async def watch(self, chunks: Sequence[Chunk]) -> None:
        """Reckon with a document that would be written."""
        self._watched.add(chunks[0].source)
        async with self._looking() as journal:
            await self._add(await unknown(journal, self._maker(), chunks), journal)

    async def foresee(self, store: Store, gone: Collection[str]) -> None:
        """Reckon with what the index lacks beside that."""
        async with self._looking() as journal:
            async for wanted in lacking(store, journal, self._maker(), {*self._watched, *gone}):
                await self._add(wanted, journal)

    async def start(self, store: Store) -> frozenset[str]:
        """Give what is known, continue what is under way, and ask for the rest; the documents that wait for it.

        An error of budgets or providers is part of `placed`: what is asked for can be asked for again.
        """
        maker, kind = self._maker(), self._kind(store)
        async with at_bench(self._parts, kind, self._env) as bench:
            filled = await fill(store, bench.journal, maker)
            before = await bench.journal.run(lambda it: it.open_jobs(maker.tenant, "contexts"))
            entered = await self._enter(store, bench.journal, maker)
            jobs = before if entered is None else (*before, entered)
            reports, error = await bench.work(jobs, Lane.advance)
            self.placed = Placed(reports, filled.given + kind.given, error)
            return await self._waiting(store, bench.journal)

    async def collect(self, store: Store) -> frozenset[str]:
        """Take what has come; the documents that still wait."""
        kind = self._kind(store)
        async with at_bench(self._parts, kind, self._env) as bench:
            jobs = await bench.journal.run(lambda it: it.open_jobs(self._account.tenant, "contexts"))
            reports, error = await bench.work(jobs, Lane.collect)
            self.placed = Placed(reports, kind.given, error)
            return await self._waiting(store, bench.journal)

    async def _enter(self, store: Store, journal: JournalThread, maker: Maker) -> Job | None:
        """Write a job down for all that is lacking and not under way, in one step."""
        wanted = [wish async for document in lacking(store, journal, maker) for wish in document]
        job = Job(uuid.uuid4().hex[:16], self._account, self._env.now(), k=0, kind="contexts")
        live = self._parts.settings.ingest.context == "live"

        def enter(it: Journal) -> Job | None:
            with it.turn():  # two runs at once must not ask for the same
                settled = waiting(it, maker.tenant) | it.contexts(maker.tenant, [wish.name for wish in wanted]).keys()
                fresh = {wish.name: wish for wish in wanted if wish.name not in settled}
                if not fresh:
                    return None
                it.add_job(job, ())
                for number, wish in enumerate(fresh.values()):
                    item = Item(job.id, number, Question(wish.name, wish.chunk.source), "live" if live else "ready")
                    it.put_asked(item, wish.asked)
            return job

        entered = await journal.run(enter)
        self._env.at("job written")
        return entered

    async def _waiting(self, store: Store, journal: JournalThread) -> frozenset[str]:
        tenant = self._account.tenant

        def sources(it: Journal) -> set[str]:
            items = (item for job in it.open_jobs(tenant, "contexts") for item in it.all_items(job.id))
            return {item.question.text for item in items if item.state not in ("answered", "failed")}

        under_way = await journal.run(sources)
        return frozenset(record.id for record in await store.records(tenant) if record.source in under_way)

    def _kind(self, store: Store) -> Contexts:
        async def at_hand() -> Store:
            return store

        return Contexts(self._parts, at_hand, self._env.at)

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[JournalThread | None]:
        """The journal if there is one: a dry run makes none."""
        folder = self._parts.settings.store.path
        if not (folder / FILE_NAME).exists():
            yield None
            return
        async with opened(folder) as journal:
            yield journal

    def _maker(self) -> Maker:
        parts, at = self._parts, self._env.now()
        live = parts.settings.ingest.context == "live"
        model = context_model(parts.settings, parts.catalogue, at)
        return Maker(model, self._account.tenant, "standard" if live else "batch", parts.catalogue, at)

    async def _add(self, wanted: Sequence[Wish], journal: JournalThread | None) -> None:
        """The wishes of a document that are not under way, by the stretch that they share."""
        payer = self._parts.payer(self._account, self._env.now())
        if self._under_way is None and journal is not None:
            self._under_way = await journal.run(lambda it: waiting(it, self._account.tenant))
        under_way = self._under_way or frozenset()
        stretches: dict[str, list[Wish]] = {}
        for wish in wanted:
            if wish.name not in under_way:
                stretches.setdefault(wish.request.prompt.prefix.digest, []).append(wish)
        for group in stretches.values():
            requests = [wish.request for wish in group]
            priced = group[0].request.model.price_id is not None
            self.foreseen = replace(
                self.foreseen,
                chunks=self.foreseen.chunks + len(group),
                tokens=self.foreseen.tokens + sum(request.prompt.tokens for request in requests),
                expected_pico=self.foreseen.expected_pico + (expected(requests, payer, USUAL_OUTPUT) if priced else 0),
                most_pico=self.foreseen.most_pico + sum(worst(request, payer) for request in requests),
            )
