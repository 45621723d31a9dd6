"""Embedders and rerankers that are tried again: each attempt is paid for on its own, and no broken result passes."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from ragkit.bill import is_simulated
from ragkit.calls.attempt import Attempt, Call, Meter
from ragkit.calls.retry import Retrying
from ragkit.embed import Embedded, Embedder
from ragkit.errors import ProviderError
from ragkit.nouns import EventKind, Hit
from ragkit.rerank import Reranked, Reranker

T = TypeVar("T", Embedded, Reranked)
PATIENCE = 15.0
"""Seconds that a question waits for a remote part that it can do without, all attempts together."""


class Part(Protocol):
    """A part that may bill: an embedder or a reranker."""

    name: str
    price_id: str | None


class Buyer(Protocol):
    """Who pays: asked before each attempt, told after it. What `admit_...` raises ends the call; nothing was sent."""

    async def admit_embedding(self, part: Part, texts: Sequence[str]) -> None: ...

    async def admit_rerank(self, part: Part, question: str, hits: Sequence[Hit]) -> None: ...

    def record_part(self, attempt: Attempt, part: Part) -> None: ...


class RetryingEmbedder:
    """An embedder behind the retry wrapper; `patience` in seconds bounds a remote one more tightly than the policy."""

    def __init__(self, embedder: Embedder, retrying: Retrying, buyer: Buyer, *, patience: float | None = None) -> None:
        self.name = embedder.name
        self.dimensions = embedder.dimensions
        self.price_id = embedder.price_id
        self._embedder = embedder
        self._tries = _Tries(embedder, "embed", retrying, buyer, patience)

    async def embed_documents(self, texts: Sequence[str]) -> Embedded:
        return await self._run(texts, lambda: self._embedder.embed_documents(texts))

    async def embed_query(self, text: str) -> Embedded:
        return await self._run([text], lambda: self._embedder.embed_query(text))

    async def aclose(self) -> None:
        await self._embedder.aclose()

    async def _run(self, texts: Sequence[str], embed: Callable[[], Awaitable[Embedded]]) -> Embedded:
        return await self._tries.run(
            embed,
            admit=lambda: self._tries.buyer.admit_embedding(self._embedder, texts),
            complaint=lambda embedded: _about_vectors(embedded, len(texts), self.dimensions),
        )


class RetryingReranker:
    """A reranker behind the retry wrapper; `patience` as above."""

    def __init__(self, reranker: Reranker, retrying: Retrying, buyer: Buyer, *, patience: float | None = None) -> None:
        self.name = reranker.name
        self.price_id = reranker.price_id
        self._reranker = reranker
        self._tries = _Tries(reranker, "rerank", retrying, buyer, patience)

    async def rerank(self, question: str, hits: Sequence[Hit]) -> Reranked:
        return await self._tries.run(
            lambda: self._reranker.rerank(question, hits),
            admit=lambda: self._tries.buyer.admit_rerank(self._reranker, question, hits),
            complaint=lambda ranked: _about_order(ranked, hits),
        )

    async def aclose(self) -> None:
        await self._reranker.aclose()


class _Tries:
    """What both wrappers do: one call of a part through `Retrying`."""

    def __init__(self, part: Part, kind: EventKind, retrying: Retrying, buyer: Buyer, patience: float | None) -> None:
        self.buyer = buyer
        self._part = part
        self._kind = kind
        self._retrying = retrying
        self._patience = patience if part.price_id is not None else None

    async def run(
        self,
        work: Callable[[], Awaitable[T]],
        *,
        admit: Callable[[], Awaitable[None]],
        complaint: Callable[[T], str],
    ) -> T:
        """Raises the last attempt's `ProviderError`, or whatever else the part raises."""

        async def once(meter: Meter, seconds: float) -> T:
            result = await work()
            meter.usage, meter.estimated = result.usage, result.estimated
            meter.simulated = any(map(is_simulated, result.request_ids))
            if wrong := complaint(result):
                raise ProviderError(f"{self._part.name} returned {wrong}: choose another model", usage=result.usage)
            return result

        provider = self._part.name.partition(":")[0]
        call = Call(provider, self._part.name, once, self._kind, before=admit)
        retrying = self._retrying
        until = None if self._patience is None else retrying.clock() + min(self._patience, retrying.policy.deadline)
        return await retrying.run([call], lambda attempt: self.buyer.record_part(attempt, self._part), until=until)


def _about_vectors(embedded: Embedded, texts: int, dimensions: int) -> str:
    """What is wrong with vectors; a sum is finite only if every number is."""
    if len(embedded.vectors) != texts:
        return f"{len(embedded.vectors)} vectors for {texts} texts"
    for vector in embedded.vectors:
        if len(vector) != dimensions:
            return f"a vector of {len(vector)} numbers instead of {dimensions}"
        if not math.isfinite(sum(vector)):
            return "a vector that is not made of numbers"
    return ""


def _about_order(ranked: Reranked, hits: Sequence[Hit]) -> str:
    """What is wrong with a new order: every hit is in it once, with a chance as its score, best first."""
    if sorted(hit.chunk.id for hit in ranked.hits) != sorted(hit.chunk.id for hit in hits):
        return "other hits than it was given"
    scores = [hit.score for hit in ranked.hits]
    if not all(0 <= score <= 1 for score in scores):
        return "a score that is no chance"
    return "" if scores == sorted(scores, reverse=True) else "hits out of order"
