"""BGE embedders by FlagEmbedding, on the processor or one GPU: a name, or a folder with the model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Lock
from typing import Any

from ragkit.bge import hidden_size, import_flag_embedding, one_device
from ragkit.embed import Embedded
from ragkit.errors import ConfigError
from ragkit.localmodel import short_name, unavailable, unit
from ragkit.nouns import Usage

DEFAULT = "BAAI/bge-m3"
DIMENSIONS = {"BAAI/bge-m3": 1024, "BAAI/bge-m3-retromae": 1024, "BAAI/bge-m3-unsupervised": 1024}

MAX_LENGTH = 8192
"""Tokens of a text; the library's own 512 cuts long chunks off in silence. Models that read less are asked for less."""

BATCH = 16


class BgeEmbedder:
    """Dense vectors of BGE-M3 and its relatives. Local work is free, so that its usage is empty."""

    price_id: str | None = None

    def __init__(self, model: str = DEFAULT, *, device: str | None = None) -> None:
        self._library = import_flag_embedding("embedding with BGE")
        dimensions = hidden_size(model) or DIMENSIONS.get(model)
        if dimensions is None:
            raise ConfigError(f"the BGE embedder knows no '{model}': use {DEFAULT}, or a folder with the model")
        self.dimensions: int = dimensions
        self.name = f"bge:{short_name(model)}"
        self._model = model
        self._device = device
        self._embedder: Any = None
        self._using = Lock()

    async def embed_documents(self, texts: Sequence[str]) -> Embedded:
        return await asyncio.to_thread(self._run, list(texts)) if texts else Embedded((), Usage())

    async def embed_query(self, text: str) -> Embedded:
        return await asyncio.to_thread(self._run, [text])

    async def aclose(self) -> None:
        self._embedder = None

    def _run(self, texts: list[str]) -> Embedded:
        """One call at a time: the library's object is not made for several threads."""
        with self._using:
            embedder = self._load()
            places = int(embedder.model.model.config.max_position_embeddings)
            limit = min(MAX_LENGTH, places - 2)
            with unavailable(self.name, "failed"):
                vectors = embedder.encode(texts, batch_size=BATCH, max_length=limit)["dense_vecs"]
            return Embedded(tuple(unit(vector.tolist()) for vector in vectors), Usage())

    def _load(self) -> Any:
        if self._embedder is None:
            device = one_device(self._device)
            with unavailable(self.name, "cannot be loaded"):
                self._embedder = self._library.BGEM3FlagModel(
                    self._model, devices=[device], use_fp16=device != "cpu", passage_max_length=MAX_LENGTH
                )
        return self._embedder
