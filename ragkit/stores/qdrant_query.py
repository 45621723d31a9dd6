"""Points and questions as a Qdrant server takes them; every question carries the tenant."""

from __future__ import annotations

from typing import Any

from ragkit.nouns import Sparse
from ragkit.store import IndexedChunk, StoreQuery
from ragkit.stores.codec import CONTEXT, DENSE, OVERSAMPLING, SPARSE, chunk_id, chunk_payload, record_id, tenant_filter
from ragkit.stores.qdrant_calls import models
from ragkit.stores.visible import Channel


def request(query: StoreQuery, channel: Channel, limit: int) -> models.QueryRequest:
    nearest: Any = list(query.dense or ()) if channel == "dense" else _sparse(query.sparse)
    return models.QueryRequest(
        query=nearest,
        using=DENSE if channel == "dense" else SPARSE,
        filter=tenant_filter(models, query.tenant, facts=query.filters),
        params=_parameters(query.tenant, channel),
        limit=limit,
        with_payload=True,
    )


def without_dense(tenant: str) -> models.Filter:
    missing = models.Filter(must_not=[models.HasVectorCondition(has_vector=DENSE)])
    wanted: models.Filter = tenant_filter(models, tenant, also=[missing])
    return wanted


def point_of(item: IndexedChunk) -> models.PointStruct:
    vector: dict[str, Any] = {SPARSE: _sparse(item.sparse)}
    if item.dense is not None:
        vector[DENSE] = list(item.dense)
    point = chunk_id(record_id(item.tenant, item.chunk.document_id), item.revision, item.chunk.ordinal)
    return models.PointStruct(id=str(point), vector=vector, payload=chunk_payload(item))


def placing(point: str, context: str, sparse: Sparse, *, dense: bool) -> list[models.UpdateOperation]:
    """Steps that give a point its context, which comes last: what broke off is done again. None makes a new point."""
    vectors = [models.PointVectors(id=point, vector={SPARSE: _sparse(sparse)})]
    steps: list[models.UpdateOperation] = [
        models.UpdateVectorsOperation(update_vectors=models.UpdateVectors(points=vectors))
    ]
    if dense:
        outdated = models.DeleteVectors(points=[point], vector=[DENSE])
        steps.append(models.DeleteVectorsOperation(delete_vectors=outdated))
    said = models.SetPayload(payload={CONTEXT: context}, points=[point])
    return [*steps, models.SetPayloadOperation(set_payload=said)]


def _parameters(tenant: str, channel: Channel) -> models.SearchParams:
    """A term's rarity is counted among the tenant's chunks only: nobody's documents show in another's ranking."""
    if channel == "sparse":
        return models.SearchParams(idf=models.IdfCorpusParams(corpus=tenant_filter(models, tenant)))
    rescored = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
    return models.SearchParams(hnsw_ef=128, quantization=rescored)


def _sparse(sparse: Sparse) -> models.SparseVector:
    return models.SparseVector(indices=list(sparse.indices), values=list(sparse.values))
