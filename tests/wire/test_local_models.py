"""fastembed rerankers and embedders on tiny ONNX models that the test makes; nothing is downloaded."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import pytest

from ragkit.embedders import make_embedder
from ragkit.errors import ConfigError, Unavailable
from ragkit.nouns import Chunk, Hit, Usage
from ragkit.rerankers import make_reranker
from ragkit.settings import Settings

pytest.importorskip("fastembed", reason="the extra 'fastembed' is not installed")
pytest.importorskip("onnx", reason="the development group is not installed")

from ragkit.embedders.fastembed import FastembedEmbedder
from ragkit.rerankers.fastembed import FastembedReranker
from tiny_onnx import make_cross_encoder, make_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("models") / "tiny-encoder")


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cross_encoder(tmp_path_factory.mktemp("models") / "tiny-cross-encoder")


def hit(name: str, text: str) -> Hit:
    return Hit(Chunk(name, name, "s", text, 0, len(text), 0, 1), 0.0)


async def test_vectors_are_of_unit_length_and_follow_their_texts(encoder: Path) -> None:
    embedder = FastembedEmbedder(str(encoder))
    texts = ["the pump", "a valve", "the pump", "open the lid of the valve"]
    embedded = await embedder.embed_documents(texts)
    assert embedder.name == "fastembed:tiny-encoder"
    assert (embedder.dimensions, embedder.price_id, embedded.usage) == (16, None, Usage())
    assert all(math.isclose(math.hypot(*vector), 1.0, abs_tol=1e-6) for vector in embedded.vectors)
    assert all(len(vector) == embedder.dimensions for vector in embedded.vectors)
    assert embedded.vectors[0] == pytest.approx(embedded.vectors[2])
    assert embedded.vectors[0] != pytest.approx(embedded.vectors[1])
    alone = await embedder.embed_query("a valve")
    assert alone.vectors[0] == pytest.approx(embedded.vectors[1], abs=1e-5), "padding changes nothing"
    assert (await embedder.embed_documents([])).vectors == ()
    await embedder.aclose()


async def test_pooling_is_as_the_folder_says(encoder: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json", "model.onnx"):
        (first / name).write_bytes((encoder / name).read_bytes())
    (first / "1_Pooling").mkdir()
    (first / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    mean = await FastembedEmbedder(str(encoder)).embed_query("the pump")
    of_first = await FastembedEmbedder(str(first)).embed_query("the pump")
    assert mean.vectors[0] != pytest.approx(of_first.vectors[0])


async def test_questions_side_by_side_load_the_model_once_and_agree(encoder: Path) -> None:
    embedder = FastembedEmbedder(str(encoder))
    answers = await asyncio.gather(*(embedder.embed_query("the pump") for _ in range(8)))
    assert len({answer.vectors for answer in answers}) == 1


async def test_reranking_orders_by_the_models_score(cross_encoder: Path) -> None:
    reranker = FastembedReranker(str(cross_encoder))
    hits = [hit(name, text) for name, text in (("a", "the pump"), ("b", "a valve"), ("c", "two years warranty"))]
    ranked = await reranker.rerank("open the lid", hits)
    scores = [hit.score for hit in ranked.hits]
    assert reranker.name == "fastembed:tiny-cross-encoder"
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)
    assert len(set(scores)) == 3
    assert (ranked.usage, reranker.price_id) == (Usage(), None)
    assert (await reranker.rerank("open the lid", list(reversed(hits)))).hits == ranked.hits
    assert (await reranker.rerank("open the lid", [])).hits == ()
    await reranker.aclose()


async def test_a_chunk_longer_than_the_model_is_read_to_its_end(cross_encoder: Path) -> None:
    """Cut off at the model's length, these two would have the same score."""
    reranker = FastembedReranker(str(cross_encoder))
    start = "the pump of the valve " * 10
    ranked = (
        await reranker.rerank("open", [hit("a", start + "warranty two years " * 3), hit("b", start + "lid " * 9)])
    ).hits
    assert ranked[0].score != pytest.approx(ranked[1].score, abs=1e-6)
    pieces = (await reranker.rerank("open", [hit("c", "the pump of the valve " * 3)])).hits
    whole = (await reranker.rerank("open", [hit("d", "the pump of the valve " * 30)])).hits
    assert 0 < pieces[0].score < 1
    assert 0 < whole[0].score < 1


@pytest.mark.parametrize("adapter", [FastembedEmbedder, FastembedReranker])
def test_a_name_or_folder_without_a_model_is_refused_at_once(adapter: type, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"knows no .* 'acme/none': give a name that it lists, or a folder"):
        adapter("acme/none")
    with pytest.raises(ConfigError, match=r"holds no ONNX model: put model.onnx there"):
        adapter(str(tmp_path))
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ConfigError, match="cannot read"):
        adapter(str(tmp_path))


async def test_a_damaged_model_is_unavailable_and_costs_nothing(encoder: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        (tmp_path / name).write_bytes((encoder / name).read_bytes())
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(Unavailable, match="cannot be loaded") as caught:
        await FastembedEmbedder(str(tmp_path)).embed_query("the pump")
    assert not caught.value.sent
    with pytest.raises(Unavailable, match="cannot be loaded"):
        await FastembedReranker(str(tmp_path)).rerank("the pump", [hit("a", "a valve")])


async def test_settings_name_them(encoder: Path, cross_encoder: Path) -> None:
    settings = Settings.model_validate(
        {
            "embedder": {"name": "fastembed", "model": str(encoder)},
            "reranker": {"name": "fastembed", "model": str(cross_encoder)},
        }
    )
    embedder, reranker = make_embedder(settings), make_reranker(settings)
    assert embedder is not None
    assert reranker is not None
    assert (embedder.name, reranker.name) == ("fastembed:tiny-encoder", "fastembed:tiny-cross-encoder")
