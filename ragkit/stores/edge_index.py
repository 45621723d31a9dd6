"""An embedded index, as blocking calls. `EdgeStore` runs them in threads: reads in several, writes in one.

Every write lands in the engine's write-ahead log before it returns, which outlives the process. A commit flushes the
chunks before it writes the record and the record before it deletes, which outlives the machine.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from qdrant_edge import EdgeShard, Point
from qdrant_edge import UpdateOperation as Write

from ragkit.nouns import Chunk, DocumentRecord, Hit, Sparse
from ragkit.store import IndexedChunk, Reconciliation, StoreInfo, StoreQuery
from ragkit.stores import edge_files as files
from ragkit.stores.codec import (
    CHUNK,
    CONTEXT,
    DENSE,
    PLACE,
    SPARSE,
    chunk_id,
    chunk_ids,
    chunk_payload,
    has_context,
    is_as_given,
    read_chunk,
    read_place,
    read_record,
    record_id,
    record_payload,
)
from ragkit.stores.edge_query import request, sparse_vector, without_dense
from ragkit.stores.edge_room import Room
from ragkit.stores.edge_shard import PAGE, ChunkShard, batches, scroll
from ragkit.stores.schema import check_dimensions
from ragkit.stores.visible import Channel, Findings, in_order, not_staged, ranked, reconcile, visible_hits

GRAPH_FROM = 20_000
"""Chunks outside the search graph from which building it anew pays; below, exact search takes about 2 ms."""

Shards = tuple[EdgeShard, EdgeShard]
"""Of the chunks and of the records."""


class EdgeIndex:
    """Two shards and, in memory, the records by tenant: the map that decides what a question may see."""

    def __init__(self, folder: Path, description: files.Description, lock: IO[str], shards: Shards, room: Room) -> None:
        self.folder = folder
        self.description = description
        self._chunks = ChunkShard(shards[0])
        self._documents = shards[1]
        self._lock = lock
        self._room = room
        self._records: dict[str, dict[str, DocumentRecord]] = {}
        self._commits = 0
        for point in scroll(self._documents, with_payload=True):
            self._remember(read_record(point.payload))
        if self._chunks.count() != sum(record.chunks for record in self._all()):
            self.sweep()

    def info(self) -> StoreInfo:
        records = self._all()
        engine = self._chunks.engine.info()
        return StoreInfo(
            kind="edge",
            location=str(self.folder),
            schema=self.description.schema,
            documents=len(records),
            chunks=sum(record.chunks for record in records),
            details=(("segments", str(engine.segments_count)), ("chunks in the graph", str(self.description.built))),
        )

    def records(self, tenant: str) -> tuple[DocumentRecord, ...]:
        return tuple(self._records.get(tenant, {}).copy().values())

    def stage(self, chunks: Sequence[IndexedChunk]) -> None:
        for batch in batches(chunks):
            self._room.check_chunks(batch)
            self._chunks.upsert([self._point(item) for item in batch])

    def commit(self, records: Sequence[DocumentRecord]) -> int:
        for record in records:
            self._check_staged(record)
        self._chunks.engine.flush()
        replaced = [old for record in records if (old := self._record(record.tenant, record.id))]
        self._room.check_points(len(records))
        points = [Point(record_id(record.tenant, record.id), {}, record_payload(record)) for record in records]
        self._documents.update(Write.upsert_points(points))
        self._documents.flush()
        self._commits += 1  # before the flip, so that a question which overlaps it looks again
        for record in records:
            self._remember(record)
        kept = {point for record in records for point in chunk_ids(record)} if replaced else set()
        return self._chunks.delete([point for old in replaced for point in chunk_ids(old) if point not in kept])

    def remove(self, tenant: str, document_ids: Sequence[str]) -> int:
        gone = [old for document in dict.fromkeys(document_ids) if (old := self._record(tenant, document))]
        self._room.check()
        self._documents.update(Write.delete_points([record_id(tenant, record.id) for record in gone]))
        self._documents.flush()
        self._commits += 1
        for record in gone:
            del self._records[tenant][record.id]
        return self._chunks.delete([point for record in gone for point in chunk_ids(record)])

    def search(self, query: StoreQuery, channel: Channel) -> tuple[Hit, ...]:
        """Ask for more while invisible chunks crowd the list, and again if a commit changed what is visible."""
        if channel == "dense":
            self._check_dimensions(query.dense or ())
        asked = query.limit
        for _ in range(12):
            commits = self._commits
            points = self._chunks.query(request(query, channel, asked, alone=len(self._records) == 1))
            hits = visible_hits(((point.score, point.payload) for point in points), self._revision)
            settled = commits == self._commits or len(hits) == len(points)
            if len(hits) >= query.limit or (settled and len(points) < asked):
                break
            asked = asked * 4 if len(points) == asked else asked
        return ranked(hits, channel, query.limit)

    def chunks(self, tenant: str, document_id: str) -> tuple[Chunk, ...]:
        """Look again where a commit came between the record and its chunks."""
        for _ in range(3):
            record = self._record(tenant, document_id)
            points = self._chunks.retrieve(chunk_ids(record)) if record else []
            if record is None or len(points) == record.chunks:
                break
        return in_order(point.payload for point in points)

    def pending_dense(self, tenant: str, page: int, but: Collection[str] = ()) -> Iterator[Chunk]:
        """Read on demand, at most `page` at a time."""
        chunks = map(read_chunk, self._without_dense(tenant, True, min(page, PAGE)))
        return (chunk for chunk in chunks if chunk.document_id not in but)

    def set_dense(self, tenant: str, vectors: Sequence[tuple[Chunk, tuple[float, ...]]]) -> int:
        wanted: dict[UUID, tuple[Chunk, tuple[float, ...]]] = {}
        self._room.check_points(0, 0, sum(len(vector) for _, vector in vectors))
        for chunk, vector in vectors:
            self._check_dimensions(vector)
            if revision := self._revision(tenant, chunk.document_id):
                point = chunk_id(record_id(tenant, chunk.document_id), revision, chunk.ordinal)
                wanted[point] = chunk, vector
        present = self._chunks.retrieve(list(wanted), fields=[CHUNK, CONTEXT])
        same = [point.id for point in present if is_as_given(point.payload, wanted[point.id][0])]
        self._chunks.set_dense([(point, wanted[point][1]) for point in same])
        return len(same)

    def set_contexts(self, tenant: str, contexts: Sequence[tuple[Chunk, Sparse]]) -> int:
        """A point is replaced as a whole, so that no crash leaves a context without its vector."""
        wanted: dict[UUID, tuple[Chunk, Sparse]] = {}
        for chunk, sparse in contexts:
            if revision := self._revision(tenant, chunk.document_id):
                owner = record_id(tenant, chunk.document_id)
                wanted[chunk_id(owner, revision, chunk.ordinal)] = chunk, sparse
        self._room.check_points(len(wanted), sum(len(chunk.text + chunk.context) for chunk, _ in wanted.values()))
        changed = [
            Point(point.id, {SPARSE: sparse_vector(sparse)}, {**point.payload, CONTEXT: chunk.context})
            for point in self._chunks.retrieve(list(wanted))
            for chunk, sparse in [wanted[point.id]]
            if not has_context(point.payload, chunk)
        ]
        self._chunks.upsert(changed)
        return len(changed)

    def mark_contexts(self, tenant: str, records: Sequence[DocumentRecord]) -> None:
        """After the contexts themselves, also for a machine that loses its power."""
        self._chunks.engine.flush()
        self._room.check_points(len(records))
        now = [(self._record(tenant, record.id), record) for record in records]
        marked = [replace(old, context=new.context) for old, new in now if old and old.revision == new.revision]
        points = [Point(record_id(tenant, record.id), {}, record_payload(record)) for record in marked]
        self._documents.update(Write.upsert_points(points))
        self._documents.flush()
        for record in marked:
            self._remember(record)

    def verify(self) -> Reconciliation:
        findings = self._findings()
        without = sum(1 for tenant in tuple(self._records) for _ in self._without_dense(tenant, PLACE, PAGE))
        return findings.reconciliation(len(self._all()), without)

    def sweep(self) -> int:
        findings = self._findings()
        return self._chunks.delete([place.point for place in (*findings.orphans, *findings.duplicates)])

    def graph_pays(self, least: int) -> bool:
        """Whether enough chunks lie outside the graph, enough of all not to do it over and over, and there is room."""
        loose = self._chunks.count() - self.description.built
        pays = self.description.ready and loose >= max(least, self.description.built // 4)
        return pays and self._room.holds_copies(self.folder / self.description.chunks)

    def begin_graph(self, name: str) -> Path:
        """Copy the chunks to a new folder, where the graph is built."""
        target = self.folder / f"chunks-{name}"
        self._chunks.copy(self.folder / self.description.chunks, target)
        return target

    def take_graph(self, name: str) -> None:
        """Go on with the rebuilt chunks; a crash before the description is replaced leaves the old ones in force."""
        old = self.folder / self.description.chunks
        fresh = EdgeShard.load(str(self.folder / f"chunks-{name}"))
        self._chunks.catch_up(fresh)
        description = replace(self.description, chunks=f"chunks-{name}", built=self._chunks.count())
        files.write_description(self.folder, description)
        self._chunks.exchange(fresh)
        self.description = description
        shutil.rmtree(old, ignore_errors=True)

    def read_through(self, stop: Callable[[], bool]) -> None:
        files.read_through(self.folder / self.description.chunks, stop)

    def drop_graph(self, name: str) -> None:
        """Give up a rebuild, unless it was taken over before its caller had gone."""
        if self.description.chunks == f"chunks-{name}":
            return
        self._chunks.forget_copy()
        shutil.rmtree(self.folder / f"chunks-{name}", ignore_errors=True)

    def publish(self) -> None:
        """Put an index that was made anew in force; the one it replaces is deleted."""
        if not self.description.ready:
            self.description = replace(self.description, ready=True)
            files.write_description(self.folder, self.description)
            files.drop_leftovers(self.folder, self.description)

    def close(self) -> None:
        self._chunks.engine.close()
        self._documents.close()
        self._lock.close()

    def _all(self) -> list[DocumentRecord]:
        return [record for records in tuple(self._records.values()) for record in records.copy().values()]

    def _record(self, tenant: str, document_id: str) -> DocumentRecord | None:
        return self._records.get(tenant, {}).get(document_id)

    def _revision(self, tenant: str, document_id: str) -> str | None:
        record = self._record(tenant, document_id)
        return record.revision if record else None

    def _remember(self, record: DocumentRecord) -> None:
        self._records.setdefault(record.tenant, {})[record.id] = record

    def _findings(self) -> Findings:
        return reconcile(self._chunks.places(), {(record.tenant, record.id): record for record in self._all()})

    def _without_dense(self, tenant: str, fields: bool | list[str], page: int) -> Any:
        """Payloads of a tenant's visible chunks without a vector; none are missing where none are made."""
        if self.description.schema.dimensions is None:
            return
        for point in scroll(self._chunks, page=page, filter=without_dense(tenant), with_payload=fields):
            place = read_place(point.payload)
            if self._revision(tenant, place.document) == place.revision:
                yield point.payload

    def _point(self, item: IndexedChunk) -> Point:
        vectors: dict[str, Any] = {SPARSE: sparse_vector(item.sparse)}
        if item.dense is not None:
            self._check_dimensions(item.dense)
            vectors[DENSE] = list(item.dense)
        owner = record_id(item.tenant, item.chunk.document_id)
        return Point(chunk_id(owner, item.revision, item.chunk.ordinal), vectors, chunk_payload(item))

    def _check_dimensions(self, vector: Sequence[float]) -> None:
        check_dimensions(self.description.schema, vector, str(self.folder))

    def _check_staged(self, record: DocumentRecord) -> None:
        staged = len(self._chunks.retrieve(chunk_ids(record), fields=False))
        if staged != record.chunks:
            raise not_staged(record, staged)
