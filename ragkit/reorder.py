"""Reranking as a stage: the better order where there is one, else that of retrieval with a note that says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.errors import BudgetExceeded, ProviderError, WorkerLost
from ragkit.nouns import Hit
from ragkit.rerank import Reranker


@dataclass(frozen=True, slots=True)
class Reordered:
    """The hits, best first; `notes` say in words what was missing."""

    hits: tuple[Hit, ...]
    notes: tuple[str, ...] = ()


async def reorder(question: str, hits: Sequence[Hit], reranker: Reranker | None) -> Reordered:
    """A question can do without a reranker that is down or that its budget does not hold."""
    if reranker is None or not hits:
        return Reordered(tuple(hits))
    try:
        return Reordered((await reranker.rerank(question, hits)).hits)
    except (ProviderError, BudgetExceeded, WorkerLost) as error:
        return Reordered(tuple(hits), (f"hits are in the order of retrieval: {reranker.name} failed: {error}",))
