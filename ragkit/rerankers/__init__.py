"""Rerankers, one file per system, imported on use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from ragkit.compute import Compute, at_once
from ragkit.errors import ConfigError
from ragkit.rerank import Reranker
from ragkit.settings import Settings

REMOTE = ("cohere", "voyage")
"""Rerankers behind an API, each a module with a function `configured`."""


def make_reranker(settings: Settings, compute: Compute = at_once) -> Reranker | None:
    """The reranker that the settings name, None for the order of retrieval."""
    name, model = settings.reranker.name, settings.reranker.model
    if name == "none":
        return None
    if name == "embedded":
        from ragkit.rerankers.embedded import EmbeddedReranker

        return EmbeddedReranker(compute)
    if name == "bge":
        from ragkit.rerankers.bge import BgeReranker

        return BgeReranker(model) if model else BgeReranker()
    if name == "fastembed":
        from ragkit.rerankers.fastembed import FastembedReranker

        return FastembedReranker(model) if model else FastembedReranker()
    if name in REMOTE:
        configured: Callable[[Settings], Reranker] = import_module(f"ragkit.rerankers.{name}").configured
        return configured(settings)
    known = ", ".join(("embedded", "bge", "fastembed", *REMOTE))
    raise ConfigError(f"no reranker is called '{name}': known are {known} and none")
