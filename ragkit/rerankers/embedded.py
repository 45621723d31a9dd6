"""The reranker that is always there: no download, no server, a few milliseconds for forty chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ragkit.compute import Compute, at_once
from ragkit.nouns import Hit
from ragkit.rerank import Reranked
from ragkit.rerankers.model import load
from ragkit.rerankers.signals import SIGNALS, signals

_COVER = SIGNALS.index("related_cover")


class EmbeddedReranker:
    """Words, their closeness, titles and links between chunks, weighed by a small model learned beforehand."""

    name = "embedded"
    price_id: str | None = None

    def __init__(self, compute: Compute = at_once) -> None:
        self._compute = compute

    async def rerank(self, question: str, hits: Sequence[Hit]) -> Reranked:
        return Reranked(await self._compute(rank, question, hits))

    async def aclose(self) -> None: ...


def rank(question: str, hits: Sequence[Hit]) -> tuple[Hit, ...]:
    """The hits by their chance of being relevant, best first; equal ones by their id."""
    if not hits:
        return ()
    model = load("hybrid" if any(hit.dense_score is not None for hit in hits) else "lexical")
    rows = signals(question, hits)
    cover = max(row[_COVER] for row in rows)
    ranked = sorted(zip(map(model.score, rows), hits, strict=True), key=lambda pair: (-pair[0], pair[1].chunk.id))
    return tuple(replace(hit, score=model.chance(score, cover)) for score, hit in ranked)
