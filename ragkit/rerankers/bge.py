"""BGE cross-encoders by FlagEmbedding, on the processor or one GPU: a name, or a folder with the model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Lock
from typing import Any

from ragkit.bge import import_flag_embedding, one_device
from ragkit.localmodel import short_name, unavailable
from ragkit.nouns import Hit
from ragkit.rerank import Reranked
from ragkit.rerankers.windows import best_of, pair

DEFAULT = "BAAI/bge-reranker-v2-m3"

MAX_LENGTH = 1024
"""Tokens of a pair. The library's own 512 cuts long chunks off in silence; models that read less are asked for less."""

BATCH = 16


class BgeReranker:
    """Scores each chunk with the question; a chunk too long for the model by the best of its pieces."""

    price_id: str | None = None

    def __init__(self, model: str = DEFAULT, *, device: str | None = None, max_length: int = MAX_LENGTH) -> None:
        self._library = import_flag_embedding("reranking with BGE")
        self.name = f"bge:{short_name(model)}"
        self._model = model
        self._device = device
        self._max_length = max_length
        self._ranker: Any = None
        self._using = Lock()

    async def rerank(self, question: str, hits: Sequence[Hit]) -> Reranked:
        if not hits:
            return Reranked(())
        return Reranked(await asyncio.to_thread(self._rank, question, hits))

    async def aclose(self) -> None:
        self._ranker = None

    def _rank(self, question: str, hits: Sequence[Hit]) -> tuple[Hit, ...]:
        """One question at a time: the library's object is not made for several threads."""
        with self._using:
            ranker = self._load()
            limit = _limit(ranker, self._max_length)
            pieces = pair(question, hits, limit, lambda text: _count(ranker, text))
            pairs = [(question, text) for _, text in pieces]
            with unavailable(self.name, "failed"):
                scores = ranker.compute_score(pairs, batch_size=BATCH, max_length=limit)
            return best_of(hits, pieces, [float(score) for score in scores])

    def _load(self) -> Any:
        if self._ranker is None:
            device = one_device(self._device)
            with unavailable(self.name, "cannot be loaded"):
                self._ranker = self._library.FlagReranker(
                    self._model, devices=[device], use_fp16=device != "cpu", max_length=self._max_length
                )
        return self._ranker


def _limit(ranker: Any, wanted: int) -> int:
    """The model's own length; of the XLM-RoBERTa family two places are not for tokens."""
    places = int(getattr(ranker.model.config, "max_position_embeddings", wanted))
    offset = 2 if "roberta" in str(ranker.model.config.model_type) else 0
    return min(wanted, places - offset)


def _count(ranker: Any, text: str) -> int:
    return len(ranker.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"])
