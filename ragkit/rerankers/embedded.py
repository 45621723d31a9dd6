"""The reranker that is always there: no download, no server, a few milliseconds for forty chunks."""

from __future__ import annotations

from collections.abc import Sequence

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
        return Reranked(_in_order(hits, await self._compute(chances, question, hits)))

    async def aclose(self) -> None: ...


def rank(question: str, hits: Sequence[Hit]) -> tuple[Hit, ...]:
    """The hits by their chance of being relevant, best first."""
    return _in_order(hits, chances(question, hits))


def chances(question: str, hits: Sequence[Hit]) -> list[tuple[int, float]]:
    """Places of the hits, best first, equal ones by their id, each with its chance of being relevant."""
    if not hits:
        return []
    model = load("hybrid" if any(hit.dense_score is not None for hit in hits) else "lexical")
    rows = signals(question, hits)
    cover = max(row[_COVER] for row in rows)
    scores = list(map(model.score, rows))
    order = sorted(range(len(hits)), key=lambda place: (-scores[place], hits[place].chunk.id))
    return [(place, model.chance(scores[place], cover)) for place in order]


def _in_order(hits: Sequence[Hit], ranked: Sequence[tuple[int, float]]) -> tuple[Hit, ...]:
    return tuple(hits[place].scored(chance) for place, chance in ranked)
