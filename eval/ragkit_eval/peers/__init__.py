"""Other frameworks on the same documents, questions and models; one file per system, imported on use.

Each is set up as its own documentation does it: its splitter, its BM25 retriever and its prompt, with the number of
chunks that it sends by default. The call to the model is ours for all of them, so that only what they send differs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from ragkit.config import Settings
from ragkit.errors import ConfigError
from ragkit_eval.cases import Dataset
from ragkit_eval.peers.seller import Seller
from ragkit_eval.reply import System

PEERS = {"llama-index": "llama_index", "haystack": "haystack"}


@asynccontextmanager
async def open_peer(name: str, data: Dataset, settings: Settings) -> AsyncIterator[System]:
    """A framework that has indexed the documents; raises `ConfigError` where it is not installed."""
    try:
        module = import_module(f"{__name__}.{PEERS[name]}")
    except ImportError as error:
        raise ConfigError(
            f"comparing with {name} needs its packages: pip install --group peers ({error.name} is missing)"
        ) from error
    if not data.documents:
        raise ConfigError(
            f"comparing with {name} needs documents as texts: data set '{data.name}' is a folder of files"
        )
    seller = Seller.of(settings)
    try:
        system: System = module.build(data, seller)
        yield system
    finally:
        await seller.aclose()
