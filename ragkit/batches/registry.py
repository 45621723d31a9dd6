"""Names of providers with a batch API and where their adapters are made: imported on use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter

from ragkit.batch import BatchApi
from ragkit.errors import ConfigError
from ragkit.settings import ProvidersSettings

BATCH_APIS = {
    "anthropic": "ragkit.batches.anthropic:AnthropicBatches.configured",
    "gemini": "ragkit.batches.registry:gemini",
    "openai": "ragkit.batches.openai:OpenAIBatches.configured",
    "openai-chat": "ragkit.batches.openai:OpenAIBatches.configured_chat",
}

EMBEDDING_APIS = {"openai-embeddings": "ragkit.batches.embeddings:configured"}
"""Where no questions are asked."""


def open_batch_api(name: str, settings: ProvidersSettings) -> BatchApi:
    """Raises `ConfigError` for a provider without batches or without a key, `MissingExtra` for a missing package."""
    known = {**BATCH_APIS, **EMBEDDING_APIS}
    if name not in known:
        asked = ", ".join(sorted(BATCH_APIS))
        raise ConfigError(f"'{name}' has no batch lane: set [answer] model to one of {asked}, or ask live")
    module, _, path = known[name].partition(":")
    factory: Callable[[ProvidersSettings], BatchApi] = attrgetter(path)(import_module(module))
    return factory(settings)


def gemini(settings: ProvidersSettings) -> BatchApi:
    """By Vertex AI where a project is named, as on the live lane, else by key."""
    if settings.gemini.vertex_project:
        from ragkit.batches.vertex import VertexBatches

        return VertexBatches.configured(settings)
    from ragkit.batches.gemini import GeminiBatches

    return GeminiBatches.configured(settings)


class BatchApis:
    """Batch APIs, opened on first use and shared until they are closed."""

    def __init__(self, settings: ProvidersSettings) -> None:
        self._settings = settings
        self._open: dict[str, BatchApi] = {}
        # Parts are planned in a thread, and its jobs may plan at once.
        self._opening = threading.Lock()

    def api(self, name: str) -> BatchApi:
        with self._opening:
            if name not in self._open:
                self._open[name] = open_batch_api(name, self._settings)
            return self._open[name]

    async def aclose(self) -> None:
        for api in self._open.values():
            await api.aclose()
        self._open.clear()
