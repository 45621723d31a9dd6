"""Contexts of chunks in every store: found by them, kept beside the text, gone with the revision that they were for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ragkit.nouns import Chunk, Sparse
from ragkit.store import Store
from ragkit.words.bm25 import encode_chunk
from tests.unit.test_store_contract import DENSE, LEXICAL, Backend, ask, backend, folder, put, texts_of

__all__ = ["backend", "folder"]

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
]

NORTH = (1.0, 0.0, 0.0)


def with_context(chunk: Chunk, context: str) -> tuple[Chunk, Sparse]:
    return replace(chunk, context=context), encode_chunk(chunk.title, chunk.section, chunk.text, context)


async def place(store: Store, document: str, *contexts: str, tenant: str = "acme") -> int:
    chunks = await store.chunks(tenant, document)
    pairs = [with_context(chunk, said) for chunk, said in zip(chunks, contexts, strict=True)]
    return await store.set_contexts(tenant, pairs)


async def test_a_chunk_is_found_by_its_context_and_its_text_stays(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    await put(store, "d", ["fox one", "fox two"])
    assert await place(store, "d", "about zebras", "about gnus") == 2
    (hit,) = (await store.search(ask("zebras"))).sparse
    assert (hit.chunk.text, hit.chunk.context) == ("fox one", "about zebras")
    assert [chunk.context for chunk in await store.chunks("acme", "d")] == ["about zebras", "about gnus"]
    assert len((await store.search(ask("fox"))).sparse) == 2
    await store.aclose()
    store = await backend.open(LEXICAL)
    assert texts_of((await store.search(ask("gnus"))).sparse) == {"fox two"}
    assert (await store.verify()).clean


async def test_a_context_takes_the_vector_that_was_made_without_it(backend: Backend) -> None:
    store = await backend.open(DENSE)
    await put(store, "d", ["fox one", "fox two"], vector=NORTH, metadata={"lang": "en"})
    assert await place(store, "d", "zebra", "gnu") == 2
    waiting = await store.pending_dense("acme", 10)
    assert [chunk.context for chunk in sorted(waiting, key=lambda it: it.ordinal)] == ["zebra", "gnu"]
    assert await store.pending_dense("acme", 10, {"d"}) == ()
    await store.set_dense("acme", [(chunk, NORTH) for chunk in waiting])
    assert await place(store, "d", "zebra", "gnu") == 0, "the same again is no reason to embed again"
    assert await store.pending_dense("acme", 10) == ()
    assert len((await store.search(ask("zebra", dense=NORTH, filters=(("lang", "en"),)))).dense) == 2


async def test_a_vector_that_was_made_without_the_context_goes_nowhere(backend: Backend) -> None:
    store = await backend.open(DENSE)
    await put(store, "d", ["fox one", "fox two"])
    before = await store.pending_dense("acme", 10)
    first = next(chunk for chunk in await store.chunks("acme", "d") if chunk.ordinal == 0)
    assert await store.set_contexts("acme", [with_context(first, "zebra")]) == 1
    assert await store.set_dense("acme", [(chunk, NORTH) for chunk in before]) == 1
    (left,) = await store.pending_dense("acme", 10)
    assert (left.text, left.context) == ("fox one", "zebra")
    assert await store.set_dense("acme", [(left, NORTH)]) == 1


async def test_a_context_of_a_replaced_or_foreign_chunk_goes_nowhere(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    await put(store, "d", ["fox one"])
    await put(store, "d", ["fox one"], tenant="rival")
    old = [with_context(chunk, "zebra") for chunk in await store.chunks("acme", "d")]
    await put(store, "d", ["fox one"], revision="r2", version=2)
    assert await store.set_contexts("acme", old) == 0
    assert await store.set_contexts("nobody", old) == 0
    await place(store, "d", "gnu", tenant="rival")
    assert (await store.search(ask("gnu zebra"))).sparse == ()
    await store.remove("acme", ["d"])
    assert await store.set_contexts("acme", old) == 0
    assert (await store.verify()).clean and await store.sweep() == 0


async def test_what_made_the_contexts_counts_for_its_revision_only(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    record = await put(store, "d", ["fox one"])
    await store.mark_contexts("acme", [replace(record, context="model@1")])
    assert await store.records("acme") == (replace(record, context="model@1"),)
    await store.commit([replace(record, context="model@1", metadata={"seen": "again"})])
    assert (await store.records("acme"))[0].context == "model@1"
    later = await put(store, "d", ["fox two"], revision="r2", version=2)
    await store.mark_contexts("acme", [replace(record, context="model@1")])
    assert await store.records("acme") == (later,)
    await store.remove("acme", ["d"])
    await store.mark_contexts("acme", [replace(later, context="model@1")])
    assert await store.records("acme") == ()
