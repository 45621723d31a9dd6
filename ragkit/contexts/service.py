"""Contexts for an index: asked for after an ingest, taken when they are there; each step continues where one broke."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from ragkit.batches.bench import MOST_CHUNKS, Entry, at_bench
from ragkit.batches.beside import JournalThread, opened
from ragkit.batches.job import ItemState, Job, Question
from ragkit.batches.journal import FILE_NAME
from ragkit.batches.lane import Lane
from ragkit.batches.plan import worst
from ragkit.batches.quote import expected
from ragkit.batches.sending import Env
from ragkit.contexts.fill import fill, lacking, unknown
from ragkit.contexts.kind import Contexts
from ragkit.contexts.model import context_model
from ragkit.contexts.report import Foreseen, Placed
from ragkit.contexts.wish import Maker, Wish
from ragkit.nouns import Account, Chunk
from ragkit.parts import Parts
from ragkit.store import Store

USUAL_OUTPUT = 90
"""Tokens of a context with its frame of JSON, to reckon with."""


class ContextRun:
    """One run over an index, for the account that pays. `foreseen` and `placed` tell what it did.

    About `most` chunks make a job.
    """

    def __init__(self, parts: Parts, account: Account, env: Env | None = None, most: int = MOST_CHUNKS) -> None:
        self.foreseen = Foreseen(batch=parts.settings.ingest.context == "batch")
        self.placed = Placed()
        self._parts = parts
        self._account = account
        self._env = env or Env(now=parts.clock)
        self._most = most
        self._watched: set[str] = set()

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
            given = sum([filled.given async for filled in fill(store, bench.journal, maker)])
            before = await bench.journal.run(lambda it: it.open_jobs(maker.tenant, "contexts"))
            reports, error = await bench.work(before, Lane.advance)
            lacking = Lacking(self._account, self._env, store, bench.journal, maker, self._most)
            more, later = await bench.ask(lacking)
            self.placed = Placed((*reports, *more), given + kind.given, error or later)
            return await self._waiting(bench.journal)

    async def collect(self, store: Store) -> frozenset[str]:
        """Take what has come; the documents that still wait."""
        kind = self._kind(store)
        async with at_bench(self._parts, kind, self._env) as bench:
            jobs = await bench.journal.run(lambda it: it.open_jobs(self._account.tenant, "contexts"))
            reports, error = await bench.work(jobs, Lane.collect)
            self.placed = Placed(reports, kind.given, error)
            return await self._waiting(bench.journal)

    async def _waiting(self, journal: JournalThread) -> frozenset[str]:
        return frozenset(await journal.run(lambda it: it.waiting(self._account.tenant, "contexts")))

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
        under_way: frozenset[str] = frozenset()
        if journal is not None:
            under_way = await journal.run(lambda it: it.wanted(self._account.tenant, [wish.name for wish in wanted]))
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


@dataclass(frozen=True, slots=True)
class Lacking:
    """The contexts that the documents of an index lack."""

    account: Account
    env: Env
    store: Store
    journal: JournalThread
    maker: Maker
    most: int

    def job(self) -> Job:
        return Job(uuid.uuid4().hex[:16], self.account, self.env.now(), k=0, kind="contexts")

    async def pages(self) -> AsyncIterator[Mapping[str, Wish]]:
        """Cut between stretches only: the chunks of one read what the first of them writes to the cache."""
        page: dict[str, Wish] = {}
        stretch = ""
        async for document in lacking(self.store, self.journal, self.maker):
            for wish in document:
                before, stretch = stretch, wish.request.prompt.prefix.digest
                if len(page) >= self.most and before != stretch:
                    yield page
                    page = {}
                page[wish.name] = wish
        if page:
            yield page

    def entries(self, fresh: Sequence[Wish]) -> Iterator[Entry]:
        state: ItemState = "ready" if self.maker.lane == "batch" else "live"
        for wish in fresh:
            named = Question(wish.name, wish.chunk.source)
            yield Entry(named, wish.asked, {wish.name: wish.chunk.document_id}, state)
