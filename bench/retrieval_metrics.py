"""How good a ranking of documents is."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scores:
    """Recall among the first four documents and nDCG among the first ten."""

    recall: float
    ndcg: float

    def __str__(self) -> str:
        return f"{self.recall:.3f} / {self.ndcg:.3f}"


def score(ranking: Sequence[str], relevant: Collection[str]) -> Scores:
    """A document counts where its best chunk stands."""
    documents = list(dict.fromkeys(ranking))
    gain = sum(1 / math.log2(place + 2) for place, document in enumerate(documents[:10]) if document in relevant)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(10, len(relevant))))
    return Scores(sum(document in relevant for document in documents[:4]) / len(relevant), gain / ideal)


def mean(scores: Sequence[Scores]) -> Scores:
    return Scores(sum(item.recall for item in scores) / len(scores), sum(item.ndcg for item in scores) / len(scores))
