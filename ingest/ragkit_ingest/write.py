"""Writes what was read: chunks are staged in batches and their documents committed, while the next batch is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

from ragkit.clock import utc_now
from ragkit.embed import index_text
from ragkit.nouns import Chunk, DocumentRecord, DocumentVersion
from ragkit.store import IndexedChunk, Store
from ragkit.tokens import estimate_tokens
from ragkit_ingest.facts import GIVEN, facts_of
from ragkit_ingest.plan import BASE, DIGEST, MTIME, SETTLED_NS, SIZE, Task, chunk_name, document_id, revision_of
from ragkit_ingest.report import Failure
from ragkit_ingest.work import Outcome

BATCH = 2000
"""Chunks staged at once, and the records committed after them: what a kill can make a second run do again."""
Watch = Callable[[Sequence[Chunk]], Awaitable[None]]
"""Is shown the chunks of a document that would be written."""
MOST_VERSIONS = 10
"""States that a document's record remembers."""


class Writer:
    """Takes outcomes and keeps count. In a dry run everything is counted, shown to `watch`, and nothing is written."""

    def __init__(
        self,
        store: Store,
        tenant: str,
        cutting: str,
        *,
        dry_run: bool,
        watch: Watch | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.added = self.updated = self.unchanged = 0
        self.chunks_added = self.chunks_deleted = 0
        self.tokens = self.tokens_to_embed = 0
        self.failures: list[Failure] = []
        self._store = store
        self._tenant = tenant
        self._cutting = cutting
        self._dry_run = dry_run
        self._watch = watch if dry_run else None
        self._now = now
        self._chunks: list[IndexedChunk] = []
        self._records: list[DocumentRecord] = []
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Whatever ends a run, the batch on its way is committed first."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    @property
    def documents(self) -> int:
        """How many were dealt with so far."""
        return self.added + self.updated + self.unchanged + len(self.failures)

    async def take(self, task: Task, outcome: Outcome) -> None:
        if outcome.reason:
            self.failures.append(Failure(task.source, outcome.reason))
            return
        if outcome.unchanged and task.record is not None:
            self.unchanged += 1
            self._records.append(self._seen_again(task, task.record))
        else:
            self._add(task, outcome)
            if self._watch is not None and outcome.spans:
                await self._watch([item.chunk for item in self._chunks[-len(outcome.spans) :]])
        if len(self._chunks) >= BATCH or len(self._records) >= BATCH:
            await self._flush()

    async def finish(self) -> None:
        """Write what is left and wait until all of it is committed."""
        await self._flush()
        if self._writing is not None:
            await self._writing

    async def delete(self, records: Sequence[DocumentRecord]) -> None:
        if self._dry_run:
            self.chunks_deleted += sum(record.chunks for record in records)
        elif records:
            self.chunks_deleted += await self._store.remove(self._tenant, [record.id for record in records])

    def _add(self, task: Task, outcome: Outcome) -> None:
        record = self._record(task, outcome)
        if task.record is None:
            self.added += 1
        else:
            self.updated += 1
        self._records.append(record)
        facts = facts_of(record)
        for ordinal, (span, sparse) in enumerate(zip(outcome.spans, outcome.sparse, strict=True)):
            text = outcome.text[span.start : span.end]
            chunk = Chunk(
                id=chunk_name(self._tenant, record.id, record.revision, ordinal),
                document_id=record.id,
                source=record.source,
                text=text,
                start=span.start,
                end=span.end,
                ordinal=ordinal,
                tokens=span.tokens,
                title=record.title,
                section=span.section,
                page=span.page,
            )
            self._chunks.append(IndexedChunk(chunk, self._tenant, record.revision, sparse, metadata=facts))
            self.tokens += span.tokens
            if self._dry_run:
                self.tokens_to_embed += estimate_tokens(index_text(chunk.title, chunk.section, text))
        self.chunks_added += len(outcome.spans)

    def _record(self, task: Task, outcome: Outcome) -> DocumentRecord:
        old, now = task.record, self._now()
        version, chunks, characters = old.version + 1 if old else 1, len(outcome.spans), len(outcome.text)
        this = DocumentVersion(version, outcome.digest, now, chunks, characters)
        given = {GIVEN + key: value for key, value in task.given.items()}
        return DocumentRecord(
            id=old.id if old else document_id(self._tenant, task.source),
            tenant=self._tenant,
            source=task.source,
            title=outcome.title,
            revision=revision_of(outcome.digest, self._cutting, task.given),
            version=version,
            chunks=chunks,
            characters=characters,
            modified=datetime.fromtimestamp(task.found.mtime_ns // 10**9, UTC),
            metadata={**outcome.metadata, "format": outcome.kind, DIGEST: outcome.digest, **given, **_place(task)},
            history=(*(old.history if old else ()), this)[-MOST_VERSIONS:],
        )

    def _seen_again(self, task: Task, record: DocumentRecord) -> DocumentRecord:
        """The same revision under new file times, so that the next run need not read it."""
        return replace(record, metadata={**record.metadata, **_place(task)})

    async def _flush(self) -> None:
        """Start writing the batch once the one before it is written."""
        chunks, records = self._chunks, self._records
        self._chunks, self._records = [], []
        if self._writing is not None:
            await self._writing
        self._writing = None if self._dry_run else asyncio.create_task(self._write(chunks, records))

    async def _write(self, chunks: Sequence[IndexedChunk], records: Sequence[DocumentRecord]) -> None:
        if chunks:
            await self._store.stage(chunks)
        if records:
            self.chunks_deleted += await self._store.commit(records)


def _place(task: Task) -> dict[str, str]:
    """What tells a later run that the file is still the same; not for a file that may still be written to."""
    if task.uploaded:
        return {}
    settled = time.time_ns() - task.found.mtime_ns > SETTLED_NS
    times = str(task.found.mtime_ns) if settled else ""
    return {BASE: task.base, SIZE: str(task.found.size), MTIME: times}
