"""The seam to dense embedders. Adapters live in `ragkit.embedders`, one file per system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ragkit.nouns import Usage


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors in the order of their texts, and what they cost in tokens; `estimated` where nobody reported it.

    `request_ids` are those of the calls that it took, where the provider names them.
    """

    vectors: tuple[tuple[float, ...], ...]
    usage: Usage
    estimated: bool = False
    request_ids: tuple[str, ...] = field(default=(), compare=False)


def index_text(title: str, section: tuple[str, ...], text: str, context: str = "") -> str:
    """What an embedder reads of a chunk: its text, below its context and those headings that it does not repeat."""
    headings = " ".join(dict.fromkeys(part for part in (title, *section) if part not in text))
    return "\n".join(part for part in (headings, context, text) if part)


class Embedder(Protocol):
    """Texts to unit-length vectors of `dimensions` floats. `name` is `provider:model`, recorded by the collection."""

    name: str
    dimensions: int
    price_id: str | None
    """Names the price of its tokens; None for local work, which is free."""

    async def embed_documents(self, texts: Sequence[str]) -> Embedded: ...

    async def embed_query(self, text: str) -> Embedded: ...

    async def aclose(self) -> None: ...
