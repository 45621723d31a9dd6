"""From a question to its K best chunks: lexical always, dense where an embedder is at hand, fused into one list.

A second lexical search adds the names that the first hits mention: what a question asks about is often described in a
chunk that shares no word with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragkit.compute import Compute, at_once
from ragkit.embed import Embedder
from ragkit.errors import BudgetExceeded, ProviderError
from ragkit.nouns import Hit, Query, Sparse, Usage
from ragkit.store import Candidates, Store, StoreQuery
from ragkit.words.bm25 import encode_query
from ragkit.words.expand import LEADERS, expand

LEXICAL_ONLY = "retrieval is lexical: no embedder is configured"
NO_VECTORS = "retrieval is lexical: the vectors of these documents are still to come"

EARLIER_QUESTION, EARLIER_ANSWER, FADING, REMEMBERED = 0.3, 0.1, 0.5, 4
"""What words of earlier turns weigh beside the question's own, what is left of that one turn further back, and how
many turns of each side are looked at."""

DENSE_WEIGHT = 0.8
"""The dense score's part in a fused score, where the lexical one counts 1."""

MISSED = 0.9
"""What a hit scores in a channel that did not find it, as a part of the last one that it found."""

LATER_SHARE, LATER_WORTH = 0.25, 0.5
"""How much of the list the second search may fill, and what its best hit scores beside the first search's best."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The hits, best first, and what embedding the question used: None when a failed call may have been billed.

    `embedder` names who was asked, None where nobody was. `notes` say in words what was missing.
    """

    hits: tuple[Hit, ...]
    usage: Usage | None = Usage()
    embedder: str | None = None
    notes: tuple[str, ...] = ()


async def retrieve(
    query: Query, *, store: Store, embedder: Embedder | None = None, compute: Compute = at_once
) -> Retrieved:
    """The best `query.k` chunks; without an embedder, or when it fails, they are found by their words alone."""
    vector, usage, notes = await _embed(in_context(query), embedder)
    terms = weigh(query)
    request = StoreQuery(query.account.tenant, terms, query.k, vector, query.filters)
    first = fuse(await store.search(request), limit=query.k)
    more = await compute(expand, terms, query.text, first[:LEADERS])
    if more != terms:
        later = await store.search(replace(request, sparse=more, dense=None))
        first = append(first, later.sparse, limit=query.k)
    if vector is not None and first and all(hit.dense_rank is None for hit in first):
        notes = (*notes, NO_VECTORS)
    return Retrieved(first, usage, None if embedder is None else embedder.name, notes)


def in_context(query: Query) -> str:
    """The question after the one that it may refer to, for models that read sentences."""
    asked = [turn.text for turn in query.history if turn.role == "user"]
    return "\n".join((*asked[-1:], query.text))


def weigh(query: Query) -> Sparse:
    """The question's terms with weight 1, those of earlier turns with less: a follow-up leaves out what it is about."""
    weights = dict.fromkeys(encode_query(query.text).indices, 1.0)
    for role, weight in (("user", EARLIER_QUESTION), ("assistant", EARLIER_ANSWER)):
        turns = [turn for turn in query.history if turn.role == role]
        for turn in reversed(turns[-REMEMBERED:]):
            for index in encode_query(turn.text).indices:
                weights[index] = max(weight, weights.get(index, 0.0))
            weight *= FADING
    return Sparse(tuple(weights), tuple(weights.values()))


def fuse(candidates: Candidates, *, limit: int) -> tuple[Hit, ...]:
    """One list of the two, each hit with the ranks and scores that both channels gave it.

    Scores are added as shares of their channel's best: how far a hit is ahead tells more than its rank. A channel that
    did not find a hit says that it is worse than the last one that it found.
    """
    merged: dict[str, Hit] = {hit.chunk.id: hit for hit in candidates.sparse}
    for hit in candidates.dense:
        known = merged.get(hit.chunk.id, hit)
        merged[hit.chunk.id] = replace(known, dense_rank=hit.dense_rank, dense_score=hit.dense_score)
    sparse = _Channel([hit.sparse_score for hit in candidates.sparse])
    dense = _Channel([hit.dense_score for hit in candidates.dense])
    weight = DENSE_WEIGHT if candidates.dense else 0.0
    scored = (
        hit.scored((sparse.share(hit.sparse_score) + weight * dense.share(hit.dense_score)) / (1 + weight))
        for hit in merged.values()
    )
    return tuple(sorted(scored, key=_best_first)[:limit])


def append(hits: Sequence[Hit], later: Sequence[Hit], *, limit: int) -> tuple[Hit, ...]:
    """Give the last places of a list to hits that only the second search found; they carry no rank."""
    known = {hit.chunk.id for hit in hits}
    places = max(limit - len(hits), int(limit * LATER_SHARE))
    best = max((hit.score for hit in later), default=0.0) or 1.0
    fresh = [
        replace(hit, score=LATER_WORTH * hit.score / best, sparse_rank=None, sparse_score=None)
        for hit in later
        if hit.chunk.id not in known
    ][:places]
    return tuple(sorted((*hits[: limit - len(fresh)], *fresh), key=_best_first))


class _Channel:
    """The scores of one list as shares of its best."""

    def __init__(self, scores: Sequence[float | None]) -> None:
        found = [score for score in scores if score is not None]
        self._best = max(found, default=0.0)
        self._missed = MISSED * min(found, default=0.0)

    def share(self, score: float | None) -> float:
        value = self._missed if score is None else score
        return max(0.0, value / self._best) if self._best > 0 else 0.0


def _best_first(hit: Hit) -> tuple[float, str]:
    return -hit.score, hit.chunk.id


async def _embed(
    text: str, embedder: Embedder | None
) -> tuple[tuple[float, ...] | None, Usage | None, tuple[str, ...]]:
    if embedder is None:
        return None, Usage(), (LEXICAL_ONLY,)
    try:
        embedded = await embedder.embed_query(text)
    except (ProviderError, BudgetExceeded) as error:
        usage = error.usage if isinstance(error, ProviderError) and error.sent else Usage()
        return None, usage, (f"retrieval is lexical: {embedder.name} failed: {error}",)
    return embedded.vectors[0], embedded.usage, ()
