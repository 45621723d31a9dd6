"""Vectors for an index by the batch lane: asked for after an ingest, taken when they are there."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ragkit.batches.bench import MOST_CHUNKS, Entry, Step, at_bench
from ragkit.batches.beside import JournalThread
from ragkit.batches.embeddings import MOST_TEXTS
from ragkit.batches.job import Asked, Job, Question
from ragkit.batches.journal import Journal
from ragkit.batches.lane import Lane
from ragkit.batches.sending import Env
from ragkit.batches.tally import Tally
from ragkit.embed import Embedder, index_text
from ragkit.errors import ConfigError
from ragkit.nouns import Account, Chunk, Usage
from ragkit.parts import Parts
from ragkit.store import Store
from ragkit.vectors.kind import USELESS, Vectors, name, name_of, wish
from ragkit.vectors.report import Followed

PROVIDERS = ("openai",)
MOST_TOKENS = 100_000
"""Estimated tokens of a request, a third of what the provider takes."""
Marked = tuple[Chunk, str | None]
"""A chunk, and what is remembered of its text, mostly nothing."""


class VectorRun:
    """One run over an index, for the account that pays; `followed` tells what it did.

    `asks` says that it asks for what is lacking. Otherwise the lane was changed, and it only sees to its end what was
    asked for before. At most `most` chunks make a job. Raises `ConfigError` for an embedder without a batch lane.
    """

    def __init__(self, parts: Parts, account: Account, env: Env | None = None, most: int = MOST_CHUNKS) -> None:
        self.followed: Followed | None = None
        self.asks = parts.settings.embedder.lane == "batch"
        self._parts = parts
        self._account = account
        self._env = env or Env(now=parts.clock)
        self._most = most
        if self.asks:
            _embedder(parts)

    async def start(self, store: Store, but: Collection[str]) -> frozenset[str] | None:
        """Continue what is under way, and ask for what is lacking, without the documents `but`.

        The documents that wait for their vectors; None where all that lack some do.
        """
        return await self._work(store, but, Lane.advance if self.asks else Lane.collect)

    async def collect(self, store: Store, but: Collection[str]) -> None:
        """Take what has come, and ask for what is lacking."""
        await self._work(store, but, Lane.collect)

    def price(self, usage: Usage) -> int:
        """What a usage would cost today, in pico-dollars."""
        _, price_id = _embedder(self._parts)
        return self._parts.catalogue.cost(usage, price_id, at=self._env.now(), lane="batch").pico

    async def _work(self, store: Store, but: Collection[str], step: Step) -> frozenset[str] | None:
        async def at_hand() -> Store:
            return store

        kind, tenant = Vectors(at_hand, self._env.at), self._account.tenant
        async with at_bench(self._parts, kind, self._env) as bench:
            jobs = await bench.journal.run(lambda it: it.open_jobs(tenant, "vectors"))
            reports, error = await bench.work(jobs, step)
            # Whoever looks again and again must not ask again each time for what fails each time.
            stuck = step is Lane.collect and not kind.given and any(map(_failed, reports))
            if self.asks and not stuck:
                lacking = Lacking(self._parts, self._account, self._env, store, bench.journal, but, self._most)
                more, later = await bench.ask(lacking)
                reports, error = (*reports, *more), error or later
            left = await bench.journal.run(lambda it: it.waiting(tenant, "vectors"))
        if self.asks or reports:
            self.followed = Followed(reports, kind.given, sum(left.values()), error)
        return None if self.asks else frozenset(left)


@dataclass(frozen=True, slots=True)
class Lacking:
    """The chunks of an index that have no vector, but those of some documents, each with what is remembered of it."""

    parts: Parts
    account: Account
    env: Env
    store: Store
    journal: JournalThread
    but: Collection[str]
    most: int

    def job(self) -> Job:
        return Job(uuid.uuid4().hex[:16], self.account, self.env.now(), k=0, kind="vectors")

    async def pages(self) -> AsyncIterator[Mapping[str, Marked]]:
        """Without the texts that were paid for to no avail."""
        async for chunks in self.store.pending_pages(self.account.tenant, self.most, self.but):
            yield await self.journal.run(partial(self._marked, chunks=chunks))

    def entries(self, fresh: Sequence[Marked]) -> Iterator[Entry]:
        for chunks in _together(fresh):
            named = Question(chunks[0].id, f"{len(chunks)} chunks, from {chunks[0].source} on")
            yield Entry(named, self._asked(chunks), {name(chunk): chunk.document_id for chunk in chunks})

    def _marked(self, journal: Journal, chunks: Sequence[Chunk]) -> dict[str, Marked]:
        embedder, price_id = _embedder(self.parts)
        texts = (index_text(chunk.title, chunk.section, chunk.text, chunk.context) for chunk in chunks)
        names = [name_of(price_id, embedder.dimensions, text) for text in texts]
        marks = journal.contexts(self.account.tenant, names)
        found = ((chunk, marks.get(known)) for chunk, known in zip(chunks, names, strict=True))
        return {name(chunk): (chunk, mark) for chunk, mark in found if mark != USELESS}

    def _asked(self, chunks: Sequence[Chunk]) -> Asked:
        embedder, price_id = _embedder(self.parts)
        shorter = embedder.dimensions != self.parts.catalogue.model(price_id).dimensions
        return wish(price_id, embedder.dimensions, chunks, shorter=shorter)


def _embedder(parts: Parts) -> tuple[Embedder, str]:
    embedder, name = parts.embedder, parts.settings.embedder.name
    if embedder is None or embedder.price_id is None or name not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        raise ConfigError(f"[embedder] lane batch works with {known}, not with '{name}': set it to standard")
    return embedder, embedder.price_id


def _failed(tally: Tally) -> bool:
    return tally.job.state == "done" and tally.counts.get("failed", 0) > 0


def _together(chunks: Sequence[Marked]) -> Iterator[list[Chunk]]:
    """Requests for chunks, of which those with a mark go alone."""
    yield from _groups([chunk for chunk, mark in chunks if mark is None])
    yield from ([chunk] for chunk, mark in chunks if mark is not None)


def _groups(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """Requests within the provider's limits."""
    group: list[Chunk] = []
    size = 0
    for chunk in chunks:
        if group and (len(group) == MOST_TEXTS or size + chunk.tokens > MOST_TOKENS):
            yield group
            group, size = [], 0
        group.append(chunk)
        size += chunk.tokens
    if group:
        yield group
