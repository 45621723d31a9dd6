"""ragkit: a RAG framework in which every question is a purchase with a receipt."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragkit.config import Settings, load_settings
    from ragkit.errors import RagkitError
    from ragkit.nouns import Account, Answer, Citation, Hit, Receipt
    from ragkit.once import ask
    from ragkit.rag import Ragkit

__all__ = [
    "Account",
    "Answer",
    "Citation",
    "Hit",
    "Ragkit",
    "RagkitError",
    "Receipt",
    "Settings",
    "__version__",
    "ask",
    "load_settings",
]

__version__ = "0.1.0"

_HOMES = {
    "Account": "nouns",
    "Answer": "nouns",
    "Citation": "nouns",
    "Hit": "nouns",
    "Ragkit": "rag",
    "RagkitError": "errors",
    "Receipt": "nouns",
    "Settings": "config",
    "ask": "once",
    "load_settings": "config",
}


def __getattr__(name: str) -> object:
    """Import on use, so that `import ragkit` costs next to nothing."""
    if name in _HOMES:
        return getattr(import_module(f"ragkit.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ragkit' has no attribute '{name}'")
