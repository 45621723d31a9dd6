"""What lacks a vector is gone through page by page, in every store, whatever happens to it meanwhile."""

from __future__ import annotations

import pytest

from ragkit.nouns import Chunk
from ragkit.store import Store
from ragkit.stores.edge import EdgeStore
from tests.unit.test_store_contract import DENSE, LEXICAL, Backend, backend, folder, put

__all__ = ["backend", "folder"]

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
]

NORTH = (1.0, 0.0, 0.0)


async def pages(store: Store, size: int, but: tuple[str, ...] = (), tenant: str = "acme") -> list[tuple[Chunk, ...]]:
    return [page async for page in store.pending_pages(tenant, size, but)]


async def test_each_chunk_is_on_one_page_and_no_page_is_too_large(backend: Backend) -> None:
    store = await backend.open(DENSE)
    await put(store, "d", [f"fox {number}" for number in range(7)])
    await put(store, "e", ["hound", "cat"])
    await put(store, "x", ["another's"], tenant="rival")
    found = await pages(store, 4)
    assert [len(page) for page in found] == [4, 4, 1]
    assert len({chunk.id for page in found for chunk in page}) == 9
    assert [len(page) for page in await pages(store, 3)] == [3, 3, 3], "no page is empty"
    assert [len(page) for page in await pages(store, 4, but=("d",))] == [2]
    assert await pages(store, 4, tenant="nobody") == []


async def test_what_gets_its_vector_meanwhile_hides_nothing_else(backend: Backend) -> None:
    store = await backend.open(DENSE)
    await put(store, "d", [f"fox {number}" for number in range(9)])
    seen: list[str] = []
    async for page in store.pending_pages("acme", 2):
        seen += [chunk.id for chunk in page]
        await store.set_dense("acme", [(chunk, NORTH) for chunk in page])
    assert len(seen) == len(set(seen)) == 9
    assert await pages(store, 2) == []


async def test_a_lexical_index_has_no_pages(backend: Backend) -> None:
    store = await backend.open(LEXICAL)
    await put(store, "d", ["fox"])
    assert await pages(store, 2) == []


async def test_chunks_that_were_exchanged_for_a_graph_meanwhile_are_read_as_they_are_now(backend: Backend) -> None:
    store = await backend.open(DENSE)
    if not isinstance(store, EdgeStore):
        pytest.skip("a server builds its graphs by itself")
    store._graph_from = 1
    await put(store, "d", [f"fox {number}" for number in range(1_500)])
    going = store.pending_pages("acme", 500)
    first = await anext(going)
    assert await store.optimize()
    there = {chunk.id for chunk in first}
    others = [chunk for page in await pages(store, 500) for chunk in page if chunk.id not in there]
    given = others[-400:]
    await store.set_dense("acme", [(chunk, NORTH) for chunk in given])
    late = [chunk.id async for page in going for chunk in page]
    assert not set(late) & {chunk.id for chunk in given}, "they have their vector by now"
