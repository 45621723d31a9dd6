"""The seam to rerankers. Adapters live in `ragkit.rerankers`, one file per system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ragkit.nouns import Chunk, Hit, Usage


@dataclass(frozen=True, slots=True)
class Reranked:
    """The hits in their new order, best first, `score` in 0..1 as the chance of being relevant; and the tokens used.

    Where a provider bills by search, `usage.searches` counts its units. `estimated` marks usage that nobody reported.
    `request_ids` are those of the calls that it took, where the provider names them.
    """

    hits: tuple[Hit, ...]
    usage: Usage = Usage()
    searches: int = 0
    estimated: bool = False
    request_ids: tuple[str, ...] = field(default=(), compare=False)


def passage(chunk: Chunk) -> str:
    """What a reranker reads of a chunk: its text under the headings that it does not repeat itself, and its context."""
    around = (chunk.title, *chunk.section, chunk.context)
    headings = dict.fromkeys(part for part in around if part and part not in chunk.text)
    return "\n".join((*headings, chunk.text))


class Reranker(Protocol):
    """Reorders hits by relevance to a question. `price_id` names its price, None for local work, which is free."""

    name: str
    price_id: str | None

    async def rerank(self, question: str, hits: Sequence[Hit]) -> Reranked: ...

    async def aclose(self) -> None: ...
