"""Dense embedders in ONNX on the processor, by fastembed: a name that it knows, or a folder with model.onnx."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from ragkit.embed import Embedded
from ragkit.errors import ConfigError
from ragkit.fastembedding import import_fastembed, model_file, read_json
from ragkit.localmodel import model_folder, short_name, unavailable, unit
from ragkit.nouns import Usage

DEFAULT = "BAAI/bge-small-en-v1.5"
BATCH = 32


class FastembedEmbedder:
    """Unit vectors of texts. Local work is free, so that its usage is empty."""

    price_id: str | None = None

    def __init__(self, model: str = DEFAULT, *, threads: int | None = None) -> None:
        self._embedders = import_fastembed("embedding with fastembed").TextEmbedding
        self._folder = model_folder(model)
        self.dimensions: int = self._dimensions(model)
        self.name = f"fastembed:{short_name(model)}"
        self._model = model
        self._threads = threads
        self._embedder: Any = None
        self._loading = Lock()

    async def embed_documents(self, texts: Sequence[str]) -> Embedded:
        if not texts:
            return Embedded((), Usage())
        return await asyncio.to_thread(self._run, lambda model: model.passage_embed(texts, batch_size=BATCH))

    async def embed_query(self, text: str) -> Embedded:
        return await asyncio.to_thread(self._run, lambda model: model.query_embed(text))

    async def aclose(self) -> None:
        self._embedder = None

    def _run(self, call: Callable[[Any], Iterable[Any]]) -> Embedded:
        model = self._load()
        with unavailable(self.name, "failed"):
            return Embedded(tuple(unit(vector.tolist()) for vector in call(model)), Usage())

    def _dimensions(self, model: str) -> int:
        if self._folder is not None:
            model_file(self._folder)
            return int(read_json(self._folder / "config.json")["hidden_size"])
        known = {entry["model"].lower(): int(entry["dim"]) for entry in self._embedders.list_supported_models()}
        if model.lower() not in known:
            raise ConfigError(f"fastembed knows no embedder '{model}': give a name that it lists, or a folder")
        return known[model.lower()]

    def _load(self) -> Any:
        with self._loading:
            if self._embedder is None:
                with unavailable(self.name, "cannot be loaded"):
                    self._embedder = self._open()
            return self._embedder

    def _open(self) -> Any:
        if self._folder is None:
            return self._embedders(self._model, threads=self._threads)
        from fastembed.common.model_description import ModelSource

        name = f"ragkit/{self._folder.resolve()}"
        if not any(known["model"].lower() == name.lower() for known in self._embedders.list_supported_models()):
            self._embedders.add_custom_model(
                name,
                pooling=_pooling(self._folder),
                normalization=True,
                sources=ModelSource(hf=name),
                dim=self.dimensions,
                model_file=model_file(self._folder),
            )
        return self._embedders(name, threads=self._threads, specific_model_path=str(self._folder))


def _pooling(folder: Path) -> Any:
    """As sentence-transformers writes it down; the mean where it does not."""
    from fastembed.common.model_description import PoolingType

    path = folder / "1_Pooling" / "config.json"
    first = path.is_file() and bool(read_json(path).get("pooling_mode_cls_token"))
    return PoolingType.CLS if first else PoolingType.MEAN
