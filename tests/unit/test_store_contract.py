"""What every store must do, asked of the embedded engine and of the server's client in its local mode."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, cast
from uuid import uuid4

import pytest
from qdrant_client import AsyncQdrantClient, models
from qdrant_edge import EdgeShard, Point, UpdateOperation

from ragkit.errors import StoreError, StoreMismatch
from ragkit.nouns import Chunk, DocumentRecord, DocumentVersion, Hit
from ragkit.settings import StoreSettings
from ragkit.store import IndexedChunk, IndexSchema, Store, StoreQuery
from ragkit.stores.codec import chunk_ids
from ragkit.stores.edge import EdgeStore
from ragkit.stores.edge_open import open_index
from ragkit.stores.qdrant import open_qdrant
from ragkit.words.bm25 import encode_document, encode_query

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
]

LEXICAL = IndexSchema("test-1")
DENSE = IndexSchema("test-1", "test:3", 3)
MEMORY = Path("/dev/shm")
WHEN = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


class Crash(Exception):
    """The process ends here."""


class Breaking:
    """Lets `left` writes of an engine or a client through and none after that; others look at `seen`."""

    def __init__(self, inner: Any, writes: tuple[str, ...], left: list[int]) -> None:
        self.inner, self.writes, self.left = inner, writes, left

    def __getattr__(self, name: str) -> Any:
        if name in self.writes:
            if self.left[0] == 0:
                raise Crash
            self.left[0] -= 1
        return getattr(self.inner, name)


class Backend(Protocol):
    """One kind of store: opened any number of times over the same data, and open to sabotage."""

    opened: list[Store]

    async def open(self, schema: IndexSchema | None, *, create: bool = True, writes: int = -1) -> Store: ...

    async def plant(self, record: DocumentRecord, ordinal: int) -> None:
        """A second point that says what the chunk says, under a random id."""
        ...

    async def lose(self, record: DocumentRecord, ordinal: int) -> None:
        """Delete a chunk behind the store's back."""
        ...


class Edge:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opened: list[Store] = []
        self.shards: list[EdgeShard] = []

    async def open(self, schema: IndexSchema | None, *, create: bool = True, writes: int = -1) -> Store:
        left = [writes]
        self.shards = []

        def wrap(shard: EdgeShard) -> EdgeShard:
            self.shards.append(shard)
            return cast("EdgeShard", Breaking(shard, ("update",), left))

        index = await asyncio.to_thread(open_index, self.folder, schema, create=create, wrap=wrap)
        self.opened.append(EdgeStore(index))
        return self.opened[-1]

    async def plant(self, record: DocumentRecord, ordinal: int) -> None:
        point = self.shards[0].retrieve([chunk_ids(record)[ordinal]], with_payload=True, with_vector=True)[0]
        twin = Point(uuid4(), point.vector or {}, point.payload or {})
        self.shards[0].update(UpdateOperation.upsert_points([twin]))

    async def lose(self, record: DocumentRecord, ordinal: int) -> None:
        self.shards[0].update(UpdateOperation.delete_points([chunk_ids(record)[ordinal]]))


class Lasting(AsyncQdrantClient):
    """Local data ends with its client, so this one is not closed by the store."""

    async def close(self, grpc_grace: float | None = None, **_: Any) -> None:
        """Stay."""


class Server:
    def __init__(self) -> None:
        self.client = Lasting(":memory:")
        self.opened: list[Store] = []

    async def open(self, schema: IndexSchema | None, *, create: bool = True, writes: int = -1) -> Store:
        client = Breaking(self.client, ("upsert", "delete", "update_vectors"), [writes])
        return await open_qdrant(StoreSettings(), schema, create=create, client=cast("AsyncQdrantClient", client))

    async def plant(self, record: DocumentRecord, ordinal: int) -> None:
        ids = [str(chunk_ids(record)[ordinal])]
        point = (await self.client.retrieve("ragkit", ids, with_payload=True, with_vectors=True))[0]
        twin = models.PointStruct(id=str(uuid4()), vector=cast("Any", point.vector), payload=point.payload)
        await self.client.upsert("ragkit", [twin])

    async def lose(self, record: DocumentRecord, ordinal: int) -> None:
        await self.client.delete("ragkit", [str(chunk_ids(record)[ordinal])])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that is possible: what is tested is the protocol, not how long a busy disk takes to sync."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as name:
        yield Path(name) / "index"


@pytest.fixture(params=["edge", "qdrant"])
async def backend(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Backend]:
    backend: Backend = Edge(folder) if request.param == "edge" else Server()
    yield backend
    for store in backend.opened:
        await store.aclose()


def make(
    document: str,
    texts: list[str],
    *,
    revision: str = "r1",
    version: int = 1,
    tenant: str = "acme",
    vector: tuple[float, ...] | None = None,
    metadata: dict[str, str] | None = None,
) -> tuple[list[IndexedChunk], DocumentRecord]:
    """A document as ingest hands it over: its chunks, then its record."""
    facts = tuple((metadata or {}).items())
    source = f"docs/{document}.md"
    chunks = [
        Chunk(
            f"{document}-{revision}-{i}", document, source, text, 7, 7 + len(text), i, 5, "Title", ("A", "B"), i or None
        )
        for i, text in enumerate(texts)
    ]
    indexed = [IndexedChunk(chunk, tenant, revision, encode_document(chunk.text), vector, facts) for chunk in chunks]
    characters = sum(map(len, texts))
    history = (DocumentVersion(version, f"digest of {revision}", WHEN, len(texts), characters),)
    return indexed, DocumentRecord(
        document, tenant, source, "Title", revision, version, len(texts), characters, WHEN, metadata or {}, history
    )


async def put(store: Store, document: str, texts: list[str], **how: Any) -> DocumentRecord:
    chunks, record = make(document, texts, **how)
    await store.stage(chunks)
    await store.commit([record])
    return record


def ask(text: str, *, tenant: str = "acme", limit: int = 10, **more: Any) -> StoreQuery:
    return StoreQuery(tenant, encode_query(text), limit, **more)


def texts_of(hits: tuple[Hit, ...]) -> set[str]:
    return {hit.chunk.text for hit in hits}


async def everything_seen(store: Store, tenant: str = "acme") -> dict[str, list[str]]:
    """All texts by document, by way of the records."""
    records = await store.records(tenant)
    return {record.id: [chunk.text for chunk in await store.chunks(tenant, record.id)] for record in records}


async def test_a_chunk_comes_back_as_it_went_in(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    chunks, record = make("d", ["the quick brown fox", "a lazy dog ü"], metadata={"lang": "en"})
    await store.stage(chunks)
    assert await store.commit([record]) == 0
    assert await store.chunks("acme", "d") == tuple(item.chunk for item in chunks)
    assert await store.records("acme") == (record,)
    hits = (await store.search(ask("fox"))).sparse
    assert [(hit.chunk, hit.sparse_rank, hit.dense_rank) for hit in hits] == [(chunks[0].chunk, 1, None)]
    assert hits[0].score == hits[0].sparse_score is not None


async def test_what_is_staged_is_seen_by_nobody(backend: Backend) -> None:
    store = await backend.open(DENSE)
    chunks, _ = make("d", ["fox"], vector=(1.0, 0.0, 0.0))
    await store.stage(chunks)
    found = await store.search(ask("fox", dense=(1.0, 0.0, 0.0)))
    assert found.sparse == found.dense == ()
    assert (await store.chunks("acme", "d"), await store.records("acme")) == ((), ())
    assert await store.pending_dense("acme", 10) == ()


async def test_a_new_revision_takes_the_place_of_the_old_one(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    await put(store, "d", ["fox one", "fox two", "fox three"])
    chunks, record = make("d", ["fox anew"], revision="r2", version=2)
    await store.stage(chunks)
    assert texts_of((await store.search(ask("fox"))).sparse) == {"fox one", "fox two", "fox three"}
    assert await store.commit([record]) == 3
    assert texts_of((await store.search(ask("fox"))).sparse) == {"fox anew"}
    assert await everything_seen(store) == {"d": ["fox anew"]}
    verified = await store.verify()
    assert verified.clean
    assert (verified.documents, verified.chunks) == (1, 1)


async def test_staging_and_committing_twice_changes_nothing(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    for _ in range(2):
        chunks, record = make("d", ["fox one", "fox two"])
        await store.stage(chunks)
        await store.stage(chunks)
        assert await store.commit([record]) == 0
    assert (await store.info()).chunks == 2
    assert (await store.verify()).clean


async def test_a_commit_needs_all_of_its_chunks(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    await put(store, "d", ["old fox"])
    chunks, record = make("d", ["fox one", "fox two"], revision="r2", version=2)
    await store.stage(chunks[:1])
    with pytest.raises(StoreError, match=r"docs/d\.md was not committed: 1 of its 2 chunks"):
        await store.commit([record])
    assert await everything_seen(store) == {"d": ["old fox"]}


async def test_removal_leaves_nothing(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    await put(store, "d", ["fox one", "fox two"])
    await put(store, "e", ["fox three"])
    assert await store.remove("acme", ["d", "d", "unknown"]) == 2
    assert texts_of((await store.search(ask("fox"))).sparse) == {"fox three"}
    assert await store.remove("acme", ["d"]) == 0
    assert (await store.info()).documents == 1
    assert (await store.verify()).clean


async def test_an_empty_document_and_empty_calls(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    await store.stage([])
    assert await store.commit([]) == 0
    assert await store.remove("acme", []) == 0
    await put(store, "empty", [])
    assert await store.chunks("acme", "empty") == ()
    assert (await store.search(ask(""))).sparse == ()
    assert (await store.verify()).clean


async def test_more_chunks_than_a_batch(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    await put(store, "d", [f"fox number{i}" for i in range(1203)])
    assert await put(store, "d", [f"fox count{i}" for i in range(1001)], revision="r2", version=2)
    assert len(await store.chunks("acme", "d")) == 1001
    assert (await store.verify()).clean


async def test_invisible_chunks_do_not_crowd_out_visible_ones(backend: Backend) -> None:
    store = await backend.open(DENSE)
    await put(store, "seen", ["fox in a longer text of many other words"], vector=(0.6, 0.8, 0.0))
    hidden, _ = make("hidden", ["fox fox"] * 300, vector=(1.0, 0.0, 0.0))
    await store.stage(hidden)
    found = await store.search(ask("fox", limit=5, dense=(1.0, 0.0, 0.0)))
    assert [hit.chunk.document_id for hit in found.sparse] == ["seen"]
    assert [hit.chunk.document_id for hit in found.dense] == ["seen"]


async def test_both_lists_are_ranked(backend: Backend) -> None:
    store = await backend.open(DENSE)
    await put(store, "near", ["a dog"], vector=(1.0, 0.1, 0.0))
    await put(store, "far", ["a dog and a fox"], vector=(0.0, 1.0, 0.1))
    found = await store.search(ask("fox", dense=(1.0, 0.0, 0.0)))
    assert [hit.chunk.document_id for hit in found.sparse] == ["far"]
    assert [(hit.chunk.document_id, hit.dense_rank) for hit in found.dense] == [("near", 1), ("far", 2)]
    assert found.dense[0].dense_score == pytest.approx(0.995, abs=1e-3)
    assert found.dense[0].sparse_rank is None
    assert len((await store.search(ask("dog", limit=1, dense=(1.0, 0.0, 0.0)))).dense) == 1


async def test_filters_are_equalities_of_metadata(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    await put(store, "d", ["fox one"], metadata={"lang": "en", "a": "b=c"})
    await put(store, "e", ["fox two"], metadata={"lang": "de", "a=b": "c"})
    assert texts_of((await store.search(ask("fox", filters=(("lang", "de"),)))).sparse) == {"fox two"}
    assert texts_of((await store.search(ask("fox", filters=(("a", "b=c"),)))).sparse) == {"fox one"}
    assert (await store.search(ask("fox", filters=(("lang", "en"), ("lang", "de"))))).sparse == ()
    assert (await store.search(ask("fox", filters=(("tenant", "acme"),)))).sparse == ()


async def test_nothing_of_another_tenant_in_any_answer(backend: Backend) -> None:
    store = await backend.open(DENSE)
    await put(store, "d", ["fox of acme"], vector=(1.0, 0.0, 0.0))
    canary, record = make("d", ["fox canary"] * 2, tenant="rival", metadata={"lang": "en"})
    await store.stage(canary)
    await store.commit([record])
    await put(store, "secret", ["fox canary"], tenant="rival", vector=(1.0, 0.0, 0.0))
    found = await store.search(ask("fox canary", dense=(1.0, 0.0, 0.0)))
    assert texts_of(found.sparse) == texts_of(found.dense) == {"fox of acme"}
    assert (await store.search(ask("fox", filters=(("tenant", "rival"),)))).sparse == ()
    assert [r.id for r in await store.records("acme")] == ["d"]
    assert [c.text for c in await store.chunks("acme", "d")] == ["fox of acme"]
    assert (await store.chunks("acme", "secret"), await store.records("nobody")) == ((), ())
    assert await store.pending_dense("acme", 10) == ()
    assert len(await store.pending_dense("rival", 10)) == 2
    assert await store.set_dense("acme", [(canary[1].chunk, (1.0, 0.0, 0.0))]) == 0
    assert await store.remove("acme", ["secret"]) == 0
    assert await store.remove("acme", ["d"]) == 1
    assert await everything_seen(store, "rival") == {"d": ["fox canary"] * 2, "secret": ["fox canary"]}
    assert len(await store.pending_dense("rival", 10)) == 2


async def test_no_tenant_is_not_every_tenant(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    await put(store, "d", ["fox"])
    with pytest.raises(StoreError, match="a tenant is needed"):
        await store.search(ask("fox", tenant=""))


async def test_another_tenants_documents_do_not_move_a_score(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    await put(store, "d", ["fox and hound", "cat and dog", "cow"])
    await put(store, "x", ["zebra"], tenant="rival")
    before = (await store.search(ask("fox cat"))).sparse
    await put(store, "y", ["fox"] * 50, tenant="rival")
    assert (await store.search(ask("fox cat"))).sparse == before


async def test_dense_vectors_follow_later(backend: Backend) -> None:
    store = await backend.open(DENSE)
    await put(store, "d", ["fox one", "fox two", "fox three"])
    assert (await store.verify()).without_dense == 3
    assert len(await store.pending_dense("acme", 2)) == 2
    pending = await store.pending_dense("acme", 10)
    assert await store.set_dense("acme", [(chunk, (1.0, float(i), 0.0)) for i, chunk in enumerate(pending)]) == 3
    assert await store.pending_dense("acme", 10) == ()
    assert (await store.verify()).without_dense == 0
    found = await store.search(ask("fox", dense=(1.0, 0.0, 0.0)))
    assert [hit.chunk for hit in found.dense] == list(pending)
    assert len(found.sparse) == 3


async def test_a_vector_of_a_replaced_chunk_goes_nowhere(backend: Backend) -> None:
    store = await backend.open(DENSE)
    await put(store, "d", ["fox one", "fox two"])
    stale = await store.pending_dense("acme", 10)
    await put(store, "d", ["fox anew", "fox again"], revision="r2", version=2)
    await put(store, "e", ["fox"])
    await store.remove("acme", ["e"])
    assert await store.set_dense("acme", [(chunk, (1.0, 0.0, 0.0)) for chunk in stale]) == 0
    assert len(await store.pending_dense("acme", 10)) == 2


async def test_a_vector_of_the_wrong_size_is_refused_before_anything_is_written(backend: Backend) -> None:
    store = await backend.open(DENSE)
    record = await put(store, "d", ["fox"])
    chunk = (await store.chunks("acme", record.id))[0]
    chunks, _ = make("e", ["fox"], vector=(1.0,))
    for attempt in (
        store.stage(chunks),
        store.set_dense("acme", [(chunk, (1.0, 0.0))]),
        store.search(ask("fox", dense=(1.0, 0.0, 0.0, 0.0))),
    ):
        with pytest.raises(StoreMismatch, match="embedder 'test:3' \\(3 dimensions\\)"):
            await attempt
    assert (await store.info()).chunks == 1


async def test_a_lexical_index_has_no_vectors_to_wait_for(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    await put(store, "d", ["fox"])
    assert await store.pending_dense("acme", 10) == ()
    assert (await store.verify()).without_dense == 0
    with pytest.raises(StoreMismatch, match="embedder 'none'"):
        await store.search(ask("fox", dense=(1.0,)))


async def test_reopening_finds_everything(backend: Backend) -> None:
    store = await backend.open(DENSE)
    record = await put(store, "d", ["fox one", "fox two"], vector=(1.0, 0.0, 0.0))
    before = await store.search(ask("fox", dense=(1.0, 0.0, 0.0)))
    await store.aclose()
    store = await backend.open(None, create=False)
    assert (await store.info()).schema == DENSE
    assert await store.records("acme") == (record,)
    assert await store.search(ask("fox", dense=(1.0, 0.0, 0.0))) == before


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(DENSE, embedder="other:3"), "embedder 'test:3', the settings ask for 'other:3'"),
        (replace(DENSE, chunking="test-2"), "chunking 'test-1', the settings ask for 'test-2'"),
        (replace(DENSE, dimensions=4), "dimensions '3', the settings ask for '4'"),
        (LEXICAL, "embedder 'test:3', the settings ask for 'none'"),
    ],
)
async def test_other_settings_are_refused_by_name(backend: Backend, other: IndexSchema, words: str) -> None:
    await (await backend.open(DENSE)).aclose()
    with pytest.raises(StoreMismatch, match=words):
        await backend.open(other)
    await (await backend.open(DENSE)).aclose()


async def test_an_index_is_not_made_by_asking(backend: Backend) -> None:
    for schema, create in ((None, False), (LEXICAL, False), (None, True)):
        with pytest.raises(StoreError, match="there is no index"):
            await backend.open(schema, create=create)


@pytest.mark.parametrize("writes", range(4))
@pytest.mark.parametrize("step", ["replace", "remove"])
async def test_a_crash_between_any_two_writes_leaves_one_whole_document(
    backend: Backend, step: str, writes: int
) -> None:
    store = await backend.open(LEXICAL)
    await put(store, "d", ["fox one", "fox two", "fox three"])
    await store.aclose()
    store = await backend.open(LEXICAL, writes=writes)
    try:
        if step == "replace":
            await put(store, "d", ["new fox", "newer fox"], revision="r2", version=2)
        else:
            await store.remove("acme", ["d"])
        done = True
    except (Crash, StoreError):
        done = False
    await store.aclose()
    assert done == (writes >= (3 if step == "replace" else 2))
    store = await backend.open(LEXICAL)
    await store.sweep()
    seen = await everything_seen(store)
    old, new = {"d": ["fox one", "fox two", "fox three"]}, {"d": ["new fox", "newer fox"]} if step == "replace" else {}
    assert seen == (new if writes >= (2 if step == "replace" else 1) else old)
    assert texts_of((await store.search(ask("fox"))).sparse) == {text for texts in seen.values() for text in texts}
    assert (await store.verify()).clean


async def test_verify_finds_what_is_wrong_and_sweep_repairs_it(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    whole = await put(store, "whole", ["fox one", "fox two"])
    holey = await put(store, "holey", ["fox three", "fox four"])
    orphans, _ = make("orphan", ["fox"] * 3)
    await store.stage(orphans)
    await backend.plant(whole, 1)
    await backend.lose(holey, 0)
    found = await store.verify()
    assert not found.clean
    assert sorted(found.orphans) == ["orphan-r1-0", "orphan-r1-1", "orphan-r1-2"]
    assert found.duplicates == ("whole-r1-1",)
    assert found.incomplete == (holey,)
    assert await store.sweep() == 4
    found = await store.verify()
    assert (found.orphans, found.duplicates, found.incomplete) == ((), (), (holey,))
    await put(store, "holey", ["fox three", "fox four"])
    assert (await store.verify()).clean


async def test_a_document_is_never_missing_while_it_is_replaced(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    await put(store, "d", ["fox zero"] * 3)
    done = False

    async def replace_often() -> None:
        nonlocal done
        for i in range(1, 15):
            await put(store, "d", [f"fox {i}"] * 3, revision=f"r{i + 1}", version=i + 1)
        done = True

    writer = asyncio.create_task(replace_often())
    while not done:
        hits = (await store.search(ask("fox"))).sparse
        assert len(hits) == 3
        assert len(texts_of(hits)) == 1
        assert len({chunk.text for chunk in await store.chunks("acme", "d")}) == 1
        await asyncio.sleep(0)
    await writer
