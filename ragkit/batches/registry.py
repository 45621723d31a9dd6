"""Names of providers with a batch API and where their adapters are made: imported on use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from operator import attrgetter

from ragkit.batch import BatchApi
from ragkit.errors import ConfigError
from ragkit.settings import ProvidersSettings

BATCH_APIS = {
    "anthropic": "ragkit.batches.anthropic:AnthropicBatches.configured",
    "gemini": "ragkit.batches.gemini:GeminiBatches.configured",
    "openai": "ragkit.batches.openai:OpenAIBatches.configured",
    "openai-chat": "ragkit.batches.openai:OpenAIBatches.configured_chat",
}


def open_batch_api(name: str, settings: ProvidersSettings) -> BatchApi:
    """Raises `ConfigError` for a provider without batches or without a key, `MissingExtra` for a missing package."""
    if name not in BATCH_APIS:
        known = ", ".join(sorted(BATCH_APIS))
        raise ConfigError(f"'{name}' has no batch lane: set [answer] model to one of {known}, or ask live")
    module, _, path = BATCH_APIS[name].partition(":")
    factory: Callable[[ProvidersSettings], BatchApi] = attrgetter(path)(import_module(module))
    return factory(settings)
