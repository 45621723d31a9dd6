"""Retrieval over a real index: what is searched for, how lists are fused, and what is left without an embedder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ragkit.embed import Embedded
from ragkit.errors import AuthFailed, ProviderError, Unavailable
from ragkit.nouns import Account, Chunk, DocumentRecord, Hit, Query, Turn, Usage
from ragkit.retrieve import (
    EARLIER_ANSWER,
    EARLIER_QUESTION,
    FADING,
    LEXICAL_ONLY,
    append,
    fuse,
    in_context,
    retrieve,
    weigh,
)
from ragkit.store import Candidates, IndexedChunk, IndexSchema
from ragkit.stores.edge import EdgeStore, open_edge
from ragkit.words.bm25 import encode_chunk, encode_query

MEMORY = Path("/dev/shm")

TEXTS = {
    "pump": ("Pump manual", "The pump has a warranty of two years.", (1.0, 0.0)),
    "valve": ("Valve manual", "Close the valve before you open the lid.", (0.0, 1.0)),
    "brother": ("Brother", "Brother is a song by the band Pearl Jam.", (0.6, 0.8)),
    "jam": ("Pearl Jam", "An American rock group, formed in Seattle.", (0.8, 0.6)),
}


class Embedder:
    """Two dimensions: pumps and valves."""

    name = "test:two"
    dimensions = 2
    price_id: str | None = "test-two"

    def __init__(self, error: ProviderError | None = None) -> None:
        self.error = error
        self.asked: list[str] = []

    async def embed_query(self, text: str) -> Embedded:
        self.asked.append(text)
        if self.error is not None:
            raise self.error
        return Embedded(((0.0, 1.0) if "valve" in text else (1.0, 0.0),), Usage(input=7))

    async def embed_documents(self, texts: Sequence[str]) -> Embedded:
        raise AssertionError("a question embeds no documents")

    async def aclose(self) -> None: ...


@pytest.fixture
async def store() -> AsyncIterator[EdgeStore]:
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        index = await open_edge(Path(folder) / "index", IndexSchema("test", "test:two", 2), create=True)
        for name, (title, text, vector) in TEXTS.items():
            await add(index, name, title, text, vector)
        await add(index, "secret", "Secret", "The warranty of the secret pump.", (1.0, 0.0), tenant="other")
        yield index
        await index.aclose()


async def add(
    store: EdgeStore, name: str, title: str, text: str, vector: tuple[float, ...], tenant: str = "default"
) -> None:
    chunk = Chunk(f"{name}#0", name, f"{name}.md", text, 0, len(text), 0, len(text) // 4, title)
    revision = (name * 64)[:64].encode().hex()[:64]
    await store.stage([IndexedChunk(chunk, tenant, revision, encode_chunk(title, (), text), vector)])
    record = DocumentRecord(
        name, tenant, f"{name}.md", title, revision, 1, 1, len(text), datetime(2026, 1, 1, tzinfo=UTC)
    )
    await store.commit([record])


def hit(name: str, score: float = 0.0, **ranks: float) -> Hit:
    chunk = Chunk(name, name, name, name, 0, len(name), 0, 1)
    return replace(Hit(chunk, score), **ranks)  # type: ignore[arg-type]


def names(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk.id.removesuffix("#0") for hit in hits]


async def test_without_an_embedder_words_find_the_chunk_and_the_answer_says_so(store: EdgeStore) -> None:
    found = await retrieve(Query("How long is the warranty of the pump?"), store=store)
    assert names(found.hits)[0] == "pump"
    assert found.notes == (LEXICAL_ONLY,)
    assert (found.usage, found.embedder) == (Usage(), None)


async def test_an_embedder_finds_what_shares_no_word(store: EdgeStore) -> None:
    embedder = Embedder()
    found = await retrieve(Query("guarantee period"), store=store, embedder=embedder)
    assert names(found.hits)[0] == "pump"
    assert (found.usage, found.embedder, found.notes) == (Usage(input=7), "test:two", ())


@pytest.mark.parametrize(
    ("error", "usage"),
    [
        (Unavailable("busy", usage=None), None),
        (Unavailable("no route", sent=False), Usage()),
        (AuthFailed("the key is wrong", usage=Usage()), Usage()),
    ],
)
async def test_a_failing_embedder_leaves_the_words_and_its_bill(
    store: EdgeStore, error: ProviderError, usage: Usage | None
) -> None:
    found = await retrieve(Query("warranty of the pump"), store=store, embedder=Embedder(error))
    assert names(found.hits)[0] == "pump"
    assert found.notes == (f"retrieval is lexical: test:two failed: {error}",)
    assert found.usage == usage


async def test_nobody_sees_another_tenant(store: EdgeStore) -> None:
    own = await retrieve(Query("warranty of the secret pump"), store=store, embedder=Embedder())
    other = await retrieve(Query("warranty of the pump", Account("other")), store=store, embedder=Embedder())
    assert "secret" not in names(own.hits)
    assert names(other.hits) == ["secret"]


async def test_the_second_search_finds_what_the_first_hits_name(store: EdgeStore) -> None:
    found = await retrieve(Query("Where was the performer of Brother founded?"), store=store)
    assert names(found.hits)[:1] == ["brother"]
    later = next(hit for hit in found.hits if hit.chunk.id == "jam#0")
    assert (later.sparse_rank, later.dense_rank, later.sparse_score) == (None, None, None)


async def test_no_more_hits_than_asked_for(store: EdgeStore) -> None:
    for k in (1, 2, 3):
        assert len((await retrieve(Query("Brother pump valve", k=k), store=store, embedder=Embedder())).hits) == k


async def test_words_that_nobody_wrote_find_nothing(store: EdgeStore) -> None:
    assert (await retrieve(Query("zzz qqq"), store=store)).hits == ()
    assert (await retrieve(Query("?"), store=store)).hits == ()


async def test_a_follow_up_is_searched_with_what_came_before(store: EdgeStore) -> None:
    history = (Turn("user", "Tell me about the pump"), Turn("assistant", "It pumps."))
    query = Query("How long is the guarantee?", history=history)
    assert names((await retrieve(query, store=store)).hits)[0] == "pump"
    embedder = Embedder()
    await retrieve(query, store=store, embedder=embedder)
    assert embedder.asked == ["Tell me about the pump\nHow long is the guarantee?"]


def test_earlier_turns_fade_and_never_outweigh_the_question() -> None:
    history = (
        Turn("user", "valve"),
        Turn("assistant", "lid"),
        Turn("user", "pump"),
        Turn("assistant", "warranty and pump"),
    )
    terms = weigh(Query("warranty", history=history))
    weights = dict(zip(terms.indices, terms.values, strict=True))
    assert {word: weights[encode_query(word).indices[0]] for word in ("warranty", "pump", "valve", "lid")} == {
        "warranty": 1.0,
        "pump": EARLIER_QUESTION,
        "valve": EARLIER_QUESTION * FADING,
        "lid": EARLIER_ANSWER * FADING,
    }


def test_only_the_last_turns_count() -> None:
    history = tuple(Turn("user", word) for word in ("ancient", "one", "two", "three", "four"))
    assert encode_query("ancient").indices[0] not in weigh(Query("now", history=history)).indices


def test_context_is_the_last_question() -> None:
    history = (Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"), Turn("assistant", "d"))
    assert in_context(Query("e", history=history)) == "c\ne"
    assert in_context(Query("e")) == "e"


def test_fusion_keeps_ranks_and_scores_of_both_channels() -> None:
    sparse = (hit("a", sparse_rank=1, sparse_score=8.0), hit("b", sparse_rank=2, sparse_score=4.0))
    dense = (hit("b", dense_rank=1, dense_score=0.9), hit("c", dense_rank=2, dense_score=0.6))
    fused = {hit.chunk.id: hit for hit in fuse(Candidates(sparse, dense), limit=10)}
    assert (fused["b"].sparse_rank, fused["b"].dense_rank) == (2, 1)
    assert (fused["b"].sparse_score, fused["b"].dense_score) == (4.0, 0.9)
    assert (fused["a"].dense_rank, fused["c"].sparse_rank) == (None, None)


def test_a_clear_winner_of_one_channel_beats_two_middling_ranks() -> None:
    sparse = (
        hit("a", sparse_rank=1, sparse_score=20.0),
        *(hit(n, sparse_rank=r, sparse_score=5.0) for r, n in enumerate("bcd", 2)),
    )
    dense = tuple(hit(n, dense_rank=r, dense_score=0.5 - r / 100) for r, n in enumerate("bcd", 1))
    assert names(fuse(Candidates(sparse, dense), limit=10))[0] == "a"


def test_one_channel_alone_keeps_its_order() -> None:
    sparse = tuple(hit(n, sparse_rank=r, sparse_score=9.0 - r) for r, n in enumerate("cab", 1))
    assert names(fuse(Candidates(sparse), limit=2)) == ["c", "a"]
    dense = tuple(hit(n, dense_rank=r, dense_score=0.9 - r / 10) for r, n in enumerate("cab", 1))
    assert names(fuse(Candidates((), dense), limit=2)) == ["c", "a"]


def test_equal_scores_are_ordered_by_id_and_scores_stay_within_0_and_1() -> None:
    sparse = tuple(hit(n, sparse_rank=r, sparse_score=3.0) for r, n in enumerate("zyx", 1))
    dense = (hit("w", dense_rank=1, dense_score=-0.2),)
    fused = fuse(Candidates(sparse, dense), limit=10)
    assert names(fused)[:3] == ["x", "y", "z"]
    assert all(0.0 <= hit.score <= 1.0 for hit in fused)


def test_fusing_nothing_is_nothing() -> None:
    assert fuse(Candidates(()), limit=5) == ()


def test_later_hits_take_a_quarter_of_the_places_and_the_unused_ones() -> None:
    first = [hit(f"a{n}", 1 - n / 100, sparse_rank=n + 1) for n in range(8)]
    later = [hit(f"b{n}", 9.0 - n) for n in range(8)]
    full = append(first, later, limit=8)
    assert [sum(h.chunk.id.startswith(kind) for h in full) for kind in "ab"] == [6, 2]
    assert len(append(first[:3], later, limit=8)) == 8
    assert append(first, first, limit=8) == tuple(first)
