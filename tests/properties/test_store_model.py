"""Any sequence of staging, committing, removing, dying and reopening leaves what a dictionary would hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import AsyncQdrantClient
from qdrant_edge import EdgeShard

from ragkit.errors import StoreError
from ragkit.nouns import Chunk, DocumentRecord
from ragkit.settings import StoreSettings
from ragkit.store import IndexedChunk, IndexSchema, Store, StoreQuery
from ragkit.stores.edge import EdgeStore
from ragkit.stores.edge_open import open_index
from ragkit.stores.qdrant import open_qdrant
from ragkit.words.bm25 import encode_document, encode_query

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")

SCHEMA = IndexSchema("test-1")
MEMORY = Path("/dev/shm")
TENANTS = ("acme", "rival")
WHEN = datetime(2026, 11, 24, tzinfo=UTC)

Model = dict[tuple[str, str], list[str]]
keys = st.tuples(st.sampled_from(TENANTS), st.sampled_from(["a", "b"]))
sizes = st.integers(0, 4)
steps = st.one_of(
    st.tuples(st.just("put"), keys, sizes, st.integers(-1, 3)),
    st.tuples(st.just("stage"), keys, sizes, st.just(-1)),
    st.tuples(st.just("remove"), keys, st.just(0), st.integers(-1, 2)),
    st.tuples(st.just("sweep"), keys, st.just(0), st.just(-1)),
    st.tuples(st.just("reopen"), keys, st.just(0), st.just(-1)),
)
Step = tuple[str, tuple[str, str], int, int]


class Mortal:
    """An engine or a client that dies after so many writes; -1 is immortal."""

    def __init__(self, inner: Any, writes: Sequence[str], left: list[int]) -> None:
        self.inner, self.writes, self.left = inner, writes, left

    def __getattr__(self, name: str) -> Any:
        if name in self.writes:
            if self.left[0] == 0:
                raise RuntimeError("dead")
            self.left[0] -= 1
        return getattr(self.inner, name)


class EdgeLife:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.left = [-1]

    async def open(self) -> Store:
        self.left[0] = -1

        def mortal(shard: EdgeShard) -> EdgeShard:
            return cast("EdgeShard", Mortal(shard, ("update",), self.left))

        return EdgeStore(open_index(self.folder, SCHEMA, create=True, wrap=mortal))


class Lasting(AsyncQdrantClient):
    async def close(self, grpc_grace: float | None = None, **_: Any) -> None:
        """Local data ends with its client."""


class ServerLife:
    def __init__(self) -> None:
        self.client = Lasting(":memory:")
        self.left = [-1]

    async def open(self) -> Store:
        self.left[0] = -1
        mortal = cast("AsyncQdrantClient", Mortal(self.client, ("upsert", "delete"), self.left))
        return await open_qdrant(StoreSettings(), SCHEMA, create=True, client=mortal)


def document(key: tuple[str, str], size: int, version: int) -> tuple[list[IndexedChunk], DocumentRecord]:
    tenant, name = key
    texts = [f"fox {tenant} {name} {version} {i}" for i in range(size)]
    revision = f"r{version}"
    chunks = [
        IndexedChunk(
            Chunk(f"{name}{version}.{i}", name, name, text, 0, len(text), i, 1), tenant, revision, encode_document(text)
        )
        for i, text in enumerate(texts)
    ]
    return chunks, DocumentRecord(name, tenant, name, "", revision, version, size, 1, WHEN)


async def seen(store: Store) -> Model:
    return {
        (tenant, record.id): [chunk.text for chunk in await store.chunks(tenant, record.id)]
        for tenant in TENANTS
        for record in await store.records(tenant)
    }


async def apply(store: Store, step: Step, version: int) -> None:
    kind, key, size, _ = step
    chunks, record = document(key, size, version)
    if kind in ("put", "stage"):
        await store.stage(chunks)
    if kind == "put":
        await store.commit([record])
    if kind == "remove":
        await store.remove(key[0], [key[1]])
    if kind == "sweep":
        await store.sweep()


def after(model: Model, step: Step, version: int) -> Model:
    """What the dictionary holds when the step was done whole."""
    kind, key, size, _ = step
    rest = {other: texts for other, texts in model.items() if other != key}
    if kind == "put":
        return rest | {key: [item.chunk.text for item in document(key, size, version)[0]]}
    return rest if kind == "remove" else model


async def check(store: Store, model: Model) -> None:
    assert await seen(store) == model
    for tenant in TENANTS:
        hits = (await store.search(StoreQuery(tenant, encode_query("fox"), 50))).sparse
        mine = sorted(text for (owner, _), texts in model.items() if owner == tenant for text in texts)
        assert sorted(hit.chunk.text for hit in hits) == mine


async def run(life: EdgeLife | ServerLife, sequence: list[Step]) -> None:
    store = await life.open()
    model: Model = {}
    for version, step in enumerate(sequence, 1):
        life.left[0] = step[3]
        try:
            await apply(store, step, version)
            died = False
        except (StoreError, RuntimeError):
            died = True
        if died or step[0] == "reopen":
            await store.aclose()
            store = await life.open()
            now = await seen(store)
            assert now in (model, after(model, step, version))
            model = now
        else:
            life.left[0] = -1
            model = after(model, step, version)
        await check(store, model)
    await store.sweep()
    assert (await store.verify()).clean
    await check(store, model)
    await store.aclose()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, max_size=8))
def test_the_embedded_store_is_a_dictionary(sequence: list[Step]) -> None:
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        asyncio.run(run(EdgeLife(Path(folder) / "index"), sequence))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, max_size=8))
def test_the_server_store_is_a_dictionary(sequence: list[Step]) -> None:
    asyncio.run(run(ServerLife(), sequence))
