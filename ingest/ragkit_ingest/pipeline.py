"""Ingest as a line: find, compare, read, stage, commit, delete what vanished, then embed.

The store's commit protocol makes every step safe to be killed in; running again does what is left.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from ragkit.embed import Embedder
from ragkit.errors import MissingExtra
from ragkit.nouns import Chunk, DocumentRecord, Usage
from ragkit.settings import IngestSettings
from ragkit.store import Store
from ragkit_ingest.chunk import Sizes
from ragkit_ingest.dense import Embedding
from ragkit_ingest.facts import check_given
from ragkit_ingest.limits import MIB, Limits
from ragkit_ingest.load import load
from ragkit_ingest.plan import Manner, Task, known_digest, make_plan
from ragkit_ingest.pool import outcomes
from ragkit_ingest.report import IngestReport, Progress
from ragkit_ingest.work import Job, Recipe
from ragkit_ingest.write import Writer

RULES = 1
"""Counts the versions of the rules by which texts are read and cut; a new one makes every document a new revision."""
YOUNG_OBJECTS = 50_000
"""Between two searches for cycles while files are read."""


class Contexts(Protocol):
    """Who gives chunks their contexts, after they have become searchable by their words."""

    async def watch(self, chunks: Sequence[Chunk]) -> None:
        """In a dry run: a document that would be written."""
        ...

    async def foresee(self, store: Store, gone: Collection[str]) -> None:
        """In a dry run: what the documents of the index lack that are neither written anew nor, by source, `gone`."""
        ...

    async def start(self, store: Store) -> frozenset[str]:
        """Ask for what the index lacks; the documents whose vectors are to wait for it."""
        ...


class Vectors(Protocol):
    """Who makes vectors in place of the embedder, some time later."""

    async def start(self, store: Store, but: Collection[str]) -> frozenset[str] | None:
        """Ask for what the index lacks, without the documents `but`; None where nothing is left to the embedder.

        Otherwise the documents that wait for theirs.
        """
        ...


@dataclass(frozen=True, slots=True)
class Destination:
    """Where documents go, and who turns them into vectors; `price` prices what the embedder bills, None: unknown.

    `replaced` are the records of the index whose place the store is to take: documents keep their names, versions and
    what was given for them. Without `contexts` chunks get none; without `vectors` the embedder is asked at once for
    all that lacks some.
    """

    store: Store
    tenant: str = "default"
    embedder: Embedder | None = None
    price: Callable[[Usage], int | None] | None = None
    replaced: Sequence[DocumentRecord] | None = None
    contexts: Contexts | None = None
    vectors: Vectors | None = None


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """`rebuild` reads and writes again what has not changed; `delete_missing` follows deletions in ingested folders.

    `here` is the folder at which the names of documents start, without one the working directory. `uploaded` files lie
    where they are for this run only: that they are not there any more later means nothing. `metadata` is for all
    documents of the run, and stays with them until it is given anew. `collect` reads no files: it takes the contexts
    that batches have brought, and makes the vectors that waited for them.
    """

    dry_run: bool = False
    delete_missing: bool = True
    rebuild: bool = False
    here: Path | None = None
    uploaded: bool = False
    metadata: tuple[tuple[str, str], ...] = ()
    collect: bool = False


def chunking_name(settings: IngestSettings) -> str:
    """What the index records about how its texts were cut."""
    return f"{settings.cutter}-{RULES}:{settings.target_tokens}/{settings.max_tokens}"


async def ingest(
    paths: Sequence[str | Path],
    destination: Destination,
    *,
    settings: IngestSettings,
    options: IngestOptions = IngestOptions(),
    progress: Callable[[Progress], None] = lambda _: None,
) -> IngestReport:
    """Bring the index up to date with files and folders; a file that fails keeps its old version and stops nobody."""
    began = time.perf_counter()
    records = destination.replaced
    if records is None:
        records = await destination.store.records(destination.tenant)
    loaded = await asyncio.to_thread(load, paths, here=options.here)
    cutting = chunking_name(settings)
    manner = Manner(cutting, options.rebuild, options.uploaded, check_given(options.metadata))
    plan = await asyncio.to_thread(make_plan, loaded, records, manner)
    contexts = destination.contexts
    watch = None if contexts is None else contexts.watch
    async with Writer(destination.store, destination.tenant, cutting, dry_run=options.dry_run, watch=watch) as writer:
        with _few_collections():
            await _read([(task, _job(task, manner)) for task in plan.tasks], writer, settings, progress)
        deleted = plan.vanished if options.delete_missing else ()
        await writer.delete(deleted)
    report = IngestReport(
        added=writer.added,
        updated=writer.updated,
        unchanged=plan.unchanged + writer.unchanged,
        deleted=len(deleted),
        failures=(*plan.failures, *writer.failures),
        skipped=loaded.skipped,
        chunks_added=writer.chunks_added,
        chunks_deleted=writer.chunks_deleted,
        tokens=writer.tokens,
        seconds_searchable=time.perf_counter() - began,
        dry_run=options.dry_run,
    )
    waiting = await _place(destination, options, deleted)
    if options.dry_run:
        report = _foresee(destination, writer, report)
    else:
        report = await embed(destination, report, progress, but=waiting)
    return replace(report, seconds=time.perf_counter() - began)


async def embed(
    destination: Destination, report: IngestReport, progress: Callable[[Progress], None], *, but: Collection[str] = ()
) -> IngestReport:
    """Make the vectors that are missing, or ask for them; the report with what the embedder did."""
    embedder = destination.embedder
    if destination.vectors is not None:
        under_way = await destination.vectors.start(destination.store, but)
        if under_way is None:
            return report
        but = {*but, *under_way}
    if embedder is None:
        return report
    embedding, written = Embedding(destination.store, destination.tenant, embedder, but), report.added + report.updated

    def show(done: int) -> None:
        progress(Progress("embed", done, max(done, report.chunks_added), written, report.chunks_added))

    await embedding.run(show)
    cost = _cost(destination, embedder, embedding.usage)
    return replace(report, usage=embedding.usage, cost_pico=cost, error=embedding.error)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Chunks hold no cycles: looking for some after every 700 objects took a tenth of the time."""
    before = gc.get_threshold()
    if before[0] >= YOUNG_OBJECTS or not gc.isenabled():
        yield
        return
    gc.set_threshold(YOUNG_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _job(task: Task, manner: Manner) -> Job:
    return Job(task.found.path, "" if manner.revisit else known_digest(task, manner.cutting))


def _recipe(settings: IngestSettings) -> Recipe:
    sizes = Sizes(min(settings.target_tokens, settings.max_tokens), settings.max_tokens)
    if settings.cutter != "ragkit" and importlib.util.find_spec("llama_index") is None:
        raise MissingExtra("ingest", f"the cutter '{settings.cutter}'")
    limits = Limits(file=settings.max_file_mib * MIB, seconds=settings.parse_seconds)
    return Recipe(sizes, limits, settings.cutter)


async def _read(
    jobs: Sequence[tuple[Task, Job]],
    writer: Writer,
    settings: IngestSettings,
    progress: Callable[[Progress], None],
) -> None:
    total, done = sum(task.found.size for task, _ in jobs), 0
    workers = settings.workers or os.cpu_count() or 1
    async with aclosing(outcomes(jobs, _recipe(settings), workers=workers, size=total)) as answers:
        async for task, outcome in answers:
            await writer.take(task, outcome)
            done += task.found.size
            progress(Progress("read", done, total, writer.documents, writer.chunks_added))
    await writer.finish()


async def _place(destination: Destination, options: IngestOptions, deleted: Sequence[DocumentRecord]) -> frozenset[str]:
    """Ask for contexts; the documents whose vectors wait for them."""
    if destination.contexts is None:
        return frozenset()
    if options.dry_run:
        await destination.contexts.foresee(destination.store, [record.source for record in deleted])
        return frozenset()
    return await destination.contexts.start(destination.store)


def _foresee(destination: Destination, writer: Writer, report: IngestReport) -> IngestReport:
    """The report with what the embedder would do."""
    embedder = destination.embedder
    if embedder is None:
        return report
    usage = Usage(input=writer.tokens_to_embed)
    return replace(report, usage=usage, cost_pico=_cost(destination, embedder, usage))


def _cost(destination: Destination, embedder: Embedder, usage: Usage) -> int | None:
    """Work of this machine is free; what a provider bills has the price that the caller knows."""
    if embedder.price_id is None or usage == Usage():
        return 0
    return destination.price(usage) if destination.price else None
