"""The BGE adapters on tiny, untrained models that the test makes; `make test-torch` installs what they need."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from ragkit.embedders import make_embedder
from ragkit.embedders.bge import BgeEmbedder
from ragkit.errors import ConfigError, Unavailable
from ragkit.nouns import Chunk, Hit, Usage
from ragkit.rerankers import make_reranker
from ragkit.rerankers.bge import BgeReranker
from ragkit.settings import Settings

pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")
pytest.importorskip("FlagEmbedding", reason="the extra 'bge' is not installed: make test-torch")

from tiny_bge import make_encoder, make_ranker

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ranker(tmp_path_factory.mktemp("models") / "tiny-ranker")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("models") / "tiny-m3")


def hit(name: str, text: str) -> Hit:
    return Hit(Chunk(name, name, "s", text, 0, len(text), 0, 1), 0.0)


async def test_reranking_orders_by_the_models_score(ranker: Path) -> None:
    reranker = BgeReranker(str(ranker), device="cpu")
    hits = [hit(name, text) for name, text in (("a", "the pump"), ("b", "a valve"), ("c", "two years warranty"))]
    ranked = await reranker.rerank("open the lid", hits)
    scores = [hit.score for hit in ranked.hits]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)
    assert len(set(scores)) == 3
    assert (reranker.name, reranker.price_id, ranked.usage) == ("bge:tiny-ranker", None, Usage())
    again = await reranker.rerank("open the lid", list(reversed(hits)))
    assert [hit.chunk.id for hit in again.hits] == [hit.chunk.id for hit in ranked.hits]
    assert [hit.score for hit in again.hits] == pytest.approx(scores, abs=1e-5)
    assert (await reranker.rerank("open", [])).hits == ()
    single = await reranker.rerank("open the lid", hits[:1])
    assert single.hits[0].score == pytest.approx(next(h.score for h in ranked.hits if h.chunk.id == "a"), abs=1e-5)
    await reranker.aclose()


async def test_a_chunk_longer_than_the_model_is_read_to_its_end(ranker: Path) -> None:
    """Cut off at the model's length, these two would have the same score."""
    reranker = BgeReranker(str(ranker), device="cpu")
    start = "the pump of the valve " * 10
    hits = [hit("a", start + "warranty two years " * 3), hit("b", start + "lid " * 9)]
    ranked = (await reranker.rerank("open", hits)).hits
    assert ranked[0].score != pytest.approx(ranked[1].score, abs=1e-6)


async def test_vectors_are_of_unit_length_and_follow_their_texts(encoder: Path) -> None:
    embedder = BgeEmbedder(str(encoder), device="cpu")
    embedded = await embedder.embed_documents(["the pump", "a valve", "the pump", "open the lid of the valve " * 20])
    assert (embedder.name, embedder.dimensions, embedder.price_id) == ("bge:tiny-m3", 16, None)
    assert all(math.isclose(math.hypot(*vector), 1.0, abs_tol=1e-6) for vector in embedded.vectors)
    assert embedded.vectors[0] == pytest.approx(embedded.vectors[2], abs=1e-5)
    assert embedded.vectors[0] != pytest.approx(embedded.vectors[1])
    alone = await embedder.embed_query("a valve")
    assert alone.vectors[0] == pytest.approx(embedded.vectors[1], abs=1e-4)
    assert (alone.usage, (await embedder.embed_documents([])).vectors) == (Usage(), ())
    await embedder.aclose()


async def test_questions_side_by_side_agree(encoder: Path, ranker: Path) -> None:
    embedder, reranker = BgeEmbedder(str(encoder), device="cpu"), BgeReranker(str(ranker), device="cpu")
    vectors = await asyncio.gather(*(embedder.embed_query("the pump") for _ in range(4)))
    assert len({answer.vectors for answer in vectors}) == 1
    ranked = await asyncio.gather(*(reranker.rerank("open", [hit("a", "the lid")]) for _ in range(4)))
    assert len({answer.hits[0].score for answer in ranked}) == 1


async def test_what_cannot_be_loaded_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no model"):
        BgeEmbedder(str(tmp_path))
    with pytest.raises(ConfigError, match="knows no 'acme/none'"):
        BgeEmbedder("acme/none")
    with pytest.raises(Unavailable, match="cannot be loaded") as caught:
        await BgeReranker(str(tmp_path), device="cpu").rerank("open", [hit("a", "b")])
    assert not caught.value.sent


def test_settings_name_them(encoder: Path, ranker: Path) -> None:
    settings = Settings.model_validate(
        {"embedder": {"name": "bge", "model": str(encoder)}, "reranker": {"name": "bge", "model": str(ranker)}}
    )
    embedder, reranker = make_embedder(settings), make_reranker(settings)
    assert embedder is not None
    assert reranker is not None
    assert (embedder.name, reranker.name) == ("bge:tiny-m3", "bge:tiny-ranker")
