"""Making and recognising the two collections of an index on a Qdrant server."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from ragkit.errors import NoIndex, StoreError
from ragkit.settings import StoreSettings
from ragkit.store import IndexSchema
from ragkit.stores.codec import DENSE, FACTS, SPARSE, TENANT
from ragkit.stores.qdrant_calls import Calls, models
from ragkit.stores.schema import check_schema, read_schema

METADATA = "ragkit"


def records_of(collection: str) -> str:
    return f"{collection}_documents"


async def recorded_schema(calls: Calls, collection: str, schema: IndexSchema | None) -> IndexSchema | None:
    """What the collection says that it was built with, None if there is no index.

    The records' collection is made last: without it nothing was acknowledged.
    """
    if not await calls.ask(partial(calls.client.collection_exists, records_of(collection)), pauses=()):
        return None
    raw = await _metadata(calls, collection)
    if not isinstance(raw, dict):
        raise _foreign(calls, collection)
    place = f"{calls.place} ({collection})"
    found = read_schema(raw, place)
    check_schema(found, schema, place)
    return found


async def begin(calls: Calls, settings: StoreSettings, schema: IndexSchema | None, create: bool) -> IndexSchema:
    """Make both collections; what an interrupted attempt left is made anew, what is somebody else's is refused."""
    name = settings.collection
    if not create or schema is None:
        raise NoIndex(f"there is no index '{name}' at {calls.place}: run ragkit ingest PATH first")
    if await calls.ask(partial(calls.client.collection_exists, name)):
        if not isinstance(await _metadata(calls, name), dict):
            raise _foreign(calls, name)
        for old in (records_of(name), name):
            await calls.ask(partial(calls.client.delete_collection, old))
    await _create(calls, settings, name, schema)
    await _create(calls, settings, records_of(name), None)
    return schema


async def _metadata(calls: Calls, collection: str) -> object:
    found = await calls.ask(partial(calls.client.get_collection, collection))
    return (found.config.metadata or {}).get(METADATA)


def _foreign(calls: Calls, collection: str) -> StoreError:
    return StoreError(
        f"the collection '{collection}' at {calls.place} was not made by ragkit, or the server is older than 1.16: "
        "set another [store] collection, or update the server"
    )


async def _create(calls: Calls, settings: StoreSettings, name: str, schema: IndexSchema | None) -> None:
    """A collection with its indexes; the tenant's tells the server to keep a tenant's points together."""
    sparse = {SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)} if schema else None
    create = partial(
        calls.client.create_collection,
        name,
        vectors_config=_dense(schema),
        sparse_vectors_config=sparse,
        shard_number=settings.shards,
        replication_factor=settings.replicas,
        write_consistency_factor=settings.replicas // 2 + 1,
        metadata={METADATA: asdict(schema)} if schema else None,
    )
    await calls.ask(create)
    for field in (TENANT, FACTS) if schema else (TENANT,):
        index = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=field == TENANT)
        await calls.ask(partial(calls.client.create_payload_index, name, field, index, wait=True))


def _dense(schema: IndexSchema | None) -> dict[str, models.VectorParams]:
    if schema is None or schema.dimensions is None:
        return {}
    int8 = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
    quantized = models.ScalarQuantization(scalar=int8)
    size, distance = schema.dimensions, models.Distance.COSINE
    return {DENSE: models.VectorParams(size=size, distance=distance, quantization_config=quantized)}
