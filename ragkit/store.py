"""The seam to Qdrant: what every store can do. Adapters live in `ragkit.stores`, one file per system.

The commit protocol, the same for all of them:

1. `stage` writes the chunks of a document's new revision durably. Nobody sees them.
2. `commit` writes the document's record. From that instant the new revision, and only it, is visible.
3. `commit` then deletes the chunks of the old revision. What a crash leaves is invisible; `sweep` collects it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ragkit.nouns import Chunk, DocumentRecord, Hit, Sparse

SCHEMA_VERSION = 2
"""Of how chunks and records are laid out; it grows whenever an older ragkit would read them wrongly, or a newer one."""


@dataclass(frozen=True, slots=True)
class IndexSchema:
    """What a collection was built with; opening it with anything else is `StoreMismatch`.

    `embedder` is None for a lexical collection, else `provider:model`, with `dimensions` its vector length.
    """

    chunking: str
    embedder: str | None = None
    dimensions: int | None = None
    version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class IndexedChunk:
    """A chunk on its way into the store; `dense` may follow later through `set_dense`."""

    chunk: Chunk
    tenant: str
    revision: str
    sparse: Sparse
    dense: tuple[float, ...] | None = None
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class StoreQuery:
    """One hybrid search; `tenant` is not optional, on purpose. `filters` are equalities on document metadata."""

    tenant: str
    sparse: Sparse
    limit: int
    dense: tuple[float, ...] | None = None
    filters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Candidates:
    """The two ranked lists of a hybrid search, best first, of visible chunks only."""

    sparse: tuple[Hit, ...]
    dense: tuple[Hit, ...] = ()


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What `verify` found: documents whose chunks are missing, chunks nobody sees, chunks present twice."""

    documents: int
    chunks: int
    incomplete: tuple[DocumentRecord, ...] = ()
    orphans: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    without_dense: int = 0

    @property
    def clean(self) -> bool:
        return not (self.incomplete or self.orphans or self.duplicates)


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Where a store is and how large."""

    kind: str
    location: str
    schema: IndexSchema
    documents: int
    chunks: int
    details: tuple[tuple[str, str], ...] = field(default=())


class Store(Protocol):
    """A place for documents and chunks. Raises `StoreError` and its subclasses only."""

    async def info(self) -> StoreInfo: ...

    async def records(self, tenant: str) -> tuple[DocumentRecord, ...]:
        """All commit records of a tenant."""
        ...

    async def stage(self, chunks: Sequence[IndexedChunk]) -> None:
        """Write chunks durably without making them visible; the same chunk twice is the same chunk."""
        ...

    async def commit(self, records: Sequence[DocumentRecord]) -> int:
        """Make the records' revisions visible, then delete what they replace; the number of chunks deleted."""
        ...

    async def remove(self, tenant: str, document_ids: Sequence[str]) -> int:
        """Delete documents: the record first, so that nothing is seen afterwards; the number of chunks deleted."""
        ...

    async def search(self, query: StoreQuery) -> Candidates: ...

    async def chunks(self, tenant: str, document_id: str) -> tuple[Chunk, ...]:
        """The visible chunks of a document in their order."""
        ...

    async def pending_dense(self, tenant: str, limit: int, but: Collection[str] = ()) -> tuple[Chunk, ...]:
        """Visible chunks that have no dense vector yet, without those of the documents `but`."""
        ...

    def pending_pages(self, tenant: str, size: int, but: Collection[str] = ()) -> AsyncIterator[tuple[Chunk, ...]]:
        """As `pending_dense` all of them, at most `size` at a time, however many there are.

        What gets a vector, or comes, while they are gone through may be among them or not; no page is empty.
        """
        ...

    async def set_dense(self, tenant: str, vectors: Sequence[tuple[Chunk, tuple[float, ...]]]) -> int:
        """Add dense vectors to a tenant's visible chunks; how many.

        Skipped are chunks that were replaced meanwhile, and those that have another context by now than they come with.
        """
        ...

    async def set_contexts(self, tenant: str, contexts: Sequence[tuple[Chunk, Sparse]]) -> int:
        """Give visible chunks the context that they come with, and the lexical vector that goes with it; how many.

        Those that have it already, and those that were replaced meanwhile, are skipped. A dense vector goes that was
        made without it.
        """
        ...

    async def mark_contexts(self, tenant: str, records: Sequence[DocumentRecord]) -> None:
        """Write down by what the contexts of documents were made, `record.context`; not for a replaced revision."""
        ...

    async def optimize(self) -> bool:
        """Build the search graph where it pays, without blocking questions; whether anything was done."""
        ...

    async def verify(self) -> Reconciliation: ...

    async def sweep(self) -> int:
        """Delete what no record claims; the number of chunks deleted."""
        ...

    async def publish(self) -> None:
        """Put an index that was opened anew in the place of the one in force; else nothing."""
        ...

    async def aclose(self) -> None: ...
