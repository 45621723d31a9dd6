"""A Qdrant server or cluster as store: many processes may ask and ingest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from itertools import chain
from math import ceil
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from ragkit.nouns import Chunk, DocumentRecord, Hit, Sparse
from ragkit.settings import StoreSettings
from ragkit.store import Candidates, IndexedChunk, IndexSchema, Reconciliation, StoreInfo, StoreQuery
from ragkit.stores.codec import (
    CHUNK,
    CONTEXT,
    DENSE,
    PLACE,
    chunk_id,
    chunk_ids,
    context_payload,
    has_context,
    is_as_given,
    read_chunk,
    read_place,
    read_record,
    record_id,
    record_payload,
    tenant_filter,
)
from ragkit.stores.qdrant_calls import AsyncQdrantClient, Calls, Fields, models
from ragkit.stores.qdrant_open import begin, recorded_schema, records_of
from ragkit.stores.qdrant_query import placing, point_of, request, without_dense
from ragkit.stores.schema import check_dimensions
from ragkit.stores.visible import (
    Channel,
    Findings,
    Place,
    in_order,
    not_staged,
    place_of,
    ranked,
    reconcile,
    visible_hits,
)

Owned = TypeVar("Owned", DocumentRecord, Place)


async def open_qdrant(
    settings: StoreSettings,
    schema: IndexSchema | None = None,
    *,
    create: bool = False,
    anew: bool = False,
    client: AsyncQdrantClient | None = None,
) -> QdrantStore:
    """Open the collections that the settings name, with `create` also new ones; None accepts what was recorded.

    With `anew` the old ones are deleted first; to keep answering meanwhile, ingest into another collection. Nothing is
    swept here: what looks like a leftover may be another process's ingest under way.
    """
    calls = Calls(client or _client(settings), _without_password(settings.url), replicas=settings.replicas)
    try:
        found = None if anew else await recorded_schema(calls, settings.collection, schema)
        if found is None:
            found = await begin(calls, settings, schema, create or anew)
    except BaseException:
        await calls.client.close()
        raise
    return QdrantStore(calls, settings.collection, found)


class QdrantStore:
    """The store protocol over two collections; every question asks anew which revisions are committed."""

    def __init__(self, calls: Calls, collection: str, schema: IndexSchema) -> None:
        self._calls = calls
        self._chunks = collection
        self._documents = records_of(collection)
        self._schema = schema
        self._place = f"{calls.place} ({collection})"

    async def info(self) -> StoreInfo:
        """Counts are the server's own; chunks include those of an ingest under way."""
        documents = await self._calls.tenants(self._documents)
        chunks = await self._calls.tenants(self._chunks)
        return StoreInfo("qdrant", self._place, self._schema, sum(documents.values()), sum(chunks.values()))

    async def records(self, tenant: str) -> tuple[DocumentRecord, ...]:
        pages = self._calls.pages(self._documents, tenant_filter(models, tenant))
        return tuple([read_record(point.payload or {}) async for point in pages])

    async def stage(self, chunks: Sequence[IndexedChunk]) -> None:
        for item in chunks:
            if item.dense is not None:
                check_dimensions(self._schema, item.dense, self._place)
        await self._calls.upsert(self._chunks, [point_of(item) for item in chunks])

    async def commit(self, records: Sequence[DocumentRecord]) -> int:
        return sum([await self._commit(tenant, own) for tenant, own in _by_tenant(records).items()])

    async def remove(self, tenant: str, document_ids: Sequence[str]) -> int:
        old = await self._committed(tenant, document_ids)
        await self._calls.delete(self._documents, tenant, [record_id(tenant, document) for document in old])
        gone = [point for record in old.values() for point in chunk_ids(record)]
        return await self._calls.delete(self._chunks, tenant, gone)

    async def search(self, query: StoreQuery) -> Candidates:
        """Ask for more while invisible chunks crowd a list, and once again if a commit may have come between."""
        channels: tuple[Channel, ...] = ("sparse",) if query.dense is None else ("sparse", "dense")
        if query.dense is not None:
            check_dimensions(self._schema, query.dense, self._place)
        asked = query.limit
        for again in range(12):
            lists = await self._calls.query(self._chunks, [request(query, name, asked) for name in channels])
            seen = await self._visible(query.tenant, lists)
            short = [len(hits) < min(query.limit, len(points)) for hits, points in zip(seen, lists, strict=True)]
            more = [lacks and len(points) == asked for lacks, points in zip(short, lists, strict=True)]
            if not any(more) and (again or not any(short)):
                break
            asked = asked * 4 if any(more) else asked
        return Candidates(*(ranked(hits, name, query.limit) for hits, name in zip(seen, channels, strict=True)))

    async def chunks(self, tenant: str, document_id: str) -> tuple[Chunk, ...]:
        """Look again where a commit came between the record and its chunks."""
        for _ in range(3):
            record = (await self._committed(tenant, [document_id])).get(document_id)
            points = await self._calls.find(self._chunks, tenant, chunk_ids(record)) if record else []
            if record is None or len(points) == record.chunks:
                break
        return in_order(point.payload or {} for point in points)

    async def pending_dense(self, tenant: str, limit: int, but: Collection[str] = ()) -> tuple[Chunk, ...]:
        return await anext(self.pending_pages(tenant, limit, but), None) or ()

    async def pending_pages(
        self, tenant: str, size: int, but: Collection[str] = ()
    ) -> AsyncIterator[tuple[Chunk, ...]]:
        page: list[Chunk] = []
        async for payload in self._without_dense(tenant, True):
            if (chunk := read_chunk(payload)).document_id not in but:
                page.append(chunk)
            if len(page) == size:
                yield tuple(page)
                page = []
        if page:
            yield tuple(page)

    async def set_dense(self, tenant: str, vectors: Sequence[tuple[Chunk, tuple[float, ...]]]) -> int:
        records = await self._committed(tenant, [chunk.document_id for chunk, _ in vectors])
        wanted: dict[str, tuple[Chunk, tuple[float, ...]]] = {}
        for chunk, vector in vectors:
            check_dimensions(self._schema, vector, self._place)
            if record := records.get(chunk.document_id):
                point = chunk_id(record_id(tenant, record.id), record.revision, chunk.ordinal)
                wanted[str(point)] = chunk, vector
        present = await self._calls.find(self._chunks, tenant, map(UUID, wanted), [CHUNK, CONTEXT])
        same = [str(p.id) for p in present if is_as_given(p.payload or {}, wanted[str(p.id)][0])]
        points = [models.PointVectors(id=point, vector={DENSE: list(wanted[point][1])}) for point in same]
        await self._calls.set_vectors(self._chunks, points)
        return len(same)

    async def set_contexts(self, tenant: str, contexts: Sequence[tuple[Chunk, Sparse]]) -> int:
        records = await self._committed(tenant, [chunk.document_id for chunk, _ in contexts])
        wanted: dict[str, tuple[Chunk, Sparse]] = {}
        for chunk, sparse in contexts:
            if record := records.get(chunk.document_id):
                wanted[str(chunk_id(record_id(tenant, record.id), record.revision, chunk.ordinal))] = chunk, sparse
        present = await self._calls.find(self._chunks, tenant, map(UUID, wanted), [CHUNK, CONTEXT])
        changed = [str(p.id) for p in present if not has_context(p.payload or {}, wanted[str(p.id)][0])]
        dense = self._schema.dimensions is not None
        steps = [placing(point, wanted[point][0].context, wanted[point][1], dense=dense) for point in changed]
        await self._calls.take_steps(self._chunks, list(chain.from_iterable(steps)))
        return len(changed)

    async def mark_contexts(self, tenant: str, records: Sequence[DocumentRecord]) -> None:
        now = await self._committed(tenant, [record.id for record in records])
        for record in records:
            if record.id in now and now[record.id].revision == record.revision:
                await self._calls.set_payload(self._documents, record_id(tenant, record.id), context_payload(record))

    async def optimize(self) -> bool:
        """The server does this by itself."""
        return False

    async def verify(self) -> Reconciliation:
        records = await self._all_records()
        findings = await self._findings(records)
        without = 0
        for tenant in {tenant for tenant, _ in records}:
            without += len([payload async for payload in self._without_dense(tenant, PLACE)])
        return findings.reconciliation(len(records), without)

    async def sweep(self) -> int:
        findings = await self._findings(await self._all_records())
        gone = 0
        for tenant, places in _by_tenant((*findings.orphans, *findings.duplicates)).items():
            gone += await self._calls.delete(self._chunks, tenant, [place.point for place in places])
        return gone

    async def publish(self) -> None:
        """A collection is in force from the start."""

    async def aclose(self) -> None:
        await self._calls.client.close()

    async def _commit(self, tenant: str, records: Sequence[DocumentRecord]) -> int:
        await self._check_staged(tenant, records)
        old = await self._committed(tenant, [record.id for record in records])
        ids = [str(record_id(tenant, record.id)) for record in records]
        payloads = [record_payload(record) for record in records]
        points = [models.PointStruct(id=i, vector={}, payload=p) for i, p in zip(ids, payloads, strict=True)]
        await self._calls.upsert(self._documents, points)
        kept = {point for record in records for point in chunk_ids(record)}
        gone = [point for record in old.values() for point in chunk_ids(record) if point not in kept]
        return await self._calls.delete(self._chunks, tenant, gone)

    async def _committed(self, tenant: str, document_ids: Iterable[str]) -> dict[str, DocumentRecord]:
        wanted = {record_id(tenant, document) for document in document_ids}
        records = [read_record(p.payload or {}) for p in await self._calls.find(self._documents, tenant, wanted)]
        return {record.id: record for record in records}

    async def _visible(self, tenant: str, lists: Sequence[Sequence[models.ScoredPoint]]) -> list[tuple[Hit, ...]]:
        scored = [[(point.score, point.payload or {}) for point in points] for points in lists]
        seen = {read_place(payload).document for points in scored for _, payload in points}
        records = await self._committed(tenant, seen)
        revisions = {(tenant, document): record.revision for document, record in records.items()}
        return [visible_hits(points, lambda owner, document: revisions.get((owner, document))) for points in scored]

    async def _all_records(self) -> dict[tuple[str, str], DocumentRecord]:
        """Tenant by tenant, so that even a check of everything asks for one tenant at a time."""
        tenants = await self._calls.tenants(self._documents)
        return {(tenant, record.id): record for tenant in tenants for record in await self.records(tenant)}

    async def _findings(self, records: Mapping[tuple[str, str], DocumentRecord]) -> Findings:
        places: list[Place] = []
        for tenant in await self._calls.tenants(self._chunks):
            pages = self._calls.pages(self._chunks, tenant_filter(models, tenant), PLACE)
            places += [place_of(_point_id(point.id), point.payload or {}) async for point in pages]
        return reconcile(places, records)

    async def _without_dense(self, tenant: str, fields: Fields) -> AsyncIterator[Mapping[str, Any]]:
        if self._schema.dimensions is None:
            return
        revisions = {record.id: record.revision for record in await self.records(tenant)}
        async for point in self._calls.pages(self._chunks, without_dense(tenant), fields):
            payload = point.payload or {}
            if revisions.get((place := read_place(payload)).document) == place.revision:
                yield payload

    async def _check_staged(self, tenant: str, records: Sequence[DocumentRecord]) -> None:
        wanted = [point for record in records for point in chunk_ids(record)]
        present = {str(point.id) for point in await self._calls.find(self._chunks, tenant, wanted, False)}
        for record in records:
            staged = sum(str(point) in present for point in chunk_ids(record))
            if staged != record.chunks:
                raise not_staged(record, staged)


def _client(settings: StoreSettings) -> AsyncQdrantClient:
    key = settings.api_key.get_secret_value() if settings.api_key else None
    timeout = ceil(settings.timeout)
    return AsyncQdrantClient(url=settings.url, api_key=key, timeout=timeout, check_compatibility=False)


def _by_tenant(items: Iterable[Owned]) -> dict[str, list[Owned]]:
    grouped: dict[str, list[Owned]] = {}
    for item in items:
        grouped.setdefault(item.tenant, []).append(item)
    return grouped


def _point_id(point: Any) -> UUID | int:
    return point if isinstance(point, int) else UUID(str(point))


def _without_password(url: str) -> str:
    """A location to show."""
    parts = urlsplit(url)
    return url if "@" not in parts.netloc else parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
