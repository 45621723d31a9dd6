"""Embedders, one file per system, imported on use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from ragkit.embed import Embedder
from ragkit.errors import ConfigError
from ragkit.settings import Settings

REMOTE = ("voyage", "cohere", "openai", "gemini")
"""Embedders behind an API, each a module with a function `configured`."""


def make_embedder(settings: Settings) -> Embedder | None:
    """The embedder that the settings name, None for lexical retrieval."""
    name, model = settings.embedder.name, settings.embedder.model
    if name == "none":
        return None
    if name in REMOTE:
        configured: Callable[[Settings], Embedder] = import_module(f"ragkit.embedders.{name}").configured
        return configured(settings)
    if settings.embedder.dimensions is not None:
        raise ConfigError(f"[embedder] dimensions works with {', '.join(REMOTE)}, not with '{name}': leave it out")
    if name == "fastembed":
        from ragkit.embedders.fastembed import FastembedEmbedder

        return FastembedEmbedder(model) if model else FastembedEmbedder()
    if name == "bge":
        from ragkit.embedders.bge import BgeEmbedder

        return BgeEmbedder(model) if model else BgeEmbedder()
    raise ConfigError(f"no embedder is called '{name}': known are fastembed, bge, {', '.join(REMOTE)} and none")
