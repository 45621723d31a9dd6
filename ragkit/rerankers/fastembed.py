"""Cross-encoders in ONNX on the processor, by fastembed: a name that it knows, or a folder with model.onnx."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from ragkit.errors import ConfigError
from ragkit.fastembedding import import_fastembed, model_file, read_json, untruncated
from ragkit.localmodel import model_folder, short_name, unavailable
from ragkit.nouns import Hit
from ragkit.rerank import Reranked
from ragkit.rerankers.windows import best_of, pair

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DEFAULT = "Xenova/ms-marco-MiniLM-L-6-v2"
BATCH = 16


class FastembedReranker:
    """Scores each chunk with the question; a chunk too long for the model by the best of its pieces."""

    price_id: str | None = None

    def __init__(self, model: str = DEFAULT, *, threads: int | None = None) -> None:
        fastembed = import_fastembed("reranking with fastembed")
        self._encoders = fastembed.rerank.cross_encoder.TextCrossEncoder
        self._folder = model_folder(model)
        if self._folder is not None:
            model_file(self._folder)
            read_json(self._folder / "tokenizer.json")
        elif not any(known["model"].lower() == model.lower() for known in self._encoders.list_supported_models()):
            raise ConfigError(f"fastembed knows no reranker '{model}': give a name that it lists, or a folder")
        self.name = f"fastembed:{short_name(model)}"
        self._model = model
        self._threads = threads
        self._encoder: Any = None
        self._counting: Tokenizer | None = None
        self._loading = Lock()

    async def rerank(self, question: str, hits: Sequence[Hit]) -> Reranked:
        if not hits:
            return Reranked(())
        return Reranked(await asyncio.to_thread(self._rank, question, hits))

    async def aclose(self) -> None:
        self._encoder = None

    def _rank(self, question: str, hits: Sequence[Hit]) -> tuple[Hit, ...]:
        encoder = self._load()
        limit = encoder.model.tokenizer.truncation["max_length"]
        pieces = pair(question, hits, limit, self._count)
        with unavailable(self.name, "failed"):
            logits = list(encoder.rerank(question, [text for _, text in pieces], batch_size=BATCH))
        return best_of(hits, pieces, list(map(float, logits)))

    def _count(self, text: str) -> int:
        assert self._counting is not None  # noqa: S101
        return len(self._counting.encode(text, add_special_tokens=False).ids)

    def _load(self) -> Any:
        with self._loading:
            if self._encoder is None:
                with unavailable(self.name, "cannot be loaded"):
                    encoder = self._open()
                self._counting = untruncated(encoder.model.tokenizer)
                self._encoder = encoder
            return self._encoder

    def _open(self) -> Any:
        if self._folder is None:
            return self._encoders(self._model, threads=self._threads)
        from fastembed.common.model_description import ModelSource

        name = f"ragkit/{self._folder.resolve()}"
        if not any(known["model"].lower() == name.lower() for known in self._encoders.list_supported_models()):
            self._encoders.add_custom_model(name, sources=ModelSource(hf=name), model_file=model_file(self._folder))
        return self._encoders(name, threads=self._threads, specific_model_path=str(self._folder))
