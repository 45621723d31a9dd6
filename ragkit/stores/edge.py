"""The default store: the Qdrant engine inside the process."""

from __future__ import annotations

import asyncio
import os
import secrets
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import ParamSpec, TypeVar

from ragkit.errors import StoreError
from ragkit.nouns import Chunk, DocumentRecord, Sparse
from ragkit.store import Candidates, IndexedChunk, IndexSchema, Reconciliation, StoreInfo, StoreQuery
from ragkit.stores import edge_graph
from ragkit.stores.edge_errors import engine_errors
from ragkit.stores.edge_index import GRAPH_FROM, EdgeIndex
from ragkit.stores.edge_open import open_index

READERS = max(2, min(4, os.cpu_count() or 1))
"""Threads that search. The engine searches in parallel; what it finds is read in turns, so more of them only wait."""

P = ParamSpec("P")
T = TypeVar("T")


async def open_edge(
    path: Path | str, schema: IndexSchema | None = None, *, create: bool = False, anew: bool = False
) -> EdgeStore:
    """Open the index in a folder, with `create` also a new one; without a schema whatever was recorded is accepted.

    With `anew` the store is empty and takes the place of the index in force when it is published.
    """
    index = await asyncio.to_thread(open_index, Path(path), schema, create=create or anew, anew=anew)
    return EdgeStore(index)


class EdgeStore:
    """The store protocol over an embedded index. Questions run side by side; writes run one after another."""

    def __init__(self, index: EdgeIndex, *, graph_from: int = GRAPH_FROM) -> None:
        self._index = index
        self._graph_from = graph_from
        self._building = False
        self._child: Process | None = None
        self._writer = ThreadPoolExecutor(1, "ragkit-store-write")
        self._readers = ThreadPoolExecutor(READERS, "ragkit-store-read")
        self._closed = False
        self._read_through = ""

    async def info(self) -> StoreInfo:
        return await self._run(self._readers, self._index.info)

    async def records(self, tenant: str) -> tuple[DocumentRecord, ...]:
        return await self._run(self._readers, self._index.records, tenant)

    async def stage(self, chunks: Sequence[IndexedChunk]) -> None:
        await self._run(self._writer, self._index.stage, chunks)

    async def commit(self, records: Sequence[DocumentRecord]) -> int:
        return await self._run(self._writer, self._index.commit, records)

    async def remove(self, tenant: str, document_ids: Sequence[str]) -> int:
        return await self._run(self._writer, self._index.remove, tenant, document_ids)

    async def search(self, query: StoreQuery) -> Candidates:
        """After a first question there will be others: then the texts are read ahead, once for each rebuilt shard."""
        found = await self._search(query)
        if self._read_through != (shard := self._index.description.chunks) and not self._closed:
            self._read_through = shard
            self._readers.submit(self._index.read_through, lambda: self._closed)
        return found

    async def _search(self, query: StoreQuery) -> Candidates:
        if query.dense is None:
            return Candidates(await self._run(self._readers, self._index.search, query, "sparse"))
        sparse, dense = await asyncio.gather(
            self._run(self._readers, self._index.search, query, "sparse"),
            self._run(self._readers, self._index.search, query, "dense"),
        )
        return Candidates(sparse, dense)

    async def chunks(self, tenant: str, document_id: str) -> tuple[Chunk, ...]:
        return await self._run(self._readers, self._index.chunks, tenant, document_id)

    async def pending_dense(self, tenant: str, limit: int, but: Collection[str] = ()) -> tuple[Chunk, ...]:
        chunks = self._index.pending_dense(tenant, limit, but)
        return await self._run(self._readers, lambda: tuple(islice(chunks, limit)))

    async def pending_pages(
        self, tenant: str, size: int, but: Collection[str] = ()
    ) -> AsyncIterator[tuple[Chunk, ...]]:
        chunks = self._index.pending_dense(tenant, size, but)
        while page := await self._run(self._readers, lambda: tuple(islice(chunks, size))):
            yield page

    async def set_dense(self, tenant: str, vectors: Sequence[tuple[Chunk, tuple[float, ...]]]) -> int:
        return await self._run(self._writer, self._index.set_dense, tenant, vectors)

    async def set_contexts(self, tenant: str, contexts: Sequence[tuple[Chunk, Sparse]]) -> int:
        return await self._run(self._writer, self._index.set_contexts, tenant, contexts)

    async def mark_contexts(self, tenant: str, records: Sequence[DocumentRecord]) -> None:
        await self._run(self._writer, self._index.mark_contexts, tenant, records)

    async def optimize(self) -> bool:
        """Rebuild in a child, beside questions and writes; one rebuild at a time."""
        if self._building:
            return False
        self._building = True
        try:
            pays = await self._run(self._readers, self._index.graph_pays, self._graph_from)
            return pays and await self._rebuild()
        finally:
            self._building = False

    async def verify(self) -> Reconciliation:
        return await self._run(self._writer, self._index.verify)

    async def sweep(self) -> int:
        return await self._run(self._writer, self._index.sweep)

    async def publish(self) -> None:
        await self._run(self._writer, self._index.publish)

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._stop_child()
            await asyncio.to_thread(self._close)

    async def _rebuild(self) -> bool:
        name = secrets.token_hex(4)
        try:
            folder = await self._run(self._writer, self._index.begin_graph, name)
            self._child = await edge_graph.start(folder, self._index.description.schema.dimensions)
            _, complaint = await self._child.communicate()
            if self._child.returncode != 0:
                lines = complaint.decode(errors="replace").strip().splitlines()
                raise StoreError(f"the search graph was not built: {lines[-1] if lines else 'the builder was killed'}")
            await self._run(self._writer, self._index.take_graph, name)
        except BaseException:
            self._stop_child()
            if not self._closed:
                self._writer.submit(self._index.drop_graph, name)
            raise
        return True

    def _stop_child(self) -> None:
        if self._child is not None and self._child.returncode is None:
            self._child.kill()

    def _close(self) -> None:
        """Let running calls end: the engine must not be closed under them."""
        self._readers.shutdown()
        self._writer.submit(self._index.close).result()
        self._writer.shutdown()

    async def _run(self, threads: ThreadPoolExecutor, call: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        if self._closed:
            raise StoreError("the index is closed")
        with engine_errors(self._index.folder):
            return await asyncio.get_running_loop().run_in_executor(threads, lambda: call(*args, **named))
