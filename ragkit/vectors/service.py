"""Vectors for an index by the batch lane: asked for after an ingest, taken when they are there."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence

from ragkit.batches.bench import Step, at_bench
from ragkit.batches.beside import JournalThread
from ragkit.batches.embeddings import MOST_TEXTS
from ragkit.batches.job import Asked, Item, Job, Question
from ragkit.batches.journal import Journal
from ragkit.batches.lane import Lane
from ragkit.batches.report import Report
from ragkit.batches.sending import Env
from ragkit.embed import Embedder, index_text
from ragkit.errors import ConfigError
from ragkit.nouns import Account, Chunk, Usage
from ragkit.parts import Parts
from ragkit.store import Store
from ragkit.vectors.kind import USELESS, Vectors, identity, name_of, under_way, wish
from ragkit.vectors.report import Followed

PROVIDERS = ("openai",)
EVERYTHING = 1_000_000_000
MOST_TOKENS = 100_000
"""Estimated tokens of a request, a third of what the provider takes."""


class VectorRun:
    """One run over an index, for the account that pays; `followed` tells what it did.

    `asks` says that it asks for what is lacking. Otherwise the lane was changed, and it only sees to its end what was
    asked for before. Raises `ConfigError` for an embedder without a batch lane.
    """

    def __init__(self, parts: Parts, account: Account, env: Env | None = None) -> None:
        self.followed: Followed | None = None
        self.asks = parts.settings.embedder.lane == "batch"
        self._parts = parts
        self._account = account
        self._env = env or Env(now=parts.clock)
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
            entered = () if stuck or not self.asks else await self._enter(store, bench.journal, but)
            more, later = await bench.work(entered, Lane.advance)
            left = await bench.journal.run(lambda it: under_way(it, tenant))
        if self.asks or reports:
            self.followed = Followed((*reports, *more), kind.given, len(left), error or later)
        return None if self.asks else frozenset(chunk.document_id for chunk in left)

    async def _enter(self, store: Store, journal: JournalThread, but: Collection[str]) -> tuple[Job, ...]:
        """Write a job down for all that is lacking and not under way, in one step."""
        tenant = self._account.tenant
        # Looked at before and after: what another run takes in between is neither lacking nor under way any more.
        before = await journal.run(lambda it: frozenset(map(identity, under_way(it, tenant))))
        marks = await journal.run(lambda it: it.marks(tenant))
        pending = [(it, self._mark(it, marks)) for it in await store.pending_dense(tenant, EVERYTHING, but)]
        job = Job(uuid.uuid4().hex[:16], self._account, self._env.now(), k=0, kind="vectors")

        def enter(it: Journal) -> tuple[Job, ...]:
            with it.turn():
                settled = before.union(map(identity, under_way(it, tenant)))
                fresh = [it for it in pending if it[1] != USELESS and identity(it[0]) not in settled]
                if not fresh:
                    return ()
                it.add_job(job, ())
                for number, chunks in enumerate(_together(fresh)):
                    named = Question(chunks[0].id, f"{len(chunks)} chunks, from {chunks[0].source} on")
                    it.put_asked(Item(job.id, number, named, "ready"), self._asked(chunks))
            return (job,)

        entered = await journal.run(enter)
        self._env.at("job written")
        return entered

    def _mark(self, chunk: Chunk, marks: Mapping[str, str]) -> str | None:
        """What is remembered of its text, mostly nothing."""
        if not marks:
            return None
        embedder, price_id = _embedder(self._parts)
        text = index_text(chunk.title, chunk.section, chunk.text, chunk.context)
        return marks.get(name_of(price_id, embedder.dimensions, text))

    def _asked(self, chunks: Sequence[Chunk]) -> Asked:
        embedder, price_id = _embedder(self._parts)
        shorter = embedder.dimensions != self._parts.catalogue.model(price_id).dimensions
        return wish(price_id, embedder.dimensions, chunks, shorter=shorter)


def _embedder(parts: Parts) -> tuple[Embedder, str]:
    embedder, name = parts.embedder, parts.settings.embedder.name
    if embedder is None or embedder.price_id is None or name not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        raise ConfigError(f"[embedder] lane batch works with {known}, not with '{name}': set it to standard")
    return embedder, embedder.price_id


def _failed(report: Report) -> bool:
    return report.job.state == "done" and any(item.state == "failed" for item in report.items)


def _together(chunks: Sequence[tuple[Chunk, str | None]]) -> Iterator[list[Chunk]]:
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
